"""Which lines to take: the rows or columns of A that stand for all others.

A ~ U diag(s) Vh, so what a selector looks at is a factor with one row for each line, never A. Pivoted QR of
diag(s) U^H takes the rows that it would take of the rank-l part of A; they are then exchanged for rows that explain
more (`kernels/exchange.py`). DEIM takes those where each singular vector is least foreseen by the earlier ones
(Sorensen and Embree 2016), leverage scores those that singular vectors stand on (Drineas, Mahoney and Muthukrishnan
2008).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

import numpy as np

from rnla.arrays import Array
from rnla.kernels.exchange import best_rows, projection
from rnla.kernels.subspaces import pivots
from rnla.streams import tile_generator
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.picking import Elimination, FirstArrivals, Rows, Tournament
from rnla.sweeps.source import Tall

Select = Literal["pivoted", "deim", "leverage", "norm-squared", "uniform"]
SELECTORS: tuple[str, ...] = get_args(Select)
ROUNDS = 4  # of choosing columns given rows and rows given columns
SMALL = 1e-4  # relative gain of a round that is worth another
OF_VECTORS = frozenset({"pivoted", "deim", "leverage"})  # these look at singular vectors


@dataclass(frozen=True)
class Side:
    """What a selector looks at: one row of F for each line of A, of which F X is the leading part."""

    name: str
    F: Matrix  # (N, l) orthonormal columns; or weights (N, 1)
    X: Array  # (l, q) diag(s) / s_1
    energies: Array  # (q, q) of A on the directions of F X
    noise: Tall | None = None  # (N, 1) squared length of what is left of each line of A, over s_1^2

    @property
    def size(self) -> int:
        """N."""
        return self.F.shape[0]


def facing(side: Side, other: Side, J: Array) -> Side:
    """The side as seen from lines J of the other, which span Q_C: rows where Q_C is large and the rest is small.

    With rows I of it, A ~ C A[I, J]^+ A[I] is wrong by the rest times ||Q_C[I]^+||.
    """
    lines = taken(other.F, J)
    T = np.linalg.qr(side.X @ lines.T)[0]
    return replace(side, X=10 * T, energies=np.eye(T.shape[1]))


def taken(F: Matrix, lines: Array) -> Array:
    """Some rows of F: (c, l)."""
    (rows,) = F.subset(rows=lines).sweep(Rows(np.arange(len(lines))))
    return np.asarray(rows)


class Pool(NamedTuple):
    """Lines among which the best are."""

    indices: Array  # (p,)
    G: Array  # (p, q)
    noise: Array  # (p,)
    energies: Array  # (q, q)

    def best(self, count: int, energies: Array | None = None) -> Array:
        """Places of the best lines in the pool."""
        return best_rows(self.G, self.noise, self.energies if energies is None else energies, count)

    def projection(self, places: Array) -> Array:
        """What lines span, on the directions of F X: (q, q)."""
        return projection(self.G[places], self.noise[places])


def pool(side: Side, count: int) -> Pool:
    """The short list of a side: one read of F."""
    (found,) = side.F.sweep(Tournament(side.X, side.energies, count, side.noise))
    return Pool(found.indices, found.entries, found.noise, side.energies)


def pivoted(side: Side, count: int) -> Array:
    """Pivots of (F X)^H, exchanged for lines that explain more: (count,) in their order; one read of F.

    The noise tells how much of each line is outside of F: such lines explain little else, and pivoting alone would
    take them for their length.
    """
    found = pool(side, count)
    return np.asarray(found.indices[found.best(count)])


def pivoted_pair(across: Side, along: Side, counts: tuple[int, int]) -> tuple[Array, Array]:
    """Columns and rows that explain A together, tr(P_C A P_R A^H), each in turn given the other: (c,), (r,).

    Given what columns project on, rows only have to explain that, and the other way round.
    """
    columns, rows = (pool(side, count) for side, count in zip((across, along), counts, strict=True))
    s = np.sqrt(columns.energies.diagonal())
    best, J, I = -1.0, columns.best(counts[0]), np.zeros(0, np.intp)
    chosen = J, I
    for _ in range(ROUNDS):
        I = rows.best(counts[1], s[:, None] * columns.projection(J).conj() * s)
        seen = s[:, None] * rows.projection(I).conj() * s
        reached = float(np.sum(seen * columns.projection(J).T).real)
        if reached <= best * (1 + SMALL):
            break
        best, chosen = reached, (J, I)
        J = columns.best(counts[0], seen)
    return columns.indices[chosen[0]], rows.indices[chosen[1]]


def spanning(F: Matrix, count: int) -> Array:
    """`count` rows of F (N, d) of which all others are combinations with small coefficients: one read of F.

    Tournament pivoting (Demmel, Grigori and others 2015).
    """
    everything = np.eye(F.shape[1])
    found = pool(Side("rows", F, everything, everything), count)
    return np.asarray(found.indices[pivots(found.G.conj().T, count)])


def deim(F: Matrix, count: int) -> Array:
    """Discrete empirical interpolation points of the first `count` columns of F: (count,); one read of F.

    Point j is where column j differs most from its interpolant by columns 0..j-1 at the points before it: the pivots of
    Gaussian elimination. Where F comes in several blocks they are those of a tournament.
    """
    (found,) = F.sweep(Elimination(np.eye(F.shape[1])[:, :count], count))
    return np.asarray(found)


def leverage(F: Matrix, k: int, count: int, seed: int, name: str) -> Array:
    """`count` rows drawn without replacement by their leverage scores, squared norms over k columns: (count,)."""
    (found,) = F.sweep(FirstArrivals(np.eye(F.shape[1])[:, :k], count, seed, name))
    return np.asarray(found)


def weighted(F: Matrix, count: int, seed: int, name: str) -> Array:
    """`count` rows drawn without replacement by weights (N, 1), or by their squared norms (N, c > 1): (count,)."""
    (found,) = F.sweep(FirstArrivals(np.eye(F.shape[1]), count, seed, name, power=1.0 if F.shape[1] == 1 else 2.0))
    return np.asarray(found)


def uniform(size: int, count: int, seed: int, name: str) -> Array:
    """`count` of 0..size-1, each as likely, none twice: (count,)."""
    return tile_generator(seed, f"uniform {name}", 0).choice(size, count, replace=False)


def selected(side: Side, select: str, count: int, k: int, seed: int) -> Array:
    """Indices of `count` lines (at most as many as there are) by a selector: (count,)."""
    count = min(count, side.size)
    if select == "pivoted":
        return pivoted(side, count)
    if select == "deim":
        return deim(side.F, count)
    if select == "uniform":
        return uniform(side.size, count, seed, side.name)
    if select == "leverage":
        return leverage(side.F, k, count, seed, f"leverage {side.name}")
    return weighted(side.F, count, seed, f"norms {side.name}")
