"""Chunks of a store, read strictly: absent, truncated, oversized or altered ones raise `IntegrityError`.

One read gives the elements of any range of rows and columns. Memory beyond the answer: one stored and one decoded
chunk (sixteen stored ones over a network), nothing for plain chunks of whole rows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from rnla.arrays import Array, DType, page_aligned
from rnla.errors import IntegrityError
from rnla.store.chains import CRC_BYTES, ChangedError, DamagedError, check_crc
from rnla.store.layout import Layout
from rnla.store.manifest_file import ABSENT_SIZE, Manifest, loaded_manifest, stored_crc
from rnla.store.objects import LocalObjects, Objects, Piece
from rnla.store.shards import shard_index, shard_piece

GONE = ChangedError("it is missing, and the manifest says that it was there")
PICKLED_CHUNKS = 4096  # manifests of more chunks are loaded again where they are needed, not sent along


class Cut(NamedTuple):
    """What one chunk gives to a read."""

    i: int
    j: int
    rows: slice  # inside the chunk
    columns: slice
    target: Array  # where they go


@dataclass(frozen=True)
class Chunks:
    """Strict reader of the chunks of one array."""

    objects: Objects
    layout: Layout
    allow_missing: bool = False
    manifest_digest: str | None = None

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        if self.layout.grid[0] * self.layout.grid[1] > PICKLED_CHUNKS:
            state.pop("manifest", None)
        return state

    @cached_property
    def manifest(self) -> Manifest | None:
        """The manifest this reader is bound to."""
        if self.manifest_digest is None:
            return None
        manifest = loaded_manifest(self.objects, self.layout)
        if manifest is None or manifest.digest != self.manifest_digest:
            msg = f"{self.objects.url}: its manifest changed during the read; start again with the store as it is now"
            raise IntegrityError(msg)
        return manifest

    def read(self, rows: slice, columns: slice, scratch: Array | None = None) -> Array:
        """A[rows, columns] as a C-contiguous array, in `scratch` (bytes) when it is large enough."""
        (r0, r1, _), (c0, c1, _) = rows.indices(self.layout.shape[0]), columns.indices(self.layout.shape[1])
        out = room((max(0, r1 - r0), max(0, c1 - c0)), self.layout.dtype, scratch)
        cuts = self._cuts(r0, c0, out)
        indexes: dict[str, Array | None] = {}
        direct = isinstance(self.objects, LocalObjects) and self.layout.chain.plain
        while batch := list(islice(cuts, 1 if direct else self.objects.at_once)):
            pieces = [self._piece(cut.i, cut.j, indexes) for cut in batch]
            if direct:
                self._plain(batch[0], pieces[0])
            else:
                self._decoded(batch, pieces)
        return out

    def entries(self, chunks: Sequence[tuple[int, int]], *, proven: bool = False) -> list[tuple[int, int]]:
        """Stored size and crc32c of chunks as manifests record them; (-1, 0) where one is absent.

        With `proven`, a chunk that cannot be decoded is an IntegrityError.
        """
        indexes: dict[str, Array | None] = {}
        local, found = isinstance(self.objects, LocalObjects), []
        for start in range(0, len(chunks), self.objects.at_once):
            batch = chunks[start : start + self.objects.at_once]
            pieces = [self._piece(i, j, indexes) for i, j in batch]
            there = [piece for piece in pieces if piece is not None]
            in_parts = local and (self.layout.chain.plain or not proven)
            stored = iter([] if in_parts or not there else self.objects.fetch(there))
            for (i, j), piece in zip(batch, pieces, strict=True):
                try:
                    if piece is None:
                        entry = None
                    elif in_parts:
                        entry = self._summed(piece, proven=proven)
                    else:
                        entry = self._fetched(piece, next(stored), proven=proven)
                except DamagedError as error:
                    raise self.damaged(i, j, error) from error
                found.append(entry or (ABSENT_SIZE, 0))
        return found

    def _summed(self, piece: Piece, *, proven: bool) -> tuple[int, int] | None:
        """Entry of a chunk of a local folder, read a part at a time."""
        assert isinstance(self.objects, LocalObjects)  # noqa: S101 - for mypy: entries() asked
        chain = self.layout.chain
        seal = np.empty(CRC_BYTES * chain.checksummed, np.uint8)
        entry = self.objects.summed(piece, seal)
        if proven and entry is not None:
            if entry[0] != chain.stored_nbytes:
                msg = f"it has {entry[0]} bytes where {chain.stored_nbytes} are expected"
                raise DamagedError(msg)
            if chain.checksummed:
                check_crc(seal, entry[1])
        return entry

    def _fetched(self, piece: Piece, stored: Array | None, *, proven: bool) -> tuple[int, int] | None:
        """Entry of a chunk that is in memory as it is stored."""
        if stored is None:
            return None
        _check_length(stored, piece.length)
        if proven:
            self.layout.chain.decode(stored)
        return stored.nbytes, stored_crc(stored, checksummed=self.layout.chain.checksummed)

    def absent(self) -> int | None:
        """Chunks that are read as the fill value; None where counting them would take a request for each."""
        if self.manifest is not None:
            return self.manifest.absent
        if not self.allow_missing:
            return 0
        if not isinstance(self.objects, LocalObjects):
            return None
        files, count = self.objects, 0
        for run in self.runs(1):
            indexes: dict[str, Array | None] = {}
            pieces = (self._piece(i, j, indexes) for i, j in run)
            count += sum(piece is None or not os.path.lexists(files.path(piece.key)) for piece in pieces)
        return count

    def runs(self, length: int) -> Iterator[list[tuple[int, int]]]:
        """All chunks in groups: those of a shard, or so many neighbours in a row of chunks."""
        (down, across), shards = self.layout.grid, self.layout.shards
        height, width = shards.counts if shards else (1, length)
        for i in range(0, down, height):
            for j in range(0, across, width):
                yield [(p, q) for p in range(i, min(i + height, down)) for q in range(j, min(j + width, across))]

    def _cuts(self, r0: int, c0: int, out: Array) -> Iterator[Cut]:
        (height, width), (R, C) = out.shape, self.layout.chunks
        if not out.size:
            return
        for i in range(r0 // R, -(-(r0 + height) // R)):
            a, b = max(r0 - i * R, 0), min(r0 + height - i * R, R)
            for j in range(c0 // C, -(-(c0 + width) // C)):
                x, y = max(c0 - j * C, 0), min(c0 + width - j * C, C)
                top, left = i * R + a - r0, j * C + x - c0
                yield Cut(i, j, slice(a, b), slice(x, y), out[top : top + b - a, left : left + y - x])

    def _piece(self, i: int, j: int, indexes: dict[str, Array | None]) -> Piece | None:
        """Where a chunk lies; None when a shard leaves it out."""
        key = self.layout.key(i, j)
        if self.layout.shards is None:
            return Piece(key)
        if key not in indexes:
            try:
                indexes[key] = shard_index(self.objects, self.layout, key)
            except DamagedError as error:
                raise self.damaged(i, j, error) from error
        index = indexes[key]
        return None if index is None else shard_piece(self.layout, index, key, i, j)

    def _plain(self, cut: Cut, piece: Piece | None) -> None:
        """A chunk whose rows lie in the file as they do in memory."""
        assert isinstance(self.objects, LocalObjects)  # noqa: S101 - for mypy: read() asked
        dtype, C = self.layout.chain.dtype, self.layout.chunks[1]
        count, row_bytes = cut.rows.stop - cut.rows.start, C * dtype.itemsize
        whole = cut.target.flags.c_contiguous and cut.target.shape == (count, C)
        body = cut.target.reshape(-1).view(np.uint8) if whole else page_aligned(count * row_bytes)
        try:
            if piece is None or not self._scatter(self.objects, cut, piece, body, row_bytes):
                self._absent(cut)
                return
        except DamagedError as error:
            raise self.damaged(cut.i, cut.j, error) from error
        elements = self.layout.chain.native(body.view(dtype))
        if not whole:
            cut.target[...] = elements.reshape(count, C)[:, cut.columns]

    def _scatter(self, objects: LocalObjects, cut: Cut, piece: Piece, body: Array, row_bytes: int) -> bool:
        """Read the rows of a cut into `body`, and the rest of the chunk when a checksum covers it."""
        chain, start = self.layout.chain, cut.rows.start * row_bytes
        stored_bytes = chain.nbytes + CRC_BYTES * chain.checksummed
        if piece.length is not None and piece.length != stored_bytes:
            msg = f"it has {piece.length} bytes in its shard where {stored_bytes} are expected"
            raise DamagedError(msg)
        whole_bytes = stored_bytes if self.layout.shards is None else None
        if not chain.checksummed and self.manifest is None:
            return objects.read_into(body, piece, start, whole_bytes)
        head = np.empty(start, np.uint8)
        rest = np.empty(chain.nbytes - start - body.nbytes, np.uint8)
        seal = np.empty(stored_bytes - chain.nbytes, np.uint8)
        crc = objects.summed_scatter(piece, whole_bytes, [head, body, rest], seal)
        if crc is None:
            return False
        if chain.checksummed:
            check_crc(seal, crc)
        if self.manifest is not None:
            self.manifest.check(cut.i, cut.j, stored_bytes, crc)
        return True

    def _decoded(self, cuts: list[Cut], pieces: list[Piece | None]) -> None:
        """Chunks that are fetched whole and decoded."""
        there = [piece for piece in pieces if piece is not None]
        fetched = iter(self.objects.fetch(there) if there else [])
        for cut, piece in zip(cuts, pieces, strict=True):
            stored = None if piece is None else next(fetched)
            if stored is None:
                self._absent(cut)
                continue
            try:
                self._decode(cut, stored, None if piece is None else piece.length)
            except DamagedError as error:
                raise self.damaged(cut.i, cut.j, error) from error

    def _decode(self, cut: Cut, stored: Array, length: int | None) -> None:
        _check_length(stored, length)
        if self.manifest is not None:
            crc = stored_crc(stored, checksummed=self.layout.chain.checksummed)
            self.manifest.check(cut.i, cut.j, stored.nbytes, crc)
        whole = cut.target.flags.c_contiguous and cut.target.shape == self.layout.chunks
        out = cut.target.reshape(-1).view(np.uint8) if whole else None
        elements = self.layout.chain.decode(stored, out)
        if out is None or not np.shares_memory(elements, out):
            cut.target[...] = elements[cut.rows, cut.columns]

    def _absent(self, cut: Cut) -> None:
        """The fill value where that is allowed, by the manifest or by the user."""
        if self.manifest is not None:
            if self.manifest.sizes[cut.i, cut.j] != ABSENT_SIZE:
                raise self.damaged(cut.i, cut.j, GONE)
        elif not self.allow_missing:
            raise self.missing(cut.i, cut.j)
        cut.target[...] = self.layout.fill

    def where(self, i: int, j: int) -> str:
        """Store, key, chunk index, rows and columns of a chunk."""
        rows, columns = self.layout.area(i, j)
        (m, n) = self.layout.shape
        if self.layout.vector:
            entries = f"entries {rows.start}..{rows.stop - 1} of {m}"
            return f"{self.objects.url}: key {self.layout.key(i, j)}, chunk {i}, {entries}"
        return (
            f"{self.objects.url}: key {self.layout.key(i, j)}, chunk ({i}, {j}), rows {rows.start}..{rows.stop - 1} "
            f"of {m}, columns {columns.start}..{columns.stop - 1} of {n}"
        )

    def damaged(self, i: int, j: int, reason: DamagedError) -> IntegrityError:
        """A chunk that is there and wrong, or gone although a manifest names it."""
        changed = isinstance(reason, ChangedError)
        again = f"; if the change was yours, run `rnla fingerprint {self.objects.url}` again" if changed else ""
        return IntegrityError(
            f"{self.where(i, j)}: this chunk is damaged: {reason}. Restore the chunk from a copy or write the array "
            f"again{again}"
        )

    def missing(self, i: int, j: int, count: int = 1) -> IntegrityError:
        """A chunk that is not there (the first of several), where nothing says that it need not be."""
        fill = self.layout.fill
        which = "this chunk is missing" if count == 1 else f"this is the first of {count:,} chunks that are missing"
        return IntegrityError(
            f"{self.where(i, j)}: {which}. Zarr reads a missing chunk as {fill} without a word, and by "
            f"default never writes a chunk that holds only {fill}; so it is either lost or meant to be {fill}, and the "
            "store does not say which. If it is lost, restore it. If the store was written so, open it with "
            f"allow_missing=True (--allow-missing), which reads missing chunks as {fill}, or record them once with "
            f"`rnla fingerprint --allow-missing {self.objects.url}`"
        )


def _check_length(stored: Array, length: int | None) -> None:
    if length is not None and stored.nbytes != length:
        msg = f"its shard gives {stored.nbytes} bytes where {length} are expected"
        raise DamagedError(msg)


def room(shape: tuple[int, int], dtype: DType, scratch: Array | None) -> Array:
    """An array of this shape, in `scratch` when its bytes suffice and lie together."""
    need = shape[0] * shape[1] * dtype.itemsize
    if scratch is None or scratch.nbytes < need or not scratch.flags.c_contiguous:
        scratch = page_aligned(need)
    return scratch.reshape(-1).view(np.uint8)[:need].view(dtype).reshape(shape)
