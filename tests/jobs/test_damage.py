"""Damaged data, failing reads and full disks: found, named, and nothing published; once repaired, the command goes on.

The damage is done to the files of real stores, the disk is a real small one, and every test asserts the answer.
"""

import errno
import os
import re
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from click.testing import CliRunner

import rnla
from rnla.cli import main
from rnla.errors import (
    DoesNotFitError,
    IntegrityError,
    LockedError,
    NonFiniteError,
    OutputError,
    OutputExistsError,
    RnlaError,
    StorageFullError,
    StoreError,
)
from rnla.jobs.checkpoints import checkpoint_bytes
from rnla.jobs.running import plan_job, run_job
from rnla.store.manifest import fingerprint
from rnla.sweeps.retries import ATTEMPTS
from tests.faults import Fault, reads, watched
from tests.jobs.attempts import Job, Moment, attempt, files, killed
from tests.jobs.conftest import CHOSEN, CHUNK, SMALL, K, Kept, KeptSparse, M, N, kept
from tests.tolerances import backward

ROWS = f"rows {CHOSEN * CHUNK}..{(CHOSEN + 1) * CHUNK - 1} of {M}"
WHERE = (f"key c/{CHOSEN}/0", f"chunk ({CHOSEN}, 0)", ROWS, f"columns 0..{N - 1} of {N}")


def remove(store):
    store.chunk(CHOSEN).unlink()


def truncate(store):
    os.truncate(store.chunk(CHOSEN), 1000)


def empty(store):
    os.truncate(store.chunk(CHOSEN), 0)


def flip(store):
    data = bytearray(store.chunk(CHOSEN).read_bytes())
    data[3210] ^= 4
    store.chunk(CHOSEN).write_bytes(data)


def swap(store):
    one, other = store.chunk(CHOSEN), store.chunk(CHOSEN + 1)
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def change_metadata(store):
    file = store.path / "zarr.json"
    file.write_text(file.read_text().replace('"float64"', '"int64"'))


DAMAGES = {  # damage, whether it takes a fingerprint to find it, words
    "removed": (remove, False, (*WHERE, "this chunk is missing", "restore it", "--allow-missing", "rnla fingerprint")),
    "truncated": (truncate, False, (*WHERE, "damaged", "1000 bytes", "Restore the chunk")),
    "empty": (empty, False, (*WHERE, "damaged", "0 bytes", "Restore the chunk")),
    "removed, with fingerprint": (remove, True, (*WHERE, "damaged", "the manifest says that it was there", "Restore")),
    "truncated, with fingerprint": (truncate, True, (*WHERE, "damaged", "Restore the chunk")),
    "flipped bit": (flip, True, (*WHERE, "damaged", "crc32c", "Restore the chunk", "rnla fingerprint")),
    "swapped": (swap, True, ("chunk (7, 0)", ROWS, "damaged", "crc32c", "Restore the chunk")),
    "metadata": (change_metadata, True, ("rnla-manifest.npz", "other metadata", "restore the store")),
}


@pytest.fixture(params=DAMAGES)
def damage(request, store):
    """What is done to the store, and the words that tell it; the store has a fingerprint where that is needed."""
    done, sealed, words = DAMAGES[request.param]
    if sealed:
        fingerprint(store.path)
    return done, words


def test_a_damaged_chunk_is_named_nothing_is_published_and_the_repaired_store_is_fine(
    store, damage, undamaged, tmp_path
):
    harm, words = damage
    job = store.job(tmp_path / "out", "pca", method="krylov", passes=2)
    shutil.copytree(store.path, tmp_path / "copy")
    harm(store)
    with pytest.raises(IntegrityError) as caught:
        job.run()
    for word in (str(store.path), *words):
        assert word in str(caught.value), caught.value
    assert caught.value.exit_code == 4
    assert not os.path.lexists(job.out)
    shutil.rmtree(store.path)
    (tmp_path / "copy").rename(store.path)
    assert job.run().resumed_sweeps == 0
    assert files(job.out) == undamaged("pca", method="krylov", passes=2)


@pytest.mark.parametrize("dated", [True, False])
def test_damage_between_sweeps_is_found_and_repaired_the_job_goes_on(store, undamaged, tmp_path, dated):
    job = store.job(tmp_path / "out", method="krylov")
    killed(job, Moment(sweep=2))
    chunk = store.chunk(CHOSEN)
    chunk.rename(tmp_path / "backup")
    with pytest.raises(IntegrityError, match="chunk is missing"):
        job.run()
    assert not os.path.lexists(job.out)
    if dated:
        shutil.copy2(tmp_path / "backup", chunk)
    else:
        shutil.copy(tmp_path / "backup", chunk)
    assert job.run().resumed_sweeps == (2 if dated else 0)  # without its date nothing says that it is the same
    assert files(job.out) == undamaged(method="krylov")


def test_a_missing_chunk_may_be_declared_to_be_zeros(store, tmp_path):
    remove(store)
    A = store.A.copy()
    A[CHOSEN * CHUNK : (CHOSEN + 1) * CHUNK] = 0
    outcome = store.job(tmp_path / "out", allow_missing=True).run()
    assert outcome.attributes["input"]["absent_chunks"] == 1
    s = rnla.load(outcome.path).s
    within = backward("f8", A.shape, np.linalg.norm(A))
    assert np.abs(s - np.linalg.svd(A, compute_uv=False)[:K]).max() <= within


def command(store, out, *more):
    """`rnla run svd` as a person calls it: exit code and what it said."""
    done = CliRunner().invoke(main, ["run", "svd", str(store.path), "--k", str(K), "--out", str(out), *more])
    return done.exit_code, done.stderr


@pytest.mark.parametrize("damage", ["removed", "flipped bit"], indirect=True)
def test_the_command_line_ends_with_4_and_one_line_then_with_0(store, damage, tmp_path):
    harm, words = damage
    shutil.copytree(store.path, tmp_path / "copy")
    harm(store)
    code, said = command(store, tmp_path / "out")
    assert code == 4
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert all(word in said for word in (str(store.path), *words))
    assert not os.path.lexists(tmp_path / "out")
    shutil.rmtree(store.path)
    (tmp_path / "copy").rename(store.path)
    code, said = command(store, tmp_path / "out")
    assert code == 0, said


# NaN and infinity


@pytest.fixture(params=["tall", "wide"])
def either(request):
    """A store to be swept along its rows, or along its columns."""
    return request.getfixturevalue({"tall": "store", "wide": "wide"}[request.param])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["svd", "pca"])
def test_nan_and_infinity_are_counted_and_located_as_stored(either, tmp_path, bad, name):
    A = either.A.copy()
    tall = A.shape[0] == M
    at = [(711, 3), (712, 5), (745, 0)] if tall else [(3, 711), (5, 712), (0, 745)]
    for place in at:
        A[place] = bad
    key, chunk = ("c/7/0", "(7, 0)") if tall else ("c/0/7", "(0, 7)")
    rnla_z = rnla.open(either.path)
    spoilt = kept(A, tmp_path / "spoilt.zarr", rnla_z.source.chunks)
    job = spoilt.job(tmp_path / "out", name)
    with pytest.raises(NonFiniteError) as caught:
        job.run()
    shown = ", ".join(str(place) for place in at)
    area = f"rows {ROWS[5:]}" if tall else f"columns {ROWS[5:]}"
    for words in (
        "3 entries are NaN or infinite",
        f"{spoilt.path}: key {key}, chunk {chunk}",
        area,
        f"(row, column) of the first 3: {shown}",
        "Clean the data, or choose missing='mask'",
        "'impute-mean'",
    ):
        assert words in str(caught.value), caught.value
    assert caught.value.exit_code == 4
    assert not os.path.lexists(job.out)
    kept(either.A, spoilt.path, rnla_z.source.chunks, overwrite=True)
    repaired = rnla.load(job.run().path)
    twin = rnla.load(either.job(tmp_path / "twin", name).run().path)
    for field in ("s", "Vt") if name == "svd" else ("singular_values", "components"):
        assert np.asarray(getattr(repaired, field)).tobytes() == np.asarray(getattr(twin, field)).tobytes()


@pytest.mark.parametrize(("harm", "sealed"), [(remove, False), (truncate, False), (flip, True)])
def test_every_pipeline_names_a_damaged_chunk_and_with_the_store_repaired_it_ends(sample, tmp_path, harm, sealed):
    store, job = sample.store, sample()
    if sealed:
        fingerprint(store.path)
    expected = files(sample("before").run().path)
    chunk, words = store.damageable()
    shutil.copy2(chunk, tmp_path / "copy")
    harm(Chosen(store, chunk))
    with pytest.raises(IntegrityError) as caught:
        job.run()
    for word in words:
        assert word in str(caught.value), caught.value
    assert not os.path.lexists(job.out)
    shutil.copy2(tmp_path / "copy", chunk)
    job.run()
    assert files(job.out) == expected


@pytest.mark.parametrize("nth", [0, 1])
def test_every_pipeline_tries_failing_reads_again_and_tells_of_those_that_stay(sample, nth):
    expected, job = files(sample("before").run().path), sample(log="log")
    passing = replace(job, out=f"{job.out} passing", faults=(Fault(nth, "EIO", times=ATTEMPTS - 1),))
    assert files(passing.run().path) == expected
    with pytest.raises(StoreError, match="check the disk"):
        replace(job, log=f"{job.log} lasting", faults=(Fault(nth, "EIO", times=10**9),)).run()
    assert not os.path.lexists(job.out)
    assert files(replace(job, log=f"{job.log} repaired").run().path) == expected


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_every_pipeline_tells_of_a_write_that_fails_and_goes_on(sample, code):
    expected, told = files(sample("before").run().path), 0
    for last in (0, 2, 5):
        count, job = 0, sample(f"out{last}")

        def failing(*given, done, **more):
            nonlocal count
            count += 1
            if count > last:  # noqa: B023 - called inside this turn of the loop
                raise OSError(code, os.strerror(code))
            return done(*given, **more)

        with pytest.MonkeyPatch.context() as patch:
            for change in (os.replace, os.rename):
                patch.setattr(os, change.__name__, partial(failing, done=change))
            try:
                job.run()
            except RnlaError:
                told += 1
                assert not os.path.lexists(job.out)
        assert files(job.run().path) == expected
    assert told


class Chosen(NamedTuple):
    """A store of which one chunk is to be harmed."""

    store: Kept
    file: Path

    def chunk(self, _i):
        return self.file


def test_every_pipeline_finds_nan_and_locates_it(sample, tmp_path):
    store, job = sample.store, sample()
    A = store.A.copy()
    at = (711, 3) if A.shape[0] == M else (3, 711)
    A[at] = np.nan
    store.rewrite(A)
    with pytest.raises(NonFiniteError) as caught:
        job.run()
    assert str(store.path) in str(caught.value)
    assert f"(row, column) of the first 1: {at}" in str(caught.value)
    assert not os.path.lexists(job.out)
    if isinstance(store, KeptSparse):
        assert "replace them among the values of the sparse matrix" in str(caught.value)
        assert "missing=" not in str(caught.value)
    elif job.name in ("cur", "id"):  # lines of the matrix itself: these have no such option
        assert "missing='impute-mean', where the job has that option" in str(caught.value)
    else:
        masked = replace(job, options=job.options | {"missing": "mask"}, overwrite=True)
        assert masked.run().attributes["cost"]["missing_entries"] == 1


def test_a_damaged_right_factor_is_named(store, right, tmp_path):
    right.chunk(0, 1).unlink()
    with pytest.raises(IntegrityError, match=r"b\.zarr: key c/0/1"):
        Job("sampled-product", str(store.path), str(tmp_path / "out"), {"draws": 3, "right": str(right.path)}).run()
    assert not os.path.lexists(tmp_path / "out")


def test_only_the_first_ten_are_shown(tmp_path, matrix):
    A = matrix.copy()
    A[900:930, 2] = np.nan
    with pytest.raises(NonFiniteError) as caught:
        kept(A, tmp_path / "a.zarr").job(tmp_path / "out", "svd", method="krylov").run()
    assert "30 entries" in str(caught.value)
    assert "of the first 10: (900, 2), " in str(caught.value)
    assert "(909, 2)" in str(caught.value)
    assert "(910, 2)" not in str(caught.value)


@pytest.mark.parametrize("missing", ["mask", "impute-mean"])
def test_the_cures_that_the_message_names_work(either, tmp_path, missing):
    A = either.A.copy()
    A[3, 7] = np.nan
    spoilt = kept(A, tmp_path / "spoilt.zarr", (CHUNK, N))
    s = rnla.load(spoilt.job(tmp_path / "out", "pca", missing=missing).run().path).singular_values
    centred = A - np.nanmean(A, axis=0)
    centred[3, 7] = 0  # masked entries count as zero after centring; the mean imputed is the same
    within = backward("f8", A.shape, np.linalg.norm(centred))
    assert np.abs(s - np.linalg.svd(centred, compute_uv=False)[:K]).max() <= within


# Reads and writes that fail


class FailingReads:
    """`os.preadv` that fails at chosen calls."""

    def __init__(self, code, first, times):
        self.code, self.strikes, self.calls, self.read = code, range(first, first + times), 0, os.preadv

    def __call__(self, *given):
        self.calls += 1
        if self.calls - 1 in self.strikes:
            raise OSError(self.code, os.strerror(self.code))
        return self.read(*given)


@pytest.mark.parametrize("nth", [0, 1, 5, 17, 40])
def test_a_read_error_that_passes_is_tried_again_and_changes_no_bit(store, undamaged, tmp_path, monkeypatch, nth):
    expected = undamaged(method="krylov")
    failing = FailingReads(errno.EIO, nth, ATTEMPTS - 1)
    monkeypatch.setattr(os, "preadv", failing)
    outcome = store.job(tmp_path / "out", method="krylov").run()
    assert failing.calls > nth + ATTEMPTS
    assert files(outcome.path) == expected
    assert outcome.attributes["cost"]["passes"] == 4


@pytest.mark.parametrize("nth", [0, 20])
@pytest.mark.parametrize(("code", "attempts"), [(errno.EIO, ATTEMPTS), (errno.EACCES, 1)])
@pytest.mark.parametrize("strip_bytes", [1, 1 << 28])
def test_a_read_error_that_stays_is_told_and_the_job_goes_on_when_it_is_gone(
    tmp_path, matrix, nth, code, attempts, strip_bytes
):
    store = kept(matrix, tmp_path / "a.zarr", (CHUNK, N // 2), compressors=None)
    A = rnla.open(store.path, strip_bytes=strip_bytes, threads=1)
    options = SMALL | {"method": "krylov", "passes": 2}
    expected = files(run_job("svd", A, tmp_path / "undisturbed", options).path)
    failing = FailingReads(code, nth, 10**9)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "preadv", failing)
        with pytest.raises(StoreError) as caught:
            run_job("svd", A, tmp_path / "out", options)
    message = str(caught.value)
    assert re.match(rf"{store.path}: key c/\d+/[01], chunk \(\d+, [01]\), rows \d+", message), message
    for words in (f"(attempt {attempts}: ", os.strerror(code), "check the disk", "run the same command again"):
        assert words in message
    assert caught.value.exit_code == 4
    assert not os.path.lexists(tmp_path / "out")
    assert files(run_job("svd", A, tmp_path / "out", options).path) == expected


def test_a_chunk_that_is_a_folder_is_told(wide, tmp_path):
    wide.chunk(0, 3).unlink()
    wide.chunk(0, 3).mkdir()
    with pytest.raises(RnlaError, match=r"key c/0/3, chunk \(0, 3\)"):
        wide.job(tmp_path / "out").run()


@pytest.mark.parametrize("kind", ["EIO", "missing"])
def test_a_source_of_any_kind_that_fails_for_good_is_told(tmp_path, matrix, kind):
    A = watched(rnla.open(matrix), tmp_path / "log", Fault(30, kind, times=10**9))
    with pytest.raises(StoreError, match=r"^row \d+, column 0 of the array in memory: .* check the disk"):
        run_job("svd", A, tmp_path / "out", SMALL)
    struck = reads(tmp_path / "log")[30:]
    assert len({(read.rows.start, read.rows.stop) for read in struck}) <= 2 * 2  # a panel ahead, in each thread
    assert not os.path.lexists(tmp_path / "out")


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_any_write_that_fails_is_told_and_the_job_goes_on(store, undamaged, tmp_path, code):
    expected, told, changes = undamaged(method="krylov", passes=3), 0, (os.replace, os.rename)
    for last in range(60):
        count = 0

        def failing(*given, done, **more):
            nonlocal count
            count += 1
            if count > last:  # noqa: B023 - called inside this turn of the loop
                raise OSError(code, os.strerror(code))
            return done(*given, **more)

        job = store.job(tmp_path / f"out{last}", method="krylov", passes=3)
        with pytest.MonkeyPatch.context() as patch:
            for change in changes:
                patch.setattr(os, change.__name__, partial(failing, done=change))
            try:
                job.run()
            except RnlaError as error:
                caught = error
            else:
                break
        assert isinstance(caught, StorageFullError if code == errno.ENOSPC else OutputError | StoreError)
        assert str(tmp_path) in str(caught)
        assert "run the same command again" in str(caught)
        assert not os.path.lexists(job.out)
        assert not job.run().reused
        assert files(job.out) == expected
        told += 1
    assert told > 25
    assert files(job.out) == expected


# A full disk


PAGE = os.sysconf("SC_PAGE_SIZE")


class Usage(NamedTuple):
    """What `shutil.disk_usage` says."""

    total: int
    used: int
    free: int


ENDLESS = Usage(1 << 40, 0, 1 << 40)


@contextmanager
def disk(place, size_bytes):
    """A small real disk in memory."""
    place.mkdir(exist_ok=True)
    line = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(place)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"only root mounts a small disk: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def resized(place, size_bytes):
    subprocess.run(["mount", "-o", f"remount,size={size_bytes}", str(place)], check=True)


def test_a_disk_that_is_too_small_is_told_before_anything_is_read(store, tmp_path):
    with disk(tmp_path / "disk", 16 * PAGE) as small:
        A = watched(rnla.open(store.path), tmp_path / "log")
        with pytest.raises(DoesNotFitError) as caught:
            run_job("svd", A, small / "out", SMALL)
        for words in (str(small), "the result needs", "has only 65.54 kB free", "choose a larger disk or smaller k"):
            assert words in str(caught.value)
        assert reads(tmp_path / "log") == []
        assert list(small.iterdir()) == []
        resized(small, 400 * PAGE)
        assert run_job("svd", A, small / "out", SMALL).status == "ok"


def on_disk(folder):
    """Bytes in the files under a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


@pytest.mark.parametrize("method", ["gram", "krylov", "subspace"])
@pytest.mark.parametrize("shape", [(900, 400), (400, 900)])
def test_no_job_takes_more_disk_than_it_was_checked_for(tmp_path, monkeypatch, method, shape):
    sizes = [0]
    monkeypatch.setattr(os, "fsync", lambda _handle: sizes.append(on_disk(tmp_path / "room")))  # when most is there
    broad = kept(np.random.default_rng(1).standard_normal(shape), tmp_path / "b.zarr", (100, 100))
    options = {"k": 20, "method": method, "passes": 5}
    promised = plan_job("svd", broad.path, options)
    run_job("svd", broad.path, tmp_path / "room" / "out", options)
    record = 24 << 10  # and what has one entry a mode
    assert max(sizes) <= promised.output_bytes + promised.scratch_bytes + checkpoint_bytes(promised) + record
    assert max(sizes) > promised.output_bytes + promised.scratch_bytes + record


def test_no_pipeline_takes_more_disk_than_it_was_checked_for(sample, monkeypatch):
    job, sizes = sample("room/out"), [0]
    room = Path(job.out).parent
    monkeypatch.setattr(os, "fsync", lambda _handle: sizes.append(on_disk(room)))
    promised = plan_job(job.name, job.store, job.options)
    pairs = job.run().attributes["certificate"].get("pairs", 0)
    record = (24 << 10) + 24 * pairs
    assert 0 < max(sizes) <= promised.output_bytes + promised.scratch_bytes + checkpoint_bytes(promised) + record


def test_every_pipeline_tells_of_a_disk_that_fills_and_with_room_it_goes_on(sample, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _place: ENDLESS)
    expected = files(sample("before").run().path)
    with disk(tmp_path / "disk", 1024 * PAGE) as small:
        job = replace(sample(), out=str(small / "out"))
        job.run()
        size = -(-sum(file.stat().st_size for file in small.rglob("*") if file.is_file()) // PAGE)
        for part in (0.25, 0.6):
            for left in small.glob("*out*"):
                shutil.rmtree(left)
            resized(small, max(2, round(part * size)) * PAGE)
            with pytest.raises(StorageFullError, match="run the same command again: finished work is kept"):
                job.run()
            assert not os.path.lexists(job.out)
            resized(small, 1024 * PAGE)
            job.run()
            assert files(job.out) == expected


def test_the_disk_is_checked_for_checkpoints_too(store, tmp_path, monkeypatch):
    plan = plan_job("svd", store.path, SMALL)
    room = plan.output_bytes + plan.scratch_bytes + checkpoint_bytes(plan)
    free = Usage(room, 0, room - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _place: free)
    with pytest.raises(DoesNotFitError, match=r"more and .* for checkpoints, but .* free; choose a larger disk"):
        store.job(tmp_path / "out").run()
    free = Usage(room, 0, room)
    assert store.job(tmp_path / "out").run().status == "ok"


def test_a_disk_that_fills_at_any_page_is_told_and_with_room_the_job_goes_on(store, undamaged, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _place: ENDLESS)
    expected, taken_up = undamaged(method="krylov"), []
    with disk(tmp_path / "disk", PAGE) as small:
        (small / "of others").write_bytes(bytes(PAGE))
        for pages in range(1, 200, 4):
            for left in small.glob("*out*"):
                shutil.rmtree(left)
            resized(small, pages * PAGE)
            job = store.job(small / "out", method="krylov")
            try:
                job.run()
            except StorageFullError as error:
                full = error
            else:
                break
            assert not os.path.lexists(job.out)
            for words in (str(small), "the disk is full", "run the same command again: finished work is kept"):
                assert words in str(full)
            assert full.exit_code == 6
            resized(small, 400 * PAGE)
            taken_up.append(job.run().resumed_sweeps)
            assert files(job.out) == expected
        else:
            pytest.fail("the disk was never large enough")
        assert files(job.out) == expected
    assert taken_up == sorted(taken_up)
    assert {0, 4} < set(taken_up)
    assert pages > 30


# Every error, as a person reads it


def on_a_full_disk(store, tmp_path):
    with disk(tmp_path / "disk", 8 * PAGE) as small, pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _place: ENDLESS)
        store.job(small / "out").run()


def locked(store, tmp_path):
    job = store.job(tmp_path / "out", method="krylov")
    with attempt(job, reads=True) as holder:
        assert holder.next_read()
        job.run()


def unfinished(store, tmp_path):
    killed(store.job(tmp_path / "out", method="krylov"), Moment(sweep=1))
    store.job(tmp_path / "out", method="krylov", seed=1).run()


def taken(store, tmp_path):
    (tmp_path / "out").mkdir()
    store.job(tmp_path / "out").run()


def another(store, tmp_path):
    store.job(tmp_path / "out").run()
    store.job(tmp_path / "out", seed=1).run()


def spoilt(store, tmp_path):
    A = store.A.copy()
    A[5, 5] = np.inf
    kept(A, store.path, compressors=None, overwrite=True).job(tmp_path / "out").run()


def failing(store, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "preadv", FailingReads(errno.EIO, 3, 10**9))
        store.job(tmp_path / "out").run()


def harmed(harm, *, sealed):
    def run(store, tmp_path):
        if sealed:
            fingerprint(store.path)
        harm(store)
        store.job(tmp_path / "out").run()

    return run


def torn_manifest(store, tmp_path):
    fingerprint(store.path)
    os.truncate(store.path / "rnla-manifest.npz", 100)
    store.job(tmp_path / "out").run()


def torn_result(store, tmp_path):
    path = store.job(tmp_path / "out").run().path
    (path / "s" / "c" / "0").write_bytes(b"")
    rnla.load(path)


def torn_metadata(store, tmp_path):
    os.truncate(store.path / "zarr.json", 50)
    store.job(tmp_path / "out").run()


def no_store(store, tmp_path):
    shutil.rmtree(store.path)
    store.job(tmp_path / "out").run()


def in_memory(store, tmp_path):
    run_job("svd", store.path, tmp_path / "out", SMALL, memory_bytes=1000)


def in_a_file(store, tmp_path):
    (tmp_path / "out").write_text("")
    store.job(tmp_path / "out" / "inside").run()


STORE, OUT = "a.zarr", "out"
PROVOKED = {
    "disk full": (on_a_full_disk, StorageFullError, OUT),
    "locked": (locked, LockedError, OUT),
    "unfinished job": (unfinished, OutputExistsError, OUT),
    "place taken": (taken, OutputExistsError, OUT),
    "another result": (another, OutputExistsError, OUT),
    "infinite": (spoilt, NonFiniteError, STORE),
    "read error": (failing, StoreError, STORE),
    "chunk missing": (harmed(remove, sealed=False), IntegrityError, STORE),
    "chunk truncated": (harmed(truncate, sealed=False), IntegrityError, STORE),
    "chunk flipped": (harmed(flip, sealed=True), IntegrityError, STORE),
    "chunks swapped": (harmed(swap, sealed=True), IntegrityError, STORE),
    "metadata changed": (harmed(change_metadata, sealed=True), IntegrityError, STORE),
    "manifest torn": (torn_manifest, IntegrityError, STORE),
    "result torn": (torn_result, IntegrityError, OUT),
    "metadata torn": (torn_metadata, StoreError, STORE),
    "no store": (no_store, StoreError, STORE),
    "memory": (in_memory, DoesNotFitError, None),
    "place in a file": (in_a_file, OutputError, OUT),
}
INSTRUCTIONS = r"\b([Rr]estore|run|[Cc]hoose|give|check|wait|[Uu]se|convert|rescale|[Ff]ree|[Cc]lean|remove)\b"


@pytest.mark.parametrize("case", PROVOKED)
def test_every_error_says_what_where_and_what_to_do(store, tmp_path, case):
    provoke, kind, place = PROVOKED[case]
    with pytest.raises(RnlaError) as caught:
        provoke(store, tmp_path)
    message = str(caught.value)
    assert type(caught.value) is kind
    assert caught.value.exit_code in {4, 5, 6}
    assert place is None or re.search(rf"{re.escape(str(tmp_path))}/(disk/)?\.?{place}\b", message), message
    assert re.search(INSTRUCTIONS, message), message
    assert "\n" not in message
    assert len(message.split()) > 8, message
