"""Three bases of one matrix side by side: singular vectors (SVD), its own columns (QR), its own columns and rows (CUR).

The certificate of a CUR says how wrong A ~ C M R is, exactly, and how wrong every approximation of rank k must be.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from rnla.algorithms.certificate import energy_rounding
from rnla.algorithms.skeleton import EPS, Explained
from rnla.arrays import Array
from rnla.tables import Certified

CURVES = ("errors", "column_errors", "best_errors")  # arrays of a certificate, by rank
COMPARED = "selector_errors"  # one more, where selectors were compared


@dataclass(frozen=True, repr=False)
class BasesCertificate(Certified):
    """How wrong a matrix in terms of its own columns and rows can be.

    `frobenius_error` is exact up to `rounding_floor`. The best rank-k approximation, by singular vectors, is wrong by
    `best_lower` at least and `best_upper` at most (None where no singular vectors were computed); the lower end holds
    with probability at least `confidence`.
    """

    frobenius_error: float  # ||A - C M R||_F
    relative_error: float  # the same over ||A||_F
    explained_variance: float  # 1 - relative_error^2
    column_error: float  # ||A - C C^+ A||_F, the least that these columns allow
    rank: int  # k of the best approximation it is compared with
    best_lower: float | None  # ||A - A_k||_F is at least this
    best_upper: float | None  # and at most this
    ratio: float | None  # frobenius_error / best_lower: never more than so many times the best error
    confidence: float
    condition: float  # of C, its columns brought to one length
    rounding_floor: float  # errors below this cannot be told from rounding
    frobenius_norm: float  # ||A||_F
    errors: Array  # (j + 1,) relative error of CUR by the first 0, 1, ... columns and rows, the middle optimal
    column_errors: Array  # (c + 1,) of the first columns alone, as QR has them
    best_errors: Array  # (l + 1,) of as many singular vectors; empty if there are none
    tolerance: float | None = None  # relative error asked for
    met: bool = True  # whether it was reached
    selectors: tuple[str, ...] = ()  # others that were compared
    selector_errors: Array = field(default_factory=lambda: np.zeros((0, 1)))  # (s, j + 1) like `errors`, by their lines

    def beside(self, selectors: list[str], others: list[Explained]) -> BasesCertificate:
        """The certificate with what lines chosen otherwise leave."""
        if not selectors:
            return self
        size = max(found.errors.size for found in others)
        curves = [_relative(found.errors, found.energy) for found in others]
        padded = [np.pad(errors, (0, size - errors.size), "edge") for errors in curves]
        return replace(self, selectors=tuple(selectors), selector_errors=np.array(padded))

    @property
    def status(self) -> str:
        """'ok', or 'tolerance_not_met'."""
        return "ok" if self.met else "tolerance_not_met"

    @property
    def relative_floor(self) -> float:
        """`rounding_floor` over ||A||_F."""
        return self.rounding_floor / self.frobenius_norm if self.frobenius_norm > 0 else 0.0

    @property
    def summary(self) -> list[tuple[str, str]]:
        """Names and values, as they are printed."""
        norm = self.frobenius_norm or 1.0
        best = "not known: this selector computes no singular vectors"
        if self.best_upper is not None and self.best_lower is not None:
            best = f"{self.best_lower / norm:.6g} to {self.best_upper / norm:.6g}"
        lines = [
            ("relative Frobenius error", f"{self.relative_error:.6g}  (rounding floor {self.relative_floor:.1e})"),
            ("Frobenius error", f"{self.frobenius_error:.6g}  of ||A||_F = {self.frobenius_norm:.6g}"),
            ("columns alone", f"{self.column_error / norm:.6g}  by C C^+ A"),
            (f"best of rank {self.rank}", best),
        ]
        if self.ratio is not None:
            lines.append(
                ("times the best", f"at most {self.ratio:.4g}  with probability 1 - {1 - self.confidence:.0e}")
            )
        return [*lines, ("status", self.status)]


@dataclass(frozen=True)
class Spectrum:
    """What sketches know of the singular values of A, in its own units."""

    s: Array  # (l,) of a rank-l approximation: each at most the singular value of its rank
    upper: Array  # (l,) upper ends
    confidence: float
    eps: float = EPS  # relative rounding of s, that of the products it is made of


def _relative(squared_errors: Array, energy: float) -> Array:
    """Errors over ||A||_F; of a zero matrix, zero."""
    return np.sqrt(squared_errors / energy) if energy > 0 else np.zeros_like(squared_errors)


def certified(
    found: Explained, squared_error: float, k: int, known: Spectrum | None, tolerance: float | None = None
) -> BasesCertificate:
    """The certificate of lines of A whose ||A - C M R||_F^2 is known, in units of the sweep."""
    energy = found.energy
    norm = float(np.sqrt(energy))
    # E - ||K||^2, K being right to eps times the condition of C: 64 eps cover the sums, as they do a condition of 64
    hidden = energy_rounding(energy, EPS) * max(1.0, found.condition / 64)
    error, floor = float(np.sqrt(squared_error)), float(np.sqrt(hidden))
    relative = error / norm if norm > 0 else 0.0
    proof = BasesCertificate(
        frobenius_error=error / found.unit,
        relative_error=relative,
        explained_variance=1.0 - relative**2,
        column_error=float(np.sqrt(found.column_errors[-1])) / found.unit,
        rank=k,
        best_lower=None,
        best_upper=None,
        ratio=None,
        confidence=1.0,
        condition=found.condition,
        rounding_floor=floor / found.unit,
        frobenius_norm=norm / found.unit,
        errors=_relative(found.errors, energy),
        column_errors=_relative(found.column_errors, energy),
        best_errors=np.zeros(0),
        tolerance=tolerance,
        met=tolerance is None or float(np.hypot(error, floor)) <= tolerance * norm,
    )
    return proof if known is None else _compared(proof, known, k)


def _compared(proof: BasesCertificate, known: Spectrum, k: int) -> BasesCertificate:
    """The certificate with the best errors at equal rank."""
    norm = proof.frobenius_norm
    if norm == 0:
        return replace(proof, best_lower=0.0, best_upper=0.0, ratio=None, best_errors=np.zeros(known.s.size + 1))
    attained = np.sqrt(np.maximum(1.0 - np.cumsum([0.0, *(known.s / norm) ** 2]), 0.0))
    least = float(np.sqrt(max(1.0 - float(np.sum((known.upper[:k] / norm) ** 2)), 0.0))) * norm
    taken = min(k, known.s.size)
    # what singular values beyond the k-th are at least is left by any matrix of rank k, too
    beyond = float(np.sum((known.s[k:] / norm) ** 2)) * (1 - 8 * known.eps)
    least = max(least, float(np.sqrt(max(beyond, 0.0))) * norm)
    # s_i is a singular value of A X for an orthonormal X, so at most sigma_i, but for rounding: s_i^2 (1 - 2 eps) is
    rounding = energy_rounding(1.0, EPS) + 2 * known.eps * float(np.sum((known.s[:taken] / norm) ** 2))
    sure = least > proof.rounding_floor
    return replace(
        proof,
        best_lower=least,
        best_upper=float(np.hypot(attained[taken], np.sqrt(rounding))) * norm,
        ratio=max(proof.frobenius_error, proof.rounding_floor) / least if sure else None,
        confidence=known.confidence,
        best_errors=attained,
    )
