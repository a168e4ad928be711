"""Shards: many chunks in one object, found through an index of offsets and lengths at its start or end."""

from __future__ import annotations

import google_crc32c
import numpy as np

from rnla.arrays import Array
from rnla.store.chains import CRC_BYTES, DamagedError, check_crc
from rnla.store.layout import Layout, Shards
from rnla.store.objects import Objects, Piece

ABSENT = np.iinfo(np.uint64).max


def shard_index(objects: Objects, layout: Layout, key: str) -> Array | None:
    """(down, across, 2) offsets and lengths in a shard; None when the shard is absent."""
    shards = layout.shards
    assert shards is not None  # noqa: S101 - for mypy: only sharded layouts come here
    size = shards.index_bytes
    piece = Piece(key, 0, size) if shards.index_first else Piece(key, -size)
    (stored,) = objects.fetch([piece])
    return None if stored is None else _parsed(shards, stored)


def _parsed(shards: Shards, stored: Array) -> Array:
    if stored.nbytes != shards.index_bytes:
        msg = f"its shard has {stored.nbytes} bytes, less than its index of {shards.index_bytes}"
        raise DamagedError(msg)
    if shards.index_checked:
        check_crc(stored[-CRC_BYTES:], google_crc32c.value(stored[:-CRC_BYTES]))
        stored = stored[:-CRC_BYTES]
    return np.frombuffer(stored.tobytes(), "<u8").reshape(*shards.counts, 2)


def shard_piece(layout: Layout, index: Array, key: str, i: int, j: int) -> Piece | None:
    """Where chunk (i, j) lies in its shard; None when it is left out."""
    shards = layout.shards
    assert shards is not None  # noqa: S101 - for mypy
    offset, length = (int(value) for value in index[i % shards.counts[0], j % shards.counts[1]])
    if offset == ABSENT:
        return None
    return Piece(key, offset, length)
