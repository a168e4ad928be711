"""Squared norms of integer matrices as products, exact: see `kernels.integers`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

import numpy as np
import scipy.sparse

from rnla.arrays import Array, wide
from rnla.kernels.integers import IntegerSums, beside, halves_of_squares, joined, sums_of_squares
from rnla.sweeps.blocks import Block
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.products import Sum
from rnla.sweeps.source import Tall
from rnla.sweeps.sparse import Sparse


class Exact(NamedTuple):
    """Sums of squares, each rounded once."""

    columns: Array  # (n,)
    total: float


@dataclass(frozen=True)
class IntegerColumnNorms(Sum):
    """Squared norms of the columns of a matrix of integers, and their sum, exact: (n,)."""

    def panel(self, block: Block) -> IntegerSums:
        """Of the block's rows."""
        return _both(block)[0]

    def join(self, a: IntegerSums, b: IntegerSums) -> IntegerSums:
        """a + b."""
        return joined(a, b)

    def finish(self, total: IntegerSums) -> Exact:
        """Rounded once."""
        return Exact(total.rounded(), total.total())


@dataclass(frozen=True)
class IntegerRowNorms(Sum):
    """Squared norms of the rows, exact, row-wise: (m, 1)."""

    into: Tall

    def panel(self, block: Block) -> Array:
        """Rounded once."""
        return _both(block)[1].rounded()[:, None]

    def finish(self, total: None) -> Tall:
        """The tall matrix."""
        return self.into


def of_integers(A: Matrix) -> bool:
    """Whether a matrix is integers as they are stored."""
    return A.source.dtype.kind in "biu" and A.transform.trivial and A.settled and not A.own_means


def _both(block: Block) -> tuple[IntegerSums, IntegerSums]:
    columns, rows = zip(*block.sides(_of_part), strict=True)
    return beside(list(columns)), reduce(joined, rows)


def _of_part(part: Block) -> tuple[IntegerSums, IntegerSums]:
    return _of_sparse(part) if isinstance(part, Sparse) else sums_of_squares(wide(part.dense()))


def _of_sparse(block: Sparse) -> tuple[IntegerSums, IntegerSums]:
    stored = block.summed.astype(np.float64)
    halves = halves_of_squares(stored.data)
    kinds = (np.uint64, np.uint64, np.float64)
    parts = [np.zeros(stored.nnz) if half is None else half for half in halves]
    squares = [scipy.sparse.csr_array((part, stored.indices, stored.indptr), stored.shape) for part in parts]
    ones = [[np.ones(size, kind) for kind in kinds] for size in stored.shape]
    columns = IntegerSums(*(S.T @ one for S, one in zip(squares, ones[0], strict=True)))
    return columns, IntegerSums(*(S @ one for S, one in zip(squares, ones[1], strict=True)))
