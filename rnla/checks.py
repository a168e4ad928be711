"""Arguments of the wrong kind are refused by name, before anything is read."""

from __future__ import annotations

import numbers
import os
from typing import Any

import numpy as np
import numpy.typing as npt

from rnla.errors import RequestError, UnsupportedError


def integer(value: Any, name: str, *, least: int | None = None) -> int:
    """The value as an int; bool and fractions are refused, and what is less than `least`."""
    if isinstance(value, bool | np.bool_) or not hasattr(value, "__index__"):
        msg = f"{name}={value!r} must be an integer"
        raise RequestError(msg)
    found = int(value.__index__())
    if least is not None and found < least:
        msg = f"{name}={found} must be at least {least}"
        raise RequestError(msg)
    return found


def share(value: Any, name: str, meaning: str) -> float:
    """The value as a float between 0 and 1, both excluded."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real) or not 0 < float(value) < 1:
        msg = f"{name}={value!r} must be {meaning} between 0 and 1"
        raise RequestError(msg)
    return float(value)


def flag(value: Any, name: str) -> bool:
    """The value as a bool; nothing else passes for one."""
    if not isinstance(value, bool | np.bool_):
        msg = f"{name}={value!r} must be True or False"
        raise RequestError(msg)
    return bool(value)


def one_of(value: Any, name: str, allowed: tuple[str, ...]) -> str:
    """The value, if it is one of these words."""
    if not isinstance(value, str) or value not in allowed:
        msg = f"{name}={value!r} must be one of {', '.join(allowed)}"
        raise RequestError(msg)
    return value


def path(value: Any, name: str) -> str:
    """The value as a path."""
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        msg = f"{name}={value!r} must be a path"
        raise RequestError(msg)
    return str(os.fspath(value))


def array_of_numbers(value: Any, name: str) -> npt.NDArray[Any]:
    """The value as an array of real or complex numbers."""
    unmasked(value)
    try:
        found = np.asarray(value)
    except ValueError as error:  # rows of different lengths
        msg = f"{name} is no array: {error}"
        raise RequestError(msg) from error
    if found.dtype.kind not in "buifc":
        msg = f"{name} must be numbers; these are of type {found.dtype}"
        raise RequestError(msg)
    return found


def vector(given: Any, length: int, name: str, *, complex_: bool = False) -> npt.NDArray[Any]:
    """The value as so many finite float64 numbers (complex128 where that is allowed): (length,)."""
    found = array_of_numbers(given, name)
    if found.shape != (length,) or not np.all(np.isfinite(found)):
        msg = f"{name} has shape {found.shape}: it must be {length} finite numbers, one for each"
        raise RequestError(msg)
    if found.dtype.kind == "c" and not complex_:
        msg = f"{name} is complex: weights and scales are real, and a complex mean needs complex data"
        raise RequestError(msg)
    return found.astype(np.complex128 if found.dtype.kind == "c" else np.float64)


def indices(given: Any, size: int, name: str) -> npt.NDArray[Any] | None:
    """The value as indices in 0..size-1; None stays None, which means all."""
    if given is None:
        return None
    found = array_of_numbers(given, name)
    if found.ndim != 1 or found.dtype.kind not in "iu" or not found.size:
        msg = f"{name} must be one or more indices in one dimension; this is {found.dtype} of shape {found.shape}"
        raise RequestError(msg)
    outside = found[(found < 0) | (found >= size)]
    if outside.size:
        msg = f"{name} holds {int(outside[0])}: indices must lie in 0..{size - 1}"
        raise RequestError(msg)
    return found.astype(np.int64)


def unmasked(array: Any) -> None:
    """Refuses masked arrays."""
    if isinstance(array, np.ma.MaskedArray):
        msg = "masked arrays are ambiguous here: fill them with NaN (array.filled(nan)) and choose missing=..."
        raise UnsupportedError(msg)
