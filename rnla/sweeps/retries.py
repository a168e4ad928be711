"""Transient errors are tried again with growing pauses; wrong data, full disks and bad requests never."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import TypeVar

from rnla.errors import RnlaError, StoreError

T = TypeVar("T")

ATTEMPTS = 5
FIRST_PAUSE_SECONDS = 0.05
FINAL_ERRNOS = frozenset(
    {errno.ENOENT, errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.EROFS}
)


def transient(error: BaseException) -> bool:
    """Whether trying again may help: input/output errors, timeouts, dropped connections, 429 and 5xx answers."""
    if isinstance(error, RnlaError | FileNotFoundError | PermissionError):
        return False
    status = getattr(error, "status", None) or getattr(error, "code", None)
    if isinstance(status, int) and (status == 429 or 500 <= status < 600):
        return True
    if isinstance(error, OSError):
        return error.errno not in FINAL_ERRNOS
    return isinstance(error, TimeoutError)


def retried(action: Callable[[], T], where: Callable[[], str] | None = None) -> T:
    """The action's value, after at most 5 attempts with pauses of 0.05, 0.2, 0.8 and 3.2 s between them.

    With `where`, what the system refuses for good is a StoreError that names the place.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return action()
        except Exception as error:
            passing = transient(error)
            if passing and attempt < ATTEMPTS:
                time.sleep(FIRST_PAUSE_SECONDS * 4 ** (attempt - 1))
                continue
            if where is None or isinstance(error, RnlaError) or not (passing or isinstance(error, OSError)):
                raise
            msg = (
                f"{where()}: this cannot be read or written (attempt {attempt}: {error}); check the disk, the "
                "permissions and the connection, then run the same command again: finished sweeps are kept"
            )
            raise StoreError(msg) from error
    raise AssertionError
