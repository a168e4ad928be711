"""Copies of sparse groups: equal to the source along either side, checked, within the memory, and published whole."""

import errno

import numpy as np
import pytest
import scipy.sparse
import zarr

import rnla
from rnla.errors import DoesNotFitError, IntegrityError, OutputExistsError, RequestError, StorageFullError
from rnla.store.manifest import verify
from rnla.store.rechunk import rechunk
from tests.backends import grouped

CLASSES = {"csr_matrix": scipy.sparse.csr_array, "csc_matrix": scipy.sparse.csc_array}
ENCODINGS = {"rows": "csr_matrix", "columns": "csc_matrix"}
PANEL_BYTES = 700
ENOUGH, TIGHT = 10_000_000, 40_000  # the second makes many bands
MARGIN_BYTES = 400_000  # of Python and zarr themselves


def taken(place):
    """A group as scipy takes it."""
    group = zarr.open_group(place, mode="r")
    parts = tuple(group[name][:] for name in ("data", "indices", "indptr"))
    return CLASSES[group.attrs["encoding-type"]](parts, shape=tuple(group.attrs["shape"]))


def matrix(shape, dtype):
    rng = np.random.default_rng(3)
    values = 1 + 9 * rng.random(shape) + (1j * rng.random(shape) if np.dtype(dtype).kind == "c" else 0)
    return values.astype(dtype) * (rng.random(shape) < 0.2)


@pytest.mark.parametrize("memory_bytes", [TIGHT, ENOUGH])
@pytest.mark.parametrize("along", [None, "rows", "columns"])
@pytest.mark.parametrize("dtype", ["f4", "i2", "?", "c16"])
@pytest.mark.parametrize("encoding", CLASSES)
def test_a_copy_equals_its_source(tmp_path, encoding, dtype, along, memory_bytes):
    A = matrix((503, 37), dtype)
    grouped(CLASSES[encoding], A, tmp_path / "a")
    done = rechunk(tmp_path / "a", tmp_path / "b", along=along, panel_bytes=PANEL_BYTES, memory_bytes=memory_bytes)
    B = taken(tmp_path / "b")
    assert np.array_equal(B.toarray(), A)
    assert B.dtype == A.dtype
    assert done.encoding == ENCODINGS[along or "rows"]
    assert done.stages == (1 if done.encoding == encoding else 2)
    assert done.reads <= 2
    report = verify(tmp_path / "b")
    assert report.sound
    assert report.manifest == done.manifest
    assert np.array_equal(rnla.open(tmp_path / "b").to_dask().compute(), A)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize("along", ["rows", "columns"])
def test_repeated_and_unsorted_elements_stay_as_they_are(tmp_path, along):
    data, indices, indptr = np.arange(1.0, 7.0), np.array([4, 1, 4, 0, 0, 2]), np.array([0, 3, 3, 6])
    group = zarr.create_group(tmp_path / "a", attributes={"encoding-type": "csr_matrix", "shape": [3, 5]})
    for name, values in (("data", data), ("indices", indices), ("indptr", indptr)):
        group.create_array(name, data=values)
    rechunk(tmp_path / "a", tmp_path / "b", along=along)
    B = taken(tmp_path / "b")
    assert B.nnz == 6
    assert np.array_equal(B.toarray(), scipy.sparse.csr_array((data, indices, indptr), shape=(3, 5)).toarray())


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (5, 1), (1, 1)], ids=str)
@pytest.mark.parametrize("along", ["rows", "columns"])
def test_the_smallest_groups_are_copied(tmp_path, shape, along):
    grouped(scipy.sparse.csr_array, np.ones(shape), tmp_path / "a")
    rechunk(tmp_path / "a", tmp_path / "b", along=along)
    B = taken(tmp_path / "b")
    assert np.array_equal(B.toarray(), np.ones(shape))
    assert verify(tmp_path / "b").sound


@pytest.mark.parametrize("along", ["rows", "columns"])
def test_memory_stays_within_its_bound(killer, tmp_path, along):
    memory_bytes, rng = 8_000_000, np.random.default_rng(0)
    A = scipy.sparse.random_array((200_000, 500), density=0.03, rng=rng, dtype=np.float32, format="csc")  # 24 MB
    grouped(scipy.sparse.csc_array, A, tmp_path / "a", chunk=50_000)
    grouped(scipy.sparse.csc_array, A[:1000], tmp_path / "small", chunk=5000)
    small, source, target = (tmp_path / name for name in ("small", "a", "b"))
    peak, _ = killer.rechunked(small, source, target, along=along, panel_bytes=200_000, memory_bytes=memory_bytes)
    assert peak <= memory_bytes + MARGIN_BYTES
    assert (taken(tmp_path / "b") != A).nnz == 0


def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path):
    grouped(scipy.sparse.csr_array, matrix((503, 37), "f4"), tmp_path / "a")
    with pytest.raises(DoesNotFitError, match="row pointers of both sides"):
        rechunk(tmp_path / "a", tmp_path / "b", along="columns", memory_bytes=9000)
    long = np.zeros((900, 37))
    long[:, 3] = 1.0
    grouped(scipy.sparse.csr_array, long, tmp_path / "long")
    with pytest.raises(DoesNotFitError, match="one of its columns holds 900 elements"):
        rechunk(tmp_path / "long", tmp_path / "b", along="columns", panel_bytes=PANEL_BYTES, memory_bytes=TIGHT)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "long"]


@pytest.mark.parametrize("along", ["rows", "columns"])
def test_a_damaged_source_gives_no_copy(tmp_path, along):
    grouped(scipy.sparse.csr_array, matrix((503, 37), "f4"), tmp_path / "a")
    zarr.open_array(tmp_path / "a" / "indices")[700] = 37
    with pytest.raises(IntegrityError, match=r"names column 37 \(indices\[700\]\)"):
        rechunk(tmp_path / "a", tmp_path / "b", along=along)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_full_disk_keeps_nothing_and_says_so(tmp_path, monkeypatch):
    grouped(scipy.sparse.csr_array, matrix((503, 37), "f4"), tmp_path / "a")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("rnla.store.writing.write_file", full)
    with pytest.raises(StorageFullError, match=r"disk is full.*run the same command again$"):
        rechunk(tmp_path / "a", tmp_path / "b")
    assert [place.name for place in tmp_path.iterdir()] == ["a"]


def test_only_copies_of_rnla_are_overwritten(tmp_path):
    A = matrix((503, 37), "f4")
    grouped(scipy.sparse.csr_array, A, tmp_path / "a")
    rechunk(tmp_path / "a", tmp_path / "b")
    rechunk(tmp_path / "a", tmp_path / "b", overwrite=True, along="columns")
    with pytest.raises(OutputExistsError, match="did not make"):
        rechunk(tmp_path / "b", tmp_path / "a", overwrite=True)
    with pytest.raises(RequestError, match="this is the source itself"):
        rechunk(tmp_path / "b", tmp_path / "b", overwrite=True)
    assert np.array_equal(taken(tmp_path / "b").toarray(), A)
