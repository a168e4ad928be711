"""Every error a user can meet, under one root.

A message says what was given, where (store, chunk, rows), what is allowed, and what to do. Each class also derives
from the nearest builtin, so that callers who catch `ValueError` or `OSError` keep working.
"""

from __future__ import annotations

from typing import Any


class RnlaError(Exception):
    """Root of all rnla errors; `exit_code` is what the command line ends with."""

    exit_code = 1


class RequestError(RnlaError, ValueError):
    """The request cannot be right: found at the door, before anything is read."""

    exit_code = 2


class RankError(RequestError):
    """The rank asked for does not lie between 1 and min(m, n)."""


class ConfigError(RequestError):
    """A job file or option that is unknown or of the wrong type."""


class UnsupportedError(RnlaError, TypeError):
    """Data of a kind that rnla does not handle (object, string, datetime, ...)."""

    exit_code = 2


class StoreError(RnlaError, OSError):
    """A store that cannot be opened, read or written."""

    exit_code = 4


class IntegrityError(StoreError):
    """A chunk that is missing, truncated, altered or misplaced."""


class NonFiniteError(RnlaError, ValueError):
    """NaN or infinity in the data, with its count and first positions."""

    exit_code = 4


class OverflowedError(RnlaError, ArithmeticError):
    """Finite data whose squares leave the range of the working precision."""

    exit_code = 4


class DivergedError(RnlaError, ArithmeticError):
    """Descent went up without end; `trained` is the `Trained` with the last finite parameters."""

    exit_code = 3
    trained: Any = None
    so_far: Any = None  # training up to there


class DoesNotFitError(RnlaError, MemoryError):
    """The plan exceeds the memory or disk space there is."""

    exit_code = 5


class OutputError(RnlaError, OSError):
    """The result cannot be written where it was asked for."""

    exit_code = 6


class OutputExistsError(OutputError, FileExistsError):
    """The place for the result is taken, or was not made by rnla."""


class LockedError(OutputError):
    """Another process is writing the same result."""


class StorageFullError(OutputError):
    """The disk filled while the result was written."""


class ClusterError(RnlaError, RuntimeError):
    """The cluster lost the work: workers killed too often, or the scheduler gone."""

    exit_code = 7
