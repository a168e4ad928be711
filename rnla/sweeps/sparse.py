"""Sparse blocks: a CSR matrix S seen as diag(w) (S - 1 c^T - r 1^T) diag(d), which is never formed.

Products are multiplied in the data's precision; Y^H A is summed in float64 by short runs, and the rows that Y stands on
are multiplied in float64, as for dense blocks.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse

from rnla.arrays import Array, DType, accumulator_dtype, refuse_inexact, wide
from rnla.errors import UnsupportedError
from rnla.kernels.dense import column_sums, energy, heavy_apart
from rnla.kernels.sparse import adjoint_product, as_csr, canonical, csr_of, csr_rows, entries_of, places_of
from rnla.sweeps.blocks import Block, ColumnMoments, Dense, Sides
from rnla.sweeps.transform import RowMoments, Transform, spread_of

DENSE_BYTES = 8 << 20  # rows that are made dense at once, for products that need them so
SPARSE_SHARE = 0.1  # stored entries above which A^H A is sooner multiplied from rows made dense


def refuse_gaps(transform: Transform) -> None:
    """UnsupportedError for a view of sparse data whose missing entries are to be masked or imputed."""
    if transform.missing != "error":
        msg = "missing='mask' and 'impute-mean' are for dense data; replace NaN in the sparse matrix's data first"
        raise UnsupportedError(msg)


class Sparse:
    """A CSR block under a view."""

    def __init__(self, raw: Any, rows: slice, dtype: DType, transform: Transform) -> None:
        refuse_gaps(transform)
        refuse_inexact(raw.data, rows)
        self.rows = rows
        self.unit = transform.unit
        self.stored = as_csr(raw).astype(dtype, copy=False)
        if self.unit != 1.0:  # here and not in the multiplier, so that squares of entries stay in range
            self.stored = self.stored * self.stored.dtype.type(self.unit)
        self.multiplier = transform.scale  # (n,), or None for ones
        self.weights = None if transform.weights is None else transform.weights[rows]  # (p,), or None for ones
        self.centre = _some(transform.centre, self.unit)  # (n,), or None for zeros
        self.row_centre = _some(None if transform.row_centre is None else transform.row_centre[rows], self.unit)
        self.own = None if transform.own_rows == "no" else self._row_moments()
        if self.own is not None and transform.own_rows != "scale":
            self.row_centre = _some(self.own.mean, self.unit)
        if self.own is not None and transform.own_rows != "centre":
            self.weights = (1.0 if self.weights is None else self.weights) / self.own.spread
        self.centred = not self.plain
        if self.centred:
            self._centre_where_full()
        self.products: dict[int, Array] = {}
        self.measured: dict[Callable[[Block], Sides], list[Sides]] = {}

    def _centre_where_full(self) -> None:
        """Columns and rows without gaps are centred entry by entry, as in dense blocks: large offsets do not cancel."""
        stored, (p, n) = self.summed, self.stored.shape
        data, counts = stored.data, np.diff(stored.indptr)
        if (centre := self.centre) is not None and stored.nnz >= p:
            full = np.bincount(stored.indices, minlength=n) == p
            data = _less(data, np.where(full, centre, 0.0), stored.indices)
            self.centre = _some(np.where(full, 0.0, centre))
        if (centre := self.row_centre) is not None and stored.nnz >= n:
            full = counts == n
            data = _less(data, np.where(full, centre, 0.0), np.repeat(np.arange(p), counts))
            self.row_centre = _some(np.where(full, 0.0, centre))
        if data is not stored.data:
            self.stored = self.summed = csr_of(data, stored.indices, stored.indptr, (p, n))

    @property
    def dtype(self) -> DType:
        """Working precision."""
        return self.stored.dtype  # type: ignore[no-any-return]

    @property
    def plain(self) -> bool:
        """Whether entries that are not stored are zero in the view."""
        return self.centre is None and self.row_centre is None

    @property
    def rows_alike(self) -> bool:
        """Whether the view does the same to every row."""
        return self.row_centre is None and self.weights is None

    @cached_property
    def summed(self) -> Any:
        """S with each entry stored once: products do not need that, squares do."""
        return canonical(self.stored)

    @property
    def wide(self) -> Any:
        """S in float64 or complex128."""
        return self.stored.astype(accumulator_dtype(self.dtype), copy=False)

    def sides(self, measure: Callable[[Block], Sides]) -> list[Sides]:
        """What is measured of the block; computed once."""
        if measure not in self.measured:
            self.measured[measure] = [measure(self)]
        return self.measured[measure]

    def right(self, X: Array) -> Array:
        """A X: (p, l); computed once for each X."""
        if id(X) not in self.products:
            self.products[id(X)] = self.product(X)
        return self.products[id(X)]

    def product(self, X: Array) -> Array:
        """W (S - 1 c^T - r 1^T) D X = W (S (D X) - 1 (c^T D X) - r (1^T D X)): (p, l)."""
        scaled = X if self.multiplier is None else self.multiplier[:, None] * X
        found = self.stored @ np.ascontiguousarray(scaled, dtype=self.dtype)
        if self.centre is not None:
            found = found - self.centre @ scaled
        if self.row_centre is not None:
            found = found - np.outer(self.row_centre, scaled.sum(axis=0))
        if self.weights is not None:
            found = found * self.weights[:, None]
        return np.ascontiguousarray(found, dtype=self.dtype)

    def right_of_sparse(self, X: Any) -> Array:
        """A X of a sparse real X: (n, l) -> (p, l)."""
        scaled = X if self.multiplier is None else X.multiply(self.multiplier[:, None]).tocsr()
        found = (self.stored @ scaled.astype(self.dtype)).toarray()
        if self.centre is not None:
            found = found - scaled.T @ self.centre
        if self.row_centre is not None:
            found = found - np.outer(self.row_centre, column_sums(scaled))
        if self.weights is not None:
            found = found * self.weights[:, None]
        return np.asarray(found)

    def left(self, Y: Array) -> Array:
        """Y^H W (S - 1 c^T - r 1^T) D, in float64: (l, n)."""
        Z = np.conj(Y, dtype=accumulator_dtype(self.dtype))
        if self.weights is not None:
            Z = Z * self.weights[:, None]
        light, heavy = heavy_apart(Z.astype(self.dtype, copy=False))
        found = adjoint_product(self.stored, light)  # (n, l)
        if heavy.size:
            found += wide(self.stored[heavy]).T @ Z[heavy]
        if self.centre is not None:
            found -= np.outer(self.centre, column_sums(Z))
        if self.row_centre is not None:
            found -= self.row_centre @ Z
        if self.multiplier is not None:
            found *= self.multiplier[:, None]
        return np.asarray(found.T)

    def left_of_sparse(self, Y: Any) -> Array:
        """Y^T A of a sparse real Y, in float64: (p, l) -> (l, n)."""
        weighted = Y if self.weights is None else Y.multiply(self.weights[:, None]).tocsr()
        found = (weighted.T @ self.wide).toarray()
        if self.centre is not None:
            found -= np.outer(column_sums(weighted), self.centre)
        if self.row_centre is not None:
            found -= (weighted.T @ self.row_centre)[:, None]
        return np.asarray(found if self.multiplier is None else found * self.multiplier)

    def light(self) -> Any | None:
        """The view in float64, each entry once, where few are stored and the others are zero: (p, n) CSR; else None."""
        if not self.plain or self.stored.nnz > SPARSE_SHARE * self.stored.shape[0] * self.stored.shape[1]:
            return None
        found: Any = wide(self.summed)
        found = found if self.weights is None else found.multiply(self.weights[:, None]).tocsr()
        return found if self.multiplier is None else found.multiply(self.multiplier).tocsr()

    def inner(self) -> Array | None:
        """A^H A in float64, where few entries are stored and the others are zero: (n, n); else None."""
        A = self.light()
        return None if A is None else np.asarray((A.conj().T @ A).toarray())

    def energy(self) -> float:
        """Sum of |a_ij|^2."""
        if self.plain and self.multiplier is None and self.weights is None:
            return energy(self.summed.data)
        return float(self.squared_columns().sum())

    def squared_columns(self) -> Array:
        """Sum over rows of w_i^2 |s_ij - c_j - r_i|^2 d_j^2: (n,)."""
        sides = self._side(1, self.centre), self._side(0, self.row_centre, self.weights)
        found = _squares_about(self.summed, *sides)
        return found if self.multiplier is None else np.asarray(found * self.multiplier**2)

    def squared_rows(self) -> Array:
        """Sum over columns of w_i^2 |s_ij - c_j - r_i|^2 d_j^2: (p,)."""
        sides = self._side(0, self.row_centre), self._side(1, self.centre, self.multiplier)
        found = _squares_about(self.summed, *sides)
        return found if self.weights is None else np.asarray(found * self.weights**2)

    def _side(self, axis: int, centre: Array | None, weights: Array | None = None) -> _Side:
        length = self.stored.shape[axis]
        zeros, ones = np.zeros(length, accumulator_dtype(self.dtype)), np.ones(length)
        return _Side(axis, zeros if centre is None else centre, ones if weights is None else weights**2)

    def moments(self) -> ColumnMoments:
        """Moments of the columns of a view that does the same to every row."""
        stored, (count, n) = self.summed, self.stored.shape
        mean = self._column_means()
        there, seen = np.zeros(n), np.zeros(n)
        for entries in entries_of(stored):
            squares = np.abs(entries.values - mean[entries.columns]) ** 2
            seen += np.bincount(entries.columns, squares, minlength=n)
            there += np.bincount(entries.columns, minlength=n)
        deviation = seen + (count - there) * np.abs(mean) ** 2  # entries that are not stored are zero
        by = np.ones(n) if self.multiplier is None else self.multiplier
        centre = 0.0 if self.centre is None else self.centre
        return ColumnMoments(np.full(n, float(count)), (mean - centre) * by, deviation * by**2)

    def _column_means(self) -> Array:
        """Mean of each column of S, right to its last digit: (n,)."""
        count, n = self.stored.shape
        mean = column_sums(self.summed) / count  # summed: scipy would sum equal places in the data itself
        rest, gaps = np.zeros(n, mean.dtype), np.full(n, float(count))
        for entries in entries_of(self.summed):
            about = entries.values - mean[entries.columns]
            rest += np.bincount(entries.columns, about.real, minlength=n)
            if about.dtype.kind == "c":
                rest += 1j * np.bincount(entries.columns, about.imag, minlength=n)
            gaps -= np.bincount(entries.columns, minlength=n)
        return np.asarray(mean + (rest - gaps * mean) / count)  # what a sum of large entries left behind

    def _row_moments(self) -> RowMoments:
        """Mean and standard deviation of the rows, as stored."""
        stored, (p, n) = self.summed, self.stored.shape
        mean = self.wide @ np.ones(n) / n
        squares = (n - np.diff(stored.indptr)) * np.abs(mean) ** 2
        for entries in entries_of(stored):
            about = np.abs(entries.values - mean[entries.rows]) ** 2
            squares += np.bincount(entries.rows, about, minlength=p)
        return RowMoments(mean / self.unit, spread_of(squares, np.asarray(float(n)), mean) / self.unit)

    def centred_here(self) -> tuple[Sparse, Array]:
        """The block about its own column means, and those means (of a view whose rows are not weighted)."""
        mean = self._column_means()
        view = Transform(centre=mean, scale=self.multiplier)
        shift = mean if self.centre is None else mean - self.centre
        shift = shift if self.multiplier is None else shift * self.multiplier
        return Sparse(self.stored, self.rows, self.dtype, view), shift

    def in_float64(self) -> Sparse:
        """The same block multiplied in float64 or complex128."""
        found = copy.copy(self)
        found.stored, found.products, found.measured = self.wide, {}, {}
        return found

    def columns(self, J: Array, X: Array) -> Array:
        """A[:, J], dense: (p, c)."""
        part = wide(self.stored[:, J].toarray())
        if self.centre is not None:
            part -= self.centre[J]
        if self.row_centre is not None:
            part -= self.row_centre[:, None]
        if self.multiplier is not None:
            part *= self.multiplier[J]
        if self.weights is not None:
            part *= self.weights[:, None]
        return part.astype(self.dtype, copy=False)

    def lines(self, places: Array) -> Any:
        """Some of its rows, sparse unless they are centred."""
        if self.centred:
            rows = (slice(place, place + 1) for place in places.tolist())
            return np.concatenate([self._dense_rows(row) for row in rows])
        found = self.stored[places]
        if self.multiplier is not None:
            found = found @ scipy.sparse.diags_array(self.multiplier)
        if self.weights is not None:
            found = scipy.sparse.diags_array(self.weights[places]) @ found
        return found.tocsr().astype(self.dtype, copy=False)

    def dense(self) -> Array:
        """The block as one dense array; for methods that need one, on few rows."""
        return np.concatenate([part.array for part in self.dense_parts()])

    def dense_parts(self) -> Iterator[Dense]:
        """The block as dense blocks of few rows."""
        p, n = self.stored.shape
        step = max(1, DENSE_BYTES // max(1, n * accumulator_dtype(self.dtype).itemsize))
        for first in range(0, max(p, 1), step):
            cut = slice(first, min(first + step, p))
            yield Dense(self._dense_rows(cut), None, slice(self.rows.start + cut.start, self.rows.start + cut.stop))

    def _dense_rows(self, rows: slice) -> Array:
        """Some rows of the view."""
        part = wide(csr_rows(self.stored, rows).toarray())
        if self.centre is not None:
            part -= self.centre
        if self.row_centre is not None:
            part -= self.row_centre[rows, None]
        if self.multiplier is not None:
            part *= self.multiplier
        if self.weights is not None:
            part *= self.weights[rows, None]
        return part.astype(self.dtype, copy=False)

    def nonfinite(self, first: int) -> tuple[int, list[tuple[int, int]]]:
        """Number of stored entries that are NaN or infinite, and (row, column) in the block of the first few."""
        bad = np.flatnonzero(~np.isfinite(self.stored.data))
        return bad.size, places_of(self.stored, bad[:first])

    def largest(self) -> float:
        """The largest modulus of a finite entry of the view, or a little more."""
        p, n = self.stored.shape
        d = np.ones(n) if self.multiplier is None else np.abs(self.multiplier)
        w = np.ones(p) if self.weights is None else np.abs(self.weights)
        c = np.zeros(n) if self.centre is None else self.centre
        r = np.zeros(p) if self.row_centre is None else self.row_centre
        absent = np.abs(c * d).max(initial=0) * w.max(initial=0) + np.abs(r * w).max(initial=0) * d.max(initial=0)
        sizes = [float(absent)] if np.isfinite(absent) else [0.0]
        for i, j, values in entries_of(self.summed):
            found = np.abs(values - c[j] - r[i]) * d[j] * w[i]
            sizes.append(float(found[np.isfinite(found)].max(initial=0.0)))
        return max(sizes)


class _Side:
    """One side of a block: its rows (axis 0) or columns (axis 1), and what belongs to each of them."""

    def __init__(self, axis: int, centre: Array, weights: Array) -> None:
        self.axis = axis
        self.centre = centre
        self.weights = weights


def _less(data: Array, centre: Array, index: Array) -> Array:
    """data - centre[index]; in float32 as two parts of the centre, so that a large offset costs no digits."""
    if not centre.any():
        return data
    high = centre.astype(data.dtype)
    low = (centre - high).astype(data.dtype)
    rest = data - high[index]
    return np.asarray(rest - low[index] if low.any() else rest)


def _some(centre: Array | None, unit: float = 1.0) -> Array | None:
    """A centre in units of the block; None when it is zero throughout."""
    return None if centre is None or not centre.any() else centre * unit


def _squares_about(stored: Any, mine: _Side, other: _Side) -> Array:
    """Sum over `other` of its weights times |s - c - r|^2, one for each of mine; absent entries of `stored` are zero.

    Absent entries are what all would give less what those that are stored would; where there are no gaps, nothing, so
    that a large offset does not cancel there.
    """
    length, count = mine.centre.size, other.centre.size
    found, gone, there = np.zeros(length), np.zeros(length), np.zeros(length)
    for entries in entries_of(stored):
        here, there_too = entries[mine.axis], entries[other.axis]
        weights, shift = other.weights[there_too], mine.centre[here] + other.centre[there_too]
        found += np.bincount(here, weights * np.abs(entries.values - shift) ** 2, minlength=length)
        gone += np.bincount(here, weights * np.abs(shift) ** 2, minlength=length)
        there += np.bincount(here, minlength=length)
    everywhere = (
        other.weights.sum() * np.abs(mine.centre) ** 2
        + 2 * (mine.centre.conj() * (other.weights @ other.centre)).real
        + other.weights @ np.abs(other.centre) ** 2
    )
    return np.asarray(found + np.where(there < count, np.maximum(everywhere - gone, 0.0), 0.0))
