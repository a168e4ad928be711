"""What stands at the doors of training: types, sizes, places, other trainings beside it, data that changes under it."""

import threading

import dask.array
import numpy as np
import pytest
import scipy.sparse
import zarr

import rnla
import rnla.sweeps.orders
from rnla.algorithms.samples import held_rows
from rnla.errors import DivergedError, IntegrityError, NonFiniteError, OverflowedError, RequestError, UnsupportedError
from rnla.jobs.running import run_job
from rnla.store.manifest import fingerprint
from rnla.sweeps.source import swept_as_it_is
from tests.backends import BACKENDS
from tests.faults import FaultSource, reads, watched

N, CLASSES = 9, 3


def data(m=500, seed=0):
    """Points in three classes."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((m, N))
    return X, (X[:, 0] * X[:, 1] > 0).astype(int) + (X[:, 2] > 0.8)


def fitted(X, y, *, outputs=CLASSES, dtype="float32", **options):
    network = rnla.nn.Network((N, 16, outputs), dtype=dtype, seed=5)
    return rnla.nn.train(network, X, y, **({"epochs": 3, "batch": 20, "seed": 1} | options))


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(rnla.sweeps.orders, "BLOCK_BYTES", 32 * 8 * N)
    monkeypatch.setattr(rnla.sweeps.orders, "BUFFER_BLOCKS", 4)


@pytest.mark.parametrize("held", [0, 0.2])
@pytest.mark.parametrize(("offset", "scale"), [(1e8, 1.0), (0.0, 1e-46), (0.0, 1e40), (-1e12, 1e3)])
def test_samples_are_centred_and_scaled_before_they_are_rounded(offset, scale, held):
    X, y = data()
    moved = offset + scale * X
    seen = np.delete(moved, held_rows(*X.shape, 4, held, 1), axis=0)  # those trained on
    exact = (moved - seen.mean(axis=0)) / seen.std(axis=0)
    expected = fitted(exact.astype("f4"), y, validation=held)
    found = fitted(rnla.open(moved).centred().scaled(), y, validation=held)
    assert found.network.parameters == pytest.approx(expected.network.parameters, abs=2e-3)
    assert found.certificate.accuracy == pytest.approx(expected.certificate.accuracy, abs=0.01)
    values = np.asarray(rnla.nn.predict(found, moved))
    assert values == pytest.approx(found.network(exact.astype("f4")), abs=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_means_and_deviations_are_those_of_the_rows_that_are_trained_on(backend, tmp_path, monkeypatch):
    monkeypatch.setattr(rnla.sweeps.geometry, "PANEL_BYTES", 40 * 8 * 5)
    X, y = data(400)
    X = np.where(np.abs(X) < 0.7, 0, X)[:, :5]
    held = held_rows(400, 5, 4, 80, 3)
    X[held[:40], 2] += 1e3  # in samples held out alone
    X[:, 4], X[held, 4] = 5, 7  # varies between them and the others only
    A = BACKENDS[backend](X, tmp_path)
    if not swept_as_it_is(A.source):
        with pytest.raises(UnsupportedError, match="kept by its other side"):
            rnla.nn.train(rnla.nn.Network((5, 4, CLASSES)), A, y)
        return
    seen, network = np.delete(X, held, axis=0), rnla.nn.Network((5, 4, CLASSES))
    found = rnla.nn.train(network, A.centred().scaled(), y, validation=80, seed=3, epochs=1, batch=20)
    assert found.centre == pytest.approx(seen.mean(axis=0), abs=1e-7)
    spread = seen.std(axis=0)
    assert 1 / found.scale == pytest.approx(np.where(spread > 1e-10, spread, 1), rel=1e-6)


def test_what_is_far_out_in_new_samples_is_cut_off(tmp_path):
    X, y = data()
    X[:, 3] = 0.0
    X[np.delete(np.arange(500), held_rows(500, N, 4, 0.1, 1))[0], 3] = 1e-3  # in one sample that is trained on
    zarr.create_array(str(tmp_path / "X"), data=X)
    found = fitted(X, y, standardise=True)
    assert found.limit == 10
    new = X.copy()
    new[:5, 3], new[5, 0] = [1, -1, 0.5, 1e30, 1e-3], -1e9
    z = np.clip((new - found.centre) * found.scale, -10, 10)
    assert (np.abs(z) == 10).sum() == 6
    expected = found.network(z.astype("f4"))
    for given in (new, scipy.sparse.csr_array(new), dask.array.from_array(new, chunks=(60, 4))):
        assert np.asarray(rnla.nn.predict(found, given)) == pytest.approx(expected, abs=1e-5)
    again = rnla.load(rnla.nn.save(found, tmp_path / "net"))
    zarr.create_array(str(tmp_path / "new"), data=new, chunks=(90, 2))
    run_job("predict", tmp_path / "new", tmp_path / "out", {"network": str(tmp_path / "net")})
    assert again.limit == 10
    assert np.asarray(rnla.load(tmp_path / "out")) == pytest.approx(expected, abs=1e-5)


def test_labels_whose_first_chunk_was_not_written_are_read_when_that_is_allowed(tmp_path):
    X, y = data()
    y = np.sort(y)
    zarr.create_array(str(tmp_path / "X"), data=X, chunks=(100, N))
    zarr.create_array(str(tmp_path / "y"), data=y, chunks=(50,))
    assert not (tmp_path / "y" / "c" / "0").exists()
    with pytest.raises(IntegrityError, match="allow_missing=True"):
        fitted(X, tmp_path / "y")
    found = fitted(tmp_path / "X", tmp_path / "y", allow_missing=True)
    assert np.array_equal(found.network.parameters, fitted(X, y).network.parameters)
    with pytest.raises(IntegrityError, match="allow_missing=True"):
        rnla.nn.Classifier(epochs=1).fit(tmp_path / "X", tmp_path / "y")
    rnla.nn.Classifier(epochs=1, allow_missing=True).fit(tmp_path / "X", tmp_path / "y")


def test_many_narrow_rows_are_one_buffer():
    assert rnla.sweeps.orders.Order(6_000_000, 12, 0, "permutation", np.zeros(0, int)).shared


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("given", ["numpy", "zarr", "sparse"])
def test_values_that_are_no_numbers_are_told_with_their_row(tmp_path, dtype, given):
    X, _ = data()
    X[301] = np.finfo(dtype).max
    zarr.create_array(str(tmp_path / "X"), data=X, chunks=(60, N))
    rnla.nn.save(rnla.nn.Network((N, 8, 2), dtype=dtype), tmp_path / "net")
    places = {"numpy": X, "zarr": tmp_path / "X", "sparse": scipy.sparse.csr_array(X)}
    with pytest.raises(OverflowedError, match=f"F at row 301 of X leaves the range of {dtype}"):
        rnla.nn.predict(rnla.nn.Network((N, 8, 2), dtype=dtype), places[given])
    with pytest.raises(OverflowedError, match="row 301"):
        run_job("predict", tmp_path / "X", tmp_path / "out", {"network": str(tmp_path / "net")})


@pytest.mark.parametrize(
    "options",
    [
        {"replicas": 2, "local_steps": 1, "learning_rate": 1e30, "batch": 250},  # the step after the last gradient
        {"learning_rate": 1e27, "validation": 100, "batch": 400},  # parameters are numbers, outputs are none
    ],
)
def test_descent_that_diverges_in_its_last_step_is_told(options):
    X, y = data()
    network = rnla.nn.Network((N, 8, CLASSES), seed=1)
    with pytest.raises(DivergedError, match="diverged in epoch 1, by step 1: the loss") as caught:
        rnla.nn.train(network, X * 1e9, y, epochs=1, momentum=0, **({"validation": 0} | options))
    assert np.array_equal(caught.value.trained.network.parameters, network.parameters)
    assert caught.value.trained.certificate.loss is None
    assert "standardise=True" in str(caught.value)


@pytest.mark.parametrize("level", [0.1, 1e17 / 7, 1e17 / 3, 1e200])
def test_a_target_that_is_the_same_everywhere_is_no_trouble(level):
    X, _ = data()
    y = np.stack([X[:, 0], np.full(len(X), level)], axis=1)
    found = fitted(X, y, outputs=2, loss="square", standardise=True, learning_rate=0.02, epochs=10)
    beside = fitted(X, y * [1, 0], outputs=2, loss="square", standardise=True, learning_rate=0.02, epochs=10)
    assert np.array_equal(found.history["loss"], beside.history["loss"])
    assert found.certificate.loss < 0.1
    assert np.isfinite(found.certificate.validation_rmse)
    assert found.network(X)[:, 1] == pytest.approx(level, rel=1e-2 if level < 1 else 1e-15, abs=0.1)


@pytest.mark.parametrize("missing", ["mask", "impute-mean"])
@pytest.mark.parametrize("standardise", [True, False])
def test_sparse_samples_with_gaps_are_refused(missing, standardise):
    X, y = data()
    A = rnla.open(scipy.sparse.csr_array(X), missing=missing)
    with pytest.raises(UnsupportedError, match="are for dense data"):
        fitted(A, y, standardise=standardise)


def test_samples_out_of_the_range_of_the_network_are_refused():
    X, y = data()
    with pytest.raises(NonFiniteError, match="out of the range of float32: centre and scale"):
        fitted(X * 1e40, y)


@pytest.mark.usefixtures("small_blocks")
def test_trainings_side_by_side_do_not_disturb_each_other():
    X, y = data()
    expected = [fitted(X, y, seed=seed).network.parameters.tobytes() for seed in range(4)]
    found, gate = [None] * 4, threading.Barrier(4)

    def run(seed):
        gate.wait()
        found[seed] = fitted(X, y, seed=seed).network.parameters.tobytes()

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == expected


def test_descent_that_began_near_the_solution_does_not_diverge_by_one_target():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2000, N))
    y = np.zeros(2000)
    y[700] = 1.0
    start = rnla.nn.Network((N, 1), dtype="float64").with_parameters(np.full(N + 1, 1e-9))
    found = rnla.nn.train(start, X, y, loss="square", learning_rate=1e-3, batch=1, local_steps=1, epochs=1)
    assert np.isfinite(found.network.parameters).all()


class Later(FaultSource):
    """A source whose reads, after so many, give something else."""

    def read(self, rows, columns, scratch=None):
        index = self._logged(rows, columns)
        found = np.array(self.inner.read(rows, columns))
        if index >= self.faults[0]:
            found[0, 0] = self.faults[1]
        return found


def changed(opened, log, after, to):
    """A matrix whose entries change after so many reads."""
    return rnla.open(opened).__class__(Later(rnla.open(opened).source, str(log), (after, to)))


@pytest.mark.usefixtures("small_blocks")
def test_samples_that_become_nan_are_told_from_descent_that_diverges(tmp_path):
    X, y = data()
    with pytest.raises(IntegrityError, match="NaN or infinite, and all were finite in the first"):
        fitted(changed(X, tmp_path / "log", 20, np.nan), y, epochs=5)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("label", [CLASSES, -1])
def test_labels_that_change_out_of_range_are_told(tmp_path, label):
    X, y = data()
    with pytest.raises(IntegrityError, match="in the first read: they were changed"):
        fitted(X, changed(y[:, None], tmp_path / "log", 10, label), epochs=5)


def test_a_fingerprint_tells_values_that_change_while_training(tmp_path, monkeypatch):
    monkeypatch.setattr(rnla.sweeps.orders, "BLOCK_BYTES", 32 * 8 * N)
    monkeypatch.setattr(rnla.sweeps.orders, "BUFFER_BLOCKS", 4)
    X, y = data()
    zarr.create_array(str(tmp_path / "X"), data=X, chunks=(32, N), compressors=None)
    fingerprint(tmp_path / "X")
    opened = rnla.open(tmp_path / "X")

    class Touch:
        """Writes a chunk anew, after the first epoch."""

        def __init__(self):
            self.done = False

        def __call__(self, text):
            if not self.done and text.startswith("epoch 2"):
                (tmp_path / "X" / "c" / "3" / "0").write_bytes(X[:32].tobytes())
                self.done = True

    from rnla.algorithms import training

    told = Touch()
    before = training.Descent._told
    monkeypatch.setattr(training.Descent, "_told", lambda self, state: (told(text := before(self, state)), text)[1])
    with pytest.raises(IntegrityError, match="chunk"):
        fitted(opened, y, epochs=20)
    assert told.done


BAD = {
    "patience that looks at nothing": (lambda X, y: fitted(X, y, patience=3, validation=0), RequestError, "patience=3"),
    "an outer step of one replica": (lambda X, y: fitted(X, y, outer_momentum=0.5), RequestError, "replicas=1"),
    "an outer step of gradients": (
        lambda X, y: fitted(X, y, outer_rate=0.7, replicas=2, local_steps=1), RequestError, "local_steps=1",
    ),
    "an outer step of words": (
        lambda X, y: fitted(X, y, outer_momentum="a", replicas=2, local_steps=2), RequestError, "outer_momentum='a'",
    ),
    "targets as a view": (
        lambda X, y: fitted(X, rnla.open(y[:, None] * 1.0).centred(), loss="square", outputs=1),
        RequestError, "this is a view",
    ),
    "complex labels": (lambda X, y: fitted(X, y * 1j), UnsupportedError, "complex"),
    "targets that cannot be squared": (
        lambda X, y: fitted(X, np.where(np.arange(len(y)) == 5, 1e300, 1.0), loss="square", outputs=1),
        RequestError, "target 5 .* float32",
    ),
    "more held out than is kept": (
        lambda X, y: fitted(np.broadcast_to(X[:1], (20_000_000, N)), y, validation=3_000_000), RequestError, "at most",
    ),
    "no rows": (lambda X, y: fitted(X[:0], y[:0]), RequestError, "no rows"),
    "labels of the other hinge": (lambda X, y: fitted(X, 2 * y - 1, loss="hinge"), RequestError, "take one output"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_right_is_refused(case):
    action, kind, words = BAD[case]
    with pytest.raises(kind, match=words):
        action(*data())


@pytest.mark.parametrize("place", ["", "1"])
def test_nan_in_a_target_of_a_regressor_is_located(tmp_path, place):
    X, _ = data()
    y = np.ones(500)
    y[43] = np.nan
    zarr.create_array(str(tmp_path / "X"), data=X)
    zarr.create_array(str(tmp_path / "y"), data=y)
    with pytest.raises(NonFiniteError, match="target 43"):
        rnla.nn.Regressor().fit(str(tmp_path / "X"), str(tmp_path / "y"))


@pytest.mark.parametrize("size", [1e160, 1e-170, 1e-300])
def test_a_regressor_learns_targets_of_any_size(size):
    X, _ = data()
    y = X @ np.arange(1.0, N + 1)
    plain = rnla.nn.Regressor(hidden=(8,), epochs=10, learning_rate=0.02, batch=20).fit(X, y).predict(X)
    found = rnla.nn.Regressor(hidden=(8,), epochs=10, learning_rate=0.02, batch=20).fit(X, y * size).predict(X)
    assert found / size == pytest.approx(plain, rel=1e-3, abs=1e-3)


def test_reads_of_training_are_those_of_a_watched_store(tmp_path):
    X, y = data()
    A = watched(rnla.open(X), tmp_path / "log")
    found = fitted(A, y, epochs=4)
    assert found.cost.bytes_read == 2 * X.nbytes + 2 * y.nbytes
    assert found.cost.passes == 2


@pytest.mark.usefixtures("small_blocks")
def test_a_job_reads_chunks_that_do_not_fit_once_and_trains_as_if_they_did(tmp_path):
    X, y = data(3000)
    zarr.create_array(str(tmp_path / "X"), data=X, chunks=(700, 4))
    zarr.create_array(str(tmp_path / "y"), data=y, chunks=(1000,))
    A = watched(rnla.open(tmp_path / "X"), tmp_path / "log")
    options = {"labels": str(tmp_path / "y"), "outputs": CLASSES, "hidden": "16", "epochs": 3, "validation": 0.1}
    plan = rnla.plan("train", A, **options)
    found = rnla.load(run_job("train", A, tmp_path / "out", options).path)
    decoded = 8 * (700 * 12) * 5  # the last chunks of both sides are filled up
    assert found.cost.bytes_read == plan.bytes_read
    assert X.nbytes + y.nbytes <= found.cost.bytes_read <= decoded + y.nbytes
    assert sum(read.entries for read in reads(tmp_path / "log")) <= X.size + 4 * 700 * N
    network = rnla.nn.Network((N, 16, CLASSES))
    given = {"epochs": 3, "validation": 0.1, "standardise": True, "patience": None}
    with pytest.warns(UserWarning, match=r"decodes the samples \d+\.\d times.*rnla rechunk"):  # has no place for a copy
        decoding = rnla.nn.train(network, tmp_path / "X", y, **given)
    assert decoding.cost.bytes_read > 5 * found.cost.bytes_read
    assert np.array_equal(found.network.parameters, decoding.network.parameters)


def test_wide_sparse_rows_are_shuffled_by_what_they_take():
    rng = np.random.default_rng(0)
    S = scipy.sparse.random_array((3000, 100_000), density=1e-4, rng=rng, format="csr", dtype=np.float32)
    order = rnla.sweeps.orders.Order(
        3000, rnla.algorithms.samples.row_bytes(rnla.open(S)), 0, "permutation", np.zeros(0, int)
    )
    assert order.row_bytes == S.nnz * 8 // 3000
    assert order.shared  # as dense rows, 32 blocks would hold 320 of them
    found = rnla.nn.train(rnla.nn.Network((100_000, 4, 2)), S, rng.integers(0, 2, 3000), epochs=1)
    assert found.cost.passes == pytest.approx(2, abs=0.01)


def test_a_job_that_diverges_leaves_the_last_finite_network(tmp_path):
    X, y = data()
    zarr.create_array(str(tmp_path / "X"), data=X * 100)
    zarr.create_array(str(tmp_path / "y"), data=y)
    options = {"labels": str(tmp_path / "y"), "outputs": 3, "standardise": False, "learning_rate": 1e4}
    outcome = run_job("train", tmp_path / "X", tmp_path / "out", options)
    assert outcome.status == "diverged"
    found = rnla.load(tmp_path / "out")
    assert found.certificate.status == "diverged"
    assert "take a smaller one" in found.certificate.diverged
    assert np.isfinite(found.network.parameters).all()
    assert np.isfinite(np.asarray(rnla.nn.predict(found, X))).all()
    assert repr(found)
    again = run_job("train", tmp_path / "X", tmp_path / "out", options | {"learning_rate": 1e-4}, overwrite=True)
    assert again.status == "ok"


@pytest.mark.parametrize("standardise", [True, False])
def test_missing_entries_are_imputed_in_prediction_as_in_training(tmp_path, standardise):
    X, y = data()
    X[7, 3], X[100:110, 0] = np.nan, np.nan
    zarr.create_array(str(tmp_path / "X"), data=X)
    zarr.create_array(str(tmp_path / "y"), data=y)
    options = {"labels": str(tmp_path / "y"), "outputs": 3, "missing": "impute-mean", "standardise": standardise}
    run_job("train", tmp_path / "X", tmp_path / "net", options)
    new = X[:200] + 5.0  # other means
    zarr.create_array(str(tmp_path / "new"), data=new)
    run_job("predict", tmp_path / "new", tmp_path / "out", {"network": str(tmp_path / "net"), "missing": "impute-mean"})
    found = rnla.load(tmp_path / "net")
    seen = np.delete(X, held_rows(*X.shape, 4, 0.1, 0), axis=0)
    filled = np.where(np.isnan(new), np.nanmean(seen, axis=0), new)
    expected = np.asarray(rnla.nn.predict(found, filled))
    assert np.asarray(rnla.load(tmp_path / "out")) == pytest.approx(expected, abs=1e-5)
