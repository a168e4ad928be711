"""Choosing rows by what they explain: greedily, and by exchanges.

Rows a_i = g_i V^H + d_i, V^H with orthonormal rows (the leading right singular vectors) and d_i, of squared length
noise_i, orthogonal to it and about to each other. What rows I explain of a matrix with energy w_j along row j of V^H is

    tr(diag(w) G_I^H (G_I G_I^H + diag(noise_I))^-1 G_I),

which is tr(diag(w) (1 - S)) for S the posterior covariance of a linear model with these rows as observations. One row
more takes S to S - x^H x / (noise + x g^H), x = g S, and gains sum_j w_j |x_j|^2 / (noise + x g^H). Pivoted QR takes
the longest remainder instead, which a noisy row has too.
"""

from __future__ import annotations

import numpy as np

from rnla.arrays import Array
from rnla.kernels.subspaces import pivots

ROUNDS = 4  # of exchanges, each trying every place once
GAIN = 1e-6  # an exchange must gain so much, relative


def gains(X: Array, G: Array, noise: Array, w: Array) -> Array:
    """What each row would add: (N,), from X = G S."""
    size = noise + np.sum((X * G.conj()).real, axis=1)
    gain = np.abs(X) ** 2 @ w
    return np.asarray(np.divide(gain, size, out=np.zeros_like(gain), where=size > 0))


def greedy(G: Array, noise: Array, w: Array, count: int) -> Array:
    """`count` rows of G (N, l), each the one that adds most: (count,)."""
    X, taken = np.array(G), np.zeros(len(G), bool)
    chosen = []
    for _ in range(min(count, len(G))):
        score = np.where(taken, -1.0, gains(X, G, noise, w))
        best = int(score.argmax())
        chosen.append(best)
        taken[best] = True
        x = X[best].copy()
        size = float(noise[best] + (x @ G[best].conj()).real)
        if size > 0:
            X -= np.outer(G @ x.conj(), x / size)
    return np.asarray(chosen, dtype=np.intp)


def explained(G: Array, noise: Array, w: Array) -> float:
    """What all these rows explain together: G (c, l)."""
    return float(np.sum(w * (1.0 - posterior(G, noise).diagonal().real)))


def posterior(G: Array, noise: Array) -> Array:
    """S = 1 - G^H (G G^H + diag(noise))^-1 G: (c, l) -> (l, l)."""
    inner = G @ G.conj().T + np.diag(noise)
    return np.asarray(np.eye(G.shape[1]) - G.conj().T @ np.linalg.pinv(inner, rcond=1e-13, hermitian=True) @ G)


def exchanged(G: Array, noise: Array, w: Array, chosen: Array) -> Array:
    """Rows after exchanges of one for another, each of which explains more: (c,)."""
    chosen = np.array(chosen)
    for _ in range(ROUNDS):
        before = chosen.copy()
        for place in range(len(chosen)):
            others = np.delete(chosen, place)
            score = gains(G @ posterior(G[others], noise[others]), G, noise, w)
            score[others] = -1.0
            best = int(score.argmax())
            if score[best] > score[chosen[place]] + GAIN * float(w.sum()):
                chosen[place] = best
        if np.array_equal(before, chosen):
            break
    return chosen


def shortlist(G: Array, noise: Array, w: Array, count: int) -> Array:
    """Rows among which to look for `count`: pivots, and twice as many greedy ones: (at most 3 count,), in order."""
    if len(G) <= 3 * count:
        return np.arange(len(G))
    return np.unique(np.concatenate([pivots(G.conj().T, count), greedy(G, noise, w, 2 * count)]))


def best_rows(G: Array, noise: Array, w: Array, count: int) -> Array:
    """`count` rows of a short list: pivots or greedy ones, whichever explain more, exchanged; in pivot order."""
    starts = pivots(G.conj().T, count), greedy(G, noise, w, count)
    begin = max(starts, key=lambda rows: explained(G[rows], noise[rows], w))
    found = np.sort(exchanged(G, noise, w, begin))
    return np.asarray(found[pivots(G[found].conj().T, count)])
