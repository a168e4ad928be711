"""The `pca` pipeline: principal components of the rows of a stored matrix, with their certificate."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rnla.algorithms.delivery import pca_arrays, pca_request
from rnla.algorithms.planning import Plan, Request, plan
from rnla.algorithms.svd import factorise
from rnla.cluster.resources import Resources
from rnla.jobs.pipelines import Delivered, Pipeline, Place
from rnla.sweeps.matrix import Matrix


@dataclass(frozen=True)
class PcaConfig:
    """Options of `pca`."""

    k: int | None = field(default=None, metadata={"help": "components; without it, those that --explained needs"})
    passes: int = field(default=4, metadata={"help": "reads of the matrix, at most"})
    tol: float | None = field(default=None, metadata={"help": "relative Frobenius error to reach, between 0 and 1"})
    explained: float | None = field(default=None, metadata={"help": "share of the variance to explain, such as 0.9"})
    scale: bool = field(default=False, metadata={"help": "divide each column by its standard deviation"})
    oversample: int = field(default=10, metadata={"help": "columns of a block beyond the rank"})
    seed: int = field(default=0, metadata={"help": "seed of the random start"})
    method: Literal["auto", "krylov", "subspace", "gram", "merge"] = field(
        default="auto", metadata={"help": "algorithm; auto lets the plan choose"}
    )
    missing: Literal["error", "mask", "impute-mean"] = field(
        default="error", metadata={"help": "NaN and infinity: stop, count as zero, or take the column's mean"}
    )
    allow_missing: bool = field(default=False, metadata={"help": "read absent chunks as the store's fill value"})


def view(A: Matrix, config: PcaConfig) -> Matrix:
    """The matrix centred, if it is not, and scaled if configured; refuses options that cannot be right."""
    request(A, config)
    return A.standardised(scale=config.scale)


def request(A: Matrix, config: PcaConfig) -> Request:
    """The options as a checked request."""
    return pca_request(
        A.shape,
        config.k,
        passes=config.passes,
        tol=config.tol,
        explained=config.explained,
        oversample=config.oversample,
        seed=config.seed,
        method=config.method,
    )


def planned(A: Matrix, config: PcaConfig, found: Resources) -> Plan:
    """What it will cost."""
    return plan("pca", A, request(A, config), threads=found.threads, base_bytes=found.base_bytes)


def run(A: Matrix, config: PcaConfig, place: Place) -> Delivered:
    """Sweeps, components, certificate."""
    found = factorise(A, request(A, config), place.workspace, place.checkpoints)
    return Delivered(pca_arrays(A, found), found.certificate, found.method)


pipeline = Pipeline(
    name="pca",
    summary="Principal components of the rows, with a certificate.",
    config=PcaConfig,
    view=view,
    plan=planned,
    run=run,
    tall={"scores": ("row", "mode"), "components": ("mode", "column")},
)
