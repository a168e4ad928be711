"""Arithmetic on one dense block, in its own precision with float64 totals."""

from __future__ import annotations

import numpy as np

from rnla.arrays import Array, accumulator_dtype

SHORT = 512  # terms summed in the block's own precision before float64 takes over


def energy(block: Array) -> float:
    """Sum of |a_ij|^2: short runs in the block's precision, their sums in float64.

    The relative error is about 1e-9 in float32 for data that varies, at most half an eps (6e-8) for a constant.
    """
    if not block.size:
        return 0.0
    by_rows = block if block.flags.c_contiguous or not block.flags.f_contiguous else block.T
    if by_rows.flags.c_contiguous:
        flat = by_rows.reshape(-1)
        whole = flat.size - flat.size % SHORT
        runs = flat[:whole].reshape(-1, SHORT)
        return float(np.vecdot(runs, runs).real.sum(dtype=np.float64) + np.vdot(flat[whole:], flat[whole:]).real)
    return float(np.vecdot(by_rows, by_rows).real.sum(dtype=np.float64))


def left_product(Y: Array, block: Array) -> Array:
    """Y^H A: (p, l), (p, n) -> (l, n)."""
    return np.asarray(np.dot(Y.conj().T if np.iscomplexobj(Y) else Y.T, block))


def column_sums(block: Array) -> Array:
    """Sum of each column, accumulated in float64 or complex128: (p, n) -> (n,)."""
    return np.asarray(block.sum(axis=0, dtype=accumulator_dtype(block.dtype)))


def squared_column_norms(block: Array) -> Array:
    """Sum of |a_ij|^2 over i, in float64: (p, n) -> (n,)."""
    wide = block.astype(accumulator_dtype(block.dtype), copy=False)
    return np.asarray(np.einsum("ij,ij->j", wide.conj(), wide).real)


def subtract_row(block: Array, row: Array) -> Array:
    """A - 1 row^T in place: in float32 as two parts of the float64 row, so that a large offset costs no digits."""
    high = row.astype(block.dtype)
    block -= high
    low = (row - high).astype(block.dtype)
    if low.any():
        block -= low
    return block


def nonfinite_positions(block: Array, first: int) -> tuple[int, list[tuple[int, int]]]:
    """Number of NaN and infinite entries, and the (row, column) of the first few in row order."""
    bad = ~np.isfinite(block)
    count = int(bad.sum())
    rows, columns = np.nonzero(bad)
    return count, [(int(i), int(j)) for i, j in zip(rows[:first], columns[:first], strict=True)]
