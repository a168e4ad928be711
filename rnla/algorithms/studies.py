"""A study of descent on one least-squares problem: whole gradients against theory, samplings against one another.

Columns of A and the numbers b are centred and scaled. Whole gradients: `descent`. Single samples: a linear network is
trained by every way of drawing samples, over several seeds; how much its loss exceeds the least there is follows from
A^T A exactly, so that the comparison is not blurred by the loss that is left.
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
from rnla.algorithms.regime import SAMPLINGS, checked_regime
from rnla.algorithms.results import Cost
from rnla.algorithms.samples import Rooms, prepared
from rnla.algorithms.training import Descent, trained
from rnla.arrays import Array
from rnla.checks import integer
from rnla.errors import RequestError
from rnla.kernels.layers import layers
from rnla.sweeps.matrix import Matrix
from rnla.tables import Certified

LEVEL = 0.95


class Comparison(NamedTuple):
    """How much more another way of drawing leaves than permutations, at the end: a ratio with its interval."""

    sampling: str
    ratio: float  # geometric mean over seeds of its excess loss over that of permutations
    low: float  # ends of the interval of confidence 95 % (Student's, of the logarithms)
    high: float


@dataclass(frozen=True, eq=False)
class Study:
    """What was seen of descent on one problem; without `excess` where columns were not standardised."""

    condition: float  # of A^T A, columns centred and scaled
    paths: tuple[Path, ...]  # by whole gradients
    excess: dict[str, Array]  # (seeds, epochs + 1) loss beyond the least, by sampling
    comparisons: tuple[Comparison, ...]
    learning_rate: float
    batch: int
    cost: Cost | None = None
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def certificate(self) -> StudyCertificate:
        """Rates and comparisons."""
        return StudyCertificate.of(self)


@dataclass(frozen=True, repr=False)
class StudyCertificate(Certified):
    """Measured rates beside those of theory, and how ways of drawing samples compare."""

    condition: float  # of A^T A
    learning_rate: float  # of stochastic descent
    rates: dict[str, dict[str, Any]] = field(default_factory=dict)  # by method: measured, theory, stopped, truth
    comparisons: dict[str, dict[str, float]] = field(default_factory=dict)  # by sampling: ratio, low, high

    @classmethod
    def of(cls, found: Study) -> StudyCertificate:
        """What a study found."""
        rates = {
            p.method: {"measured": None if math.isnan(p.rate) else p.rate, "theory": p.theory, "stopped": p.stopped}
            | ({} if p.true_errors is None else {"truth": against_truth(p)})
            for p in found.paths
        }
        compared = {c.sampling: {"ratio": c.ratio, "low": c.low, "high": c.high} for c in found.comparisons}
        return cls(found.condition, found.learning_rate, rates, compared)

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
            ends = f"{found['low']:.3g} to {found['high']:.3g}"
            lines.append((sampling, f"leaves {found['ratio']:.3g} times what permutations leave (95 %: {ends})"))
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


def checked_study(epochs: Any, seeds: Any, batch: Any, steps: Any) -> tuple[int, int, int, int]:
    """Counts, or an error that says what is allowed."""
    counts = integer(epochs, "epochs", least=1), integer(seeds, "seeds", least=2), integer(batch, "batch", least=1)
    return (*counts, integer(steps, "steps", least=3))


def gradients(
    A: Matrix, b: Matrix, steps: int, *, truth: Any = None, noise: float | None = None
) -> tuple[Quadratic, tuple[Path, ...]]:
    """Runs by whole gradients; `noise` is |b - A truth| over |b|."""
    problem = quadratic(A, b)
    return problem, tuple(path(problem, method, steps, truth=truth, noise=noise) for method in METHODS)


def study(
    A: Matrix, b: Matrix, rooms: Rooms, *, epochs: int, seeds: int, batch: int, steps: int, rate: float | None
) -> Study:
    """The study of a problem whose columns and right side are centred and scaled already, by views."""
    problem, paths = gradients(A, b, steps)
    network = Network((A.shape[1], 1), dtype="float64").with_parameters(np.zeros(A.shape[1] + 1))
    if not problem.c.any():
        msg = "b is the same in all rows, or has nothing to do with A: there is nothing to descend on"
        raise RequestError(msg)
    eta = safe_rate(problem, batch) if rate is None else rate
    regime = checked_regime(
        network.widths, A.shape[0], 0, loss="square", learning_rate=eta, momentum=0.0, batch=batch, epochs=epochs
    )
    made = prepared(A, b, network, regime, np.zeros(0, np.int64), rooms).samples
    excess = {}
    for sampling in SAMPLINGS:
        rows = []
        for seed in range(seeds):
            order = replace(made.order, seed=seed, sampling=sampling)  # type: ignore[arg-type]
            samples = replace(made, order=order, token=f"{made.token}-{sampling}-{seed}")
            seen = [beyond(problem, network.parameters)]
            method = Descent(
                network, samples, None, regime, A,
                tell=lambda _row, x, seen=seen: seen.append(beyond(problem, x)),  # type: ignore[misc]
            )  # fmt: skip
            trained(method)
            rows.append(seen)
        excess[sampling] = np.array(rows)
    compared = tuple(comparison(name, excess[name][:, -1], excess["permutation"][:, -1]) for name in SAMPLINGS[1:])
    return Study(problem.condition, paths, excess, compared, eta, batch)


def safe_rate(problem: Quadratic, batch: int) -> float:
    """A quarter of 1 / (largest curvature + what single samples add to it, |x|^2 + 1 on average, over the batch)."""
    single = 1.0 + float(problem.eigenvalues.sum()) / problem.rows
    return 0.25 / (float(problem.eigenvalues[0]) / problem.rows + single / batch)


def beyond(problem: Quadratic, parameters: Array) -> float:
    """Mean loss of a linear network beyond the least, columns and numbers being centred."""
    (layer,) = layers(parameters, (len(problem.vectors), 1))
    gap = problem.vectors.T @ layer.W[:, 0] - problem.c / problem.eigenvalues
    return 0.5 * (float(gap @ (problem.eigenvalues * gap)) / problem.rows + float(layer.b[0]) ** 2)


def comparison(name: str, theirs: Array, ours: Array) -> Comparison:
    """Geometric mean of ratios over seeds, with Student's interval of their logarithms."""
    logs = np.log(theirs / ours)
    count = logs.size
    half = float(scipy.special.stdtrit(count - 1, (1 + LEVEL) / 2)) * float(logs.std(ddof=1)) / math.sqrt(count)
    mean = float(logs.mean())
    return Comparison(name, math.exp(mean), math.exp(mean - half), math.exp(mean + half))
