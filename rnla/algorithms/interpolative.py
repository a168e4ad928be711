"""Interpolative decomposition: A ~ C X with C columns of A and X the identity on them; two-sided, A ~ W A[I, J] X.

Columns are chosen as for a CUR (`cur`). X = C^+ A is the best there is for these columns, so its error is that of the
projection on them, exactly. Two-sided, rows I are then chosen of C alone, and C = W A[I, J] holds exactly when C has
full rank: the second side costs no error and no read of A (Cheng, Gimbutas, Martinsson and Rokhlin 2005).

A long side of columns (A wide, swept by its columns) needs C before anything can be projected on it: then C is read
first, only the chunks that hold it, and X is written in one more read.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
import scipy.sparse

from rnla.algorithms.bases import BasesCertificate, certified
from rnla.algorithms.cur import Choice, chosen_lines
from rnla.algorithms.lifecycle import Checkpoints
from rnla.algorithms.planning import oriented
from rnla.algorithms.selection import Side, selected, taken
from rnla.algorithms.skeleton import CUT, Basis, Explained, basis, gathered, left_over, square
from rnla.arrays import Array, accumulator_dtype, wide
from rnla.kernels.blas import single_blas_thread
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.picking import Rows
from rnla.sweeps.products import Inner, Right, SumOfSquares
from rnla.sweeps.settling import in_range
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


def interpolative(
    A: Matrix, choice: Choice, workspace: Workspace, checkpoints: Checkpoints | None = None, *, two_sided: bool = False
) -> Interpolation:
    """Columns of A and the matrix that gives all others from them."""
    view, transposed = oriented(A)
    with single_blas_thread():
        chosen = chosen_lines(A, view, replace(choice, both=False), workspace, checkpoints, transposed=transposed)
        explain = _by_the_long_side if transposed else _by_the_short_side
        J = chosen.along if transposed else chosen.across
        C, X, down, found = explain(view, J, workspace)
        proof = certified(found, float(found.column_errors[-1]), choice.k or len(J), chosen.known, choice.tolerance)
        rows, W = _second_side(A, C, down, choice, workspace) if two_sided else (None, None)
    return Interpolation(J, C, X, rows, W, transposed, proof)


def _by_the_short_side(A: Matrix, J: Array, workspace: Workspace) -> tuple[Tall, Array, Basis, Explained]:
    """C, X = C^+ A, and what C explains, for columns that each row has few of: one read."""
    found = gathered(A, J, None, workspace, "C")
    down = basis(found.triangle)
    QA = down.inverse.conj().T @ found.CA
    left = left_over(found.energy, QA)
    return found.C, down.inverse @ QA, down, Explained(found.energy, found.unit, down.condition, left, left)


def _by_the_long_side(A: Matrix, I: Array, workspace: Workspace) -> tuple[Array, Tall, Basis, Explained]:
    """The same for the transpose, swept by rows: its rows I are C^T, and row j of X^T is the j-th of A^T times C^+T."""
    lines = A.subset(rows=I).astype(accumulator_dtype(A.dtype))
    (C,), _, view = in_range(lines, Rows(np.arange(len(I))))
    C = np.asarray(C.toarray() if scipy.sparse.issparse(C) else C).T  # (n, c)
    down = basis(square(C))
    Q = C @ down.inverse
    unit = view.transform.unit
    whole = replace(A.astype(view.dtype), transform=replace(A.transform, unit=unit))
    into = workspace.tall("X", (A.shape[0], len(I)), whole.dtype, A.geometry.tall_rows, across=True)
    P = Q.conj() @ down.inverse.T
    _, G, energy = whole.sweep(Right(P, into), Inner(Q.conj()), SumOfSquares())
    left = np.maximum(energy - np.cumsum([0.0, *G.diagonal().real]), 0.0)
    stored = (C / unit).astype(A.source.dtype)
    return stored, into, down, Explained(energy, unit, down.condition, left, left)


def _second_side(
    A: Matrix, C: Tall | Array, down: Basis, choice: Choice, workspace: Workspace
) -> tuple[Array, Tall | Array]:
    """Rows I of C, and W with C = W C[I]; C is read, A is not: (c,), (m, c)."""
    F = A.over(Resident(C) if isinstance(C, np.ndarray) else C.source)
    Q = workspace.tall("basis", (F.shape[0], down.inverse.shape[1]), F.dtype, F.geometry.tall_rows)
    F.sweep(Right(down.inverse, Q))
    looked_at = F if choice.select == "norm-squared" else A.over(Q.source)
    count, width = F.shape[1], looked_at.shape[1]
    side = Side("rows of C", looked_at, np.eye(width), np.eye(width))
    rows = selected(side, choice.select, count, width, choice.seed)
    inverse = scipy.linalg.pinv(wide(taken(F, rows)), rtol=CUT)
    W = workspace.tall("W", (F.shape[0], len(rows)), F.dtype, F.geometry.tall_rows)
    F.sweep(Right(inverse, W))
    return rows, W
