"""Fingerprints of stores: taking one (`fingerprint`) and comparing a store with it (`verify`).

Each reads every stored byte once, in threads. Memory for each thread: a megabyte, or, where `fingerprint` has to decode
a chunk to know that it is sound, one chunk as stored and one decoded (over a network, sixteen as stored).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from rnla.arrays import Array
from rnla.errors import IntegrityError, OutputError, RnlaError
from rnla.store.chains import DamagedError
from rnla.store.chunks import GONE, Chunks
from rnla.store.manifest_file import (
    ABSENT_SIZE,
    MANIFEST_KEY,
    Manifest,
    Manifests,
    joint_digest,
    loaded_manifest,
)
from rnla.store.places import Found, FoundSparse, found_array
from rnla.store.writing import writing_errors

__all__ = ["MANIFEST_KEY", "Manifest", "Manifests", "Verification", "fingerprint", "verify"]

RUN = 64  # chunks that one call of a thread goes through, where there are no shards
THREADS = 4
UNREADABLE = -2  # stands for the size of chunks whose shard has no sound index
SHOWN = 100  # problems that a report spells out

Progress = Callable[[int, int], None]  # chunks done, chunks in all
Entries = list[tuple[int, int]]


@dataclass(frozen=True)
class Verification:
    """What came of comparing a store with its manifest, or, where it has none, of decoding every chunk."""

    url: str
    chunks: int
    absent: int
    stored_bytes: int
    manifest: str | None  # digest of the manifest compared with
    damaged: int  # chunks that are not what they should be
    problems: tuple[str, ...]  # the first hundred of them

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return self.damaged == 0


def fingerprint(
    place: Any, *, allow_missing: bool = False, threads: int = THREADS, progress: Progress | None = None
) -> Manifest | Manifests:
    """Sizes and crc32c of all chunks, written beside them as `rnla-manifest.npz`; for each vector of a sparse group.

    Parameters
    ----------
    allow_missing
        Record absent chunks as absent on purpose; otherwise they are an error, because a chunk that was lost looks the
        same.

    Raises
    ------
    IntegrityError
        A chunk is absent, or cannot be decoded; nothing was written.
    OutputError
        The manifest cannot be written there.

    Examples
    --------
    >>> import numpy as np, zarr
    >>> z = zarr.create_array({}, data=np.eye(4), chunks=(2, 4))
    >>> fingerprint(z).sizes.shape
    (2, 1)
    """
    found = found_array(place)
    arrays = found.parts if isinstance(found, FoundSparse) else (found,)
    told = _together(arrays, progress)
    manifests = [
        _fingerprint(each, allow_missing=allow_missing, threads=threads, progress=report)
        for each, report in zip(arrays, told, strict=True)
    ]
    for each, manifest in zip(arrays, manifests, strict=True):
        _put(each, manifest)
    return Manifests(tuple(manifests)) if isinstance(found, FoundSparse) else manifests[0]


def _fingerprint(found: Found, *, allow_missing: bool, threads: int, progress: Progress | None) -> Manifest:
    """Sizes and crc32c of the chunks of one array."""
    reader = Chunks(found.objects, found.layout)
    manifest = Manifest(*_measured(reader, threads, progress, _proven_entries), found.layout.digest)
    if manifest.absent and not allow_missing:
        i, j = np.argwhere(manifest.sizes == ABSENT_SIZE)[0].tolist()
        raise reader.missing(i, j, manifest.absent)
    return manifest


def _put(found: Found, manifest: Manifest) -> None:
    """Write a manifest beside the chunks."""
    url = found.objects.url
    try:
        with writing_errors(url):
            found.objects.put(MANIFEST_KEY, manifest.dumps())
    except RnlaError:
        raise
    except Exception as error:  # every kind of store refuses in its own way
        msg = (
            f"{url}/{MANIFEST_KEY}: the manifest cannot be written ({error}); make the store writable and run the same "
            "command again"
        )
        raise OutputError(msg) from error


def _together(arrays: Sequence[Found], progress: Progress | None) -> list[Progress | None]:
    """One report for each array, all of them as parts of one whole."""
    counts = [each.layout.grid[0] * each.layout.grid[1] for each in arrays]
    if progress is None:
        return [None] * len(counts)
    return [partial(_shifted, progress, sum(counts[:index]), sum(counts)) for index in range(len(counts))]


def _shifted(progress: Progress, before: int, total: int, done: int, _of: int) -> None:
    progress(before + done, total)


def verify(place: Any, *, threads: int = THREADS, progress: Progress | None = None) -> Verification:
    """Compare every chunk with the manifest; without one, read every chunk strictly."""
    found = found_array(place)
    if not isinstance(found, FoundSparse):
        return _verify(found, threads=threads, progress=progress)
    told = _together(found.parts, progress)
    reports = [_verify(each, threads=threads, progress=report) for each, report in zip(found.parts, told, strict=True)]
    return Verification(
        found.objects.url,
        chunks=sum(report.chunks for report in reports),
        absent=sum(report.absent for report in reports),
        stored_bytes=sum(report.stored_bytes for report in reports),
        manifest=joint_digest(report.manifest for report in reports),
        damaged=sum(report.damaged for report in reports),
        problems=tuple(problem for report in reports for problem in report.problems)[:SHOWN],
    )


def _verify(found: Found, *, threads: int, progress: Progress | None) -> Verification:
    """Compare the chunks of one array."""
    manifest = loaded_manifest(found.objects, found.layout)
    reader = Chunks(found.objects, found.layout, manifest_digest=None if manifest is None else manifest.digest)
    if manifest is None:
        sizes, wrong, problems = _decoded(reader, threads, progress)
    else:
        sizes, crc32c = _measured(reader, threads, progress, _entries_or_not)
        bad = np.argwhere((sizes != manifest.sizes) | (crc32c != manifest.crc32c))
        wrong, problems = len(bad), [_difference(reader, manifest, sizes, crc32c, *ij) for ij in bad[:SHOWN].tolist()]
    absent = int(np.count_nonzero(sizes == ABSENT_SIZE))
    stored_bytes = int(sizes[sizes > 0].sum())
    return Verification(
        reader.objects.url, sizes.size, absent, stored_bytes, reader.manifest_digest, wrong, tuple(problems)
    )


def _difference(reader: Chunks, manifest: Manifest, sizes: Array, crc32c: Array, i: int, j: int) -> str:
    if sizes[i, j] == ABSENT_SIZE:
        return str(reader.damaged(i, j, GONE))
    if sizes[i, j] == UNREADABLE:
        return str(reader.damaged(i, j, DamagedError("the index of its shard, or the shard, is damaged")))
    try:
        manifest.check(i, j, int(sizes[i, j]), int(crc32c[i, j]))
    except DamagedError as error:
        return str(reader.damaged(i, j, error))
    return str(reader.damaged(i, j, DamagedError("it changed while it was read")))


def _each(
    reader: Chunks, threads: int, progress: Progress | None, work: Callable[[Entries], Any]
) -> Iterator[tuple[Entries, Any]]:
    """(run, work(run)) for every run, a bounded number of them ahead."""
    total, done, runs = reader.layout.grid[0] * reader.layout.grid[1], 0, reader.runs(RUN)
    with ThreadPoolExecutor(threads) as pool:
        while batch := list(islice(runs, 64 * threads)):
            for run, answer in zip(batch, pool.map(work, batch), strict=True):
                yield run, answer
                done += len(run)
                if progress is not None:
                    progress(done, total)


def _proven_entries(reader: Chunks, run: Entries) -> Entries:
    """A fingerprint of a damaged chunk would vouch for the damage."""
    return reader.entries(run, proven=True)


def _entries_or_not(reader: Chunks, run: Entries) -> Entries:
    try:
        return reader.entries(run)
    except IntegrityError:
        return [(UNREADABLE, 0)] * len(run)


def _measured(
    reader: Chunks, threads: int, progress: Progress | None, entries_of: Callable[[Chunks, Entries], Entries]
) -> tuple[Array, Array]:
    """Sizes and crc32c over the chunk grid."""
    sizes = np.full(reader.layout.grid, ABSENT_SIZE, np.int64)
    crc32c = np.zeros(reader.layout.grid, np.uint32)
    for run, entries in _each(reader, threads, progress, partial(entries_of, reader)):
        at = tuple(np.array(run).T)
        sizes[at], crc32c[at] = np.array(entries, np.int64).T
    return sizes, crc32c


def _decoded(reader: Chunks, threads: int, progress: Progress | None) -> tuple[Array, int, list[str]]:
    """Sizes over the chunk grid, and what is wrong with the chunks that cannot be read."""

    def read(run: list[tuple[int, int]]) -> tuple[list[int], list[str]]:
        problems = []
        for i, j in run:
            try:
                reader.read(*reader.layout.area(i, j))
            except IntegrityError as error:
                problems.append(str(error))
        return [size for size, _ in _entries_or_not(reader, run)], problems

    sizes = np.full(reader.layout.grid, ABSENT_SIZE, np.int64)
    found: list[str] = []
    wrong = 0
    for run, (lengths, problems) in _each(reader, threads, progress, read):
        sizes[tuple(np.array(run).T)] = lengths
        wrong += len(problems)
        found += problems[: SHOWN - len(found)]
    return sizes, wrong, found
