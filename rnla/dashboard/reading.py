"""What a report shows of a result, read strip by strip: a tall factor is never in memory whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnla.arrays import Array
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
    """A result as a report shows it."""

    path: Path
    record: dict[str, Any]  # the attributes that say how it was made
    s: Array  # (k,)
    lower: Array  # (k,)
    upper: Array  # (k,)
    residuals: Array  # (k,)
    resolved: Array  # (k,) bool
    shares: Array  # (k,) of the total variance, or of the sum of squares
    rows: Profile
    columns: Profile

    @property
    def is_pca(self) -> bool:
        """Whether these are principal components."""
        return bool(self.record.get("pipeline") == "pca")

    @property
    def k(self) -> int:
        """Number of modes."""
        return int(self.s.size)

    @property
    def certificate(self) -> dict[str, Any]:
        """Numbers of the certificate."""
        return dict(self.record.get("certificate") or {})

    @property
    def scores(self) -> Array:
        """Coordinates of sampled rows along the leading modes: (p, j)."""
        drawn = self.rows.sample
        return drawn if self.is_pca else np.asarray(drawn * self.s[: drawn.shape[1]])


def shown(place: Path | str) -> Shown:
    """The result at a path, read strictly: small arrays compared with their hashes, chunks with their manifests.

    Raises
    ------
    StoreError
        There is no result of rnla's svd or pca, or one of another format.
    IntegrityError
        An array is damaged.
    """
    found = read_result(place)
    record = checked_record(found, place)
    is_pca = record["pipeline"] == "pca"
    s = found.arrays["singular_values" if is_pca else "s"]
    norm = (record.get("certificate") or {}).get("frobenius_norm") or 0.0
    return Shown(
        path=Path(place),
        record=record,
        s=s,
        lower=found.arrays["lower"],
        upper=found.arrays["upper"],
        residuals=found.arrays["residuals"],
        resolved=found.arrays["resolved"],
        shares=found.arrays["explained_variance_ratio"] if is_pca else (s / norm if norm > 0 else s * 0) ** 2,
        rows=side(found, "scores" if is_pca else "U", 0),
        columns=side(found, "components" if is_pca else "Vt", 1),
    )


def checked_record(found: Result, place: Path | str) -> dict[str, Any]:
    """How the result was made, when it is one that a report can show."""
    record: dict[str, Any] = found.attributes["rnla"]
    if record.get("pipeline") not in {"svd", "pca"}:
        msg = f"{place}: this is a result of {record.get('pipeline')!r}, and reports are made of svd and pca"
        raise StoreError(msg)
    if record.get("format") != FORMAT:
        msg = (
            f"{place} is a result of format {record.get('format')}; this rnla reads format {FORMAT}: use the rnla that "
            "wrote it"
        )
        raise StoreError(msg)
    return record


def side(found: Result, name: str, axis: int) -> Profile:
    """The leading vectors of a factor, which lie along one axis of its array."""
    factor: Source = found.tall[name] if name in found.tall else Resident(found.arrays[name])
    return profile(factor.transposed if axis else factor, found.dimensions[name][axis])


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
