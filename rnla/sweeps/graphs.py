"""Dask graphs of a sweep: one task per span, a join tree of fan-in 8, one task that holds the operands.

Built with dask.delayed, the only public graph interface that works alike on threads and on a cluster. A Dask array's
own chunks enter as dependencies of the span that needs them.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from typing import Any, cast

import dask
import dask.array
from dask.base import annotate
from dask.callbacks import Callback
from dask.delayed import Delayed, delayed

from rnla.arrays import Array
from rnla.errors import ClusterError, RnlaError
from rnla.kernels.blas import single_blas_thread
from rnla.kernels.sparse import densified
from rnla.sweeps.dasked import Dasked, Woven, without_graph
from rnla.sweeps.geometry import PANEL_BYTES, join_tree
from rnla.sweeps.nonzeros import SparseGeometry
from rnla.sweeps.retries import transient
from rnla.sweeps.runners import Progress, increments
from rnla.sweeps.spans import Partials, Report, Work, join_partials, span_partials


def span_task(work: Work, span: slice, topic: str, block: Any = None) -> Partials:
    """`span_partials` on a worker, with one BLAS thread and progress sent as events."""
    if block is not None:
        work = replace(work, source=Woven(span, block))  # type: ignore[arg-type]
    with single_blas_thread():
        return span_partials(work, span, report=worker_report(topic))


def join_task(work: Work, parts: Sequence[Partials]) -> Partials:
    """`join_partials` on a worker."""
    with single_blas_thread():
        return join_partials(work, *parts)


def worker_report(topic: str) -> Report | None:
    """Sends the bytes read since the last call to whoever listens to the topic."""
    if not topic:
        return None
    from distributed import get_worker

    worker = get_worker()
    return increments(lambda count: worker.log_event(topic, {"bytes": count}))


def sweep_graph(work: Work, topic: str = "") -> Delayed:
    """The whole sweep as one lazy value."""
    name = uuid.uuid4().hex[:12]
    spans = work.geometry.spans()
    blocks = work.source.blocks(work.geometry) if isinstance(work.source, Dasked) else [None] * len(spans)
    operands = delayed(without_graph(work), name=f"rnla-work-{name}", traverse=False)
    task = delayed(span_task, pure=False)
    join = delayed(join_task, pure=False)
    nodes = [
        task(operands, span, topic, block, dask_key_name=f"rnla-span-{name}-{index}")
        for index, (span, block) in enumerate(zip(spans, blocks, strict=True))
    ]
    for depth, level in enumerate(join_tree(len(nodes))):
        nodes = [
            join(operands, nodes[group], dask_key_name=f"rnla-join-{name}-{depth}-{index}")
            for index, group in enumerate(level)
        ]
    root: Delayed = nodes[0]
    return root


def run_on_cluster(client: Any, work: Work, progress: Progress) -> Partials:
    """Run the graph on a cluster; lost workers cost time only."""
    topic = f"rnla-{uuid.uuid4().hex[:12]}"
    client.subscribe_topic(topic, lambda event: progress(event[1]["bytes"]))
    future = client.compute(sweep_graph(work, topic), optimize_graph=False)
    try:
        (result,) = _gathered(client, [future])
    except (RnlaError, CancelledError):
        raise
    except Exception as error:
        _blame_block(work, error, lambda block: client.compute(block).result())
        raise
    finally:
        if client.status == "running":  # one that was closed meanwhile refuses
            client.unsubscribe_topic(topic)
    return cast("Partials", result)


def tasks_on_cluster(client: Any, function: Callable[[Any, Any], Any], common: Any, things: Sequence[Any]) -> list[Any]:
    """`function(common, thing)` for each thing, a task each.

    Each task carries what they share: a task that depends on it would be sent where it lies, all to one worker. The
    k-th thing goes to the same worker each time, which may have kept data for it, as long as workers stay.
    """
    name = uuid.uuid4().hex[:12]
    task, nodes = delayed(_alone, pure=False), []
    workers = sorted(client.scheduler_info(n_workers=-1)["workers"])
    for number, thing in enumerate(things):
        wish = {"workers": workers[number % len(workers)], "allow_other_workers": True} if workers else {}
        with annotate(**wish):
            nodes.append(task(function, Whole(common), thing, dask_key_name=f"rnla-task-{name}-{number}"))
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GB"}):  # it holds parameters, not data
        futures = client.compute(nodes, optimize_graph=False)
    return _gathered(client, futures)


@dataclass(frozen=True, eq=False)
class Whole:
    """A value that Dask does not look into."""

    value: Any


def _alone(function: Callable[[Any, Any], Any], common: Whole, thing: Any) -> Any:
    """A call with one BLAS thread."""
    with single_blas_thread():
        return function(common.value, thing)


def _gathered(client: Any, futures: list[Any]) -> list[Any]:
    """The values of futures; plain errors when the cluster is at fault."""
    from distributed import KilledWorker

    try:
        found: list[Any] = client.gather(futures)
    except KilledWorker as error:
        msg = (
            f"the cluster gave up: {error}. A worker that dies this often usually exceeds its memory limit; "
            "compare `rnla plan` with the workers' memory, or start workers with more memory or fewer threads"
        )
        raise ClusterError(msg) from error
    except CancelledError as error:
        msg = (
            f"the cluster no longer holds the work: {error}. The client was closed, or the scheduler is gone: connect "
            "to a cluster and run the same again; finished sweeps of a job with out= are kept"
        )
        raise ClusterError(msg) from error
    except BaseException:
        client.cancel(futures)
        raise
    return found


@dataclass(frozen=True)
class LazyThreads:
    """The threads of this process, for a Dask array: Dask's own threaded scheduler runs its chunks and the spans."""

    threads: int

    def run(self, work: Work, progress: Progress) -> Partials:
        """The joined partials of all spans."""
        span_bytes = work.geometry.bytes // max(1, len(work.geometry.spans()))

        def after(key: Any, *_: object) -> None:
            if str(key).startswith("rnla-span"):
                progress(span_bytes)

        try:
            with Callback(posttask=after), single_blas_thread():
                result: Partials = sweep_graph(work).compute(
                    scheduler="threads", num_workers=self.threads, optimize_graph=False
                )
        except Exception as error:
            _blame_block(work, error, lambda block: block.compute(scheduler="sync"))
            raise
        return result


def _blame_block(work: Work, error: Exception, compute: Callable[[Delayed], Any]) -> None:
    """Raises the error of the Dask block at fault, unless this one is ours or will pass."""
    theirs = not isinstance(error, RnlaError | CancelledError) and not transient(error)
    if isinstance(work.source, Dasked) and theirs:
        raise work.source.failure(error, compute) from error


def view_block(work: Work, rows: slice, columns: slice) -> Array:
    """Rows and columns of the view as one array."""
    raw = densified(work.source.read(rows, columns))
    return work.transform.columns_at(columns).dense(raw, rows, work.dtype)[0]


def _dense_panels(work: Work) -> list[slice]:
    """The panels, those of a sparse matrix cut to rows that may be made dense."""
    step = max(1, PANEL_BYTES // max(1, work.geometry.columns * work.dtype.itemsize))
    panels = work.geometry.panels(slice(0, work.geometry.rows))
    if not isinstance(work.geometry, SparseGeometry):
        return panels
    return [
        slice(first, min(first + step, panel.stop))
        for panel in panels
        for first in range(panel.start, panel.stop, step)
    ]


def lazy_view(work: Work) -> Any:
    """The view as a dask.array.Array, one chunk for each panel (for each part of a panel that is read in parts)."""
    if isinstance(work.source, Dasked) and work.transform.trivial:
        return work.source.array
    operands = delayed(work, traverse=False)
    panels = _dense_panels(work)
    pieces = [
        [
            dask.array.from_delayed(
                delayed(view_block)(operands, rows, columns),
                shape=(rows.stop - rows.start, columns.stop - columns.start),
                dtype=work.dtype,
            )
            for columns in work.geometry.parts()
        ]
        for rows in panels
    ]
    return dask.array.block(pieces)
