"""Lines chosen by what they explain: the update formulas against the definition, and exchanges that only gain."""

import numpy as np
import pytest

from rnla.kernels.exchange import (
    GAIN,
    ROUNDING,
    added,
    best_rows,
    exchanged,
    explained,
    greedy,
    held,
    listed,
    projection,
    quotients,
    replaced,
    ridged,
    shortlist,
)
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
    chosen, (least, _) = greedy(G, noise, W, SIZES[1]), ridged(G, noise)
    rounding = sum_rounding("f8", 30) * np.linalg.cond(G) ** 2 * W.trace().real  # of (G G^H)^-1
    for k in range(SIZES[1]):
        before = list(chosen[:k])
        reached = [-1.0 if i in before else explained(G[[*before, i]], least[[*before, i]], W) for i in range(len(G))]
        assert reached[chosen[k]] >= max(reached) - rounding


@pytest.mark.parametrize("complex_", [False, True])
@pytest.mark.parametrize("noisy", [False, True])
def test_what_lines_add_one_after_the_other(complex_, noisy):
    G, noise, W = lines(complex_, noisy)
    G[3] = 2 * G[1] if not noisy else G[3]  # adds nothing
    G[5] = 0
    steps = np.cumsum(added(G[:8], noise[:8], W))
    condition = max(np.linalg.cond(G[rows]) for rows in ([0, 1, 2], [0, 1, 2, 4, 6]))  # of those that add something
    rounding = ROUNDING * condition**2 * W.trace().real
    for j in range(8):
        assert abs(steps[j] - explained(G[: j + 1], noise[: j + 1], W)) <= rounding
    assert not added(np.zeros_like(G), np.zeros_like(noise), W).any()


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


@pytest.mark.parametrize("complex_", [False, True])
@pytest.mark.parametrize("noisy", [False, True])
def test_steps_of_rank_one_are_what_they_update(complex_, noisy):
    G, noise, W = lines(complex_, noisy)
    noise, least = ridged(G, noise)
    chosen = np.array([4, 9, 2])
    rounding = sum_rounding("f8", 30) * np.linalg.cond(G) ** 2 * W.trace().real
    now = held(G, noise, W, chosen)
    for place, line in ((1, 20), (0, 7), (2, 11), (1, 9)):
        column = now.inverse[:, place]
        freed = now.step(G, W, column.conj() @ G[chosen], 1 / float(column[place].real))
        others = np.delete(chosen, place)
        before = explained(G[others], noise[others], W)
        gains = [explained(G[[*others, i]], noise[[*others, i]], W) - before for i in range(len(G))]
        apart = np.setdiff1d(np.arange(len(G)), others)
        assert np.abs(quotients(freed.gain, freed.size, least) - gains)[apart].max() <= rounding
        now = replaced(now, G, noise, W, (chosen, place, line), freed)
        chosen[place] = line
        fresh = held(G, noise, W, chosen)
        assert all(np.abs(a - b).max() <= rounding for a, b in zip(now[1:], fresh[1:], strict=True))
        assert np.abs(now.inverse - fresh.inverse).max() <= rounding * np.abs(fresh.inverse).max()


@pytest.mark.parametrize("rank", [1, 3, 8])
@pytest.mark.parametrize("seed", range(3))
def test_more_lines_than_the_rank_has_are_no_trouble(rank, seed):
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.standard_normal((60, 20)))[0]
    s = np.concatenate([0.7 ** np.arange(rank), np.zeros(20 - rank)])
    noise = np.where(rng.random(60) < 0.5, 1e-17, 0.0)
    for found in (greedy(Q * s, noise, np.diag(s**2), 2 * rank), best_rows(Q * s, noise, np.diag(s**2), 2 * rank)):
        assert len(set(found)) == 2 * rank
        assert explained((Q * s)[found], noise[found], np.diag(s**2)) >= (1 - GAIN) * np.sum(s**2)


def test_a_short_list_holds_each_line_once():
    G, noise, W = lines(complex_=False, noisy=True)
    count = 3
    found = shortlist(G, noise, W, count)
    assert len(found) <= listed(count) < len(G)
    assert np.array_equal(found, np.unique(found))
    few = listed(count)
    assert np.array_equal(shortlist(G[:few], noise[:few], W, count), np.arange(few))


@pytest.mark.parametrize("size", [0.0, 1e-17, 1e-9])
@pytest.mark.parametrize("noisy", [False, True])
def test_lines_shorter_than_rounding_are_chosen_last(size, noisy):
    G, noise, W = lines(complex_=False, noisy=noisy)
    G[:10] = size * np.random.default_rng(0).standard_normal((10, SIZES[1]))
    noise[:10] = 0
    assert min(greedy(G, noise, W, 5)) >= 10
    assert min(best_rows(G, noise, W, 4)) >= 10
    assert min(best_rows(G, noise, W, 20)) >= 10
    assert set(best_rows(G, noise, W, 25)[:20]) == set(range(10, 30))
    assert set(shortlist(G, noise, W, 3)) >= set(shortlist(G[10:], noise[10:], W, 3) + 10)
    assert len(best_rows(np.zeros((4, 2)), np.zeros(4), np.eye(2), 2)) == 2
