"""Plots that compare: curves with their names at the end, places along an axis, shares as bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape

import numpy as np

from rnla.arrays import Array
from rnla.dashboard.axes import LETTER, Axis, Frame, Tick, counting, linear, logarithmic
from rnla.dashboard.plots import line
from rnla.dashboard.spelling import percent

APART = 16.0  # pixels between names
NAMED = 12  # places that are named at most
LINEAR = 6.0  # values that differ by a larger factor need a logarithmic axis


@dataclass(frozen=True)
class Curve:
    """Values over xs under a name, drawn in a style of the page."""

    name: str
    xs: Array
    ys: Array
    style: str  # class: "c1", "c2", "c0"
    end: str = ""  # the last value as text


def values_axis(label: str, values: Array) -> Axis:
    """A linear axis from zero, or a logarithmic one where the values differ much."""
    positive = values[np.isfinite(values) & (values > 0)]
    if positive.size and positive.max() > LINEAR * positive.min():
        return logarithmic(label, positive)
    top = float(positive.max()) if positive.size else 1.0
    return replace(linear(label, [0.0, top], pad=0.0), high=1.05 * top)


def comparison(
    curves: Sequence[Curve],
    x: Axis,
    y: Axis,
    says: str,
    *,
    marks: Sequence[tuple[float, str]] = (),
    below: bool = False,
    rings: Sequence[tuple[float, float, str]] = (),
) -> str:
    """Curves in one frame, each named at its right end.

    `marks` are vertical lines, their texts at the top or below; `rings` are points (x, y) with what they are.
    """
    names = [f"{curve.name}  {curve.end}".strip() for curve in curves]
    frame = Frame(x, y, height=330, right=round(20 + 1.08 * LETTER * max(map(len, names), default=0)))
    edge = frame.box[0] + frame.box[2]
    ends = [float(frame.down([curve.ys[-1]])[0]) for curve in curves]
    drawn = "".join(curve_marks(frame, curve) for curve in curves)
    texts = "".join(
        f'<path class="line quiet" d="M{frame.across([curve.xs[-1]])[0]:.1f} {end:.1f}L{edge + 4:.1f} {place:.1f}"/>'
        f'<text class="name {curve.style}" x="{edge + 7:.1f}" y="{place + 4:.1f}">{escape(name)}</text>'
        for curve, name, end, place in zip(curves, names, ends, spread(ends, frame), strict=True)
    )
    heights = [frame.box[3] - 22 - 15 * row if below else 15 * row for row in range(len(marks))]
    lines = "".join(upright(frame, mark, height) for mark, height in zip(marks, heights, strict=True))
    points = "".join(
        f'<circle class="open" cx="{frame.across([at])[0]:.1f}" cy="{frame.down([value])[0]:.1f}" r="5">'
        f"<title>{escape(text)}</title></circle>"
        for at, value, text in rings
    )
    return frame.svg(lines + drawn + points + texts, says)


def curve_marks(frame: Frame, curve: Curve, *, discs: bool = True) -> str:
    """A line, with a disc for each value where there are few."""
    dots = ""
    if discs and curve.xs.size <= 60:
        places = zip(frame.across(curve.xs), frame.down(curve.ys), strict=True)
        dots = "".join(f'<circle class="disc {curve.style}" cx="{x:.1f}" cy="{y:.1f}" r="2.2"/>' for x, y in places)
    return line(frame, curve.xs, curve.ys, curve.style) + dots


def spread(wanted: Sequence[float], frame: Frame) -> list[float]:
    """Heights near those wanted that are far enough apart to be read, within the frame."""
    order = np.argsort(wanted)
    placed = np.asarray(wanted, dtype=np.float64)[order]
    for i in range(1, placed.size):
        placed[i] = max(placed[i], placed[i - 1] + APART)
    over = placed[-1] - (frame.box[1] + frame.box[3] - 0.5 * APART) if placed.size else 0.0
    placed -= max(over, 0.0)
    for i in range(placed.size - 2, -1, -1):
        placed[i] = min(placed[i], placed[i + 1] - APART)
    return [float(placed[rank]) for rank in np.argsort(order)]


def upright(frame: Frame, mark: tuple[float, str], lower: float = 0.0) -> str:
    """A vertical line with its text beside it, so much lower than the top."""
    _, top, width, height = frame.box
    (x,) = frame.across([mark[0]])
    late = x > frame.box[0] + width / 2
    return (
        f'<path class="line quiet" d="M{x:.1f} {top}v{height:.1f}"/>'
        f'<text class="note{" end" if late else ""}" x="{x - 6 if late else x + 6:.1f}" y="{top + 14 + lower:g}">'
        f"{escape(mark[1])}</text>"
    )


def places(indices: Array, length: int, names: Sequence[str], label: str, style: str, says: str) -> str:
    """Where lines of a matrix lie: the index across, the order in which they were chosen down; the first ones named."""
    count = indices.size
    ranks = counting("", count).ticks
    pad = max(0.6, 0.06 * count)
    y = Axis("order of choice", count + pad, 1 - pad, marks=tuple(ranks))
    x = Axis(label, -0.5, length - 0.5, marks=index_ticks(length))
    frame = Frame(x, y, height=260)
    xs, ys = frame.across(indices), frame.down(np.arange(1, count + 1))
    size = float(np.clip(0.35 * frame.box[3] / max(count, 1), 1.3, 4.0))
    discs = "".join(
        f'<circle class="disc {style}" cx="{a:.1f}" cy="{b:.1f}" r="{size:.1f}"><title>{i + 1}: {escape(name)}</title>'
        "</circle>"
        for i, (a, b, name) in enumerate(zip(xs, ys, names, strict=True))
    )
    floor = frame.box[1] + frame.box[3]
    rug = "".join(f"M{a:.1f} {floor:.1f}v-6" for a in xs)
    return frame.svg(f'<path class="line {style} rug" d="{rug}"/>{discs}{first_names(frame, xs, ys, names)}', says)


def index_ticks(length: int) -> tuple[Tick, ...]:
    """Whole numbers along 0..length - 1."""
    if length < 9:
        return tuple((float(i), f"{i}") for i in range(length))
    return tuple(tick for tick in Axis("", 0, length - 1).ticks if float(tick[0]).is_integer())


def first_names(frame: Frame, xs: Array, ys: Array, names: Sequence[str]) -> str:
    """Names beside the first places, as long as they hide neither one another nor a place."""
    left, _, width, _ = frame.box
    taken = [(x - 4, x + 4, y) for x, y in zip(xs[: 4 * NAMED], ys[: 4 * NAMED], strict=True)]
    texts = []
    for x, y, name in zip(xs[:NAMED], ys[:NAMED], names[:NAMED], strict=True):
        wide = 1.15 * LETTER * len(name)
        for start, kind, at in ((x + 7, "note", x + 7), (x - 7 - wide, "note end", x - 7)):
            inside = left <= start and start + wide <= left + width
            free = all(start > b or start + wide < a or abs(y - other) > 11 for a, b, other in taken)
            if inside and free:
                texts.append(f'<text class="{kind}" x="{at:.1f}" y="{y + 4:.1f}">{escape(name)}</text>')
                taken.append((start, start + wide, y))
                break
    return "".join(texts)


def histogram(edges: Array, counts: Array, label: str, noun: str, says: str) -> str:
    """How many values fall between neighbouring edges."""
    y = replace(linear(f"number of {noun}", [0.0, float(max(counts.max(initial=0), 1))], pad=0.0))
    frame = Frame(linear(label, edges, pad=0.0), replace(y, high=1.08 * y.high))
    xs, tops = frame.across(edges), frame.down(counts)
    floor = frame.box[1] + frame.box[3]
    bars = "".join(
        f'<rect class="bar c1" x="{a + 0.5:.1f}" y="{top:.1f}" width="{max(b - a - 1, 0.5):.1f}" '
        f'height="{floor - top:.1f}"><title>{count:,} {escape(noun)}</title></rect>'
        for a, b, top, count in zip(xs, xs[1:], tops, counts.tolist(), strict=False)
        if count
    )
    return frame.svg(bars, says)


def shares(entries: Sequence[tuple[str, float, str]], label: str, says: str, *, most: float = 1.0) -> str:
    """Shares of one as bars, one under the other: (name, share, style), each with its number; none above `most`."""
    rows = tuple((float(i), name) for i, (name, _, _) in enumerate(entries))
    scale = None if most < 0.5 else tuple((float(v), f"{v}") for v in range(0, 101, 20))
    across = Axis(label, 0, 100 if scale else 115 * max(most, 0.01), marks=scale)
    y = Axis("", len(entries) - 0.4, -0.6, marks=rows)
    frame = Frame(across, y, height=58 + 30 * len(entries), right=round(LETTER * 9))
    bars = []
    for i, (_, share, style) in enumerate(entries):
        (end,), (middle,) = frame.across([100 * share]), frame.down([i])
        bars.append(
            f'<rect class="bar {style}" x="{frame.left:.1f}" y="{middle - 9:.1f}" width="{end - frame.left:.1f}" '
            f'height="18"/><text x="{end + 6:.1f}" y="{middle + 4:.1f}" class="number">{percent(share)}</text>'
        )
    return frame.svg("".join(bars), says)
