"""Choosing lines by what they explain: greedily, and by exchanges.

Lines a_i = g_i V^H + d_i, V^H with orthonormal rows (leading singular vectors) and d_i, of squared length noise_i,
orthogonal to it and about to each other. The projection P on lines I is, seen on span(V),

    V^H P V = E = G_I^H (G_I G_I^H + diag(noise_I))^-1 G_I,

and explains tr(W E) of a matrix whose energy on span(V) is W. 1 - E = S is the posterior covariance of a linear model
with these lines as observations: one line more takes S to S - x^H x / (noise + x g^H), x = g S, and gains
x W x^H / (noise + x g^H). Pivoted QR takes the longest remainder instead, which a noisy line has too.
"""

from __future__ import annotations

import numpy as np

from rnla.arrays import Array
from rnla.kernels.subspaces import pivots

ROUNDS = 4  # of exchanges, each trying every place once
GAIN = 1e-6  # an exchange must gain so much, relative


def gains(X: Array, G: Array, noise: Array, W: Array) -> Array:
    """What each line would add: (N,), from X = G S."""
    size = noise + np.sum((X * G.conj()).real, axis=1)
    gain = np.sum(((X @ W) * X.conj()).real, axis=1)
    return np.asarray(np.divide(gain, size, out=np.zeros_like(gain), where=size > 0))


def greedy(G: Array, noise: Array, W: Array, count: int) -> Array:
    """`count` lines of G (N, l), each the one that adds most: (count,)."""
    X, taken = np.array(G), np.zeros(len(G), bool)
    chosen = []
    for _ in range(min(count, len(G))):
        score = np.where(taken, -1.0, gains(X, G, noise, W))
        best = int(score.argmax())
        chosen.append(best)
        taken[best] = True
        x = X[best].copy()
        size = float(noise[best] + (x @ G[best].conj()).real)
        if size > 0:
            X -= np.outer(G @ x.conj(), x / size)
    return np.asarray(chosen, dtype=np.intp)


def explained(G: Array, noise: Array, W: Array) -> float:
    """What all these lines explain together: G (c, l)."""
    return float(np.sum(W * projection(G, noise).T).real)


def projection(G: Array, noise: Array) -> Array:
    """E = G^H (G G^H + diag(noise))^-1 G: (c, l) -> (l, l)."""
    inner = G @ G.conj().T + np.diag(noise)
    return np.asarray(G.conj().T @ np.linalg.pinv(inner, rcond=1e-13, hermitian=True) @ G)


def exchanged(G: Array, noise: Array, W: Array, chosen: Array) -> Array:
    """Lines after exchanges of one for another, each of which explains more: (c,)."""
    chosen = np.array(chosen)
    for _ in range(ROUNDS):
        before = chosen.copy()
        for place in range(len(chosen)):
            others = np.delete(chosen, place)
            score = gains(G - G @ projection(G[others], noise[others]), G, noise, W)
            score[others] = -1.0
            best = int(score.argmax())
            if score[best] > score[chosen[place]] + GAIN * float(W.trace().real):
                chosen[place] = best
        if np.array_equal(before, chosen):
            break
    return chosen


def shortlist(G: Array, noise: Array, W: Array, count: int) -> Array:
    """Lines among which to look for `count`: pivots, and twice as many greedy ones: (at most 3 count,), in order."""
    if len(G) <= 3 * count:
        return np.arange(len(G))
    return np.unique(np.concatenate([pivots(G.conj().T, count), greedy(G, noise, W, 2 * count)]))


def best_rows(G: Array, noise: Array, W: Array, count: int) -> Array:
    """`count` lines of a short list: pivots or greedy ones, whichever explain more, exchanged; in pivot order."""
    starts = pivots(G.conj().T, count), greedy(G, noise, W, count)
    begin = max(starts, key=lambda rows: explained(G[rows], noise[rows], W))
    found = np.sort(exchanged(G, noise, W, begin))
    return np.asarray(found[pivots(G[found].conj().T, count)])
