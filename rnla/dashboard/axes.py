"""Axes in SVG: where values fall, ticks at round numbers, and the frame around a plot.

Colours are CSS variables of the page, so that a plot follows light, dark and print.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from rnla.arrays import Array
from rnla.dashboard.spelling import MINUS, TIMES, number, power

Tick = tuple[float, str]
LETTER = 7.1  # width of a character of tick text
DIGITS = ((1,), (1, 3), (1, 2, 5), (1, 2, 3, 5, 7))  # of ticks between powers of ten, fewest first
FEWEST, MOST = 4, 9  # ticks of a logarithmic axis
SMALLEST, LARGEST = -3, 5  # powers of ten that are spelt out


@dataclass(frozen=True)
class Axis:
    """Values low..high under a label."""

    label: str
    low: float
    high: float
    log: bool = False
    marks: tuple[Tick, ...] | None = None  # ticks chosen by hand

    def fractions(self, values: Any) -> Array:
        """Where values fall between the ends: 0..1, clipped."""
        given = np.asarray(values, dtype=np.float64)
        low, high = self.low, self.high
        if self.log:
            given, low, high = np.log10(np.maximum(given, low)), math.log10(low), math.log10(high)
        return np.clip((given - low) / (high - low), 0, 1)

    @property
    def title(self) -> str:
        """The label, which says where the axis is not linear."""
        return f"{self.label}, logarithmic" if self.log else self.label

    @property
    def ticks(self) -> list[Tick]:
        """Positions and their texts."""
        if self.marks is not None:
            return list(self.marks)
        return decades(self.low, self.high) if self.log else round_ticks(self.low, self.high)


def linear(label: str, values: Any, *, pad: float = 0.04) -> Axis:
    """An axis around finite values."""
    given = np.asarray(values, dtype=np.float64)
    given = given[np.isfinite(given)]
    low, high = (float(given.min()), float(given.max())) if given.size else (0.0, 1.0)
    if high - low <= 1e-12 * max(abs(low), abs(high)):  # one value: room around it
        room = abs(high) * 0.1 or 1.0
        return Axis(label, low - room, high + room)
    return Axis(label, low - pad * (high - low), high + pad * (high - low))


def logarithmic(label: str, values: Any) -> Axis:
    """A logarithmic axis around the positive finite values."""
    given = np.asarray(values, dtype=np.float64)
    given = given[np.isfinite(given) & (given > 0)]
    low, high = (float(given.min()), float(given.max())) if given.size else (0.1, 1.0)
    room = max((high / low) ** 0.05, 1.1)
    return Axis(label, max(low / room, min(low, 1e-322)), min(high * room, 1e307), log=True)


def counting(label: str, count: int) -> Axis:
    """An axis of 1..count with ticks at whole numbers."""
    step = max(1, round(round_step(max(count - 1, 1) / 8)))
    first = [1] if step > 1 else []
    shown = first + [v for v in range(step, count + 1, step) if v not in first]
    return Axis(label, 0.4, count + 0.6, marks=tuple((float(v), f"{v:,}") for v in shown))


def round_step(rough: float) -> float:
    """The least of 1, 2, 5 times a power of ten that is not under `rough`."""
    unit = 10.0 ** math.floor(math.log10(max(rough, 1e-322)))
    return next(factor * unit for factor in (1, 2, 5, 10, 20) if factor * unit >= rough * 0.999)


def round_ticks(low: float, high: float, most: int = 6) -> list[Tick]:
    """Ticks at multiples of a round step, all with the same number of places."""
    step = round_step((high - low) / most)
    multiples = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    largest = max(abs(low), abs(high))
    if not 1e-3 <= largest < 1e6:
        digits = 1 + math.floor(math.log10(largest)) - math.floor(math.log10(step) + 1e-9)
        return [(i * step, number(i * step, max(digits, 1))) for i in multiples]
    places = max(-math.floor(math.log10(step) + 1e-9), 0)
    return [(i * step, f"{i * step:,.{places}f}".replace("-", MINUS)) for i in multiples]


def decades(low: float, high: float) -> list[Tick]:
    """Ticks at powers of ten; where these are few at 3 times them too, or at more, or at round steps in the end."""
    below, above = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for digits in DIGITS:
        powers = range(below, above + 1)
        inside = [(d, e) for e in powers for d in digits if low * (1 - 1e-9) <= d * 10.0**e <= high * (1 + 1e-9)]
        if len(inside) >= FEWEST:
            return spelt_powers(inside[:: math.ceil(len(inside) / MOST)])
    return round_ticks(low, high, 8)


def spelt_powers(values: list[tuple[int, int]]) -> list[Tick]:
    """Ticks at d times 10 to the e, all spelt in one way: 0.03 and 0.1, or 3 x 10⁻⁴ and 10⁻³."""
    if all(SMALLEST <= e <= LARGEST for _, e in values):
        return [(d * 10.0**e, number(d * 10.0**e, 1)) for d, e in values]
    return [(d * 10.0**e, power(e) if d == 1 else f"{d}{TIMES}{power(e)}") for d, e in values]


@dataclass(frozen=True)
class Frame:
    """The rectangle of a plot, with an axis below and one on the left."""

    x: Axis
    y: Axis
    width: int = 500  # so that letters of 13 pixels are read on half a page
    height: int = 300
    top: int = 12
    bottom: int = 42
    right: int = 14

    @property
    def left(self) -> float:
        """Room for the y axis: its longest tick text, and its label."""
        return 33 + LETTER * max((len(text) for _, text in self.y.ticks), default=1)

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x, y, width and height of the plotting area."""
        return self.left, self.top, self.width - self.left - self.right, self.height - self.top - self.bottom

    def across(self, values: Any) -> Array:
        """Pixels from the left."""
        return np.asarray(self.left + self.x.fractions(values) * self.box[2])

    def down(self, values: Any) -> Array:
        """Pixels from the top."""
        return np.asarray(self.top + (1 - self.y.fractions(values)) * self.box[3])

    def svg(self, marks: str, says: str) -> str:
        """The plot; `says` is what a screen reader is told."""
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{escape(says)}">'
            f"{self.grid()}{marks}{self.scales()}</svg>"
        )

    def grid(self) -> str:
        """Faint lines at the ticks."""
        left, top, width, height = self.box
        lines = [f"M{left:.1f} {y:.1f}h{width:.1f}" for y in self.down([v for v, _ in self.y.ticks])]
        lines += [f"M{x:.1f} {top}v{height:.1f}" for x in self.across([v for v, _ in self.x.ticks])]
        return f'<path class="grid" d="{"".join(lines)}"/>'

    def scales(self) -> str:
        """Border, tick texts and labels."""
        left, top, width, height = self.box
        floor = top + height
        texts = [
            f'<text x="{left - 6:.1f}" y="{y + 4:.1f}" class="tick end">{text}</text>'
            for y, (_, text) in zip(self.down([v for v, _ in self.y.ticks]), self.y.ticks, strict=True)
        ]
        texts += [
            f'<text x="{x:.1f}" y="{floor + 16:.1f}" class="tick mid">{text}</text>'
            for x, (_, text) in zip(self.across([v for v, _ in self.x.ticks]), self.x.ticks, strict=True)
        ]
        return (
            f'<rect class="frame" x="{left:.1f}" y="{top}" width="{width:.1f}" height="{height:.1f}"/>{"".join(texts)}'
            f'<text class="label mid" x="{left + width / 2:.1f}" y="{floor + 35:.1f}">{escape(self.x.title)}</text>'
            f'<text class="label mid" transform="translate(13 {top + height / 2:.1f}) rotate(-90)">'
            f"{escape(self.y.title)}</text>"
        )
