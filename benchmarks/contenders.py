"""The contenders, each run once in a process of its own: `python -m benchmarks.contenders REQUEST`.

Seconds count from the opened store to singular values, right vectors and (where the tool gives them) left vectors on
disk; imports are not counted. Bytes read by Dask are counted where chunks are handed over, by `Counted`.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from tempfile import mkdtemp
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.machine import peak_bytes


@dataclass(frozen=True)
class Answer:
    """What a contender did."""

    seconds: float
    bytes_read: float
    s: list[float]
    note: str = ""
    plan_bytes: int = 0
    flops: float = 0.0


class Counted:
    """An array whose reads are counted."""

    def __init__(self, array: Any) -> None:
        self.array = array
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim
        self.bytes_read = 0
        self.lock = threading.Lock()

    def __getitem__(self, index: Any) -> Any:
        found = self.array[index]
        with self.lock:
            self.bytes_read += found.nbytes
        return found


def rnla(request: dict[str, Any]) -> Answer:
    """rnla.svd on local threads; U goes to a temporary store."""
    import dask.array  # noqa: F401 - rnla imports it when it is first needed: before the clock
    import zarr  # noqa: F401

    import rnla as library
    from rnla.store import stored  # noqa: F401

    A = library.open(request["store"], threads=request["threads"])
    plan = library.plan("svd", A, k=request["k"], passes=request["passes"])
    if request.get("cold"):
        from benchmarks.forgetful import Forgetful

        A = replace(A, runner=Forgetful(request["threads"], store=str(Path(request["store"]).absolute())))
    started = perf_counter()
    found = library.svd(A, request["k"], passes=request["passes"])
    seconds = perf_counter() - started
    note = f"{found.method}, relative error {found.certificate.relative_error:.4g} certified"
    return Answer(seconds, found.cost.bytes_read, found.s.tolist(), note, plan.peak_bytes, plan.flops)


def lazily(request: dict[str, Any]) -> tuple[Counted, Any]:
    """The store as a Dask array with its own chunks, and the count of what is read of it."""
    import dask
    import dask.array
    import zarr

    dask.config.set(scheduler="threads", num_workers=request["threads"])
    array = zarr.open_array(request["store"], mode="r")
    counted = Counted(array)
    return counted, dask.array.from_array(counted, chunks=array.chunks)


def dask_svd(request: dict[str, Any]) -> Answer:
    """dask.array.linalg.svd_compressed: U to a store, s and V in the same computation."""
    import dask.array
    import zarr
    from dask.base import compute

    counted, X = lazily(request)
    started = perf_counter()
    u, s, v = dask.array.linalg.svd_compressed(X, request["k"], seed=0, **request["options"])
    target: Any = zarr.create_array(
        Path(mkdtemp(), "U.zarr"), shape=u.shape, chunks=u.chunksize, dtype=u.dtype, compressors=None
    )
    _, s, v = compute(dask.array.store(u, target, lock=False, compute=False), s, v)
    seconds = perf_counter() - started
    note = ", ".join(f"{name}={value}" for name, value in request["options"].items())
    return Answer(seconds, counted.bytes_read, s.tolist(), note or "all defaults")


def dask_iterations(request: dict[str, Any]) -> Answer:
    """The fewest iterations of QR with which the singular values reach `wanted`, found on a small store."""
    import dask.array

    known = np.asarray(request["known"])
    for q in range(request["at_most"] + 1):
        counted, X = lazily(request)
        _, s, _ = dask.array.linalg.svd_compressed(X, request["k"], iterator="QR", compute=True, n_power_iter=q, seed=0)
        s = s.compute()
        if np.max(np.abs(s - known) / known) <= request["wanted"]:
            return Answer(0.0, counted.bytes_read, s.tolist(), str(q))
    return Answer(0.0, 0.0, s.tolist(), f"error {request['wanted']:.1e} not reached by n_power_iter={q}")


def dask_ml_svd(request: dict[str, Any]) -> Answer:
    """dask_ml TruncatedSVD, randomized; its left factor is left lazy."""
    decomposition = import_module("dask_ml.decomposition")
    counted, X = lazily(request)
    started = perf_counter()
    found = decomposition.TruncatedSVD(n_components=request["k"], algorithm="randomized", random_state=0).fit(X)
    seconds = perf_counter() - started
    note = f"TruncatedSVD, randomized, n_iter={found.n_iter}; no left vectors"
    return Answer(seconds, counted.bytes_read, found.singular_values_.tolist(), note)


def dask_ml_pca(request: dict[str, Any]) -> Answer:
    """dask_ml PCA, randomized; the columns have mean zero, so that its values are those of the SVD."""
    decomposition = import_module("dask_ml.decomposition")
    counted, X = lazily(request)
    started = perf_counter()
    found = decomposition.PCA(n_components=request["k"], svd_solver="randomized", random_state=0).fit(X)
    seconds = perf_counter() - started
    note = f"PCA, randomized, iterated_power={found.iterated_power}; no left vectors"
    return Answer(seconds, counted.bytes_read, found.singular_values_.tolist(), note)


def sklearn(request: dict[str, Any]) -> Answer:
    """sklearn randomized_svd of the whole matrix in memory; its passes are over memory."""
    import zarr
    from sklearn.utils.extmath import randomized_svd

    store = zarr.open_array(request["store"], mode="r")
    started = perf_counter()
    A = np.asarray(store[:])
    loaded = perf_counter() - started
    _, s, _ = randomized_svd(A, request["k"], n_oversamples=10, random_state=0)
    seconds = perf_counter() - started
    iterations = 7 if request["k"] < 0.1 * min(A.shape) else 4  # what n_iter="auto" means
    note = f"in RAM ({loaded:.1f} s to load), there {2 * iterations + 2} reads"
    return Answer(seconds, A.nbytes, s.tolist(), note)


TOOLS: dict[str, Callable[[dict[str, Any]], Answer]] = {
    "rnla": rnla,
    "dask-default": dask_svd,
    "dask-qr": dask_svd,
    "dask-iterations": dask_iterations,
    "dask-ml": dask_ml_svd,
    "dask-ml-pca": dask_ml_pca,
    "sklearn": sklearn,
}


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    answer = TOOLS[asked["tool"]](asked)
    print(json.dumps(asdict(answer) | {"peak_bytes": peak_bytes()}))
