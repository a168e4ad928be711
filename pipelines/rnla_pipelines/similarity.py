"""The `similarity` pipeline: pairs of similar columns of a stored matrix, with their exact cosines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rnla.algorithms.delivery_samples import similarity_arrays
from rnla.algorithms.forecasts import Machine, plan_similarity
from rnla.algorithms.planning import Plan
from rnla.algorithms.sample_certificates import PairsCertificate
from rnla.algorithms.similarity import Search, checked_search, similar
from rnla.cluster.resources import Resources
from rnla.jobs.pipelines import Delivered, Pipeline, Place
from rnla.sweeps.matrix import Matrix


@dataclass(frozen=True)
class SimilarityConfig:
    """Options of `similarity`."""

    threshold: float = field(metadata={"help": "least cosine of a pair, between 0 and 1"})
    failure: float = field(default=1e-6, metadata={"help": "chance at most that a pair at the threshold is missed"})
    method: Literal["auto", "gram", "sketch"] = field(
        default="auto", metadata={"help": "all products of columns, or a sketch that finds candidates"}
    )
    centred: bool = field(default=False, metadata={"help": "subtract the mean of each column: correlations"})
    seed: int = field(default=0, metadata={"help": "seed of the sketch"})
    missing: Literal["error", "mask", "impute-mean"] = field(
        default="error", metadata={"help": "NaN and infinity: stop, count as zero, or take the column's mean"}
    )
    allow_missing: bool = field(default=False, metadata={"help": "read absent chunks as the store's fill value"})


def view(A: Matrix, config: SimilarityConfig) -> Matrix:
    """The matrix centred as configured; refuses options that cannot be right."""
    search(A, config)
    return A.centred() if config.centred else A


def search(A: Matrix, config: SimilarityConfig) -> Search:
    """The options as a checked search."""
    return checked_search(A, config.threshold, failure=config.failure, method=config.method, seed=config.seed)


def planned(A: Matrix, config: SimilarityConfig, found: Resources) -> Plan:
    """What it will cost."""
    return plan_similarity(A, search(A, config), Machine(found.threads, found.base_bytes))


def run(A: Matrix, config: SimilarityConfig, place: Place) -> Delivered:
    """One sweep, or two, the second partial."""
    asked = search(A, config)
    found = similar(A, asked, place.workspace, place.checkpoints)
    proof = PairsCertificate(asked.threshold, int(found.first.size), found.missed, found.rows)
    return Delivered(similarity_arrays(A, found), proof, asked.method)


pipeline = Pipeline(
    name="similarity",
    summary="Pairs of columns whose cosine is at least a threshold, with exact cosines.",
    config=SimilarityConfig,
    view=view,
    plan=planned,
    run=run,
    tall={},
)
