"""What is asked of training, checked: losses, batches, replicas, local steps, patience."""

from __future__ import annotations

import math
from typing import Any

from rnla.algorithms.steps import checked_rule
from rnla.algorithms.training import FLOPS, Regime
from rnla.checks import flag, integer, one_of
from rnla.errors import RequestError
from rnla.kernels.layers import LOSSES, parameter_count

ROUND_FLOPS = 4e10  # of one replica in a round: about a second, beside which a task's 30 to 80 ms are little
LEAST_ROUNDS = 4  # of an epoch, for several replicas


def checked_regime(  # noqa: PLR0913 - options are keywords
    widths: tuple[int, ...],
    samples: int,
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
) -> Regime:
    """The regime for so many samples, or an error that says what is allowed."""
    one_of(loss, "loss", LOSSES)
    size, K = integer(batch, "batch", least=1), integer(replicas, "replicas", least=1)
    if size * K > samples:
        msg = f"batch={size} for each of {K} replica{'s' * (K > 1)} is more than the {samples:,} samples to train on"
        raise RequestError(msg)
    count = integer(epochs, "epochs", least=1)
    H = default_steps(widths, samples, size, K) if local_steps is None else integer(local_steps, "local_steps", least=1)
    waits = None if patience is None else integer(patience, "patience", least=1)
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
    outer, rate = float(outer_momentum), float(outer_rate)
    if not 0 <= outer < 1 or not 0 < rate <= 2:
        msg = (
            f"outer_momentum={outer_momentum!r} must lie in 0 <= outer_momentum < 1, outer_rate={outer_rate!r} in 0..2"
        )
        raise RequestError(msg)
    return Regime(str(loss), rule, size, count, K, H, waits, flag(averaging, "averaging"), outer, rate)


def default_steps(widths: tuple[int, ...], samples: int, batch: int, replicas: int) -> int:
    """Local steps of a round: about a second of work, and several rounds an epoch when replicas are averaged."""
    wanted = math.ceil(ROUND_FLOPS / (FLOPS * parameter_count(widths) * batch))
    of_epoch = math.ceil(samples / (batch * replicas))
    return max(1, min(wanted, of_epoch if replicas == 1 else of_epoch // LEAST_ROUNDS))
