"""Leverage scores: squared lengths of rows of singular vectors, and the law of what is drawn by them."""

import numpy as np
import pytest
import scipy.stats

import rnla
from rnla.errors import RankError
from tests.backends import BACKENDS
from tests.tolerances import mean_band, orthonormality, sum_rounding

K = 4
UNLIKELY = 1e-6


def gapped(shape, dtype="f8", seed=0):
    """A matrix with singular values 1, 1/2, ..., and a gap of 1e4 after the fourth; its right singular vectors."""
    rng = np.random.default_rng(seed)
    l = min(shape)
    U, V = (np.linalg.qr(rng.standard_normal((size, l)))[0] for size in shape)
    s = 1.0 / np.arange(1, l + 1)
    s[K:] *= 1e-4
    return ((U * s) @ V.T).astype(dtype), V[:, :K]


@pytest.mark.parametrize("backend", ["numpy", "zarr v3", "dask"])
@pytest.mark.parametrize("shape", [(90, 30), (30, 90)])
def test_scores_are_those_of_the_definition(tmp_path, small_panels, backend, shape):
    A, V = gapped(shape)
    found = np.asarray(rnla.leverage_scores(BACKENDS[backend](A, tmp_path), K))
    assert found.shape == (shape[1],)
    # V turns by eps over the gap, and a score by twice that
    assert np.abs(found - (V**2).sum(axis=1)).max() <= 2 * orthonormality("f8", K) / 0.25
    assert found.sum() == pytest.approx(K, rel=orthonormality("f8", K))


def test_scores_of_rows_are_those_of_the_transpose():
    A, V = gapped((30, 90))
    assert np.allclose(np.asarray(rnla.leverage_scores(rnla.open(A.T).T, K)), (V**2).sum(axis=1), atol=1e-9)


def test_directions_beyond_the_rank_do_not_count():
    A = np.zeros((20, 10))
    A[:3, :3] = np.diag([3.0, 2.0, 1.0])
    scores = rnla.leverage_scores(A, 6)
    assert np.allclose(scores, [1, 1, 1] + 7 * [0], atol=orthonormality("f8", 3))
    with pytest.raises(RankError):
        rnla.leverage_scores(A, 11)


def test_draws_follow_the_scores():
    A, _ = gapped((60, 40))
    scores, count = rnla.leverage_scores(A, K), 100_000
    found = rnla.draws(scores, count, seed=3)
    counts = np.zeros(40)
    counts[found.indices] = found.counts
    assert scipy.stats.chisquare(counts, count * scores / scores.sum()).pvalue > UNLIKELY


def test_products_drawn_by_scores_are_as_wrong_as_the_formula_says():
    A, _ = gapped((50, 40))
    B, scores, count, trials = A.T.copy(), rnla.leverage_scores(A, K), 30, 200
    C, p = A @ B, scores / scores.sum()
    x = np.linalg.norm(A, axis=0) * np.linalg.norm(B, axis=1)
    moment = (x**2 / p).sum()
    errors = np.zeros(trials)
    for seed in range(trials):
        found = rnla.draws(scores, count, seed=seed)
        errors[seed] = np.linalg.norm(C - (A[:, found.indices] * found.scales**2) @ B[found.indices]) ** 2
    expected = (moment - np.linalg.norm(C) ** 2) / count
    assert abs(errors.mean() - expected) <= mean_band(trials) * errors.std()
    stated = rnla.sampled_product(A, B, count, weights=scores)
    assert stated.error_bound == pytest.approx(moment / count, rel=sum_rounding("f8", 40))
