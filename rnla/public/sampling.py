"""The public functions that take samples: sampled products, similar columns, sketches.

They use the active distributed.Client when there is one, otherwise the threads of this process.
"""

from __future__ import annotations

import os
from dataclasses import replace
from time import perf_counter
from typing import Any, cast

from rnla.algorithms.forecasts import plan_product, plan_similarity, plan_sketch
from rnla.algorithms.inner import twins
from rnla.algorithms.sampled_product import SampledProduct, certified
from rnla.algorithms.sampling import Sampling, checked_sampling, sampled
from rnla.algorithms.similarity import Similar, checked_search, similar
from rnla.algorithms.sketching import Sketched, checked_sketch, sketched
from rnla.checks import integer
from rnla.cluster.resources import resources
from rnla.errors import RequestError
from rnla.jobs.pipelines import given
from rnla.jobs.running import cost_of, run_job
from rnla.public.loading import dasked, load
from rnla.public.ready import machine, ready, refuse
from rnla.sweeps.matrix import Matrix
from rnla.temporaries import desk


def sampled_product(  # noqa: PLR0913 - options are keywords
    A: Any,
    B: Any,
    draws: int | str,
    *,
    replace: bool = True,
    seed: int = 0,
    weights: Any = "product",
    tol: float | None = None,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    memory_bytes: int | None = None,
) -> SampledProduct:
    """A B ~ (A S)(S^T B), S drawing columns of A and rows of B: (m, N), (N, p) -> (m, p), with its expected error.

    Parameters
    ----------
    A, B : Matrix, or anything that `rnla.open` takes
        m x N and N x p; B may be A.T, and is then read together with it.
    draws : int or "auto"
        Number of draws s, 1 or more; "auto": as many as `tol` needs if the 20 probes of the norm of A B overestimate it
        as they do once in 40 times (about twice `needed`, more where A B is nearly of rank one), at most 8192; every
        term once where that is no more.
    replace : bool
        With replacement; or by priority sampling, which takes each term at most once, and all of them exactly when
        there are no more than s.
    seed : int
        Fixes the draw and the probes.
    weights : {"product", "norm-squared", "uniform"} or array of length N
        |a_j||b_j|, the best there is; |a_j|^2; the same for all that are not zero; or any others, such as
        `rnla.leverage_scores(A, k)`, positive where |a_j||b_j| is.
    tol : float, optional
        Expected relative error to reach, (E||A B - value||_F^2)^1/2 / ||A B||_F.
    out : path, optional
        Where to publish the result as a Zarr group; otherwise the value lies in a temporary folder. B must then be in
        a store, as it is there or transposed, or be A.T: the record names it, so that the job can be run again.
    overwrite : bool
        Replace a result of rnla's at `out`.
    memory_bytes : int, optional
        What one worker process may hold; a plan that needs more is refused before anything is read.

    Returns
    -------
    SampledProduct
        `value` is a Dask array over `out`, or over a temporary folder; `entries` gives intervals of single entries.

    Raises
    ------
    RequestError
        A request that cannot be right; nothing was read.
    DoesNotFitError
        The plan exceeds the memory; nothing was read.

    Notes
    -----
    The value is right on average, and E||A B - value||_F^2 = (sum_j |a_j|^2 |b_j|^2 / p_j - ||A B||_F^2) / s, with
    product weights ((sum |a_j||b_j|)^2 - ||A B||_F^2) / s (Drineas, Kannan and Mahoney 2006). The sums are exact and
    ||A B||_F is estimated by 20 Gaussian probes that come with the first read. It helps when few terms are large: where
    all are alike, as for standardised genotypes, it is no better than drawing uniformly. Passes: 1, and 1 more over the
    chunks that hold drawn columns and rows; none for the norms if `rnla.norms(..., keep=True)` left them beside both
    stores and `draws` is a number (||A B||_F then follows from the value).

    Examples
    --------
    >>> import numpy, rnla
    >>> product = rnla.sampled_product(numpy.eye(3)[:, :1], numpy.ones((1, 2)), 4)
    >>> product.value.compute()
    array([[1., 1.],
           [0., 0.],
           [0., 0.]])
    """
    left, right = ready(A), ready(B)
    request = checked_sampling(left.shape, right.shape, draws, tol=tol, weights=weights, replace=replace, seed=seed)
    if out is not None:
        options = _job_options(left, right, request)
        run_job("sampled-product", left, out, options, overwrite=overwrite, memory_bytes=memory_bytes)
        return cast("SampledProduct", load(out))
    right = _sharing(right, left)
    held = left if left.swept_by.threads >= right.swept_by.threads else right
    found = resources(held.swept_by, memory_bytes)
    plan = plan_product(left, right, request, machine(found))
    refuse(plan, found)
    room, clock = desk(left, right, value_bytes=plan.output_bytes), perf_counter()
    done = sampled(left, right, request, room.workspace)
    return SampledProduct(
        dasked(room.lazy(done.value)),
        done.draws,
        certified(done.estimates, done.draws, request.tolerance, done.needed),
        cost_of(left, perf_counter() - clock, *(() if twins(left, right) else (right,))),
        dasked(room.lazy(done.left)),
        dasked(room.lazy(done.right)),
    )


def similar_columns(
    A: Any,
    threshold: float,
    *,
    failure: float = 1e-6,
    method: str = "auto",
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    memory_bytes: int | None = None,
) -> Similar:
    """Pairs of columns of A whose cosine is at least `threshold`, with their exact cosines, the most similar first.

    Parameters
    ----------
    A : Matrix, or anything that `rnla.open` takes
        m x n, real.
    threshold : float
        Cosine, between 0 and 1.
    failure : float
        Chance at most that a given pair with a cosine of the threshold is missed, of many columns.
    method : {"auto", "gram", "sketch"}
        A^T A in one read, up to 2048 columns; or a Gaussian sketch that finds candidates and a second read, of the
        chunks that hold them.
    seed : int
        Fixes the sketch.
    out, overwrite, memory_bytes
        As for `rnla.svd`.

    Returns
    -------
    Similar
        `first` < `second` and `cosine` of each pair. Zero columns are similar to nothing.

    Raises
    ------
    RequestError
        A threshold outside 0..1, or too small for a sketch; nothing was read. Or one so low that more than 5,000,000
        pairs may reach it.
    UnsupportedError
        Complex data, or `method="gram"` of a matrix that cannot be read by whole rows; nothing was read.
    DoesNotFitError
        The plan exceeds the memory; nothing was read.
    NonFiniteError
        NaN or infinity in the data.

    Notes
    -----
    Passes: 1 with A^T A, 2 at most with a sketch; 1 more each for means that are not known and for data whose squares
    leave the range of its precision. Comparing n sketches of l rows takes n^2 l flops of this process: see
    docs/sampling.md. Memory: `rnla.plan("similar_columns", A, threshold=...)`, with room for all pairs there can be.

    Spark's columnSimilarities (DIMSUM) samples entries and gives estimates of cosines; here cosines are exact, and only
    which pairs are found is random.

    Examples
    --------
    >>> import numpy, rnla
    >>> found = rnla.similar_columns(numpy.array([[1.0, 2.0, 0.0], [0.0, 0.0, 1.0]]), 0.9)
    >>> found.first, found.second, found.cosine
    (array([0]), array([1]), array([1.]))
    """
    matrix = ready(A)
    search = checked_search(matrix, threshold, failure=failure, method=method, seed=integer(seed, "seed"))
    if out is not None:
        options = given(threshold=search.threshold, failure=failure, method=method, seed=search.seed)
        run_job("similarity", matrix, out, options, overwrite=overwrite, memory_bytes=memory_bytes)
        return replace(cast("Similar", load(out)), labels=matrix.labels)
    found = resources(matrix.swept_by, memory_bytes)
    refuse(plan_similarity(matrix, search, machine(found)), found)
    room, clock = desk(matrix), perf_counter()
    pairs = similar(matrix, search, room.workspace)
    cost = cost_of(matrix, perf_counter() - clock)
    return Similar(
        pairs.first, pairs.second, pairs.cosine, search.threshold, pairs.missed, cost, matrix.labels, pairs.rows
    )


def sketch(A: Any, l: int, *, kind: str = "auto", seed: int = 0) -> Sketched:
    """S A for a random S with E[S^T S] = I: (m, n) -> (l, n), in one read.

    Parameters
    ----------
    A : Matrix, or anything that `rnla.open` takes
        m x n, real or complex.
    l : int
        Rows of the sketch, 1..m.
    kind : {"auto", "gaussian", "sparse-sign", "countsketch", "srht"}
        What S is; "auto" takes the one that is multiplied faster, Gaussian or sparse sign.
    seed : int
        Fixes S, whatever the chunks.

    Returns
    -------
    Sketched
        `value`, numpy, or a Dask array when A is stored and wide; `S`, whose `transpose()` is S^T.

    Raises
    ------
    RequestError
        `l` outside 1..m, an unknown kind; nothing was read.
    DoesNotFitError
        The memory needed exceeds what there is; nothing was read.
    NonFiniteError
        NaN or infinity in the data.
    OverflowedError
        Entries so large that sums of them may leave the range of the precision (from about 1e35 in float32).

    Notes
    -----
    Passes: 1, and 1 more for means that are not known. Each thread holds a panel or two of the store and partial sums
    of l x n numbers, at most 9 of which wait to be joined; a wide matrix is swept by its columns, and its sketch is
    written strip by strip. That bound is checked before the first read; there is no pipeline, so no `rnla.plan`.

    Sparse sign: the block form of OSNAP (Nelson and Nguyen 2013), 8 nonzeros in a column; CountSketch: Charikar, Chen
    and Farach-Colton 2002; SRHT: Tropp 2011.

    Examples
    --------
    >>> import numpy, rnla
    >>> rnla.sketch(numpy.ones((50, 3)), 5).value.shape
    (5, 3)
    """
    matrix = ready(A)
    S = checked_sketch(matrix, l, kind, seed)
    found = resources(matrix.swept_by)
    refuse(plan_sketch(matrix, S, machine(found)), found)
    room, clock = desk(matrix), perf_counter()
    value, turned = sketched(matrix, S, room.workspace)
    shown = room.lazy(value).T if turned else value  # type: ignore[arg-type]
    return Sketched(shown, S, cost_of(matrix, perf_counter() - clock))


def _job_options(A: Matrix, B: Matrix, request: Sampling) -> dict[str, Any]:
    """The request as options of the pipeline, which names B by its place."""
    if request.given is not None:
        msg = "out=: weights of your own cannot be part of a job's record; give weights by name, or leave out= out"
        raise RequestError(msg)
    options = given(
        draws=request.draws,
        tol=request.tolerance,
        weights=request.weights,
        seed=request.seed,
        replace=request.replace,
    )
    if twins(A, B):
        return options
    identity, plain = B.source.identity, B.transform.trivial and B.settled and not B.own_means
    missing = getattr(B.source, "allow_missing", False), getattr(A.source, "allow_missing", False)
    if not {"url", "transposed"} <= set(identity) or not plain or missing[0] != missing[1]:
        msg = (
            "out=: the record of the job names B by its place, so B must be a store as it is, or transposed, opened "
            "with the same allow_missing as A; store it first (B.to_dask().to_zarr(...)), or leave out= out"
        )
        raise RequestError(msg)
    return options | {"right": identity["url"], "right_transposed": identity["transposed"]}


def _sharing(B: Matrix, A: Matrix) -> Matrix:
    return replace(B, meter=A.meter)
