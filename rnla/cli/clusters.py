"""Where a job runs: the threads of this process, a cluster named by its scheduler, or workers started on loopback."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from rnla.errors import ClusterError, RequestError

CONNECT_SECONDS = 15


@dataclass(frozen=True)
class Machines:
    """Where a job runs."""

    scheduler: str | None = None
    insecure: bool = False
    workers: int | None = None
    worker_memory_bytes: int | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        if self.scheduler and (self.workers or self.worker_memory_bytes):
            msg = "--scheduler names a cluster that runs already; leave out --workers and --worker-memory"
            raise RequestError(msg)
        if self.scheduler and self.threads:
            msg = "--threads is the number of threads of this machine; a cluster's workers have their own"
            raise RequestError(msg)
        if self.worker_memory_bytes and not self.workers:
            msg = "--worker-memory needs --workers, the number of worker processes to start"
            raise RequestError(msg)
        if self.scheduler and not self.insecure and not closed(self.scheduler):
            msg = (
                f"{self.scheduler} is plain tcp off this machine: whoever reaches that port runs code on the cluster. "
                "Use tls:// (certificates from Dask's configuration), a tunnel to 127.0.0.1, or --insecure"
            )
            raise RequestError(msg)


def closed(address: str) -> bool:
    """Whether an address is on this machine's loopback, in this process, or encrypted."""
    parts = urlsplit(address if "://" in address else f"tcp://{address}")
    if parts.scheme in {"tls", "wss", "inproc"}:
        return True
    host = parts.hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def opened(machines: Machines) -> Iterator[None]:
    """The cluster as the active `distributed.Client`, which rnla uses when there is one."""
    if machines.scheduler:
        with _connected(machines.scheduler):
            yield
    elif machines.workers:
        with _started(machines):
            yield
    else:
        yield


@contextmanager
def _connected(address: str) -> Iterator[None]:
    from distributed import Client

    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=True)
    except (OSError, ValueError, TypeError) as error:
        msg = f"no scheduler answers at {address} ({error}); check the address, and that it is running"
        raise ClusterError(msg) from error
    with client:
        if not client.scheduler_info(n_workers=-1)["workers"]:
            msg = f"the scheduler at {address} has no workers; start some with `dask worker {address}`"
            raise ClusterError(msg)
        yield


@contextmanager
def _started(machines: Machines) -> Iterator[None]:
    """Worker processes on loopback that never spill: a job that keeps to its plan needs no disk."""
    import dask
    from distributed import Client, LocalCluster

    no_spilling = {"distributed.worker.memory.spill": False, "distributed.worker.memory.target": False}
    settings: dict[str, Any] = {
        "n_workers": machines.workers,
        "threads_per_worker": machines.threads or 1,
        "processes": True,
        "host": "127.0.0.1",
        "dashboard_address": "127.0.0.1:0",  # any free port: the default one may be another cluster's
        "memory_limit": machines.worker_memory_bytes or "auto",
    }
    with dask.config.set(no_spilling), LocalCluster(**settings) as cluster, Client(cluster, set_as_default=True):
        yield
