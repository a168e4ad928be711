"""Columns and rows of a matrix itself against singular vectors: `python -m benchmarks.lines`.

For each matrix the error of rank k by singular vectors (the best there is), by full pivoted QR in memory (of columns
alone, and of both), and by `rnla.cur` with each selector, all relative to ||A||_F; medians over seeds. Real data is
read from a folder shared/data beside the repository where there is one.
"""

from __future__ import annotations

import argparse
import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.linalg

import rnla
from benchmarks.machine import machine_line
from benchmarks.tables import record, table

Array = npt.NDArray[Any]
SHARED = Path(__file__).parents[2] / "shared" / "data"
SELECTORS = ("pivoted", "deim", "leverage", "norm-squared", "uniform")


def matrices() -> Iterator[tuple[str, Array]]:
    """Names and matrices, one at a time."""
    rng = np.random.default_rng(0)
    for name, s in (("1/i", 1.0 / np.arange(1, 501)), ("0.9^i", 0.9 ** np.arange(500))):
        U, V = (np.linalg.qr(rng.standard_normal((rows, 500)))[0] for rows in (2000, 500))
        yield name, (U * s) @ V.T
    if not SHARED.exists():
        return
    import zarr

    cells = np.asarray(zarr.open_array(SHARED / "singlecell_10k_zarr/10x-10k-subset.zarr/X", mode="r")[:], np.float64)
    yield "single cells, counts", cells
    yield "single cells, log1p", np.log1p(cells / np.maximum(cells.sum(axis=1, keepdims=True), 1) * 1e4)
    yield "text counts (KOS)", words(SHARED / "text_kos/docword.kos.txt.gz")
    raw = gzip.decompress((SHARED / "mnist_train/train-images-idx3-ubyte.gz").read_bytes())
    yield "MNIST, 20,000 images", np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 784)[:20000] / 255.0


def words(file: Path) -> Array:
    """Documents x words, counts."""
    with gzip.open(file, "rt") as lines:
        shape = int(next(lines)), int(next(lines))
        next(lines)
        A = np.zeros(shape)
        for line in lines:
            document, word, count = map(int, line.split())
            A[document - 1, word - 1] = count
    return A


def left(A: Array, columns: Array, rows: Array | None = None) -> float:
    """||A - P_C A P_R||_F / ||A||_F."""
    energy, Q = float(np.linalg.norm(A)) ** 2, np.linalg.qr(A[:, columns])[0]
    K = Q.T @ A
    if rows is not None:
        K = K @ np.linalg.qr(A[rows].T)[0]
    return float(np.sqrt(max(energy - float(np.linalg.norm(K)) ** 2, 0.0) / energy))


def pivots(A: Array, k: int) -> Array:
    """The first pivots of full QR with column pivoting."""
    square = A if len(A) <= 4 * A.shape[1] else np.linalg.qr(A, mode="r")
    return np.asarray(scipy.linalg.qr(square, mode="r", pivoting=True)[1][:k])


def row(name: str, A: Array, k: int, seeds: int) -> tuple[str, ...]:
    """One line of the table."""
    columns, rows = pivots(A, k), pivots(A.T, k)
    square = A if len(A) <= 4 * A.shape[1] else np.linalg.qr(A, mode="r")
    s = np.linalg.svd(square, compute_uv=False)
    best = float(np.sqrt(np.sum(s[k:] ** 2) / np.sum(s**2)))

    def error(select: str, middle: str, seed: int) -> float:
        return rnla.cur(A, k, select=select, middle=middle, passes=3, seed=seed).certificate.relative_error

    cells = [f"{error_:.4f}" for error_ in (best, left(A, columns), left(A, columns, rows))]
    cells += [f"{median(error(select, 'optimal', seed) for seed in range(seeds)):.4f}" for select in SELECTORS]
    cells.append(f"{median(error('pivoted', 'cross', seed) for seed in range(seeds)):.4f}")
    return (name, f"{A.shape[0]:,} x {A.shape[1]:,}", *cells)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lines", description=__doc__)
    parser.add_argument("--k", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--record", action="store_true", help="put the table into README.md")
    options = parser.parse_args(arguments)
    found = []
    for name, A in matrices():
        found.append(row(name, A, options.k, options.seeds))
        print(*found[-1], sep="  ", flush=True)
    header = ("matrix", "shape", "SVD", "QR, columns", "QR, both", *SELECTORS, "cross")
    text = (
        f"{machine_line()}.\n\nk = c = r = {options.k}, three reads; relative Frobenius errors, medians of "
        f"{options.seeds} seeds.\n\n{table(header, found)}"
    )
    print(text)
    if options.record:
        record("lines", text)


if __name__ == "__main__":
    main()
