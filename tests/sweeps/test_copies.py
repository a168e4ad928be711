"""Copies: the same rows whatever the chunks, each chunk read about once, nothing copied that need not be."""

from dataclasses import replace

import numpy as np
import pytest
import zarr

import rnla
from rnla.store.tall import Scratch
from rnla.sweeps import copies, orders
from rnla.sweeps.copies import Copy, Copying, chunk_rows, copy, epoch_bytes, parts, pieces, worth_copying
from rnla.sweeps.orders import Order
from tests.faults import Fault, reads, watched

ROWS, COLUMNS = 203, 5


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Blocks and pieces of 8 rows, buffers of two blocks, five parts."""
    monkeypatch.setattr(orders, "BLOCK_BYTES", 8 * 8 * COLUMNS)
    monkeypatch.setattr(copies, "BLOCK_BYTES", 8 * 8 * COLUMNS)
    monkeypatch.setattr(orders, "BUFFER_BLOCKS", 2)
    monkeypatch.setattr(copies, "LEAST_CHUNK_BYTES", 16 * 8)
    monkeypatch.setattr(copies, "PARTS", 5)
    monkeypatch.setattr("rnla.sweeps.retries.FIRST_PAUSE_SECONDS", 0)


def stored(place, A, chunks, compressors="auto"):
    zarr.create_array(str(place), data=A, chunks=chunks, compressors=compressors)
    return rnla.open(place)


def order():
    return Order(ROWS, 8 * COLUMNS, 0, "permutation", np.zeros(0, np.int64))


@pytest.mark.parametrize("chunks", [(1, COLUMNS), (7, 2), (8, COLUMNS), (20, 5), (203, 3), (500, 5)])
@pytest.mark.parametrize("dtype", ["f8", "u1", "i4"])
def test_a_copy_is_the_same_and_chunks_are_read_about_once(tmp_path, chunks, dtype):
    A = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS).astype(dtype)
    given = watched(stored(tmp_path / "a.zarr", A, chunks), tmp_path / "log", Fault(3, "EIO"))
    step = chunk_rows(given.source, order())
    assert step % order().block_rows == 0
    into = Scratch(str(tmp_path / "room")).tall("copy", A.shape, A.dtype, step)
    cut = parts(given.source, step)
    assert len(cut) == max(1, min(5, -(-ROWS // step), ROWS // (4 * min(chunks[0], ROWS))))
    assert [part.start for part in cut[1:]] == [part.stop for part in cut[:-1]]
    assert all(part.start % step == 0 for part in cut)
    told = [copy(Copying(given.source, into, step), part) for part in cut]
    found = Copy(into.source, given.source)
    everything = slice(0, ROWS), slice(0, COLUMNS)
    assert np.array_equal(found.read(*everything), A)
    assert found.read_bytes(*everything) == 0
    assert found.place(7, 1) == given.source.place(7, 1)
    assert (found.identity, found.dtype) == (given.source.identity, A.dtype)
    entries = sum(read.entries for read in reads(tmp_path / "log"))
    assert entries <= A.size + COLUMNS * max(64, chunks[0])  # a piece again, after the error
    most = A.nbytes + (len(cut) - 1) * min(chunks[0], ROWS) * COLUMNS * A.itemsize
    assert A.nbytes <= sum(one.bytes_read for one in told) <= most
    assert min(one.peak_bytes for one in told) > 0


def test_pieces_end_where_chunks_end(tmp_path):
    A = stored(tmp_path / "a.zarr", np.zeros((ROWS, COLUMNS)), (20, COLUMNS)).source
    assert [(p.start, p.stop) for p in pieces(A, slice(8, 64))] == [(8, 20), (20, 40), (40, 60), (60, 64)]
    rows = stored(tmp_path / "b.zarr", np.zeros((ROWS, COLUMNS)), (3, COLUMNS)).source
    assert [p.stop - p.start for p in pieces(rows, slice(0, 20))] == [6, 6, 6, 2]


@pytest.mark.parametrize(
    ("chunks", "compressors", "epochs", "expected"),
    [
        ((20, 5), "auto", 3, True),
        ((20, 5), None, 3, False),  # read where they lie
        ((8, 5), "auto", 50, False),  # chunks are blocks
        ((203, 5), "auto", 1, True),
        ((12, 5), "auto", 1, False),  # decoded twice: no more than to copy
        ((12, 5), "auto", 3, True),
    ],
)
def test_what_is_worth_copying(tmp_path, chunks, compressors, epochs, expected):
    A = stored(tmp_path / "a.zarr", np.zeros((ROWS, COLUMNS)), chunks, compressors).source
    assert worth_copying(A, A, order(), epochs) == expected


def test_what_fits_into_one_buffer_is_read_along_its_chunks(tmp_path, monkeypatch):
    A = stored(tmp_path / "a.zarr", np.zeros((ROWS, COLUMNS)), (20, COLUMNS)).source
    y = stored(tmp_path / "y.zarr", np.zeros((ROWS, 1)), (ROWS, 1)).source
    assert epoch_bytes(A, A, order()) > 2 * 8 * ROWS * COLUMNS
    monkeypatch.setattr(orders, "BUFFER_BLOCKS", 100)
    assert epoch_bytes(A, A, replace(order())) == 8 * ROWS * COLUMNS
    assert not worth_copying(A, A, order(), 10)
    assert worth_copying(y, A, order(), 10)  # one chunk, decoded for each piece of A
