"""Publishing: a folder made aside becomes the result by one rename; nothing that rnla did not make is ever removed.

A reader finds the whole result or none. With `overwrite`, the old result is renamed aside, the new one takes its
place, and only then is the old one deleted; killed in between, nothing stands at the path and both lie beside it.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

from rnla.checks import path as checked_path
from rnla.errors import OutputError, OutputExistsError, RequestError
from rnla.store.writing import writing_errors

MARKER = "rnla"  # root attribute of everything that rnla publishes


def local_target(target: str | os.PathLike[str]) -> Path:
    """The absolute path of a place to write to."""
    place = checked_path(target, "out")
    if place.startswith("file:"):
        place = place.removeprefix("file://").removeprefix("file:")
    if "://" in place or "::" in place:
        msg = (
            f"{place}: results are written to a local or shared file system, where one rename publishes them; "
            "give a path, and copy the finished result to the URL"
        )
        raise RequestError(msg)
    path = Path(place).expanduser().absolute()
    if path == Path(path.anchor):
        msg = f"{place!r} is no place for a result; give the path of a new folder"
        raise RequestError(msg)
    return path


def root_attributes(folder: Path) -> dict[str, Any]:
    """Attributes in zarr.json of a folder; empty where there are none."""
    attributes = _metadata(folder).get("attributes")
    return attributes if isinstance(attributes, dict) else {}


def _metadata(folder: Path) -> dict[str, Any]:
    """What zarr.json of a folder says; empty where there is none."""
    try:
        metadata = json.loads((folder / "zarr.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return metadata if isinstance(metadata, dict) else {}


def made_by_rnla(folder: Path) -> bool:
    """Whether a folder is a published result of rnla's."""
    return not folder.is_symlink() and folder.is_dir() and MARKER in root_attributes(folder)


def check_target(target: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """The path of a result, when it may be written.

    Raises
    ------
    OutputExistsError
        Something is there, and `overwrite` was not given or it was not made by rnla.
    OutputError
        The path lies inside an array, or a group that rnla did not make.
    """
    path = local_target(target)
    _refuse_inside(path)
    if not os.path.lexists(path):
        return path
    if not made_by_rnla(path):
        msg = (
            f"{path}: something is there already that rnla did not make (no {MARKER!r} attribute in its zarr.json), "
            "and rnla removes nothing of others; choose another path, or remove it yourself"
        )
        raise OutputExistsError(msg)
    if not overwrite:
        msg = f"{path}: there is a result already; choose another path, or give overwrite=True (--overwrite)"
        raise OutputExistsError(msg)
    return path


def _refuse_inside(path: Path) -> None:
    """Nothing is put into an array, nor into a group of others."""
    inside = Path(os.path.realpath(path.parent))
    for folder in (inside, *inside.parents):
        if _has(folder, ".zarray") or _metadata(folder).get("node_type") == "array":
            kind = "an array"
        elif _has(folder, "zarr.json", ".zgroup") and MARKER not in root_attributes(folder):
            kind = "a Zarr group that rnla did not make"
        else:
            continue
        msg = f"{path}: {folder} is {kind}, and rnla puts nothing into it; choose a path outside of it"
        raise OutputError(msg)


def _has(folder: Path, *names: str) -> bool:
    return any(os.path.lexists(folder / name) for name in names)


def publish(work: str | os.PathLike[str], target: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Make a finished folder the result, by one rename, after its files have reached the disk."""
    work, path = Path(work).absolute(), check_target(target, overwrite=overwrite)
    with writing_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _flush(work)
        aside = path.with_name(f".{path.name}.{os.urandom(4).hex()}.old") if os.path.lexists(path) else None
        if aside is not None:
            path.rename(aside)
        try:
            _renamed(work, path)
        except BaseException:
            if aside is not None:
                aside.rename(path)
            raise
        _flush_folder(path.parent)
    if aside is not None:
        shutil.rmtree(aside)
    return path


def _renamed(work: Path, path: Path) -> None:
    try:
        if os.path.lexists(path):  # a rename would swallow an empty folder
            raise FileExistsError(errno.EEXIST, "exists", str(path))
        work.rename(path)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            msg = f"{path}: another run published its result here first; this one stays at {work}"
            raise OutputExistsError(msg) from error
        if error.errno == errno.EXDEV:
            msg = f"{work} and {path} lie on different file systems, where a rename cannot go; work beside the result"
            raise OutputError(msg) from error
        raise


def _flush(folder: Path) -> None:
    """Have the system write every file and folder to the disk."""
    for place, _, names in os.walk(folder):
        for name in names:
            _flush_one(Path(place, name), os.O_RDONLY)
        _flush_folder(Path(place))


def _flush_folder(folder: Path) -> None:
    _flush_one(folder, os.O_RDONLY | os.O_DIRECTORY)


def _flush_one(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
