"""Choosing lines by what they explain: greedily, and by exchanges.

Lines a_i = g_i V^H + d_i, V^H with orthonormal rows (leading singular vectors) and d_i, of squared length noise_i,
orthogonal to it and about to each other. The projection P on lines I is, seen on span(V),

    V^H P V = E = G_I^H (G_I G_I^H + diag(noise_I))^-1 G_I,

and explains tr(W E) of a matrix whose energy on span(V) is W. 1 - E = S is the posterior covariance of a linear model
with these lines as observations: one line more takes S to S - x^H x / (noise + x g^H), x = g S, and gains
x W x^H / (noise + x g^H). Pivoted QR takes the longest remainder instead, which a noisy line has too.

G is known to rounding, so the gain of a line of which nothing but rounding is left would be a quotient of two
accidents. Each line therefore has noise of RIDGE times its squared length besides its own, what is left of it counts as
nothing below that, and lines shorter than rounding are taken last.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rnla.arrays import Array
from rnla.kernels.subspaces import pivots

LISTED = (
    3,
    8,
    400,
)  # a short list: three times the lines wanted; eight times, up to so many (measured: it gains 0.5 %)
ROUNDS = 4  # of exchanges, each trying every place once
GAIN = 1e-6  # an exchange must gain so much, relative
EPS = float(np.finfo(np.float64).eps)
RIDGE = 1e-8  # (G G^H)^-1 has a condition of 1 / RIDGE then, and remainders are right to eps / RIDGE = 2e-8 of a line
ROUNDING = 64 * EPS  # squared length of a line, over the longest, that counts as none
DRIFT = 1e-2  # relative error of an updated remainder from which all is computed afresh


def lengths(G: Array, noise: Array) -> Array:
    """Squared lengths of lines: (N,)."""
    return np.asarray(noise + np.sum(np.abs(G) ** 2, axis=1))


def ridged(G: Array, noise: Array) -> tuple[Array, Array]:
    """The noise with the ridge, and with twice that: what remains of a line counts when it is longer: (N,), (N,)."""
    size = lengths(G, noise)
    ridge = RIDGE * size + ROUNDING * size.max(initial=0.0)
    return noise + ridge, noise + 2 * ridge


def quotients(gain: Array, size: Array, least: Array) -> Array:
    """gain / size; 0 where the size counts as none: (N,)."""
    return np.asarray(np.divide(gain, size, out=np.zeros_like(gain), where=size > least))


def greedy(G: Array, noise: Array, W: Array, count: int) -> Array:
    """`count` lines of G (N, l), each the one that adds most: (count,).

    X = G S is never formed, only S (l, l): the line taken leaves x = g S, and sizes and gains of all others follow from
    G x^H and G S W x^H, one read of G.
    """
    count = min(count, len(G))
    noise, least = ridged(G, noise)
    size = lengths(G, noise)
    gain = np.sum(((G @ W) * G.conj()).real, axis=1)
    S = np.eye(G.shape[1], dtype=G.dtype)
    chosen: list[int] = []
    taken = np.zeros(len(G), bool)
    for k in range(count):
        score = quotients(gain, size, least)
        score[taken] = -1.0
        best = int(score.argmax())
        if score[best] <= 0:  # nothing is left to be told apart: the others as they are pivoted
            order = pivots(G.conj().T, len(G))
            return np.concatenate([np.asarray(chosen, np.intp), order[~taken[order]][: count - k]])
        chosen.append(best)
        taken[best] = True
        x = G[best] @ S
        own = float(size[best])
        Wx = W @ x.conj()
        t, y = G @ x.conj(), G @ (S @ Wx)  # two products with vectors take half the time of one with two columns
        shares = (t * t.conj()).real / own
        gain += shares * (float((x @ Wx).real) / own) - (t.conj() * y).real * (2.0 / own)
        size -= shares
        np.maximum(gain, 0.0, out=gain)
        np.maximum(size, noise, out=size)
        S -= np.outer(x.conj(), x) / own
    return np.asarray(chosen, dtype=np.intp)


def explained(G: Array, noise: Array, W: Array) -> float:
    """What all these lines explain together: G (c, l)."""
    return float(np.sum(W * projection(G, noise).T).real)


def added(G: Array, noise: Array, W: Array) -> Array:
    """What each of these lines explains beyond those before it: (c,); their sum is `explained`.

    With [G, noise^(1/2)]^H = Q R it is q^H W q, q being the upper part of a column of Q. Noise at rounding level keeps
    what dependent lines add out of that part.
    """
    longest = lengths(G, noise).max(initial=0.0)
    q = np.linalg.qr(np.vstack([G.conj().T, np.diag(np.sqrt(noise + ROUNDING * longest)).astype(G.dtype)]))[0]
    q = q[: G.shape[1]] if longest > 0 else np.zeros_like(G.T)
    return np.asarray(np.sum((q.conj() * (W @ q)).real, axis=0))


def projection(G: Array, noise: Array) -> Array:
    """E = G^H (G G^H + diag(noise))^-1 G: (c, l) -> (l, l)."""
    inner = G @ G.conj().T + np.diag(noise)
    return np.asarray(G.conj().T @ np.linalg.pinv(inner, rcond=1e-13, hermitian=True) @ G)


class Step(NamedTuple):
    """What becomes of all lines when E loses sigma r^H r (a line is let go) or gains it (sigma < 0: one is taken)."""

    r: Array  # (l,)
    sigma: float
    t: Array  # (N,) G r^H
    size: Array  # (N,) of the remainders afterwards
    gain: Array  # (N,) x W x^H afterwards


class Held(NamedTuple):
    """Lines I that are held, and what they leave of all."""

    inverse: Array  # (c, c) (G_I G_I^H + diag(noise_I))^-1; zero in the row and column of a place that is free
    X: Array  # (N, l) G (1 - E)
    size: Array  # (N,) noise + diag(X G^H)
    gain: Array  # (N,) diag(X W X^H)

    def step(self, G: Array, W: Array, r: Array, sigma: float) -> Step:
        """x_i + sigma t_i r for every line, as sizes and gains only: O(N l)."""
        t, Wr = G @ r.conj(), W @ r.conj()
        y = self.X @ Wr
        gain = self.gain + 2 * sigma * (t * y.conj()).real + np.abs(sigma * t) ** 2 * float((r @ Wr).real)
        return Step(r, sigma, t, self.size + sigma * np.abs(t) ** 2, gain)

    def after(self, step: Step, noise: Array, border: Array) -> Held:
        """With the step done; the inverse changes by -sigma v v^H."""
        X = self.X + np.outer(step.sigma * step.t, step.r)
        inverse = self.inverse - step.sigma * np.outer(border, border.conj())
        return Held(inverse, X, np.maximum(step.size, noise), np.maximum(step.gain, 0.0))


def held(G: Array, noise: Array, W: Array, chosen: Array) -> Held:
    """Everything afresh: O(N l^2 + c^3)."""
    lines = G[chosen]
    inner = lines @ lines.conj().T + np.diag(noise[chosen])
    inverse = np.linalg.pinv(inner, rcond=EPS, hermitian=True)
    X = G - (G @ lines.conj().T) @ (inverse @ lines)
    size = noise + np.sum((X * G.conj()).real, axis=1)
    return Held(inverse, X, np.maximum(size, noise), np.sum(((X @ W) * X.conj()).real, axis=1))


def exchanged(G: Array, noise: Array, W: Array, chosen: Array) -> Array:
    """Lines after exchanges of one for another, each of which explains more: (c,).

    A round tries every place once. Letting a line go and taking another are steps of rank one of what is left of all
    lines, O(N l) each, and everything is computed afresh for each round: O(c N l) in all.
    """
    chosen, begin, enough = np.array(chosen), chosen, GAIN * float(W.trace().real)
    true, (noise, least) = noise, ridged(G, noise)
    for _ in range(ROUNDS):
        now, before = held(G, noise, W, chosen), chosen.copy()
        for place, line in enumerate(before):
            column = now.inverse[:, place]  # S e; u^H = e^H S G_I, and E loses u u^H / s, s = e^H S e
            if not (s := float(column[place].real)) > 0:
                continue
            freed = now.step(G, W, column.conj() @ G[chosen], 1 / s)
            score = quotients(freed.gain, freed.size, least)
            score[np.delete(chosen, place)] = -1.0
            best = int(score.argmax())
            if score[best] > score[line] + enough:
                now = replaced(now, G, noise, W, (chosen, place, best), freed)
                chosen[place] = best
        if np.array_equal(before, chosen):
            break
    found, first = (explained(G[rows], true[rows], W) for rows in (chosen, begin))
    return chosen if found >= first else np.asarray(begin)


def replaced(now: Held, G: Array, noise: Array, W: Array, swap: tuple[Array, int, int], freed: Step) -> Held:
    """Without the line at a place, and with another there."""
    chosen, place, line = swap
    now = now.after(freed, noise, now.inverse[:, place])
    now.inverse[place], now.inverse[:, place] = 0.0, 0.0
    inner, size = G[chosen] @ G[line].conj(), float(now.size[line])
    border = now.inverse @ inner
    same = float((G[line] @ G[line].conj() - inner.conj() @ border).real) + noise[line]
    if abs(same - size) > DRIFT * size:
        return held(G, noise, W, np.array([*chosen[:place], line, *chosen[place + 1 :]]))
    border[place] = -1.0
    taken = now.step(G, W, now.X[line], -1 / size)
    return now.after(taken, noise, border)


def alive(G: Array, noise: Array, count: int) -> tuple[Array, Array]:
    """Lines longer than rounding, and as many others, the longest first, as `count` still needs."""
    size = lengths(G, noise)
    longest = size.max(initial=0.0)
    there = size > ROUNDING * longest
    others = np.flatnonzero(~there)
    told = np.where(size > ROUNDING**2 * longest, size, 0.0)[others]  # shorter ones by their place alone
    missing = max(0, count - int(there.sum()))
    return np.flatnonzero(there), others[np.argsort(-told, kind="stable")][:missing]


def listed(count: int) -> int:
    """How many lines a short list has."""
    least, most, enough = LISTED
    return max(least * count, min(most * count, enough))


def shortlist(G: Array, noise: Array, W: Array, count: int) -> Array:
    """Lines among which to look for `count`, in order: pivots and greedy ones (either alone gives worse answers)."""
    most = listed(count)
    if len(G) <= most:
        return np.arange(len(G))
    there, others = alive(G, noise, count)
    if len(there) > most:
        G, noise = G[there], noise[there]
        there = there[np.concatenate([pivots(G.conj().T, count), greedy(G, noise, W, most - count)])]
    return np.unique(np.concatenate([there, others]))


def best_rows(G: Array, noise: Array, W: Array, count: int) -> Array:
    """`count` lines of a short list: pivots or greedy ones, whichever explain more, exchanged; in pivot order."""
    there, others = alive(G, noise, count)
    G, noise = G[there], noise[there]
    starts = pivots(G.conj().T, count), greedy(G, noise, W, count)
    begin = max(starts, key=lambda rows: explained(G[rows], noise[rows], W))
    found = np.sort(exchanged(G, noise, W, begin))
    return np.asarray(np.concatenate([there[found[pivots(G[found].conj().T, count)]], others]))
