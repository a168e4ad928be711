"""Steps of descent on a vector of parameters: momentum, Nesterov, Adam, with schedules, weight decay and clipping.

    momentum   v := mu v + g,             x := x - eta v                  (Polyak 1964)
    nesterov   v := mu v + g,             x := x - eta (g + mu v)         (Nesterov 1983, as Sutskever et al. 2013)
    adam       m := b1 m + (1 - b1) g,  q := b2 q + (1 - b2) g^2,  x := x - eta m' / (sqrt(q') + 1e-8)
                                                                          (Kingma and Ba 2015; ' : over 1 - b^t)
Weight decay adds `decay` times x to g (for Adam it is taken off x apart from g: Loshchilov and Hutter 2019).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnla.arrays import Array
from rnla.checks import integer, one_of
from rnla.errors import RequestError
from rnla.kernels.layers import AXPY, NRM2

OPTIMIZERS = ("sgd", "nesterov", "adam")
SCHEDULES = ("constant", "1/k", "cosine")
BETAS, TINY = (0.9, 0.999), 1e-8

Gradient = Callable[[Array, float], None]  # (into, keep): into := keep * into + gradient


@dataclass(frozen=True)
class Rule:
    """How a gradient becomes a step, checked."""

    optimizer: str
    learning_rate: float
    momentum: float
    decay: float
    clip: float | None
    schedule: str
    warmup: int  # steps
    horizon: int  # steps that a cosine falls over, or after which 1/k has halved

    @property
    def moments(self) -> int:
        """Vectors kept from step to step."""
        if self.optimizer == "adam":
            return 2
        return int(self.momentum > 0)

    def rate(self, step: int) -> float:
        """The learning rate of step 0, 1, 2, ..."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / (self.warmup + 1)
        after = step - self.warmup
        if self.schedule == "1/k":
            return self.learning_rate / (1.0 + after / max(1, self.horizon))
        if self.schedule == "cosine":
            share = min(1.0, after / max(1, self.horizon - self.warmup))
            return self.learning_rate * 0.5 * (1.0 + math.cos(math.pi * share))
        return self.learning_rate


def checked_rule(
    *,
    optimizer: Any = "sgd",
    learning_rate: Any = 0.1,
    momentum: Any = 0.9,
    weight_decay: Any = 0.0,
    clip: Any = None,
    schedule: Any = "constant",
    warmup: Any = 0,
    horizon: int = 1,
) -> Rule:
    """The rule, or an error that says what is allowed."""
    one_of(optimizer, "optimizer", OPTIMIZERS)
    one_of(schedule, "schedule", SCHEDULES)
    rate = number(learning_rate, "learning_rate")
    if not (rate > 0 and math.isfinite(rate)):
        msg = f"learning_rate={learning_rate!r} must be positive"
        raise RequestError(msg)
    mu, decay = number(momentum, "momentum"), number(weight_decay, "weight_decay")
    if not 0 <= mu < 1:
        msg = f"momentum={momentum!r} must lie in 0 <= momentum < 1"
        raise RequestError(msg)
    if not (decay >= 0 and math.isfinite(decay)):
        msg = f"weight_decay={weight_decay!r} must not be negative"
        raise RequestError(msg)
    if optimizer == "nesterov" and mu == 0:
        msg = "optimizer='nesterov' needs a momentum above 0, such as 0.9"
        raise RequestError(msg)
    limit = None if clip is None else number(clip, "clip")
    if limit is not None and not limit > 0:
        msg = f"clip={clip!r} must be positive, the largest norm of a gradient, or None"
        raise RequestError(msg)
    steps = integer(warmup, "warmup", least=0)
    return Rule(str(optimizer), rate, mu, decay, limit, str(schedule), steps, horizon)


def number(value: Any, name: str) -> float:
    """A number, or an error that names what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating | np.integer):
        msg = f"{name}={value!r} must be a number"
        raise RequestError(msg)
    return float(value)


def step(rule: Rule, x: Array, moments: Array, count: int, gradient: Gradient, spare: Array) -> None:
    """Step `count` = 0, 1, ... from x, in place; `moments` (rule.moments, p) too. `spare` (p,) is overwritten."""
    eta, axpy = rule.rate(count), AXPY[x.dtype.char]
    plain = rule.clip is None and rule.optimizer == "sgd"
    if plain and rule.momentum > 0:
        (v,) = moments
        gradient(v, rule.momentum)
        if rule.decay:
            axpy(x, v, a=rule.decay)
        axpy(v, x, a=-eta)
        return
    g = spare
    gradient(g, 0.0)
    if rule.clip is not None:
        _clip(g, rule.clip)
    if rule.optimizer == "adam":
        _adam(rule, x, moments, count, g, eta)
        return
    if rule.decay:
        axpy(x, g, a=rule.decay)
    if rule.momentum == 0:
        axpy(g, x, a=-eta)
        return
    (v,) = moments
    v *= v.dtype.type(rule.momentum)
    v += g
    if rule.optimizer == "nesterov":
        axpy(g, x, a=-eta)
        axpy(v, x, a=-eta * rule.momentum)
    else:
        axpy(v, x, a=-eta)


def _clip(g: Array, limit: float) -> None:
    size = float(NRM2[g.dtype.char](g))  # BLAS's: in float32 the squares of what must be clipped most overflow
    if size > limit:
        g *= g.dtype.type(limit / size)


def _adam(rule: Rule, x: Array, moments: Array, count: int, g: Array, eta: float) -> None:
    m, q = moments
    (b1, b2), kind = BETAS, x.dtype.type
    m *= kind(b1)
    m += kind(1 - b1) * g
    q *= kind(b2)
    np.multiply(g, g, out=g)
    q += kind(1 - b2) * g
    if rule.decay:
        x *= kind(1 - eta * rule.decay)
    np.sqrt(q, out=g)
    g *= kind(1 / math.sqrt(1 - b2 ** (count + 1)))
    g += kind(TINY)
    np.divide(m, g, out=g)
    x -= kind(eta / (1 - b1 ** (count + 1))) * g
