"""Descent on least squares, min |A x - b|^2 / 2: rates with and without momentum, semi-convergence, where to stop.

One read gives G = A^T A, c = A^T b and |b|^2, and with them every iterate of a method that looks at the whole gradient
G x - c. In the eigenvectors of G, with eigenvalues mu .. L and kappa = L / mu, the error of the slowest direction falls
by a factor a step of

    gradient      x := x - (G x - c) / L                                        1 - 1 / kappa
    accelerated   the same at y = x + beta (x - x_before),                      1 - 1 / kappa^(1/2)
                  beta = (kappa^(1/2) - 1) / (kappa^(1/2) + 1)                  (Nesterov 1983)
    heavy ball    x := x - eta (G x - c) + beta^2 (x - x_before),               1 - 2 / (kappa^(1/2) + 1)
                  eta = 4 / (L^(1/2) + mu^(1/2))^2                              (Polyak 1964)

Where A is ill-posed and b noisy, the error of x first falls and then grows, as noise comes in through small singular
values: stop when the residual is as small as the noise (the discrepancy principle, Morozov 1966).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from rnla.algorithms.targets import Patient, Scaled, look_bytes, size_of, targets_of
from rnla.arrays import Array
from rnla.checks import integer, one_of, vector
from rnla.errors import RequestError, UnsupportedError
from rnla.kernels.blas import single_blas_thread
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.nonzeros import SparseGeometry
from rnla.sweeps.products import GramMatrix, Left
from rnla.sweeps.settling import settled
from rnla.sweeps.source import Source, touched_bytes
from rnla.sweeps.spans import BLOCK_BYTES
from rnla.tables import html_table

METHODS = ("gradient", "accelerated", "heavy ball")
MOST_COLUMNS = 4096  # whose G is formed
NEGLIGIBLE = 1e-14  # eigenvalues of G below this, relative and for each column, are rounding
MOST_STEPS = 2_000_000
LEAST_UNIT = 2.0**-330  # numbers of b up to 1e99, and from 1e-99 on, are squared as they are


@dataclass(frozen=True)
class Column:
    """b as a tall matrix that is only read."""

    source: Source

    @property
    def shape(self) -> tuple[int, int]:
        """(m, 1)."""
        return self.source.shape

    def write(self, rows: slice, block: Array) -> None:
        """Never."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Quadratic:
    """|A x - b|^2 / 2 in the eigenvectors of A^T A, those left out to which A is blind."""

    eigenvalues: Array  # (d,) of G, decreasing
    vectors: Array  # (n, d)
    c: Array  # (d,) V^T A^T b
    energy: float  # |b|^2
    rows: int
    unit: float = 1.0  # a power of two that b was multiplied by, for squares out of range

    @property
    def condition(self) -> float:
        """L / mu."""
        return float(self.eigenvalues[0] / self.eigenvalues[-1])

    @cached_property
    def solution(self) -> Array:
        """z* of the solution of least norm."""
        return self.c / self.eigenvalues

    @cached_property
    def resolution(self) -> float:
        """Residuals below this are not told from zero: rounding of |b|^2 and of A^T b, to the power 1/2."""
        length = math.sqrt(float(self.eigenvalues[0]) * self.energy) * float(np.linalg.norm(self.solution))
        return math.sqrt(8.0 * float(np.finfo(np.float64).eps) * (self.energy + 2.0 * length))

    @cached_property
    def least(self) -> float:
        """|A x* - b|^2, zero where it is not resolved."""
        found = self.energy - float(self.c @ self.solution)
        return found if found > self.resolution**2 else 0.0

    def residual(self, z: Array) -> float:
        """|A x - b| of x = V z, by Pythagoras: the part that descent takes away keeps its digits."""
        return math.sqrt(self.least + float(self.eigenvalues @ (z - self.solution) ** 2))


def quadratic(A: Matrix, b: Matrix) -> Quadratic:
    """The problem from one read of A (two where means of A must be found first) and two of b, counted by A's meter."""
    m, n = A.shape
    if A.dtype.kind == "c":
        msg = "descent is on real data: give the real and imaginary parts one under the other"
        raise UnsupportedError(msg)
    if n > MOST_COLUMNS:
        msg = f"A has {n:,} columns, and A^T A is formed of {MOST_COLUMNS:,} at most: take rnla.nn.train, loss='square'"
        raise RequestError(msg)
    if b.shape != (m, 1):
        msg = f"b has shape {b.shape}, and A has {m:,} rows: give one number for each row"
        raise RequestError(msg)
    column = targets_of(b)
    unit, energy = size_of(column)
    A.meter.read(look_bytes(column))
    if LEAST_UNIT < unit < 1.0 / LEAST_UNIT:  # squares are in range as they are
        unit, energy = 1.0, energy / unit**2
    scaled = Scaled(column, np.zeros(1), np.array([1.0 / unit]))
    view = settled(A).astype(np.float64)
    with single_blas_thread():
        G, c = view.sweep(GramMatrix(), Left(Column(Patient(scaled))))
    A.meter.read(beside_bytes(A, column))
    values, vectors = np.linalg.eigh(G)
    kept = values > NEGLIGIBLE * n * max(float(values[-1]), 0.0)
    if not kept.any():
        msg = "A is zero: there is nothing to descend on"
        raise RequestError(msg)
    order = np.flatnonzero(kept)[::-1]
    return Quadratic(values[order], vectors[:, order], vectors[:, order].T @ c[0], energy, m, unit)


def beside_bytes(A: Matrix, b: Source) -> int:
    """Bytes of b that are decoded for its rows beside the blocks of a sweep over A in float64.

    A chunk that is decoded whole counts for every block that holds some of its rows; sparse panels count as one block.
    """
    m, n = A.shape
    cut, row = A.geometry, touched_bytes(b, slice(0, 1))
    if row * m == (whole := touched_bytes(b, slice(0, m))):
        return whole
    step = m if isinstance(cut, SparseGeometry) else max(1, BLOCK_BYTES // (8 * n))
    panels = (panel for span in cut.spans() for panel in cut.panels(span))
    return sum(
        touched_bytes(b, slice(first, min(first + step, panel.stop)))
        for panel in panels
        for first in range(panel.start, panel.stop, step)
    )


class Path(NamedTuple):
    """A run of a method."""

    method: str
    steps: Array  # (p,) at which it was looked at, from 0
    errors: Array  # (p,) |x - x*| / |x*|, x* the solution of least norm
    residuals: Array  # (p,) |A x - b|
    true_errors: Array | None  # (p,) |x - truth| / |truth|
    rate: float  # 1 - the factor by which the error fell in a step, late in the run; NaN: it did not fall far enough
    theory: float  # 1 - the factor that theory gives for large numbers of steps
    stopped: int | None  # first step at which the residual is at most `noise`; None: not, or no noise was given
    x: Array  # (n,) where it stopped, or ended

    @property
    def summary(self) -> list[tuple[str, str]]:
        """Names and values, as they are printed."""
        rate = "no rate is seen yet" if math.isnan(self.rate) else f"{self.rate:.4g} of the error a step"
        lines = [("method", f"{self.method}, {self.steps[-1]:,} steps"), ("rate", f"{rate}; theory {self.theory:.4g}")]
        lines.append(("error", f"|x - x*| is {self.errors[-1]:.4g} |x*| at the end"))
        if self.true_errors is not None:
            best = int(np.argmin(self.true_errors))
            ends = f"{self.true_errors[best]:.4g} at step {self.steps[best]:,}, {self.true_errors[-1]:.4g} at the end"
            lines.append(("from the truth", f"least {ends}"))
        stop = [] if self.stopped is None else [("stopped", f"at step {self.stopped:,}, where x is")]
        return [*lines, *stop, ("x", f"{self.x.size:,} numbers")]

    def __repr__(self) -> str:
        (_, run), *rest = self.summary
        return f"Path({'; '.join([run, *(f'{name} {value}' for name, value in rest)])})"

    def _repr_html_(self) -> str:
        return html_table("Descent", self.summary)


def path(problem: Quadratic, method: str, steps: int, *, truth: Any = None, noise: float | None = None) -> Path:
    """So many steps of a method from zero; it is looked at after every step up to 1000, then ever more seldom.

    Parameters
    ----------
    truth : array of length n, optional
        The x that b was made from, to see the error fall and grow.
    noise : float, optional
        |b - A truth| / |b|: the discrepancy principle stops at the first step with a residual of at most this part of
        |b|. RequestError where A^T A and A^T b do not resolve it (about 1e-8).
    """
    one_of(method, "method", METHODS)
    count = integer(steps, "steps", least=1)
    if count > MOST_STEPS:
        msg = f"steps={count} must be at most {MOST_STEPS:,}"
        raise RequestError(msg)
    level = None if noise is None else noise_level(problem, noise)
    target = None if truth is None else truth_of(problem, truth)
    size = float(np.linalg.norm(problem.solution)) or 1.0
    looks = looks_of(count)
    errors, residuals, true_errors = (np.empty(looks.size) for _ in range(3))
    stopped, answer, at = None, problem.solution, 0
    for number, z in enumerate(_iterates(problem, method, count)):
        if looks[at] == number:
            errors[at] = np.linalg.norm(z - problem.solution) / size
            residuals[at] = problem.residual(z)
            true_errors[at] = math.nan if target is None else target.distance(z)
            at += 1
        if stopped is None:
            answer = z
            if level is not None and problem.residual(z) <= level:
                stopped = number
    return Path(
        method,
        looks,
        errors,
        residuals / problem.unit,
        None if target is None else true_errors,
        measured_rate(looks, errors, problem.condition),
        theory(method, problem.condition),
        stopped,
        problem.vectors @ answer / problem.unit,
    )


class Truth(NamedTuple):
    """The x that b was made from, in the eigenvectors of A^T A."""

    z: Array  # (d,) V^T x
    unseen: float  # |x - V z|^2, to which A is blind
    size: float  # |x|

    def distance(self, z: Array) -> float:
        """|V z - x| / |x|."""
        return math.sqrt(float(np.sum((z - self.z) ** 2)) + self.unseen) / self.size


def truth_of(problem: Quadratic, truth: Any) -> Truth:
    """A truth, checked."""
    x = problem.unit * vector(truth, len(problem.vectors), "truth")
    if not x.any():
        msg = "truth is zero: errors are told relative to it"
        raise RequestError(msg)
    z = problem.vectors.T @ x
    return Truth(z, max(0.0, float(np.sum(x**2) - np.sum(z**2))), float(np.linalg.norm(x)))


def noise_level(problem: Quadratic, noise: Any) -> float:
    """The residual at which the discrepancy principle stops."""
    if isinstance(noise, bool) or not isinstance(noise, int | float | np.number) or not 0 <= noise < math.inf:
        msg = f"noise={noise!r} must be a number >= 0, |b - A truth| / |b|"
        raise RequestError(msg)
    least = problem.resolution / math.sqrt(problem.energy) if problem.energy else 0.0
    if noise < least:
        msg = f"noise={noise:.3g} is less than {least:.1g}, below which A^T A and A^T b do not tell a residual of |b|"
        raise RequestError(msg)
    return float(noise) * math.sqrt(problem.energy)


def looks_of(count: int) -> Array:
    """Steps that are looked at: all up to 1000, then 200 a decade, and the last."""
    decades = max(0.0, math.log10(count / 1000))
    later = np.geomspace(1000, count, 2 + int(200 * decades)) if count > 1000 else np.zeros(0)
    return np.unique(np.concatenate([np.arange(min(count, 1000) + 1), later.round().astype(np.int64), [count]]))


def _iterates(problem: Quadratic, method: str, count: int) -> Iterator[Array]:
    """The iterates from zero, in the eigenvectors."""
    values, c = problem.eigenvalues, problem.c
    L, root = float(values[0]), math.sqrt(problem.condition)
    beta = (root - 1.0) / (root + 1.0)
    z = np.zeros_like(c)
    before = z
    yield z
    for _ in range(count):
        if method == "gradient":
            z = z - (values * z - c) / L
        elif method == "accelerated":
            y = z + beta * (z - before)
            before, z = z, y - (values * y - c) / L
        else:
            eta = 4.0 / (math.sqrt(L) + math.sqrt(float(values[-1]))) ** 2
            before, z = z, z - eta * (values * z - c) + beta**2 * (z - before)
        yield z


def theory(method: str, condition: float) -> float:
    """1 - the factor of a step."""
    if method == "gradient":
        return 1.0 / condition
    return 1.0 / math.sqrt(condition) if method == "accelerated" else 2.0 / (math.sqrt(condition) + 1.0)


def measured_rate(steps: Array, errors: Array, condition: float) -> float:
    """1 - the factor of a step: least squares on the logarithms of the later half of the fall, down to rounding.

    NaN where the error has not fallen to a thousandth: the slowest direction is not all that is left.
    """
    floor = 1e3 * float(np.finfo(np.float64).eps) * condition
    falling = np.flatnonzero(errors > floor)
    if falling.size < 3 or errors[falling[-1]] > 1e-3 * errors[0]:
        return math.nan
    half = math.sqrt(float(errors[falling[-1]]) * float(errors[0]))
    used = falling[errors[falling] <= half]
    used = used if used.size >= 3 else falling[falling.size // 2 :]
    slope = np.polyfit(steps[used].astype(np.float64), np.log(errors[used]), 1)[0]
    return float(-np.expm1(slope))
