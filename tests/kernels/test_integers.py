"""Sums of squares of integers are exact: Python's own integers are the definition."""

import numpy as np
import pytest

from rnla.kernels.integers import IntegerSums, beside, joined, sums_of_squares

LARGEST = {"i1": 127, "u1": 255, "i2": 2**15, "u2": 2**16 - 1, "i4": 2**31, "u4": 2**32 - 1, "i8": 2**32 - 1}


def squares(A):
    return [[int(x) ** 2 for x in row] for row in A.tolist()]


@pytest.mark.parametrize("kind", LARGEST)
@pytest.mark.parametrize("shape", [(700, 130), (3, 5), (1, 4000), (4000, 1)])
def test_sums_are_those_of_python_integers_rounded_once(kind, shape):
    rng = np.random.default_rng(0)
    A = rng.integers(-LARGEST[kind] if kind[0] == "i" else 0, LARGEST[kind], shape, endpoint=True).astype(np.float64)
    columns, rows = sums_of_squares(A)
    exact = squares(A.astype(np.int64))
    assert columns.rounded().tolist() == [float(sum(column)) for column in zip(*exact, strict=True)]
    assert rows.rounded().tolist() == [float(sum(row)) for row in exact]
    assert columns.total() == rows.total() == float(sum(map(sum, exact)))


def test_parts_join_to_the_whole():
    A = np.random.default_rng(0).integers(0, 2**32, (60, 9)).astype(np.float64)
    whole = sums_of_squares(A)
    top, bottom = sums_of_squares(A[:13]), sums_of_squares(A[13:])
    assert np.array_equal(joined(top[0], bottom[0]).rounded(), whole[0].rounded())
    assert np.array_equal(beside([top[1], bottom[1]]).rounded(), whole[1].rounded())


def test_sums_beyond_2_85_are_rounded_once():
    high = np.array([2**53 + 1, 2**60 + 3], np.uint64)
    low = np.array([2**63 + 1, 2**64 - 1], np.uint64)
    exact = [float((int(h) << 32) + int(l)) for h, l in zip(high.tolist(), low.tolist(), strict=True)]
    assert IntegerSums(high, low, np.zeros(2)).rounded().tolist() == exact


def test_integers_of_2_32_and_more_are_squared_in_float64():
    A = np.array([[2.0**40 + 1, 3.0], [2.0**32, 2.0**53]])
    columns, rows = sums_of_squares(A)
    assert np.allclose(columns.rounded(), (A**2).sum(axis=0), rtol=1e-15)
    assert np.allclose(rows.rounded(), (A**2).sum(axis=1), rtol=1e-15)
