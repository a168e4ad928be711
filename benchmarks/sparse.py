"""Sparse SVD from disk beside scipy's own two products in memory: `python -m benchmarks.sparse --help`.

The matrix is made like counts of genes in cells: how often a column is met falls by a power law, rows hold uneven
numbers of nonzeros, and rows belong to clusters that prefer columns of their own. It is written as a csr_matrix group,
a few rows at a time.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.machine import machine_line, peak_bytes, settle
from benchmarks.matrices import refuse_full_disk
from benchmarks.processes import measured
from benchmarks.tables import megabytes, record, table

Array = npt.NDArray[Any]

ROWS = 5000  # made at once
CHUNK = 1 << 22  # entries in a chunk
CLUSTERS = 12
DRAWS = 40  # rounds of drawing columns anew where a row has drawn one twice


@dataclass(frozen=True)
class Recipe:
    """What a store is made from."""

    rows: int
    columns: int
    nonzeros: int
    codec: str = "none"
    seed: int = 0


def row_pointers(made: Recipe) -> Array:
    """Where each row begins: sizes of rows are lognormal, and add up to the nonzeros wanted."""
    rng = np.random.default_rng([made.seed, 0])
    wanted = np.minimum(rng.lognormal(0.0, 0.5, made.rows), 6.0).cumsum()
    return np.concatenate([[0], np.round(wanted / wanted[-1] * made.nonzeros)]).astype(np.int64)


class Columns:
    """Draws of columns: by a power law, over an order that half of the time is the cluster's own."""

    def __init__(self, made: Recipe) -> None:
        rng = np.random.default_rng([made.seed, 1])
        popularity = (np.arange(made.columns) + 20.0) ** -0.7
        self.bounds = popularity.cumsum() / popularity.sum()
        self.orders = np.stack([rng.permutation(made.columns) for _ in range(CLUSTERS + 1)]).astype(np.int64)

    def drawn(self, rng: np.random.Generator, clusters: Array) -> Array:
        """One column for each of these clusters."""
        ranks = np.minimum(np.searchsorted(self.bounds, rng.random(clusters.size)), self.bounds.size - 1)
        own = np.where(rng.random(clusters.size) < 0.5, clusters, CLUSTERS)
        return np.asarray(self.orders[own, ranks])


def block(made: Recipe, columns: Columns, counts: Array, index: int) -> tuple[Array, Array]:
    """Columns and values of the entries of a few rows, in order."""
    rng = np.random.default_rng([made.seed, 2, index])
    n, clusters = made.columns, rng.integers(0, CLUSTERS, counts.size)
    keys, missing = np.zeros(0, np.int64), np.repeat(np.arange(counts.size), counts)
    for _ in range(DRAWS):
        keys = np.union1d(keys, missing * n + columns.drawn(rng, clusters[missing]))
        lacking = counts - np.bincount(keys // n, minlength=counts.size)
        missing = np.repeat(np.arange(counts.size), np.maximum(lacking, 0))
        if not missing.size:
            break
    else:
        msg = f"rows of up to {counts.max():,} nonzeros cannot be drawn of {n:,} columns: give fewer --nonzeros"
        raise SystemExit(msg)
    values = np.log1p(rng.standard_gamma(2.0, keys.size) * (1.0 + 3.0 * rng.random(n)[keys % n]))
    return (keys % n).astype(np.int32), values.astype(np.float32)


def written(made: Recipe, path: Path, threads: int) -> Path:
    """The store of a recipe at `path`: the one that is there when it was made from the same, else a new one."""
    import zarr
    from zarr.codecs import ZstdCodec

    if (path / "zarr.json").exists() and zarr.open_group(path, mode="r").attrs.get("benchmark") == asdict(made):
        return path
    shutil.rmtree(path, ignore_errors=True)
    refuse_full_disk(path.parent, 8 * made.nonzeros + 8 * made.rows)
    pointers, columns = row_pointers(made), Columns(made)
    group = zarr.create_group(path)
    codec = {"none": None, "zstd": ZstdCodec(level=3)}[made.codec]
    lengths = {"data": (made.nonzeros, "float32"), "indices": (made.nonzeros, "int32"), "indptr": (made.rows + 1, "i8")}
    arrays = {
        name: group.create_array(name, shape=(length,), dtype=dtype, chunks=(min(CHUNK, length),), compressors=codec)
        for name, (length, dtype) in lengths.items()
    }
    arrays["indptr"][:] = pointers
    cuts = [pointers[first : first + ROWS + 1] for first in range(0, made.rows, ROWS)]
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(cuts), threads):  # as many blocks at once as there are threads
            some = range(start, min(start + threads, len(cuts)))
            blocks = pool.map(lambda index: block(made, columns, np.diff(cuts[index]), index), some)
            for index, (found, values) in zip(some, blocks, strict=True):
                arrays["indices"][cuts[index][0] : cuts[index][-1]] = found
                arrays["data"][cuts[index][0] : cuts[index][-1]] = values
    shape = [made.rows, made.columns]
    group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": shape})
    group.attrs["benchmark"] = asdict(made)  # last: a store without it is made again
    return path


def by_rnla(request: dict[str, Any]) -> dict[str, Any]:
    """An SVD of the store; imports are not counted."""
    import dask.array  # noqa: F401 - the first tall result imports it

    import rnla

    A = rnla.open(request["store"], threads=request["threads"])
    plan = rnla.plan("svd", A, request["k"], passes=request["passes"])
    started = perf_counter()
    found = rnla.svd(A, request["k"], passes=request["passes"])
    seconds = perf_counter() - started
    return {
        "seconds": seconds,
        "passes": found.cost.passes,
        "planned": plan.peak_bytes,
        "note": f"{found.method}, relative error {found.certificate.relative_error:.4f} certified",
    }


def by_scipy(request: dict[str, Any]) -> dict[str, Any]:
    """The two products of one pass, of the matrix in memory, by so many threads, each with its share of the rows."""
    import scipy.sparse
    import zarr

    group: Any = zarr.open_group(request["store"], mode="r")
    data, indices, indptr = (np.asarray(group[name][:]) for name in ("data", "indices", "indptr"))
    n, threads = group.attrs["shape"][1], request["threads"]
    edges = np.linspace(0, indptr.size - 1, threads + 1).astype(int)
    X = np.random.default_rng(0).standard_normal((n, request["width"]), dtype=np.float32)

    def share(rows: slice) -> Any:
        a, b = indptr[rows.start], indptr[rows.stop]
        parts = data[a:b], indices[a:b], (indptr[rows.start : rows.stop + 1] - a).astype(np.int32)
        return scipy.sparse.csr_array(parts, shape=(rows.stop - rows.start, n), copy=False)

    shares = [share(slice(a, b)) for a, b in pairwise(edges)]

    def products(A: Any) -> Array:
        return np.asarray(A.T @ (A @ X))

    with ThreadPoolExecutor(threads) as pool:
        started = perf_counter()
        sum(pool.map(products, shares))
        seconds = perf_counter() - started
    return {"seconds": seconds, "passes": 1.0, "planned": 0, "note": "A @ X and A.T @ Y of scipy.sparse, in float32"}


def shown(rows: list[tuple[str, dict[str, Any]]]) -> str:
    """The table."""
    header = ("tool", "seconds a pass", "passes", "seconds", "peak MB", "plan MB", "how")
    lines = []
    for tool, found in rows:
        if "failed" in found:
            lines.append((tool, "-", "-", "-", megabytes(found["peak_bytes"]), "-", found["failed"]))
            continue
        planned = megabytes(found["planned"]) if found["planned"] else "-"
        each, total = (f"{seconds:.1f}" for seconds in (found["seconds"] / found["passes"], found["seconds"]))
        peak = megabytes(found["peak_bytes"])
        lines.append((tool, each, f"{found['passes']:.2f}", total, peak, planned, found["note"]))
    return table(header, lines)


def heading(made: Recipe, options: argparse.Namespace) -> str:
    """What was measured on what."""
    share = made.nonzeros / (made.rows * made.columns)
    return (
        f"{machine_line()}.\n\n"
        f"{made.rows:,} x {made.columns:,}, {made.nonzeros:,} nonzeros ({share:.2%}), float32 with int32 columns, "
        f"{8 * made.nonzeros / 1e9:.2f} GB, codec {made.codec}, k = {options.k}, store in the page cache. "
        "scipy's products use one thread, whatever the machine; with two, each multiplies half of the rows. "
        "They have the matrix in memory, and do nothing else of a factorisation."
    )


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sparse", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=30_000)
    parser.add_argument("--nonzeros", type=int, default=300_000_000)
    parser.add_argument("--k", type=int, default=50)
    parser.add_argument("--passes", type=int, default=4)
    parser.add_argument("--codec", choices=("none", "zstd"), default="none")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", help="where the store is made; needs disk (default: a temporary folder)")
    parser.add_argument("--keep", action="store_true", help="leave the store in --folder, for the next run")
    parser.add_argument("--record", nargs="?", const="sparse", help="put the table into README.md, under this name")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    options = parsed(arguments)
    made = Recipe(options.rows, options.columns, options.nonzeros, options.codec)
    if options.folder:
        Path(options.folder).mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=options.folder) as temporary:
        folder = Path(options.folder if options.keep and options.folder else temporary)
        request = {
            "store": str(written(made, folder / "sparse.zarr", options.threads)),
            "k": options.k,
            "passes": options.passes,
        }
        request |= {"width": options.k + 10}
        rows = []
        runs = [("rnla", options.threads), *(("scipy", threads) for threads in sorted({1, options.threads}))]
        for tool, threads in runs:
            settle(cold=False)
            asked = request | {"tool": tool, "threads": threads}
            found = measured("benchmarks.sparse", asked, blas_threads=1, folder=Path(temporary))
            rows.append((f"{tool}, {threads} thread{'s' if threads > 1 else ''}", found))
    text = f"{heading(made, options)}\n\n{shown(rows)}"
    print(text)
    if options.record is not None:
        record(options.record, text)


if __name__ == "__main__":
    if len(sys.argv) == 2 and sys.argv[1].startswith("{"):  # one contender, in a process of its own
        asked = json.loads(sys.argv[1])
        answer = by_rnla(asked) if asked["tool"] == "rnla" else by_scipy(asked)
        print(json.dumps(answer | {"peak_bytes": peak_bytes()}))
    else:
        main()
