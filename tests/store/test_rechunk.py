"""Copies in panels: equal to the source, checked, within the memory, published whole, and never over others' data."""

import errno

import numpy as np
import pytest
import zarr

from rnla.errors import DoesNotFitError, IntegrityError, OutputExistsError, RequestError, StorageFullError
from rnla.store.manifest import verify
from rnla.store.rechunk import cutting, rechunk
from rnla.store.stored import open_stored

A = np.random.default_rng(1).standard_normal((1003, 57)).astype("f4")
PANEL_BYTES = 4000
MARGIN_BYTES = 300_000  # of Python and zarr themselves


@pytest.mark.parametrize("chunks", [(1003, 1), (1, 57), (100, 10), (37, 57), (14, 19), (300, 3), (2000, 60)], ids=str)
@pytest.mark.parametrize(("memory_bytes", "codec"), [(60_000, "zstd"), (200_000, "none"), (10_000_000, "zstd")])
def test_a_copy_equals_its_source(tmp_path, chunks, memory_bytes, codec):
    zarr.create_array(
        tmp_path / "a", data=A, chunks=chunks, dimension_names=("row", "column"), attributes={"unit": "m"}
    )
    if chunks == (2000, 60) and memory_bytes < 10_000_000:
        with pytest.raises(DoesNotFitError, match="allow more memory"):
            rechunk(tmp_path / "a", tmp_path / "b", panel_bytes=PANEL_BYTES, memory_bytes=memory_bytes)
        return
    done = rechunk(tmp_path / "a", tmp_path / "b", panel_bytes=PANEL_BYTES, memory_bytes=memory_bytes, codec=codec)
    z = zarr.open_array(tmp_path / "b", mode="r")
    assert np.array_equal(z[...], A)
    assert (z.attrs["unit"], z.metadata.dimension_names, z.chunks) == ("m", ("row", "column"), done.chunks)
    assert done.reads <= 2
    report = verify(tmp_path / "b")
    assert report.sound
    assert report.manifest == done.manifest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize("chunks", [(40_000, 10), (500, 500), (5000, 7)], ids=str)
@pytest.mark.parametrize("compressors", [None, "auto"])
def test_memory_stays_within_its_bound(killer, tmp_path, chunks, compressors):
    zarr.create_array(tmp_path / "small", data=A, chunks=(100, 7), compressors=compressors)
    shape, memory_bytes = (40_000, 500), 12_000_000  # a matrix of 80 MB
    z = zarr.create_array(tmp_path / "a", shape=shape, chunks=chunks, dtype="f4", compressors=compressors)
    for start in range(0, 500, 100):
        z[:, start : start + 100] = np.arange(start, start + 100) + np.arange(40_000)[:, None] / 7
    small, source, target = (tmp_path / name for name in ("small", "a", "b"))
    options = {"panel_bytes": 500_000, "memory_bytes": memory_bytes, "codec": "none"}
    peak, stages = killer.rechunked(small, source, target, **options)
    assert peak <= memory_bytes + MARGIN_BYTES
    assert (stages == 2) == (chunks[0] > 5000 and compressors is not None)
    S, T = open_stored(tmp_path / "a"), open_stored(tmp_path / "b")
    rows = slice(12_345, 13_345)
    assert np.array_equal(S.read(rows, slice(0, 500)), T.read(rows, slice(0, 500)))


def test_plain_columns_are_read_once_in_parts(tmp_path):
    z = zarr.create_array(tmp_path / "a", data=A, chunks=(1003, 1), compressors=None)
    done = rechunk(z, tmp_path / "b", panel_bytes=PANEL_BYTES, memory_bytes=60_000)
    assert (done.reads, done.stages) == (1.0, 1)
    assert np.array_equal(zarr.open_array(tmp_path / "b")[...], A)


def test_a_damaged_source_gives_no_copy(tmp_path):
    zarr.create_array(tmp_path / "a", data=A, chunks=(100, 57))
    (tmp_path / "a" / "c" / "7" / "0").unlink()
    with pytest.raises(IntegrityError, match=r"chunk \(7, 0\).*missing"):
        rechunk(tmp_path / "a", tmp_path / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    rechunk(tmp_path / "a", tmp_path / "b", allow_missing=True)
    assert not zarr.open_array(tmp_path / "b")[700:800].any()


def test_a_full_disk_keeps_nothing_and_says_so(tmp_path, monkeypatch):
    zarr.create_array(tmp_path / "a", data=A, chunks=(10, 30))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("rnla.store.writing.write_file", full)
    with pytest.raises(StorageFullError, match=r"disk is full.*run the same command again$"):
        rechunk(tmp_path / "a", tmp_path / "b")
    assert [place.name for place in tmp_path.iterdir()] == ["a"]


def test_only_copies_of_rnla_are_overwritten(tmp_path):
    zarr.create_array(tmp_path / "a", data=A, chunks=(100, 57))
    rechunk(tmp_path / "a", tmp_path / "b")
    with pytest.raises(OutputExistsError, match="overwrite"):
        rechunk(tmp_path / "a", tmp_path / "b")
    rechunk(tmp_path / "a", tmp_path / "b", overwrite=True)
    with pytest.raises(OutputExistsError, match="did not make"):
        rechunk(tmp_path / "b", tmp_path / "a", overwrite=True)
    assert np.array_equal(zarr.open_array(tmp_path / "a")[...], A)


def test_unknown_codecs_are_refused(tmp_path):
    zarr.create_array(tmp_path / "a", data=A)
    with pytest.raises(RequestError, match="choose one of none, zstd"):
        rechunk(tmp_path / "a", tmp_path / "b", codec="zip")


def test_panels_are_whole_chunks_or_whole_parts_of_one(tmp_path):
    zarr.create_array(tmp_path / "a", shape=(10_000, 100), chunks=(1000, 10), dtype="f8")
    layout = open_stored(tmp_path / "a").reader.layout
    assert cutting(layout, 800 * 2500, 1 << 30).panel_rows == 2000
    assert cutting(layout, 800 * 300, 1 << 30).panel_rows == 250
    assert cutting(layout, 800 * 300, 1 << 30).reads == 1
