"""One function on several things at once: by the threads of this process, or as tasks of a Dask cluster.

The things are pure data and the function is pure, so that a task that is lost with its worker is made again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from rnla.kernels.blas import single_blas_thread
from rnla.sweeps.runners import Cluster, Runner

C = TypeVar("C")
T = TypeVar("T")
R = TypeVar("R")


def mapped(runner: Runner, function: Callable[[C, T], R], common: C, things: Sequence[T]) -> list[R]:
    """`function(common, thing)` for each thing, in their order, with one BLAS thread each."""
    if isinstance(runner, Cluster):
        from rnla.sweeps.graphs import tasks_on_cluster

        return tasks_on_cluster(runner.connected, function, common, things)
    with single_blas_thread():
        if len(things) == 1 or runner.threads == 1:
            return [function(common, thing) for thing in things]
        with ThreadPoolExecutor(min(runner.threads, len(things)), thread_name_prefix="rnla") as pool:
            return list(pool.map(lambda thing: function(common, thing), things))


def ended(runner: Runner, function: Callable[[str], None], token: str) -> None:
    """`function(token)` in every process that may have worked."""
    if isinstance(runner, Cluster) and runner.client.status == "running":
        runner.client.run(function, token, on_error="ignore")
    function(token)
