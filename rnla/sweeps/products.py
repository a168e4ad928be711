"""Products: what one sweep computes. A product is a value: partial of a block, join of two partials, finish.

`panel(block)` gives the partial of a block; `join(a, b)` may reuse `a`; `finish(total)` gives the answer. Partials are
float64 or complex128 sums of blockwise products in the working precision. A product with a field `into` is row-wise:
what `panel` returns are rows, written to that tall matrix span by span and never gathered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Protocol, Self

import numpy as np
import scipy.sparse

from rnla.arrays import Array, accumulator_dtype, wide, within
from rnla.errors import UnsupportedError
from rnla.kernels.dense import column_sums, squared_column_norms
from rnla.kernels.sparse import densified
from rnla.sweeps.blocks import Block, ColumnMoments, Dense, Strip
from rnla.sweeps.source import Tall
from rnla.sweeps.sparse import Sparse
from rnla.sweeps.transform import Transform

Cast = Callable[[Array], Array]


class Product(Protocol):
    """One quantity that a sweep gives."""

    def cast(self, cast: Cast) -> Product:
        """The same product with its operands in the working precision."""

    def panel(self, block: Block) -> Any:
        """Partial of one block."""

    def join(self, a: Any, b: Any) -> Any:
        """Partial of two neighbouring ranges of rows; associative up to rounding."""

    def finish(self, total: Any) -> Any:
        """The answer."""


class Sum:
    """A product without operands whose partials are added."""

    def cast(self, cast: Cast) -> Self:
        """No operands."""
        return self

    def join(self, a: Any, b: Any) -> Any:
        """a + b, in place for arrays."""
        a += b
        return a

    def finish(self, total: Any) -> Any:
        """The sum."""
        return total


class Multiplied(Sum):
    """A product of A X, X being a field of it, whose partials are added."""

    X: Array

    def cast(self, cast: Cast) -> Self:
        """X in the working precision."""
        return replace(self, X=cast(self.X))  # type: ignore[type-var]


@dataclass(frozen=True)
class Right(Multiplied):
    """A X, row-wise, written to `into`: (n, l) -> (m, l); only the first `columns` columns if given."""

    X: Array
    into: Tall
    columns: int | None = None

    def panel(self, block: Block) -> Array:
        """A_i X: (p, l)."""
        return block.right(self.X)[:, : self.columns]

    def finish(self, total: None) -> Tall:
        """The tall matrix."""
        return self.into


@dataclass(frozen=True)
class Gram(Multiplied):
    """A^H (A X) in one read: (n, l) -> (n, l)."""

    X: Array

    def panel(self, block: Block) -> Array:
        """(A_i X)^H A_i: (l, n)."""
        return block.left(block.right(self.X))

    def finish(self, total: Array) -> Array:
        """Z = A^H A X."""
        return np.ascontiguousarray(total.conj().T)


@dataclass(frozen=True)
class Inner(Multiplied):
    """(A X)^H (A X) in float64, from the rounded A X itself: (n, l) -> (l, l); of its first `columns` if given."""

    X: Array
    columns: int | None = None

    def panel(self, block: Block) -> Array:
        """Y_i^H Y_i: (l, l)."""
        Y = wide(block.right(self.X)[:, : self.columns])
        return np.asarray(Y.conj().T @ Y)


@dataclass(frozen=True)
class Left(Sum):
    """Y^H A for a tall Y: (m, l) -> (l, n); Y^T A when not to be conjugated."""

    Y: Tall
    conjugate: bool = True

    def panel(self, block: Block) -> Array:
        """Y_i^H A_i: (l, n)."""
        Y = tall_rows(self.Y, block.rows).astype(block.dtype)
        return block.left(Y if self.conjugate else Y.conj())


@dataclass(frozen=True)
class SumOfSquares(Sum):
    """||A||_F^2."""

    def panel(self, block: Block) -> float:
        """||A_i||_F^2."""
        return block.energy()

    def join(self, a: float, b: float) -> float:
        """a + b."""
        return a + b


@dataclass(frozen=True)
class ColumnNorms(Sum):
    """Squared norms of the columns: (n,)."""

    def panel(self, block: Block) -> Array:
        """Squared column norms of A_i."""
        return block.squared_columns()


@dataclass(frozen=True)
class RowNorms(Sum):
    """Squared norms of the rows, row-wise: (m, 1)."""

    into: Tall

    def panel(self, block: Block) -> Array:
        """Squared row norms of A_i."""
        return block.squared_rows()[:, None]

    def finish(self, total: None) -> Tall:
        """The tall matrix."""
        return self.into


@dataclass(frozen=True)
class OwnMoments(Sum):
    """Mean and standard deviation of each row of a view that is centred by its own rows, row-wise: (m, 2)."""

    into: Tall

    def panel(self, block: Block) -> Array:
        """Means and deviations of the block's rows, as stored."""
        if block.own is None:
            msg = "this view does not use the means of its own rows"
            raise UnsupportedError(msg)
        return np.stack([block.own.mean, block.own.spread], axis=1)

    def finish(self, total: None) -> Tall:
        """The tall matrix."""
        return self.into


@dataclass(frozen=True)
class GramMatrix(Sum):
    """A^H A, multiplied in float64: (n, n). For short matrices."""

    def panel(self, block: Block) -> Array:
        """A_i^H A_i."""
        if isinstance(block, Sparse):
            found = block.inner()
            return reduce(self.join, map(self.panel, block.dense_parts())) if found is None else found
        A = wide(block.dense())
        return np.asarray(A.conj().T @ A)


@dataclass(frozen=True)
class Peaks(Multiplied):
    """For each column of A X the entry of largest modulus (the first of equals): (n, l) -> (l,)."""

    X: Array

    def panel(self, block: Block) -> Array:
        """Largest entry of each column of A_i X."""
        Y = block.right(self.X)
        return np.asarray(np.take_along_axis(Y, np.abs(Y).argmax(axis=0)[None, :], axis=0)[0])

    def join(self, a: Array, b: Array) -> Array:
        """The larger of two, the earlier on ties."""
        return np.where(np.abs(b) > np.abs(a), b, a)


@dataclass(frozen=True)
class Moments(Sum):
    """Count, mean and sum of squared deviations of each column, by Chan's updates.

    Entries that are NaN or infinite are left out when `skip_missing`; rows `without`, of a view that does the same to
    all rows, always are.
    """

    skip_missing: bool = False
    without: Array | None = None  # sorted indices

    def panel(self, block: Block) -> ColumnMoments:
        """Moments of the block about its own mean."""
        if self.without is not None and not isinstance(block, Strip):
            others = rows_but(block, self.without)
            return none_of(block) if others is None else replace(self, without=None).panel(others)
        if isinstance(block, Sparse):
            return block.moments() if block.rows_alike else reduce(self.join, map(self.panel, block.dense_parts()))
        if isinstance(block, Strip):
            parts = [self.panel(part) for _, part in block.parts()]
            return ColumnMoments(*(np.concatenate(field) for field in zip(*parts, strict=True)))
        A = wide(block.dense())
        if not self.skip_missing:
            count = np.full(A.shape[1], float(A.shape[0]))
            mean, rest = _about_mean(A, count)
            return ColumnMoments(count, mean, squared_column_norms(rest))
        present = np.isfinite(A)
        count = present.sum(axis=0).astype(np.float64)
        mean, rest = _about_mean(np.where(present, A, 0.0), np.maximum(count, 1.0), present)
        return ColumnMoments(count, mean, squared_column_norms(rest))

    def join(self, a: ColumnMoments, b: ColumnMoments) -> ColumnMoments:
        """Chan, Golub and LeVeque (1983), for each column."""
        count = a.present + b.present
        share = b.present / np.maximum(count, 1.0)
        delta = b.mean - a.mean
        return ColumnMoments(
            count, a.mean + delta * share, a.deviation + b.deviation + np.abs(delta) ** 2 * a.present * share
        )


@dataclass(frozen=True)
class CentredGram(Sum):
    """(A - 1 mean^T)^H (A - 1 mean^T) X and the mean in one read that does not know the mean: (n, l) -> (n, l).

    Each block is centred about its own mean; joining adds the rank-one term between the two means, as for Chan's
    variance, so nothing cancels however large the offset is. Without X: the whole covariance, in float64.
    """

    X: Array | None

    def cast(self, cast: Cast) -> Self:
        """X in the working precision."""
        return self if self.X is None else replace(self, X=cast(self.X))

    def panel(self, block: Block) -> tuple[int, Array, Array]:
        """Rows, their mean, and X^H (A_i - mean)^H (A_i - mean): (l, n)."""
        centred, mean = block.centred_here()
        total = GramMatrix().panel(centred) if self.X is None else centred.left(centred.right(self.X))
        return block.rows.stop - block.rows.start, mean, total

    def join(self, a: tuple[int, Array, Array], b: tuple[int, Array, Array]) -> tuple[int, Array, Array]:
        """Adds (p q / (p + q)) (delta X)^H delta, delta the difference of the means."""
        count = a[0] + b[0]
        delta = b[1] - a[1]
        total = a[2]
        total += b[2]
        seen = delta if self.X is None else delta @ self.X
        total += np.outer(seen.conj(), delta * (a[0] * b[0] / count))
        return count, a[1] + delta * (b[0] / count), total

    def finish(self, total: tuple[int, Array, Array]) -> tuple[Array, Array]:
        """The mean, and Z = (A - 1 mean^T)^H (A - 1 mean^T) X."""
        return total[1], np.ascontiguousarray(total[2].conj().T)


def tall_rows(Y: Tall, rows: slice) -> Array:
    """Rows of a tall matrix."""
    return densified(Y.source.read(rows, slice(0, Y.shape[1])))


def _about_mean(A: Array, count: Array, present: Array | None = None) -> tuple[Array, Array]:
    """Mean of each column, right to its last digit, and the entries about it (0 where absent): (n,), (p, n)."""
    mean = column_sums(A) / count
    rest = A - mean if present is None else np.where(present, A - mean, 0.0)
    return mean + column_sums(rest) / count, rest  # what a sum of large entries left behind


def rows_but(block: Block, without: Array) -> Block | None:
    """A block, of a view that does the same to all rows, less rows of A by their sorted indices; None: none is left."""
    out = within(without, block.rows)
    if not out.size:
        return block
    kept = np.delete(np.arange(block.rows.stop - block.rows.start), out)
    if not kept.size:
        return None
    lines = block.lines(kept)
    sparse = scipy.sparse.issparse(lines)
    return Sparse(lines, block.rows, block.dtype, Transform()) if sparse else Dense(lines, None, block.rows)


def none_of(block: Block) -> ColumnMoments:
    """Moments of no rows."""
    none = np.zeros(block.lines(np.zeros(1, np.int64)).shape[1])
    return ColumnMoments(none, none.astype(accumulator_dtype(block.dtype)), none)
