"""The `svd` pipeline: leading singular values and vectors of a stored matrix, with their certificate."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rnla.algorithms.delivery import svd_arrays
from rnla.algorithms.planning import Plan, Request, checked_request, plan
from rnla.algorithms.svd import factorise
from rnla.cluster.resources import Resources
from rnla.jobs.pipelines import Delivered, Pipeline, Place
from rnla.sweeps.matrix import Matrix


@dataclass(frozen=True)
class SvdConfig:
    """Options of `svd`."""

    k: int | None = field(default=None, metadata={"help": "rank; without it, the rank that --tol needs"})
    passes: int = field(default=4, metadata={"help": "reads of the matrix, at most"})
    tol: float | None = field(default=None, metadata={"help": "relative Frobenius error to reach, between 0 and 1"})
    oversample: int = field(default=10, metadata={"help": "columns of a block beyond the rank"})
    seed: int = field(default=0, metadata={"help": "seed of the random start"})
    method: Literal["auto", "krylov", "subspace", "gram", "merge"] = field(
        default="auto", metadata={"help": "algorithm; auto lets the plan choose"}
    )
    centred: bool = field(default=False, metadata={"help": "subtract the mean of each column"})
    scaled: bool = field(default=False, metadata={"help": "divide each column by its standard deviation"})
    missing: Literal["error", "mask", "impute-mean"] = field(
        default="error", metadata={"help": "NaN and infinity: stop, count as zero, or take the column's mean"}
    )
    allow_missing: bool = field(default=False, metadata={"help": "read absent chunks as the store's fill value"})


def view(A: Matrix, config: SvdConfig) -> Matrix:
    """The matrix centred and scaled as configured; refuses options that cannot be right."""
    request(A, config)
    A = A.centred() if config.centred else A
    return A.scaled() if config.scaled else A


def request(A: Matrix, config: SvdConfig) -> Request:
    """The options as a checked request."""
    return checked_request(
        A.shape,
        config.k,
        passes=config.passes,
        tol=config.tol,
        oversample=config.oversample,
        seed=config.seed,
        method=config.method,
    )


def planned(A: Matrix, config: SvdConfig, found: Resources) -> Plan:
    """What it will cost."""
    return plan("svd", A, request(A, config), threads=found.threads, base_bytes=found.base_bytes)


def run(A: Matrix, config: SvdConfig, place: Place) -> Delivered:
    """Sweeps, factors, certificate."""
    found = factorise(A, request(A, config), place.workspace, place.checkpoints)
    return Delivered(svd_arrays(found), found.certificate, found.method)


pipeline = Pipeline(
    name="svd",
    summary="Leading singular values and vectors, with a certificate.",
    config=SvdConfig,
    view=view,
    plan=planned,
    run=run,
    tall={"U": ("row", "mode"), "Vt": ("mode", "column")},
)
