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

LISTED = 3  # times the lines wanted: a short list
ROUNDS = 4  # of exchanges, each trying every place once
GAIN = 1e-6  # an exchange must gain so much, relative


def gains(X: Array, G: Array, noise: Array, W: Array) -> Array:
    """What each line would add: (N,), from X = G S."""
    size = noise + np.sum((X * G.conj()).real, axis=1)
    gain = np.sum(((X @ W) * X.conj()).real, axis=1)
    return np.asarray(np.divide(gain, size, out=np.zeros_like(gain), where=size > 0))


def greedy(G: Array, noise: Array, W: Array, count: int) -> Array:
    """`count` lines of G (N, l), each the one that adds most: (count,).

    X = G S is never updated whole: with x_k and t_k = G x_k^H of the steps before, row i of it is
    g_i - sum_k t_ik x_k / size_k, and sizes and gains follow from t_k and X W x_k^H.
    """
    count = min(count, len(G))
    size = noise + np.sum(np.abs(G) ** 2, axis=1)
    gain = np.sum(((G @ W) * G.conj()).real, axis=1)
    T = np.zeros((len(G), count), G.dtype, order="F")
    xs = np.zeros((count, G.shape[1]), G.dtype)
    taken, chosen = np.zeros(len(G), bool), []
    for k in range(count):
        score = np.divide(gain, size, out=np.zeros_like(gain), where=size > 0)
        score[taken] = -1.0
        best = int(score.argmax())
        chosen.append(best)
        taken[best] = True
        x = G[best] - T[best, :k] @ xs[:k]
        own = float(size[best])
        if own <= 0:
            continue
        Wx = W @ x.conj()
        t, y = (G @ np.stack([x.conj(), Wx], axis=1)).T
        y = y - T[:, :k] @ (xs[:k] @ Wx)
        gain += (np.abs(t) / own) ** 2 * float((x @ Wx).real) - 2.0 / own * (t.conj() * y).real
        size -= np.abs(t) ** 2 / own
        np.maximum(gain, 0.0, out=gain)
        np.maximum(size, noise, out=size)
        T[:, k], xs[k] = t / own, x
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
    """Lines among which to look for `count`, in order: pivots and greedy ones (either alone gives worse answers)."""
    if len(G) <= LISTED * count:
        return np.arange(len(G))
    return np.unique(np.concatenate([pivots(G.conj().T, count), greedy(G, noise, W, (LISTED - 1) * count)]))


def best_rows(G: Array, noise: Array, W: Array, count: int) -> Array:
    """`count` lines of a short list: pivots or greedy ones, whichever explain more, exchanged; in pivot order."""
    starts = pivots(G.conj().T, count), greedy(G, noise, W, count)
    begin = max(starts, key=lambda rows: explained(G[rows], noise[rows], W))
    found = np.sort(exchanged(G, noise, W, begin))
    return np.asarray(found[pivots(G[found].conj().T, count)])
