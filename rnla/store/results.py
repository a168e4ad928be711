"""Results: a Zarr v3 group with factors, certificate and record, written aside and published by one rename.

Small arrays are written whole, tall ones by ranges of rows from the workers. Publishing checks that every chunk is
there, gives every tall array its manifest, and notes a hash of every small one. `xarray.open_zarr` opens the group.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from rnla.arrays import Array, DType
from rnla.errors import IntegrityError, OutputError, RequestError, StoreError
from rnla.store.manifest import THREADS, Verification, fingerprint, verify
from rnla.store.publishing import MARKER, check_target, local_target, publish, root_attributes
from rnla.store.stored import Stored, open_stored
from rnla.store.tall import StoredGrid, StoredTall, made_grid, made_tall
from rnla.store.writing import array_metadata, write_chunk, write_metadata, writing_errors

CHUNK_BYTES = 64 << 20  # small arrays larger than this are cut along their longest side
Dimensions = Mapping[str, tuple[str, ...]]
DATES = {"units": "nanoseconds since 1970-01-01", "calendar": "proleptic_gregorian"}  # as xarray decodes them


class Result(NamedTuple):
    """What a published result holds."""

    attributes: dict[str, Any]  # of the root: {"rnla": {...}, ...}
    arrays: dict[str, Array]  # small ones, in memory
    tall: dict[str, Stored]
    dimensions: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class ResultWriter:
    """A result in the making, in a folder beside its place; also the workspace of its tall arrays."""

    folder: str
    dimensions: Dimensions = field(default_factory=dict)  # dimension names of the tall arrays, by array name

    def tall(
        self, name: str, shape: tuple[int, int], dtype: DType, chunk_rows: int, *, across: bool = False
    ) -> StoredTall:
        """A tall array of the result; the same name again is the same place. `across`: it is kept as its transpose."""
        names = self.dimensions.get(name, (f"{name}_row", f"{name}_column"))
        folder = Path(self.folder, _checked(name))
        with writing_errors(self.folder):
            return made_tall(folder, shape, dtype, chunk_rows, (names[0], names[1]), across=across)

    def grid(self, name: str, shape: tuple[int, int], dtype: DType, chunks: tuple[int, int]) -> StoredGrid:
        """An array of the result that is chunked both ways and written a strip of columns at a time."""
        names = self.dimensions.get(name, (f"{name}_row", f"{name}_column"))
        folder = Path(self.folder, _checked(name))
        with writing_errors(self.folder):
            return made_grid(folder, shape, dtype, chunks, (names[0], names[1]))

    def set(
        self, name: str, array: Any, dimensions: tuple[str, ...] = (), attributes: Mapping[str, Any] | None = None
    ) -> None:
        """Write a small array whole; text becomes Zarr strings, dates become integers that xarray decodes."""
        values, notes = _encoded(np.asarray(array))
        if len(dimensions) != values.ndim:
            msg = f"array {name!r} has {values.ndim} dimensions and {len(dimensions)} names {dimensions}; name each one"
            raise RequestError(msg)
        folder = Path(self.folder, _checked(name))
        with writing_errors(folder, values.nbytes):
            shutil.rmtree(folder, ignore_errors=True)
            write = _write_text if values.dtype.kind == "O" else _write_numbers
            write(folder, values, dimensions, {**notes, **(attributes or {})})

    def publish(
        self, target: str | os.PathLike[str], attributes: Mapping[str, Any], *, overwrite: bool = False
    ) -> Path:
        """Make this the result at `target`: all there or not there; `attributes` go under "rnla" in the root.

        Raises
        ------
        OutputExistsError
            The place is taken (a result of rnla's gives way to overwrite=True).
        OutputError
            A chunk of a tall array was never written.
        StorageFullError
            The disk is full.
        """
        check_target(target, overwrite=overwrite)
        for torn in Path(self.folder).rglob(".*.part"):  # of a writer that was killed
            torn.unlink(missing_ok=True)
        tall, digests = [], {}
        for name in _members(Path(self.folder)):
            if is_tall(Path(self.folder, name)):
                tall.append(name)
                self._sealed(name)
            else:
                digests[name] = _digest(_whole(Path(self.folder, name)))
        record = {**attributes, "tall": tall, "digests": digests}
        group = _group(Path(self.folder), {MARKER: record})
        write_metadata(Path(self.folder), group)
        return publish(self.folder, target, overwrite=overwrite)

    def _sealed(self, name: str) -> None:
        """Give a tall array its manifest; a chunk that is missing means that the work is not done."""
        with writing_errors(self.folder):
            manifest = fingerprint(Path(self.folder, name), allow_missing=True)
        if manifest.absent:
            i, j = np.argwhere(manifest.parts[0].sizes < 0)[0].tolist()
            where = open_stored(Path(self.folder, name)).reader.where(i, j)
            msg = f"{where}: this part of the result was never written, so it is not published; run the job again"
            raise OutputError(msg)


def _group(folder: Path, attributes: dict[str, Any]) -> dict[str, Any]:
    """Metadata of the group, with that of its arrays: `xarray.open_zarr` warns where it is left out."""
    members = {name: json.loads((folder / name / "zarr.json").read_bytes()) for name in _members(folder)}
    return {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": attributes,
        "consolidated_metadata": {"kind": "inline", "must_understand": False, "metadata": members},
    }


def is_tall(folder: Path) -> bool:
    """Whether an array is one of `made_tall`'s."""
    return bool(root_attributes(folder).get("rnla_tall"))


def _checked(name: str) -> str:
    if not name.isidentifier():
        msg = f"array name {name!r} is not an identifier; use letters, digits and _"
        raise RequestError(msg)
    return name


def _members(folder: Path) -> list[str]:
    return sorted(child.name for child in folder.iterdir() if (child / "zarr.json").is_file())


def _encoded(values: Array) -> tuple[Array, dict[str, Any]]:
    """Numbers or objects that Zarr stores, with the attributes by which xarray decodes them."""
    if values.dtype.kind in "UTO":
        return values.astype(object), {}
    if values.dtype.kind == "M":
        return values.astype("datetime64[ns]").astype(np.int64), DATES
    if values.dtype.kind == "m":
        return values.astype("timedelta64[ns]").astype(np.int64), {"units": "nanoseconds", "dtype": "timedelta64[ns]"}
    if values.dtype.kind not in "biufc":
        msg = f"arrays of type {values.dtype} cannot be part of a result"
        raise RequestError(msg)
    return values, {}


def _write_numbers(folder: Path, values: Array, dimensions: tuple[str, ...], attributes: dict[str, Any]) -> None:
    chunks = [max(1, size) for size in values.shape]
    longest = int(np.argmax(chunks)) if chunks else 0
    if values.nbytes > CHUNK_BYTES:
        chunks[longest] = max(1, chunks[longest] * CHUNK_BYTES // values.nbytes)
    metadata = array_metadata(
        values.shape, values.dtype, tuple(chunks), dimensions=dimensions or None, attributes=attributes
    )
    if values.size:
        for number in range(-(-values.shape[longest] // chunks[longest]) if chunks else 1):
            at = [0] * values.ndim
            at[longest : longest + 1] = [number] if chunks else []
            cut = values[tuple(slice(i * size, (i + 1) * size) for i, size in zip(at, chunks, strict=True))]
            block = np.zeros(chunks, values.dtype)
            block[tuple(slice(0, size) for size in cut.shape)] = cut
            write_chunk(folder.joinpath("c", *map(str, at)), block)
    write_metadata(folder, metadata)


def _write_text(folder: Path, values: Array, dimensions: tuple[str, ...], attributes: dict[str, Any]) -> None:
    import zarr

    array = zarr.create_array(
        zarr.storage.LocalStore(folder),
        shape=values.shape,
        dtype="string",
        chunks=tuple(max(1, size) for size in values.shape),
        dimension_names=dimensions,
        attributes=attributes,
        config={"write_empty_chunks": True},
    )
    array[...] = values


def _whole(folder: Path) -> Array:
    import zarr

    return np.asarray(zarr.open_array(zarr.storage.LocalStore(folder, read_only=True), mode="r")[...])


def _digest(values: Array) -> str:
    """Hash of the elements of a small array."""
    texts = values.dtype.kind in "OUT"
    data = json.dumps(values.tolist()).encode() if texts else np.ascontiguousarray(values).tobytes()
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def is_result(path: str | os.PathLike[str]) -> bool:
    """Whether a path on this machine is a published result."""
    return _is_record(root_attributes(Path(path)).get(MARKER))


def _is_record(found: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(found, dict) and "digests" in found


def verify_result(path: str | os.PathLike[str], *, threads: int = THREADS) -> Verification:
    """Compare every array of a published result with its manifest or its hash; a small array counts as one chunk."""
    folder = local_target(path)
    record = root_attributes(folder)[MARKER]
    reports, problems = [], []
    for name in record["tall"]:
        try:
            reports.append(verify(folder / name, threads=threads))
        except StoreError as error:
            problems.append(str(error))
    stored_bytes = 0
    for name, digest in record["digests"].items():
        try:
            stored_bytes += _undamaged(folder / name, digest).nbytes
        except IntegrityError as error:
            problems.append(str(error))
    unreadable, small = len(record["tall"]) - len(reports), len(record["digests"])
    return Verification(
        str(folder),
        chunks=sum(report.chunks for report in reports) + unreadable + small,
        absent=sum(report.absent for report in reports),
        stored_bytes=sum(report.stored_bytes for report in reports) + stored_bytes,
        manifest=", ".join(report.manifest or "none" for report in reports) or "a hash of each array",
        damaged=sum(report.damaged for report in reports) + len(problems),
        problems=(*problems, *(problem for report in reports for problem in report.problems)),
    )


def read_result(path: str | os.PathLike[str]) -> Result:
    """The attributes and arrays of a published result, every small array compared with its hash.

    Raises
    ------
    StoreError
        There is no result of rnla's.
    IntegrityError
        An array is damaged.
    """
    folder = local_target(path)
    attributes = root_attributes(folder)
    record = attributes.get(MARKER)
    if not _is_record(record):
        msg = f"{folder}: this is no result of rnla's (no {MARKER!r} attribute in its zarr.json); check the path"
        raise StoreError(msg)
    tall = {name: open_stored(folder / name) for name in record["tall"]}
    arrays = {
        name: _decoded(_undamaged(folder / name, digest), folder / name) for name, digest in record["digests"].items()
    }
    names = {name: _dimension_names(folder / name) for name in (*tall, *arrays)}
    return Result(attributes, arrays, tall, names)


def _undamaged(folder: Path, digest: str) -> Array:
    try:
        values = _whole(folder)
        sound = _digest(values) == digest
    except Exception as error:  # zarr and the codecs have no common root
        msg = f"{folder}: this array of the result cannot be read ({error}); restore it, or run the job again"
        raise IntegrityError(msg) from error
    if not sound:
        msg = f"{folder}: this array of the result is not what was published; restore it, or run the job again"
        raise IntegrityError(msg)
    return values


def _decoded(values: Array, folder: Path) -> Array:
    """Dates and times that `_encoded` made integers of, as they were."""
    attributes = root_attributes(folder)
    if attributes.get("units") == DATES["units"]:
        return values.astype("datetime64[ns]")
    return values.astype("timedelta64[ns]") if attributes.get("dtype") == "timedelta64[ns]" else values


def _dimension_names(folder: Path) -> tuple[str, ...]:
    return tuple(json.loads((folder / "zarr.json").read_bytes()).get("dimension_names") or ())
