"""Draws of columns and rows by weights: which, how often, and the sampling matrix S that makes (A S)(S^T B) unbiased.

With replacement (Drineas, Kannan and Mahoney 2006): index j with probability p_j = w_j / sum w in each of s draws,
found by its place in the sums of tiles of 4096 weights and then inside the tile. Without: priority sampling (Duffield,
Lund and Thorup 2007; for products of matrices Daliri, Freire, Musco et al. 2023): the s largest of w_j / u_j, u_j
uniform, each standing for 1 / min(1, w_j / tau), tau being the next largest. Weights are read in strips, never whole,
and the random numbers belong to draws and indices: the same draw whatever the chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import scipy.sparse

from rnla.arrays import Array
from rnla.checks import integer
from rnla.errors import RequestError
from rnla.streams import TILE_ROWS, uniform_rows
from rnla.sweeps.products import tall_rows
from rnla.sweeps.source import Tall

STRIP_ROWS = 64 * TILE_ROWS  # weights in memory at once


class Weights(Protocol):
    """N weights that are read a range at a time."""

    @property
    def size(self) -> int:
        """N."""

    def strip(self, rows: slice) -> Array:
        """Some of them, in float64."""


@dataclass(frozen=True)
class Listed:
    """Weights in anything that takes slices: numpy, Dask, Zarr."""

    values: Any  # (N,)

    @property
    def size(self) -> int:
        """N."""
        return int(self.values.shape[0])

    def strip(self, rows: slice) -> Array:
        """Some of them."""
        return np.asarray(self.values[rows]).astype(np.float64, copy=False)


@dataclass(frozen=True)
class Standing:
    """Weights in a tall matrix of one column."""

    tall: Tall  # (N, 1)

    @property
    def size(self) -> int:
        """N."""
        return self.tall.shape[0]

    def strip(self, rows: slice) -> Array:
        """Some of them."""
        return tall_rows(self.tall, rows)[:, 0]


@dataclass(frozen=True, repr=False)
class Draws:
    """Indices that were drawn, each once, in order, and what each stands for."""

    indices: Array  # (u,) int64
    counts: Array  # (u,) how often
    probabilities: Array  # (u,) of one draw; without replacement, of being among those drawn, given the threshold
    scales: Array  # (u,) entries of S: squared, an unbiased weight of what was drawn
    size: int  # N
    count: int  # draws asked for
    replace: bool
    threshold: float = 0.0  # tau; 0: with replacement, or all were taken

    @property
    def matrix(self) -> Any:
        """S, scipy.sparse: (N, u)."""
        u = self.indices.size
        return scipy.sparse.csc_array((self.scales, self.indices, np.arange(u + 1)), shape=(self.size, u))

    def __repr__(self) -> str:
        how = "with" if self.replace else "without"
        return f"Draws({self.count:,} of {self.size:,} {how} replacement: {self.indices.size:,} different)"


def drawn(weights: Weights, count: int, *, replace: bool, seed: int, name: str = "draws") -> Draws:
    """Indices drawn by weights; none where all weights are zero."""
    if replace:
        return _with_replacement(weights, count, seed, name)
    return _by_priority(weights, count, seed, name)


def checked_weights(given: Any, name: str = "weights") -> Listed:
    """Weights from a user: one dimension, numbers."""
    found = given if hasattr(given, "shape") and hasattr(given, "dtype") else np.asarray(given)
    if len(found.shape) != 1 or np.dtype(found.dtype).kind not in "buif" or not found.shape[0]:
        msg = f"{name} must be real numbers in one dimension, at least one; this is {found.dtype} of {found.shape}"
        raise RequestError(msg)
    return Listed(found)


def checked_count(given: Any, name: str = "count") -> int:
    """A number of draws."""
    return integer(given, name, least=1)


def strips(size: int, step: int = STRIP_ROWS) -> Iterator[slice]:
    """Ranges of so many, in order."""
    return (slice(start, min(start + step, size)) for start in range(0, size, step))


def checked_strip(weights: Weights, rows: slice) -> Array:
    """Some weights, none of them negative or not a number."""
    found = weights.strip(rows)
    bad = np.flatnonzero(~((found >= 0) & np.isfinite(found)))
    if bad.size:
        at = int(bad[0])
        msg = f"weight {rows.start + at} is {found[at]}: weights must be finite and not negative"
        raise RequestError(msg)
    return found


def tile_sums(weights: Weights) -> Array:
    """Sums of 4096 weights each; the last of what is left."""
    sums = []
    for rows in strips(weights.size):
        found = checked_strip(weights, rows)
        padded = np.zeros(-(-found.size // TILE_ROWS) * TILE_ROWS)
        padded[: found.size] = found
        sums.append(padded.reshape(-1, TILE_ROWS).sum(axis=1))
    return np.concatenate(sums)


def entries_at(read: Callable[[slice], Array], indices: Array, size: int) -> Array:
    """Entries at sorted indices of a vector that is read by ranges: only tiles that hold some are read."""
    found = []
    for tile in np.unique(indices // TILE_ROWS).tolist():
        first = tile * TILE_ROWS
        inside = indices[indices // TILE_ROWS == tile] - first
        found.append(read(slice(first, min(first + TILE_ROWS, size)))[inside])
    return np.concatenate(found) if found else np.zeros(0)


def _with_replacement(weights: Weights, count: int, seed: int, name: str) -> Draws:
    sums = tile_sums(weights)
    edges = np.cumsum(sums)
    total = float(edges[-1])
    if total == 0.0:
        return _nothing(weights.size, count, replace=True)
    targets = np.sort(uniform_rows(seed, name, slice(0, count))) * total
    tiles = np.minimum(np.searchsorted(edges, targets, side="right"), np.flatnonzero(sums)[-1])
    places, found = [], []
    for tile in np.unique(tiles):
        rows = slice(int(tile) * TILE_ROWS, min((int(tile) + 1) * TILE_ROWS, weights.size))
        inside = weights.strip(rows)
        below = edges[tile - 1] if tile else 0.0
        at = np.searchsorted(below + np.cumsum(inside), targets[tiles == tile], side="right")
        at = np.minimum(at, np.flatnonzero(inside)[-1])  # the last sum may be a rounding less than the target
        places.append(rows.start + at)
        found.append(inside[at])
    indices, first, counts = np.unique(np.concatenate(places), return_index=True, return_counts=True)
    probabilities = np.concatenate(found)[first] / total
    # E[(A S)(S^T B)] = sum_j E[c_j] / (s p_j) a_j b_j^T = A B
    scales = np.sqrt(counts / (count * probabilities))
    return Draws(indices, counts, probabilities, scales, weights.size, count, replace=True)


class _Leaders(NamedTuple):
    """The largest keys so far."""

    keys: Array
    indices: Array
    weights: Array

    def largest(self, count: int) -> _Leaders:
        """So many of them, the largest first, the earlier of equals."""
        order = np.lexsort((self.indices, -self.keys))[:count]
        return _Leaders(*(field[order] for field in self))


def _by_priority(weights: Weights, count: int, seed: int, name: str) -> Draws:
    leaders = _Leaders(np.zeros(0), np.zeros(0, np.int64), np.zeros(0))
    for rows in strips(weights.size):
        found = checked_strip(weights, rows)
        keys = found / (1.0 - uniform_rows(seed, name, rows))  # w_j / u_j with u_j in (0, 1]
        least = leaders.keys[-1] if leaders.keys.size > count else 0.0
        seen = np.flatnonzero(keys > least)
        both = zip(leaders, (keys[seen], rows.start + seen, found[seen]), strict=True)
        leaders = _Leaders(*(np.concatenate(pair) for pair in both)).largest(count + 1)
    if not leaders.keys.size:
        return _nothing(weights.size, count, replace=False)
    threshold = float(leaders.keys[count]) if leaders.keys.size > count else 0.0
    taken = leaders.largest(count)
    order = np.argsort(taken.indices)
    indices, kept = taken.indices[order], taken.weights[order]
    chances = np.minimum(1.0, kept / threshold) if threshold else np.ones(kept.size)
    once = np.ones(indices.size, np.int64)
    return Draws(
        indices, once, chances, 1.0 / np.sqrt(chances), weights.size, count, replace=False, threshold=threshold
    )


def _nothing(size: int, count: int, *, replace: bool) -> Draws:
    none = np.zeros(0)
    return Draws(none.astype(np.int64), none.astype(np.int64), none, none, size, count, replace)
