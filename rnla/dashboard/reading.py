"""What a report shows of a result, read strip by strip: a tall factor is never in memory whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnla.arrays import Array, spelt_times
from rnla.errors import StoreError
from rnla.records import FORMAT
from rnla.store.results import Result, read_result
from rnla.sweeps.source import Resident, Source

LEADING = 3  # modes that are drawn
LONGEST_LINE = 4096  # entries; a longer vector is drawn as the range within each piece ...
BUCKETS = 800  # ... of so many
SAMPLES = 2500  # points of a scatter
STRIPS = 64  # strips read of one factor at most
STRIP_BYTES = 4 << 20


@dataclass(frozen=True)
class Profile:
    """The leading vectors of one factor, as far as they are drawn."""

    length: int
    seen: int  # entries of each vector that were read
    xs: Array  # (b,) index of each piece
    low: Array  # (j, b) least value in each piece
    high: Array  # (j, b) largest; equal to `low` when every entry is drawn
    sample: Array  # (p, j) some entries of the vectors, evenly spread
    name: str  # of the dimension
    is_complex: bool  # then real parts are shown

    @property
    def whole(self) -> bool:
        """Whether every entry is drawn as it is."""
        return self.seen == self.length == self.xs.size


@dataclass(frozen=True)
class Shown:
    """A result in its place, whatever its kind."""

    path: Path
    found: Result

    @property
    def record(self) -> dict[str, Any]:
        """The attributes that say how it was made."""
        return dict(self.found.attributes["rnla"])

    @property
    def certificate(self) -> dict[str, Any]:
        """Numbers of the certificate."""
        return dict(self.record.get("certificate") or {})

    @property
    def config(self) -> dict[str, Any]:
        """Options of the job."""
        return dict(self.record.get("config") or {})

    @property
    def arrays(self) -> dict[str, Array]:
        """The small arrays, by name."""
        return self.found.arrays

    def factor(self, name: str) -> Source:
        """A matrix of the result, tall or small, to be read by strips."""
        return self.found.tall[name] if name in self.found.tall else Resident(self.arrays[name])

    def axis(self, name: str, axis: int) -> str:
        """Name of a dimension of an array."""
        names = self.found.dimensions.get(name) or ()
        return names[axis] if axis < len(names) else ("row", "column")[axis % 2]


def shown(place: Path | str) -> Shown:
    """The result at a path, read strictly: small arrays compared with their hashes, chunks with their manifests.

    Raises
    ------
    StoreError
        There is no result of rnla's, or one of another format.
    IntegrityError
        An array is damaged.
    """
    found = read_result(place)
    made = found.attributes["rnla"].get("format")
    if made != FORMAT:
        msg = f"{place} is a result of format {made}; this rnla reads format {FORMAT}: use the rnla that wrote it"
        raise StoreError(msg)
    return Shown(Path(place), found)


def names(result: Shown, name: str) -> list[str] | None:
    """Names of rows or columns as people read them; None where the result keeps none."""
    if name not in result.arrays:
        return None
    values = result.arrays[name]
    if values.dtype.kind in "mM":
        return spelt_times(values)
    return [f"{value:g}" if values.dtype.kind == "f" else str(value) for value in values.tolist()]


@dataclass(frozen=True)
class Content:
    """How many entries of a matrix are not zero, and whether any is negative, as far as it was read."""

    entries: int
    seen: int  # entries that were read
    filled: int  # of those, not zero
    negative: bool

    @property
    def share(self) -> float:
        """Of the entries read, the share that is not zero."""
        return self.filled / self.seen if self.seen else 0.0


def content(factor: Source) -> Content:
    """What fills a matrix (length, width), from at most STRIPS reads of it."""
    length, width = factor.shape
    seen = filled = 0
    negative = False
    for strip in strips_of(length, factor.chunks[0], width * factor.dtype.itemsize):
        block = np.asarray(factor.read(strip, slice(0, width)))
        seen, filled = seen + block.size, filled + int(np.count_nonzero(block))
        negative = negative or bool((block.real < 0).any())
    return Content(length * width, seen, filled, negative)


def side(result: Shown, name: str, axis: int) -> Profile:
    """The leading vectors of a factor, which lie along one axis of its array."""
    factor = result.factor(name)
    return profile(factor.transposed if axis else factor, result.axis(name, axis))


def profile(factor: Source, name: str) -> Profile:
    """The leading columns of a factor (length, modes), from at most STRIPS reads of it."""
    length, modes = factor.shape[0], min(LEADING, factor.shape[1])
    strips = list(strips_of(length, factor.chunks[0], factor.shape[1] * factor.dtype.itemsize))
    seen = sum(strip.stop - strip.start for strip in strips)
    every = max(1, -(-seen // SAMPLES))
    parts, samples = [], []
    for strip in strips:
        block = factor.read(strip, slice(0, modes))
        block = np.asarray(block.real, dtype=np.float64)  # (rows of the strip, modes)
        samples.append(block[(-strip.start) % every :: every])
        parts.append(pieces(block, strip.start, max(1, -(-length // BUCKETS)) if length > LONGEST_LINE else 1))
    xs, low, high = (np.concatenate(column, axis=-1) for column in zip(*parts, strict=True))
    return Profile(length, seen, xs, low, high, np.concatenate(samples), name, factor.dtype.kind == "c")


def strips_of(length: int, chunk: int, row_bytes: int) -> Iterator[slice]:
    """At most STRIPS strips of whole chunks, evenly spread over the length."""
    step = chunk * max(1, STRIP_BYTES // max(1, chunk * row_bytes))
    count = -(-length // step)
    for index in np.unique(np.linspace(0, count - 1, min(count, STRIPS)).round().astype(int)):
        yield slice(int(index) * step, min((int(index) + 1) * step, length))


def pieces(block: Array, start: int, width: int) -> tuple[Array, Array, Array]:
    """First index, least and largest value of each piece of `width` rows: (b,), (modes, b), (modes, b)."""
    index = np.arange(start, start + block.shape[0]) // width
    first = np.flatnonzero(np.diff(index, prepend=-1))
    low, high = np.minimum.reduceat(block, first, axis=0), np.maximum.reduceat(block, first, axis=0)
    return index[first] * width, low.T, high.T
