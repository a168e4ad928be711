"""Views in every order: each is its numpy definition, or refused in words; never something else."""

from __future__ import annotations

import numpy as np
import pytest

import rnla
from rnla.errors import NonFiniteError, RequestError

ROWS, COLUMNS = 60, 25


def matrix() -> np.ndarray:
    """Rows and columns of very different means, so that centring along the wrong side shows."""
    rng = np.random.default_rng(3)
    return rng.standard_normal((ROWS, COLUMNS)) + 10 * np.arange(ROWS)[:, None] + 7 * np.arange(COLUMNS)


def leading(A: np.ndarray) -> np.ndarray:
    """Three leading singular values."""
    return np.linalg.svd(A, compute_uv=False)[:3]


def same(view: rnla.Matrix, A: np.ndarray) -> bool:
    """Whether a view's singular values are those of its definition, to 1e3 roundings of the largest."""
    allowed = 1e3 * np.finfo(np.float64).eps * np.linalg.norm(A, 2)
    return bool(np.all(np.abs(rnla.svd(view, 3).s - leading(A)) <= allowed))


def test_a_transpose_is_centred_along_its_own_columns() -> None:
    A = matrix()
    assert same(rnla.open(A).T.centred(), A.T - A.T.mean(axis=0))


def test_a_transpose_is_scaled_along_its_own_columns() -> None:
    A = matrix()
    assert same(rnla.open(A).T.centred().scaled(), (A.T - A.T.mean(axis=0)) / A.T.std(axis=0))


def test_the_transpose_of_a_centred_matrix_stays_centred_along_its_rows() -> None:
    A = matrix()
    assert same(rnla.open(A).centred().T, (A - A.mean(axis=0)).T)


def test_weights_may_be_negative() -> None:
    A, weights = matrix(), -np.linspace(0.5, 2.0, COLUMNS)
    assert same(rnla.open(A).centred().weighted(columns=weights), (A - A.mean(axis=0)) * weights)


def test_centring_by_own_means_twice_is_centring_once() -> None:
    A = matrix()
    assert same(rnla.open(A).centred().centred(), A - A.mean(axis=0))


@pytest.mark.parametrize(
    "view",
    [
        lambda A: A.centred(np.ones(COLUMNS)).centred(np.ones(COLUMNS)),
        lambda A: A.centred().centred(np.ones(COLUMNS)),
        lambda A: A.centred().T.centred(),
        lambda A: A.centred().T.scaled(),
        lambda A: A.weighted(rows=1j * np.arange(ROWS)),
        lambda A: A.centred(1j * np.ones(COLUMNS)),
        lambda A: A.weighted(columns=np.ones(COLUMNS)).centred(),
    ],
    ids=[
        "given-given",
        "own-given",
        "own-T-own",
        "own-T-scaled",
        "complex-weights",
        "complex-mean",
        "weighted-centred",
    ],
)
def test_views_without_a_meaning_are_refused(view: object) -> None:
    with pytest.raises(RequestError):
        view(rnla.open(matrix()))  # type: ignore[operator]


@pytest.mark.parametrize("dtype", ["U3", "i4", "f2", "O", "nonsense", "f8"])
def test_a_precision_that_would_change_the_data_is_refused(dtype: str) -> None:
    with pytest.raises(RequestError, match=r"astype\('.*'\)"):
        rnla.open(matrix() + 1j).astype(dtype)


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "c16", ">f8"])
def test_the_precision_may_be_chosen(dtype: str) -> None:
    exact = leading(matrix())
    allowed = 1e3 * np.finfo(np.dtype(dtype)).eps * exact[0]
    assert np.abs(rnla.svd(rnla.open(matrix()).astype(dtype), 3).s - exact).max() <= allowed


@pytest.mark.parametrize("rows", [5, ROWS])
@pytest.mark.parametrize("columns", [[3], [3, 24]])
def test_a_column_without_a_finite_entry_has_no_mean_to_impute(columns: list[int], rows: int) -> None:
    wide = np.ascontiguousarray(matrix()[:rows, :])
    wide[:, columns] = np.nan
    wide[0, 7] = np.inf
    with pytest.raises(NonFiniteError, match=rf"no mean: {', '.join(map(str, columns))} \({len(columns)} in all"):
        rnla.svd(rnla.open(wide, missing="impute-mean"), 2)


@pytest.mark.parametrize("rows", [5, ROWS])
@pytest.mark.parametrize("centred", [False, True])
def test_a_column_without_a_finite_entry_is_zero_when_masked(rows: int, centred: bool) -> None:
    A = np.ascontiguousarray(matrix()[:rows])
    A[:, 3] = np.nan
    view, B = rnla.open(A, missing="mask"), A - A.mean(axis=0) if centred else A.copy()
    B[:, 3] = 0
    assert same(view.centred() if centred else view, B)


@pytest.mark.parametrize("turned", [False, True])
def test_missing_entries_stand_at_the_mean_of_the_data_whatever_is_subtracted(turned: bool) -> None:
    A = matrix()
    A[3, 2] = np.nan
    filled = np.where(np.isnan(A), np.nanmean(A, axis=0), A)
    view, expected = rnla.open(A, missing="impute-mean").centred(np.full(COLUMNS, 100.0)), filled - 100.0
    assert same(view.T, expected.T) if turned else same(view, expected)
    assert rnla.norms(view).frobenius == pytest.approx(np.linalg.norm(expected), rel=1e-12)
