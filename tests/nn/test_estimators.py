"""Classifier and Regressor: scikit-learn's own checks, and the same answers from stores as from arrays."""

import dask.array
import numpy as np
import pytest
import zarr
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

import rnla
from rnla.errors import RequestError


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
