import json
from pathlib import Path

import numpy as np
import pytest
import xarray
import zarr

import rnla
from rnla.arrays import spelt_bytes
from rnla.errors import IntegrityError, StoreError
from rnla.store.results import read_result
from tests.cli.conftest import written  # the same way of writing a store


@pytest.fixture
def result(command, store, tmp_path):
    place = tmp_path / "r.zarr"
    assert command("run", "pca", store, "--k", 6, "--out", place, "--quiet").exit_code == 0
    return place


def test_show_prints_certificate_modes_and_scree_plot(command, result, matrix):
    page = command("show", result).stdout
    largest = np.linalg.svd(matrix - matrix.mean(axis=0), compute_uv=False)[0]
    assert "with probability" in page
    assert f"{largest:.6g}"[:6] in page
    assert "resolved" in page
    assert "█" in page
    assert "singular values 1 to 6, logarithmic" in page


@pytest.mark.parametrize(("pipeline", "whole"), [("svd", "sum of squares"), ("pca", "variance")])
def test_what_is_explained_is_named_as_in_the_report(command, store, tmp_path, pipeline, whole):
    place = tmp_path / "r.zarr"
    command("run", pipeline, store, "--k", 3, "--out", place, "--quiet")
    assert f"% of the {whole}\n" in command("show", place, "--html", tmp_path / "r.html").stdout
    assert f"of the {whole}" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_a_zero_matrix_explains_nothing(command, tmp_path):
    store = written(tmp_path / "z.zarr", np.zeros((40, 30)))
    command("run", "svd", store, "--k", 2, "--out", tmp_path / "r.zarr", "--quiet")
    page = command("show", tmp_path / "r.zarr").stdout
    assert "nothing, the sum of squares is 0" in page
    assert "all but" not in page


def test_intervals_narrower_than_the_digits_have_a_width(command, result):
    page = command("show", result).stdout
    lines = {line.split()[0]: line.split() for line in page.splitlines() if line.endswith(("yes  ", "no  "))}
    found = read_result(result).arrays
    widths = (found["upper"] - found["lower"]) / found["singular_values"]
    assert [float(lines[str(i + 1)][4]) for i in range(6)] == pytest.approx(widths, rel=0.06)  # two digits


def test_the_table_is_as_long_as_asked(command, result):
    page = command("show", result, "--modes", 2).stdout
    assert "4 more: --modes 6" in page


def test_html_is_written_and_named(command, result, tmp_path):
    pytest.importorskip("rnla.dashboard.report")
    done = command("show", result, "--html", tmp_path / "r.html")
    assert done.stderr == f"report: {tmp_path / 'r.html'}\n"
    assert "<html" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_a_quiet_show_writes_the_report_and_prints_nothing(command, result, tmp_path):
    done = command("show", result, "-q", "--html", tmp_path / "r.html")
    assert (done.exit_code, done.output) == (0, "")
    assert "<html" in (tmp_path / "r.html").read_text(encoding="utf-8")
    assert json.loads(command("show", result, "--quiet", "--json").stdout)["pipeline"] == "pca"
    assert "no such file or folder" in command("show", tmp_path / "none", "--quiet").stderr


@pytest.mark.parametrize("line", [["show", "{none}"], ["plan", "predict", "{store}", "--network", "{none}"]])
def test_a_result_that_is_not_there_is_told_as_absent(command, store, tmp_path, line):
    done = command(*(word.format(none=tmp_path / "none.zarr", store=store) for word in line))
    assert done.exit_code == StoreError.exit_code
    assert done.stderr == f"error: {tmp_path / 'none.zarr'}: there is no such file or folder; check the path\n"


def test_a_damaged_result_is_told_as_such(command, result, tmp_path):
    chunk = result / "scores" / "c" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:-1] + b"x")
    done = command("show", result, "--html", tmp_path / "r.html")
    assert done.exit_code == IntegrityError.exit_code
    assert "scores: key c/0/0" in done.stderr


def test_chunks_that_were_absent_are_told(command, store, tmp_path):
    Path(store, "c/1/0").unlink()
    line = ["--k", 2, "--allow-missing", "--out", tmp_path / "r.zarr", "--quiet"]
    assert command("run", "svd", store, *line).exit_code == 0
    done = command("show", tmp_path / "r.zarr", "--html", tmp_path / "r.html")
    assert "1 chunk, read as the fill value" in done.stdout
    assert "as was asked for: 1 chunk." in (tmp_path / "r.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("how", ["mask", "impute-mean"])
def test_missing_values_are_told(command, tmp_path, how):
    A = np.random.default_rng(0).standard_normal((40, 12))
    A[[3, 7, 30], [1, 5, 1]] = np.nan, np.inf, -np.inf
    zarr.create_array(tmp_path / "a.zarr", data=A, chunks=(10, 12))
    done = command(
        "run", "svd", tmp_path / "a.zarr", "--k", 2, "--missing", how, "--out", tmp_path / "r.zarr", "--quiet"
    )
    assert done.exit_code == 0
    assert f"3 values NaN or infinite, treated by {how}" in command("show", tmp_path / "r.zarr").output
    command("show", tmp_path / "r.zarr", "--html", tmp_path / "r.html")
    assert f"treated by <b>{how}</b>: 3 values" in (tmp_path / "r.html").read_text()


def test_a_tolerance_that_was_missed_is_told(command, store, tmp_path):
    line = ["--k", 2, "--tol", 1e-6, "--out", tmp_path / "t.zarr"]
    done = command("run", "svd", store, *line)
    assert "tolerance_not_met" in done.stderr
    assert "NOT met" in command("show", tmp_path / "t.zarr").stdout


TOLD = {  # pipeline, options, what its listing is called in JSON, words of its page
    "cur": (["--k", 3], "lines", ("columns alone", "best ", "at most ", "times the best", "█", "columns and rows")),
    "id": (["--k", 3], "lines", ("by any matrix of rank 3", "relative error after 1 to 3 columns,", "█")),
    "column-norms": ([], "columns", ("norm           ||A||_F = ", "right to rounding", "squared norm")),
    "sampled-product": (
        ["--draws", 50, "--transposed"],
        "draws",
        ("expected ", "by probes, for this draw", "of 400 terms"),
    ),
    "similarity": (["--threshold", 0.4], "pairs", ("with a cosine of 0.4 or more", "missed         none", "cosine")),
}


@pytest.mark.parametrize("name", TOLD)
def test_every_pipeline_is_planned_run_and_shown_in_its_own_words(command, store, tmp_path, name):
    options, listed, words = TOLD[name]
    planned = command("plan", name, store, *options)
    assert planned.exit_code == 0, planned.stderr
    assert f"pipeline       {name}" in planned.stdout
    done = command("run", name, store, *options, "--out", tmp_path / "r.zarr")
    assert done.exit_code == 0, done.stderr
    assert done.stderr.startswith(f"{name} done")
    page = command("show", tmp_path / "r.zarr").stdout
    assert all(word in page for word in words), page
    found = json.loads(command("show", tmp_path / "r.zarr", "--json").stdout)
    assert found["certificate"]["status"] == "ok"
    assert 0 < len(found[listed]) <= found["count"]
    assert command("verify", tmp_path / "r.zarr").exit_code == 0


def test_the_lines_of_a_cur_are_listed_with_the_error_after_each(command, store, tmp_path):
    command("run", "cur", store, "--k", 4, "--rows", 6, "--out", tmp_path / "r.zarr", "--quiet")
    lines = json.loads(command("show", tmp_path / "r.zarr", "--json").stdout)["lines"]
    arrays = read_result(tmp_path / "r.zarr").arrays
    assert [line["row"] for line in lines] == arrays["rows"].tolist()
    assert [line["column"] for line in lines] == [*arrays["columns"].tolist(), None, None]
    assert [line["error"] for line in lines[:4]] == arrays["errors"][1:5].tolist()


def test_names_of_lines_are_shown(command, tmp_path, matrix):
    genes = [f"gene{j}" for j in range(matrix.shape[1])]
    A = xarray.DataArray(matrix, dims=("columns", "gene"), coords={"gene": genes})
    found = rnla.cur(A, 3, out=tmp_path / "r.zarr")
    page = command("show", tmp_path / "r.zarr").stdout
    assert all(f"gene{j} " in page for j in found.columns)
    with xarray.open_zarr(tmp_path / "r.zarr") as data:
        assert data["C"].dims == ("columns_", "chosen_column")


def test_the_largest_columns_of_a_wide_matrix_are_found_in_strips(command, tmp_path, matrix, monkeypatch):
    monkeypatch.setattr("rnla.cli.listings.STRIP_ROWS", 7)
    store = written(tmp_path / "w.zarr", np.ascontiguousarray(matrix.T), 10)
    command("run", "column-norms", store, "--out", tmp_path / "r.zarr", "--quiet")
    found = json.loads(command("show", tmp_path / "r.zarr", "--json", "--modes", 5).stdout)["columns"]
    squares = np.sum(matrix**2, axis=1)
    assert [row["column"] for row in found] == np.argsort(-squares)[:5].tolist()


def test_a_product_that_misses_its_tolerance_ends_with_3(command, store, tmp_path):
    line = ["--transposed", "--draws", 5, "--tol", 0.01, "--out", tmp_path / "r.zarr"]
    done = command("run", "sampled-product", store, *line)
    assert done.exit_code == 3
    assert "tolerance_not_met, expected relative error" in done.stderr
    page = command("show", tmp_path / "r.zarr").stdout
    terms = rnla.load(tmp_path / "r.zarr").certificate.terms
    assert f"NOT met: take every term once, which is exact: --no-replace --draws {terms}" in page
    command("run", "sampled-product", store, *line[:-1], tmp_path / "s.zarr", "--no-replace", "--draws", terms)
    assert "0.01, met" in command("show", tmp_path / "s.zarr").stdout


def test_both_factors_of_a_product_are_told(command, store, tmp_path, matrix):
    right = written(tmp_path / "b.zarr", matrix.T[:, :40], 30)
    line = ["--right", right, "--draws", 8, "--out", tmp_path / "r.zarr", "--quiet"]
    assert command("run", "sampled-product", store, *line).exit_code == 0
    page = command("show", tmp_path / "r.zarr").stdout
    assert f"right          {right}, 30 x 40 float64; not verified" in page


def test_dates_are_told_as_dates(command, tmp_path, matrix):
    days = np.datetime64("2020-01-01", "ns") + np.arange(matrix.shape[0]) * np.timedelta64(1, "D")
    A = xarray.DataArray(matrix, dims=("day", "gene"), coords={"day": days})
    cross = rnla.cur(A, 2, out=tmp_path / "cur")
    rnla.norms(A.T, out=tmp_path / "norms")
    for row in cross.rows:
        assert str(days[row])[:10] in command("show", tmp_path / "cur").stdout
    listed = json.loads(command("show", tmp_path / "norms", "--json").stdout)["columns"]
    assert [line["day"] for line in listed] == [str(days[line["column"]])[:10] for line in listed]


def test_reads_of_different_size_are_told_one_by_one(command, tmp_path, store):
    command("run", "sampled-product", store, "--draws", 3, "--transposed", "--out", tmp_path / "r", "--quiet")
    first, second = rnla.load(tmp_path / "r").cost.sweeps
    assert second < first
    assert f"({spelt_bytes(first)}, then {spelt_bytes(second)})" in command("show", tmp_path / "r").stdout
