"""Training beside PyTorch, out of core beside in memory, two workers beside one: `python -m benchmarks.network`.

One thread each. Contenders take turns, so that a slow moment of the machine meets both; medians are shown.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

import rnla
from benchmarks.machine import machine_line
from benchmarks.tables import record, table

Array = npt.NDArray[Any]
N, CLASSES, BATCH, MOMENTUM = 784, 10, 64, 0.9
RATE = 1e-3
TURNS = 3


def data(rows: int) -> tuple[Array, Array]:
    """Gaussian samples and labels."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((rows, N), dtype=np.float32), rng.integers(0, CLASSES, rows)


def ours(X: Any, y: Any, hidden: tuple[int, ...], **options: Any) -> float:
    """Samples a second of rnla."""
    network = rnla.nn.Network((N, *hidden, CLASSES))
    found = rnla.nn.train(
        network, X, y, **({"batch": BATCH, "momentum": MOMENTUM, "learning_rate": RATE, "validation": 0} | options)
    )
    return found.certificate.samples_per_second


def torches(X: Array, y: Array, hidden: tuple[int, ...], epochs: int) -> float:
    """Samples a second of PyTorch: the loop of its tutorials, with a permutation each epoch."""
    import torch  # type: ignore[import-not-found]

    torch.set_num_threads(1)
    widths = (N, *hidden, CLASSES)
    steps: list[Any] = []
    for inputs, outputs in itertools.pairwise(widths):
        steps += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
    model = torch.nn.Sequential(*steps[:-1])
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM)
    loss = torch.nn.CrossEntropyLoss()
    samples, labels = torch.from_numpy(X), torch.from_numpy(y)
    clock = perf_counter()
    for _ in range(epochs):
        order = torch.randperm(len(samples))
        for start in range(0, len(samples), BATCH):
            at = order[start : start + BATCH]
            optimizer.zero_grad()
            loss(model(samples[at]), labels[at]).backward()
            optimizer.step()
    return epochs * len(samples) / (perf_counter() - clock)


def turns(*runs: Callable[[], float]) -> list[float]:
    """Medians of runs that take turns, after one that is not counted."""
    seen = [[run() for run in runs] for _ in range(1 + TURNS)][1:]
    return [median(column) for column in zip(*seen, strict=True)]


def beside_torch() -> str:
    """One process, in memory."""
    X, y = data(20_000)
    A, rows = rnla.open(X, threads=1), []
    for hidden, epochs in (((128,), 3), ((512,), 2), ((2048,), 1)):
        mine, theirs = turns(
            lambda hidden=hidden, epochs=epochs: ours(A, y, hidden, epochs=epochs),  # type: ignore[misc]
            lambda hidden=hidden, epochs=epochs: torches(X, y, hidden, epochs),  # type: ignore[misc]
        )
        rows.append((f"{N}, {hidden[0]}, {CLASSES}", f"{mine:,.0f}", f"{theirs:,.0f}", f"{mine / theirs:.2f} x"))
    return table(("widths", "rnla, samples/s", "PyTorch", "rnla over PyTorch"), rows)


def out_of_core(folder: Path) -> str:
    """A store of several buffers beside an array that fits into one."""
    X, y = data(320_000)  # 1 GB: eight buffers of 128 MB
    zarr.create_array(str(folder / "X"), data=X, chunks=(4096, N), compressors=None)
    zarr.create_array(str(folder / "y"), data=y, chunks=(32_768,))
    few, rows = rnla.open(X[:40_000], threads=1), []
    for hidden in ((128,), (512, 512)):
        inside, outside = turns(
            lambda hidden=hidden: ours(few, y[:40_000], hidden, epochs=2),  # type: ignore[misc]
            lambda hidden=hidden: ours(rnla.open(folder / "X", threads=1), folder / "y", hidden, epochs=1),  # type: ignore[misc]
        )
        spelt = ", ".join(map(str, (N, *hidden, CLASSES)))
        rows.append((spelt, f"{inside:,.0f}", f"{outside:,.0f}", f"{outside / inside:.2f} x"))
    return table(("widths", "in memory, samples/s", "from a store of 1 GB", "store over memory"), rows)


def alone(folder: str, start: Any, found: Any) -> None:
    """One of two processes that train without a cluster, at the same time."""
    start.wait()
    found.put(ours(rnla.open(f"{folder}/X", threads=1), f"{folder}/y", (512, 512), epochs=1))


def by_themselves(folder: Path, count: int) -> float:
    """Samples a second of processes that know nothing of each other, together."""
    context = multiprocessing.get_context("spawn")
    start, found = context.Event(), context.Queue()
    processes = [context.Process(target=alone, args=(str(folder), start, found)) for _ in range(count)]
    for process in processes:
        process.start()
    start.set()
    total = sum(float(found.get()) for _ in processes)
    for process in processes:
        process.join()
    return total


def workers(folder: Path) -> str:
    """Two replicas on one worker process and on two, beside processes that know nothing of each other."""
    from distributed import Client, LocalCluster

    X, y = data(320_000)  # 1 GB: each replica reads blocks of its own
    zarr.create_array(str(folder / "X"), data=X, chunks=(4096, N), compressors=None, overwrite=True)
    zarr.create_array(str(folder / "y"), data=y, chunks=(32_768,), overwrite=True)

    def on_workers(client: Client) -> float:
        with client.as_current():
            return ours(folder / "X", folder / "y", (512, 512), epochs=1, replicas=2)

    local = partial(LocalCluster, threads_per_worker=1, dashboard_address="127.0.0.1:0")
    with (
        local(n_workers=1) as small, local(n_workers=2) as large,
        Client(small, set_as_default=False) as one, Client(large, set_as_default=False) as two,
    ):  # fmt: skip
        speeds = turns(lambda: on_workers(one), lambda: on_workers(two))
    free = turns(lambda: by_themselves(folder, 1), lambda: by_themselves(folder, 2))
    names = "replicas on Dask workers", "processes of their own, the limit"
    rows = [
        (name, f"{single:,.0f}", f"{double:,.0f}", f"{double / single:.2f} x")
        for name, (single, double) in zip(names, (speeds, free), strict=True)
    ]
    return table(("784, 512, 512, 10", "one process, samples/s", "two", "two over one"), rows)


def large(folder: Path, gigabytes: float) -> str:
    """Stores that are ever larger beside the memory of two workers of 1 GB: passes, memory, time."""
    import dask
    from distributed import Client, LocalCluster

    from rnla.jobs.running import run_job

    rows = []
    for size in (gigabytes / 10, gigabytes):
        count = stored(folder, size)
        limits = {f"distributed.worker.memory.{name}": False for name in ("target", "spill")}
        with (
            dask.config.set(limits),
            LocalCluster(
                n_workers=2, threads_per_worker=1, memory_limit="1GB", dashboard_address="127.0.0.1:0"
            ) as cluster,
            Client(cluster),
        ):
            options = {
                "labels": str(folder / "y"), "outputs": CLASSES, "epochs": 1, "replicas": 2,
                "standardise": False, "learning_rate": 0.02,
            }  # fmt: skip
            done = run_job("train", folder / "X", folder / "out", options, overwrite=True).attributes
        cost, plan, proof = done["cost"], done["plan"], done["certificate"]
        used = f"{cost['peak_bytes'] / 1e6:,.0f} of {plan['peak_bytes'] / 1e6:,.0f} MB"
        right = f"{proof['validation_accuracy']:.1%}"
        rows.append((f"{size:g} GB", f"{count:,}", f"{cost['passes']:.3g}", used, f"{cost['seconds']:.0f}", right))
    return table(("store", "samples", "passes", "peak of a worker, of the plan", "seconds", "right, held out"), rows)


def stored(folder: Path, gigabytes: float) -> int:
    """Samples around ten means, in a store of so many GB; written chunk by chunk."""
    rows = 4096
    count = max(1, int(gigabytes * 1e9 / (4 * N)) // rows) * rows
    rng = np.random.default_rng(0)
    X = zarr.create_array(
        str(folder / "X"), shape=(count, N), chunks=(rows, N), dtype="f4", compressors=None, overwrite=True
    )
    labels, means = rng.integers(0, CLASSES, count), 0.1 * rng.standard_normal((CLASSES, N), dtype=np.float32)
    zarr.create_array(str(folder / "y"), data=labels, chunks=(1 << 20,), overwrite=True)
    noise = rng.standard_normal((16 * rows, N), dtype=np.float32)
    for start in range(0, count, rows):
        first = int(rng.integers(0, 15 * rows))
        X[start : start + rows] = noise[first : first + rows] + means[labels[start : start + rows]]
    return count


def tape() -> str:
    """What derivatives cost beside the functions they are of."""
    X, y = data(BATCH)
    rng, rows = np.random.default_rng(1), []
    wide = X.astype(np.float64)
    W1, W2 = rng.standard_normal((N, 512)) / 28, rng.standard_normal((512, CLASSES)) / 22
    x, picked = rng.standard_normal(100_000), np.arange(BATCH)

    def network_loss(W1: Any, W2: Any) -> Any:
        Z = np.maximum(wide @ W1, 0) @ W2
        top = Z.max(axis=1, keepdims=True)
        return (np.log(np.exp(Z - top).sum(axis=1)) + top[:, 0] - Z[picked, y]).mean()

    def chain(x: Any) -> Any:
        for _ in range(20):
            x = np.sin(x) + 0.5 * x
        return x.sum()

    for name, f, given in (
        (f"loss of a network {N}, 512, {CLASSES}, batch of {BATCH}", network_loss, (W1, W2)),
        ("100,000 numbers through 20 sines", chain, (x,)),
    ):
        both = rnla.nn.value_and_gradient(f)
        alone, derived = turns(lambda: 1 / timed(f, given), lambda: 1 / timed(both, given))  # noqa: B023
        rows.append((name, f"{1e3 / alone:.1f}", f"{1e3 / derived:.1f}", f"{alone / derived:.1f} x"))
    return table(("function", "alone, ms", "with all derivatives, ms", "derivatives over function"), rows)


def timed(f: Callable[..., Any], given: tuple[Any, ...]) -> float:
    """Seconds of a call, of twenty."""
    clock = perf_counter()
    for _ in range(20):
        f(*given)
    return (perf_counter() - clock) / 20


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.network", description=__doc__)
    parser.add_argument("--folder", type=Path, help="where stores are made; a temporary folder if not given")
    parser.add_argument("--record", action="store_true", help="put the tables into README.md")
    parser.add_argument("--large", type=float, help="only this: a store of so many GB and one of a tenth, 1 GB workers")
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    if options.large:
        try:
            print(large(folder, options.large))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return
    parts = [f"{machine_line('torch', 'distributed')}."]
    try:
        try:
            parts.append(beside_torch())
        except ImportError:
            parts.append("PyTorch is not installed here: nothing to compare with.")
        for part in (tape, partial(out_of_core, folder), partial(workers, folder)):
            parts.append(part())
            print(parts[-1], flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    text = "\n\n".join(parts)
    print(text)
    if options.record:
        record("network", text)


if __name__ == "__main__":
    main()
