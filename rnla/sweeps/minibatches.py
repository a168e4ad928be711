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
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import scipy.sparse

from rnla.arrays import Array, DType
from rnla.streams import tile_generator
from rnla.sweeps.retries import retried
from rnla.sweeps.source import Source, holds_sparse
from rnla.sweeps.transform import Transform

Sampling = Literal["permutation", "replacement", "norm-squared"]
BLOCK_BYTES = 4 << 20
BUFFER_BLOCKS = 32
LEAST_BLOCKS = 8  # of a lane's buffer
MOST_BLOCK_ROWS = 1 << 15
READERS = 2  # blocks that are read at once


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


class At(NamedTuple):
    """Which buffer: the number of a lane's in an epoch."""

    epoch: int
    lane: int
    number: int


class Batch(NamedTuple):
    """Samples of one step."""

    X: Array  # (b, n) in the precision of the network
    y: Array  # (b,) labels or (b, c) values
    weights: Array | None  # (b,) None: all one


@dataclass(frozen=True, eq=False)
class Samples:
    """A matrix and what belongs to each of its rows, with the order in which they are taken; pickles as names."""

    X: Source
    transform: Transform
    dtype: DType
    y: Source
    labels: bool  # whether y is one whole number a row
    order: Order
    row_bytes: float  # as they are read, on average
    epochs: int  # after which nothing is read ahead
    token: str  # names this training, for what a process keeps of it

    def read(self, rows: slice) -> tuple[Any, Array]:
        """Rows as they are stored, and what belongs to them."""
        n, width = self.X.shape[1], self.y.shape[1]
        X = retried(lambda: self.X.read(rows, slice(0, n)), lambda: self.X.place(rows.start, 0))
        y = retried(lambda: self.y.read(rows, slice(0, width)), lambda: self.y.place(rows.start, 0))
        return X, np.asarray(y.toarray() if scipy.sparse.issparse(y) else y)

    def view(self, raw: Any) -> Array:
        """Rows as the network gets them."""
        raw = raw.toarray() if scipy.sparse.issparse(raw) else raw
        return self.transform.dense(raw, slice(0, len(raw)), self.dtype)[0]

    def targets(self, y: Array) -> Array:
        """What belongs to rows, as a loss takes it."""
        return y[:, 0].astype(np.int64) if self.labels else y.astype(self.dtype)


class Filled(NamedTuple):
    """Rows of a buffer."""

    X: Any  # (r, n) as stored
    y: Array  # (r,) labels or (r, c) values
    squares: Array | None  # (r,) |x|^2 + 1 of the rows as the network gets them, where draws need them


class Buffer:
    """Blocks side by side in memory, read by the threads of a pool."""

    def __init__(self, samples: Samples, blocks: Array, pool: ThreadPoolExecutor) -> None:
        self.samples, order = samples, samples.order
        counts = order.block_counts[blocks]
        edges, (total, n) = np.append(0, np.cumsum(counts)), (int(counts.sum()), samples.X.shape[1])
        self.X = None if holds_sparse(samples.X) else np.empty((total, n), samples.X.dtype)
        self.y = np.empty(total, np.int64) if samples.labels else np.empty((total, samples.y.shape[1]), samples.dtype)
        spans = [order.span(int(block)) for block in blocks]
        places = [slice(start, stop) for start, stop in itertools.pairwise(edges.tolist())]
        self.pieces = [pool.submit(self._fill, *pair) for pair in zip(spans, places, strict=True)]
        self.lock = threading.Lock()
        self.filled: Filled | None = None
        self.draws: tuple[int, Array, Array | None] | None = None  # of the epoch it was last used in

    def rows(self) -> Filled:
        """The rows; waits until they are read."""
        with self.lock:
            if self.filled is None:
                parts = [piece.result() for piece in self.pieces]
                X = scipy.sparse.vstack(parts, "csr") if self.X is None else self.X
                self.filled = Filled(X, self.y, self._squares(X))
                self.pieces = []
            return self.filled

    def drawn(self, at: At) -> tuple[Array, Array | None]:
        """Which of the rows come one after the other in an epoch, and their weights; drawn once an epoch."""
        filled = self.rows()
        with self.lock:
            if self.draws is None or self.draws[0] != at.epoch:
                self.draws = at.epoch, *self.samples.order.drawn(at, filled.squares, len(filled.y))
            return self.draws[1:]

    def _fill(self, rows: slice, place: slice) -> Any:
        """Read a block and put the rows that may be taken in their place; sparse rows are given back."""
        X, y = self.samples.read(rows)
        held = self.samples.order.held_out
        out = held[np.searchsorted(held, rows.start) : np.searchsorted(held, rows.stop)] - rows.start
        kept: Any = slice(None)
        if out.size:
            kept = np.ones(rows.stop - rows.start, bool)
            kept[out] = False
        self.y[place] = self.samples.targets(y[kept])
        if self.X is None:
            return X[kept] if out.size else X
        self.X[place] = X[kept]
        return None

    def _squares(self, X: Any) -> Array | None:
        """Squared norms of the rows (x, 1) that an affine map multiplies: none is zero, and weights have a bound."""
        if self.samples.order.sampling != "norm-squared":
            return None
        found = np.empty(X.shape[0])
        step = max(1, BLOCK_BYTES // (8 * X.shape[1]))
        for start in range(0, X.shape[0], step):
            rows = self.samples.view(X[start : start + step]).astype(np.float64)
            found[start : start + step] = 1.0 + np.einsum("ij,ij->i", rows, rows)
        return found


class Feed:
    """Batches in their order; while those of one buffer are taken, the next buffer of its lane is read."""

    def __init__(self, samples: Samples, *, held: int = 2) -> None:
        self.samples, self.held = samples, held  # of each lane
        self.pool = ThreadPoolExecutor(READERS, thread_name_prefix="rnla-feed")
        self.buffers: dict[At, Buffer] = {}  # the one used last is the last
        self.lock = threading.Lock()
        self.rows_read = 0

    def taken(self) -> int:
        """Bytes that were asked for since the last call."""
        with self.lock:
            found, self.rows_read = self.rows_read, 0
            return round(found * self.samples.row_bytes)

    def close(self) -> None:
        """No more batches."""
        self.pool.shutdown(wait=True, cancel_futures=True)
        self.buffers.clear()

    def batches(self, epoch: int, lane: int, start: int, stop: int, size: int) -> Iterator[Batch]:
        """Rows at places start .. stop - 1 of a lane in an epoch, so many at a time (the last may have fewer)."""
        edges = self.samples.order.edges(epoch, lane)
        parts: list[Batch] = []
        place = start
        while place < stop:
            number = int(np.searchsorted(edges, place, side="right")) - 1
            at = self.samples.order.key(At(epoch, lane, number))
            buffer = self._buffer(at)
            X, y, _ = buffer.rows()
            self._ahead(at, last=number + 2 == len(edges))
            first, count = int(edges[number]), int(edges[number + 1] - edges[number])
            chosen, weights = buffer.drawn(at._replace(epoch=epoch))
            while place < min(stop, first + count):
                wanted = size - sum(len(part.y) for part in parts)
                end = min(place + wanted, stop, first + count)
                rows = chosen[place - first : end - first]
                share = None if weights is None else weights[place - first : end - first]
                parts.append(Batch(self.samples.view(X[rows]), y[rows], share))
                place = end
                if sum(len(part.y) for part in parts) == size or place == stop:
                    yield _together(parts)
                    parts = []
            del X, y, buffer  # held no longer than the feed holds them

    def _buffer(self, at: At) -> Buffer:
        """A buffer, filled; one that could not be read is read anew when it is wanted again."""
        with self.lock:
            found = self.buffers.pop(at, None)
            self._make_room(at.lane)
            self.buffers[at] = found = found or self._asked(at)
        try:
            found.rows()
        except Exception:
            with self.lock:
                if self.buffers.get(at) is found:
                    del self.buffers[at]
            raise
        return found

    def _ahead(self, now: At, *, last: bool) -> None:
        """Ask for the buffer that follows in the lane, where there is room for two."""
        after = At(now.epoch + 1, now.lane, 0) if last else now._replace(number=now.number + 1)
        if self.samples.order.shared or self.held == 1 or after.epoch >= self.samples.epochs:
            return
        with self.lock:
            if after in self.buffers:
                return
            self._make_room(now.lane)
            self.buffers[after] = self._asked(after)
            if now in self.buffers:  # if no other thread has put it out meanwhile
                self.buffers[now] = self.buffers.pop(now)  # used last

    def _make_room(self, lane: int) -> None:
        """Put out what was not used for longest in a lane, before another one is asked for."""
        mine = [at for at in self.buffers if at.lane == lane]
        for at in mine[: max(0, len(mine) + 1 - self.held)]:
            del self.buffers[at]

    def _asked(self, at: At) -> Buffer:
        order = self.samples.order
        blocks = order.blocks(at)
        self.rows_read += sum(span.stop - span.start for span in map(order.span, blocks.tolist()))
        return Buffer(self.samples, blocks, self.pool)


def _together(parts: list[Batch]) -> Batch:
    if len(parts) == 1:
        return parts[0]
    weights = None if parts[0].weights is None else np.concatenate([part.weights for part in parts])
    return Batch(np.concatenate([part.X for part in parts]), np.concatenate([part.y for part in parts]), weights)


_feeds: dict[str, Feed] = {}
_feeds_lock = threading.Lock()


def feed_of(samples: Samples, held: int) -> Feed:
    """The feed of this process for a training, made when it is first asked for; that of another one is closed."""
    with _feeds_lock:
        found = _feeds.get(samples.token)
        if found is None:
            for other in list(_feeds):
                _feeds.pop(other).close()
            found = _feeds[samples.token] = Feed(samples, held=held)
        return found


def forget(token: str) -> None:
    """Close the feed of a training in this process."""
    with _feeds_lock:
        found = _feeds.pop(token, None)
    if found is not None:
        found.close()
