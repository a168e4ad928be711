"""What one replica does in a round of descent: so many steps from the common parameters, on its own samples.

A shift is a pure function of (samples, parameters, places): a lost worker costs its time and no bit. With one step a
round replicas give gradients, and the round takes one step by their mean: minibatch descent on all their samples. With
more they take steps of their own, and the round goes on from the mean of where they end (local SGD: Stich 2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rnla.algorithms.steps import Rule, step
from rnla.arrays import Array
from rnla.errors import IntegrityError
from rnla.kernels.layers import Room, backward, blank_loss, decided, forward, layers, loss_and_slopes
from rnla.sweeps.minibatches import Batch, Samples, feed_of


@dataclass(frozen=True, eq=False)
class Common:
    """What all replicas of a round share."""

    samples: Samples
    widths: tuple[int, ...]
    loss: str
    rule: Rule
    batch: int
    held: int  # buffers of a lane that a process keeps
    gradients: bool  # one step a round: give the gradient, take no step
    parameters: Array  # (p,)
    moments: Array  # (q, p); none for gradients
    steps: int  # taken before this round
    epoch: int


class Places(NamedTuple):
    """Samples of one replica in one round, by their places in a lane of the epoch's order."""

    lane: int
    start: int
    stop: int


class Shift(NamedTuple):
    """What came of it."""

    parameters: Array  # (p,) after the steps, or the mean gradient
    moments: Array  # (q, p)
    samples: int
    steps: int
    loss: float  # sum over samples, each before the step it belongs to
    right: int  # samples that were decided rightly
    lost: int  # the step, of this round, whose loss was not finite; -1: none
    first: float  # mean loss of its first batch
    blank: float  # sum of the losses of a network that is zero everywhere
    bytes_read: int
    peak_bytes: int


def shift(common: Common, places: Places) -> Shift:
    """The steps of one replica."""
    x, moments = common.parameters.copy(), common.moments.copy()
    work = Stepping(common, x)
    steps = 0
    with feed_of(common.samples, common.held) as feed, np.errstate(over="ignore", invalid="ignore"):  # in the loss
        for batch in feed.batches(common.epoch, *places, common.batch):
            work.batch = batch
            if common.gradients:
                work.gradient(work.spare, 0.0)
            else:
                step(common.rule, x, moments, common.steps + steps, work.gradient, work.spare)
            steps += 1
            if work.lost:
                refuse_changed(common.samples, batch)
                break
        bytes_read, peak = feed.taken()
    found = work.spare if common.gradients else x
    lost = steps - 1 if work.lost else -1
    return Shift(
        found, moments, work.samples, steps, work.loss, work.right, lost, work.first, work.blank, bytes_read, peak
    )


def refuse_changed(samples: Samples, batch: Batch) -> None:
    """IntegrityError when the samples of a batch are to blame, which were finite in the first read."""
    if not np.isfinite(batch.X).all() or not np.isfinite(batch.y).all():
        msg = (
            f"{getattr(samples.X, 'url', 'X')}: a sample or target is NaN or infinite, and all were finite in the "
            "first read: the data was changed while the network was trained; run again when nobody writes to it"
        )
        raise IntegrityError(msg)


class Stepping:
    """The gradient of the mean loss of a batch at x, and sums over all batches."""

    def __init__(self, common: Common, x: Array) -> None:
        self.common = common
        self.net = layers(x, common.widths)
        self.room = Room(common.widths, common.batch, x.dtype)
        self.spare = np.zeros_like(x)
        self.batch: Batch
        self.samples, self.right, self.loss, self.lost = 0, 0, 0.0, False
        self.first, self.blank = 0.0, 0.0

    def gradient(self, into: Array, keep: float) -> None:
        """into := keep * into + gradient."""
        X, y, weights = self.batch
        Z = forward(self.net, X, self.room)
        D = self.room.slopes[-1][: len(X)]
        losses = loss_and_slopes(self.common.loss, Z, y, D, weights)
        total = float(losses.sum())
        self.first = self.first if self.samples else total / len(X)
        self.samples, self.loss = self.samples + len(X), self.loss + total
        self.blank += blank_loss(self.common.loss, y, Z.shape[1])
        self.lost = not np.isfinite(total)
        if self.common.loss != "square":
            self.right += int((decided(self.common.loss, Z) == y).sum())
        backward(self.net, X, self.room, layers(into, self.common.widths), keep)
