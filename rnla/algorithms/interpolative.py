"""Interpolative decomposition: A ~ C X with C columns of A and X the identity on them; two-sided, A ~ W A[I, J] X.

Columns are chosen as for a CUR (`cur`). X = C^+ A is the best there is for these columns, so its error is that of the
projection on them, exactly. Two-sided, C = Q W with Q orthonormal and rows I on which Q has full rank: then C = W C[I]
with W = Q Q[I]^+, and the second side costs no error and no read of A (Cheng, Gimbutas, Martinsson and Rokhlin 2005).

A long side of columns (A wide, swept by its columns) needs C before anything can be projected on it: then C is read
first, only the chunks that hold it, and X is written in one more read.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from rnla.algorithms.bases import BasesCertificate, certified
from rnla.algorithms.cur import Choice, known_of, one_side
from rnla.algorithms.lifecycle import Checkpoints
from rnla.algorithms.planning import oriented
from rnla.algorithms.selection import spanning, taken
from rnla.algorithms.skeleton import Basis, Explained, basis, gathered, left_over, square
from rnla.arrays import Array, accumulator_dtype
from rnla.kernels.blas import single_blas_thread
from rnla.kernels.sparse import densified
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.picking import Interpolant, Rows
from rnla.sweeps.products import Inner, Right, SumOfSquares
from rnla.sweeps.settling import in_range, in_unit_for
from rnla.sweeps.source import Resident, Tall, Workspace


class Interpolation(NamedTuple):
    """A ~ C X, and C = W C[I] where rows were wanted too."""

    columns: Array  # (c,) indices
    C: Any  # (m, c) a Tall, or an array when A was swept by its transpose
    X: Any  # (c, n) an array, or a Tall (n, c) kept as its transpose
    rows: Array | None  # (c,)
    W: Any  # (m, c) like C; None unless two-sided
    transposed: bool
    certificate: BasesCertificate


class Projected(NamedTuple):
    """A ~ C X and what it leaves; Q is an orthonormal basis of C."""

    C: Any
    X: Any
    down: Basis  # C = Q down.W
    explained: Explained
    inner: Array  # (d, d) Q^H A A^H Q, in units of the sweep


def interpolative(
    A: Matrix, choice: Choice, workspace: Workspace, checkpoints: Checkpoints | None = None, *, two_sided: bool = False
) -> Interpolation:
    """Columns of A and the matrix that gives all others from them."""
    view, transposed = oriented(A)
    with single_blas_thread():
        known = known_of(A, view, choice, workspace, checkpoints)
        J = one_side(view, known, choice, workspace, transposed=transposed)
        found = (_by_the_long_side if transposed else _by_the_short_side)(view, J, known.norm, workspace)
        error, rows, W = float(found.explained.column_errors[-1]), None, None
        if two_sided:
            rows, W, more = _second_side(A, found, workspace)
            error += more
        proof = certified(found.explained, error, choice.k or len(J), known.spectrum, choice.tolerance)
    return Interpolation(J, found.C, found.X, rows, W, transposed, proof)


def _by_the_short_side(A: Matrix, J: Array, norm: float | None, workspace: Workspace) -> Projected:
    """C, X = C^+ A, and what C explains, for columns that each row has few of: one read."""
    found = gathered(A, J, None, workspace, "C", norm=norm)
    down = basis(found.triangle)
    QA = down.inverse.conj().T @ found.CA
    left = left_over(found.energy, QA)
    X = down.inverse @ QA
    X[:, J] = np.eye(len(J))
    explained = Explained(found.energy, found.unit, down.condition, left, left)
    return Projected(found.C, X, down, explained, QA @ QA.conj().T)


def _by_the_long_side(A: Matrix, I: Array, norm: float | None, workspace: Workspace) -> Projected:
    """The same for the transpose, swept by rows: its rows I are C^T, and row j of X^T is the j-th of A^T times C^+T."""
    lines = in_unit_for(A.astype(accumulator_dtype(A.dtype)), norm).subset(rows=I)
    (C,), _, view = in_range(lines, Rows(np.arange(len(I))))
    C = densified(C).T  # (n, c)
    down = basis(square(C))
    Q = C @ down.inverse
    unit = view.transform.unit
    whole = replace(A.astype(view.dtype), transform=replace(A.transform, unit=unit))
    into = workspace.tall("X", (A.shape[0], len(I)), whole.dtype, A.geometry.tall_rows, across=True)
    P = Q.conj() @ down.inverse.T
    _, G, energy = whole.sweep(Interpolant(P, I, into), Inner(Q.conj()), SumOfSquares())
    left = np.maximum(energy - np.cumsum([0.0, *G.diagonal().real]), 0.0)
    stored = (C / unit).astype(A.source.dtype)
    explained = Explained(energy, unit, down.condition, left, left)
    return Projected(stored, into, down, explained, G.conj())


def _second_side(A: Matrix, found: Projected, workspace: Workspace) -> tuple[Array, Tall | Array, float]:
    """Rows I of C, W with C = W C[I], and by how much that lacks: (c,), (m, c), ||(C - W C[I]) X||_F^2.

    C is read, A is not. Whatever the columns were chosen by, rows must span those of C: they are pivots of Q.
    """
    F = A.over(Resident(found.C) if isinstance(found.C, np.ndarray) else found.C.source)
    F = replace(F, transform=replace(F.transform, unit=found.explained.unit))
    (c, d), rows, lines = found.down.inverse.shape, np.arange(F.shape[1]), np.zeros((F.shape[1], 0))
    if d:
        into = workspace.tall("basis", (F.shape[0], d), F.dtype, F.geometry.tall_rows)
        F.sweep(Right(found.down.inverse, into))
        Q = A.over(into.source)
        rows = spanning(Q, c)
        lines = taken(Q, rows)
    inverse = np.linalg.pinv(lines)
    W = workspace.tall("W", (F.shape[0], len(rows)), F.dtype, F.geometry.tall_rows)
    F.sweep(Interpolant(found.down.inverse @ inverse, rows, W))
    lacking = np.eye(d) - inverse @ lines  # (C - W C[I]) X = Q (1 - Q[I]^+ Q[I]) Q^H A
    return rows, W, float(np.sum((lacking @ found.inner) * lacking.conj()).real)
