"""Rows of a matrix copied once into chunks that fit the blocks of an order, where its own do not.

A chunk that is decoded as a whole is decoded for every block that holds some of its rows. Copied, it is decoded once.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from rnla.arrays import Array, DType
from rnla.machine import Peak
from rnla.sweeps.orders import BLOCK_BYTES, Order
from rnla.sweeps.retries import retried
from rnla.sweeps.source import Source, Tall, holds_sparse, touched_bytes

PARTS = 64  # tasks of a copy, at most
LOOKED = 512  # blocks from which the bytes of an epoch are told
LEAST_CHUNK_BYTES = 1 << 18  # of a copy of narrow rows


def spans(X: Source, order: Order, blocks: list[int]) -> list[slice]:
    """Rows that are read at once for a buffer: its blocks, or all rows along the chunks where one buffer holds them."""
    return pieces(X, slice(0, order.rows)) if order.shared else [order.span(block) for block in blocks]


def epoch_bytes(source: Source, X: Source, order: Order) -> int:
    """Bytes of a source beside the rows of X that are decoded in an epoch: a chunk as often as blocks hold its rows."""
    if order.shared:
        return sum(touched_bytes(source, span) for span in spans(X, order, []))
    count = order.block_counts.size
    looked = np.unique(np.linspace(0, count - 1, min(count, LOOKED)).round().astype(np.int64)).tolist()
    return round(sum(touched_bytes(source, order.span(block)) for block in looked) * count / len(looked))


def worth_copying(source: Source, X: Source, order: Order, epochs: int) -> bool:
    """Whether blocks decode so much more than all there is that to write a copy and read that is less."""
    whole = source.shape[0] * source.shape[1] * source.dtype.itemsize
    times = 1 if order.shared else epochs
    return not holds_sparse(source) and times * (epoch_bytes(source, X, order) / max(1, whole) - 1.0) > 1.0


def chunk_rows(source: Source, order: Order) -> int:
    """Rows of a chunk of the copy: blocks of the order, of narrow rows several."""
    row_bytes = max(1, source.shape[1] * source.dtype.itemsize)
    return order.block_rows * max(1, LEAST_CHUNK_BYTES // (order.block_rows * row_bytes))


@dataclass(frozen=True, eq=False)
class Copying:
    """What is copied, and where to."""

    source: Source
    into: Tall
    step: int  # rows that are written as a whole


@dataclass(frozen=True)
class Copy:
    """A source that is read from its copy: nothing of the store is."""

    inner: Source
    original: Source

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n)."""
        return self.inner.shape

    @property
    def dtype(self) -> DType:
        """As it was."""
        return self.inner.dtype

    @property
    def chunks(self) -> tuple[int, int]:
        """Of the copy."""
        return self.inner.chunks

    @property
    def identity(self) -> dict[str, Any]:
        """That of the original."""
        return self.original.identity

    @property
    def transposed(self) -> Source:
        """The copy's."""
        return self.inner.transposed

    def read(self, rows: slice, columns: slice, scratch: Array | None = None) -> Any:
        """A[rows, columns]."""
        return self.inner.read(rows, columns, scratch)

    def read_bytes(self, rows: slice, columns: slice) -> int:
        """Of the store: none."""
        return 0

    def place(self, row: int, column: int) -> str:
        """Where an element lies in the original."""
        return self.original.place(row, column)


class Copied(NamedTuple):
    """What it took."""

    bytes_read: int
    peak_bytes: int


def parts(source: Source, step: int) -> list[slice]:
    """Ranges of whole steps, alike in length, of four chunks or more: a chunk in which one ends is read for both."""
    rows = source.shape[0]
    steps, most = -(-rows // step), max(1, rows // (4 * max(1, source.chunks[0])))
    edges = np.unique(np.linspace(0, steps, min(PARTS, steps, most) + 1).round().astype(np.int64)) * step
    return [slice(int(a), min(int(b), rows)) for a, b in itertools.pairwise(edges)]


def copy(what: Copying, rows: slice) -> Copied:
    """Copy a range of rows, read in pieces along the chunks of the source: each once but for the first and the last."""
    source, width = what.source, slice(0, what.source.shape[1])
    written, waiting, waits = rows.start, list[Array](), 0
    total, peak = 0, Peak()
    for piece in pieces(source, rows):
        block = retried(partial(source.read, piece, width), partial(source.place, piece.start, 0))
        total += touched_bytes(source, piece)
        waiting.append(np.asarray(block))
        waits += len(block)
        whole = waits if piece.stop == rows.stop else waits // what.step * what.step
        if whole:
            joined = waiting[0] if len(waiting) == 1 else np.concatenate(waiting)
            what.into.write(slice(written, written + whole), joined[:whole])
            peak.look()
            waiting, waits, written = [joined[whole:].copy()], waits - whole, written + whole
    return Copied(total, peak.look())


def pieces(source: Source, rows: slice) -> list[slice]:
    """A range cut where chunks end, into pieces of at least 4 MB."""
    chunk = max(1, source.chunks[0])
    row_bytes = max(1, source.shape[1] * source.dtype.itemsize)
    step = chunk * max(1, BLOCK_BYTES // (chunk * row_bytes))
    edges = [rows.start, *range((rows.start // step + 1) * step, rows.stop, step), rows.stop]
    return [slice(a, b) for a, b in itertools.pairwise(edges)]
