"""Networks: automatic differentiation, ReLU nets, training by distributed descent, counting flat pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnla.algorithms.arrangements import regions
    from rnla.algorithms.network import Network
    from rnla.algorithms.regions import OnLine, Pieces, count_on_line, count_regions, pieces
    from rnla.algorithms.trained import Trained, TrainingCertificate
    from rnla.nn.autodiff import gradient, value_and_gradient
    from rnla.nn.estimators import Classifier, Regressor
    from rnla.nn.pictures import picture
    from rnla.nn.storing import save
    from rnla.nn.studies import descend, descent_study
    from rnla.nn.training import predict, train

_HOMES = {
    "save": "rnla.nn.storing",
    "Network": "rnla.algorithms.network",
    "picture": "rnla.nn.pictures",
    "regions": "rnla.algorithms.arrangements",
}
_HOMES |= dict.fromkeys(("Classifier", "Regressor"), "rnla.nn.estimators")
_HOMES |= dict.fromkeys(("OnLine", "Pieces", "count_on_line", "count_regions", "pieces"), "rnla.algorithms.regions")
_HOMES |= dict.fromkeys(("Trained", "TrainingCertificate"), "rnla.algorithms.trained")
_HOMES |= dict.fromkeys(("gradient", "value_and_gradient"), "rnla.nn.autodiff")
_HOMES |= dict.fromkeys(("descend", "descent_study"), "rnla.nn.studies")
_HOMES |= dict.fromkeys(("predict", "train"), "rnla.nn.training")

__all__ = [
    "Classifier", "Network", "OnLine", "Pieces", "Regressor", "Trained", "TrainingCertificate",
    "count_on_line", "count_regions", "descend", "descent_study", "gradient", "picture", "pieces", "predict",
    "regions", "save", "train", "value_and_gradient",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import on first use."""
    if name not in _HOMES:
        msg = f"module 'rnla.nn' has no attribute {name!r}"
        raise AttributeError(msg)
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
