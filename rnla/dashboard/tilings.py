"""Polygons in the plane as SVG: filled by the direction and steepness of a slope, their edges by layers.

Fills are light whatever the page, so that the edges, in dark colours and of falling width, carry the drawing in print.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rnla.arrays import Array
from rnla.dashboard.axes import Axis, Frame
from rnla.dashboard.spelling import number

INKS = ("#123b75", "#b34700", "#1a6b3c", "#6d2f8f", "#59636e")  # of layers; the last one of all deeper ones
WIDTHS = (1.7, 1.2, 0.9, 0.8, 0.7)
PLAIN = "4 3"  # dashes of an edge where nothing bends
HUES, STEPS = 48, 12  # colours that are told apart, so that equal ones share a path
LIGHTNESS, CHROMA = 0.905, 0.085  # of fills, in OKLCH
WIDTH, TOP, ROOM = 620, 34, 165  # pixels: all, for the heading, and beside the frame for the key
FLATTEST, TALLEST = 0.3, 1.5  # boxes beyond that are not drawn to scale
SHARE = 0.98  # of the area that is less steep than the strongest colour
# OKLab to linear sRGB (B. Ottosson, A perceptual color space for image processing, 2020)
CONES = np.array(
    [(1, 0.3963377774, 0.2158037573), (1, -0.1055613458, -0.0638541728), (1, -0.0894841775, -1.2914855480)]
)
LINEAR = np.array([
    (4.0767416621, -3.3077115913, 0.2309699292),
    (-1.2684380046, 2.6097574011, -0.3413193965),
    (-0.0041960863, -0.7034186147, 1.7076147010),
])  # fmt: skip
STYLE = (
    'text { fill: #1b1f24; font: 12px "Noto Sans", "Liberation Sans", Arial, sans-serif; } .tick { fill: #59636e; } '
    ".mid { text-anchor: middle; } .end { text-anchor: end; } .grid { stroke: #eceff2; fill: none; } "
    ".frame { fill: none; stroke: #59636e; }"
)


@dataclass(frozen=True)
class Tiles:
    """What is drawn."""

    corners: Sequence[Array]  # of each polygon: (k, 2)
    slopes: Array  # (p, 2) by which F rises over the width and over the height of the box
    begins: Array  # (e, 2) of each edge between two polygons
    ends: Array  # (e, 2)
    layers: Array  # (e,) which layer made it, from 0
    bends: Array  # (e,) bool
    rising: str = "F"  # what the slopes are of


def tiles_svg(tiles: Tiles, box: Array, names: tuple[str, str], heading: str) -> str:
    """The polygons in a box (2, 2) with axes under their names, a heading, and a key of colours and lines."""
    frame, limit = framed(box, names), steepest(tiles)
    left, top, width, _ = frame.box
    legend, end = key(tiles, round(left + width + 22), frame.top, limit)
    more = max(end - frame.height, 0)  # below a low frame
    frame = replace(frame, height=frame.height + more, bottom=frame.bottom + more)
    title = f'<text x="{left:.1f}" y="{top - 12:.1f}">{heading}</text>'
    return frame.svg(filled(frame, tiles, limit) + lines(frame, tiles) + title + legend, heading)


def framed(box: Array, names: tuple[str, str]) -> Frame:
    """A frame to scale, or a square one where the sides are too different."""
    x, y = (Axis(name, low, high) for name, (low, high) in zip(names, box.tolist(), strict=True))
    frame = Frame(x, y, width=WIDTH, right=ROOM, top=TOP)
    ratio = (y.high - y.low) / (x.high - x.low)
    ratio = ratio if FLATTEST <= ratio <= TALLEST else 1.0
    return replace(frame, height=round(frame.box[2] * ratio) + frame.top + frame.bottom)


def filled(frame: Frame, tiles: Tiles, limit: float) -> str:
    """The polygons, those of one colour as one path."""
    hue, step = colours(tiles.slopes, limit)
    order = np.lexsort((step, hue))
    found = []
    for (h, s), group in itertools.groupby(order.tolist(), key=lambda i: (int(hue[i]), int(step[i]))):
        path = "".join(polygon(frame, tiles.corners[i]) for i in group)
        colour = shade(h, s)
        found.append(f'<path fill="{colour}" stroke="{colour}" stroke-width="0.6" d="{path}"/>')
    return "".join(found)


def polygon(frame: Frame, corners: Array) -> str:
    """One polygon as part of a path."""
    places = zip(frame.across(corners[:, 0]), frame.down(corners[:, 1]), strict=True)
    return "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in places) + "Z"


def colours(slopes: Array, limit: float) -> tuple[Array, Array]:
    """Direction and steepness of each slope in steps: (p,) each."""
    steep = np.hypot(slopes[:, 0], slopes[:, 1])
    step = np.ceil(STEPS * np.minimum(steep / limit, 1)).astype(int)
    hue = np.round(np.arctan2(slopes[:, 1], slopes[:, 0]) / (2 * np.pi) * HUES).astype(int) % HUES
    return np.where(step > 0, hue, 0), step


def steepest(tiles: Tiles) -> float:
    """The steepness that all but little of the area stays under: slivers may be far steeper and would fade the rest."""
    steep = np.hypot(tiles.slopes[:, 0], tiles.slopes[:, 1])
    order = np.argsort(steep)
    areas = np.cumsum([area(tiles.corners[i]) for i in order])
    return float(steep[order[np.searchsorted(areas, SHARE * areas[-1])]] or steep.max() or 1.0)


def area(corners: Array) -> float:
    """Of a polygon: half the sum of x_k y_(k+1) - x_(k+1) y_k."""
    x, y = (corners - corners[0]).T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def shade(hue: int, step: int) -> str:
    """A light colour: hue 0..HUES - 1 for the direction, step 0 (none) .. STEPS for the steepness."""
    angle = 2 * np.pi * (hue / HUES + 0.08)
    chroma = CHROMA * step / STEPS
    a, b = chroma * np.cos(angle), chroma * np.sin(angle)
    light = np.clip(LINEAR @ (CONES @ (LIGHTNESS + 0.06 * (1 - step / STEPS), a, b)) ** 3, 0, 1)
    coded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return "#" + "".join(f"{round(255 * c):02x}" for c in coded.tolist())


def lines(frame: Frame, tiles: Tiles) -> str:
    """The edges: deeper layers first, so that the first one lies on top."""
    x, y = (np.stack([at(tiles.begins[:, i]), at(tiles.ends[:, i])]) for i, at in enumerate((frame.across, frame.down)))
    lengths = np.hypot(x[1] - x[0], y[1] - y[0])
    thin = float(np.clip(np.median(lengths) / 20, 0.25, 1.0)) if lengths.size else 1.0
    style = np.minimum(tiles.layers, len(INKS) - 1)
    found = []
    for layer, bends in itertools.product(range(len(INKS) - 1, -1, -1), (False, True)):
        chosen = np.flatnonzero((style == layer) & (tiles.bends == bends))
        path = "".join(f"M{x[0, i]:.2f} {y[0, i]:.2f}L{x[1, i]:.2f} {y[1, i]:.2f}" for i in chosen)
        found.append(stroke(layer, thin, path, bends=bends) if path else "")
    return "".join(found)


def stroke(layer: int, thin: float, path: str, *, bends: bool) -> str:
    """A path in the style of a layer."""
    dashes = "" if bends else f' stroke-dasharray="{PLAIN}"'
    ends = "round" if bends else "butt"
    width = WIDTHS[layer] * thin * (1 if bends else 0.7)
    return (
        f'<path fill="none" stroke="{INKS[layer]}" stroke-width="{width:.2f}" stroke-linecap="{ends}"{dashes} '
        f'd="{path}"/>'
    )


def key(tiles: Tiles, x: int, y: int, limit: float) -> tuple[str, int]:
    """What lines and colours mean, only what occurs; and where it ends."""
    used, deepest = np.unique(np.minimum(tiles.layers, len(INKS) - 1)).tolist(), int(tiles.layers.max(initial=0))
    found, y = (said(x, y + 10, "a neuron turns", "on or off in"), y + 48) if used else ("", y - 2)
    for layer in used:
        name = f"layers {layer + 1} to {deepest + 1}" if layer == len(INKS) - 1 < deepest else f"layer {layer + 1}"
        found += chip(x, y) + stroke(layer, 1.0, f"M{x} {y - 4}h24", bends=True) + said(x + 32, y, name)
        y += 18
    if not tiles.bends.all():
        found += (
            chip(x, y)
            + stroke(0, 1.0, f"M{x} {y - 4}h24", bends=False)
            + said(x + 32, y, "F is the same", "on both sides")
        )
        y += 33
    return found + wheel(x, y + 12, limit, tiles.rising), y + 150


def chip(x: float, y: float) -> str:
    """What a line of the key lies on: light whatever the page, as the polygons are."""
    return f'<rect x="{x - 3}" y="{y - 12}" width="30" height="16" rx="2" fill="{shade(0, 0)}"/>'


def said(x: float, y: float, *texts: str, style: str = "") -> str:
    """Lines of text."""
    kind = f' class="{style}"' if style else ""
    return "".join(f'<text{kind} x="{x:.1f}" y="{y + 15 * i:.1f}">{text}</text>' for i, text in enumerate(texts))


def wheel(x: int, y: int, limit: float, rising: str) -> str:
    """Colours by direction and steepness."""
    radius = 36.0
    cx, cy = x + radius + 4, y + radius + 28
    found = [said(x, y, "direction in which", f"{rising} rises")]
    for step in range(STEPS, 0, -1):
        r = radius * step / STEPS
        for hue in range(HUES):
            a, b = (2 * np.pi * (hue + side) / HUES for side in (-0.52, 0.52))
            edge = (
                f"{cx + r * np.cos(a):.2f} {cy - r * np.sin(a):.2f}L{cx + r * np.cos(b):.2f} {cy - r * np.sin(b):.2f}"
            )
            found.append(f'<path fill="{shade(hue, step)}" d="M{cx:.2f} {cy:.2f}L{edge}Z"/>')
    rim = said(x, cy + radius + 20, f"at the rim by {number(limit, 2)}", "from side to side", style="tick")
    return f'{"".join(found)}<circle class="frame" cx="{cx:.2f}" cy="{cy:.2f}" r="{radius}"/>{rim}'


def standalone(svg: str) -> str:
    """A drawing that needs no page: with its own style and size."""
    box = svg[svg.index('viewBox="') + 9 : svg.index('" role')].split()
    size = f'xmlns="http://www.w3.org/2000/svg" width="{box[2]}" height="{box[3]}" '
    start = svg.index(">") + 1
    paper = f'<style>{STYLE}</style><rect width="100%" height="100%" fill="#fff"/>'
    return f"{svg[:5]}{size}{svg[5:start]}{paper}{svg[start:]}"
