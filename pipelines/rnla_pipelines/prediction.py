"""The `predict` pipeline: a trained network at each row of a stored matrix, written panel by panel."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Literal

from rnla.algorithms.forecasts import Machine
from rnla.algorithms.network import predicted
from rnla.algorithms.planning import Plan
from rnla.algorithms.planning_training import plan_prediction
from rnla.algorithms.trained import PredictionCertificate, Trained
from rnla.cluster.resources import Resources
from rnla.errors import ConfigError, RequestError
from rnla.jobs.pipelines import Delivered, Pipeline, Place
from rnla.public.loading import load
from rnla.sweeps.matrix import Matrix


@dataclass(frozen=True)
class PredictConfig:
    """Options of `predict`."""

    network: str = field(metadata={"help": "result of the train pipeline"})
    missing: Literal["error", "mask", "impute-mean"] = field(
        default="error", metadata={"help": "NaN and infinity: stop, count as zero, or take the column's mean"}
    )
    allow_missing: bool = field(default=False, metadata={"help": "read absent chunks as the store's fill value"})


def view(A: Matrix, config: PredictConfig) -> Matrix:
    """The matrix as the network was trained to see it."""
    found = trained(config)
    if A.shape[1] != found.network.widths[0]:
        msg = f"the network takes {found.network.widths[0]} inputs and the matrix has {A.shape[1]} columns"
        raise RequestError(msg)
    return found.view(A).astype(found.network.dtype)


def trained(config: PredictConfig) -> Trained:
    """The network and its view."""
    found = load(config.network)
    if not isinstance(found, Trained):
        msg = f"network={config.network!r} is no result of the train pipeline; give one: rnla run train"
        raise ConfigError(msg)
    return found


def planned(A: Matrix, config: PredictConfig, found: Resources) -> Plan:
    """What it will cost."""
    return plan_prediction(A, trained(config).network, Machine(found.threads, found.base_bytes))


def run(A: Matrix, config: PredictConfig, place: Place) -> Delivered:
    """One sweep; values go straight into the result."""
    network = trained(config).network
    predicted(network, A, place.workspace)
    digest = hashlib.blake2b(network.parameters.tobytes(), digest_size=16).hexdigest()
    return Delivered({}, PredictionCertificate(config.network, digest, network.widths[-1]), "one read")


pipeline = Pipeline(
    name="predict",
    summary="A trained network at each row of the matrix.",
    config=PredictConfig,
    view=view,
    plan=planned,
    run=run,
    tall={"values": ("row", "output")},
)
