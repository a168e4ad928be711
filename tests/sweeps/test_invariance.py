"""The same store gives the same bits on any number of threads and workers, after lost workers and retries.

Another chunk grid changes the answer by rounding only.
"""

import os
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse
import zarr
from distributed import Client, LocalCluster

import rnla
from rnla.sweeps.products import Gram, SumOfSquares
from rnla.sweeps.runners import Cluster, Threads
from tests.backends import BACKENDS, BY_COLUMNS, grouped
from tests.faults import Fault, reads, watched
from tests.matrices import named, random_of
from tests.tolerances import LAYOUT

M, N, CHUNK = 1203, 40, 50
K = 5
pytestmark = pytest.mark.usefixtures("small_panels")


@pytest.fixture(scope="module")
def known():
    return named("21 distinct values", (M, N))


@pytest.fixture(scope="module", params=["dense", "sparse"])
def store(tmp_path_factory, known, request):
    path = tmp_path_factory.mktemp("invariance") / "a.zarr"
    if request.param == "sparse":
        grouped(scipy.sparse.csr_array, known.A, path, chunk=2000)
    else:
        zarr.create_array(str(path), data=known.A, chunks=(CHUNK, N))
    return path


def factored(A):
    """Every number of a centred Krylov SVD."""
    found = rnla.svd(A.centred(), K, method="krylov", passes=3)
    proof = found.certificate
    return [np.asarray(part) for part in (found.U, found.s, found.Vt, proof.lower, proof.upper, proof.spectral_bound)]


def same_bits(found, expected):
    return all(a.tobytes() == b.tobytes() for a, b in zip(found, expected, strict=True))


@pytest.fixture
def undisturbed(store, small_panels):
    return factored(replace(rnla.open(store), runner=Threads(1)))


@pytest.mark.parametrize("threads", [2, 4])
def test_the_number_of_threads_does_not_change_a_bit(store, undisturbed, threads):
    assert same_bits(factored(rnla.open(store, threads=threads)), undisturbed)


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend_gives_the_same_bits_on_any_number_of_threads(tmp_path, backend):
    A, X = random_of("f8", (200, 13)), random_of("f8", (13, 3), 1)

    def swept(threads):
        B = A.T if backend == BY_COLUMNS else A
        opened = replace(BACKENDS[backend](B, tmp_path / str(threads)), runner=Threads(threads))
        return (opened.T if backend == BY_COLUMNS else opened).sweep(Gram(X), SumOfSquares())

    one, four = swept(1), swept(4)
    assert same_bits([one[0], np.array(one[1])], [four[0], np.array(four[1])])


def test_errors_that_pass_do_not_change_a_bit(tmp_path, store, undisturbed):
    A = watched(rnla.open(store), tmp_path / "log", Fault(3, "EIO", times=2), Fault(20, "EIO"), Fault(9, "delay", 8))
    assert same_bits(factored(A), undisturbed)


def test_the_order_in_which_spans_are_done_does_not_change_a_bit(tmp_path, store, undisturbed):
    slow_start = watched(rnla.open(store, threads=2), tmp_path / "log", Fault(0, "delay"), Fault(4, "delay"))
    assert same_bits(factored(slow_start), undisturbed)


class Room:
    """Two worker processes on loopback; one of them may be sent away."""

    def __init__(self):
        self.cluster = LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0", host="127.0.0.1"
        )
        self.client = Client(self.cluster, set_as_default=False)

    def matrix(self, place, workers=2):
        self.cluster.scale(workers)
        while len(self.client.scheduler_info(n_workers=-1)["workers"]) != workers:
            self.client.run_on_scheduler(lambda: None)
        return replace(rnla.open(place), runner=Cluster(self.client))

    def close(self):
        self.client.close()
        self.cluster.close()


@pytest.fixture(scope="module")
def room():
    found = Room()
    yield found
    found.close()


def test_two_workers_give_the_bits_of_one_thread(room, store, undisturbed):
    assert same_bits(factored(room.matrix(store)), undisturbed)


def test_a_worker_killed_in_the_middle_does_not_change_a_bit(tmp_path, room, store, undisturbed):
    log = tmp_path / "log"
    disturbed = watched(room.matrix(store), log, Fault(10, "kill"), Fault(40, "EIO"))
    assert same_bits(factored(disturbed), undisturbed)
    readers = [read.process for read in reads(log)]
    assert os.getpid() not in readers
    assert readers[10] not in readers[11:]


def test_dask_arrays_give_the_same_bits_on_a_cluster(room, known, small_panels):
    lazy = BACKENDS["dask"](known.A, None)
    assert same_bits(factored(replace(lazy, runner=Cluster(room.client))), factored(lazy))


def test_one_worker_gives_the_bits_of_one_thread(room, store, undisturbed):
    assert same_bits(factored(room.matrix(store, workers=1)), undisturbed)


@pytest.mark.parametrize("chunks", [(CHUNK, 7), (M, N), (7, N), (333, 13)])
@pytest.mark.parametrize("version", [2, 3])
def test_another_chunk_grid_changes_the_answer_by_rounding_only(tmp_path, known, undisturbed, chunks, version):
    zarr.create_array(str(tmp_path / "b.zarr"), data=known.A, chunks=chunks, zarr_format=version)
    U, s, Vt, *_ = factored(rnla.open(tmp_path / "b.zarr"))
    U0, s0, Vt0, *_ = undisturbed
    assert np.abs(s / s0 - 1).max() <= LAYOUT
    gap = np.abs(np.diff(np.append(s0, 0))).min() / s0[0]  # vectors move by the rounding over the gap
    assert np.abs(U - U0).max() <= LAYOUT / gap
    assert np.abs(Vt - Vt0).max() <= LAYOUT / gap
