"""The plots of a report as SVG: singular values with their intervals, explained variance, series, scatters."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from rnla.arrays import Array
from rnla.dashboard.axes import Axis, Frame, counting, linear, logarithmic
from rnla.dashboard.spelling import number


def points(xs: Array, ys: Array) -> str:
    """Coordinates as SVG writes them."""
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))


def line(frame: Frame, xs: Any, ys: Any, style: str) -> str:
    """A line through the points."""
    return f'<polyline class="line {style}" points="{points(frame.across(xs), frame.down(ys))}"/>'


def band(frame: Frame, xs: Any, low: Any, high: Any, style: str) -> str:
    """The area between two lines."""
    across = frame.across(xs)
    edge = points(np.append(across, across[::-1]), np.append(frame.down(high), frame.down(low)[::-1]))
    return f'<polygon class="band {style}" points="{edge}"/>'


def level(frame: Frame, value: float, text: str, *, right: bool = False) -> str:
    """A horizontal line with its text: above it, or below where the frame ends."""
    left, top, width, _ = frame.box
    (y,) = frame.down([value])
    x, kind = (left + width - 6, "note end") if right else (left + 6, "note")
    return (
        f'<path class="line quiet" d="M{left:.1f} {y:.1f}h{width:.1f}"/>'
        f'<text class="{kind}" x="{x:.1f}" y="{y - 5 if y - top > 16 else y + 14:.1f}">{escape(text)}</text>'
    )


def zero(frame: Frame) -> str:
    """The line y = 0, where it lies in the frame."""
    if not frame.y.low < 0 < frame.y.high:
        return ""
    left, _, width, _ = frame.box
    return f'<path class="line axis0" d="M{left:.1f} {frame.down([0.0])[0]:.1f}h{width:.1f}"/>'


def mode_marks(frame: Frame, s: Array, lower: Array, upper: Array, resolved: Array) -> str:
    """A disc for each resolved mode, an open square for each other one, and the interval as an error bar."""
    modes = np.arange(1, s.size + 1)
    xs, ys = frame.across(modes), frame.down(s)
    ends = zip(xs, frame.down(lower), frame.down(np.where(np.isfinite(upper), upper, frame.y.high)), strict=True)
    reach = float(min(4.0, 0.3 * frame.box[2] / s.size))  # half the width of the caps
    bars = "".join(
        f"M{x:.1f} {a:.1f}V{b:.1f}M{x - reach:.1f} {a:.1f}h{2 * reach:.1f}M{x - reach:.1f} {b:.1f}h{2 * reach:.1f}"
        for x, a, b in ends
        if a - b > 1
    )
    size = float(np.clip(0.35 * frame.box[2] / s.size, 1.2, 4.2))
    shapes = []
    for mode, x, y in zip(modes, xs, ys, strict=True):
        i = mode - 1
        says = f"<title>mode {mode}: {number(float(s[i]), 6)}, between {number(float(lower[i]), 6)} and "
        says += f"{number(float(upper[i]), 6)}</title>"
        if resolved[i]:
            shapes.append(f'<circle class="known" cx="{x:.1f}" cy="{y:.1f}" r="{size:.1f}">{says}</circle>')
        else:
            edge = f'x="{x - size:.1f}" y="{y - size:.1f}" width="{2 * size:.1f}" height="{2 * size:.1f}"'
            shapes.append(f'<rect class="open" {edge}>{says}</rect>')
    return f'<path class="bars" d="{bars}"/>{"".join(shapes)}'


def scree(s: Array, lower: Array, upper: Array, resolved: Array, bound: float | None, units: str) -> str:
    """Singular values with their intervals over the number of the mode, on a logarithmic axis."""
    shown = np.concatenate([s, upper[np.isfinite(upper)], lower[lower > 0.1 * np.max(s, initial=0) * 1e-6]])
    if bound is not None and 0 < bound < np.inf:
        shown = np.append(shown, max(bound, 1e-3 * float(np.min(s[s > 0], initial=bound))))
    frame = Frame(counting("mode i", s.size), logarithmic(f"singular value σᵢ ({units})", shown), height=330)
    marks = mode_marks(frame, s, lower, upper, resolved)
    if bound is not None and frame.y.low <= bound <= frame.y.high:
        free = int((s > bound).sum()) < s.size / 2  # the discs run from the upper left to the lower right
        marks = level(frame, bound, f"everything left out: at most {number(bound, 3)}", right=free) + marks
    return frame.svg(marks + scree_key(frame, resolved), "Singular values on a logarithmic axis; values in the table")


def scree_key(frame: Frame, resolved: Array) -> str:
    """What discs, squares and bars mean; only what occurs."""
    left, top, width, _ = frame.box
    x, y = left + width - 228, top + 18
    entries = [
        (f'<circle class="known" cx="{x}" cy="Y" r="4.2"/>', "resolved: known to one millionth", bool(resolved.any())),
        (f'<rect class="open" x="{x - 4}" y="Y" width="8.4" height="8.4" transform="translate(0 -4.2)"/>',
         "not resolved: bar shows interval", not resolved.all()),
    ]  # fmt: skip
    found = [(shape, text) for shape, text, occurs in entries if occurs]
    return "".join(
        shape.replace('"Y"', f'"{y + 18 * i:.1f}"')
        + f'<text class="note" x="{x + 10:.1f}" y="{y + 4 + 18 * i:.1f}">{text}</text>'
        for i, (shape, text) in enumerate(found)
    )


def cumulative(shares: Array, label: str) -> str:
    """Share of the total explained by the modes 1..i, in percent."""
    percent = np.append(0.0, 100 * np.cumsum(shares))
    marks = tuple((float(v), f"{v}") for v in range(0, 101, 20))
    frame = Frame(counting("number of modes", shares.size), Axis(label, 0, 104, marks=marks), height=330)
    modes = np.arange(percent.size)
    steps = line(frame, modes, percent, "c1")
    size = float(np.clip(0.35 * frame.box[2] / shares.size, 1.2, 3.5))
    dots = "".join(
        f'<circle class="known" cx="{x:.1f}" cy="{y:.1f}" r="{size:.1f}"><title>{i} modes: {p:.4g} %</title></circle>'
        for i, x, y, p in zip(modes[1:], frame.across(modes[1:]), frame.down(percent[1:]), percent[1:], strict=True)
    )
    last = float(percent[-1])
    flat = bool(percent[3 * shares.size // 5] > last - 3)  # then the words go where the curve has left them room
    words = f"{number(last, 4)} % with all {shares.size}"
    text = level(frame, last, words, right=last < 50 or flat) if shares.size else ""
    return frame.svg(text + steps + dots, f"Cumulative share explained: {last:.4g} percent with all modes")


def series(xs: Array, low: Array, high: Array, x_label: str, y_label: str, says: str) -> str:
    """A vector along its index: a line, or the range within each bucket when it is long."""
    frame = Frame(linear(x_label, xs, pad=0.0), linear(y_label, [low, high]), height=180)
    if np.array_equal(low, high):
        return frame.svg(zero(frame) + line(frame, xs, low, "c1"), says)
    return frame.svg(zero(frame) + band(frame, xs, low, high, "c1"), says)


def scatter(xs: Array, ys: Array, x_label: str, y_label: str, says: str) -> str:
    """Points in the plane, with the axes through the origin."""
    frame = Frame(linear(x_label, xs), linear(y_label, ys), height=420)
    size = 2.6 if xs.size <= 500 else 1.7
    dots = "".join(
        f"M{x:.1f} {y:.1f}h0" for x, y in zip(frame.across(xs), frame.down(ys), strict=True)
    )  # a line of no length with round ends is a dot
    _, top, _, height = frame.box
    cross = zero(frame)
    if frame.x.low < 0 < frame.x.high:
        cross += f'<path class="line axis0" d="M{frame.across([0.0])[0]:.1f} {top}v{height:.1f}"/>'
    return frame.svg(f'{cross}<path class="dots" stroke-width="{2 * size}" d="{dots}"/>', says)
