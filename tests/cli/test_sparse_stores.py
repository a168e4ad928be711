"""What the command line says of sparse groups, and does with them."""

import json

import numpy as np
import pytest
import scipy.sparse
import zarr

import rnla
from rnla.errors import IntegrityError, RequestError
from rnla.store.manifest import MANIFEST_KEY
from tests.backends import grouped
from tests.tolerances import backward

SHAPE = (53, 29)


@pytest.fixture
def matrix():
    rng = np.random.default_rng(4)
    return scipy.sparse.random_array(SHAPE, density=0.3, rng=rng, data_sampler=rng.standard_normal).toarray()


@pytest.fixture
def cells(tmp_path, matrix):
    grouped(scipy.sparse.csc_array, matrix, tmp_path / "cells.zarr")
    return tmp_path / "cells.zarr"


def test_info_tells_nonzeros_and_the_side_they_are_kept_by(command, cells, matrix):
    done = command("info", cells)
    assert done.exit_code == 0, done.stderr
    for words in (
        "53 x 29 float64",
        f"{np.count_nonzero(matrix)} (0.3",
        "csc_matrix",
        "its columns",
        "rnla fingerprint",
    ):
        assert words in done.stdout
    facts = json.loads(command("info", cells, "--json").stdout)
    assert facts["nonzeros"] == np.count_nonzero(matrix)
    assert facts["pass"]["bytes"] == facts["bytes"] == facts["nonzeros"] * 12


def test_fingerprints_cover_all_vectors_and_verify_compares_them(command, cells):
    made = command("fingerprint", cells)
    assert "data, indices and indptr" in made.stdout
    assert all((cells / name / MANIFEST_KEY).exists() for name in ("data", "indices", "indptr"))
    assert "every chunk is checked" in command("info", cells).stdout
    assert "sound" in command("verify", cells).stdout
    (cells / "indices" / "c" / "0").unlink()
    done = command("verify", cells)
    assert done.exit_code == IntegrityError.exit_code
    assert "cells.zarr/indices: key c/0" in done.stderr


def test_a_job_runs_on_the_path_of_a_group(command, tmp_path, cells, matrix):
    assert command("plan", "pca", cells, "--k", "3").exit_code == 0
    done = command("run", "pca", cells, "--k", "3", "--out", tmp_path / "out.zarr", "--quiet")
    assert done.exit_code == 0, done.stderr
    s = np.linalg.svd(matrix - matrix.mean(axis=0), compute_uv=False)
    assert np.abs(rnla.load(tmp_path / "out.zarr").singular_values - s[:3]).max() <= backward("f8", SHAPE, s[0])


def test_rechunk_turns_a_group_to_its_longer_side(command, tmp_path, cells, matrix):
    done = command("rechunk", cells, tmp_path / "b.zarr")
    assert done.exit_code == 0, done.stderr
    assert "in a csr_matrix" in done.stdout
    assert "its rows" in command("info", tmp_path / "b.zarr").stdout
    assert "sound" in command("verify", tmp_path / "b.zarr").stdout
    assert np.array_equal(rnla.open(tmp_path / "b.zarr").to_dask().compute(), matrix)
    same = json.loads(command("rechunk", cells, tmp_path / "c.zarr", "--along", "columns", "--json").stdout)
    assert (same["encoding"], same["stages"]) == ("csc_matrix", 1)


def test_rechunk_compresses_no_array(command, tmp_path, matrix):
    zarr.create_array(tmp_path / "a.zarr", data=matrix)
    done = command("rechunk", tmp_path / "a.zarr", tmp_path / "b.zarr", "--along", "rows")
    assert done.exit_code == RequestError.exit_code
    assert "only sparse groups" in done.stderr
