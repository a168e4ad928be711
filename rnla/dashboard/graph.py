"""The task graph of one sweep as a drawing: strips of the store, a task for each span, the join tree, the client.

A self-contained SVG, drawn from the geometry that the sweep itself uses. Where there are too many nodes to draw, the
first and the last are drawn and the rest is counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path

from rnla.sweeps.geometry import FAN_IN, Geometry, join_tree

MOST_SPANS = 3 * FAN_IN  # drawn; of more, only those of the first and of the last join

STRIP_WIDTH, BOX_WIDTH, BOX_HEIGHT, GAP = 200, 130, 26, 8
COLUMN = 210
LEFT, TOP, BOTTOM = 30, 120, 60
TITLE_LETTER, CAPTION_LETTER = 11.0, 7.4  # widths of a character in a wide font (DejaVu Sans)
INK, FAINT, SOFT = "#1f2933", "#6b7785", "#9aa5b1"
FILLS = {"strip": "#e8eef5", "span": "#d5e8f7", "join": "#fbe8c8", "last": "#d8efd9", "rest": "#ffffff"}


@dataclass(frozen=True)
class Node:
    """A box: one task, or a count of those left out."""

    indices: range  # of the tasks in their column that it stands for
    x: float
    y: float  # middle
    kind: str
    label: str
    width: float = BOX_WIDTH

    @property
    def left(self) -> tuple[float, float]:
        """Where arrows come in."""
        return self.x, self.y

    @property
    def right(self) -> tuple[float, float]:
        """Where arrows go out."""
        return self.x + self.width, self.y


def write_sweep_graph(path: str | Path, geometry: Geometry, *, title: str = "One sweep", along: str = "rows") -> None:
    """Write the drawing of one sweep along the rows (or columns) of a store."""
    Path(path).write_text(sweep_graph(geometry, title=title, along=along), encoding="utf-8")


def sweep_graph(geometry: Geometry, *, title: str = "One sweep", along: str = "rows") -> str:
    """The drawing as SVG text."""
    columns = _columns(geometry, along)
    strips, spans, *joins = columns
    width = _x(len(columns) - 1) + BOX_WIDTH + LEFT
    height = max(node.y for column in columns for node in column) + BOX_HEIGHT / 2 + BOTTOM
    body = [_arrow(a, b) for a, b in zip(strips, spans, strict=True)]
    for below, above in zip([spans, *joins], joins, strict=False):
        body += [_arrow(node, parent) for node in below for parent in above if _feeds(node, parent)]
    body += [_box(node) for column in columns for node in column]
    body += _headings(columns, len(join_tree(len(geometry.spans()))))
    return _page(width, height, title, _caption(geometry, along), body)


def _caption(geometry: Geometry, along: str) -> tuple[str, str]:
    spans = len(geometry.spans())
    reads = "each chunk read once" if geometry.reads == 1 else "each chunk read twice: whole strips do not fit"
    panels = f"{_counted(geometry.span_panels, 'panel')}, {min(geometry.panel_rows, geometry.rows):,} {along} each"
    first = f"{geometry.rows:,} {along} in {_counted(spans, 'span')} of up to {panels}"
    second = "One more task holds the operands of all spans. Tall results are written panel by panel inside the spans;"
    first += f"; {geometry.tasks():,} tasks, {reads}"
    return first, f"{second} only small sums travel, joined {FAN_IN} at a time."


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _columns(geometry: Geometry, along: str) -> list[list[Node]]:
    """Columns of nodes from left to right: strips of the store, spans, levels of joins."""
    cuts = geometry.spans()
    shown = _shown(len(cuts))
    ys = [TOP + BOX_HEIGHT / 2 + i * (BOX_HEIGHT + GAP) for i in range(len(shown))]
    strips, spans = [], []
    for indices, y in zip(shown, ys, strict=True):
        start, stop = cuts[indices.start].start, cuts[indices.stop - 1].stop
        whole, first = len(indices) == 1, indices.start
        kind = "" if whole else "rest"
        label = f"{along} {start:,} to {stop - 1:,}"
        strips.append(Node(indices, LEFT, y, kind or "strip", label, STRIP_WIDTH))
        name = f"span {first + 1:,}" if whole else f"{len(indices):,} more spans"
        spans.append(Node(indices, _x(1), y, kind or "span", name))
    columns = [strips, spans]
    for level, groups in enumerate(join_tree(len(cuts))):
        columns.append(_level(columns[-1], len(groups), _x(level + 2)))
    return columns


def _level(below: list[Node], count: int, x: float) -> list[Node]:
    """Joins of one level: each single one beside the nodes it takes; runs that are left out are one box."""
    touched = sorted({node.indices.start // FAN_IN for node in below if node.kind != "rest"} | {0, count - 1})
    shown: list[range] = []
    for index in touched:
        if shown and index > shown[-1].stop:
            shown.append(range(shown[-1].stop, index))
        shown.append(range(index, index + 1))
    nodes = []
    for indices in shown:
        takes = range(indices.start * FAN_IN, indices.stop * FAN_IN)
        ys = [node.y for node in below if node.indices.start < takes.stop and takes.start < node.indices.stop]
        single, last = len(indices) == 1, count == 1
        kind = "rest" if not single else "last" if last else "join"
        name = "total" if last else f"join {indices.start + 1:,}" if single else f"{len(indices):,} more joins"
        nodes.append(Node(indices, x, sum(ys) / len(ys), kind, name))
    return _apart(nodes)


def _apart(nodes: list[Node]) -> list[Node]:
    """The nodes moved down where they would overlap."""
    placed: list[Node] = []
    for node in nodes:
        least = placed[-1].y + BOX_HEIGHT + GAP if placed else node.y
        placed.append(Node(node.indices, node.x, max(node.y, least), node.kind, node.label))
    return placed


def _shown(count: int) -> list[range]:
    """Ranges of indices drawn as one box each: single ones, or the long middle as one."""
    if count <= MOST_SPANS:
        return [range(i, i + 1) for i in range(count)]
    last = (count - 1) // FAN_IN * FAN_IN
    head, tail = range(FAN_IN), range(last, count)
    return [*(range(i, i + 1) for i in head), range(FAN_IN, last), *(range(i, i + 1) for i in tail)]


def _x(column: int) -> float:
    """Left edge of a column of boxes."""
    return LEFT + (STRIP_WIDTH - BOX_WIDTH + COLUMN * column if column else 0)


def _feeds(node: Node, parent: Node) -> bool:
    start, stop = parent.indices.start * FAN_IN, parent.indices.stop * FAN_IN
    return node.indices.start < stop and start < node.indices.stop


def _headings(columns: list[list[Node]], levels: int) -> list[str]:
    names = ["store", "spans: read and multiply", *(f"join, level {level + 1}" for level in range(levels))]
    texts = [_text(column[0].x, TOP - 14, name, FAINT, 12) for column, name in zip(columns, names, strict=True)]
    last = columns[-1][0]
    if len(columns[-1]) == 1:
        texts.append(_text(last.x, last.y + BOX_HEIGHT / 2 + 18, "to the client: small", FAINT, 12))
    return texts


def _box(node: Node) -> str:
    dash = ' stroke-dasharray="4 3"' if node.kind == "rest" else ""
    colour = SOFT if node.kind == "rest" else INK
    box = (
        f'<rect x="{node.x:.1f}" y="{node.y - BOX_HEIGHT / 2:.1f}" width="{node.width:.0f}" height="{BOX_HEIGHT}" '
        f'rx="4" fill="{FILLS[node.kind]}" stroke="{colour}" stroke-width="1"{dash}/>'
    )
    return box + _text(node.x + node.width / 2, node.y + 4, node.label, INK, 12, anchor="middle")


def _arrow(a: Node, b: Node) -> str:
    (x0, y0), (x1, y1) = a.right, b.left
    middle = (x0 + x1) / 2
    dash = ' stroke-dasharray="4 3"' if "rest" in {a.kind, b.kind} else ""
    return (
        f'<path d="M{x0:.1f} {y0:.1f}C{middle:.1f} {y0:.1f} {middle:.1f} {y1:.1f} {x1:.1f} {y1:.1f}" fill="none" '
        f'stroke="{SOFT}" stroke-width="1.2" marker-end="url(#tip)"{dash}/>'
    )


def _text(x: float, y: float, words: str, colour: str, size: int, *, anchor: str = "start", weight: int = 400) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}" '
        f'font-weight="{weight}">{escape(words)}</text>'
    )


def _page(width: float, height: float, title: str, caption: tuple[str, ...], body: list[str]) -> str:
    words = [CAPTION_LETTER * len(line) for line in caption] + [TITLE_LETTER * len(title)]
    width = max(width, 2 * LEFT + max(words))
    head = [_text(LEFT, 30, title, INK, 17, weight=600)]
    head += [_text(LEFT, 54 + 18 * i, line, FAINT, 13) for i, line in enumerate(caption)]
    tip = (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0L8 4L0 8z" fill="{SOFT}"/></marker></defs>'
    )
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="system-ui, sans-serif" role="img">'
    )
    return "\n".join(
        [
            opening,
            f"<title>{escape(title)}</title>",
            tip,
            '<rect width="100%" height="100%" fill="#ffffff"/>',
            *head,
            *body,
            "</svg>\n",
        ]
    )
