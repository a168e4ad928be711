"""Who works through the spans: the threads of this process, or a Dask cluster. Both join along the same tree."""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from rnla.arrays import Array, page_aligned
from rnla.errors import ClusterError
from rnla.kernels.blas import single_blas_thread
from rnla.sweeps.geometry import FAN_IN, join_tree
from rnla.sweeps.spans import Partials, Report, Work, join_partials, span_partials

Progress = Callable[[int], None]  # told the bytes read since the last call


class Runner(Protocol):
    """Runs one sweep."""

    @property
    def threads(self) -> int:
        """Spans worked on at once in one process."""

    def run(self, work: Work, progress: Progress) -> Partials:
        """The joined partials of all spans."""


def local_threads() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Threads:
    """The threads of this process; needs no Dask."""

    threads: int = field(default_factory=local_threads)

    def run(self, work: Work, progress: Progress) -> Partials:
        """The joined partials of all spans, joined as soon as neighbours are there."""
        spans = work.geometry.spans()
        threads = min(self.threads, len(spans))
        idle: queue.SimpleQueue[list[Array]] = queue.SimpleQueue()
        held = 2 if work.geometry.span_panels > 1 else 1
        for _ in range(threads):
            size = work.geometry.panel_bytes if work.geometry.reads == 1 else 0
            idle.put([page_aligned(size) for _ in range(held)])
        tree = Tree(work, len(spans))
        stop = threading.Event()

        def task(index: int) -> None:
            if stop.is_set():
                return
            scratch = idle.get()
            try:
                tree.put(index, span_partials(work, spans[index], scratch, increments(progress)))
            except BaseException:
                stop.set()
                raise
            finally:
                idle.put(scratch)

        with single_blas_thread(), ThreadPoolExecutor(threads, thread_name_prefix="rnla") as pool:
            futures = [pool.submit(task, index) for index in range(len(spans))]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                stop.set()
                raise
        return tree.total()


def increments(progress: Progress) -> Report:
    """A report of totals, passed on as increments."""
    last = 0

    def report(total: int) -> None:
        nonlocal last
        progress(total - last)
        last = total

    return report


class Tree:
    """The join tree being filled from any thread: a node is joined by whoever brings its last part."""

    def __init__(self, work: Work, leaves: int) -> None:
        self.work = work
        self.levels = [leaves, *(len(level) for level in join_tree(leaves))]
        self.waiting: dict[tuple[int, int], dict[int, Partials]] = {}
        self.lock = threading.Lock()
        self.root: Partials | None = None

    def put(self, index: int, partials: Partials) -> None:
        """Add a leaf, and join upwards as far as parts are complete."""
        for level in range(len(self.levels) - 1):
            node = index // FAN_IN
            size = min(FAN_IN, self.levels[level] - node * FAN_IN)
            with self.lock:
                parts = self.waiting.setdefault((level, node), {})
                parts[index] = partials
                if len(parts) < size:
                    return
                del self.waiting[level, node]
            partials = join_partials(self.work, *(parts[i] for i in sorted(parts)))
            index = node
        self.root = partials

    def total(self) -> Partials:
        """The joined partials."""
        if self.root is None:
            msg = "the join tree is not complete"
            raise AssertionError(msg)
        return self.root


@dataclass(frozen=True)
class Cluster:
    """The workers of a distributed.Client."""

    client: Any
    threads: int = field(default_factory=local_threads)  # of this process, for data in its memory

    @property
    def connected(self) -> Any:
        """The client, if it still is one."""
        if self.client.status != "running":
            msg = (
                f"the Dask client is {self.client.status}, so its workers cannot be reached: connect anew, "
                "distributed.Client(address), or close it, client.close(), to run on the threads of this process; "
                "finished sweeps of a job with out= are kept"
            )
            raise ClusterError(msg)
        return self.client

    def run(self, work: Work, progress: Progress) -> Partials:
        """The joined partials of all spans, as one Dask graph."""
        from rnla.sweeps.graphs import run_on_cluster

        return run_on_cluster(self.connected, work, progress)


@dataclass(frozen=True)
class Active:
    """Whoever is active when a sweep starts: the distributed.Client if there is one, else threads of this process."""

    threads: int = field(default_factory=local_threads)

    def run(self, work: Work, progress: Progress) -> Partials:
        """The joined partials of all spans."""
        return active_runner(self.threads).run(work, progress)


def active_runner(threads: int | None = None) -> Threads | Cluster:
    """The active distributed.Client if there is one, else the threads of this process."""
    count = threads or local_threads()
    if "distributed" in sys.modules:  # a client can only be active if somebody imported it
        from distributed import Client

        with suppress(ValueError):  # there is none
            return Cluster(Client.current(), count)
    return Threads(count)


def current(runner: Runner) -> Runner:
    """Who sweeps, if a sweep starts now."""
    return active_runner(runner.threads) if isinstance(runner, Active) else runner
