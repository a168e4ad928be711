"""Networks: automatic differentiation, ReLU nets, training by distributed descent, counting flat pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnla.algorithms.network import Network
    from rnla.algorithms.trained import Trained, TrainingCertificate
    from rnla.nn.autodiff import gradient, value_and_gradient
    from rnla.nn.estimators import Classifier, Regressor
    from rnla.nn.training import predict, train

_HOMES = {
    "Classifier": "rnla.nn.estimators",
    "Regressor": "rnla.nn.estimators",
    "Network": "rnla.algorithms.network",
    "Trained": "rnla.algorithms.trained",
    "TrainingCertificate": "rnla.algorithms.trained",
    "gradient": "rnla.nn.autodiff",
    "predict": "rnla.nn.training",
    "train": "rnla.nn.training",
    "value_and_gradient": "rnla.nn.autodiff",
}

__all__ = [
    "Classifier",
    "Network",
    "Regressor",
    "Trained",
    "TrainingCertificate",
    "gradient",
    "predict",
    "train",
    "value_and_gradient",
]


def __getattr__(name: str) -> Any:
    """Import on first use."""
    if name not in _HOMES:
        msg = f"module 'rnla.nn' has no attribute {name!r}"
        raise AttributeError(msg)
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
