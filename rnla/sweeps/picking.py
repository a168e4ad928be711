"""Products that pick: columns and rows of A, what they explain of it, and which rows of a tall factor to take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
import scipy.sparse

from rnla.arrays import Array, wide
from rnla.kernels.exchange import shortlist
from rnla.streams import uniform_rows
from rnla.sweeps.blocks import Block
from rnla.sweeps.products import Multiplied, Sum, tall_rows
from rnla.sweeps.source import Tall


@dataclass(frozen=True)
class OfColumns(Multiplied):
    """A product of some columns C = A[:, J] of the block."""

    J: Array  # (c,) indices
    X: Array  # (n, c) the same as columns of the identity, for blocks that are read in parts


@dataclass(frozen=True)
class Columns(OfColumns):
    """A[:, J] as it is stored, row-wise, written to `into`: (m, c); of a view in another unit, divided by that."""

    into: Tall
    unit: float = 1.0

    def panel(self, block: Block) -> Array:
        """Rows of C."""
        entries = block.columns(self.J, self.X)
        return entries if self.unit == 1.0 else entries / self.unit

    def finish(self, total: None) -> Tall:
        """The tall matrix."""
        return self.into


@dataclass(frozen=True)
class ColumnProducts(OfColumns):
    """C^H A: (c, n)."""

    def panel(self, block: Block) -> Array:
        """C_i^H A_i."""
        return block.left(block.columns(self.J, self.X))


@dataclass(frozen=True)
class Triangle(OfColumns):
    """R of C = Q R, by a tree of small factorisations (TSQR, Demmel et al. 2012): (c, c), up to signs of its rows."""

    def panel(self, block: Block) -> Array:
        """R of the block's columns."""
        return triangle(wide(block.columns(self.J, self.X)))

    def join(self, a: Array, b: Array) -> Array:
        """R of two stacked."""
        return triangle(np.concatenate([a, b]))

    def finish(self, total: Array) -> Array:
        """R with a row for each column."""
        return squared_up(total)


@dataclass(frozen=True)
class Interpolant(Multiplied):
    """A X but for rows `pins`, which become those of the identity, row-wise, written to `into`: (n, c) -> (m, c)."""

    X: Array  # (n, c)
    pins: Array  # (c,) indices of rows
    into: Tall

    def panel(self, block: Block) -> Array:
        """Rows of the answer."""
        rows = np.array(block.right(self.X))
        places = np.flatnonzero((block.rows.start <= self.pins) & (block.rows.stop > self.pins))
        rows[self.pins[places] - block.rows.start] = np.eye(len(self.pins))[places]
        return rows

    def finish(self, total: None) -> Tall:
        """The tall matrix."""
        return self.into


class Lines(NamedTuple):
    """Some rows of a matrix."""

    places: Array  # (r,) which of those wanted
    entries: Any  # (r, n) numpy or scipy.sparse; None for no rows


@dataclass(frozen=True)
class Rows(Sum):
    """A[I], in the order of I; sparse if A is: (r, n)."""

    I: Array
    unit: float = 1.0

    def panel(self, block: Block) -> Lines:
        """Those of the rows that lie in the block."""
        places = np.flatnonzero((block.rows.start <= self.I) & (block.rows.stop > self.I))
        if not places.size:
            return Lines(places, None)
        entries = block.lines(self.I[places] - block.rows.start)
        return Lines(places, entries if self.unit == 1.0 else entries / self.unit)

    def join(self, a: Lines, b: Lines) -> Lines:
        """One above the other."""
        if a.entries is None or b.entries is None:
            return b if a.entries is None else a
        sparse = scipy.sparse.issparse(a.entries)
        stacked = scipy.sparse.vstack([a.entries, b.entries], "csr") if sparse else np.vstack([a.entries, b.entries])
        return Lines(np.concatenate([a.places, b.places]), stacked)

    def finish(self, total: Lines) -> Any:
        """The rows in the order they were asked for."""
        return total.entries[np.argsort(total.places)]


class Rivals(NamedTuple):
    """Rows that are still in the running."""

    indices: Array  # (r,)
    entries: Array  # (r, q)
    noise: Array  # (r,) squared length of what the factor leaves out of each


@dataclass(frozen=True)
class Tournament(Multiplied):
    """A short list of rows among which the best `count` of A X are, block against block.

    As tournament pivoting (Demmel, Grigori and others 2015): each block names its own, each join the best of two lists.
    """

    X: Array  # (l, q)
    energies: Array  # (q, q) of the matrix to be explained, on the directions of A X
    count: int
    noise: Tall | None = None  # (m, 1) squared length of what A X leaves out of each row

    def panel(self, block: Block) -> Rivals:
        """The short list of the block."""
        entries = wide(block.right(self.X))
        noise = np.zeros(len(entries)) if self.noise is None else tall_rows(self.noise, block.rows)[:, 0]
        return self._best(Rivals(np.arange(block.rows.start, block.rows.stop), entries, noise))

    def join(self, a: Rivals, b: Rivals) -> Rivals:
        """The best of both."""
        return self._best(Rivals(*(np.concatenate(pair) for pair in zip(a, b, strict=True))))

    def _best(self, all_: Rivals) -> Rivals:
        kept = shortlist(all_.entries, all_.noise, self.energies, self.count)
        return Rivals(*(part[kept] for part in all_))


@dataclass(frozen=True)
class LeftOut(Multiplied):
    """scale (squares - ||a_i X||^2) of each row, row-wise and not below zero: (m, 1)."""

    X: Array  # (l, q)
    squares: Tall  # (m, 1)
    into: Tall
    scale: float = 1.0

    def panel(self, block: Block) -> Array:
        """Rows of the answer."""
        inside = np.sum(np.abs(wide(block.right(self.X))) ** 2, axis=1)
        left = np.maximum(tall_rows(self.squares, block.rows)[:, 0] - inside, 0.0)
        return np.asarray(left[:, None] * self.scale)

    def finish(self, total: None) -> Tall:
        """The tall matrix."""
        return self.into


class Pivots(NamedTuple):
    """Rows that elimination would take, in its order."""

    indices: Array  # (p,)
    entries: Array  # (p, c)


@dataclass(frozen=True)
class Elimination(Multiplied):
    """Rows that Gaussian elimination of A X with partial pivoting takes, in its order: (n, c) -> (count,).

    As tournament pivoting (CALU: Grigori, Demmel and Xiang 2011): each block names its own, each join the best of both.
    """

    X: Array  # (n, c)
    count: int

    def panel(self, block: Block) -> Pivots:
        """The pivot rows of the block."""
        return self._best(Pivots(np.arange(block.rows.start, block.rows.stop), wide(block.right(self.X))))

    def join(self, a: Pivots, b: Pivots) -> Pivots:
        """Of both."""
        return self._best(Pivots(*(np.concatenate(pair) for pair in zip(a, b, strict=True))))

    def finish(self, total: Pivots) -> Array:
        """Indices in their order."""
        return total.indices

    def _best(self, all_: Pivots) -> Pivots:
        kept = eliminated(all_.entries)[: self.count]
        return Pivots(all_.indices[kept], all_.entries[kept])


class Race(NamedTuple):
    """Rows that arrive first."""

    indices: Array
    times: Array


@dataclass(frozen=True)
class FirstArrivals(Multiplied):
    """`count` rows drawn without replacement, one after the other, each with odds of sum |entries of A X|^power.

    Row i arrives after an exponential time of that rate (Efraimidis and Spirakis 2006), drawn for its index alone: the
    same rows whatever the chunks. Zero rows arrive last, in their order.
    """

    X: Array
    count: int
    seed: int
    name: str
    power: float = 2.0

    def panel(self, block: Block) -> Race:
        """First arrivals of the block."""
        rates = np.sum(np.abs(wide(block.right(self.X))) ** self.power, axis=1)
        waits = -np.log1p(-uniform_rows(self.seed, self.name, block.rows))
        times = np.divide(waits, rates, out=np.full(rates.shape, np.inf), where=rates > 0)
        return self._first(np.arange(block.rows.start, block.rows.stop), times)

    def join(self, a: Race, b: Race) -> Race:
        """First arrivals of both."""
        return self._first(np.concatenate([a.indices, b.indices]), np.concatenate([a.times, b.times]))

    def finish(self, total: Race) -> Array:
        """Indices, the first to arrive first."""
        return total.indices

    def _first(self, indices: Array, times: Array) -> Race:
        order = np.lexsort((indices, times))[: self.count]
        return Race(indices[order], times[order])


def identity_columns(n: int, J: Array) -> Array:
    """Columns J of the n x n identity: (n, c)."""
    E = np.zeros((n, len(J)))
    E[J, range(len(J))] = 1.0
    return E


def eliminated(A: Array) -> Array:
    """Rows of A in the order in which elimination with partial pivoting takes them, then the others: (p, c) -> (p,)."""
    (getrf,) = scipy.linalg.get_lapack_funcs(("getrf",), (A,))  # of a singular A, too, and without a warning
    order = np.arange(len(A))
    for place, pivot in enumerate(getrf(A)[1]):
        order[[place, pivot]] = order[[pivot, place]]
    return order


def triangle(A: Array) -> Array:
    """R of A = Q R: (p, c) -> (min(p, c), c)."""
    return np.asarray(scipy.linalg.qr(A, mode="r", overwrite_a=True, check_finite=False)[0][: A.shape[1]])


def squared_up(R: Array) -> Array:
    """A triangle with zeros for the rows it lacks: (p, c) -> (c, c), p <= c."""
    square = np.zeros((R.shape[1], R.shape[1]), R.dtype)
    square[: len(R)] = R
    return square
