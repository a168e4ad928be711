"""Objects of a store: bytes by key, from a local folder or through any Zarr store.

Local folders are read with `preadv` straight into the memory that will hold the elements; everything else goes through
Zarr's own `Store.get`. Errors that may pass (input/output, timeouts) stay `OSError`, so that the sweep tries again.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from rnla.arrays import Array
from rnla.store.chains import DamagedError

AT_ONCE = 16  # requests under way together in one read of a remote store


class Piece(NamedTuple):
    """A range of an object; a negative start counts from the end, no length is all the rest."""

    key: str
    start: int = 0
    length: int | None = None


class Objects(Protocol):
    """Bytes by key."""

    @property
    def url(self) -> str:
        """Name of the place, for people."""

    @property
    def at_once(self) -> int:
        """Pieces worth asking for together."""

    def fetch(self, pieces: Sequence[Piece]) -> list[Array | None]:
        """Bytes of each piece as uint8, fewer where the object ends early; None where the object is absent."""

    def put(self, key: str, data: bytes) -> None:
        """Write an object whole."""

    def children(self, folder: str) -> list[str]:
        """Names directly under a folder."""


@dataclass(frozen=True)
class LocalObjects:
    """Files under a folder."""

    root: str

    @property
    def url(self) -> str:
        """The folder."""
        return self.root

    @property
    def at_once(self) -> int:
        """One: the kernel reads ahead."""
        return 1

    def path(self, key: str) -> str:
        """File of an object."""
        return f"{self.root}/{key}"

    def fetch(self, pieces: Sequence[Piece]) -> list[Array | None]:
        """Bytes of each piece as uint8; None where the file is absent."""
        return [self._piece(piece) for piece in pieces]

    def _piece(self, piece: Piece) -> Array | None:
        try:
            handle = os.open(self.path(piece.key), os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            size = os.fstat(handle).st_size
            start = piece.start if piece.start >= 0 else max(0, size + piece.start)
            rest = max(0, size - start)
            data = np.empty(rest if piece.length is None else min(rest, piece.length), np.uint8)
            _read_exactly(handle, start, [data])
            return data
        finally:
            os.close(handle)

    def scatter(self, piece: Piece, whole_bytes: int | None, skip: int, views: list[Array]) -> bool:
        """Read into `views` one after the other from `skip` bytes into the piece on; False where the file is absent."""
        try:
            handle = os.open(self.path(piece.key), os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return False
        try:
            if whole_bytes is not None and (size := os.fstat(handle).st_size) != whole_bytes:
                raise DamagedError(f"its object has {size} bytes where {whole_bytes} are expected")
            _read_exactly(handle, piece.start + skip, views)
        finally:
            os.close(handle)
        return True

    def put(self, key: str, data: bytes) -> None:
        """Write a file under another name and rename it into place."""
        write_file(Path(self.path(key)), [data])

    def children(self, folder: str) -> list[str]:
        """Names directly under a folder."""
        place = self.path(folder) if folder else self.root
        return sorted(os.listdir(place)) if os.path.isdir(place) else []


def _read_exactly(handle: int, offset: int, views: list[Array]) -> None:
    """`preadv` until all views are full."""
    left = [view for view in views if view.nbytes]
    while left:
        count = os.preadv(handle, left, offset)
        if count == 0:
            raise DamagedError(f"its object ends at byte {offset}, {sum(v.nbytes for v in left)} bytes too early")
        offset += count
        while left and count >= left[0].nbytes:
            count -= left.pop(0).nbytes
        if left and count:
            left[0] = left[0][count:]


def write_file(path: Path, parts: Sequence[bytes | memoryview]) -> None:
    """Write a file aside and rename it into place; nothing stays behind on failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.part")
    try:
        with open(aside, "xb", buffering=0) as file:
            for part in parts:
                view = memoryview(part).cast("B")
                while view.nbytes:
                    view = view[file.write(view) :]
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


@dataclass(frozen=True)
class StoreObjects:
    """Objects under a path of a Zarr store."""

    store: Any
    prefix: str
    url: str

    @property
    def at_once(self) -> int:
        """Several, to hide the latency of a network."""
        return AT_ONCE

    def key(self, key: str) -> str:
        """Key in the store."""
        return f"{self.prefix}/{key}".strip("/")

    def fetch(self, pieces: Sequence[Piece]) -> list[Array | None]:
        """Bytes of each piece as uint8; None where the object is absent."""
        from zarr.core.sync import sync

        try:
            return sync(self._fetch(pieces))
        except (DamagedError, OSError):
            raise
        except Exception as error:
            if hasattr(error, "status") or hasattr(error, "code"):
                raise  # an HTTP answer: the sweep knows which of them pass
            raise OSError(errno.EIO, f"{type(error).__name__}: {error}", f"{self.url}/{pieces[0].key}") from error

    async def _fetch(self, pieces: Sequence[Piece]) -> list[Array | None]:
        return list(await asyncio.gather(*(self._piece(piece) for piece in pieces)))

    async def _piece(self, piece: Piece) -> Array | None:
        from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
        from zarr.core.buffer import default_buffer_prototype

        wanted: OffsetByteRequest | RangeByteRequest | SuffixByteRequest | None = None
        if piece.start < 0:
            wanted = SuffixByteRequest(-piece.start)
        elif piece.length is not None:
            wanted = RangeByteRequest(piece.start, piece.start + piece.length)
        found = await self.store.get(self.key(piece.key), default_buffer_prototype(), wanted)
        if found is None:
            return None
        return np.asarray(found.as_numpy_array()).view(np.uint8)

    def put(self, key: str, data: bytes) -> None:
        """Write an object whole."""
        from zarr.core.buffer import default_buffer_prototype
        from zarr.core.sync import sync

        sync(self.store.set(self.key(key), default_buffer_prototype().buffer.from_bytes(data)))

    def children(self, folder: str) -> list[str]:
        """Names directly under a folder."""
        from zarr.core.sync import sync

        return sync(self._children(self.key(folder)))

    async def _children(self, folder: str) -> list[str]:
        return sorted([name.rstrip("/").rsplit("/", 1)[-1] async for name in self.store.list_dir(folder)])
