"""A B from a sample of its terms: (A S)(S^T B), S drawing columns of A and the same rows of B.

Drineas, Kannan and Mahoney (2006). Weights |a_j||b_j| make the expected squared error least:
E||A B - (A S)(S^T B)||_F^2 = ((sum |a_j||b_j|)^2 - ||A B||_F^2) / s. We add probes that come with the first read, which
estimate ||A B||_F and measure the error that was made; and draws without replacement (see `draws`).

    read 1:  |a_j|, |b_j|, B G, A (B G)        read 2, of the chunks that hold drawn lines:  A S, S^T B
    then:    (A S)(S^T B), a strip of columns at a time; ||A B G - (A S)(S^T B) G||_F^2 / l
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import scipy.special

from rnla.algorithms.draws import Draws, Listed, checked_count, checked_weights, drawn, entries_at, power_of, scaled
from rnla.algorithms.inner import (
    PROBES,
    Inner,
    Outer,
    Room,
    Spread,
    kept,
    measured,
    measured_twin,
    priority_variance,
    spread,
    twins,
)
from rnla.algorithms.lifecycle import Checkpoints, Journal
from rnla.algorithms.planning import oriented
from rnla.arrays import Array, DType
from rnla.checks import flag, integer, share
from rnla.errors import OverflowedError, RequestError
from rnla.kernels.blas import single_blas_thread
from rnla.kernels.dense import times_power
from rnla.sweeps.geometry import Geometry
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.products import Product, Right, tall_rows
from rnla.sweeps.sampled import Copied, Distance, Rescaled
from rnla.sweeps.settling import in_power, settled
from rnla.sweeps.source import Grid, Resident, Tall, Workspace

WEIGHTS = ("product", "norm-squared", "uniform")
MOST_DRAWS = 8192  # that "auto" takes
# draws are counted before the product is known, by the least ||A B||_F^2 that so many probes leave likely (97.5 % when
# A B has rank one, more otherwise): the estimate is revised afterwards
LIKELY = PROBES / (2.0 * float(scipy.special.gammaincinv(PROBES / 2, 0.975)))
# ||C||_F^2 deviates from its mean by about 2 ||A B|| ||A B - C||: without probes it tells ||A B||_F^2 to a third where
# the error is at most a sixth of it, and otherwise nothing
NEAR = 1.0 / 36.0
STRIP_BYTES = 32 << 20  # of a chunk of the value
LEAST_STRIP = 64  # columns of one


@dataclass(frozen=True, eq=False)
class Sampling:
    """What is asked of a sampled product, checked."""

    draws: int | None  # None: as many as the tolerance needs
    tolerance: float | None
    weights: str
    given: Listed | None
    replace: bool
    seed: int

    @property
    def most(self) -> int:
        """Draws at most."""
        return MOST_DRAWS if self.draws is None else self.draws


class Estimates(NamedTuple):
    """What is known of the error of a sampled product: squares, of 2^power A B."""

    expected: float  # E||A B - C||_F^2
    bound: float  # the same without ||A B||_F, which it is at most
    energy: float  # estimate of ||A B||_F^2
    measured: float | None  # estimate of ||A B - C||_F^2 of this draw, by probes
    power: int = 0
    others: dict[str, float] | None = None  # what is expected of as many draws by each kind of weights
    sure: bool = True  # whether `energy` is more than noise; if not, `expected` is the bound

    def length(self, squared: float) -> float:
        """The root of one of the squares, in the units of A B."""
        return math.ldexp(math.sqrt(squared), -self.power)

    @property
    def relative(self) -> float:
        """Expected error over ||A B||_F; 0 where there is none."""
        if self.expected == 0.0:
            return 0.0
        return math.sqrt(self.expected / self.energy) if self.sure and self.energy > 0 else math.inf


class Sampled(NamedTuple):
    """A sampled product as it lies in its workspace."""

    value: Grid  # (m, p)
    left: Tall  # (m, u) A S
    right: Tall  # (p, u) (S^T B)^T
    draws: Draws
    estimates: Estimates
    needed: int | None  # draws that the tolerance needs


def checked_sampling(
    left: tuple[int, int],
    right: tuple[int, int],
    draws: Any,
    *,
    tol: Any = None,
    weights: Any = "product",
    replace: Any = True,
    seed: Any = 0,
) -> Sampling:
    """The request for shapes (m, N) and (N, p), or an error that says what is allowed."""
    if left[1] != right[0]:
        msg = f"A is {left[0]} x {left[1]} and B is {right[0]} x {right[1]}: A needs as many columns as B has rows"
        raise RequestError(msg)
    if min(*left, *right) < 1:
        msg = f"A is {left[0]} x {left[1]} and B is {right[0]} x {right[1]}: there are no entries to multiply"
        raise RequestError(msg)
    tolerance = None if tol is None else share(tol, "tol", "a relative error")
    count = None
    if not (isinstance(draws, str) and draws == "auto"):
        count = checked_count(draws, "draws") if not isinstance(draws, str) else _unknown("draws", draws, ("auto",))
    elif tolerance is None:
        msg = 'draws="auto" needs tol=, the expected relative error to reach'
        raise RequestError(msg)
    given = None
    if not isinstance(weights, str):
        given = checked_weights(weights)
        if given.size != left[1]:
            msg = f"weights has {given.size} entries: one is needed for each of the {left[1]} columns of A"
            raise RequestError(msg)
    elif weights not in WEIGHTS:
        _unknown("weights", weights, (*WEIGHTS, "an array (leverage scores, for instance)"))
    kind = "given" if given is not None else str(weights)
    return Sampling(count, tolerance, kind, given, flag(replace, "replace"), integer(seed, "seed"))


def _unknown(name: str, value: str, allowed: tuple[str, ...]) -> int:
    msg = f"{name}={value!r} must be a number of draws or 'auto'" if name == "draws" else (
        f"{name}={value!r} must be one of {', '.join(allowed)}"
    )  # fmt: skip
    raise RequestError(msg)


def sampled(
    A: Matrix, B: Matrix, request: Sampling, workspace: Workspace, checkpoints: Checkpoints | None = None
) -> Sampled:
    """(A S)(S^T B) for A (m, N) and B (N, p); both are told of by A's meter."""
    A, B, twin = operands(A, B)
    room = Room(workspace, Journal(checkpoints))
    with single_blas_thread():
        A, B = settled(A), B if twin else settled(B)  # a twin is not read
        inner = _measured(A, B, request, room, twin=twin)
        outer = Outer(inner, request.weights, request.given and scaled(request.given, power_of(request.given) or 0))
        sums = spread(outer)
        guess = needed_draws(sums, None if inner.energy is None else LIKELY * inner.energy, request)
        count = min(guess or 1, MOST_DRAWS) if request.draws is None else request.draws
        # as many draws as there are terms: each of them once is exact, and no dearer
        every = request.draws is None and (guess or 1) >= sums.terms <= MOST_DRAWS
        count, again = (sums.terms, False) if every else (count, request.replace)
        draws = drawn(outer, count, replace=again, seed=request.seed)
        left, right = _gathered(A, B, draws, room, twin=twin)
        factors = _Factors(A if isinstance(B.source, Resident) else B, left, right, draws)
        value, norms = factors.multiplied(inner, workspace)
    _refuse_lost(norms.value, sum(inner.powers), value.shape, A.dtype)
    estimates = _estimates(inner, outer, sums, draws, norms)
    others = _by_other_weights(inner, estimates.energy, draws) if draws.replace and estimates.sure else None
    estimates = estimates._replace(power=sum(inner.powers), others=others)
    needed = needed_draws(sums, estimates.energy if estimates.sure else None, request)
    if every and needed is not None:
        needed = min(needed, sums.terms)
    return Sampled(value, left, right, draws, estimates, needed)


def operands(A: Matrix, B: Matrix) -> tuple[Matrix, Matrix, bool]:
    """Both in one precision with one meter, and whether they are one matrix and its transpose."""
    dtype = np.result_type(A.dtype, B.dtype)
    A, B = A.astype(dtype), replace(B.astype(dtype), meter=A.meter)
    return A, B, twins(A, B)


def probed(A: Matrix, B: Matrix) -> bool:
    """Whether probes go with the first read: they would read strips in parts several times."""
    return oriented_reads(A) == oriented_reads(B) == 1


def oriented_reads(A: Matrix) -> int:
    """Reads of one sweep along the side that A is swept along."""
    return oriented(A)[0].geometry.reads


def _measured(A: Matrix, B: Matrix, request: Sampling, room: Room, *, twin: bool) -> Inner:
    """Norms of both: from beside the stores if they are kept there and no probes are needed to choose the draws."""
    if request.draws is not None and request.tolerance is None:
        left = kept(A, room.workspace, "left_norms")
        right = left if twin else kept(B.T, room.workspace, "right_norms")
        if left is not None and right is not None:
            return Inner(left[0], right[0], (left[1], right[1]))
    probing = probed(A, B) or request.draws is None
    if twin:
        return measured_twin(A, room, request.seed, probing=probing)
    return measured(A, B, room, request.seed, probing=probing)


def needed_draws(sums: Spread, energy: float | None, request: Sampling) -> int | None:
    """The least s with sqrt(E||A B - C||_F^2) <= tol ||A B||_F; without replacement, all terms at most."""
    if request.tolerance is None or energy is None:
        return None
    tolerance = request.tolerance
    if sums.second_moment == 0.0:
        return 1
    if energy == 0.0:
        return sums.terms
    ratio = sums.second_moment / energy
    if request.replace:
        return max(1, math.ceil((ratio - 1.0) / tolerance**2))
    return max(1, min(sums.terms, math.ceil(ratio / tolerance**2) + 1))


def _gathered(A: Matrix, B: Matrix, draws: Draws, room: Room, *, twin: bool) -> tuple[Tall, Tall]:
    """A S (m, u) and (S^T B)^T (p, u), from the chunks that hold drawn columns and rows."""
    left = _lines(A, draws, "left", room)
    return left, left if twin else _lines(B.T, draws, "right", room)


def _lines(A: Matrix, draws: Draws, name: str, room: Room) -> Tall:
    """A S, row-wise; of no draws one column of zeros."""
    indices, scales = (draws.indices, draws.scales) if draws.indices.size else (np.zeros(1, np.int64), np.zeros(1))
    view = A.subset(columns=indices).weighted(columns=scales)
    into = room.workspace.tall(name, view.shape, A.dtype, view.geometry.tall_rows)
    room.journal.once(lambda: view.swept(Copied(into))[0])  # nothing is squared: any size will do
    return into


class _Norms(NamedTuple):
    """Squared lengths, measured while the value is written."""

    value: float  # ||C||_F^2
    seen: float  # ||C G||_F^2 / l
    missed: float  # ||A B G - C G||_F^2 / l


@dataclass(frozen=True)
class _Factors:
    """A S and S^T B, to be multiplied."""

    over: Matrix  # whose runner multiplies
    left: Tall  # (m, u)
    right: Tall  # (p, u)
    draws: Draws

    def multiplied(self, inner: Inner, workspace: Workspace) -> tuple[Grid, _Norms]:
        """C = (A S)(S^T B) a strip of columns at a time, and the lengths of C in the units of `inner`."""
        a, b = inner.powers
        matrix = in_power(replace(self.over.over(self.left.source), precision=self.over.dtype), a)
        m, p = self.left.shape[0], self.right.shape[0]
        dtype = self.over.dtype
        value = workspace.grid("value", (m, p), dtype, value_chunks(matrix.geometry, m, dtype.itemsize, p))
        norms = _Norms(0.0, 0.0, 0.0)
        for number, (columns, strip) in enumerate(value.strips()):
            X = times_power(np.ascontiguousarray(tall_rows(self.right, columns).T), b)  # (u, q)
            products: list[Product] = [Right(X, Rescaled(strip, a + b) if a + b else strip), Distance(X)]
            if number == 0 and inner.ABG is not None and inner.BG is not None:
                Z = self._sampled_rows(inner.BG)  # S^T B G
                products += [Distance(Z), Distance(Z, inner.ABG)]
            _, length, *probes = matrix.sweep(*products)
            seen, missed = (float(found) / PROBES for found in probes) if probes else (norms.seen, norms.missed)
            norms = _Norms(norms.value + length, seen, missed)
        return value, norms

    def _sampled_rows(self, BG: Tall) -> Array:
        if not self.draws.indices.size:
            return np.zeros((1, PROBES), BG.source.dtype)
        rows = entries_at(partial(tall_rows, BG), self.draws.indices, BG.shape[0])
        return rows * self.draws.scales[:, None]


def _refuse_lost(squared: float, power: int, shape: tuple[int, int], dtype: DType) -> None:
    """OverflowedError where entries of 2^-power C, ||C||_F^2 being known, are no numbers of the precision."""
    if squared == 0.0:
        return
    size, limits = math.log2(squared) / 2 - power, np.finfo(dtype)
    if size < limits.maxexp and size - math.log2(math.prod(shape)) / 2 >= limits.minexp:
        return
    single = limits.dtype.itemsize == 4
    cure = "multiply in float64, A.astype('float64')" if single else "scale one of the two, A.weighted(...)"
    msg = f"||A B||_F is about 1e{size * math.log10(2):+.0f}, and entries of that size are lost in {dtype}: {cure}"
    raise OverflowedError(msg)


def value_chunks(cut: Geometry, m: int, itemsize: int, columns: int) -> tuple[int, int]:
    """Rows and columns of a chunk of the value, whose rows are those of a chunk that a sweep of A S writes."""
    rows = min(cut.tall_rows, m)
    return rows, min(columns, max(LEAST_STRIP, STRIP_BYTES // (rows * itemsize)))


def _estimates(inner: Inner, outer: Outer, sums: Spread, draws: Draws, norms: _Norms) -> Estimates:
    s, D = draws.count, sums.second_moment
    exact = draws.indices.size == sums.terms and not draws.replace
    missed = norms.missed if inner.ABG is not None else None
    if sums.terms == 0 or exact:
        return Estimates(0.0, 0.0, norms.value, missed)
    if draws.replace:
        energy = _energy(inner, norms, (norms.value - D / s) / (1.0 - 1.0 / s) if s > 1 else norms.value)
        sure = inner.energy is not None or (s > 1 and D / s <= NEAR * energy)
        return Estimates(max(0.0, D - energy) / s if sure else D / s, D / s, energy, missed, sure=sure)
    variance = priority_variance(outer, draws)
    bound = D / (s - 1) if s > 1 else math.inf
    energy, expected = _energy(inner, norms, norms.value - variance), min(variance, bound)
    return Estimates(expected, bound, energy, missed, sure=inner.energy is not None or expected <= NEAR * energy)


def _by_other_weights(inner: Inner, energy: float, draws: Draws) -> dict[str, float]:
    """E||A B - C||_F^2 of as many draws, with replacement, by each kind of weights."""
    moments = {kind: spread(Outer(inner, kind)).second_moment for kind in WEIGHTS}
    return {kind: max(0.0, moment - energy) / draws.count for kind, moment in moments.items()}


def _energy(inner: Inner, norms: _Norms, debiased: float) -> float:
    """Estimate of ||A B||_F^2: by probes, less what they get wrong of the known ||C||_F^2 when C is near A B.

    Without probes from E||C||_F^2 = ||A B||_F^2 + E||A B - C||_F^2.
    """
    if inner.energy is None:
        return max(0.0, debiased)
    if (
        inner.ABG is None
    ):  # the spread of ||C||_F^2 is about 2 ||A B|| ||A B - C||, that of the probes ||A B||^2 (2 / l)^1/2
        near = norms.value > 0 and abs(norms.value - debiased) < debiased / (2 * PROBES)
        return max(0.0, debiased) if near else inner.energy
    if norms.missed >= inner.energy:
        return inner.energy
    return max(0.0, inner.energy - norms.seen + norms.value)
