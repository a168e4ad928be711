"""What chosen columns and rows explain of A, exactly, in the one sweep that gathers them.

With C = A[:, J] = Q_C R_C and R = A[I] = L Q_R^H, one read gives C, R, R_C (TSQR) and C^H A, hence
Q_C^H A = R_C^-H (C^H A), and of any middle matrix M, without another read,

    ||A - C M R||_F^2 = ||A||_F^2 - ||K||_F^2 + ||K - R_C M L||_F^2,     K = Q_C^H A Q_R.

M = R_C^-1 K L^-1 = C^+ A R^+ makes the last term vanish: it is the best there is (Stewart 1999). The sweep multiplies
in float64, because K is as good as rounding times the condition of C (columns brought to one length).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
import scipy.sparse

from rnla.arrays import Array, accumulator_dtype
from rnla.errors import OverflowedError
from rnla.kernels.sparse import densified
from rnla.kernels.subspaces import svd
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.picking import ColumnProducts, Columns, Rows, Triangle, identity_columns, squared_up, triangle
from rnla.sweeps.settling import in_unit_for, in_unit_of
from rnla.sweeps.source import Tall, Workspace
from rnla.sweeps.spans import energy_range, overflowed

CUT = 1e-10  # directions of C or R below this, relative, are rounding: with them K would be right to 1e-6 only
EPS = float(np.finfo(np.float64).eps)


class Gathered(NamedTuple):
    """What the sweep gives, for a matrix that is swept by rows; all but C and R in units of the sweep."""

    C: Tall  # (m, c) columns of A as they are stored; the first ones, if so many were to be kept
    R: Any  # (r, n) rows of A as they are stored, numpy or scipy.sparse; None if none were asked for
    CA: Array  # (c, n) C^H A
    triangle: Array  # (c, c) R_C
    energy: float  # ||A||_F^2
    unit: float  # what the matrix was multiplied by

    def part(self, columns: slice, rows: slice) -> Gathered:
        """The same of some of the columns and rows."""
        return self._replace(R=self.R[rows], CA=self.CA[columns], triangle=square(self.triangle[:, columns]))


def gathered(
    A: Matrix,
    J: Array,
    I: Array | None,
    workspace: Workspace,
    name: str,
    *,
    across: bool = False,
    norm: float | None = None,
    kept: int | None = None,
) -> Gathered:
    """Columns J and rows I of A, and what the columns explain: one read. Only the first `kept` columns are written.

    Two if squares leave the range of float64 and ||A||_F, by which the unit is found, is not known.
    """
    view = in_unit_for(A.astype(accumulator_dtype(A.dtype)), norm)
    own = J[:kept]
    C = workspace.tall(name, (A.shape[0], len(own)), A.source.dtype, A.geometry.tall_rows, across=across)
    X = identity_columns(A.shape[1], J if view.geometry.reads == 2 else J[:0])  # only strips in parts multiply by it
    low, high = energy_range(view.dtype)
    for _ in range(2):
        unit = view.transform.unit
        rows = [] if I is None else [Rows(I, unit)]
        (CA, triangle, _, *R), tally = view.swept(
            ColumnProducts(J, X), Triangle(J, X), Columns(own, X[:, :kept], C, unit), *rows
        )
        if tally.largest == 0 or low <= tally.energy <= high:
            lines = R[0].astype(A.source.dtype) if R else None
            return Gathered(C, lines, CA, triangle, tally.energy, unit)
        view = in_unit_of(view, tally.largest)
    raise overflowed(tally, view.dtype)


class Basis(NamedTuple):
    """A = B W, B with orthonormal columns: how lines of A span their space, dependent lines left out."""

    W: Array  # (d, c) the lines in the basis, graded: line j needs the first j + 1 directions at most
    inverse: Array  # (c, d) pseudo-inverse of W
    condition: float  # of the lines, brought to one length


def basis(triangle: Array) -> Basis:
    """The numerical range of lines from their triangular factor (c, c), by SVD of unit columns."""
    lengths = np.linalg.norm(triangle, axis=0)
    inverse = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    u, s, vh = svd(triangle * inverse)
    kept = s > CUT * s[0] if s.size and s[0] > 0 else np.zeros(s.size, bool)
    u, s, vh = u[:, kept], s[kept], vh[kept]
    turn = np.eye(int(kept.sum()), dtype=u.dtype)
    if s.size:  # turn the basis so that it grows with the lines, in their order
        turn = scipy.linalg.qr(s[:, None] * vh)[0]
    W = (turn.conj().T * s) @ vh * lengths
    pseudo = inverse[:, None] * (vh.conj().T / s) @ turn
    return Basis(W, pseudo, float(s[0] / s[-1]) if s.size else 1.0)


class Explained(NamedTuple):
    """What lines of A explain of it; energies in units of the sweep."""

    energy: float  # ||A||_F^2
    unit: float
    condition: float  # of C
    column_errors: Array  # (d + 1,) ||A - Q_j Q_j^H A||_F^2 of the first j columns
    errors: Array  # (.,) ||A - C_j M_j R_j||_F^2 of the first j columns and rows, M_j optimal


def square(lines: Array) -> Array:
    """R of lines = Q R with a row for each line: (n, r) -> (r, r)."""
    return squared_up(triangle(np.array(lines)))


class Skeleton(NamedTuple):
    """A ~ C M R with everything that says how well."""

    C: Tall
    R: Any
    columns: Basis  # of C
    rows: Basis  # of R^H
    QA: Array  # (d, n) Q_C^H A
    K: Array  # (d, e) Q_C^H A Q_R
    energy: float
    unit: float

    @property
    def optimal(self) -> Array:
        """M = C^+ A R^+, in the data's units: (c, r)."""
        return self.columns.inverse @ self.K @ self.rows.inverse.conj().T * self.unit

    def misfit(self, M: Array) -> float:
        """||K - R_C M L||_F^2 of a middle matrix (c, r) in the data's units; the answer is in those of the sweep."""
        reached = self.columns.W @ (M / self.unit) @ self.rows.W.conj().T
        return float(np.linalg.norm(self.K - reached) ** 2)

    def error(self, M: Array) -> float:
        """||A - C M R||_F^2."""
        best = max(self.energy - float(np.linalg.norm(self.K) ** 2), 0.0)
        return best + self.misfit(M)

    @property
    def explained(self) -> Explained:
        """Errors by the number of columns and rows taken."""
        inner = np.cumsum(np.cumsum(np.abs(self.K) ** 2, axis=0), axis=1)
        errors = np.maximum(self.energy - np.array([0.0, *inner.diagonal()]), 0.0)
        return Explained(self.energy, self.unit, self.columns.condition, left_over(self.energy, self.QA), errors)


def left_over(energy: float, QA: Array) -> Array:
    """||A - Q_j Q_j^H A||_F^2 for the first j = 0..d of orthonormal Q, from Q^H A: (d + 1,)."""
    return np.maximum(energy - np.cumsum([0.0, *np.sum(np.abs(QA) ** 2, axis=1)]), 0.0)


def skeleton(found: Gathered) -> Skeleton:
    """The algebra after the sweep; nothing is read."""
    lines = densified(found.R).astype(found.CA.dtype) * found.unit
    if not np.all(np.isfinite(lines)):
        msg = "rows of the matrix leave the range of float64"
        raise OverflowedError(msg)
    down, over = basis(found.triangle), basis(square(lines.conj().T))
    QR, turn = np.linalg.qr(lines.conj().T @ over.inverse)  # orthonormal but for rounding: turn is nearly diag(+-1)
    over = over._replace(W=QR.conj().T @ lines.conj().T, inverse=over.inverse @ np.linalg.inv(turn))
    QA = down.inverse.conj().T @ found.CA
    return Skeleton(found.C, found.R, down, over, QA, QA @ QR, found.energy, found.unit)
