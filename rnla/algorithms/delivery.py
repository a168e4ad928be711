"""From triplets to the arrays that a user asked for: small ones by name and dimensions, tall ones where they lie."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from rnla.algorithms.planning import Request, checked_request
from rnla.algorithms.results import certificate_arrays
from rnla.algorithms.svd import Triplets
from rnla.arrays import Array
from rnla.checks import share
from rnla.errors import RequestError
from rnla.sweeps.matrix import Matrix

Named = dict[str, tuple[Array, tuple[str, ...]]]


def pca_request(shape: tuple[int, int], k: Any, *, explained: Any = None, tol: Any = None, **options: Any) -> Request:
    """A PCA's request: `explained` is a share of the variance, so a tolerance of sqrt(1 - explained)."""
    if explained is not None:
        if tol is not None:
            msg = "give tol or explained, not both: explained = 1 - tol^2"
            raise RequestError(msg)
        tol = math.sqrt(1.0 - share(explained, "explained", "a share of the variance"))
    found = checked_request(shape, k, tol=tol, **options)
    return replace(found, means=True, scores=True, names=("scores", "components"))


def svd_arrays(found: Triplets) -> Named:
    """The small arrays of an SVD's result."""
    short = {"U": (found.short, ("row", "mode"))} if found.transposed else {"Vt": (found.short, ("mode", "column"))}
    return short | {"s": (found.s, ("mode",))} | certificate_arrays(found.certificate)


def pca_arrays(A: Matrix, found: Triplets) -> Named:
    """The small arrays of a PCA's result."""
    short = (
        {"scores": (found.short, ("row", "mode"))}
        if found.transposed
        else {"components": (found.short, ("mode", "column"))}
    )
    mean, scale = column_statistics(A, found)
    arrays: Named = short | {
        "singular_values": (found.s, ("mode",)),
        "explained_variance": (variances(A, found), ("mode",)),
        "explained_variance_ratio": (found.shares, ("mode",)),
        "mean": (mean, ("column",)),
    }
    if scale is not None:
        arrays["scale"] = (scale, ("column",))
    return arrays | certificate_arrays(found.certificate)


def variances(A: Matrix, found: Triplets) -> Array:
    """s^2 / (m - 1), m the number of samples (divisor 1 for a single sample)."""
    with np.errstate(over="ignore"):  # entries near 1e300 have variances past the range
        return np.asarray(found.s**2 / max(A.shape[0] - 1, 1))


def column_statistics(A: Matrix, found: Triplets) -> tuple[Array, Array | None]:
    """Mean of each column, and what it was divided by (None: nothing), in the data's units: (n,), (n,)."""
    n = A.shape[1]
    if found.transposed:  # the long side: read back what the last sweep wrote, column by column
        mean, spread = np.zeros(n), np.ones(n)
        if found.moments is not None:
            both = np.asarray(found.moments.source.read(slice(0, n), slice(0, 2)))
            mean, spread = both[:, 0], both[:, 1].real
        given = A.transform.centre
        mean = mean if A.centring else (np.zeros(n) if given is None else given)
        weights = np.ones(n) if A.transform.scale is None else A.transform.scale
        scale = (spread if A.scaling else 1.0) * _inverse(weights)
    else:
        mean = np.zeros(n) if found.centre is None else found.centre
        multiplier = np.ones(n) if found.scale is None else found.scale
        scale = _inverse(multiplier)
    return mean, None if np.all(scale == 1.0) else scale


def _inverse(weights: Array) -> Array:
    """1 / weights; infinite where a weight is zero, so that such columns count for nothing."""
    return np.asarray(np.divide(1.0, weights, out=np.full(weights.shape, np.inf), where=weights != 0))
