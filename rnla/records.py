"""What is written beside the factors: configuration, seed, versions, the input's identity, plan, cost, certificate."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from rnla.algorithms.bases import COMPARED, CURVES, BasesCertificate
from rnla.algorithms.planning import Plan
from rnla.algorithms.results import Certificate, Cost
from rnla.algorithms.sample_certificates import NormsCertificate, PairsCertificate, ProductCertificate
from rnla.algorithms.studies import StudyCertificate
from rnla.algorithms.trained import PredictionCertificate, TrainingCertificate
from rnla.sweeps.matrix import Matrix

FORMAT = 1
PER_MODE = ("lower", "upper", "residuals", "resolved")
Proof = (
    Certificate
    | BasesCertificate
    | NormsCertificate
    | ProductCertificate
    | PairsCertificate
    | TrainingCertificate
    | PredictionCertificate
    | StudyCertificate
)


def versions() -> dict[str, str]:
    """Versions of what the bits depend on."""
    found = {"python": platform.python_version()}
    for name in ("rnla", "numpy", "scipy", "zarr", "dask", "distributed"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


def now() -> str:
    """The time, UTC, ISO 8601 to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def input_record(A: Matrix) -> dict[str, Any]:
    """What the data was, whether its bytes were checked, and how many of its chunks are not there."""
    identity = dict(A.source.identity)
    if hasattr(A.source, "absent_chunks"):
        identity["absent_chunks"] = A.source.absent_chunks
    identity["input_verified"] = bool(getattr(A.source, "verified", False))
    return identity


def certificate_record(proof: Proof) -> dict[str, Any]:
    """The scalars of a certificate, and its status."""
    record = {key: value for key, value in asdict(proof).items() if not isinstance(value, np.ndarray)}
    return record | {"status": proof.status}


def certificate_from(record: dict[str, Any], arrays: dict[str, Any]) -> Certificate:
    """The certificate of a stored result."""
    fields: dict[str, Any] = {key: value for key, value in record.items() if key != "status"}
    return Certificate(**(fields | {name: np.asarray(arrays[name]) for name in PER_MODE}))


def bases_certificate_from(record: dict[str, Any], arrays: dict[str, Any]) -> BasesCertificate:
    """The certificate of a stored CUR or interpolative decomposition."""
    fields: dict[str, Any] = {key: value for key, value in record.items() if key != "status"}
    curves = {name: np.asarray(arrays[name]) for name in (*CURVES, COMPARED) if name in arrays}
    return BasesCertificate(**(fields | curves | {"selectors": tuple(record.get("selectors", ()))}))


@dataclass(frozen=True)
class Made:
    """How a result was made."""

    pipeline: str
    config: dict[str, Any]
    plan: Plan
    cost: Cost
    certificate: Proof
    method: str
    input: dict[str, Any]
    started: str
    others: dict[str, dict[str, Any]] = field(default_factory=dict)  # the other matrices of the job

    def attributes(self) -> dict[str, Any]:
        """The record as plain JSON."""
        return {
            "format": FORMAT,
            "pipeline": self.pipeline,
            "method": self.method,
            "config": self.config,
            "seed": self.config.get("seed"),
            "versions": versions(),
            "input": self.input,
            **({"others": self.others} if self.others else {}),
            "plan": self.plan.as_dict(),
            "cost": asdict(self.cost),
            "certificate": certificate_record(self.certificate),
            "started": self.started,
            "finished": now(),
        }
