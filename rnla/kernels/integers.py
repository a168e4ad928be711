"""Sums of squares of integers, exact: squares as 64-bit words, their halves summed apart, rounded once at the end.

A square of an integer below 2^32 in modulus fits 64 bits, and 2^32 halves of 32 bits each can be added without a carry.
Squares of larger integers are added in float64.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rnla.arrays import Array

HALF = np.uint64(32)
LOW = np.uint64(0xFFFFFFFF)
WHOLE = 2.0**32  # integers below have squares of 64 bits
EXACT_HIGH = np.uint64(1 << 53)
IN_CACHE = 1 << 16  # entries squared at once


class IntegerSums(NamedTuple):
    """high 2^32 + low + rest, k sums of squares."""

    high: Array  # (k,) uint64
    low: Array  # (k,) uint64
    rest: Array  # (k,) float64, of integers of 2^32 and more

    def rounded(self) -> Array:
        """The sums in float64, each rounded once (if `rest` is zero): (k,)."""
        high, low = self.high + (self.low >> HALF), self.low & LOW
        sums = high.astype(np.float64) * WHOLE + low.astype(np.float64)  # exact up to here, if high < 2^53
        for place in np.flatnonzero(high >= EXACT_HIGH):
            sums[place] = float((int(high[place]) << 32) + int(low[place]))
        return np.asarray(sums + self.rest)

    def total(self) -> float:
        """The sum of the sums, rounded once (if `rest` is zero)."""
        whole = (sum(self.high.tolist()) << 32) + sum(self.low.tolist())
        return float(whole) + float(self.rest.sum())


def joined(a: IntegerSums, b: IntegerSums) -> IntegerSums:
    """a + b."""
    return IntegerSums(a.high + b.high, a.low + b.low, a.rest + b.rest)


def beside(parts: list[IntegerSums]) -> IntegerSums:
    """Sums of one range after the other."""
    return IntegerSums(*(np.concatenate(field) for field in zip(*parts, strict=True)))


def halves_of_squares(entries: Array) -> tuple[Array, Array, Array | None]:
    """High and low halves of squares of integers (held in float64), and the squares of those that are too large."""
    sizes = np.abs(entries)
    large = sizes >= WHOLE
    rest = None
    if large.any():
        rest = np.where(large, sizes, 0.0) ** 2
        sizes = np.where(large, 0.0, sizes)
    words = sizes.astype(np.uint64)
    words *= words
    return words >> HALF, words & LOW, rest


def sums_of_squares(block: Array) -> tuple[IntegerSums, IntegerSums]:
    """Of the columns and of the rows of a block of integers held in float64: (p, n) -> (n,), (p,)."""
    rows, n = block.shape
    step, by_rows = max(1, IN_CACHE // max(1, n)), []
    columns = IntegerSums(np.zeros(n, np.uint64), np.zeros(n, np.uint64), np.zeros(n))
    for start in range(0, rows, step):
        high, low, rest = halves_of_squares(block[start : start + step])
        down, across = (
            IntegerSums(high.sum(axis=axis), low.sum(axis=axis), _summed(rest, high.shape, axis)) for axis in (0, 1)
        )
        columns = joined(columns, down)
        by_rows.append(across)
    return columns, beside(by_rows)


def _summed(rest: Array | None, shape: tuple[int, ...], axis: int) -> Array:
    return np.zeros(shape[1 - axis]) if rest is None else np.asarray(rest.sum(axis=axis))
