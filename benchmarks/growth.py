"""Time and memory of one SVD as the store doubles: `python -m benchmarks.growth`.

Stores have the same columns, chunks and spectrum; each is made, read once into the page cache, factored and deleted
before the next.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.machine import machine_line
from benchmarks.matrices import recipe, refuse_full_disk, written
from benchmarks.svd import Bench
from benchmarks.tables import megabytes, parsed_bytes, record, table


def measured_size(size: int, options: argparse.Namespace) -> tuple[int, float, float, int, int]:
    """Bytes of the matrix, seconds, seconds of the limit, largest peak and plan of one size."""
    made = recipe(size, options.columns, "1/i")
    with TemporaryDirectory(dir=options.folder) as temporary:
        folder = Path(temporary)
        store = written(made, folder / "benchmark.zarr", options.threads)
        bench = Bench(made, store, folder, options.k, options.passes, options.threads, cold=False)
        rows, _ = bench.rnla(options.repeat)
    seconds, limit = (median(values) for values in ([row.seconds for row in rows], [row.limit for row in rows]))
    return made.bytes, seconds, limit, max(row.peak_bytes for row in rows), max(row.plan_bytes for row in rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--sizes", default="1GB,2GB,4GB,8GB,16GB", help="between commas, each twice the last")
    parser.add_argument("--columns", type=int, default=2000)
    parser.add_argument("--k", type=int, default=50)
    parser.add_argument("--passes", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--folder", help="where the stores are made (default: a temporary folder)")
    parser.add_argument("--record", action="store_true", help="put the table into README.md")
    options = parser.parse_args(arguments)
    if options.folder:
        Path(options.folder).mkdir(parents=True, exist_ok=True)
    sizes = [parsed_bytes(size) for size in options.sizes.split(",")]
    with TemporaryDirectory(dir=options.folder) as probe:
        refuse_full_disk(Path(probe), max(sizes))
    lines: list[tuple[str, ...]] = []
    last = 0.0, 0.0
    for size in sizes:
        byte_count, seconds, limit, peak, plan = measured_size(size, options)
        gigabytes = byte_count / 1e9
        # seconds per byte against the smaller store, times two: exact doubling is 2.00 though sizes are whole blocks
        growth = f"{2 * (seconds / gigabytes) / (last[1] / last[0]):.2f}" if last[0] else "-"
        last = gigabytes, seconds
        lines.append(
            (
                f"{gigabytes:.2f} GB",
                f"{seconds:.2f}",
                growth,
                f"{seconds / gigabytes:.2f}",
                f"{seconds / limit:.2f}",
                megabytes(peak),
                megabytes(plan),
            )
        )
        print(*lines[-1], sep="  ", flush=True)
    header = ("matrix", "seconds", "per doubling", "seconds per GB", "x limit", "peak MB", "plan MB")
    text = (
        f"{machine_line()}.\n\n{options.columns:,} columns of float32, spectrum 1/i, k = {options.k}, "
        f"{options.passes} passes, {options.threads} threads, store in the page cache, medians of {options.repeat}.\n\n"
        f"{table(header, lines)}"
    )
    print(text)
    if options.record:
        record("growth", text)


if __name__ == "__main__":
    main()
