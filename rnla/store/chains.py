"""Codec chains: from the stored bytes of one chunk to its elements, checked at every step.

Numeric chunks behind the usual codecs (crc32c, zstd, blosc, lz4, gzip, zlib, bz2, lzma) are decoded here, into memory
that the caller owns and never beyond the size that the metadata states. Other chains of the allow-list (filters,
transposed inner orders) are decoded by Zarr itself, as the only chunk of an array in memory.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import zlib
from dataclasses import dataclass
from typing import Any, Literal

import google_crc32c
import numcodecs
import numpy as np

from rnla.arrays import Array, DType
from rnla.errors import UnsupportedError

CRC_BYTES = 4
COMPRESSORS = frozenset({"zstd", "blosc", "lz4", "gzip", "zlib", "bz2", "lzma"})
FILTERS = frozenset(
    {"delta", "fixedscaleoffset", "quantize", "bitround", "shuffle", "packbits", "astype"}
    | {"fletcher32", "jenkins_lookup3", "crc32", "crc32c", "adler32"}
)


class DamagedError(Exception):
    """Stored bytes that cannot be the chunk; its text says why. Becomes an IntegrityError that says where."""


class ChangedError(DamagedError):
    """Stored bytes that are not those of the manifest; the cure is another one if the change was meant."""


@dataclass(frozen=True)
class Chain:
    """How the bytes of one chunk hold its elements."""

    dtype: DType  # with the byte order it is stored in
    chunks: tuple[int, int]  # rows and columns of a chunk
    fortran: bool = False  # elements of a column lie side by side
    steps: tuple[str, ...] = ()  # codecs to undo, outermost first, each as JSON with its id
    foreign: str | None = None  # metadata of a one-chunk array when Zarr has to decode it
    checksummed: bool = False  # stored bytes end with the crc32c of the rest

    @property
    def nbytes(self) -> int:
        """Size of a decoded chunk."""
        return self.chunks[0] * self.chunks[1] * self.dtype.itemsize

    @property
    def plain(self) -> bool:
        """Whether stored bytes are the elements row by row, with at most a checksum at the end."""
        return self.foreign is None and not self.fortran and len(self.steps) == int(self.checksummed)

    @property
    def stored_nbytes(self) -> int | None:
        """Size of a stored chunk, where the codecs fix it."""
        if self.foreign is not None or len(self.steps) > int(self.checksummed):
            return None
        return self.nbytes + CRC_BYTES * len(self.steps)

    def native(self, elements: Array) -> Array:
        """Elements in the machine's byte order, changed in place."""
        if not self.dtype.isnative:
            elements.byteswap(inplace=True)
        return elements.view(self.dtype.newbyteorder("="))

    def decode(self, stored: Array, out: Array | None = None) -> Array:
        """Elements of a chunk, as (rows, columns); in `out` (its bytes) where that is given and rows lie together."""
        if self.foreign is not None:
            return _by_zarr(json.loads(self.foreign), stored).reshape(self.chunks)
        if out is None or self.fortran:
            out = np.empty(self.nbytes, np.uint8)
        for position, step in enumerate(self.steps):
            last = position == len(self.steps) - 1
            stored = _undone(json.loads(step), stored, out if last else None)
        if stored is not out:
            if stored.nbytes != self.nbytes:
                msg = f"it holds {stored.nbytes} bytes where {self.nbytes} are expected"
                raise DamagedError(msg)
            out[:] = stored
        elements = self.native(out.view(self.dtype))
        return elements.reshape(self.chunks[::-1]).T if self.fortran else elements.reshape(self.chunks)


def check_crc(stored: Array, crc: int) -> None:
    """Compare the little-endian checksum in four stored bytes with the one computed."""
    written = int.from_bytes(stored.tobytes(), "little")
    if written != crc:
        msg = f"its checksum is {crc:08x} and should be {written:08x}"
        raise DamagedError(msg)


def _undone(codec: dict[str, Any], stored: Array, out: Array | None) -> Array:
    """What a codec was given, from what it made."""
    name = codec["id"]
    try:
        if name == "crc32c":
            return _unsealed(stored)
        if out is not None and name in _BOUNDED:
            _inflate(name, stored, out)
            return out
        if out is not None and name in ("zstd", "blosc", "lz4"):
            return _declared_decode(codec, stored, out)
        return np.frombuffer(numcodecs.get_codec(codec).decode(stored), np.uint8)
    except DamagedError:
        raise
    except Exception as error:  # each codec library has errors of its own
        msg = f"{name} cannot decode it ({error})"
        raise DamagedError(msg) from error


def _unsealed(stored: Array) -> Array:
    """Bytes before a checksum that is right."""
    if stored.nbytes < CRC_BYTES:
        msg = f"it holds {stored.nbytes} bytes, less than its checksum"
        raise DamagedError(msg)
    check_crc(stored[-CRC_BYTES:], google_crc32c.value(stored[:-CRC_BYTES]))
    return stored[:-CRC_BYTES]


def _declared_decode(codec: dict[str, Any], stored: Array, out: Array) -> Array:
    """Decoded in place when the header declares the size wanted; larger sizes are refused before anything is made."""
    declared = _declared_bytes(codec["id"], stored)
    if declared is not None and declared > out.nbytes:
        msg = f"it decodes to {declared} bytes where {out.nbytes} are expected"
        raise DamagedError(msg)
    if declared == out.nbytes:
        numcodecs.get_codec(codec).decode(stored, out=out)
        return out
    return np.frombuffer(numcodecs.get_codec(codec).decode(stored), np.uint8)


def _declared_bytes(name: str, stored: Array) -> int | None:
    """Decoded size in the header of a blosc, lz4 or zstd buffer; None where it is left out."""
    head = stored[:18].tobytes()
    if name == "blosc":
        return int.from_bytes(head[4:8], "little")
    if name == "lz4":
        return int.from_bytes(head[:4], "little")
    flags = head[4] if len(head) > 4 else 0
    single = flags >> 5 & 1
    width = (single, 2, 4, 8)[flags >> 6]
    start = 5 + (1 - single) + (0, 1, 2, 4)[flags & 3]
    if width == 0 or len(head) < start + width:
        return None
    return int.from_bytes(head[start : start + width], "little") + (256 if width == 2 else 0)


_BOUNDED = frozenset({"gzip", "zlib", "bz2"})


def _inflate(name: str, stored: Array, out: Array) -> None:
    """Decode gzip, zlib or bz2 into `out`, and stop there."""
    if name == "zlib":
        machine = zlib.decompressobj()
        data = machine.decompress(stored.data, out.nbytes + 1)
        if not machine.eof and len(data) <= out.nbytes:
            msg = "its zlib stream is cut off"
            raise DamagedError(msg)
        _fill(out, data)
        return
    file = io.BytesIO(stored.data)
    with gzip.GzipFile(fileobj=file) if name == "gzip" else bz2.BZ2File(file) as stream:
        _fill(out, stream.read(out.nbytes + 1))


def _fill(out: Array, data: bytes) -> None:
    if len(data) != out.nbytes:
        more = "more than " if len(data) > out.nbytes else f"{len(data)} bytes where "
        msg = f"it decodes to {more}{out.nbytes} bytes are expected"
        raise DamagedError(msg)
    out[:] = np.frombuffer(data, np.uint8)


def _by_zarr(metadata: dict[str, Any], stored: Array) -> Array:
    """The only chunk of a Zarr array in memory."""
    import zarr

    zeros = ["0"] * len(metadata["shape"])
    key, chunk = (
        (".zarray", ".".join(zeros)) if metadata["zarr_format"] == 2 else ("zarr.json", "/".join(["c", *zeros]))
    )
    make = zarr.core.buffer.default_buffer_prototype().buffer
    objects = {key: make.from_bytes(json.dumps(metadata).encode()), chunk: make.from_array_like(stored)}
    try:
        array = zarr.open_array(zarr.storage.MemoryStore(objects), mode="r", zarr_format=metadata["zarr_format"])
        elements = np.asarray(array[...])
    except Exception as error:  # zarr and the codecs have no common root
        msg = f"zarr cannot decode it ({error})"
        raise DamagedError(msg) from error
    return elements.astype(elements.dtype.newbyteorder("="), copy=False)


def chain_v3(metadata: dict[str, Any], codecs: list[Any], dtype: DType, chunks: tuple[int, int]) -> Chain:
    """The chain of a list of Zarr v3 codecs."""
    named = [_named(codec) for codec in codecs]
    for name, _ in named:
        plain_name = name.removeprefix("numcodecs.")
        if name not in ("bytes", "transpose") and plain_name not in COMPRESSORS | FILTERS:
            raise _unknown(name)
    names = [name for name, _ in named]
    if names[0] == "bytes" and all(_direct(name) for name in names[1:]):
        order: Literal[">", "<"] = ">" if named[0][1].get("endian") == "big" else "<"
        steps = [json.dumps({"id": name.removeprefix("numcodecs."), **_bare(conf)}) for name, conf in named[:0:-1]]
        return Chain(dtype.newbyteorder(order), chunks, steps=tuple(steps), checksummed=names[-1] == "crc32c")
    shape = chunks[: len(metadata["shape"])]
    single = {
        "zarr_format": 3, "node_type": "array", "shape": shape, "data_type": metadata["data_type"],
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shape}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": metadata["fill_value"], "codecs": codecs, "attributes": {},
    }  # fmt: skip
    return Chain(dtype, chunks, foreign=json.dumps(single), checksummed=_ends_in_crc32c(names))


def _ends_in_crc32c(names: list[str]) -> bool:
    return names[-1].removeprefix("numcodecs.") == "crc32c"


def _direct(name: str) -> bool:
    return name == "crc32c" or name.removeprefix("numcodecs.") in COMPRESSORS


def _named(codec: Any) -> tuple[str, dict[str, Any]]:
    if isinstance(codec, str):
        return codec, {}
    return codec["name"], codec.get("configuration") or {}


def _bare(configuration: dict[str, Any]) -> dict[str, Any]:
    """What numcodecs needs to decode: nothing, but for lzma."""
    return {key: value for key, value in configuration.items() if key in ("format", "filters", "check", "preset")}


def chain_v2(metadata: dict[str, Any], dtype: DType, chunks: tuple[int, int]) -> Chain:
    """The chain of a Zarr v2 array."""
    compressor, filters = metadata.get("compressor"), metadata.get("filters") or []
    for codec in [*filters, *([compressor] if compressor else [])]:
        if codec["id"] not in COMPRESSORS | FILTERS:
            raise _unknown(codec["id"])
    if not filters and (compressor is None or compressor["id"] in COMPRESSORS):
        steps = () if compressor is None else (json.dumps({"id": compressor["id"], **_bare(compressor)}),)
        return Chain(dtype, chunks, metadata.get("order") == "F", steps)
    shape = chunks[: len(metadata["shape"])]
    single = {**metadata, "shape": shape, "chunks": shape, "dimension_separator": "."}
    sealed = compressor is None and _ends_in_crc32c([codec["id"] for codec in filters])
    return Chain(dtype, chunks, foreign=json.dumps(single), checksummed=sealed)


def _unknown(name: str) -> UnsupportedError:
    known = ", ".join(sorted(COMPRESSORS | FILTERS))
    return UnsupportedError(
        f"codec {name!r} is not one that rnla decodes ({known}); copy the array with a known codec "
        "(zarr.create_array(..., compressors='auto')) and open the copy"
    )
