"""Blocks: the rows of A that a product sees at one moment: dense, too wide to hold, or sparse (`rnla.sweeps.sparse`).

Each answers the same few questions (A X, Y^H A, energy, column moments), remembers A X for the products that share it,
and applies the view's centring and scaling on the way: explicitly when dense (no cancellation), implicitly when sparse
(never densified), part by part when a strip of whole rows does not fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np

from rnla.arrays import Array, DType, accumulator_dtype
from rnla.errors import UnsupportedError
from rnla.kernels.dense import column_sums, energy, left_product, squared_norms
from rnla.sweeps.transform import RowMoments


class ColumnMoments(NamedTuple):
    """Entries present, mean and sum of squared deviations of each column."""

    present: Array  # (n,) entries that are not missing
    mean: Array  # (n,)
    deviation: Array  # (n,) sum |a - mean|^2


Sides = tuple[Any, Any]  # what is measured of the columns and of the rows of a block


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

    def sides(self, measure: Callable[[Block], Sides]) -> list[Sides]:
        """What is measured of its parts, of all columns one after the other; once for all who ask for the same."""

    def dense(self) -> Array:
        """The block as one dense array."""

    def columns(self, J: Array, X: Array) -> Array:
        """A[:, J]: (p, c); X is J as columns of the identity."""

    def lines(self, places: Array) -> Any:
        """Some of its rows, sparse if the block is."""

    def centred_here(self) -> tuple[Block, Array]:
        """The block about its own column means, and those means."""


class Dense:
    """A block that is one array."""

    def __init__(self, array: Array, own: RowMoments | None, rows: slice) -> None:
        self.array = array
        self.own = own
        self.rows = rows
        self._products: dict[int, Array] = {}
        self._energy: float | None = None
        self._norms: tuple[Array, Array] | None = None
        self.measured: dict[Callable[[Block], Sides], list[Sides]] = {}

    @property
    def dtype(self) -> DType:
        """Working precision."""
        return self.array.dtype

    def right(self, X: Array) -> Array:
        """A X: (p, l); computed once for each X."""
        if id(X) not in self._products:
            self._products[id(X)] = self.product(X)
        return self._products[id(X)]

    def product(self, X: Array) -> Array:
        """A X: (p, l)."""
        return np.asarray(np.dot(self.array, X))

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
        return self._squared_norms()[0]

    def squared_rows(self) -> Array:
        """Sum of |a_ij|^2 over the columns: (p,)."""
        return self._squared_norms()[1]

    def _squared_norms(self) -> tuple[Array, Array]:
        """Both, computed once."""
        if self._norms is None:
            self._norms = squared_norms(self.array)
        return self._norms

    def sides(self, measure: Callable[[Block], Sides]) -> list[Sides]:
        """What is measured of the block; computed once."""
        if measure not in self.measured:
            self.measured[measure] = [measure(self)]
        return self.measured[measure]

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
        self.measured: dict[Callable[[Block], Sides], list[Sides]] = {}

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

    def sides(self, measure: Callable[[Block], Sides]) -> list[Sides]:
        """What is measured of each part, in one read for all who ask for the same measure."""
        if measure not in self.measured:
            self.measured[measure] = [measure(part) for _, part in self.parts()]
        return self.measured[measure]

    def centred_here(self) -> tuple[Block, Array]:
        """Refused: its means take a read of their own."""
        msg = "a strip read in parts is centred about means that are known; they take a read of their own"
        raise UnsupportedError(msg)

    def dense(self) -> Array:
        """Refused: it is a strip because it does not fit."""
        msg = (
            "this method needs whole rows in memory, and a strip of this store's chunks does not fit; run rechunk first"
        )
        raise UnsupportedError(msg)
