"""Draws: the law of what is drawn, the sampling matrix, and that neither chunks nor strips change a draw."""

import tracemalloc

import dask.array
import numpy as np
import pytest
import scipy.stats

import rnla
import rnla.algorithms.draws
from rnla.algorithms.draws import Listed, drawn, entries_at
from rnla.errors import RequestError
from rnla.streams import TILE_ROWS
from tests.tolerances import LAYOUT, mean_band

UNLIKELY = 1e-6


def weights_of(size, seed=0):
    """Weights over four orders of magnitude, every seventh zero."""
    rng = np.random.default_rng(seed)
    weights = np.exp(3 * rng.standard_normal(size))
    weights[::7] = 0
    return weights


@pytest.mark.parametrize("count", [200_000, 10**12])  # one by one, and all of a tile at once
def test_draws_follow_the_weights(count):
    weights = weights_of(40)
    found = rnla.draws(weights, count, seed=1)
    counts, expected = np.zeros(40), count * weights / weights.sum()
    counts[found.indices] = found.counts
    assert counts.sum() == count
    enough = expected >= 5
    assert enough.sum() > 20
    counts, expected = (np.append(sizes[enough], sizes[~enough].sum()) for sizes in (counts, expected))
    kept = expected >= 5
    assert (
        scipy.stats.chisquare(counts[kept], expected[kept] * counts[kept].sum() / expected[kept].sum()).pvalue
        > UNLIKELY
    )
    assert np.allclose(found.probabilities, weights[found.indices] / weights.sum(), rtol=LAYOUT)


@pytest.mark.parametrize("few", [1 << 18, 0])
def test_draws_across_tiles_follow_the_weights(monkeypatch, few):
    monkeypatch.setattr(rnla.algorithms.draws, "FEW", few)
    weights = weights_of(3 * TILE_ROWS + 100)
    found = rnla.draws(weights, 200_000, seed=2)
    groups = np.arange(weights.size) // 200
    expected = np.bincount(groups, weights) / weights.sum() * 200_000
    counts = np.bincount(groups[found.indices], found.counts, minlength=len(expected))
    assert scipy.stats.chisquare(counts, expected).pvalue > UNLIKELY


@pytest.mark.parametrize("replace", [True, False])
def test_zero_weights_are_never_drawn(replace):
    weights = weights_of(5000)
    for seed in range(20):
        assert np.all(weights[rnla.draws(weights, 900, replace=replace, seed=seed).indices] > 0)


def test_counts_of_one_draw_hang_together_as_multinomial_ones_do(monkeypatch):
    monkeypatch.setattr(rnla.algorithms.draws, "FEW", 0)
    weights, trials, count = np.repeat([1.0, 3.0], 5), 2000, 50
    p, counts = weights / weights.sum(), np.zeros((trials, 10))
    for seed in range(trials):
        found = rnla.draws(weights, count, seed=seed)
        counts[seed, found.indices] = found.counts
    pairs = (counts[:, 0] - count * p[0]) * (counts[:, 9] - count * p[9])
    assert abs(pairs.mean() + count * p[0] * p[9]) <= mean_band(trials) * pairs.std()


def test_memory_follows_the_terms_and_not_the_draws():
    tracemalloc.start()
    found = rnla.draws(np.ones(3 * TILE_ROWS), 10**15)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.counts.sum() == 10**15
    assert peak <= 30 * 8 * 3 * TILE_ROWS  # a few dozen numbers for each term


@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize("scale", [2.0**1000, 2.0**-1000])
def test_only_ratios_of_weights_matter(scale, replace):
    weights = weights_of(2 * TILE_ROWS)
    weights /= weights.max()
    plain, found = (rnla.draws(w, 900, replace=replace, seed=4) for w in (weights, weights * scale))
    for name in ("indices", "counts", "probabilities", "scales"):
        assert np.array_equal(getattr(found, name), getattr(plain, name))
    assert found.threshold == plain.threshold * scale
    largest = rnla.draws([1.7e308] * 5, 5, replace=replace)
    assert np.allclose(largest.probabilities, 0.2 if replace else 1.0, rtol=LAYOUT)
    assert np.all(np.isfinite(largest.scales))


def test_lazy_weights_are_read_in_strips_and_not_tile_by_tile(monkeypatch):
    monkeypatch.setattr(rnla.algorithms.draws, "HELD", 0)
    read = []

    class Watched:
        shape, dtype = (100 * TILE_ROWS,), np.dtype("f8")

        def __getitem__(self, rows):
            read.append(rows)
            return np.ones(rows.stop - rows.start)

    assert rnla.draws(Watched(), 5000).counts.sum() == 5000
    assert len(read) == 3 * 2  # the largest, sums and counts, in two strips each


@pytest.mark.parametrize("replace", [True, False])
def test_sums_over_draws_are_unbiased(replace):
    weights = weights_of(60)
    x, trials = np.random.default_rng(5).standard_normal(60) * (weights > 0), 3000
    estimates = np.zeros((trials, 60))
    for seed in range(trials):
        found = rnla.draws(weights, 12, replace=replace, seed=seed)
        estimates[seed, found.indices] = found.scales**2 * x[found.indices]
    band = mean_band(trials, scipy.stats.norm.isf(UNLIKELY / 60))
    spread = estimates.std(axis=0)
    rare = trials * 12 * weights / weights.sum() < 25  # too few for the normal law of their mean
    assert np.all(np.abs(estimates.mean(axis=0) - x)[~rare] <= band * spread[~rare] + 1e-12)
    total = estimates.sum(axis=1)
    if not replace:  # those are of bounded variance, however rare: tau bounds them
        assert abs(total.mean() - x.sum()) <= mean_band(trials) * total.std()


def test_priority_draws_have_no_covariance_and_the_variance_that_they_state():
    weights, trials, count = weights_of(20), 8000, 6
    estimates, stated = np.zeros((trials, 20)), np.zeros(trials)
    for seed in range(trials):
        found = drawn(Listed(weights), count, replace=False, seed=seed)
        kept = weights[found.indices]
        estimates[seed, found.indices] = found.scales**2 * kept
        stated[seed] = (found.threshold * np.maximum(found.threshold - kept, 0)).sum()  # Duffield et al., equation 4
    sums = estimates.sum(axis=1)
    squares = (sums - weights.sum()) ** 2
    assert abs((squares - stated).mean()) <= mean_band(trials) * (squares - stated).std()
    products = (estimates[:, 1] - weights[1]) * (estimates[:, 2] - weights[2])
    assert abs(products.mean()) <= mean_band(trials) * products.std()


def test_the_sampling_matrix_is_what_was_drawn():
    weights = weights_of(50)
    for replace in (True, False):
        found = rnla.draws(weights, 15, replace=replace, seed=3)
        S = found.matrix.toarray()
        u = found.indices.size
        assert S.shape == (50, u)
        assert np.array_equal(S[found.indices, range(u)], found.scales)
        assert np.count_nonzero(S) == u
        assert np.all(np.diff(found.indices) > 0)
        if replace:
            assert found.counts.sum() == 15
            assert np.allclose(found.scales**2, found.counts / (15 * weights[found.indices] / weights.sum()))
        else:
            assert np.all(found.counts == 1)
            assert np.allclose(found.scales**2, 1 / np.minimum(1, weights[found.indices] / found.threshold))


@pytest.mark.parametrize("replace", [True, False])
def test_the_same_draw_however_the_weights_are_kept_and_read(monkeypatch, replace):
    weights = weights_of(3 * TILE_ROWS + 77)
    whole = rnla.draws(weights, 500, replace=replace, seed=9)
    for chunks in (1000, 5000, 12_365):
        found = rnla.draws(dask.array.from_array(weights, chunks=chunks), 500, replace=replace, seed=9)
        assert np.array_equal(found.indices, whole.indices)
        assert found.scales.tobytes() == whole.scales.tobytes()
    monkeypatch.setattr(rnla.algorithms.draws, "STRIP_ROWS", TILE_ROWS)
    assert np.array_equal(rnla.draws(weights, 500, replace=replace, seed=9).indices, whole.indices)
    assert not np.array_equal(rnla.draws(weights, 500, replace=replace, seed=10).indices, whole.indices)


def test_no_more_draws_than_there_are_weights_without_replacement():
    weights = np.array([0.0, 1.0, 5.0, 0.0, 2.0])
    for count in (3, 10):
        found = rnla.draws(weights, count, replace=False)
        assert found.indices.tolist() == [1, 2, 4]
        assert np.all(found.scales == 1)
        assert found.threshold == 0


def test_heavy_weights_are_certain_without_replacement():
    weights = np.append(np.full(100, 1e-3), [1e6, 1e7])
    for seed in range(50):
        found = rnla.draws(weights, 5, replace=False, seed=seed)
        assert set(found.indices) >= {100, 101}
        assert np.all(found.scales[found.indices >= 100] == 1)


def test_entries_at_sorted_indices_are_read_tile_by_tile():
    x, asked = np.arange(3.0 * TILE_ROWS + 5), []

    def read(rows):
        asked.append(rows)
        return x[rows]

    indices = np.array([3, 7, 2 * TILE_ROWS, 3 * TILE_ROWS + 4])
    assert np.array_equal(entries_at(read, indices, x.size), x[indices])
    assert len(asked) == 3
    assert entries_at(read, indices[:0], x.size).size == 0


@pytest.mark.parametrize(
    ("weights", "count", "told"),
    [
        ([1.0, 2.0], 0, "at least 1"),
        ([1.0, 2.0], 1.5, "integer"),
        ([1.0, 2.0], 2**60, "at most"),
        ([1.0, 2.0], True, "integer"),
        ([1.0, -2.0], 3, "weight 1 is -2"),
        ([np.nan, 2.0], 3, "weight 0 is nan"),
        ([np.inf, 2.0], 3, "weight 0 is inf"),
        ([0.0, 0.0], 3, "all weights are zero"),
        ([], 3, "one dimension"),
        ([[1.0]], 3, "one dimension"),
        ([1j], 3, "real numbers"),
        (["a"], 3, "real numbers"),
    ],
)
@pytest.mark.parametrize("replace", [True, False])
def test_draws_that_cannot_be_made_are_refused(weights, count, told, replace):
    with pytest.raises(RequestError, match=told):
        rnla.draws(weights, count, replace=replace)


def test_options_of_the_wrong_kind_are_refused():
    with pytest.raises(RequestError, match="True or False"):
        rnla.draws([1.0], 1, replace=1)
    with pytest.raises(RequestError, match="integer"):
        rnla.draws([1.0], 1, seed=0.5)
