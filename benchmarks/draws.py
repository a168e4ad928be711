"""Where drawing by norms helps and where it does not: `python -m benchmarks.draws`.

X^T X from drawn rows of X, by product weights (here the squared norms of rows) and with all rows alike: the expected
relative error by the formula with exact norms, and the root mean square over draws of what `rnla.sampled_product` gave.
Real data is read from a folder shared/data beside the repository where there is one.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import rnla
from benchmarks.lines import SHARED, matrices, words
from benchmarks.machine import machine_line
from benchmarks.tables import record, table

Array = npt.NDArray[Any]
CODES = np.array([2.0, np.nan, 1.0, 0.0])  # copies of the first allele by the two bits of a PLINK 1 file


def cases() -> Iterator[tuple[str, str, Array]]:
    """Names of data and terms, and the matrix whose rows are the terms."""
    rng = np.random.default_rng(0)
    yield "Gaussian", "rows", rng.standard_normal((5000, 300))
    yield "Gaussian, lengths 1/i", "rows", rng.standard_normal((5000, 300)) / np.arange(1, 5001)[:, None]
    if not SHARED.exists():
        return
    yield "single cells, counts", "cells", next(A for name, A in matrices() if name == "single cells, counts")
    kos = words(SHARED / "text_kos/docword.kos.txt.gz")
    yield "text counts (KOS)", "words", kos.T.copy()
    yield "text counts (KOS)", "documents", kos
    yield "genotypes, standardised", "variants", genotypes(SHARED / "genotypes_chr1", "data_chr1").T.copy()


def genotypes(folder: Path, stem: str) -> Array:
    """Samples x variants from a PLINK 1 binary file, standardised as (g - 2p) / (2p (1 - p))^1/2, missing as 0."""
    samples = len((folder / f"{stem}.fam").read_text(encoding="utf-8").splitlines())
    raw = np.frombuffer((folder / f"{stem}.bed").read_bytes(), np.uint8)[3:].reshape(-1, -(-samples // 4))
    codes = np.stack([(raw >> (2 * i)) & 3 for i in range(4)], axis=-1).reshape(len(raw), -1)[:, :samples]
    copies = CODES[codes.T]
    share = np.nanmean(copies, axis=0) / 2
    spread = np.sqrt(2 * share * (1 - share))
    found = np.divide(copies - 2 * share, spread, out=np.zeros_like(copies), where=spread > 0)
    return np.asarray(np.nan_to_num(found))


def row(data: str, terms: str, X: Array, draws: int, seeds: int) -> tuple[str, ...]:
    """One line of the table."""
    C = X.T @ X
    squares, norm = (X**2).sum(axis=1), float(np.linalg.norm(C))
    expected = {
        "product": float(squares.sum()) ** 2,
        "uniform": float((squares**2).sum()) * np.count_nonzero(squares),
    }
    cells = [data, f"{np.count_nonzero(squares):,} {terms}"]
    for weights, moment in expected.items():
        errors = [
            np.linalg.norm(np.asarray(rnla.sampled_product(X.T, X, draws, weights=weights, seed=seed).value) - C)
            for seed in range(seeds)
        ]
        mean = np.sqrt((moment - norm**2) / draws) / norm
        cells += [f"{mean:.3f}", f"{float(np.sqrt(np.mean(np.square(errors)))) / norm:.3f}"]
    return tuple(cells)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.draws", description=__doc__)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--record", action="store_true", help="put the table into README.md")
    options = parser.parse_args(arguments)
    found = []
    for data, terms, X in cases():
        found.append(row(data, terms, X, options.draws, options.seeds))
        print(*found[-1], sep="  ", flush=True)
    header = ("data", "terms", "product, expected", "measured", "uniform, expected", "measured")
    text = (
        f"{machine_line()}.\n\nRelative Frobenius error of X^T X from {options.draws} draws with replacement; measured "
        f"is the root mean square of {options.seeds} draws.\n\n{table(header, found)}"
    )
    print(text)
    if options.record:
        record("draws", text)


if __name__ == "__main__":
    main()
