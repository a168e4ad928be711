"""rnla and its peers on one store of known singular values: `python -m benchmarks.svd --help`.

The limits are measured before each run of rnla, in the same state of the page cache; medians over `--repeat` count.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import psutil

from benchmarks.limits import limit_seconds
from benchmarks.machine import machine_line, settle
from benchmarks.matrices import NAMED, Recipe, recipe, written
from benchmarks.processes import Limits, measured
from benchmarks.tables import megabytes, parsed_bytes, record, table

PEERS = ("dask-qr", "dask-qr-blas", "dask-default", "dask-ml", "dask-ml-pca", "sklearn")
MORE = 2  # iterations added to those that sufficed on the small store, should they not suffice
AT_MOST = 40


@dataclass(frozen=True)
class Row:
    """What one contender did."""

    tool: str
    seconds: float = float("nan")
    passes: float = float("nan")
    peak_bytes: int = 0
    plan_bytes: int = 0
    error: float = float("nan")
    note: str = ""
    flops: float = 0.0
    limit: float = float("nan")  # seconds, measured just before


@dataclass(frozen=True)
class Bench:
    """One store and how it is used."""

    made: Recipe
    store: Path
    folder: Path
    k: int
    passes: int
    threads: int
    cold: bool
    peer: Limits = field(default_factory=Limits)

    def row(self, tool: str, store: Path | None = None, *, blas: int = 1, **more: Any) -> Row:
        """One run of a contender, on another store if one is given, with `blas` threads of BLAS in each thread."""
        place = store or self.store
        settle(cold=self.cold)
        request = {
            "tool": tool,
            "store": str(place),
            "k": self.k,
            "passes": self.passes,
            "threads": self.threads,
            "cold": self.cold,
            "options": {},
        }
        blas = self.threads if tool == "sklearn" else blas
        allowed = Limits() if tool == "rnla" else self.peer
        with TemporaryDirectory(dir=self.folder) as scratch:
            found = measured(
                "benchmarks.contenders", request | more, blas_threads=blas, folder=Path(scratch), limits=allowed
            )
        if "failed" in found:
            return Row(tool, peak_bytes=found["peak_bytes"], note=found["failed"])
        known = self.made.known(self.k)
        error = float(np.max(np.abs(np.array(found["s"]) - known) / known))
        passes = found["bytes_read"] / self.made.bytes
        taken = {name: found[name] for name in ("seconds", "peak_bytes", "plan_bytes", "note", "flops")}
        return Row(tool, passes=passes, error=error, **taken)

    def limits(self) -> dict[str, Any]:
        """Both limits, now."""
        settle(cold=self.cold)
        request = {
            "store": str(self.store),
            "threads": self.threads,
            "columns": self.made.columns,
            "width": self.k + 10,
            "cold": self.cold,
        }
        found = measured("benchmarks.limits", request, blas_threads=1, folder=self.folder)
        if "failed" in found:
            msg = f"the limits could not be measured: {found['failed']}"
            raise SystemExit(msg)
        return found

    def rnla(self, repeat: int) -> tuple[list[Row], list[dict[str, Any]]]:
        """Every run of rnla, and the limits before each."""
        rows, limits = [], []
        for _ in range(repeat):
            limits.append(self.limits())
            row = self.row("rnla")
            if not row.flops:
                msg = f"rnla did not finish: {row.note}"
                raise SystemExit(msg)
            rows.append(replace(row, limit=limit_seconds(limits[-1], row.passes, row.flops, cold=self.cold)))
        return rows, limits

    def dask_qr(self, wanted: float, blas: int = 1) -> Row:
        """Dask's QR iteration with the fewest iterations that reach the error wanted.

        They are searched on a store with the same A^T A and two blocks of rows, on which each costs seconds: the
        error depends on A^T A and on the random start alone.
        """
        small = replace(self.made, size_bytes=0)
        place = written(small, self.folder / "small.zarr", self.threads)
        known = small.known(self.k).tolist()
        search = self.row("dask-iterations", place, wanted=wanted, known=known, at_most=AT_MOST)
        if not search.note.isdigit():  # out of reach: what the most iterations give
            row = self.row("dask-qr", blas=blas, options={"iterator": "QR", "compute": True, "n_power_iter": AT_MOST})
            return replace(row, note=f"{row.note}; {search.note}")
        row = Row("dask-qr")
        for q in range(int(search.note), int(search.note) + MORE + 1):
            row = self.row("dask-qr", blas=blas, options={"iterator": "QR", "compute": True, "n_power_iter": q})
            if not row.error > wanted:  # reached, or it did not finish
                break
        return row


def medians(rows: Sequence[Row]) -> Row:
    """The run of middle time, with the largest peak and error of all and the ratio of middle size."""
    ordered = sorted(rows, key=lambda row: row.seconds)
    middle = ordered[len(ordered) // 2]
    ratio = median(row.seconds / row.limit for row in rows)
    return replace(
        middle,
        peak_bytes=max(row.peak_bytes for row in rows),
        error=max(row.error for row in rows),
        limit=middle.seconds / ratio,
    )


def shown(rows: Sequence[Row]) -> str:
    """The table of all contenders, rnla first."""
    first = rows[0]
    header = ("tool", "seconds", "x limit", "x rnla", "reads", "peak MB", "plan MB", "error of sigma", "how")

    def number(value: float, spelling: str) -> str:
        return "-" if np.isnan(value) else format(value, spelling)

    lines = [
        (
            row.tool,
            number(row.seconds, ".1f"),
            number(row.seconds / first.limit, ".2f"),
            number(row.seconds / first.seconds, ".2f"),
            number(row.passes, ".2f"),
            megabytes(row.peak_bytes),
            megabytes(row.plan_bytes) if row.plan_bytes else "-",
            number(row.error, ".1e"),
            row.note,
        )
        for row in rows
    ]
    return table(header, lines)


def heading(bench: Bench, limits: Sequence[dict[str, Any]], rows: Sequence[Row]) -> str:
    """What was measured on what, and the limits."""
    made, (m, n) = bench.made, bench.made.shape
    read, rate, square = (
        median(each[name] for each in limits) for name in ("read_seconds", "product_rate", "square_rate")
    )
    state = "caches dropped before each sweep" if bench.cold else "store in the page cache"
    combined = "the larger of the two" if bench.cold else "the sum of the two"
    stored = limits[0]["stored_bytes"]
    spread = ", ".join(f"{row.seconds:.1f} ({row.seconds / row.limit:.2f})" for row in rows)
    return (
        f"{machine_line('dask-ml', 'scikit-learn')}.\n\n"
        f"{made.bytes / 1e9:.2f} GB: {m:,} x {n:,} float32, chunks {made.chunk[0]:,} x {made.chunk[1]:,}, codec "
        f"{made.codec}, spectrum {made.spectrum}, k = {bench.k}, {bench.threads} threads, {state}. "
        f"Plain read of the store {read:.2f} s ({stored / read / 1e9:.1f} GB/s); the two products "
        f"{rate / 1e9:.0f} GFLOP/s (square product: {square / 1e9:.0f}). Limit = {combined} = "
        f"{median(row.limit for row in rows):.1f} s for {bench.passes} passes. rnla's runs, seconds (x limit): "
        f"{spread}."
    )


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.svd", description=__doc__)
    parser.add_argument("--size", default="8GB", help="of the matrix, about: whole blocks of rows (default: 8GB)")
    parser.add_argument("--columns", type=int, default=2000)
    parser.add_argument("--k", type=int, default=50)
    parser.add_argument("--passes", type=int, default=4)
    parser.add_argument("--spectrum", default="1/i", help=f"one of {', '.join(NAMED)}, or 1/i^p")
    parser.add_argument("--chunk", default="", help="ROWSxCOLUMNS (default: whole rows, 32 MB)")
    parser.add_argument("--codec", choices=("none", "crc32c", "zstd"), default="none")
    parser.add_argument("--peers", default="rnla,dask-qr,dask-default,dask-ml,sklearn", help=f"of {', '.join(PEERS)}")
    parser.add_argument("--cold", action="store_true", help="drop the page cache before each sweep of rnla; needs root")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3, help="runs of rnla and of the limits; peers run once")
    parser.add_argument("--peer-timeout", type=float, default=1800.0, help="seconds for one run of a peer")
    parser.add_argument("--peer-memory", default="", help="ends a run that holds more (default: 85 %% of what is free)")
    parser.add_argument("--folder", help="where the store is made; needs disk (default: a temporary folder)")
    parser.add_argument("--keep", action="store_true", help="leave the store in --folder, for the next run")
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    parser.add_argument("--record", nargs="?", const="", help="put the table into README.md, under this name")
    return parser.parse_args(arguments)


def run(bench: Bench, peers: Sequence[str], repeat: int) -> tuple[list[Row], list[dict[str, Any]], list[Row]]:
    """rnla and the peers: rows of the table, all limits, all runs of rnla."""
    runs, limits = bench.rnla(repeat)
    rows = [medians(runs)]
    wanted = max(row.error for row in runs)
    blas = {"dask-qr": 1, "dask-qr-blas": bench.threads}
    rows += [
        replace(bench.dask_qr(wanted, blas[peer]), tool=peer) if peer in blas else bench.row(peer) for peer in peers
    ]
    return rows, limits, runs


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    options = parsed(arguments)
    peers = [peer for peer in options.peers.split(",") if peer not in {"rnla", ""}]
    if unknown := set(peers) - set(PEERS):
        msg = f"no such peer: {', '.join(sorted(unknown))}; choose of {', '.join(PEERS)}"
        raise SystemExit(msg)
    memory = parsed_bytes(options.peer_memory) if options.peer_memory else 0.85 * psutil.virtual_memory().available
    size = parsed_bytes(options.size)
    made = recipe(size, options.columns, options.spectrum, chunk=options.chunk, codec=options.codec)
    if options.folder:
        Path(options.folder).mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=options.folder) as temporary:
        folder = Path(options.folder if options.keep and options.folder else temporary)
        store = written(made, folder / "benchmark.zarr", options.threads)
        peer = Limits(options.peer_timeout, memory)
        bench = Bench(made, store, Path(temporary), options.k, options.passes, options.threads, options.cold, peer)
        rows, limits, runs = run(bench, peers, options.repeat)
    text = f"{heading(bench, limits, runs)}\n\n{shown(rows)}"
    everything = {"rows": [vars(row) for row in rows], "limits": limits, "runs": [vars(row) for row in runs]}
    print(json.dumps({"machine": machine_line()} | everything) if options.json else text)
    if options.record is not None:
        record(options.record or ("svd-cold" if options.cold else "svd"), text)


if __name__ == "__main__":
    main()
