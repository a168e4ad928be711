"""Convex polygons that tile a square, edge to edge, cut by the zero lines of functions that are affine on each of them.

Such a function is continuous from polygon to polygon, so its sign at a corner is one for all polygons that meet there,
and an edge is cut on both of its sides or on neither: after every cut the polygons still lie edge to edge. A sign
counts only where the value exceeds what rounding can have made of zero. A corner is computed from the two lines that
cross in it and not from other corners: its error does not depend on how many cuts came before.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rnla.arrays import Array
from rnla.kernels.affine import EPS, OWN, Affine


class Tiling(NamedTuple):
    """Polygons by their corners, counter-clockwise; edge k runs from corner k of a polygon to its next one."""

    points: Array  # (v, 2)
    errors: Array  # (v,) how far each point may lie from the true one
    first: Array  # (p + 1,) where the corners of each polygon begin in the next two
    corners: Array  # (c,) indices of points
    edges: Array  # (c, 4) lines n.x + d = 0 along the edges: n of length one, d, and how far the true line may lie

    def __len__(self) -> int:
        return len(self.first) - 1

    @property
    def owners(self) -> Array:
        """The polygon of each corner: (c,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.first))

    @property
    def ends(self) -> Array:
        """The point in which each edge ends: (c,)."""
        found = np.arange(1, len(self.corners) + 1)
        found[self.first[1:] - 1] = self.first[:-1]
        return np.asarray(self.corners[found])


def square() -> Tiling:
    """One polygon: -1..1 both ways."""
    points = np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)])
    edges = np.array([(0, 1, 1, OWN * EPS), (1, 0, -1, OWN * EPS), (0, 1, -1, OWN * EPS), (1, 0, 1, OWN * EPS)])
    return Tiling(points, np.zeros(4), np.array([0, 4]), np.arange(4), edges)


def cut(tiling: Tiling, functions: Affine) -> tuple[Tiling, Array, Array]:
    """Polygons cut by each function in turn; of each, the polygon it was (p,) and the signs of the functions (p, w).

    Sign 0: zero to rounding at all corners. A zero line that meets a polygon only in a corner or along an edge cuts
    nothing.
    """
    parents, steps, rounding = np.arange(len(tiling)), [], functions.rounding
    for j in range(functions.sizes.shape[1]):
        slopes, offsets = functions.slopes[parents, :, j], functions.offsets[parents, j]
        before, tiling, side = split(tiling, slopes, offsets, rounding[parents, j])
        parents = parents[before]
        steps.append((before, side))
    sides, at = np.empty((len(tiling), len(steps)), np.int8), np.arange(len(tiling))
    for j in range(len(steps) - 1, -1, -1):  # backwards, from each polygon to what it was cut from
        before, side = steps[j]
        sides[:, j], at = side[at], before[at]
    return tiling, parents, sides


def split(tiling: Tiling, slopes: Array, offsets: Array, rounding: Array) -> tuple[Array, Tiling, Array]:
    """One cut, by slopes (p, 2) and offsets (p,): the polygon that each was, the polygons, the sign on each."""
    owners, ends = tiling.owners, tiling.ends
    s = signs(tiling, owners, slopes, offsets, rounding)
    here, there = s[tiling.corners], s[ends]
    above = np.maximum.reduceat(here, tiling.first[:-1]) > 0
    below = np.minimum.reduceat(here, tiling.first[:-1]) < 0
    both, side = above & below, above.astype(np.int8) - below.astype(np.int8)
    if not both.any():
        return np.arange(len(tiling)), tiling, side
    lengths = np.where(both, np.hypot(slopes[:, 0], slopes[:, 1]), 1.0)
    lines = np.column_stack([slopes, offsets, rounding]) / lengths[:, None]
    edge = np.flatnonzero(both[owners])  # of a polygon that is cut
    of, here, there = owners[edge], here[edge], there[edge]
    crossed = here * there < 0
    made = np.full(len(edge), -1)
    points, errors, made[crossed] = crossings(tiling, edge[crossed], ends[edge[crossed]], lines[of[crossed]])
    parts = [half(tiling, edge, made, lines[of], sign * here, sign * there) for sign in (1, -1)]
    whole, kept, cut_ones = ~both[owners], np.flatnonzero(~both), np.flatnonzero(both)
    sizes = [np.bincount(of, part[0], len(tiling))[both].astype(np.intp) for part in parts]
    found = Tiling(
        points,
        errors,
        np.concatenate([[0], np.cumsum(np.concatenate([np.diff(tiling.first)[~both], *sizes]))]),
        np.concatenate([tiling.corners[whole], *(part[1] for part in parts)]),
        np.concatenate([tiling.edges[whole], *(part[2] for part in parts)]),
    )
    ones = np.ones(len(cut_ones), np.int8)
    return np.concatenate([kept, cut_ones, cut_ones]), found, np.concatenate([side[kept], ones, -ones])


def signs(tiling: Tiling, owners: Array, slopes: Array, offsets: Array, rounding: Array) -> Array:
    """The sign at each point, 0 where rounding may have made it: (v,). By the function on one polygon that meets it."""
    of = np.zeros(len(tiling.points), np.intp)
    of[tiling.corners] = owners
    slopes = slopes[of]
    value = slopes[:, 0] * tiling.points[:, 0] + slopes[:, 1] * tiling.points[:, 1] + offsets[of]
    unsure = rounding[of] + np.hypot(slopes[:, 0], slopes[:, 1]) * tiling.errors
    return np.where(np.abs(value) > unsure, np.sign(value), 0).astype(np.int8)


def crossings(tiling: Tiling, edge: Array, ends: Array, lines: Array) -> tuple[Array, Array, Array]:
    """All points and their errors, and the new point in which each of these edges is cut: one for both sides of it."""
    begins, count = tiling.corners[edge], len(tiling.points)
    key = np.minimum(begins, ends) * count + np.maximum(begins, ends)
    _, chosen, number = np.unique(key, return_index=True, return_inverse=True)
    n, m = tiling.edges[edge[chosen]].T, lines[chosen].T
    sine = n[0] * m[1] - n[1] * m[0]
    points = np.column_stack([n[1] * m[2] - m[1] * n[2], m[0] * n[2] - n[0] * m[2]]) / sine[:, None]
    errors = (n[3] + m[3]) / np.abs(sine)
    return np.concatenate([tiling.points, points]), np.concatenate([tiling.errors, errors]), count + number.ravel()


def half(
    tiling: Tiling, edge: Array, made: Array, lines: Array, here: Array, there: Array
) -> tuple[Array, Array, Array]:
    """The parts of cut polygons with signs >= 0: corners that each edge gives (0 to 2), those corners, their edges.

    `made` is the point in which an edge is cut, -1 for none; `here` and `there` are the signs where it begins and ends.
    Where the walk around a polygon leaves this side, it turns into the cutting line.
    """
    leaves = np.stack([(here == 0) & (there < 0), here > 0], axis=1)  # from where the edge begins, from where it is cut
    stays = np.stack([here >= 0, made >= 0], axis=1)
    corners = np.stack([tiling.corners[edge], made], axis=1)
    edges = np.where(leaves[:, :, None], lines[:, None], tiling.edges[edge][:, None])
    return stays.sum(axis=1), corners[stays], edges[stays]


def neighbours(tiling: Tiling) -> tuple[Array, Array]:
    """Pairs of polygons with an edge in common, and the points in which it begins and ends: (e, 2) and (e, 2)."""
    ends = np.stack([tiling.corners, tiling.ends], axis=1)
    key = ends.min(axis=1) * len(tiling.points) + ends.max(axis=1)
    order = np.argsort(key, kind="stable")
    shared = np.flatnonzero(np.diff(key[order]) == 0)
    pairs = tiling.owners[np.stack([order[shared], order[shared + 1]], axis=1)]
    return pairs, ends[order[shared]]
