"""Fields on the globe as SVG around an inline PNG: diverging colours about zero, grey where there is no value."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

from rnla.arrays import Array
from rnla.dashboard.axes import Axis, Frame, round_ticks

GREY = (150, 152, 155)  # land
# RdBu of ColorBrewer (Harrower and Brewer 2003), told apart with any kind of colour vision: blue, white, red
ANCHORS = np.array([
    (5, 48, 97), (33, 102, 172), (67, 147, 195), (146, 197, 222), (209, 229, 240), (247, 247, 247),
    (253, 219, 199), (244, 165, 130), (214, 96, 77), (178, 24, 43), (103, 0, 31),
])  # fmt: skip
LEVELS = 254  # index 0 is grey, 1..255 run from blue to red


def palette() -> Array:
    """The 256 colours: (256, 3) bytes."""
    at = np.linspace(0, len(ANCHORS) - 1, LEVELS + 1)
    ramp = np.column_stack([np.interp(at, np.arange(len(ANCHORS)), ANCHORS[:, c]) for c in range(3)])
    return np.vstack([GREY, ramp]).round().astype(np.uint8)


def indices(field: Array, limit: float) -> Array:
    """Palette index of each value: -limit..limit over 1..255, NaN to 0."""
    scaled = 1 + np.round((np.clip(np.nan_to_num(field) / limit, -1, 1) + 1) / 2 * LEVELS)
    return np.where(np.isnan(field), 0, scaled).astype(np.uint8)


def png(pixels: Array, colours: Array) -> bytes:
    """A PNG of palette indices: (rows, columns) and (256, 3) bytes. PNG specification, third edition, section 11."""
    rows, columns = pixels.shape
    lines = np.hstack([np.zeros((rows, 1), dtype=np.uint8), pixels])  # filter 0 at the start of each line
    header = struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)
    parts = [(b"IHDR", header), (b"PLTE", colours.tobytes()), (b"IDAT", zlib.compress(lines.tobytes(), 9))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in [*parts, (b"IEND", b"")])


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG: length, kind, data, checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def image(pixels: Array, box: tuple[float, float, float, float]) -> str:
    """Palette indices as an SVG image in a box of x, y, width and height."""
    x, y, width, height = box
    data = base64.b64encode(png(pixels, palette())).decode()
    return (
        f'<image class="map" x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}" '
        f'preserveAspectRatio="none" href="data:image/png;base64,{data}"/>'
    )


def symmetric_limit(field: Array) -> float:
    """End of a colour scale about zero: the 99.5th percentile of the sizes, so that few cells do not fade the rest."""
    sizes = np.abs(field[np.isfinite(field)])
    return float(np.quantile(sizes, 0.995)) if sizes.size and sizes.max() > 0 else 1.0


def world(field: Array, lat: Array, lon: Array, units: str, says: str) -> str:
    """A field (lat descending, lon ascending, both evenly spaced) with its colour bar."""
    step_y, step_x = abs(lat[1] - lat[0]) / 2, (lon[1] - lon[0]) / 2
    frame = Frame(
        Axis("longitude", float(lon[0] - step_x), float(lon[-1] + step_x), marks=longitudes(lon)),
        Axis("latitude", float(lat[-1] - step_y), float(lat[0] + step_y), marks=latitudes(lat)),
        height=330,
        bottom=88,
    )
    limit = symmetric_limit(field)
    return frame.svg(image(indices(field, limit), frame.box) + colour_bar(frame, limit, units), says)


def longitudes(lon: Array) -> tuple[tuple[float, str], ...]:
    """Ticks each 60 degrees: 60°E, 180°, 60°W."""
    inside = [v for v in range(-180, 361, 60) if lon[0] <= v <= lon[-1]]
    return tuple((float(v), east(v)) for v in inside)


def east(degrees: int) -> str:
    """A longitude as people write it."""
    turned = (degrees + 180) % 360 - 180
    return f"{abs(turned)}°" + ("" if turned in {0, -180} else "E" if turned > 0 else "W")


def latitudes(lat: Array) -> tuple[tuple[float, str], ...]:
    """Ticks each 30 degrees: 30°S, 0°, 30°N."""
    inside = [v for v in range(-90, 91, 30) if lat.min() <= v <= lat.max()]
    return tuple((float(v), f"{abs(v)}°" + ("" if v == 0 else "N" if v > 0 else "S")) for v in inside)


def colour_bar(frame: Frame, limit: float, units: str) -> str:
    """The colours from -limit to limit under the map, with ticks and units; grey for land."""
    left, _, width, _ = frame.box
    long, y = width * 0.5, frame.height - 36
    start = left + 8
    colours = image(np.arange(1, LEVELS + 2, dtype=np.uint8)[None, :], (start, y, long, 11))
    ticks = "".join(
        f'<text class="tick mid" x="{start + (v / limit + 1) / 2 * long:.1f}" y="{y + 25}">{text}</text>'
        for v, text in round_ticks(-limit, limit, 5)
    )
    grey = "rgb({},{},{})".format(*GREY)
    land = start + long + 20 + 6.4 * len(units) + 14
    return (
        f'{colours}<rect class="frame" x="{start:.1f}" y="{y}" width="{long:.1f}" height="11"/>{ticks}'
        f'<text x="{start + long + 12:.1f}" y="{y + 10}">{units}</text>'
        f'<rect x="{land:.1f}" y="{y}" width="14" height="11" fill="{grey}"/>'
        f'<text x="{land + 20:.1f}" y="{y + 10}">land</text>'
    )
