"""Stored: a matrix in a Zarr store, read a range of rows and columns at a time, every chunk checked.

Plain chunks of a local folder go from the page cache straight into the caller's memory; other chunks are decoded into
it. What Zarr passes over in silence (an absent chunk reads as the fill value) is an `IntegrityError` here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import psutil

from rnla.arrays import Array, DType
from rnla.machine import group_memory
from rnla.store.chunks import Chunks
from rnla.store.manifest_file import loaded_manifest
from rnla.store.norms_file import NormsFile
from rnla.store.objects import LocalObjects, Objects
from rnla.store.places import Found, found_dense


@dataclass(frozen=True)
class Stored:
    """An m x n matrix in a store, or the transpose of one; pickles as a name, not as data."""

    reader: Chunks
    turned: bool = False  # this is the transpose of what is stored

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n)."""
        return self._oriented(self.reader.layout.shape)

    @property
    def dtype(self) -> DType:
        """Type of the stored elements, in the machine's byte order."""
        return self.reader.layout.dtype

    @property
    def chunks(self) -> tuple[int, int]:
        """Rows and columns of a chunk (the inner chunk of a shard), at most those of the matrix."""
        (m, n), (r, c) = self.reader.layout.shape, self.reader.layout.chunks
        return self._oriented((max(1, min(r, m)), max(1, min(c, n))))

    @property
    def url(self) -> str:
        """Name of the store."""
        return self.reader.objects.url

    @property
    def verified(self) -> bool:
        """Whether a manifest vouches for every chunk that is read."""
        return self.reader.manifest_digest is not None

    @property
    def transient_bytes(self) -> int:
        """Memory that one read takes beyond its answer: chunks as stored, and one decoded if it is not whole rows."""
        layout, objects = self.reader.layout, self.reader.objects
        if isinstance(objects, LocalObjects) and layout.chain.plain:
            return 0
        decoded = layout.chain.nbytes
        whole = layout.chunks[1] >= layout.shape[1] and layout.chain.foreign is None
        return decoded * (objects.at_once + (0 if whole else 1))

    def read_bytes(self, rows: slice, columns: slice) -> int:
        """Bytes of the matrix that such a read decodes: those asked for, or those of the chunks that hold them.

        Chunks are read whole unless they lie plainly in a local folder, with nothing to check them against.
        """
        layout = self.reader.layout
        plain = isinstance(self.reader.objects, LocalObjects) and layout.chain.plain
        if plain and not layout.chain.checksummed and not self.verified:
            return int((rows.stop - rows.start) * (columns.stop - columns.start) * self.dtype.itemsize)
        sides = zip((rows, columns), self.shape, self.chunks, strict=True)
        found = int(self.dtype.itemsize)
        for part, size, chunk in sides:
            found *= min(-(-part.stop // chunk) * chunk, size) - part.start // chunk * chunk
        return found

    @property
    def allow_missing(self) -> bool:
        """Whether absent chunks are read as the fill value."""
        return self.reader.allow_missing

    @property
    def absent_chunks(self) -> int | None:
        """Chunks that are read as the fill value; None where that is not known without asking for each."""
        return self.reader.absent()

    @property
    def identity(self) -> dict[str, Any]:
        """What the data is, as plain JSON."""
        layout = self.reader.layout
        return {
            "kind": "zarr",
            "url": self.url,
            "shape": list(layout.shape),
            "dtype": str(layout.dtype),
            "chunks": list(layout.chunks),
            "zarr_format": layout.zarr_format,
            "metadata_digest": layout.digest,
            "manifest": self.reader.manifest_digest,
            # with a manifest every chunk is checked as it is read; without, this tells a store that was changed since
            "objects_digest": None if self.verified else self.reader.objects.state(),
            "transposed": self.turned,
        }

    @property
    def objects(self) -> Objects:
        """What the matrix lies in."""
        return self.reader.objects

    def norms_file(self) -> NormsFile:
        """Where the norms of this matrix are kept, if they are."""
        reader, layout = self.reader, self.reader.layout
        objects, manifest = reader.objects, reader.manifest_digest
        return NormsFile(
            objects, layout.shape, layout.digest, manifest, objects.state, reader.allow_missing, self.turned
        )

    @property
    def transposed(self) -> Stored:
        """The same store read as an n x m matrix."""
        return replace(self, turned=not self.turned)

    def read(self, rows: slice, columns: slice, scratch: Array | None = None) -> Array:
        """A[rows, columns] as stored; a view of `scratch` (bytes) when that is large enough.

        Raises
        ------
        IntegrityError
            A chunk is missing, truncated, oversized or altered.
        OSError
            Reading failed; trying again may help.
        """
        if self.turned:
            return self.reader.read(columns, rows, scratch).T
        return self.reader.read(rows, columns, scratch)

    def place(self, row: int, column: int) -> str:
        """Store, key and chunk of an element."""
        i, j = self._oriented((row, column))
        r, c = self.reader.layout.chunks
        return self.reader.where(i // r, j // c)

    def _oriented(self, pair: tuple[int, int]) -> tuple[int, int]:
        return (pair[1], pair[0]) if self.turned else pair


def cacheable_bytes() -> int:
    """Half of this machine's memory (of its control group's, if that is less).

    A larger store does not stay in the page cache from one pass to the next: filling the cache with it only costs
    processor time, which the products need.
    """
    total = int(psutil.virtual_memory().total)
    return min([total, *(limit for limit, _ in group_memory())]) // 2


def open_stored(place: Any, *, allow_missing: bool = False, verify: bool = True) -> Stored:
    """The matrix at a path, an fsspec URL or a `zarr.Array`, to be read strictly.

    Parameters
    ----------
    place
        Path of the array itself (of one array inside a group: `store.zarr/name`).
    allow_missing
        Read absent chunks as the fill value; otherwise they are errors, unless a manifest says that they were absent
        when the fingerprint was taken.
    verify
        Check each chunk against the store's manifest, where it has one.

    Raises
    ------
    StoreError, RequestError, UnsupportedError
        There is no such matrix; the message says what is there.
    IntegrityError
        The manifest is of other metadata, or damaged.

    Examples
    --------
    >>> import numpy as np, zarr
    >>> z = zarr.create_array({}, data=np.eye(3), chunks=(2, 3))
    >>> open_stored(z).read(slice(1, 3), slice(0, 3))
    array([[0., 1., 0.],
           [0., 0., 1.]])
    """
    found = found_dense(place, "rnla.open takes it")
    return stored_of(found, allow_missing=allow_missing, verify=verify)


def stored_of(found: Found, *, allow_missing: bool = False, verify: bool = True) -> Stored:
    """The matrix that was found at a place."""
    manifest = loaded_manifest(found.objects, found.layout) if verify else None
    objects = found.objects
    if isinstance(objects, LocalObjects) and found.layout.nbytes > cacheable_bytes():
        objects = replace(objects, past_cache=True)
    reader = Chunks(objects, found.layout, allow_missing, None if manifest is None else manifest.digest)
    if manifest is not None:
        vars(reader)["manifest"] = manifest
    return Stored(reader)
