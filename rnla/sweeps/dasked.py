"""A dask.array.Array as a source: its chunks are dependencies of the spans that need them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from time import perf_counter
from typing import Any, cast

import numpy as np
import scipy.sparse
from dask.array.utils import meta_from_array
from dask.delayed import Delayed, delayed

from rnla.arrays import Array, DType
from rnla.checks import unmasked
from rnla.errors import IntegrityError, RnlaError, StoreError, UnsupportedError
from rnla.kernels.sparse import as_csr, csr_part
from rnla.sweeps.geometry import Geometry
from rnla.sweeps.retries import transient

SEARCH_SECONDS = 60  # for the block that fails, once a sweep has failed
ASSUMED_SHARE = 0.1  # of the entries that sparse blocks store, before anybody knows


@dataclass(frozen=True)
class Dasked:
    """A two-dimensional dask.array.Array of any chunk grid, with dense or scipy.sparse blocks."""

    given: Any
    turned: bool = False  # this is the transpose of what was given

    def __post_init__(self) -> None:
        if any(np.isnan(size) for sizes in self.given.chunks for size in sizes):
            msg = "the chunk sizes of this Dask array are unknown: call array.compute_chunk_sizes() first"
            raise UnsupportedError(msg)
        unmasked(meta_from_array(self.given))

    def __str__(self) -> str:
        return f"Dask array {self.given.name}"

    @property
    def array(self) -> Any:
        """The Dask array, as it is seen."""
        return self.given.T if self.turned else self.given

    @cached_property
    def checked(self) -> Any:
        """The same array, each block compared with what was declared, in the task that makes the block."""
        guarded = self.given.map_blocks(
            checked,
            self.given.name,
            dtype=self.dtype,
            meta=meta_from_array(self.given),
            name=f"{self.given.name}-checked",
        )
        return guarded.T if self.turned else guarded

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
        dense = rows * n * self.dtype.itemsize * (1 if whole else 2)
        return dense if self.assumed_share is None else int(2 * self.assumed_share * dense)

    @property
    def assumed_share(self) -> float | None:
        """Part of the entries that plans take to be stored, where blocks are sparse; None where they are dense."""
        return ASSUMED_SHARE if scipy.sparse.issparse(meta_from_array(self.given)) else None

    @property
    def identity(self) -> dict[str, Any]:
        """Kind, shape, type and Dask's name, which is a hash of how the array is made."""
        return {"kind": "dask", "shape": list(self.shape), "dtype": str(self.dtype), "name": self.array.name}

    @property
    def transposed(self) -> Dasked:
        """The same data as an n x m array."""
        return replace(self, turned=not self.turned)

    def picked(self, rows: Array | None, columns: Array | None) -> Dasked:
        """Some rows and columns; Dask makes only the blocks that hold them."""
        array = self.array if rows is None else self.array[rows]
        return Dasked(array if columns is None else array[:, columns])

    def read(self, rows: slice, columns: slice, scratch: Array | None = None) -> Any:
        """A[rows, columns], computed here and now."""
        try:
            return self.checked[rows, columns].compute(scheduler="sync")
        except Exception as error:  # a block may fail in any way
            if isinstance(error, RnlaError) or transient(error):
                raise
            raise _failed(self.given.name, *((columns, rows) if self.turned else (rows, columns)), error) from error

    def place(self, row: int, column: int) -> str:
        """Row, column and chunk."""
        edges = [np.cumsum(sizes) for sizes in self.array.chunks]
        chunk = [int(np.searchsorted(edge, at, side="right")) for edge, at in zip(edges, (row, column), strict=True)]
        return f"row {row}, column {column} (chunk {chunk[0]}, {chunk[1]}) of the Dask array {self.array.name}"

    def blocks(self, geometry: Geometry) -> list[Delayed]:
        """One lazy block of whole rows for each span."""
        regular = self.checked.rechunk({0: geometry.span_rows, 1: -1})
        return [row[0] for row in regular.to_delayed().tolist()]

    def failure(self, error: Exception, compute: Callable[[Delayed], Any]) -> RnlaError:
        """The error of a sweep with the block at fault, which is found by making the blocks again one after the other.

        The search ends after a minute, and then the error names the array alone.
        """
        began = perf_counter()
        blocks, chunks = self.given.to_delayed(), self.given.chunks
        for i, j in product(*map(range, blocks.shape)):
            if perf_counter() - began > SEARCH_SECONDS:
                break
            try:
                compute(delayed(_nothing)(blocks[i, j]))
            except Exception as found:  # noqa: BLE001 - this is what is looked for
                return _failed(self.given.name, _span(chunks[0], i), _span(chunks[1], j), found)
        return _failed(self.given.name, None, None, error)


def checked(block: Any, name: str, block_info: Any = None) -> Any:
    """A block as it is, or an error that says in what it differs from what the array declares."""
    unmasked(block)
    if hasattr(block, "check_format"):  # of scipy.sparse, whose products do not look where an index points
        block.check_format(full_check=True)
    declared = block_info[None]
    shape, kind = tuple(declared["chunk-shape"]), declared["dtype"]
    found = getattr(block, "shape", ()), getattr(block, "dtype", np.dtype(object))
    if found[0] != shape or not np.can_cast(found[1], kind, "same_kind"):
        rows, columns = (slice(*ends) for ends in declared["array-location"])
        msg = (
            f"{_where(name, rows, columns)}: the array declares {shape} of {kind} here, and the block is {found[0]} of "
            f"{found[1]}; give map_blocks the chunks= and dtype= that its function returns"
        )
        raise IntegrityError(msg)
    return block


def _nothing(block: Any) -> None:
    """Forgets a block, so that it stays where it was made."""


def _span(sizes: tuple[int, ...], index: int) -> slice:
    start = sum(sizes[:index])
    return slice(start, start + sizes[index])


def _where(name: str, rows: slice, columns: slice) -> str:
    return f"rows {rows.start}..{rows.stop - 1}, columns {columns.start}..{columns.stop - 1} of the Dask array {name}"


def _failed(name: str, rows: slice | None, columns: slice | None, error: Exception) -> RnlaError:
    where = f"the Dask array {name}" if rows is None or columns is None else _where(name, rows, columns)
    return StoreError(
        f"{where}: a block cannot be made, {type(error).__name__}: {error}; mend what makes it, then run the same again"
    )


@dataclass(frozen=True)
class Woven:
    """The rows of one span, already computed."""

    rows: slice
    array: Any

    def read(self, rows: slice, columns: slice, scratch: Array | None = None) -> Any:
        """A[rows, columns] for rows inside the span."""
        inside = slice(rows.start - self.rows.start, rows.stop - self.rows.start)
        if scipy.sparse.issparse(self.array):
            return csr_part(as_csr(self.array), inside, columns)
        return np.asarray(self.array)[inside, columns]

    def place(self, row: int, column: int) -> str:
        """Row and column."""
        return f"row {row}, column {column} of the Dask array"


def without_graph(work: Any) -> Any:
    """The work of a sweep over a Dask array less the array, whose blocks travel on their own."""
    return replace(work, source=None) if isinstance(work.source, Dasked) else work
