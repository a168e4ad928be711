"""From a matrix and targets to samples for training: one read finds means, NaN and the samples that are held out."""

from __future__ import annotations

import math
import uuid
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from rnla.algorithms.network import Network, seen_by
from rnla.algorithms.regime import Regime
from rnla.algorithms.targets import standard, strips, targets_of
from rnla.algorithms.training import HeldOut
from rnla.arrays import Array, DType, within
from rnla.errors import RequestError
from rnla.kernels.layers import blank_loss, layers
from rnla.streams import TILE_ROWS, uniform_rows
from rnla.sweeps.copies import Copy, Copying, chunk_rows, copy, parts, worth_copying
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.minibatches import Samples
from rnla.sweeps.orders import Order
from rnla.sweeps.picking import Rows
from rnla.sweeps.products import Product, SumOfSquares
from rnla.sweeps.settling import settled_with
from rnla.sweeps.source import Source, Workspace, holds_sparse, touched_bytes
from rnla.sweeps.spans import Tally
from rnla.sweeps.sparse import refuse_gaps
from rnla.sweeps.tasks import mapped

MOST_HELD_BYTES = 64 << 20  # of samples held out, in memory
COLUMN_BYTES = 4  # of the column of a stored element
LENGTH = 8.0  # mean length of a standardised sample, at most: a learning rate of 0.1 then fits
FARTHEST = 10.0  # deviations from the mean that a standardised sample keeps, as in single-cell work (Wolf et al. 2018)
STRIP_ROWS = 64 * TILE_ROWS  # for which numbers are drawn at once


class Units(NamedTuple):
    """Of targets that were centred and scaled for descent."""

    centre: Array  # (c,)
    scale: Array  # (c,)

    def of(self, network: Network) -> Network:
        """A network whose outputs are in units of the targets, in float64: its last layer is scaled and moved."""
        parameters = network.parameters.astype(np.float64)
        last = layers(parameters, network.widths)[-1]
        last.W[...] *= self.scale
        last.b[...] = last.b * self.scale + self.centre
        return Network(network.widths, dtype="float64", seed=network.seed, parameters=parameters)


@dataclass(frozen=True, eq=False)
class Prepared:
    """Samples, and those of them that are held out."""

    samples: Samples
    held_out: HeldOut | None
    units: Units | None  # of targets that were standardised


class Rooms(NamedTuple):
    """Where samples and targets may be copied to; None: they may not."""

    X: Workspace | None = None
    y: Workspace | None = None


def held_count(m: int, n: int, itemsize: int, share: Any) -> int:
    """How many rows are held out: a share of all, or so many; at most 64 MB."""
    if m == 0:
        msg = "the matrix has no rows: there is nothing to train on"
        raise RequestError(msg)
    whole = isinstance(share, int | np.integer) and not isinstance(share, bool)
    if not whole and not (isinstance(share, float) and 0.0 <= share < 1.0):
        msg = f"validation={share!r} must be a share of the samples, 0 <= share < 1, or a number of them"
        raise RequestError(msg)
    if whole and not 0 <= share < m:
        msg = f"validation={share} must be at least 0 and less than the {m:,} samples there are"
        raise RequestError(msg)
    most = max(1, MOST_HELD_BYTES // max(1, n * itemsize))
    if whole and share > most:
        msg = f"validation={share}: at most {most:,} samples of {n:,} columns are held out, 64 MB in memory"
        raise RequestError(msg)
    wanted = int(share) if whole else min(round(share * m), most)
    if wanted == 0 and share:
        msg = f"validation={share!r} of {m:,} samples holds none out: give more, or 0 for none"
        raise RequestError(msg)
    return wanted


def held_rows(m: int, n: int, itemsize: int, share: Any, seed: int) -> Array:
    """Indices of the rows held out, sorted: `held_count` of them, by addressed randomness."""
    wanted = held_count(m, n, itemsize, share)
    if wanted == 0:
        return np.zeros(0, np.int64)
    # those with the smallest numbers: read tile by tile, keeping so many
    best, at = np.zeros(0), np.zeros(0, np.int64)
    for start in range(0, m, STRIP_ROWS):
        rows = slice(start, min(start + STRIP_ROWS, m))
        drawn = np.concatenate([best, uniform_rows(seed, "held out", rows)])
        where = np.concatenate([at, np.arange(rows.start, rows.stop)])
        kept = np.argpartition(drawn, min(wanted, len(drawn)) - 1)[:wanted]
        best, at = drawn[kept], where[kept]
    return np.sort(at)


def prepared(
    A: Matrix,
    y: Matrix,
    network: Network,
    regime: Regime,
    held: Array,
    rooms: Rooms,
    limit: float | None = None,
    *,
    scaled: bool = False,
) -> Prepared:
    """Samples in the precision of the network, those of rows `held` held out; one read of A and one of y.

    Targets are standardised if they are to be `scaled`, which is a read of y more. Means and deviations are those of
    the rows that are not held out; samples are cut off at -limit and limit. Where they have room and
    chunks that do not fit the blocks of the order, those reads copy them.
    """
    loss, (m, n), outputs = regime.loss, A.shape, network.widths[-1]
    if A.transform.weights is not None or A.transform.row_centre is not None or A.own_means:
        msg = "samples of a view whose rows are weighted or centred: take X itself, its columns centred and scaled"
        raise RequestError(msg)
    if holds_sparse(A.source):
        refuse_gaps(A.transform)
    refuse_widths(network, n, y, m, loss)
    y, *moments = standard(y, held) if scaled else (y,)
    order = Order(m, row_bytes(A), regime.seed, regime.sampling, held, regime.lanes)
    targets = laid_out(targets_of(y), "targets", A, order, regime.epochs, rooms.y)
    known, blank = checked_targets(targets, loss, outputs, network.dtype, held)
    A.meter.read(touched_bytes(targets, slice(0, m)))
    source = laid_out(A.source, "samples", A, order, regime.epochs, rooms.X)
    view = seen_by(network.dtype, replace(A, source=source, cut_as=A.cut_as or A.source.chunks))
    wanted: tuple[Product, ...] = (Rows(held),) if held.size else (SumOfSquares(),)
    settled, (lines, *_) = settled_with(view, *wanted, without=held if held.size else None)
    if A.transform.missing != "error":  # treated in every batch, counted in this read
        A.meter.tallies.append(Tally(missing=A.meter.tallies[-1].nonfinite))
    units = Units(*moments) if scaled else None
    signs = loss == "hinge" and outputs == 1
    classes = None if loss == "square" else (-1, 1) if signs else (0, outputs - 1)
    samples = Samples(
        source,
        settled.transform,
        network.dtype,
        targets,
        classes,
        blank,
        order,
        view.dtype,
        regime.epochs,
        f"rnla-{uuid.uuid4().hex[:12]}",
        limit,
    )
    if not held.size:
        return Prepared(samples, None, units)
    return Prepared(samples, HeldOut(samples.view(lines), samples.targets(known)), units)


def laid_out(source: Source, name: str, A: Matrix, order: Order, epochs: int, room: Workspace | None) -> Source:
    """The source, or a copy of it in chunks that fit the order, where that saves reads; `room` None: never."""
    if room is None or not worth_copying(source, A.source, order, epochs):
        return source
    step = chunk_rows(source, order)
    into = room.tall(name, source.shape, source.dtype, step)
    for copied in mapped(A.swept_by, copy, Copying(source, into, step), parts(source, step)):
        A.meter.read(copied.bytes_read, copied.peak_bytes)
    return Copy(into.source, source)


def refuse_widths(network: Network, n: int, y: Matrix, m: int, loss: str) -> None:
    """RequestError when network and data do not fit together."""
    first, last = network.widths[0], network.widths[-1]
    if y.shape[0] != m:
        msg = f"X has {m:,} rows and y {y.shape[0]:,}: give one target for each sample"
        raise RequestError(msg)
    if first != n:
        msg = f"the network takes {first} inputs and X has {n} columns: make it Network(({n}, ...))"
        raise RequestError(msg)
    columns = last if loss == "square" else 1
    if y.shape[1] != columns:
        what = f"{columns} numbers" if loss == "square" else "one label"
        msg = f"y has {y.shape[1]} columns, and loss={loss!r} with {last} outputs takes {what} for each sample"
        raise RequestError(msg)
    if loss == "cross-entropy" and last < 2:
        msg = "loss='cross-entropy' needs an output for each label, at least 2; with one output take loss='hinge'"
        raise RequestError(msg)


def checked_targets(source: Source, loss: str, outputs: int, dtype: DType, held: Array) -> tuple[Array, float]:
    """Those of rows `held`, (v, c), and the mean loss where all outputs are zero; one read.

    An error names the first target that the loss cannot take.
    """
    kept, total = [np.zeros((0, source.shape[1]), source.dtype)], 0.0
    for rows, found in strips(source):
        if loss == "square":
            refuse_far(found, rows, dtype)
        else:
            refuse_labels(found[:, 0], rows, loss, outputs)
        kept.append(found[within(held, rows)])
        total += blank_loss(loss, found, outputs)
    return np.concatenate(kept), total / source.shape[0]


def refuse_labels(found: Array, rows: slice, loss: str, outputs: int) -> None:
    """RequestError for the first label that the loss cannot take."""
    if loss == "hinge" and outputs == 1:
        known, allowed = np.isin(found, (-1, 1)), "-1 or 1"
        cure = "for classes from 0 give it an output for each"
    else:
        known = (found >= 0) & (found < outputs) & (found == np.floor(found))
        allowed = f"whole numbers 0..{outputs - 1}"
        other = "; for -1 and 1 take one output" if loss == "hinge" else ", or give it more outputs"
        cure = f"number the classes from 0{other}"
    if not known.all():
        at = int(np.flatnonzero(~known)[0])
        if found[at] != np.floor(found[at]):
            cure = "these are numbers and no classes: take loss='square', with an output for each number"
        msg = (
            f"label {rows.start + at} is {found[at]}, and loss={loss!r} of a network with {outputs} "
            f"output{'s' * (outputs > 1)} takes {allowed}; {cure}"
        )
        raise RequestError(msg)


def refuse_far(found: Array, rows: slice, dtype: DType) -> None:
    """RequestError for numbers whose squares are none in the precision of the network."""
    most = math.sqrt(float(np.finfo(dtype).max)) / 1e3
    far = np.abs(found.astype(np.float64)).max(axis=1) > most
    if far.any():
        at = int(np.flatnonzero(far)[0])
        msg = (
            f"target {rows.start + at} is {found[at].tolist()}, and squares of numbers beyond {most:.1g} leave the "
            f"range of {dtype}: scale the targets (rnla.nn.Regressor does)"
            f"{', or take a network in float64' * (dtype != np.float64)}"
        )
        raise RequestError(msg)


def row_bytes(A: Matrix) -> int:
    """Bytes of a row, by which blocks are cut: of a sparse matrix what elements and their columns take on average."""
    m, n = A.shape
    cut = getattr(A.source, "cut", None)
    itemsize = int(A.source.dtype.itemsize)
    return itemsize * n if cut is None else max(1, int(cut.nonzeros) * (itemsize + COLUMN_BYTES) // max(1, m))


def stored_bytes(A: Matrix) -> int:
    """Bytes of one read; of picked columns, those of the chunks that hold them."""
    return touched_bytes(A.source, slice(0, A.shape[0]))


def standardised(A: Matrix) -> Matrix:
    """Columns centred and scaled, so that samples have a mean length of 8 at most, whatever the number of columns."""
    n = A.shape[1]
    return A.centred().scaled().weighted(columns=np.full(n, unit_deviation(n)))


def unit_deviation(n: int) -> float:
    """What a deviation becomes in standardised samples of n columns."""
    return min(1.0, LENGTH / math.sqrt(n))


def limit_of(n: int) -> float:
    """Where standardised samples of n columns are cut off: what varies in a few samples alone is no longer far out."""
    return FARTHEST * unit_deviation(n)
