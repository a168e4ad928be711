"""Names of cells and genes: what AnnData keeps beside a matrix in its groups `obs` and `var`, read when asked for.

The names are the array that the attribute `_index` of each group points at. They are text, so Zarr decodes them, after
their metadata was vetted: text as vlen-utf8 or of one length, behind the usual compressors, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from rnla.arrays import Array
from rnla.store.chains import COMPRESSORS
from rnla.store.objects import LocalObjects, Objects, StoreObjects, first_object
from rnla.store.places import inner

TEXT_CODECS = COMPRESSORS | {"vlen-utf8", "bytes", "crc32c"}
MOST = 1 << 18  # names that are taken into a result: about 20 MB; of longer sides, only those that are asked for


@dataclass(frozen=True)
class StoredNames:
    """Names along one side, which are read when they are first needed."""

    source: Callable[[Array | None], Array]  # which -> names
    dims: tuple[str]
    size: int
    picks: Array | None = None  # which of those stored

    @property
    def shape(self) -> tuple[int]:
        """(m,)"""
        return (self.size,)

    @property
    def few(self) -> bool:
        """Whether they may all be held."""
        return self.size <= MOST

    @cached_property
    def values(self) -> Array:
        """The names."""
        return self.source(self.picks)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        return np.asarray(self.values, dtype)

    def __getitem__(self, picks: Any) -> StoredNames:
        """Some of them."""
        chosen = np.arange(self.size)[picks] if self.picks is None else self.picks[picks]
        return replace(self, size=len(chosen), picks=chosen)

    def rename(self, names: dict[str, str]) -> StoredNames:
        """The same along a dimension of another name."""
        return replace(self, dims=(names.get(self.dims[0], self.dims[0]),))


def names_beside(objects: Objects, shape: tuple[int, int]) -> tuple[StoredNames | None, StoredNames | None]:
    """Names of the rows (obs) and columns (var) of a matrix in an AnnData store, where there are some."""
    outer = _outer(objects)
    return _names(outer, "obs", shape[0]), _names(outer, "var", shape[1])


def _outer(objects: Objects) -> list[Objects]:
    """The groups that may hold the names: those around X, raw/X or layers/NAME, the nearest first."""
    if isinstance(objects, LocalObjects):
        path = PurePosixPath(objects.root)
        groups: list[Objects] = [replace(objects, root=str(group)) for group in list(path.parents)[:2]]
    elif isinstance(objects, StoreObjects):
        path = PurePosixPath(objects.prefix)
        names = ["" if str(group) == "." else str(group) for group in list(path.parents)[:2]]
        groups = [replace(objects, prefix=name) for name in names]
    else:
        return []
    return groups if path.name == "X" or path.parent.name == "layers" else []


def _names(groups: list[Objects], side: str, size: int) -> StoredNames | None:
    """The names of one side; None where there are none that fit."""
    for group in groups:
        table = inner(group, side)
        index = _attributes(table).get("_index")
        if not isinstance(index, str):
            continue
        array = inner(table, index)
        if _attributes(array).get("encoding-type") == "nullable-string-array":
            array = inner(array, "values")
        fits = "/" not in index and _vetted(_metadata(array), size)
        return StoredNames(NamesReader(array), (side,), size) if fits else None
    return None


def _json(objects: Objects, key: str) -> dict[str, Any]:
    raw = first_object(objects, key)
    try:
        found = {} if raw is None else json.loads(raw.tobytes())
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _attributes(group: Objects) -> dict[str, Any]:
    found = _json(group, "zarr.json").get("attributes") or _json(group, ".zattrs")
    return found if isinstance(found, dict) else {}


def _metadata(array: Objects) -> dict[str, Any]:
    return _json(array, "zarr.json") or _json(array, ".zarray")


def _vetted(metadata: dict[str, Any], size: int) -> bool:
    """Whether Zarr may decode it: text, so many pieces of it, and no codec that does more than decompress."""
    if metadata.get("shape") != [size]:
        return False
    if metadata.get("zarr_format") == 2:
        codecs = [*(metadata.get("filters") or []), metadata.get("compressor")]
        used = {codec.get("id") if isinstance(codec, dict) else codec for codec in codecs if codec is not None}
        given = metadata.get("dtype")
        text = given == "|O" and "vlen-utf8" in used
        return used <= TEXT_CODECS and (text or (isinstance(given, str) and given[1:2] == "U"))
    kind = metadata.get("data_type")
    named = kind.get("name") if isinstance(kind, dict) else kind
    used = {codec.get("name") if isinstance(codec, dict) else codec for codec in metadata.get("codecs") or []}
    return named in {"string", "fixed_length_utf32"} and used <= TEXT_CODECS


@dataclass(frozen=True)
class NamesReader:
    """Reads the names at a place."""

    objects: Objects

    def __call__(self, picks: Array | None) -> Array:
        """All names, or some."""
        import zarr

        objects = self.objects
        if isinstance(objects, StoreObjects):
            found = zarr.open_array(objects.store, path=objects.prefix, mode="r")
        else:
            assert isinstance(objects, LocalObjects)  # noqa: S101 - for mypy: there is no third kind
            found = zarr.open_array(zarr.storage.LocalStore(objects.root, read_only=True), mode="r")
        return np.asarray(found[...] if picks is None else found.oindex[picks]).astype(object)
