"""The two limits of one pass: reading every chunk once as fast as this machine can, and multiplying.

Read: each thread takes the next chunk file and fills one buffer of its own, again and again; nothing is decoded.
Multiply: the two products of a sweep, Y = A_i Q and Y^T A_i, on float32 blocks of 8 MB that lie in a panel of 32 MB,
one BLAS thread in each thread. What is best of several rounds counts: it is a limit.
"""

from __future__ import annotations

import json
import os
import queue
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.machine import peak_bytes

BLOCK_BYTES = 8 << 20  # as the sweep cuts panels
PANEL_BYTES = 32_000_000
ROUND_SECONDS = 1.0
ROUNDS = 3
SQUARE = 2048


def chunk_files(store: str) -> list[str]:
    """Every file of the store but its metadata."""
    return sorted(str(file) for file in Path(store).rglob("*") if file.is_file() and file.name != "zarr.json")


def read_seconds(store: str, threads: int) -> float:
    """Time to read every chunk file once into reused memory."""
    files = chunk_files(store)
    size = max(Path(file).stat().st_size for file in files)
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    for file in files:
        waiting.put(file)
    buffers = [np.ones(size, np.uint8) for _ in range(threads)]  # touched: their pages are there

    def read(buffer: Any) -> None:
        view = memoryview(buffer)
        while True:
            try:
                file = waiting.get_nowait()
            except queue.Empty:
                return
            with open(file, "rb", buffering=0) as handle:  # noqa: PTH123 - Path.open has no advantage here
                left = os.fstat(handle.fileno()).st_size
                while left:
                    left -= handle.readinto(view[:left])

    started = perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(read, buffers))
    return perf_counter() - started


def product_rate(columns: int, width: int, threads: int) -> float:
    """Flops a second of Y = A_i Q and Y^T A_i."""
    rows = max(1, BLOCK_BYTES // (4 * columns))
    count = max(1, PANEL_BYTES // (4 * columns * rows))

    def worker(seed: int) -> Callable[[], float]:
        rng = np.random.default_rng(seed)
        blocks = [rng.standard_normal((rows, columns), dtype=np.float32) for _ in range(count)]
        Q = rng.standard_normal((columns, width), dtype=np.float32)

        def panel() -> float:
            for A in blocks:
                Y = np.dot(A, Q)
                np.dot(Y.T, A)
            return 4.0 * count * rows * columns * width

        return panel

    return _rate([worker(seed) for seed in range(threads)])


def square_rate(threads: int) -> float:
    """Flops a second of a square product, for reference."""

    def worker(seed: int) -> Callable[[], float]:
        A = np.random.default_rng(seed).standard_normal((SQUARE, SQUARE), dtype=np.float32)
        out = np.empty_like(A)

        def product() -> float:
            np.dot(A, A, out=out)
            return 2.0 * SQUARE**3

        return product

    return _rate([worker(seed) for seed in range(threads)])


def _rate(workers: list[Callable[[], float]]) -> float:
    """Flops a second of all workers at once: the best of a few rounds."""

    def busy(work: Callable[[], float]) -> float:
        started, flops = perf_counter(), 0.0
        while perf_counter() - started < ROUND_SECONDS:
            flops += work()
        return flops / (perf_counter() - started)

    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(len(workers)) as pool:
        return max(sum(pool.map(busy, workers)) for _ in range(ROUNDS))


def limit_seconds(found: dict[str, float], passes: float, flops: float, *, cold: bool) -> float:
    """Time below which no program of this kind can stay: reading and multiplying overlap only when the disk reads."""
    multiply = flops / found["product_rate"]
    read = passes * found["read_seconds"]
    return max(read, multiply) if cold else read + multiply


def main(request: dict[str, Any]) -> dict[str, Any]:
    """Both limits of a store; `only_read` leaves the second out."""
    threads = request["threads"]
    if not request.get("cold"):
        read_seconds(request["store"], threads)  # so that it lies in the page cache as far as it fits
    found: dict[str, Any] = {"read_seconds": read_seconds(request["store"], threads)}
    found["stored_bytes"] = sum(Path(file).stat().st_size for file in chunk_files(request["store"]))
    if not request.get("only_read"):
        found["product_rate"] = product_rate(request["columns"], request["width"], threads)
        found["square_rate"] = square_rate(threads)
    return found | {"peak_bytes": peak_bytes()}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
