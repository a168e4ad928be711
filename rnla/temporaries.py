"""Where the tall factors of a call without `out` lie: in memory for data in memory, else in a temporary folder."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from dataclasses import dataclass
from typing import Any

from rnla.cluster.resources import resources
from rnla.errors import RequestError
from rnla.store.tall import Scratch
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.runners import Cluster
from rnla.sweeps.source import Grid, Memory, Resident, ResidentGrid, ResidentTall, Tall, Workspace

MEMORY_BYTES = 256 << 20  # larger values go to a folder, even if what they are made of is in memory


class TemporaryFolder:
    """A temporary folder that goes with the last array that lies in it."""

    def __init__(self) -> None:
        self.path = tempfile.mkdtemp(prefix="rnla-")
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    def __reduce__(self) -> tuple[Any, ...]:
        return str, (self.path,)  # on a worker, only the name


@dataclass(frozen=True)
class Kept:
    """A source that keeps its folder."""

    inner: Any
    folder: Any

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in {"inner", "folder", "blocks"}:
            raise AttributeError(name)
        return getattr(self.inner, name)


@dataclass(frozen=True)
class Desk:
    """Workspace of a call without `out`."""

    workspace: Workspace
    folder: TemporaryFolder | None = None

    def lazy(self, tall: Tall | Grid) -> Any:
        """A tall matrix as the user gets it: numpy when it is in memory, else a Dask array."""
        if isinstance(tall, ResidentTall | ResidentGrid):
            return tall.array
        return Matrix(Kept(tall.source, self.folder)).to_dask()


def desk(A: Matrix, other: Matrix | None = None, *, value_bytes: int = 0) -> Desk:
    """Room for the tall factors of A, and of another matrix; in memory if both are, and the value is not large."""
    if isinstance(A.source, Resident) and other is not None and not isinstance(other.source, Resident):
        A = other
    if isinstance(A.source, Resident) and value_bytes <= MEMORY_BYTES:
        return Desk(Memory())
    if isinstance(runner := A.swept_by, Cluster):
        hosts = resources(runner).hosts
        local = {"127.0.0.1", "localhost", "::1", ""}
        if len(hosts) > 1 or not hosts <= local | {_host_of_client()}:
            msg = (
                f"the workers run on other hosts ({', '.join(sorted(hosts))}), which do not see this machine's "
                "temporary folder: give out=, a path on a file system that all of them see"
            )
            raise RequestError(msg)
    folder = TemporaryFolder()
    return Desk(Scratch(folder.path), folder)


def _host_of_client() -> str:
    from distributed.utils import get_ip

    return str(get_ip())
