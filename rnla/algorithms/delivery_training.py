"""From what training gives to what a user gets, and to the arrays of a stored result."""

from __future__ import annotations

import math

from rnla.algorithms.results import Cost
from rnla.algorithms.samples import Prepared
from rnla.algorithms.trained import Trained, TrainingCertificate, history_of
from rnla.algorithms.training import Training
from rnla.arrays import Array


def certificate_of(found: Training, made: Prepared) -> TrainingCertificate:
    """What is known of the network."""
    last = history_of(found.history[-1:])
    kept = history_of(found.history[found.stopped_at - 1 : found.stopped_at])
    held = 0 if made.held_out is None else len(made.held_out.X)

    def number(values: dict[str, Array], name: str) -> float | None:
        value = float(values[name][0])
        return None if math.isnan(value) else value

    return TrainingCertificate(
        loss=float(last["loss"][0]),
        accuracy=number(last, "accuracy"),
        validation_loss=number(kept, "validation_loss"),
        validation_accuracy=number(kept, "validation_accuracy"),
        held_out=held,
        epochs=len(found.history),
        stopped_at=found.stopped_at,
        stopped_early=found.early,
        steps=int(last["steps"][0]),
        rounds=found.rounds,
        samples_per_second=found.samples / found.seconds if found.seconds > 0 else 0.0,
    )


def trained_of(found: Training, made: Prepared, cost: Cost) -> Trained:
    """The network with its history."""
    transform = made.samples.transform
    return Trained(
        found.network,
        history_of(found.history),
        found.stopped_at,
        cost,
        certificate_of(found, made),
        transform.centre,
        transform.scale,
    )
