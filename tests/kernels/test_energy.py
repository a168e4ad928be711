"""Sums of squares against exact ones, on data that rounds alike everywhere and on data where one entry is all."""

import math
from fractions import Fraction

import numpy as np
import pytest

from rnla.kernels.dense import energy, squared_column_norms, squared_norms
from tests.matrices import random_of
from tests.tolerances import sum_rounding

ROWS, COLUMNS = 300, 1003
RNG = np.random.default_rng(4)
ALIKE = 64  # roundings: runs of 512 in the 8 lanes and more of a vector unit, in pairs from there


def heavy():
    return RNG.standard_t(1, (ROWS, COLUMNS))


def one_entry():
    A = RNG.standard_normal((ROWS, COLUMNS)) * 1e-4
    A[200, 333] = 1234.5678
    return A


DATA = {
    "constant": lambda: np.full((ROWS, COLUMNS), 0.1),
    "two values": lambda: RNG.choice([0.1, 0.3], (ROWS, COLUMNS)),
    "pattern": lambda: np.tile(RNG.standard_normal(512), ROWS * COLUMNS // 512 + 1)[: ROWS * COLUMNS].reshape(ROWS, -1),
    "grey levels": lambda: RNG.integers(0, 256, (ROWS, COLUMNS)) / 255,
    "normal": lambda: RNG.standard_normal((ROWS, COLUMNS)),
    "uniform": lambda: RNG.random((ROWS, COLUMNS)),
    "Cauchy": heavy,
    "one entry": one_entry,
    "columns of many sizes": lambda: RNG.standard_normal((ROWS, COLUMNS)) * 10.0 ** np.linspace(0, -6, COLUMNS),
    "zero but for a row": lambda: np.where(np.arange(ROWS)[:, None] == 77, 0.1, 0.0) * np.ones(COLUMNS),
    "zero": lambda: np.zeros((ROWS, COLUMNS)),
}


@pytest.mark.parametrize("order", ["C", "F", "rows of a wider array"])
@pytest.mark.parametrize("dtype", ["f4", "f8", "c8"])
@pytest.mark.parametrize("kind", DATA)
def test_it_is_right_to_the_rounding_of_float64(kind, dtype, order):
    A = DATA[kind]().astype(dtype) * (1 if dtype != "c8" else np.complex64(0.6 + 0.8j))
    exact = math.fsum((np.abs(A.astype("c16")) ** 2).ravel())
    if order == "F":
        A = np.asfortranarray(A)
    elif order != "C":
        A = np.hstack([A, A])[:, :COLUMNS]
    assert abs(energy(A) - exact) <= ALIKE * np.finfo("f8").eps * exact


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e7 + 1])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_long_sums_of_like_terms_do_not_drift(value, dtype):
    """One dot product of four million of them is wrong by 20,000 roundings."""
    A = np.full((2048, 2048), value, dtype)
    exact = float(Fraction(float(A[0, 0])) ** 2 * A.size)
    assert abs(energy(A) - exact) <= ALIKE * np.finfo("f8").eps * exact
    assert np.abs(squared_column_norms(A) * 2048 - exact).max() <= ALIKE * np.finfo("f8").eps * exact


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("size", [10, ROWS])
def test_what_is_not_finite_shows(bad, size):
    A = np.ones((size, COLUMNS), "f4")
    A[size // 2, 5] = bad
    assert not np.isfinite(energy(A))
    assert energy(np.zeros((0, 7), "f4")) == 0.0


@pytest.mark.parametrize("dtype", ["f4", "f8", "c16"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_both_kinds_of_norms_are_right_to_their_last_digits(dtype, order):
    A = np.asarray(random_of(dtype, (131, 1100)), order=order)
    exact = np.abs(A.astype("c16")) ** 2
    columns, rows = squared_norms(A)
    assert np.abs(columns - exact.sum(axis=0)).max() <= sum_rounding("f8", 131) * exact.sum(axis=0).max()
    assert np.abs(rows - exact.sum(axis=1)).max() <= sum_rounding("f8", 1100) * exact.sum(axis=1).max()
