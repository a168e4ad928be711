"""Predictions: values, classes and scores as numpy has them, targets read once, and what cannot be right refused."""

import numpy as np
import pytest
import zarr
from rnla_pipelines import prediction_scores
from rnla_pipelines.prediction_scores import tallied

import rnla
from rnla.errors import ConfigError, NonFiniteError, OutputExistsError, RequestError, StoreError
from rnla.jobs.running import run_job
from rnla.store.results import read_result
from tests.faults import reads, watched

ROWS, COLUMNS, CLASSES = 431, 6, 3


@pytest.fixture
def samples():
    rng = np.random.default_rng(11)
    X = rng.standard_normal((ROWS, COLUMNS)) * 3 + 1
    return X, ((X[:, 0] > 1).astype(int) + (X[:, 1] > 2)).astype("i2"), rng.standard_normal((ROWS, 2)) + X[:, :2]


def stored(place, values, rows=40):
    zarr.create_array(str(place), data=values, chunks=(rows, *values.shape[1:]))
    return str(place)


@pytest.fixture
def places(tmp_path, samples):
    """Stores of the samples, of classes, signs, numbers, and of samples with their class as a column."""
    X, y, Y = samples
    both = np.insert(X, 2, y, axis=1)
    signs = np.where(y > 0, 1, -1)
    kinds = {"X": X, "classes": y, "signs": signs, "numbers": Y, "one": Y[:, :1], "both": both}
    return {name: stored(tmp_path / f"{name}.zarr", values) for name, values in kinds.items()}


def trained(tmp_path, places, loss, outputs, labels="classes", **options):
    """A small network, trained for a moment."""
    given = {"outputs": outputs, "loss": loss, "hidden": [5], "epochs": 2, "batch": 20, "learning_rate": 0.02}
    given |= {"labels": places[labels]} if labels else {}
    return str(run_job("train", places["X"], tmp_path / "net.zarr", given | options).path)


def predicted(places, out, store="X", **options):
    """The result of a job, and what it says."""
    outcome = run_job("predict", places[store], out, options)
    found = read_result(outcome.path)
    values, label = (np.asarray(zarr.open_array(f"{out}/{name}", mode="r")[...]) if name in found.tall else None
                     for name in ("values", "label"))  # fmt: skip
    return found, values, label, outcome.attributes


CASES = {"cross-entropy": (3, "classes"), "hinge": (3, "classes"), "signs": (1, "signs")}


@pytest.mark.parametrize("case", CASES)
def test_classes_and_scores_are_those_of_numpy(tmp_path, samples, places, case, monkeypatch):
    monkeypatch.setattr(prediction_scores, "PART_ENTRIES", 70)
    outputs, labels = CASES[case]
    loss = "hinge" if case == "signs" else case
    network = trained(tmp_path, places, loss, outputs, labels)
    found, values, label, record = predicted(places, tmp_path / "p", network=network, labels=places[labels])
    expected = np.asarray(rnla.nn.predict(rnla.load(network), places["X"]))
    assert values.tobytes() == expected.tobytes()
    y, wide = zarr.open_array(places[labels])[...].astype(int), values.astype(float)
    taken = np.where(wide[:, 0] >= 0, 1, -1) if outputs == 1 else wide.argmax(axis=1)
    own = wide[np.arange(ROWS), 0 if outputs == 1 else y]
    if case == "cross-entropy":
        losses = np.log(np.exp(wide).sum(axis=1)) - own
    else:
        rival = np.where(np.arange(outputs) == y[:, None], -np.inf, wide).max(axis=1, initial=-np.inf)
        losses = np.maximum(0, 1 - y * own if case == "signs" else 1 + rival - own)
    np.testing.assert_array_equal(label[:, 0], taken)
    kinds = [-1, 1] if case == "signs" else range(3)
    confusion = [[int(((y == a) & (taken == b)).sum()) for b in kinds] for a in kinds]
    np.testing.assert_array_equal(found.arrays["confusion"], confusion)
    np.testing.assert_array_equal(found.arrays["class_counts"], np.sum(confusion, axis=0))
    proof = record["certificate"]
    assert proof["accuracy"] == (y == taken).mean()
    assert proof["mean_loss"] == pytest.approx(losses.mean(), rel=1e-6)
    largest = max(kinds, key=lambda kind: (y == kind).sum())
    assert (proof["largest_class"], proof["largest_share"]) == (largest, (y == largest).mean())
    assert record["cost"]["passes"] == 1
    assert f"{proof['accuracy']:.2%}" in str(certificate(proof))


def certificate(proof):
    """As it is printed."""
    return prediction_scores.Predicted(**{name: value for name, value in proof.items() if name != "status"})


def test_numbers_are_scored_by_output(tmp_path, samples, places, monkeypatch):
    monkeypatch.setattr(prediction_scores, "PART_ENTRIES", 70)
    network = trained(tmp_path, places, "square", 2, "numbers")
    found, values, label, record = predicted(places, tmp_path / "p", network=network, labels=places["numbers"])
    Y, wide = samples[2], values.astype(float)
    left, spread = (Y - wide) ** 2, (Y - Y.mean(axis=0)) ** 2
    r2 = 1 - left.sum(axis=0) / spread.sum(axis=0)
    expected = {"r2": r2, "rmse": np.sqrt(left.mean(axis=0)), "least": wide.min(axis=0), "largest": wide.max(axis=0)}
    expected |= {"mean": wide.mean(axis=0), "deviation": wide.std(axis=0)}
    for name, array in expected.items():
        np.testing.assert_allclose(found.arrays[name], array, rtol=1e-10, err_msg=name)
    proof = record["certificate"]
    assert proof["r2"] == pytest.approx(r2.mean())
    assert proof["rmse"] == pytest.approx(np.sqrt(left.mean()))
    assert proof["spread"] == pytest.approx(np.sqrt(spread.mean()))
    assert proof["mean_loss"] == pytest.approx(left.sum(axis=1).mean() / 2)
    assert label is None
    assert proof["accuracy"] is None


def test_targets_that_do_not_vary_have_no_r2(tmp_path, places):
    network = trained(tmp_path, places, "square", 1, "one")
    flat = stored(tmp_path / "flat.zarr", np.full(ROWS, 0.1))
    found, *_, record = predicted(places, tmp_path / "p", network=network, labels=flat)
    assert np.isnan(found.arrays["r2"]).all()
    assert record["certificate"]["r2"] is None
    assert "targets do not vary" in str(certificate(record["certificate"]))


def test_without_targets_classes_are_counted_and_nothing_is_scored(tmp_path, places):
    network = trained(tmp_path, places, "cross-entropy", CLASSES)
    found, _, label, record = predicted(places, tmp_path / "p", network=network)
    np.testing.assert_array_equal(found.arrays["class_counts"], np.bincount(label[:, 0], minlength=CLASSES))
    assert "confusion" not in found.arrays
    assert record["certificate"]["accuracy"] is record["certificate"]["mean_loss"] is None
    assert (record["certificate"]["rows"], record["certificate"]["loss"]) == (ROWS, "cross-entropy")


@pytest.mark.parametrize("size", [1e-200, 1e-300, 1e250])
def test_scores_of_targets_of_any_size_are_those_of_targets_near_one(tmp_path, samples, places, size):
    X, _, Y = samples
    model = rnla.nn.Regressor(hidden=(8,), batch=20, epochs=3, learning_rate=0.02).fit(X, Y * size)
    network = str(rnla.nn.save(model.trained_, tmp_path / "net.zarr"))
    labels = stored(tmp_path / "labels.zarr", Y * size)
    _, values, _, record = predicted(places, tmp_path / "p", network=network, labels=labels)
    proof, left = record["certificate"], values / size - Y
    assert proof["r2"] == pytest.approx(np.mean(1 - left.var(axis=0) / Y.var(axis=0)), abs=0.01)
    assert proof["rmse"] == pytest.approx(size * np.sqrt((left**2).mean()), rel=1e-9)
    assert proof["spread"] == pytest.approx(size * np.sqrt(Y.var(axis=0).mean()), rel=1e-9)


CLASSES_NAMED = {
    "flags": np.array([False, True, True]),
    "one": np.array([5, 5, 5]),
    "numbers": np.array([10, -3, 7]),
    "shares": np.array([0.0, 1.0, 5.0]),
    "names": np.array(list("bca")),
}


@pytest.mark.parametrize("named", CLASSES_NAMED)
def test_the_network_of_a_classifier_is_scored_by_the_labels_it_was_given(tmp_path, samples, places, named):
    X, y, _ = samples
    given = CLASSES_NAMED[named][y]
    model = rnla.nn.Classifier(hidden=(8,), batch=20, epochs=3).fit(X, given)
    network = str(rnla.nn.save(model.trained_, tmp_path / "net.zarr"))
    found, _, label, record = predicted(places, tmp_path / "p", network=network)
    np.testing.assert_array_equal(found.arrays["classes"], np.unique(given))
    taken = found.arrays["classes"][label[:, 0]] if named == "names" else label[:, 0]
    np.testing.assert_array_equal(taken, model.predict(X))
    if named == "names":
        with pytest.raises(ConfigError, match=r"tells names apart \(a, b, c\).*Classifier.score"):
            predicted(places, tmp_path / "q", network=network, labels=places["classes"])
        return
    labels = stored(tmp_path / "labels.zarr", given)
    _, _, _, record = predicted(places, tmp_path / "q", network=network, labels=labels)
    assert record["certificate"]["accuracy"] == pytest.approx(model.score(X, given))
    values, counts = np.unique(given, return_counts=True)
    assert record["certificate"]["largest_class"] == values[counts.argmax()]
    if named == "flags":  # which a label of 4 is not
        return
    few = stored(tmp_path / "few.zarr", np.where(np.arange(ROWS) == 77, 4, given))
    with pytest.raises(RequestError, match=r"label 77 is 4(\.0)?, and the classes are"):
        predicted(places, tmp_path / "r", network=network, labels=few)


def test_the_network_of_a_regressor_gives_targets_in_their_own_units(tmp_path, samples, places):
    X, _, Y = samples
    Y = Y * [1e-3, 1e6] + [1e3, -1e9]
    model = rnla.nn.Regressor(hidden=(8,), batch=20, epochs=3, learning_rate=0.02).fit(X, Y)
    network = str(rnla.nn.save(model.trained_, tmp_path / "net.zarr"))
    labels = stored(tmp_path / "labels.zarr", Y)
    _, values, _, record = predicted(places, tmp_path / "p", network=network, labels=labels)
    np.testing.assert_allclose(values, model.predict(X), rtol=1e-12)
    assert record["certificate"]["r2"] == pytest.approx(model.score(X, Y))
    assert record["certificate"]["r2"] > 0.5


def test_targets_of_the_square_loss_are_standardised_within_a_job(tmp_path, samples, places):
    X, _, Y = samples
    far = stored(tmp_path / "far.zarr", Y * [1e-3, 1e6] + [1e3, -1e9])
    options = {"outputs": 2, "loss": "square", "hidden": [8], "epochs": 6, "batch": 20, "learning_rate": 0.02}
    network = str(run_job("train", places["X"], tmp_path / "far", options | {"labels": far}).path)
    near = str(run_job("train", places["X"], tmp_path / "near", options | {"labels": places["numbers"]}).path)
    there, here = rnla.load(network), rnla.load(near)
    assert here.certificate.validation_loss == pytest.approx(there.certificate.validation_loss, rel=1e-3)
    assert here.certificate.validation_r2 == pytest.approx(there.certificate.validation_r2, rel=1e-3)
    assert there.network.dtype == np.float64
    plan = rnla.plan("train", places["X"], **options, labels=far)
    assert there.cost.bytes_read == plan.bytes_read
    _, values, _, record = predicted(places, tmp_path / "p", network=near, labels=places["numbers"])
    held = rnla.algorithms.samples.held_rows(*X.shape, 4, 0.1, 0)
    assert here.certificate.validation_rmse == pytest.approx(np.sqrt(((values - Y)[held] ** 2).mean()), rel=1e-4)
    assert record["certificate"]["r2"] > 0.5


def test_a_network_saved_alone_gives_numbers_or_classes_as_is_asked(tmp_path, places):
    network = str(rnla.nn.save(rnla.nn.Network((COLUMNS, 4, CLASSES), seed=2), tmp_path / "net.zarr"))
    found, values, label, _ = predicted(places, tmp_path / "numbers", network=network)
    assert label is None
    np.testing.assert_allclose(found.arrays["mean"], values.astype(float).mean(axis=0), rtol=1e-10)
    _, _, label, _ = predicted(places, tmp_path / "classes", network=network, loss="hinge")
    np.testing.assert_array_equal(label[:, 0], values.argmax(axis=1))
    with pytest.raises(ConfigError, match=r"saved without its loss.*give loss"):
        predicted(places, tmp_path / "p", network=network, labels=places["classes"])


def test_the_column_of_labels_is_left_out_and_scored_by(tmp_path, places):
    options = {"label_column": 2, "labels": None, "outputs": CLASSES, "loss": "cross-entropy", "epochs": 2, "batch": 20}
    network = str(run_job("train", places["both"], tmp_path / "net.zarr", options).path)
    words = r"takes 6 inputs and the matrix has 7 columns.*give label_column.*\(label_column=2 in training\)"
    with pytest.raises(RequestError, match=words):
        predicted(places, tmp_path / "p", "both", network=network)
    found, values, _, record = predicted(places, tmp_path / "p", "both", network=network, label_column=2)
    _, alone, _, other = predicted(places, tmp_path / "q", network=network, labels=places["classes"])
    assert values.tobytes() == alone.tobytes()
    for name in ("accuracy", "mean_loss", "largest_class"):
        assert record["certificate"][name] == other["certificate"][name]
    assert record["cost"]["passes"] == record["plan"]["passes"] == 2
    assert "column 2 holds the labels: it is left out" in record["plan"]["why"]
    assert found.arrays["confusion"].sum() == ROWS
    _, values, *_ = predicted(places, tmp_path / "r", network=network)
    assert values.tobytes() == alone.tobytes()


def test_a_network_that_was_trained_anew_is_not_taken_for_the_old_one(tmp_path, places):
    network = trained(tmp_path, places, "cross-entropy", CLASSES, standardise=False)
    job = {"network": network}
    run_job("predict", places["X"], tmp_path / "p", job)
    assert run_job("predict", places["X"], tmp_path / "p", job).reused
    given = {"labels": places["classes"], "outputs": CLASSES, "hidden": [5], "epochs": 1, "standardise": False}
    run_job("train", places["X"], network, given, overwrite=True)
    with pytest.raises(OutputExistsError, match="differs in the data of network, which is not what it was"):
        run_job("predict", places["X"], tmp_path / "p", job)


class Told:
    """A tall matrix that tells how many of its rows are read at once."""

    def __init__(self, array, height):
        self.array, self.chunks, self.most = array, (height, array.shape[1]), 0
        self.shape, self.source = array.shape, self

    def read(self, rows, columns):
        self.most = max(self.most, rows.stop - rows.start)
        return self.array[rows, columns]

    def write(self, rows, block):
        self.array[rows] = block


def test_no_more_rows_than_a_chunk_are_held(samples):
    X, y, _ = samples
    values, truth, label = Told(X, 50), Told(y[:, None], 50), Told(np.zeros((ROWS, 1)), 50)
    found = tallied(values, "cross-entropy", truth, label)
    assert values.most == truth.most == 50
    np.testing.assert_array_equal(label.array[:, 0], X.argmax(axis=1))
    assert found.arrays()["confusion"][0].sum() == ROWS


def test_gaps_take_the_means_of_the_training(tmp_path, samples, places):
    network = trained(tmp_path, places, "cross-entropy", CLASSES)
    holed, X = samples[0].copy(), samples[0].copy()
    holed[5:300:7, 3] = np.nan
    X[5:300:7, 3] = rnla.load(network).centre[3]
    gaps = {"gaps": stored(tmp_path / "gaps.zarr", holed), "filled": stored(tmp_path / "filled.zarr", X)}
    _, found, *_, record = predicted(gaps, tmp_path / "p", "gaps", network=network, missing="impute-mean")
    _, expected, *_ = predicted(gaps, tmp_path / "q", "filled", network=network)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert record["cost"]["passes"] == record["plan"]["passes"] == 1


def test_gaps_of_a_network_that_keeps_no_means_take_those_of_the_matrix(tmp_path, samples, places):
    network = trained(tmp_path, places, "cross-entropy", CLASSES, standardise=False)
    holed, X = samples[0].copy(), samples[0].copy()
    holed[3, 1] = np.nan
    X[3, 1] = np.nanmean(holed[:, 1])
    gaps = {"gaps": stored(tmp_path / "gaps.zarr", holed), "filled": stored(tmp_path / "filled.zarr", X)}
    _, found, *_, record = predicted(gaps, tmp_path / "p", "gaps", network=network, missing="impute-mean")
    _, expected, *_ = predicted(gaps, tmp_path / "q", "filled", network=network)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert record["cost"]["passes"] == record["plan"]["passes"] == 2


BAD = {
    "two places of targets": ({"labels": "{classes}", "label_column": 0}, ConfigError, "leave one of them out"),
    "a column that is not there": ({"label_column": 6}, RequestError, r"label_column=6 must lie in 0\.\.5"),
    "too few columns": ({"label_column": 0}, RequestError, "matrix has 6 columns, 5 without column 0"),
    "another loss": ({"loss": "square"}, ConfigError, "was trained by 'cross-entropy': leave it out"),
    "targets of another length": ({"labels": "{short}"}, RequestError, "431 rows and y 400"),
    "targets of another width": ({"labels": "{numbers}"}, RequestError, "y has 2 columns"),
    "labels that the network does not know": ({"labels": "{beyond}"}, RequestError, "label 17 is 3"),
    "gaps among the targets": ({"labels": "{gap}"}, NonFiniteError, "target 21 is"),
    "no network": ({"network": "{X}-none"}, StoreError, "there is no such file or folder"),
    "something else": ({"network": "{X}"}, StoreError, "no result of rnla's"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_right_is_refused_before_the_matrix_is_read(tmp_path, samples, places, case):
    given, error, words = BAD[case]
    y = samples[1]
    places["short"] = stored(tmp_path / "short.zarr", y[:400])
    places["beyond"] = stored(tmp_path / "beyond.zarr", np.where(np.arange(ROWS) == 17, 3, y))
    places["gap"] = stored(tmp_path / "gap.zarr", np.where(np.arange(ROWS) == 21, np.nan, y))
    options = {"network": trained(tmp_path, places, "cross-entropy", CLASSES)}
    options |= {name: value.format(**places) if isinstance(value, str) else value for name, value in given.items()}
    A = watched(rnla.open(places["X"]), tmp_path / "log")
    with pytest.raises(error, match=words):
        run_job("predict", A, tmp_path / "p", options)
    assert reads(tmp_path / "log") == []
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize("pipeline", ["predict", "train", "descent-study"])
def test_a_matrix_without_rows_is_told_as_such(tmp_path, places, pipeline):
    zarr.create_array(str(tmp_path / "none.zarr"), shape=(0, COLUMNS), chunks=(1, COLUMNS), dtype="f8")
    network = rnla.nn.save(rnla.nn.Network((COLUMNS, 1)), tmp_path / "net.zarr")
    options = {"predict": {"network": str(network)}, "train": {"outputs": 1, "label_column": 0}}
    with pytest.raises(RequestError, match=r"of shape 0 x 6: it has no rows"):
        run_job(pipeline, tmp_path / "none.zarr", tmp_path / "p", options.get(pipeline, {"label_column": 0}))
