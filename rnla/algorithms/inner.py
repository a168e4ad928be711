"""What one read of A and one of B tell of A B: norms of the columns of A and rows of B, and Gaussian probes.

B is read first: B G with a Gaussian G of l columns comes with its norms, and A (B G) with those of A, so that
||A B G||_F^2 / l is an unbiased estimate of ||A B||_F^2, and later probes tell the error of any approximation of A B.
Each matrix is swept along its longer side. When B is A^T, both are one matrix and one read gives both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnla.algorithms.draws import Listed, Standing, Weights, strips
from rnla.algorithms.norms import kept_norms
from rnla.algorithms.planning import oriented
from rnla.arrays import Array, accumulator_dtype
from rnla.errors import RequestError
from rnla.streams import normal
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.products import ColumnNorms, Gram, Left, Product, Right, RowNorms
from rnla.sweeps.sampled import Distance
from rnla.sweeps.settling import settled_by_moments
from rnla.sweeps.sketches import Normal
from rnla.sweeps.source import ResidentTall, Tall, Workspace

PROBES = 20
PROBE_NAME = "probes of a product"
FLOAT = np.dtype(np.float64)


@dataclass(frozen=True)
class Inner:
    """What the first read tells."""

    left: Weights  # (N,) squared norms of the columns of A
    right: Weights  # (N,) squared norms of the rows of B
    BG: Tall | None = None  # (N, l)
    ABG: Tall | None = None  # (m, l)
    energy: float | None = None  # estimate of ||A B||_F^2


def settled(A: Matrix) -> Matrix:
    """The view with its own means known; they take a read."""
    if A.own_means:
        return settled_by_moments(A.T).T
    return settled_by_moments(A)


def twins(A: Matrix, B: Matrix) -> bool:
    """Whether B is A^T, real, and seen in the same way."""
    if A.shape != B.shape[::-1] or type(A.source) is not type(B.source) or "c" in {A.dtype.kind, B.dtype.kind}:
        return False
    ours, theirs = A.transform, B.transform.transposed
    names = ("centre", "row_centre", "scale", "weights", "fill")
    alike = all(_same(getattr(ours, name), getattr(theirs, name)) for name in names)
    return alike and ours.missing == theirs.missing and A.source.identity == B.T.source.identity


def _same(a: Any, b: Any) -> bool:
    return a is b or (a is not None and b is not None and np.array_equal(a, b))


def measured(A: Matrix, B: Matrix, workspace: Workspace, seed: int, *, probing: bool) -> Inner:
    """Norms, and probes if they are wanted: one read of each."""
    right, BG = _right(B, workspace, seed, probing=probing)
    left, ABG, energy = _left(A, BG, workspace)
    return Inner(left, right, BG, ABG, energy)


def measured_twin(A: Matrix, workspace: Workspace, seed: int, *, probing: bool) -> Inner:
    """The same of A and A^T in one read; A A^T G only when A is swept along the inner side."""
    view, turned = _wide(A)
    G = normal(seed, PROBE_NAME, view.shape[1], PROBES)
    if turned:  # swept by the rows of A^T
        into, BG = _tall(view, workspace, "norms", 1), _tall(view, workspace, "BG", PROBES)
        if not probing:
            view.sweep(RowNorms(into))
            return Inner(Standing(into), Standing(into))
        _, _, ABG = view.sweep(RowNorms(into), Right(G, BG), Gram(G))  # A^T G, A A^T G
        return Inner(Standing(into), Standing(into), BG, ResidentTall(ABG), _energy(ABG))
    norms, *rest = view.sweep(ColumnNorms(), *([Gram(G)] if probing else []))
    # ||A^T A G||^2 / l estimates ||A^T A||_F^2 = ||A A^T||_F^2
    return Inner(Listed(norms), Listed(norms), energy=_energy(rest[0]) if rest else None)


def kept(A: Matrix, workspace: Workspace, name: str) -> Weights | None:
    """Squared norms of the columns of A as they are kept beside its store."""
    view, turned = oriented(A)
    into = workspace.tall(name, (view.shape[0], 1), FLOAT, view.geometry.tall_rows)
    found = kept_norms(view, into)
    if found is None:
        return None
    return Standing(into) if turned else Listed(found.across)


def _right(B: Matrix, workspace: Workspace, seed: int, *, probing: bool) -> tuple[Weights, Tall | None]:
    """Squared norms of the rows of B, and B G."""
    view, turned = _wide(B)
    p = B.shape[1]
    products: list[Product]
    if not turned:
        into, BG = _tall(view, workspace, "right_norms", 1), None
        products = [RowNorms(into)]
        if probing:
            BG = _tall(view, workspace, "BG", PROBES)
            products.append(Right(normal(seed, PROBE_NAME, p, PROBES), BG))
        view.sweep(*products)
        return Standing(into), BG
    products = [ColumnNorms()]
    if probing:
        products.append(Left(Normal(seed, PROBE_NAME, (p, PROBES))))  # G^T B^T = (B G)^T
    norms, *rest = view.sweep(*products)
    return Listed(norms), ResidentTall(np.ascontiguousarray(rest[0].T)) if rest else None


def _left(A: Matrix, BG: Tall | None, workspace: Workspace) -> tuple[Weights, Tall | None, float | None]:
    """Squared norms of the columns of A, A (B G), and ||A B G||_F^2 / l."""
    view, turned = _wide(A)
    products: list[Product]
    if turned:
        into = _tall(view, workspace, "left_norms", 1)
        products = [RowNorms(into)]
        if BG is not None:
            products.append(Left(BG, conjugate=False))  # (B G)^T A^T = (A B G)^T
        _, *rest = view.sweep(*products)
        if BG is None:
            return Standing(into), None, None
        return Standing(into), ResidentTall(np.ascontiguousarray(rest[0].T)), _energy(rest[0])
    if BG is None:
        (norms,) = view.sweep(ColumnNorms())
        return Listed(norms), None, None
    X = whole(BG)
    ABG = _tall(view, workspace, "ABG", PROBES)
    norms, _, energy = view.sweep(ColumnNorms(), Right(X, ABG), Distance(X))
    return Listed(norms), ABG, energy / PROBES


def _wide(A: Matrix) -> tuple[Matrix, bool]:
    view, turned = oriented(A)
    return view.astype(accumulator_dtype(view.dtype)), turned


def _tall(view: Matrix, workspace: Workspace, name: str, columns: int) -> Tall:
    dtype = FLOAT if columns == 1 else view.dtype
    return workspace.tall(name, (view.shape[0], columns), dtype, view.geometry.tall_rows)


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
