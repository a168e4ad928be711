"""States between sweeps, one file each, replaced by one atomic rename: arrays and numbers, never pickle."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from rnla.errors import IntegrityError
from rnla.store.writing import writing_errors

S = TypeVar("S")


@dataclass(frozen=True)
class FileCheckpoints:
    """Keeps the last state of an iteration in `file`, and tells how many sweeps are done."""

    file: Path
    swept: Callable[[int], None] = lambda _count: None

    def load(self, blank: S) -> S | None:
        """The state kept, of the type of `blank`; None if there is none."""
        if not self.file.exists():
            return None
        with loaded(self.file) as kept:
            fields = {name: _restored(getattr(blank, name), kept, name) for name in blank._fields}  # type: ignore[attr-defined]
        return type(blank)(**fields)

    def save(self, state: S) -> None:
        """Replace the state kept."""
        values = {name: value for name, value in state._asdict().items() if value is not None}  # type: ignore[attr-defined]
        aside = self.file.with_suffix(".aside")
        size = sum(np.asarray(value).nbytes for value in values.values())
        with writing_errors(self.file, size):
            with aside.open("wb") as stream:
                np.savez(stream, **values)
                stream.flush()
                os.fsync(stream.fileno())
            aside.replace(self.file)
        self.swept(int(getattr(state, "sweeps", 0)))


@contextmanager
def loaded(file: Path) -> Iterator[Any]:
    """The arrays of a checkpoint; each is checked against its crc32 as it is read."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as kept:
            yield kept
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        msg = f"{file}: this checkpoint is damaged ({error}); remove {file.parent} and run the same command again"
        raise IntegrityError(msg) from error


def _restored(blank: Any, kept: Any, name: str) -> Any:
    if name not in kept:
        return None
    value = kept[name]
    return type(blank)(value.item()) if isinstance(blank, bool | int | float) else value
