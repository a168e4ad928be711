"""How right predictions are: scikit-learn's accuracy and R^2, strip by strip, for targets and weights in any store."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from rnla.algorithms.targets import Patient, strips, targets_of
from rnla.arrays import Array
from rnla.errors import RequestError
from rnla.opening import open_column, open_matrix
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.source import Resident, Source


class Known(NamedTuple):
    """What predictions are compared with."""

    y: Source  # (m, c)
    weights: Source | None  # (m, 1); None: all one

    def strips(self) -> Iterator[tuple[slice, Array, Array]]:
        """Ranges of rows, their targets and their weights."""
        for rows, block in strips(self.y):
            if self.weights is None:
                yield rows, block, np.ones(len(block))
                continue
            w = Patient(self.weights).read(rows, slice(0, 1))[:, 0]
            if w.dtype.kind not in "buif" or not (np.isfinite(w) & (w >= 0)).all():
                msg = (
                    f"sample_weight of rows {rows.start}..{rows.stop - 1}: weights must be finite numbers, none below 0"
                )
                raise RequestError(msg)
            yield rows, block, w.astype(np.float64)


def known(X: Any, width: int, y: Any, weights: Any = None) -> Known:
    """Targets and weights for the samples of X, as many as those, with so many columns; X is not read."""
    m, given = rows_of(X), source_of(y)
    if given.shape[0] != m:
        msg = f"X has {m:,} rows and y {given.shape[0]:,}: give one target for each sample"
        raise RequestError(msg)
    if given.shape[1] != width:
        msg = f"y has {given.shape[1]} columns, and this model gives {width} for each sample"
        raise RequestError(msg)
    if m == 0:
        msg = "X has no rows: there is nothing to score"
        raise RequestError(msg)
    if weights is None:
        return Known(given, None)
    found = source_of(weights)
    if found.shape != (m, 1):
        told = f"{found.shape[0]:,} rows" if found.shape[1] == 1 else f"shape {found.shape}"
        msg = f"sample_weight has {told} and y {m:,}: give one weight for each sample"
        raise RequestError(msg)
    return Known(given, found)


def accuracy(predicted: Any, given: Known) -> float:
    """Weighted share of the labels that are as predicted, (m,) numpy or Dask; one read of each."""
    right, total = [], []
    for rows, labels, w in given.strips():
        right.append(float(w @ (np.asarray(predicted[rows]) == labels[:, 0])))
        total.append(float(w.sum()))
    return math.fsum(right) / positive(math.fsum(total))


def determination(predicted: Any, given: Known) -> float:
    """R^2 = 1 - sum w (y - F)^2 / sum w (y - mean)^2 of each column, and their mean; F is read once, y twice.

    As scikit-learn has it: a constant column counts 1 where F is exact, else 0; one sample gives NaN and a warning.
    """
    m, width = given.y.shape
    if m < 2:
        from sklearn.exceptions import UndefinedMetricWarning

        warnings.warn("R^2 of less than two samples is not defined", UndefinedMetricWarning, stacklevel=3)
        return math.nan
    mean, left, around = mean_of(given), np.zeros(width), np.zeros(width)
    for rows, block, w in given.strips():
        values = block.astype(np.float64)
        left += w @ (values - np.asarray(predicted[rows]).reshape(values.shape)) ** 2
        around += w @ (values - mean) ** 2
    found = np.where(left > 0, 0.0, 1.0)
    np.divide(around - left, around, out=found, where=(left > 0) & (around > 0))
    return float(found.mean())


def mean_of(given: Known) -> Array:
    """Weighted mean of targets; of a constant column it is that constant, exactly: (c,)."""
    first = Patient(given.y).read(slice(0, 1), slice(0, given.y.shape[1]))[0].astype(np.float64)
    total, shift = 0.0, np.zeros(first.size)
    for _, block, w in given.strips():
        total += float(w.sum())
        shift += w @ (block.astype(np.float64) - first)
    return np.asarray(first + shift / positive(total))


def positive(total: float) -> float:
    """The sum of the weights, which is divided by."""
    if total > 0:
        return total
    msg = "the weights of all samples are 0: give a sample_weight with a sum above 0"
    raise RequestError(msg)


def rows_of(X: Any) -> int:
    """How many samples there are; nothing is read but metadata."""
    if not in_memory(X):
        return open_matrix(X).shape[0]
    return int(X.shape[0]) if hasattr(X, "shape") else len(X)


def source_of(y: Any) -> Source:
    """Where targets are read: what is in memory as it is, labels of any type among it: (m, c)."""
    if not in_memory(y):
        return targets_of(open_column(y))
    found = np.asarray(dense(y))
    if found.ndim not in {1, 2}:
        msg = f"an array of shape {found.shape} is neither one value nor one row of values for each sample"
        raise RequestError(msg)
    return Resident(found[:, None] if found.ndim == 1 else found)


def dense(y: Any) -> Any:
    """Targets in memory, sparse ones as an array (one column as a vector), others as they are."""
    if not scipy.sparse.issparse(y):
        return y
    found = y.toarray()
    return found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found


def in_memory(X: Any) -> bool:
    """Whether this is what scikit-learn's checks are for, not a place or a lazy array."""
    module = type(X).__module__.split(".")[0]
    return not isinstance(X, str | os.PathLike | Matrix) and module not in {"zarr", "dask", "xarray"}
