"""Jobs in processes of their own, forked from one that has imported everything, and ended at chosen moments."""

import multiprocessing
import os
import signal
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from threading import RLock
from typing import Any

import rnla
import rnla.jobs.running
import rnla.sweeps.geometry
from rnla.jobs.running import Outcome, Silence
from tests.faults import Fault, watched

PANEL_BYTES = 1 << 14
INTERRUPTED = 130
PRELOADED = (
    "pytest",
    "scipy.stats",
    "zarr",
    "rnla.jobs.running",
    "rnla.store.results",
    "rnla_pipelines.cur",
    "rnla_pipelines.interpolation",
    "rnla_pipelines.norms",
    "rnla_pipelines.pca",
    "rnla_pipelines.product",
    "rnla_pipelines.similarity",
    "rnla_pipelines.svd",
)
CHANGES = frozenset({"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.rmtree"})
SENDING = RLock()  # in a process at work: one thread at a time tells


@dataclass(frozen=True)
class Job:
    """A command: the same value again is the same command again."""

    name: str
    store: str
    out: str
    options: dict[str, Any] = field(default_factory=dict)
    log: str | None = None  # where reads are noted
    faults: tuple[Fault, ...] = ()
    overwrite: bool = False
    threads: int = 1

    def run(self, observer=None):
        """Run it in this process."""
        store = self.store
        if self.log:
            missing = self.options.get("missing", "error")
            store = watched(rnla.open(store, missing=missing, threads=self.threads), self.log, *self.faults)
        return rnla.jobs.running.run_job(
            self.name,
            store,
            self.out,
            self.options,
            overwrite=self.overwrite,
            threads=self.threads,
            observer=observer,
        )

    @property
    def folder(self):
        """Its folder beside the result."""
        return Path(self.out).with_name(f".{Path(self.out).name}.rnla")


@dataclass(frozen=True)
class Moment:
    """When a process is killed by itself: after a sweep, or before its n-th change to files (from 0)."""

    sweep: int | None = None
    change: int | None = None
    under: str = ""  # where changes count


class Teller(Silence):
    """Sends a line for every sweep and, if asked to, for every read, and waits after these for an answer."""

    def __init__(self, line: Connection, moment: Moment, *, reads: bool):
        self.line, self.moment, self.reads = line, moment, reads

    def swept(self, sweeps_done):
        with SENDING:
            self.line.send(("swept", sweeps_done))
        if sweeps_done == self.moment.sweep:
            os.kill(os.getpid(), signal.SIGKILL)

    def read(self, byte_count):
        if self.reads:
            with SENDING:
                self.line.send(("read", byte_count))
                self.line.recv()


def unflushed(_handle):
    """In place of `os.fsync`: a killed process loses nothing that the kernel has, and flushing is slow."""


def _inside(job: Job, line: Connection, moment: Moment, reads: bool):
    rnla.sweeps.geometry.PANEL_BYTES = PANEL_BYTES
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.fsync = unflushed
    if moment.under:
        sys.addaudithook(_counter(line, moment))
    try:
        outcome = job.run(Teller(line, moment, reads=reads))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - the parent raises it
        line.send(("failed", error))
    else:
        line.send(("done", tuple(outcome)))


def _counter(line: Connection, moment: Moment):
    """Counts changes of files under a folder; kills at the moment."""
    count = 0

    def hook(event, arguments):
        nonlocal count
        writes = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if not (writes or event in CHANGES) or not str(arguments[0]).startswith(moment.under):
            return
        if count == moment.change:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1
        with SENDING:
            line.send(("changed", f"{event} {arguments[0]}"))

    return hook


class Attempt:
    """A running attempt at a job."""

    def __init__(self, job, moment=None, *, reads=False):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(PRELOADED))
        self.line, theirs = context.Pipe()
        moment = moment or Moment()
        self.process = context.Process(target=_inside, args=(job, theirs, moment, reads), daemon=True)
        self.process.start()
        theirs.close()
        self.told = []

    @property
    def pid(self):
        return self.process.pid

    def next_read(self):
        """Whether it came to another read of data, where it now waits for `go_on`."""
        while (told := self._next()) is not None:
            if told[0] == "read":
                return True
        return False

    def go_on(self):
        self.line.send("go on")

    def _next(self):
        try:
            self.told.append(self.line.recv())
        except (EOFError, ConnectionError):
            return None
        return self.told[-1]

    def end(self):
        """Its exit code, once it has ended."""
        while (told := self._next()) is not None:
            if told[0] == "read":
                self.go_on()
        self.process.join()
        return self.process.exitcode

    def outcome(self):
        """The outcome of a job that goes to its end, or its error."""
        code = self.end()
        assert code == 0, f"exit code {code}"
        kind, value = self.told[-1]
        if kind == "failed":
            raise value
        return Outcome(*value)

    def kill(self, number=signal.SIGKILL):
        """Send a signal and let it go on, if it can."""
        os.kill(self.pid, number)
        with suppress(ConnectionError):
            self.go_on()
        return self.end()

    @property
    def changes(self):
        """Changes that it made to files."""
        return [what for kind, what in self.told if kind == "changed"]

    @property
    def reads(self):
        """Reads of data that it told of."""
        return sum(kind == "read" for kind, _ in self.told)

    @property
    def sweeps(self):
        """Sweeps that it finished."""
        return [count for kind, count in self.told if kind == "swept"]


@contextmanager
def attempt(job, moment=None, *, reads=False):
    """An attempt that is over when the block is."""
    found = Attempt(job, moment, reads=reads)
    try:
        yield found
    finally:
        found.process.kill()
        found.process.join()
        found.line.close()


def killed(job, moment):
    """Run a job that kills itself at a moment: the attempt, over."""
    with attempt(job, moment) as found:
        assert found.end() == -signal.SIGKILL
    return found


def finished(job):
    """Run a job in its own process to its end."""
    with attempt(job) as found:
        return found.outcome()


def files(folder):
    """Every file under a folder, but for the group's record, which tells the time."""
    folder = Path(folder)
    every = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in sorted(every.items()) if name != "zarr.json"}
