"""The `predict` pipeline: a trained network at each row of a stored matrix, written panel by panel."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Literal

from rnla.algorithms.forecasts import Machine
from rnla.algorithms.network import Network, predicted, seen_by
from rnla.algorithms.planning import Plan
from rnla.algorithms.planning_training import plan_prediction
from rnla.algorithms.trained import PredictionCertificate, Trained
from rnla.cluster.resources import Resources
from rnla.errors import ConfigError, RequestError
from rnla.jobs.folders import published
from rnla.jobs.pipelines import Delivered, Pipeline, Place
from rnla.public.loading import load
from rnla.sweeps.matrix import Matrix


@dataclass(frozen=True)
class PredictConfig:
    """Options of `predict`."""

    network: str = field(metadata={"help": "result of the train pipeline, or of rnla.nn.save"})
    missing: Literal["error", "mask", "impute-mean"] = field(
        default="error", metadata={"help": "NaN and infinity: stop, count as zero, or take the column's mean"}
    )
    allow_missing: bool = field(default=False, metadata={"help": "read absent chunks as the store's fill value"})


def view(A: Matrix, config: PredictConfig) -> Matrix:
    """The matrix as the network was trained to see it."""
    found = loaded(config)
    network = network_of(found)
    if A.shape[1] != network.widths[0]:
        msg = f"the network takes {network.widths[0]} inputs and the matrix has {A.shape[1]} columns"
        raise RequestError(msg)
    A = found.view(A) if isinstance(found, Trained) else A
    return seen_by(network.dtype, A)


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


def planned(A: Matrix, config: PredictConfig, found: Resources) -> Plan:
    """What it will cost."""
    return plan_prediction(A, network_of(loaded(config)), Machine(found.threads, found.base_bytes))


def run(A: Matrix, config: PredictConfig, place: Place) -> Delivered:
    """One sweep; values go straight into the result."""
    network = network_of(loaded(config))
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
