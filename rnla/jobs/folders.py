"""The folder of a job, beside its result: the record as plain JSON, the lock, checkpoints, and what is being made.

.NAME.rnla/spec.json            written once: pipeline, configuration, the input's identity
.NAME.rnla/attempts/0001.json   one for each start: host, process, time
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
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnla.errors import LockedError, OutputExistsError
from rnla.records import now
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
        """Inside, no other process works on this result. The system ends the lock when its holder dies."""
        with writing_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            lock = (self.root / "lock").open("a+", encoding="utf-8")
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise self._taken() from error
            lock.truncate(0)
            lock.write(json.dumps({"host": socket.gethostname(), "process": os.getpid(), "since": now()}))
            lock.flush()
            yield
        finally:
            lock.close()

    def _taken(self) -> LockedError:
        holder: dict[str, Any] = _read(self.root / "lock") or {}
        return LockedError(
            f"{self.target}: process {holder.get('process', '?')} on {holder.get('host', '?')} has been writing this "
            f"result since {holder.get('since', '?')}; wait for it, end it, or choose another place"
        )

    def begin(self, spec: dict[str, Any], *, overwrite: bool) -> bool:
        """Take up the job that is here, or start it; True when work of an earlier attempt is taken up."""
        known = _read(self.root / "spec.json")
        finished = (self.root / "final.json").exists()
        if known is not None and (finished or (known != spec and overwrite)):
            self.clear()
            known = None
        if known is not None and known != spec:
            changed = ", ".join(key for key in spec if spec[key] != known.get(key))
            msg = (
                f"{self.root}: an unfinished job of other {changed} is here; run it with the options it had, give "
                "overwrite=True (--overwrite) to drop its work, or choose another place"
            )
            raise OutputExistsError(msg)
        if known is None:
            shutil.rmtree(self.work, ignore_errors=True)
            write_json(self.root / "spec.json", spec)
        for folder in (self.group, self.scratch, self.root / "attempts"):
            folder.mkdir(parents=True, exist_ok=True)
        number = len(list((self.root / "attempts").glob("*.json"))) + 1
        start = {"host": socket.gethostname(), "process": os.getpid(), "started": now()}
        write_json(self.root / "attempts" / f"{number:04}.json", start)
        return known is not None

    def finish(self, how: dict[str, Any]) -> None:
        """Write the end of the record, and remove what was only for the way."""
        write_json(self.root / "final.json", how)
        shutil.rmtree(self.work, ignore_errors=True)

    def clear(self) -> None:
        """Remove the record and work of an earlier job."""
        for name in ("final.json", "spec.json"):
            (self.root / name).unlink(missing_ok=True)
        shutil.rmtree(self.root / "attempts", ignore_errors=True)
        shutil.rmtree(self.work, ignore_errors=True)


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
