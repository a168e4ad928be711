"""Some rows and columns of a matrix: the same entries as of the whole, read from their chunks only."""

import numpy as np
import pytest
import scipy.sparse
import xarray

import rnla
from rnla.errors import RequestError
from rnla.sweeps.products import SumOfSquares
from tests.backends import BACKENDS, SPARSE
from tests.faults import reads, watched
from tests.matrices import random_of

pytestmark = pytest.mark.usefixtures("small_cuts")
SHAPE = (53, 31)
PICKS = {
    "rows": ([52, 0, 7, 7, 31], None),
    "columns": (None, [30, 1, 1, 4, 0]),
    "both": ([3, 50, 2], [9, 0, 30, 8]),
    "one": ([17], [4]),
    "everything": (np.arange(53)[::-1], np.arange(31)),
}


def entries(matrix):
    """All entries, by a sweep's own way of reading."""
    return matrix.to_dask().compute()


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("pick", PICKS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_picks_are_the_entries_of_the_whole(tmp_path, backend, pick, turned):
    A = random_of("f8", SHAPE)
    A = np.where(random_of("?", A.shape, 9), A, 0.0) if backend in SPARSE else A
    rows, columns = PICKS[pick]
    expected = A[slice(None) if rows is None else rows][:, slice(None) if columns is None else columns]
    matrix = BACKENDS[backend](A, tmp_path).subset(rows=rows, columns=columns)
    matrix, expected = (matrix.T, expected.T) if turned else (matrix, expected)
    assert matrix.shape == expected.shape
    found = entries(matrix)
    assert np.array_equal(found.toarray() if scipy.sparse.issparse(found) else found, expected)
    (energy,) = matrix.sweep(SumOfSquares())
    assert energy == pytest.approx((expected**2).sum(), rel=1e-14)


def test_picks_of_picks(tmp_path):
    A = random_of("f8", SHAPE)
    matrix = BACKENDS["zarr v3, both ways"](A, tmp_path).subset(rows=[5, 2, 40]).subset(rows=[2, 0], columns=[3, 1])
    assert np.array_equal(entries(matrix), A[[40, 5]][:, [3, 1]])


def test_only_chunks_that_hold_picks_are_read_and_counted(tmp_path):
    A = random_of("f8", SHAPE)
    whole = watched(BACKENDS["zarr v3, both ways"](A, tmp_path / "a"), tmp_path / "log").metered()  # chunks of 7 x 5
    whole.subset(rows=[8, 50, 9], columns=[6, 21, 22]).sweep(SumOfSquares())
    seen = {(read.rows.start // 7, read.columns.start // 5) for read in reads(tmp_path / "log")}
    assert seen == {(1, 1), (1, 4), (7, 1), (7, 4)}
    assert len(reads(tmp_path / "log")) == len(seen)
    assert whole.meter.total().bytes_read == (7 + 4) * (5 + 5) * 8  # whole chunks; the last row of them is of 4


def test_views_and_labels_are_cut_alike(tmp_path):
    A = random_of("f8", SHAPE)
    array = xarray.DataArray(
        A, dims=("cell", "gene"), coords={"cell": np.arange(53) * 2, "gene": list(map(str, range(31)))}
    )
    mean, by, weights = A.mean(axis=0), 1 + np.arange(31.0), 1 + np.arange(53.0)
    view = rnla.open(array).centred(mean).weighted(rows=weights, columns=by).subset(rows=[4, 1], columns=[30, 2])
    assert np.allclose(entries(view), (weights[:, None] * (A - mean) * by)[[4, 1]][:, [30, 2]], rtol=1e-14)
    assert list(view.labels.row_coordinates.values) == [8, 2]
    assert list(view.labels.column_coordinates.values) == ["30", "2"]


@pytest.mark.parametrize("given", [[53], [-1], [0.5], [], [[1, 2]], "a", [True]])
def test_indices_that_are_not_there_are_refused(given):
    with pytest.raises(RequestError, match="rows"):
        rnla.open(random_of("f8", SHAPE)).subset(rows=given)


def test_views_that_are_not_settled_are_refused():
    with pytest.raises(RequestError, match="subset first"):
        rnla.open(random_of("f8", SHAPE)).centred().subset(rows=[1])
