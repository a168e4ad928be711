"""The `train` pipeline: a ReLU network fitted to a stored matrix and its targets, with early stopping."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from rnla.algorithms.delivery_training import told_of
from rnla.algorithms.forecasts import Machine
from rnla.algorithms.network import Network
from rnla.algorithms.planning import Plan
from rnla.algorithms.planning_training import Given, plan_training
from rnla.algorithms.regime import OPTIONS, Regime, checked_regime
from rnla.algorithms.samples import Rooms, held_count, held_rows, limit_of, prepared, standardised
from rnla.algorithms.training import Descent, trained
from rnla.cluster.resources import Resources
from rnla.errors import DivergedError
from rnla.jobs.pipelines import Delivered, Pipeline, Place
from rnla.kernels.layers import checked_widths
from rnla.sweeps.matrix import Matrix
from rnla_pipelines.labels import check_labels, labels, unlabelled


@dataclass(frozen=True)
class TrainConfig:
    """Options of `train`."""

    outputs: int = field(metadata={"help": "classes, or numbers in a target"})
    labels: str | None = field(default=None, metadata={"help": "Zarr array of targets, one for each row"})
    label_column: int | None = field(default=None, metadata={"help": "or the column of the matrix that holds them"})
    hidden: tuple[int, ...] = field(
        default=(64,), metadata={"help": "widths of hidden layers, such as 128,64; empty for none"}
    )
    loss: Literal["cross-entropy", "hinge", "square"] = field(default="cross-entropy", metadata={"help": "loss"})
    optimizer: Literal["sgd", "nesterov", "adam"] = field(default="sgd", metadata={"help": "kind of step"})
    learning_rate: float = field(default=0.1, metadata={"help": "size of a step"})
    momentum: float = field(default=0.9, metadata={"help": "of sgd and nesterov"})
    batch: int = field(default=64, metadata={"help": "samples of a step, for each replica"})
    epochs: int = field(default=15, metadata={"help": "how often all samples are taken, at most"})
    sampling: Literal["permutation", "replacement", "norm-squared"] = field(
        default="permutation", metadata={"help": "how samples are drawn"}
    )
    replicas: int = field(default=1, metadata={"help": "copies that descend side by side"})
    local_steps: int | None = field(
        default=None, metadata={"help": "steps between averages; without it, about 3 s of work"}
    )
    validation: int | float = field(default=0.1, metadata={"help": "share or number of samples that are held out"})
    patience: int | None = field(default=None, metadata={"help": "epochs without a lower loss before it stops"})
    schedule: Literal["constant", "1/k", "cosine"] = field(default="constant", metadata={"help": "of learning rates"})
    warmup: int = field(default=0, metadata={"help": "steps over which the learning rate grows"})
    weight_decay: float = field(default=0.0, metadata={"help": "pull of parameters towards zero"})
    clip: float | None = field(default=None, metadata={"help": "largest norm of a gradient"})
    averaging: bool = field(default=False, metadata={"help": "mean of the parameters over the second half"})
    outer_momentum: float = field(default=0.0, metadata={"help": "of the step towards the replicas' mean"})
    outer_rate: float = field(default=1.0, metadata={"help": "of the same"})
    standardise: bool = field(
        default=True, metadata={"help": "centre and scale columns, and targets of the square loss"}
    )
    precision: Literal["float32", "float64"] = field(default="float32", metadata={"help": "of the network"})
    seed: int = field(default=0, metadata={"help": "of initial weights, of the order, of what is held out"})
    missing: Literal["error", "mask", "impute-mean"] = field(
        default="error", metadata={"help": "NaN and infinity: stop, count as zero, or take the column's mean"}
    )
    allow_missing: bool = field(default=False, metadata={"help": "read absent chunks as the store's fill value"})


def view(A: Matrix, config: TrainConfig) -> Matrix:
    """The matrix as it is; refuses options that cannot be right."""
    check_labels(A, config)
    regime(features(A, config), config)
    return A


def features(A: Matrix, config: TrainConfig) -> Matrix:
    """The columns that are no label, standardised as configured."""
    A = unlabelled(A, config)
    return standardised(A) if config.standardise else A


def scaled(config: TrainConfig) -> bool:
    """Whether targets are standardised too."""
    return config.standardise and config.loss == "square"


def widths(A: Matrix, config: TrainConfig) -> tuple[int, ...]:
    """Inputs, hidden layers, outputs."""
    return checked_widths((A.shape[1], *config.hidden, config.outputs))


def network(A: Matrix, config: TrainConfig) -> Network:
    """Where descent starts."""
    return Network(widths(A, config), dtype=config.precision, seed=config.seed)


def held(A: Matrix, config: TrainConfig) -> int:
    """How many rows are held out."""
    return held_count(*A.shape, np.dtype(config.precision).itemsize, config.validation)


def regime(A: Matrix, config: TrainConfig) -> Regime:
    """The options as a checked regime."""
    options = {name: getattr(config, name) for name in OPTIONS}
    left_out = held(A, config)
    return checked_regime(widths(A, config), A.shape[0] - left_out, left_out, **options)


def others(A: Matrix, config: TrainConfig) -> dict[str, Matrix]:
    """The targets."""
    return {"labels": labels(A, config)}


def planned(A: Matrix, config: TrainConfig, found: Resources) -> Plan:
    """What it will cost."""
    X = features(A, config)
    machine = Machine(found.threads, found.base_bytes, found.workers)
    y, dtype = labels(A, config), np.dtype(config.precision)
    size = A.geometry.bytes + y.geometry.bytes
    return plan_training(
        Given(X, y, size, scaled(config)), widths(X, config), dtype, regime(X, config), held(X, config), machine
    )


def run(A: Matrix, config: TrainConfig, place: Place) -> Delivered:
    """Rounds of descent, kept one by one."""
    X = features(A, config)
    start, asked = network(X, config), regime(X, config)
    left_out = held_rows(*X.shape, start.dtype.itemsize, config.validation, config.seed)
    y, rooms = place.others["labels"], Rooms(place.workspace, place.workspace)
    limit = limit_of(X.shape[1]) if config.standardise else None
    made = prepared(X, y, start, asked, left_out, rooms, limit, scaled=scaled(config))
    descent = Descent(start, made.samples, made.held_out, asked, X, say=place.note, check=place.check)
    told = None
    try:
        found = trained(descent, place.checkpoints)
    except DivergedError as error:  # the last finite network is a result too
        found, told = error.so_far, str(error)
    arrays, proof = told_of(found, made, config.loss, told)
    return Delivered(arrays, proof, config.optimizer)


pipeline = Pipeline(
    name="train",
    summary="A ReLU network fitted to a matrix and its targets by stochastic gradient descent.",
    config=TrainConfig,
    view=view,
    plan=planned,
    run=run,
    tall={},
    others=others,
    of_memory=("hidden", "batch", "validation", "replicas"),
    of_disk=("hidden",),
)
