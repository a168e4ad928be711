"""CUR: A ~ C M R with C columns and R rows of A itself, which stay sparse, positive and keep their names.

The leading singular vectors say which columns and rows to take (`selection`), one more read gathers them and tells what
they explain (`skeleton`). Strang calls it CMR.

    sweep 1 .. p-1:  A ~ U diag(s) Vh (svd);   J from diag(s) Vh, I from U diag(s)
    sweep p:         C = A[:, J], R = A[I], C^H A;   M = C^+ A R^+, or M = A[I, J]^+
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from rnla.algorithms.bases import BasesCertificate, Spectrum, certified
from rnla.algorithms.lifecycle import Checkpoints
from rnla.algorithms.norms import kept_norms
from rnla.algorithms.planning import Request, checked_request, oriented
from rnla.algorithms.selection import OF_VECTORS, SELECTORS, Select, Side, facing, pivoted_pair, selected, taken
from rnla.algorithms.skeleton import EPS, Gathered, Skeleton, gathered, skeleton
from rnla.algorithms.svd import Triplets, factorise
from rnla.arrays import Array, accumulator_dtype, real_eps, wide
from rnla.checks import flag, integer, one_of
from rnla.errors import RankError, RequestError
from rnla.kernels.blas import single_blas_thread
from rnla.kernels.exchange import added
from rnla.kernels.sparse import densified
from rnla.kernels.subspaces import svd
from rnla.sweeps.geometry import TALL_ROWS
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.picking import LeftOut
from rnla.sweeps.products import ColumnNorms, RowNorms
from rnla.sweeps.settling import in_range, in_unit_for
from rnla.sweeps.source import Resident, ResidentTall, Source, Tall, Workspace

Middle = Literal["optimal", "cross"]
OVERSAMPLE = 10  # singular vectors beyond the columns and rows wanted
# Of a tolerance, for the singular vectors: columns need more than vectors do for the same error, and must be chosen
# among more. k columns leave at most sqrt(k + 1) times what k vectors do; on single cells, text and digits it is 1.02
# to 1.21, on rows that decay over 14 digits up to 1.6.
HEADROOM = 0.5
SAFELY = 0.98  # of a tolerance, for what columns leave as their modes tell it: that is 1 % low at times


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
    compare: bool = False  # with the lines that the other selectors would take

    @property
    def sweeps_for_norms(self) -> bool:
        """Whether norms take a read of their own; otherwise, if wanted, they come along with singular vectors."""
        return self.select == "norm-squared" and not self.compare

    @property
    def sketch_passes(self) -> int:
        """Reads for singular vectors, before the one that gathers."""
        return self.passes - 1 - self.sweeps_for_norms

    def request(self, shape: tuple[int, int]) -> Request:
        """The singular vectors wanted: a few more than lines, or as many as reach somewhat less than the tolerance.

        Of drawn lines only the scores, or the best error, are of rank k.
        """
        ranked = self.compare or self.select in {"pivoted", "deim"}
        lines = 2 * max(self.k or 1, self.columns, self.rows) if ranked else self.k or 1
        width = None if self.k is None else min(lines + OVERSAMPLE, *shape)
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
            squares=self.compare or self.select == "pivoted",
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
    compare: Any = False,
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
    flag(compare, "compare")
    return Choice(wanted.k, counts[0], counts[1], select, middle, budget, wanted.seed, wanted.tolerance, bool(compare))


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


class Known(NamedTuple):
    """What the first sweeps tell of a matrix that is swept by rows, before any line is chosen."""

    triplets: Triplets | None
    weights: (
        tuple[Source, Source] | None
    )  # squared norms of its columns (n, 1) and rows (m, 1), in some unit, if wanted
    norm: float | None  # ||A||_F
    eps: float  # rounding of the products that the triplets are made of

    @property
    def spectrum(self) -> Spectrum | None:
        """What triplets tell of the singular values."""
        if self.triplets is None:
            return None
        proof = self.triplets.certificate
        return Spectrum(self.triplets.s, proof.upper, proof.confidence, self.eps)


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
        known = known_of(A, view, choice, workspace, checkpoints)
        choices = _compared(choice, known)
        pairs = [_pair(view, known, asked, workspace, transposed=transposed) for asked in choices]
        J, I = pairs[0]
        name = "R" if transposed else "C"
        all_J, all_I = (np.concatenate(lines) for lines in zip(*pairs, strict=True))
        read = gathered(view, all_J, all_I, workspace, name, across=transposed, norm=known.norm, kept=len(J))
        found, *others = (skeleton(part) for part in _parts(read, pairs))
        M = found.optimal if choice.middle == "optimal" else crossing(found, J)
        proof = certified(found.explained, found.error(M), choice.k or len(J), known.spectrum)
        proof = proof.beside([str(asked.select) for asked in choices[1:]], [other.explained for other in others])
    result = Cross(J, I, found.C, M, found.R, transposed, proof)
    if not transposed:
        return result
    # of A^T ~ C M R: A ~ R^T M^T C^T
    return result._replace(
        columns=result.rows, rows=result.columns, C=found.R.T, M=np.ascontiguousarray(M.T), R=found.C
    )


def _compared(choice: Choice, known: Known) -> list[Choice]:
    """The choice, and the same by all other selectors that can be told where they are to be compared."""
    if not choice.compare:
        return [choice]
    unknown = {"norm-squared"} if known.weights is None else set()
    others = [select for select in get_args(Select) if select not in {choice.select, *unknown}]
    return [choice, *(replace(choice, select=select) for select in others)]


def _parts(read: Gathered, pairs: list[tuple[Array, Array]]) -> list[Gathered]:
    """What was gathered for each pair of lists."""
    if len(pairs) == 1:
        return [read]
    columns, rows = (list(accumulate(map(len, lines), initial=0)) for lines in zip(*pairs, strict=True))
    return [read.part(slice(*of), slice(*by)) for of, by in zip(pairwise(columns), pairwise(rows), strict=True)]


def crossing(found: Skeleton, J: Array) -> Array:
    """A[I, J]^+ by the singular values that lower the error, whose size is known for each: (c, r).

    A small one lets C M R grow and cancel: that it is rounded by eps ||C|| ||R|| / s counts as error.
    """
    core = densified(found.R[:, J])
    u, s, vh = svd(wide(core))
    kept = int(np.sum(s > max(core.shape) * EPS * (s[0] if s.size else 0.0)))
    left, right = found.columns.W @ vh[:kept].conj().T, u[:, :kept].conj().T @ found.rows.W.conj().T
    sizes = s[:kept] * found.unit
    rounding = EPS * float(np.linalg.norm(found.columns.W) * np.linalg.norm(found.rows.W))
    rest, least, best = found.K.copy(), float(np.linalg.norm(found.K)), 0
    for i in range(kept):
        rest -= np.outer(left[:, i] / sizes[i], right[i])  # K - R_C M L with one singular value more
        if (misfit := float(np.hypot(np.linalg.norm(rest), rounding / sizes[i]))) < least:
            least, best = misfit, i + 1
    return np.asarray((vh[:best].conj().T / s[:best]) @ u[:, :best].conj().T)


def known_of(
    A: Matrix, view: Matrix, choice: Choice, workspace: Workspace, checkpoints: Checkpoints | None = None
) -> Known:
    """The sweeps before any line is chosen: for singular vectors, for norms, or none."""
    triplets = None
    if choice.sketch_passes:
        triplets = factorise(A, choice.request(A.shape), workspace, checkpoints)
    norm = None if triplets is None else triplets.certificate.frobenius_norm
    eps = EPS if triplets is None or triplets.method == "gram" else real_eps(view.dtype)  # A^H A is formed in float64
    if choice.compare and triplets is not None and triplets.squares is not None:
        across, down = triplets.squares
        return Known(triplets, (Resident(across[:, None]), down.source), norm, eps)
    if choice.select != "norm-squared":
        return Known(triplets, None, norm, eps)
    into = workspace.tall("norms", (view.shape[0], 1), np.dtype(np.float64), view.geometry.tall_rows)
    if (kept := kept_norms(view, into)) is not None:
        return Known(triplets, (Resident(kept.across[:, None]), kept.along.source), kept.frobenius, eps)
    exact = in_unit_for(view.astype(accumulator_dtype(view.dtype)), norm)
    (columns, _), tally, used = in_range(exact, ColumnNorms(), RowNorms(into))
    weights = Resident(columns[:, None]), into.source
    return Known(triplets, weights, float(np.sqrt(tally.energy)) / used.transform.unit, eps)


def side(
    view: Matrix, known: Known, choice: Choice, workspace: Workspace, *, along: bool, transposed: bool = False
) -> Side:
    """What the selector looks at: a line for each row of the view (`along`), or for each column.

    It is cut in one way whatever the chunks of the store are, so that tournaments have the same rounds.
    """
    name = "rows" if along != transposed else "columns"
    triplets = known.triplets
    if triplets is not None and choice.select in OF_VECTORS:
        short = triplets.short if triplets.transposed else triplets.short.T
        factor: Source = triplets.tall.source if along else Resident(np.ascontiguousarray(short))
        return _vectors(
            name,
            view.over(factor, cut_as=(TALL_ROWS, factor.shape[1])),
            triplets.s,
            _squares(triplets, along=along),
            workspace,
        )
    one = np.ones((1, 1))
    if known.weights is not None and choice.select == "norm-squared":
        return Side(name, view.over(known.weights[along], cut_as=(TALL_ROWS, 1)), one, one)
    return Side(name, view.over(Resident(np.broadcast_to(1.0, (view.shape[not along], 1)))), one, one)


def _pair(view: Matrix, known: Known, choice: Choice, workspace: Workspace, *, transposed: bool) -> tuple[Array, Array]:
    """Columns and rows of the view."""
    columns, rows = (
        side(view, known, choice, workspace, along=along, transposed=transposed) for along in (False, True)
    )
    counts = (choice.rows, choice.columns) if transposed else (choice.columns, choice.rows)
    k = choice.k or 1
    if choice.select == "pivoted" and choice.middle == "optimal":
        return pivoted_pair(columns, rows, counts)
    J = selected(columns, choice.select, counts[0], k, choice.seed)
    rows = facing(rows, columns, J) if choice.select == "pivoted" else rows
    return J, selected(rows, choice.select, counts[1], k, choice.seed)


def one_side(view: Matrix, known: Known, choice: Choice, workspace: Workspace, *, transposed: bool) -> Array:
    """Columns of the matrix that was given alone: as many as the choice says, or as the tolerance needs."""
    lines = side(view, known, choice, workspace, along=transposed, transposed=transposed)
    if choice.k is not None:
        return selected(lines, choice.select, choice.columns, choice.k, choice.seed)
    size, modes = lines.F.shape
    if not modes:
        return np.arange(1)  # of a zero matrix any column will do
    J = selected(lines, choice.select, min(size, modes + OVERSAMPLE), modes, choice.seed)
    if choice.tolerance is None or known.triplets is None:
        return J
    norm = known.triplets.certificate.frobenius_norm / (float(known.triplets.s[:1].sum()) or 1.0)
    return J[: enough(lines, J, norm**2, choice.tolerance)]


def enough(side: Side, lines: Array, energy: float, tolerance: float) -> int:
    """How many of these lines leave no more than the tolerance of A; all if none do (`energy` in units of X)."""
    G = taken(side.F, lines) @ side.X
    noise = np.zeros(len(lines)) if side.noise is None else taken(side.F.over(side.noise.source), lines)[:, 0]
    left = energy - np.cumsum(added(G, noise, side.energies))
    reached = np.flatnonzero(left <= (SAFELY * tolerance) ** 2 * energy)
    return int(reached[0]) + 1 if reached.size else len(lines)


def _vectors(name: str, F: Matrix, s: Array, squares: Tall | None, workspace: Workspace) -> Side:
    """A side with singular vectors, and what they leave of each line where its squared norm is known."""
    largest = float(s[0]) if s.size and s[0] > 0 else 1.0
    X, noise = np.diag(s / largest), None
    if squares is not None:
        noise = workspace.tall(f"left_{name}", (F.shape[0], 1), np.dtype(np.float64), F.geometry.tall_rows)
        F.sweep(LeftOut(X * largest, squares, noise, largest**-2))
    return Side(name, F, X, X**2, noise)


def _squares(triplets: Triplets, *, along: bool) -> Tall | None:
    """Squared norms of the rows or columns of the view, where the sketch told them."""
    if triplets.squares is None:
        return None
    across, down = triplets.squares
    return down if along else ResidentTall(across[:, None])
