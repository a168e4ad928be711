"""One self-contained HTML page: its parts, and a style that works in light, in dark and on paper."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from html import escape

STYLE = """
:root { color-scheme: light dark; --bg: #fdfdfc; --card: #ffffff; --ink: #1b1f24; --soft: #59636e; --rule: #d5dae0;
  --grid: #eceff2; --c1: #0b5cad; --c2: #b34700; --warm: #fbe3cf; --cold: #d7e7f7; --good: #1a6b3c; --bad: #a4161a;
  --shade: #0005; }
@media (prefers-color-scheme: dark) { :root { --bg: #14171b; --card: #1b1f24; --ink: #e8eaed; --soft: #a2acb8;
  --rule: #3a424c; --grid: #262c33; --c1: #6cb2ff; --c2: #ffa05c; --warm: #4d3420; --cold: #20364d; --good: #63d08f;
  --bad: #ff8f8f; --shade: #000c; } }
@media print { :root { color-scheme: light; --bg: #fff; --card: #fff; --ink: #000; --soft: #333; --rule: #999;
  --grid: #ddd; --c1: #0b5cad; --c2: #b34700; --warm: #fbe3cf; --cold: #d7e7f7; --good: #1a6b3c; --bad: #a4161a; }
  body { font-size: 10pt; max-width: none; padding: 0; } * { print-color-adjust: exact; }
  figure, .tile, tr, .say { break-inside: avoid; } h2 { break-after: avoid; } details > summary { display: none; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 74rem; padding: 2rem 1.5rem 4rem; background: var(--bg); color: var(--ink);
  font: 16px/1.55 system-ui, "Segoe UI", "Noto Sans", "Liberation Sans", Arial, sans-serif; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .4rem; padding-top: .8rem; border-top: 1px solid var(--rule); }
p { margin: .5rem 0; max-width: 50rem; } .sub, figcaption, caption { color: var(--soft); }
.say { background: var(--card); border: 1px solid var(--rule); border-left: 4px solid var(--c1); padding: .4rem 1.1rem;
  margin: 1.2rem 0; } .say.missed { border-left-color: var(--bad); } .say p { max-width: none; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.2rem, 1fr)); gap: .7rem; margin: 1.2rem 0; }
.tile { background: var(--card); border: 1px solid var(--rule); padding: .6rem .9rem; }
.tile b { display: block; font-size: 1.45rem; font-weight: 600; line-height: 1.3; }
.tile b.long { font-size: 1.05rem; line-height: 1.85; }
.tile span { color: var(--soft); font-size: .85rem; display: block; line-height: 1.35; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(27rem, 100%), 1fr)); gap: 1.2rem; }
.pair > * { min-width: 0; }
.beside { display: flex; flex-wrap: wrap; gap: 0 2.4rem; } .beside > * { min-width: 0; max-width: 100%; }
figure { margin: 1rem 0 0; } figcaption { font-size: .88rem; line-height: 1.45; margin-top: .3rem; max-width: 50rem; }
h3 { font-size: .95rem; margin: .6rem 0 .2rem; font-weight: 600; }
svg { display: block; width: 100%; height: auto;
  font: 13px system-ui, "Noto Sans", "Liberation Sans", Arial, sans-serif; }
svg text { fill: var(--ink); } svg .tick, svg .note { fill: var(--soft); } .mid { text-anchor: middle; }
.end { text-anchor: end; } svg .note { font-size: 12.5px; paint-order: stroke; stroke: var(--bg); stroke-width: 3px; }
.grid { stroke: var(--grid); fill: none; } .frame { fill: none; stroke: var(--rule); }
.line { fill: none; stroke-width: 1.6; stroke-linejoin: round; } .c0 { stroke: var(--soft); } .c1 { stroke: var(--c1); }
.c2 { stroke: var(--c2); } svg text.name { stroke: none; font-weight: 600; } svg text.c0 { fill: var(--soft); }
svg text.c1 { fill: var(--c1); } svg text.c2 { fill: var(--c2); } .rug { opacity: .55; stroke-width: 1; }
.disc, .bar { stroke: none; } .disc.c0, .bar.c0 { fill: var(--soft); } .disc.c1, .bar.c1 { fill: var(--c1); }
.disc.c2, .bar.c2 { fill: var(--c2); }
.line.c2 { stroke-dasharray: 5 3; }
.line.c0 { stroke-width: 4.5; opacity: .45; }
.line.rug { stroke-dasharray: none; } .line.quiet { stroke: var(--soft); stroke-dasharray: 3 3; stroke-width: 1; }
.line.axis0 { stroke: var(--soft); stroke-width: .8; } .band { opacity: .55; fill: var(--c1); stroke-width: .8; }
.bars { fill: none; stroke: var(--c2); stroke-width: 1.3; } .known { fill: var(--c1); }
.open { fill: var(--bg); stroke: var(--c2); stroke-width: 1.5; }
.dots { fill: none; stroke: var(--c1); stroke-linecap: round; opacity: .6; } .warm { fill: var(--warm); }
.cold { fill: var(--cold); } .map { image-rendering: pixelated; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; margin: .6rem 0; }
.wide { overflow-x: auto; background:
  linear-gradient(to right, var(--bg) 40%, transparent) left / 40px 100% no-repeat local,
  linear-gradient(to left, var(--bg) 40%, transparent) right / 40px 100% no-repeat local,
  linear-gradient(to right, var(--shade), transparent) left / 16px 100% no-repeat scroll,
  linear-gradient(to left, var(--shade), transparent) right / 16px 100% no-repeat scroll; }
th, td { padding: .22rem .8rem .22rem 0; text-align: right; vertical-align: top; }
th { font-weight: 600; border-bottom: 1px solid var(--rule); } td { border-bottom: 1px solid var(--grid); }
.left th, .left td, th[scope=row], th.text, td.text { text-align: left; }
.even th, .even td { min-width: calc(var(--room) + .8rem); }
td { white-space: nowrap; } .left td { overflow-wrap: anywhere; white-space: normal; }
tbody th { font-weight: 400; border-bottom-color: var(--grid); }
.left tbody th { color: var(--soft); white-space: nowrap; } caption { text-align: left; font-size: .88rem; }
code { font: .9em ui-monospace, "Noto Sans Mono", "Liberation Mono", Menlo, monospace; overflow-wrap: anywhere; }
.good { color: var(--good); } .bad { color: var(--bad); } td.good, td.bad { font-weight: 600; }
summary { cursor: pointer; color: var(--c1); font-size: .9rem; margin: .4rem 0; }
@media print { .pair { grid-template-columns: 1fr 1fr; gap: .8rem; } .pair figure { margin-top: .5rem; }
  h2 { margin-top: 1.2rem; } h3 { break-after: avoid; } .wide { overflow: visible; background: none; }
  table { font-size: 8pt; }
  th, td { padding-right: .5rem; } }
"""


@dataclass(frozen=True)
class Section:
    """A headed part of a report. `body` is HTML already: whoever writes it escapes what it quotes."""

    title: str
    body: str


@dataclass(frozen=True)
class Table:
    """Rows of cells as text, and how the columns stand."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: bool = False  # all columns to the left: words rather than numbers
    texts: tuple[int, ...] = ()  # columns of words among numbers
    even: int = 0  # characters that every column has room for at least


Tile = tuple[str, str, str]  # a large number: name, value, remark
BLANK = "<div></div>"  # beside a figure that has the room of two
FIRST_ROWS = 20  # of a long table; the others are folded


def html(table: Table) -> str:
    """The table; the first cell of a row is its heading. Text is escaped; 'kept' and 'exceeded' get their colours."""
    head = "".join(f'<th scope="col"{stands(table, i)}>{escape(cell)}</th>' for i, cell in enumerate(table.heads))
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        f"{''.join(cell(text, stands(table, i)) for i, text in enumerate(row[1:], 1))}</tr>"
        for row in table.rows
    )
    head = f"<thead><tr>{head}</tr></thead>" if head else ""
    kind = ' class="left"' if table.left else f' class="even" style="--room: {table.even}ch"' if table.even else ""
    return f'<div class="wide" tabindex="0"><table{kind}>{head}<tbody>{body}</tbody></table></div>'


def folded(table: Table, noun: str) -> str:
    """A table whose rows after the first ones wait behind a line: 'Modes 21 to 45'."""
    head = html(replace(table, rows=table.rows[:FIRST_ROWS]))
    if len(table.rows) <= FIRST_ROWS:
        return head
    rest = html(replace(table, rows=table.rows[FIRST_ROWS:]))
    return f"{head}<details><summary>{escape(noun)} {FIRST_ROWS + 1} to {len(table.rows):,}</summary>{rest}</details>"


def stands(table: Table, column: int) -> str:
    """How a column stands, as an attribute."""
    return ' class="text"' if column in table.texts else ""


def cell(text: str, stands: str = "") -> str:
    """One cell."""
    tone = {"✓ kept": ' class="good"', "✗ exceeded": ' class="bad"'}.get(text, stands)
    return f"<td{tone}>{escape(text)}</td>"


def figure(svg: str, caption: str = "", heading: str = "") -> str:
    """A plot with its words; caption and heading are text."""
    top = f"<h3>{escape(heading)}</h3>" if heading else ""
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f"<figure>{top}{svg}{below}</figure>"


def pair(*figures: str) -> str:
    """Figures side by side where there is room."""
    return f'<div class="pair">{"".join(figures)}</div>'


def beside(*parts: str) -> str:
    """Parts of their own widths in one line, or one under the other where that has no room."""
    return f'<div class="beside">{"".join(parts)}</div>'


def long(value: str) -> str:
    """Smaller letters for a value that would not fit its tile, as an attribute."""
    return ' class="long"' if len(value) > 7 else ""


def tiles(entries: Iterable[Tile]) -> str:
    """Large numbers."""
    return "".join(
        ['<div class="tiles">']
        + [
            f'<div class="tile"><span>{escape(name)}</span><b{long(value)}>{escape(value)}</b>'
            f"<span>{escape(remark)}</span></div>"
            for name, value, remark in entries
        ]
        + ["</div>"]
    )


def document(title: str, top: str, sections: Iterable[Section]) -> str:
    """The page. No scripts, and nothing fetched from anywhere."""
    body = "".join(f"<section><h2>{escape(s.title)}</h2>{s.body}</section>\n" for s in sections)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{top}\n{body}</main>\n"
        "</body>\n</html>\n"
    )
