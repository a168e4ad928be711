"""Draws of columns and rows by weights: which, how often, and the sampling matrix S that makes (A S)(S^T B) unbiased.

With replacement (Drineas, Kannan and Mahoney 2006): index j with probability p_j = w_j / sum w in each of s draws,
found by its place in the sums of tiles of 4096 weights and then inside the tile. Of many draws only how many fall into
each tile is drawn (multinomial), and then how many on each index, so that memory follows the terms and not the draws.
Without: priority sampling (Duffield, Lund and Thorup 2007; for products Daliri, Freire, Musco et al. 2023):
the s largest of w_j / u_j, u_j uniform, each standing for 1 / min(1, w_j / tau), tau being the next largest. Weights
are read in strips, never whole, and random numbers belong to draws, tiles and indices: the same draw whatever the
chunks. Only ratios of weights matter: they are divided by a power of two near the largest.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import scipy.sparse

from rnla.arrays import Array
from rnla.checks import integer
from rnla.errors import RequestError
from rnla.kernels.dense import times_power
from rnla.streams import TILE_ROWS, tile_generator, uniform_rows
from rnla.sweeps.products import tall_rows
from rnla.sweeps.source import Tall

STRIP_ROWS = 64 * TILE_ROWS  # weights in memory at once
FEW = 1 << 18  # draws that are made one by one
HELD = 8 * STRIP_ROWS  # so many of a user's (16 MB) are computed once and held; more are read in strips, three times
MOST_DRAWN = 1 << 53  # draws: as many as float64 counts


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


@dataclass(frozen=True)
class Scaled:
    """2^power times other weights."""

    weights: Weights
    power: int

    @property
    def size(self) -> int:
        """N."""
        return self.weights.size

    def strip(self, rows: slice) -> Array:
        """Some of them."""
        return times_power(self.weights.strip(rows), self.power)


def scaled(weights: Weights, power: int) -> Weights:
    """2^power times weights."""
    return Scaled(weights, power) if power else weights


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
    least: float = 0.0  # of the keys w_j / u_j that were drawn; 0 with replacement

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
    power = power_of(weights)
    if power is None:
        return _nothing(weights.size, count, replace=replace)
    if replace:
        return _with_replacement(scaled(weights, power), count, seed, name)
    found = _by_priority(scaled(weights, power), count, seed, name)
    with np.errstate(over="ignore"):
        keys = np.ldexp([found.threshold, found.least], -power)
    return dataclasses.replace(found, threshold=float(keys[0]), least=float(keys[1]))


def power_of(weights: Weights) -> int | None:
    """The power of two that brings the largest weight near 1, all being checked on the way; None: all are zero."""
    largest = max(float(checked_strip(weights, rows).max()) for rows in strips(weights.size))
    return -math.frexp(largest)[1] if largest else None


def checked_weights(given: Any, name: str = "weights") -> Listed:
    """Weights from a user: one dimension, numbers."""
    found = given if hasattr(given, "shape") and hasattr(given, "dtype") else np.asarray(given)
    if len(found.shape) != 1 or np.dtype(found.dtype).kind not in "buif" or not found.shape[0]:
        msg = f"{name} must be real numbers in one dimension, at least one; this is {found.dtype} of {found.shape}"
        raise RequestError(msg)
    return Listed(np.asarray(found) if found.shape[0] <= HELD else found)


def checked_count(given: Any, name: str = "count") -> int:
    """A number of draws."""
    count = integer(given, name, least=1)
    if count > MOST_DRAWN:
        msg = f"{name}={count} must be at most 2^53"
        raise RequestError(msg)
    return count


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
        found = weights.strip(rows)
        padded = np.zeros(-(-found.size // TILE_ROWS) * TILE_ROWS)
        padded[: found.size] = found
        sums.append(padded.reshape(-1, TILE_ROWS).sum(axis=1))
    return np.concatenate(sums)


def entries_at(read: Callable[[slice], Array], indices: Array, size: int) -> Array:
    """Entries at sorted indices of a vector that is read by ranges: only tiles that hold some are read."""
    found, tiles = [], indices // TILE_ROWS
    edges = np.flatnonzero(np.diff(tiles, prepend=-1, append=-1)).tolist()
    for start, stop in itertools.pairwise(edges):
        first = int(tiles[start]) * TILE_ROWS
        found.append(read(slice(first, min(first + TILE_ROWS, size)))[indices[start:stop] - first])
    return np.concatenate(found) if found else np.zeros(0)


def _with_replacement(weights: Weights, count: int, seed: int, name: str) -> Draws:
    sums = tile_sums(weights)
    total = float(sums.sum())
    counting: _Targets | _Shares
    if count <= FEW:
        targets = np.sort(uniform_rows(seed, name, slice(0, count)))
        counting = _Targets(np.append(0.0, np.cumsum(sums)), targets)
    else:
        counting = _Shares(_multinomial(tile_generator(seed, f"{name}: tiles", 0), count, sums), seed, name)
    found = [_in_strip(weights, rows, counting) for rows in strips(weights.size) if any(map(counting.of, _tiles(rows)))]
    indices, counts, kept = (np.concatenate(field) for field in zip(*found, strict=True))
    probabilities = kept / total
    # E[(A S)(S^T B)] = sum_j E[c_j] / (s p_j) a_j b_j^T = A B
    scales = np.sqrt(counts / (count * probabilities))
    return Draws(indices, counts, probabilities, scales, weights.size, count, replace=True)


def _tiles(rows: slice) -> range:
    """The tiles of a range of rows."""
    return range(rows.start // TILE_ROWS, -(-rows.stop // TILE_ROWS))


class _Targets:
    """Few draws: each a place in the sums of all weights."""

    def __init__(self, edges: Array, targets: Array) -> None:
        self.edges, self.targets = edges, targets * edges[-1]  # (tiles + 1,), (s,) in order
        last = np.flatnonzero(np.diff(edges))[-1]
        tiles = np.minimum(np.searchsorted(edges[1:], self.targets, side="right"), last)
        self.starts = np.searchsorted(tiles, np.arange(edges.size))

    def of(self, tile: int) -> int:
        """Draws that fall into a tile."""
        return int(self.starts[tile + 1] - self.starts[tile])

    def inside(self, tile: int, weights: Array) -> Array:
        """How often each index of a tile is drawn."""
        targets = self.targets[self.starts[tile] : self.starts[tile + 1]]
        at = np.searchsorted(self.edges[tile] + np.cumsum(weights), targets, side="right")
        at = np.minimum(at, np.flatnonzero(weights)[-1])  # the last sum may be a rounding less than the target
        return np.bincount(at, minlength=weights.size)


@dataclass(frozen=True)
class _Shares:
    """Many draws: how many fall into each tile, and then on each index, is multinomial."""

    shares: Array  # (tiles,)
    seed: int
    name: str

    def of(self, tile: int) -> int:
        """Draws that fall into a tile."""
        return int(self.shares[tile])

    def inside(self, tile: int, weights: Array) -> Array:
        """How often each index of a tile is drawn."""
        return _multinomial(tile_generator(self.seed, self.name, tile), self.of(tile), weights)


def _in_strip(weights: Weights, rows: slice, counting: _Targets | _Shares) -> tuple[Array, Array, Array]:
    """Indices drawn from a strip, how often each, and their weights: (u,), (u,), (u,)."""
    inside, counts = weights.strip(rows), np.zeros(rows.stop - rows.start, np.int64)
    for tile in _tiles(rows):
        if counting.of(tile):
            here = slice(tile * TILE_ROWS - rows.start, (tile + 1) * TILE_ROWS - rows.start)
            counts[here] = counting.inside(tile, inside[here])
    (at,) = np.nonzero(counts)
    return rows.start + at, counts[at], inside[at]


def _multinomial(generator: np.random.Generator, count: int, weights: Array) -> Array:
    """How often each is drawn; what has weight zero, never."""
    (there,) = np.nonzero(weights)
    found = np.zeros(weights.size, np.int64)
    found[there] = generator.multinomial(count, weights[there] / weights.sum())
    return found


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
        found = weights.strip(rows)
        keys = found / (1.0 - uniform_rows(seed, name, rows))  # w_j / u_j with u_j in (0, 1]
        least = leaders.keys[-1] if leaders.keys.size > count else 0.0
        seen = np.flatnonzero(keys > least)
        both = zip(leaders, (keys[seen], rows.start + seen, found[seen]), strict=True)
        leaders = _Leaders(*(np.concatenate(pair) for pair in both)).largest(count + 1)
    threshold = float(leaders.keys[count]) if leaders.keys.size > count else 0.0
    taken = leaders.largest(count)
    order = np.argsort(taken.indices)
    indices, kept = taken.indices[order], taken.weights[order]
    chances = np.minimum(1.0, kept / threshold) if threshold else np.ones(kept.size)
    once = np.ones(indices.size, np.int64)
    scales, least = 1.0 / np.sqrt(chances), float(taken.keys[-1])
    return Draws(indices, once, chances, scales, weights.size, count, False, threshold, least)  # noqa: FBT003 - a field


def _nothing(size: int, count: int, *, replace: bool) -> Draws:
    none = np.zeros(0)
    return Draws(none.astype(np.int64), none.astype(np.int64), none, none, size, count, replace)
