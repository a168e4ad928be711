"""The `predict` pipeline: a trained network at each row of a stored matrix, written panel by panel, and scored.

The matrix is read once. What is said of the values (classes decided, ranges, scores against targets that are given)
comes from the values as they were written.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

import numpy as np

from rnla.algorithms.delivery_training import SEEN
from rnla.algorithms.forecasts import Machine
from rnla.algorithms.network import Network, predicted, seen_by
from rnla.algorithms.planning import Plan
from rnla.algorithms.planning_training import plan_prediction
from rnla.algorithms.samples import refuse_widths, stored_bytes
from rnla.algorithms.targets import STRIP_ENTRIES, coded, named
from rnla.algorithms.trained import Trained
from rnla.arrays import Array
from rnla.cluster.resources import Resources
from rnla.errors import ConfigError, RequestError
from rnla.jobs.folders import published
from rnla.jobs.pipelines import Delivered, Pipeline, Place
from rnla.public.loading import load
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.settling import settled
from rnla.sweeps.source import Resident
from rnla.sweeps.spans import Tally
from rnla_pipelines.labels import check_column, check_rows, labels, refuse_both, unlabelled
from rnla_pipelines.prediction_scores import Predicted, held_bytes, kept, label_type, tallied

METHOD = "panel by panel"
DECIDING = ("cross-entropy", "hinge")  # losses whose outputs say classes


@dataclass(frozen=True)
class PredictConfig:
    """Options of `predict`."""

    network: str = field(metadata={"help": "result of the train pipeline, or of rnla.nn.save"})
    labels: str | None = field(default=None, metadata={"help": "Zarr array of known targets: the values are scored"})
    label_column: int | None = field(
        default=None, metadata={"help": "or the column of the matrix that holds them: it is left out, and scored by"}
    )
    loss: Literal["cross-entropy", "hinge", "square"] | None = field(
        default=None, metadata={"help": "what outputs mean, of a network that was saved alone"}
    )
    missing: Literal["error", "mask", "impute-mean"] = field(
        default="error", metadata={"help": "NaN and infinity: stop, count as zero, or take the column's mean"}
    )
    allow_missing: bool = field(default=False, metadata={"help": "read absent chunks as the store's fill value"})


@dataclass(frozen=True)
class Weights(Resident):
    """No rows, and the identity of a network: a result is not reused when another one lies at the same place."""

    url: str = ""
    given: Any = None  # Trained or Network

    verified = True  # its arrays are compared with their hashes as they are read

    @property
    def identity(self) -> dict[str, Any]:
        """Place, widths, and a hash of the parameters and of how samples are seen."""
        net = network_of(self.given)
        found = {"kind": "network", "url": self.url, "shape": list(net.widths), "dtype": str(net.dtype)}
        views = [getattr(self.given, name, None) for name in SEEN]
        classes = classes_of(self.given)
        views += [] if classes is None else [classes]
        return found | {"digest": hashed(net.parameters, *(vector for vector in views if vector is not None))}


def hashed(*arrays: Any) -> str:
    """Hash of the bytes of arrays."""
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def loaded(config: PredictConfig) -> Trained | Network:
    """What was trained or saved."""
    found = load(published(config.network))
    if not isinstance(found, Trained | Network):
        msg = f"network={config.network!r} is neither a result of the train pipeline nor of rnla.nn.save: give one"
        raise ConfigError(msg)
    return found


def network_of(found: Trained | Network) -> Network:
    """The network alone."""
    return found.network if isinstance(found, Trained) else found


def loss_of(found: Trained | Network, config: PredictConfig) -> str | None:
    """What outputs mean, as the training says or the options."""
    trained = found.loss if isinstance(found, Trained) else None
    if config.loss is not None and trained not in {None, config.loss}:
        msg = f"loss={config.loss!r}, and the network was trained by {trained!r}: leave it out"
        raise ConfigError(msg)
    return config.loss or trained


def view(A: Matrix, config: PredictConfig) -> Matrix:
    """The matrix as it is; refuses options that cannot be right, and a matrix that does not fit the network."""
    check_rows(A)
    refuse_both(config)
    check_column(A, config)
    found = loaded(config)
    net, loss, y = network_of(found), loss_of(found, config), known(A, config)
    check_columns(A, found, config)
    if y is None:
        return A
    if loss is None:
        msg = f"{config.network} was saved without its loss, so that what its values mean is not known: give loss"
        raise ConfigError(msg)
    refuse_widths(net, net.widths[0], y, A.shape[0], loss)
    classes = classes_of(found)
    if classes is not None and label_type(classes) != classes.dtype:
        msg = (
            f"the network tells names apart ({named(classes, 3)}), and labels of a store are numbers: score it by "
            "Classifier.score"
        )
        raise ConfigError(msg)
    return A


def check_columns(A: Matrix, found: Trained | Network, config: PredictConfig) -> None:
    """RequestError where the matrix has other columns than the network has inputs."""
    inputs, n = network_of(found).widths[0], A.shape[1]
    if n - (config.label_column is not None) == inputs:
        return
    msg = f"the network takes {inputs} inputs and the matrix has {n} columns"
    if config.label_column is not None:
        msg += f", {n - 1} without column {config.label_column}"
    elif n == inputs + 1:
        at = found.record.get("config", {}).get("label_column") if isinstance(found, Trained) else None
        msg += "; if one of them holds the labels, give label_column, its index: it is left out"
        if at is not None:
            msg += f" (label_column={at} in training)"
    raise RequestError(msg)


def known(A: Matrix, config: PredictConfig) -> Matrix | None:
    """The targets, if they are given."""
    return None if config.labels is None and config.label_column is None else labels(A, config)


def classes_of(found: Trained | Network) -> Array | None:
    """What outputs stand for, where the training numbered classes."""
    return found.classes if isinstance(found, Trained) else None


def others(A: Matrix, config: PredictConfig) -> dict[str, Matrix]:
    """The network, and targets in a store of their own."""
    found = {"network": Matrix(Weights(np.zeros((0, 1)), str(published(config.network)), loaded(config)))}
    return found if config.labels is None else found | {"labels": labels(A, config)}


def features(A: Matrix, found: Trained | Network, config: PredictConfig) -> Matrix:
    """The columns that are no target, as the network was trained to see them; gaps take the means of the training."""
    X = unlabelled(A, config)
    X = found.view(X) if isinstance(found, Trained) else X
    return seen_by(network_of(found).dtype, X)


def planned(A: Matrix, config: PredictConfig, found: Resources) -> Plan:
    """What it will cost: one read, one more for means that the training does not know, and one of the targets."""
    trained, y = loaded(config), known(A, config)
    net, X = network_of(trained), features(A, trained, config)
    plan = plan_prediction(X, net, Machine(found.threads, found.base_bytes))
    read = (plan.passes + (not X.settled)) * stored_bytes(X) + (0 if y is None else stored_bytes(y))
    whole = A.geometry.bytes + (0 if config.labels is None or y is None else y.geometry.bytes)
    rows, each = min(X.geometry.tall_rows, A.shape[0]), net.widths[-1] * net.dtype.itemsize
    truth = 0 if y is None else y.source.dtype.itemsize * y.shape[1]
    classes, label = max(2, net.widths[-1]), label_type(classes_of(trained)).itemsize
    looked = rows * (each + truth + label + 8)
    checked = 0 if y is None else 4 * 8 * min(STRIP_ENTRIES, y.shape[0] * y.shape[1])
    filled = X.geometry.filled(A.shape[0])
    decided = label * filled + 8 * classes * (classes + 1)
    return replace(
        plan,
        method=METHOD,
        why=f"the network is evaluated as the matrix is read{said(config, y)}",
        shape=A.shape,
        passes=read / whole if whole else plan.passes,
        bytes_read=int(read),
        peak_bytes=max(plan.peak_bytes, found.base_bytes + looked + checked + (32 << 20)),
        output_bytes=plan.output_bytes + (decided if loss_of(trained, config) in DECIDING else 0),
        scratch_bytes=truth * filled,
    )


def said(config: PredictConfig, y: Matrix | None) -> str:
    """What is done about targets, in words."""
    if y is None:
        return ""
    if config.label_column is None:
        return ", and its values are compared with the labels, which are read once"
    at = config.label_column
    return f"; column {at} holds the labels: it is left out, and read by itself to compare the values with"


def run(A: Matrix, config: PredictConfig, place: Place) -> Delivered:
    """Targets are checked, one sweep writes values into the result, and these are looked at."""
    found = cast("Weights", place.others["network"].source).given  # the one whose hash is written down
    net, loss, X = network_of(found), loss_of(found, config), features(A, found, config)
    y, rows = place.others.get("labels", known(A, config)), X.geometry.tall_rows
    classes = classes_of(found)
    truth = None
    if y is not None:
        y = y if classes is None else coded(y, classes)
        truth = kept(A, y, str(loss), net.widths[-1], net.dtype, place.workspace, rows)
    limit = found.limit if isinstance(found, Trained) else None
    values = predicted(net, X if X.settled else settled(X), place.workspace, limit)
    label = None
    if loss in DECIDING:
        label = place.workspace.tall("label", (A.shape[0], 1), label_type(classes), rows)
    seen = tallied(values, loss, truth, label, classes)
    A.meter.tallies[-1] += Tally(peak_bytes=held_bytes(A))
    proof = Predicted(config.network, hashed(net.parameters), net.widths[-1], A.shape[0], loss, **seen.facts())
    return Delivered(seen.arrays(), proof, METHOD)


pipeline = Pipeline(
    name="predict",
    summary="A trained network at each row of the matrix, scored where targets are given.",
    config=PredictConfig,
    view=view,
    plan=planned,
    run=run,
    tall={"values": ("row", "output"), "label": ("row", "decided")},
    others=others,
    of_memory=(),
    of_disk=(),
)
