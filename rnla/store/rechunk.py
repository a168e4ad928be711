"""Rechunking: a copy of a matrix in panels of whole rows, with checksums and a manifest, in bounded memory.

The copy is made strip by strip, a strip being the rows that fit in memory. Where the chunks of the source are so tall
that each would be read for many strips, the source is read once into pieces on disk that are as tall as a strip, and
the strips are read from those: one read and one write more, whatever the chunks. Sparse groups are copied by
`rnla.store.recompress`.
"""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rnla.arrays import Array, page_aligned, spelt_bytes
from rnla.checks import integer, one_of
from rnla.errors import DoesNotFitError, RequestError
from rnla.store.chunks import Chunks
from rnla.store.copying import CopyRequest, Count, Progress, Rechunked, ranges, write_manifest
from rnla.store.layout import Layout, layout_of
from rnla.store.manifest_file import Manifest
from rnla.store.objects import LocalObjects, Objects
from rnla.store.places import Found, FoundSparse, found_matrix
from rnla.store.publishing import MARKER, check_target, local_target, publish
from rnla.store.recompress import SIDES, Recompression, Side, recompression
from rnla.store.stored import Stored, stored_of
from rnla.store.writing import array_metadata, checked_codec, write_chunk, write_metadata, writing_errors
from rnla.sweeps.geometry import PANEL_BYTES
from rnla.sweeps.retries import retried

MEMORY_BYTES = 512 << 20
THREADS = 2
READS_LIMIT = 2.0  # reads of the source above which pieces on disk are cheaper


@dataclass(frozen=True)
class Cutting:
    """How a copy is made."""

    panel_rows: int  # rows in a chunk of the copy
    strip_rows: int  # rows copied at once: whole panels
    piece_columns: int  # columns of a piece on disk; 0 when none are needed
    reads: float  # times each chunk of the source is read, on average
    memory_bytes: int  # held at once


def cutting(layout: Layout, panel_bytes: int, memory_bytes: int, *, ranged: bool = False) -> Cutting:
    """Panels, strips and pieces for a source in a given memory; `ranged`: part of a chunk can be read alone.

    Raises
    ------
    DoesNotFitError
        One panel, or one chunk of the source, is too large for the memory.
    """
    (m, n), (r, c), itemsize = layout.shape, layout.chunks, layout.dtype.itemsize
    row_bytes, chunk_bytes = max(1, n * itemsize), layout.chain.nbytes
    panel_rows = _panel_rows(m, r, max(1, panel_bytes // row_bytes))
    spare = 2 * chunk_bytes + 2 * THREADS * panel_rows * row_bytes  # chunks being decoded, panels being encoded
    fitting = (memory_bytes - spare) // (panel_rows * row_bytes)
    strip_rows = min(fitting, -(-max(m, 1) // panel_rows)) * panel_rows
    if fitting >= 1:
        whole = strip_rows // r * r  # chunks straddle no strip
        strip_rows = whole if whole and whole % panel_rows == 0 else strip_rows
        reads = 1.0 if ranged else _reads(m, r, strip_rows)
        if reads <= READS_LIMIT or c >= n:
            return Cutting(panel_rows, strip_rows, 0, reads, spare + strip_rows * row_bytes)
    strip_rows = fitting // 2 * panel_rows  # a strip's worth of columns, and the piece cut from it
    if strip_rows < 1:
        need = spare + 2 * panel_rows * row_bytes
        msg = (
            f"copying this store in panels of {panel_rows} rows needs {spelt_bytes(need)} "
            f"(its chunks of {r} x {c} are {spelt_bytes(chunk_bytes)}), and memory_bytes allows "
            f"{spelt_bytes(memory_bytes)}; allow more memory, or ask for smaller panels"
        )
        raise DoesNotFitError(msg)
    across = max(1, strip_rows * row_bytes // (min(r, m) * c * itemsize))
    return Cutting(panel_rows, strip_rows, min(n, across * c), 1.0, spare + 2 * strip_rows * row_bytes)


def _panel_rows(m: int, r: int, wanted: int) -> int:
    """Rows of a panel near `wanted`: whole chunks of the source, or a whole part of one, where that comes close."""
    wanted = min(wanted, max(m, 1))
    if r <= wanted:
        return wanted // r * r
    divisor = next((rows for rows in range(wanted, wanted // 4, -1) if r % rows == 0), wanted)
    return max(1, divisor)


def _reads(m: int, r: int, strip_rows: int) -> float:
    """Times that a chunk row is read when strips are read one after the other."""
    touched = sum(-(-min(start + strip_rows, m) // r) - start // r for start in range(0, m, strip_rows))
    return touched / max(1, -(-m // r))


def rechunk(  # noqa: PLR0913 - options are keywords
    source: Any,
    target: str | os.PathLike[str],
    *,
    along: Side | None = None,
    panel_bytes: int = PANEL_BYTES,
    memory_bytes: int = MEMORY_BYTES,
    codec: str = "zstd",
    overwrite: bool = False,
    allow_missing: bool = False,
    progress: Progress | None = None,
) -> Rechunked:
    """Copy a matrix as it is swept best: Zarr v3, a crc32c on each chunk, and a manifest.

    An array is copied to panels of whole rows; a sparse group, compressed along its longer side or the one asked for.

    Parameters
    ----------
    along
        For sparse groups: the side to compress along, "rows" (csr_matrix) or "columns" (csc_matrix).
    panel_bytes
        Size of a chunk of the copy, decoded; of a sparse group, of elements and indices together.
    memory_bytes
        Bound of the arrays held at once.
    codec
        `zstd` or `none`; uncompressed panels are read several times faster and are larger.
    overwrite
        Replace a store at `target` that rnla made.

    Raises
    ------
    DoesNotFitError, OutputExistsError, StorageFullError, IntegrityError
        The bound is too tight; the target is taken; the disk is full; the source is damaged.
    """
    panel_bytes, memory_bytes = (
        integer(size, name, least=1) for size, name in ((panel_bytes, "panel_bytes"), (memory_bytes, "memory_bytes"))
    )
    if along is not None:
        one_of(along, "along", SIDES)
    request = CopyRequest(panel_bytes, memory_bytes, checked_codec(codec), allow_missing)
    found = found_matrix(source)
    copy: Recompression | Panels
    if isinstance(found, FoundSparse):
        copy = recompression(found, along, request)
    elif along is None:
        copy = panels(found, request)
    else:
        msg = f"along={along!r}: only sparse groups are compressed along a side; an array is copied to panels of rows"
        raise RequestError(msg)
    _check_elsewhere(found.objects, local_target(target))
    path = check_target(target, overwrite=overwrite)
    work = path.with_name(f".{path.name}.{os.urandom(4).hex()}.part")
    try:
        with writing_errors(path, copy.nbytes):
            work.mkdir(parents=True)
            made = copy.into(work / "copy", work / "pieces", Count(progress, copy.work_bytes))
        publish(work / "copy", path, overwrite=overwrite)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return replace(made, path=str(path))


def _check_elsewhere(objects: Objects, target: Path) -> None:
    if isinstance(objects, LocalObjects) and Path(objects.root).resolve() == target.resolve():
        msg = f"{target}: this is the source itself; give another place for the copy"
        raise RequestError(msg)


@dataclass(frozen=True)
class Panels:
    """A copy of an array in panels of whole rows."""

    found: Found
    source: Stored
    plan: Cutting
    codec: str

    @property
    def nbytes(self) -> int:
        """Size of the copy."""
        return self.found.layout.nbytes

    @property
    def work_bytes(self) -> int:
        """Bytes that are copied."""
        return (2 if self.plan.piece_columns else 1) * self.nbytes

    def into(self, folder: Path, pieces: Path, done: Count) -> Rechunked:
        """Make the copy, through pieces on disk where they are cheaper."""
        plan = self.plan
        source = _pieces(self.source, plan, pieces, done) if plan.piece_columns else self.source
        manifest = _panels(self.found, source, plan, folder, self.codec, done)
        chunks = plan.panel_rows, max(1, source.shape[1])
        return Rechunked(str(folder), chunks, plan.reads, 2 if plan.piece_columns else 1, manifest.digest)


def panels(found: Found, request: CopyRequest) -> Panels:
    """How an array is copied."""
    source = stored_of(found, allow_missing=request.allow_missing)
    chain, local = found.layout.chain, isinstance(found.objects, LocalObjects)
    ranged = local and chain.plain and not chain.checksummed and not source.verified
    plan = cutting(found.layout, request.panel_bytes, request.memory_bytes, ranged=ranged)
    return Panels(found, source, plan, request.codec)


def _pieces(source: Stored, plan: Cutting, folder: Path, done: Count) -> Stored:
    """The source in pieces of strip_rows x piece_columns, each chunk of the source read once."""
    (m, n), r = source.shape, source.chunks[0]
    shape = min(plan.strip_rows, m), plan.piece_columns
    metadata = array_metadata((m, n), source.dtype, shape)
    write_metadata(folder, metadata)
    layout = layout_of((folder / "zarr.json").read_bytes(), str(folder))
    scratch = page_aligned(min(r, m) * plan.piece_columns * source.dtype.itemsize)
    for rows in ranges(m, r):
        for columns in ranges(n, plan.piece_columns):
            block = retried(partial(source.read, rows, columns, scratch))
            _cut(block, rows.start, columns.start // plan.piece_columns, folder, layout)
            done.add(block.nbytes)
    return Stored(Chunks(LocalObjects(str(folder)), layout))


def _cut(block: Array, start: int, j: int, folder: Path, layout: Layout) -> None:
    """Write rows start.. of a column of pieces; a piece that began in the chunk above is completed."""
    height, stop = layout.chunks[0], start + block.shape[0]
    for i in range(start // height, -(-stop // height)):
        a, b = max(start, i * height), min(stop, (i + 1) * height)
        piece = np.zeros(layout.chunks, layout.dtype)
        path = folder / layout.key(i, j)
        if path.exists():
            piece = layout.chain.decode(np.fromfile(path, np.uint8), piece.reshape(-1).view(np.uint8))
        piece[a - i * height : b - i * height, : block.shape[1]] = block[a - start : b - start]
        write_chunk(path, piece)


def _panels(found: Found, source: Stored, plan: Cutting, folder: Path, codec: str, done: Count) -> Manifest:
    """The copy, strip by strip, and its manifest."""
    (m, n), chunks = source.shape, (plan.panel_rows, max(1, source.shape[1]))
    layout = _begun(found, chunks, folder, codec)
    scratch = page_aligned(min(plan.strip_rows, m) * n * source.dtype.itemsize)
    entries: list[tuple[int, int]] = []
    with ThreadPoolExecutor(THREADS) as pool:
        for rows in ranges(m, plan.strip_rows):
            strip = retried(partial(source.read, rows, slice(0, n), scratch))
            first = rows.start // plan.panel_rows
            panels = [strip[part] for part in ranges(len(strip), plan.panel_rows)]
            paths = [folder / layout.key(first + i, 0) for i in range(len(panels))]
            entries += pool.map(partial(_written, chunks, codec), paths, panels)
            done.add(strip.nbytes)
    return write_manifest(folder, layout, entries)


def _begun(found: Found, chunks: tuple[int, int], folder: Path, codec: str) -> Layout:
    """The metadata of the copy."""
    attributes = {**found.attributes, MARKER: {"made_by": "rechunk", "source": stored_of(found).identity}}
    names = tuple(name for name in found.dimension_names if name)
    metadata = array_metadata(
        found.layout.shape,
        found.layout.dtype,
        chunks,
        codec=codec,
        dimensions=names if len(names) == 2 else None,
        attributes=attributes,
    )
    write_metadata(folder, metadata)
    return layout_of((folder / "zarr.json").read_bytes(), str(folder))


def _written(chunks: tuple[int, int], codec: str, path: Path, panel: Array) -> tuple[int, int]:
    """Write one panel, the last one filled up with zeros."""
    if panel.shape != chunks:
        panel = np.concatenate([panel, np.zeros((chunks[0] - len(panel), chunks[1]), panel.dtype)])
    return write_chunk(path, panel, codec)
