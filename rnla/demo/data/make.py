"""Made `ersst.zarr` from the NetCDF file that SOURCE.txt names: `python -m rnla.demo.data.make sst.mnmean.nc`.

Values are copied bit for bit (float32 as published; land is NaN). Needs xarray and h5netcdf or netCDF4.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec

PLACE = Path(__file__).with_name("ersst.zarr")
ATTRIBUTES: dict[str, Any] = {
    "title": "NOAA Extended Reconstructed Sea Surface Temperature, version 5: monthly means, 2010-01 to 2020-08",
    "source": (
        "https://github.com/xarray-contrib/xarray-tutorial, data/sst.mnmean.nc at "
        "54df4e2fc01e51905210793f7aa01df0d87be86b; from https://psl.noaa.gov/data/gridded/data.noaa.ersst.v5.html"
    ),
    "licence": "No constraints on data access or use (attribute of the NetCDF file)",
    "citation": (
        "Huang et al. (2017): Extended Reconstructed Sea Surface Temperatures Version 5 (ERSSTv5): Upgrades, "
        "Validations, and Intercomparisons. Journal of Climate, https://doi.org/10.1175/JCLI-D-16-0836.1"
    ),
    "how_made": "rnla/demo/data/make.py: values copied bit for bit; Blosc (zstd, bit shuffle) and CRC32C in each chunk",
}


def main(source: str) -> None:
    """Write `ersst.zarr` beside this file."""
    import xarray

    with xarray.open_dataset(source, decode_times=False) as found:
        group = zarr.open_group(PLACE, mode="w", attributes=ATTRIBUTES)
        written(group, "sst", found["sst"].values, ("time", "lat", "lon"), {"units": "degC", "land": "NaN"})
        written(group, "lat", found["lat"].values, ("lat",), {"units": "degrees_north"})
        written(group, "lon", found["lon"].values, ("lon",), {"units": "degrees_east"})
        days = {
            "units": "days since 1800-01-01",
            "calendar": "proleptic_gregorian",
            "meaning": "first day of the month",
        }
        written(group, "time", found["time"].values.astype(np.float64), ("time",), days)


def written(group: Any, name: str, values: Any, dimensions: tuple[str, ...], attributes: dict[str, str]) -> None:
    """One array of the group, in a single chunk for each 32 of its first dimension when it has three."""
    chunks = values.shape if values.ndim == 1 else (32, *values.shape[1:])
    array = group.create_array(
        name,
        shape=values.shape,
        dtype=values.dtype,
        chunks=chunks,
        fill_value=float("nan"),
        compressors=(BloscCodec(cname="zstd", clevel=9, shuffle="bitshuffle"), Crc32cCodec()),
        dimension_names=dimensions,
        attributes=attributes,
    )
    array[...] = values


if __name__ == "__main__":
    main(sys.argv[1])
