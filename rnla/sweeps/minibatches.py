"""Batches of rows in a random order at the speed of the disk: while one buffer is used, the next one is read."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from rnla.arrays import Array, DType
from rnla.errors import IntegrityError, NonFiniteError
from rnla.kernels.sparse import densified
from rnla.machine import Peak
from rnla.sweeps.copies import spans
from rnla.sweeps.orders import BLOCK_BYTES, At, Order
from rnla.sweeps.retries import retried
from rnla.sweeps.source import Source, holds_sparse, touched_bytes
from rnla.sweeps.transform import Transform

READERS = 2  # blocks that are read at once
IDLE = 60.0  # seconds without use after which what a training keeps may be put out


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
    classes: tuple[int, int] | None  # least and largest label; None: y is numbers
    blank: float  # mean loss of a network that is zero everywhere
    order: Order
    working: DType  # in which rows are centred and scaled, no coarser than they are stored
    epochs: int  # after which nothing is read ahead
    token: str  # names this training, for what a process keeps of it
    limit: float | None = None  # at which the entries of a sample are cut off, above and below

    def read(self, rows: slice, scratch: Array | None) -> tuple[Any, Array]:
        """Rows as they are stored, in `scratch` (bytes) if that can be, and what belongs to them."""
        n, width = self.X.shape[1], self.y.shape[1]
        X = retried(lambda: self.X.read(rows, slice(0, n), scratch), lambda: self.X.place(rows.start, 0))
        y = retried(lambda: self.y.read(rows, slice(0, width)), lambda: self.y.place(rows.start, 0))
        return X, densified(y)

    def read_bytes(self, rows: slice) -> int:
        """Bytes of the store that such a read decodes."""
        return touched_bytes(self.X, rows) + touched_bytes(self.y, rows)

    def view(self, raw: Any) -> Array:
        """Rows as the network gets them: centred and scaled before they are rounded to its precision."""
        raw = densified(raw)
        seen = self.transform.dense(raw, slice(0, len(raw)), self.working)[0]
        return narrowed(seen if self.limit is None else np.clip(seen, -self.limit, self.limit), self.dtype)

    def targets(self, y: Array) -> Array:
        """What belongs to rows, as a loss takes it; IntegrityError for labels that were others in the first read."""
        if self.classes is None:
            return y.astype(self.dtype)
        found = y[:, 0].astype(np.int64)
        if found.size and not self.classes[0] <= found.min() <= found.max() <= self.classes[1]:
            msg = (
                f"labels from {found.min()} to {found.max()} in {getattr(self.y, 'url', 'y')}, and all lay in "
                f"{self.classes[0]}..{self.classes[1]} in the first read: they were changed while the network was "
                "trained; run the same again when nobody writes to them"
            )
            raise IntegrityError(msg)
        return found


def narrowed(rows: Array, dtype: DType) -> Array:
    """Rows in the precision of the network; NonFiniteError where they are out of its range."""
    if rows.dtype == dtype:
        return rows
    with np.errstate(over="raise"):
        try:
            return rows.astype(dtype)
        except FloatingPointError:
            msg = (
                f"samples up to {np.abs(rows).max():.3g} are out of the range of {dtype}: centre and scale the "
                "columns, or take a network in float64"
            )
            raise NonFiniteError(msg) from None


class Filled(NamedTuple):
    """Rows of a buffer, those among them that are held out too."""

    X: Any  # (r, n) as stored
    y: Array  # (r,) labels or (r, c) values
    squares: Array | None  # (k,) |x|^2 + 1 of rows that may be taken, as the network gets them, where draws need them


class Buffer:
    """Blocks side by side in memory, read by the threads of a pool."""

    def __init__(
        self,
        samples: Samples,
        ranges: list[slice],
        pool: ThreadPoolExecutor,
        look: Callable[[], int],
        room: Array | None = None,
    ) -> None:
        self.samples, self.look, self.users = samples, look, 0
        edges = np.append(0, np.cumsum([rows.stop - rows.start for rows in ranges]))
        total, n = int(edges[-1]), samples.X.shape[1]
        self.kept = samples.order.takeable(ranges)
        fits = room is not None and len(room) >= total
        self.room = room if fits or holds_sparse(samples.X) else np.empty((total, n), samples.X.dtype)
        self.X = None if self.room is None else self.room[:total]
        self.y = (
            np.empty((total, samples.y.shape[1]), samples.dtype)
            if samples.classes is None
            else np.empty(total, np.int64)
        )
        places = [slice(start, stop) for start, stop in itertools.pairwise(edges.tolist())]
        self.pieces = [pool.submit(self._fill, *pair) for pair in zip(ranges, places, strict=True)]
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
                count = len(filled.y) if self.kept is None else len(self.kept)
                chosen, weights = self.samples.order.drawn(at, filled.squares, count)
                self.draws = at.epoch, chosen if self.kept is None else self.kept[chosen], weights
            return self.draws[1:]

    def _fill(self, rows: slice, place: slice) -> Any:
        """Read a block into its place; sparse rows are given back."""
        here = None if self.X is None else self.X[place]
        X, y = self.samples.read(rows, None if here is None else here.reshape(-1).view(np.uint8))
        self.look()
        self.y[place] = self.samples.targets(y)
        if here is None:
            return X
        if not (X.dtype == here.dtype and X.ctypes.data == here.ctypes.data and X.strides == here.strides):
            here[...] = X
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
        return found if self.kept is None else found[self.kept]


class Feed:
    """Batches in their order; while those of one buffer are taken, the next buffer of its lane is read."""

    def __init__(self, samples: Samples, *, held: int = 2) -> None:
        self.samples, self.held = samples, held  # of each lane
        self.pool = ThreadPoolExecutor(READERS, thread_name_prefix="rnla-feed")
        self.buffers: dict[At, Buffer] = {}  # the one used last is the last
        self.spare: list[Array] = []  # memory of buffers that were put out: the system would clear it anew
        self.lock = threading.Lock()
        self.bytes_read, self.peak = 0, Peak()
        self.users, self.left = 0, monotonic()

    def taken(self) -> tuple[int, int]:
        """Bytes that were asked for since the last call, and the most memory that was seen."""
        with self.lock:
            found, self.bytes_read = self.bytes_read, 0
            return found, self.peak.look()

    def close(self) -> None:
        """No more batches."""
        self.pool.shutdown(wait=True, cancel_futures=True)
        self.buffers.clear()
        self.spare.clear()

    def batches(self, epoch: int, lane: int, start: int, stop: int, size: int) -> Iterator[Batch]:
        """Rows at places start .. stop - 1 of a lane in an epoch, so many at a time (the last may have fewer)."""
        edges = self.samples.order.edges(epoch, lane)
        parts: list[Batch] = []
        place = start
        while place < stop:
            number = int(np.searchsorted(edges, place, side="right")) - 1
            at = self.samples.order.key(At(epoch, lane, number))
            with self._used(at) as buffer:
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

    @contextmanager
    def _used(self, at: At) -> Iterator[Buffer]:
        """A buffer, filled; one that could not be read is read anew when it is wanted again."""
        with self.lock:
            found = self.buffers.pop(at, None)
            self._make_room(at.lane)
            self.buffers[at] = found = found or self._asked(at)
            found.users += 1
        try:
            yield found
        except Exception:
            with self.lock:
                if found.filled is None and self.buffers.get(at) is found:
                    del self.buffers[at]
            raise
        finally:
            with self.lock:
                found.users -= 1

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
            out = self.buffers.pop(at)
            if out.room is not None and out.filled is not None and not out.users:
                self.spare = [out.room]

    def _asked(self, at: At) -> Buffer:
        order = self.samples.order
        ranges = spans(self.samples.X, order, order.blocks(at).tolist())
        self.bytes_read += sum(self.samples.read_bytes(rows) for rows in ranges)
        room = self.spare.pop() if self.spare else None
        return Buffer(self.samples, ranges, self.pool, self.peak.look, room)


def _together(parts: list[Batch]) -> Batch:
    if len(parts) == 1:
        return parts[0]
    weights = None if parts[0].weights is None else np.concatenate([part.weights for part in parts])
    return Batch(np.concatenate([part.X for part in parts]), np.concatenate([part.y for part in parts]), weights)


_feeds: dict[str, Feed] = {}
_feeds_lock = threading.Lock()


@contextmanager
def feed_of(samples: Samples, held: int) -> Iterator[Feed]:
    """The feed of this process for a training, made when it is first asked for; it is closed by `forget`.

    The feed of a training whose client was killed is closed when another one begins, if nobody used it for a minute; a
    training that was only slow opens it anew.
    """
    with _feeds_lock:
        for token in [token for token, feed in _feeds.items() if not feed.users and monotonic() - feed.left > IDLE]:
            _feeds.pop(token).close()
        found = _feeds.get(samples.token)
        if found is None:
            found = _feeds[samples.token] = Feed(samples, held=held)
        found.users += 1
    try:
        yield found
    finally:
        with _feeds_lock:
            found.users, found.left = found.users - 1, monotonic()


def forget(token: str) -> None:
    """Close the feed of a training in this process."""
    with _feeds_lock:
        found = _feeds.pop(token, None)
    if found is not None:
        found.close()
