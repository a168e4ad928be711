"""Results: all there or not there, opened by xarray, refused when damaged, and never over what rnla did not make."""

import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import zarr

from rnla.errors import IntegrityError, OutputError, OutputExistsError, RequestError, StorageFullError, StoreError
from rnla.store import publishing
from rnla.store.publishing import made_by_rnla, publish
from rnla.store.results import ResultWriter, read_result
from rnla.store.tall import made_tall
from rnla.store.writing import writing_errors

U = np.random.default_rng(2).standard_normal((103, 7))
S = np.arange(7.0)


def writer(folder, *, complete=True):
    result = ResultWriter(str(folder), {"U": ("sample", "mode")})
    tall = result.tall("U", U.shape, U.dtype, 20)
    for start in range(0, 103 if complete else 80, 20):
        tall.write(slice(start, start + 20), U[start : start + 20])
    result.set("s", S, ("mode",), {"long_name": "singular values"})
    return result


def test_a_published_result_holds_what_was_written(tmp_path):
    result = writer(tmp_path / "work")
    result.set("energy", 3.0)
    path = result.publish(tmp_path / "a.zarr", {"job": {"k": 7}})
    assert not (tmp_path / "work").exists()
    found = read_result(path)
    assert found.attributes["rnla"]["job"] == {"k": 7}
    assert np.array_equal(found.arrays["s"], S)
    assert float(found.arrays["energy"]) == 3.0
    assert np.array_equal(found.tall["U"].read(slice(0, 103), slice(0, 7)), U)
    assert found.tall["U"].verified
    assert found.dimensions == {"U": ("sample", "mode"), "energy": (), "s": ("mode",)}


def test_xarray_opens_a_result_without_a_warning(tmp_path):
    xarray = pytest.importorskip("xarray", reason="xarray is an optional dependency")
    result = writer(tmp_path / "work")
    result.set("mode", np.arange(7), ("mode",))
    result.set("gene", np.array(["a", "bc", "déf"]), ("gene",))
    result.set("time", np.array(["2001-01-01", "2002-02-03T04:05"], "M8[s]"), ("time",))
    result.set("lag", np.array([1, 2], "m8[s]"), ("time",))
    result.set("Vt", np.zeros((7, 3), "f4"), ("mode", "gene"))
    result.set("phase", np.ones(2) * 1j, ("time",))
    result.set("resolved", np.array([True, False]), ("time",))
    path = result.publish(tmp_path / "a.zarr", {})
    for options in ({}, {"consolidated": False}):
        with xarray.open_zarr(path, **options) as data:
            assert np.array_equal(data["U"], U)
            assert data["U"].dims == ("sample", "mode")
            assert np.array_equal(data["s"], S)  # zeros are numbers, not missing values
            assert list(data["gene"].values) == ["a", "bc", "déf"]
            assert data["time"].values[1] == np.datetime64("2002-02-03T04:05")
            assert data["lag"].values[1] == np.timedelta64(2, "s")
            assert data["phase"].values[0] == 1j
            assert data["resolved"].dtype == bool
            assert not data["Vt"].isnull().any()


def test_large_small_arrays_are_cut(tmp_path, monkeypatch):
    monkeypatch.setattr("rnla.store.results.CHUNK_BYTES", 1000)
    result = writer(tmp_path / "work")
    Vt = np.random.default_rng(0).standard_normal((7, 211))
    result.set("Vt", Vt, ("mode", "feature"))
    result.set("W", Vt.T, ("feature", "mode"))
    found = read_result(result.publish(tmp_path / "a.zarr", {}))
    assert np.array_equal(found.arrays["Vt"], Vt)
    assert np.array_equal(found.arrays["W"], Vt.T)
    assert len(list((tmp_path / "a.zarr/Vt/c/0").iterdir())) > 10


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (2, 3, 4)])
def test_arrays_of_any_shape_are_kept(tmp_path, shape):
    result = writer(tmp_path / "work")
    values = np.random.default_rng(0).standard_normal(shape)
    result.set("x", values, tuple("abc"[: len(shape)]))
    assert np.array_equal(read_result(result.publish(tmp_path / "a", {})).arrays["x"], values)


def test_an_unfinished_result_is_not_published(tmp_path):
    with pytest.raises(OutputError, match=r"rows 80..99.*never written"):
        writer(tmp_path / "work", complete=False).publish(tmp_path / "a.zarr", {})
    assert not (tmp_path / "a.zarr").exists()


def test_a_taken_place_is_refused(tmp_path):
    path = writer(tmp_path / "w1").publish(tmp_path / "a.zarr", {"run": 1})
    with pytest.raises(OutputExistsError, match="overwrite"):
        writer(tmp_path / "w2").publish(path, {"run": 2})
    writer(tmp_path / "w2").publish(path, {"run": 2}, overwrite=True)
    assert read_result(path).attributes["rnla"]["run"] == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zarr"]


def test_what_rnla_did_not_make_is_never_removed(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").write_text("years of work")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("text")
    zarr.create_group(tmp_path / "group", attributes={"other": 1})
    made = writer(tmp_path / "w").publish(tmp_path / "made", {})
    (tmp_path / "link").symlink_to(made)
    for name in ("folder", "empty", "file", "group", "link"):
        with pytest.raises(OutputExistsError, match="did not make"):
            writer(tmp_path / "w").publish(tmp_path / name, {}, overwrite=True)
    assert (tmp_path / "folder" / "thesis.txt").read_text() == "years of work"
    assert made_by_rnla(made)


def test_a_failed_overwrite_leaves_the_old_result(tmp_path, monkeypatch):
    path = writer(tmp_path / "w1").publish(tmp_path / "a.zarr", {"run": 1})

    def refuse(work, path):
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(publishing, "_renamed", refuse)
    with pytest.raises(OSError, match="input/output error"):
        writer(tmp_path / "w2").publish(path, {"run": 2}, overwrite=True)
    assert read_result(path).attributes["rnla"]["run"] == 1


def test_two_writers_one_wins(tmp_path):
    writer(tmp_path / "w1").publish(tmp_path / "a.zarr", {"run": 1})
    with pytest.raises(OutputExistsError, match="another run"):
        publishing._renamed(tmp_path, tmp_path / "a.zarr")


def test_urls_and_bad_names_are_refused_plainly(tmp_path):
    with pytest.raises(RequestError, match="local or shared file system"):
        writer(tmp_path / "w").publish("s3://bucket/result.zarr", {})
    with pytest.raises(RequestError, match="identifier"):
        writer(tmp_path / "w").set("../s", S, ("mode",))
    with pytest.raises(RequestError, match="1 dimensions"):
        writer(tmp_path / "w").set("s", S)
    with pytest.raises(RequestError, match="no place"):
        publish(tmp_path / "w", "/")


def test_what_is_no_result_is_said_to_be_none(tmp_path):
    zarr.create_group(tmp_path / "g")
    for name in ("g", "nothing"):
        with pytest.raises(StoreError, match="no result"):
            read_result(tmp_path / name)


def test_damaged_arrays_of_a_result_are_found(tmp_path):
    path = writer(tmp_path / "w").publish(tmp_path / "a.zarr", {})
    chunk = path / "s" / "c" / "0"
    data = chunk.read_bytes()
    chunk.unlink()
    with pytest.raises(IntegrityError, match="not what was published"):
        read_result(path)
    chunk.write_bytes(data[:-9] + b"x" + data[-8:])
    with pytest.raises(IntegrityError, match="cannot be read"):
        read_result(path)
    chunk.write_bytes(data)
    one, two = path / "U" / "c" / "0" / "0", path / "U" / "c" / "1" / "0"
    one.write_bytes(two.read_bytes())
    with pytest.raises(IntegrityError, match=r"chunk \(0, 0\)"):
        read_result(path).tall["U"].read(slice(0, 103), slice(0, 7))


@pytest.fixture
def small_disk(tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no mount command: a small disk cannot be made")
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be made: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_named_with_what_is_needed(small_disk):
    result = ResultWriter(str(small_disk / "work"))
    tall = result.tall("U", (100_000, 10), np.dtype("f8"), 10_000)
    with pytest.raises(StorageFullError, match=r"c/1/0: the disk is full.*needs 800 kB, .*are free.*the same command"):
        tall.write(slice(0, 100_000), np.ones((100_000, 10)))
    assert not list(small_disk.rglob("*.part"))
    assert tall.source.read(slice(0, 10_000), slice(0, 10)).all()  # what was written before is whole
    with pytest.raises(StorageFullError):
        result.set("Vt", np.ones((10, 30_000)), ("mode", "feature"))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_quota_and_space_are_the_same_error(tmp_path, number):
    with pytest.raises(StorageFullError, match="needs 1 kB"), writing_errors(tmp_path, 1000):
        raise OSError(number, os.strerror(number))


def test_places_that_cannot_be_written_are_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        made_tall(tmp_path / "file" / "U", (3, 3), np.dtype("f8"), 3)


def test_a_killed_writer_leaves_whole_chunks_or_none(tmp_path):
    program = f"""
        import numpy as np
        from rnla.store.tall import made_tall
        tall = made_tall({str(tmp_path / "U")!r}, (1000, 1000), np.dtype("f8"), 1000)
        print("ready", flush=True)
        value = 0
        while True:
            value += 1
            tall.write(slice(0, 1000), np.full((1000, 1000), float(value)))
    """
    root = str(Path(__file__).parents[2])
    for delay in (0.02, 0.05, 0.11):
        process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], cwd=root, stdout=subprocess.PIPE)
        process.stdout.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.2 + delay)
        process.kill()
        process.wait()
        process.stdout.close()
        B = made_tall(tmp_path / "U", (1000, 1000), np.dtype("f8"), 1000).source.read(slice(0, 1000), slice(0, 1000))
        value = float(B[0, 0])
        assert value > 0
        assert np.array_equal(B, np.full(B.shape, value))
