"""The reports of CUR and interpolative decompositions: what they say is what the result holds."""

import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest

import rnla
from rnla.dashboard import curves
from rnla.dashboard.axes import Axis, Frame
from rnla.dashboard.curves import APART, Curve, values_axis
from rnla.dashboard.line_words import upward
from rnla.dashboard.page import FIRST_ROWS
from rnla.dashboard.reading import content, names, shown
from rnla.dashboard.spelling import percent as spelt_percent
from rnla.sweeps.source import Resident
from tests.dashboard.test_report import report

SMALL = 60, 40


def percent(*given):
    """As the report spells it, with spaces that break."""
    return spelt_percent(*given).replace("\N{NO-BREAK SPACE}", " ")


def decaying(shape=SMALL, seed=0):
    """A matrix that is not negative, half of it zero, with a spectrum that falls."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(shape) < 0.5, 0.0, rng.random(shape) * 1.3 ** -np.arange(shape[1]))


def told(page):
    """Well-formed plots, and the rows of all tables."""
    for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ET.fromstring(svg)
    assert "nan" not in page
    assert not re.search(r'="[^"]*\binf', page)
    cells = re.findall(r"<tr>(.*?)</tr>", page.replace("\N{NO-BREAK SPACE}", " "))
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in cells]


@pytest.fixture(scope="module")
def cross(tmp_path_factory):
    place = tmp_path_factory.mktemp("cur") / "r.zarr"
    return rnla.cur(decaying(), 6, out=place), place


def test_headline_and_tiles_are_those_of_the_certificate(cross):
    found, place = cross
    page, text = report(place)
    told(page)
    proof = found.certificate
    norm = proof.frobenius_norm
    assert "CUR decomposition of a matrix in memory" in text
    assert "6 columns and 6 rows of a 60 \N{MULTIPLICATION SIGN} 40 matrix of float64" in text
    assert f"C M R leaves {percent(proof.relative_error)} of the matrix" in text
    assert f"their best combination, leave {percent(proof.column_error / norm)}" in text
    assert f"leaves {percent(proof.best_lower / norm)}: the error is at most {upward(proof.ratio)} times" in text
    assert "No fingerprint vouches" not in text  # an array in memory has no chunks


def test_table_of_errors_is_that_of_the_three_bases(cross):
    found, place = cross
    rows = told(report(place)[0])
    proof = found.certificate
    curve = [proof.best_errors, proof.column_errors, proof.errors]
    for k in (1, 2, 5, 6):
        errors = [percent(float(errors[k])) for errors in curve]
        assert any(row[:4] == [str(k), *errors] for row in rows), k


def test_chosen_lines_are_listed_in_their_order_with_what_is_left(cross):
    found, place = cross
    rows = told(report(place)[0])
    proof = found.certificate
    for j, (column, row) in enumerate(zip(found.columns, found.rows, strict=True), 1):
        left = [percent(float(errors[j])) for errors in (proof.column_errors, proof.errors)]
        assert [str(j), str(column), str(row), *left] in rows


def test_curves_lie_where_the_errors_are(cross):
    found, place = cross
    page, _ = report(place)
    lines = re.findall(r'<polyline class="line (c\d)" points="([^"]+)"', page)[:3]
    assert [style for style, _ in lines] == ["c0", "c1", "c2"]
    heights = [np.array([float(point.split(",")[1]) for point in points.split()]) for _, points in lines]
    proof = found.certificate
    best = proof.best_errors[:7]
    values = 100 * np.concatenate([best, proof.column_errors, proof.errors])
    axis = values_axis("", values)
    for drawn, errors in zip(heights, (best, proof.column_errors, proof.errors), strict=True):
        np.testing.assert_allclose(drawn, Frame(axis, axis, height=330).down(100 * errors), atol=0.06)


def test_share_of_entries_that_are_not_zero_is_counted(cross):
    found, place = cross
    rows = told(report(place)[0])
    for name, factor in {"C": found.C, "R": found.R}.items():
        filled = int(np.count_nonzero(np.asarray(factor)))
        share = percent(filled / np.asarray(factor).size)
        assert any(row[0] == name and row[2:] == [f"{filled:,}", share, "none"] for row in rows)


def test_content_of_a_long_factor_is_that_of_the_strips_read():
    part = content(Resident(np.tile([[0.0, -1.0, 2.0, 0.0]], (100, 1))))
    assert (part.entries, part.seen, part.filled, part.negative) == (400, 400, 200, True)
    assert part.share == 0.5


def test_names_and_dates_of_chosen_lines_are_told(tmp_path):
    xarray = pytest.importorskip("xarray")
    days = np.datetime64("2020-01-01", "ns") + np.arange(SMALL[0]) * np.timedelta64(1, "D")
    genes = [f"g<{i}>" for i in range(SMALL[1])]
    A = xarray.DataArray(decaying(), dims=("day", "gene"), coords={"day": days, "gene": genes})
    found = rnla.cur(A, 3, out=tmp_path / "r.zarr")
    page, text = report(tmp_path / "r.zarr")
    told(page)
    assert names(shown(tmp_path / "r.zarr"), "row_names") == [str(days[i])[:10] for i in found.rows]
    assert "column: gene (index from 0, 40 in all)" in text
    for name in found.column_names:
        assert name.replace("<", "&lt;").replace(">", "&gt;") in page
    assert not re.search(r"g<\d", page)
    assert "2020-" in text


@pytest.mark.parametrize("two_sided", [False, True])
def test_id_is_told_with_rows_only_where_it_has_them(tmp_path, two_sided):
    found = rnla.interpolative(decaying(), 5, two_sided=two_sided, out=tmp_path / "r.zarr")
    page, text = report(tmp_path / "r.zarr")
    rows = told(page)
    assert "Interpolative decomposition of" in text
    assert "Two bases side by side" in text
    assert ("W A[rows, columns] X" in text) == two_sided
    assert ("Where the chosen columns and rows lie" in text) == two_sided
    proof = found.certificate
    assert any(row[:3] == ["5", percent(float(proof.best_errors[5])), percent(proof.relative_error)] for row in rows)


def test_wide_matrix_is_told_like_its_transpose(tmp_path):
    found = rnla.cur(decaying().T, 4, out=tmp_path / "r.zarr")
    page, text = report(tmp_path / "r.zarr")
    told(page)
    assert f"C M R leaves {percent(found.certificate.relative_error)}" in text
    assert "column (index from 0, 60 in all)" in text


def test_zero_matrix_leaves_nothing(tmp_path):
    rnla.cur(np.zeros((20, 10)), 2, out=tmp_path / "r.zarr")
    page, text = report(tmp_path / "r.zarr")
    told(page)
    assert "The matrix is zero, and so is the approximation" in text
    assert "the best leaves nothing" in text


def test_matrix_of_rank_one_is_exact_to_rounding(tmp_path):
    found = rnla.cur(np.outer(np.arange(1.0, 9), np.arange(1.0, 6)), 1, out=tmp_path / "r.zarr")
    page, text = report(tmp_path / "r.zarr")
    told(page)
    floor = percent(found.certificate.relative_floor, 2)
    assert f"C M R leaves ≤ {floor} of the matrix" in text
    assert "leaves nothing that could be told from rounding" in text


def test_selector_without_singular_vectors_says_that_the_best_is_not_known(tmp_path):
    found = rnla.cur(decaying(), 4, select="norm-squared", passes=2, out=tmp_path / "r.zarr")
    assert found.certificate.best_lower is None
    page, text = report(tmp_path / "r.zarr")
    told(page)
    assert "How little the best approximation of rank 4 leaves is not known" in text
    assert "error of U" not in text
    assert "in the order in which they were drawn" in text


def test_dependent_columns_end_the_curves_and_are_said(tmp_path):
    A = np.repeat(decaying((30, 4)), 5, axis=1)
    rnla.cur(A, 8, select="uniform", out=tmp_path / "r.zarr")
    _, text = report(tmp_path / "r.zarr")
    assert re.search(r"Of the 8 columns only [1-4] are linearly independent", text)


def test_hundreds_of_columns_are_all_listed(tmp_path):
    count = 250
    rnla.cur(np.eye(count), count, select="uniform", passes=2, out=tmp_path / "r.zarr")
    page, _ = report(tmp_path / "r.zarr")
    told(page)
    assert f"Choices {FIRST_ROWS + 1} to {count}" in page
    assert page.count('<circle class="disc c1" ') == count


def test_thousands_of_places_are_drawn_and_few_at_most_are_named():
    indices = np.random.default_rng(0).permutation(10**6)[:5000]
    svg = curves.places(indices, 10**6, [f"n{i}" for i in indices], "column", "c1", "places")
    ET.fromstring(svg)
    assert svg.count("<circle") == 5000
    assert svg.count('class="note') <= curves.NAMED


def test_bound_is_never_rounded_down():
    for ratio in (1.0, 1.13021, 1.00001, 23.4561, 0.0016501, 98765.4):
        assert float(upward(ratio).replace(",", "")) >= ratio * (1 - 1e-9)
        assert float(upward(ratio).replace(",", "")) <= ratio * 1.0011
    assert upward(np.inf) == "∞"


def test_names_of_curves_stay_apart_and_inside():
    xs = np.arange(3)
    lines = [Curve(f"n{i}", xs, np.array([1.0, 0.5, 1e-4 * i]), "c1", "0") for i in range(3)]
    axis = values_axis("", np.array([0.0, 1.0]))
    svg = curves.comparison(lines, Axis("", 0, 2), axis, "three")
    heights = sorted(float(y) for y in re.findall(r'<text class="name c1" x="[\d.]+" y="([\d.]+)"', svg))
    assert np.diff(heights).min() >= APART - 0.2
    assert heights[-1] <= 330


@pytest.mark.parametrize(("values", "log"), [([100, 20], False), ([100, 0.1], True), ([0, 0], False), ([1, 0], False)])
def test_axis_is_logarithmic_where_values_differ_much(values, log):
    assert values_axis("", np.array(values, dtype=float)).log == log


def test_selectors_are_set_side_by_side_the_best_first(tmp_path):
    found = rnla.cur(decaying(), 6, compare=True, out=tmp_path / "r.zarr")
    proof = found.certificate
    errors = dict(zip(proof.selectors, proof.selector_errors, strict=True)) | {"pivoted": proof.errors}
    ordered = sorted(errors, key=lambda name: errors[name][-1])
    page, text = report(tmp_path / "r.zarr")
    rows = told(page)
    at = rows.index(["rank", *ordered])
    for k, row in zip((1, 2, 5, 6), rows[at + 1 :], strict=False):
        assert row == [str(k), *(percent(float(errors[name][k])) for name in ordered)]
    assert "chosen by pivoted, as here, and by the other selectors" in text
    assert "Selectors side by side" not in report(lone(tmp_path))[1]


def lone(tmp_path):
    rnla.cur(decaying(), 6, out=tmp_path / "lone.zarr")
    return tmp_path / "lone.zarr"


@pytest.mark.parametrize("select", ["pivoted", "uniform"])
def test_selectors_of_a_zero_matrix_leave_nothing(tmp_path, select):
    rnla.cur(np.zeros((20, 10)), 2, select=select, compare=True, out=tmp_path / "r.zarr")
    page, text = report(tmp_path / "r.zarr")
    told(page)
    assert "no selector leaves anything" in text
