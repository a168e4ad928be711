"""The `descent-study` pipeline: descent on a stored least-squares problem, measured against theory."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from rnla.algorithms.delivery_studies import study_arrays
from rnla.algorithms.forecasts import Machine
from rnla.algorithms.planning import Plan
from rnla.algorithms.planning_training import Given, plan_study
from rnla.algorithms.regime import SAMPLINGS
from rnla.algorithms.samples import stored_bytes
from rnla.algorithms.studies import Asked, Study, beside, checked_study, gradients, study
from rnla.arrays import Array
from rnla.cluster.resources import Resources
from rnla.errors import ConfigError
from rnla.jobs.pipelines import Delivered, Pipeline, Place
from rnla.opening import open_column
from rnla.sweeps.matrix import Matrix
from rnla_pipelines.labels import check_labels, labels, unlabelled


@dataclass(frozen=True)
class StudyConfig:
    """Options of `descent-study`."""

    labels: str | None = field(default=None, metadata={"help": "Zarr array of b, a number for each row"})
    label_column: int | None = field(default=None, metadata={"help": "or the column of the matrix that holds it"})
    steps: int = field(default=2000, metadata={"help": "of the methods that look at the whole gradient"})
    epochs: int = field(default=15, metadata={"help": "of stochastic descent"})
    seeds: int = field(default=6, metadata={"help": "runs of stochastic descent by each sampling"})
    batch: int = field(default=8, metadata={"help": "samples of a step"})
    learning_rate: float | None = field(
        default=None, metadata={"help": "of the first step; without it, a quarter of what is stable"}
    )
    schedule: Literal["constant", "1/k", "cosine"] = field(default="cosine", metadata={"help": "of learning rates"})
    standardise: bool = field(default=True, metadata={"help": "centre and scale; without it no stochastic descent"})
    truth: str | None = field(default=None, metadata={"help": "Zarr array of the x that b was made from"})
    noise: float | None = field(default=None, metadata={"help": "|b - A truth| over |b|: where to stop"})
    missing: Literal["error", "mask", "impute-mean"] = field(
        default="error", metadata={"help": "NaN and infinity: stop, count as zero, or take the column's mean"}
    )
    allow_missing: bool = field(default=False, metadata={"help": "read absent chunks as the store's fill value"})


def view(A: Matrix, config: StudyConfig) -> Matrix:
    """The matrix as it is; refuses options that cannot be right."""
    check_labels(A, config)
    if config.standardise and (config.truth is not None or config.noise is not None):
        msg = "truth and noise are of A and b as they are: give --no-standardise with them"
        raise ConfigError(msg)
    asked(config)
    return A


def asked(config: StudyConfig) -> Asked:
    """What is asked, checked."""
    c = config
    return checked_study(c.steps, c.epochs, c.seeds, c.batch, c.learning_rate, c.schedule)


def features(A: Matrix, config: StudyConfig) -> Matrix:
    """The columns of A that are not b, centred and scaled as configured."""
    A = unlabelled(A, config)
    return A.centred().scaled().astype(np.float64) if config.standardise else A


def others(A: Matrix, config: StudyConfig) -> dict[str, Matrix]:
    """b, and the truth."""
    found = {"labels": labels(A, config)}
    return found if config.truth is None else found | {"truth": open_column(config.truth)}


def planned(A: Matrix, config: StudyConfig, found: Resources) -> Plan:
    """What it will cost."""
    runs = len(SAMPLINGS) * config.seeds if config.standardise else 0
    machine, y = Machine(found.threads, found.base_bytes), labels(A, config)
    size = sum(matrix.geometry.bytes for matrix in (A, *others(A, config).values()))
    plan = plan_study(Given(features(A, config), y, size), runs, config.epochs, config.steps, machine)
    if config.truth is None:
        return plan
    bytes_read = plan.bytes_read + stored_bytes(open_column(config.truth))
    return replace(plan, bytes_read=bytes_read, passes=bytes_read / max(1, size))


def run(A: Matrix, config: StudyConfig, place: Place) -> Delivered:
    """One read for whole gradients, then runs by samples."""
    X, b = features(A, config), place.others["labels"]
    if config.standardise:
        found = study(X, b, asked(config), place.workspace)
    else:
        known = place.others.get("truth")
        truth = None if known is None else whole(known)
        b = beside(X, b, 1, place.workspace)
        problem, paths = gradients(X, b, config.steps, truth=truth, noise=config.noise)
        found = Study(problem.condition, paths, {}, (), 0.0, 0)
    return Delivered(study_arrays(found), found.certificate, "whole gradients and samples")


def whole(column: Matrix) -> Array:
    """A column in memory; its meter counts the read."""
    column.meter.read(stored_bytes(column))
    return np.asarray(column.source.read(slice(0, column.shape[0]), slice(0, 1))[:, 0])


pipeline = Pipeline(
    name="descent-study",
    summary="Descent on a least-squares problem: measured rates beside theory, samplings, where to stop.",
    config=StudyConfig,
    view=view,
    plan=planned,
    run=run,
    tall={},
    others=others,
    of_memory=(),
    of_disk=(),
)
