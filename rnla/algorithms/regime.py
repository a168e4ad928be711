"""What is asked of training, checked: losses, batches, replicas, local steps, patience."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, get_args

from rnla.algorithms.steps import Rule, checked_rule, number
from rnla.checks import flag, integer, one_of
from rnla.errors import RequestError
from rnla.kernels.layers import LOSSES, parameter_count
from rnla.sweeps.orders import Sampling

ROUND_SECONDS = 3.0  # of one replica in a round, beside which the 60 ms of a round trip with its parameters are little
LEAST_ROUNDS = 4  # of an epoch, for several replicas

FLOPS = 6.0  # of a sample, for each parameter: forward 2, backward 4
SAMPLINGS: tuple[Sampling, ...] = get_args(Sampling)


@dataclass(frozen=True, eq=False)
class Regime:
    """How a network is trained, checked."""

    loss: str
    rule: Rule
    batch: int
    epochs: int
    replicas: int
    local_steps: int
    patience: int | None  # epochs without a lower loss of the samples held out, after which it stops
    averaging: bool
    outer_momentum: float
    outer_rate: float
    sampling: Sampling
    seed: int  # of the order and of draws

    @property
    def gradients(self) -> bool:
        """Whether replicas give gradients and take no steps."""
        return self.replicas > 1 and self.local_steps == 1

    @property
    def lanes(self) -> int:
        """Parts that an epoch is dealt in: replicas that take steps of their own read rows of their own."""
        return 1 if self.gradients else self.replicas

    @property
    def held(self) -> int:
        """Buffers of a lane that a process keeps: the one in use and the next; at an end replicas use two."""
        return 3 if self.gradients else 2


def checked_regime(  # noqa: PLR0913 - options are keywords
    widths: tuple[int, ...],
    samples: int,
    held: int,
    *,
    loss: Any = "cross-entropy",
    optimizer: Any = "sgd",
    learning_rate: Any = 0.1,
    momentum: Any = 0.9,
    batch: Any = 64,
    epochs: Any = 15,
    replicas: Any = 1,
    local_steps: Any = None,
    patience: Any = None,
    weight_decay: Any = 0.0,
    clip: Any = None,
    schedule: Any = "constant",
    warmup: Any = 0,
    averaging: Any = False,
    outer_momentum: Any = 0.0,
    outer_rate: Any = 1.0,
    sampling: Any = "permutation",
    seed: Any = 0,
) -> Regime:
    """The regime for so many samples and others held out, or an error that says what is allowed."""
    one_of(loss, "loss", LOSSES)
    one_of(sampling, "sampling", SAMPLINGS)
    size, K = integer(batch, "batch", least=1), integer(replicas, "replicas", least=1)
    if samples <= 0:
        msg = f"all {held:,} samples are held out: there are none to train on; give a smaller validation"
        raise RequestError(msg)
    if size * K > samples:
        each = f" for each of {K} replicas" if K > 1 else ""
        cure = f"a batch of at most {samples // K:,}" if samples >= K else "fewer replicas"
        msg = f"batch={size}{each} is more than the {samples:,} samples to train on: take {cure}"
        raise RequestError(msg)
    count = integer(epochs, "epochs", least=1)
    H = default_steps(widths, samples, size, K) if local_steps is None else integer(local_steps, "local_steps", least=1)
    waits = None if patience is None else integer(patience, "patience", least=1)
    if waits is not None and not held:
        msg = f"patience={waits} looks at samples held out, and there are none: give validation=0.1, or no patience"
        raise RequestError(msg)
    steps = count * math.ceil(samples / (size * K))
    rule = checked_rule(
        optimizer=optimizer,
        learning_rate=learning_rate,
        momentum=momentum,
        weight_decay=weight_decay,
        clip=clip,
        schedule=schedule,
        warmup=warmup,
        horizon=steps if schedule == "cosine" else max(1, steps // 10),
    )
    outer, rate = number(outer_momentum, "outer_momentum"), number(outer_rate, "outer_rate")
    if not 0 <= outer < 1 or not 0 < rate <= 2:
        msg = (
            f"outer_momentum={outer_momentum!r} must lie in 0 <= outer_momentum < 1, outer_rate={outer_rate!r} in 0..2"
        )
        raise RequestError(msg)
    if (outer, rate) != (0.0, 1.0) and (K == 1 or H == 1):
        msg = (
            f"outer_momentum and outer_rate are of the step towards the mean of replicas that made several steps: with "
            f"replicas={K} and local_steps={H} there is no such step; take both above 1"
        )
        raise RequestError(msg)
    return Regime(
        str(loss), rule, size, count, K, H, waits, flag(averaging, "averaging"), outer, rate,
        sampling, integer(seed, "seed"),
    )  # fmt: skip


def step_seconds(widths: tuple[int, ...], batch: int) -> float:
    """How long a step takes on one core, to a factor of two: products, rows that are gathered, calls."""
    return batch * (FLOPS * parameter_count(widths) / 5e10 + 8e-9 * widths[0]) + 2e-4


def default_steps(widths: tuple[int, ...], samples: int, batch: int, replicas: int) -> int:
    """Local steps of a round: about 3 seconds of work, and several rounds an epoch when replicas are averaged."""
    wanted = math.ceil(ROUND_SECONDS / step_seconds(widths, batch))
    of_epoch = math.ceil(samples / (batch * replicas))
    return min(wanted, of_epoch if replicas == 1 else math.ceil(of_epoch / LEAST_ROUNDS))


OPTIONS = tuple(checked_regime.__kwdefaults__ or ())  # by name, as pipelines and estimators spell them
