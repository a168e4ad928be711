"""States between sweeps, one file each, replaced by one atomic rename: arrays and numbers, never pickle."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import numpy as np

from rnla.algorithms.planning import Plan
from rnla.arrays import Array
from rnla.errors import IntegrityError
from rnla.store.writing import writing_errors
from rnla.sweeps.meters import Meter
from rnla.sweeps.spans import Tally

S = TypeVar("S")
HEADERS_BYTES = 8 << 10  # of the arrays in a state, as npz writes them


def checkpoint_bytes(plan: Plan) -> int:
    """Most that checkpoints of a job take on the disk: the last state, and the next one while it is written."""
    return 2 * (plan.state_bytes + HEADERS_BYTES) if plan.state_bytes else 0


@dataclass(frozen=True)
class FileCheckpoints:
    """Keeps the last state of an iteration in `file`, with what it cost so far, and tells how many sweeps are done.

    A state that was made of other data (of a store written again since) counts as none; it stays until a sweep of the
    present data is finished, in case that data was damaged and comes back as it was.
    """

    file: Path
    data: str = ""  # stands for the data the sweeps see
    swept: Callable[[int], None] = lambda _count: None
    meter: Meter = field(default_factory=Meter)
    started: float = field(default_factory=perf_counter)
    taken_up: list[float] = field(default_factory=list)  # seconds of earlier attempts
    talls: tuple[Path, ...] = ()  # folders of tall arrays

    @property
    def seconds_before(self) -> float:
        """Seconds that earlier attempts took up to the state that was loaded."""
        return sum(self.taken_up)

    def sweeps(self) -> int:
        """Sweeps that the state kept has done."""
        if not self.file.exists():
            return 0
        with loaded(self.file) as kept:
            return int(kept["sweeps"]) if self._fits(kept) and "sweeps" in kept else 0

    def load(self, blank: S) -> S | None:
        """The state kept, of the type of `blank`; None if there is none."""
        if not self.file.exists():
            return None
        with loaded(self.file) as kept:
            if not self._fits(kept):
                return None
            self._take_up(kept)
            fields = {name: _restored(getattr(blank, name), kept, name) for name in blank._fields}  # type: ignore[attr-defined]
        return type(blank)(**fields)

    def _fits(self, kept: Any) -> bool:
        return str(kept["data"]) == self.data

    def _take_up(self, kept: Any) -> None:
        read, reading, peak, seconds, missing = (float(value) for value in kept["cost"])
        self.meter.tallies.append(Tally(int(read), read_seconds=reading, peak_bytes=int(peak), missing=int(missing)))
        self.taken_up.append(seconds)

    def _cost(self) -> Array:
        total = self.meter.total()
        seconds = perf_counter() - self.started + self.seconds_before
        return np.array([total.bytes_read, total.read_seconds, total.peak_bytes, seconds, self.meter.missing])

    def save(self, state: S) -> None:
        """Replace the state kept."""
        values = {name: value for name, value in state._asdict().items() if value is not None}  # type: ignore[attr-defined]
        values |= {"cost": self._cost(), "data": np.array(self.data)}
        aside = self.file.with_suffix(".aside")
        size = sum(np.asarray(value).nbytes for value in values.values())
        with writing_errors(self.file, size):
            with aside.open("wb") as stream:
                np.savez(stream, **values)
                stream.flush()
                os.fsync(stream.fileno())
            aside.replace(self.file)
        self.swept(int(getattr(state, "sweeps", 0)))

    def forget(self) -> None:
        """Drop the state, with the tall arrays that belong to it."""
        with writing_errors(self.file):
            self.file.unlink(missing_ok=True)  # first: no state may speak of arrays that are gone
            for child in [child for folder in self.talls for child in folder.iterdir()]:
                shutil.rmtree(child)


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
