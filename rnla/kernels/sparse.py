"""Arithmetic on one sparse block: rows that share its memory, its adjoint's product, its entries a few at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from rnla.arrays import Array, wide

RUN = 1 << 16  # entries worked on at once, where each needs several float64
TERMS = 512  # summed one after the other in the precision of the data


class Entries(NamedTuple):
    """Some of the entries of a block, in order."""

    rows: Array  # (e,) counted from the first row of the block
    columns: Array  # (e,)
    values: Array  # (e,)


def as_csr(A: Any) -> Any:
    """Any scipy.sparse matrix as a CSR array; the same memory where it is one by rows."""
    return A if isinstance(A, scipy.sparse.csr_array) else scipy.sparse.csr_array(A)


def densified(A: Any) -> Array:
    """A block as an array, the same memory where it is one."""
    return np.asarray(A.toarray() if scipy.sparse.issparse(A) else A)


def csr_of(data: Array, indices: Array, indptr: Array, shape: tuple[int, int]) -> Any:
    """A CSR matrix over these arrays, without a copy where their types allow it."""
    return scipy.sparse.csr_array((data, indices, indptr.astype(indices.dtype, copy=False)), shape=shape, copy=False)


def csr_rows(A: Any, rows: slice) -> Any:
    """A[rows] of a CSR matrix, sharing its entries."""
    start, stop, _ = rows.indices(A.shape[0])
    if start == 0 and stop == A.shape[0]:
        return A
    first, last = A.indptr[start], A.indptr[max(start, stop)]
    return csr_of(
        A.data[first:last], A.indices[first:last], A.indptr[start : stop + 1] - first, (stop - start, A.shape[1])
    )


def csr_part(A: Any, rows: slice, columns: slice) -> Any:
    """A[rows, columns] of a CSR matrix, sharing its entries when all columns are taken."""
    found = csr_rows(A, rows)
    return found if columns.indices(A.shape[1]) == (0, A.shape[1], 1) else found[:, columns]


def canonical(A: Any) -> Any:
    """A CSR matrix with the entries of each row in order and each once; A itself when it is so."""
    if A.has_canonical_format:
        return A
    found = A.copy()
    found.sum_duplicates()
    return found


def entries_of(A: Any) -> Iterator[Entries]:
    """The stored entries of a CSR matrix, whole rows and about 2^16 of them at a time."""
    for rows in row_cuts(A.indptr, RUN):
        first, last = A.indptr[rows.start], A.indptr[rows.stop]
        counts = np.diff(A.indptr[rows.start : rows.stop + 1])
        yield Entries(np.repeat(np.arange(rows.start, rows.stop), counts), A.indices[first:last], A.data[first:last])


def adjoint_product(A: Any, Z: Array) -> Array:
    """A^T Z of a CSR matrix, summed in float64 by runs of 512 terms: (p, n), (p, l) -> (n, l).

    A is turned first: that costs a third of the product, which then keeps each sum in cache and is so much quicker.
    Long sums of float32 are made of runs, as in `rnla.kernels.dense`: of like terms, they drift by a rounding each.
    """
    turned = A.T.tocsr()
    lengths = np.diff(turned.indptr)
    runs = np.maximum(-(-lengths // TERMS), 1)
    firsts = np.cumsum(runs) - runs
    if runs.max(initial=1) == 1:
        return wide(turned @ Z)
    within = np.arange(runs.sum()) - np.repeat(firsts, runs)
    starts = np.repeat(turned.indptr[:-1], runs) + TERMS * within
    pieces = csr_of(turned.data, turned.indices, np.append(starts, turned.nnz), (starts.size, A.shape[0]))
    found = pieces @ Z
    total = wide(found[firsts])
    for run in range(1, int(runs.max())):
        longer = np.flatnonzero(runs > run)
        total[longer] += found[firsts[longer] + run]
    return total


def row_cuts(weight: Array, most: int) -> Iterator[slice]:
    """Ranges of rows that weigh at most so much, or hold one row; weight[i] is that of all rows before row i."""
    start, count = 0, len(weight) - 1
    while start < count:
        fitting = int(np.searchsorted(weight, weight[start] + most, side="right")) - 1
        stop = max(start + 1, min(fitting, count))
        yield slice(start, stop)
        start = stop


def places_of(A: Any, positions: Array) -> list[tuple[int, int]]:
    """Row and column of stored entries, by their positions among the data."""
    rows = np.searchsorted(A.indptr, positions, side="right") - 1
    return [(int(i), int(j)) for i, j in zip(rows, A.indices[positions], strict=True)]
