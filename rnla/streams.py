"""Addressed randomness: numbers belong to a place, not to a moment.

Philox (Salmon et al. 2011) is keyed by (seed, name) and its counter by the tile of rows, so that the same numbers come
out whatever the chunks, workers, threads or retries.
"""

from __future__ import annotations

import hashlib

import numpy as np

from rnla.arrays import Array

TILE_ROWS = 4096
PHILOX_WORDS = 4  # that one step of Philox's counter gives


def tile_generator(seed: int, name: str, tile: int) -> np.random.Generator:
    """Generator of one tile of the stream (seed, name)."""
    return np.random.Generator(np.random.Philox(key=_key(seed, name), counter=[0, 0, 0, tile]))


def words(seed: int, name: str, rows: slice, per_row: int) -> Array:
    """Random 64-bit words of the stream (seed, name), so many for each row: (p, per_row). No others are drawn."""
    first, count = rows.start * per_row, (rows.stop - rows.start) * per_row
    skipped = first % PHILOX_WORDS
    philox = np.random.Philox(key=_key(seed, name), counter=[first // PHILOX_WORDS, 0, 0, 0])
    return np.asarray(philox.random_raw(skipped + count))[skipped:].reshape(-1, per_row)


def normal(
    seed: int, name: str, rows: int, columns: int, *, complex_: bool = False, tile_rows: int = TILE_ROWS
) -> Array:
    """Standard Gaussian matrix (rows, columns), float64 or complex128, of the stream (seed, name)."""
    return normal_rows(seed, name, slice(0, rows), columns, complex_=complex_, tile_rows=tile_rows)


def normal_rows(
    seed: int, name: str, rows: slice, columns: int, *, complex_: bool = False, tile_rows: int = TILE_ROWS
) -> Array:
    """A range of rows of `normal`, whatever else is drawn; another `tile_rows` is another stream."""
    out = np.empty((rows.stop - rows.start, columns), dtype=np.complex128 if complex_ else np.float64)
    for tile in range(rows.start // tile_rows, -(-rows.stop // tile_rows)):
        first = tile * tile_rows
        inside = slice(max(rows.start, first), min(rows.stop, first + tile_rows))
        block = _tile(seed, name, tile, (tile_rows, columns), complex_=complex_)
        out[inside.start - rows.start : inside.stop - rows.start] = block[inside.start - first : inside.stop - first]
    return out


def uniform_rows(seed: int, name: str, rows: slice) -> Array:
    """A range of the uniform numbers in [0, 1) of the stream (seed, name), one for each row: (p,)."""
    tiles = range(rows.start // TILE_ROWS, -(-rows.stop // TILE_ROWS))
    drawn = [tile_generator(seed, name, tile).random(TILE_ROWS) for tile in tiles]
    first = rows.start - tiles.start * TILE_ROWS
    return np.concatenate(drawn)[first : first + rows.stop - rows.start] if drawn else np.empty(0)


def _tile(seed: int, name: str, tile: int, shape: tuple[int, int], *, complex_: bool) -> Array:
    generator = tile_generator(seed, name, tile)
    block = generator.standard_normal(shape)
    if not complex_:
        return block
    return np.asarray((block + 1j * generator.standard_normal(shape)) / np.sqrt(2))


def _key(seed: int, name: str) -> Array:
    digest = hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=16).digest()
    return np.frombuffer(digest, dtype=np.uint64)
