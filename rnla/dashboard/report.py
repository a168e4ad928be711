"""A result as one self-contained HTML page: opens offline, in light and dark, and prints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from rnla.arrays import Array, spelt_bytes
from rnla.dashboard import plots, reading, words
from rnla.dashboard.page import Section, Table, document, figure, html, pair
from rnla.dashboard.reading import Profile, Shown
from rnla.dashboard.spelling import SIGMA, counted, duration, known, number, percent, times
from rnla.errors import OutputError

FIRST_ROWS = 20  # of the table of modes; the others are folded
UNITS = "data units"


def write_report(result_path: Path | str, html_path: Path | str, *, extras: Sequence[Section] = ()) -> Path:
    """Write the report of a result and name the file.

    Parameters
    ----------
    result_path
        The Zarr group that `rnla run` wrote.
    html_path
        The file to write; replaced when it exists.
    extras
        Sections put before the general ones, such as maps of the modes.

    Raises
    ------
    StoreError
        There is no result at `result_path`.
    IntegrityError
        It is damaged.
    OutputError
        The file cannot be written.
    """
    shown = reading.shown(result_path)
    page = document(words.title(shown), words.top(shown), [*extras, *sections(shown)])
    place = Path(html_path).resolve()
    try:
        place.write_text(page, encoding="utf-8")
    except OSError as error:
        msg = f"the report cannot be written to {place}: {error.strerror or error}; give another place"
        raise OutputError(msg) from error
    return place


def sections(shown: Shown) -> list[Section]:
    """The parts that every report has."""
    return [
        Section("Singular values", spectrum(shown)),
        Section("Modes", modes(shown)),
        Section("Leading vectors", vectors(shown)),
        Section("Scores", scores(shown)),
        Section("Promised and measured", costs(shown)),
        Section("How it was made", made(shown)),
        Section("What the certificate means", words.MEANING),
    ]


def spectrum(shown: Shown) -> str:
    """Scree plot and cumulative share."""
    bound = shown.certificate.get("spectral_bound")
    scree = plots.scree(shown.s, shown.lower, shown.upper, shown.resolved, bound if known(bound) else None, UNITS)
    zeros = int((shown.s <= 0).sum())
    caption = "Each singular value with the interval that holds it, on a logarithmic axis." + (
        f" {counted(zeros, 'mode')} of value zero at the lower edge." if zeros else ""
    )
    label = f"share of the {words.of_what(shown)} (%)"
    share = figure(plots.cumulative(shown.shares, label), f"Share of the {words.of_what(shown)} that the leading modes "
                   "explain together.")  # fmt: skip
    return pair(figure(scree, caption), share)


def modes(shown: Shown) -> str:
    """Table of modes; a long one is folded after its first rows."""
    names = ("mode", SIGMA, "at least", "at most", "relative width", "residual", "explained", "together", "resolved")
    rows = [mode_row(shown, i, float(total)) for i, total in enumerate(np.cumsum(shown.shares))]
    head = html(Table(names, rows[:FIRST_ROWS]))
    if len(rows) <= FIRST_ROWS:
        return head
    rest = html(Table(names, rows[FIRST_ROWS:]))
    return f"{head}<details><summary>Modes {FIRST_ROWS + 1} to {len(rows)}</summary>{rest}</details>"


def mode_row(shown: Shown, i: int, together: float) -> list[str]:
    """What is known of one mode."""
    s, low, high = float(shown.s[i]), float(shown.lower[i]), float(shown.upper[i])
    return [
        str(i + 1),
        number(s, 7),
        number(low, 7),
        number(high, 7),
        number((high - low) / s, 2) if s > 0 else f"{SIGMA} = 0",
        number(float(shown.residuals[i]), 2),
        percent(float(shown.shares[i])),
        percent(together, 4),
        "yes" if shown.resolved[i] else "no",
    ]


def vectors(shown: Shown) -> str:
    """The leading vectors along both sides."""
    left = ("score", "scores") if shown.is_pca else ("u", "left singular vector")
    right = ("loading", "component") if shown.is_pca else ("v", "right singular vector")
    drawn = shown.rows.low.shape[0]
    body = "".join(pair(along(shown.rows, i, *left), along(shown.columns, i, *right)) for i in range(drawn))
    return f"<p>The first {counted(drawn, 'mode')} along the rows and along the columns.</p>{body}"


def along(drawn: Profile, mode: int, symbol: str, name: str) -> str:
    """One vector along its index."""
    index = f"{drawn.name} (index, {drawn.length:,} in all)"
    unit = f"({UNITS})" if symbol == "score" else "(no unit)"
    real = ", real part" if drawn.is_complex else ""
    says = f"{name} {mode + 1} along {drawn.name}"
    plot = plots.series(drawn.xs, drawn.low[mode], drawn.high[mode], index, f"{symbol} {unit}", says)
    return figure(plot, how_drawn(drawn), f"Mode {mode + 1}: {name} along {drawn.name}{real}")


def how_drawn(drawn: Profile) -> str:
    """What the reader must know when not every entry is drawn."""
    if drawn.whole:
        return ""
    part = (
        "" if drawn.seen == drawn.length else f" of {drawn.seen:,} of {drawn.length:,} entries, read at even distances"
    )
    return f"Too long for a line: the band holds the values{part or ' of all entries'}."


def scores(shown: Shown) -> str:
    """Rows in the plane of the first two modes, and of the first and third."""
    drawn, total = shown.scores, shown.rows.length
    planes = [(0, j) for j in range(1, drawn.shape[1])]
    if not planes:
        return "<p>There is one mode only: its values along the rows are drawn above.</p>"
    many = f"{drawn.shape[0]:,} of {total:,} rows, evenly chosen" if drawn.shape[0] < total else f"all {total:,} rows"
    formula = "UΣ" + (", real parts" if shown.rows.is_complex else "")
    body = pair(*(figure(plane(shown, drawn, i, j)) for i, j in planes))
    return f"<p>Each dot is a row ({many}); its place is its coordinates along two modes, {formula}.</p>{body}"


def plane(shown: Shown, drawn: Array, i: int, j: int) -> str:
    """Rows in the plane of two modes."""
    x, y = (f"mode {mode + 1} ({percent(float(shown.shares[mode]))} explained; {UNITS})" for mode in (i, j))
    return plots.scatter(drawn[:, i], drawn[:, j], x, y, f"Rows in the plane of modes {i + 1} and {j + 1}")


def costs(shown: Shown) -> str:
    """What the plan promised and what was measured."""
    plan, cost = shown.record.get("plan") or {}, shown.record.get("cost") or {}
    rows = [
        compared("passes over the matrix", plan.get("passes"), cost.get("passes"), times),
        compared("bytes read", plan.get("bytes_read"), cost.get("bytes_read"), spelt_bytes),
        compared("peak memory of a process", plan.get("peak_bytes"), cost.get("peak_bytes"), spelt_bytes),
        ["seconds", "no promise", duration(cost.get("seconds")), ""],
        ["reading, summed over threads", "no promise", duration(cost.get("read_seconds")), ""],
        ["rate", "no promise", rate(cost), ""],
    ]
    return html(Table(("", "promised", "measured", ""), rows)) + details(plan)


def compared(name: str, promised: Any, measured: Any, spell: Any) -> list[str]:
    """One promise."""
    both = known(promised) and known(measured)
    verdict = "" if not both else "✓ kept" if measured <= promised * (1 + 1e-9) else "✗ exceeded"
    return [
        name,
        spell(promised) if known(promised) else "not known",
        spell(measured) if known(measured) else "not known",
        verdict,
    ]


def rate(cost: Mapping[str, Any]) -> str:
    """Bytes read in each second."""
    read, seconds = cost.get("bytes_read"), cost.get("seconds")
    return f"{spelt_bytes(read / seconds)}/s" if known(read) and known(seconds) and seconds > 0 else "not known"


def details(plan: Mapping[str, Any]) -> str:
    """The rest of the plan."""
    rows = [
        ("method", f"{plan['method']}: {plan.get('why', '')}") if plan.get("method") else None,
        ("columns of a block", str(plan["width"])) if plan.get("width") else None,
        ("panel", f"{plan['panel_rows']:,} rows, {spelt_bytes(plan.get('panel_bytes', 0))}")
        if plan.get("panel_rows")
        else None,
        ("tasks", f"{plan['tasks']:,} in {counted(plan.get('spans', 0), 'span')}") if plan.get("tasks") else None,
        ("threads", str(plan["threads"])) if plan.get("threads") else None,
        ("arithmetic", f"{number(plan['flops'], 3)} operations") if plan.get("flops") else None,
        *(("note", str(note)) for note in plan.get("notes") or ()),
    ]
    return html(Table((), [row for row in rows if row], left=True))


def made(shown: Shown) -> str:
    """Configuration, input, versions: what is needed to make it again."""
    record = shown.record
    seed = {"seed": record["seed"]} if record.get("seed") is not None else {}
    when = {"started": record.get("started"), "finished": record.get("finished"), "result": str(shown.path.resolve())}
    tables = [
        named("Input", record.get("input") or {}),
        named("Options", seed | dict(record.get("config") or {})),
        named("Versions", record.get("versions") or {}),
        named("Result", when),
    ]
    opening = f"<p>Open it in Python: <code>xarray.open_zarr({escape(repr(str(shown.path)))})</code></p>"
    return pair(*(f"<div>{left}{right}</div>" for left, right in (tables[:2], tables[2:]))) + opening


def named(heading: str, values: Mapping[str, Any]) -> str:
    """A table of names and values."""
    rows = [(key.replace("_", " "), plain(value)) for key, value in values.items()]
    return f"<h3>{escape(heading)}</h3>{html(Table((), rows, left=True))}"


def plain(value: Any) -> str:
    """A value of the record as text."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} = {plain(part)}" for key, part in value.items())
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(plain(part) for part in value)
    return str(value)
