"""`rnla info`, `rechunk`, `fingerprint` and `verify`: what is said about a store, and done to one."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from rnla.cli.door import debug_option, json_option
from rnla.cli.options import size
from rnla.cli.output import print_json, print_rows
from rnla.errors import IntegrityError
from rnla.tables import counted

if TYPE_CHECKING:
    from rnla.store.manifest import Verification
    from rnla.store.places import Found, FoundSparse
    from rnla.store.stored import Stored

_threads = click.option("--threads", type=click.IntRange(1), default=None, help="Threads that read.")
_quiet = click.option("--quiet", "-q", is_flag=True, help="Say nothing but errors.")


@click.command("info", short_help="What a store holds, and what a pass costs.")
@click.argument("store")
@json_option
@debug_option
def info(store: str, *, as_json: bool) -> None:
    """What a store holds, and what one pass over it costs."""
    from rnla.store.places import FoundSparse, found_matrix

    found = found_matrix(store)
    sparse = isinstance(found, FoundSparse)
    facts = _sparse_facts(found) if isinstance(found, FoundSparse) else _facts(found)
    if as_json:
        print_json(facts)
    else:
        print_rows(_told_sparse(facts) if sparse else _told_facts(facts), title=facts["url"])


def _sparse_facts(found: FoundSparse) -> dict[str, Any]:
    from rnla.algorithms.planning import oriented
    from rnla.store.sparse import open_sparse
    from rnla.sweeps.matrix import Matrix

    try:
        source, manifest = open_sparse(found), {"state": "absent", "digest": None, "message": None}
        if source.verified:
            manifest = {"state": "present", "digest": source.identity["manifest"], "message": None}
    except IntegrityError as error:
        source, manifest = open_sparse(found, verify=False), {"state": "stale", "digest": None, "message": str(error)}
    view, turned = oriented(Matrix(source))
    geometry, (m, n), count = view.geometry, found.shape, source.parts.nonzeros
    stored = [_stored(part, None) for part in found.parts]
    sizes = [size for _, size in stored if size is not None]
    names = ("data", "indices", "indptr")
    return {
        "url": found.objects.url,
        "encoding": found.encoding,
        "shape": [m, n],
        "dtype": str(source.dtype),
        "precision": str(view.dtype),
        "nonzeros": count,
        "density": count / max(1, m * n),
        "chunks": {name: part.layout.chunks[0] for name, part in zip(names, found.parts, strict=True)},
        "chunk_count": sum(part.layout.grid[0] for part in found.parts),
        "zarr_format": found.parts[0].layout.zarr_format,
        "codecs": _codecs(found.parts[0]),
        "bytes": geometry.bytes,
        "stored_bytes": sum(sizes) if len(sizes) == len(names) else None,
        "manifest": manifest,
        "swept_along": "columns" if turned else "rows",
        "panels": geometry.panel_count,
        "panel_rows": geometry.panel_rows,
        "panel_bytes": geometry.panel_bytes,
        "spans": len(geometry.spans()),
        "pass": {"reads": geometry.reads, "bytes": geometry.bytes, "tasks": geometry.tasks()},
    }


def _told_sparse(facts: dict[str, Any]) -> list[tuple[str, str]]:
    from rnla.arrays import spelt_bytes

    (m, n), along, one = facts["shape"], facts["swept_along"], facts["pass"]
    stored = "not known without listing it" if facts["stored_bytes"] is None else spelt_bytes(facts["stored_bytes"])
    panels = f"{facts['panels']:,} of up to {facts['panel_rows']:,} {along}"
    chunks = ", ".join(f"{name} by {length:,}" for name, length in facts["chunks"].items())
    return [
        ("matrix", f"{m:,} x {n:,} {facts['dtype']}, multiplied in {facts['precision']}"),
        ("nonzeros", f"{facts['nonzeros']:,} ({facts['density']:.3g} of the entries), as {facts['encoding']}"),
        ("size", f"{spelt_bytes(facts['bytes'])} decoded, {stored} stored"),
        ("format", f"Zarr v{facts['zarr_format']}, {' + '.join(facts['codecs']) or 'no codec'}"),
        ("chunks", f"{chunks}; {counted(facts['chunk_count'], 'chunk')}"),
        ("manifest", _told_manifest(facts)),
        ("swept along", f"its {along}"),
        ("panels", f"{panels}, {spelt_bytes(facts['panel_bytes'])}, in {counted(facts['spans'], 'span')}"),
        ("one pass", f"{spelt_bytes(one['bytes'])} in {counted(one['tasks'], 'task')}"),
    ]


def _facts(found: Found) -> dict[str, Any]:
    from rnla.algorithms.planning import oriented
    from rnla.store.stored import stored_of
    from rnla.sweeps.matrix import Matrix

    layout = found.layout
    source, manifest = _source(found)
    view, turned = oriented(Matrix(stored_of(found, verify=False)))
    geometry = view.geometry
    objects, stored_bytes = _stored(found, source)
    down, across = layout.grid
    return {
        "url": found.objects.url,
        "shape": list(layout.shape),
        "dimension_names": list(found.dimension_names),
        "dtype": str(layout.dtype),
        "precision": str(view.dtype),
        "chunks": list(layout.chunks),
        "chunk_grid": [down, across],
        "chunk_count": down * across,
        "chunk_bytes": layout.chunks[0] * layout.chunks[1] * layout.dtype.itemsize,
        "shards": None if layout.shards is None else list(layout.shards.counts),
        "zarr_format": layout.zarr_format,
        "codecs": _codecs(found),
        "bytes": geometry.bytes,
        "stored_bytes": stored_bytes,
        "objects": objects,
        "objects_expected": _objects_expected(found),
        "manifest": manifest,
        "swept_along": "columns" if turned else "rows",
        "panel_rows": min(geometry.panel_rows, geometry.rows),
        "panel_bytes": geometry.panel_bytes,
        "panel_parts": len(geometry.parts()),
        "panels": geometry.panel_count,
        "spans": len(geometry.spans()),
        "pass": {
            "reads": geometry.reads,
            "bytes": geometry.reads * geometry.bytes,
            "tasks": geometry.tasks(),
            "chunks": down * across * geometry.reads,
        },
    }


def _source(found: Found) -> tuple[Stored | None, dict[str, Any]]:
    """The store with its manifest, and what there is to say about that."""
    from rnla.store.stored import stored_of

    try:
        stored = stored_of(found)
    except IntegrityError as error:
        return None, {"state": "stale", "digest": None, "message": str(error)}
    digest = stored.reader.manifest_digest
    return stored, {"state": "present" if digest else "absent", "digest": digest, "message": None}


def _stored(found: Found, source: Stored | None) -> tuple[int | None, int | None]:
    """Chunk objects that are there and their size; not known for a remote store without a manifest."""
    from rnla.store.objects import LocalObjects, chunk_files

    if isinstance(found.objects, LocalObjects):
        sizes = [size for _, size, _ in chunk_files(found.objects.root)]
        return len(sizes), sum(sizes)
    manifest = source.reader.manifest if source is not None else None
    return None, manifest.stored_bytes if manifest is not None else None


def _objects_expected(found: Found) -> int:
    (down, across), shards = found.layout.grid, found.layout.shards
    if shards is None:
        return down * across
    return -(-down // shards.counts[0]) * -(-across // shards.counts[1])


def _codecs(found: Found) -> list[str]:
    """Names of the codecs, in the order in which a chunk is encoded."""
    chain = found.layout.chain
    if chain.foreign is None:
        return [*(str(json.loads(step)["id"]) for step in reversed(chain.steps))]
    metadata = json.loads(chain.foreign)
    if metadata["zarr_format"] == 2:
        return [codec["id"] for codec in [*(metadata.get("filters") or []), metadata.get("compressor")] if codec]
    return [codec if isinstance(codec, str) else codec["name"] for codec in metadata["codecs"]]


def _told_facts(facts: dict[str, Any]) -> list[tuple[str, str]]:
    from rnla.arrays import spelt_bytes

    (m, n), (r, c), (down, across) = facts["shape"], facts["chunks"], facts["chunk_grid"]
    names = [name for name in facts["dimension_names"] if name]
    stored = "not known without listing it" if facts["stored_bytes"] is None else spelt_bytes(facts["stored_bytes"])
    saved = facts["bytes"] / facts["stored_bytes"] if facts["stored_bytes"] else 1.0
    ratio = f" ({saved:.3g} times smaller)" if saved > 1.01 else ""
    one = facts["pass"]
    twice = "" if one["reads"] == 1 else ", read twice: whole strips do not fit; `rnla rechunk` to panels halves it"
    panels = f"{facts['panels']:,} of {facts['panel_rows']:,} {facts['swept_along']}"
    parts = f", read in {facts['panel_parts']:,} parts" if facts["panel_parts"] > 1 else ""
    rows = [
        ("matrix", f"{m:,} x {n:,} {facts['dtype']}, multiplied in {facts['precision']}"),
        *((("dimensions", ", ".join(names)),) if names else ()),
        ("size", f"{spelt_bytes(facts['bytes'])} decoded, {stored} stored{ratio}"),
        ("format", f"Zarr v{facts['zarr_format']}, {' + '.join(facts['codecs']) or 'no codec'}"),
        ("chunks", f"{r:,} x {c:,}, {spelt_bytes(facts['chunk_bytes'])} each; {_grid(down, across)}{_there(facts)}"),
        ("manifest", _told_manifest(facts)),
        ("swept along", f"its {facts['swept_along']}"),
        ("panels", f"{panels}{parts}, {spelt_bytes(facts['panel_bytes'])} each, in {counted(facts['spans'], 'span')}"),
        ("one pass", f"{spelt_bytes(one['bytes'])} in {counted(one['tasks'], 'task')}{twice}"),
    ]
    if facts["shards"]:
        a, b = facts["shards"]
        rows.insert(-4, ("shards", f"{a:,} x {b:,} chunks each"))
    return rows


def _grid(down: int, across: int) -> str:
    return f"{down:,} x {across:,} = {counted(down * across, 'chunk')}"


def _there(facts: dict[str, Any]) -> str:
    there, expected = facts["objects"], facts["objects_expected"]
    if there is None or there == expected:
        return ""
    return f"; {there:,} of {counted(expected, 'object')} there, so reading will stop at the first that is missing"


def _told_manifest(facts: dict[str, Any]) -> str:
    state = facts["manifest"]["state"]
    if state == "present":
        return f"yes ({facts['manifest']['digest']}): every chunk is checked when it is read"
    if state == "stale":
        return f"stale: {facts['manifest']['message']}"
    return f"none; `rnla fingerprint {facts['url']}` makes one"


@click.command("rechunk", short_help="Copy a store to panels of whole rows, or a sparse group to its longer side.")
@click.argument("store")
@click.argument("target")
@click.option(
    "--along",
    type=click.Choice(["rows", "columns"]),
    default=None,
    help="Side to compress a sparse group along.  [default: the longer one]",
)
@click.option("--panel", type=size, default=None, metavar="SIZE", help="Size of a panel, decoded.  [default: 16MiB]")
@click.option("--memory", type=size, default=None, metavar="SIZE", help="Memory to stay within.  [default: 512MiB]")
@click.option(
    "--codec",
    type=click.Choice(["zstd", "none"]),
    default="zstd",
    show_default=True,
    help="none is larger and read several times faster.",
)
@click.option("--overwrite", is_flag=True, help="Replace a store at TARGET that rnla made.")
@click.option("--allow-missing", is_flag=True, help="Read absent chunks as the fill value.")
@_threads
@_quiet
@json_option
@debug_option
def rechunk(
    store: str,
    target: str,
    *,
    along: str | None,
    panel: int | None,
    memory: int | None,
    threads: int | None,
    quiet: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Copy STORE to panels of whole rows at TARGET, with checksums and a manifest.

    A sparse group is compressed along its longer side, or the one asked for.
    """
    from rnla.arrays import spelt_bytes
    from rnla.cli.progress import counter
    from rnla.store.rechunk import rechunk as copy

    limits = {"along": along, "panel_bytes": panel, "memory_bytes": memory, "threads": threads}
    given = {name: value for name, value in (limits | settings).items() if value is not None}
    with counter("copying", spelt_bytes, quiet=quiet or as_json) as progress:
        made = copy(store, target, progress=progress, **given)
    if as_json:
        print_json(asdict(made))
    elif not quiet:
        size = " x ".join(f"{length:,}" for length in made.chunks)
        print_rows(
            [
                ("copy", made.path),
                ("chunks", size if made.encoding is None else f"{size} elements each, in a {made.encoding}"),
                ("reads", f"{made.reads:.3g} of the source, in {counted(made.stages, 'stage')}"),
                ("manifest", made.manifest),
            ]
        )


@click.command("fingerprint", short_help="Record checksums of every chunk.")
@click.argument("store")
@click.option("--allow-missing", is_flag=True, help="Record absent chunks as absent on purpose (they are fill values).")
@_threads
@_quiet
@json_option
@debug_option
def fingerprint(store: str, *, allow_missing: bool, threads: int | None, quiet: bool, as_json: bool) -> None:
    """Record size and crc32c of every chunk beside STORE; from then on every read is checked against them."""
    from rnla.arrays import spelt_bytes
    from rnla.cli.progress import counter
    from rnla.store.manifest import MANIFEST_KEY, Manifests
    from rnla.store.manifest import fingerprint as taken

    with counter("reading", "{:,} chunks".format, quiet=quiet or as_json) as progress:
        workers = {} if threads is None else {"threads": threads}
        made = taken(store, allow_missing=allow_missing, progress=progress, **workers)
    facts = {
        "store": store,
        "manifest": made.digest,
        "key": MANIFEST_KEY,
        "chunks": made.chunks,
        "absent": made.absent,
        "stored_bytes": made.stored_bytes,
    }
    if as_json:
        print_json(facts)
    elif not quiet:
        inside = "data, indices and indptr, each as " if isinstance(made, Manifests) else ""
        absent = f", {made.absent:,} of them left out (read as the fill value)" if made.absent else ""
        print_rows(
            [
                ("manifest", f"{made.digest}, in {store.rstrip('/')}/{inside}{MANIFEST_KEY}"),
                ("chunks", f"{made.chunks:,}{absent}"),
                ("stored", spelt_bytes(made.stored_bytes)),
            ]
        )


@click.command("verify", short_help="Compare every chunk with its checksum.")
@click.argument("store")
@_threads
@_quiet
@json_option
@debug_option
def verify(store: str, *, threads: int | None, quiet: bool, as_json: bool) -> None:
    """Compare every chunk of STORE with its manifest; without one, decode every chunk.

    STORE may also be a result of rnla's: then every array of it is compared.
    """
    from rnla.cli.progress import counter
    from rnla.store.manifest import verify as compared
    from rnla.store.results import is_result, verify_result

    workers = {} if threads is None else {"threads": threads}
    if is_result(store):
        found = verify_result(store, **workers)
    else:
        with counter("reading", "{:,} chunks".format, quiet=quiet or as_json) as progress:
            found = compared(store, progress=progress, **workers)
    if as_json:
        print_json(asdict(found) | {"sound": found.sound})
    elif found.sound and not quiet:
        print_rows(_told_verification(found))
    if not found.sound:
        _complain(found)
        click.get_current_context().exit(IntegrityError.exit_code)


def _told_verification(found: Verification) -> list[tuple[str, str]]:
    from rnla.arrays import spelt_bytes

    how = (
        f"each as the manifest says ({found.manifest})"
        if found.manifest
        else "each can be decoded; there is no manifest, so what the codecs cannot see was not checked"
    )
    rows = [("sound", f"{counted(found.chunks, 'chunk')}, {how}"), ("stored", spelt_bytes(found.stored_bytes))]
    if found.absent:
        rows.append(("absent", f"{counted(found.absent, 'chunk')}, as when the fingerprint was taken"))
    return rows


def _complain(found: Verification) -> None:
    for problem in found.problems:
        click.echo(f"error: {problem}", err=True)
    more = found.damaged - len(found.problems)
    rest = f" ({more:,} more are not listed)" if more > 0 else ""
    click.echo(f"error: {found.url}: {found.damaged:,} of {counted(found.chunks, 'chunk')} damaged{rest}", err=True)
