"""The modes of the sea-surface temperatures as maps with their time series."""

from __future__ import annotations

from html import escape
from typing import NamedTuple

import numpy as np

from rnla.arrays import Array
from rnla.dashboard.axes import Axis, Frame, linear
from rnla.dashboard.maps import symmetric_limit, world
from rnla.dashboard.page import Section, figure, pair
from rnla.dashboard.plots import line, zero
from rnla.dashboard.spelling import MINUS, percent
from rnla.demo.sea_surface import Anomalies, correlation, nino34

SHOWN = 4
THRESHOLD = 0.5  # degC: above it El Nino, below its negative La Nina
MONTHS = 5  # at least so many in a row


class Mode(NamedTuple):
    """One mode in units that mean something."""

    field: Array  # (lat, lon) degC for a time series of one
    series: Array  # (t,) with root mean square one


def mode_of(sea: Anomalies, u: Array, sigma: float, v: Array) -> Mode:
    """sigma u v^T as a map in degC times a time series of root mean square 1; the weights are taken out."""
    scale = np.sqrt(u.size)
    return Mode(sea.on_map(v * sigma / scale / sea.weights), np.asarray(u) * scale)


def mode_sections(sea: Anomalies, U: Array, s: Array, Vt: Array, shares: Array) -> list[Section]:
    """The section of maps: U (t, k), s (k,), Vt (k, p)."""
    index = nino34(sea)
    found = [mode_of(sea, U[:, i], float(s[i]), Vt[i]) for i in range(min(SHOWN, s.size))]
    words = [correlation(mode.series, index) for mode in found]
    body = "".join(drawn(sea, i, mode, index, float(shares[i]), words[i]) for i, mode in enumerate(found))
    intro = (
        "<p>Sea-surface temperature less the mean of each month of the year (NOAA ERSST v5, January 2010 to August "
        "2020), each cell weighted by √cos(latitude). A mode is a pattern (left) times a time series (right): the map "
        "shows how many degrees the sea is warmer where the series stands at one. The Niño 3.4 index, the mean anomaly "
        "of 5°S-5°N, 170°W-120°W, is how El Niño is watched; it is computed here from the same data and drawn, "
        f"standardised, with the first mode: their correlation is <b>{words[0]:.3f}</b>.</p>"
    )
    return [Section("The modes on the map", intro + body)]


def drawn(sea: Anomalies, i: int, mode: Mode, index: Array, share: float, r: float) -> str:
    """Map and time series of one mode."""
    name = f"Mode {i + 1}" + (" (El Niño)" if i == 0 else "")
    chart = world(mode.field, sea.lat, sea.lon, "°C for a series of 1", f"Map of {name}")
    limit = symmetric_limit(mode.field)
    first = i == 0
    says = f"Correlation with the Niño 3.4 index: {r:.2f}.".replace("-", MINUS)
    shaded = " Shaded: Niño 3.4 beyond ±0.5 °C for five months or more." if first else ""
    return pair(
        figure(
            chart,
            f"The colours end at ±{limit:.2f} °C; 99.5 % of the sea lies within.",
            f"{name}: {percent(share)} of the weighted sum of squares",
        ),
        figure(course(sea, mode, index if first else None), says + shaded, f"{name}: time series"),
    )


def course(sea: Anomalies, mode: Mode, index: Array | None) -> str:
    """The time series over the years, the index with it."""
    years = sea.years
    standard = None if index is None else index / index.std()
    values = mode.series if standard is None else np.concatenate([mode.series, standard])
    ends = (float(years[0] - 1 / 24), float(years[-1] + 1 / 24))
    ticks = tuple((float(y), str(y)) for y in range(int(years[0]), int(years[-1]) + 1, 2))
    frame = Frame(
        Axis("year", *ends, marks=ticks),
        linear("standard deviations", values, pad=0.12),
        width=580,
        height=330,
        bottom=88,
    )
    marks = zero(frame) + line(frame, years, mode.series, "c1")
    if standard is None or index is None:
        return frame.svg(marks, "Time series of the mode")
    marks = episodes(frame, years, index) + marks + line(frame, years, standard, "c2")
    return frame.svg(marks + key(frame), "Time series of the first mode and the Niño 3.4 index")


def episodes(frame: Frame, years: Array, index: Array) -> str:
    """Shaded months of El Nino and La Nina, each with its name."""
    _, top, _, height = frame.box
    parts = []
    for sign, name, style in ((1, "El Niño", "warm"), (-1, "La Niña", "cold")):
        for first, last in runs(sign * smooth(index) >= THRESHOLD):
            a, b = frame.across([years[first] - 1 / 24, years[last] + 1 / 24])
            parts.append(f'<rect class="{style}" x="{a:.1f}" y="{top}" width="{b - a:.1f}" height="{height:.1f}"/>')
            y = top + 14 if sign > 0 else top + height - 7
            parts.append(f'<text class="tick mid" x="{(a + b) / 2:.1f}" y="{y:.1f}">{escape(name)}</text>')
    return "".join(parts)


def smooth(index: Array) -> Array:
    """Mean over three months."""
    padded = np.pad(index, 1, mode="edge")
    return np.asarray((padded[:-2] + padded[1:-1] + padded[2:]) / 3)


def runs(inside: Array) -> list[tuple[int, int]]:
    """First and last of each stretch of at least MONTHS that are inside."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], inside.astype(int), [0]])))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= MONTHS]


def key(frame: Frame) -> str:
    """Which line is which, under the plot."""
    y = frame.height - 28
    entries = [("c1", "time series of mode 1", frame.left), ("c2", "Niño 3.4 index, standardised", frame.left + 200)]
    return "".join(
        f'<path class="line {style}" d="M{x:.0f} {y}h28"/><text x="{x + 35:.0f}" y="{y + 4}">{text}</text>'
        for style, text, x in entries
    )
