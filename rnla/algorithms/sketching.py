"""S A for a random S of few rows: a summary of A that keeps its lengths, in one read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rnla.algorithms.planning import oriented
from rnla.algorithms.results import Cost
from rnla.arrays import Array
from rnla.checks import integer, one_of
from rnla.errors import RequestError
from rnla.kernels.blas import single_blas_thread
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.products import Right
from rnla.sweeps.settling import settled_by_moments
from rnla.sweeps.sketches import KINDS, Embedding, Sketch, lightest
from rnla.sweeps.source import Tall, Workspace


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
    """S A (l, n); or, when A is swept along its columns, its transpose as a tall matrix (n, l), and that it is that."""
    with single_blas_thread():
        view, turned = oriented(A)
        view = settled_by_moments(view)
        if not turned:
            (value,) = view.sweep(Sketch(S))
            return value.astype(A.dtype), False
        into = workspace.tall("sketch", (view.shape[0], S.l), A.dtype, view.geometry.tall_rows)
        view.sweep(Right(S.transpose(), into))  # A^T S^T
        return into, True
