"""Targets: what belongs to the rows of a matrix, looked at strip by strip, and as a loss takes them.

Labels become numbers from zero, numbers are centred and scaled; all are read as they are needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from rnla.arrays import Array, DType, within
from rnla.errors import NonFiniteError, RequestError, UnsupportedError
from rnla.kernels.sparse import densified
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.retries import retried
from rnla.sweeps.source import Source, touched_bytes

STRIP_ENTRIES = 1 << 22  # read at once
MOST_CLASSES = 10_000
SHOWN = 10  # classes named in a message


def targets_of(y: Matrix) -> Source:
    """Where targets are read; they are taken as they are stored, so that a view of them is refused."""
    if not y.transform.trivial or y.centring or y.scaling:
        msg = (
            "targets are taken as they are stored, and this is a view of them (centred, scaled, weighted): "
            "write it as an array; rnla.nn.Regressor centres and scales targets by itself"
        )
        raise RequestError(msg)
    if y.source.dtype.kind == "c":
        msg = "targets are complex numbers: give real and imaginary parts as two columns of real ones"
        raise UnsupportedError(msg)
    return y.source


def cuts(source: Source) -> list[slice]:
    """Ranges of rows in which targets are looked at."""
    m, width = source.shape
    step = max(1, STRIP_ENTRIES // max(1, width))
    return [slice(start, min(start + step, m)) for start in range(0, m, step)]


def look_bytes(source: Source) -> int:
    """Bytes that one look at all targets decodes."""
    return sum(touched_bytes(source, rows) for rows in cuts(source))


def strips(source: Source) -> Iterator[tuple[slice, Array]]:
    """Ranges of rows of targets, and what they hold; NonFiniteError where that is NaN or infinite."""
    for rows in cuts(source):
        found = Patient(source).read(rows, slice(0, source.shape[1]))
        if found.dtype.kind == "f" and not np.isfinite(found).all():
            i, j = (int(at[0]) for at in np.nonzero(~np.isfinite(found)))
            at = rows.start + i
            msg = f"target {at} is {found[i].tolist()}: {source.place(at, j)}; clean the targets"
            raise NonFiniteError(msg)
        yield rows, found


@dataclass
class Moments:
    """Means and squares of columns, joined strip by strip (Chan, Golub and LeVeque 1983), and their ranges."""

    count: int
    mean: Array  # (c,)
    squares: Array  # (c,) summed, of what is left of the mean
    least: Array
    largest: Array

    @classmethod
    def of(cls, columns: int) -> Moments:
        """Of no rows yet."""
        far = np.full(columns, np.inf)
        return cls(0, np.zeros(columns), np.zeros(columns), far, -far)

    @property
    def deviation(self) -> Array:
        """The standard deviation of each column: (c,)."""
        return np.asarray(np.sqrt(self.squares / max(self.count, 1)))

    def scale(self, by: Array) -> None:
        """The moments of columns times positive numbers: (c,)."""
        self.mean, self.squares = self.mean * by, self.squares * by**2
        self.least, self.largest = self.least * by, self.largest * by

    def take(self, rows: Array) -> None:
        """Some rows more: (p, c) float64."""
        own, more = rows.mean(axis=0), self.count + len(rows)
        shift = own - self.mean
        self.squares += ((rows - own) ** 2).sum(axis=0) + shift**2 * self.count * len(rows) / more
        self.mean, self.count = self.mean + shift * len(rows) / more, more
        np.minimum(self.least, rows.min(axis=0), out=self.least)
        np.maximum(self.largest, rows.max(axis=0), out=self.largest)


def moments_of(source: Source, without: Array | None = None) -> tuple[Array, Array]:
    """Mean and standard deviation (1 where it vanishes) of each column, but for some rows; (c,), (c,), one read.

    Numbers are multiplied by a power of two that follows the largest so far: squares of no size leave the range, and
    moments in one unit are those in another but for the power.
    """
    found, largest = Moments.of(source.shape[1]), np.zeros(source.shape[1])
    unit = unit_of(largest)
    for at, block in strips(source):
        rows = (block if without is None else np.delete(block, within(without, at), axis=0)).astype(np.float64)
        if not len(rows):
            continue
        larger = np.maximum(largest, np.abs(rows).max(axis=0))
        found.scale(np.where(largest > 0, unit_of(larger) / unit, 1.0))
        largest, unit = larger, unit_of(larger)
        found.take(rows * unit)
    rounding = found.count * np.finfo(np.float64).eps * np.abs(found.mean)  # of the mean, as in a sweep
    same = found.least == found.largest  # whose mean is rounded by more than a target of a usual size
    constant = same | (found.deviation <= rounding)
    return np.where(same, found.least, found.mean) / unit, np.where(constant, 1.0, found.deviation / unit)


def size_of(source: Source) -> tuple[float, float]:
    """u, a power of two by which the largest number comes near 1, and |u y|^2 of a column y; one read."""
    seen = []
    for _, block in strips(source):
        rows = block.astype(np.float64)
        unit = float(unit_of(np.abs(rows).max(initial=0.0)))
        seen.append((unit, float(np.sum((rows * unit) ** 2))))
    least = min((unit for unit, squares in seen if squares), default=1.0)
    return least, math.fsum(squares * (least / unit) ** 2 for unit, squares in seen if squares)


def largest_of(source: Source) -> Array:
    """Largest absolute value of each column: (c,), one read."""
    found = np.zeros(source.shape[1])
    for _, block in strips(source):
        np.maximum(found, np.abs(block.astype(np.float64)).max(axis=0, initial=0.0), out=found)
    return found


def unit_of(largest: Array) -> Array:
    """Powers of two by which numbers come near 1."""
    return np.exp2(-np.frexp(largest)[1].clip(-1000, 1000).astype(np.float64))


def standard(y: Matrix, without: Array | None = None) -> tuple[Matrix, Array, Array]:
    """Targets centred and scaled by means and deviations of all rows but some, and those; one read, metered."""
    source = targets_of(y)
    centre, scale = moments_of(source, without)
    y.meter.read(look_bytes(source))
    return Matrix(Scaled(source, centre, scale), runner=y.runner, meter=y.meter), centre, scale


def coded(y: Matrix, classes: Array) -> Matrix:
    """Labels as their places among the classes."""
    return Matrix(Coded(targets_of(y), classes), runner=y.runner, meter=y.meter)


def named(classes: Array, most: int) -> str:
    """The first classes, in words."""
    return ", ".join(map(str, classes[:most].tolist())) + (", ..." if classes.size > most else "")


def classes_of(source: Source) -> Array:
    """The different labels of a column, sorted."""
    found = np.zeros(0, source.dtype)
    for rows, block in strips(source):
        if block.dtype.kind == "f" and (odd := block[:, 0] != np.floor(block[:, 0])).any():
            at = int(np.flatnonzero(odd)[0])
            msg = f"label {rows.start + at} is {block[at, 0]}: labels are whole numbers; for others take Regressor"
            raise RequestError(msg)
        found = np.union1d(found, np.unique(block[:, 0]))
        if found.size > MOST_CLASSES:
            msg = f"y has more than {MOST_CLASSES:,} different values: these are no classes; take rnla.nn.Regressor"
            raise RequestError(msg)
    return found


@dataclass(frozen=True)
class Recoded:
    """A column whose entries are read as something else."""

    inner: Source

    @property
    def shape(self) -> tuple[int, int]:
        """(m, c)."""
        return self.inner.shape

    @property
    def chunks(self) -> tuple[int, int]:
        """As they lie in the store."""
        return self.inner.chunks

    @property
    def identity(self) -> dict[str, Any]:
        """That of the column."""
        return self.inner.identity

    @property
    def transposed(self) -> Source:
        """Not needed of targets."""
        raise NotImplementedError

    @property
    def transient_bytes(self) -> int:
        """That of the column."""
        return int(getattr(self.inner, "transient_bytes", 0))

    def read_bytes(self, rows: slice, columns: slice) -> int:
        """Those of the column."""
        return touched_bytes(self.inner, rows)

    def place(self, row: int, column: int) -> str:
        """Where an entry lies."""
        return self.inner.place(row, column)


@dataclass(frozen=True)
class Patient(Recoded):
    """A column whose reads are tried again when they fail for a moment."""

    @property
    def dtype(self) -> DType:
        """As it is stored."""
        return self.inner.dtype

    def read(self, rows: slice, columns: slice, scratch: Array | None = None) -> Array:
        """Entries."""
        where = partial(self.inner.place, rows.start, 0)
        return densified(retried(partial(self.inner.read, rows, columns), where))


@dataclass(frozen=True)
class Coded(Recoded):
    """Labels as their places among the classes."""

    classes: Array

    @property
    def dtype(self) -> DType:
        """Whole numbers."""
        return np.dtype(np.int64)

    def read(self, rows: slice, columns: slice, scratch: Array | None = None) -> Array:
        """Codes of labels; RequestError for one that is no class."""
        found = densified(self.inner.read(rows, columns))
        codes = np.minimum(np.searchsorted(self.classes, found), self.classes.size - 1)
        if (odd := self.classes[codes] != found).any():
            at = int(np.flatnonzero(odd[:, 0])[0])
            msg = f"label {rows.start + at} is {found[at, 0]}, and the classes are {named(self.classes, SHOWN)}"
            raise RequestError(msg)
        return np.asarray(codes)


@dataclass(frozen=True)
class Scaled(Recoded):
    """Targets less their mean, over their deviation."""

    centre: Array
    scale: Array

    @property
    def dtype(self) -> DType:
        """Numbers."""
        return np.dtype(np.float64)

    def read(self, rows: slice, columns: slice, scratch: Array | None = None) -> Array:
        """Scaled targets."""
        return np.asarray((densified(self.inner.read(rows, columns)) - self.centre[columns]) / self.scale[columns])
