"""A sparse group copied along the side asked for, with checksums and a manifest, in bounded memory.

Compressed along its other side, each element must find its new row: one read of the indices counts the elements of each
new row; a second read, of the elements too, puts them into files of bands, a band being the new rows that fit in memory
together; then each band is turned by itself. Elements keep their order, and repeated ones stay repeated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import scipy.sparse

from rnla.arrays import Array, DType, spelt_bytes
from rnla.errors import DoesNotFitError
from rnla.kernels.sparse import row_cuts
from rnla.store.copying import CopyRequest, Count, Rechunked, ranges, write_manifest
from rnla.store.layout import layout_of
from rnla.store.manifest_file import Manifest, Manifests
from rnla.store.places import FoundSparse
from rnla.store.publishing import MARKER
from rnla.store.sparse import ONE_COLUMN, StoredSparse, open_sparse, row_pointers
from rnla.store.writing import array_metadata, write_chunk, write_metadata
from rnla.sweeps.nonzeros import POINTERS
from rnla.sweeps.retries import retried

SIDES = ("rows", "columns")
Side = Literal["rows", "columns"]
POINTER = np.dtype(np.int64)
STEP_EXTRA = 34  # bytes an element takes while its band is looked up: its order, its row twice, the band's number


class Elements(NamedTuple):
    """Consecutive elements of the source."""

    values: Array  # (e,)
    across: Array  # (e,) place along the side that is not compressed
    along: Array  # (e,) row of the compressed side


@dataclass(frozen=True)
class Budget:
    """How a copy stays within its memory."""

    chunk: int  # elements in a chunk of the copy
    step: int  # elements read at once
    band: int  # elements turned at once


@dataclass(frozen=True)
class Recompression:
    """A copy of a sparse group."""

    found: FoundSparse
    source: StoredSparse
    side: Side  # that the copy is compressed along
    budget: Budget
    codec: str

    @property
    def turned(self) -> bool:
        """Whether the source is compressed along the other side."""
        return (self.side == "columns") != self.found.by_columns

    @property
    def sides(self) -> tuple[int, int]:
        """The compressed side of the copy, and the other."""
        m, n = self.found.shape
        return (m, n) if self.side == "rows" else (n, m)

    @property
    def encoding(self) -> str:
        """What AnnData calls it."""
        return "csr_matrix" if self.side == "rows" else "csc_matrix"

    @property
    def nbytes(self) -> int:
        """Size of elements and indices."""
        return self.source.parts.nonzeros * self.source.parts.entry_bytes

    @property
    def work_bytes(self) -> int:
        """Bytes that are read: indices twice when elements must find new rows."""
        return self.nbytes + self.turned * self.source.parts.indices.layout.nbytes

    def into(self, folder: Path, bands: Path, done: Count) -> Rechunked:
        """Make the copy: int64 row pointers, and int32 indices where they suffice."""
        vectors = _Vectors(folder, self)
        if self.turned:
            bands.mkdir()
            _turned(self, bands, vectors, done)
        else:
            _alike(self, vectors, done)
        attributes = {
            "encoding-type": self.encoding,
            "encoding-version": "0.1.0",
            "shape": list(self.found.shape),
            MARKER: {"made_by": "rechunk", "source": self.source.identity},
        }
        write_metadata(folder, {"zarr_format": 3, "node_type": "group", "attributes": attributes})
        reads = self.work_bytes / self.nbytes if self.nbytes else 1.0
        chunks, manifest = (self.budget.chunk,), vectors.finish().digest
        return Rechunked(str(folder), chunks, reads, 1 + self.turned, manifest, self.encoding)


def recompression(found: FoundSparse, along: Side | None, request: CopyRequest) -> Recompression:
    """How a sparse group is copied, without `along` by the longer side, which sweeps go along.

    Raises
    ------
    DoesNotFitError
        Row pointers of both sides, and one chunk, do not fit in the memory.
    """
    source = open_sparse(found, allow_missing=request.allow_missing)
    m, n = found.shape
    side: Side = along or ("rows" if m >= n else "columns")
    return Recompression(found, source, side, _budget(source, request), request.codec)


def _budget(source: StoredSparse, request: CopyRequest) -> Budget:
    parts, value, place = source.parts, source.dtype.itemsize, index_type(max(source.shape)).itemsize
    place = max(place, parts.indices.layout.dtype.itemsize)
    chunk = max(1, min(request.panel_bytes // (value + place), parts.nonzeros))
    pointers = 2 * POINTER.itemsize * (sum(source.shape) + 2)
    held = pointers + 3 * chunk * (value + place) + source.transient_bytes
    band_cost = 2 * (value + 2 * place)
    spare, step_cost = request.memory_bytes - held, band_cost + STEP_EXTRA
    if spare < step_cost:
        msg = (
            f"{source.url}: a copy holds the row pointers of both sides and chunks of "
            f"{spelt_bytes(request.panel_bytes)}, {spelt_bytes(held + step_cost)} at least, and memory_bytes allows "
            f"{spelt_bytes(request.memory_bytes)}; allow more memory, or ask for smaller panels"
        )
        raise DoesNotFitError(msg)
    return Budget(chunk, spare // step_cost, spare // band_cost)


def index_type(length: int) -> DType:
    """The integers that places along a side of this length are kept in."""
    return np.dtype(np.int32 if length <= np.iinfo(np.int32).max else np.int64)


def _source_pointers(source: StoredSparse) -> Array:
    count = source.sides[0]
    found = np.zeros(count + 1, POINTER)
    for rows in ranges(count, POINTERS):
        found[rows.start : rows.stop + 1] = retried(partial(row_pointers, source.parts, source.url, count, rows))
    return found


def _elements(source: StoredSparse, pointers: Array, step: int, done: Count) -> Iterator[Elements]:
    """All elements in their order, a few at a time."""
    for some in ranges(source.parts.nonzeros, step):
        across = _places(source, pointers, some, done)
        values = retried(partial(source.parts.data.read, some, ONE_COLUMN))[:, 0]
        done.add(values.nbytes)
        first, last = np.searchsorted(pointers, (some.start, some.stop - 1), side="right") - 1
        inside = np.clip(pointers[first : last + 2], some.start, some.stop)
        along = np.repeat(np.arange(first, last + 1, dtype=index_type(source.sides[0])), np.diff(inside))
        yield Elements(values, across, along)


def _places(source: StoredSparse, pointers: Array, some: slice, done: Count) -> Array:
    """Places along the side that is not compressed, each inside the matrix."""
    found = retried(partial(source.parts.indices.read, some, ONE_COLUMN))[:, 0]
    done.add(found.nbytes)
    source.check_columns(found, some.start, pointers)
    return found.astype(index_type(source.sides[1]), copy=False)


def _alike(copy: Recompression, vectors: _Vectors, done: Count) -> None:
    """Element by element."""
    pointers = _source_pointers(copy.source)
    for found in _elements(copy.source, pointers, copy.budget.step, done):
        vectors.add(found.values, found.across)
    vectors.indptr.add(pointers)


def _turned(copy: Recompression, folder: Path, vectors: _Vectors, done: Count) -> None:
    """Through files of bands."""
    source, budget = copy.source, copy.budget
    before, pointers = _source_pointers(source), np.zeros(copy.sides[0] + 1, POINTER)
    for some in ranges(source.parts.nonzeros, budget.step):
        np.add.at(pointers[1:], _places(source, before, some, done), 1)
    np.cumsum(pointers, out=pointers)
    bands = list(row_cuts(pointers, budget.band))
    _refuse_long_rows(copy, pointers, bands)
    files = [_Band(folder / str(number), source.dtype, copy.sides) for number in range(len(bands))]
    edges, numbers = np.array([rows.stop for rows in bands]), np.arange(len(bands) + 1)
    kind = np.uint16 if len(bands) < 1 << 16 else POINTER  # sorted several times faster
    for found in _elements(source, before, budget.step, done):
        which = np.searchsorted(edges, found.across, side="right").astype(kind)
        order = np.argsort(which, kind="stable")
        cuts = np.searchsorted(which, numbers, sorter=order)
        for number in np.flatnonzero(np.diff(cuts)).tolist():
            taken = order[cuts[number] : cuts[number + 1]]
            files[number].append(found.values[taken], found.across[taken], found.along[taken])
    for rows, file in zip(bands, files, strict=True):
        vectors.add(*file.turned(rows))
    vectors.indptr.add(pointers)


def _refuse_long_rows(copy: Recompression, pointers: Array, bands: list[slice]) -> None:
    longest = max((int(pointers[rows.stop] - pointers[rows.start]) for rows in bands), default=0)
    if longest > copy.budget.band:
        msg = (
            f"{copy.source.url}: one of its {copy.side} holds {longest:,} elements, and memory_bytes leaves room to "
            f"turn {copy.budget.band:,} at once; allow more memory"
        )
        raise DoesNotFitError(msg)


@dataclass(frozen=True)
class _Band:
    """Elements of the copy's rows of one band, in the order of the source, on disk."""

    path: Path
    dtype: DType
    sides: tuple[int, int]  # of the copy

    @property
    def _columns(self) -> tuple[tuple[str, DType], ...]:
        return ("values", self.dtype), ("rows", index_type(self.sides[0])), ("columns", index_type(self.sides[1]))

    def append(self, *columns: Array) -> None:
        """More elements: values, rows and columns of the copy."""
        for (name, dtype), values in zip(self._columns, columns, strict=True):
            with self.path.with_suffix(f".{name}").open("ab") as file:
                file.write(np.ascontiguousarray(values, dtype).data)

    def turned(self, rows: slice) -> tuple[Array, Array]:
        """Values and columns, row by row."""
        values, across, along = (self._taken(name, dtype) for name, dtype in self._columns)
        across -= across.dtype.type(rows.start)
        first, last = (int(along[0]), int(along[-1]) + 1) if along.size else (0, 1)
        counts = np.bincount(along - first, minlength=last - first)
        ends = np.concatenate([[0], np.cumsum(counts)]).astype(across.dtype if values.size < 2**31 else POINTER)
        carried = values.view(f"u{values.itemsize}") if values.itemsize <= 8 else values  # scipy has no float16
        shape = rows.stop - rows.start, last - first
        found = scipy.sparse.csc_array((carried, across, ends), shape=shape, copy=False).tocsr()
        return found.data.view(values.dtype), found.indices.astype(along.dtype, copy=False) + along.dtype.type(first)

    def _taken(self, name: str, dtype: DType) -> Array:
        path = self.path.with_suffix(f".{name}")
        if not path.exists():
            return np.zeros(0, dtype)
        found = np.fromfile(path, dtype)
        path.unlink()
        return found


class _Vectors:
    """The three vectors of the copy while they are written."""

    def __init__(self, folder: Path, copy: Recompression) -> None:
        (rows, columns), chunk = copy.sides, copy.budget.chunk
        count, kind = copy.source.parts.nonzeros, index_type(columns)
        self.data = _Vector(folder / "data", count, copy.source.dtype, chunk, copy.codec)
        self.indices = _Vector(folder / "indices", count, kind, chunk, copy.codec)
        self.indptr = _Vector(folder / "indptr", rows + 1, POINTER, min(chunk, rows + 1), copy.codec)

    def add(self, values: Array, places: Array) -> None:
        """The elements that follow."""
        self.data.add(values)
        self.indices.add(places)

    def finish(self) -> Manifests:
        """The manifests."""
        return Manifests((self.data.finish(), self.indices.finish(), self.indptr.finish()))


class _Vector:
    """A vector that is written from its beginning to its end, a whole chunk at a time."""

    def __init__(self, folder: Path, length: int, dtype: DType, chunk: int, codec: str) -> None:
        self.folder, self.codec = folder, codec
        write_metadata(folder, array_metadata((length,), dtype, (chunk,), codec=codec))
        self.layout = layout_of((folder / "zarr.json").read_bytes(), str(folder))
        self.open = np.zeros(chunk, dtype)
        self.filled = 0
        self.entries: list[tuple[int, int]] = []

    def add(self, values: Array) -> None:
        """What follows."""
        while values.size:
            taken = values[: self.open.size - self.filled]
            self.open[self.filled : self.filled + taken.size] = taken
            self.filled += taken.size
            values = values[taken.size :]
            if self.filled == self.open.size:
                self._write()

    def _write(self) -> None:
        self.entries.append(write_chunk(self.folder / self.layout.key(len(self.entries), 0), self.open, self.codec))
        self.open[:] = 0
        self.filled = 0

    def finish(self) -> Manifest:
        """The last chunk, and the manifest."""
        if self.filled:
            self._write()
        return write_manifest(self.folder, self.layout, self.entries)
