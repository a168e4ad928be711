"""A small store with known singular values, and the command line in this process or in one of its own."""

import subprocess
import sys

import numpy as np
import pytest
import zarr
from click.testing import CliRunner

from rnla.cli import main

ROWS, COLUMNS, CHUNK_ROWS = 400, 30, 50


def written(path, values, chunk_rows=CHUNK_ROWS):
    config = {"write_empty_chunks": True}
    zarr.create_array(str(path), data=values, chunks=(chunk_rows, values.shape[1]), config=config)
    return str(path)


@pytest.fixture(scope="session")
def matrix():
    rng = np.random.default_rng(5)
    U, _ = np.linalg.qr(rng.standard_normal((ROWS, COLUMNS)))
    V, _ = np.linalg.qr(rng.standard_normal((COLUMNS, COLUMNS)))
    return (U * 0.6 ** np.arange(COLUMNS)) @ V


@pytest.fixture
def store(tmp_path, matrix):
    return written(tmp_path / "a.zarr", matrix)


@pytest.fixture
def command():
    """`rnla` in this process."""

    def run(*words):
        return CliRunner().invoke(main, [str(word) for word in words])

    return run


@pytest.fixture
def process():
    """`python -m rnla` in a process of its own."""

    def run(*words, **settings):
        line = [sys.executable, "-m", "rnla", *map(str, words)]
        return subprocess.run(line, capture_output=True, text=True, check=False, timeout=250, **settings)

    return run
