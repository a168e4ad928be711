"""A study of descent on one least-squares problem: whole gradients against theory, samplings against one another.

Columns of A and the numbers b are centred and scaled. Whole gradients: `descent`. Single samples: a linear network is
trained by every way of drawing samples, over several seeds; how much its loss exceeds the least there is follows from
A^T A exactly, so that the comparison is not blurred by the loss that is left.

What permutations gain is seen where steps are short. Noise along an eigenvector of A^T A / m, eigenvalue lambda, is
forgotten within 1 / (eta lambda) steps. Where that is much less than an epoch of N steps, rows drawn with replacement
and rows of a permutation are alike; where it is more, what the rows of an epoch say cancels, and draws leave
1 / (1 - tanh(a) / a) times as much, a = eta lambda N / 2 (`expected_ratio`; that permutations win for short steps:
HaoChen and Sra 2019, Mishchenko, Khaled and Richtarik 2020). So steps fall to zero along a cosine: the first are long
enough to forget where descent began, the last so short that there is an answer, however many rows there are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import scipy.special

from rnla.algorithms.descent import METHODS, Path, Quadratic, path, quadratic
from rnla.algorithms.network import Network
from rnla.algorithms.regime import SAMPLINGS, Regime, checked_regime
from rnla.algorithms.results import Cost
from rnla.algorithms.samples import Rooms, laid_out, prepared, row_bytes
from rnla.algorithms.steps import checked_rule
from rnla.algorithms.targets import standard, targets_of
from rnla.algorithms.training import Descent, trained
from rnla.arrays import Array
from rnla.checks import integer
from rnla.errors import RequestError
from rnla.kernels.layers import layers
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.orders import Order
from rnla.sweeps.source import Workspace
from rnla.tables import Certified, counted, html_table

LEVEL = 0.95
PIECES = 256  # of an epoch, in each of which theory takes one step size
ROUNDING = 1e-24  # of the excess at the start: what is less is not told from zero


class Comparison(NamedTuple):
    """How much more another way of drawing leaves than permutations, at the end: a ratio with its interval."""

    sampling: str
    ratio: float  # geometric mean over seeds of its excess loss over that of permutations
    low: float  # ends of the interval of confidence 95 % (Student's, of the logarithms)
    high: float
    theory: float | None = None  # the ratio that theory gives for what rows leave; None: it gives none


@dataclass(frozen=True, eq=False, repr=False)
class Study:
    """What was seen of descent on one problem; without `excess` where columns were not standardised."""

    condition: float  # of A^T A, columns centred and scaled
    paths: tuple[Path, ...]  # by whole gradients
    excess: dict[str, Array]  # (seeds, epochs + 1) loss beyond the least, by sampling
    comparisons: tuple[Comparison, ...]
    learning_rate: float  # of the first step
    batch: int
    schedule: str = "constant"  # of learning rates
    cost: Cost | None = None
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def certificate(self) -> StudyCertificate:
        """Rates and comparisons."""
        return StudyCertificate.of(self)

    def __repr__(self) -> str:
        ways = ", ".join(p.method for p in self.paths)
        runs = "no samplings"
        if self.excess:
            seeds, looks = next(iter(self.excess.values())).shape
            runs = f"{len(self.excess)} samplings over {counted(seeds, 'seed')} of {counted(looks - 1, 'epoch')}"
        return f"Study(condition {self.condition:.4g} of A^T A: {ways}; {runs})"

    def _repr_html_(self) -> str:
        made = [] if self.cost is None else [("made by", self.cost.told)]
        return html_table("Study of descent", [*self.certificate.summary, *made])


@dataclass(frozen=True, repr=False)
class StudyCertificate(Certified):
    """Measured rates beside those of theory, and how ways of drawing samples compare."""

    condition: float  # of A^T A
    learning_rate: float  # of the first step of stochastic descent
    rates: dict[str, dict[str, Any]] = field(default_factory=dict)  # by method: measured, theory, stopped, truth
    comparisons: dict[str, dict[str, Any]] = field(default_factory=dict)  # ratio, low, high, theory
    schedule: str = "constant"  # of learning rates

    @classmethod
    def of(cls, found: Study) -> StudyCertificate:
        """What a study found."""
        rates = {
            p.method: {"measured": None if math.isnan(p.rate) else p.rate, "theory": p.theory, "stopped": p.stopped}
            | ({} if p.true_errors is None else {"truth": against_truth(p)})
            for p in found.paths
        }
        compared = {
            c.sampling: {"ratio": c.ratio, "low": c.low, "high": c.high, "theory": c.theory} for c in found.comparisons
        }
        return cls(found.condition, found.learning_rate, rates, compared, found.schedule)

    @property
    def status(self) -> str:
        """'ok'."""
        return "ok"

    @property
    def summary(self) -> list[tuple[str, str]]:
        """Names and values, as they are printed."""
        lines = [("condition of A^T A", f"{self.condition:.6g}")]
        for method, rate in self.rates.items():
            lines += told_path(method, rate)
        for sampling, found in self.comparisons.items():
            told = f"95 %: {found['low']:.3g} to {found['high']:.3g}"
            told += "" if found.get("theory") is None else f"; theory {found['theory']:.3g}"
            lines.append((sampling, f"leaves {found['ratio']:.3g} times what permutations leave ({told})"))
        return [*lines, ("status", self.status)]


def against_truth(p: Path) -> dict[str, Any]:
    """Semi-convergence, at the steps that were looked at: the least error, where, at the stop, and at the end."""
    errors: Array = np.zeros(0) if p.true_errors is None else p.true_errors
    best = int(np.argmin(errors))
    stop = None if p.stopped is None else float(errors[int(np.argmin(np.abs(p.steps - p.stopped)))])
    return {
        "least": float(errors[best]),
        "at": int(p.steps[best]),
        "stopped": stop,
        "end": float(errors[-1]),
        "steps": int(p.steps[-1]),
    }


def told_path(method: str, rate: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The rate beside theory, where the discrepancy principle stops, and how near the truth the iterates come."""
    measured, theory, seen = rate["measured"], rate["theory"], rate.get("truth")
    far = f"no rate is seen yet: by theory ({theory:.4g}) the slowest part takes {1 / theory:.2g} steps"
    lines = [(method, far if measured is None else f"{measured:.4g} of the error a step; theory {theory:.4g}")]
    if rate["stopped"] is not None:
        lines.append(("  stop", f"the residual is as small as the noise at step {rate['stopped']:,}"))
    if seen is not None and seen["at"] == 0:
        lines.append(("  error", f"only grows, to {seen['end']:.4g} times the truth"))
    elif seen is not None:
        stop = "" if seen["stopped"] is None else f", {seen['stopped']:.4g} at the stop"
        ends = f"least {seen['least']:.4g} at step {seen['at']:,}{stop}, {seen['end']:.4g} at step {seen['steps']:,}"
        lines.append(("  error", f"{ends}, against the truth"))
    return lines


class Asked(NamedTuple):
    """What is asked of a study, checked."""

    steps: int  # of methods that look at the whole gradient
    epochs: int
    seeds: int
    batch: int
    learning_rate: float | None  # of the first step; None: a quarter of what is stable
    schedule: str


def checked_study(steps: Any, epochs: Any, seeds: Any, batch: Any, learning_rate: Any, schedule: Any) -> Asked:
    """The study that is asked for, or an error that says what is allowed."""
    rule = checked_rule(learning_rate=1.0 if learning_rate is None else learning_rate, schedule=schedule)
    return Asked(
        integer(steps, "steps", least=3),
        integer(epochs, "epochs", least=1),
        integer(seeds, "seeds", least=2),
        integer(batch, "batch", least=1),
        None if learning_rate is None else rule.learning_rate,
        rule.schedule,
    )


def beside(A: Matrix, b: Matrix, epochs: int, room: Workspace | None) -> Matrix:
    """b with the runner and the meter of A; copied once, if there is room, where its chunks do not fit the reads."""
    order = Order(A.shape[0], row_bytes(A), 0, SAMPLINGS[0], np.zeros(0, np.int64))
    source = laid_out(targets_of(b), "targets", A, order, epochs, room) if b.shape == (A.shape[0], 1) else b.source
    return Matrix(source, runner=A.runner, meter=A.meter)


def gradients(
    A: Matrix, b: Matrix, steps: int, *, truth: Any = None, noise: float | None = None
) -> tuple[Quadratic, tuple[Path, ...]]:
    """Runs by whole gradients; `noise` is |b - A truth| over |b|."""
    problem = quadratic(A, b)
    return problem, tuple(path(problem, method, steps, truth=truth, noise=noise) for method in METHODS)


def study(A: Matrix, b: Matrix, asked: Asked, room: Workspace | None) -> Study:
    """The study of A, whose columns a view centres and scales, and of b as it is; `room` is for a copy of b."""
    epochs, batch = asked.epochs, asked.batch
    b, _, _ = standard(beside(A, b, epochs, room))
    problem, paths = gradients(A, b, asked.steps)
    network = Network((A.shape[1], 1), dtype="float64").with_parameters(np.zeros(A.shape[1] + 1))
    if not problem.c.any():
        msg = "b is the same in all rows, or has nothing to do with A: there is nothing to descend on"
        raise RequestError(msg)
    eta = safe_rate(problem, batch) if asked.learning_rate is None else asked.learning_rate
    regime = checked_regime(
        network.widths, A.shape[0], 0, loss="square", learning_rate=eta, schedule=asked.schedule, momentum=0.0,
        batch=batch, epochs=epochs,
    )  # fmt: skip
    made = prepared(A, b, network, regime, np.zeros(0, np.int64), Rooms()).samples
    excess: dict[str, Array] = {}
    for sampling in SAMPLINGS:
        orders = [replace(made.order, seed=seed, sampling=sampling) for seed in range(asked.seeds)]
        runs = [replace(made, order=order, token=f"{made.token}-{sampling}-{order.seed}") for order in orders]
        excess[sampling] = np.array([excesses(problem, Descent(network, run, None, regime, A)) for run in runs])
    expected = expected_ratio(problem, regime)
    compared = tuple(comparison(name, excess, expected if name == "replacement" else None) for name in SAMPLINGS[1:])
    return Study(problem.condition, paths, excess, compared, eta, batch, asked.schedule)


def excesses(problem: Quadratic, method: Descent) -> Array:
    """Loss beyond the least at the start and after each epoch of a descent: (epochs + 1,)."""
    found = [beyond(problem, method.network.parameters)]

    def tell(_row: Array, parameters: Array) -> None:
        found.append(beyond(problem, parameters))

    trained(replace(method, tell=tell))
    return np.array(found)


def safe_rate(problem: Quadratic, batch: int) -> float:
    """A quarter of 1 / (largest curvature + what single samples add to it, |x|^2 + 1 on average, over the batch)."""
    single = 1.0 + float(problem.eigenvalues.sum()) / problem.rows
    return 0.25 / (float(problem.eigenvalues[0]) / problem.rows + single / batch)


def expected_ratio(problem: Quadratic, regime: Regime) -> float | None:
    """What draws leave over what permutations leave after the last epoch; None where steps are too long for theory.

    Along an eigenvector a step multiplies the error by 1 - eta lambda, and adds eta times the mean over a batch of what
    rows say at the solution: numbers of variance 2 L lambda, L being the least loss, if the residual is alike for all
    rows. So the noise of step k arrives with a weight w_k, and the variance of the sum is that of one row over the
    batch, times sum w_k^2; rows of a permutation sum to zero over an epoch, which takes (sum w_k)^2 / N off.
    """
    curvature = np.append(problem.eigenvalues / problem.rows, 1.0)  # the last is that of the bias
    if regime.rule.learning_rate * float(curvature.max()) >= 1.0:
        return None
    start = np.append(problem.solution**2, 0.0)
    count = math.ceil(problem.rows / regime.batch)
    length = count / min(count, PIECES)  # steps of a piece
    noise = problem.least / problem.rows * curvature / regime.batch
    drawn, permuted = np.zeros_like(curvature), np.zeros_like(curvature)
    for epoch in range(regime.epochs):
        middles = epoch * count + length * (np.arange(min(count, PIECES)) + 0.5)
        eta = np.array([[regime.rule.rate(int(k))] for k in middles])  # (pieces, 1)
        share = eta * curvature  # of an error that a step takes
        powers = length * np.log1p(-share)
        kept = np.exp(powers)  # of an error, by a piece
        after = np.vstack([np.cumprod(kept[::-1], axis=0)[-2::-1], np.ones_like(curvature)])  # ... by those after it
        weights = (eta * after * -np.expm1(powers) / share).sum(axis=0)
        squares = ((eta * after) ** 2 * -np.expm1(2.0 * powers) / (share * (2.0 - share))).sum(axis=0)
        fall = kept.prod(axis=0) ** 2
        start = start * fall
        drawn = drawn * fall + noise * squares
        permuted = permuted * fall + noise * np.maximum(squares - weights**2 / count, 0.0)
    left, by_draws = float(curvature @ (start + permuted)), float(curvature @ (start + drawn))
    return by_draws / left if left > 0 else None


def beyond(problem: Quadratic, parameters: Array) -> float:
    """Mean loss of a linear network beyond the least, columns and numbers being centred."""
    (layer,) = layers(parameters, (len(problem.vectors), 1))
    gap = problem.vectors.T @ layer.W[:, 0] - problem.c / problem.eigenvalues
    return 0.5 * (float(gap @ (problem.eigenvalues * gap)) / problem.rows + float(layer.b[0]) ** 2)


def comparison(name: str, excess: Mapping[str, Array], theory: float | None) -> Comparison:
    """Geometric mean over seeds of ratios at the end, with Student's interval of their logarithms."""
    theirs, ours = (np.maximum(found[:, -1], ROUNDING * found[:, 0]) for found in (excess[name], excess[SAMPLINGS[0]]))
    logs = np.log(theirs / ours)
    count = logs.size
    half = float(scipy.special.stdtrit(count - 1, (1 + LEVEL) / 2)) * float(logs.std(ddof=1)) / math.sqrt(count)
    mean = float(logs.mean())
    return Comparison(name, math.exp(mean), math.exp(mean - half), math.exp(mean + half), theory)
