"""A job on a store of a million chunks, before it runs: `python -m benchmarks.planning`.

Only metadata is made; nothing is read. Each layout is planned, and the Dask graph of one of its sweeps is built, in a
process of its own; its memory is counted from when all modules are imported.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import psutil

from benchmarks.machine import machine_line, peak_bytes
from benchmarks.processes import measured
from benchmarks.tables import megabytes, record, table

COLUMNS, K = 2000, 50


def layouts(chunks: int) -> dict[str, dict[str, Any]]:
    """Shapes and chunks by name, each with this many chunks (the last as many as a span has at least)."""
    side = int(chunks**0.5)
    return {
        "row panels, 32 MB": {"shape": (4000 * chunks, COLUMNS), "chunks": (4000, COLUMNS)},
        "row panels, 1 MB": {"shape": (125 * chunks, COLUMNS), "chunks": (125, COLUMNS)},
        "square chunks, 1 MB": {"shape": (500 * side, 500 * side), "chunks": (500, 500)},
        "wide, column panels, 32 MB": {"shape": (COLUMNS, 4000 * chunks), "chunks": (COLUMNS, 4000)},
        "few large chunks, 256 MB": {"shape": (32000 * 64, COLUMNS), "chunks": (32000, COLUMNS)},
    }


def main_of_child(request: dict[str, Any]) -> dict[str, Any]:
    """Plan one store, then build the graph of one sweep."""
    import numpy as np
    import zarr

    import rnla
    from rnla.algorithms.planning import oriented
    from rnla.store import stored  # noqa: F401 - before the clock
    from rnla.sweeps.graphs import sweep_graph
    from rnla.sweeps.products import Gram
    from rnla.sweeps.spans import Work

    zarr.create_array(request["store"], shape=request["shape"], chunks=request["chunks"], dtype="float32")
    held = psutil.Process().memory_info().rss
    started = perf_counter()
    plan = rnla.plan("svd", request["store"], k=K, memory_bytes=1 << 50)
    planned = perf_counter()
    plan_bytes = peak_bytes() - held
    A, _ = oriented(rnla.open(request["store"]))
    X = np.zeros((A.shape[1], plan.width), np.float32)
    work = Work(A.source, A.transform, A.dtype, A.geometry, (Gram(X),))
    building = perf_counter()
    graph = sweep_graph(work)
    nodes = len(graph.dask)
    return {
        "chunks": int(
            np.prod([-(-side // chunk) for side, chunk in zip(request["shape"], request["chunks"], strict=True)])
        ),
        "plan_seconds": planned - started,
        "plan_bytes": plan_bytes,
        "graph_seconds": perf_counter() - building,
        "graph_bytes": peak_bytes() - held,
        "tasks": plan.tasks_per_sweep,
        "nodes": nodes,
        "passes": plan.passes,
    }


def row(name: str, found: dict[str, Any]) -> tuple[str, ...]:
    """One layout in the table."""
    if "failed" in found:
        return (name, *["-"] * 7, found["failed"])
    return (
        name,
        f"{found['chunks']:,}",
        f"{found['plan_seconds']:.2f}",
        megabytes(found["plan_bytes"]),
        f"{found['graph_seconds']:.2f}",
        megabytes(found["graph_bytes"]),
        f"{found['nodes']:,}",
        f"{found['nodes'] / found['chunks']:.4f}",
        f"{found['passes']} passes planned",
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planning", description=__doc__)
    parser.add_argument("--chunks", type=int, default=1_000_000)
    parser.add_argument("--record", action="store_true", help="put the table into README.md")
    options = parser.parse_args(arguments)
    rows = []
    with TemporaryDirectory() as temporary:
        for index, (name, layout) in enumerate(layouts(options.chunks).items()):
            request = layout | {"store": str(Path(temporary, f"{index}.zarr"))}
            rows.append(row(name, measured("benchmarks.planning", request, blas_threads=1, folder=Path(temporary))))
    header = ("layout", "chunks", "plan s", "plan MB", "graph s", "both MB", "tasks a sweep", "tasks a chunk", "")
    text = f"{machine_line()}.\n\nsvd, k = {K}; memory beyond that of the imported modules.\n\n{table(header, rows)}"
    print(text)
    if options.record:
        record("planning", text)


if __name__ == "__main__":
    if len(sys.argv) == 2 and sys.argv[1].startswith("{"):
        print(json.dumps(main_of_child(json.loads(sys.argv[1]))))
    else:
        main()
