"""One BLAS thread while rnla computes: the bits must not depend on the number of cores, and tasks share them anyway."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from threadpoolctl import ThreadpoolController


class _Limit:
    """Counts who is inside; the first sets the limit of the process, the last restores it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.limiter: Any = None

    def enter(self) -> None:
        with self.lock:
            if self.inside == 0:
                self.limiter = ThreadpoolController().limit(limits=1, user_api="blas")
                self.limiter.__enter__()
            self.inside += 1

    def leave(self) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                self.limiter.__exit__(None, None, None)
                self.limiter = None


_LIMIT = _Limit()  # the number of BLAS threads is a state of the process, so its guard is one too


@contextmanager
def single_blas_thread() -> Iterator[None]:
    """Inside, every BLAS call of this process uses one thread; nests, and is safe from several threads."""
    _LIMIT.enter()
    try:
        yield
    finally:
        _LIMIT.leave()
