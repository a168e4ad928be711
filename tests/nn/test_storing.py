"""Networks that are saved: loaded they are the same, see samples as they did, and take part in jobs."""

from dataclasses import replace

import numpy as np
import pytest
import zarr

import rnla
from rnla.errors import OutputError, OutputExistsError, RequestError
from rnla.jobs.running import run_job
from rnla.store.results import read_result

N = 7
VIEWS = {
    "as it is": lambda A: A,
    "centred": lambda A: A.centred(),
    "centred and scaled": lambda A: A.centred().scaled(),
    "weighted": lambda A: A.weighted(columns=np.linspace(-2, 1, N)),
}


def samples():
    rng = np.random.default_rng(0)
    X = (rng.standard_normal((120, N)) * np.geomspace(0.1, 30, N) + np.arange(N) ** 2).astype("f4")
    return X, (X[:, 0] > X[:, 0].mean()).astype("i8")


def trained(view="centred and scaled", dtype="float32", **options):
    X, y = samples()
    network = rnla.nn.Network((N, 6, 5, 2), dtype=dtype, seed=3)
    return rnla.nn.train(network, VIEWS[view](rnla.open(X)), y, epochs=3, batch=10, learning_rate=1e-3, **options)


def values(network):
    return np.asarray(rnla.nn.predict(network, samples()[0])).tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_network_that_was_saved_is_the_same_to_the_last_bit(tmp_path, dtype):
    network = rnla.nn.Network((7, 5, 4, 2), dtype=dtype, seed=3)
    place = rnla.nn.save(network, tmp_path / "net.zarr")
    found = rnla.load(place)
    assert (found.widths, found.dtype, found.seed) == (network.widths, network.dtype, 3)
    assert found.parameters.tobytes() == network.parameters.tobytes()
    with pytest.raises(OutputExistsError, match="overwrite"):
        rnla.nn.save(network, place)
    rnla.nn.save(found.with_parameters(found.parameters * 2), place, overwrite=True)
    assert np.array_equal(rnla.load(place).parameters, 2 * network.parameters)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("view", VIEWS)
def test_what_was_trained_is_saved_with_how_it_sees_samples(tmp_path, view, dtype):
    found = trained(view, dtype)
    again = rnla.load(rnla.nn.save(found, tmp_path / "net.zarr"))
    assert isinstance(again, rnla.nn.Trained)
    assert values(again) == values(found)
    assert (again.loss, again.certificate) == ("cross-entropy", found.certificate)
    assert np.array_equal(again.confusion, found.confusion)
    assert values(again.network) == values(found.network)
    assert (values(again) == values(again.network)) == (view == "as it is")
    assert {name: kept.tobytes() for name, kept in again.history.items()} == {
        name: kept.tobytes() for name, kept in found.history.items()
    }
    assert (again.certificate, again.stopped_at) == (found.certificate, found.stopped_at)
    assert replace(again.cost, sweeps=()) == replace(found.cost, sweeps=())
    assert (again.network.seed, again.network.dtype, again.classes) == (3, np.dtype(dtype), None)
    assert str(again) == str(found)


def test_what_was_loaded_is_saved_with_its_record(tmp_path):
    X, y = samples()
    for name, array in (("X", X), ("y", y)):
        zarr.create_array(str(tmp_path / name), data=array, chunks=(50, *array.shape[1:]))
    options = {"labels": str(tmp_path / "y"), "outputs": 2, "epochs": 2}
    made = rnla.load(run_job("train", tmp_path / "X", tmp_path / "made", options).path)
    again = rnla.load(rnla.nn.save(made, tmp_path / "again"))
    assert values(again) == values(made)
    kept = ("pipeline", "config", "input", "plan", "certificate", "cost", "versions", "started", "finished")
    assert {name: again.record[name] for name in kept} == {name: made.record[name] for name in kept}
    assert "spec_digest" not in again.record
    twice = rnla.load(rnla.nn.save(trained(), tmp_path / "first"))
    assert rnla.load(rnla.nn.save(twice, tmp_path / "second")).record["finished"] == twice.record["finished"]


@pytest.mark.parametrize("kind", ["what was trained", "a network"])
def test_a_job_predicts_with_what_was_saved(tmp_path, kind):
    found = trained()
    given = found if kind == "what was trained" else found.network
    place = rnla.nn.save(given, tmp_path / "net.zarr")
    zarr.create_array(str(tmp_path / "X"), data=samples()[0], chunks=(50, N))
    outcome = run_job("predict", tmp_path / "X", tmp_path / "out", {"network": str(place)})
    assert np.asarray(rnla.load(outcome.path)).tobytes() == values(given)


@pytest.mark.parametrize("names", [np.array(["no", "yes"]), np.array([3, 7]), np.array([False, True])], ids=str)
def test_classes_are_saved_with_what_a_classifier_trained(tmp_path, names):
    X, y = samples()
    model = rnla.nn.Classifier(batch=10, epochs=5).fit(X, names[y])
    found = rnla.load(rnla.nn.save(model.trained_, tmp_path / "net.zarr"))
    assert np.array_equal(found.classes, names)
    labels = found.classes[np.asarray(rnla.nn.predict(found, X)).argmax(axis=1)]
    assert (labels == model.predict(X)).mean() > 0.99  # which takes its outputs in float64


def test_a_network_alone_says_that_it_takes_inputs_as_they_are(tmp_path):
    told = {
        kind: read_result(rnla.nn.save(given, tmp_path / kind)).attributes["rnla"]["certificate"]
        for kind, given in (("trained", trained()), ("network", rnla.nn.Network((2, 3, 1))))
    }
    assert told["network"]["inputs"] == "taken as they are, neither centred nor scaled"
    assert "inputs" not in told["trained"]
    assert told["trained"]["status"] == told["network"]["status"] == "ok"


@pytest.mark.parametrize("given", ["net", None, np.zeros(3)], ids=str)
def test_what_is_no_network_is_not_saved(tmp_path, given):
    with pytest.raises(RequestError, match=r"rnla\.nn\.Network"):
        rnla.nn.save(given, tmp_path / "net.zarr")


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(OutputError, match=r"/proc/nothing/net\.zarr: cannot be written .*choose another place"):
        rnla.nn.save(rnla.nn.Network((2, 1)), "/proc/nothing/net.zarr")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        rnla.nn.save(rnla.nn.Network((2, 1)), tmp_path / "file" / "net.zarr")


def test_nothing_is_left_of_what_could_not_be_saved(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rnla.store.writing.write_file", full)
    with pytest.raises(OutputError, match="disk is full"):
        rnla.nn.save(rnla.nn.Network((2, 1)), tmp_path / "net.zarr")
    assert not list(tmp_path.iterdir())
