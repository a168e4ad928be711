"""A CUR of a store larger than the memory of a worker should be: `python -m benchmarks.cur`.

Seconds against one plain read times the passes, the largest memory against the plan, and how far the error is from the
best of its rank; each request in a process of its own. `--cold` drops the page cache before each sweep (needs root).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from benchmarks.limits import read_seconds
from benchmarks.machine import machine_line, peak_bytes, settle
from benchmarks.matrices import recipe, refuse_full_disk, written
from benchmarks.tables import megabytes, parsed_bytes, record, table

REQUESTS: dict[str, dict[str, Any]] = {
    "pivoted, optimal": {},
    "pivoted, optimal, 2 passes": {"passes": 2},
    "pivoted, cross": {"middle": "cross"},
    "norm-squared, 2 passes": {"select": "norm-squared", "passes": 2},
}


def child(request: dict[str, Any]) -> dict[str, Any]:
    """One CUR, and what it took."""
    import dask.array  # noqa: F401 - imports are not counted

    import rnla
    from benchmarks.forgetful import Forgetful

    A = rnla.open(request["store"], threads=request["threads"])
    if request["cold"]:
        A = replace(A, runner=Forgetful(request["threads"], store=str(Path(request["store"]).absolute())))
    plan = rnla.plan("cur", A, k=request["k"], **request["options"])
    started = perf_counter()
    found = rnla.cur(A, request["k"], **request["options"])
    seconds, proof = perf_counter() - started, found.certificate
    return {
        "seconds": seconds,
        "passes": found.cost.passes,
        "plan_bytes": plan.peak_bytes,
        "peak_bytes": peak_bytes(),
        "error": proof.relative_error,
        "ratio": proof.ratio,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cur", description=__doc__)
    parser.add_argument("--size", default="10GB")
    parser.add_argument("--columns", type=int, default=2000)
    parser.add_argument("--k", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cold", action="store_true", help="drop the page cache before each sweep; needs root")
    parser.add_argument("--folder", help="where the store is made (default: a temporary folder)")
    parser.add_argument("--record", nargs="?", const="cur", help="put the table into README.md, under this name")
    options = parser.parse_args(arguments)
    made = recipe(parsed_bytes(options.size), options.columns, "1/i")
    rows = []
    with TemporaryDirectory(dir=options.folder) as temporary:
        refuse_full_disk(Path(temporary), made.bytes)
        store = written(made, Path(temporary) / "benchmark.zarr", options.threads)
        for name, wanted in REQUESTS.items():
            settle(cold=options.cold)
            if not options.cold:
                read_seconds(str(store), options.threads)  # so that it lies in the page cache
            plain = read_seconds(str(store), options.threads)
            settle(cold=options.cold)
            request = {"store": str(store), "k": options.k, "options": wanted, "threads": options.threads}
            command = [sys.executable, "-m", "benchmarks.cur", "--child", json.dumps(request | {"cold": options.cold})]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            rows.append(
                (
                    name,
                    f"{found['seconds']:.1f}",
                    f"{found['passes']:.2f}",
                    f"{plain:.2f}",
                    f"{found['seconds'] / (plain * found['passes']):.2f}",
                    megabytes(found["peak_bytes"]),
                    megabytes(found["plan_bytes"]),
                    f"{found['error']:.4f}",
                    "not known" if found["ratio"] is None else f"at most {found['ratio']:.2f}",
                )
            )
            print(*rows[-1], sep="  ", flush=True)
    header = ("request", "seconds", "passes", "plain read s", "x reads", "peak MB", "plan MB", "error", "x the best")
    where = "caches dropped before each sweep" if options.cold else "store in the page cache"
    text = (
        f"{machine_line()}.\n\n{made.bytes / 1e9:.2f} GB: {made.shape[0]:,} x {made.shape[1]:,} float32, spectrum 1/i, "
        f"k = {options.k}, {options.threads} threads, {where}.\n\n{table(header, rows)}"
    )
    print(text)
    if options.record:
        record(options.record, text)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(child(json.loads(sys.argv[2]))))
    else:
        main()
