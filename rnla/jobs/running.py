"""Run a job: plan, refuse what does not fit, sweep with checkpoints, publish. Run it again: resume or reuse."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple, Protocol, cast

import numpy as np

from rnla.algorithms.labels import coordinates, named
from rnla.algorithms.planning import Plan
from rnla.algorithms.results import Cost
from rnla.arrays import DType, spelt_bytes
from rnla.cluster.resources import refuse_if_too_large, resources
from rnla.errors import ConfigError, DoesNotFitError, IntegrityError, OutputExistsError
from rnla.jobs.checkpoints import FileCheckpoints, checkpoint_bytes
from rnla.jobs.cures import disk_cure, memory_cure
from rnla.jobs.differences import CHANGE, differences
from rnla.jobs.folders import JobFolder
from rnla.jobs.pipelines import Pipeline, Place, configured, pipeline
from rnla.opening import open_matrix
from rnla.records import Made, input_record, now
from rnla.store.publishing import check_target, local_target, made_by_rnla, root_attributes
from rnla.store.results import ResultWriter
from rnla.store.tall import Scratch
from rnla.store.writing import writing_errors
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.meters import Meter
from rnla.sweeps.runners import Cluster, current
from rnla.sweeps.source import Grid, Tall

SELDOM = 50  # times what it takes to look whether the input is what it was, between two looks
CURE = (  # of factorisations that are no jobs
    "Use workers with more memory or fewer threads, smaller k, oversample or passes, or rechunk the store to row "
    "panels: rnla rechunk"
)


class Outcome(NamedTuple):
    """How a job ended."""

    path: Path
    status: str  # "ok", "tolerance_not_met" or "diverged"
    reused: bool  # the result was there already
    resumed_sweeps: int  # sweeps taken over from an earlier attempt
    attributes: dict[str, Any]  # the record of the result


class Observer(Protocol):
    """Whoever wants to see a job go on."""

    def planned(self, plan: Plan) -> None:
        """Before the first read."""

    def swept(self, sweeps_done: int) -> None:
        """After each sweep."""

    def read(self, byte_count: int) -> None:
        """As data is read; from any thread."""

    def noted(self, text: str) -> None:
        """What a pipeline says of where it is: an epoch, a loss, the time left."""

    def finished(self, outcome: Outcome) -> None:
        """After publication."""


class Silence:
    """Nobody wants to see."""

    def planned(self, plan: Plan) -> None:
        """Nothing."""

    def swept(self, sweeps_done: int) -> None:
        """Nothing."""

    def read(self, byte_count: int) -> None:
        """Nothing."""

    def noted(self, text: str) -> None:
        """Nothing."""

    def finished(self, outcome: Outcome) -> None:
        """Nothing."""


@dataclass(frozen=True)
class JobWorkspace:
    """Workspace of a job: the result's own tall arrays go into the result, all others into scratch."""

    writer: ResultWriter
    scratch: Scratch

    def tall(self, name: str, shape: tuple[int, int], dtype: DType, chunk_rows: int, *, across: bool = False) -> Tall:
        """A tall array by name."""
        return self._room(name).tall(name, shape, dtype, chunk_rows, across=across)

    def grid(self, name: str, shape: tuple[int, int], dtype: DType, chunks: tuple[int, int]) -> Grid:
        """An array chunked both ways by name."""
        return self._room(name).grid(name, shape, dtype, chunks)

    def _room(self, name: str) -> ResultWriter | Scratch:
        return self.writer if name in self.writer.dimensions else self.scratch


def opened(store: Any, config: Any, given: Mapping[str, Any], threads: int | None) -> tuple[Matrix, Any]:
    """The matrix of a job, opened as its configuration says; the configuration says how an open matrix was opened."""
    names = [name for name in ("missing", "allow_missing") if hasattr(config, name)]
    if not isinstance(store, Matrix):
        return open_matrix(store, threads=threads, **{name: getattr(config, name) for name in names}), config
    own = {"missing": store.transform.missing, "allow_missing": getattr(store.source, "allow_missing", False)}
    for name in names:
        if given.get(name, own[name]) != own[name]:
            msg = f"{name}={given[name]!r} comes too late for a matrix that is open: give it to rnla.open"
            raise ConfigError(msg)
    return store, dataclasses.replace(config, **{name: own[name] for name in names})


def plan_job(
    name: str, store: Any, options: Mapping[str, Any], *, threads: int | None = None, memory_bytes: int | None = None
) -> Plan:
    """What a job will cost; nothing is read but metadata."""
    chosen = pipeline(name)
    config = configured(chosen, options)
    A, config = opened(store, config, options, threads)
    return _plan(chosen, chosen.view(A, config), config, memory_bytes)


def _plan(chosen: Pipeline, A: Matrix, config: Any, memory_bytes: int | None) -> Plan:
    return chosen.plan(A, config, resources(A.swept_by, memory_bytes))


def run_job(
    name: str,
    store: Any,
    out: Any,
    options: Mapping[str, Any],
    *,
    overwrite: bool = False,
    threads: int | None = None,
    memory_bytes: int | None = None,
    observer: Observer | None = None,
) -> Outcome:
    """Run a pipeline on a store (or an open Matrix) and publish the result at `out`.

    Run again with the same store and options it takes up the work after the last sweep that was finished, or, when the
    result is there, reuses it.

    Raises
    ------
    DoesNotFitError
        Before anything is read: the plan exceeds the memory or the disk.
    OutputExistsError
        `out` is taken by something else.
    LockedError
        Another process is writing it.
    """
    watcher = observer or Silence()
    chosen = pipeline(name)
    config = configured(chosen, options)
    A, config = opened(store, config, options, threads)
    meter, runner = Meter(progress=watcher.read), current(A.runner)  # one of each for all sweeps
    A = dataclasses.replace(chosen.view(A, config), meter=meter, runner=runner)
    plan = _plan(chosen, A, config, memory_bytes)
    others = {
        other: dataclasses.replace(found, meter=meter, runner=runner)
        for other, found in chosen.others(A, config).items()
    }
    work = Work(chosen, A, others, config, plan, _spec(chosen, A, others, config))
    folder = JobFolder(local_target(out))
    if (reused := _reusable(folder.target, work.spec, overwrite=overwrite)) is not None:
        return _told(watcher, reused)
    found = resources(A.swept_by, memory_bytes)
    refuse_if_too_large(plan.peak_bytes, found, memory_cure(chosen))
    with writing_errors(folder.root):
        _refuse_full_disk(plan, folder, disk_cure(chosen))
    watcher.planned(plan)
    with folder.locked():
        if (reused := _reusable(folder.target, work.spec, overwrite=overwrite)) is not None:
            return _told(watcher, reused)  # another process has just published it
        return _told(watcher, _worked(work, folder, watcher, overwrite=overwrite))


def _told(watcher: Observer, outcome: Outcome) -> Outcome:
    watcher.finished(outcome)
    return outcome


@dataclass(frozen=True)
class Work:
    """A job that is ready to run."""

    chosen: Pipeline
    A: Matrix
    others: dict[str, Matrix]  # what is read besides A, by name
    config: Any
    plan: Plan
    spec: dict[str, Any]

    @property
    def inputs(self) -> dict[str, dict[str, Any]]:
        """Identities of all matrices, that of A under ""."""
        return {"": self.spec["input"], **self.spec.get("others", {})}

    @property
    def data(self) -> str:
        """What changes when chunks of any of the matrices are written again."""
        return " ".join(str(identity.get(CHANGE)) for identity in self.inputs.values())

    @property
    def lasting(self) -> dict[str, Any]:
        """The specification without that."""
        facts = {name: _without_change(identity) for name, identity in self.inputs.items()}
        lasting = {**self.spec, "input": facts.pop("")}
        return {**lasting, "others": facts} if facts else lasting

    def seen(self) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """The records of A and of the others, which must be what they were before the sweeps."""
        before = self.inputs
        return _same_input(self.A, before[""]), {
            name: _same_input(other, before[name]) for name, other in self.others.items()
        }


class Check:
    """Looks whether what a job reads is what it was when the job began, and takes a fiftieth of the time at most."""

    def __init__(self, work: Work) -> None:
        self.work, self.due = work, 0.0

    def __call__(self) -> None:
        """Look, when it is time."""
        began = perf_counter()
        if began < self.due:
            return
        self.work.seen()
        ended = perf_counter()
        self.due = ended + SELDOM * (ended - began)


def _without_change(identity: Mapping[str, Any]) -> dict[str, Any]:
    return {fact: value for fact, value in identity.items() if fact != CHANGE}


def _worked(work: Work, folder: JobFolder, watcher: Observer, *, overwrite: bool) -> Outcome:
    started, clock, A, chosen = now(), perf_counter(), work.A, work.chosen
    folder.begin(work.lasting, overwrite=overwrite)
    with folder.attempt():
        tall = {name: cast("tuple[str, str]", named(pair, A.labels)) for name, pair in chosen.tall.items()}
        writer = ResultWriter(str(folder.group), tall)
        talls = (folder.group, folder.scratch)
        checkpoints = FileCheckpoints(folder.state, work.data, watcher.swept, A.meter, clock, talls=talls)
        resumed = checkpoints.sweeps()
        place = Place(
            JobWorkspace(writer, Scratch(str(folder.scratch))), checkpoints, work.others, watcher.noted, Check(work)
        )
        delivered = chosen.run(A, work.config, place)
        for name, (array, dimensions) in delivered.arrays.items():
            writer.set(name, array, named(dimensions, A.labels))
        for name, values in coordinates(A.labels).items():
            if name not in delivered.arrays and name not in tall and name.isidentifier():
                writer.set(name, values, (name,))
        seen, others = work.seen()
        made = Made(
            chosen.name,
            work.spec["config"],
            work.plan,
            cost_of(A, perf_counter() - clock + checkpoints.seconds_before, *work.others.values()),
            delivered.certificate,
            delivered.method,
            seen,
            started,
            others,
        )
        record = made.attributes() | {"spec_digest": digest(work.spec), "resumed_sweeps": resumed}
        if A.labels is not None:
            record["labels"] = {"rows": A.labels.rows, "columns": A.labels.columns}
        writer.publish(folder.target, record, overwrite=overwrite)
        status = delivered.certificate.status
        folder.finish({"status": status, "finished": now()})
        return Outcome(folder.target, status, reused=False, resumed_sweeps=resumed, attributes=record)


def _same_input(A: Matrix, before: Mapping[str, Any]) -> dict[str, Any]:
    """The record of the input, which must be what it was before the sweeps."""
    seen = input_record(A)
    if any(seen.get(fact) != value for fact, value in before.items()):
        msg = (
            f"{before.get('url', 'the input')}: the store was written to while this job read it, so the sweeps did not "
            "see one matrix; run the same command again when nobody writes to it"
        )
        raise IntegrityError(msg)
    return seen


def cost_of(A: Matrix, seconds: float, *others: Matrix) -> Cost:
    """What the sweeps of A's meter cost; a pass is one read of A and the others."""
    total = A.meter.total()
    size = sum(matrix.geometry.bytes for matrix in (A, *others))
    return Cost(
        passes=total.bytes_read / size if size else 0.0,
        bytes_read=total.bytes_read,
        seconds=seconds,
        peak_bytes=max(total.peak_bytes, 0 if isinstance(A.swept_by, Cluster) else A.meter.peak.grown),
        read_seconds=total.read_seconds,
        missing_entries=A.meter.missing,
        sweeps=tuple(tally.bytes_read for tally in A.meter.tallies),
    )


def _spec(chosen: Pipeline, A: Matrix, others: Mapping[str, Matrix], config: Any) -> dict[str, Any]:
    record: dict[str, Any] = {
        "pipeline": chosen.name,
        "config": dataclasses.asdict(config),
        "input": dict(A.source.identity),
        "view": _view_digest(A),
    }
    if others:
        record["others"] = {name: dict(other.source.identity) for name, other in others.items()}
    plain: dict[str, Any] = json.loads(json.dumps(record))
    return plain


def _view_digest(A: Matrix) -> str:
    """Hash of centring, scaling and weights that were given."""
    hashed = hashlib.blake2b(digest_size=16)
    transform = A.transform
    hashed.update(f"{A.centring} {A.scaling} {A.axis} {A.dtype} {transform.missing} {transform.unit}".encode())
    for vector in (transform.centre, transform.row_centre, transform.scale, transform.weights, transform.fill):
        hashed.update(b"-" if vector is None else np.ascontiguousarray(vector).tobytes())
    return hashed.hexdigest()


def digest(spec: Mapping[str, Any]) -> str:
    """Hash of a specification."""
    return hashlib.blake2b(json.dumps(spec, sort_keys=True).encode(), digest_size=16).hexdigest()


def _reusable(target: Path, spec: dict[str, Any], *, overwrite: bool) -> Outcome | None:
    """The result at `target` when it is this job's; None when there is room for it."""
    with writing_errors(target):
        if not overwrite and made_by_rnla(target):
            record: dict[str, Any] = root_attributes(target)["rnla"]
            if record.get("spec_digest") == digest(spec):
                status = record["certificate"]["status"]
                return Outcome(target, status, reused=True, resumed_sweeps=0, attributes=record)
            compared: dict[str, Any] = {
                name: spec[name] for name in ("pipeline", "config", "input", "others") if name in spec
            }
            msg = (
                f"{target}: there is a result already, which differs in "
                f"{differences(compared, record) or 'its view of the matrix'}; choose another path, or give "
                "overwrite=True (--overwrite)"
            )
            raise OutputExistsError(msg)
        check_target(target, overwrite=overwrite)
    return None


def _refuse_full_disk(plan: Plan, folder: JobFolder, cure: str) -> None:
    place = next(parent for parent in folder.root.parents if parent.exists())
    free = shutil.disk_usage(place).free
    kept = sum(file.stat().st_size for file in folder.work.rglob("*") if file.is_file()) if folder.work.exists() else 0
    states = checkpoint_bytes(plan)
    needed = plan.output_bytes + plan.scratch_bytes + states - kept
    if needed > free:
        msg = (
            f"the result needs {spelt_bytes(plan.output_bytes)}, and while it is made "
            f"{spelt_bytes(plan.scratch_bytes)} more and {spelt_bytes(states)} for checkpoints, but {place} has only "
            f"{spelt_bytes(free)} free; {cure}"
        )
        raise DoesNotFitError(msg)
