"""Who sweeps is settled when a job starts: the client that is active then, or the threads of this process."""

import subprocess
import sys
import threading
from dataclasses import replace

import dask.array
import numpy as np
import pytest
from distributed import Client, LocalCluster

import rnla
import rnla.sweeps.graphs
from rnla.errors import ClusterError
from rnla.sweeps.runners import Cluster, Threads
from tests.backends import BACKENDS
from tests.matrices import random_of

A = random_of("f8", (200, 13))


@pytest.fixture
def sweeps(monkeypatch):
    """The clients that sweeps were given to, in order."""
    run, seen = rnla.sweeps.graphs.run_on_cluster, []

    def noted(client, work, progress):
        seen.append(client)
        return run(client, work, progress)

    monkeypatch.setattr(rnla.sweeps.graphs, "run_on_cluster", noted)
    return seen


def started():
    return Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address="127.0.0.1:0")


@pytest.mark.parametrize("backend", ["zarr v3", "dask"])
def test_a_matrix_that_is_open_runs_on_the_client_that_is_active_when_a_job_starts(tmp_path, sweeps, backend):
    matrix = BACKENDS[backend](A, tmp_path / "in")
    before = rnla.svd(matrix, 3)
    assert not sweeps
    with started() as client:
        during = rnla.svd(matrix, 3, out=tmp_path / "out.zarr")
        assert set(sweeps) == {client}
        opened = rnla.open(matrix.centred())
        assert rnla.plan("svd", matrix, 3).threads == 2
    made = len(sweeps)
    after = rnla.svd(matrix, 3)
    assert rnla.svd(opened, 3).s.shape == (3,)
    assert len(sweeps) == made, "the client was closed, so the threads of this process did it"
    for found in (during, after):
        assert found.s.tobytes() == before.s.tobytes()
        assert np.asarray(found.U).tobytes() == np.asarray(before.U).tobytes()


def test_data_in_memory_stays_in_this_process(sweeps):
    with started():
        assert rnla.svd(A, 3).s.shape == (3,)
        assert rnla.plan("svd", rnla.open(A, threads=3), 3).threads == 3
    assert not sweeps


def test_a_runner_that_was_given_stays(tmp_path, sweeps):
    matrix = BACKENDS["zarr v3"](A, tmp_path)
    with started():
        rnla.norms(replace(matrix, runner=Threads(1)))
    assert not sweeps


@pytest.mark.parametrize(
    "job", [lambda A: rnla.svd(A, 2), lambda A: rnla.plan("svd", A, 2), rnla.norms], ids=["svd", "plan", "norms"]
)
def test_a_client_that_was_closed_is_told_with_the_cure(tmp_path, job):
    with started() as client:
        matrix = replace(BACKENDS["zarr v3"](A, tmp_path), runner=Cluster(client))
    with pytest.raises(ClusterError, match=r"the Dask client is closed.*connect anew"):
        job(matrix)


BEGUN, CLOSED = threading.Event(), threading.Event()


def waiting(block):
    BEGUN.set()
    assert CLOSED.wait(60)
    return block


def test_a_client_that_is_closed_while_it_works_is_told():
    lazy = dask.array.from_array(A, chunks=(50, 13)).map_blocks(waiting, dtype="f8", meta=A[:0])
    with (
        LocalCluster(processes=False, n_workers=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):

        def closing():
            assert BEGUN.wait(60)
            client.close()  # the cluster goes on: closing it would wait for the task that waits for this
            CLOSED.set()

        closer = threading.Thread(target=closing)
        closer.start()
        with pytest.raises(ClusterError, match="client was closed"):
            rnla.norms(lazy)
        closer.join()


def test_without_a_client_nothing_that_takes_seconds_to_import_is_imported(tmp_path):
    BACKENDS["zarr v3"](A, tmp_path)
    code = f"""
import sys, rnla
from rnla.sweeps.products import SumOfSquares
rnla.open({str(tmp_path)!r}).sweep(SumOfSquares())
print(sorted({{"dask", "distributed", "pandas", "scipy.stats", "xarray"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
