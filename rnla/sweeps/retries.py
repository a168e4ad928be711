"""Transient errors are tried again with growing pauses; wrong data, full disks and bad requests never."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import TypeVar

from rnla.errors import RnlaError

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


def retried(action: Callable[[], T]) -> T:
    """The action's value, after at most 5 attempts with pauses of 0.05, 0.2, 0.8 and 3.2 s between them."""
    for attempt in range(ATTEMPTS - 1):
        try:
            return action()
        except Exception as error:
            if not transient(error):
                raise
            time.sleep(FIRST_PAUSE_SECONDS * 4**attempt)
    return action()
