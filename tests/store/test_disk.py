"""Files read through the page cache and past it."""

import fcntl
import os

import numpy as np
import pytest

from rnla.arrays import page_aligned
from rnla.store.disk import HIDDEN_PER_SECOND, TRIED_BYTES, Pace, cached, read_directly

PAGES = 64 * 4096


@pytest.fixture
def handle(tmp_path):
    (tmp_path / "file").write_bytes(os.urandom(PAGES + 100))
    opened = os.open(tmp_path / "file", os.O_RDWR)
    yield opened
    os.close(opened)


def answers_at_once(handle):
    """Whether the kernel gives the first byte without asking the disk; None where it cannot tell."""
    try:
        return os.preadv(handle, [bytearray(1)], 0, os.RWF_NOWAIT) == 1
    except BlockingIOError:
        return False
    except OSError:
        return None


def test_what_was_just_written_is_cached(handle):
    for offset, nbytes in ((0, PAGES + 100), (4096, 10), (5000, 200), (PAGES, 100)):
        assert cached(handle, offset, nbytes)


def test_what_was_dropped_is_not(handle):
    os.fsync(handle)
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    found = cached(handle, 0, PAGES)
    assert cached(handle, 0, PAGES) == found  # asking reads nothing
    expected = answers_at_once(handle)
    assert found == (expected is not False)


def test_where_the_system_does_not_say_the_cache_is_used(handle, monkeypatch):
    monkeypatch.setattr("rnla.store.disk.mincore", lambda: lambda *_: -1)
    assert cached(handle, 0, PAGES)
    assert cached(handle, 0, 2 * PAGES)  # past the end of the file
    assert cached(-1, 0, PAGES)


def test_direct_reads_take_what_is_aligned_and_leave_the_rest(tmp_path):
    data = np.random.default_rng(6).integers(0, 256, 5000, dtype=np.uint8)
    data.tofile(tmp_path / "file")
    handle = os.open(tmp_path / "file", os.O_RDONLY)
    try:
        for offset, size in ((0, 5000), (512, 1024), (512, 4488), (4608, 392), (4096, 904)):
            view = page_aligned(size)
            done = read_directly(handle, offset, view)
            assert done in {0, size - size % 512}  # nothing where the file system knows no direct access
            assert np.array_equal(view[:done], data[offset : offset + done])
        assert read_directly(handle, 3, page_aligned(1024)) == 0
        assert read_directly(handle, 0, page_aligned(2048)[1:]) == 0
        assert fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_DIRECT == 0
    finally:
        os.close(handle)


def test_a_disk_is_judged_after_a_while_by_what_it_gives_each_thread():
    slow = Pace()
    slow.add(TRIED_BYTES, 60.0)
    assert slow.hidden
    slow.add(1, 0.0)
    assert not slow.hidden
    fast = Pace()
    for _ in range(4):
        fast.add(TRIED_BYTES, TRIED_BYTES / (1.1 * HIDDEN_PER_SECOND))
    assert fast.hidden
    fast.add(0, 1.0)
    assert not fast.hidden
