"""Targets of a job: an array of their own, or a column of the matrix."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np

from rnla.errors import ConfigError, RequestError
from rnla.opening import open_column
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.source import refuse_across
from rnla.sweeps.transform import Transform


class Labelled(Protocol):
    """Options that say where targets are."""

    @property
    def labels(self) -> str | None:
        """Place of an array."""

    @property
    def label_column(self) -> int | None:
        """Or a column of the matrix."""

    @property
    def allow_missing(self) -> bool:
        """Whether absent chunks are read as the fill value."""


def check_labels(A: Matrix, config: Labelled) -> None:
    """Refuses targets that are given twice, or not at all, or are a column that is not there; and no rows at all."""
    check_rows(A)
    refuse_both(config)
    if config.labels is None and config.label_column is None:
        msg = "give labels, the place of the targets, or label_column, the column of the matrix that holds them"
        raise ConfigError(msg)
    check_column(A, config)


def refuse_both(config: Labelled) -> None:
    """ConfigError for targets that are given twice."""
    if config.labels is not None and config.label_column is not None:
        msg = f"labels={config.labels!r} and label_column={config.label_column} are both given: leave one of them out"
        raise ConfigError(msg)


def check_rows(A: Matrix) -> None:
    """RequestError for a matrix without rows, UnsupportedError for one whose rows cannot be read by themselves."""
    refuse_across(A.source)
    if A.shape[0] == 0:
        msg = f"the matrix is of shape 0 x {A.shape[1]}: it has no rows"
        raise RequestError(msg)


def check_column(A: Matrix, config: Labelled) -> None:
    """RequestError for a column of targets that is not there."""
    if config.label_column is not None and not 0 <= config.label_column < A.shape[1]:
        msg = f"label_column={config.label_column} must lie in 0..{A.shape[1] - 1}"
        raise RequestError(msg)


def unlabelled(A: Matrix, config: Labelled) -> Matrix:
    """The columns that are no target."""
    if config.label_column is None:
        return A
    return A.subset(columns=np.delete(np.arange(A.shape[1]), config.label_column))


def labels(A: Matrix, config: Labelled) -> Matrix:
    """The targets."""
    if config.labels is None:
        return replace(A.subset(columns=[config.label_column]), transform=Transform())  # gaps in them are none of A's
    return open_column(config.labels, allow_missing=config.allow_missing)
