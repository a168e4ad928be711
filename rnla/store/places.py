"""Places: a path, a URL or a Zarr object, turned into the objects under one array; and what to say when it is not one.

Arrays are opened by their own path, never through the root group, which some stores leave in a state that Zarr
refuses.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from rnla.errors import RequestError, StoreError, UnsupportedError
from rnla.store.layout import Layout, layout_of, matrix_shape
from rnla.store.objects import LocalObjects, Objects, Piece, StoreObjects, first_object
from rnla.store.publishing import made_by_rnla

LISTED = 20  # arrays named in a message
DEPTH = 5  # groups inside groups that are looked into


@dataclass(frozen=True)
class Found:
    """A matrix in a store."""

    objects: Objects
    layout: Layout
    attributes: dict[str, Any]
    dimension_names: tuple[str | None, str | None]


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


def found_matrix(place: Any) -> Found:
    """The matrix at a place, or a sentence that says what is there instead."""
    objects = objects_at(place)
    for key in ("zarr.json", ".zarray"):
        raw = first_object(objects, key)
        if raw is not None:
            break
    else:
        raise _not_an_array(objects)
    metadata = _parsed(raw.tobytes(), objects.url)
    if metadata.get("node_type") == "group":
        raise _not_an_array(objects)
    if isinstance(metadata.get("shape"), list):
        matrix_shape(metadata["shape"], objects.url)
    names = metadata.get("dimension_names") or (None, None)
    return Found(objects, layout_of(raw.tobytes(), objects.url), metadata.get("attributes") or {}, tuple(names))


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
    shown = ", ".join(f"{name} ({size})" for name, size in inside[:LISTED])
    more = f" and {len(inside) - LISTED} more" if len(inside) > LISTED else ""
    return StoreError(
        f"{objects.url}: this is a {'group' if group else 'folder'}, not an array. It holds {shown}{more}. "
        f"Name one of them: {objects.url}/{inside[0][0]}"
    )


def arrays_inside(objects: Objects, folder: str = "", depth: int = DEPTH) -> list[tuple[str, str]]:
    """Path and shape of the arrays under a group."""
    found: list[tuple[str, str]] = []
    for name in objects.children(folder):
        if name.startswith(".") or name == "zarr.json":
            continue
        path = f"{folder}/{name}".strip("/")
        v3, v2 = objects.fetch([Piece(f"{path}/zarr.json"), Piece(f"{path}/.zarray")])
        raw = v3 if v3 is not None else v2
        if raw is not None and "shape" in (metadata := _parsed(raw.tobytes(), path)):
            found.append((path, " x ".join(str(size) for size in metadata["shape"]) or "scalar"))
        elif depth > 0 and len(found) <= LISTED:
            found += arrays_inside(objects, path, depth - 1)
    return found
