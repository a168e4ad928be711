"""`rnla.leverage_scores`: how much the leading subspace stands on each column, as weights of draws."""

from __future__ import annotations

from typing import Any

from rnla.arrays import accumulator_dtype
from rnla.public.factorisation import svd


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
