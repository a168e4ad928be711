"""Objects of a store: bytes by key, from a local folder or through any Zarr store.

Local folders are read with `preadv` straight into the memory that will hold the elements; everything else goes through
Zarr's own `Store.get`. Errors that may pass (input/output, timeouts) stay `OSError`, so that the sweep tries again.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple, Protocol

import google_crc32c
import numpy as np

from rnla.arrays import Array, page_aligned
from rnla.errors import RnlaError, StoreError
from rnla.store.chains import DamagedError
from rnla.store.disk import PACES, WORTH_BYTES, cached, read_directly, read_exactly
from rnla.sweeps.retries import retried

IN_CACHE_BYTES = 1 << 20  # read and summed while the bytes are in cache
BESIDE_CHUNKS = frozenset({"zarr.json", "rnla-manifest.npz"})  # in an array's folder, and no chunks
NORMS_PREFIX = "rnla-norms"  # of what keeps the norms of the array
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

    def state(self) -> str | None:
        """Hash of name, size and time of change of every chunk; None where the place does not list them."""


@dataclass(frozen=True)
class LocalObjects:
    """Files under a folder."""

    root: str
    past_cache: bool = False  # read plain chunks from the disk, leaving the page cache alone

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
        with self._opened(piece.key) as handle:
            if handle is None:
                return None
            size = os.fstat(handle).st_size
            start = piece.start if piece.start >= 0 else max(0, size + piece.start)
            rest = max(0, size - start)
            data = page_aligned(rest if piece.length is None else min(rest, piece.length))
            read_exactly(handle, start, [data])
            return data

    def read_into(self, view: Array, piece: Piece, skip: int, whole_bytes: int | None) -> bool:
        """Fill a view from `skip` bytes into the piece on; False where the file is absent."""
        with self._opened(piece.key) as handle:
            if handle is None:
                return False
            _check_size(handle, whole_bytes)
            for _ in self._read(handle, piece.start + skip, view, view.nbytes or 1):
                pass
            return True

    def summed_scatter(self, piece: Piece, whole_bytes: int | None, views: list[Array], seal: Array) -> int | None:
        """Read a piece into `views` and then `seal`; the crc32c of the views, None where the file is absent."""
        with self._opened(piece.key) as handle:
            if handle is None:
                return None
            _check_size(handle, whole_bytes)
            crc, offset = 0, piece.start
            for view in views:
                for part in self._read(handle, offset, view, IN_CACHE_BYTES):
                    crc = google_crc32c.extend(crc, part)
                offset += view.nbytes
            read_exactly(handle, offset, [seal])
            return crc

    def _read(self, handle: int, offset: int, view: Array, step: int) -> Iterator[Array]:
        """Fill a view, past the page cache where that is quicker, and give it in parts as they come."""
        done = 0
        if self._past_cache(handle, offset, view.nbytes):
            started = perf_counter()
            done = read_directly(handle, offset, view)
            PACES[os.fstat(handle).st_dev].add(done, perf_counter() - started)
        for start in range(0, view.nbytes, step):
            part = view[start : start + step]
            read_exactly(handle, offset + max(start, done), [view[max(start, done) : start + part.nbytes]])
            yield part

    def _past_cache(self, handle: int, offset: int, nbytes: int) -> bool:
        if self.past_cache or nbytes < WORTH_BYTES:
            return self.past_cache
        return PACES[os.fstat(handle).st_dev].hidden and not cached(handle, offset, nbytes)

    def summed(self, piece: Piece, seal: Array) -> tuple[int, int] | None:
        """Size of a piece and the crc32c of all of it but its end, which fills `seal`; None where it is absent.

        It takes little memory. Of a piece shorter than `seal` nothing is read.
        """
        with self._opened(piece.key) as handle:
            if handle is None:
                return None
            size = os.fstat(handle).st_size if piece.length is None else piece.length
            buffer, crc, left, offset = np.empty(IN_CACHE_BYTES, np.uint8), 0, max(0, size - seal.nbytes), piece.start
            while left:
                part = buffer[: min(left, buffer.nbytes)]
                read_exactly(handle, offset, [part])
                crc = google_crc32c.extend(crc, part)
                left, offset = left - part.nbytes, offset + part.nbytes
            if size >= seal.nbytes:
                read_exactly(handle, offset, [seal])
            return size, crc

    @contextmanager
    def _opened(self, key: str) -> Iterator[int | None]:
        try:
            handle = os.open(self.path(key), os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            yield None
            return
        try:
            yield handle
        finally:
            os.close(handle)

    def put(self, key: str, data: bytes) -> None:
        """Write a file under another name and rename it into place."""
        write_file(Path(self.path(key)), [data])

    def children(self, folder: str) -> list[str]:
        """Names directly under a folder."""
        place = Path(self.root, folder)
        return sorted(child.name for child in place.iterdir()) if place.is_dir() else []

    def state(self) -> str | None:
        """Hash of name, size and time of change of every chunk."""
        return _summed((name, str(size), str(changed)) for name, size, changed in chunk_files(self.root))


def _beside(name: str) -> bool:
    """Whether an object in an array's folder is none of its chunks."""
    return name.startswith((".", NORMS_PREFIX)) or name in BESIDE_CHUNKS


def chunk_files(root: str, folder: str = "") -> Iterator[tuple[str, int, int]]:
    """Name, size and time of change (ns) of every file of chunks under a folder."""
    with os.scandir(f"{root}/{folder}") as entries:
        for entry in entries:
            if _beside(entry.name):
                continue
            if entry.is_dir():
                yield from chunk_files(root, f"{folder}{entry.name}/")
            else:
                found = entry.stat()
                yield f"{folder}{entry.name}", found.st_size, found.st_mtime_ns


def _summed(facts: Iterable[tuple[str, ...]]) -> str:
    """A hash that does not depend on the order of the facts, in little memory."""
    total = 0
    for fact in facts:
        total += int.from_bytes(hashlib.blake2b("\0".join(fact).encode(), digest_size=16).digest())
    return f"{total % (1 << 128):032x}"


def _check_size(handle: int, whole_bytes: int | None) -> None:
    if whole_bytes is not None and (size := os.fstat(handle).st_size) != whole_bytes:
        msg = f"its object has {size} bytes where {whole_bytes} are expected"
        raise DamagedError(msg)


def write_file(path: Path, parts: Sequence[bytes | memoryview]) -> None:
    """Write a file aside and rename it into place; nothing stays behind on failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.part")
    try:
        with aside.open("xb", buffering=0) as file:
            for part in parts:
                view = memoryview(part).cast("B")
                while view.nbytes:
                    view = view[file.write(view) :]
        aside.replace(path)
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

    def state(self) -> str | None:
        """Hash of what the file system behind the store says of every object; of a zip file, its own size and time."""
        from zarr.core.sync import sync

        if isinstance(place := getattr(self.store, "path", None), Path):  # a zip file
            found = place.stat()
            return _summed([(place.name, str(found.st_size), str(found.st_mtime_ns))])
        if not hasattr(self.store, "fs"):
            return None
        try:
            return sync(self._state())
        except Exception:  # noqa: BLE001 - a listing is a courtesy; web servers give none
            return None

    async def _state(self) -> str | None:
        listed = await self.store.fs._find(f"{self.store.path}/{self.prefix}".rstrip("/"), detail=True)  # noqa: SLF001
        changed = ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "mtime", "created")
        facts = [
            (name, str(info.get("size")), *(str(info.get(entry)) for entry in changed))
            for name, info in listed.items()
            if not _beside(name.rsplit("/", 1)[-1])
        ]
        return _summed(facts) if facts else None


def first_object(objects: Objects, key: str) -> Array | None:
    """An object that is read when a store is opened; a store that cannot be reached is a StoreError."""
    try:
        return retried(lambda: objects.fetch([Piece(key)])[0])
    except RnlaError:
        raise
    except Exception as error:  # every kind of store has errors of its own
        msg = f"{objects.url}: {key} cannot be read ({error}); check the address, the permissions and the connection"
        raise StoreError(msg) from error
