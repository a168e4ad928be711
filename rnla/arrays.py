"""Element types and sizes: which precision data is multiplied in, and how bytes are spelt.

The rule of precision: multiply in the data's precision (float32 stays float32), accumulate in float64. Small integers
and bool are exact in float32; larger ones go to float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rnla.errors import UnsupportedError

Array = npt.NDArray[Any]
DType = np.dtype[Any]

PAGE = 4096
EXACT = 1 << 53  # integers up to here are float64

_SINGLE = frozenset("?bBhHef")  # exact in float32
_DOUBLE = frozenset("iIlLqQd")


def working_dtype(dtype: Any) -> DType:
    """Precision in which data of this type is multiplied: float32, float64, complex64 or complex128."""
    given = np.dtype(dtype)
    if given.char in _SINGLE:
        return np.dtype(np.float32)
    if given.char in _DOUBLE:
        return np.dtype(np.float64)
    if given.char in "FD":
        native: DType = np.dtype(given.char)
        return native
    msg = (
        f"data of type {given} cannot be factored: rnla takes bool, integers, float16/32/64 and complex64/128; "
        "convert the array first"
    )
    raise UnsupportedError(msg)


def refuse_inexact(entries: Array, rows: slice) -> None:
    """UnsupportedError for 64-bit integers that float64 cannot hold."""
    if entries.dtype.kind not in "iu" or entries.dtype.itemsize < 8 or not entries.size:
        return
    largest = max(int(entries.max()), -int(entries.min()))
    if largest > EXACT:
        msg = (
            f"rows {rows.start}..{rows.stop - 1} hold integers up to {largest:,}: beyond 2^53 float64 drops their last "
            "digits, and products would be of other numbers. Take an offset away before you store them, or store them "
            "as float64 if those digits do not matter"
        )
        raise UnsupportedError(msg)


def within(indices: Array, rows: slice) -> Array:
    """Those of sorted indices that lie in a range of rows, counted from its first."""
    first, last = np.searchsorted(indices, (rows.start, rows.stop))
    return np.asarray(indices[first:last] - rows.start)


def accumulator_dtype(dtype: Any) -> DType:
    """Type of partial sums over data of this type: float64 or complex128."""
    wide: DType = np.dtype(np.complex128 if np.dtype(dtype).kind == "c" else np.float64)
    return wide


def wide(A: Array) -> Array:
    """A in float64 or complex128."""
    return A.astype(accumulator_dtype(A.dtype), copy=False)


def real_eps(dtype: Any) -> float:
    """Unit of rounding of a working precision."""
    return float(np.finfo(np.dtype(dtype)).eps)


def page_aligned(nbytes: int) -> Array:
    """Bytes that begin on a page, to read files into: (nbytes,).

    The kernel copies four times more slowly to addresses 1 to 31 bytes past the start of a page on AMD processors with
    fast short `rep movsb`, and that is where large numpy arrays begin (16 bytes past; measured, docs/architecture.md).
    """
    raw = np.empty(nbytes + PAGE, np.uint8)
    start = -raw.ctypes.data % PAGE
    return raw[start : start + nbytes]


def spelt_bytes(count: float) -> str:
    """Bytes as people read them, in powers of ten: 8.0 GB."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.4g} {unit}"
    return f"{int(count)} B"


def spelt_times(values: Array) -> list[str]:
    """Dates as people read them, with the time of day where one of them has it; durations with their unit."""
    if values.dtype.kind == "m":
        return [str(value) for value in values]
    whole_days = bool((values == values.astype("datetime64[D]")).all())
    return [str(date) for date in np.datetime_as_string(values, unit="D" if whole_days else "s")]


def clock(seconds: float) -> str:
    """0:07, 12:05, 3:00:12."""
    minutes, s = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{s:02}" if hours else f"{minutes}:{s:02}"
