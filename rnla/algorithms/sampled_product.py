"""A sampled product as its user gets it: the value, what was drawn, its error, and intervals of single entries."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import scipy.special

from rnla.algorithms.draws import Draws
from rnla.algorithms.results import Cost
from rnla.algorithms.sample_certificates import ProductCertificate, reached
from rnla.algorithms.sampling import Estimates
from rnla.arrays import Array, wide
from rnla.checks import array_of_numbers, share
from rnla.errors import RequestError
from rnla.kernels.dense import times_power
from rnla.tables import html_table


def certified(known: Estimates, draws: Draws, tolerance: float | None, needed: int | None) -> ProductCertificate:
    """The certificate of a sampled product."""
    relative = known.relative if math.isfinite(known.relative) else None
    return ProductCertificate(
        expected_error=known.length(known.expected),
        expected_error_bound=known.length(known.bound) if math.isfinite(known.bound) else None,
        measured_error=None if known.measured is None else known.length(known.measured),
        norm_estimate=known.length(known.energy) if known.sure else None,
        expected_relative_error=relative,
        terms=draws.size,
        draws=draws.count,
        different=draws.indices.size,
        tolerance=tolerance,
        needed=needed,
        met=reached(tolerance, known.expected, relative),
        expected_errors={kind: known.length(squared) for kind, squared in (known.others or {}).items()},
    )


class Entries(NamedTuple):
    """Entries of A B, estimated, and where they lie with the confidence asked for."""

    value: Array  # (e,)
    lower: Array  # (e,)
    upper: Array  # (e,)


@dataclass(frozen=True, repr=False)
class SampledProduct:
    """A B ~ (A S)(S^T B): (m, N), (N, p) -> (m, p)."""

    value: Any  # (m, p) Dask array
    draws: Draws
    certificate: ProductCertificate
    cost: Cost
    left: Any  # (m, u) A S, Dask array
    right: Any  # (p, u) (S^T B)^T, Dask array
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def probabilities(self) -> Array:
        """Of the indices that were drawn: (u,)."""
        return self.draws.probabilities

    @property
    def expected_squared_error(self) -> float:
        """E||A B - value||_F^2 over draws."""
        return self.certificate.expected_error**2

    @property
    def error_bound(self) -> float:
        """The expected squared error is at most this, whatever ||A B||_F."""
        bound = self.certificate.expected_error_bound
        return math.inf if bound is None else bound**2

    @property
    def measured_squared_error(self) -> float | None:
        """||A B - value||_F^2 of this draw, by probes; None where they do not measure it."""
        return None if self.certificate.measured_error is None else self.certificate.measured_error**2

    @property
    def norm_estimate(self) -> float | None:
        """Of ||A B||_F; None where norms that were kept came without probes and so few draws do not tell."""
        return self.certificate.norm_estimate

    @property
    def relative_error(self) -> float:
        """(E||A B - value||_F^2)^1/2 / ||A B||_F, the norm as it is estimated; infinite where it is 0 or not known."""
        relative = self.certificate.expected_relative_error
        return math.inf if relative is None else relative

    @property
    def needed(self) -> int | None:
        """Draws that the tolerance needs, by the estimate of ||A B||_F."""
        return self.certificate.needed

    @property
    def status(self) -> str:
        """'ok', or 'tolerance_not_met' where more draws were needed: `needed` says how many."""
        return self.certificate.status

    def entries(self, rows: Any, columns: Any, confidence: float = 0.95) -> Entries:
        """Entries (rows[i], columns[i]) of A B, each with an interval that holds it with this probability.

        Each draw gives an estimate of an entry, a_ij b_jk / p_j; the interval is their mean and its standard error,
        times the quantile of Student's t with (draws - 1) degrees of freedom. Without replacement the variance is that
        of priority sampling as the terms that were drawn tell it. It is taken to be at least the mean over all entries,
        which all terms tell: those drawn may not touch an entry at all. Both rest on the central limit theorem: where a
        few rarely drawn terms make up an entry, the interval is too narrow. Of complex entries, intervals are those of
        the real and the imaginary part.

        Parameters
        ----------
        rows, columns : arrays of indices
            Of one shape, or of shapes that broadcast; scalars stand for many.
        confidence : float
            Between 0 and 1.
        """
        level = share(confidence, "confidence", "a probability")
        down, over = self._checked(rows, "rows", 0), self._checked(columns, "columns", 1)
        try:
            at, across = np.broadcast_arrays(down, over)
        except ValueError as error:
            msg = f"rows of shape {down.shape} and columns of shape {over.shape} name no entries: give both one shape"
            raise RequestError(msg) from error
        left, right = (
            wide(np.asarray(side[np.unique(places)]))[np.unique(places, return_inverse=True)[1].ravel()]
            for side, places in ((self.left, at.ravel()), (self.right, across.ravel()))
        )
        terms = left * right  # (e, u) c_j / (s p_j) a_ij b_jk
        value = terms.sum(axis=1)
        lower, upper = value.copy(), value.copy()
        for part in ("real", "imag") if terms.dtype.kind == "c" else ("real",):
            radius = self._radius(getattr(terms, part), level)
            setattr(lower, part, getattr(value, part) - radius)
            setattr(upper, part, getattr(value, part) + radius)
        return Entries(*(found.reshape(at.shape) for found in (value, lower, upper)))

    def _radius(self, terms: Array, level: float) -> Array:
        """Half the length of the intervals: (e, u) -> (e,)."""
        draws, u = self.draws, terms.shape[1]
        usual = self.certificate.expected_error / math.sqrt(math.prod(self.value.shape))
        largest = max(usual, float(np.abs(terms).max(initial=0.0)))
        if not draws.indices.size or not largest:
            return np.zeros(len(terms))
        power = -math.frexp(largest)[1]  # squares of the terms stay in range
        terms = times_power(terms, power)
        count = draws.count if draws.replace else u
        if draws.replace:
            each = terms * (count / draws.counts)  # what one draw of j says of the entry
            mean = terms.sum(axis=1, keepdims=True)
            squares = (draws.counts * (each - mean) ** 2).sum(axis=1)
            with np.errstate(divide="ignore", invalid="ignore"):
                variance = squares / (count * np.float64(count - 1)) if count > 1 else np.full(len(terms), np.inf)
        else:
            variance = (terms**2 * (1.0 - draws.probabilities)).sum(axis=1)
            if count == 1 and draws.threshold:
                variance = np.full(len(terms), np.inf)
        variance = np.maximum(variance, math.ldexp(usual, power) ** 2)  # terms that were not drawn vary too
        quantile = float(scipy.special.stdtrit(max(1, count - 1), (1 + level) / 2))  # of Student's law
        return times_power(quantile * np.sqrt(variance), -power)

    def _checked(self, places: Any, name: str, side: int) -> Array:
        found, size = array_of_numbers(places, name), self.value.shape[side]
        found = found if found.size else found.astype(np.int64)  # an empty list is no list of fractions
        if found.dtype.kind not in "iu" or np.any((found < 0) | (found >= size)):
            msg = f"{name} must be indices in 0..{size - 1}"
            raise RequestError(msg)
        return found

    @property
    def summary(self) -> list[tuple[str, str]]:
        """Names and values, as they are printed."""
        how = "with" if self.draws.replace else "without"
        (m, p), N = self.value.shape, self.draws.size
        size = ("product", f"{m:,} x {N:,} times {N:,} x {p:,}, {how} replacement")
        return [size, *self.certificate.summary[:-1], ("cost", f"{self.cost.told}"), ("status", self.status)]

    def __repr__(self) -> str:
        (m, p), d = self.value.shape, self.draws
        return (
            f"SampledProduct({m:,} x {p:,} from {d.count:,} of {d.size:,} terms: expected relative error "
            f"{self.relative_error:.4g}, {self.cost.told})"
        )

    def _repr_html_(self) -> str:
        return html_table("Sampled product", self.summary)
