"""Training: the same bits whoever works, reads counted, plain refusals."""

import math

import dask
import dask.array
import numpy as np
import pytest
import scipy.sparse
import zarr
from distributed import Client, LocalCluster
from sklearn.metrics import confusion_matrix

import rnla
import rnla.sweeps.orders
from rnla.algorithms.delivery_training import confusion
from rnla.algorithms.training import HeldOut
from rnla.errors import (
    DivergedError,
    NonFiniteError,
    RequestError,
    StoreError,
    UnsupportedError,
)
from rnla.opening import open_column
from rnla.sweeps.source import swept_as_it_is, touched_bytes
from tests.backends import BACKENDS, SPARSE
from tests.faults import Fault, reads, watched

N, CLASSES = 9, 3

pytestmark = pytest.mark.filterwarnings("ignore:each epoch decodes the samples")  # of chunks that are meant not to fit


def samples(m=500, seed=0, n=N):
    """Points in three classes that a line does not part."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((m, n)).astype("f4")
    return X, ((X[:, 0] * X[:, 1] > 0).astype(int) + (X[:, 2] > 0.8)).astype("i8")


@pytest.fixture
def small_blocks(monkeypatch):
    """Small data is cut like large data: several buffers of several blocks."""
    monkeypatch.setattr(rnla.sweeps.orders, "BLOCK_BYTES", 32 * 4 * N)
    monkeypatch.setattr(rnla.sweeps.orders, "BUFFER_BLOCKS", 4)


def fitted(X, y, *, hidden=(16,), dtype="float32", outputs=CLASSES, **options):
    """A network trained, by options."""
    A = rnla.open(X)
    network = rnla.nn.Network((A.shape[1], *hidden, outputs), dtype=dtype, seed=5)
    return rnla.nn.train(network, A, y, **({"epochs": 3, "batch": 20, "seed": 1} | options))


def bits(found):
    return found.network.parameters.tobytes(), {name: values.tobytes() for name, values in found.history.items()}


@pytest.mark.usefixtures("small_blocks", "small_panels")
@pytest.mark.parametrize("backend", BACKENDS)
def test_any_backend_gives_the_same_bits_and_is_read_as_often_as_stated(tmp_path, backend):
    X, y = samples()
    X = X * (X > 0) if backend in SPARSE else X
    alone = fitted(scipy.sparse.csr_array(X) if backend in SPARSE else X, y)  # blocks follow what rows take
    A = BACKENDS[backend](X, tmp_path / "a")
    if not swept_as_it_is(rnla.open(A).source):
        with pytest.raises(UnsupportedError, match="kept by its other side"):
            fitted(A, y)
        return
    A = rnla.open(A)
    found = fitted(A, y)
    assert bits(found) == bits(alone)
    order = rnla.sweeps.orders.Order(len(X), rnla.algorithms.samples.row_bytes(A), 0, "permutation", np.zeros(0, int))
    often = sum(touched_bytes(A.source, order.span(b)) for b in range(order.block_counts.size)) / A.geometry.bytes
    assert 3.9 <= found.cost.passes <= A.geometry.reads + 3.05 * often  # strips in parts are read once or twice


def decoded(log, shape, chunks):
    """Entries of the chunks that were touched, over those that there are."""
    count = 0
    for read in reads(log):
        sides = zip((read.rows, read.columns), shape, chunks, strict=True)
        count += math.prod(min(-(-s.stop // c) * c, size) - s.start // c * c for s, size, c in sides)
    return count / math.prod(shape)


@pytest.mark.usefixtures("small_blocks")
def test_chunks_change_no_bit_and_reads_are_counted(tmp_path):
    X, y = samples()
    found = []
    for number, chunks in enumerate([(500, N), (77, N), (13, 4)]):
        zarr.create_array(str(tmp_path / f"X{number}"), data=X, chunks=chunks)
        zarr.create_array(str(tmp_path / f"y{number}"), data=y, chunks=(50 + number,))
        A = watched(rnla.open(tmp_path / f"X{number}"), tmp_path / f"log{number}")
        b = watched(open_column(tmp_path / f"y{number}"), tmp_path / f"log{number}-y")
        one = fitted(A, b)
        found.append(bits(one))
        of_X = decoded(tmp_path / f"log{number}", X.shape, chunks) * X.nbytes
        of_y = decoded(tmp_path / f"log{number}-y", (500, 1), (50 + number, 1)) * y.nbytes
        assert one.cost.bytes_read == pytest.approx(of_X + of_y, rel=1e-6)
        assert one.cost.passes == pytest.approx((of_X + of_y) / (X.nbytes + y.nbytes), rel=1e-6)
    assert found[0] == found[1] == found[2]


def test_data_that_fits_into_a_buffer_is_read_twice_however_many_epochs(tmp_path):
    X, y = samples()
    A = watched(rnla.open(X), tmp_path / "log")
    found = fitted(A, y, epochs=7)
    assert sum(read.entries for read in reads(tmp_path / "log")) == 2 * X.size
    assert found.cost.passes == 2


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("optimizer", ["sgd", "nesterov", "adam"])
def test_replicas_that_average_gradients_equal_one_with_a_larger_batch(optimizer):
    X, y = samples(510)
    options = {"dtype": "float64", "optimizer": optimizer, "learning_rate": 0.01, "clip": 1.0}
    alone = fitted(X.astype("f8"), y, batch=40, **options)
    four = fitted(X.astype("f8"), y, batch=10, replicas=4, local_steps=1, **options)
    assert np.abs(alone.network.parameters - four.network.parameters).max() <= 1e-10
    assert four.certificate.steps == alone.certificate.steps


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(
    "options", [{}, {"local_steps": 1}, {"local_steps": 4, "outer_momentum": 0.5, "outer_rate": 0.8}]
)
def test_workers_change_no_bit(tmp_path, options):
    X, y = samples()
    zarr.create_array(str(tmp_path / "X"), data=X, chunks=(50, N))
    zarr.create_array(str(tmp_path / "y"), data=y, chunks=(50,))

    def run(threads=None):
        return fitted(rnla.open(tmp_path / "X", threads=threads), tmp_path / "y", replicas=3, patience=5, **options)

    expected = bits(run(1))
    assert bits(run(2)) == expected
    for workers in (1, 2):
        with Client(processes=False, n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0"):
            assert bits(run()) == expected


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(("replicas", "held"), [(1, 0), (2, 0), (3, 70), (5, 1)])
@pytest.mark.parametrize(("local_steps", "batch"), [(1, 10), (4, 10), (7, 3), (1000, 50)])
def test_a_round_deals_every_place_once_and_evenly(replicas, held, local_steps, batch):
    at = rnla.algorithms.samples.held_rows(500, N, 4, held, 0)
    regime = rnla.algorithms.regime.checked_regime(
        (N, CLASSES), 500 - held, held, batch=batch, replicas=replicas, local_steps=local_steps
    )
    order = rnla.sweeps.orders.Order(500, 4 * N, 0, "permutation", at, regime.lanes)
    places = [[] for _ in range(regime.lanes)]
    number, last, most = 0, False, []
    while not last:
        parts, last = rnla.algorithms.training.deal(order, 0, number, regime)
        steps = [-(-(part.stop - part.start) // batch) for part in parts]
        assert max(steps) <= local_steps
        assert max(steps) - min(steps) <= 1 or regime.lanes > 1
        most.append(max(steps))
        for part in parts:
            places[part.lane] += range(part.start, part.stop)
        number += 1
    assert places == [list(range(length)) for length in order.lengths(0)]
    if not regime.gradients:
        assert max(most) - min(most) <= 1
        assert len(most) == -(-max(-(-length // batch) for length in order.lengths(0)) // local_steps)


def cut_small():
    """In a worker what `small_blocks` does here."""
    rnla.sweeps.orders.BLOCK_BYTES, rnla.sweeps.orders.BUFFER_BLOCKS = 32 * 4 * N, 4


@pytest.mark.usefixtures("small_blocks")
def test_workers_together_read_the_data_once_an_epoch(tmp_path):
    X, y = samples(2000)
    zarr.create_array(str(tmp_path / "X"), data=X, chunks=(50, N), compressors=None)

    def run():
        A = watched(rnla.open(tmp_path / "X"), tmp_path / "log")
        return fitted(A, y, replicas=2, local_steps=5, epochs=4, validation=0)

    with (
        dask.config.set({"distributed.scheduler.work-stealing": False}),  # a stolen round is read by both
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        client.run(cut_small)
        found = run()
    seen = reads(tmp_path / "log")
    read = sum(read.entries for read in seen) / X.size
    assert read == pytest.approx(5, abs=0.1)  # the first sweep, and each epoch
    assert len({read.process for read in seen}) > 1
    assert found.cost.passes == pytest.approx(read, abs=0.1)


def test_workers_that_are_killed_change_no_bit(tmp_path):
    X, y = samples(4000)
    zarr.create_array(str(tmp_path / "X"), data=X, chunks=(500, N))
    zarr.create_array(str(tmp_path / "y"), data=y, chunks=(500,))

    def run(*faults):
        A = watched(rnla.open(tmp_path / "X"), tmp_path / f"log{len(faults)}", *faults)
        return fitted(A, tmp_path / "y", replicas=2, local_steps=5, epochs=3)

    expected = bits(run())
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster, Client(cluster):
        assert bits(run(Fault(1, "kill"))) == expected  # read 0 is that of the first sweep
        killed = {read.process for read in reads(tmp_path / "log1")}
        assert len(killed) > 1


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("sampling", ["permutation", "replacement", "norm-squared"])
@pytest.mark.parametrize("loss", ["cross-entropy", "hinge", "square"])
def test_every_loss_and_sampling_learns(sampling, loss):
    X, y = samples(900)
    targets = np.eye(CLASSES)[y] if loss == "square" else y
    found = fitted(X, targets, loss=loss, sampling=sampling, epochs=25, learning_rate=0.05, hidden=(24,))
    decided = np.asarray(rnla.nn.predict(found, X)).argmax(axis=1)
    assert (decided == y).mean() > 0.8
    assert np.isnan(found.history["accuracy"]).all() == (loss == "square")
    assert found.history["loss"][-1] < 0.6 * found.history["loss"][0]


def test_two_classes_by_one_output_and_signs():
    X, y = samples(600)
    signs = np.where(y > 0, 1, -1)
    found = fitted(X, signs, loss="hinge", outputs=1, epochs=20, learning_rate=0.05)
    assert (np.sign(np.asarray(rnla.nn.predict(found, X))[:, 0]) == signs).mean() > 0.85


def test_columns_are_centred_and_scaled_as_in_training(tmp_path):
    X, y = samples()
    moved = X * np.linspace(0.5, 50, N, dtype="f4") + 100
    A = BACKENDS["zarr v3"](moved, tmp_path / "a").centred().scaled()
    found = fitted(A, y, dtype="float64", validation=50)
    held = rnla.algorithms.samples.held_rows(*moved.shape, 8, 50, 1)
    seen = np.delete(moved.astype("f8"), held, axis=0)  # those trained on
    assert found.centre == pytest.approx(seen.mean(axis=0), rel=1e-12)
    assert 1 / found.scale == pytest.approx(seen.std(axis=0), rel=1e-12)
    expected = found.network((moved - seen.mean(axis=0)) / seen.std(axis=0))
    assert np.asarray(rnla.nn.predict(found, BACKENDS["numpy"](moved, tmp_path))) == pytest.approx(expected, abs=1e-6)
    assert found.certificate.held_out == 50


def test_rows_that_are_none_have_values_that_are_none():
    X, y = samples()
    for network in (fitted(rnla.open(X).centred(), y), rnla.nn.Network((N, 4, 2))):
        for none in (X[:0], dask.array.from_array(X)[:0]):
            found = rnla.nn.predict(network, none)
            outputs = CLASSES if isinstance(network, rnla.nn.Trained) else 2
            assert (found.shape, found.dtype, found.compute().shape) == ((0, outputs), np.float32, (0, outputs))


def test_columns_that_the_network_does_not_take_are_counted():
    X, y = samples()
    for network in (fitted(rnla.open(X).centred().scaled(), y), rnla.nn.Network((N, 4, 2))):
        with pytest.raises(RequestError, match="takes 9 inputs and X has 5 columns"):
            rnla.nn.predict(network, X[:, :5])


def test_the_best_parameters_are_kept_and_patience_ends_it():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((120, N)), rng.integers(0, 2, 120)  # nothing to be learned
    found = fitted(X, y, epochs=60, patience=4, validation=40, hidden=(64,), learning_rate=0.05)
    losses = found.history["validation_loss"]
    assert found.certificate.stopped_early
    assert found.stopped_at == losses.argmin() + 1
    assert len(losses) == found.stopped_at + 4
    again = fitted(X, y, epochs=found.stopped_at, validation=40, hidden=(64,), learning_rate=0.05)
    assert again.network.parameters.tobytes() == found.network.parameters.tobytes()
    assert found.certificate.validation_loss == losses.min()


def test_samples_held_out_are_those_of_the_seed_whatever_the_chunks():
    first = rnla.algorithms.samples.held_rows(10**6, 3, 4, 0.001, 7)
    assert first.size == 1000
    assert np.array_equal(first, rnla.algorithms.samples.held_rows(10**6, 3, 4, 1000, 7))
    assert not np.array_equal(first, rnla.algorithms.samples.held_rows(10**6, 3, 4, 1000, 8))
    assert first.size == np.unique(first).size
    halves = (first < 5 * 10**5).sum()
    assert abs(halves - 500) <= 5 * np.sqrt(1000 / 4)


@pytest.mark.parametrize(("loss", "outputs"), [("cross-entropy", CLASSES), ("hinge", CLASSES), ("hinge", 1)])
def test_what_was_taken_for_what_is_scikit_learns(loss, outputs):
    X, y = samples(700)
    known = np.where(y > 0, 1, -1) if outputs == 1 else y
    network = rnla.nn.Network((N, 8, outputs), seed=3)  # which has learned nothing, so that all mistakes are made
    found = confusion(network, HeldOut(X, known), loss)
    Z = network(X)
    decided = np.where(Z[:, 0] >= 0, 1, -1) if outputs == 1 else Z.argmax(axis=1)
    expected = confusion_matrix(known, decided, labels=[-1, 1] if outputs == 1 else range(CLASSES))
    assert np.array_equal(found, expected)
    assert not np.array_equal(found, found.T)
    assert found.min() > 0


BAD = {
    "labels beyond the outputs": (lambda X, y: fitted(X, y + 1), RequestError, "label .* is 3.*0..2"),
    "labels below zero": (lambda X, y: fitted(X, y - 1), RequestError, "label .* is -1"),
    "labels that are no integers": (lambda X, y: fitted(X, y + 0.5), RequestError, "whole numbers"),
    "labels that are no signs": (lambda X, y: fitted(X, y, loss="hinge", outputs=1), RequestError, "-1 or 1"),
    "one output for classes": (lambda X, y: fitted(X, y * 0, outputs=1), RequestError, "at least 2"),
    "NaN among targets": (
        lambda X, y: fitted(X, np.where(np.arange(len(y)) == 77, np.nan, 1.0), loss="square", outputs=1),
        NonFiniteError, "target 77",
    ),
    "targets of another length": (lambda X, y: fitted(X, y[:-1]), RequestError, "500 rows and y 499"),
    "targets of another width": (lambda X, y: fitted(X, y, loss="square"), RequestError, "1 columns.*3 numbers"),
    "widths that do not fit": (
        lambda X, y: rnla.nn.train(rnla.nn.Network((N + 1, 3)), X, y), RequestError, "takes 10 inputs and X has 9",
    ),
    "a batch larger than the data": (lambda X, y: fitted(X, y, batch=501), RequestError, "batch=501 .* 450 samples"),
    "batches of all replicas": (lambda X, y: fitted(X, y, batch=200, replicas=3), RequestError, "3 replicas"),
    "an empty split": (lambda X, y: fitted(X, y, validation=0.0001), RequestError, "holds none out"),
    "all held out": (lambda X, y: fitted(X, y, validation=500), RequestError, "less than the 500"),
    "no share": (lambda X, y: fitted(X, y, validation=1.0), RequestError, "0 <= share < 1"),
    "an unknown loss": (lambda X, y: fitted(X, y, loss="log"), RequestError, "square, cross-entropy, hinge"),
    "an unknown optimizer": (lambda X, y: fitted(X, y, optimizer="lbfgs"), RequestError, "sgd, nesterov, adam"),
    "an unknown sampling": (lambda X, y: fitted(X, y, sampling="all"), RequestError, "permutation"),
    "no learning rate": (lambda X, y: fitted(X, y, learning_rate=0), RequestError, "positive"),
    "no network": (lambda *given: rnla.nn.train("net", *given), RequestError, "rnla.nn.Network"),
    "rows that are weighted": (
        lambda X, y: fitted(rnla.open(X).weighted(rows=np.ones(len(y))), y), RequestError, "rows are weighted",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_right_is_refused(case):
    action, kind, words = BAD[case]
    with pytest.raises(kind, match=words):
        action(*samples())


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("held", [0, 0.1])
def test_nan_in_one_sample_is_located(tmp_path, held):
    X, y = samples()
    X[321, 4] = np.nan
    zarr.create_array(str(tmp_path / "X"), data=X, chunks=(50, N))
    with pytest.raises(NonFiniteError, match=r"X: key c/6/0, chunk \(6, 0\).*\(321, 4\)"):
        fitted(tmp_path / "X", y, validation=held)


@pytest.mark.parametrize("options", [{}, {"replicas": 2, "local_steps": 1}, {"replicas": 2, "local_steps": 3}])
def test_descent_that_diverges_says_so_and_keeps_the_last_finite_network(options):
    X, y = samples()
    with pytest.raises(
        DivergedError, match=r"diverged in epoch .* by step .*learning rate of 1e.06; take a smaller"
    ) as caught:
        fitted(X * 100, np.eye(CLASSES)[y], loss="square", learning_rate=1e6, **options)
    assert np.isfinite(caught.value.trained.network.parameters).all()
    assert caught.value.exit_code == 3


def test_a_store_that_loses_a_chunk_while_training_is_told(tmp_path):
    X, y = samples()
    zarr.create_array(str(tmp_path / "X"), data=X, chunks=(50, N))
    (tmp_path / "X" / "c" / "3" / "0").unlink()
    with pytest.raises(StoreError, match="chunk is missing"):
        fitted(tmp_path / "X", y)


def test_sparse_matrices_are_trained_on_as_they_are():
    X, y = samples()
    X = X * (X > 0.5)
    kept = scipy.sparse.csr_array(X)
    assert bits(fitted(kept, y)) == bits(fitted(X, y))


@pytest.mark.parametrize("labels", [["a", "b"] * 20, np.array(["a", "b"] * 20, object)])
def test_labels_that_are_words_are_sent_to_the_classifier(labels):
    with pytest.raises(
        UnsupportedError, match=r"are no numbers: number the classes 0, 1, \.\.\., or take rnla.nn.Class"
    ):
        rnla.nn.train(rnla.nn.Network((3, 2)), np.ones((40, 3)), labels)
