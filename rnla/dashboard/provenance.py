"""What every report ends with: the promises beside what was measured, and how the result was made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from rnla.arrays import spelt_bytes
from rnla.dashboard.page import Table, html, pair
from rnla.dashboard.reading import Shown
from rnla.dashboard.spelling import duration, known, number, times
from rnla.tables import counted

EXCEEDED = "✗ exceeded"


def costs(shown: Shown) -> str:
    """What the plan promised and what was measured."""
    plan, cost = shown.record.get("plan") or {}, shown.record.get("cost") or {}
    more = "some read again: the job was resumed" if shown.record.get("resumed_sweeps") else EXCEEDED
    rows = [
        compared("passes over the matrix", plan.get("passes"), cost.get("passes"), times, more),
        compared("bytes read", plan.get("bytes_read"), cost.get("bytes_read"), spelt_bytes, more),
        compared("peak memory of a process", plan.get("peak_bytes"), cost.get("peak_bytes"), spelt_bytes),
        ["seconds", "no promise", duration(cost.get("seconds")), ""],
        ["reading, summed over threads", "no promise", duration(cost.get("read_seconds")), ""],
        ["rate", "no promise", rate(cost), ""],
    ]
    return html(Table(("", "promised", "measured", ""), rows)) + details(plan)


def compared(name: str, promised: Any, measured: Any, spell: Any, more: str = EXCEEDED) -> list[str]:
    """One promise; what is said where more was measured."""
    both = known(promised) and known(measured)
    verdict = "" if not both else "✓ kept" if measured <= promised * (1 + 1e-9) else more
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


NAMES = {  # of what is planned, by pipeline: width, panel, what tasks are dealt in
    "train": ("batch", "block", "round"),
    "predict": ("outputs", "panel", "span"),
    "descent-study": ("columns", "panel", "span"),
}


def details(plan: Mapping[str, Any]) -> str:
    """The rest of the plan."""
    width, panel, dealt = NAMES.get(str(plan.get("pipeline")), ("columns of a block", "panel", "span"))
    parts = int(plan.get("sweeps" if dealt == "round" else "spans") or 0)
    rows = [
        ("method", f"{plan['method']}: {plan.get('why', '')}") if plan.get("method") else None,
        (width, f"{plan['width']:,}") if plan.get("width") else None,
        (panel, f"{plan['panel_rows']:,} rows, {spelt_bytes(plan.get('panel_bytes', 0))}")
        if plan.get("panel_rows")
        else None,
        ("tasks", f"{plan['tasks']:,} in {counted(parts, dealt)}") if plan.get("tasks") else None,
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
    others = [named(name.capitalize(), facts) for name, facts in (record.get("others") or {}).items()]
    tables = [
        named("Input", record.get("input") or {}),
        named("Options", seed | dict(record.get("config") or {})),
        named("Versions", record.get("versions") or {}) + "".join(others),
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
