"""Faults on purpose: a source whose n-th read goes wrong, and a killer of processes. Reused by every issue.

Reads are counted in a file, across threads, processes and attempts, so "the n-th read" happens once, whoever makes it.
"""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

Kind = Literal["EIO", "ENOSPC", "missing", "nan", "flip", "delay", "kill"]
RECORD = 64  # bytes of one line of the log
PAUSE_SECONDS = 0.05


@dataclass(frozen=True)
class Fault:
    """What goes wrong at the n-th read (from 0), and at the following ones if `times` is more."""

    nth: int
    kind: Kind
    times: int = 1

    def strikes(self, index):
        return self.nth <= index < self.nth + self.times


@dataclass(frozen=True)
class FaultSource:
    """A source that logs every read to a file and fails when told to. Pickles, so it works on clusters."""

    inner: Any
    log: str
    faults: tuple[Fault, ...] = ()
    turned: bool = False

    @property
    def shape(self):
        return self.inner.shape

    @property
    def dtype(self):
        return self.inner.dtype

    @property
    def chunks(self):
        return self.inner.chunks

    @property
    def identity(self):
        return self.inner.identity

    @property
    def transposed(self):
        return replace(self, inner=self.inner.transposed, turned=not self.turned)

    def __getattr__(self, name):
        """How a sparse source is cut, where the inner one is sparse; what a read decodes, where that is more."""
        if name in ("cut", "by_rows", "sparse", "read_bytes"):
            return getattr(self.inner, name)
        raise AttributeError(name)

    def place(self, row, column):
        return self.inner.place(row, column)

    def read(self, rows, columns, scratch=None):
        index = self._logged(rows, columns)
        struck = [fault.kind for fault in self.faults if fault.strikes(index)]
        for kind in struck:
            self._fail(kind)
        found = self.inner.read(rows, columns, scratch)
        if "nan" in struck or "flip" in struck:
            found = np.array(found)
            found[0, 0] = np.nan if "nan" in struck else -found[0, 0] - 1
        return found

    def _fail(self, kind):
        if kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "delay":
            time.sleep(PAUSE_SECONDS)
        if kind in ("EIO", "ENOSPC"):
            code = getattr(errno, kind)
            raise OSError(code, os.strerror(code), "injected")
        if kind == "missing":
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "injected")

    def _logged(self, rows, columns):
        if self.turned:
            rows, columns = columns, rows
        line = f"{os.getpid()} {rows.start} {rows.stop} {columns.start} {columns.stop}"
        handle = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            os.write(handle, line.ljust(RECORD - 1).encode() + b"\n")  # one write to an appending file is atomic
            return os.lseek(handle, 0, os.SEEK_CUR) // RECORD - 1
        finally:
            os.close(handle)


def watched(A, log, *faults):
    """The same matrix, its reads logged to a file and spoilt by faults."""
    return replace(A, source=FaultSource(A.source, str(log), faults))


@dataclass(frozen=True)
class Read:
    """One line of a log: who read what, in the orientation of the store."""

    process: int
    rows: slice
    columns: slice

    @property
    def entries(self):
        return (self.rows.stop - self.rows.start) * (self.columns.stop - self.columns.start)


def reads(log):
    """All reads logged so far, in order."""
    if not Path(log).exists():
        return []
    found = [[int(word) for word in line.split()] for line in Path(log).read_text().splitlines()]
    return [Read(process, slice(a, b), slice(c, d)) for process, a, b, c, d in found]


def passes_read(log, shape):
    """Entries read over entries there are."""
    return sum(read.entries for read in reads(log)) / (shape[0] * shape[1])


RECHUNKED = """
import json, sys, tracemalloc
from rnla.store.rechunk import rechunk
small, source, target, options = *sys.argv[1:4], json.loads(sys.argv[4])
rechunk(small, small + "-copy", **options)  # what is imported late is imported now
tracemalloc.start()
done = rechunk(source, target, **options)
print(json.dumps([tracemalloc.get_traced_memory()[1], getattr(done, "stages", 1)]))
"""


@dataclass(frozen=True)
class Killer:
    """Starts Python programs in processes of their own and kills them, without warning, at a chosen moment."""

    folder: Path

    def start(self, program, *words):
        """A process that runs this program text with these arguments."""
        script = self.folder / f"program-{abs(hash(program))}.py"
        script.write_text(program)
        line = [sys.executable, str(script), *map(str, words)]
        return subprocess.Popen(
            line,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        )

    def run(self, program, *words, timeout=120):
        """What the program printed, run to its end."""
        process = self.start(program, *words)
        out, _ = process.communicate(timeout=timeout)
        assert process.returncode == 0, out
        return out

    def rechunked(self, small, source, target, **options):
        """Peak of the memory that a copy takes, beside nothing else in its process, and its stages."""
        return json.loads(self.run(RECHUNKED, small, source, target, json.dumps(options)).splitlines()[-1])

    def killed_after(self, seconds, program, *words, marker=None):
        """Kill it so long after it began (after `marker` exists); True if it was still alive."""
        process = self.start(program, *words)
        try:
            while marker is not None and not Path(marker).exists() and process.poll() is None:
                time.sleep(0.001)
            time.sleep(seconds)
            alive = process.poll() is None
            process.kill()
        finally:
            process.communicate()
        return alive
