"""StoredSparse: a matrix in a group of AnnData's kind (csr_matrix, csc_matrix), read strictly by ranges of rows.

The group holds three vectors: the elements (`data`), the column of each (`indices`), and where each row begins among
them (`indptr`). "Rows" are those of the compressed side: a csc_matrix of m x n is the transpose of n rows of length m.
Elements without order or repeated in a row are legal, and are summed; what would make a product read beyond an array
(columns out of range, row pointers that fall) is an `IntegrityError`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from rnla.arrays import PAGE, Array, DType
from rnla.errors import IntegrityError
from rnla.kernels.sparse import as_csr, csr_of
from rnla.store.chunks import Chunks
from rnla.store.manifest_file import joint_digest, loaded_manifest
from rnla.store.norms_file import NormsFile
from rnla.store.objects import LocalObjects, Objects
from rnla.store.places import Found, FoundSparse, found_matrix
from rnla.store.stored import Stored, cacheable_bytes, stored_of
from rnla.sweeps.nonzeros import SparseGeometry, sparse_geometry
from rnla.sweeps.retries import retried

ONE_COLUMN = slice(0, 1)


@dataclass(frozen=True)
class Parts:
    """Strict readers of the three vectors of a sparse group."""

    data: Chunks
    indices: Chunks
    indptr: Chunks

    @property
    def each(self) -> tuple[Chunks, Chunks, Chunks]:
        """All three."""
        return self.data, self.indices, self.indptr

    @property
    def nonzeros(self) -> int:
        """Elements that are stored."""
        return self.data.layout.shape[0]

    @property
    def entry_bytes(self) -> int:
        """Stored bytes of an element with its column."""
        return self.data.layout.dtype.itemsize + self.indices.layout.dtype.itemsize

    @property
    def metadata_digest(self) -> str:
        """One hash of the metadata of all three."""
        return joint_digest(part.layout.digest for part in self.each) or ""

    @property
    def manifest_digest(self) -> str | None:
        """One hash of their manifests; None unless each has one."""
        return joint_digest(part.manifest_digest for part in self.each)

    def state(self) -> str | None:
        """One hash of the names, sizes and times of their chunks; None where these are not known."""
        return joint_digest(part.objects.state() for part in self.each)


@dataclass(frozen=True)
class StoredSparse:
    """An m x n sparse matrix in a store, or the transpose of one; pickles as a name, not as data."""

    objects: Objects  # of the group
    encoding: str
    parts: Parts
    sides: tuple[int, int]  # rows (the compressed side) and columns
    cut: SparseGeometry  # of the rows
    turned: bool = False  # this matrix is the transpose of the rows

    def __str__(self) -> str:
        return f"{self.encoding} at {self.url}"

    @property
    def url(self) -> str:
        """Where the group is."""
        return self.objects.url

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n)."""
        return self.sides[::-1] if self.turned else self.sides

    @property
    def dtype(self) -> DType:
        """Type of the stored elements, in the machine's byte order."""
        return self.parts.data.layout.dtype

    @property
    def sparse(self) -> bool:
        """Panels are scipy.sparse."""
        return True

    @property
    def by_rows(self) -> bool:
        """Whether ranges of rows can be read for the price of what they hold."""
        return not self.turned

    @property
    def chunks(self) -> tuple[int, int]:
        """Rows and columns of the largest panel."""
        found = self.cut.panel_rows, max(1, self.sides[1])
        return found[::-1] if self.turned else found

    @property
    def verified(self) -> bool:
        """Whether manifests vouch for every chunk that is read."""
        return self.parts.manifest_digest is not None

    @property
    def transient_bytes(self) -> int:
        """Memory that one read takes beyond its answer: chunks as stored, and one decoded."""
        return max(_transient_bytes(part) for part in (self.parts.data, self.parts.indices))

    @property
    def allow_missing(self) -> bool:
        """Whether absent chunks are read as the fill value."""
        return self.parts.data.allow_missing

    @property
    def absent_chunks(self) -> int | None:
        """Chunks that are read as the fill value; None where that is not known without asking for each."""
        counts = [part.absent() for part in self.parts.each]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None

    @property
    def identity(self) -> dict[str, Any]:
        """What the data is, as plain JSON; hashes are of those of the three vectors."""
        return {
            "kind": "zarr sparse",
            "url": self.url,
            "encoding": self.encoding,
            "shape": list(self.sides[::-1] if self.encoding.startswith("csc") else self.sides),
            "dtype": str(self.dtype),
            "nonzeros": self.parts.nonzeros,
            "zarr_format": self.parts.data.layout.zarr_format,
            "metadata_digest": self.parts.metadata_digest,
            "manifest": self.parts.manifest_digest,
            "objects_digest": None if self.verified else self.parts.state(),
            "transposed": self.turned != self.encoding.startswith("csc"),
        }

    def norms_file(self) -> NormsFile:
        """Where the norms of this matrix are kept, if they are: in the group, beside its three vectors."""
        parts = self.parts
        known = joint_digest([parts.metadata_digest, self.encoding, str(self.sides)]) or ""
        manifest, missing = parts.manifest_digest, self.allow_missing
        return NormsFile(self.objects, self.sides, known, manifest, parts.state, missing, self.turned)

    @property
    def transposed(self) -> StoredSparse:
        """The same store as an n x m matrix."""
        return replace(self, turned=not self.turned)

    def read(self, rows: slice, columns: slice, scratch: Array | None = None) -> Any:
        """A[rows, columns] as a CSR array, its elements in `scratch` (bytes) when that is large enough.

        From the transpose of the rows, a range of rows costs a read of all of them.

        Raises
        ------
        IntegrityError
            A chunk is missing, truncated, oversized or altered, or the elements do not make a matrix.
        OSError
            Reading failed; trying again may help.
        """
        if self.turned:
            return as_csr(self.transposed.read(columns, rows, scratch).T)
        start, stop, _ = rows.indices(self.sides[0])
        found = self._rows(slice(start, max(start, stop)), scratch)
        return found if columns.indices(self.sides[1]) == (0, self.sides[1], 1) else found[:, columns]

    def _rows(self, rows: slice, scratch: Array | None) -> Any:
        pointers = self._pointers(rows)
        inside = slice(int(pointers[0]), int(pointers[-1]))
        count, (data, indices, _) = inside.stop - inside.start, self.parts.each
        first = -(-count * data.layout.dtype.itemsize // PAGE) * PAGE
        room = (None, None) if scratch is None else (scratch[:first], scratch[first:])
        values = data.read(inside, ONE_COLUMN, room[0])[:, 0]
        columns = indices.read(inside, ONE_COLUMN, room[1])[:, 0]
        self.check_columns(columns, inside.start, pointers, rows.start)
        values = values.astype(np.float32) if values.dtype == np.float16 else values  # scipy has no sparse float16
        columns = columns if columns.dtype in (np.int32, np.int64) else columns.astype(np.int64)
        return csr_of(values, columns, pointers - pointers[0], (rows.stop - rows.start, self.sides[1]))

    def _pointers(self, rows: slice) -> Array:
        return row_pointers(self.parts, self.url, self.sides[0], rows)

    def check_columns(self, columns: Array, entry: int, pointers: Array, row: int = 0) -> None:
        """Refuses columns beyond the matrix: those of elements `entry` on, in rows that begin as `pointers` says."""
        n = self.sides[1]
        if not columns.size or (int(columns.min()) >= 0 and int(columns.max()) < n):
            return
        at = int(np.flatnonzero((columns < 0) | (columns >= n))[0])
        row += int(np.searchsorted(pointers, entry + at, side="right")) - 1
        side, other = ("column", "row") if self.encoding.startswith("csc") else ("row", "column")
        msg = (
            f"{self.url}: {side} {row} names {other} {int(columns[at])} (indices[{entry + at}]), and {other}s go from "
            f"0 to {n - 1}: the group is damaged, or its attribute shape is wrong. Restore it from a copy, or write it "
            "again"
        )
        raise IntegrityError(msg)

    def place(self, row: int, column: int) -> str:
        """Store, row and column of an element."""
        if self.turned != self.encoding.startswith("csc"):
            row, column = column, row
        return f"{self.url}: row {row}, column {column}"


def open_place(place: Any, *, allow_missing: bool = False, verify: bool = True) -> Stored | StoredSparse:
    """The matrix at a path, an fsspec URL, a `zarr.Array` or a `zarr.Group`, dense or sparse, to be read strictly."""
    return source_of(found_matrix(place), allow_missing=allow_missing, verify=verify)


def source_of(found: Found | FoundSparse, *, allow_missing: bool = False, verify: bool = True) -> Stored | StoredSparse:
    """The matrix that was found at a place."""
    if isinstance(found, FoundSparse):
        return open_sparse(found, allow_missing=allow_missing, verify=verify)
    return stored_of(found, allow_missing=allow_missing, verify=verify)


def open_sparse(found: FoundSparse, *, allow_missing: bool = False, verify: bool = True) -> StoredSparse:
    """The matrix of a sparse group, to be read strictly; its row pointers are read once, a few at a time."""
    parts = parts_of(found, allow_missing=allow_missing, verify=verify)
    sides = found.shape[::-1] if found.by_columns else found.shape
    pointers = partial(row_pointers, parts, found.objects.url, sides[0])
    cut = sparse_geometry(
        lambda rows: retried(partial(pointers, rows), lambda: f"{found.objects.url}/indptr"),
        sides,
        parts.nonzeros,
        parts.data.layout.dtype.itemsize,
        parts.entry_bytes,
        chunk_bytes=_chunk_bytes(parts),
    )
    return StoredSparse(found.objects, found.encoding, parts, sides, cut, turned=found.by_columns)


def parts_of(found: FoundSparse, *, allow_missing: bool = False, verify: bool = True) -> Parts:
    """Strict readers of the three vectors that were found."""
    large = sum(part.layout.nbytes for part in found.parts) > cacheable_bytes()

    def reader(part: Found) -> Chunks:
        manifest = loaded_manifest(part.objects, part.layout) if verify else None
        objects = part.objects
        if isinstance(objects, LocalObjects) and large:
            objects = replace(objects, past_cache=True)
        made = Chunks(objects, part.layout, allow_missing, None if manifest is None else manifest.digest)
        if manifest is not None:
            vars(made)["manifest"] = manifest
        return made

    return Parts(*(reader(part) for part in found.parts))


def row_pointers(parts: Parts, url: str, count: int, rows: slice) -> Array:
    """Where each of these rows begins among the elements, and where the last one ends: int64, checked."""
    found = parts.indptr.read(slice(rows.start, rows.stop + 1), ONE_COLUMN)[:, 0].astype(np.int64)
    total, cure = parts.nonzeros, "the group is damaged. Restore it from a copy, or write it again"
    falls = np.flatnonzero(np.diff(found) < 0)
    if falls.size:
        i = rows.start + int(falls[0])
        a, b = (int(value) for value in found[falls[0] : falls[0] + 2])
        msg = f"{url}: indptr falls from {a} to {b} at {i}..{i + 1}, and it may only grow: {cure}"
        raise IntegrityError(msg)
    if rows.start == 0 and found[0] != 0:
        msg = f"{url}: indptr begins with {int(found[0])} and not with 0: {cure}"
        raise IntegrityError(msg)
    if found[-1] > total or (rows.stop == count and found[-1] != total):
        msg = f"{url}: indptr[{rows.stop}] is {int(found[-1])}, and there are {total} elements in data: {cure}"
        raise IntegrityError(msg)
    return found


def _in_place(part: Chunks) -> bool:
    return isinstance(part.objects, LocalObjects) and part.layout.chain.plain


def _transient_bytes(part: Chunks) -> int:
    return 0 if _in_place(part) else part.layout.chain.nbytes * (part.objects.at_once + 1)


def _chunk_bytes(parts: Parts) -> int:
    """What the store gives only as a whole: a panel of less would decode the same chunk several times."""
    whole = [part for part in (parts.data, parts.indices) if not _in_place(part)]
    entries = max((min(part.layout.chunks[0], part.layout.shape[0]) for part in whole), default=0)
    return entries * parts.entry_bytes
