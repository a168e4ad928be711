"""A dask.array.Array as a source: its chunks are dependencies of the spans that need them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import scipy.sparse
from dask.delayed import Delayed

from rnla.arrays import Array, DType
from rnla.errors import UnsupportedError
from rnla.sweeps.geometry import Geometry


@dataclass(frozen=True)
class Dasked:
    """A two-dimensional dask.array.Array of any chunk grid, with dense or scipy.sparse blocks."""

    array: Any

    def __post_init__(self) -> None:
        if any(np.isnan(size) for sizes in self.array.chunks for size in sizes):
            msg = "the chunk sizes of this Dask array are unknown: call array.compute_chunk_sizes() first"
            raise UnsupportedError(msg)

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n)."""
        return cast("tuple[int, int]", tuple(int(size) for size in self.array.shape))

    @property
    def dtype(self) -> DType:
        """Type of the elements."""
        return cast("DType", self.array.dtype)

    @property
    def chunks(self) -> tuple[int, int]:
        """Rows of the largest chunk; columns are always taken whole."""
        return max(self.array.chunks[0], default=1), self.shape[1]

    @property
    def transient_bytes(self) -> int:
        """Memory that one block takes beyond its rows: chunks that are cut otherwise, before they are joined."""
        rows, n = self.chunks
        whole = len(self.array.chunks[1]) <= 1
        return rows * n * self.dtype.itemsize * (1 if whole else 2)

    @property
    def identity(self) -> dict[str, Any]:
        """Kind, shape, type and Dask's name, which is a hash of how the array is made."""
        return {"kind": "dask", "shape": list(self.shape), "dtype": str(self.dtype), "name": self.array.name}

    @property
    def transposed(self) -> Dasked:
        """The same data as an n x m array."""
        return Dasked(self.array.T)

    def read(self, rows: slice, columns: slice, scratch: Array | None = None) -> Any:
        """A[rows, columns], computed here and now."""
        return self.array[rows, columns].compute(scheduler="sync")

    def place(self, row: int, column: int) -> str:
        """Row, column and chunk."""
        edges = [np.cumsum(sizes) for sizes in self.array.chunks]
        chunk = [int(np.searchsorted(edge, at, side="right")) for edge, at in zip(edges, (row, column), strict=True)]
        return f"row {row}, column {column} (chunk {chunk[0]}, {chunk[1]}) of the Dask array {self.array.name}"

    def blocks(self, geometry: Geometry) -> list[Delayed]:
        """One lazy block of whole rows for each span."""
        regular = self.array.rechunk({0: geometry.span_rows, 1: -1})
        return [row[0] for row in regular.to_delayed().tolist()]


@dataclass(frozen=True)
class Woven:
    """The rows of one span, already computed."""

    rows: slice
    array: Any

    def read(self, rows: slice, columns: slice, scratch: Array | None = None) -> Any:
        """A[rows, columns] for rows inside the span."""
        array = self.array if scipy.sparse.issparse(self.array) else np.asarray(self.array)
        return array[rows.start - self.rows.start : rows.stop - self.rows.start][:, columns]

    def place(self, row: int, column: int) -> str:
        """Row and column."""
        return f"row {row}, column {column} of the Dask array"


def without_graph(work: Any) -> Any:
    """The work of a sweep over a Dask array less the array, whose blocks travel on their own."""
    return replace(work, source=None) if isinstance(work.source, Dasked) else work
