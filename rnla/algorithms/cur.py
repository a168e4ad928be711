"""CUR: A ~ C M R with C columns and R rows of A itself, which stay sparse, positive and keep their names.

The leading singular vectors say which columns and rows to take (`selection`), one more read gathers them and tells what
they explain (`skeleton`). Strang calls it CMR.

    sweep 1 .. p-1:  A ~ U diag(s) Vh (svd);   J from diag(s) Vh, I from U diag(s)
    sweep p:         C = A[:, J], R = A[I], C^H A;   M = C^+ A R^+, or M = A[I, J]^+
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import scipy.sparse

from rnla.algorithms.bases import BasesCertificate, Spectrum, certified
from rnla.algorithms.lifecycle import Checkpoints
from rnla.algorithms.norms import norms
from rnla.algorithms.planning import Request, checked_request, oriented
from rnla.algorithms.selection import OF_VECTORS, SELECTORS, Select, Side, facing, pivoted_pair, selected, taken
from rnla.algorithms.skeleton import EPS, Skeleton, gathered, skeleton
from rnla.algorithms.svd import Triplets, factorise
from rnla.arrays import Array, wide
from rnla.checks import integer, one_of
from rnla.errors import RankError, RequestError
from rnla.kernels.blas import single_blas_thread
from rnla.kernels.exchange import explained
from rnla.kernels.subspaces import svd
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.picking import LeftOut
from rnla.sweeps.source import Resident, ResidentTall, Source, Tall, Workspace

Middle = Literal["optimal", "cross"]
OVERSAMPLE = 10  # singular vectors beyond the columns and rows wanted
HEADROOM = 0.7  # of a tolerance, for the singular vectors: columns of A reach it somewhat later


@dataclass(frozen=True)
class Choice:
    """Which columns and rows are asked for, checked."""

    k: int | None  # rank to compare with; None: as many columns as the tolerance needs
    columns: int
    rows: int
    select: Select
    middle: Middle
    passes: int
    seed: int
    tolerance: float | None = None
    both: bool = True  # columns and rows together; else either side for itself

    @property
    def sketch_passes(self) -> int:
        """Reads for singular vectors, before the one that gathers; norms take one of their own."""
        return self.passes - 1 - (self.select == "norm-squared")

    def request(self, shape: tuple[int, int]) -> Request:
        """The singular vectors wanted: a few more than lines, or as many as reach somewhat less than the tolerance."""
        width = None if self.k is None else min(2 * max(self.k, self.columns, self.rows) + OVERSAMPLE, *shape)
        tolerance = None if self.k is not None or self.tolerance is None else HEADROOM * self.tolerance
        method: Literal["auto", "sketch"] = "sketch" if self.sketch_passes == 1 else "auto"
        return Request(
            width,
            self.sketch_passes,
            tolerance,
            0,
            self.seed,
            method,
            names=("left", "right"),
            squares=True,
            rough=True,
        )


def checked_choice(  # noqa: PLR0913 - options are keywords
    shape: tuple[int, int],
    k: Any,
    *,
    columns: Any = None,
    rows: Any = None,
    select: Any = "pivoted",
    middle: Any = "optimal",
    passes: Any = None,
    tol: Any = None,
    seed: Any = 0,
) -> Choice:
    """The choice, or an error that says what is allowed."""
    one_of(select, "select", SELECTORS)
    one_of(middle, "middle", get_args(Middle))
    # an SVD's request has the same k and tol
    wanted = checked_request(shape, k, tol=tol, seed=seed)
    if wanted.k is None and select != "pivoted":
        msg = f"select={select!r} needs k, the number of columns: only pivoted columns can be counted by a tolerance"
        raise RequestError(msg)
    counts = [_count(name, given, wanted.k, shape) for name, given in (("columns", columns), ("rows", rows))]
    budget = (3 if middle == "optimal" else 2) if passes is None else integer(passes, "passes")
    if not 2 <= budget <= 100:
        msg = f"passes={budget} must lie in 2..100: one to choose and one to gather, or more to choose better"
        raise RequestError(msg)
    return Choice(wanted.k, counts[0], counts[1], select, middle, budget, wanted.seed, wanted.tolerance)


def _count(name: str, given: Any, k: int | None, shape: tuple[int, int]) -> int:
    """How many columns or rows; k where nothing is said."""
    if given is None:
        return k or 1
    count, least = integer(given, name), k or 1
    if not least <= count <= min(shape):
        m, n = shape
        msg = f"{name}={count} must lie in {least}..{min(shape)}: at least k, at most the shorter side of {m} x {n}"
        raise RankError(msg)
    return count


class Chosen(NamedTuple):
    """Lines of a matrix that is swept by rows, and what is known of its best approximations."""

    across: Array  # (c,) columns
    along: Array  # (r,) rows
    known: Spectrum | None


class Cross(NamedTuple):
    """A ~ C M R of the matrix that was given."""

    columns: Array  # (c,) indices
    rows: Array  # (r,)
    C: Any  # (m, c) a Tall, or an array when A was swept by its transpose
    M: Array  # (c, r)
    R: Any  # (r, n) likewise the other way round
    transposed: bool
    certificate: BasesCertificate


def cur(A: Matrix, choice: Choice, workspace: Workspace, checkpoints: Checkpoints | None = None) -> Cross:
    """Columns and rows of A, the middle matrix, and the exact error."""
    view, transposed = oriented(A)
    with single_blas_thread():
        chosen = chosen_lines(A, view, choice, workspace, checkpoints, transposed=transposed)
        name = "R" if transposed else "C"
        found = skeleton(gathered(view, chosen.across, chosen.along, workspace, name, across=transposed))
        M = found.optimal if choice.middle == "optimal" else crossing(found, chosen.across)
        proof = certified(found.explained, found.error(M), choice.k or len(chosen.across), chosen.known)
    result = Cross(chosen.across, chosen.along, found.C, M, found.R, transposed, proof)
    if not transposed:
        return result
    # of A^T ~ C M R: A ~ R^T M^T C^T
    return result._replace(
        columns=result.rows, rows=result.columns, C=found.R.T, M=np.ascontiguousarray(M.T), R=found.C
    )


def crossing(found: Skeleton, J: Array) -> Array:
    """A[I, J]^+ by the singular values that lower the error, whose size is known for each: (c, r)."""
    both = found.R[:, J]
    core = both.toarray() if scipy.sparse.issparse(both) else np.asarray(both)
    u, s, vh = svd(wide(core))
    kept = int(np.sum(s > max(core.shape) * EPS * (s[0] if s.size else 0.0)))
    inverse = best = np.zeros_like(core.T, dtype=u.dtype)
    least = found.misfit(best)
    for i in range(kept):
        inverse = inverse + np.outer(vh[i].conj() / s[i], u[:, i].conj())
        if (misfit := found.misfit(inverse)) < least:
            best, least = inverse, misfit
    return best


def chosen_lines(
    A: Matrix, view: Matrix, choice: Choice, workspace: Workspace, checkpoints: Checkpoints | None, *, transposed: bool
) -> Chosen:
    """Which lines to take, by the singular vectors (or norms) that the first sweeps give."""
    triplets = None
    if choice.sketch_passes:
        triplets = factorise(A, choice.request(A.shape), workspace, checkpoints)
    across, along = _sides(A, view, choice, triplets, workspace, transposed=transposed)
    counts = (choice.rows, choice.columns) if transposed else (choice.columns, choice.rows)
    if choice.k is None:
        counts = (across.F.shape[1], along.F.shape[1])
    k = choice.k or across.F.shape[1]
    if choice.select == "pivoted" and choice.middle == "optimal" and choice.both:
        J, I = pivoted_pair(across, along, counts)
    else:
        J = selected(across, choice.select, counts[0], k, choice.seed)
        seen = facing(along, across, J) if choice.middle == "cross" and choice.select == "pivoted" else along
        I = selected(seen, choice.select, counts[1], k, choice.seed)
    if triplets is None:
        return Chosen(J, I, None)
    if choice.k is None and choice.tolerance is not None:
        norm = triplets.certificate.frobenius_norm / (float(triplets.s[0]) or 1.0)
        J, I = (lines[: enough(side, lines, norm**2, choice.tolerance)] for side, lines in ((across, J), (along, I)))
    return Chosen(J, I, spectrum_of(triplets))


def enough(side: Side, lines: Array, energy: float, tolerance: float) -> int:
    """How many of these lines leave no more than the tolerance of A; all if none do (`energy` in units of X)."""
    G = taken(side.F, lines) @ side.X
    noise = np.zeros(len(lines)) if side.noise is None else taken(side.F.over(side.noise.source), lines)[:, 0]
    left = [energy - explained(G[:j], noise[:j], side.energies) for j in range(1, len(lines) + 1)]
    reached = np.flatnonzero(np.asarray(left) <= tolerance**2 * energy)
    return int(reached[0]) + 1 if reached.size else len(lines)


def spectrum_of(triplets: Triplets) -> Spectrum:
    """What triplets know of the singular values."""
    return Spectrum(triplets.s, triplets.certificate.upper, triplets.certificate.confidence)


def _sides(
    A: Matrix, view: Matrix, choice: Choice, triplets: Triplets | None, workspace: Workspace, *, transposed: bool
) -> tuple[Side, Side]:
    """What the selector looks at, a line for each column and each row of the view."""
    names = ("rows", "columns") if transposed else ("columns", "rows")
    if triplets is not None and choice.select in OF_VECTORS:
        short = triplets.short if triplets.transposed else triplets.short.T
        factors = Resident(np.ascontiguousarray(short)), triplets.tall.source
        across, along = (
            _vectors(name, A.over(factor), triplets.s, squares, workspace)
            for name, factor, squares in zip(names, factors, _squares(triplets), strict=True)
        )
        return across, along
    one = np.ones((1, 1))
    if choice.select == "norm-squared":
        columns, rows, _ = norms(view, workspace)
        weights: tuple[Source, Source] = Resident(columns[:, None]), rows.source
    else:  # uniform: nothing is looked at
        down, over = (Resident(np.broadcast_to(1.0, (size, 1))) for size in view.shape)
        weights = over, down
    return Side(names[0], A.over(weights[0]), one, one), Side(names[1], A.over(weights[1]), one, one)


def _vectors(name: str, F: Matrix, s: Array, squares: Tall | None, workspace: Workspace) -> Side:
    """A side with singular vectors, and what they leave of each line where its squared norm is known."""
    largest = float(s[0]) if s.size and s[0] > 0 else 1.0
    X, noise = np.diag(s / largest), None
    if squares is not None:
        noise = workspace.tall(f"left_{name}", (F.shape[0], 1), np.dtype(np.float64), F.geometry.tall_rows)
        F.sweep(LeftOut(X * largest, squares, noise, largest**-2))
    return Side(name, F, X, X**2, noise)


def _squares(triplets: Triplets) -> tuple[Tall | None, Tall | None]:
    """Squared norms of the columns and rows of the view, where the sketch told them."""
    if triplets.squares is None:
        return None, None
    across, along = triplets.squares
    return ResidentTall(across[:, None]), along
