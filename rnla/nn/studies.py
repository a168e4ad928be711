"""`rnla.nn.descend` and `rnla.nn.descent_study`: descent on least squares, measured against theory."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np

from rnla.algorithms.descent import Path, path, quadratic
from rnla.algorithms.studies import Study, beside, checked_study, study
from rnla.jobs.running import cost_of
from rnla.nn.training import aside
from rnla.opening import open_column
from rnla.public.ready import ready


def descend(
    A: Any, b: Any, *, method: str = "gradient", steps: int = 1000, truth: Any = None, noise: float | None = None
) -> Path:
    """Descent on |A x - b|^2 / 2 from zero, from one read of A: (m, n), (m,) -> iterates of length n.

    Parameters
    ----------
    A : Matrix, or anything that `rnla.open` takes
        m x n, n at most 4096; a view (centred, scaled) is taken as it is.
    b : array of length m, or its place
    method : {"gradient", "accelerated", "heavy ball"}
        Steps of 1 / L; Nesterov's and Polyak's with the best momentum for the condition of A^T A.
    steps : int
        At most 2,000,000.
    truth : array of length n, optional
        The x that b was made from: how far iterates are from it is `true_errors`.
    noise : float, optional
        |b - A truth| / |b|: where the residual is first at most this part of |b| is `stopped` (the discrepancy
        principle), and `x` is that iterate. RequestError below about 1e-8, where one read does not tell.

    Returns
    -------
    Path
        `steps` looked at, `errors`, `residuals`, `true_errors`, measured `rate` and `theory`, `stopped`, `x`.

    Raises
    ------
    RequestError, UnsupportedError
        Shapes that do not fit, more columns than A^T A is formed of, complex data, a zero matrix.

    Notes
    -----
    Passes: 1, one more where means of A must be found. Singular values below 1e-7 of the largest cannot be told from
    rounding in A^T A; no descent of so few steps would see them.

    Examples
    --------
    >>> import numpy, rnla
    >>> found = rnla.nn.descend(numpy.diag([3.0, 1.0]), [3.0, 1.0], steps=400)
    >>> found.x.round(6), round(found.rate * 9, 2)
    (array([1., 1.]), 1.0)
    """
    matrix, column = ready(A), open_column(b)
    room = aside(matrix)  # as long as the copy of b in it is read
    problem = quadratic(matrix, beside(matrix, column, 1, None if room is None else room.workspace))
    return path(problem, method, steps, truth=truth, noise=noise)


def descent_study(
    A: Any,
    b: Any,
    *,
    steps: int = 2000,
    epochs: int = 15,
    seeds: int = 6,
    batch: int = 8,
    learning_rate: float | None = None,
    schedule: str = "cosine",
) -> Study:
    """Rates of whole-gradient methods against theory, and ways of drawing samples against one another, on A x ~ b.

    Parameters
    ----------
    A, b
        As for `descend`; columns and b are centred and scaled.
    steps : int
        Of each method that looks at the whole gradient.
    epochs, seeds, batch
        Of stochastic descent by each sampling, once for each seed.
    learning_rate, schedule
        Of its first step, by default a quarter of what is stable, and how it goes on, as for `rnla.nn.train`. With
        "constant" noise does not go to zero, and samplings differ where steps are short: see `rnla.algorithms.studies`.

    Returns
    -------
    Study
        `paths`, `excess` by sampling (seeds, epochs + 1), `comparisons` at the end: how much more draws leave than
        permutations, with intervals of 95 % over the seeds, and what theory gives for draws with replacement.

    Notes
    -----
    Passes: 3 over A, and `3 seeds` more for the samples, `3 seeds epochs` where A does not fit into a buffer of 128 MB.
    b is read 4 times, and with the samples; or once, where its chunks would be decoded for many blocks, and copied.

    Below about 1e-24 of the loss at the start excess is rounding: samplings that leave less are alike.

    Examples
    --------
    >>> import numpy, rnla
    >>> rng = numpy.random.default_rng(0)
    >>> A = rng.standard_normal((300, 4))
    >>> found = rnla.nn.descent_study(A, A @ [1, 2, 3, 4] + rng.standard_normal(300), steps=200, epochs=4, seeds=3)
    >>> [path.method for path in found.paths], sorted(found.excess)
    (['gradient', 'accelerated', 'heavy ball'], ['norm-squared', 'permutation', 'replacement'])
    """
    asked = checked_study(steps, epochs, seeds, batch, learning_rate, schedule)
    opened, clock = ready(A), perf_counter()
    matrix, column = opened.centred().scaled().astype(np.float64), open_column(b)
    room = aside(opened)
    found = study(matrix, column, asked, None if room is None else room.workspace)
    return replace(found, cost=cost_of(opened, perf_counter() - clock, column))
