"""Squared norms: exact for integers, one read, and none where they are kept beside the store."""

import dataclasses
import json
from pathlib import Path

import dask.array
import numpy as np
import pytest
import scipy.sparse
import zarr
from distributed import Client

import rnla
import rnla.store.norms_file
from rnla.algorithms.norms import norms
from rnla.errors import DoesNotFitError, IntegrityError, OutputError, RequestError
from rnla.opening import open_matrix
from rnla.store.manifest import fingerprint
from rnla.sweeps.meters import Meter
from rnla.sweeps.source import Memory
from tests.backends import BACKENDS, SPARSE, grouped
from tests.faults import reads, watched
from tests.matrices import random_of
from tests.tolerances import LAYOUT, sum_rounding

WIDEST = {"i1": 2**7, "u1": 2**8 - 1, "i2": 2**15, "u2": 2**16 - 1, "i4": 2**31, "u4": 2**32 - 1, "i8": 2**32 - 1,
          "?": 1}  # fmt: skip


def integers(kind, shape, seed=0):
    rng = np.random.default_rng(seed)
    low = 0 if kind[0] in "u?" else -WIDEST[kind] + (kind == "i8")
    top = WIDEST[kind] - (kind in ("i1", "i2", "i4"))
    A = rng.integers(low, top, shape, dtype=np.int64, endpoint=True)
    A[0, 0] = low  # the one whose modulus is largest
    return A.astype(kind)


def exactly(A):
    """Sums of squares of Python integers, rounded once: of columns, of rows, of all."""
    squares = [[int(x) ** 2 for x in row] for row in A.tolist()]
    columns = [float(sum(column)) for column in zip(*squares, strict=True)]
    return columns, [float(sum(row)) for row in squares], float(sum(map(sum, squares)))


@pytest.mark.parametrize("kind", WIDEST)
@pytest.mark.parametrize("shape", [(131, 11), (11, 131)])
def test_norms_of_integers_are_exact(tmp_path, small_cuts, kind, shape):
    A = integers(kind, shape)
    holed = np.where(random_of("?", shape, 9), A, np.zeros((), A.dtype))
    of_dense, of_sparse = exactly(A), exactly(holed)
    for backend in BACKENDS:
        B, expected = (holed, of_sparse) if backend in SPARSE else (A, of_dense)
        found = rnla.norms(BACKENDS[backend](B, tmp_path / backend.replace(" ", "")))
        assert np.asarray(found.columns).tolist() == expected[0], backend
        assert np.asarray(found.rows).tolist() == expected[1], backend
        assert found.frobenius == np.sqrt(expected[2]), backend


def test_integers_beyond_2_32_are_squared_to_rounding():
    A = np.array([[2**40 + 1, 3], [2**33, -(2**52)]])
    exact = exactly(A)
    found = rnla.norms(A)
    assert np.allclose(found.columns, exact[0], rtol=sum_rounding("f8", 2), atol=0)
    assert found.frobenius == pytest.approx(np.sqrt(exact[2]), rel=sum_rounding("f8", 4))


@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_squares_that_are_no_numbers_are_refused(scale):
    with pytest.raises(rnla.errors.OverflowedError):
        rnla.norms(random_of("f8", (30, 4)) * scale)


def test_norms_of_a_view_are_those_of_the_view(tmp_path, small_panels):
    A = integers("i2", (60, 7))
    view = BACKENDS["zarr v3"](A, tmp_path).centred().weighted(columns=np.arange(1.0, 8))
    B = (A - A.mean(axis=0)) * np.arange(1.0, 8)
    assert np.allclose(rnla.norms(view).columns, (B**2).sum(axis=0), rtol=LAYOUT)


@pytest.fixture(params=["array", "fingerprinted array", "sparse group", "fingerprinted sparse group"])
def store(request, tmp_path):
    """A store of 90 x 40, and the matrix."""
    A = random_of("f4", (90, 40))
    place = tmp_path / "a.zarr"
    if "sparse" in request.param:
        grouped(scipy.sparse.csc_array, A, place, compressors=None)
    else:
        zarr.create_array(str(place), data=A, chunks=(20, 15), compressors=None)
    if "fingerprinted" in request.param:
        fingerprint(place)
    return place, A


def same(found, other):
    return all(
        np.asarray(getattr(found, side)).tobytes() == np.asarray(getattr(other, side)).tobytes()
        for side in ("columns", "rows")
    ) and found.frobenius == other.frobenius  # fmt: skip


@pytest.mark.parametrize("piece", [1 << 20, 16])
def test_norms_that_are_kept_are_taken_without_a_read(monkeypatch, small_panels, store, piece):
    monkeypatch.setattr(rnla.store.norms_file, "PIECE", piece)
    place, _ = store
    first = rnla.norms(place, keep=True)
    again = rnla.norms(place)
    turned = rnla.norms(rnla.open(place).T)
    assert (first.cost.passes, again.cost.passes, turned.cost.passes) == (1, 0, 0)
    assert same(first, again)
    assert np.array_equal(np.asarray(turned.rows), np.asarray(first.columns))
    assert np.array_equal(np.asarray(turned.columns), np.asarray(first.rows))
    assert len(list(place.glob("rnla-norms*"))) == 1 + sum(-(-size // piece) for size in (90, 40))
    assert rnla.norms(place, keep=True).cost.passes == 0


def test_keeping_norms_changes_nothing_of_the_store(store):
    place, A = store
    before = rnla.open(place).source.identity
    rnla.norms(place, keep=True)
    assert rnla.open(place).source.identity == before
    assert np.array_equal(as_stored(place), A)


def as_stored(place):
    return rnla.open(place).to_dask().compute()


def elements(place):
    """The array that holds the elements: of a sparse group, its data."""
    return place / "data" if (place / "data").exists() else place


def change_chunk(place):
    z = zarr.open_array(elements(place), mode="r+")
    z[(0,) * z.ndim] = 100.0


def change_metadata(place):
    file = elements(place) / "zarr.json"
    metadata = json.loads(file.read_text())
    metadata["fill_value"] = 7.0
    file.write_text(json.dumps(metadata))


def lose_piece(place):
    (place / "rnla-norms.rows.0").unlink()


def flip_piece(place):
    file = place / "rnla-norms.columns.0"
    raw = bytearray(file.read_bytes())
    raw[3] ^= 1
    file.write_bytes(raw)


def cut_piece(place):
    file = place / "rnla-norms.rows.0"
    file.write_bytes(file.read_bytes()[:-8])


def tear_head(place):
    file = place / "rnla-norms.npz"
    file.write_bytes(file.read_bytes()[:50])


def other_head(place):
    np.savez(place / "rnla-norms.npz", format=2)


@pytest.mark.parametrize(
    "spoil", [change_chunk, change_metadata, lose_piece, flip_piece, cut_piece, tear_head, other_head]
)
def test_norms_of_another_store_or_damaged_ones_are_computed_again(store, spoil):
    place, _ = store
    rnla.norms(place, keep=True)
    spoil(place)
    manifest = elements(place) / "rnla-manifest.npz"
    if spoil in (change_chunk, change_metadata) and manifest.exists():
        fingerprint(place)
    found = rnla.norms(place, keep=True)
    A = as_stored(place).astype("f8")
    assert found.cost.passes == 1
    assert np.allclose(np.asarray(found.columns), (A**2).sum(axis=0), rtol=LAYOUT)
    assert np.allclose(np.asarray(found.rows), (A**2).sum(axis=1), rtol=LAYOUT)
    assert rnla.norms(place).cost.passes == 0


def stored_chunk(place):
    """The file of some chunk of the elements."""
    return next(file for file in sorted((elements(place) / "c").rglob("*")) if file.is_file())


def lose_chunk(place):
    stored_chunk(place).unlink()


def flip_chunk(place):
    file = stored_chunk(place)
    file.write_bytes(bytes([file.read_bytes()[0] ^ 1]) + file.read_bytes()[1:])


@pytest.mark.parametrize("spoil", [lose_chunk, flip_chunk])
def test_norms_kept_of_chunks_that_were_changed_since_are_not_given(store, spoil):
    place, A = store
    rnla.norms(place, keep=True)
    spoil(place)
    if spoil is lose_chunk or (elements(place) / "rnla-manifest.npz").exists():
        with pytest.raises(IntegrityError):
            rnla.norms(place)
    else:
        found = rnla.norms(place)
        assert found.cost.passes == 1
        assert not np.array_equal(np.asarray(found.columns), (A.astype("f8") ** 2).sum(axis=0))


def test_a_store_that_is_written_to_while_its_norms_are_computed_keeps_none(tmp_path):
    place, told = tmp_path / "a.zarr", []
    zarr.create_array(str(place), data=random_of("f4", (90, 40)), chunks=(20, 15), compressors=None)

    def overwrite(count):
        if not told:
            told.append(count)
            change_chunk(place)

    A = dataclasses.replace(open_matrix(place), meter=Meter(progress=overwrite))
    with pytest.raises(IntegrityError, match="written to while its norms were computed"):
        norms(A, Memory(), keep=True)
    assert told
    assert not list(place.glob("rnla-norms*"))
    found = rnla.norms(place, keep=True)
    assert np.allclose(found.columns, (as_stored(place).astype("f8") ** 2).sum(axis=0), rtol=LAYOUT)


def test_norms_of_what_is_missing_are_only_for_those_who_allow_it(tmp_path):
    place = tmp_path / "a.zarr"
    zarr.create_array(str(place), data=np.ones((40, 10)), chunks=(20, 10))
    (place / "c" / "1" / "0").unlink()
    rnla.norms(rnla.open(place, allow_missing=True), keep=True)
    assert rnla.norms(rnla.open(place, allow_missing=True)).cost.passes == 0
    with pytest.raises(rnla.errors.IntegrityError, match="missing"):
        rnla.norms(place)


def test_kept_norms_serve_views_of_nothing_else(store):
    place, A = store
    rnla.norms(place, keep=True)
    view = rnla.open(place).weighted(columns=np.full(40, 2.0))
    found = rnla.norms(view)
    assert found.cost.passes == 1
    assert np.allclose(np.asarray(found.columns), 4 * (A.astype("f8") ** 2).sum(axis=0), rtol=LAYOUT)


@pytest.mark.parametrize(
    "view",
    [
        lambda A: A.data,
        lambda A: dask.array.from_array(A.data, chunks=10),
        lambda A: scipy.sparse.csr_array(A.data),
        lambda A: rnla.open(A.place).centred(),
        lambda A: rnla.open(A.place).weighted(rows=np.ones(90)),
    ],
    ids=["numpy", "dask", "sparse", "centred", "weighted"],
)
def test_norms_are_kept_only_of_a_stored_matrix_as_it_is(tmp_path, store, view):
    class Both:
        place, data = store

    with pytest.raises(RequestError, match="kept beside a stored matrix"):
        rnla.norms(view(Both), keep=True)


def test_keep_is_a_flag(store):
    with pytest.raises(RequestError, match="True or False"):
        rnla.norms(store[0], keep="yes")


def test_a_place_that_cannot_be_written_is_told(monkeypatch, store):
    def refuse(self, key, data):
        raise PermissionError(13, "Permission denied", key)

    monkeypatch.setattr("rnla.store.objects.LocalObjects.put", refuse)
    with pytest.raises(OutputError):
        rnla.norms(store[0], keep=True)


def test_norms_on_a_cluster_are_the_same_bits(small_panels, tmp_path):
    A = BACKENDS["zarr v3"](random_of("f4", (300, 20)), tmp_path / "a")
    here = rnla.norms(A)
    with Client(processes=False, n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0"):
        there = rnla.norms(A)
    assert same(here, there)


def test_nothing_is_read_for_norms_that_are_kept(tmp_path, store):
    place, _ = store
    rnla.norms(place, keep=True)
    log = tmp_path / "log"
    A = rnla.open(place)
    assert rnla.norms(A).cost.bytes_read == 0
    rnla.norms(watched(A, log))  # another source, without a file of norms: read
    assert reads(log)
    assert Path(place, "rnla-norms.npz").exists()


@pytest.mark.parametrize("stored", [False, True])
def test_norms_of_a_labelled_matrix_keep_its_names(tmp_path, stored):
    xarray = pytest.importorskip("xarray")
    A = xarray.DataArray(
        random_of("f8", (30, 4)), dims=("cell", "gene"), coords={"gene": ["a", "b", "c", "d"], "cell": np.arange(30)}
    )
    found = rnla.norms(A, out=tmp_path / "r.zarr" if stored else None)
    data = found.to_xarray()
    assert data.column_norms.sel(gene="c").item() == pytest.approx(float((A.values[:, 2] ** 2).sum()))
    assert data.row_norms.dims == ("cell",)
    assert data.attrs["frobenius_norm"] == found.frobenius
    if stored:
        assert rnla.load(tmp_path / "r.zarr").to_xarray().identical(data)


def test_norms_that_were_published_are_those_of_the_function(tmp_path):
    A = BACKENDS["zarr v3"](random_of("f4", (90, 20)), tmp_path / "a")
    here, there = rnla.norms(A), rnla.norms(A, out=tmp_path / "r.zarr")
    assert same(here, there)
    for out in (None, tmp_path / "other.zarr"):
        with pytest.raises(DoesNotFitError):
            rnla.norms(A, out=out, memory_bytes=1 << 20)
