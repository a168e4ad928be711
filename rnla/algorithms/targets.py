"""Targets as a loss takes them: labels as numbers from zero, numbers centred and scaled; read as they are needed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse

from rnla.arrays import Array, DType
from rnla.sweeps.retries import retried
from rnla.sweeps.source import Source

STRIP_ROWS = 1 << 20  # read at once


def moments_of(source: Source) -> tuple[Array, Array]:
    """Mean and standard deviation (1 where it vanishes) of each column, read strip by strip: (c,), (c,)."""
    count, mean, deviation = 0, np.zeros(source.shape[1]), np.zeros(source.shape[1])
    for start in range(0, source.shape[0], STRIP_ROWS):
        rows = slice(start, min(start + STRIP_ROWS, source.shape[0]))
        block = np.asarray(Patient(source).read(rows, slice(0, source.shape[1]))).astype(np.float64)
        more = count + len(block)
        shift = block.mean(axis=0) - mean
        deviation += ((block - block.mean(axis=0)) ** 2).sum(axis=0) + shift**2 * count * len(block) / more
        mean, count = mean + shift * len(block) / more, more
    spread = np.sqrt(deviation / max(count, 1))
    return mean, np.where(spread > 0, spread, 1.0)


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
        found = retried(partial(self.inner.read, rows, columns), partial(self.inner.place, rows.start, 0))
        return np.asarray(found.toarray() if scipy.sparse.issparse(found) else found)


@dataclass(frozen=True)
class Coded(Recoded):
    """Labels as their places among the classes."""

    classes: Array

    @property
    def dtype(self) -> DType:
        """Whole numbers."""
        return np.dtype(np.int64)

    def read(self, rows: slice, columns: slice, scratch: Array | None = None) -> Array:
        """Codes of labels."""
        return np.asarray(np.searchsorted(self.classes, self.inner.read(rows, columns)))


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
        found = self.inner.read(rows, columns)
        found = found.toarray() if scipy.sparse.issparse(found) else found
        return np.asarray((found - self.centre[columns]) / self.scale[columns])
