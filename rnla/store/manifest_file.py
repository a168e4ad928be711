"""Manifest: size and crc32c of every chunk of a store, bound to its place in the grid and to the metadata.

It is one object, `rnla-manifest.npz`, among the array's own objects. With it, a chunk that is missing, altered,
truncated or in another chunk's place is found when it is read; without it, only what the codecs can see. The crc32c
leaves out the checksum that the crc32c codec puts at a chunk's end: with it, all chunks have the same crc32c.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass

import google_crc32c
import numpy as np

from rnla.arrays import Array
from rnla.errors import IntegrityError
from rnla.store.chains import CRC_BYTES, ChangedError
from rnla.store.layout import Layout
from rnla.store.objects import Objects, first_object

MANIFEST_KEY = "rnla-manifest.npz"
FORMAT = 1
ABSENT_SIZE = -1


@dataclass(frozen=True, eq=False)
class Manifest:
    """Fingerprint of a store."""

    sizes: Array  # (chunks down, chunks across) int64: stored bytes, -1 where the chunk is left out
    crc32c: Array  # (chunks down, chunks across) uint32: of the stored bytes, less a crc32c at their end
    metadata_digest: str

    @property
    def digest(self) -> str:
        """Hash of the manifest, which stands for the hash of the data."""
        digest = hashlib.blake2b(self.metadata_digest.encode(), digest_size=16)
        digest.update(np.ascontiguousarray(self.sizes, "<i8").tobytes())
        digest.update(np.ascontiguousarray(self.crc32c, "<u4").tobytes())
        return digest.hexdigest()

    @property
    def parts(self) -> tuple[Manifest, ...]:
        """Those of each array that a matrix consists of: itself."""
        return (self,)

    @property
    def chunks(self) -> int:
        """Chunks in the grid."""
        return self.sizes.size

    @property
    def absent(self) -> int:
        """Chunks that were left out when the fingerprint was taken."""
        return int(np.count_nonzero(self.sizes == ABSENT_SIZE))

    @property
    def stored_bytes(self) -> int:
        """Size of all chunks as stored."""
        return int(self.sizes[self.sizes > 0].sum())

    def check(self, i: int, j: int, size: int, crc: int) -> None:
        """Compare a chunk that was read with its entry."""
        expected = int(self.sizes[i, j])
        if expected == ABSENT_SIZE:
            msg = "the manifest says that it was left out, and now it is there"
            raise ChangedError(msg)
        if size != expected:
            msg = f"it has {size} bytes and the manifest says {expected}"
            raise ChangedError(msg)
        if crc != (wanted := int(self.crc32c[i, j])):
            msg = f"its crc32c is {crc:08x} and the manifest says {wanted:08x}"
            raise ChangedError(msg)

    def dumps(self) -> bytes:
        """The manifest as an npz file."""
        file = io.BytesIO()
        np.savez(
            file,
            format=np.array(FORMAT),
            sizes=self.sizes.astype("<i8"),
            crc32c=self.crc32c.astype("<u4"),
            metadata_digest=np.array(self.metadata_digest),
        )
        return file.getvalue()


@dataclass(frozen=True)
class Manifests:
    """Fingerprint of a sparse group: those of its three vectors."""

    parts: tuple[Manifest, ...]

    @property
    def digest(self) -> str:
        """Hash of the three hashes."""
        return joint_digest(part.digest for part in self.parts) or ""

    @property
    def chunks(self) -> int:
        """Chunks of all three."""
        return sum(part.chunks for part in self.parts)

    @property
    def absent(self) -> int:
        """Chunks that were left out when the fingerprint was taken."""
        return sum(part.absent for part in self.parts)

    @property
    def stored_bytes(self) -> int:
        """Size of all chunks as stored."""
        return sum(part.stored_bytes for part in self.parts)


def joint_digest(facts: Iterable[str | None]) -> str | None:
    """One hash of several; None if one of them is not known."""
    known = list(facts)
    if None in known:
        return None
    return hashlib.blake2b(json.dumps(known).encode(), digest_size=16).hexdigest()


def loaded_manifest(objects: Objects, layout: Layout) -> Manifest | None:
    """The manifest of a store, or None; a stale or damaged one is an error."""
    raw = first_object(objects, MANIFEST_KEY)
    if raw is None:
        return None
    where = f"{objects.url}/{MANIFEST_KEY}"
    cure = f"If the change was yours, run `rnla fingerprint {objects.url}` again; if not, restore the store."
    try:
        with np.load(io.BytesIO(raw.tobytes()), allow_pickle=False) as file:
            made_by = int(file["format"])
            manifest = Manifest(file["sizes"], file["crc32c"], str(file["metadata_digest"]))
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        msg = f"{where}: the manifest is damaged ({error}). {cure}"
        raise IntegrityError(msg) from error
    if made_by != FORMAT:
        msg = f"{where}: the manifest has format {made_by}, and this rnla reads format {FORMAT}. {cure}"
        raise IntegrityError(msg)
    if manifest.metadata_digest != layout.digest or manifest.sizes.shape != layout.grid:
        msg = f"{where}: the manifest is of other metadata: zarr.json or .zarray was changed since. {cure}"
        raise IntegrityError(msg)
    return manifest


def stored_crc(stored: Array, *, checksummed: bool) -> int:
    """The crc32c of a chunk as manifests record it."""
    return int(google_crc32c.value(stored[: max(0, stored.nbytes - CRC_BYTES)] if checksummed else stored))
