import json
import math

import numpy as np
import pytest

from rnla.cli.output import plain
from tests.cli.conftest import COLUMNS, ROWS


def one_object(done):
    """What was printed, which must be one JSON object and nothing else."""
    assert done.exit_code == 0, done.stderr
    found, end = json.JSONDecoder().raw_decode(done.stdout)
    assert done.stdout[end:].strip() == ""
    assert isinstance(found, dict)
    return found


@pytest.fixture
def result(command, store, tmp_path):
    place = tmp_path / "r.zarr"
    assert command("run", "svd", store, "--k", 5, "--out", place, "--quiet").exit_code == 0
    return place


def test_info(command, store):
    found = one_object(command("info", store, "--json"))
    assert found["shape"] == [ROWS, COLUMNS]
    assert found["bytes"] == found["pass"]["bytes"] == ROWS * COLUMNS * 8
    assert found["chunk_count"] == found["objects"] == found["objects_expected"] == 8
    assert found["manifest"]["state"] == "absent"
    assert found["codecs"] == ["zstd"]


def test_plan(command, store):
    found = one_object(command("plan", "svd", store, "--k", 5, "--json"))
    assert found["fits"] is True
    assert found["bytes_read"] == found["passes"] * ROWS * COLUMNS * 8


def test_plan_that_does_not_fit_is_still_one_object(command, store):
    done = command("plan", "svd", store, "--k", 5, "--json", "--memory", "1MB")
    assert json.loads(done.stdout)["fits"] is False
    assert done.exit_code == 5


def test_run_says_where_the_result_is_and_how_it_ended(command, store, tmp_path):
    line = ["run", "svd", store, "--k", 5, "--out", tmp_path / "r.zarr", "--json"]
    first, again = one_object(command(*line)), one_object(command(*line))
    assert first["path"] == str(tmp_path / "r.zarr")
    assert (first["status"], first["reused"], again["reused"]) == ("ok", False, True)
    assert first["attributes"]["cost"]["passes"] == pytest.approx(first["attributes"]["plan"]["passes"])


def test_show_gives_every_mode_with_its_interval(command, result, matrix):
    found = one_object(command("show", result, "--json"))
    s = np.linalg.svd(matrix, compute_uv=False)
    assert len(found["modes"]) == 5
    for mode, sigma in zip(found["modes"], s, strict=False):
        slack = 1e-9 * s[0]
        assert mode["lower"] - slack <= sigma <= mode["upper"] + slack
    assert found["arrays"]["U"] == [ROWS, 5]


def test_fingerprint_verify_and_rechunk(command, store, tmp_path):
    manifest = one_object(command("fingerprint", store, "--json"))["manifest"]
    found = one_object(command("verify", store, "--json"))
    assert (found["sound"], found["manifest"], found["chunks"]) == (True, manifest, 8)
    copied = one_object(command("rechunk", store, tmp_path / "b.zarr", "--panel", "20kB", "--json"))
    assert copied["chunks"][1] == COLUMNS


def test_an_error_is_an_object_too(command, store, tmp_path):
    done = command("run", "svd", store, "--k", 99, "--out", tmp_path / "r.zarr", "--json")
    found = json.loads(done.stdout)
    assert (found["status"], found["error"], found["exit_code"]) == ("error", "RankError", done.exit_code)
    assert found["message"] in done.stderr


def test_numbers_that_json_lacks_become_null():
    given = {"a": math.nan, "b": [np.float32(2), np.inf], "c": np.arange(2), "d": (True, None)}
    assert plain(given) == {"a": None, "b": [2.0, None], "c": [0, 1], "d": [True, None]}
