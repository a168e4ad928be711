"""Certified randomized linear algebra of Zarr matrices far bigger than memory.

>>> import numpy, rnla
>>> result = rnla.svd(numpy.diag([3.0, 2.0, 1.0]), 2)
>>> result.s, result.certificate.frobenius_error
(array([3., 2.]), 1.0)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnla import errors, nn
    from rnla.algorithms.bases import BasesCertificate
    from rnla.algorithms.draws import Draws
    from rnla.algorithms.lines import CUR, ID
    from rnla.algorithms.norms import Norms
    from rnla.algorithms.planning import Plan
    from rnla.algorithms.results import PCA, SVD, Certificate, Cost
    from rnla.algorithms.sampled_product import SampledProduct
    from rnla.algorithms.similarity import Similar
    from rnla.algorithms.sketching import Sketched
    from rnla.public.factorisation import certify, open, pca, plan, svd  # noqa: A004 - the public name
    from rnla.public.lines import cur, interpolative
    from rnla.public.loading import load
    from rnla.public.sampling import sampled_product, similar_columns, sketch
    from rnla.public.weights import draws, leverage_scores, norms
    from rnla.sweeps.matrix import Matrix

_HOMES = {
    "errors": "rnla.errors",
    "nn": "rnla.nn",
    "BasesCertificate": "rnla.algorithms.bases",
    "CUR": "rnla.algorithms.lines",
    "ID": "rnla.algorithms.lines",
    "Draws": "rnla.algorithms.draws",
    "SampledProduct": "rnla.algorithms.sampled_product",
    "Similar": "rnla.algorithms.similarity",
    "Sketched": "rnla.algorithms.sketching",
    "Norms": "rnla.algorithms.norms",
    "Plan": "rnla.algorithms.planning",
    "PCA": "rnla.algorithms.results",
    "SVD": "rnla.algorithms.results",
    "Certificate": "rnla.algorithms.results",
    "Cost": "rnla.algorithms.results",
    "Matrix": "rnla.sweeps.matrix",
    "load": "rnla.public.loading",
}
_HOMES |= dict.fromkeys(("certify", "open", "pca", "plan", "svd"), "rnla.public.factorisation")
_HOMES |= dict.fromkeys(("cur", "interpolative"), "rnla.public.lines")
_HOMES |= dict.fromkeys(("draws", "leverage_scores", "norms"), "rnla.public.weights")
_HOMES |= dict.fromkeys(("sampled_product", "similar_columns", "sketch"), "rnla.public.sampling")

__all__ = [
    "CUR", "ID", "PCA", "SVD", "BasesCertificate", "Certificate", "Cost", "Draws", "Matrix", "Norms", "Plan",
    "SampledProduct", "Similar", "Sketched",
    "certify", "cur", "draws", "errors", "interpolative", "leverage_scores", "load", "nn", "norms", "open", "pca",
    "plan", "sampled_product", "similar_columns", "sketch", "svd",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import on first use: scipy, zarr and dask take seconds, and `rnla --help` needs none of them."""
    if name not in _HOMES:
        msg = f"module 'rnla' has no attribute {name!r}"
        raise AttributeError(msg)
    from importlib import import_module

    module = import_module(_HOMES[name])
    return module if name in {"errors", "nn"} else getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
