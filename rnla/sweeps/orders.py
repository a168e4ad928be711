"""Rows of a matrix in a random order at the speed of the disk: shuffled blocks, a buffer of them, shuffled rows inside.

A block is a range of rows of about 4 MB, so that reading it whole costs little more than its bytes; 32 shuffled blocks
fill a buffer, whose rows are then drawn. A matrix that fits into one buffer is shuffled as a whole, and read once.

Replicas that work apart take lanes: the shuffled blocks of an epoch are dealt to them evenly, so that each reads its
own, into buffers of its own: 32 blocks in all lanes together, but eight at least in each. A lane of a matrix in one
buffer is a part of its shuffled rows. The order follows from the seed, the lanes, the shape and the type of the data
alone: not from chunks, workers or threads.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from rnla.arrays import Array, within
from rnla.streams import tile_generator

Sampling = Literal["permutation", "replacement", "norm-squared"]
BLOCK_BYTES = 4 << 20
BUFFER_BLOCKS = 32
LEAST_BLOCKS = 8  # of a lane's buffer
MOST_BLOCK_ROWS = 1 << 18  # of narrow rows: eight million of them are shuffled at once


class At(NamedTuple):
    """Which buffer: the number of a lane's in an epoch."""

    epoch: int
    lane: int
    number: int


@dataclass(frozen=True)
class Order:
    """Which rows are taken when, in every epoch."""

    rows: int
    row_bytes: int
    seed: int
    sampling: Sampling
    held_out: Array  # (v,) sorted indices of rows that are never taken
    lanes: int = 1

    @cached_property
    def block_rows(self) -> int:
        """Rows of a block, a power of two."""
        wanted = max(1, min(MOST_BLOCK_ROWS, BLOCK_BYTES // max(1, self.row_bytes)))
        return 1 << (wanted.bit_length() - 1)

    @cached_property
    def block_counts(self) -> Array:
        """Rows of each block that may be taken."""
        edges = np.append(np.arange(0, self.rows, self.block_rows), self.rows)
        return np.diff(edges) - np.diff(np.searchsorted(self.held_out, edges))

    @property
    def taken(self) -> int:
        """Rows taken in an epoch."""
        return self.rows - self.held_out.size

    @property
    def shared(self) -> bool:
        """Whether one buffer holds all rows, for all lanes and epochs."""
        return self.block_counts.size <= max(BUFFER_BLOCKS, self.lanes)

    @property
    def buffer_blocks(self) -> int:
        """Blocks of a full buffer."""
        return int(self.block_counts.size) if self.shared else max(LEAST_BLOCKS, BUFFER_BLOCKS // self.lanes)

    @property
    def buffers(self) -> int:
        """Buffers of the longest lane in an epoch."""
        return 1 if self.shared else math.ceil(math.ceil(self.block_counts.size / self.lanes) / self.buffer_blocks)

    @property
    def buffer_rows(self) -> int:
        """Rows of the largest buffer."""
        return min(self.rows, self.buffer_blocks * self.block_rows)

    def blocks(self, at: At) -> Array:
        """The blocks of a buffer, in the order in which they lie."""
        if self.shared:
            return np.arange(self.block_counts.size)
        return np.sort(self._dealt(at.epoch, at.lane)[at.number * self.buffer_blocks :][: self.buffer_blocks])

    def key(self, at: At) -> At:
        """What tells the rows of one buffer from those of another."""
        return At(0, 0, 0) if self.shared else at

    def edges(self, epoch: int, lane: int = 0) -> Array:
        """Where the buffers of a lane begin among the rows it takes in an epoch, and where the last one ends.

        A lane that is a part of one buffer begins before its own rows.
        """
        if self.shared:
            return np.array([0, self.taken]) - self.taken * lane // self.lanes
        counts = self.block_counts[self._dealt(epoch, lane)]
        return np.append(0, np.cumsum(np.add.reduceat(counts, np.arange(0, counts.size, self.buffer_blocks))))

    def lengths(self, epoch: int) -> list[int]:
        """Rows that each lane takes in an epoch."""
        if self.shared:
            ends = [self.taken * lane // self.lanes for lane in range(self.lanes + 1)]
            return [b - a for a, b in itertools.pairwise(ends)]
        return [int(self.block_counts[self._dealt(epoch, lane)].sum()) for lane in range(self.lanes)]

    def span(self, block: int) -> slice:
        """The rows of a block."""
        return slice(block * self.block_rows, min((block + 1) * self.block_rows, self.rows))

    def _dealt(self, epoch: int, lane: int) -> Array:
        """The shuffled blocks of a lane."""
        shuffled = tile_generator(self.seed, f"blocks of epoch {epoch}", 0).permutation(self.block_counts.size)
        return shuffled[lane :: self.lanes]

    def takeable(self, ranges: Sequence[slice]) -> Array | None:
        """Which rows of ranges, put side by side, may be taken; None: all."""
        out, before = [], 0
        for rows in ranges:
            out.append(within(self.held_out, rows) + before)
            before += rows.stop - rows.start
        held = np.concatenate(out)
        return np.delete(np.arange(before), held) if held.size else None

    def drawn(self, at: At, squares: Array | None, count: int) -> tuple[Array, Array | None]:
        """Which of `count` rows of a buffer come one after the other, and weights that keep their mean unbiased."""
        generator = tile_generator(self.seed, f"rows of epoch {at.epoch}", at.number * self.lanes + at.lane)
        if self.sampling == "permutation":
            return generator.permutation(count), None
        if squares is None:
            return generator.integers(0, count, count), None
        chances = np.cumsum(squares / squares.sum())
        found = np.minimum(np.searchsorted(chances, generator.random(count), side="right"), count - 1)
        return found, squares.mean() / squares[found]
