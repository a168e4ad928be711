"""The demo's data against numbers that were computed from the published NetCDF file by other code."""

from pathlib import Path

import numpy as np
import pytest
import zarr

from rnla.demo.sea_surface import DATA, anomalies, correlation, nino34

# ../shared/data/REFERENCE.json, "shared/ersst_sst monthly anomalies, coslat-sqrt, ocean cells" (numpy, float64)
SINGULAR_VALUES = [
    255.3712807648596, 154.77373163291787, 134.4593932552095, 121.47507532686342, 110.51032777632076,
    101.73542553222467, 88.80542997264338, 86.3139145514681, 79.88907264900911, 75.9383150443032,
]  # fmt: skip
FROBENIUS = 502.3938350410919
CORRELATIONS = [0.868194865166642, 0.40351304500773183, 0.08219354843285086, 0.09337677387254677]
PUBLISHED_EPS = float(np.finfo(np.float32).eps)  # the data and the latitudes are published as float32


@pytest.fixture(scope="module")
def sea():
    return anomalies()


def test_shape_is_months_by_cells_of_sea(sea):
    assert sea.matrix.shape == (128, 10988)
    assert sea.matrix.dtype == np.float64
    assert np.isfinite(sea.matrix).all()
    assert sea.mask.sum() == 10988
    assert str(sea.time[0]) == "2010-01-01"
    assert str(sea.time[-1]) == "2020-08-01"
    assert sea.years[0] == pytest.approx(2010 + 1 / 24)


def test_singular_values_and_norm_are_those_of_the_reference(sea):
    s = np.linalg.svd(sea.matrix, compute_uv=False)
    np.testing.assert_allclose(s[:10], SINGULAR_VALUES, rtol=PUBLISHED_EPS)
    assert np.linalg.norm(sea.matrix) == pytest.approx(FROBENIUS, rel=PUBLISHED_EPS)


def test_first_mode_is_el_nino(sea):
    U, _, _ = np.linalg.svd(sea.matrix, full_matrices=False)
    index = nino34(sea)
    assert index[sea.years.searchsorted(2015.9)] > 2  # the strong El Nino of 2015
    found = [abs(correlation(U[:, mode], index)) for mode in range(4)]
    np.testing.assert_allclose(found, CORRELATIONS, atol=PUBLISHED_EPS)


def test_each_month_of_the_year_has_mean_zero(sea):
    januaries = sea.matrix[::12]
    np.testing.assert_allclose(januaries.mean(axis=0), 0, atol=januaries.shape[0] * np.finfo(float).eps * 300)


def test_map_puts_values_back_where_the_sea_is(sea):
    field = sea.on_map(sea.matrix[0])
    np.testing.assert_array_equal(np.isfinite(field), sea.mask)
    np.testing.assert_array_equal(field[sea.mask], sea.matrix[0])


def test_copy_in_the_package_is_small_checked_and_says_where_it_is_from():
    assert sum(file.stat().st_size for file in DATA.rglob("*") if file.is_file()) < 5_000_000
    group = zarr.open_group(DATA, mode="r")
    assert {"source", "licence", "citation", "how_made"} <= set(group.attrs)
    assert (Path(DATA).parent / "SOURCE.txt").is_file()
    for name in ("sst", "lat", "lon", "time"):
        assert group[name].metadata.to_dict()["codecs"][-1]["name"] == "crc32c"
