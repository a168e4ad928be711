"""Weights of columns and rows, and draws by them: norms, leverage scores, draws."""

from __future__ import annotations

import os
from dataclasses import replace
from time import perf_counter
from typing import Any, cast

import numpy as np

from rnla.algorithms.draws import Draws, checked_count, checked_weights, drawn
from rnla.algorithms.forecasts import plan_norms
from rnla.algorithms.norms import Norms, check_keepable, exact
from rnla.algorithms.norms import norms as swept_norms
from rnla.algorithms.planning import checked_request, oriented
from rnla.arrays import accumulator_dtype
from rnla.checks import flag, integer
from rnla.cluster.resources import resources
from rnla.errors import RequestError
from rnla.jobs.pipelines import given
from rnla.jobs.running import cost_of, run_job
from rnla.public.factorisation import svd
from rnla.public.loading import load
from rnla.public.ready import machine, ready, refuse
from rnla.temporaries import desk


def norms(
    A: Any,
    *,
    keep: bool = False,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    memory_bytes: int | None = None,
) -> Norms:
    """Squared norms of the columns (n,) and rows (m,), and the Frobenius norm, in one read.

    The vector along the longer side of a stored matrix is a Dask array over a temporary folder. Of integers below 2^32
    in modulus, stored and not changed by a view, every norm is exact, rounded to float64 once.

    Parameters
    ----------
    A : Matrix, or anything that `rnla.open` takes
        m x n, real or complex.
    keep : bool
        Keep the norms beside the store, as `rnla-norms.npz` and pieces of 8 MB, bound to name, size and time of every
        chunk, and to its manifest where it has one (`rnla fingerprint`): this and other jobs then take them from there
        without a read, until the store changes. Only for stored matrices as they are.
    out, overwrite, memory_bytes
        As for `rnla.svd`.

    Raises
    ------
    RequestError
        `keep` of a view, or of data that is not stored; nothing was read.
    DoesNotFitError
        The plan exceeds the memory; nothing was read.
    OutputError
        The store, or `out`, cannot be written.
    IntegrityError
        The store was written to while its norms were computed; nothing is kept.
    OverflowedError
        Squares that float64 cannot hold: entries beyond 1e154 or, all of them, below 1e-154.

    Examples
    --------
    >>> import numpy, rnla
    >>> rnla.norms(numpy.array([[3.0, 0.0], [4.0, 1.0]])).columns
    array([25.,  1.])
    """
    matrix = ready(A)
    checked_request(matrix.shape, 1)
    if flag(keep, "keep"):
        check_keepable(matrix)
    if out is not None:
        run_job("column-norms", matrix, out, given(keep=keep), overwrite=overwrite, memory_bytes=memory_bytes)
        return replace(cast("Norms", load(out)), labels=matrix.labels)
    view, transposed = oriented(matrix)
    found = resources(matrix.swept_by, memory_bytes)
    refuse(plan_norms(matrix, machine(found)), found)
    room, clock = desk(matrix), perf_counter()
    sides = swept_norms(view, room.workspace, keep=bool(keep))
    long = room.lazy(sides.along)
    flat = long.reshape(-1) if isinstance(long, np.ndarray) else long[:, 0]
    columns, rows = (flat, sides.across) if transposed else (sides.across, flat)
    cost = cost_of(matrix, perf_counter() - clock)
    return Norms(columns, rows, sides.frobenius, cost, exact(view), labels=matrix.labels)


def leverage_scores(A: Any, k: int, *, passes: int = 4, seed: int = 0, memory_bytes: int | None = None) -> Any:
    """Leverage scores of the columns of A in its leading k right singular vectors, sum_i |Vt[i, j]|^2: (m, n) -> (n,).

    Those of rows are `leverage_scores(A.T, k)`. Scores lie between 0 and 1 and add up to k. They are weights for
    `rnla.draws` and `rnla.sampled_product`: columns that the leading subspace stands on are drawn more often, however
    long they are.

    Parameters
    ----------
    A : Matrix, or anything that `rnla.open` takes
        m x n, real or complex.
    k : int
        Dimension of the subspace, 1..min(m, n). Directions that cannot be told from rounding (beyond the rank of A) are
        left out, and the sum is then less.
    passes, seed, memory_bytes
        As for `rnla.svd`, which is what this costs: `passes` reads of A.

    Returns
    -------
    array of length n
        numpy, float64; a Dask array when A is stored and wide.

    Raises
    ------
    RequestError, RankError, DoesNotFitError, IntegrityError, NonFiniteError
        As for `rnla.svd`.

    Notes
    -----
    Mahoney and Drineas (2009). Scores are as right as the singular vectors: well determined where sigma_k and
    sigma_(k+1) differ, arbitrary within a group of equal singular values that k cuts in two.

    Examples
    --------
    >>> import numpy, rnla
    >>> rnla.leverage_scores(numpy.diag([3.0, 2.0, 1.0]), 2)
    array([1., 1., 0.])
    """
    found = svd(A, k, passes=passes, seed=seed, memory_bytes=memory_bytes)
    there = found.s > found.certificate.rounding_floor
    return (abs(found.Vt[there].astype(accumulator_dtype(found.Vt.dtype))) ** 2).sum(axis=0)


def draws(weights: Any, count: int, *, replace: bool = True, seed: int = 0) -> Draws:
    """`count` indices drawn by weights (N,), and the sampling matrix S (N, u): E[(A S)(S^T B)] = A B.

    Parameters
    ----------
    weights : array of N numbers, none negative
        numpy, or a Dask array (beyond two million read in strips, three times): `rnla.norms(A).columns`,
        `rnla.leverage_scores(A, k)`, ones. What has weight zero is never drawn.
    count : int
        Draws, 1 to 2^53; memory follows the different indices that are drawn.
    replace : bool
        Draw each index as often as it comes, with probability w_j / sum w; or none twice, by priority sampling, where
        large weights are certain to be drawn.
    seed : int
        Fixes the draw.

    Returns
    -------
    Draws
        `indices` (in order, each once), `counts`, `probabilities`, `scales`, and `matrix`, S as scipy.sparse.

    Raises
    ------
    RequestError
        Weights that are negative, not finite, or all zero; count < 1.

    Examples
    --------
    >>> import rnla
    >>> rnla.draws([0.0, 1.0, 0.0, 2.0], 5).indices
    array([1, 3])
    """
    found = drawn(
        checked_weights(weights), checked_count(count), replace=flag(replace, "replace"), seed=integer(seed, "seed")
    )
    if not found.indices.size:
        msg = "all weights are zero: there is nothing to draw"
        raise RequestError(msg)
    return found
