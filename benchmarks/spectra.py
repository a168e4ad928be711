"""Largest relative error of sigma_1..50 on the named spectra, rnla and scikit-learn: `python -m benchmarks.spectra`.

The matrices are 3000 x 2000, in memory, float64 and float32. True values of a float32 matrix are those of the rounded
matrix: the singular values of U_l^T A V_l, l = 60, which are right to the square of the rounding.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from time import perf_counter

import numpy as np
from sklearn.utils.extmath import randomized_svd

import rnla
from benchmarks.machine import machine_line
from benchmarks.matrices import NAMED, Array, Blocks, spectrum
from benchmarks.tables import record, table

ROWS, COLUMNS, K, WIDTH = 3000, 2000, 50, 60
GOOD = 1e-9  # errors below are as good as any


def relative(s: Array, truth: Array) -> float:
    """Largest relative error."""
    return float(np.max(np.abs(s[:K] - truth) / truth))


def row(name: str, dtype: str) -> tuple[str, ...]:
    """Errors of rnla with 4 and 5 reads and of scikit-learn with 16, on one matrix."""
    blocks = Blocks(ROWS, 1, spectrum(name, COLUMNS))
    A = blocks.block(0).astype(dtype)
    U = blocks.turned(blocks.lifted(np.eye(COLUMNS)[:, :WIDTH]), 0)
    truth = np.linalg.svd(U.T @ A.astype(np.float64) @ blocks.Vt[:WIDTH].T, compute_uv=False)[:K]
    four, five = (relative(rnla.svd(A, K, passes=passes).s, truth) for passes in (4, 5))
    theirs = relative(randomized_svd(A, K, n_oversamples=10, random_state=0)[1], truth)
    good = "yes" if four <= max(theirs, GOOD) else "no"
    return name, dtype, f"{four:.1e}", f"{five:.1e}", f"{theirs:.1e}", good


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.spectra", description=__doc__)
    parser.add_argument("--spectra", default=",".join(NAMED), help="names, between commas")
    parser.add_argument("--record", action="store_true", help="put the table into README.md")
    options = parser.parse_args(arguments)
    started = perf_counter()
    rows = [row(name, dtype) for dtype in ("float64", "float32") for name in options.spectra.split(",")]
    header = ("spectrum", "precision", "rnla, 4 reads", "rnla, 5 reads", "scikit-learn, 16 reads", "as good, or < 1e-9")
    text = (
        f"{machine_line('scikit-learn')}.\n\n{ROWS} x {COLUMNS} in memory, k = {K}, block of {WIDTH} columns; "
        f"{perf_counter() - started:.0f} s in all.\n\n{table(header, rows)}"
    )
    print(text)
    if options.record:
        record("spectra", text)


if __name__ == "__main__":
    main()
