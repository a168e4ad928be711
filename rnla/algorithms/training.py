"""Training: rounds of descent by K replicas, a look at samples held out after each epoch, early stopping.

    x := parameters;  for each epoch, for each round of K x H batches, dealt to K replicas:
        H = 1:  g_r = gradient of replica r's batch at x;              x := step(x, mean of g_r)
        H > 1:  x_r = H steps of replica r from x;                     x := x + rate * (mean of x_r - x + momentum ...)
The outer step is that of DiLoCo (Douillard et al. 2023): with outer momentum 0 and rate 1 it is the mean. How the work
is dealt follows from the configuration alone, so that results do not depend on workers, threads or failures.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import NamedTuple

import numpy as np

from rnla.algorithms.lifecycle import Checkpoints, iterate
from rnla.algorithms.network import Network
from rnla.algorithms.regime import FLOPS, Regime
from rnla.algorithms.replicas import Common, Places, Shift, shift
from rnla.algorithms.steps import step
from rnla.arrays import Array, clock
from rnla.errors import DivergedError
from rnla.kernels.blas import single_blas_thread
from rnla.kernels.layers import Room, decided, forward, loss_and_slopes
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.minibatches import Samples, forget
from rnla.sweeps.orders import Order
from rnla.sweeps.runners import Runner, Threads
from rnla.sweeps.tasks import ended, mapped

COLUMNS = ("loss", "accuracy", "validation_loss", "validation_accuracy", "learning_rate", "steps")
FAR = 1e4  # times the loss at the start: descent that has gone so far up does not come back
SMALL_STEP = 6e7  # flops of a step below which two threads take longer than one (measured: 0.65 to 0.81 at 2e7 to 4e7)
EVALUATED_ROWS = 1024  # at once, of the samples held out


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Samples that are never trained on."""

    X: Array  # (v, n) as the network gets them
    y: Array


class State(NamedTuple):
    """Training after a number of rounds."""

    sweeps: int  # rounds
    epoch: int  # epochs that are over
    round: int  # rounds of the epoch that are over
    steps: int
    parameters: Array  # (p,)
    moments: Array  # (q, p)
    outer: Array  # (p,) velocity of the outer step; empty without
    average: Array  # (p,) mean of parameters over rounds; empty without
    averaged: int  # rounds in it
    best: Array  # (p,) parameters with the lowest loss of the samples held out; empty without those
    best_loss: float
    best_epoch: int
    outset: float  # loss of the first batch, or of no network at all on the samples of a round: the largest seen
    sums: Array  # (3,) loss, rightly decided and number of samples in the present epoch
    history: Array  # (epochs, columns)
    stopped: bool


class Training(NamedTuple):
    """What came of it."""

    network: Network
    history: Array  # (epochs, columns)
    stopped_at: int  # the epoch whose parameters were kept
    early: bool  # whether patience ended it
    rounds: int
    seconds: float
    samples: int  # over all epochs of this attempt


@dataclass
class Descent:
    """The method: a step is a round."""

    network: Network
    samples: Samples
    held_out: HeldOut | None
    regime: Regime
    A: Matrix
    tell: Callable[[Array, Array], None] = lambda _row, _parameters: None  # after each epoch: its row, where it ended
    say: Callable[[str], None] = lambda _text: None  # after each round: where it is
    check: Callable[[], None] = lambda: None  # after each round: an error if the data is no more what it was
    taken: int = field(default=0, init=False)
    started: float = field(default_factory=perf_counter, init=False)

    def start(self) -> State:
        """The network as it is given."""
        x, rule = self.network.parameters, self.regime.rule
        none = np.zeros(0, x.dtype)
        return State(
            sweeps=0,
            epoch=0,
            round=0,
            steps=0,
            parameters=x.copy(),
            moments=np.zeros((rule.moments, x.size), x.dtype),
            outer=np.zeros_like(x) if self.regime.outer_momentum else none,
            average=np.zeros(x.size) if self.regime.averaging else np.zeros(0),
            averaged=0,
            best=x.copy() if self.held_out is not None else none,
            best_loss=math.inf,
            best_epoch=0,
            outset=0.0,
            sums=np.zeros(3),
            history=np.zeros((0, len(COLUMNS))),
            stopped=False,
        )

    def done(self, state: State) -> bool:
        """After the last epoch, or when patience is over."""
        return state.stopped or state.epoch >= self.regime.epochs

    def step(self, state: State) -> State:
        """One round, and what follows it at the end of an epoch."""
        regime, order = self.regime, self.samples.order
        dealt, last = deal(order, state.epoch, state.round, regime)
        common = Common(
            self.samples, self.network.widths, regime.loss, regime.rule, regime.batch, regime.held, regime.gradients,
            state.parameters, state.moments[:0] if regime.gradients else state.moments, state.steps, state.epoch,
        )  # fmt: skip
        shifts = mapped(self._runner(), shift, common, dealt)
        self._tally(shifts)
        count = sum(found.samples for found in shifts)
        first = shifts[0].first if state.sweeps == 0 and math.isfinite(shifts[0].first) else 0.0
        outset = max(state.outset, self.samples.blank, first, sum(found.blank for found in shifts) / count)
        with np.errstate(over="ignore", invalid="ignore"):
            after = self._joined(state, shifts)._replace(sweeps=state.sweeps + 1, round=state.round + 1, outset=outset)
        self._refuse_divergence(state, after, shifts, sum(found.loss for found in shifts) / count)
        self.say(self._told(after))
        self.check()
        return self._over(state, after) if last else after

    def _told(self, state: State) -> str:
        """Epoch, loss, speed, time left."""
        total, epochs = self.samples.order.taken, self.regime.epochs
        speed = self.taken / max(perf_counter() - self.started, 1e-9)
        left = (epochs - state.epoch) * total - state.sums[2]
        loss = f"loss {state.sums[0] / state.sums[2]:.4g}"
        right = "" if self.regime.loss == "square" else f", {state.sums[1] / state.sums[2]:.1%} right"
        return f"epoch {state.epoch + 1} of {epochs}, {loss}{right}, {speed:,.0f} samples/s, {clock(left / speed)} left"

    def _runner(self) -> Runner:
        """Who works: one thread where steps are so small that more would wait for Python's lock."""
        runner = self.A.swept_by
        small = FLOPS * self.network.parameters.size * self.regime.batch < SMALL_STEP
        return replace(runner, threads=1) if small and isinstance(runner, Threads) else runner

    def _tally(self, shifts: list[Shift]) -> None:
        read, peak = sum(found.bytes_read for found in shifts), max(found.peak_bytes for found in shifts)
        self.taken += sum(found.samples for found in shifts)
        self.A.meter.read(read, peak)

    def _joined(self, state: State, shifts: list[Shift]) -> State:
        """The state that follows from those of the replicas, in their order."""
        regime = self.regime
        sums = state.sums + [sum(part) for part in zip(*((s.loss, s.right, s.samples) for s in shifts), strict=True)]
        count = sum(found.samples for found in shifts)
        if len(shifts) == 1 and not regime.gradients:
            mean, moments = shifts[0].parameters, shifts[0].moments
        else:
            shares = [found.samples / count for found in shifts]
            mean = _mean([found.parameters for found in shifts], shares)
            moments = _mean([found.moments for found in shifts], shares)
        x, outer, steps = mean, state.outer, max(found.steps for found in shifts)
        if regime.gradients:
            x, moments = state.parameters.copy(), state.moments.copy()
            step(regime.rule, x, moments, state.steps, _given(mean), np.zeros_like(x))
        elif regime.replicas > 1 and (regime.outer_momentum or regime.outer_rate != 1.0):
            x, outer = self._outer_step(state, mean)
        average, averaged = state.average, state.averaged
        if regime.averaging and 2 * state.epoch >= regime.epochs - 1:
            averaged += 1
            average = average + (x - average) / averaged
        return state._replace(
            parameters=x, moments=moments, outer=outer, steps=state.steps + steps, sums=sums,
            average=average, averaged=averaged,
        )  # fmt: skip

    def _outer_step(self, state: State, mean: Array) -> tuple[Array, Array]:
        """Nesterov's step along the way from the old parameters to the mean of the replicas'."""
        regime, kind = self.regime, mean.dtype.type
        way = state.parameters - mean
        if not regime.outer_momentum:
            return state.parameters - kind(regime.outer_rate) * way, state.outer
        outer = kind(regime.outer_momentum) * state.outer + way
        return state.parameters - kind(regime.outer_rate) * (way + kind(regime.outer_momentum) * outer), outer

    def _refuse_divergence(self, state: State, after: State, shifts: list[Shift], loss: float) -> None:
        """DivergedError where numbers are lost, or the loss is far above what it began with."""
        lost = [found.lost for found in shifts if found.lost >= 0]
        finite = bool(np.isfinite(after.parameters).all())
        if finite and not lost and loss <= FAR * after.outset:
            return
        at = state.steps + (min(lost) if lost else max(found.steps for found in shifts) - 1)
        now = (
            "is no number any more" if lost or not finite else f"is {loss:.3g}, and was {after.outset:.3g} at the start"
        )
        raise self._diverged(state, at, f"the loss {now}")

    def _diverged(self, state: State, at: int, now: str) -> DivergedError:
        """The error of descent that went up without end in a step; the network is that of the rounds before."""
        msg = (
            f"descent diverged in epoch {state.epoch + 1}, by step {at + 1}: {now}, with a learning rate of "
            f"{self.regime.rule.rate(at):.3g}; {self._cure()}"
        )
        error = DivergedError(msg)
        if state.sums[2] or not len(state.history):  # an epoch that was not finished, or the start
            seen = state.sums / state.sums[2] if state.sums[2] else np.full(2, math.nan)
            right = math.nan if self.regime.loss == "square" else seen[1]
            row = np.array([seen[0], right, *self._looked(self._final(state)), self.regime.rule.rate(at), state.steps])
            state = state._replace(epoch=state.epoch + 1, history=np.vstack([state.history, row]))
        error.so_far = self.finished(state, perf_counter() - self.started)
        return error

    def _cure(self) -> str:
        """What helps against divergence."""
        rate = min(self.regime.rule.learning_rate / 10, 0.1)
        scaled = "" if self.samples.limit is not None else ", centre and scale the data (standardise=True)"
        return f"take a smaller one, such as {rate:.2g}{scaled}, or clip gradients (clip=1.0)"

    def _over(self, before: State, state: State) -> State:
        """The end of an epoch: its row of the history, the best parameters, whether to go on."""
        regime, classifies = self.regime, self.regime.loss != "square"
        loss, right, count = state.sums
        seen = self._final(state)
        found = self._looked(seen)
        if self.held_out is not None and not math.isfinite(found[0]):
            raise self._diverged(before, state.steps - 1, "the loss of the samples held out is no number any more")
        accuracy = right / count if classifies else math.nan
        row = np.array([loss / count, accuracy, *found, regime.rule.rate(state.steps - 1), state.steps])
        epoch, best, best_loss, best_epoch = state.epoch + 1, state.best, state.best_loss, state.best_epoch
        if found[0] < best_loss:
            best, best_loss, best_epoch = seen.copy(), found[0], epoch
        waited = epoch - best_epoch
        stopped = self.held_out is not None and regime.patience is not None and waited >= regime.patience
        self.tell(row, seen)
        return state._replace(
            epoch=epoch, round=0, sums=np.zeros(3), history=np.vstack([state.history, row]), best=best,
            best_loss=best_loss, best_epoch=best_epoch, stopped=stopped,
        )  # fmt: skip

    def _looked(self, parameters: Array) -> tuple[float, float]:
        """Loss and share rightly decided of the samples held out; NaN without those."""
        if self.held_out is None:
            return math.nan, math.nan
        return evaluated(self.network.with_parameters(parameters), self.regime.loss, self.held_out)

    def _final(self, state: State) -> Array:
        """The parameters that would be given now."""
        return state.average.astype(state.parameters.dtype) if state.averaged else state.parameters

    def finished(self, state: State, seconds: float = 0.0) -> Training:
        """The answer: the best parameters of those that were looked at, else the last."""
        kept = self.held_out is not None and self.regime.patience is not None and state.best_epoch > 0
        x, at = (state.best, state.best_epoch) if kept else (self._final(state), state.epoch)
        network = self.network.with_parameters(x)
        return Training(network, state.history, at, state.stopped, state.sweeps, seconds, self.taken)


def deal(order: Order, epoch: int, number: int, regime: Regime) -> tuple[list[Places], bool]:
    """Places of each replica in a round of an epoch, and whether it is the last one.

    Replicas that give gradients take one batch each side by side, of a round that is not full even parts. Those that
    take steps have a lane each, whose batches are spread over as few rounds as they fit in, as evenly as can be.
    """
    K, size = regime.replicas, regime.batch
    if regime.gradients:
        start, stop = number * K * size, min((number + 1) * K * size, order.taken)
        edges = [start + (stop - start) * r // K for r in range(K + 1)]
        return [Places(0, a, b) for a, b in itertools.pairwise(edges) if b > a], stop == order.taken
    lengths = order.lengths(epoch)
    counts = [math.ceil(length / size) for length in lengths]
    rounds = math.ceil(max(counts) / regime.local_steps)
    parts = [
        Places(lane, count * number // rounds * size, min(count * (number + 1) // rounds * size, length))
        for lane, (count, length) in enumerate(zip(counts, lengths, strict=True))
    ]
    return [part for part in parts if part.stop > part.start], number + 1 == rounds


def _mean(arrays: list[Array], shares: list[float]) -> Array:
    """The weighted mean, summed in float64 in the order given."""
    total = np.zeros(arrays[0].shape)
    for array, share in zip(arrays, shares, strict=True):
        total += share * array.astype(np.float64)
    return total.astype(arrays[0].dtype)


def _given(g: Array) -> Callable[[Array, float], None]:
    """A gradient that is known."""

    def gradient(into: Array, keep: float) -> None:
        into *= into.dtype.type(keep)
        into += g

    return gradient


def evaluated(network: Network, loss: str, held: HeldOut) -> tuple[float, float]:
    """Mean loss and share rightly decided (nan for "square") of samples in memory."""
    total, right, net = 0.0, 0, network.layers
    room = Room(network.widths, min(EVALUATED_ROWS, len(held.X)), network.dtype)
    with single_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(held.X), EVALUATED_ROWS):
            X, y = held.X[start : start + EVALUATED_ROWS], held.y[start : start + EVALUATED_ROWS]
            Z = forward(net, X, room)
            total += float(loss_and_slopes(loss, Z, y, room.slopes[-1][: len(X)], None).sum())
            right += int((decided(loss, Z) == y).sum()) if loss != "square" else 0
    count = len(held.X)
    return total / count, right / count if loss != "square" else math.nan


def trained(method: Descent, checkpoints: Checkpoints | None = None) -> Training:
    """The network after its last round, from the last checkpoint on."""
    began = perf_counter()
    runner = method.A.swept_by
    with_runner = replace(method, A=replace(method.A, runner=runner))
    try:
        with single_blas_thread():  # of the steps that are made here: sums that are shared out are rounded otherwise
            state = iterate(with_runner, checkpoints)
    finally:
        ended(runner, forget, method.samples.token)
    return with_runner.finished(state, perf_counter() - began)
