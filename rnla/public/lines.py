"""`rnla.cur` and `rnla.interpolative`: a matrix by columns and rows of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import Any, TypeVar, cast

import numpy as np

from rnla.algorithms.cur import Choice, checked_choice
from rnla.algorithms.cur import cur as crossed
from rnla.algorithms.interpolative import interpolative as interpolated
from rnla.algorithms.lines import CUR, ID
from rnla.algorithms.planning_lines import plan_lines
from rnla.algorithms.results import Cost
from rnla.checks import flag
from rnla.cluster.resources import refuse_if_too_large, resources
from rnla.jobs.pipelines import given
from rnla.jobs.running import CURE, cost_of, run_job
from rnla.opening import open_matrix
from rnla.public.loading import as_stored, load
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.meters import Meter
from rnla.sweeps.runners import current
from rnla.sweeps.source import holds_sparse
from rnla.temporaries import Desk, desk

T = TypeVar("T")


def cur(  # noqa: PLR0913 - options are keywords
    A: Any,
    k: int,
    *,
    columns: int | None = None,
    rows: int | None = None,
    select: str = "pivoted",
    middle: str = "optimal",
    passes: int | None = None,
    seed: int = 0,
    compare: bool = False,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    memory_bytes: int | None = None,
) -> CUR:
    """A ~ C M R by columns and rows of A itself, with the exact error: (m, n) -> (m, c), (c, r), (r, n).

    Parameters
    ----------
    A : Matrix, or anything that `rnla.open` takes
        m x n, dense or sparse, real or complex; not centred, scaled or weighted.
    k : int
        Rank of the best approximation that the error is compared with, and number of columns and rows unless said
        otherwise; of singular vectors behind leverage scores. 1..min(m, n).
    columns, rows : int, optional
        How many of each, k..min(m, n).
    select : {"pivoted", "deim", "leverage", "norm-squared", "uniform"}
        How they are chosen. "pivoted": pivoted QR of the leading singular vectors times their values, then exchanges of
        one line for another as long as they lower the error; the best by far on real data. "deim": interpolation
        points of singular vectors. The others draw without replacement.
    middle : {"optimal", "cross"}
        M = C^+ A R^+, the best there is, or A[rows][:, columns]^+ with as many singular values as lower the error:
        then every entry of C M R is made of entries of A alone.
    passes : int
        Reads of A: one to gather, the others for singular vectors (one of them for norms with "norm-squared").
        Default 3, with the cross 2.
    compare : bool
        Also the exact errors of the lines that each other selector would take, `certificate.selector_errors`: more
        flops and memory, no read.
    seed, out, overwrite, memory_bytes
        As for `rnla.svd`.

    Returns
    -------
    CUR
        `certificate.frobenius_error` is exact; `certificate.ratio` compares it with the best of rank k.

    Raises
    ------
    RequestError, RankError, UnsupportedError
        A request that cannot be right; nothing was read.
    DoesNotFitError, IntegrityError, NonFiniteError
        As for `rnla.svd`.

    Notes
    -----
    Equal or dependent columns, zero columns and ranks below k are no trouble: what depends on others adds nothing.

    Examples
    --------
    >>> import numpy, rnla
    >>> found = rnla.cur(numpy.outer([1.0, 2.0, 3.0], [0.0, 5.0]), 1)
    >>> found.columns, found.rows, found.certificate.frobenius_error < 1e-6
    (array([1]), array([2]), True)
    """
    matrix = open_matrix(A)
    options = {"columns": columns, "rows": rows, "select": select, "middle": middle, "passes": passes, "seed": seed}
    options["compare"] = compare
    choice = checked_choice(matrix.shape, k, **options)
    if out is not None:
        run_job("cur", matrix, out, given(**options, k=k), overwrite=overwrite, memory_bytes=memory_bytes)
        return replace(cast("CUR", load(out)), labels=matrix.labels)
    found, cost, room = _made("cur", matrix, choice, memory_bytes, partial(crossed, choice=choice))
    sparse = holds_sparse(matrix.source)
    C, R = (room.lazy(found.R).T, found.C) if found.transposed else (room.lazy(found.C), found.R)
    C, R = (R, C) if found.transposed else (C, R)
    method = f"{choice.select}, {choice.middle}"
    return CUR(
        found.columns,
        found.rows,
        as_stored(C, matrix.source.dtype, sparse=sparse),
        found.M,
        as_stored(R, matrix.source.dtype, sparse=sparse),
        found.certificate,
        cost,
        method,
        labels=matrix.labels,
    )


def interpolative(  # noqa: PLR0913 - options are keywords
    A: Any,
    k: int | None = None,
    *,
    tol: float | None = None,
    two_sided: bool = False,
    select: str = "pivoted",
    passes: int | None = None,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    memory_bytes: int | None = None,
) -> ID:
    """A ~ C X by k columns of A, X the identity on them, with the exact error: (m, n) -> (m, k), (k, n).

    Parameters
    ----------
    A : Matrix, or anything that `rnla.open` takes
        As for `rnla.cur`.
    k : int, optional
        Number of columns. Without it, as many as `tol` needs (then they are pivoted).
    tol : float, optional
        Relative Frobenius error to reach; whether it was is `certificate.met`.
    two_sided : bool
        Also rows of C and W with C = W C[rows], so that A ~ W A[rows][:, columns] X; no more error, no read of A.
    select, passes, seed, out, overwrite, memory_bytes
        As for `rnla.cur`. Of a matrix with more columns than rows, C is read before X is written: only the chunks
        that hold it, beside `passes` whole reads.

    Returns
    -------
    ID
        `certificate.frobenius_error` is exact: X = C^+ A is the best there is for these columns.

    Raises
    ------
    RequestError, RankError, UnsupportedError
        A request that cannot be right; nothing was read.
    DoesNotFitError, IntegrityError, NonFiniteError
        As for `rnla.svd`.

    Notes
    -----
    Three reads, or `passes`. Cheng, Gimbutas, Martinsson and Rokhlin 2005; columns are chosen as for `rnla.cur`.

    Examples
    --------
    >>> import numpy, rnla
    >>> rnla.interpolative(numpy.outer([1.0, 2.0, 3.0], [2.0, 5.0]), 1).X
    array([[0.4, 1. ]])
    """
    matrix = open_matrix(A)
    options = {"tol": tol, "select": select, "passes": passes, "seed": seed}
    choice = checked_choice(matrix.shape, k, **options)
    two_sided = flag(two_sided, "two_sided")
    if out is not None:
        wanted = given(**options, k=k, two_sided=two_sided)
        run_job("id", matrix, out, wanted, overwrite=overwrite, memory_bytes=memory_bytes)
        return replace(cast("ID", load(out)), labels=matrix.labels)
    work = partial(interpolated, choice=choice, two_sided=two_sided)
    found, cost, room = _made("id", matrix, choice, memory_bytes, work, two_sided=two_sided)
    C = found.C if isinstance(found.C, np.ndarray) else room.lazy(found.C)
    return ID(
        found.columns,
        as_stored(C, matrix.source.dtype, sparse=holds_sparse(matrix.source)),
        found.X if isinstance(found.X, np.ndarray) else room.lazy(found.X).T,
        found.certificate,
        cost,
        found.rows,
        None if found.W is None else room.lazy(found.W),
        str(choice.select),
        labels=matrix.labels,
    )


def _made(
    name: str,
    matrix: Matrix,
    choice: Choice,
    memory_bytes: int | None,
    work: Callable[..., T],
    *,
    two_sided: bool = False,
) -> tuple[T, Cost, Desk]:
    """The work done here, what it cost, and where its tall factors lie."""
    A = replace(matrix, runner=current(matrix.runner))  # one runner for all sweeps
    found = resources(A.swept_by, memory_bytes)
    plan = plan_lines(name, A, choice, threads=found.threads, base_bytes=found.base_bytes, two_sided=two_sided)
    refuse_if_too_large(plan.peak_bytes, found, CURE)
    metered, room, clock = replace(A, meter=Meter()), desk(A), perf_counter()
    done = work(metered, workspace=room.workspace)
    return done, cost_of(metered, perf_counter() - clock), room
