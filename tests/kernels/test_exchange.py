"""Lines chosen by what they explain: the update formulas against the definition, and exchanges that only gain."""

import numpy as np
import pytest

from rnla.kernels.exchange import GAIN, best_rows, exchanged, explained, greedy, projection, shortlist
from tests.matrices import random_of
from tests.tolerances import sum_rounding

SIZES = (30, 5)


def lines(complex_, noisy, seed=0):
    """Graded lines, their noise, and the energies to be explained."""
    rng = np.random.default_rng(seed)
    G = random_of("c16" if complex_ else "f8", SIZES, seed) * 0.6 ** np.arange(SIZES[1])
    noise = rng.random(SIZES[0]) if noisy else np.zeros(SIZES[0])
    B = random_of("c16" if complex_ else "f8", (SIZES[1], SIZES[1]), seed + 1)
    return G, noise, B.conj().T @ B


@pytest.mark.parametrize("complex_", [False, True])
@pytest.mark.parametrize("noisy", [False, True])
def test_greedy_takes_the_line_that_adds_most(complex_, noisy):
    G, noise, W = lines(complex_, noisy)
    chosen = greedy(G, noise, W, SIZES[1])
    for k in range(SIZES[1]):
        before = list(chosen[:k])
        reached = [-1.0 if i in before else explained(G[[*before, i]], noise[[*before, i]], W) for i in range(len(G))]
        assert reached[chosen[k]] >= max(reached) - sum_rounding("f8", 30) * W.trace().real


@pytest.mark.parametrize("complex_", [False, True])
def test_without_noise_the_projection_is_orthogonal(complex_):
    G, noise, _ = lines(complex_, noisy=False)
    E = projection(G[:3], noise[:3])
    bound = sum_rounding("f8", 30)
    assert np.abs(E @ E - E).max() <= bound
    assert np.abs(E - E.conj().T).max() <= bound
    assert np.abs(G[:3] @ E - G[:3]).max() <= bound * np.abs(G).max()


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("noisy", [False, True])
def test_exchanges_only_gain_and_end_where_no_other_does(noisy, seed):
    G, noise, W = lines(complex_=False, noisy=noisy, seed=seed)
    begin = np.arange(3)
    after = exchanged(G, noise, W, begin)
    reached = explained(G[after], noise[after], W)
    assert reached >= explained(G[begin], noise[begin], W)
    assert len(set(after)) == 3
    swaps = [[i, *np.delete(after, place)] for place in range(3) for i in set(range(len(G))) - set(after)]
    assert max(explained(G[swap], noise[swap], W) for swap in swaps) <= reached + 2 * GAIN * W.trace()
    chosen, first = best_rows(G, noise, W, 3), greedy(G, noise, W, 3)
    rounding = sum_rounding("f8", 30) * W.trace()
    assert explained(G[chosen], noise[chosen], W) >= explained(G[first], noise[first], W) - rounding


def test_a_short_list_holds_each_line_once():
    G, noise, W = lines(complex_=False, noisy=True)
    found = shortlist(G, noise, W, 3)
    assert len(found) <= 9
    assert np.array_equal(found, np.unique(found))
    assert np.array_equal(shortlist(G[:9], noise[:9], W, 3), np.arange(9))


def test_zero_lines_are_chosen_last():
    G, noise, W = lines(complex_=False, noisy=False)
    G[:10] = 0
    assert min(greedy(G, noise, W, 5)) >= 10
    assert min(best_rows(G, noise, W, 4)) >= 10
    assert len(best_rows(np.zeros((4, 2)), np.zeros(4), np.eye(2), 2)) == 2
