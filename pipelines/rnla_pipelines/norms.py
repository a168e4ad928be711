"""The `column-norms` pipeline: squared norms of the columns and rows of a stored matrix, in one read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rnla.algorithms.delivery_samples import norms_arrays
from rnla.algorithms.forecasts import Machine, plan_norms
from rnla.algorithms.norms import check_keepable, exact, norms
from rnla.algorithms.planning import Plan, checked_request, oriented
from rnla.algorithms.sample_certificates import NormsCertificate
from rnla.cluster.resources import Resources
from rnla.jobs.pipelines import Delivered, Pipeline, Place
from rnla.sweeps.matrix import Matrix


@dataclass(frozen=True)
class NormsConfig:
    """Options of `column-norms`."""

    keep: bool = field(default=False, metadata={"help": "keep them beside the store too: later jobs need no read"})
    missing: Literal["error", "mask", "impute-mean"] = field(
        default="error", metadata={"help": "NaN and infinity: stop, count as zero, or take the column's mean"}
    )
    allow_missing: bool = field(default=False, metadata={"help": "read absent chunks as the store's fill value"})


def view(A: Matrix, config: NormsConfig) -> Matrix:
    """The matrix as it is; refuses options that cannot be right."""
    checked_request(A.shape, 1)  # there must be entries
    if config.keep:
        check_keepable(A)
    return A


def planned(A: Matrix, _config: NormsConfig, found: Resources) -> Plan:
    """What it will cost."""
    return plan_norms(A, Machine(found.threads, found.base_bytes))


def run(A: Matrix, config: NormsConfig, place: Place) -> Delivered:
    """One sweep; those along the swept side go straight into the result."""
    swept, transposed = oriented(A)
    along = "column_norms" if transposed else "row_norms"
    found = norms(swept, place.workspace, keep=config.keep, name=along)
    proof = NormsCertificate(found.frobenius, exact(swept))
    return Delivered(norms_arrays(found, transposed=transposed), proof, "one read")


pipeline = Pipeline(
    name="column-norms",
    summary="Squared norms of columns and rows, and the Frobenius norm, in one read.",
    config=NormsConfig,
    view=view,
    plan=planned,
    run=run,
    tall={"row_norms": ("row", "norm"), "column_norms": ("column", "norm")},
)
