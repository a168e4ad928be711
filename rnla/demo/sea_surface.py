"""Monthly anomalies of sea-surface temperature as a matrix: one row a month, one column a cell of open sea.

Each month's mean over the years is taken away (the seasons go), and each cell is weighted by sqrt(cos(latitude)), so
that squares count by area. The leading right singular vector is the pattern of El Nino.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnla.arrays import Array

DATA = Path(__file__).parent / "data" / "ersst.zarr"
EPOCH = np.datetime64("1800-01-01")
NINO34 = {"lat": (-5.0, 5.0), "lon": (190.0, 240.0)}  # 5S-5N, 170W-120W


@dataclass(frozen=True)
class Anomalies:
    """The matrix with what is needed to draw its columns on a map. t months, p cells of sea."""

    matrix: Array  # (t, p) weighted anomalies, degC times weight
    weights: Array  # (p,) sqrt(cos(latitude))
    mask: Array  # (lat, lon) bool: sea
    lat: Array  # degrees north, descending
    lon: Array  # degrees east, 0..358
    time: Array  # (t,) datetime64[D], the first day of each month

    @property
    def years(self) -> Array:
        """(t,) the middle of each month as a decimal year."""
        months = self.time.astype("datetime64[M]").astype(np.int64)  # since 1970-01
        return np.asarray(1970 + (months + 0.5) / 12)

    def on_map(self, values: Array) -> Array:
        """Values of the cells of sea laid out as (lat, lon); land is NaN."""
        field = np.full(self.mask.shape, np.nan)
        field[self.mask] = values
        return field


def anomalies(place: Path = DATA) -> Anomalies:
    """The 128 x 10988 matrix of the data that comes with the package."""
    import zarr

    group: Any = zarr.open_group(place, mode="r")
    sst, lat, lon = (np.asarray(group[name][...], dtype=np.float64) for name in ("sst", "lat", "lon"))
    time = EPOCH + group["time"][...].astype(np.int64)
    mask = np.asarray(np.isfinite(sst).all(axis=0))
    field = without_seasons(sst, months_of(time))
    weights = np.sqrt(np.cos(np.deg2rad(lat)))
    cells = np.broadcast_to(weights[:, None], mask.shape)[mask]
    return Anomalies(field[:, mask] * cells, cells, mask, lat, lon, time)


def months_of(time: Array) -> Array:
    """Month of the year, 0..11."""
    return np.asarray(time.astype("datetime64[M]").astype(np.int64) % 12)


def without_seasons(field: Array, months: Array) -> Array:
    """The field less its mean over all Januaries in January, and so on: (t, ...)."""
    found = np.empty_like(field)
    for month in range(12):
        found[months == month] = field[months == month] - field[months == month].mean(axis=0)
    return found


def nino34(sea: Anomalies) -> Array:
    """Mean anomaly of the box 5S-5N, 170W-120W: (t,) degC. Above 0.5 for some months is an El Nino."""
    south, north = NINO34["lat"]
    west, east = NINO34["lon"]
    box = ((sea.lat >= south) & (sea.lat <= north))[:, None] & ((sea.lon >= west) & (sea.lon <= east))
    inside = box[sea.mask]
    return np.asarray((sea.matrix[:, inside] / sea.weights[inside]).mean(axis=1))


def correlation(a: Array, b: Array) -> float:
    """Pearson's r of two series."""
    return float(np.corrcoef(a, b)[0, 1])
