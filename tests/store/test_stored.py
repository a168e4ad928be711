"""Stored matrices equal the numpy arrays they were written from, whatever the codec, the chunks and the range."""

import os
import pickle

import numcodecs
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from rnla.arrays import page_aligned
from rnla.errors import IntegrityError, RequestError, StoreError, UnsupportedError
from rnla.store.chunks import room
from rnla.store.disk import read_directly
from rnla.store.manifest import fingerprint
from rnla.store.objects import LocalObjects
from rnla.store.stored import open_stored

SHAPE = (53, 29)
CODECS = {
    "plain": {"compressors": None},
    "crc32c": {"compressors": zarr.codecs.Crc32cCodec()},
    "zstd": {"compressors": zarr.codecs.ZstdCodec(level=3)},
    "zstd+crc32c": {"compressors": [zarr.codecs.ZstdCodec(), zarr.codecs.Crc32cCodec()]},
    "blosc": {"compressors": zarr.codecs.BloscCodec()},
    "gzip": {"compressors": zarr.codecs.GzipCodec()},
    "big-endian": {"compressors": None, "serializer": zarr.codecs.BytesCodec(endian="big")},
    "transpose": {"filters": zarr.codecs.TransposeCodec(order=(1, 0))},
    "sharded": {"shards": 2, "compressors": None},
    "sharded zstd": {"shards": 2},
    "sharded, index first": {
        "serializer": zarr.codecs.ShardingCodec(chunk_shape=(1, 1), index_location="start"), "compressors": None
    },
    "v2 plain": {"zarr_format": 2, "compressors": None},
    "v2 big-endian": {"zarr_format": 2, "compressors": None, "dtype": ">f8"},
    "v2 fortran": {"zarr_format": 2, "compressors": None, "order": "F"},
    "v2 fortran zstd": {"zarr_format": 2, "order": "F"},
    "v2 blosc": {"zarr_format": 2, "compressors": numcodecs.Blosc()},
    "v2 lz4": {"zarr_format": 2, "compressors": numcodecs.LZ4()},
    "v2 zlib": {"zarr_format": 2, "compressors": numcodecs.Zlib()},
    "v2 gzip": {"zarr_format": 2, "compressors": numcodecs.GZip()},
    "v2 bz2": {"zarr_format": 2, "compressors": numcodecs.BZ2()},
    "v2 lzma": {"zarr_format": 2, "compressors": numcodecs.LZMA()},
    "v2 delta": {"zarr_format": 2, "filters": [numcodecs.Delta("i8")], "dtype": "i8"},
    "v2 shuffle": {"zarr_format": 2, "filters": [numcodecs.Shuffle(8)], "compressors": numcodecs.Zlib()},
}  # fmt: skip
GRIDS = [(10, 29), (10, 7), (60, 8), (53, 29), (64, 40)]


def matrix(dtype="f8", shape=SHAPE):
    return (1000 * np.random.default_rng(5).standard_normal(shape)).astype(dtype)


def written(place, codec, chunks, A=None, **kwargs):
    options = dict(CODECS[codec])
    A = matrix(options.pop("dtype", "f8")) if A is None else A
    if codec == "sharded, index first":
        options["serializer"] = zarr.codecs.ShardingCodec(chunk_shape=chunks, index_location="start")
        chunks = (2 * chunks[0], 2 * chunks[1])
    elif "shards" in options:
        options["shards"] = (2 * chunks[0], 2 * chunks[1])
    z = zarr.create_array(place, shape=A.shape, dtype=A.dtype, chunks=chunks, **options, **kwargs)
    z[...] = A
    return A


@pytest.mark.parametrize("chunks", GRIDS, ids=str)
@pytest.mark.parametrize("codec", CODECS)
def test_stored_equals_memory(tmp_path, codec, chunks):
    A = written(tmp_path / "a.zarr", codec, chunks)
    S = open_stored(tmp_path / "a.zarr")
    assert S.shape == A.shape
    assert S.dtype == A.dtype.newbyteorder("=")
    scratch = np.empty(A.nbytes, np.uint8)
    for rows, columns in [
        (slice(0, 53), slice(0, 29)),
        (slice(10, 20), slice(0, 29)),
        (slice(3, 47), slice(0, 29)),
        (slice(3, 47), slice(5, 23)),
        (slice(52, 53), slice(28, 29)),
        (slice(7, 7), slice(0, 29)),
    ]:
        assert np.array_equal(S.read(rows, columns), A[rows, columns])
        assert np.array_equal(S.read(rows, columns, scratch), A[rows, columns])
        assert np.array_equal(S.transposed.read(columns, rows, scratch), A[rows, columns].T)
    assert S.read(slice(0, 10), slice(0, 29)).dtype == S.dtype


@pytest.mark.parametrize("codec", ["plain", "zstd", "sharded", "v2 fortran"])
def test_stored_equals_memory_through_zarr_arrays_and_urls(tmp_path, codec):
    written(tmp_path / "f.zarr", codec, (10, 8))
    remote = f"memory://{tmp_path.name}/{codec.replace(' ', '')}.zarr"
    A = written(remote, codec, (10, 8))
    for place in (remote, f"file://{tmp_path}/f.zarr"):
        S = pickle.loads(pickle.dumps(open_stored(place)))
        assert np.array_equal(S.read(slice(3, 50), slice(0, 29)), A[3:50])
    for place in (remote, tmp_path / "f.zarr"):
        z = zarr.open_array(place, mode="r")
        assert np.array_equal(open_stored(z).read(slice(3, 50), slice(0, 29)), A[3:50])


def test_arrays_in_groups_and_zip_files_are_opened_by_path(tmp_path):
    A = matrix()
    zarr.create_group(tmp_path / "g.zarr").create_array("layers/raw", data=A, chunks=(10, 29))
    assert np.array_equal(open_stored(tmp_path / "g.zarr" / "layers" / "raw").read(slice(0, 53), slice(0, 29)), A)
    z = zarr.open_group(tmp_path / "g.zarr", mode="r")["layers/raw"]
    assert isinstance(open_stored(z).reader.objects, LocalObjects)
    with zarr.storage.ZipStore(tmp_path / "a.zip", mode="w") as store:
        zarr.create_array(store, name="x", data=A, chunks=(10, 29))
    assert np.array_equal(open_stored(tmp_path / "a.zip" / "x").read(slice(0, 53), slice(0, 29)), A)


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_any_range_of_any_grid_is_right(data):
    m, n = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 12))
    chunks = data.draw(st.integers(1, 14)), data.draw(st.integers(1, 14))
    codec = data.draw(st.sampled_from(["plain", "crc32c", "sharded", "v2 fortran", "big-endian"]))
    A = matrix("f4", (m, n))
    store = zarr.storage.MemoryStore()
    written(store, codec, chunks, A, config={"write_empty_chunks": True})
    a, b = sorted([data.draw(st.integers(0, m)), data.draw(st.integers(0, m))])
    c, d = sorted([data.draw(st.integers(0, n)), data.draw(st.integers(0, n))])
    S = open_stored(zarr.open_array(store, mode="r"))
    assert np.array_equal(S.read(slice(a, b), slice(c, d)), A[a:b, c:d])
    assert np.array_equal(S.transposed.read(slice(c, d), slice(a, b)), A[a:b, c:d].T)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_range_of_local_plain_chunks_is_right(tmp_path_factory, data):
    chunks = data.draw(st.integers(1, 60)), data.draw(st.integers(1, 40))
    codec = data.draw(st.sampled_from(["plain", "crc32c", "big-endian", "sharded"]))
    place = tmp_path_factory.mktemp("local") / "a.zarr"
    A = written(place, codec, chunks)
    a, b = sorted([data.draw(st.integers(0, 53)), data.draw(st.integers(0, 53))])
    c, d = sorted([data.draw(st.integers(0, 29)), data.draw(st.integers(0, 29))])
    scratch = np.empty(A.nbytes, np.uint8)
    assert np.array_equal(open_stored(place).read(slice(a, b), slice(c, d), scratch), A[a:b, c:d])


@pytest.mark.parametrize("dtype", ["?", "i1", "u2", "i8", "f2", "f4", "f8", "c8", "c16"])
def test_every_numeric_type_is_read(tmp_path, dtype):
    A = matrix("f8").astype(dtype)
    for number, kwargs in enumerate(({"compressors": None}, {}, {"zarr_format": 2})):
        place = tmp_path / f"{number}.zarr"
        zarr.create_array(place, data=A, chunks=(10, 29), config={"write_empty_chunks": True}, **kwargs)
        assert np.array_equal(open_stored(place).read(slice(0, 53), slice(0, 29)), A)


def test_the_answer_lies_in_the_scratch_when_it_is_large_enough(tmp_path):
    A = written(tmp_path / "a.zarr", "plain", (10, 29))
    S = open_stored(tmp_path / "a.zarr")
    scratch = np.empty(A.nbytes, np.uint8)
    assert np.shares_memory(S.read(slice(0, 53), slice(0, 29), scratch), scratch)
    assert np.shares_memory(S.transposed.read(slice(0, 29), slice(0, 53), scratch), scratch)
    assert not np.shares_memory(S.read(slice(0, 53), slice(0, 29), scratch[:100]), scratch)
    assert room((2, 3), np.dtype("f4"), None).shape == (2, 3)


def test_identity_names_the_store_and_changes_with_its_metadata(tmp_path):
    written(tmp_path / "a.zarr", "plain", (10, 29), attributes={"a": 1})
    one = open_stored(tmp_path / "a.zarr").identity
    assert one["url"] == str(tmp_path / "a.zarr")
    assert (one["kind"], one["shape"], one["chunks"], one["manifest"]) == ("zarr", [53, 29], [10, 29], None)
    zarr.open_array(tmp_path / "a.zarr").attrs["a"] = 2
    assert open_stored(tmp_path / "a.zarr").identity == one
    written(tmp_path / "b.zarr", "zstd", (10, 29))
    assert open_stored(tmp_path / "b.zarr").identity["metadata_digest"] != one["metadata_digest"]


def rewritten(place):
    """The same bytes, written again a second later."""
    chunk = place / "c" / "1" / "0"
    changed = chunk.stat().st_mtime_ns + 1_000_000_000
    os.utime(chunk, ns=(changed, changed))


def removed(place):
    (place / "c" / "1" / "0").unlink()


def lengthened(place):
    chunk = place / "c" / "1" / "0"
    data, times = chunk.read_bytes(), chunk.stat()
    chunk.write_bytes(data + b"0")
    os.utime(chunk, ns=(times.st_atime_ns, times.st_mtime_ns))


def renamed(place):
    (place / "c" / "1" / "0").rename(place / "c" / "1" / "1")


@pytest.mark.parametrize("change", [rewritten, removed, lengthened, renamed])
def test_identity_changes_when_a_chunk_is_written_again(tmp_path, change):
    place = tmp_path / "a.zarr"
    written(place, "plain", (10, 29))
    one = [open_stored(where).identity for where in (place, f"local://{place}")]
    assert [open_stored(where).identity for where in (place, f"local://{place}")] == one
    change(place)
    two = [open_stored(where).identity for where in (place, f"local://{place}")]
    for before, after in zip(one, two, strict=True):
        assert before.pop("objects_digest") != after.pop("objects_digest")
        assert before == after


def test_a_fingerprint_stands_in_for_the_times_of_the_chunks(tmp_path):
    place = tmp_path / "a.zarr"
    written(place, "plain", (10, 29))
    fingerprint(place)
    one = open_stored(place).identity
    rewritten(place)
    assert open_stored(place).identity == one
    assert one["objects_digest"] is None


@pytest.mark.parametrize("why", ["larger than the page cache", "not in the page cache"])
@pytest.mark.parametrize("codec", ["plain", "crc32c", "big-endian", "sharded", "v2 plain"])
@pytest.mark.parametrize("columns", [64, 29])
def test_a_store_is_read_past_the_page_cache(tmp_path, monkeypatch, codec, columns, why):
    A = np.random.default_rng(5).standard_normal((300, columns))
    options = CODECS[codec] | ({"shards": (200, columns)} if codec == "sharded" else {})
    zarr.create_array(tmp_path / "a.zarr", data=A, chunks=(100, columns), **options)
    expected = open_stored(tmp_path / "a.zarr")
    assert not expected.reader.objects.past_cache
    direct = []
    monkeypatch.setattr(
        "rnla.store.objects.read_directly", lambda *request: direct.append(read_directly(*request)) or direct[-1]
    )
    if why == "not in the page cache":
        monkeypatch.setattr("rnla.store.objects.cached", lambda *_: False)
        monkeypatch.setattr("rnla.store.objects.WORTH_BYTES", 1)
    else:
        monkeypatch.setattr("rnla.store.stored.cacheable_bytes", lambda: A.nbytes - 1)
    S = open_stored(tmp_path / "a.zarr")
    assert S.reader.objects.past_cache == (why == "larger than the page cache")
    for rows in (slice(0, 300), slice(50, 250), slice(199, 300)):
        assert np.array_equal(S.read(rows, slice(0, columns), page_aligned(A.nbytes)), A[rows])
        assert np.array_equal(S.read(rows, slice(3, 7)), A[rows, 3:7])
    assert direct
    if codec != "sharded":
        chunk = tmp_path / "a.zarr" / ("2.0" if codec.startswith("v2") else "c/2/0")
        chunk.write_bytes(chunk.read_bytes()[:-8])
        with pytest.raises(IntegrityError, match=r"chunk \(2, 0\).*damaged"):
            S.read(slice(0, 300), slice(0, columns))


def test_a_stored_matrix_pickles_small(tmp_path):
    written(tmp_path / "a.zarr", "plain", (10, 29))
    assert len(pickle.dumps(open_stored(tmp_path / "a.zarr"))) < 2000


def test_place_names_the_chunk_of_an_element(tmp_path):
    written(tmp_path / "a.zarr", "plain", (10, 29))
    S = open_stored(tmp_path / "a.zarr")
    assert "key c/4/0, chunk (4, 0), rows 40..49 of 53" in S.place(47, 3)
    assert S.transposed.place(3, 47) == S.place(47, 3)


def test_a_group_is_refused_with_the_arrays_inside_it(tmp_path):
    group = zarr.create_group(tmp_path / "g.zarr")
    group.create_array("X", data=matrix())
    group.create_array("obsm/pca", data=matrix())
    with pytest.raises(StoreError, match=r"group.*X \(53 x 29\), obsm/pca.*g.zarr/X"):
        open_stored(tmp_path / "g.zarr")
    with pytest.raises(StoreError, match="group"):
        open_stored(group)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    ("shape", "words"), [((7,), "1 dimension "), ((2, 3, 4), "3 dimensions.*2x3x4"), ((), "0 dim")]
)
def test_arrays_that_are_no_matrix_are_refused(tmp_path, shape, words, zarr_format):
    zarr.create_array(tmp_path / "a.zarr", data=np.ones(shape), zarr_format=zarr_format)
    with pytest.raises(RequestError, match=words):
        open_stored(tmp_path / "a.zarr")


@pytest.mark.parametrize("dtype", ["M8[s]", "S5", "O", "V4"])
def test_types_that_are_no_number_are_refused_before_zarr_sees_them(tmp_path, dtype):
    metadata = f'{{"zarr_format": 2, "shape": [2, 2], "chunks": [2, 2], "dtype": "|{dtype}", "fill_value": 0}}'
    (tmp_path / ".zarray").write_text(metadata.replace("|M8", "<M8"))
    with pytest.raises(UnsupportedError):
        open_stored(tmp_path)


def test_codecs_outside_the_allow_list_are_refused(tmp_path):
    metadata = '{"zarr_format": 2, "shape": [2, 2], "chunks": [2, 2], "dtype": "<f8", "compressor": {"id": "pickle"}}'
    (tmp_path / ".zarray").write_text(metadata)
    with pytest.raises(UnsupportedError, match="codec 'pickle'"):
        open_stored(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"zarr_format": 3, "shape": [2, 2]}', '{"zarr_format": 2, "shape": 3}']
)
def test_broken_metadata_is_said_to_be_broken(tmp_path, text):
    (tmp_path / "zarr.json").write_text(text)
    with pytest.raises(StoreError, match="metadata"):
        open_stored(tmp_path)


@pytest.mark.parametrize(
    ("place", "words"),
    [("/no/such/place", "no such file"), ("memory://nothing.zarr", "no Zarr array"), ("what://x", "cannot be opened")],
)
def test_places_without_a_store_are_refused_plainly(place, words):
    with pytest.raises(StoreError, match=words):
        open_stored(place)


def test_things_that_are_no_place_are_refused():
    with pytest.raises(RequestError, match="not a place"):
        open_stored(3)


@pytest.mark.parametrize("fill", [0.0, 2.5, float("nan"), float("-inf")])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_allowed_missing_chunks_read_as_the_fill_value(tmp_path, fill, zarr_format):
    zarr.create_array(tmp_path / "a", shape=(4, 4), chunks=(2, 4), dtype="f4", fill_value=fill, zarr_format=zarr_format)
    S = open_stored(tmp_path / "a", allow_missing=True)
    assert np.array_equal(S.read(slice(0, 4), slice(0, 4)), np.full((4, 4), fill, "f4"), equal_nan=True)
