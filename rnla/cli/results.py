"""`rnla show`, and the words in which a finished result is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from rnla.cli.certificates import told_certificate
from rnla.cli.door import debug_option, json_option
from rnla.cli.output import console, print_json, print_rows, singular
from rnla.tables import counted

if TYPE_CHECKING:
    from rnla.cli.listings import Listing
    from rnla.store.results import Result

_VALUES = ("s", "singular_values")  # where a result keeps its singular values
_PER_MODE = ("lower", "upper", "residuals", "resolved", "explained_variance", "explained_variance_ratio")
AXIS = 11  # columns that the labels of a plot take
SHARES = ("accuracy", "validation_accuracy", "share", "found", "decided_rightly")  # told in percent
UNLIKE = 6  # reads whose bytes are told one by one at most


@click.command("show", short_help="Certificate, and what the result holds.")
@click.argument("result")
@click.option("--html", metavar="FILE.html", help="Write a report too: one file that needs no network to be read.")
@click.option("--modes", type=click.IntRange(1), default=20, show_default=True, help="Lines of the table.")
@click.option("--quiet", "-q", is_flag=True, help="Say nothing but errors: the report is written, and the result read.")
@json_option
@debug_option
def show(result: str, *, html: str | None, modes: int, quiet: bool, as_json: bool) -> None:
    """Certificate of a result, and its modes with a scree plot, its columns and rows, draws, pairs or largest norms."""
    from rnla.cli.listings import listing
    from rnla.jobs.folders import published
    from rnla.store.results import read_result

    found = read_result(published(result))
    record = record_of(found.attributes)
    if html:
        from rnla.dashboard.report import write_report

        write_report(result, html)
        if not quiet:
            click.echo(f"report: {html}", err=True)
    listed = listing(found, modes)
    if as_json:
        held = {"modes": _modes(found)} if listed is None else {listed.name: listed.rows, "count": listed.total}
        print_json(record | {"path": result, "arrays": _shapes(found)} | held)
    if as_json or quiet:
        return
    print_rows(told_record(record, found), title=f"{record.get('pipeline', 'result')}: {result}")
    s = _singular_values(found)
    if s is not None:
        _print_modes(found, s, modes)
        _print_scree(s, found.arrays.get("resolved"), f"singular values 1 to {len(s):,}")
    if listed is not None:
        _print_listing(listed, modes)
        if listed.curve is not None:
            _print_scree(listed.curve[1], None, listed.curve[0])


def record_of(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The record of how a result was made, from its root attributes."""
    return dict(attributes.get("rnla", attributes))


def _singular_values(found: Result) -> Any:
    return next((found.arrays[name] for name in _VALUES if name in found.arrays), None)


def _modes(found: Result) -> list[dict[str, Any]]:
    """One object for each mode."""
    s = _singular_values(found)
    if s is None:
        return []
    known = {name: found.arrays[name] for name in _PER_MODE if name in found.arrays}
    return [{"singular_value": s[i], **{name: values[i] for name, values in known.items()}} for i in range(len(s))]


def _shapes(found: Result) -> dict[str, list[int]]:
    held: dict[str, Any] = {**found.tall, **found.arrays}
    return {name: list(array.shape) for name, array in sorted(held.items())}


def _told_selectors(record: Mapping[str, Any], found: Result | None) -> list[tuple[str, str]]:
    """What the lines of each selector leave, where they were compared."""
    names = (record.get("certificate") or {}).get("selectors")
    if not names or found is None:
        return []
    errors = dict(zip(names, found.arrays["selector_errors"][:, -1], strict=True))
    errors[str((record.get("config") or {}).get("select"))] = found.arrays["errors"][-1]
    told = ", ".join(f"{name} {error:.4g}" for name, error in sorted(errors.items(), key=lambda pair: pair[1]))
    return [("selectors", f"{told} of ||A||_F, each with the best M")]


def told_record(record: Mapping[str, Any], found: Result | None = None) -> list[tuple[str, str]]:
    """Names and values of the certificate, the cost and the input."""
    rows = _told_input(record.get("input") or {})
    for name, other in (record.get("others") or {}).items():
        rows += _told_input(other, name)
    rows += told_certificate(record, {} if found is None else found.arrays)
    rows += _told_selectors(record, found)
    resolved = found.arrays.get("resolved") if found else None
    if resolved is not None:
        rows.append(("resolved", f"{int(resolved.sum())} of {counted(len(resolved), 'mode')} to 1e-6 of their value"))
    rows += told_cost(record)
    if found is not None:
        sizes = {name: " x ".join(f"{n:,}" for n in shape) for name, shape in _shapes(found).items()}
        arrays = ", ".join(f"{name} {size}".rstrip() for name, size in sizes.items())
        rows.append(("arrays", arrays))
    versions = record.get("versions") or {}
    made = ", ".join(f"{name} {versions[name]}" for name in ("rnla", "numpy", "zarr") if name in versions)
    if "finished" in record:
        seed = "" if record.get("seed") is None else f", seed {record['seed']}"
        rows.append(("made", f"{record['finished']} with {made}{seed}"))
    return rows


def _told_input(given: Mapping[str, Any], name: str = "input") -> list[tuple[str, str]]:
    if not given:
        return []
    shape = " x ".join(f"{size:,}" for size in given.get("shape", ()))
    checked = "every chunk read was checked" if given.get("input_verified") else "not verified: it has no fingerprint"
    rows = [(name, f"{given.get('url', 'in memory')}, {shape} {given.get('dtype', '')}; {checked}")]
    if (absent := given.get("absent_chunks", 0)) != 0:
        count = "not counted" if absent is None else counted(absent, "chunk")
        rows.append(
            ("absent" if name == "input" else f"absent, {name}", f"{count}, read as the fill value of the store")
        )
    return rows


def told_cost(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the result cost, beside what was promised."""
    from rnla.arrays import clock, spelt_bytes

    cost, promised = record.get("cost") or {}, record.get("plan") or {}
    if not cost:
        return []
    planned = f" (planned {promised['passes']:.3g})" if "passes" in promised else ""
    limit = f" (planned {spelt_bytes(promised['peak_bytes'])})" if "peak_bytes" in promised else ""
    seconds, sweeps = cost["seconds"], cost.get("sweeps") or []
    each = (
        f" ({', then '.join(map(spelt_bytes, sweeps))})" if 1 < len(sweeps) <= UNLIKE and len(set(sweeps)) > 1 else ""
    )
    missing = cost.get("missing_entries", 0)
    how = (record.get("config") or {}).get("missing", "")
    treated = [("missing", f"{counted(missing, 'value')} NaN or infinite, treated by {how}")] if missing else []
    return [
        *treated,
        ("method", singular(f"{record.get('method', '')}, {cost['passes']:.3g} passes{planned}")),
        (
            "read",
            f"{spelt_bytes(cost['bytes_read'])}{each} in {clock(seconds) if seconds >= 60 else f'{seconds:.1f} s'}",
        ),
        ("peak memory", f"{spelt_bytes(cost['peak_bytes'])} in a process{limit}"),
    ]


def _percent(share: float) -> str:
    return f"{share:.2%}" if share >= 1e-4 or share == 0 else f"{100 * share:.1e}%"


def _print_modes(found: Result, s: Sequence[float], count: int) -> None:
    from rich.table import Table

    columns = {name: found.arrays[name] for name in _PER_MODE if name in found.arrays}
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="cyan")
    for heading in ("mode", "singular value", "at least", "at most", "rel. width", "share", "resolved"):
        table.add_column(heading, justify="right")
    norm = (record_of(found.attributes).get("certificate") or {}).get("frobenius_norm") or 0.0
    shares = columns.get("explained_variance_ratio")
    for i in range(min(count, len(s))):
        share = shares[i] if shares is not None else (s[i] / norm) ** 2 if norm else 0.0
        bounds = [f"{columns[name][i]:.8g}" if name in columns else "" for name in ("lower", "upper")]
        resolved = "" if "resolved" not in columns else "yes" if columns["resolved"][i] else "[yellow]no[/yellow]"
        width = f"{(columns['upper'][i] - columns['lower'][i]) / s[i]:.1e}" if bounds[1] and s[i] > 0 else ""
        table.add_row(f"{i + 1:,}", f"{s[i]:.8g}", *bounds, width, _percent(float(share)), resolved)
    out = console()
    out.print()
    out.print(table)
    if len(s) > count:
        out.print(f"{len(s) - count:,} more: --modes {len(s)}", style="dim")


def _print_listing(listed: Listing, count: int) -> None:
    from rich.markup import escape
    from rich.table import Table

    if not listed.rows:
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="cyan")
    for name in listed.rows[0]:
        table.add_column(name.replace("_", " "), justify="right")
    for row in listed.rows[:count]:
        table.add_row(*(escape(_cell(name, value)) for name, value in row.items()))
    out = console()
    out.print()
    out.print(table)
    if (more := listed.total - min(count, len(listed.rows))) > 0:
        out.print(f"{more:,} more: --modes {listed.total}", style="dim")


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name in SHARES:
        return _percent(value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _print_scree(s: Sequence[float], resolved: Any, what: str) -> None:
    from rich.text import Text

    from rnla.cli.scree import scree

    out = console()
    ascii_only = not out.encoding.lower().startswith("utf")
    plot = scree([float(value) for value in s], width=min(out.width, 110) - AXIS, ascii_only=ascii_only)
    if not plot.lines:
        return
    axis = "|" if ascii_only else "│"
    colours = _colours(plot.modes, resolved, len(plot.lines[0]))
    out.print()
    for label, line in zip(plot.labels, plot.lines, strict=True):
        text = Text(f"{label:>{AXIS - 2}} {axis}", "dim")
        for cell, colour in zip(line, colours, strict=True):
            text.append(cell, colour)
        out.print(text, no_wrap=True, overflow="crop")
    each = len(plot.modes[0])
    bars = "" if each == 1 else f", {each} to a bar"
    key = "" if resolved is None or all(resolved) else ": [green]resolved[/green], [yellow]not resolved[/yellow]"
    out.print(f"{'':>{AXIS}}[dim]{what}{bars}, logarithmic[/dim]{key}")


def _colours(modes: Sequence[range], resolved: Any, width: int) -> list[str]:
    """Colour of each column of the plot."""
    sure = [resolved is None or all(bool(resolved[i]) for i in group) for group in modes]
    spread = max(1, width // len(modes))
    return ["green" if sure[min(i // spread, len(sure) - 1)] else "yellow" for i in range(width)]
