"""What copies of dense and of sparse matrices have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rnla.store.layout import Layout
from rnla.store.manifest_file import MANIFEST_KEY, Manifest
from rnla.store.objects import write_file

Progress = Callable[[int, int], None]  # bytes done, bytes in all


@dataclass(frozen=True)
class CopyRequest:
    """What is asked of a copy, checked."""

    panel_bytes: int
    memory_bytes: int
    codec: str
    allow_missing: bool


@dataclass(frozen=True)
class Rechunked:
    """A finished copy."""

    path: str
    chunks: tuple[int, ...]  # rows and columns of a chunk; elements, of a sparse group
    reads: float  # times the source was read
    stages: int  # 1, or 2 with pieces on disk
    manifest: str
    encoding: str | None = None  # csr_matrix or csc_matrix


class Count:
    """Bytes copied so far, for a progress display."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def add(self, count: int) -> None:
        """More bytes are copied."""
        self.done += count
        if self.progress is not None:
            self.progress(self.done, self.total)


def ranges(stop: int, step: int) -> Iterator[slice]:
    """0 to `stop` in steps."""
    return (slice(start, min(start + step, stop)) for start in range(0, stop, step))


def write_manifest(folder: Path, layout: Layout, entries: Sequence[tuple[int, int]]) -> Manifest:
    """The manifest of chunks with these sizes and crc32c, in the order of the grid."""
    sizes, crc32c = np.array(entries, np.int64).reshape(-1, 2).T
    if not layout.shape[0] * layout.shape[1]:
        sizes = crc32c = np.zeros(0, np.int64)
    manifest = Manifest(sizes.reshape(layout.grid), crc32c.astype(np.uint32).reshape(layout.grid), layout.digest)
    write_file(folder / MANIFEST_KEY, [manifest.dumps()])
    return manifest
