"""Orthonormal vectors for zero singular values: a matrix of rank r < k still gets k left and right vectors.

Left vectors are random rows X (addressed by row, so of no chunking) less their part in span(U), orthonormalised through
the Gram matrix; one read of Y to find it and one to write, none of A.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg

from rnla.arrays import Array, accumulator_dtype
from rnla.kernels.subspaces import Factors, orth
from rnla.streams import normal, normal_rows
from rnla.sweeps.blocks import Block
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.products import Sum
from rnla.sweeps.source import Tall, Workspace

STREAM = "completion"


@dataclass(frozen=True)
class Overlap(Sum):
    """[U X]^H X with U = Y C and X the random rows: (k', missing)."""

    C: Array
    missing: int

    def panel(self, block: Block) -> Array:
        """Partial of one block."""
        U, X = _rows(block, self.C, self.missing)
        return np.asarray(np.hstack([U, X]).conj().T @ X)


@dataclass(frozen=True)
class Completed(Sum):
    """[U, (X - U (U^H X)) T], row-wise."""

    C: Array
    missing: int
    inside: Array  # (r, missing) U^H X
    T: Array  # (missing, missing)
    into: Tall

    def panel(self, block: Block) -> Array:
        """Rows of the completed left vectors."""
        U, X = _rows(block, self.C, self.missing)
        return np.hstack([U, (X - U @ self.inside) @ self.T])

    def finish(self, total: Any) -> Tall:
        """The tall matrix."""
        return self.into


def _rows(block: Block, C: Array, missing: int) -> tuple[Array, Array]:
    Y = block.dense()
    X = normal_rows(0, STREAM, block.rows, missing, complex_=np.iscomplexobj(Y))
    return Y @ C, X


def complete(A: Matrix, found: Factors, Y: Tall, missing: int, workspace: Workspace) -> tuple[Array, Array, Tall]:
    """s, Vh and the left vectors themselves, with `missing` triplets of sigma = 0 added."""
    wide = accumulator_dtype(A.dtype)
    rank = found.s.size
    view = A.over(Y.source)
    (overlap,) = view.sweep(Overlap(found.C, missing))
    inside, gram = overlap[:rank], overlap[rank:]
    rest = gram - inside.conj().T @ inside
    T = scipy.linalg.inv(scipy.linalg.cholesky((rest + rest.conj().T) / 2))
    U = workspace.tall("completed", (A.shape[0], rank + missing), wide, A.geometry.tall_rows)
    view.sweep(Completed(found.C, missing, inside, T, U))
    V = found.Vh.conj().T
    fresh = orth(normal(0, STREAM, V.shape[0], missing, complex_=wide.kind == "c"), against=V)
    return np.append(found.s, np.zeros(missing)), np.vstack([found.Vh, fresh.conj().T]), U
