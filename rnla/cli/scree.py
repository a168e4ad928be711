"""Scree plot in a terminal: one bar for each singular value, on a logarithmic scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, isfinite, log10

EIGHTHS = " ▁▂▃▄▅▆▇█"
ASCII = " ...:::##"
LEAST_DECADES = 0.5  # a flat spectrum is not blown up more than this
MOST_DECADES = 16.0


@dataclass(frozen=True)
class Scree:
    """The plot, row by row from the top."""

    lines: tuple[str, ...]  # bars
    labels: tuple[str, ...]  # of the axis, one for each line
    modes: tuple[range, ...]  # which modes each bar stands for


def scree(s: Sequence[float], *, width: int, height: int = 10, ascii_only: bool = False) -> Scree:
    """Bars for singular values in descending order, in at most `width` columns and `height` lines.

    Where there are more modes than columns, a bar is the largest of neighbouring modes. Zeros have no bar.
    """
    values = [value for value in s if isfinite(value) and value >= 0]
    if not values or width < 1 or max(values) == 0:
        return Scree((), (), ())
    each = ceil(len(values) / width)
    modes = tuple(range(i, min(i + each, len(values))) for i in range(0, len(values), each))
    tops = [max(values[i] for i in group) for group in modes]
    high, low = _range(tops)
    shares = [0.0 if top <= 0 else max(0.0, (log10(top) - low) / (high - low)) for top in tops]
    spread = max(1, min(3, width // len(modes)))  # few modes: wider bars
    marks = ASCII if ascii_only else EIGHTHS
    lines, labels = [], []
    for line in range(height, 0, -1):
        cells = (_cell(share * height * 8 - (line - 1) * 8, marks) for share in shares)
        lines.append("".join(cell * max(1, spread - 1) + " " * (spread > 1) for cell in cells))
        level = low + (high - low) * (line / height)
        labels.append(f"{10**level:.2g}" if line in {height, ceil(height / 2)} else "")
    labels[-1] = f"{10**low:.2g}"
    return Scree(tuple(lines), tuple(labels), modes)


def _range(tops: list[float]) -> tuple[float, float]:
    """Exponents of the top and bottom of the axis; the smallest bar keeps a little height."""
    high = log10(max(tops))
    low = log10(min(top for top in tops if top > 0))
    spread = min(MOST_DECADES, max(LEAST_DECADES, high - low))
    return high, high - spread * 1.08


def _cell(eighths: float, marks: str) -> str:
    return marks[max(0, min(8, round(eighths)))]
