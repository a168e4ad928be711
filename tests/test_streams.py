"""Randomness is addressed: the numbers of a place are the same however they are asked for."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from rnla.streams import TILE_ROWS, normal, normal_rows, uniform_rows, words
from tests.tolerances import ks_threshold, mean_band

ROWS = 2 * TILE_ROWS + 100


@pytest.fixture(scope="module")
def whole():
    return normal(7, "start", ROWS, 3)


@given(st.integers(0, ROWS), st.integers(0, ROWS))
@settings(max_examples=30, deadline=None)
def test_any_range_of_rows_is_that_range_of_the_whole(whole, first, last):
    rows = slice(min(first, last), max(first, last))
    assert np.array_equal(normal_rows(7, "start", rows, 3), whole[rows])


def test_complex_ranges_are_ranges_of_the_whole():
    whole = normal(7, "start", ROWS, 2, complex_=True)
    rows = slice(TILE_ROWS - 3, TILE_ROWS + 5)
    assert np.array_equal(normal_rows(7, "start", rows, 2, complex_=True), whole[rows])


@pytest.mark.parametrize("other", [(8, "start"), (7, "probes")])
def test_other_seeds_and_names_give_independent_numbers(whole, other):
    there = normal(*other, ROWS, 3)
    correlation = np.corrcoef(whole.ravel(), there.ravel())[0, 1]
    assert abs(correlation) <= mean_band(whole.size)


def test_tiles_differ(whole):
    assert not np.array_equal(whole[:100], whole[TILE_ROWS : TILE_ROWS + 100])


def test_numbers_are_standard_normal(whole):
    assert scipy.stats.kstest(whole.ravel(), "norm").statistic <= ks_threshold(whole.size)


def test_complex_numbers_have_unit_variance_and_no_preferred_phase():
    z = normal(7, "start", ROWS, 3, complex_=True).ravel()
    assert scipy.stats.kstest(np.sqrt(2) * z.real, "norm").statistic <= ks_threshold(z.size)
    assert scipy.stats.kstest(np.sqrt(2) * z.imag, "norm").statistic <= ks_threshold(z.size)
    assert abs((z**2).mean()) <= 2 * mean_band(z.size)


def test_the_seed_may_be_any_integer():
    assert not np.array_equal(normal(-1, "start", 5, 1), normal(2**80, "start", 5, 1))


@given(st.integers(0, ROWS), st.integers(0, ROWS), st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_words_and_uniform_numbers_belong_to_their_rows(first, last, per_row):
    rows = slice(min(first, last), max(first, last))
    assert np.array_equal(words(7, "sketch", rows, per_row), words(7, "sketch", slice(0, ROWS), per_row)[rows])
    assert np.array_equal(uniform_rows(7, "draws", rows), uniform_rows(7, "draws", slice(0, ROWS))[rows])


def test_words_are_those_of_one_generator_and_each_bit_is_fair():
    drawn = words(7, "sketch", slice(0, ROWS), 3)
    assert np.unique(drawn).size == drawn.size  # 2^-64 of a chance that two agree
    bits = (drawn.reshape(-1, 1) >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    assert np.abs(bits.mean(axis=0) - 0.5).max() <= 6 * 0.5 * mean_band(drawn.size, 1.0)  # 64 bits at 6 sigmas: 1e-7


def test_uniform_numbers_are_uniform():
    drawn = uniform_rows(7, "draws", slice(0, ROWS))
    assert 0 <= drawn.min() < drawn.max() < 1
    assert scipy.stats.kstest(drawn, "uniform").statistic <= ks_threshold(drawn.size)


def test_rows_in_other_tiles_are_another_stream_but_as_addressed():
    whole = normal_rows(7, "sketch", slice(0, 1000), 5, tile_rows=256)
    assert np.array_equal(normal_rows(7, "sketch", slice(250, 700), 5, tile_rows=256), whole[250:700])
    assert scipy.stats.kstest(whole.ravel(), "norm").statistic <= ks_threshold(whole.size)
