"""A matrix of any size whose singular values and vectors are known: A = U diag(s) V^T, written panel by panel.

With C the orthonormal DCT-II and D_i random signs, the b row blocks are A_i = C D_i C D_0 diag(s) V^T / sqrt(b), where
the columns of V are cosines of frequency 1, 2, ... Each C D_i C D_0 is orthogonal, so A^T A = V diag(s)^2 V^T exactly;
only the rounding to float32 is between A and its known factors. A panel costs one fast transform, and no more memory.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import scipy.fft

from rnla.arrays import Array
from rnla.streams import tile_generator

COLUMNS = 2048
SIGNAL = 40  # modes that stand out of the noise
MARK: dict[str, Any] = {"made_by": "rnla demo"}


def spectrum(n: int = COLUMNS) -> Array:
    """The singular values: 40 of signal from 1000 down to 10, then a noise floor from 5 down to 3."""
    return np.concatenate([np.geomspace(1000, 10, SIGNAL), np.linspace(5, 3, n - SIGNAL)])


def right_vectors(n: int = COLUMNS) -> Array:
    """V^T: row i is the cosine of frequency i + 1, the last one is constant."""
    return np.asarray(np.roll(scipy.fft.dct(np.eye(n), axis=0, norm="ortho"), -1, axis=0))


def rounding(n: int, s: Array) -> float:
    """How far rounding to float32 may move a singular value: eps times ||A||_F, spread over n columns, with room."""
    return float(8 * np.finfo(np.float32).eps * np.linalg.norm(s) / np.sqrt(n))


class Panels:
    """The row blocks A_0 .. A_{b-1}, each n x n."""

    def __init__(self, blocks: int, n: int = COLUMNS, *, seed: int = 0) -> None:
        self.blocks, self.n, self.seed = blocks, n, seed
        weighted = right_vectors(n) * spectrum(n)[:, None]
        mixed = scipy.fft.dct(weighted * self.signs(0)[:, None], axis=0, norm="ortho", overwrite_x=True)
        self.start = (mixed / np.sqrt(blocks)).astype(np.float32)  # C D_0 diag(s) V^T / sqrt(b)

    def signs(self, index: int) -> Array:
        """D_index: (n,)."""
        drawn = tile_generator(self.seed, "demo: signs", index).integers(0, 2, self.n)
        return np.where(drawn == 1, np.float32(1), np.float32(-1))

    def block(self, index: int) -> Array:
        """A_index."""
        turned = self.start * self.signs(index + 1)[:, None]
        found = scipy.fft.dct(turned, axis=0, norm="ortho", overwrite_x=True)
        return np.asarray(found, dtype=np.float32)


def write_generated(place: Path, blocks: int, *, threads: int, told: Callable[[int], None]) -> None:
    """The matrix as a Zarr store, one chunk with checksum for each block; `told` hears the bytes, from any thread."""
    import zarr
    from zarr.codecs import Crc32cCodec

    panels = Panels(blocks)
    n = panels.n
    array = zarr.create_array(
        place,
        shape=(blocks * n, n),
        chunks=(n, n),
        dtype="float32",
        compressors=Crc32cCodec(),
        attributes=MARK,
        dimension_names=("row", "column"),
        overwrite=True,
    )

    def write(index: int) -> None:
        array[index * n : (index + 1) * n] = panels.block(index)
        told(4 * n * n)

    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(write, index) for index in range(blocks)]:
            done.result()
