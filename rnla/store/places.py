"""Places: a path, a URL or a Zarr object, turned into the objects under one array; and what to say when it is not one.

Arrays are opened by their own path, never through the root group, which some stores leave in a state that Zarr
refuses.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from rnla.errors import IntegrityError, RequestError, StoreError, UnsupportedError
from rnla.store.layout import Layout, layout_of, matrix_shape
from rnla.store.objects import LocalObjects, Objects, Piece, StoreObjects, first_object
from rnla.store.publishing import made_by_rnla

LISTED = 20  # arrays named in a message
DEPTH = 5  # groups inside groups that are looked into
SPARSE_ENCODINGS = frozenset({"csr_matrix", "csc_matrix", "csr_array", "csc_array"})  # AnnData's, and a likely slip
SPARSE_PARTS = ("data", "indices", "indptr")


@dataclass(frozen=True)
class Found:
    """A matrix in a store."""

    objects: Objects
    layout: Layout
    attributes: dict[str, Any]
    dimension_names: tuple[str | None, str | None]


@dataclass(frozen=True)
class FoundSparse:
    """A matrix in a store, kept as three vectors in a group."""

    objects: Objects
    encoding: str  # csr_matrix or csc_matrix
    shape: tuple[int, int]
    parts: tuple[Found, Found, Found]  # data, indices and indptr

    @property
    def by_columns(self) -> bool:
        """Whether columns are what is compressed."""
        return self.encoding.startswith("csc")


def objects_at(place: Any) -> Objects:
    """The objects under a place; nothing is read yet, except by a zip file."""
    import zarr

    if isinstance(place, zarr.Array | zarr.Group):
        return _in_store(place.store, place.path)
    if isinstance(place, os.PathLike):
        return _in_folder(Path(place))
    if not isinstance(place, str) or not place:
        msg = f"{type(place).__name__} is not a place: give a path, a URL or a zarr.Array"
        raise RequestError(msg)
    if place.startswith("file:"):
        return _in_folder(Path(unquote(urlparse(place).path)))
    if "://" not in place and "::" not in place:
        return _in_folder(Path(place))
    try:
        store = zarr.storage.FsspecStore.from_url(place, read_only=False)
    except ImportError as error:
        needed = {"s3": "rnla[s3]", "http": "aiohttp", "https": "aiohttp", "gs": "gcsfs", "abfs": "adlfs"}
        kind = place.rpartition("::")[2].partition("://")[0]
        cure = f"pip install '{needed[kind]}'" if kind in needed else "install the package that fsspec names"
        msg = f"{place}: a package for this kind of URL is missing ({error}); {cure}"
        raise StoreError(msg) from error
    except (ValueError, TypeError) as error:
        msg = f"{place}: this URL cannot be opened ({error}); give a path or a URL that fsspec knows"
        raise StoreError(msg) from error
    return StoreObjects(store, "", place.rstrip("/"))


def _in_store(store: Any, path: str) -> Objects:
    import zarr

    if type(store) is zarr.storage.LocalStore:
        return LocalObjects(str(Path(store.root, path)) if path else str(store.root))
    name = f"{store}/{path}" if path else str(store)
    return StoreObjects(store, path, name)


def _in_folder(path: Path) -> Objects:
    import zarr
    from zarr.core.sync import sync

    path = path.expanduser().absolute()
    for outer in (path, *path.parents):
        if outer.is_file() and outer.suffix == ".zip":
            inner = "" if outer == path else path.relative_to(outer).as_posix()
            return StoreObjects(sync(zarr.storage.ZipStore.open(outer, mode="r")), inner, str(path))
        if outer.exists():
            break
    return LocalObjects(str(path))


def found_matrix(place: Any, *, columns: bool = False) -> Found | FoundSparse:
    """The matrix at a place (with `columns` also an array of one dimension), or a sentence that says what is there."""
    objects = objects_at(place)
    raw = _array_metadata(objects)
    if raw is None:
        sparse = sparse_attributes(objects)
        if sparse is None:
            raise _not_an_array(objects)
        return _found_sparse(objects, sparse)
    metadata = _parsed(raw, objects.url)
    if isinstance(metadata.get("shape"), list) and not (columns and len(metadata["shape"]) == 1):
        matrix_shape(metadata["shape"], objects.url)
    return _found(objects, raw)


def found_array(place: Any) -> Found | FoundSparse:
    """The matrix at a place, or the array of one dimension, such as targets: it is one column."""
    return found_matrix(place, columns=True)


def found_dense(place: Any, purpose: str) -> Found:
    """The matrix at a place, for what is only done to arrays."""
    found = found_matrix(place)
    if isinstance(found, FoundSparse):
        msg = f"{found.objects.url}: this is a sparse group ({found.encoding}); {purpose}"
        raise UnsupportedError(msg)
    return found


def found_column(place: Any) -> Found:
    """The array of one or two dimensions at a place, one of them being read as a single column."""
    found = found_array(place)
    if isinstance(found, FoundSparse):
        raise _not_an_array(found.objects)
    return found


def _array_metadata(objects: Objects) -> bytes | None:
    """The metadata of the array under a place; None when there is none."""
    for key in ("zarr.json", ".zarray"):
        raw = first_object(objects, key)
        if raw is not None:
            group = _parsed(raw.tobytes(), objects.url).get("node_type") == "group"
            return None if group else raw.tobytes()
    return None


def _found(objects: Objects, raw: bytes) -> Found:
    metadata = _parsed(raw, objects.url)
    names = metadata.get("dimension_names") or (None, None)
    return Found(objects, layout_of(raw, objects.url), metadata.get("attributes") or {}, tuple(names))


def sparse_attributes(objects: Objects) -> dict[str, Any] | None:
    """The attributes of a sparse group, in Zarr v3 or v2; None when it is no such group."""
    raw = first_object(objects, "zarr.json")
    if raw is not None:
        metadata = _parsed(raw.tobytes(), objects.url)
        attributes = metadata.get("attributes") if metadata.get("node_type") == "group" else None
    else:
        both = first_object(objects, ".zgroup"), first_object(objects, ".zattrs")
        attributes = _parsed(both[1].tobytes(), objects.url) if both[0] is not None and both[1] is not None else None
    known = isinstance(attributes, dict) and attributes.get("encoding-type") in SPARSE_ENCODINGS
    return attributes if known else None


def _found_sparse(objects: Objects, attributes: dict[str, Any]) -> FoundSparse:
    """The three vectors of a sparse group, of types and lengths that fit together."""
    url, encoding, shape = objects.url, attributes["encoding-type"], attributes.get("shape")
    cure = "restore the group from a copy, or write the matrix again"
    sizes = [size for size in shape if type(size) is int and size >= 0] if isinstance(shape, list) else []
    if not isinstance(shape, list) or len(shape) != 2 or len(sizes) != 2:
        msg = f"{url}: its attribute shape is {shape!r}, and must be the two sides of the matrix; {cure}"
        raise StoreError(msg)
    parts = [_vector(objects, name, f"a {encoding} has data, indices and indptr; {cure}") for name in SPARSE_PARTS]
    data, indices, indptr = (part.layout for part in parts)
    for name, layout in (("indices", indices), ("indptr", indptr)):
        if layout.dtype.kind not in "iu":
            msg = f"{url}/{name} has elements of type {layout.dtype}, and must be integers; {cure}"
            raise StoreError(msg)
    rows = sizes[1 if encoding.startswith("csc") else 0]
    if indptr.shape[0] != rows + 1:
        side = "columns" if encoding.startswith("csc") else "rows"
        msg = f"{url}: indptr has {indptr.shape[0]} elements, and {rows} {side} need {rows + 1}; {cure}"
        raise IntegrityError(msg)
    if data.shape != indices.shape:
        msg = f"{url}: data has {data.shape[0]} elements and indices {indices.shape[0]}: they must be as many; {cure}"
        raise IntegrityError(msg)
    return FoundSparse(objects, encoding, (sizes[0], sizes[1]), (parts[0], parts[1], parts[2]))


def _vector(objects: Objects, name: str, rule: str) -> Found:
    """An array of one dimension in a group."""
    inside = inner(objects, name)
    raw = _array_metadata(inside)
    if raw is None:
        msg = f"{inside.url}: there is no such array, and {rule}"
        raise StoreError(msg)
    found = _found(inside, raw)
    if not found.layout.vector:
        msg = f"{inside.url}: it has two dimensions and not one, and {rule}"
        raise StoreError(msg)
    return found


def inner(objects: Objects, name: str) -> Objects:
    """The objects under a name in a group."""
    if isinstance(objects, LocalObjects):
        return replace(objects, root=f"{objects.root}/{name}")
    if isinstance(objects, StoreObjects):
        return replace(objects, prefix=objects.key(name), url=f"{objects.url}/{name}")
    raise TypeError(type(objects).__name__)


def _parsed(raw: bytes, url: str) -> dict[str, Any]:
    try:
        metadata = json.loads(raw)
    except ValueError as error:
        msg = f"{url}: its metadata is not JSON ({error}); restore zarr.json or .zarray"
        raise StoreError(msg) from error
    if not isinstance(metadata, dict):
        msg = f"{url}: its metadata is not a JSON object; restore zarr.json or .zarray"
        raise StoreError(msg)
    return metadata


def _not_an_array(objects: Objects) -> StoreError | UnsupportedError:
    """What lies at a place that is no array."""
    if isinstance(objects, LocalObjects) and not Path(objects.root).exists():
        return StoreError(f"{objects.url}: there is no such file or folder; check the path")
    try:
        group = any(found is not None for found in objects.fetch([Piece("zarr.json"), Piece(".zgroup")]))
        inside = arrays_inside(objects)
    except Exception as error:  # noqa: BLE001 - a listing is a courtesy; web servers give none
        return StoreError(f"{objects.url}: no Zarr array here, and no listing ({error}); give the array's path")
    if not inside:
        return StoreError(f"{objects.url}: no Zarr array here (neither zarr.json nor .zarray); check the path")
    if isinstance(objects, LocalObjects) and made_by_rnla(Path(objects.root)):
        return StoreError(
            f"{objects.url}: this is a result of rnla's, not a matrix: `rnla show` prints it and `rnla verify` checks "
            f"it. To take one of its arrays as a matrix, name it: {objects.url}/{inside[0][0]}"
        )
    if set(SPARSE_PARTS) <= {name for name, _ in inside}:
        return StoreError(
            f"{objects.url}: this group holds {', '.join(SPARSE_PARTS)} as a sparse matrix does, and lacks the "
            "attributes that say which: encoding-type (csr_matrix or csc_matrix) and shape. Set them: "
            f'zarr.open_group("{objects.url}").attrs.update({{"encoding-type": "csr_matrix", "shape": [m, n]}})'
        )
    shown = ", ".join(f"{name} ({size})" for name, size in inside[:LISTED])
    more = f" and {len(inside) - LISTED} more" if len(inside) > LISTED else ""
    return StoreError(
        f"{objects.url}: this is a {'group' if group else 'folder'}, not an array. It holds {shown}{more}. "
        f"Name one of them: {objects.url}/{inside[0][0]}"
    )


def arrays_inside(objects: Objects, folder: str = "", depth: int = DEPTH) -> list[tuple[str, str]]:
    """Path and shape of the arrays under a group, matrices first; a sparse group is a matrix."""
    found = _arrays_inside(objects, folder, depth)
    return sorted(found, key=lambda each: " x " not in each[1])


def _arrays_inside(objects: Objects, folder: str, depth: int) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name in objects.children(folder):
        if name.startswith(".") or name == "zarr.json":
            continue
        path = f"{folder}/{name}".strip("/")
        v3, v2 = objects.fetch([Piece(f"{path}/zarr.json"), Piece(f"{path}/.zarray")])
        raw = v3 if v3 is not None else v2
        if raw is not None and "shape" in (metadata := _parsed(raw.tobytes(), path)):
            found.append((path, " x ".join(str(size) for size in metadata["shape"]) or "scalar"))
        elif (sparse := sparse_attributes(inner(objects, path))) is not None:
            found.append((path, " x ".join(str(size) for size in sparse.get("shape", ())) + " sparse"))
        elif depth > 0 and len(found) <= LISTED:
            found += _arrays_inside(objects, path, depth - 1)
    return found
