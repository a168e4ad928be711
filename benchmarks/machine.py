"""The machine: what it is, its page cache, and the memory a process has held."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

DROP = Path("/proc/sys/vm/drop_caches")


def machine_line(*packages: str) -> str:
    """Cores, processor, memory and versions, in one line; no names of hosts or folders."""
    about = [f"{len(os.sched_getaffinity(0))} cores of {processor()}", f"{psutil.virtual_memory().total / 1e9:.0f} GB"]
    about.append(f"{platform.system()} {platform.release().split('-')[0]}")
    about.append(f"Python {platform.python_version()}")
    wanted = ("rnla", "numpy", "scipy", "zarr", "dask", *packages)
    return ", ".join(about + [f"{name} {found}" for name in wanted if (found := installed(name))])


def processor() -> str:
    """The model, as the kernel spells it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def installed(package: str) -> str:
    """Its version, or nothing."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def peak_bytes() -> int:
    """The most memory this process has held resident."""
    # not ru_maxrss, which a child inherits from its parent
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) * 1024


def settle(*, cold: bool) -> None:
    """Wait until all that was written is on the disk; `cold`: forget cached files too, which needs root."""
    os.sync()
    if not cold:
        return
    try:
        DROP.write_text("1")
    except OSError as error:
        msg = f"--cold drops the page cache through {DROP}, which needs root ({error.strerror})"
        raise SystemExit(msg) from error
