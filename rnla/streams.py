"""Addressed randomness: numbers belong to a place, not to a moment.

Philox (Salmon et al. 2011) is keyed by (seed, name) and its counter by the tile of rows, so that the same numbers come
out whatever the chunks, workers, threads or retries.
"""

from __future__ import annotations

import hashlib

import numpy as np

from rnla.arrays import Array

TILE_ROWS = 4096


def tile_generator(seed: int, name: str, tile: int) -> np.random.Generator:
    """Generator of one tile of the stream (seed, name)."""
    digest = hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=16).digest()
    key = np.frombuffer(digest, dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, tile]))


def normal(seed: int, name: str, rows: int, columns: int, *, complex_: bool = False) -> Array:
    """Standard Gaussian matrix (rows, columns), float64 or complex128, of the stream (seed, name)."""
    return normal_rows(seed, name, slice(0, rows), columns, complex_=complex_)


def normal_rows(seed: int, name: str, rows: slice, columns: int, *, complex_: bool = False) -> Array:
    """A range of rows of `normal`, whatever else is drawn."""
    out = np.empty((rows.stop - rows.start, columns), dtype=np.complex128 if complex_ else np.float64)
    for tile in range(rows.start // TILE_ROWS, -(-rows.stop // TILE_ROWS)):
        first = tile * TILE_ROWS
        inside = slice(max(rows.start, first), min(rows.stop, first + TILE_ROWS))
        block = _tile(seed, name, tile, columns, complex_=complex_)
        out[inside.start - rows.start : inside.stop - rows.start] = block[inside.start - first : inside.stop - first]
    return out


def uniform_rows(seed: int, name: str, rows: slice) -> Array:
    """A range of the uniform numbers in [0, 1) of the stream (seed, name), one for each row: (p,)."""
    tiles = range(rows.start // TILE_ROWS, -(-rows.stop // TILE_ROWS))
    drawn = [tile_generator(seed, name, tile).random(TILE_ROWS) for tile in tiles]
    first = rows.start - tiles.start * TILE_ROWS
    return np.concatenate(drawn)[first : first + rows.stop - rows.start] if drawn else np.empty(0)


def _tile(seed: int, name: str, tile: int, columns: int, *, complex_: bool) -> Array:
    generator = tile_generator(seed, name, tile)
    block = generator.standard_normal((TILE_ROWS, columns))
    if not complex_:
        return block
    return np.asarray((block + 1j * generator.standard_normal((TILE_ROWS, columns))) / np.sqrt(2))
