"""Batches: each row once, an order that follows from the seed alone, unbiased draws, bounded buffers, faults."""

import itertools
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import scipy.sparse
import scipy.stats

import rnla
from rnla.errors import StoreError
from rnla.sweeps import minibatches, orders
from rnla.sweeps.minibatches import Feed, Samples, feed_of, forget
from rnla.sweeps.orders import At, Order
from rnla.sweeps.retries import ATTEMPTS
from rnla.sweeps.transform import Transform
from tests.backends import dask_array, numpy_array, sparse, stored, stored_sparse
from tests.faults import Fault, reads, watched
from tests.tolerances import sum_rounding

ROWS, COLUMNS = 107, 5
ROW_BYTES = 8 * COLUMNS
BLOCK_ROWS, BUFFER_BLOCKS = 8, 3  # with `several`: 14 blocks in 5 buffers, the last block ragged
HELD_OUT = (0, 3, 50, *range(64, 72), 106)  # among them a whole block, the first row and the last
SAMPLINGS = ("permutation", "replacement", "norm-squared")
CONFIDENCE = 1e-6

each_sampling = pytest.mark.parametrize("sampling", SAMPLINGS)
BACKENDS = {
    "numpy": numpy_array,
    "zarr, other chunks": partial(stored, (13, 2)),
    "zarr, one row a chunk": partial(stored, (1, COLUMNS)),
    "zarr, one chunk": partial(stored, (1 << 20, 1 << 20)),
    "dask": dask_array,
    "sparse": partial(sparse, scipy.sparse.csr_array),
    "sparse in zarr": partial(stored_sparse, scipy.sparse.csr_array),
}


@pytest.fixture
def several(monkeypatch):
    """Blocks of 8 rows, buffers of 3 blocks."""
    monkeypatch.setattr(orders, "BLOCK_BYTES", BLOCK_ROWS * ROW_BYTES + 1)
    monkeypatch.setattr(orders, "BUFFER_BLOCKS", BUFFER_BLOCKS)
    monkeypatch.setattr(orders, "LEAST_BLOCKS", 2)


@pytest.fixture
def no_pauses(monkeypatch):
    monkeypatch.setattr("rnla.sweeps.retries.FIRST_PAUSE_SECONDS", 0)


def matrix(dtype="f8"):
    """Rows that differ in length, two of three entries zero, and some rows wholly."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((ROWS, COLUMNS)) * rng.uniform(0.2, 2.0, (ROWS, 1)) * (rng.random((ROWS, COLUMNS)) < 1 / 3)
    A[[2, 40, 41, 90]] = 0
    return A.astype(dtype)


def samples(X, *, y=None, transform=None, dtype="f8", labels=True, seed=1, sampling="permutation", held_out=()):
    """A training set; the label of a row is its number."""
    y = rnla.open(np.arange(ROWS)[:, None]) if y is None else y
    order = Order(ROWS, ROW_BYTES, seed, sampling, np.array(held_out, dtype=np.int64))
    return Samples(
        X.source,
        Transform() if transform is None else transform,
        np.dtype(dtype),
        y.source,
        (0, ROWS - 1) if labels else None,
        1.0,
        order,
        working=np.result_type(dtype, X.dtype),
        epochs=100,
        token="a token",
    )


def batches(given, epoch=0, start=0, stop=None, size=10, *, held=2, lane=0):
    """All batches of a range, from a feed of its own."""
    feed = Feed(given, held=held)
    try:
        return list(feed.batches(epoch, lane, start, given.order.taken if stop is None else stop, size))
    finally:
        feed.close()


def joined(found):
    """The rows of batches one after the other: X, y, weights."""
    found = list(found)
    X, y = np.concatenate([batch.X for batch in found]), np.concatenate([batch.y for batch in found])
    return X, y, np.concatenate([np.ones(len(b.y)) if b.weights is None else b.weights for b in found])


def same(found, expected):
    """Whether ranges of batches hold the same rows, to the last bit."""
    return all(np.array_equal(a, b) for a, b in zip(joined(found), joined(expected), strict=True))


def test_the_cut_is_as_these_tests_need_it(several):
    order = samples(rnla.open(matrix()), held_out=HELD_OUT).order
    assert (order.block_rows, order.block_counts.size, order.buffers, order.buffer_rows) == (8, 14, 5, 24)
    assert 0 in order.block_counts
    assert order.block_counts.sum() == order.taken == ROWS - len(HELD_OUT)
    for epoch in range(3):
        assert np.array_equal(np.sort(np.concatenate([order.blocks(At(epoch, 0, b)) for b in range(5)])), np.arange(14))
        assert all(
            np.all(np.diff(order.blocks(At(epoch, 0, buffer))) > 0) for buffer in range(5)
        )  # the disk likes that
        sizes = [order.block_counts[order.blocks(At(epoch, 0, buffer))].sum() for buffer in range(5)]
        assert np.array_equal(np.diff(order.edges(epoch)), sizes)


@pytest.mark.parametrize(("row_bytes", "rows"), [(1, 1 << 18), (100, 1 << 15), (1000, 1 << 12), (10**9, 1)])
def test_blocks_are_of_a_bounded_size_and_a_power_of_two(row_bytes, rows):
    assert Order(10**6, row_bytes, 0, "permutation", np.empty(0, np.int64)).block_rows == rows


@pytest.mark.parametrize("held_out", [(), HELD_OUT, tuple(range(ROWS - 1))], ids=["none", "some", "all but one"])
@pytest.mark.parametrize("size", [1, 10, ROWS, 1000])
def test_an_epoch_takes_every_row_once(several, held_out, size):
    given = samples(rnla.open(matrix()), held_out=held_out)
    wanted = np.setdiff1d(np.arange(ROWS), held_out)
    orders = []
    for epoch in range(4):
        found = batches(given, epoch, size=size)
        assert [len(batch.y) for batch in found[:-1]] == [size] * (len(found) - 1)
        X, y, _ = joined(found)
        assert np.array_equal(np.sort(y), wanted)
        assert np.array_equal(X, matrix()[y])
        assert all(batch.weights is None for batch in found)
        orders.append(tuple(y))
    assert len(set(orders)) == (4 if len(wanted) > 1 else 1)


def test_an_epoch_of_one_buffer_takes_every_row_once():
    given = samples(rnla.open(matrix()), held_out=HELD_OUT)
    assert given.order.buffers == 1
    orders = [joined(batches(given, epoch))[1] for epoch in range(3)]
    for y in orders:
        assert np.array_equal(np.sort(y), np.setdiff1d(np.arange(ROWS), HELD_OUT))
    assert len({tuple(y) for y in orders}) == 3


def test_any_place_is_as_likely_for_any_row():
    order = samples(rnla.open(matrix())).order
    epochs = 200
    taken = [order.drawn(At(epoch, 0, 0), None, 10)[0] for epoch in range(epochs)]
    counts = np.array([np.bincount(row, minlength=10) for row in np.transpose(taken)])
    chi_square = np.sum((counts - epochs / 10) ** 2) / (epochs / 10)
    assert chi_square <= scipy.stats.chi2.ppf(1 - CONFIDENCE, 81)  # (10 - 1)^2 degrees of freedom


def test_another_seed_is_another_order(several):
    A = rnla.open(matrix())
    orders = {tuple(joined(batches(samples(A, seed=seed)))[1]) for seed in range(5)}
    assert len(orders) == 5


@each_sampling
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_order_does_not_depend_on_how_the_data_is_kept(several, tmp_path, sampling, backend):
    A = matrix("f4")
    reference = batches(samples(rnla.open(A), sampling=sampling, held_out=HELD_OUT, dtype="f4"), 2)
    found = batches(
        samples(BACKENDS[backend](A, tmp_path / "a.zarr"), sampling=sampling, held_out=HELD_OUT, dtype="f4"), 2
    )
    assert same(found, reference)
    assert all(batch.X.dtype == np.float32 for batch in found)


@each_sampling
@pytest.mark.parametrize("held", [1, 2, 3])
def test_any_split_of_an_epoch_gives_the_same_rows(several, sampling, held):
    given = samples(rnla.open(matrix()), sampling=sampling, held_out=HELD_OUT)
    whole = batches(given, 3, size=given.order.taken)
    rng = np.random.default_rng(5)
    for size in (1, 7, 64):
        cuts = np.sort(rng.integers(0, given.order.taken, 6))
        feed, parts = Feed(given, held=held), []
        for start, stop in zip([0, *cuts], [*cuts, given.order.taken], strict=True):
            parts.extend(feed.batches(3, 0, start, stop, size))
        feed.close()
        assert same(parts, whole)


@pytest.mark.parametrize("held_out", [(), HELD_OUT], ids=["none", "some"])
@pytest.mark.parametrize("lanes", [2, 3, 5, 14])
@pytest.mark.parametrize("one_buffer", [False, True])
def test_lanes_together_take_every_row_once(request, lanes, held_out, one_buffer):
    if not one_buffer:
        request.getfixturevalue("several")
    given = in_lanes(samples(rnla.open(matrix()), held_out=held_out), lanes)
    orders = []
    for epoch in range(3):
        lengths = given.order.lengths(epoch)
        parts = [batches(given, epoch, 0, length, lane=lane) for lane, length in enumerate(lengths) if length]
        rows = [joined(part)[1] for part in parts]
        assert [len(y) for y in rows] == [length for length in lengths if length]
        assert np.array_equal(np.sort(np.concatenate(rows)), np.setdiff1d(np.arange(ROWS), held_out))
        assert max(lengths) - min(lengths) <= (1 if one_buffer else 2 * BLOCK_ROWS + len(held_out))
        orders.append(tuple(np.concatenate(rows)))
    assert len(set(orders)) == 3


@each_sampling
@pytest.mark.parametrize("one_buffer", [False, True])
@pytest.mark.parametrize("held", [1, 2])
def test_lanes_that_take_turns_give_what_each_gives_alone(request, sampling, one_buffer, held):
    if not one_buffer:
        request.getfixturevalue("several")
    lanes = 3
    given = in_lanes(samples(rnla.open(matrix()), sampling=sampling, held_out=HELD_OUT), lanes)
    lengths = given.order.lengths(2)
    alone = [batches(given, 2, 0, length, lane=lane) for lane, length in enumerate(lengths)]
    feed, parts = Feed(given, held=held), [[] for _ in range(lanes)]
    for turn in range(4):
        for lane, length in enumerate(lengths):
            ends = length * turn // 4, length * (turn + 1) // 4
            parts[lane].extend(feed.batches(2, lane, *ends, 5))
            counted = [sum(at.lane == lane for at in feed.buffers) for lane in range(lanes)]
            assert max(counted) <= held
    feed.close()
    assert all(same(a, b) for a, b in zip(parts, alone, strict=True))


@pytest.mark.usefixtures("several")
def test_lanes_in_processes_of_their_own_read_the_data_once_together(tmp_path):
    A = watched(rnla.open(matrix()), tmp_path / "log")
    given = replace(in_lanes(samples(A), 3), epochs=2)
    feeds = [Feed(given) for _ in range(3)]
    for epoch in range(2):
        for lane, feed in enumerate(feeds):
            list(feed.batches(epoch, lane, 0, given.order.lengths(epoch)[lane], 10))
    for feed in feeds:
        feed.close()
    assert sum(read.entries for read in reads(tmp_path / "log")) == 2 * ROWS * COLUMNS


def in_lanes(given, lanes):
    """A training set whose epochs are dealt to lanes."""
    return replace(given, order=replace(given.order, lanes=lanes))


def test_nothing_is_in_an_empty_range(several):
    assert batches(samples(rnla.open(matrix())), 0, 20, 20) == []


@pytest.mark.parametrize("sampling", ["replacement", "norm-squared"])
@pytest.mark.parametrize("one_buffer", [False, True])
def test_draws_are_unbiased(request, sampling, one_buffer):
    if not one_buffer:
        request.getfixturevalue("several")
    epochs = 150
    given = samples(rnla.open(matrix()), sampling=sampling, held_out=HELD_OUT)
    rows = np.delete(matrix(), HELD_OUT, axis=0)
    feed = Feed(given)
    found = [joined(feed.batches(epoch, 0, 0, given.order.taken, 1000)) for epoch in range(epochs)]
    feed.close()
    means = np.array([np.mean(weights[:, None] * X, axis=0) for X, _, weights in found])
    error = means.std(axis=0, ddof=1) / np.sqrt(epochs)
    assert np.all(np.abs(means.mean(axis=0) - rows.mean(axis=0)) <= 5 * error)
    assert not any(np.isin(y, HELD_OUT).any() for _, y, _ in found)
    assert all(np.array_equal(X, matrix()[y]) for X, y, _ in found)


@pytest.mark.parametrize("sampling", ["replacement", "norm-squared"])
def test_rows_are_drawn_as_often_as_they_should(sampling):
    given = samples(rnla.open(matrix()), sampling=sampling)
    feed, counts = Feed(given), np.zeros(ROWS)
    for epoch in range(100):
        _, y, weights = joined(feed.batches(epoch, 0, 0, ROWS, ROWS))
        counts += np.bincount(y, minlength=ROWS)
        squares = 1 + np.sum(matrix() ** 2, axis=1)
        expected_weights = squares.mean() / squares[y] if sampling == "norm-squared" else np.ones(ROWS)
        assert np.all(np.abs(weights - expected_weights) <= sum_rounding("f8", COLUMNS + ROWS) * expected_weights)
    feed.close()
    chances = squares / squares.sum() if sampling == "norm-squared" else np.full(ROWS, 1 / ROWS)
    expected = 100 * ROWS * chances
    rare = expected < 5  # too few for the normal law: taken together
    seen, wanted = (np.append(x[~rare], x[rare].sum()) for x in (counts, expected))
    wanted, seen = wanted[wanted > 0], seen[wanted > 0]
    assert np.sum((seen - wanted) ** 2 / wanted) <= scipy.stats.chi2.ppf(1 - CONFIDENCE, wanted.size - 1)
    assert np.all(counts[chances == 0] == 0)


def test_zero_rows_are_drawn_for_what_they_say_of_biases(several):
    A = np.zeros((ROWS, COLUMNS))
    A[: 3 * BLOCK_ROWS] = 2.0
    given, epochs = samples(rnla.open(A), sampling="norm-squared"), 200
    shares = np.zeros(epochs)
    for epoch in range(epochs):
        found = batches(given, epoch, size=20)
        assert all(batch.weights.shape == batch.y.shape for batch in found)
        _, y, weights = joined(found)
        shares[epoch] = weights[y >= 3 * BLOCK_ROWS].sum() / ROWS
        assert weights.max() <= 1 + 4 * COLUMNS  # the mean of |x|^2 + 1 over the least there is
    expected = 1 - 3 * BLOCK_ROWS / ROWS
    assert abs(shares.mean() - expected) <= 5 * shares.std() / np.sqrt(epochs)


@each_sampling
@pytest.mark.parametrize("form", ["numpy", "sparse"])
def test_rows_are_centred_and_scaled(several, sampling, form):
    A = matrix() if form == "numpy" else scipy.sparse.csr_array(matrix())
    centre, scale = np.arange(1.0, 1 + COLUMNS), np.linspace(0.5, 2, COLUMNS)
    given = samples(rnla.open(A), transform=Transform(centre=centre, scale=scale), sampling=sampling)
    X, y, weights = joined(batches(given))
    expected = (matrix() - centre) * scale
    assert np.all(np.abs(X - expected[y]) <= sum_rounding("f8", 2) * (np.abs(matrix()[y]) + centre) * scale)
    if sampling == "norm-squared":  # the norms are those of the rows that the network gets
        squares = 1 + np.sum(expected**2, axis=1)
        edges = given.order.edges(0)
        for number, (first, last) in enumerate(itertools.pairwise(edges)):
            inside = np.isin(np.arange(ROWS) // BLOCK_ROWS, given.order.blocks(At(0, 0, number)))
            wanted = squares[inside].mean() / squares[y[first:last]]
            assert np.all(np.abs(weights[first:last] - wanted) <= sum_rounding("f8", ROWS) * wanted)


@pytest.mark.parametrize("kind", ["i2", "?", "f4", "f8"])
def test_rows_come_in_the_precision_of_the_network(several, kind):
    A = (10 * matrix()).astype(kind)
    for dtype in ("f4", "f8"):
        X, y, _ = joined(batches(samples(rnla.open(A), dtype=dtype)))
        assert X.dtype == dtype
        assert np.array_equal(X, A[y].astype(dtype))


@pytest.mark.parametrize("backend", ["numpy", "zarr, other chunks", "sparse"])
def test_values_belong_to_rows_as_labels_do(several, tmp_path, backend):
    values = np.stack([np.arange(ROWS), -np.arange(ROWS)], axis=1).astype("f8")
    given = samples(rnla.open(matrix()), y=BACKENDS[backend](values, tmp_path / "y.zarr"), labels=False, dtype="f4")
    X, y, _ = joined(batches(given))
    assert y.dtype == np.float32
    assert y.shape == (ROWS, 2)
    assert np.array_equal(y[:, 1], -y[:, 0])
    assert np.array_equal(X, matrix()[y[:, 0].astype(int)].astype("f4"))


@pytest.mark.parametrize("held", [1, 2, 4])
def test_no_more_buffers_are_held_than_allowed(several, monkeypatch, held):
    beside = []  # how many there are whenever one more is made
    feed = Feed(samples(rnla.open(matrix())), held=held)
    asked = feed._asked
    monkeypatch.setattr(feed, "_asked", lambda *of: (beside.append(len(feed.buffers)), asked(*of))[1])
    for epoch in range(3):
        for _ in feed.batches(epoch, 0, 0, ROWS, 10):
            assert len(feed.buffers) <= held
    feed.close()
    assert max(beside) == held - 1
    assert not feed.buffers


@pytest.mark.parametrize("held", [1, 2, 4])
def test_every_buffer_is_read_once_an_epoch(several, tmp_path, held):
    A = watched(rnla.open(matrix()), tmp_path / "log")
    feed = Feed(samples(A), held=held)
    for epoch in range(3):
        list(feed.batches(epoch, 0, 0, ROWS, 10))
    feed.close()
    entries = sum(read.entries for read in reads(tmp_path / "log"))
    ahead = 0 if held == 1 else BUFFER_BLOCKS * BLOCK_ROWS  # the first buffer of the epoch that did not come
    assert 3 * ROWS <= entries // COLUMNS <= 3 * ROWS + ahead
    taken, _ = feed.taken()
    each = ROW_BYTES + 8  # a label besides
    assert 3 * ROWS <= taken // each <= 3 * ROWS + ahead
    if held == 1:
        assert taken == 3 * ROWS * each


def test_what_fits_into_one_buffer_is_read_once(tmp_path):
    A = watched(rnla.open(matrix()), tmp_path / "log")
    feed = Feed(samples(A))
    for epoch in range(3):
        list(feed.batches(epoch, 0, 0, ROWS, 10))
    feed.close()
    assert sum(read.entries for read in reads(tmp_path / "log")) == ROWS * COLUMNS
    assert feed.taken()[0] == ROWS * (ROW_BYTES + 8)


def test_threads_are_gone_after_the_end(several):
    feed = Feed(samples(rnla.open(matrix())))
    unfinished = feed.batches(0, 0, 0, ROWS, 10)
    next(unfinished)
    threads = list(feed.pool._threads)
    assert threads
    feed.close()
    assert not any(thread.is_alive() for thread in threads)
    feed.close()  # twice is harmless


@each_sampling
@pytest.mark.parametrize("held", [1, 2, 3])
def test_threads_that_share_a_feed_get_what_they_get_alone(several, sampling, held):
    given = samples(rnla.open(matrix()), sampling=sampling, held_out=HELD_OUT)
    ranges = [(epoch, start, start + 60) for epoch in range(6) for start in (0, 25)]
    alone = [batches(given, *each, size=9) for each in ranges]
    feed = Feed(given, held=held)
    with ThreadPoolExecutor(2) as both:
        found = list(both.map(lambda each: list(feed.batches(each[0], 0, *each[1:], 9)), ranges))
    feed.close()
    assert all(same(a, b) for a, b in zip(found, alone, strict=True))


def test_a_buffer_that_another_thread_put_out_is_no_trouble(several):
    feed = Feed(samples(rnla.open(matrix())))
    with feed._used(At(0, 0, 0)), feed._used(At(0, 0, 3)):  # the other thread, in between
        feed._ahead(At(0, 0, 3), last=False)
        feed._ahead(At(0, 0, 0), last=False)
    assert len(feed.buffers) == 2
    feed.close()


def test_memory_is_taken_up_again_when_nobody_uses_it_any_more(several):
    feed = Feed(samples(rnla.open(matrix())), held=1)
    with feed._used(At(0, 0, 0)) as first:
        rows = first.rows().X.copy()
        for number in (1, 2, 3):  # the first buffer is put out, and still in use
            with feed._used(At(0, 0, number)) as other:
                other.rows()
                assert not np.shares_memory(other.room, first.room)
        assert np.array_equal(first.rows().X, rows)
    rooms = []
    for number in (0, 1, 2):
        with feed._used(At(1, 0, number)) as buffer:
            buffer.rows()
            rooms.append(buffer.room)
    assert np.shares_memory(rooms[0], rooms[1])
    assert np.shares_memory(rooms[1], rooms[2])
    feed.close()


@pytest.mark.parametrize("of", ["X", "y"])
def test_a_read_error_that_passes_is_tried_again(several, no_pauses, tmp_path, of):
    expected = batches(samples(rnla.open(matrix())))
    given = samples(rnla.open(matrix()))
    spoilt = watched(replace_source(given, of), tmp_path / "log", Fault(3, "EIO", ATTEMPTS - 1), Fault(11, "EIO"))
    assert same(batches(replace(given, **{of: spoilt.source})), expected)
    assert len(reads(tmp_path / "log")) > ATTEMPTS + 11


def replace_source(given, of):
    """A matrix over one of the sources of a training set."""
    return rnla.open(np.arange(ROWS)[:, None] if of == "y" else matrix())


@pytest.mark.parametrize("of", ["X", "y"])
@pytest.mark.parametrize("kind", ["EIO", "missing", "ENOSPC"])
def test_a_read_error_that_stays_names_the_place(several, no_pauses, tmp_path, of, kind):
    given = samples(rnla.open(matrix()))
    spoilt = watched(replace_source(given, of), tmp_path / "log", Fault(0, kind, 10**6))
    with pytest.raises(StoreError, match=r"row \d+, column 0 of the array in memory: this cannot be read"):
        batches(replace(given, **{of: spoilt.source}))


def test_the_place_in_a_store_is_named(several, no_pauses, tmp_path):
    A = watched(stored((16, COLUMNS), matrix(), tmp_path / "a.zarr"), tmp_path / "log", Fault(0, "EIO", 10**6))
    with pytest.raises(StoreError, match=r"a\.zarr.*cannot be read or written \(attempt 5"):
        batches(samples(A))


@pytest.mark.parametrize("one_buffer", [False, True])
def test_what_could_not_be_read_is_read_when_it_is_wanted_again(request, monkeypatch, tmp_path, one_buffer):
    if not one_buffer:
        request.getfixturevalue("several")
    request.getfixturevalue("no_pauses")
    expected = batches(samples(rnla.open(matrix())))
    A = watched(rnla.open(matrix()), tmp_path / "log", Fault(0, "missing"))
    feed = Feed(samples(A))
    with pytest.raises(StoreError):
        list(feed.batches(0, 0, 0, ROWS, 10))
    assert same(list(feed.batches(0, 0, 0, ROWS, 10)), expected)
    feed.close()


def test_a_training_travels_as_names(several, tmp_path):
    given = samples(stored((16, COLUMNS), matrix(), tmp_path / "a.zarr"))
    again = pickle.loads(pickle.dumps(given))
    assert same(batches(again), batches(given))


def test_a_training_keeps_its_feed_beside_others(several, monkeypatch):
    first = samples(rnla.open(matrix()))
    second = replace(first, token="another")
    with feed_of(first, 2) as feed, feed_of(first, 2) as again, feed_of(second, 2) as other:
        assert feed is again
        assert other is not feed
        assert same(list(feed.batches(0, 0, 0, ROWS, 10)), batches(first))
    with feed_of(second, 2) as again:
        assert again is other
        assert not feed.pool._shutdown  # nobody uses it now, but somebody may come back
    forget("another")
    forget("another")  # twice is harmless
    assert other.pool._shutdown
    monkeypatch.setattr(minibatches, "IDLE", -1.0)
    with feed_of(first, 2) as feed, feed_of(second, 2):
        assert not feed.pool._shutdown  # in use, however long
    with feed_of(second, 2):
        assert feed.pool._shutdown
    with feed_of(first, 2) as again:
        assert again is not feed
    forget("a token")
    forget("another")
    assert not minibatches._feeds
