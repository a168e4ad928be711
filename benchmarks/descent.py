"""Descent on least squares beside theory, with and without replacement: `python -m benchmarks.descent`.

`rnla.nn.descent_study` as it is, on data generated from the seeds that are told, and on matrices of other people where
a folder shared/data lies beside the repository; `rnla.nn.descend` on ill-posed problems with noise.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.io
import scipy.sparse

import rnla
from benchmarks.lines import SHARED
from benchmarks.machine import machine_line
from benchmarks.tables import record, table

Array = npt.NDArray[Any]
MOST_STEPS = 300_000  # of methods that look at the whole gradient
TIMES = 30  # condition: steps after which the slowest part of the error has fallen by e^-30
DATA_SEEDS = 8
LOOKS = (1, 5, 10, 12, 13, 14, 15)  # epochs
NOISE = 1e-3
BEYOND = 1.01  # the discrepancy principle stops at so much of the noise

WORDS = (
    "Rates measured over theory of methods that look at the whole gradient; then the loss beyond the least that draws "
    "leave, over what permutations leave: 6 seeds, 15 epochs, batches of 8, steps falling to zero. Data from seed 0."
)


def generated(m: int, n: int, condition: float, seed: int) -> tuple[Array, Array]:
    """Gaussian rows whose covariance has this condition, and A x with noise of the same deviation."""
    rng = np.random.default_rng(seed)
    turned = np.linalg.qr(rng.standard_normal((n, n)))[0]
    A = rng.standard_normal((m, n)) * np.geomspace(condition**0.5, 1.0, n) @ turned
    b = A @ rng.standard_normal(n)
    return A, b + b.std() * rng.standard_normal(m)


def problems() -> Iterator[tuple[str, Array, Array]]:
    """Names, matrices, right sides."""
    for m, n, condition in ((2000, 20, 1), (2000, 20, 10), (2000, 20, 100), (2000, 20, 1000), (2000, 3, 1)):
        yield f"Gaussian, covariance of condition {condition:,}", *generated(m, n, condition, 0)
    yield "Gaussian, covariance of condition 10", *generated(20_000, 10, 10, 0)
    if not SHARED.exists():
        return
    for name in ("well1033", "illc1033"):
        A, b = (scipy.io.mmread(SHARED / "leastsq" / f"{name}{part}.mtx.gz") for part in ("", "_rhs1"))
        yield name, np.asarray(A.todense()), np.asarray(b).ravel()


def study_row(name: str, A: Array, b: Array) -> tuple[str, ...]:
    """Rates of whole gradients over theory, and what draws leave over permutations."""
    condition = rnla.nn.descent_study(A, b, steps=3, epochs=1, seeds=2).condition
    found = rnla.nn.descent_study(A, b, steps=int(min(MOST_STEPS, max(300, TIMES * condition))))
    rates = ["not seen" if np.isnan(p.rate) else f"{p.rate / p.theory:.2f}" for p in found.paths]
    return (name, f"{A.shape[0]:,} x {A.shape[1]}", f"{found.condition:,.4g}", *rates, *compared(found))


def compared(found: Any) -> tuple[str, ...]:
    """Replacement with its interval and theory, norm-squared with its interval."""
    replaced, drawn = found.comparisons
    first, second = (f"{c.ratio:.3g} ({c.low:.3g} to {c.high:.3g})" for c in (replaced, drawn))
    return first, "" if replaced.theory is None else f"{replaced.theory:.3g}", second


def seed_rows() -> Iterator[tuple[str, ...]]:
    """The same kind of data from several seeds: with the schedule of the study, and with steps that stay as long."""
    for seed in range(DATA_SEEDS):
        A, b = generated(2000, 20, 1, seed)
        falling, constant = (rnla.nn.descent_study(A, b, steps=3, schedule=name) for name in ("cosine", "constant"))
        yield str(seed), *compared(falling)[:2], *compared(constant)[:2]


def epoch_rows() -> Iterator[tuple[str, ...]]:
    """The loss beyond the least by epoch, geometric means over seeds."""
    found = rnla.nn.descent_study(*generated(2000, 20, 1, 0), steps=3)
    permuted, replaced = (np.exp(np.log(found.excess[name]).mean(axis=0)) for name in ("permutation", "replacement"))
    for epoch in LOOKS:
        ratio = replaced[epoch] / permuted[epoch]
        yield str(epoch), f"{permuted[epoch]:.2e}", f"{replaced[epoch]:.2e}", f"{ratio:.3g}"


def ill_posed_rows() -> Iterator[tuple[str, ...]]:
    """Semi-convergence: least error against the truth, at the stop, at the end."""
    for name in ("gravity", "shaw", "wing"):
        file = SHARED / "illposed" / f"{name}_100.mat"
        read = scipy.io.loadmat(file, squeeze_me=True, struct_as_record=False)["Problem"]
        A = np.asarray(read.A.todense() if scipy.sparse.issparse(read.A) else read.A)
        noise = np.random.default_rng(0).standard_normal(len(A))
        size = NOISE * np.linalg.norm(read.b)
        b = read.b + size * noise / np.linalg.norm(noise)
        level = BEYOND * float(size / np.linalg.norm(b))
        for method in ("gradient", "accelerated"):
            found = rnla.nn.descend(A, b, method=method, steps=20_000, truth=read.x, noise=level)
            errors: Array = np.asarray(found.true_errors)
            best = int(errors.argmin())
            stop = "not reached" if found.stopped is None else f"{found.stopped:,}"
            error = np.linalg.norm(found.x - read.x) / np.linalg.norm(read.x)
            yield (
                name, method, f"{errors[best]:.4f}", f"{found.steps[best]:,}", stop, f"{error:.4f}", f"{errors[-1]:.4f}"
            )  # fmt: skip


def shown(header: Sequence[str], rows: Iterator[tuple[str, ...]]) -> str:
    """A table, whose lines are printed as they are found."""
    found = []
    for row in rows:
        found.append(row)
        print(*row, sep="  ", flush=True)
    return table(header, found)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.descent", description=__doc__)
    parser.add_argument("--record", action="store_true", help="put the tables into README.md")
    options = parser.parse_args(arguments)
    replaced = ("with replacement (95 %)", "theory")
    parts = [
        f"{machine_line()}.",
        WORDS,
        shown(
            ("data", "shape", "condition", "gradient", "accelerated", "heavy ball", *replaced, "norm-squared (95 %)"),
            (study_row(*problem) for problem in problems()),
        ),
        "The first of these from eight seeds, and with steps that stay as long as the first one:",
        shown(("seed of the data", *replaced, "constant steps (95 %)", "theory"), seed_rows()),
        "The first by epoch, loss beyond the least:",
        shown(("epoch", "permutations", "with replacement", "ratio"), epoch_rows()),
    ]
    if SHARED.exists():
        heads = ("problem", "method", "least error", "at step", "stop", "error there", "error at step 20,000")
        parts += [
            f"Ill-posed problems, n = 100, with noise of {NOISE:g} of b, errors against the truth:",
            shown(heads, ill_posed_rows()),
        ]
    text = "\n\n".join(parts)
    print(text)
    if options.record:
        record("descent", text)


if __name__ == "__main__":
    main()
