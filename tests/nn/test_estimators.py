"""Classifier and Regressor: scikit-learn's own checks, and the same answers from stores as from arrays."""

import dask.array
import numpy as np
import pytest
import scipy.sparse
import zarr
from sklearn.base import clone
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.estimator_checks import parametrize_with_checks

import rnla
import rnla.algorithms.targets
from rnla.algorithms.regime import OPTIONS
from rnla.algorithms.samples import standardised
from rnla.errors import NonFiniteError, RequestError
from tests.faults import watched
from tests.tolerances import sum_rounding


@parametrize_with_checks(
    [rnla.nn.Classifier(batch=8, epochs=30), rnla.nn.Regressor(batch=8, epochs=30, learning_rate=0.02)]
)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


def samples(m=600, n=5):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((m, n)).astype("f4") * np.array([1, 100, 0.01, 1, 1], "f4") + 3
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    return X, np.where(Z[:, 0] * Z[:, 1] > 0, 7, 3), Z[:, 0] * Z[:, 1]


def stored(tmp_path, X, y):
    zarr.create_array(str(tmp_path / "X"), data=X, chunks=(100, X.shape[1]))
    zarr.create_array(str(tmp_path / "y"), data=y, chunks=(77,))
    return tmp_path / "X", tmp_path / "y"


FORMS = {
    "paths": lambda X, y: (X, y),
    "zarr arrays": lambda X, y: (zarr.open_array(X, mode="r"), zarr.open_array(y, mode="r")),
    "dask arrays": lambda X, y: (dask.array.from_zarr(str(X)), dask.array.from_zarr(str(y))),
    "a matrix": lambda X, y: (rnla.open(X), y),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["Classifier", "Regressor"])
def test_stores_are_fitted_like_arrays(tmp_path, form, kind):
    X, labels, values = samples()
    y = labels if kind == "Classifier" else values
    model = getattr(rnla.nn, kind)(batch=20, epochs=20, learning_rate=0.03)
    alone = clone(model).fit(X, y)
    lazy = clone(model).fit(*FORMS[form](*stored(tmp_path, X, y)))
    assert lazy.network_.parameters.tobytes() == alone.network_.parameters.tobytes()
    given = FORMS[form](tmp_path / "X", tmp_path / "y")
    assert np.array_equal(lazy.predict(given[0]).compute(), alone.predict(X))
    assert lazy.score(*given) == pytest.approx(alone.score(X, y), rel=1e-6)
    assert alone.score(X, y) > 0.9


@pytest.mark.parametrize("kind", ["Classifier", "Regressor"])
def test_samples_and_targets_may_lie_in_different_places(tmp_path, kind):
    X, labels, values = samples()
    y = labels if kind == "Classifier" else values
    places = stored(tmp_path, X, y)
    model = getattr(rnla.nn, kind)(batch=20, epochs=2, learning_rate=0.03)
    expected = clone(model).fit(X, y)
    for given in (
        (X, places[1]),
        (places[0], y),
        (scipy.sparse.csr_array(X), y),
        (X, scipy.sparse.csr_array(y[:, None])),
    ):
        found = clone(model).fit(*given)
        assert found.network_.parameters.tobytes() == expected.network_.parameters.tobytes()
        assert found.score(*given) == near(len(X), expected.score(X, y))


def test_probabilities_add_up_and_classes_keep_their_names():
    X, labels, _ = samples()
    names = np.where(labels == 7, "alike", "unlike")
    model = rnla.nn.Classifier(batch=20, epochs=10).fit(X, names)
    assert model.predict_proba(X).sum(axis=1) == pytest.approx(1.0, abs=1e-6)
    assert np.array_equal(model.classes_, ["alike", "unlike"])
    assert np.array_equal(model.predict(X), model.classes_[model.predict_proba(X).argmax(axis=1)])


def test_patience_holds_samples_out():
    X, labels, _ = samples()
    model = rnla.nn.Classifier(batch=20, epochs=200, patience=3).fit(X, labels)
    assert model.trained_.certificate.held_out == 60
    assert model.n_iter_ < 200


def test_numbers_without_end_are_no_classes(tmp_path):
    X, _, _ = samples(20_000)
    places = stored(tmp_path, X, np.arange(20_000))
    with pytest.raises(RequestError, match="no classes"):
        rnla.nn.Classifier().fit(*places)


SPELLINGS = {  # of targets, whose scores are the same
    "a vector": lambda y: y,
    "a column": lambda y: y[:, None] if y.ndim == 1 else y,
    "a list": lambda y: y.tolist(),
    "sparse": lambda y: scipy.sparse.csr_array(y[:, None] if y.ndim == 1 else y),
    "dask": lambda y: dask.array.from_array(y, chunks=71),
    "a column in dask": lambda y: dask.array.from_array(y[:, None] if y.ndim == 1 else y, chunks=(50, 1)),
}


@pytest.fixture
def strips(monkeypatch):
    """Targets are looked at some rows at a time."""
    monkeypatch.setattr(rnla.algorithms.targets, "STRIP_ENTRIES", 110)


@pytest.fixture(scope="module")
def fitted():
    """One model of each kind, and one of two outputs of unlike size; what they were fitted to."""
    X, labels, values = samples()
    both = np.column_stack([values, 1e3 * np.abs(values) + 7])
    options = {"batch": 20, "epochs": 3, "learning_rate": 0.03}
    return {
        "Classifier": (rnla.nn.Classifier(**options).fit(X, labels), X, labels, accuracy_score),
        "Regressor": (rnla.nn.Regressor(**options).fit(X, values), X, values, r2_score),
        "two outputs": (rnla.nn.Regressor(**options).fit(X, both), X, both, r2_score),
    }


def near(m, expected):
    """Scores are sums of m terms, none of them far above 1."""
    return pytest.approx(expected, abs=sum_rounding("f8", m))


@pytest.mark.usefixtures("strips")
@pytest.mark.parametrize("kind", ["Classifier", "Regressor", "two outputs"])
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("weights", [None, "array", "stored"])
def test_scores_of_stores_are_scikit_learns(tmp_path, fitted, kind, spelling, weights):
    model, X, y, metric = fitted[kind]
    place, _ = stored(tmp_path, X, np.zeros(len(X)))
    w = None if weights is None else np.random.default_rng(3).uniform(0, 2, len(X)) * (np.arange(len(X)) % 3 > 0)
    given = zarr.create_array(str(tmp_path / "w"), data=w, chunks=(99,)) if weights == "stored" else w
    expected = near(len(X), metric(y, model.predict(X), sample_weight=w))
    assert model.score(place, SPELLINGS[spelling](y), given) == expected
    if spelling != "a list" or kind != "two outputs":
        assert model.score(X, SPELLINGS[spelling](y), given) == expected


@pytest.mark.parametrize("level", [0.0, 0.1, 0.25, -1e9])
@pytest.mark.parametrize("exact", [True, False])
def test_a_target_that_is_constant_counts_one_or_nothing(tmp_path, fitted, level, exact):
    model, X, *_ = fitted["two outputs"]
    zarr.create_array(str(tmp_path / "X"), data=X, chunks=(100, 5))
    found = model.predict(X)
    y = np.column_stack([np.full(len(X), level), found[:, 1]])
    model = clone(model).fit(X, y)
    if exact:
        for layer in model.network_.layers:
            layer.W[...] = 0
        y = np.tile(model.network_.layers[-1].b, (len(X), 1))
        assert model.score(tmp_path / "X", y) == 1
        return
    assert model.score(tmp_path / "X", y) <= 0.5
    if level != 0.1:  # whose mean numpy rounds, so that scikit-learn takes the rounding for a spread
        assert model.score(tmp_path / "X", y) == near(len(X), r2_score(y, model.predict(X)))


def test_one_sample_has_no_spread(tmp_path, fitted):
    model, X, y, _ = fitted["Regressor"]
    zarr.create_array(str(tmp_path / "X"), data=X[:1])
    with pytest.warns(UndefinedMetricWarning, match="two samples"):
        assert np.isnan(model.score(tmp_path / "X", y[:1]))


def test_names_are_scored_too(tmp_path, fitted):
    _, X, labels, _ = fitted["Classifier"]
    place, _ = stored(tmp_path, X, labels)
    names = np.where(labels == 7, "alike", "unlike")
    model = rnla.nn.Classifier(batch=20, epochs=3).fit(X, names)
    assert model.score(place, names) == model.score(X, names) > 0.5
    assert np.array_equal(model.trained_.classes, model.classes_)


BAD_SCORES = {
    "targets of another length": (lambda y, w: (y[:-1], w), "600 rows and y 599"),
    "targets of another width": (lambda y, w: (np.column_stack([y, y]), w), "y has 2 columns"),
    "targets of three dimensions": (lambda y, w: (y[:, None, None], w), "neither one value nor one row"),
    "weights of another length": (lambda y, w: (y, w[:-1]), "sample_weight has 599 rows and y 600"),
    "weights of two columns": (lambda y, w: (y, np.column_stack([w, w])), r"sample_weight has shape \(600, 2\)"),
    "negative weights": (lambda y, w: (y, w - 1.5), "none below 0"),
    "weights that are no numbers": (lambda y, w: (y, w.astype(str)), "finite numbers"),
    "weights that vanish": (lambda y, w: (y, 0 * w), "sum above 0"),
}


@pytest.mark.usefixtures("strips")
@pytest.mark.parametrize("kind", ["Classifier", "Regressor"])
@pytest.mark.parametrize("case", BAD_SCORES)
def test_targets_and_weights_that_do_not_fit_are_refused(tmp_path, fitted, kind, case):
    model, X, y, _ = fitted[kind]
    place, _ = stored(tmp_path, X, y)
    change, says = BAD_SCORES[case]
    A = watched(rnla.open(place), tmp_path / "log")
    with pytest.raises(RequestError, match=says):
        model.score(A, *change(y, np.ones(len(y))))
    assert " of another " not in case or not (tmp_path / "log").exists()  # refused before X is read


def test_targets_that_are_no_numbers_are_named(tmp_path, fitted):
    model, X, y, _ = fitted["Regressor"]
    place, _ = stored(tmp_path, X, y)
    with pytest.raises(NonFiniteError, match="target 77"):
        model.score(place, np.where(np.arange(len(y)) == 77, np.nan, y))


def test_rows_that_are_none_have_no_score(tmp_path, fitted):
    model, X, y, _ = fitted["Classifier"]
    with pytest.raises(RequestError, match="nothing to score"):
        model.score(dask.array.from_array(X[:0]), y[:0])


BAD = {
    "no batch": ({"batch": 0}, "batch=0 must be at least 1"),
    "a batch below zero": ({"batch": -5}, "batch=-5 must be at least 1"),
    "a batch that is no number": ({"batch": "a"}, "batch='a' must be an integer"),
    "a batch in parts": ({"batch": 7.5}, "batch=7.5 must be an integer"),
    "no replicas": ({"replicas": 0}, "replicas=0 must be at least 1"),
    "replicas that are no number": ({"replicas": "a"}, "replicas='a' must be an integer"),
    "a width for widths": ({"hidden": 64}, r"hidden=64 must be the widths .* \(64,\)"),
    "no widths": ({"hidden": None}, "hidden=None must be the widths"),
    "a width of nothing": ({"hidden": (64, 0)}, r"hidden=\(64, 0\) must be the widths"),
    "widths in words": ({"hidden": "64"}, "hidden='64' must be the widths"),
    "a word for a claim": ({"standardise": "no"}, "standardise='no' must be True or False"),
    "a word for averaging": ({"averaging": "no"}, "averaging='no' must be True or False"),
    "a warmup below zero": ({"warmup": -1}, "warmup=-1 must be at least 0"),
    "an outer momentum of one": ({"outer_momentum": 1.0}, "outer_momentum=1.0"),
    "an outer rate of nothing": ({"outer_rate": 0.0}, "outer_rate=0.0"),
}


@pytest.mark.parametrize("kind", ["Classifier", "Regressor"])
@pytest.mark.parametrize("form", ["arrays", "paths"])
@pytest.mark.parametrize("case", BAD)
def test_parameters_that_cannot_be_right_are_refused_by_name(tmp_path, kind, form, case):
    X, labels, values = samples()
    given = X, labels if kind == "Classifier" else values
    given = stored(tmp_path, *given) if form == "paths" else given
    options, says = BAD[case]
    model = getattr(rnla.nn, kind)(**options)
    with pytest.raises(RequestError, match=says):
        model.fit(*given)


def test_every_option_of_training_is_a_parameter():
    others = {"loss"}  # which the kind of the estimator says
    for model in (rnla.nn.Classifier(), rnla.nn.Regressor()):
        assert set(OPTIONS) - others <= set(model.get_params())


@pytest.mark.parametrize(
    "options",
    [{"warmup": 9}, {"averaging": True}, {"outer_momentum": 0.4, "replicas": 2}, {"outer_rate": 0.7, "replicas": 2}],
    ids=str,
)
def test_options_reach_training(options):
    X, labels, _ = samples()
    plain = rnla.nn.Classifier(batch=20, epochs=4, replicas=options.get("replicas", 1))
    found = clone(plain).set_params(**options).fit(X, labels)
    network, A = rnla.nn.Network((5, 64, 2)), standardised(rnla.open(X))
    expected = rnla.nn.train(network, A, labels == 7, batch=20, epochs=4, validation=0, **options)
    assert found.network_.parameters.tobytes() == expected.network.parameters.tobytes()
    assert found.network_.parameters.tobytes() != plain.fit(X, labels).network_.parameters.tobytes()
