"""Open a matrix, plan, factor and certify.

The functions use the active distributed.Client when there is one, otherwise the threads of this process.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, cast

import numpy as np

from rnla.algorithms.certify import certify as certified
from rnla.algorithms.delivery import column_statistics, pca_request, variances
from rnla.algorithms.planning import Plan, Request, checked_request, oriented
from rnla.algorithms.planning import plan as planned
from rnla.algorithms.results import PCA, SVD, Certificate, Cost
from rnla.algorithms.svd import Triplets, factorise
from rnla.arrays import Array, accumulator_dtype
from rnla.checks import array_of_numbers, flag, integer
from rnla.cluster.resources import refuse_if_too_large, resources
from rnla.errors import ConfigError, RequestError
from rnla.jobs.pipelines import given
from rnla.jobs.running import CURE, cost_of, run_job
from rnla.kernels.sparse import densified
from rnla.opening import open_matrix
from rnla.public.loading import dasked, load
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.meters import Meter
from rnla.sweeps.runners import current
from rnla.temporaries import Desk, desk

open = open_matrix  # noqa: A001 - the public name

FUNCTIONS = {  # that run a pipeline of another name
    "interpolative": "id",
    "norms": "column-norms",
    "sampled_product": "sampled-product",
    "similar_columns": "similarity",
}


def svd(  # noqa: PLR0913 - options are keywords
    A: Any,
    k: int | None = None,
    *,
    passes: int = 4,
    tol: float | None = None,
    oversample: int = 10,
    seed: int = 0,
    method: str = "auto",
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    memory_bytes: int | None = None,
) -> SVD:
    """A ~ U diag(s) Vt of rank k: (m, n) -> (m, k), (k,), (k, n), with a certificate.

    Parameters
    ----------
    A : Matrix, or anything that `rnla.open` takes
        m x n, real or complex.
    k : int, optional
        Rank, 1..min(m, n). Without it, the smallest rank that reaches `tol`.
    passes : int
        Reads of A, at most (1: merge and truncate; 2: quick; 4: the default). What a job will really make is in its
        plan: views that need their means first, and stores whose strips do not fit, make more.
    tol : float, optional
        Relative Frobenius error ||A - U diag(s) Vt||_F / ||A||_F to reach; sweeps stop as soon as it is. Whether it was
        reached is `certificate.met`.
    oversample : int
        Columns of a block beyond k.
    seed : int
        Fixes every random number; the same store and seed give the same bits on any cluster.
    method : {"auto", "krylov", "subspace", "gram", "merge"}
        `plan` says what auto chooses and why.
    out : path, optional
        Where to publish the result as a Zarr group (with checkpoints on the way); otherwise tall factors lie in a
        temporary folder that goes when nothing refers to them any more.
    overwrite : bool
        Replace a result of rnla's at `out`.
    memory_bytes : int, optional
        What one worker process may hold; a plan that needs more is refused before anything is read.

    Returns
    -------
    SVD
        `U` is a Dask array; `Vt` a numpy array, or a Dask array when A is stored and wide. The entry of largest
        modulus in each right vector is positive.

    Raises
    ------
    RequestError, RankError
        A request that cannot be right; nothing was read.
    DoesNotFitError
        The plan exceeds the memory; nothing was read.
    IntegrityError, NonFiniteError
        What is wrong with the data, and where.

    Notes
    -----
    Block Krylov iteration after Musco and Musco (2015), fused so that each step is one read; see docs/certificate.md
    for what is guaranteed.

    Examples
    --------
    >>> import numpy, rnla
    >>> rnla.svd(numpy.diag([3.0, 2.0, 1.0]), 2).s
    array([3., 2.])
    """
    matrix = open_matrix(A)
    options = {"passes": passes, "tol": tol, "oversample": oversample, "seed": seed, "method": method}
    request = checked_request(matrix.shape, k, **options)
    if out is not None:
        run_job("svd", matrix, out, given(**options, k=k), overwrite=overwrite, memory_bytes=memory_bytes)
        return replace(cast("SVD", _expected(load(out), SVD)), labels=matrix.labels)
    done = _factorised("svd", matrix, request, memory_bytes)
    U, Vt = done.left(), done.right()
    return SVD(U, done.found.s, Vt, done.found.certificate, done.cost, done.found.method, labels=matrix.labels)


def pca(  # noqa: PLR0913 - options are keywords
    A: Any,
    k: int | None = None,
    *,
    scale: bool = False,
    passes: int = 4,
    tol: float | None = None,
    explained: float | None = None,
    oversample: int = 10,
    seed: int = 0,
    method: str = "auto",
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    memory_bytes: int | None = None,
) -> PCA:
    """Principal components of the rows of A, with a certificate: the SVD of A - 1 mean^T, for the reads of an SVD.

    The mean and total variance are exact and come out of the first read. A view that is centred already is taken as it
    is, with its scaling and weights. Parameters are those of `svd`, and

    Parameters
    ----------
    scale : bool
        Divide each column by its standard deviation (divisor m; constant columns by 1).
    explained : float, optional
        Share of the variance to explain, such as 0.9, in place of `tol` = sqrt(1 - explained).

    Returns
    -------
    PCA
        `scores` is a Dask array (m, k); variances have the divisor m - 1.

    Examples
    --------
    >>> import numpy, rnla
    >>> rnla.pca(numpy.array([[1.0, 5.0], [3.0, 5.0]]), 1).explained_variance
    array([2.])
    """
    matrix = open_matrix(A)
    options = {"passes": passes, "tol": tol, "oversample": oversample, "seed": seed, "method": method}
    request = pca_request(matrix.shape, k, explained=explained, **options)
    scale = flag(scale, "scale")
    if out is not None:
        share = None if explained is None else float(explained)
        wanted = given(**options, k=k, explained=share, scale=scale)
        run_job("pca", matrix, out, wanted, overwrite=overwrite, memory_bytes=memory_bytes)
        return replace(cast("PCA", _expected(load(out), PCA)), labels=matrix.labels)
    view = matrix.standardised(scale=scale)
    done = _factorised("pca", view, request, memory_bytes)
    found = done.found
    mean, spread = column_statistics(done.matrix, found)
    return PCA(
        done.left(),
        done.right(),
        variances(view, found),
        found.shares,
        mean,
        found.s,
        found.certificate,
        done.cost,
        spread,
        found.method,
        labels=matrix.labels,
    )


def plan(pipeline: str, A: Any, k: int | None = None, *, memory_bytes: int | None = None, **options: Any) -> Plan:
    """What a job will cost: passes, bytes, flops, tasks, memory and the method chosen; only metadata is read.

    Parameters
    ----------
    pipeline : str
        "svd", "pca", or any installed pipeline; a function that runs one may be named in its place, "norms" or
        "similar_columns".
    A : Matrix, or anything that `rnla.open` takes
    k, options
        As for the pipeline itself.
    memory_bytes : int, optional
        As for the pipeline; the plan tells what is needed, and is not refused for it.

    Raises
    ------
    ConfigError
        No such pipeline or option, with the nearest spelling.
    RequestError, RankError, UnsupportedError
        A request that cannot be right.
    StoreError
        The store cannot be opened.

    Examples
    --------
    >>> import numpy, rnla
    >>> rnla.plan("svd", numpy.eye(2000), k=5).passes
    4
    """
    from rnla.jobs.running import plan_job

    matrix = open_matrix(A)
    return plan_job(FUNCTIONS.get(str(pipeline), pipeline), matrix, given(**options, k=k), memory_bytes=memory_bytes)


def certify(A: Any, U: Any, s: Any, Vt: Any, *, seed: int = 0) -> Certificate:
    """The certificate of a factorisation A ~ U diag(s) Vt that another tool made; one read of A.

    Parameters
    ----------
    A : Matrix, or anything that `rnla.open` takes
        m x n; a view (centred, scaled, weighted) if that is what was factored.
    U, s, Vt : arrays of shape (m, k), (k,), (k, n)
        U and Vt may be numpy or Dask arrays or Zarr stores.
    seed : int
        Seed of the probes, which must not be known to whoever made U and Vt.
    """
    matrix = open_matrix(A)
    values = array_of_numbers(s, "s")
    if values.dtype.kind == "c":
        msg = "s is complex: singular values are real numbers, so put their phases into U or Vt"
        raise RequestError(msg)
    left, right = open_matrix(U), open_matrix(Vt)
    if (
        values.ndim != 1
        or left.shape != (matrix.shape[0], values.size)
        or right.shape != (values.size, matrix.shape[1])
    ):
        msg = (
            f"U {left.shape}, s {values.shape} and Vt {right.shape} do not factor a matrix of shape {matrix.shape}: "
            "they must be (m, k), (k,) and (k, n)"
        )
        raise RequestError(msg)
    if values.size == 0:
        msg = "there is nothing to certify: s has no values"
        raise RequestError(msg)
    if "c" in {left.dtype.kind, right.dtype.kind}:  # their imaginary parts are part of the error
        matrix = matrix.astype(np.complex128)
    view, transposed = oriented(matrix)
    tall, short = (right.T, left.T) if transposed else (left, right)
    everything = densified(short.source.read(slice(0, short.shape[0]), slice(0, short.shape[1])))
    wide = accumulator_dtype(matrix.dtype)
    return certified(view, _Readable(tall), values.astype(np.float64), everything.astype(wide), integer(seed, "seed"))


def _expected(result: Any, kind: Any) -> Any:
    if not isinstance(result, kind):
        msg = f"the result there is a {type(result).__name__}"
        raise ConfigError(msg)
    return result


@dataclass(frozen=True)
class _Readable:
    """A matrix in the place of a tall one; only read."""

    matrix: Matrix

    @property
    def shape(self) -> tuple[int, int]:
        return self.matrix.shape

    @property
    def source(self) -> Any:
        return self.matrix.source

    def write(self, rows: slice, block: Array) -> None:
        raise AssertionError


@dataclass(frozen=True)
class _Done:
    """A factorisation that was made without `out`."""

    matrix: Matrix
    found: Triplets
    cost: Cost
    desk: Desk

    def left(self) -> Any:
        """U or scores, as a Dask array."""
        return dasked(self.found.short if self.found.transposed else self.desk.lazy(self.found.tall))

    def right(self) -> Any:
        """Vt or components: numpy, or a Dask array when it is the stored side."""
        return self.desk.lazy(self.found.tall).T if self.found.transposed else self.found.short


def _factorised(name: str, A: Matrix, request: Request, memory_bytes: int | None) -> _Done:
    A = replace(A, runner=current(A.runner))  # one runner for all sweeps
    found = resources(A.swept_by, memory_bytes)
    cost_plan = planned(name, A, request, threads=found.threads, base_bytes=found.base_bytes)
    refuse_if_too_large(cost_plan.peak_bytes, found, CURE)
    metered = replace(A, meter=Meter())
    room = desk(A)
    clock = perf_counter()
    triplets = factorise(metered, request, room.workspace)
    return _Done(metered, triplets, cost_of(metered, perf_counter() - clock), room)
