"""From what training gives to what a user gets, and to the arrays of a stored result."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from rnla.algorithms.delivery import Named
from rnla.algorithms.network import Network
from rnla.algorithms.results import Cost
from rnla.algorithms.samples import Prepared, Units
from rnla.algorithms.trained import Trained, TrainingCertificate, history_of
from rnla.algorithms.training import COLUMNS, HeldOut, Training
from rnla.arrays import Array
from rnla.kernels.layers import decided

SEEN = ("centre", "scale", "fill", "limit")  # the view in which samples are seen, by name
ARRAYS = ("centre", "scale", "fill", "classes", "confusion")  # of `Trained`, where they are known, ...
NUMBERS = ("limit", "baseline")  # ... and its numbers


class Scores(NamedTuple):
    """What the network that was kept makes of the samples held out."""

    confusion: Array | None = None  # (c, c) known class, decided class
    baseline: float | None = None  # square loss of always naming the mean
    r2: float | None = None  # the mean over outputs whose targets vary
    rmse: float | None = None  # over all outputs, in units of the targets


def scores_of(network: Network, held: HeldOut | None, loss: str, units: Units | None) -> Scores:
    """Of a network as it was trained; nothing is read."""
    if held is None:
        return Scores()
    if loss != "square":
        return Scores(confusion=confusion(network, held, loss))
    known = held.y.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # of a network that diverged
        left, varying = ((known - network.outputs(held.X)) ** 2).mean(axis=0), known.var(axis=0)
    if not np.isfinite(left).all():
        return Scores(baseline=0.5 * float(varying.sum()))
    those, scale = varying > 0, 1.0 if units is None else units.scale
    r2 = float((1.0 - left[those] / varying[those]).mean()) if those.any() else None
    rmse = math.hypot(*(np.sqrt(left) * scale)) / math.sqrt(left.size)
    return Scores(None, 0.5 * float(varying.sum()), r2, rmse)


def certificate_of(found: Training, made: Prepared, scores: Scores, diverged: str | None) -> TrainingCertificate:
    """What is known of the network; `diverged` says how, if it did."""
    kept = history_of(found.history[found.stopped_at - 1 : found.stopped_at])
    held = 0 if made.held_out is None else len(made.held_out.X)

    def number(name: str) -> float | None:
        value = float(kept[name][0])
        return None if math.isnan(value) else value

    return TrainingCertificate(
        loss=number("loss"),
        accuracy=number("accuracy"),
        validation_loss=number("validation_loss"),
        validation_accuracy=number("validation_accuracy"),
        held_out=held,
        epochs=len(found.history),
        stopped_at=found.stopped_at,
        stopped_early=found.early,
        steps=int(found.history[-1, COLUMNS.index("steps")]),
        rounds=found.rounds,
        samples_per_second=found.samples / found.seconds if found.seconds > 0 else 0.0,
        diverged=diverged,
        validation_r2=scores.r2,
        validation_rmse=scores.rmse,
    )


class Told(NamedTuple):
    """What came of training, as it is kept."""

    arrays: Named
    certificate: TrainingCertificate


def told_of(found: Training, made: Prepared, loss: str, diverged: str | None = None) -> Told:
    """The layers, the view in which samples are seen, the history, and what is known of the samples held out."""
    scores = scores_of(found.network, made.held_out, loss, made.units)
    network = found.network if made.units is None else made.units.of(found.network)
    transform, limit = made.samples.transform, made.samples.limit
    seen = (transform.centre, transform.scale, transform.fill, limit)
    arrays = layer_arrays(network) | seen_arrays(seen, history_of(found.history)) | score_arrays(scores)
    return Told(arrays, certificate_of(found, made, scores, diverged))


def trained_from(
    arrays: Mapping[str, Any], proof: TrainingCertificate, cost: Cost, record: dict[str, Any], seed: int
) -> Trained:
    """The network of arrays as they are kept, with its history."""
    known: dict[str, Any] = {name: np.asarray(arrays[name]) for name in ARRAYS if name in arrays}
    known |= {name: float(arrays[name]) for name in NUMBERS if name in arrays}
    history = {name: np.asarray(arrays[name]) for name in COLUMNS}
    return Trained(network_of(arrays, seed), history, proof.stopped_at, cost, proof, **known, record=record)


def trained_arrays(found: Trained) -> Named:
    """The arrays in which a network that was trained is kept."""
    seen = (found.centre, found.scale, found.fill, found.limit)
    arrays = layer_arrays(found.network) | seen_arrays(seen, found.history)
    arrays |= score_arrays(Scores(found.confusion, found.baseline))
    return arrays if found.classes is None else arrays | {"classes": (found.classes, ("class",))}


def score_arrays(scores: Scores) -> Named:
    """What was taken for what, or what always naming the mean would leave."""
    arrays: Named = {}
    if scores.confusion is not None:
        arrays["confusion"] = (scores.confusion, ("true_class", "decided_class"))
    if scores.baseline is not None:
        arrays["baseline"] = (np.array(scores.baseline), ())
    return arrays


def seen_arrays(seen: tuple[Array | float | None, ...], history: dict[str, Array]) -> Named:
    """The view in which samples are seen (centre, scale, fill, limit), and the history."""
    found = {name: np.asarray(value) for name, value in zip(SEEN, seen, strict=True) if value is not None}
    view: Named = {name: (value, ("input",) * value.ndim) for name, value in found.items()}
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
    found = [(np.asarray(arrays[f"weights_{k}"]), np.asarray(arrays[f"biases_{k}"])) for k in range(1, count + 1)]
    widths = (found[0][0].shape[0], *(len(b) for _, b in found))
    flat = np.concatenate([part.reshape(-1) for layer in found for part in layer])
    return Network(widths, dtype=flat.dtype, seed=seed, parameters=flat)
