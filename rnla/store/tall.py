"""Tall results: one row per row of A, written by ranges of rows from any thread or process, never whole in memory.

Zarr v3 arrays in a local or shared folder, chunks of `chunk_rows` whole rows, bytes with a crc32c. A write of whole
chunks is one file each, put in place by a rename; writing the same rows again gives the same files.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rnla.arrays import Array, DType
from rnla.errors import RequestError
from rnla.store.chunks import Chunks
from rnla.store.layout import Layout, layout_of
from rnla.store.objects import LocalObjects
from rnla.store.stored import Stored
from rnla.store.writing import array_metadata, write_chunk, write_metadata


@dataclass(frozen=True)
class StoredTall:
    """An m x l array in a folder, made by `made_tall`; kept as its transpose, l x m, when `across`.

    With `strip`, only the columns of that column of chunks.
    """

    folder: str
    layout: Layout
    across: bool = False
    strip: int | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(m, l)."""
        if self.strip is not None:
            columns = self.layout.area(0, self.strip)[1]
            return self.layout.shape[0], columns.stop - columns.start
        first, second = self.layout.shape
        return (second, first) if self.across else (first, second)

    @property
    def source(self) -> Stored:
        """The same matrix (all of it, of a strip), to be read; rows not yet written are missing chunks."""
        stored = Stored(Chunks(LocalObjects(self.folder), self.layout))
        return stored.transposed if self.across else stored

    def write(self, rows: slice, block: Array) -> None:
        """Set rows. Whole chunks go out directly; a chunk given in part is read, changed and written back.

        Raises
        ------
        StorageFullError
            The disk is full.
        """
        start, stop, _ = rows.indices(self.shape[0])
        if block.shape != (max(0, stop - start), self.shape[1]):
            msg = f"{self.folder}: rows {start}..{stop} of {self.shape} cannot take a block of shape {block.shape}"
            raise RequestError(msg)
        if not block.size:
            return
        height = self.layout.chunks[1 if self.across else 0]
        for i in range(start // height, -(-stop // height)):
            first, last = i * height, min((i + 1) * height, self.shape[0])
            a, b = max(first, start), min(last, stop)
            whole = self._chunk(i, slice(a - first, b - first), block[a - start : b - start], last - first)
            turned = np.ascontiguousarray(whole.T) if self.across else whole
            write_chunk(self._path(i), turned)

    def _path(self, i: int) -> Path:
        return Path(self.folder, self.layout.key(0, i) if self.across else self.layout.key(i, self.strip or 0))

    def _chunk(self, i: int, rows: slice, part: Array, filled: int) -> Array:
        """All rows of a chunk: those given, those there before, and zeros under the last row."""
        height, width = self.layout.chunks[::-1] if self.across else self.layout.chunks
        if part.shape == (height, width) and part.dtype == self.layout.dtype:
            return part
        whole = np.zeros((height, width), self.layout.dtype)
        first, count = (self.strip or 0) * width, part.shape[1]
        if part.shape[0] < filled and self._path(i).exists():
            before = slice(i * height, i * height + filled), slice(first, first + count)
            whole[:filled, :count] = self.source.read(*before)
        whole[rows, :count] = part
        return whole


@dataclass(frozen=True)
class StoredGrid:
    """An m x n array in a folder, chunked both ways and written a strip of columns at a time."""

    folder: str
    layout: Layout

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n)."""
        return self.layout.shape

    @property
    def source(self) -> Stored:
        """The matrix, to be read."""
        return Stored(Chunks(LocalObjects(self.folder), self.layout))

    def strips(self) -> list[tuple[slice, StoredTall]]:
        """Ranges of columns, and the tall matrix of each."""
        talls = [StoredTall(self.folder, self.layout, strip=j) for j in range(self.layout.grid[1])]
        return [(self.layout.area(0, j)[1], tall) for j, tall in enumerate(talls)]


def made_tall(
    folder: str | Path,
    shape: tuple[int, int],
    dtype: DType,
    chunk_rows: int,
    dimensions: tuple[str, str] | None = None,
    *,
    across: bool = False,
) -> StoredTall:
    """A tall array in a folder: a new one, or the one that is there already when it is the same.

    `shape` is that of the tall matrix, m x l, and `dimensions` are those of the array as it is kept.
    """
    chunks = max(1, min(chunk_rows, max(1, shape[0]))), max(1, shape[1])
    if across:
        shape, chunks = (shape[1], shape[0]), (chunks[1], chunks[0])
    return StoredTall(*_made(folder, shape, dtype, chunks, dimensions), across)


def made_grid(
    folder: str | Path,
    shape: tuple[int, int],
    dtype: DType,
    chunks: tuple[int, int],
    dimensions: tuple[str, str] | None = None,
) -> StoredGrid:
    """An array in a folder that is chunked both ways: a new one, or the one that is there when it is the same."""
    chunks = max(1, min(chunks[0], shape[0])), max(1, min(chunks[1], shape[1]))
    return StoredGrid(*_made(folder, shape, dtype, chunks, dimensions))


def _made(
    place: str | Path, shape: tuple[int, int], dtype: DType, chunks: tuple[int, int], dimensions: tuple[str, str] | None
) -> tuple[str, Layout]:
    folder = Path(place).absolute()
    metadata = array_metadata(shape, np.dtype(dtype), chunks, dimensions=dimensions, attributes={"rnla_tall": True})
    raw = json.dumps(metadata).encode()
    wanted = layout_of(raw, str(folder))
    file = folder / "zarr.json"
    if not file.exists():
        write_metadata(folder, metadata)
    elif layout_of(file.read_bytes(), str(folder)) != wanted:
        msg = f"{folder}: there is another array here, of other shape, type or chunks; remove it or choose another name"
        raise RequestError(msg)
    return str(folder), wanted


@dataclass(frozen=True)
class Scratch:
    """Workspace in a folder on a local or shared file system."""

    folder: str

    def tall(
        self, name: str, shape: tuple[int, int], dtype: DType, chunk_rows: int, *, across: bool = False
    ) -> StoredTall:
        """A tall matrix; the same name again is the same place. `across`: it is kept as its transpose."""
        return made_tall(Path(self.folder, name), shape, dtype, chunk_rows, across=across)

    def grid(self, name: str, shape: tuple[int, int], dtype: DType, chunks: tuple[int, int]) -> StoredGrid:
        """A matrix in chunks of so many rows and columns."""
        return made_grid(Path(self.folder, name), shape, dtype, chunks)
