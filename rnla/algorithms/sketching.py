"""S A for a random S of few rows: a summary of A that keeps its lengths, in one read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnla.algorithms.planning import oriented
from rnla.algorithms.results import Cost
from rnla.arrays import Array, DType
from rnla.checks import integer, one_of
from rnla.errors import OverflowedError, RequestError
from rnla.kernels.blas import single_blas_thread
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.products import Right
from rnla.sweeps.settling import settled_by_moments
from rnla.sweeps.sketches import KINDS, Across, Embedding, Sketch, lightest
from rnla.sweeps.source import Tall, Workspace
from rnla.sweeps.spans import Tally

DEVIATIONS = 16.0  # that a random sum of terms of one size stays under


@dataclass(frozen=True, repr=False)
class Sketched:
    """S A: (l, m), (m, n) -> (l, n)."""

    value: Any  # (l, n) numpy; a Dask array when A is stored and wide
    S: Embedding
    cost: Cost

    def __repr__(self) -> str:
        read = f"{self.cost.told}"
        return (
            f"Sketched({self.S.l:,} x {self.S.m:,} {self.S.kind} times {self.S.m:,} x {self.value.shape[1]:,}, {read})"
        )


def checked_sketch(A: Matrix, l: Any, kind: Any = "auto", seed: Any = 0) -> Embedding:
    """The embedding asked for, or an error that says what is allowed."""
    m, n = A.shape
    if min(m, n) < 1:
        msg = f"a matrix of shape {m} x {n} has no entries: there is nothing to sketch"
        raise RequestError(msg)
    count = integer(l, "l", least=1)
    if count > m:
        msg = f"l={count} must lie in 1..{m}: a sketch has no more rows than the matrix of shape {m} x {n}"
        raise RequestError(msg)
    one_of(kind, "kind", ("auto", *KINDS))
    found = lightest(A.source, count) if kind == "auto" else kind
    return Embedding(found, count, m, integer(seed, "seed"))


def sketched(A: Matrix, S: Embedding, workspace: Workspace) -> tuple[Array | Tall, bool]:
    """S A (l, n); or, when A is swept along its columns, its transpose as a tall matrix (n, l), and that it is that.

    Nothing is squared, so entries may be of any size whose sums the precision holds.
    """
    with single_blas_thread():
        view, turned = oriented(A)
        view = settled_by_moments(view)
        if not turned:
            (value,), tally = view.swept(Sketch(S))
            _refuse_beyond(tally, S.m, view.dtype)
            return value.astype(A.dtype), False
        into = workspace.tall("sketch", (view.shape[0], S.l), A.dtype, view.geometry.tall_rows)
        _, tally = view.swept(Across(S, into) if S.sparse else Right(S.transpose(), into))  # A^T S^T
        _refuse_beyond(tally, S.m, view.dtype)
        return into, True


def _refuse_beyond(tally: Tally, m: int, dtype: DType) -> None:
    """OverflowedError where a sum of m signed entries of the largest size may leave the range of the precision."""
    if tally.largest * DEVIATIONS * math.sqrt(m) > float(np.finfo(dtype).max):
        msg = (
            f"entries up to {tally.largest:.3g}: sums of {m:,} of them may leave the range of {dtype}; convert the "
            "data to float64, A.astype('f8'), or rescale it"
        )
        raise OverflowedError(msg)
