"""The singular value decomposition of a stored matrix, with its certificate.

Orient the matrix along its longer side, sweep it by the method that the plan chose, then turn Y = A Q (on disk) into
U = Y C with one read of Y, which is l columns wide and not a read of A.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rnla.algorithms.certificate import Evidence, Residual, certificate, hidden_energy, spectrum_of
from rnla.algorithms.completion import complete
from rnla.algorithms.krylov import Extra, Krylov, extract, rank_within
from rnla.algorithms.lifecycle import Checkpoints, iterate
from rnla.algorithms.planning import Request, chosen, oriented, sweeps_of, width_of
from rnla.algorithms.results import Certificate, explained
from rnla.algorithms.streaming import stream
from rnla.arrays import Array, DType, accumulator_dtype
from rnla.errors import OverflowedError
from rnla.kernels.blas import single_blas_thread
from rnla.kernels.subspaces import Factors, column_peaks, phases
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.products import Peaks, Right
from rnla.sweeps.source import Tall, Workspace

LARGEST = float(np.finfo(np.float64).max)


class Triplets(NamedTuple):
    """U diag(s) Vh of the matrix as it was swept; and what was learnt of the view.

    When it was swept as its transpose, the tall side holds the right vectors of the matrix that was given: column i of
    `tall` is row i of its Vt, and `short` holds its left vectors (times s, if scores were asked for).
    """

    tall: Tall  # (m, k) U (or scores) of the matrix, or V when transposed
    s: Array  # (k,)
    short: Array  # Vt (k, n); or, when transposed, U or scores (n, k)
    transposed: bool
    certificate: Certificate
    method: str
    centre: Array | None  # (n,) means of the columns, when those are the short side
    scale: Array | None  # (n,) what columns were multiplied by
    moments: Tall | None  # (m, 2) means and deviations of the columns, when those are the long side
    shares: Array  # (k,) part of ||A||_F^2 that each mode carries
    squares: tuple[Array, Tall] | None = None  # squared norms, (n,) across and (m, 1) along; None when out of range


@dataclass(frozen=True)
class Swept:
    """Factors over a tall Y before signs and truncation: U = Y C."""

    Y: Tall
    C: Array
    s: Array
    Vh: Array
    evidence: Evidence | Residual
    unit: float
    centre: Array | None
    scale: Array | None
    squares: Array  # (n,) squared norms of the columns, if wanted


def factorise(A: Matrix, request: Request, workspace: Workspace, checkpoints: Checkpoints | None = None) -> Triplets:
    """Leading singular triplets of A by the method its plan names."""
    view, transposed = oriented(A)
    method, _ = chosen(view, request)
    extra = _extra(view, request, workspace)
    with single_blas_thread():
        if method == "merge":
            swept = _streamed(view, request, workspace, extra)
        else:
            swept = _iterated(view, request, method, workspace, checkpoints, extra)
        return _finished(view, swept, request, workspace, method=method, transposed=transposed, extra=extra)


def _extra(A: Matrix, request: Request, workspace: Workspace) -> Extra:
    """Places for what else is wanted of each row."""

    def tall(name: str, columns: int, dtype: DType) -> Tall:
        return workspace.tall(name, (A.shape[0], columns), dtype, A.geometry.tall_rows)

    moments = tall("moments", 2, accumulator_dtype(A.dtype)) if request.means and A.own_means else None
    return Extra(moments, tall("squares", 1, np.dtype(np.float64)) if request.squares else None)


def _iterated(
    A: Matrix,
    request: Request,
    method: str,
    workspace: Workspace,
    checkpoints: Checkpoints | None,
    extra: Extra,
) -> Swept:
    run = Krylov(
        A,
        workspace,
        request.k,
        width_of(A, request),
        sweeps_of(method, request, A),
        request.oversample,
        request.seed,
        method,  # type: ignore[arg-type]
        request.tolerance,
        extra,
        request.rough,
    )
    found = extract(run, iterate(run, checkpoints))
    view = found.view.transform
    return Swept(
        found.Y,
        found.factors.C,
        found.factors.s,
        found.factors.Vh,
        found.evidence,
        found.unit,
        view.centre,
        view.scale,
        found.squares,
    )


def _streamed(A: Matrix, request: Request, workspace: Workspace, extra: Extra) -> Swept:
    found = stream(A, width_of(A, request), request.seed, workspace, extra)
    identity = np.eye(found.s.size, dtype=found.Vh.dtype)
    return Swept(found.Y, identity, found.s, found.Vh, found.residual, found.unit, found.centre, None, found.squares)


def _finished(
    A: Matrix,
    swept: Swept,
    request: Request,
    workspace: Workspace,
    *,
    method: str,
    transposed: bool,
    extra: Extra,
) -> Triplets:
    """Truncation to rank k, certificate, signs, and the tall factor."""
    s, Vh, C = swept.s, swept.Vh, swept.C
    known = spectrum_of(swept.evidence, s)
    hidden = hidden_energy(swept.evidence, known, s.size)
    k = request.k or rank_within(s, swept.evidence.energy, request.tolerance or 0.0, hidden) or s.size
    s, Vh, C, Y = completed(A, swept, k, workspace)
    proof = certificate(swept.evidence, known, s, Vh, k, tolerance=request.tolerance)
    if proof.frobenius_norm / LARGEST > swept.unit:
        msg = "the matrix's norm exceeds the range of float64; divide the data by a power of two"
        raise OverflowedError(msg)
    proof = proof.in_units(swept.unit)
    tall = A.over(Y.source)
    lead = C[:, :k]
    # U diag(s) Vh stays when column i of U is multiplied by a_i and row i of Vh by conj(a_i), |a_i| = 1
    if transposed:  # the tall side holds the right vectors of the matrix that was given
        (peaks,) = tall.sweep(Peaks(lead))
        turn = phases(peaks)
    else:
        turn = phases(column_peaks(Vh[:k].T)).conj()
    sigma = s[:k] / swept.unit
    lengths = sigma if request.scores else np.ones(k)
    named = request.names[1 if transposed else 0]
    out = workspace.tall(named, (Y.shape[0], k), A.dtype, A.geometry.tall_rows, across=transposed)
    tall.sweep(Right(lead * turn * (1.0 if transposed else lengths), out))
    rows = turn.conj()[:, None] * Vh[:k]
    short = (rows.T * lengths if transposed else rows).astype(A.dtype)
    shares = explained(s[:k], swept.evidence.energy)
    squares = None if extra.squares is None or swept.unit != 1.0 else (swept.squares, extra.squares)
    return Triplets(
        out, sigma, short, transposed, proof, method, swept.centre, swept.scale, extra.moments, shares, squares
    )


def completed(A: Matrix, swept: Swept, k: int, workspace: Workspace) -> tuple[Array, Array, Array, Tall]:
    """Factors with at least k triplets: where A has lower rank than k, orthonormal vectors with sigma = 0 are added."""
    s, Vh, C, Y = swept.s, swept.Vh, swept.C, swept.Y
    missing = k - s.size
    if missing <= 0:
        return s, Vh, C, Y
    s, Vh, Y = complete(A, Factors(C, s, Vh), Y, missing, workspace)
    return s, Vh, np.eye(Y.shape[1], dtype=C.dtype), Y
