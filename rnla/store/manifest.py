"""Manifest: size and crc32c of every chunk of a store, bound to its key and to the metadata.

It is one object, `rnla-manifest.npz`, among the array's own objects. With it, a chunk that is missing, altered,
truncated or in another chunk's place is found when it is read; without it, only what the codecs can see.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass

import google_crc32c
import numpy as np

from rnla.arrays import Array
from rnla.errors import IntegrityError
from rnla.store.chains import DamagedError
from rnla.store.layout import Layout
from rnla.store.objects import Objects, Piece

MANIFEST_KEY = "rnla-manifest.npz"
FORMAT = 1
ABSENT_SIZE = -1


@dataclass(frozen=True, eq=False)
class Manifest:
    """Fingerprint of a store."""

    sizes: Array  # (chunks down, chunks across) int64: stored bytes, -1 where the chunk is left out
    crc32c: Array  # (chunks down, chunks across) uint32: of the stored bytes
    metadata_digest: str

    @property
    def digest(self) -> str:
        """Hash of the manifest, which stands for the hash of the data."""
        digest = hashlib.blake2b(self.metadata_digest.encode(), digest_size=16)
        digest.update(np.ascontiguousarray(self.sizes, "<i8").tobytes())
        digest.update(np.ascontiguousarray(self.crc32c, "<u4").tobytes())
        return digest.hexdigest()

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
            raise DamagedError("the manifest says that it was left out, and now it is there")
        if size != expected:
            raise DamagedError(f"it has {size} bytes and the manifest says {expected}")
        if crc != (wanted := int(self.crc32c[i, j])):
            raise DamagedError(f"its crc32c is {crc:08x} and the manifest says {wanted:08x}")

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


def loaded_manifest(objects: Objects, layout: Layout) -> Manifest | None:
    """The manifest of a store, or None; a stale or damaged one is an error."""
    (raw,) = objects.fetch([Piece(MANIFEST_KEY)])
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


def crc_of(parts: list[Array], crc: int = 0) -> int:
    """The crc32c of parts one after the other, after bytes whose crc32c is given."""
    for part in parts:
        crc = google_crc32c.extend(crc, part)
    return int(crc)
