"""`rnla.nn.Classifier` and `rnla.nn.Regressor`: networks behind scikit-learn's fit, predict and score.

They fit arrays as scikit-learn's own estimators do, and anything else that `rnla.open` takes without loading it.
scikit-learn is used where it is installed (rnla[sklearn]): its checks of input, `clone`, `Pipeline`, grid search.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any, Self

import numpy as np

from rnla.algorithms.network import Network
from rnla.algorithms.samples import held_count, standardised
from rnla.algorithms.targets import Coded, classes_of, standard, targets_of
from rnla.algorithms.trained import Trained
from rnla.arrays import Array
from rnla.nn.training import predict, train
from rnla.opening import open_column, open_matrix
from rnla.sweeps.matrix import Matrix

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError:  # pragma: no cover - the tested set has it
    msg = "rnla.nn.Classifier and Regressor need scikit-learn: pip install rnla[sklearn]; rnla.nn.train does not"
    raise ImportError(msg) from None


class _Fitted(BaseEstimator):  # type: ignore[misc]
    """What both share."""

    network_: Network
    trained_: Trained

    def __init__(  # noqa: PLR0913 - options are keywords
        self,
        hidden: Any = (64,),
        learning_rate: float = 0.1,
        momentum: float = 0.9,
        batch: int = 64,
        epochs: int = 15,
        replicas: int = 1,
        seed: int = 0,
        *,
        optimizer: str = "sgd",
        local_steps: int | None = None,
        sampling: str = "permutation",
        validation: float = 0.1,
        patience: int | None = None,
        weight_decay: float = 0.0,
        clip: float | None = None,
        schedule: str = "constant",
        standardise: bool = True,
        precision: str = "float32",
    ) -> None:
        self.hidden = hidden
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.batch = batch
        self.epochs = epochs
        self.replicas = replicas
        self.seed = seed
        self.optimizer = optimizer
        self.local_steps = local_steps
        self.sampling = sampling
        self.validation = validation
        self.patience = patience
        self.weight_decay = weight_decay
        self.clip = clip
        self.schedule = schedule
        self.standardise = standardise
        self.precision = precision

    def _trained(self, A: Matrix, y: Any, loss: str, outputs: int) -> None:
        """Train on a matrix; samples are held out only where patience looks at them."""
        m, n = A.shape
        view = standardised(A) if self.standardise else A
        network = Network((n, *self.hidden, outputs), dtype=self.precision, seed=self.seed)
        held = self.validation if self.patience is not None else 0
        left = m - held_count(m, n, network.dtype.itemsize, held)
        self.trained_ = train(
            network,
            view,
            y,
            loss=loss,
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            momentum=self.momentum,
            batch=max(1, min(self.batch, left // self.replicas)),
            epochs=self.epochs,
            sampling=self.sampling,
            replicas=self.replicas,
            local_steps=self.local_steps,
            validation=held,
            patience=self.patience,
            seed=self.seed,
            weight_decay=self.weight_decay,
            clip=self.clip,
            schedule=self.schedule,
        )
        self.network_ = self.trained_.network
        self.n_features_in_ = n
        self.n_iter_ = self.trained_.certificate.epochs

    def _outputs(self, X: Any) -> Any:
        """F at each row, in float64, so that a row alone has the same answer: numpy, or Dask for stores."""
        check_is_fitted(self, "network_")
        network = Network(self.network_.widths, dtype="float64", parameters=self.network_.parameters)
        wide = replace(self.trained_, network=network)
        if not in_memory(X):
            return predict(wide, X)
        X = validate_data(self, X, reset=False, accept_sparse="csr", dtype="numeric")
        return np.asarray(predict(wide, X))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class Classifier(ClassifierMixin, _Fitted):  # type: ignore[misc]
    """A ReLU network that tells classes apart, by cross-entropy.

    Parameters
    ----------
    hidden : sequence of int
        Widths of the hidden layers.
    learning_rate, momentum, batch, epochs, replicas, seed, optimizer, local_steps, sampling
        As for `rnla.nn.train`; `batch` is at most the samples there are.
    weight_decay, clip, schedule
        As for `rnla.nn.train`.
    validation, patience
        With patience, a share of the samples is held out and training stops early; without it, none is.
    standardise : bool
        Centre and scale the columns, such that a sample has a mean length of at most 8: the learning rate then fits
        whatever the units and the number of columns.
    precision : {"float32", "float64"}
        Of the network.

    Attributes
    ----------
    classes_ : array
        The labels, sorted.
    trained_ : Trained
        The network, history, certificate and cost.

    Examples
    --------
    >>> import numpy, rnla
    >>> X = numpy.random.default_rng(0).standard_normal((300, 2))
    >>> y = numpy.where(X[:, 0] * X[:, 1] > 0, "same", "other")
    >>> bool(rnla.nn.Classifier(batch=10).fit(X, y).score(X, y) > 0.9)
    True
    """

    classes_: Array

    def fit(self, X: Any, y: Any) -> Self:
        """Train on samples (m, n) and labels (m,): arrays, or stores (then labels are numbers)."""
        if in_memory(X):
            X, y = validate_data(self, X, y, accept_sparse="csr", dtype="numeric")
            refuse_continuous(y)
            self.classes_, codes = np.unique(y, return_inverse=True)
            A, targets = open_matrix(X), open_column(codes.astype(np.int64))
        else:
            A, labels = open_matrix(X), open_column(y)
            self.classes_ = classes_of(targets_of(labels))
            targets = Matrix(Coded(labels.source, self.classes_), runner=labels.runner)
        self._trained(A, targets, "cross-entropy", max(2, self.classes_.size))
        return self

    def decision_function(self, X: Any) -> Any:
        """Outputs of the network, one for each class: (m, c); of two classes their difference: (m,)."""
        found = self._outputs(X)
        return found[:, 1] - found[:, 0] if self.classes_.size <= 2 else found

    def predict_proba(self, X: Any) -> Any:
        """Softmax of the outputs: (m, c)."""
        found = self._outputs(X)[:, : self.classes_.size]
        powers = np.exp(found - found.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    def predict(self, X: Any) -> Any:
        """Labels: (m,)."""
        at = self._outputs(X)[:, : self.classes_.size].argmax(axis=1)
        return (
            self.classes_[at]
            if isinstance(at, np.ndarray)
            else at.map_blocks(self.classes_.__getitem__, dtype=self.classes_.dtype)
        )

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Share of the samples that are decided rightly."""
        if in_memory(X):
            return float(super().score(X, y, sample_weight))
        return float((self.predict(X) == flat(y)).mean())


class Regressor(RegressorMixin, _Fitted):  # type: ignore[misc]
    """A ReLU network that gives numbers, by the square loss; targets are centred and scaled within.

    Parameters are those of `rnla.nn.Classifier`.

    Examples
    --------
    >>> import numpy, rnla
    >>> X = numpy.linspace(-1, 1, 400)[:, None]
    >>> y = abs(X[:, 0])
    >>> bool(rnla.nn.Regressor(batch=16, learning_rate=0.02, epochs=40).fit(X, y).score(X, y) > 0.95)
    True
    """

    centre_: Array
    scale_: Array

    def fit(self, X: Any, y: Any) -> Self:
        """Train on samples (m, n) and targets (m,) or (m, c): arrays or stores."""
        if in_memory(X):
            X, y = validate_data(self, X, y, accept_sparse="csr", dtype="numeric", multi_output=True, y_numeric=True)
            A, targets = open_matrix(X), open_column(np.asarray(y, dtype=np.float64))
        else:
            A, targets = open_matrix(X), open_column(y)
        self.flat_ = not in_memory(y) or np.ndim(y) == 1
        scaled, self.centre_, self.scale_ = standard(targets)
        self._trained(A, scaled, "square", targets.shape[1])
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def predict(self, X: Any) -> Any:
        """Targets: (m,) or (m, c)."""
        found = self._outputs(X) * self.scale_ + self.centre_
        return found[:, 0] if self.flat_ and found.shape[1] == 1 else found

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Coefficient of determination, 1 - |y - F|^2 / |y - mean|^2."""
        if in_memory(X):
            return float(super().score(X, y, sample_weight))
        known = flat(y)
        return float(1 - ((known - self.predict(X)) ** 2).sum() / ((known - known.mean()) ** 2).sum())


def in_memory(X: Any) -> bool:
    """Whether this is what scikit-learn's checks are for, not a place or a lazy array."""
    module = type(X).__module__.split(".")[0]
    return not isinstance(X, str | os.PathLike | Matrix) and module not in {"zarr", "dask", "xarray"}


def flat(y: Any) -> Any:
    """Targets as a vector: numpy, or a Dask array over a store."""
    if in_memory(y):
        return np.asarray(y)
    found = open_column(y).to_dask()
    return found[:, 0] if found.shape[1] == 1 else found


def refuse_continuous(y: Array) -> None:
    """scikit-learn's error for targets that are no labels."""
    from sklearn.utils.multiclass import check_classification_targets

    check_classification_targets(y)
