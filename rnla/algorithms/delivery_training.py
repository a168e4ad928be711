"""From what training gives to what a user gets, and to the arrays of a stored result."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from rnla.algorithms.delivery import Named
from rnla.algorithms.network import Network
from rnla.algorithms.results import Cost
from rnla.algorithms.samples import Prepared
from rnla.algorithms.trained import Trained, TrainingCertificate, history_of
from rnla.algorithms.training import HeldOut, Training
from rnla.arrays import Array
from rnla.kernels.layers import decided

SEEN = ("centre", "scale", "fill")  # vectors of the view, by name


def certificate_of(found: Training, made: Prepared, diverged: str | None = None) -> TrainingCertificate:
    """What is known of the network; `diverged` says how, if it did."""
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
        diverged=diverged,
    )


def network_arrays(found: Training, made: Prepared, loss: str) -> Named:
    """The layers, the view in which samples are seen, the history, and what was taken for what among those held out."""
    transform = made.samples.transform
    arrays = layer_arrays(found.network)
    arrays |= seen_arrays((transform.centre, transform.scale, transform.fill), history_of(found.history))
    if made.held_out is not None and loss != "square":
        arrays["confusion"] = (confusion(found.network, made.held_out, loss), ("true_class", "decided_class"))
    return arrays


def trained_arrays(found: Trained) -> Named:
    """The same of a network that was trained before, but for what was taken for what."""
    arrays = layer_arrays(found.network) | seen_arrays((found.centre, found.scale, found.fill), found.history)
    return arrays if found.classes is None else arrays | {"classes": (found.classes, ("class",))}


def seen_arrays(vectors: tuple[Array | None, Array | None, Array | None], history: dict[str, Array]) -> Named:
    """The view in which samples are seen (centre, scale, fill), and the history."""
    view: Named = {name: (vector, ("input",)) for name, vector in zip(SEEN, vectors, strict=True) if vector is not None}
    return view | {name: (values, ("epoch",)) for name, values in history.items()}


def layer_arrays(network: Network) -> Named:
    """Weights and biases, layer by layer."""
    arrays: Named = {}
    for number, layer in enumerate(network.layers, 1):
        ends = f"layer_{number - 1}" if number > 1 else "input", f"layer_{number}"
        arrays[f"weights_{number}"] = (np.array(layer.W), ends)
        arrays[f"biases_{number}"] = (np.array(layer.b), ends[1:])
    return arrays


def confusion(network: Network, held: HeldOut, loss: str) -> Array:
    """How many samples held out of each class were taken for each: (c, c)."""
    taken, classes = decided(loss, network.outputs(held.X)), max(2, network.widths[-1])
    known = held.y
    if network.widths[-1] == 1:  # -1 and 1
        taken, known = (taken > 0).astype(int), (known > 0).astype(int)
    found = np.zeros((classes, classes), np.int64)
    np.add.at(found, (known, taken), 1)
    return found


def network_of(arrays: Mapping[str, Any], seed: int) -> Network:
    """The network of a stored result."""
    count = sum(name.startswith("weights_") for name in arrays)
    layers = [(np.asarray(arrays[f"weights_{k}"]), np.asarray(arrays[f"biases_{k}"])) for k in range(1, count + 1)]
    widths = (layers[0][0].shape[0], *(len(b) for _, b in layers))
    flat = np.concatenate([part.reshape(-1) for layer in layers for part in layer])
    return Network(widths, dtype=flat.dtype, seed=seed, parameters=flat)


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
        transform.fill,
    )
