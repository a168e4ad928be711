"""The layout of a stored matrix or vector: shape, chunk grid, keys and codec chain, read from its metadata and vetted.

Metadata is parsed here, before Zarr sees it, so that a hostile or unusual store is refused with a plain sentence.
Zarr v2 and v3; shards are read chunk by chunk through their index. A vector (one dimension: the parts of a sparse
matrix) is seen as one column.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnla.arrays import DType, working_dtype
from rnla.errors import RequestError, StoreError, UnsupportedError
from rnla.store.chains import CRC_BYTES, Chain, chain_v2, chain_v3

LARGE_CHUNK = 1 << 26  # entries; chunks up to this may be larger than the array they are of

_V3_NUMBERS = frozenset(
    {"bool", "float16", "float32", "float64", "complex64", "complex128"}
    | {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
)


@dataclass(frozen=True)
class Shards:
    """How chunks lie in shards."""

    counts: tuple[int, int]  # chunks in a shard, down and across
    index_first: bool
    index_checked: bool  # a crc32c ends the index

    @property
    def index_bytes(self) -> int:
        """Size of the index: offset and length of each chunk, and the checksum."""
        return 16 * self.counts[0] * self.counts[1] + CRC_BYTES * self.index_checked


@dataclass(frozen=True)
class Layout:
    """Where the elements of a matrix lie."""

    shape: tuple[int, int]
    chunks: tuple[int, int]  # the unit of reading: the inner chunk of a sharded array
    dtype: DType  # in the machine's byte order
    zarr_format: int
    chain: Chain
    shards: Shards | None
    separator: str
    prefixed: bool  # keys begin with "c"
    fill: complex | float | int | bool
    digest: str  # of the metadata that bears on the elements
    vector: bool = False  # stored with one dimension

    @property
    def grid(self) -> tuple[int, int]:
        """Chunks down and across."""
        (m, n), (r, c) = self.shape, self.chunks
        return -(-m // r), -(-n // c)

    @property
    def nbytes(self) -> int:
        """Size of all elements."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize

    def key(self, i: int, j: int) -> str:
        """Object that holds chunk (i, j)."""
        if self.shards is not None:
            i, j = i // self.shards.counts[0], j // self.shards.counts[1]
        parts = [*(["c"] if self.prefixed else []), str(i), *([] if self.vector else [str(j)])]
        return self.separator.join(parts)

    def area(self, i: int, j: int) -> tuple[slice, slice]:
        """Rows and columns of the matrix in chunk (i, j)."""
        (m, n), (r, c) = self.shape, self.chunks
        return slice(i * r, min((i + 1) * r, m)), slice(j * c, min((j + 1) * c, n))


def layout_of(raw: bytes, url: str) -> Layout:
    """Parse zarr.json or .zarray."""
    try:
        metadata = json.loads(raw)
        parts = _layout_v2(metadata) if metadata["zarr_format"] == 2 else _layout_v3(metadata)
    except UnsupportedError as error:
        msg = f"{url}: {error}"
        raise type(error)(msg) from None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        msg = f"{url}: its metadata cannot be understood ({type(error).__name__}: {error}); restore it from a copy"
        raise StoreError(msg) from error
    vector = len(metadata["shape"]) == 1
    bearing = {key: value for key, value in metadata.items() if key not in ("attributes", "dimension_names")}
    digest = hashlib.blake2b(json.dumps(bearing, sort_keys=True).encode(), digest_size=16).hexdigest()
    return Layout(**parts, digest=digest, vector=vector)


def matrix_shape(shape: list[int], url: str) -> tuple[int, int]:
    """(m, n), or a plain refusal."""
    if len(shape) != 2:
        found = "x".join(str(size) for size in shape) or "a single number"
        count = "1 dimension" if len(shape) == 1 else f"{len(shape)} dimensions"
        cure = "store it as one column or row" if len(shape) == 1 else "reshape it to rows (samples) x columns first"
        msg = f"{url}: rnla takes matrices, and this array has {count} ({found}); {cure}"
        raise RequestError(msg)
    return int(shape[0]), int(shape[1])


def _grid(shape: list[int], chunks: list[int]) -> tuple[tuple[int, int], tuple[int, int]]:
    m, n = _as_matrix(shape)
    r, c = _as_matrix(chunks)
    if m < 0 or n < 0 or r < 1 or c < 1:
        msg = f"shape {shape} and chunks {chunks} are no chunk grid"
        raise ValueError(msg)
    if r * c > max(LARGE_CHUNK, 4 * m * n):
        msg = f"its chunks of {r:,} x {c:,} entries are far larger than the array of {m:,} x {n:,}; write it again"
        raise UnsupportedError(msg)
    return (m, n), (r, c)


def _as_matrix(shape: Sequence[int]) -> tuple[int, int]:
    """Two sizes; a vector is one column."""
    m, n = (*shape, 1) if len(shape) == 1 else shape
    return int(m), int(n)


def _layout_v2(metadata: dict[str, Any]) -> dict[str, Any]:
    given = metadata["dtype"]
    if not isinstance(given, str) or given == "|O":
        msg = f"elements of type {given} are not numbers; rnla takes bool, integers, floats and complex numbers"
        raise UnsupportedError(msg)
    dtype = np.dtype(given)
    working_dtype(dtype)
    shape, chunks = _grid(metadata["shape"], metadata["chunks"])
    metadata = {**metadata, "order": "C"} if len(metadata["shape"]) == 1 else metadata
    return {
        "shape": shape,
        "chunks": chunks,
        "dtype": dtype.newbyteorder("="),
        "zarr_format": 2,
        "chain": chain_v2(metadata, dtype, chunks),
        "shards": None,
        "separator": metadata.get("dimension_separator", "."),
        "prefixed": False,
        "fill": _fill(metadata.get("fill_value"), dtype),
    }


def _layout_v3(metadata: dict[str, Any]) -> dict[str, Any]:
    given = metadata["data_type"]
    if not isinstance(given, str) or given not in _V3_NUMBERS:
        given = given.get("name", given) if isinstance(given, dict) else given
        msg = f"elements of type {given} are not numbers; rnla takes bool, integers, floats and complex numbers"
        raise UnsupportedError(msg)
    dtype = np.dtype(given)
    if metadata["chunk_grid"]["name"] != "regular" or metadata.get("storage_transformers"):
        msg = "its chunk grid is not regular, or it has storage transformers; copy the array with regular chunks"
        raise UnsupportedError(msg)
    shape, outer = _grid(metadata["shape"], metadata["chunk_grid"]["configuration"]["chunk_shape"])
    codecs, chunks, shards = _unsharded(metadata["codecs"], outer, len(metadata["shape"]))
    encoding = metadata["chunk_key_encoding"]
    prefixed = encoding["name"] == "default"
    return {
        "shape": shape,
        "chunks": chunks,
        "dtype": dtype,
        "zarr_format": 3,
        "chain": chain_v3(metadata, codecs, dtype, chunks),
        "shards": shards,
        "separator": (encoding.get("configuration") or {}).get("separator", "/" if prefixed else "."),
        "prefixed": prefixed,
        "fill": _fill(metadata["fill_value"], dtype),
    }


def _unsharded(
    codecs: list[Any], outer: tuple[int, int], ndim: int
) -> tuple[list[Any], tuple[int, int], Shards | None]:
    """Codecs and shape of a chunk, and how chunks lie in shards."""
    names = [codec if isinstance(codec, str) else codec["name"] for codec in codecs]
    if "sharding_indexed" not in names:
        return codecs, outer, None
    configuration = codecs[0]["configuration"]
    _, chunks = _grid(list(outer[:ndim]), configuration["chunk_shape"])
    inner = [codec if isinstance(codec, str) else codec["name"] for codec in configuration["codecs"]]
    index = [codec if isinstance(codec, str) else codec["name"] for codec in configuration["index_codecs"]]
    endian = configuration["index_codecs"][0].get("configuration", {}).get("endian", "little")
    exact = outer[0] % chunks[0] == 0 and outer[1] % chunks[1] == 0
    usual = index in (["bytes"], ["bytes", "crc32c"]) and endian == "little"
    if len(names) > 1 or "sharding_indexed" in inner or not usual or not exact:
        msg = "its shards are nested, or coded in a way that rnla does not read; copy the array without shards"
        raise UnsupportedError(msg)
    counts = outer[0] // chunks[0], outer[1] // chunks[1]
    first = configuration.get("index_location", "end") == "start"
    return configuration["codecs"], chunks, Shards(counts, first, len(index) == 2)


def _fill(value: Any, dtype: DType) -> complex | float | int | bool:
    """The fill value as a Python number."""
    if value is None:
        return 0
    if isinstance(value, list):
        return complex(_fill(value[0], np.dtype(np.float64)).real, _fill(value[1], np.dtype(np.float64)).real)
    if isinstance(value, str) and value.startswith("0x"):
        bits = bytes.fromhex(value[2:])
        return np.frombuffer(bits, dtype.newbyteorder(">"))[0].item()  # type: ignore[no-any-return]
    if isinstance(value, str):
        return float(value.replace("Infinity", "inf"))
    if not isinstance(value, bool | int | float):
        msg = f"fill value {value!r} is not a number"
        raise TypeError(msg)
    return value
