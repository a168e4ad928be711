"""Scales near the ends of the range, NaN and infinity located or treated, squares that overflow: no wrong number."""

import numpy as np
import pytest
import scipy.sparse
import zarr

import rnla
from rnla.errors import NonFiniteError, OverflowedError, RnlaError
from tests.matrices import named, random_of, with_singular_values
from tests.tolerances import backward, squared, sum_rounding

METHODS = ("krylov", "subspace", "gram", "merge")
SCALES = [("f8", 1e-300), ("f8", 1e-160), ("f8", 1e160), ("f8", 1e300), ("f4", 1e-30), ("f4", 1e30), ("c16", 1e300)]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("dtype", "scale"), SCALES)
@pytest.mark.parametrize("shape", [(200, 30), (30, 200)])
@pytest.mark.parametrize("centred", [False, True])
def test_singular_values_scale_with_the_data(method, dtype, scale, shape, centred):
    power = 2.0 ** np.round(np.log2(scale))  # so that scaling the data is exact
    A = named("clustered", shape, complex_=dtype == "c16").A.astype(dtype)
    solve = rnla.pca if centred else rnla.svd
    here, there = solve(A, 6, method=method), solve((A * A.dtype.type(power)).astype(dtype), 6, method=method)
    s, scaled = (found.singular_values if centred else found.s for found in (here, there))
    floor = squared("f8", shape, s) + 10 * sum_rounding(dtype, 1) * s[0]
    assert np.all(np.abs(scaled / power - s) <= floor)
    proof, other = here.certificate, there.certificate
    assert np.all(other.lower / power <= s + floor)
    assert np.all(s - floor <= other.upper / power)
    assert np.isfinite(other.frobenius_error)
    if centred:
        assert np.all(np.abs(np.asarray(there.mean) / power - np.asarray(here.mean)) <= sum_rounding("f8", shape[0]))
    assert proof.relative_error == pytest.approx(
        other.relative_error, rel=0.1, abs=max(proof.relative_floor, other.relative_floor)
    )


@pytest.mark.parametrize("method", METHODS)
def test_a_norm_that_no_float64_holds_is_refused(method):
    A = np.full((40, 30), 1e307)
    with pytest.raises(OverflowedError, match="norm exceeds the range of float64"):
        rnla.svd(A, 2, method=method)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
@pytest.mark.parametrize("centred", [False, True])
def test_sparse_data_may_have_any_scale(scale, centred):
    A = np.where(random_of("?", (300, 20), 5), random_of("f8", (300, 20)) + 2, 0)
    exact = np.linalg.svd(A - A.mean(axis=0) * centred, compute_uv=False)[:4]
    found = (rnla.pca if centred else rnla.svd)(scipy.sparse.csr_array(A * scale), 4)
    s = found.singular_values if centred else found.s
    assert np.all(np.abs(s / scale - exact) <= squared("f8", A.shape, exact))


@pytest.mark.parametrize("method", ["krylov", "gram"])
def test_values_from_1_to_1e_minus_12_are_found(method):
    s = 10.0 ** -np.arange(13.0)
    A = with_singular_values(s, (300, 40))
    found = rnla.svd(A, 10, method=method, passes=6)
    assert np.all(np.abs(found.s - s[:10]) <= squared("f8", A.shape, s[:10]))
    assert np.all(found.certificate.lower <= s[:10])
    assert np.all(s[:10] <= found.certificate.upper)


def test_a_range_wider_than_the_precision_keeps_what_it_can_show():
    A = random_of("f4", (50, 4)) * np.float32(1e38) * np.array([1, 1, 1e-44, 1e-44], "f4")
    exact = np.linalg.svd(A.astype("f8"), compute_uv=False)[:2]
    for method in METHODS:
        found = rnla.svd(A, 2, method=method)
        assert np.all(np.abs(found.s - exact) <= 100 * sum_rounding("f4", 1) * exact), method
    A[:, 2:] = np.inf
    with pytest.raises(NonFiniteError, match="100 entries"):
        rnla.svd(A, 2)


def spoilt(shape=(300, 20)):
    A = random_of("f8", shape)
    places = [(17, 3), (17, 9), (140, 0), (299, 19)]
    for value, place in zip((np.nan, np.inf, -np.inf, np.nan), places, strict=True):
        A[place] = value
    return A, places


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("solve", [rnla.svd, rnla.pca])
def test_nan_and_infinity_are_counted_and_located(tmp_path, method, turned, solve):
    A, places = spoilt()
    A, places = (A.T.copy(), sorted((j, i) for i, j in places)) if turned else (A, places)
    zarr.create_array(str(tmp_path / "a.zarr"), data=A, chunks=(100, 20))
    for given in (A, tmp_path / "a.zarr"):
        with pytest.raises(NonFiniteError) as caught:
            solve(given, 3, method=method)
        words = str(caught.value)
        assert "4 entries are NaN or infinite" in words
        for place in places:
            assert str(place) in words
        assert "missing='mask'" in words
    assert str(tmp_path / "a.zarr") in words
    assert any(f"chunk ({i // 100}, {j // 20})" in words for i, j in places)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("k", [2, 18])
@pytest.mark.parametrize("solve", [rnla.svd, rnla.pca])
@pytest.mark.parametrize("shape", [(300, 20), (20, 300)])
def test_one_bad_entry_is_located_by_every_method(method, bad, k, solve, shape):
    A = random_of("f8", shape)
    A[7, 11] = bad
    with pytest.raises(NonFiniteError, match=r"1 entry is.*\(7, 11\)"):
        solve(A, k, method=method)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
@pytest.mark.parametrize("shape", [(300, 20), (20, 300)])
def test_columns_of_any_size_can_be_scaled_to_unit_variance(scale, shape):
    A = random_of("f8", shape) + 2
    exact = np.linalg.svd((A - A.mean(axis=0)) / A.std(axis=0), compute_uv=False)[:4]
    floor = squared("f8", shape, exact)
    for method in ("gram", "krylov", "subspace"):
        found = rnla.pca(A * scale, 4, scale=True, method=method, passes=8)
        width = found.certificate.upper - found.certificate.lower
        assert np.all(np.abs(found.singular_values - exact) <= floor + width), method
        assert np.all(np.abs(np.asarray(found.scale) / scale - A.std(axis=0)) <= sum_rounding("f8", shape[0]))
    exact = np.linalg.svd(A / A.std(axis=0), compute_uv=False)[:4]
    assert np.all(np.abs(rnla.svd(rnla.open(A * scale).scaled(), 4).s - exact) <= floor)
    A[3, 4] = np.nan
    means, stds = np.nanmean(A, axis=0), np.nanstd(A, axis=0)
    exact = np.linalg.svd(np.nan_to_num((A - means) / stds), compute_uv=False)[:4]
    found = rnla.pca(rnla.open(A * scale, missing="mask"), 4, scale=True)
    assert np.all(np.abs(found.singular_values - exact) <= floor)


def test_many_bad_entries_show_the_first_ten(tmp_path):
    A = random_of("f8", (500, 40))
    A[100:] = np.nan
    with pytest.raises(NonFiniteError, match=r"16000 entries") as caught:
        rnla.svd(A, 3)
    assert str(caught.value).count("(100, ") >= 10
    assert "(101, " not in str(caught.value)


def test_nan_in_sparse_data_is_located():
    A = scipy.sparse.random_array((200, 30), density=0.1, rng=np.random.default_rng(0)).tocsr()
    A.data[5] = np.nan
    place = tuple(int(i[5]) for i in A.tocoo().coords)
    for solve in (rnla.svd, rnla.pca):
        with pytest.raises(NonFiniteError, match=f"1 entry is.*{place[0]}, {place[1]}"):
            solve(A, 3)


@pytest.mark.parametrize("method", ["krylov", "gram", "subspace"])
@pytest.mark.parametrize("shape", [(300, 20), (20, 300)])
@pytest.mark.parametrize("missing", ["mask", "impute-mean"])
def test_missing_entries_count_as_the_mean_when_asked(method, shape, missing):
    A = random_of("f8", shape) + 5
    A[random_of("i1", shape, 3) > 85] = np.nan
    present = np.isfinite(A)
    mean = np.nanmean(A, axis=0)
    B = np.where(present, A - mean, 0)
    exact = np.linalg.svd(B, compute_uv=False)[:3]
    found = rnla.pca(rnla.open(A, missing=missing), 3, method=method, passes=8)
    width = found.certificate.upper - found.certificate.lower
    assert np.all(np.abs(found.singular_values - exact) <= squared("f8", shape, exact) + width)
    assert np.all(np.abs(np.asarray(found.mean) - mean) <= sum_rounding("f8", shape[0]) * np.nanmax(np.abs(A)))


def test_a_column_without_any_entry_counts_as_zero():
    A = random_of("f8", (100, 6))
    A[:, 2] = np.nan
    exact = np.linalg.svd(np.delete(A - A.mean(axis=0), 2, axis=1), compute_uv=False)[:3]
    found = rnla.pca(rnla.open(A, missing="mask"), 3)
    assert np.all(np.abs(found.singular_values - exact) <= backward("f8", A.shape, exact[0]))


@pytest.mark.parametrize("bad", [{"missing": "zero"}, {"threads": 0}, {"threads": True}, {"threads": 1.5}])
def test_opening_refuses_options_that_cannot_be_right(bad):
    with pytest.raises(RnlaError, match="must be"):
        rnla.open(np.ones((2, 2)), **bad)
