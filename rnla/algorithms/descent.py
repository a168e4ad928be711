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

from rnla.algorithms.targets import Patient, Scaled, energy_of, largest_of, targets_of, unit_of
from rnla.arrays import Array
from rnla.checks import integer, one_of, vector
from rnla.errors import RequestError, UnsupportedError
from rnla.kernels.blas import single_blas_thread
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.products import GramMatrix, Left
from rnla.sweeps.settling import settled
from rnla.sweeps.source import Source

METHODS = ("gradient", "accelerated", "heavy ball")
MOST_COLUMNS = 4096  # whose G is formed
NEGLIGIBLE = 1e-14  # eigenvalues of G below this, relative and for each column, are rounding
MOST_STEPS = 2_000_000


@dataclass(frozen=True)
class Standing:
    """A column of a store as a tall matrix that is only read."""

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
    """The problem from one read of A and b (two where means of A must be found first)."""
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
    (largest,) = largest_of(column)
    unit = 1.0 if 1e-100 < largest < 1e100 else float(unit_of(largest))
    column = Scaled(column, np.zeros(1), np.array([1.0 / unit]))
    energy = energy_of(column)
    view = settled(A).astype(np.float64)
    with single_blas_thread():
        G, c = view.sweep(GramMatrix(), Left(Standing(Patient(column))))
    values, vectors = np.linalg.eigh(G)
    kept = values > NEGLIGIBLE * n * max(float(values[-1]), 0.0)
    if not kept.any():
        msg = "A is zero: there is nothing to descend on"
        raise RequestError(msg)
    order = np.flatnonzero(kept)[::-1]
    return Quadratic(values[order], vectors[:, order], vectors[:, order].T @ c[0], energy, m, unit)


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
    known = None if truth is None else problem.unit * vector(truth, len(problem.vectors), "truth")
    if known is not None and not known.any():
        msg = "truth is zero: errors are told relative to it"
        raise RequestError(msg)
    outside = 0.0 if known is None else float(np.sum(known**2) - np.sum((problem.vectors.T @ known) ** 2))
    inside = None if known is None else problem.vectors.T @ known
    target = problem.solution
    size = float(np.linalg.norm(target)) or 1.0
    looked = _looked(count)
    errors, residuals, true = np.empty(looked.size), np.empty(looked.size), np.empty(looked.size)
    stopped, kept, at = None, None, 0
    for number, z in enumerate(_iterates(problem, method, count)):
        if at < looked.size and looked[at] == number:
            errors[at] = np.linalg.norm(z - target) / size
            residuals[at] = problem.residual(z)
            if inside is not None and known is not None:
                gap = float(np.sum((z - inside) ** 2)) + max(outside, 0.0)
                true[at] = math.sqrt(gap) / float(np.linalg.norm(known))
            at += 1
        if stopped is None and level is not None and problem.residual(z) <= level:
            stopped, kept = number, z.copy()
        last = z
    found, expected = measured_rate(looked, errors, problem.condition), theory(method, problem.condition)
    x = problem.vectors @ (kept if kept is not None else last) / problem.unit
    residuals /= problem.unit
    return Path(method, looked, errors, residuals, None if known is None else true, found, expected, stopped, x)


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


def _looked(count: int) -> Array:
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
