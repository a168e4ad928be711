"""The `id` pipeline: columns of a stored matrix from which all others follow, with the exact error."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rnla.algorithms.cur import Choice, checked_choice
from rnla.algorithms.delivery_lines import id_arrays
from rnla.algorithms.interpolative import interpolative
from rnla.algorithms.planning import Plan
from rnla.algorithms.planning_lines import check_plain, plan_lines
from rnla.cluster.resources import Resources
from rnla.jobs.pipelines import Delivered, Pipeline, Place
from rnla.sweeps.matrix import Matrix


@dataclass(frozen=True)
class IdConfig:
    """Options of `id`."""

    k: int | None = field(default=None, metadata={"help": "columns; without it, as many as --tol needs"})
    tol: float | None = field(default=None, metadata={"help": "relative Frobenius error to reach, between 0 and 1"})
    two_sided: bool = field(
        default=False, metadata={"help": "also rows, so that the matrix follows from k x k entries"}
    )
    select: Literal["pivoted", "deim", "leverage", "norm-squared", "uniform"] = field(
        default="pivoted", metadata={"help": "how columns are chosen"}
    )
    passes: int | None = field(default=None, metadata={"help": "reads of the matrix; without it, 3"})
    seed: int = field(default=0, metadata={"help": "seed of the random start and draws"})
    allow_missing: bool = field(default=False, metadata={"help": "read absent chunks as the store's fill value"})


def view(A: Matrix, config: IdConfig) -> Matrix:
    """The matrix as it is; refuses options that cannot be right."""
    check_plain(A)
    choice(A, config)
    return A


def choice(A: Matrix, config: IdConfig) -> Choice:
    """The options as a checked choice."""
    return checked_choice(
        A.shape, config.k, tol=config.tol, select=config.select, passes=config.passes, seed=config.seed
    )


def planned(A: Matrix, config: IdConfig, found: Resources) -> Plan:
    """What it will cost."""
    return plan_lines(
        "id",
        A,
        choice(A, config),
        threads=found.threads,
        base_bytes=found.base_bytes,
        two_sided=config.two_sided,
    )


def run(A: Matrix, config: IdConfig, place: Place) -> Delivered:
    """Sweeps, columns, certificate."""
    found = interpolative(A, choice(A, config), place.workspace, place.checkpoints, two_sided=config.two_sided)
    return Delivered(id_arrays(A, found), found.certificate, config.select)


pipeline = Pipeline(
    name="id",
    summary="Columns of the matrix itself from which all others follow, with the exact error.",
    config=IdConfig,
    view=view,
    plan=planned,
    run=run,
    tall={"C": ("row", "chosen_column"), "X": ("chosen_column", "column"), "W": ("row", "chosen_row")},
)
