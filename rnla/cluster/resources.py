"""What there is to work with: threads and memory of this process or of a cluster's workers, and what they hold."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import psutil

from rnla.arrays import spelt_bytes
from rnla.checks import integer
from rnla.errors import ClusterError, DoesNotFitError
from rnla.machine import group_memory
from rnla.sweeps.runners import Cluster, Runner

WORKER_BASE_BYTES = 180_000_000  # a Dask worker that has imported all that jobs need: 138 MB measured, and a margin
DASK_BYTES = 60_000_000  # dask.array, imported when the first graph or result is made


@dataclass(frozen=True)
class Resources:
    """One worker process."""

    threads: int
    base_bytes: int  # what it holds before the job
    limit_bytes: int  # what it may hold
    workers: int = 1
    hosts: frozenset[str] = frozenset()


def resources(runner: Runner, memory_bytes: int | None = None) -> Resources:
    """What `runner` has; `memory_bytes` sets the limit instead."""
    if memory_bytes is not None:
        integer(memory_bytes, "memory_bytes", least=1)
    if isinstance(runner, Cluster):
        return _of_cluster(runner, memory_bytes)
    base = psutil.Process().memory_info().rss
    if "dask.array" not in sys.modules:
        base += DASK_BYTES
    limit = memory_bytes or base + int(0.8 * available_bytes())
    return Resources(runner.threads, base, limit)


def _of_cluster(runner: Cluster, memory_bytes: int | None) -> Resources:
    workers = runner.connected.scheduler_info(n_workers=-1)["workers"]
    if not workers:
        msg = "the cluster has no workers: start some, or close the client to run on this machine's threads"
        raise ClusterError(msg)
    limits = [int(w["memory_limit"]) for w in workers.values() if w["memory_limit"]]
    held = [int(w["metrics"].get("memory", 0)) for w in workers.values()]
    limit = memory_bytes or min(limits, default=available_bytes())
    threads = max(int(w["nthreads"]) for w in workers.values())
    hosts = frozenset(str(w.get("host", "")) for w in workers.values())
    return Resources(threads, max(WORKER_BASE_BYTES, *held), limit, len(workers), hosts)


def available_bytes() -> int:
    """Memory that this process could still take: the machine's, or its control group's if that is less."""
    available = int(psutil.virtual_memory().available)
    return max(0, min([available, *(limit - used for limit, used in group_memory())]))


def refuse_if_too_large(peak_bytes: int, found: Resources, cure: str) -> None:
    """DoesNotFitError when the plan's peak exceeds a worker's limit."""
    if peak_bytes > found.limit_bytes:
        threads = "1 thread" if found.threads == 1 else f"{found.threads} threads"
        msg = (
            f"the plan needs {spelt_bytes(peak_bytes)} in each worker process ({threads}), but only "
            f"{spelt_bytes(found.limit_bytes)} is allowed. {cure}"
        )
        raise DoesNotFitError(msg)
