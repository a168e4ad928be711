"""Matrices of any size whose singular values are known: A = U diag(s) V^T, made and written block by block.

With C the orthonormal DCT-II and D_i random signs, the b row blocks are A_i = C^T D_i W / sqrt(b), where W is p x n
with W^T W = V diag(s)^2 V^T and a first row of zeros. Each C^T D_i is orthogonal, so A^T A = V diag(s)^2 V^T whatever b
is; and 1^T C^T = sqrt(p) e_1^T, so every column has mean zero and the same values are right after centring. Between A
and its known values lies the rounding to float32 alone: some 1e-9 relative in sigma_50 = sigma_1 / 50, as measured.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft

Array = npt.NDArray[Any]


def noise_floor(n: int) -> Array:
    """50 values of signal from 100 down to 2, then a floor from 1 down to 0.5."""
    return np.concatenate([np.geomspace(100, 2, 50), np.linspace(1, 0.5, n - 50)])


def flat_floor(n: int) -> Array:
    """1/i down to 0.05, which all the others have."""
    return np.maximum(1.0 / np.arange(1, n + 1), 0.05)


def distinct(n: int) -> Array:
    """21 distinct values: 20 from 10 down to 1.5, and all the others 1."""
    return np.concatenate([np.linspace(10, 1.5, 20), np.ones(n - 20)])


def clustered(n: int) -> Array:
    """Groups of ten that differ by 1e-6 inside and by a factor 0.75 from one to the next."""
    i = np.arange(n)
    return np.asarray(0.75 ** (i // 10) * (1 - 1e-6 * (i % 10)))


NAMED: dict[str, Callable[[int], Array]] = {
    "1/i": lambda n: 1.0 / np.arange(1, n + 1),
    "1/i^2": lambda n: 1.0 / np.arange(1, n + 1) ** 2,
    "geometric": lambda n: np.asarray(0.9 ** np.arange(n)),
    "step": lambda n: np.where(np.arange(n) < 50, 1.0, 0.3),
    "clustered": clustered,
    "distinct": distinct,
    "floor": flat_floor,
    "noise": noise_floor,
}


def spectrum(name: str, n: int) -> Array:
    """Singular values by name, or 1/i^p for any power p: (n,), descending."""
    if name in NAMED:
        return NAMED[name](n)
    power = re.fullmatch(r"1/i\^(\d+(?:\.\d+)?)", name)
    if power is None:
        msg = f"spectrum {name!r} is unknown: choose one of {', '.join(NAMED)}, or 1/i^p"
        raise SystemExit(msg)
    return np.asarray(np.arange(1, n + 1) ** -float(power[1]))


class Blocks:
    """The b row blocks A_i, each p x n with p > n."""

    def __init__(self, p: int, b: int, s: Array, *, seed: int = 0) -> None:
        self.p, self.b, self.s, self.seed = p, b, s, seed
        n = s.size
        cosines = scipy.fft.dct(np.eye(n), axis=0, norm="ortho")
        self.Vt = scipy.fft.idct(self.signs(n, 0)[:, None] * cosines, axis=0, norm="ortho")  # (n, n) orthogonal
        self.W = self.lifted(s[:, None] * self.Vt)

    def signs(self, length: int, index: int) -> Array:
        """D_index."""
        return np.random.default_rng([self.seed, index]).choice(np.array([-1.0, 1.0]), length)

    def lifted(self, X: Array) -> Array:
        """An orthonormal p x n matrix with a first row of zeros, over sqrt(b), times X."""
        padded = np.zeros((self.p - 1, X.shape[1]))
        padded[: X.shape[0]] = X / np.sqrt(self.b)
        W = np.zeros((self.p, X.shape[1]))
        W[1:] = scipy.fft.dct(self.signs(self.p - 1, 1)[:, None] * padded, axis=0, norm="ortho", overwrite_x=True)
        return W

    def turned(self, W: Array, index: int) -> Array:
        """C^T D_index W."""
        mixed = self.signs(self.p, index + 2)[:, None] * W
        return np.asarray(scipy.fft.idct(mixed, axis=0, norm="ortho", overwrite_x=True))

    def block(self, index: int) -> Array:
        """A_index in float64: (p, n)."""
        return self.turned(self.W, index)

    def left(self, index: int) -> Array:
        """Rows of U that belong to A_index: (p, n)."""
        return self.turned(self.lifted(np.eye(self.s.size)), index)


@dataclass(frozen=True)
class Recipe:
    """What a store is made from."""

    size_bytes: int
    columns: int
    spectrum: str
    chunk: tuple[int, int]  # rows and columns
    codec: str = "none"  # none, crc32c or zstd
    seed: int = 0

    @property
    def block_rows(self) -> int:
        """Rows made at once: whole chunks, more than there are columns."""
        return self.chunk[0] * (self.columns // self.chunk[0] + 1)

    @property
    def blocks(self) -> int:
        """Blocks that come nearest to the size, at least two."""
        return max(2, round(self.size_bytes / (4 * self.columns * self.block_rows)))

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n)."""
        return self.blocks * self.block_rows, self.columns

    @property
    def bytes(self) -> int:
        """Size of the float32 matrix."""
        return 4 * self.shape[0] * self.shape[1]

    def known(self, k: int) -> Array:
        """Its leading singular values: (k,)."""
        return spectrum(self.spectrum, self.columns)[:k]


def recipe(size_bytes: float, columns: int, name: str, *, chunk: str = "", codec: str = "none") -> Recipe:
    """A recipe with chunks of whole rows and 32 MB, unless `chunk` says "ROWSxCOLUMNS"."""
    if chunk:
        rows, across = (int(side) for side in chunk.split("x"))
    else:
        rows, across = max(1, 32_000_000 // (4 * columns)), columns
    return Recipe(int(size_bytes), columns, name, (rows, min(across, columns)), codec)


def written(made: Recipe, path: Path, threads: int) -> Path:
    """The store of a recipe at `path`: the one that is there when it was made from the same, else a new one.

    Memory: four blocks a thread (32 MB each as float32), whatever the size of the store.
    """
    import zarr
    from zarr.codecs import Crc32cCodec, ZstdCodec

    mark = {**asdict(made), "chunk": list(made.chunk)}
    if (path / "zarr.json").exists() and zarr.open_array(path, mode="r").attrs.get("benchmark") == mark:
        return path
    refuse_full_disk(path.parent, made.bytes)
    codecs: dict[str, Any] = {"none": None, "crc32c": Crc32cCodec(), "zstd": ZstdCodec(level=3)}
    array = zarr.create_array(
        path,
        shape=made.shape,
        chunks=made.chunk,
        dtype="float32",
        compressors=codecs[made.codec],
        overwrite=True,
    )
    p = made.block_rows
    blocks = Blocks(p, made.blocks, spectrum(made.spectrum, made.columns), seed=made.seed)

    def write(index: int) -> None:
        array[index * p : (index + 1) * p] = blocks.block(index).astype(np.float32)

    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(write, index) for index in range(made.blocks)]:
            done.result()
    array.attrs["benchmark"] = mark  # last: a store without it is made again
    return path


def refuse_full_disk(folder: Path, needed_bytes: int) -> None:
    """Stop when the store and a fifth more do not fit on the disk."""
    free = shutil.disk_usage(folder).free
    if free < 1.2 * needed_bytes:
        msg = (
            f"the store needs {needed_bytes / 1e9:.1f} GB and a fifth more for results, but only {free / 1e9:.1f} GB "
            "are free there: give --folder on a larger disk, or a smaller --size"
        )
        raise SystemExit(msg)
