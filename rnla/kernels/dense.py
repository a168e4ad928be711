"""Arithmetic on one dense block, in its own precision with float64 totals."""

from __future__ import annotations

import numpy as np

from rnla.arrays import Array, accumulator_dtype, wide

IN_CACHE = 1 << 16  # entries converted to float64 at once
ROWS_IN_CACHE = 64  # rows converted to float64 at once
RUN = 512  # terms summed one after the other; longer sums of like terms drift by one rounding a term
HEAVY = 32.0  # times a column's mean square; normal entries reach it once in 1e8
HEAVY_SHARE = 32  # at most one row in so many is multiplied in float64


def energy(block: Array) -> float:
    """Sum of |a_ij|^2 in float64, also of float32 data: Frobenius errors are small differences of such sums.

    Summed by runs of 512, and those in pairs. One long dot product is wrong by 25,000 eps where entries are alike, and
    float32 sums, four times faster, by up to half an eps of float32.
    """
    by_rows = block if block.flags.c_contiguous or not block.flags.f_contiguous else block.T
    flat = by_rows.reshape(-1)
    dtype = accumulator_dtype(block.dtype)
    if flat.dtype == dtype:
        return _energy(flat)
    room, total = np.empty(min(IN_CACHE, flat.size), dtype), 0.0
    for start in range(0, flat.size, IN_CACHE):
        cut = flat[start : start + IN_CACHE]
        part = room[: cut.size]
        part[...] = cut
        total += _energy(part)
    return total


def _energy(flat: Array) -> float:
    whole = flat.size - flat.size % RUN
    runs, rest = flat[:whole].reshape(-1, RUN), flat[whole:]
    return float(np.vecdot(runs, runs).sum().real + np.vdot(rest, rest).real)


def left_product(Y: Array, block: Array) -> Array:
    """Y^H A in float64: (p, l), (p, n) -> (l, n); the rows Y stands on are multiplied in float64."""
    light, rows = heavy_apart(Y)
    total = wide(np.dot(light.conj().T, block))
    if rows.size:
        total += wide(Y[rows]).conj().T @ wide(block[rows])
    return total


def heavy_apart(Y: Array) -> tuple[Array, Array]:
    """Y with zeros in its heavy rows, and which rows those are: (p, l), (h,); none when Y is in float64 already.

    A float32 sum drops small rows beside a large one: singular values of entries with heavy tails came out low, by up
    to 1e-5. With the few rows that a column of Y stands on summed in float64, and the others apart from them, the loss
    is below 1e-7.
    """
    rows = np.zeros(0, np.intp) if Y.dtype == accumulator_dtype(Y.dtype) else heavy_rows(Y)
    if not rows.size:
        return Y, rows
    light = Y.copy()
    light[rows] = 0
    return light, rows


def heavy_rows(Y: Array) -> Array:
    """Rows with an entry whose square is far above the mean of its column, the heaviest of them, in order."""
    parts = np.ascontiguousarray(Y).view(Y.real.dtype)  # real and imaginary parts are columns of their own
    bound = HEAVY * np.einsum("ij,ij->j", parts, parts) / max(1, len(Y))
    largest = np.maximum(parts.max(axis=0, initial=0), -parts.min(axis=0, initial=0))
    columns = np.flatnonzero(largest**2 > bound)
    weight = np.max(parts[:, columns] ** 2 / bound[columns], axis=1, initial=0)
    rows = np.flatnonzero(weight > 1)
    most = -(-len(Y) // HEAVY_SHARE)
    if rows.size > most:
        rows = np.sort(rows[np.argsort(weight[rows], kind="stable")[-most:]])
    return rows


def column_sums(block: Array) -> Array:
    """Sum of each column, accumulated in float64 or complex128: (p, n) -> (n,)."""
    return np.asarray(block.sum(axis=0, dtype=accumulator_dtype(block.dtype)))


def squared_column_norms(block: Array) -> Array:
    """Sum of |a_ij|^2 over i, in float64: (p, n) -> (n,)."""
    entries = wide(block)
    runs = (entries[start : start + RUN] for start in range(0, len(entries), RUN))
    sums = [np.einsum("ij,ij->j", run.conj(), run).real for run in runs]
    return np.asarray(np.sum(sums or [np.zeros(block.shape[1])], axis=0))


def squared_norms(block: Array) -> tuple[Array, Array]:
    """Squared norms of the columns and of the rows, in float64: (p, n) -> (n,), (p,).

    A few rows are converted at a time and used for both while they are in cache: a third of the time of one after the
    other (1.2 ns an entry on an AMD EPYC).
    """
    if block.flags.f_contiguous and not block.flags.c_contiguous:
        return squared_norms(block.T)[::-1]
    p, n = block.shape
    room = np.empty((min(ROWS_IN_CACHE, p), n), accumulator_dtype(block.dtype))
    rows, columns = np.zeros(p), [np.zeros(n)]
    whole = n - n % RUN
    for start in range(0, p, ROWS_IN_CACHE):
        part = room[: min(ROWS_IN_CACHE, p - start)]
        part[...] = block[start : start + ROWS_IN_CACHE]
        columns.append(np.einsum("ij,ij->j", part.conj(), part).real)
        runs, rest = part[:, :whole].reshape(len(part), -1, RUN), part[:, whole:]
        rows[start : start + len(part)] = (np.vecdot(runs, runs).sum(axis=1) + np.vecdot(rest, rest)).real
    return np.asarray(np.sum(columns, axis=0)), rows


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


def times_power(A: Array, power: int) -> Array:
    """2^power A, exact where it stays in range; A itself for a power of 0."""
    if power == 0:
        return A
    if A.dtype.kind != "c":
        return np.asarray(np.ldexp(A, power))
    parts = np.ascontiguousarray(A).view(A.real.dtype)
    return np.asarray(np.ldexp(parts, power)).view(A.dtype)
