"""Intervals that tile 0..1, cut where affine functions on them change sign: `polygons` in one dimension."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rnla.arrays import Array
from rnla.kernels.affine import Affine


class Intervals(NamedTuple):
    """Consecutive intervals by their ends."""

    points: Array  # (p + 1,) ascending
    errors: Array  # (p + 1,) how far each may lie from the true one

    def __len__(self) -> int:
        return len(self.points) - 1


def unit() -> Intervals:
    """One interval: -1..1."""
    return Intervals(np.array([-1.0, 1.0]), np.zeros(2))


def cut(intervals: Intervals, functions: Affine) -> tuple[Intervals, Array, Array]:
    """Intervals cut at the zeros inside them; of each, the interval it was (p,) and the signs of the functions (p, w).

    Zeros that are nearer to one another than their errors are one. Sign 0: zero to rounding at both ends.
    """
    every = np.arange(len(intervals))
    left, right = end_signs(intervals, functions, every)
    piece, neuron = np.nonzero(left * right < 0)
    slopes = functions.slopes[piece, 0, neuron]
    zeros = np.clip(-functions.offsets[piece, neuron] / slopes, intervals.points[piece], intervals.points[piece + 1])
    errors = functions.rounding[piece, neuron] / np.abs(slopes)
    order = np.lexsort((zeros, piece))
    piece, zeros, errors = piece[order], zeros[order], errors[order]
    same = (np.diff(zeros) <= errors[1:] + errors[:-1]) & (np.diff(piece) == 0)
    new = np.flatnonzero(np.concatenate([[True], ~same])[: len(zeros)])
    at = piece[new] + 1
    found = Intervals(np.insert(intervals.points, at, zeros[new]), np.insert(intervals.errors, at, errors[new]))
    parents = np.repeat(every, 1 + np.bincount(piece[new], minlength=len(intervals)))
    left, right = end_signs(found, functions, parents)
    return found, parents, np.where(left != 0, left, right)


def end_signs(intervals: Intervals, functions: Affine, of: Array) -> tuple[Array, Array]:
    """The signs at both ends of each interval, 0 where rounding may have made them: (p, w) each."""
    slopes, offsets, rounding = functions.slopes[of, 0], functions.offsets[of], functions.rounding[of]
    found = []
    for ends in (slice(None, -1), slice(1, None)):
        value = slopes * intervals.points[ends, None] + offsets
        unsure = rounding + np.abs(slopes) * intervals.errors[ends, None]
        found.append(np.where(np.abs(value) > unsure, np.sign(value), 0).astype(np.int8))
    return found[0], found[1]


def neighbours(intervals: Intervals) -> tuple[Array, Array]:
    """Pairs of intervals with an end in common, and that point: (p - 1, 2) and (p - 1, 1)."""
    start = np.arange(len(intervals) - 1)
    return np.stack([start, start + 1], axis=1), start[:, None] + 1
