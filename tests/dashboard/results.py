"""Result groups as `rnla run` writes them."""

from pathlib import Path
from typing import Any

import numpy as np

from rnla.store.results import ResultWriter


def certificate(s: np.ndarray, norm: float, **changes: Any) -> dict[str, Any]:
    error = float(np.sqrt(max(norm**2 - float(np.sum(s**2)), 0.0)))
    relative = error / norm if norm else 0.0
    return {
        "frobenius_error": error,
        "relative_error": relative,
        "explained_variance": 1 - relative**2,
        "spectral_bound": float(s[-1]) * 1.1,
        "confidence": 1 - 1e-6,
        "rounding_floor": norm * 1e-7,
        "frobenius_norm": norm,
        "tolerance": None,
        "met": True,
        "status": "ok",
    } | changes


def record(pipeline: str, shape: tuple[int, int], proof: dict[str, Any]) -> dict[str, Any]:
    size = shape[0] * shape[1] * 4
    plan = {
        "pipeline": pipeline, "method": "krylov", "why": "fused block Krylov: one read for each step, all blocks used",
        "shape": list(shape), "dtype": "float32", "width": 60, "sweeps": 4, "passes": 4, "bytes_read": 4 * size,
        "flops": 16.0 * size * 15, "tasks": 80, "spans": 16, "panel_rows": 2048, "panel_bytes": 16 << 20, "threads": 2,
        "base_bytes": 150_000_000, "peak_bytes": 420_000_000, "output_bytes": 10_000_000, "notes": [],
    }  # fmt: skip
    return {
        "format": 1, "pipeline": pipeline, "method": "krylov", "seed": 0,
        "config": {"k": 50, "passes": 4, "tol": None, "oversample": 10, "seed": 0},
        "versions": {"rnla": "0.1.0", "numpy": "2.4.6", "zarr": "3.1.6", "dask": "2026.8.0"},
        "input": {"kind": "zarr", "url": "/data/ocean & ice.zarr", "shape": list(shape), "dtype": "float32",
                  "chunks": [2048, shape[1]], "metadata_digest": "9f" * 16, "manifest": None, "input_verified": False},
        "plan": plan,
        "cost": {"passes": 4.0, "bytes_read": 4 * size, "seconds": 12.3, "peak_bytes": 402_000_000,
                 "read_seconds": 3.2},
        "certificate": proof,
        "started": "2026-11-22T10:00:00+00:00", "finished": "2026-11-22T10:00:13+00:00",
    }  # fmt: skip


def made_result(
    place: Path, shape: tuple[int, int] = (300, 80), k: int = 12, *, pipeline: str = "svd", dtype: str = "float32",
    attributes: dict[str, Any] | None = None, values: dict[str, float] | None = None, **proof: Any,
) -> Path:  # fmt: skip
    """A result of a matrix with spectrum 100 / i, half of its modes resolved; `values` fill arrays by name."""
    rng = np.random.default_rng(7)
    m, n = shape
    s = 100.0 / np.arange(1, k + 1)
    tall = np.linalg.qr(rng.standard_normal((m, k)))[0]
    wide = np.linalg.qr(rng.standard_normal((n, k)))[0].T
    if np.dtype(dtype).kind == "c":
        tall = tall * np.exp(1j * np.arange(m))[:, None]
    norm = float(np.sqrt(np.sum(s**2) * 1.5))
    gap = np.where(np.arange(k) < k // 2, 1e-9, 0.2 * np.linspace(0, 1, k))
    arrays: dict[str, tuple[np.ndarray, tuple[str, ...]]] = {
        "lower": (s * (1 - gap / 4), ("mode",)),
        "upper": (s * (1 + gap), ("mode",)),
        "residuals": (s * gap**0.5, ("mode",)),
        "resolved": (gap < 1e-6, ("mode",)),
    }
    if pipeline == "svd":
        arrays |= {"U": (tall, ("row", "mode")), "s": (s, ("mode",)), "Vt": (wide, ("mode", "column"))}
    else:
        arrays |= {
            "scores": (tall * s, ("row", "mode")), "components": (wide, ("mode", "column")),
            "singular_values": (s, ("mode",)), "explained_variance": (s**2 / (m - 1), ("mode",)),
            "explained_variance_ratio": (s**2 / norm**2, ("mode",)), "mean": (np.zeros(n), ("column",)),
        }  # fmt: skip
    for name, value in (values or {}).items():
        arrays[name] = np.full_like(arrays[name][0], value), arrays[name][1]
    notes = record(pipeline, shape, certificate(s, norm, **proof)) | (attributes or {})
    write(place, arrays, notes, dtype)
    return place


def write(
    place: Path, arrays: dict[str, tuple[np.ndarray, tuple[str, ...]]], notes: dict[str, Any], dtype: str
) -> None:
    tall = "U" if "U" in arrays else "scores"
    values, dimensions = arrays.pop(tall)
    writer = ResultWriter(str(place.with_name("making")), {tall: dimensions})
    writer.tall(tall, values.shape, np.dtype(dtype), 64).write(slice(0, len(values)), values.astype(dtype))
    for name, (small, names) in arrays.items():
        writer.set(name, small.astype(dtype) if name in {"Vt", "components"} else small, names)
    writer.publish(place, notes)
