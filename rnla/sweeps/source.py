"""Where blocks come from and where tall results go: the two protocols that a backend implements.

`Resident` (numpy and scipy.sparse in memory) is here, because it is the reference that every other backend is tested
against; stored and Dask backends live above.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, cast

import numpy as np
import scipy.sparse

from rnla.arrays import Array, DType
from rnla.errors import UnsupportedError
from rnla.kernels.sparse import as_csr, csr_of, csr_part
from rnla.sweeps.nonzeros import SparseGeometry, sparse_geometry


class Source(Protocol):
    """An m x n array that can be read a range of rows and columns at a time, from any thread or process.

    A sparse source has attributes more: `cut`, the geometry that follows from its nonzeros (None: it is dense), and, in
    a store, `by_rows`: whether it is kept by rows; if not, its transpose is swept, and `cut` is that of its transpose.
    """

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n)."""

    @property
    def dtype(self) -> DType:
        """Type of the stored elements."""

    @property
    def chunks(self) -> tuple[int, int]:
        """Rows and columns of the smallest piece that is read as a whole."""

    @property
    def identity(self) -> dict[str, Any]:
        """What the data is, as plain JSON: kind, place, shape, type, chunk grid, hash of the metadata."""

    @property
    def transposed(self) -> Source:
        """The same data as an n x m array."""

    def read(self, rows: slice, columns: slice, scratch: Array | None = None) -> Any:
        """A[rows, columns] as stored (numpy or scipy.sparse); `scratch` is bytes that may hold the answer."""

    def place(self, row: int, column: int) -> str:
        """Where an element lies, for error messages: store, key, chunk."""


def swept_as_it_is(source: Source) -> bool:
    """Whether ranges of its rows can be read; a sparse store kept by columns is swept as its transpose."""
    return bool(getattr(source, "by_rows", True))


def refuse_across(source: Source) -> None:
    """UnsupportedError for a sparse store that is to be swept along the side it is not kept by."""
    if not swept_as_it_is(source):
        msg = (
            f"{getattr(source, 'url', source)} is kept by its other side: a sweep along this one would read all of it "
            "for every panel. Sweep the transpose, A.T; for a method that needs this side, write the matrix anew, "
            "compressed along it (rnla rechunk --along)"
        )
        raise UnsupportedError(msg)


def touched_bytes(source: Source, rows: slice) -> int:
    """Matrix bytes that are read and decoded for a range of rows: where chunks are read whole, all of theirs."""
    cut, count = getattr(source, "cut", None), rows.stop - rows.start
    read: Callable[[slice, slice], int] | None = getattr(source, "read_bytes", None)
    if read is not None:
        return read(rows, slice(0, source.shape[1]))
    if cut is not None:  # as if nonzeros lay evenly
        return int(count * cut.bytes // max(1, source.shape[0]))
    return int(count * source.shape[1] * source.dtype.itemsize)


def told_pieces(source: Source) -> str:
    """What a source is read by."""
    cut, (r, c) = getattr(source, "cut", None), source.chunks
    return f"chunks of {r:,} x {c:,}" if cut is None else f"panels of its {cut.entries:,} nonzeros"


class Tall(Protocol):
    """A matrix with one row per row of A, written and read by ranges of rows; never whole in memory."""

    @property
    def shape(self) -> tuple[int, int]:
        """(m, l)."""

    @property
    def source(self) -> Source:
        """The same matrix, to be read."""

    def write(self, rows: slice, block: Array) -> None:
        """Set rows; writing the same rows again is harmless."""


class Grid(Protocol):
    """An m x n matrix that is written a strip of columns at a time, each strip by ranges of rows."""

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n)."""

    @property
    def source(self) -> Source:
        """The matrix, to be read."""

    def strips(self) -> Sequence[tuple[slice, Tall]]:
        """Ranges of columns, and the tall matrix of each."""


class Workspace(Protocol):
    """Makes places for tall matrices: in memory, or in the folder of a result."""

    def tall(self, name: str, shape: tuple[int, int], dtype: DType, chunk_rows: int, *, across: bool = False) -> Tall:
        """A tall matrix; the same name again is the same place. `across`: it is kept as its transpose."""

    def grid(self, name: str, shape: tuple[int, int], dtype: DType, chunks: tuple[int, int]) -> Grid:
        """A matrix in chunks of so many rows and columns, one strip of columns a chunk wide."""


@dataclass(frozen=True)
class Resident:
    """A numpy array or scipy.sparse matrix in memory."""

    array: Any

    def __str__(self) -> str:
        return f"{'sparse ' if scipy.sparse.issparse(self.array) else ''}array in memory"

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n)."""
        return cast("tuple[int, int]", tuple(self.array.shape))

    @property
    def dtype(self) -> DType:
        """Type of the elements."""
        return cast("DType", self.array.dtype)

    @property
    def chunks(self) -> tuple[int, int]:
        """Any row can be read alone."""
        return 1, self.shape[1]

    @property
    def identity(self) -> dict[str, Any]:
        """Kind, shape, type and a hash of the bytes."""
        digest = hashlib.blake2b(digest_size=16)
        array = self.array if not scipy.sparse.issparse(self.array) else self.array.tocsr()
        parts = [array.data, array.indices, array.indptr] if scipy.sparse.issparse(array) else [array]
        for part in parts:
            digest.update(np.ascontiguousarray(part).view(np.uint8).reshape(-1).data)
        return {
            "kind": "memory",
            "shape": list(self.shape),
            "dtype": str(self.dtype),
            "digest": digest.hexdigest(),
        }

    @cached_property
    def transposed(self) -> Resident:
        """The same data as an n x m array; sparse data is kept by rows."""
        turned = self.array.T
        return Resident(as_csr(turned) if scipy.sparse.issparse(turned) else turned)

    @cached_property
    def cut(self) -> SparseGeometry | None:
        """How a sparse matrix is cut for reading; None for a dense one."""
        if not scipy.sparse.issparse(self.array):
            return None
        pointers, entry_bytes = self.array.indptr, self.dtype.itemsize + self.array.indices.itemsize
        return sparse_geometry(
            lambda rows: pointers[rows.start : rows.stop + 1],
            self.shape,
            int(pointers[-1]),
            self.dtype.itemsize,
            entry_bytes,
        )

    def read(self, rows: slice, columns: slice, scratch: Array | None = None) -> Any:
        """A[rows, columns], sharing memory where it can."""
        return csr_part(self.array, rows, columns) if scipy.sparse.issparse(self.array) else self.array[rows, columns]

    def picked(self, rows: Array | None, columns: Array | None) -> Resident:
        """A copy of some rows and columns."""
        array = self.array if rows is None else self.array[rows]
        array = array if columns is None else array[:, columns]
        if scipy.sparse.issparse(array):  # scipy may have made its indices wider
            array = csr_of(array.data, array.indices.astype(self.array.indices.dtype), array.indptr, array.shape)
        return Resident(array)

    def place(self, row: int, column: int) -> str:
        """Row and column."""
        return f"row {row}, column {column} of the array in memory"


def holds_sparse(source: Any) -> bool:
    """Whether panels of a source are scipy.sparse."""
    array = getattr(source, "array", None)
    blocks = getattr(array, "_meta", array)  # of a Dask array
    return bool(getattr(source, "sparse", False)) or scipy.sparse.issparse(blocks)


@dataclass(frozen=True)
class ResidentTall:
    """A tall matrix in memory."""

    array: Array

    @property
    def shape(self) -> tuple[int, int]:
        """(m, l)."""
        return cast("tuple[int, int]", self.array.shape)

    @property
    def source(self) -> Resident:
        """The same matrix, to be read."""
        return Resident(self.array)

    def write(self, rows: slice, block: Array) -> None:
        """Set rows."""
        self.array[rows] = block


@dataclass(frozen=True)
class ResidentGrid:
    """A matrix in memory that is written a strip of columns at a time."""

    array: Array
    strip_columns: int

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n)."""
        return cast("tuple[int, int]", self.array.shape)

    @property
    def source(self) -> Resident:
        """The matrix, to be read."""
        return Resident(self.array)

    def strips(self) -> list[tuple[slice, ResidentTall]]:
        """Ranges of columns, and the tall matrix of each."""
        n, width = self.shape[1], self.strip_columns
        cuts = [slice(start, min(start + width, n)) for start in range(0, n, width)]
        return [(cut, ResidentTall(self.array[:, cut])) for cut in cuts]


@dataclass(frozen=True)
class Memory:
    """Workspace whose tall matrices are numpy arrays."""

    places: dict[str, ResidentTall] = field(default_factory=dict)

    def tall(
        self,
        name: str,
        shape: tuple[int, int],
        dtype: DType,
        chunk_rows: int,
        *,
        across: bool = False,
    ) -> ResidentTall:
        """The array of this name, made when it is first asked for."""
        if name not in self.places or self.places[name].shape != shape:
            self.places[name] = ResidentTall(np.zeros(shape, dtype=dtype))
        return self.places[name]

    def grid(self, name: str, shape: tuple[int, int], dtype: DType, chunks: tuple[int, int]) -> ResidentGrid:
        """An array that is written a strip of columns at a time."""
        return ResidentGrid(self.tall(name, shape, dtype, chunks[0]).array, chunks[1])
