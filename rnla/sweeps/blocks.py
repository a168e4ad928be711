"""Blocks: the rows of A that a product sees at one moment, dense, sparse or too wide to hold.

Each answers the same few questions (A X, Y^H A, energy, column moments), remembers A X for the products that share it,
and applies the view's centring and scaling on the way: explicitly when dense (no cancellation), implicitly when sparse
(never densified), part by part when a strip of whole rows does not fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import scipy.sparse

from rnla.arrays import Array, DType, accumulator_dtype, refuse_inexact, wide
from rnla.errors import UnsupportedError
from rnla.kernels.dense import column_sums, energy, heavy_apart, left_product, squared_column_norms
from rnla.sweeps.transform import RowMoments, Transform, spread_of


class ColumnMoments(NamedTuple):
    """Entries present, mean and sum of squared deviations of each column."""

    present: Array  # (n,) entries that are not missing
    mean: Array  # (n,)
    deviation: Array  # (n,) sum |a - mean|^2


class Block(Protocol):
    """Rows `rows` of the view."""

    rows: slice
    own: RowMoments | None  # means and deviations of its rows, where the view uses them

    @property
    def dtype(self) -> DType:
        """Working precision."""

    def right(self, X: Array) -> Array:
        """A X: (p, l); computed once for each X."""

    def left(self, Y: Array) -> Array:
        """Y^H A in float64: (l, n)."""

    def energy(self) -> float:
        """Sum of |a_ij|^2."""

    def squared_columns(self) -> Array:
        """Sum of |a_ij|^2 over the rows: (n,)."""

    def squared_rows(self) -> Array:
        """Sum of |a_ij|^2 over the columns: (p,)."""

    def dense(self) -> Array:
        """The block as one dense array."""

    def columns(self, J: Array, X: Array) -> Array:
        """A[:, J]: (p, c); X is J as columns of the identity."""

    def lines(self, places: Array) -> Any:
        """Some of its rows, sparse if the block is."""


class Dense:
    """A block that is one array."""

    def __init__(self, array: Array, own: RowMoments | None, rows: slice) -> None:
        self.array = array
        self.own = own
        self.rows = rows
        self._products: dict[int, Array] = {}
        self._energy: float | None = None

    @property
    def dtype(self) -> DType:
        """Working precision."""
        return self.array.dtype

    def right(self, X: Array) -> Array:
        """A X: (p, l); computed once for each X."""
        if id(X) not in self._products:
            self._products[id(X)] = np.dot(self.array, X)
        return self._products[id(X)]

    def left(self, Y: Array) -> Array:
        """Y^H A: (l, n)."""
        return left_product(Y, self.array)

    def energy(self) -> float:
        """Sum of |a_ij|^2; computed once."""
        if self._energy is None:
            self._energy = energy(self.array)
        return self._energy

    def squared_columns(self) -> Array:
        """Sum of |a_ij|^2 over the rows: (n,)."""
        return squared_column_norms(self.array)

    def squared_rows(self) -> Array:
        """Sum of |a_ij|^2 over the columns: (p,)."""
        return squared_column_norms(self.array.T)

    def dense(self) -> Array:
        """The block itself."""
        return self.array

    def columns(self, J: Array, X: Array) -> Array:
        """A[:, J]: (p, c)."""
        return self.array[:, J]

    def lines(self, places: Array) -> Array:
        """Some of its rows."""
        return self.array[places]

    def centred_here(self) -> tuple[Dense, Array]:
        """The block less its own column means (to float64), and those means."""
        count = self.array.shape[0]
        mean = column_sums(self.array) / count
        rest = self.array - mean.astype(self.dtype)
        shift = column_sums(rest) / count  # what the mean's rounding left behind
        return Dense(rest - shift.astype(self.dtype), None, self.rows), mean.astype(self.dtype) + shift


class Sparse:
    """A scipy.sparse block S seen as diag(w) (S - 1 c^T - r 1^T) diag(d), which is never formed."""

    def __init__(self, raw: Any, rows: slice, dtype: DType, transform: Transform) -> None:
        if transform.missing != "error":
            msg = "missing='mask' and 'impute-mean' are for dense data; replace NaN in the sparse matrix's data first"
            raise UnsupportedError(msg)
        refuse_inexact(raw.data, rows)
        self.rows = rows
        self.stored = raw.tocsr().astype(dtype)
        if not self.stored.has_canonical_format:
            self.stored.sum_duplicates()
        count, n = self.stored.shape
        wide = accumulator_dtype(dtype)
        if transform.unit != 1.0:  # here and not in the multiplier, so that squares of entries stay in range
            self.stored.data *= transform.unit
        self.unit = transform.unit
        self.multiplier = np.ones(n) if transform.scale is None else transform.scale
        self.weights = np.ones(count) if transform.weights is None else transform.weights[rows]
        self.centre = np.zeros(n, wide) if transform.centre is None else transform.centre * self.unit
        self.row_centre = (
            np.zeros(count, wide) if transform.row_centre is None else transform.row_centre[rows] * self.unit
        )
        self.own = None if transform.own_rows == "no" else self._row_moments()
        if self.own is not None:
            self.row_centre = self.row_centre if transform.own_rows == "scale" else self.own.mean * self.unit
            self.weights = self.weights if transform.own_rows == "centre" else self.weights / self.own.spread
        self.rows_alike = not self.row_centre.any() and bool(np.all(self.weights == 1))
        self.plain = not (self.centre.any() or self.row_centre.any())
        self._products: dict[int, Array] = {}

    def _row_moments(self) -> RowMoments:
        n = self.stored.shape[1]
        wide = self.stored.astype(accumulator_dtype(self.dtype))
        mean = np.asarray(wide.sum(axis=1)).ravel() / n
        shift = np.repeat(mean, np.diff(wide.indptr))
        absent = n - np.diff(wide.indptr)
        wide.data = abs(wide.data - shift) ** 2
        squares = np.asarray(wide.real.sum(axis=1)).ravel() + absent * abs(mean) ** 2
        return RowMoments(mean / self.unit, spread_of(squares, np.asarray(float(n)), mean) / self.unit)

    @property
    def dtype(self) -> DType:
        """Working precision."""
        return self.stored.dtype  # type: ignore[no-any-return]

    def right(self, X: Array) -> Array:
        """W (S - 1 c^T - r 1^T) D X = W (S (D X) - 1 (c^T D X) - r (1^T D X)): (p, l)."""
        if id(X) not in self._products:
            scaled = self.multiplier[:, None] * X
            product = self.stored @ scaled.astype(self.dtype)
            if not self.plain:
                product = product - self.centre @ scaled - np.outer(self.row_centre, scaled.sum(axis=0))
            self._products[id(X)] = np.ascontiguousarray((product * self.weights[:, None]).astype(self.dtype))
        return self._products[id(X)]

    def left(self, Y: Array) -> Array:
        """Y^H W (S - 1 c^T - r 1^T) D: (l, n)."""
        weighted = (Y * self.weights[:, None]).conj().astype(accumulator_dtype(self.dtype))
        light, rows = heavy_apart(weighted.astype(self.dtype))
        product = wide((self.stored.T @ light).T)
        if rows.size:
            product += (wide(self.stored[rows]).T @ weighted[rows]).T
        if not self.plain:
            product -= np.outer(column_sums(weighted), self.centre) + (self.row_centre @ weighted)[:, None]
        return np.asarray(product * self.multiplier)

    def energy(self) -> float:
        """Sum of |a_ij|^2."""
        return float(self.squared_columns().sum())

    def squared_columns(self) -> Array:
        """Sum over rows of w_i^2 |s_ij - c_j - r_i|^2 d_j^2: (n,)."""
        squares = _squares_about(self.stored.tocoo(), self.centre, self.row_centre, self.weights**2)
        return np.asarray(squares * self.multiplier**2)

    def squared_rows(self) -> Array:
        """Sum over columns of w_i^2 |s_ij - c_j - r_i|^2 d_j^2: (p,)."""
        squares = _squares_about(self.stored.T.tocoo(), self.row_centre, self.centre, self.multiplier**2)
        return np.asarray(squares * self.weights**2)

    def centred_here(self) -> tuple[Sparse, Array]:
        """The block about its own column means, and those means (of a view whose rows are not weighted)."""
        mean = np.asarray(self.stored.sum(axis=0, dtype=accumulator_dtype(self.dtype))).ravel() / self.stored.shape[0]
        view = Transform(centre=mean, scale=self.multiplier)
        return Sparse(self.stored, self.rows, self.dtype, view), (mean - self.centre) * self.multiplier

    def columns(self, J: Array, X: Array) -> Array:
        """A[:, J], dense: (p, c)."""
        entries = self.stored[:, J].toarray() - self.centre[J] - self.row_centre[:, None]
        return np.asarray((entries * self.multiplier[J] * self.weights[:, None]).astype(self.dtype))

    def lines(self, places: Array) -> Any:
        """Some of its rows, sparse unless they are centred."""
        if not self.plain:
            rows = self.stored[places].toarray() - self.centre - self.row_centre[places, None]
            return (rows * self.multiplier * self.weights[places, None]).astype(self.dtype)
        scaled = scipy.sparse.diags_array(self.weights[places]) @ self.stored[places]
        return (scaled @ scipy.sparse.diags_array(self.multiplier)).tocsr().astype(self.dtype)

    def dense(self) -> Array:
        """The block as one dense array; for methods that need one, on few rows."""
        entries = self.stored.toarray() - self.centre - self.row_centre[:, None]
        return np.asarray((entries * self.multiplier * self.weights[:, None]).astype(self.dtype))


def _squares_about(stored: Any, centre: Array, other: Array, weights: Array) -> Array:
    """Sum over i of w_i |s_ij - c_j - r_i|^2 for a COO matrix whose absent entries are zero: (n,).

    Absent entries are what all would give less what those that are stored would; in columns without gaps, nothing, so
    that a large offset does not cancel there.
    """
    (count, n), (rows, columns) = stored.shape, stored.coords
    shift = centre[columns] + other[rows]
    entries, gone = (
        np.bincount(columns, weights[rows] * np.abs(values) ** 2, minlength=n)
        for values in (stored.data.astype(shift.dtype) - shift, shift)
    )
    everywhere = (
        weights.sum() * np.abs(centre) ** 2
        + 2 * (centre.conj() * (weights @ other)).real
        + weights @ np.abs(other) ** 2
    )
    gaps = np.bincount(columns, minlength=n) < count
    return np.asarray(entries + np.where(gaps, np.maximum(everywhere - gone, 0.0), 0.0))


class Wanted(NamedTuple):
    """What is asked of a strip in its first read."""

    operands: list[Array]  # X of all A X
    lines: Array  # (r,) rows that are kept
    squares: bool  # whether squared norms of its rows and columns are


class Strip:
    """Whole rows that do not fit: read in parts of columns, once for all that is `wanted` and once for each Y^H A."""

    def __init__(
        self, parts: Callable[[], Iterator[tuple[slice, Dense]]], rows: slice, dtype: DType, wanted: Wanted
    ) -> None:
        self.rows = rows
        self.own: RowMoments | None = None
        self._dtype = dtype
        self._parts = parts
        self.wanted = wanted
        self._products: dict[int, Array] = {}
        self._energy: float | None = None
        self._squares: tuple[Array, Array] | None = None
        self._lines: Array | None = None
        self._sides: dict[Callable[[Dense], tuple[Any, Any]], list[tuple[Any, Any]]] = {}

    @property
    def dtype(self) -> DType:
        """Working precision."""
        return self._dtype

    def parts(self) -> Iterator[tuple[slice, Dense]]:
        """Each range of columns and its block, read anew; the energy is noted on the way."""
        total = 0.0
        for columns, part in self._parts():
            total += part.energy()
            yield columns, part
        self._energy = total

    def _read_once(self) -> None:
        count, operands = self.rows.stop - self.rows.start, self.wanted.operands
        sums = [np.zeros((count, X.shape[1]), dtype=accumulator_dtype(self.dtype)) for X in operands]
        lines, across, along = [], [], np.zeros(count)
        for columns, part in self.parts():
            for product, X in zip(sums, operands, strict=True):
                np.add(product, np.dot(part.array, X[columns]), out=product)
            lines.append(part.array[self.wanted.lines])
            if self.wanted.squares:
                across.append(part.squared_columns())
                along += part.squared_rows()
        self._products = {id(X): s.astype(self.dtype) for X, s in zip(operands, sums, strict=True)}
        self._lines = np.concatenate(lines, axis=1)
        self._squares = (np.concatenate(across), along) if self.wanted.squares else None

    def right(self, X: Array) -> Array:
        """A X: (p, l)."""
        if id(X) not in self._products:
            self._read_once()
        return self._products[id(X)]

    def energy(self) -> float:
        """Sum of |a_ij|^2."""
        if self._energy is None:
            self._read_once()
        return self._energy or 0.0

    def left(self, Y: Array) -> Array:
        """Y^H A: (l, n)."""
        return np.concatenate([part.left(Y) for _, part in self.parts()], axis=1)

    def columns(self, J: Array, X: Array) -> Array:
        """A[:, J]: (p, c), as A X, since that is read with the other products."""
        return self.right(X)

    def lines(self, places: Array) -> Array:
        """Some of the rows that were wanted."""
        if self._lines is None:
            self._read_once()
        assert self._lines is not None  # noqa: S101 - for mypy: just read
        return self._lines[np.searchsorted(self.wanted.lines, places)]

    def squared_columns(self) -> Array:
        """Sum of |a_ij|^2 over the rows: (n,)."""
        return self._both_squares()[0]

    def squared_rows(self) -> Array:
        """Sum of |a_ij|^2 over the columns: (p,)."""
        return self._both_squares()[1]

    def _both_squares(self) -> tuple[Array, Array]:
        """Squared norms of the columns and rows: (n,), (p,)."""
        if self._squares is None:
            self._read_once()
        assert self._squares is not None  # noqa: S101 - for mypy: the sweep wanted them
        return self._squares

    def sides(self, measure: Callable[[Dense], tuple[Any, Any]]) -> list[tuple[Any, Any]]:
        """What is measured of the columns and rows of each part, in one read for all who ask for the same measure."""
        if measure not in self._sides:
            self._sides[measure] = [measure(part) for _, part in self.parts()]
        return self._sides[measure]

    def dense(self) -> Array:
        """Refused: it is a strip because it does not fit."""
        msg = (
            "this method needs whole rows in memory, and a strip of this store's chunks does not fit; run rechunk first"
        )
        raise UnsupportedError(msg)


def centred_block(block: Block) -> tuple[Dense | Sparse, Array]:
    """A block about its own column means, and those means."""
    if not isinstance(block, Dense | Sparse):
        msg = "a strip read in parts is centred about means that are known; they take a read of their own"
        raise UnsupportedError(msg)
    return block.centred_here()
