"""The `cur` pipeline: columns and rows of a stored matrix that stand for all others, with the exact error."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rnla.algorithms.cur import Choice, checked_choice
from rnla.algorithms.cur import cur as crossed
from rnla.algorithms.delivery_lines import cur_arrays
from rnla.algorithms.planning import Plan
from rnla.algorithms.planning_lines import check_plain, plan_lines
from rnla.cluster.resources import Resources
from rnla.jobs.pipelines import Delivered, Pipeline, Place
from rnla.sweeps.matrix import Matrix


@dataclass(frozen=True)
class CurConfig:
    """Options of `cur`."""

    k: int = field(metadata={"help": "rank to compare with; columns and rows, unless said otherwise"})
    columns: int | None = field(default=None, metadata={"help": "how many columns; without it, k"})
    rows: int | None = field(default=None, metadata={"help": "how many rows; without it, k"})
    select: Literal["pivoted", "deim", "leverage", "norm-squared", "uniform"] = field(
        default="pivoted", metadata={"help": "how columns and rows are chosen"}
    )
    middle: Literal["optimal", "cross"] = field(
        default="optimal", metadata={"help": "the matrix between: the best one, or from entries of the matrix alone"}
    )
    passes: int | None = field(default=None, metadata={"help": "reads of the matrix; without it, 3 (cross: 2)"})
    seed: int = field(default=0, metadata={"help": "seed of the random start and draws"})
    compare: bool = field(default=False, metadata={"help": "the errors of all other selectors too, by the same reads"})
    allow_missing: bool = field(default=False, metadata={"help": "read absent chunks as the store's fill value"})


def view(A: Matrix, config: CurConfig) -> Matrix:
    """The matrix as it is; refuses options that cannot be right."""
    check_plain(A)
    choice(A, config)
    return A


def choice(A: Matrix, config: CurConfig) -> Choice:
    """The options as a checked choice."""
    return checked_choice(
        A.shape,
        config.k,
        columns=config.columns,
        rows=config.rows,
        select=config.select,
        middle=config.middle,
        passes=config.passes,
        seed=config.seed,
        compare=config.compare,
    )


def planned(A: Matrix, config: CurConfig, found: Resources) -> Plan:
    """What it will cost."""
    return plan_lines("cur", A, choice(A, config), threads=found.threads, base_bytes=found.base_bytes)


def run(A: Matrix, config: CurConfig, place: Place) -> Delivered:
    """Sweeps, columns, rows, certificate."""
    found = crossed(A, choice(A, config), place.workspace, place.checkpoints)
    return Delivered(cur_arrays(A, found), found.certificate, f"{config.select}, {config.middle}")


pipeline = Pipeline(
    name="cur",
    summary="Columns and rows of the matrix itself that stand for all others, with the exact error.",
    config=CurConfig,
    view=view,
    plan=planned,
    run=run,
    tall={"C": ("row", "chosen_column"), "R": ("chosen_row", "column")},
)
