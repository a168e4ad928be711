"""Squared norms of rows and columns, and the Frobenius norm, in one read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnla.arrays import Array, accumulator_dtype
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.products import ColumnNorms, RowNorms, SumOfSquares
from rnla.sweeps.settling import in_range, settled_by_moments
from rnla.sweeps.source import Tall, Workspace


@dataclass(frozen=True, repr=False)
class Norms:
    """Squared norms of a matrix."""

    columns: Any  # (n,) sum_i |a_ij|^2
    rows: Any  # (m,) sum_j |a_ij|^2
    frobenius: float  # ||A||_F

    def __repr__(self) -> str:
        m, n = self.rows.shape[0], self.columns.shape[0]
        return f"Norms({m:,} x {n:,}: ||A||_F = {self.frobenius:.6g})"


def norms(A: Matrix, workspace: Workspace) -> tuple[Array, Tall, float]:
    """Squared norms across the swept side (n,), along it (m, 1), and ||A||_F, for a matrix swept by rows."""
    view = settled_by_moments(A.astype(accumulator_dtype(A.dtype)))
    into = workspace.tall("norms", (A.shape[0], 1), np.dtype(np.float64), A.geometry.tall_rows)
    (columns, _, energy), _, used = in_range(view, ColumnNorms(), RowNorms(into), SumOfSquares())
    unit = used.transform.unit / A.transform.unit
    if unit != 1.0:
        raise _out_of_range(unit)
    return columns, into, float(np.sqrt(energy))


def _out_of_range(unit: float) -> Exception:
    from rnla.errors import OverflowedError

    return OverflowedError(
        f"squares of the entries leave the range of the precision by a factor of about {unit:.1e} squared; "
        "scale the matrix: A.weighted(columns=...)"
    )
