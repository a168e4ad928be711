"""What a report shows of a result, read strip by strip: a tall factor is never in memory whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnla.arrays import Array
from rnla.errors import StoreError

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


def read_result(place: Path | str) -> Shown:
    """The result at a path.

    Raises
    ------
    StoreError
        There is no result of rnla, or one of another format.
    """
    path = Path(place)
    group, record = opened(path)
    is_pca = record["pipeline"] == "pca"
    s = whole(group, "singular_values" if is_pca else "s")
    norm = (record.get("certificate") or {}).get("frobenius_norm") or 0.0
    ratio = whole(group, "explained_variance_ratio") if is_pca else (s / norm if norm > 0 else s * 0) ** 2
    return Shown(
        path=path,
        record=record,
        s=s,
        lower=whole(group, "lower"),
        upper=whole(group, "upper"),
        residuals=whole(group, "residuals"),
        resolved=whole(group, "resolved").astype(bool),
        shares=ratio,
        rows=profile(group["scores" if is_pca else "U"], axis=0),
        columns=profile(group["components" if is_pca else "Vt"], axis=1),
    )


def opened(path: Path) -> tuple[Any, dict[str, Any]]:
    """The group and its record."""
    import zarr

    try:
        group = zarr.open_group(path, mode="r")
    except (FileNotFoundError, ValueError, TypeError) as error:
        msg = f"there is no result at {path}: give the folder that 'rnla run' wrote ({error})"
        raise StoreError(msg) from error
    record = group.attrs.get("rnla")
    if not isinstance(record, dict) or record.get("pipeline") not in {"svd", "pca"}:
        msg = f"{path} is a Zarr group but not a result of rnla svd or pca: its attributes hold no record of one"
        raise StoreError(msg)
    if record.get("format") != 1:
        msg = (
            f"{path} is a result of format {record.get('format')}; this rnla reads format 1: use the rnla that wrote it"
        )
        raise StoreError(msg)
    return group, dict(record)


def whole(group: Any, name: str) -> Array:
    """A short array of the result."""
    return np.asarray(group[name][...])


def profile(array: Any, axis: int) -> Profile:
    """The leading vectors of a factor that is `mode` along the other axis, from at most STRIPS reads of it."""
    length, modes = array.shape[axis], min(LEADING, array.shape[1 - axis])
    strips = list(strips_of(length, array.chunks[axis], array.shape[1 - axis] * array.dtype.itemsize))
    seen = sum(strip.stop - strip.start for strip in strips)
    every = max(1, -(-seen // SAMPLES))
    parts, samples = [], []
    for strip in strips:
        block = array[strip, :modes] if axis == 0 else array[:modes, strip].T
        block = np.asarray(block.real, dtype=np.float64)  # (rows of the strip, modes)
        samples.append(block[(-strip.start) % every :: every])
        parts.append(pieces(block, strip.start, max(1, -(-length // BUCKETS)) if length > LONGEST_LINE else 1))
    xs, low, high = (np.concatenate(column, axis=-1) for column in zip(*parts, strict=True))
    names = array.metadata.to_dict().get("dimension_names") or ("row", "column")
    return Profile(
        length, seen, xs, low, high, np.concatenate(samples), str(names[axis]), np.dtype(array.dtype).kind == "c"
    )


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
