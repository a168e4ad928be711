"""Training as the papers write it: float64, one vector of parameters, one thing after the other.

Only which samples are taken when is the library's (`Order` and `deal`); gradients, optimizers, schedules, clipping,
averages of replicas, DiLoCo's outer step and the average over rounds are written here once more, from their formulas.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np

from rnla.algorithms.training import deal
from rnla.sweeps.orders import At


@dataclass(frozen=True)
class Asked:
    """What is asked of training, by the names that it has there."""

    batch: int = 16
    epochs: int = 4
    replicas: int = 1
    local_steps: int = 3
    learning_rate: float = 0.05
    momentum: float = 0.9
    optimizer: str = "sgd"
    weight_decay: float = 0.0
    clip: float = math.inf
    schedule: str = "constant"
    warmup: int = 0
    averaging: bool = False
    outer_momentum: float = 0.0
    outer_rate: float = 1.0


def parts(flat, widths):
    """Weights and biases, layer by layer."""
    start = 0
    for n, m in itertools.pairwise(widths):
        yield flat[start : start + n * m].reshape(n, m), flat[start + n * m : start + n * m + m]
        start += n * m + m


def slope(kind, Z, y):
    """d(mean loss)/dZ."""
    if kind == "square":
        return (Z - y) / len(y)
    own = np.eye(Z.shape[1])[y]
    if kind == "cross-entropy":
        P = np.exp(Z - Z.max(axis=1, keepdims=True))
        return (P / P.sum(axis=1, keepdims=True) - own) / len(y)
    rival = np.eye(Z.shape[1])[np.where(own > 0, -np.inf, Z).argmax(axis=1)]
    lead = ((own - rival) * Z).sum(axis=1, keepdims=True)
    return np.where(lead < 1, rival - own, 0) / len(y)


def gradient(flat, widths, kind, X, y):
    """Of the mean loss of some samples."""
    layers, V = list(parts(flat, widths)), [X]
    for number, (W, b) in enumerate(layers):
        Z = V[-1] @ W + b
        V.append(np.maximum(Z, 0) if number + 1 < len(layers) else Z)
    D, found = slope(kind, V[-1], y), []
    for (W, _), v in zip(layers[::-1], V[-2::-1], strict=True):
        found = [(v.T @ D).ravel(), D.sum(axis=0), *found]
        D = (D @ W.T) * (v > 0)
    return np.concatenate(found)


def rate(asked, step, total):
    """The learning rate of step 0, 1, 2, ... of so many."""
    if step < asked.warmup:
        return asked.learning_rate * (step + 1) / (asked.warmup + 1)
    after = step - asked.warmup
    if asked.schedule == "1/k":
        return asked.learning_rate / (1 + after / max(1, total // 10))
    if asked.schedule == "cosine":
        return asked.learning_rate * (1 + math.cos(math.pi * min(1, after / max(1, total - asked.warmup)))) / 2
    return asked.learning_rate


def moved(asked, x, moments, g, step, total):
    """Parameters and moments after a step."""
    (m, q), eta = moments, rate(asked, step, total)
    size = np.sqrt(np.sum(g**2))
    g = g * (asked.clip / size) if size > asked.clip else g
    if asked.optimizer == "adam":
        m, q, t = 0.9 * m + 0.1 * g, 0.999 * q + 0.001 * g**2, step + 1
        shrunk = x - eta * asked.weight_decay * x
        return shrunk - eta * (m / (1 - 0.9**t)) / (np.sqrt(q / (1 - 0.999**t)) + 1e-8), (m, q)
    g = g + asked.weight_decay * x
    m = asked.momentum * m + g
    return x - eta * (g + asked.momentum * m if asked.optimizer == "nesterov" else m), (m, q)


def rows_taken(order, epoch, lane):
    """Rows of a lane in an epoch, one after the other."""
    found = []
    for number in range(order.buffers):
        at = At(epoch, lane, number)
        kept = [np.setdiff1d(np.arange(s.start, s.stop), order.held_out) for s in map(order.span, order.blocks(at))]
        rows = np.concatenate([*kept, np.zeros(0, int)]).astype(int)
        at = order.key(at)._replace(epoch=epoch)
        found.append(rows[order.drawn(at, None, len(rows))[0]])
    first = order.taken * lane // order.lanes if order.shared else 0
    return np.concatenate(found)[first : first + order.lengths(epoch)[lane]]


def trained(asked, network, X, y, kind, order, regime):
    """Parameters after the last round; `regime` only for which samples are whose."""
    x, widths = network.parameters.copy(), network.widths
    moments, outer, step = (np.zeros_like(x), np.zeros_like(x)), np.zeros_like(x), 0
    total = asked.epochs * math.ceil(order.taken / (asked.batch * asked.replicas))
    kept = []
    for epoch in range(asked.epochs):
        taken = [rows_taken(order, epoch, lane) for lane in range(order.lanes)]
        number, last = 0, False
        while not last:
            dealt, last = deal(order, epoch, number, regime)
            number += 1
            shares = [taken[lane][start:stop] for lane, start, stop in dealt]
            weights = np.array([len(rows) for rows in shares]) / sum(map(len, shares))
            if asked.replicas > 1 and asked.local_steps == 1:
                g = sum(
                    w * gradient(x, widths, kind, X[rows], y[rows]) for w, rows in zip(weights, shares, strict=True)
                )
                x, moments = moved(asked, x, moments, g, step, total)
                step += 1
            else:
                ends = [replica(asked, x, moments, step, total, (widths, kind, X, y), rows) for rows in shares]
                moments = tuple(sum(w * end[1][i] for w, end in zip(weights, ends, strict=True)) for i in (0, 1))
                mean = sum(w * end[0] for w, end in zip(weights, ends, strict=True))
                step = max(end[2] for end in ends)
                if asked.replicas == 1:
                    x = mean
                else:  # Nesterov's step with the way that the replicas went as its gradient
                    way = x - mean
                    outer = asked.outer_momentum * outer + way
                    x = x - asked.outer_rate * (way + asked.outer_momentum * outer)
            if 2 * (epoch + 1) > asked.epochs:
                kept.append(x)
    return np.mean(kept, axis=0) if asked.averaging else x


def replica(asked, x, moments, step, total, samples, rows):
    """Where a replica ends, its moments, and the steps that were taken by then."""
    widths, kind, X, y = samples
    for start in range(0, len(rows), asked.batch):
        at = rows[start : start + asked.batch]
        x, moments = moved(asked, x, moments, gradient(x, widths, kind, X[at], y[at]), step, total)
        step += 1
    return x, moments, step
