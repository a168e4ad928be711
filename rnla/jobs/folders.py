"""The folder of a job, beside its result: the record as plain JSON, the lock, checkpoints, and what is being made.

.NAME.rnla/spec.json            written once: pipeline, configuration, the input's identity
.NAME.rnla/attempts/0001.json   one for each start: host, process, time; how and when it ended, unless it was killed
.NAME.rnla/final.json           written once: how it ended
.NAME.rnla/lock                 held by the process at work, let go by the system when it dies
.NAME.rnla/work/                checkpoints, scratch and the unpublished result; removed when it is published
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnla.errors import LockedError, OutputError, OutputExistsError, RnlaError, StorageFullError, StoreError
from rnla.jobs.differences import differences
from rnla.records import now
from rnla.store.publishing import local_target
from rnla.store.writing import writing_errors


@dataclass(frozen=True)
class JobFolder:
    """Paths of a job whose result is to stand at `target`."""

    target: Path

    @property
    def root(self) -> Path:
        """The folder itself."""
        return self.target.with_name(f".{self.target.name}.rnla")

    @property
    def work(self) -> Path:
        """What goes when the result is published."""
        return self.root / "work"

    @property
    def group(self) -> Path:
        """The result in the making."""
        return self.work / "group"

    @property
    def scratch(self) -> Path:
        """Tall arrays that are not part of the result."""
        return self.work / "scratch"

    @property
    def state(self) -> Path:
        """The last checkpoint."""
        return self.work / "state.npz"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Inside, no other process works on this result. The system ends the lock when its holder dies.

        What the system refuses on the way is an OutputError.
        """
        with writing_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise self._taken() from error
            holder = {"host": socket.gethostname(), "process": os.getpid(), "since": now()}
            with writing_errors(self.root):
                os.ftruncate(lock, 0)
                os.write(lock, json.dumps(holder).encode())
                yield
        except StorageFullError as error:
            msg = f"{error}: finished work is kept"
            raise StorageFullError(msg) from error
        except (RnlaError, BrokenPipeError):
            raise
        except OSError as error:
            msg = (
                f"{self.target}: the system refused to go on ({error}); check the disk that it lies on and run the "
                "same command again: finished sweeps are kept"
            )
            raise OutputError(msg) from error
        finally:
            os.close(lock)

    def _taken(self) -> LockedError:
        holder: dict[str, Any] = _read(self.root / "lock") or {}
        return LockedError(
            f"{self.target}: process {holder.get('process', '?')} on {holder.get('host', '?')} has been writing this "
            f"result since {holder.get('since', '?')}; wait for it, end it, or choose another place"
        )

    def begin(self, spec: dict[str, Any], *, overwrite: bool) -> None:
        """Take up the job that is here, or start it.

        Work of another job is dropped when no sweep of it was finished.
        """
        known = _read(self.root / "spec.json")
        finished = (self.root / "final.json").exists()
        if known is not None and (finished or (known != spec and (overwrite or not self.state.exists()))):
            self.clear()
            known = None
        if known is not None and known != spec:
            msg = (
                f"{self.root}: an unfinished job is here that differs in "
                f"{differences(spec, known) or 'its view of the matrix'}. With the options it had it goes on; "
                "overwrite=True (--overwrite) drops its work and starts anew; or choose another place"
            )
            raise OutputExistsError(msg)
        if not self.state.exists():  # nothing was finished, and the data may have changed since
            shutil.rmtree(self.work, ignore_errors=True)
        if known is None:
            write_json(self.root / "spec.json", spec)
        for folder in (self.group, self.scratch, self.root / "attempts"):
            folder.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Inside, this process is at work; how it ends is written into the record, as far as it can be."""
        number = len(list((self.root / "attempts").glob("*.json"))) + 1
        file = self.root / "attempts" / f"{number:04}.json"
        start = {"host": socket.gethostname(), "process": os.getpid(), "started": now()}
        write_json(file, start)
        how = {"status": "done"}
        try:
            yield
        except BaseException as error:
            how = _how_it_failed(error)
            raise
        finally:
            with suppress(OSError):
                write_json(file, start | how | {"ended": now()})

    def finish(self, how: dict[str, Any]) -> None:
        """Write the end of the record, and remove what was only for the way; the result stands, so nothing fails."""
        with suppress(OSError):
            write_json(self.root / "final.json", how)
        with suppress(OSError):
            self.state.unlink(missing_ok=True)  # first: no state may speak of scratch that is gone
        shutil.rmtree(self.work, ignore_errors=True)

    def clear(self) -> None:
        """Remove the record and work of an earlier job."""
        for name in ("spec.json", "final.json"):
            (self.root / name).unlink(missing_ok=True)
        shutil.rmtree(self.root / "attempts", ignore_errors=True)
        shutil.rmtree(self.work, ignore_errors=True)


def published(place: str | os.PathLike[str]) -> Path:
    """The absolute path of a result that is to be read; StoreError where nothing is there at all."""
    path = local_target(place)
    if not path.exists():
        msg = f"{path}: there is no such file or folder; check the path"
        raise StoreError(msg)
    return path


def _how_it_failed(error: BaseException) -> dict[str, str]:
    if not isinstance(error, Exception):  # Ctrl-C, SIGTERM
        return {"status": "interrupted"}
    return {"status": "failed", "error": type(error).__name__, "message": str(error)}


def write_json(file: Path, record: dict[str, Any]) -> None:
    """Write a record in one atomic step."""
    with writing_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        aside = file.with_suffix(".aside")
        aside.write_text(json.dumps(record, indent=1, sort_keys=True), encoding="utf-8")
        aside.replace(file)


def _read(file: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
