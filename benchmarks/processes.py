"""A measurement in a process of its own: `python -m MODULE REQUEST`, which prints one JSON object.

The process is watched: over its time or memory it is ended, and the answer says so.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent.parent
WATCH_SECONDS = 0.2
BLAS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Limits:
    """What a process may take."""

    seconds: float = 3600.0
    bytes: float = float("inf")


def measured(
    module: str, request: dict[str, Any], *, blas_threads: int, folder: Path, limits: Limits | None = None
) -> dict[str, Any]:
    """The answer of the module to the request, with `peak_bytes`; with `failed` when there is none."""
    allowed = limits or Limits()
    environment = dict(os.environ) | dict.fromkeys(BLAS, str(blas_threads)) | {"TMPDIR": str(folder)}
    command = [sys.executable, "-W", "ignore", "-m", module, json.dumps(request)]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        out, err, seen, why = _watched(process, allowed)
    if why:
        return {"failed": why, "peak_bytes": seen}
    lines = [line for line in out.splitlines() if line.startswith("{")]
    if process.returncode or not lines:
        last = err.strip().splitlines()[-1:] or [f"exit code {process.returncode}"]
        return {"failed": last[0][:200], "peak_bytes": seen}
    answer: dict[str, Any] = json.loads(lines[-1])
    answer["peak_bytes"] = max(seen, answer.get("peak_bytes", 0))
    return answer


def _watched(process: subprocess.Popen[str], allowed: Limits) -> tuple[str, str, int, str]:
    """Output, errors, largest memory seen (with children) and why it was ended, if it was."""
    started, seen = perf_counter(), 0
    watched = psutil.Process(process.pid)
    while True:
        try:
            out, err = process.communicate(timeout=WATCH_SECONDS)
        except subprocess.TimeoutExpired:
            held = resident_bytes(watched)
            seen, over = max(seen, held), perf_counter() - started > allowed.seconds
            if over or held > allowed.bytes:
                why = f"ended after {allowed.seconds:.0f} s" if over else f"ended at {held / 1e9:.1f} GB of memory"
                process.kill()
                out, err = process.communicate()
                return out, err, seen, why
        else:
            return out, err, seen, ""


def resident_bytes(process: psutil.Process) -> int:
    """What it and its children hold now."""
    try:
        return sum(int(each.memory_info().rss) for each in (process, *process.children(recursive=True)))
    except psutil.NoSuchProcess:
        return 0
