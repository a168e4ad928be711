"""What training and prediction will cost: reads, flops, memory, rounds. Only metadata is looked at."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np

from rnla.algorithms.descent import METHODS, beside_bytes, looks_of
from rnla.algorithms.forecasts import MARGIN_BYTES, Machine, sweep_bytes
from rnla.algorithms.network import ROWS, Network, seen_by
from rnla.algorithms.planning import Plan
from rnla.algorithms.regime import FLOPS, SAMPLINGS, Regime, default_steps, step_seconds
from rnla.algorithms.samples import row_bytes, stored_bytes
from rnla.algorithms.targets import STRIP_ENTRIES, look_bytes
from rnla.algorithms.training import COLUMNS, EVALUATED_ROWS
from rnla.arrays import DType
from rnla.kernels.layers import parameter_count
from rnla.sweeps.copies import chunk_rows, epoch_bytes, parts, pieces, spans, worth_copying
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.minibatches import READERS
from rnla.sweeps.orders import Order
from rnla.sweeps.source import Source, holds_sparse, touched_bytes
from rnla.sweeps.spans import BLOCK_BYTES
from rnla.tables import counted

SCHEDULING = (0.03, 0.08)  # seconds of a task's round trip through Dask's scheduler
MUCH, MOSTLY = 0.5, 0.9  # shares of the time: worth a word, and nearly all
SQUARES = 5  # n x n matrices of a study: A^T A, its eigenvectors, and the room that LAPACK takes for them
CURVES = 4  # of each method: steps, errors, residuals, errors against the truth
DESCRIBED_BYTES = 1300  # of an array of a result: its metadata, and their copy in those of the group
SPECTRAL_FLOPS = 30.0  # of a step of all methods, for each eigenvector


class Given(NamedTuple):
    """What is read."""

    X: Matrix
    y: Matrix
    size: int  # bytes of a pass: of the store and its targets
    scaled: bool = False  # whether means and deviations of the targets are read too


def plan_training(
    given: Given, widths: tuple[int, ...], dtype: DType, regime: Regime, held: int, machine: Machine
) -> Plan:
    """Epochs of descent; the first sweep besides."""
    A, y, size, scaled = given
    m, n = A.shape
    order, samples = order_of(A, regime.lanes), m - held
    sources = A.source, y.source
    copied = [source for source in sources if worth_copying(source, A.source, order, regime.epochs)]
    of_epoch = sum(epoch_bytes(source, A.source, order) for source in sources if source not in copied)
    readers = min(machine.workers, regime.replicas) if order.shared or regime.gradients else 1
    epochs_read = readers * (1 if order.shared else regime.epochs)
    copies = sum(copy_bytes(source, order) for source in copied)
    swept = [(A, A.geometry.reads), (y, 1)]
    first = sum(reads * stored_bytes(each) for each, reads in swept if each.source not in copied)
    first += stored_bytes(y) * scaled
    bytes_read = first + copies + of_epoch * epochs_read
    steps = math.ceil(samples / (regime.replicas * regime.batch))  # of each replica, in an epoch
    rounds = math.ceil(steps / regime.local_steps)
    item, p = dtype.itemsize, parameter_count(widths)
    here = min(regime.replicas, machine.threads)  # replicas at work in one process
    buffers = 1 if order.shared else min(regime.held, order.buffers) * regime.lanes
    filled = buffers * (buffer_bytes(A, order) + 8 * order.buffer_rows * max(1, widths[-1]))
    blocks = sum(blocks_bytes(source, A.source, order) for source in sources if source not in copied)
    blocks += 4 * READERS * order.block_rows * (order.row_bytes if A.source in copied else 8)
    looks = max([strip_bytes(y.source), *(copying_bytes(source, order, machine.threads) for source in copied)])
    draws = buffers * (3 + bool(held)) * 8 * order.buffer_rows
    wide = np.result_type(A.dtype, dtype).itemsize  # in which samples are centred and scaled
    vectors = (3 + regime.rule.moments) * p * item
    layers = 3 * item * sum(widths[1:])  # of a sample: values, slopes, and which of them are zero
    rooms = regime.batch * (layers + n * (A.source.dtype.itemsize + 2 * wide + item))
    looked = min(EVALUATED_ROWS, held) * layers
    states = p * item * (4 + 2 * regime.rule.moments + 2 * regime.replicas) + 8 * p * (2 + 2 * bool(regime.averaging))
    kept = held * (n * (item + 2 * wide) + 16)
    training = filled + blocks + draws + here * (vectors + rooms) + looked + states + kept
    peak = (
        machine.base_bytes
        + MARGIN_BYTES
        + max(training, looks + kept, sweep_bytes(A, machine.threads, joined=4, rowwise=0, copies=3) + kept)
    )
    batches = f"batches of {regime.batch:,}"
    if regime.replicas > 1:
        batches += f" in each of {regime.replicas} replicas"
    return Plan(
        pipeline="train",
        method=f"{regime.rule.optimizer}, {batches}",
        why=pace(rounds, math.ceil(steps / rounds), samples, regime, widths),
        transposed=False,
        shape=A.shape,
        dtype=str(A.source.dtype),
        precision=str(dtype),
        width=regime.batch,
        sweeps=rounds * regime.epochs,
        passes=bytes_read / max(1, size),
        bytes_read=bytes_read,
        flops=FLOPS * p * samples * regime.epochs,
        tasks=rounds * regime.epochs * (regime.replicas + 1),
        tasks_per_sweep=regime.replicas + 1,
        spans=regime.replicas,
        panel_rows=order.block_rows,
        panel_bytes=order.block_rows * order.row_bytes,
        threads=machine.threads,
        base_bytes=machine.base_bytes,
        peak_bytes=int(peak),
        output_bytes=p * item + 8 * len(COLUMNS) * regime.epochs + 16 * n,
        scratch_bytes=sum(m * source.shape[1] * source.dtype.itemsize for source in copied),
        state_bytes=int(p * item * (2 + regime.rule.moments + bool(regime.outer_momentum)) + 8 * p * regime.averaging
                        + 8 * len(COLUMNS) * regime.epochs),
        notes=notes(order, regime, A.source in copied),
    )  # fmt: skip


def pace(rounds: int, steps: int, samples: int, regime: Regime, widths: tuple[int, ...]) -> str:
    """Rounds of an epoch and their steps, and the share of the time that a cluster's scheduler takes."""
    work = steps * step_seconds(widths, regime.batch)
    low, high = (cost / (cost + work) for cost in SCHEDULING)
    share = f"about {low:.0%}" if f"{low:.0%}" == f"{high:.0%}" else f"about {low:.0%} to {high:.0%}"
    ours = regime.local_steps >= default_steps(widths, samples, regime.batch, regime.replicas)
    cure = "" if low < MUCH else (
        ": the data is small, and one process without a cluster is faster" if ours else ": take more local steps"
    )  # fmt: skip
    averages = " and an average of the replicas" * (regime.replicas > 1)
    return (
        f"{counted(rounds, 'round')} an epoch, of {counted(steps, 'step')}, each with a checkpoint{averages}; "
        f"on a cluster {'nearly all' if low > MOSTLY else share} of the time goes into scheduling{cure}"
    )


def order_of(A: Matrix, lanes: int = 1) -> Order:
    """How large blocks and buffers are; which rows they hold does not matter here."""
    return Order(A.shape[0], row_bytes(A), 0, "permutation", np.zeros(0, np.int64), lanes)


def buffer_bytes(A: Matrix, order: Order) -> int:
    """Memory of a full buffer's rows; of a sparse matrix where rows hold most, but no more than all of it."""
    cut = getattr(A.source, "cut", None)
    if cut is None:
        return order.buffer_rows * order.row_bytes
    heights = [b - a for a, b in itertools.pairwise(cut.edges)]
    densest = int(cut.panel_bytes) // max(1, min(heights[:-1] or heights))
    return int(min(cut.bytes, order.buffer_rows * max(order.row_bytes, densest)) + 8 * order.buffer_rows)


def blocks_bytes(source: Source, X: Source, order: Order) -> int:
    """Memory of what is being read into a buffer: rows, and chunks as they are stored and decoded."""
    (rows, *_) = spans(X, order, [0])
    decoded = touched_bytes(source, rows)
    own = decoded if holds_sparse(source) else source.dtype.itemsize * source.shape[1] * (rows.stop - rows.start)
    return READERS * int(2 * own + int(getattr(source, "transient_bytes", 0)) + (decoded if decoded > own else 0))


def copying_bytes(source: Source, order: Order, threads: int) -> int:
    """Memory of a copy: a piece as it is stored, decoded and cut, for each thread."""
    step = chunk_rows(source, order)
    piece = max(part.stop - part.start for part in pieces(source, slice(0, source.shape[0])))
    rows = 2 * (piece + step) * source.shape[1] * source.dtype.itemsize
    return min(threads, len(parts(source, step))) * int(rows + int(getattr(source, "transient_bytes", 0)))


def strip_bytes(source: Source) -> int:
    """Memory of targets that are looked at."""
    return 4 * 8 * min(STRIP_ENTRIES, source.shape[0] * source.shape[1]) + int(getattr(source, "transient_bytes", 0))


def notes(order: Order, regime: Regime, copied: object) -> tuple[str, ...]:
    """What the plan cannot know, or what is worth knowing."""
    found = []
    if copied:
        found.append(
            f"the samples are copied once into chunks of {order.block_rows:,} rows, and epochs read the copy: the "
            "store's own chunks would be decoded for every block that holds some of their rows"
        )
    if order.shared:
        found.append(
            "the data fits into one buffer: each process reads it once for all epochs, and one read comes before"
        )
    else:
        whose = " in each replica's part of the data" if order.lanes > 1 else ""
        found.append(f"{counted(order.buffers, 'buffer')} of {order.buffer_rows:,} rows an epoch{whose}")
        if regime.gradients:
            found.append("with one step a round each worker of a cluster reads all buffers: take local_steps above 1")
    if regime.patience is not None:
        found.append("fewer epochs if patience ends it")
    return tuple(found)


def plan_prediction(A: Matrix, network: Network, machine: Machine) -> Plan:
    """F at each row: one read."""
    m, item, outputs = A.shape[0], network.dtype.itemsize, network.widths[-1]
    rows, seen = min(A.geometry.panel_rows, m), seen_by(network.dtype, A)
    if not holds_sparse(A.source) and len(A.geometry.parts()) == 1:
        rows = min(rows, 1 + BLOCK_BYTES // (A.shape[1] * seen.dtype.itemsize))
    peak = sweep_bytes(seen, machine.threads, joined=0, rowwise=outputs, copies=3)
    layers = 3 * rows * (network.widths[1] + outputs) + 3 * min(rows, ROWS) * sum(network.widths[1:])
    peak += machine.threads * layers * max(item, seen.dtype.itemsize) + 2 * network.parameters.size * item
    return Plan(
        pipeline="predict",
        method="one read",
        why="the network is evaluated panel by panel",
        transposed=False,
        shape=A.shape,
        dtype=str(A.source.dtype),
        precision=str(network.dtype),
        width=outputs,
        sweeps=1,
        passes=A.geometry.reads,
        bytes_read=A.geometry.reads * A.geometry.bytes,
        flops=2.0 * m * network.parameters.size,
        tasks=A.geometry.tasks(),
        tasks_per_sweep=A.geometry.tasks(),
        spans=len(A.geometry.spans()),
        panel_rows=A.geometry.panel_rows,
        panel_bytes=A.geometry.panel_bytes,
        threads=machine.threads,
        base_bytes=machine.base_bytes,
        peak_bytes=int(machine.base_bytes + MARGIN_BYTES + peak),
        output_bytes=A.geometry.filled(m) * outputs * item,
        scratch_bytes=0,
    )


def plan_study(given: Given, runs: int, epochs: int, steps: int, machine: Machine) -> Plan:
    """Whole gradients from one read of A^T A, and so many runs of stochastic descent by samples."""
    A, y, size, _ = given
    m, n = A.shape
    order = order_of(A)
    of_run = 1 if order.shared else epochs  # reads of the samples
    sweeps = A.geometry.reads * ((1 if A.settled else 2) + (1 if runs else 0))
    copied = worth_copying(y.source, A.source, order, epochs if runs else 1)
    bytes_read = sweeps * stored_bytes(A) + runs * of_run * epoch_bytes(A.source, A.source, order)
    bytes_read += copy_bytes(y.source, order) if copied else study_bytes(A, y.source, order, runs, of_run)
    buffers = min(2, order.buffers) * (buffer_bytes(A, order) + 16 * order.buffer_rows)
    blocks = blocks_bytes(A.source, A.source, order) + (0 if copied else blocks_bytes(y.source, A.source, order))
    sampling = buffers + blocks + 24 * order.buffer_rows if runs else 0
    sweep = sweep_bytes(A.astype(np.float64), machine.threads, joined=n, rowwise=0, copies=3) + SQUARES * 8 * n * n
    look = copying_bytes(y.source, order, machine.threads) if copied else 0
    curves = 8 * CURVES * len(METHODS) * looks_of(steps).size
    arrays = len(METHODS) * (CURVES + 1) + (len(SAMPLINGS) if runs else 0)
    return Plan(
        pipeline="descent-study",
        method="whole gradients and samples" if runs else "whole gradients",
        why="A^T A tells every iterate of methods that look at the whole gradient; samples are drawn from buffers",
        transposed=False,
        shape=A.shape,
        dtype=str(A.source.dtype),
        precision="float64",
        width=n,
        sweeps=sweeps + runs * of_run,
        passes=bytes_read / max(1, size),
        bytes_read=bytes_read,
        flops=1.0 * m * n * n + SPECTRAL_FLOPS * steps * n + FLOPS * m * n * epochs * runs,
        tasks=(1 if A.settled else 2) * A.geometry.tasks(),
        tasks_per_sweep=A.geometry.tasks(),
        spans=len(A.geometry.spans()),
        panel_rows=A.geometry.panel_rows,
        panel_bytes=A.geometry.panel_bytes,
        threads=machine.threads,
        base_bytes=machine.base_bytes,
        peak_bytes=int(machine.base_bytes + MARGIN_BYTES + max(sweep, sampling, strip_bytes(y.source), look) + curves),
        output_bytes=curves + 8 * len(METHODS) * n + 8 * runs * (epochs + 1) + DESCRIBED_BYTES * arrays,
        scratch_bytes=m * y.source.dtype.itemsize if copied else 0,
    )


def copy_bytes(source: Source, order: Order) -> int:
    """Bytes of a source that a copy of it decodes."""
    return sum(touched_bytes(source, part) for part in parts(source, chunk_rows(source, order)))


def study_bytes(A: Matrix, b: Source, order: Order, runs: int, of_run: int) -> int:
    """Bytes of b that a study decodes if it is not copied: a look and a sweep, for samples two looks and all runs."""
    looks = look_bytes(b) + beside_bytes(A, b)
    return looks + (
        look_bytes(b) + touched_bytes(b, slice(0, A.shape[0])) + runs * of_run * epoch_bytes(b, A.source, order)
        if runs
        else 0
    )
