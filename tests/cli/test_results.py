from pathlib import Path

import numpy as np
import pytest

from rnla.errors import IntegrityError


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


def test_the_table_is_as_long_as_asked(command, result):
    page = command("show", result, "--modes", 2).stdout
    assert "4 more: --modes 6" in page


def test_html_is_written_and_named(command, result, tmp_path):
    pytest.importorskip("rnla.dashboard.report")
    done = command("show", result, "--html", tmp_path / "r.html")
    assert done.stderr == f"report: {tmp_path / 'r.html'}\n"
    assert "<html" in (tmp_path / "r.html").read_text(encoding="utf-8")


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


def test_a_tolerance_that_was_missed_is_told(command, store, tmp_path):
    line = ["--k", 2, "--tol", 1e-12, "--out", tmp_path / "t.zarr"]
    done = command("run", "svd", store, *line)
    assert "tolerance_not_met" in done.stderr
    assert "NOT met" in command("show", tmp_path / "t.zarr").stdout
