"""Output: one JSON object for machines, rows of names and values for people."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

Rows = Iterable[tuple[str, str]]


def plain(value: Any) -> Any:
    """The value in JSON's own types; NaN and infinity become null, arrays lists."""
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)


def print_json(document: Mapping[str, Any]) -> None:
    """One JSON object on stdout."""
    click.echo(json.dumps(plain(document), indent=2, ensure_ascii=False, allow_nan=False))


def console(*, stderr: bool = False) -> Console:
    """Where people read."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def print_rows(rows: Rows, title: str = "", *, stderr: bool = False) -> None:
    """Names and values, wrapped to the terminal; whole lines when there is none."""
    out = console(stderr=stderr)
    if not out.is_terminal:
        if title:
            click.echo(title, err=stderr)
        for name, value in rows:
            click.echo(f"{name:<14} {value}", err=stderr)
        return
    from rich.markup import escape
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(escape(name), escape(value))
    if title:
        out.print(f"[bold]{escape(title)}[/bold]")
    out.print(table)


def singular(text: str) -> str:
    """The text with '1 spans' as '1 span', '1 passes' as '1 pass'."""
    return re.sub(r"(?<![\d,.])1 (span|sweep|task|thread|pass(?=e))e?s\b", r"1 \1", text)
