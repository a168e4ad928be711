"""What is certain of norms, sampled products and similar pairs: the certificates of jobs that factor nothing.

Norms are exact, or right to rounding. A sampled product has an expected error, a bound on it, and the error of its own
draw as probes measured it. Of similar pairs every cosine is exact, and only that a pair is missed is left to chance.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rnla.tables import Certified

Status = Literal["ok", "tolerance_not_met"]


@dataclass(frozen=True, repr=False)
class NormsCertificate(Certified):
    """How good squared norms are."""

    frobenius_norm: float  # ||A||_F
    exact: bool  # sums of squares of integers, each rounded once; otherwise sums in float64

    @property
    def status(self) -> Status:
        """'ok'."""
        return "ok"

    @property
    def summary(self) -> list[tuple[str, str]]:
        """Names and values, as they are printed."""
        how = "exact sums of integers, each rounded once" if self.exact else "sums in float64, right to rounding"
        return [("Frobenius norm", f"{self.frobenius_norm:.6g}"), ("squared norms", how), ("status", self.status)]


@dataclass(frozen=True, repr=False)
class ProductCertificate(Certified):
    """How far (A S)(S^T B) is from A B: on average over draws, at most, and for the draw that was made."""

    expected_error: float  # (E||A B - C||_F^2)^1/2
    expected_error_bound: float | None  # it is at most this, whatever ||A B||_F; None: one draw, without replacement
    measured_error: float | None  # of this draw, by probes; None: they do not measure it (see docs/sampling.md)
    norm_estimate: float | None  # of ||A B||_F; None: without probes, few draws do not tell
    expected_relative_error: float | None  # over ||A B||_F; None where the norm is not known
    terms: int  # N, of which so many are drawn
    draws: int
    different: int  # indices that were drawn
    tolerance: float | None = None  # relative error asked for
    needed: int | None = None  # draws that it needs
    met: bool = True  # whether it was reached
    expected_errors: dict[str, float] = field(
        default_factory=dict
    )  # of as many draws by other weights; with replacement

    @property
    def status(self) -> Status:
        """'ok', or 'tolerance_not_met' where more draws were needed."""
        return "ok" if self.met else "tolerance_not_met"

    @property
    def measured_relative_error(self) -> float | None:
        """The error of this draw over ||A B||_F."""
        if self.measured_error is None or not self.norm_estimate:
            return None
        return self.measured_error / self.norm_estimate

    @property
    def summary(self) -> list[tuple[str, str]]:
        """Names and values, as they are printed."""
        relative, measured = self.expected_relative_error, self.measured_relative_error
        bound = "none" if self.expected_error_bound is None else f"{self.expected_error_bound:.6g}"
        known = "not known" if relative is None else f"{relative:.4g}"
        norm = f"= {self.norm_estimate:.6g}, estimated" if self.norm_estimate is not None else "(not known either)"
        return [
            ("expected relative error", f"{known}  of ||A B||_F {norm}"),
            ("expected error at most", f"{bound}  whatever ||A B||_F"),
            ("of this draw, by probes", "not measured" if measured is None else f"{measured:.4g}"),
            ("draws", f"{self.draws:,} of {self.terms:,}, {self.different:,} different"),
            ("status", self.status),
        ]


def reached(tolerance: float | None, expected: float, relative: float | None) -> bool:
    """Whether a relative error was reached, by the estimates that are printed."""
    return tolerance is None or expected == 0.0 or (relative is not None and relative <= tolerance)


@dataclass(frozen=True, repr=False)
class PairsCertificate(Certified):
    """What may be absent from a list of similar columns; what is in it is right to rounding."""

    threshold: float  # cosine
    pairs: int
    missed: float  # chance that a given pair with a cosine of the threshold is not found; smaller for larger cosines
    sketch_rows: int = 0  # 0: A^T A was formed, and no pair can be missed

    @property
    def status(self) -> Status:
        """'ok'."""
        return "ok"

    @property
    def summary(self) -> list[tuple[str, str]]:
        """Names and values, as they are printed."""
        chance = f"a given pair at the threshold with probability {self.missed:.1g} at most" if self.missed else "none"
        return [
            ("pairs", f"{self.pairs:,} with a cosine of at least {self.threshold:g}, right to rounding"),
            ("missed", chance),
            ("status", self.status),
        ]
