"""Networks: automatic differentiation, ReLU nets, training by distributed descent, counting flat pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnla.algorithms.arrangements import regions
    from rnla.algorithms.network import Network
    from rnla.algorithms.regions import count_on_line, count_regions, pieces
    from rnla.nn.autodiff import gradient, value_and_gradient
    from rnla.nn.pictures import picture

_HOMES = {
    "Network": "rnla.algorithms.network",
    "count_on_line": "rnla.algorithms.regions",
    "count_regions": "rnla.algorithms.regions",
    "gradient": "rnla.nn.autodiff",
    "picture": "rnla.nn.pictures",
    "pieces": "rnla.algorithms.regions",
    "regions": "rnla.algorithms.arrangements",
    "value_and_gradient": "rnla.nn.autodiff",
}

__all__ = [
    "Network",
    "count_on_line",
    "count_regions",
    "gradient",
    "picture",
    "pieces",
    "regions",
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
