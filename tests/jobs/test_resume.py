"""A job killed at any moment and started again: the same bits, nothing read twice, nothing published half.

Every process here is a real one, killed by SIGKILL at a moment that the test chose.
"""

import json
import os
import signal
import socket

import numpy as np
import pytest

import rnla
from rnla.algorithms.planning import Plan
from rnla.errors import IntegrityError, LockedError
from rnla.jobs.checkpoints import checkpoint_bytes
from tests.faults import reads
from tests.jobs.attempts import INTERRUPTED, Job, Moment, attempt, files, finished, killed
from tests.jobs.conftest import SMALL

CASES = {
    "krylov": ("svd", "store", {"method": "krylov"}),
    "pca of a wide matrix": ("pca", "wide", {"method": "krylov", "passes": 3}),
    "subspace": ("svd", "store", {"method": "subspace", "passes": 3, "centred": True}),
    "gram, scaled": ("pca", "wide", {"scale": True}),
    "imputed": ("svd", "store", {"method": "krylov", "passes": 2, "scaled": True, "missing": "impute-mean"}),
}
SEEDS = range(6)


def job_of(case, request, tmp_path, out="out.zarr"):
    name, where, options = CASES[case]
    store = request.getfixturevalue(where)
    return Job(name, str(store.path), str(tmp_path / out), SMALL | options, str(tmp_path / f"{out}.log"))


def undisturbed(job):
    """Every file of the result of the same job that nothing disturbs, and what it read in each sweep."""
    twin = Job(job.name, job.store, f"{job.out}.twin", job.options, f"{job.log}.twin", threads=job.threads)
    with attempt(twin) as found:
        found.outcome()
    return files(twin.out), found.sweeps, len(reads(twin.log))


def entries_read(job):
    """Entries of the store that all attempts have read."""
    return sum(read.entries for read in reads(job.log))


@pytest.mark.parametrize("case", CASES)
def test_killed_after_any_sweep_it_ends_with_the_same_bits_and_reads_no_sweep_again(request, tmp_path, case):
    expected, sweeps, all_reads = undisturbed(job_of(case, request, tmp_path))
    assert sweeps == [*range(1, len(sweeps) + 1)]
    for last in sweeps:
        job = job_of(case, request, tmp_path, f"out{last}.zarr")
        killed(job, Moment(sweep=last))
        assert not os.path.lexists(job.out)
        before = len(reads(job.log))
        outcome = finished(job)
        assert outcome.resumed_sweeps == last
        assert len(reads(job.log)) == all_reads
        assert (before == all_reads) == (last == sweeps[-1])
        assert files(job.out) == expected
        assert outcome.attributes["resumed_sweeps"] == last


def test_samples_killed_after_any_sweep_take_up_what_was_finished(sample):
    twin = sample("twin", log="twin.log")
    with attempt(twin) as whole:
        plan = whole.outcome().attributes["plan"]
    expected, sweeps, all_reads = files(twin.out), whole.sweeps, len(reads(twin.log))
    assert bool(sweeps) == bool(plan["state_bytes"])  # one read alone has nothing to take up
    for last in sweeps:
        job = sample(f"out{last}", log=f"out{last}.log")
        killed(job, Moment(sweep=last))
        assert (job.folder / "work" / "state.npz").stat().st_size <= checkpoint_bytes(Plan(**plan)) / 2
        assert finished(job).resumed_sweeps == last
        again = all_reads if job.name == "train" else 0  # means, and samples that fit into memory, are read again
        assert all_reads <= len(reads(job.log)) <= all_reads + again
        assert files(job.out) == expected


def test_samples_killed_before_a_change_of_a_file_end_with_the_same_bits(sample):
    twin = sample("twin")
    with attempt(twin, Moment(under=str(twin.folder))) as whole:
        whole.outcome()
    expected, total = files(twin.out), len(whole.changes)
    assert total > 20
    for index in np.random.default_rng(8).choice(total, 2, replace=False).tolist():
        job = sample(f"out{index}")
        assert len(killed(job, Moment(change=index, under=str(job.folder))).changes) == index
        assert not os.path.lexists(job.out) or files(job.out) == expected
        finished(job)
        assert files(job.out) == expected


def test_a_kill_after_every_sweep_costs_no_read(request, tmp_path):
    job = job_of("krylov", request, tmp_path)
    expected, sweeps, all_reads = undisturbed(job)
    for last in sweeps:
        killed(job, Moment(sweep=last))
        assert not os.path.lexists(job.out)
    outcome = finished(job)
    cost = outcome.attributes["cost"]
    assert cost["passes"] == len(sweeps)  # over all attempts
    assert cost["bytes_read"] == entries_read(job) * 8
    assert cost["peak_bytes"] > 0
    assert len(reads(job.log)) == all_reads
    assert entries_read(job) == len(sweeps) * np.prod(rnla.open(job.store).shape)
    assert files(job.out) == expected
    assert len(list((job.folder / "attempts").iterdir())) == len(sweeps) + 1


@pytest.mark.parametrize("case", ["krylov", "pca of a wide matrix"])
def test_killed_before_any_change_of_a_file_and_again_while_resuming(request, tmp_path, case):
    job = job_of(case, request, tmp_path)
    expected, *_ = undisturbed(job)
    under = str(job.folder)
    with attempt(job, Moment(under=under)) as whole:
        whole.outcome()
    assert files(job.out) == expected
    total = len(whole.changes)
    assert total > 50
    moments = np.random.default_rng(8).choice(total, 7, replace=False)
    for index in moments.tolist():
        job = job_of(case, request, tmp_path, f"out{index}.zarr")
        under = str(job.folder)
        first = killed(job, Moment(change=index, under=under))
        assert len(first.changes) == index
        published = os.path.lexists(job.out)
        assert not published or files(job.out) == expected
        with attempt(job, Moment(change=index // 2, under=under)) as second:
            code = second.end()
        assert code == (0 if published else -signal.SIGKILL)
        assert finished(job).attributes["config"] == json.loads((job.folder / "spec.json").read_text())["config"]
        assert files(job.out) == expected


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_from_outside_at_random_moments(tmp_path, store, seed):
    job = Job(
        "svd", str(store.path), str(tmp_path / "out"), SMALL | {"method": "krylov"}, str(tmp_path / "log"), threads=2
    )
    expected, sweeps, _ = undisturbed(job)
    rng = np.random.default_rng(seed)
    kills, panels = 1 + seed % 3, len(rnla.open(store.path).geometry.panels(slice(0, store.A.shape[0])))
    done = 0
    for _ in range(kills):
        with attempt(job, reads=True) as running:
            for _ in range(rng.integers(1, panels * (len(sweeps) - done) // 2)):
                assert running.next_read()
                running.go_on()
            assert running.next_read()
            assert running.kill() == -signal.SIGKILL
        done = max([done, *running.sweeps])
        assert not os.path.lexists(job.out)
    before = entries_read(job)
    outcome = finished(job)
    assert done <= outcome.resumed_sweeps <= done + 1  # a sweep may end after its last line was sent
    assert entries_read(job) - before == store.A.size * (len(sweeps) - outcome.resumed_sweeps)
    assert files(job.out) == expected


def test_the_one_sweep_of_a_single_pass_is_made_again(tmp_path, store):
    job = Job("pca", str(store.path), str(tmp_path / "out"), SMALL | {"passes": 1}, str(tmp_path / "log"))
    expected, sweeps, _ = undisturbed(job)
    assert sweeps == []
    with attempt(job, reads=True) as running:
        assert running.next_read()
        assert running.kill() == -signal.SIGKILL
    assert not os.path.lexists(job.out)
    assert finished(job).resumed_sweeps == 0
    assert files(job.out) == expected


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, INTERRUPTED)])
def test_terminated_or_interrupted_it_is_resumed(tmp_path, store, number, code):
    job = Job("svd", str(store.path), str(tmp_path / "out"), SMALL | {"method": "krylov"}, str(tmp_path / "log"))
    expected, sweeps, _ = undisturbed(job)
    with attempt(job, reads=True) as running:
        while not running.sweeps:
            assert running.next_read()
            running.go_on()
        assert running.next_read()
        assert running.kill(number) == code
    assert not os.path.lexists(job.out)
    before = entries_read(job)
    outcome = finished(job)
    assert 1 <= outcome.resumed_sweeps < len(sweeps)
    assert entries_read(job) - before == store.A.size * (len(sweeps) - outcome.resumed_sweeps)
    assert files(job.out) == expected


def test_the_old_result_stands_until_a_killed_replacement_is_finished(tmp_path, store):
    old = store.job(tmp_path / "out", method="krylov")
    old.run()
    before = files(old.out)
    record = (tmp_path / "out" / "zarr.json").read_bytes()
    new = Job("svd", old.store, old.out, old.options | {"seed": 1}, overwrite=True)
    expected = files(Job("svd", old.store, f"{old.out}.twin", new.options).run().path)
    for last in (1, 3):
        killed(new, Moment(sweep=last))
        assert files(old.out) == before
        assert (tmp_path / "out" / "zarr.json").read_bytes() == record
    assert finished(new).resumed_sweeps == 3
    assert files(new.out) == expected != before
    assert sorted(path.name for path in tmp_path.iterdir() if ".old" in path.name) == []


def test_two_writers_the_second_is_told_who_holds_the_lock(tmp_path, store):
    job = store.job(tmp_path / "out", method="krylov")
    with attempt(job, reads=True) as holder:
        assert holder.next_read()
        for other in (
            job,
            store.job(tmp_path / "out", k=2),
            Job("svd", job.store, job.out, job.options, overwrite=True),
        ):
            with pytest.raises(LockedError) as caught:
                other.run()
            for words in (str(tmp_path / "out"), f"process {holder.pid} on {socket.gethostname()}", "since 20", "wait"):
                assert words in str(caught.value)
        assert holder.kill() == -signal.SIGKILL  # and with it goes the lock
    assert not job.run().reused
    assert job.run().reused


def test_the_first_of_two_writers_is_not_disturbed(tmp_path, store):
    job = store.job(tmp_path / "out", method="krylov")
    expected = files(store.job(tmp_path / "twin", method="krylov").run().path)
    with attempt(job, reads=True) as holder:
        assert holder.next_read()
        with pytest.raises(LockedError):
            job.run()
        holder.go_on()
        assert not holder.outcome().reused
    assert files(job.out) == expected


def test_every_pipeline_holds_its_lock_and_ends_with_the_same_bits_after_a_kill(sample):
    with attempt(sample("twin"), reads=True) as whole:
        whole.outcome()
    expected = files(sample("twin").out)
    assert whole.reads >= 2
    for kill in sorted({whole.reads // 2, whole.reads - 1}):
        job = sample(f"out{kill}")
        with attempt(job, reads=True) as running:
            for _ in range(kill):
                assert running.next_read()
                running.go_on()
            assert running.next_read()
            with pytest.raises(LockedError, match=f"process {running.pid} on"):
                job.run()
            assert running.kill() == -signal.SIGKILL
        assert not os.path.lexists(job.out)
        assert not finished(job).reused
        assert files(job.out) == expected


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_checkpoint_is_told_and_what_it_names_can_be_removed(tmp_path, store, damage):
    job = store.job(tmp_path / "out", method="krylov")
    killed(job, Moment(sweep=2))
    file = job.folder / "work" / "state.npz"
    data = file.read_bytes()
    flipped = bytearray(data)
    flipped[data.index(b"Z.npy") + 300] ^= 1  # inside the first entries of Z
    file.write_bytes({"cut": data[: len(data) // 2], "flip": bytes(flipped), "empty": b""}[damage])
    with pytest.raises(IntegrityError, match="checkpoint is damaged") as caught:
        job.run()
    assert not os.path.lexists(job.out)
    named = job.folder / "work"
    assert f"remove {named} and run the same command again" in str(caught.value)
    for place in sorted(named.rglob("*"), reverse=True):
        place.rmdir() if place.is_dir() else place.unlink()
    named.rmdir()
    assert job.run().resumed_sweeps == 0
    assert files(job.out) == files(store.job(tmp_path / "twin", method="krylov").run().path)
