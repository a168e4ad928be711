"""Reading files through the page cache, or from the disk itself where that spares the processor.

Filling the page cache costs the processor more than the copy out of it (0.6 s/GB measured beside 0.05 s/GB), on the
very cores that multiply. So bytes that are not in it are read by direct access, as long as the disk gives each thread
as much as its core can multiply; a slower disk is read through the cache, so that the next pass finds them there.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Any, cast

import numpy as np

from rnla.arrays import Array
from rnla.store.chains import DamagedError

DIRECT = getattr(os, "O_DIRECT", 0)
PAGES_ASKED = 8  # of a chunk, evenly spread
DIRECT_BYTES = 512  # direct access needs offsets, sizes and addresses that are multiples of this
WORTH_BYTES = 1 << 20  # less is read faster with the kernel's read-ahead
TRIED_BYTES = 512 << 20  # read directly before the disk is judged; the first reads are slow
HIDDEN_PER_SECOND = 0.8e9  # a little less than one core multiplies by 60 columns, there and back, in float32


@dataclass
class Pace:
    """How fast the threads of this process have read one disk by direct access."""

    nbytes: int = 0
    seconds: float = 0.0  # of all threads together

    def __post_init__(self) -> None:
        self._lock = Lock()

    def add(self, nbytes: int, seconds: float) -> None:
        """One more read."""
        with self._lock:
            self.nbytes += nbytes
            self.seconds += seconds

    @property
    def hidden(self) -> bool:
        """Whether reading keeps up with the products, as far as is known."""
        return self.nbytes <= TRIED_BYTES or self.nbytes >= self.seconds * HIDDEN_PER_SECOND


PACES: defaultdict[int, Pace] = defaultdict(Pace)  # by device


def read_exactly(handle: int, offset: int, views: list[Array]) -> None:
    """`preadv` until all views are full."""
    left = [view for view in views if view.nbytes]
    while left:
        count = os.preadv(handle, cast("Any", left), offset)
        if count == 0:
            msg = f"its object ends at byte {offset}, {sum(v.nbytes for v in left)} bytes too early"
            raise DamagedError(msg)
        offset += count
        while left and count >= left[0].nbytes:
            count -= left.pop(0).nbytes
        if left and count:
            left[0] = left[0][count:]


def read_directly(handle: int, offset: int, view: Array) -> int:
    """Bytes read by direct access (O_DIRECT), without the page cache; 0 where system or file system refuse."""
    whole = view.nbytes - view.nbytes % DIRECT_BYTES
    if not whole or not DIRECT or offset % DIRECT_BYTES or view.ctypes.data % DIRECT_BYTES:
        return 0
    try:
        fcntl.fcntl(handle, fcntl.F_SETFL, DIRECT)
        done = 0
        while done < whole:
            count = os.preadv(handle, cast("Any", [view[done:whole]]), offset + done)
            if count % DIRECT_BYTES or count == 0:  # the end of the file: read_exactly says so
                break
            done += count
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        done = 0
    fcntl.fcntl(handle, fcntl.F_SETFL, 0)
    return done


def cached(handle: int, offset: int, nbytes: int) -> bool:
    """Whether most of a range of a file lies in the page cache, by a few of its pages; True if the system does not say.

    By mincore(2), which reads nothing and moves nothing. It tells only owners and writers of a file.
    """
    first = offset - offset % mmap.ALLOCATIONGRANULARITY
    try:
        with mmap.mmap(handle, offset + nbytes - first, mmap.MAP_SHARED, mmap.PROT_READ, offset=first) as mapped:
            pages = np.frombuffer(mapped, np.uint8)
            start, last = pages.ctypes.data, (pages.nbytes - 1) // mmap.PAGESIZE
            found = [
                _resident(start + mmap.PAGESIZE * (last * part // (PAGES_ASKED - 1))) for part in range(PAGES_ASKED)
            ]
            del pages  # the map cannot be closed under it
    except (OSError, ValueError, AttributeError):
        return True
    return 2 * sum(found) >= PAGES_ASKED


def _resident(address: int) -> bool:
    there = ctypes.c_ubyte(1)
    return mincore()(address, 1, ctypes.byref(there)) != 0 or bool(there.value & 1)


@cache
def mincore() -> Any:
    """The C library's mincore."""
    function = ctypes.CDLL(None, use_errno=True).mincore
    function.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
    return function
