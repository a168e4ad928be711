"""`rnla.nn.Classifier` and `rnla.nn.Regressor`: networks behind scikit-learn's fit, predict and score.

They fit arrays as scikit-learn's own estimators do, and anything else that `rnla.open` takes without loading it.
scikit-learn is used where it is installed (rnla[sklearn]): its checks of input, `clone`, `Pipeline`, grid search.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple, Self

import numpy as np

from rnla.algorithms.network import Network
from rnla.algorithms.regime import OPTIONS
from rnla.algorithms.samples import held_count
from rnla.algorithms.targets import classes_of, coded, look_bytes, targets_of
from rnla.algorithms.trained import Trained
from rnla.arrays import Array
from rnla.checks import flag, integer
from rnla.errors import RequestError
from rnla.kernels.layers import checked_widths
from rnla.nn.scores import accuracy, dense, determination, in_memory, known
from rnla.nn.training import fitted, predict
from rnla.opening import open_column, open_matrix
from rnla.public.ready import ready
from rnla.sweeps.matrix import Matrix

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError:  # pragma: no cover - the tested set has it
    msg = "rnla.nn.Classifier and Regressor need scikit-learn: pip install rnla[sklearn]; rnla.nn.train does not"
    raise ImportError(msg) from None


class Asked(NamedTuple):
    """Parameters of an estimator, checked."""

    hidden: tuple[int, ...]
    batch: int
    replicas: int
    standardise: bool


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
        warmup: int = 0,
        averaging: bool = False,
        outer_momentum: float = 0.0,
        outer_rate: float = 1.0,
        standardise: bool = True,
        precision: str = "float32",
        allow_missing: bool = False,
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
        self.warmup = warmup
        self.averaging = averaging
        self.outer_momentum = outer_momentum
        self.outer_rate = outer_rate
        self.standardise = standardise
        self.precision = precision
        self.allow_missing = allow_missing

    def _asked(self) -> Asked:
        """The parameters that are not looked at by `train`, which are refused before anything is read."""
        return Asked(
            checked_hidden(self.hidden),
            integer(self.batch, "batch", least=1),
            integer(self.replicas, "replicas", least=1),
            flag(self.standardise, "standardise"),
        )

    def _opened(self, X: Any, y: Any) -> tuple[Matrix, Matrix]:
        """Samples and targets where at least one is not in memory."""
        allow = flag(self.allow_missing, "allow_missing")
        return open_matrix(X, allow_missing=allow), open_column(y, allow_missing=allow)

    def _trained(self, asked: Asked, A: Matrix, y: Matrix, loss: str, outputs: int) -> None:
        """Train on a matrix, targets of the square loss standardised; samples are held out where patience asks."""
        m, n = A.shape
        network = Network((n, *asked.hidden, outputs), dtype=self.precision, seed=self.seed)
        held = self.validation if self.patience is not None else 0
        left = m - held_count(m, n, network.dtype.itemsize, held)
        batch = max(1, min(asked.batch, left // asked.replicas))
        options = {name: getattr(self, name) for name in OPTIONS if name != "loss"} | {"batch": batch, "loss": loss}
        options["seed"] = integer(self.seed, "seed")
        columns, targets = asked.standardise, loss == "square"
        self.trained_ = fitted(network, ready(A), y, options, validation=held, columns=columns, targets=targets)
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
    weight_decay, clip, schedule, warmup, averaging, outer_momentum, outer_rate
        As for `rnla.nn.train`.
    validation, patience
        With patience, a share of the samples is held out and training stops early; without it, none is.
    standardise : bool
        Centre and scale the columns, such that a sample has a mean length of at most 8: the learning rate then fits
        whatever the units and the number of columns.
    precision : {"float32", "float64"}
        Of the network.
    allow_missing : bool
        Read chunks that are absent from stores as their fill value.

    Attributes
    ----------
    classes_ : array
        The labels, sorted.
    trained_ : Trained
        The network, history, certificate and cost, with `classes_`; `rnla.nn.save` keeps it.

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
        asked = self._asked()
        if in_memory(X) and in_memory(y):
            X, y = validate_data(self, X, dense(y), accept_sparse="csr", dtype="numeric")
            refuse_continuous(y)
            self.classes_, codes = np.unique(y, return_inverse=True)
            A, targets = open_matrix(X), open_column(codes.astype(np.int64))
        else:
            A, labels = self._opened(X, y)
            self.classes_ = classes_of(targets_of(labels))
            labels.meter.read(look_bytes(labels.source))
            targets = coded(labels, self.classes_)
        self._trained(asked, A, targets, "cross-entropy", max(2, self.classes_.size))
        self.trained_ = replace(self.trained_, classes=self.classes_)
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
        """Share of the samples that are decided rightly, as scikit-learn has it; stores are read panel by panel."""
        if in_memory(X) and in_memory(y) and in_memory(sample_weight):
            return float(super().score(X, dense(y), sample_weight))
        check_is_fitted(self, "network_")
        given = known(X, 1, y, sample_weight)
        return accuracy(self.predict(X), given)


class Regressor(RegressorMixin, _Fitted):  # type: ignore[misc]
    """A ReLU network that gives numbers, by the square loss; targets are centred and scaled within.

    Parameters are those of `rnla.nn.Classifier`.

    Attributes
    ----------
    trained_ : Trained
        The network, history, certificate and cost. Outputs are in units of the targets, losses of targets over their
        deviations.

    Examples
    --------
    >>> import numpy, rnla
    >>> X = numpy.linspace(-1, 1, 400)[:, None]
    >>> y = abs(X[:, 0])
    >>> bool(rnla.nn.Regressor(batch=16, learning_rate=0.02, epochs=40).fit(X, y).score(X, y) > 0.95)
    True
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Train on samples (m, n) and targets (m,) or (m, c): arrays or stores."""
        asked = self._asked()
        if in_memory(X) and in_memory(y):
            y = dense(y)
            X, y = validate_data(self, X, y, accept_sparse="csr", dtype="numeric", multi_output=True, y_numeric=True)
            A, targets = open_matrix(X), open_column(np.asarray(y, dtype=np.float64))
        else:
            A, targets = self._opened(X, y)
        self.flat_ = not in_memory(y) or np.ndim(y) == 1
        self._trained(asked, A, targets, "square", targets.shape[1])
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def predict(self, X: Any) -> Any:
        """Targets: (m,) or (m, c)."""
        found = self._outputs(X)
        return found[:, 0] if self.flat_ and found.shape[1] == 1 else found

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R^2 as scikit-learn has it, the mean over the outputs; stores are read panel by panel."""
        if in_memory(X) and in_memory(y) and in_memory(sample_weight):
            return float(super().score(X, dense(y), sample_weight))
        check_is_fitted(self, "network_")
        given = known(X, self.network_.widths[-1], y, sample_weight)
        return determination(self.predict(X), given)


def checked_hidden(given: Any) -> tuple[int, ...]:
    """Widths of hidden layers."""
    try:
        return checked_widths((1, *given, 1))[1:-1]
    except (TypeError, RequestError):
        msg = (
            f"hidden={given!r} must be the widths of the hidden layers, each 1 or more: (64,) or (128, 64); () is none"
        )
        raise RequestError(msg) from None


def refuse_continuous(y: Array) -> None:
    """scikit-learn's error for targets that are no labels."""
    from sklearn.utils.multiclass import check_classification_targets

    check_classification_targets(y)
