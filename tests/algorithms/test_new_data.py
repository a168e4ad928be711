"""`transform` and `inverse_transform` on data of every kind, and what a result says of itself."""

from xml.etree import ElementTree as ET

import dask.array
import numpy as np
import pytest
import scipy.sparse
import xarray

import rnla
from rnla.errors import RequestError, RnlaError
from rnla.jobs.running import run_job
from tests.backends import written

M, N, K = 300, 40, 5
RNG = np.random.default_rng(11)
A = RNG.standard_normal((M, N)) @ np.diag(np.linspace(4, 1, N)) + np.arange(N)
NEW = np.where(RNG.random((70, N)) < 0.8, 0.0, RNG.standard_normal((70, N)) + 2)


def stored(new, folder):
    written(new, folder / "new.zarr", (16, N))
    return rnla.open(folder / "new.zarr")


KINDS = {
    "numpy": lambda new, _: new,
    "list": lambda new, _: new.tolist(),
    "matrix subclass": lambda new, _: np.matrix(new),
    "dask": lambda new, _: dask.array.from_array(new, chunks=(16, 8)),
    "scipy.sparse": lambda new, _: scipy.sparse.csr_array(new),
    "DataArray": lambda new, _: xarray.DataArray(new, dims=("sample", "feature")),
    "Matrix": stored,
}


def svd():
    found = rnla.svd(A, K, method="gram")
    return found, lambda new: new @ np.asarray(found.Vt).T


def pca():
    found = rnla.pca(A, K, method="gram")
    return found, lambda new: (new - A.mean(axis=0)) @ np.asarray(found.components).T


def scaled():
    found = rnla.pca(A, K, scale=True, method="gram")
    return found, lambda new: ((new - A.mean(axis=0)) / A.std(axis=0)) @ np.asarray(found.components).T


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("made", [svd, pca, scaled])
def test_new_rows_are_projected_whatever_holds_them(tmp_path, kind, made):
    found, expected = made()
    scores = found.transform(KINDS[kind](NEW, tmp_path))
    assert type(scores) is (dask.array.Array if kind in {"dask", "Matrix"} else np.ndarray)
    assert scores.shape == (70, K)
    # N products of entries up to 45 and 1, and as many subtracted
    assert np.abs(np.asarray(scores) - expected(NEW)).max() < 4 * N * 45 * np.finfo(float).eps


@pytest.mark.parametrize("made", [svd, pca, scaled])
def test_the_inverse_is_the_projection_onto_the_components(made):
    found, _ = made()
    rows = found.inverse_transform(found.transform(NEW))
    twice = found.inverse_transform(found.transform(rows))
    assert np.abs(rows - twice).max() < 8 * N * 45 * np.finfo(float).eps


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.ones(N), r"a single row goes as row\[None, :\]"),
        (np.ones((3, N + 1)), rf"array \(p, {N}\); this one is \(3, {N + 1}\)"),
        (scipy.sparse.csr_array((3, 2)), r"this one is \(3, 2\)"),
        ("new.zarr", r"open it first, transform\(rnla\.open\('new\.zarr'\)\)"),
    ],
)
@pytest.mark.parametrize("made", [svd, pca])
def test_what_does_not_fit_is_refused(made, given, words):
    with pytest.raises(RequestError, match=words):
        made()[0].transform(given)


def test_data_that_was_opened_as_a_view_is_refused():
    for view in (rnla.open(NEW).centred(), rnla.open(NEW).centred(np.ones(N)), rnla.open(NEW).scaled(np.ones(N))):
        with pytest.raises(RequestError, match=r"as rnla\.open gives it, not a view"):
            pca()[0].transform(view)


HOLES = np.where(RNG.random((M, N)) < 0.1, np.nan, A)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("missing", ["mask", "impute-mean"])
@pytest.mark.parametrize("kind", ["numpy", "dask", "Matrix"])
def test_entries_that_are_missing_count_as_they_did_in_the_scores(tmp_path, missing, scale, turned, kind):
    """The training data gets its own scores again; of other data the training mean stands in for what is missing."""
    held = KINDS["dask" if kind == "dask" else "numpy"](HOLES.T if turned else HOLES, None)
    if kind == "Matrix":
        written(HOLES.T if turned else HOLES, tmp_path / "a.zarr", (16, 16))
        held = tmp_path / "a.zarr"
    data = rnla.open(held, missing=missing)
    data = data.T if turned else data
    found = rnla.pca(data, K, scale=scale, method="krylov")
    mean, floor = np.nanmean(HOLES, axis=0), 50 * N * 45 * np.finfo(float).eps
    assert np.abs(found.mean - mean).max() < floor
    assert np.abs(found.transform(data).compute() - found.scores.compute()).max() < floor
    few = rnla.open(HOLES[:20] + 3, missing=missing)
    filled = np.where(np.isnan(HOLES[:20]), mean, HOLES[:20] + 3)
    assert np.abs(found.transform(few).compute() - found.transform(filled)).max() < floor


LABELLED = xarray.DataArray(A, dims=("sample", "feature"), coords={"feature": [f"gene {j}" for j in range(N)]})
OTHERS = {
    "another order": (LABELLED[:, ::-1], "stand in another order"),
    "other labels": (LABELLED.assign_coords(feature=np.arange(N)), "are labelled otherwise"),
    "opened": (rnla.open(LABELLED[:, ::-1]), "stand in another order"),
}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("factored", [rnla.svd, rnla.pca])
def test_columns_with_other_labels_are_refused(factored, other):
    found = factored(LABELLED, K)
    given, words = OTHERS[other]
    with pytest.raises(RequestError, match=words):
        found.transform(given)
    same = found.transform(LABELLED)
    assert np.array_equal(same, found.transform(LABELLED.data))
    assert np.array_equal(same, found.transform(LABELLED.drop_vars("feature")))


@pytest.mark.parametrize(
    "given",
    [
        np.ma.masked_greater(A, 1),
        dask.array.ma.masked_greater(dask.array.from_array(A), 1),
        A.astype(str),
        A.astype(object),
        [["a"] * N],
        [[1.0], [1.0, 2.0]],
        np.zeros((3, N), "M8[s]"),
    ],
    ids=lambda given: f"{type(given).__module__} {getattr(given, 'dtype', '')}",
)
@pytest.mark.parametrize("made", [svd, pca])
def test_what_is_no_matrix_of_numbers_is_refused(made, given):
    found, _ = made()
    with pytest.raises(RnlaError, match=r"masked arrays|must be numbers|cannot be factored|is no array"):
        found.transform(given)


@pytest.mark.parametrize("made", [svd, pca])
def test_scores_of_another_rank_are_refused(made):
    with pytest.raises(RequestError, match=rf"inverse_transform takes rows of {K} entries"):
        made()[0].inverse_transform(np.ones((3, K + 1)))


@pytest.mark.parametrize("made", [svd, pca])
def test_a_result_says_what_it_is_in_one_line(made):
    found, _ = made()
    assert repr(found).startswith(f"{type(found).__name__}(rank {K} of {M} x {N} by gram: relative error 0.")
    assert f"{K} of {K} values resolved, 2 passes, {2 * A.nbytes / 1e3:.4g} kB read)" in repr(found)
    assert repr(found.certificate) == str(found.certificate)


def test_a_matrix_says_what_it_is_in_one_line(tmp_path):
    place = tmp_path / "a.zarr"
    written(A.astype("f4"), place, (16, N))
    assert repr(rnla.open(A)) == "Matrix(300 x 40 float64; array in memory; chunks of 1 x 40)"
    opened = rnla.open(place, missing="mask").astype("f8").centred().weighted(columns=np.ones(N))
    view = "centred, columns weighted, missing='mask', multiplied in float64"
    assert repr(opened) == f"Matrix(300 x 40 float32; {place}; chunks of 16 x 40; {view})"
    assert "Dask array" in repr(rnla.open(dask.array.from_array(A)))
    assert repr(rnla.norms(A)) == f"Norms(300 x 40: ||A||_F = {np.linalg.norm(A):.6g}, 1 pass, 96 kB read)"
    plan = rnla.plan("svd", A, 3)
    assert repr(plan) == str(plan)


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (lambda: rnla.open(xarray.DataArray(dask.array.from_array(A, name="<b>"))), "Dask array &lt;b&gt;"),
        (lambda: rnla.plan("svd", A, 3), "multiplied in float64"),
        (lambda: svd()[0], "<th>relative Frobenius error</th>"),
        (lambda: pca()[0], "<caption>PCA of rank 5</caption>"),
        (lambda: svd()[0].certificate, "<th>modes resolved to 1e-6</th><td>5 of 5</td>"),
    ],
)
def test_notebooks_get_a_table(shown, words):
    table = shown()._repr_html_()
    assert words in table
    assert table.count("<tr>") == len(ET.fromstring(table).findall("tr")) >= 4


@pytest.mark.parametrize("asked", [np.asarray, lambda matrix: np.ones((2, M)) @ matrix])
def test_a_matrix_is_no_array_by_itself(asked):
    with pytest.raises(RequestError, match=r"96 kB is not made an array.*A\.to_dask\(\)"):
        asked(rnla.open(A))


@pytest.mark.parametrize("dims", [("mode", "s"), ("U", "lower"), ("Vt", "mean"), ("scores", "components")])
@pytest.mark.parametrize("factored", [rnla.svd, rnla.pca])
def test_sides_that_are_called_as_parts_of_a_result_get_an_underscore(tmp_path, dims, factored):
    columns = [f"gene {j}" for j in range(N)]
    found = factored(xarray.DataArray(A, dims=dims, coords={dims[1]: columns}), K, out=tmp_path / "out.zarr")
    left, right = ("U", "Vt") if factored is rnla.svd else ("scores", "components")
    with xarray.open_zarr(tmp_path / "out.zarr") as published:
        for data in (found.to_xarray(), published):
            assert data[left].dims == (f"{dims[0]}_", "mode")
            assert data[right].dims == ("mode", f"{dims[1]}_")
            assert data[f"{dims[1]}_"].values.tolist() == columns
            assert np.array_equal(data[right].values, np.asarray(getattr(found, right)))


LOADED = {
    "svd": lambda X, out: rnla.svd(X, K, out=out),
    "pca": lambda X, out: rnla.pca(X, K, out=out),
    "cur": lambda X, out: rnla.cur(X, K, out=out),
    "id": lambda X, out: rnla.interpolative(X, K, two_sided=True, out=out),
}


@pytest.mark.parametrize("dims", [("cell", "gene"), ("row", "columns")], ids=str)
@pytest.mark.parametrize("name", LOADED)
def test_a_loaded_result_has_the_names_of_its_matrix(tmp_path, dims, name):
    days = np.datetime64("2020-01-01", "ns") + np.arange(M).astype("m8[D]")
    coords = {dims[0]: days, dims[1]: [f"gene {j}" for j in range(N)]}
    made = LOADED[name](xarray.DataArray(A, dims=dims, coords=coords), tmp_path / "out.zarr")
    found = rnla.load(tmp_path / "out.zarr")
    assert found.to_xarray().drop_attrs().identical(made.to_xarray().drop_attrs())
    if name in ("cur", "id"):
        assert found.column_names.tolist() == [f"gene {j}" for j in found.columns]
        assert found.to_xarray()["C"].chosen_column.values.tolist() == found.column_names.tolist()
    assert rnla.load(tmp_path / "out.zarr").labels.rows == dims[0]


def test_a_loaded_list_of_pairs_has_their_names(tmp_path):
    twice = xarray.DataArray(np.repeat(A[:, :4], 2, axis=1), dims=("cell", "gene"), coords={"gene": list("abcdefgh")})
    run_job("similarity", rnla.open(twice), tmp_path / "out.zarr", {"threshold": 0.999})
    first, second = rnla.load(tmp_path / "out.zarr").names
    assert sorted(zip(first, second, strict=True)) == [("a", "b"), ("c", "d"), ("e", "f"), ("g", "h")]
