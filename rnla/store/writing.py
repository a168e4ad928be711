"""Writing arrays of rnla's own: metadata, whole chunks, and what a full disk says.

Chunks are little-endian bytes ended by their crc32c, or zstd under a crc32c, in the key layout of Zarr v3; each is
written aside and renamed, so that a killed writer leaves whole chunks or none.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import google_crc32c
import numcodecs
import numpy as np

from rnla.arrays import Array, DType, spelt_bytes
from rnla.errors import OutputError, RequestError, RnlaError, StorageFullError
from rnla.store.chains import CRC_BYTES
from rnla.store.objects import write_file

CODECS = {
    "none": [],
    "zstd": [{"name": "zstd", "configuration": {"level": 3, "checksum": False}}],
}


@contextmanager
def writing_errors(path: str | Path, needed_bytes: float = 0) -> Iterator[None]:
    """Say where a write failed; a full disk says how much is needed and how much there is."""
    try:
        yield
    except RnlaError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFullError(_full(Path(path), needed_bytes, error)) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENAMETOOLONG):
            msg = f"{path}: cannot be written ({error.strerror}); choose another place or change its permissions"
            raise OutputError(msg) from error
        raise


def _full(path: Path, needed_bytes: float, error: OSError) -> str:
    place = next((folder for folder in (path, *path.parents) if folder.exists()), Path("/"))
    state = os.statvfs(place)
    needs = f"this write needs {spelt_bytes(needed_bytes)}, " if needed_bytes else ""
    return (
        f"{path}: the disk is full ({error.strerror}): {needs}{spelt_bytes(state.f_bavail * state.f_frsize)} are free. "
        "Free some space, or choose another place, and run the same command again"
    )


def checked_codec(codec: str) -> str:
    """A codec that rnla writes."""
    if codec not in CODECS:
        msg = f"codec={codec!r} is unknown; choose one of {', '.join(sorted(CODECS))}"
        raise RequestError(msg)
    return codec


def array_metadata(
    shape: tuple[int, ...],
    dtype: DType,
    chunks: tuple[int, ...],
    *,
    codec: str = "none",
    dimensions: tuple[str, ...] | None = None,
    attributes: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The zarr.json of an array of rnla's."""
    checked_codec(codec)
    endian = {"configuration": {"endian": "little"}} if np.dtype(dtype).itemsize > 1 else {}
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": str(np.dtype(dtype).newbyteorder("=")),
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunks)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": _zero(np.dtype(dtype)),
        "codecs": [{"name": "bytes", **endian}, *CODECS[codec], {"name": "crc32c"}],
        "attributes": attributes or {},
        **({"dimension_names": list(dimensions)} if dimensions else {}),
        "storage_transformers": [],
    }


def _zero(dtype: DType) -> Any:
    return {"b": False, "f": 0.0, "c": [0.0, 0.0]}.get(dtype.kind, 0)


def write_metadata(folder: Path, metadata: dict[str, Any]) -> None:
    """Set zarr.json."""
    with writing_errors(folder):
        write_file(folder / "zarr.json", [json.dumps(metadata, indent=2).encode()])


def write_chunk(path: Path, block: Array, codec: str = "none") -> tuple[int, int]:
    """Write a whole chunk; its stored size and the crc32c that manifests record."""
    block = np.ascontiguousarray(block, dtype=block.dtype.newbyteorder("<"))
    data: Array = block.reshape(-1).view(np.uint8)
    if codec == "zstd":
        data = np.frombuffer(numcodecs.Zstd(level=3).encode(data), np.uint8)
    crc, size = int(google_crc32c.value(data)), data.nbytes + CRC_BYTES
    with writing_errors(path, size):
        write_file(path, [data.data, crc.to_bytes(CRC_BYTES, "little")])
    return size, crc
