"""Arithmetic on one dense block, in its own precision with float64 totals."""

from __future__ import annotations

import numpy as np

from rnla.arrays import Array, accumulator_dtype

IN_CACHE = 1 << 16  # entries converted to float64 at once


def energy(block: Array) -> float:
    """Sum of |a_ij|^2 in float64, also of float32 data: Frobenius errors are small differences of such sums.

    Float32 sums would be four times faster and wrong by up to half an eps (6e-8) where entries are alike.
    """
    by_rows = block if block.flags.c_contiguous or not block.flags.f_contiguous else block.T
    flat = by_rows.reshape(-1)
    wide = accumulator_dtype(block.dtype)
    if flat.dtype == wide:
        return float(np.vdot(flat, flat).real)
    room, total = np.empty(min(IN_CACHE, flat.size), wide), 0.0
    for start in range(0, flat.size, IN_CACHE):
        cut = flat[start : start + IN_CACHE]
        part = room[: cut.size]
        part[...] = cut
        total += float(np.vdot(part, part).real)
    return total


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
