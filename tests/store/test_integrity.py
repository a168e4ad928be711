"""Damage is found, named and located: missing, truncated, oversized, flipped and swapped chunks; stale manifests."""

import errno
import pickle
import tracemalloc
from contextlib import suppress

import numpy as np
import pytest
import zarr
from zarr.storage import WrapperStore

from rnla.errors import IntegrityError, OutputError
from rnla.opening import open_column
from rnla.store.chunks import Chunks
from rnla.store.manifest import MANIFEST_KEY, fingerprint, verify
from rnla.store.places import found_matrix
from rnla.store.stored import open_stored
from rnla.sweeps.retries import retried, transient

A = np.random.default_rng(3).standard_normal((50, 30))
EVERYTHING = slice(0, 50), slice(0, 30)
SEALED = {
    "plain": {"compressors": None},
    "crc32c": {"compressors": zarr.codecs.Crc32cCodec()},
    "zstd": {},
    "zstd+crc32c": {"compressors": [zarr.codecs.ZstdCodec(), zarr.codecs.Crc32cCodec()]},
    "blosc": {"compressors": zarr.codecs.BloscCodec()},
    "gzip": {"compressors": zarr.codecs.GzipCodec()},
    "transpose": {"filters": zarr.codecs.TransposeCodec(order=(1, 0)), "compressors": zarr.codecs.Crc32cCodec()},
    "sharded": {"shards": (20, 30), "compressors": None},
}


def store(folder, codec="plain", chunks=(10, 30)):
    zarr.create_array(folder, data=A, chunks=chunks, **SEALED[codec])
    return folder / "c" / "1" / "0"


def zarr_array(folder):
    """The same store, read through Zarr's own store rather than files."""
    return zarr.open_array(WrapperStore(zarr.storage.LocalStore(folder, read_only=True)), mode="r")


def places(folder):
    return folder, zarr_array(folder)


@pytest.mark.parametrize("codec", SEALED)
def test_a_missing_chunk_is_an_error_that_says_what_where_why_and_what_to_do(tmp_path, codec):
    store(tmp_path, codec).unlink()
    for place in places(tmp_path):
        with pytest.raises(IntegrityError) as caught:
            open_stored(place).read(*EVERYTHING)
        rows, index = ("20..29", 2) if codec == "sharded" else ("10..19", 1)
        where = (str(tmp_path), "key c/1/0", f"chunk ({index}, 0)", f"rows {rows} of 50", "columns 0..29")
        for words in (*where, "missing", "0.0", "restore it", "allow_missing=True", "rnla fingerprint"):
            assert words in str(caught.value)
        assert not transient(caught.value)
        B = open_stored(place, allow_missing=True).read(*EVERYTHING)
        lost = slice(20, 40) if codec == "sharded" else slice(10, 20)
        assert not B[lost].any()
        counted = (1 + (codec == "sharded")) if place is tmp_path else None
        assert open_stored(place, allow_missing=True).absent_chunks == counted
        B[lost] = A[lost]
        assert np.array_equal(B, A)


def test_chunks_left_out_of_a_shard_are_missing(tmp_path):
    B = A.copy()
    B[20:30] = 0  # Zarr leaves out chunks of zeros, also inside a shard
    zarr.create_array(tmp_path, data=B, chunks=(10, 30), shards=(50, 30))
    for place in places(tmp_path):
        with pytest.raises(IntegrityError, match=r"chunk \(2, 0\).*missing"):
            open_stored(place).read(*EVERYTHING)
        assert np.array_equal(open_stored(place, allow_missing=True).read(*EVERYTHING), B)
    assert open_stored(tmp_path, allow_missing=True).absent_chunks == 1


@pytest.mark.parametrize("codec", SEALED)
@pytest.mark.parametrize("change", ["empty", "short", "long"])
def test_truncated_and_oversized_chunks_are_found_without_a_manifest(tmp_path, codec, change):
    file = store(tmp_path, codec)
    data = file.read_bytes()
    file.write_bytes({"empty": b"", "short": data[:-5], "long": data + b"12345678"}[change])
    for place in places(tmp_path):
        if change == "long" and codec in ("zstd", "blosc"):  # their decoders may stop at the end
            with suppress(IntegrityError):
                assert np.array_equal(open_stored(place).read(*EVERYTHING), A)
            continue
        with pytest.raises(IntegrityError, match=r"key c/1/0, chunk \([12], 0\).*damaged"):
            open_stored(place).read(*EVERYTHING)


@pytest.mark.parametrize("codec", ["crc32c", "zstd+crc32c", "gzip", "transpose"])
def test_flipped_bits_are_found_by_checksum_codecs(tmp_path, codec):
    file = store(tmp_path, codec)
    data = bytearray(file.read_bytes())
    for position in (0, len(data) // 2, len(data) - 1):
        changed = data.copy()
        changed[position] ^= 16
        file.write_bytes(changed)
        for place in places(tmp_path):
            with pytest.raises(IntegrityError, match=r"chunk \(1, 0\).*damaged"):
                open_stored(place).read(slice(15, 16), slice(0, 30))


def flip(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 1
    file.write_bytes(data)


def swap(file):
    other = file.parent.parent / "0" / "0"
    data = file.read_bytes()
    file.write_bytes(other.read_bytes())
    other.write_bytes(data)


def truncate(file):
    file.write_bytes(file.read_bytes()[:-1])


def grow(file):
    file.write_bytes(file.read_bytes() + b"0")


def remove(file):
    file.unlink()


@pytest.mark.parametrize("codec", SEALED)
@pytest.mark.parametrize("damage", [flip, swap, truncate, remove])
def test_a_manifest_finds_every_damage(tmp_path, codec, damage):
    file = store(tmp_path, codec)
    manifest = fingerprint(tmp_path)
    for place in places(tmp_path):
        S = open_stored(place)
        assert S.verified
        assert S.identity["manifest"] == manifest.digest
        assert np.array_equal(S.read(*EVERYTHING), A)
    assert verify(tmp_path).sound
    damage(file)
    for place in places(tmp_path):
        with pytest.raises(IntegrityError, match=r"chunk \([0-3], 0\), rows .*damaged"):
            open_stored(place, allow_missing=True).read(*EVERYTHING)
    report = verify(tmp_path)
    assert report.damaged >= 1
    assert str(tmp_path) in report.problems[0]


def test_bytes_after_a_chunk_are_found_by_its_manifest(tmp_path):
    file = store(tmp_path, "zstd")
    fingerprint(tmp_path)
    grow(file)
    with pytest.raises(IntegrityError, match="bytes and the manifest says"):
        open_stored(tmp_path).read(*EVERYTHING)


def test_a_manifest_records_which_chunks_are_absent(tmp_path):
    file = store(tmp_path)
    data = file.read_bytes()
    file.unlink()
    with pytest.raises(IntegrityError, match=r"key .*is missing.*fingerprint --allow-missing"):
        fingerprint(tmp_path)
    assert not (tmp_path / "rnla-manifest.npz").exists()
    manifest = fingerprint(tmp_path, allow_missing=True)
    assert manifest.absent == open_stored(tmp_path).absent_chunks == 1
    B = open_stored(tmp_path).read(*EVERYTHING)
    assert not B[10:20].any()
    assert np.array_equal(B[20:], A[20:])
    file.write_bytes(data)
    with pytest.raises(IntegrityError, match="left out, and now it is there"):
        open_stored(tmp_path).read(*EVERYTHING)


@pytest.mark.parametrize("change", [truncate, grow])
@pytest.mark.parametrize("name", ["plain", "crc32c"])
def test_a_chunk_of_the_wrong_size_gets_no_fingerprint(tmp_path, change, name):
    change(store(tmp_path, name))
    with pytest.raises(IntegrityError, match=r"chunk \(1, 0\).*damaged.*bytes where"):
        fingerprint(tmp_path, allow_missing=True)
    assert not (tmp_path / "rnla-manifest.npz").exists()


@pytest.mark.parametrize("damage", [flip, truncate])
@pytest.mark.parametrize("codec", ["crc32c", "zstd+crc32c", "gzip", "transpose"])
def test_a_chunk_that_cannot_be_decoded_gets_no_fingerprint(tmp_path, codec, damage):
    damage(store(tmp_path, codec))
    for place in places(tmp_path):
        with pytest.raises(IntegrityError, match=r"chunk \(1, 0\).*damaged") as caught:
            fingerprint(place)
        assert "rnla fingerprint" not in str(caught.value)
    assert not (tmp_path / MANIFEST_KEY).exists()


def test_a_fingerprint_holds_one_chunk_a_thread(tmp_path):
    values, threads = np.zeros((64, 1 << 17)), 2
    zarr.create_array(tmp_path, data=values, chunks=(1, 1 << 17), config={"write_empty_chunks": True})
    tracemalloc.start()
    fingerprint(tmp_path, threads=threads)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 2 * threads * values[0].nbytes  # as stored and decoded


def test_only_a_change_that_a_manifest_sees_is_cured_by_another_fingerprint(tmp_path):
    file = store(tmp_path, "zstd+crc32c")
    whole = file.read_bytes()
    truncate(file)
    with pytest.raises(IntegrityError, match=r"write the array again$"):
        open_stored(tmp_path).read(*EVERYTHING)
    file.write_bytes(whole)
    fingerprint(tmp_path)
    swap(file)
    with pytest.raises(IntegrityError, match="if the change was yours, run `rnla fingerprint"):
        open_stored(tmp_path).read(*EVERYTHING)


def test_a_manifest_of_other_metadata_is_stale(tmp_path):
    store(tmp_path)
    fingerprint(tmp_path)
    text = (tmp_path / "zarr.json").read_text()
    (tmp_path / "zarr.json").write_text(text.replace("float64", "int64").replace("0.0", "0"))
    with pytest.raises(IntegrityError, match=r"other metadata.*rnla fingerprint"):
        open_stored(tmp_path)
    open_stored(tmp_path, verify=False)


def test_a_damaged_manifest_is_an_error(tmp_path):
    store(tmp_path)
    fingerprint(tmp_path)
    whole = (tmp_path / MANIFEST_KEY).read_bytes()
    for data in (b"", whole[:100], whole[: len(whole) // 2], whole.replace(b"sizes", b"sises")):
        (tmp_path / MANIFEST_KEY).write_bytes(data)
        with pytest.raises(IntegrityError, match="manifest is damaged"):
            open_stored(tmp_path)


def test_a_manifest_that_changes_during_a_job_is_an_error(tmp_path):
    file = store(tmp_path)
    fingerprint(tmp_path)
    S = open_stored(tmp_path)
    flip(file)
    fingerprint(tmp_path)
    vars(S.reader).pop("manifest")
    with pytest.raises(IntegrityError, match="changed during the read"):
        S.read(*EVERYTHING)


def test_large_manifests_are_not_pickled(tmp_path):
    zarr.create_array(tmp_path, shape=(100, 100), chunks=(1, 1), dtype="u1", fill_value=7)
    with pytest.raises(IntegrityError, match="the first of 10,000 chunks that are missing"):
        fingerprint(tmp_path)
    assert fingerprint(tmp_path, allow_missing=True).absent == 10_000
    data = pickle.dumps(open_stored(tmp_path))
    assert len(data) < 2000
    assert (pickle.loads(data).read(slice(0, 3), slice(0, 3)) == 7).all()


def test_verify_without_a_manifest_decodes_every_chunk(tmp_path):
    file = store(tmp_path, "crc32c")
    assert verify(tmp_path).sound
    flip(file)
    report = verify(tmp_path)
    assert (report.damaged, report.manifest, report.chunks) == (1, None, 5)
    assert "chunk (1, 0)" in report.problems[0]


def test_verify_reports_a_shard_without_an_index(tmp_path):
    file = store(tmp_path, "sharded")
    fingerprint(tmp_path)
    file.write_bytes(file.read_bytes()[:-4] + b"0000")
    report = verify(tmp_path)
    assert report.damaged == 2
    assert "index of its shard" in report.problems[0]


def test_fingerprints_work_in_memory_stores_and_say_where_they_cannot_be_written(tmp_path):
    url = f"memory://{tmp_path.name}.zarr"
    zarr.create_array(url, data=A, chunks=(10, 10))
    calls = []
    fingerprint(url, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (15, 15)
    assert np.array_equal(open_stored(url).read(*EVERYTHING), A)
    assert open_stored(url).verified
    store(tmp_path / "a")
    with pytest.raises(OutputError, match="cannot be written"):
        fingerprint(zarr_array(tmp_path / "a"))


class Failing(WrapperStore):
    """Fails the first few reads of chunks with an input/output error."""

    left = 3

    async def get(self, key, *args, **kwargs):
        if key.startswith("c/") and self.left:
            self.left -= 1
            raise OSError(errno.EIO, "input/output error", key)
        return await self._store.get(key, *args, **kwargs)


def test_passing_errors_stay_oserrors_that_the_sweep_retries(tmp_path):
    store(tmp_path)
    S = open_stored(zarr.open_array(Failing(zarr.storage.LocalStore(tmp_path, read_only=True)), mode="r"))
    with pytest.raises(OSError, match="input/output error") as caught:
        S.read(*EVERYTHING)
    assert transient(caught.value)
    assert np.array_equal(retried(lambda: S.read(*EVERYTHING)), A)


def test_only_the_chunks_asked_for_are_read(tmp_path):
    store(tmp_path).unlink()
    assert np.array_equal(open_stored(tmp_path).read(slice(20, 50), slice(0, 30)), A[20:])


def test_manifests_of_a_million_chunks_are_arrays(tmp_path):
    from rnla.store.manifest_file import Manifest, loaded_manifest

    z = zarr.create_array(tmp_path, shape=(1_000_000, 4), chunks=(1, 4), dtype="f4", compressors=None)
    found = found_matrix(tmp_path)
    manifest = Manifest(np.full((1_000_000, 1), 16), np.zeros((1_000_000, 1), np.uint32), found.layout.digest)
    found.objects.put(MANIFEST_KEY, manifest.dumps())
    assert loaded_manifest(found.objects, found.layout).digest == manifest.digest
    assert (tmp_path / MANIFEST_KEY).stat().st_size < 13e6
    assert isinstance(open_stored(z).reader, Chunks)


def test_an_array_of_one_dimension_is_fingerprinted_too(tmp_path):
    labels = np.arange(50)
    zarr.create_array(str(tmp_path / "y"), data=labels, chunks=(10,), compressors=None)
    manifest = fingerprint(tmp_path / "y")
    assert manifest.sizes.shape == (5, 1)
    assert verify(tmp_path / "y").sound
    column = open_column(tmp_path / "y").source
    assert column.verified
    assert np.array_equal(column.read(slice(0, 50), slice(0, 1))[:, 0], labels)
    (tmp_path / "y" / "c" / "2").write_bytes(labels[:10].tobytes())
    assert not verify(tmp_path / "y").sound
    with pytest.raises(IntegrityError, match="chunk"):
        column.read(slice(20, 30), slice(0, 1))
