"""What one read of A and one of B tell of A B: norms of the columns of A and rows of B, and Gaussian probes.

B is read first: B G with a Gaussian G of l columns comes with its norms, and A (B G) with those of A, so that
||A B G||_F^2 / l is an unbiased estimate of ||A B||_F^2, and later probes tell the error of any approximation of A B.
Each matrix is swept along its longer side. When B is A^T, both are one matrix and one read gives both.

All this is known of 2^a A and 2^b B, a and b being powers that bring their Frobenius norms near 1 (0 for most data):
squares of norms, and products of them, then neither overflow nor vanish.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from rnla.algorithms.draws import Draws, Listed, Standing, Weights, scaled, strips
from rnla.algorithms.lifecycle import Journal
from rnla.algorithms.norms import kept_norms
from rnla.algorithms.planning import oriented
from rnla.arrays import Array, accumulator_dtype
from rnla.errors import RequestError
from rnla.kernels.dense import times_power
from rnla.streams import normal
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.products import ColumnNorms, Gram, Left, Product, Right, RowNorms
from rnla.sweeps.sampled import Distance, Rescaled
from rnla.sweeps.settling import in_range, unit_power
from rnla.sweeps.sketches import GAUSSIAN_TILE, Normal
from rnla.sweeps.source import ResidentTall, Source, Tall, Workspace

PROBES = 20
PROBE_NAME = "probes of a product"
FLOAT = np.dtype(np.float64)


@dataclass(frozen=True)
class Inner:
    """What the first read tells of 2^a A and 2^b B."""

    left: Weights  # (N,) squared norms of the columns of A
    right: Weights  # (N,) squared norms of the rows of B
    powers: tuple[int, int] = (0, 0)  # a, b
    BG: Tall | None = None  # (N, l)
    ABG: Tall | None = None  # (m, l)
    energy: float | None = None  # estimate of ||A B||_F^2


class _Side(NamedTuple):
    """What a read tells of one matrix, times 2^power."""

    norms: Weights
    probes: Tall | None
    power: int
    energy: float | None = None


def twins(A: Matrix, B: Matrix) -> bool:
    """Whether B is A^T, real, and seen in the same way."""
    if A.shape != B.shape[::-1] or type(A.source) is not type(B.source) or "c" in {A.dtype.kind, B.dtype.kind}:
        return False
    pending = A.centring or A.scaling or A.transform.missing == "impute-mean"  # means of columns, or of rows
    if (A.centring, A.scaling) != (B.centring, B.scaling) or (pending and A.axis == B.axis):
        return False
    ours, theirs = A.transform, B.transform.transposed
    names = ("centre", "row_centre", "scale", "weights", "fill")
    alike = all(_same(getattr(ours, name), getattr(theirs, name)) for name in names)
    return alike and ours.missing == theirs.missing and _one_source(A.source, B.source.transposed)


def _same(a: Any, b: Any) -> bool:
    return a is b or (a is not None and b is not None and np.array_equal(a, b))


def _one_source(a: Source, b: Source) -> bool:
    """Whether two sources give the same data: stores by their name and metadata, others by what they hold."""
    return bool(a == b) if hasattr(a, "url") else a.identity == b.identity


def measured(A: Matrix, B: Matrix, room: Room, seed: int, *, probing: bool) -> Inner:
    """Norms, and probes if they are wanted: one read of each."""
    right = _right(B, room, seed, probing=probing)
    left = _left(A, right.probes, room)
    return Inner(left.norms, right.norms, (left.power, right.power), right.probes, left.probes, left.energy)


def measured_twin(A: Matrix, room: Room, seed: int, *, probing: bool) -> Inner:
    """The same of A and A^T in one read; A A^T G only when A is swept along the inner side."""
    view, turned = _wide(A)
    G = normal(seed, PROBE_NAME, view.shape[1], PROBES, tile_rows=GAUSSIAN_TILE)
    if turned:  # swept by the rows of A^T
        into, BG = room.tall(view, "norms", 1), room.tall(view, "BG", PROBES)
        products: list[Product] = [Right(G, BG), Gram(G)] if probing else []  # A^T G, A A^T G
        answers, done, more = room.swept(view, A, RowNorms(into), *products)
        norms = scaled(Standing(into), 2 * more)
        if not probing:
            return Inner(norms, norms, (done + more,) * 2)
        ABG = ResidentTall(times_power(answers[2], 2 * more))
        return Inner(norms, norms, (done + more,) * 2, _rescaled(BG, more), ABG, _energy(ABG.array))
    answers, done, more = room.swept(view, A, ColumnNorms(), *([Gram(G)] if probing else []))
    norms = Listed(times_power(answers[0], 2 * more))
    # ||A^T A G||^2 / l estimates ||A^T A||_F^2 = ||A A^T||_F^2
    energy = _energy(times_power(answers[1], 2 * more)) if probing else None
    return Inner(norms, norms, (done + more,) * 2, energy=energy)


@dataclass(frozen=True)
class Room:
    """Where the first read keeps what it finds."""

    workspace: Workspace
    journal: Journal

    def tall(self, view: Matrix, name: str, columns: int) -> Tall:
        """A tall array along the swept side."""
        dtype = FLOAT if columns == 1 else view.dtype
        return self.workspace.tall(name, (view.shape[0], columns), dtype, view.geometry.tall_rows)

    def swept(self, view: Matrix, A: Matrix, *products: Product) -> tuple[tuple[Any, ...], int, int]:
        """A sweep of 2^done times the view of A, and `more`, the power that its answers lack."""

        def sweep() -> tuple[Any, ...]:
            answers, tally, used = in_range(view, *products)
            return *answers, tally.energy, used.transform.unit

        *answers, energy, unit = self.journal.once(sweep)
        done = math.frexp(float(unit) / view.transform.unit)[1] - 1
        return tuple(answers), done, unit_power(math.sqrt(float(energy)), A.dtype)


def _rescaled(tall: Tall, power: int) -> Tall:
    return Rescaled(tall, power) if power else tall


def kept(A: Matrix, workspace: Workspace, name: str) -> tuple[Weights, int] | None:
    """Squared norms of the columns of 2^a A as they are kept beside its store, and a."""
    view, turned = oriented(A)
    into = workspace.tall(name, (view.shape[0], 1), FLOAT, view.geometry.tall_rows)
    found = kept_norms(view, into)
    if found is None:
        return None
    power = unit_power(found.frobenius, A.dtype)
    return scaled(Standing(into) if turned else Listed(found.across), 2 * power), power


def _right(B: Matrix, room: Room, seed: int, *, probing: bool) -> _Side:
    """Squared norms of the rows of B, and B G."""
    view, turned = _wide(B)
    p = B.shape[1]
    products: list[Product]
    if not turned:
        into, BG = room.tall(view, "right_norms", 1), None
        products = [RowNorms(into)]
        if probing:
            BG = room.tall(view, "BG", PROBES)
            products.append(Right(normal(seed, PROBE_NAME, p, PROBES, tile_rows=GAUSSIAN_TILE), BG))
        _, done, more = room.swept(view, B, *products)
        return _Side(scaled(Standing(into), 2 * more), BG and _rescaled(BG, more), done + more)
    products = [ColumnNorms()]
    if probing:
        products.append(Left(Normal(seed, PROBE_NAME, (p, PROBES))))  # G^T B^T = (B G)^T
    (norms, *rest), done, more = room.swept(view, B, *products)
    probes = ResidentTall(times_power(np.ascontiguousarray(rest[0].T), more)) if rest else None
    return _Side(Listed(times_power(norms, 2 * more)), probes, done + more)


def _left(A: Matrix, BG: Tall | None, room: Room) -> _Side:
    """Squared norms of the columns of A, A (B G), and ||A B G||_F^2 / l."""
    view, turned = _wide(A)
    products: list[Product]
    if turned:
        into = room.tall(view, "left_norms", 1)
        products = [RowNorms(into)]
        if BG is not None:
            products.append(Left(BG, conjugate=False))  # (B G)^T A^T = (A B G)^T
        (_, *rest), done, more = room.swept(view, A, *products)
        norms = scaled(Standing(into), 2 * more)
        if BG is None:
            return _Side(norms, None, done + more)
        probes = times_power(np.ascontiguousarray(rest[0].T), more)
        return _Side(norms, ResidentTall(probes), done + more, _energy(probes))
    if BG is None:
        (found,), done, more = room.swept(view, A, ColumnNorms())
        return _Side(Listed(times_power(found, 2 * more)), None, done + more)
    X, ABG = whole(BG), room.tall(view, "ABG", PROBES)
    (found, _, energy), done, more = room.swept(view, A, ColumnNorms(), Right(X, ABG), Distance(X))
    norms = Listed(times_power(found, 2 * more))
    return _Side(norms, _rescaled(ABG, more), done + more, math.ldexp(float(energy), 2 * more) / PROBES)


def _wide(A: Matrix) -> tuple[Matrix, bool]:
    view, turned = oriented(A)
    return view.astype(accumulator_dtype(view.dtype)), turned


def _energy(Z: Array) -> float:
    return float(np.vdot(Z, Z).real) / PROBES


def whole(tall: Tall) -> Array:
    """A tall matrix that is short."""
    return np.asarray(tall.source.read(slice(0, tall.shape[0]), slice(0, tall.shape[1])))


@dataclass(frozen=True)
class Outer:
    """Weights of the terms a_j b_j^T, and their squared norms |a_j|^2 |b_j|^2."""

    inner: Inner
    kind: str  # "product", "norm-squared", "uniform" or "given"
    given: Weights | None = None

    @property
    def size(self) -> int:
        """N."""
        return self.inner.left.size

    def squares(self, rows: slice) -> Array:
        """|a_j|^2 |b_j|^2 of some terms."""
        return self.inner.left.strip(rows) * self.inner.right.strip(rows)

    def strip(self, rows: slice) -> Array:
        """Weights of some terms; zero terms are never drawn."""
        left, right = self.inner.left.strip(rows), self.inner.right.strip(rows)
        there = (left > 0) & (right > 0)
        if self.kind == "product":
            return np.sqrt(left) * np.sqrt(right)
        if self.kind == "norm-squared":
            return np.where(there, left, 0.0)
        if self.kind == "uniform" or self.given is None:
            return there.astype(np.float64)
        found = self.given.strip(rows)
        lost = np.flatnonzero(there & (found == 0))
        if lost.size:
            msg = (
                f"weight {rows.start + int(lost[0])} is zero, and that column of A and row of B are not: it could "
                "never be drawn, and the product would be wrong on average; give it a positive weight"
            )
            raise RequestError(msg)
        return np.where(there, found, 0.0)


@dataclass(frozen=True)
class Spread:
    """Sums over all terms."""

    terms: int  # that are not zero
    second_moment: float  # D = sum w sum |a_j|^2 |b_j|^2 / w_j: E||C||_F^2 of one draw, C = a_j b_j^T / p_j


def priority_variance(outer: Outer, draws: Draws) -> float:
    """sum_j |a_j|^2 |b_j|^2 max(tau_j / w_j - 1, 0) over all terms, whose mean over draws is E||A B - C||_F^2.

    Given the other numbers, term j is drawn when w_j / u_j is among the s largest: above tau_j, the s-th largest of the
    others, so with probability min(1, w_j / tau_j). For a term that was drawn tau_j is the threshold, for any other
    the least key that was drawn.
    """
    total = 0.0
    for rows in strips(outer.size):
        weights, squares = outer.strip(rows), outer.squares(rows)
        keys = np.full(weights.size, draws.least)
        first, last = np.searchsorted(draws.indices, [rows.start, rows.stop])
        keys[draws.indices[first:last] - rows.start] = draws.threshold
        there = weights > 0
        total += float((squares[there] * np.maximum(keys[there] / weights[there] - 1.0, 0.0)).sum())
    return total


def spread(outer: Outer) -> Spread:
    """The sums that the expected error follows from, in strips."""
    total, ratio, terms = 0.0, 0.0, 0
    for rows in strips(outer.size):
        weights, squares = outer.strip(rows), outer.squares(rows)
        there = weights > 0
        total += float(weights.sum())
        ratio += float((squares[there] / weights[there]).sum())
        terms += int(np.count_nonzero(there))
    return Spread(terms, total * ratio)
