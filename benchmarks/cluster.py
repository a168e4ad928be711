"""A matrix many times the memory of a cluster that may not spill: `python -m benchmarks.cluster`.

A LocalCluster of two worker processes with 512 MB each; Dask's nanny ends a worker that exceeds 95 % of that. What each
held at most is asked of the workers themselves (VmHWM) at the end; a restarted worker shows as a new process.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import dask
import numpy as np
from distributed import Client, LocalCluster

import rnla
from benchmarks.machine import machine_line, peak_bytes, settle
from benchmarks.matrices import recipe, written
from benchmarks.tables import megabytes, parsed_bytes, record, table

NO_SPILLING = {
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.target": False,
}


@dataclass(frozen=True)
class Finished:
    """How the job ended."""

    seconds: float
    passes: float
    error: float
    plan_bytes: int
    peaks: dict[str, int]  # of each worker, in bytes
    restarted: int
    client_bytes: int


def held() -> tuple[int, int]:
    """Process and peak of the worker that runs this."""
    return os.getpid(), peak_bytes()


def factored(store: Path, known: Any, options: argparse.Namespace) -> Finished:
    """One SVD on the cluster."""
    k = options.k
    with (
        dask.config.set(NO_SPILLING),
        LocalCluster(
            n_workers=options.workers,
            threads_per_worker=options.threads,
            memory_limit=parsed_bytes(options.memory),
            dashboard_address="127.0.0.1:0",
        ) as cluster,
        Client(cluster) as client,
    ):
        before = {number for number, _ in client.run(held).values()}
        plan = rnla.plan("svd", str(store), k=k, passes=options.passes)
        started = perf_counter()
        found = rnla.svd(str(store), k, passes=options.passes)
        seconds = perf_counter() - started
        after = client.run(held)
    return Finished(
        seconds,
        found.cost.passes,
        float(np.max(np.abs(found.s - known) / known)),
        plan.peak_bytes,
        {f"worker {i + 1}": peak for i, (_, peak) in enumerate(after.values())},
        len({number for number, _ in after.values()} - before),
        peak_bytes(),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.add_argument("--size", default="20.5GB")
    parser.add_argument("--columns", type=int, default=2000)
    parser.add_argument("--k", type=int, default=50)
    parser.add_argument("--passes", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help="of each worker")
    parser.add_argument("--memory", default="512MB", help="of each worker")
    parser.add_argument("--folder", help="where the store is made (default: a temporary folder)")
    parser.add_argument("--record", action="store_true", help="put the table into README.md")
    options = parser.parse_args(arguments)
    if options.folder:
        Path(options.folder).mkdir(parents=True, exist_ok=True)
    made = recipe(parsed_bytes(options.size), options.columns, "1/i")
    limit = parsed_bytes(options.memory)
    with TemporaryDirectory(dir=options.folder) as temporary, dask.config.set({"temporary-directory": temporary}):
        tempfile.tempdir = temporary  # where rnla puts the tall factors
        store = written(made, Path(temporary, "benchmark.zarr"), options.workers)
        settle(cold=False)
        found = factored(store, made.known(options.k), options)
    rows = [
        (name, megabytes(peak), megabytes(found.plan_bytes), megabytes(limit), f"{peak / limit:.0%} of the limit")
        for name, peak in found.peaks.items()
    ]
    rows.append(("client", megabytes(found.client_bytes), "-", "-", "made the store, too"))
    times = made.bytes / limit / options.workers
    text = (
        f"{machine_line('distributed')}.\n\n{made.bytes / 1e9:.2f} GB, {times:.1f} times "
        f"the memory of {options.workers} workers, spilling off; k = {options.k}: finished in {found.seconds:.1f} s, "
        f"{found.passes:.2f} reads, error of sigma {found.error:.1e}, {found.restarted} workers restarted.\n\n"
        f"{table(('process', 'peak MB', 'plan MB', 'limit MB', ''), rows)}"
    )
    print(text)
    if options.record:
        record("cluster", text)


if __name__ == "__main__":
    main()
