"""Centring, scaling and weights, applied to a block while it is in cache and never stored.

A view of A is  unit * diag(weights) (A - 1 centre^T - row_centre 1^T) diag(scale). With `own_rows` each row is centred
(and scaled) by its own mean (and standard deviation), which a panel of whole rows knows: that is how the transpose of a
column-centred matrix is swept. Entries that are NaN or infinite are an error, or count as zero in the view ("mask"), or
stand at the mean of their column ("impute-mean").
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from rnla.arrays import Array, DType, refuse_inexact
from rnla.errors import NonFiniteError
from rnla.kernels.dense import squared_column_norms, subtract_row

Missing = Literal["error", "mask", "impute-mean"]
CURE = (  # of entries that are NaN or infinite
    "Clean the data, or choose missing='mask' (they count as zero after centring) or missing='impute-mean', "
    "where the job has that option"
)
SPARSE_CURE = "Clean the data: replace them among the values of the sparse matrix"
OwnRows = Literal["no", "centre", "standardise", "scale"]


class RowMoments(NamedTuple):
    """Mean and standard deviation of each row of a block, as stored (no unit, no weights)."""

    mean: Array  # (p,)
    spread: Array  # (p,)


@dataclass(frozen=True)
class Transform:
    """What is done to each entry between reading and multiplying."""

    centre: Array | None = None  # (n,) float64 or complex128
    row_centre: Array | None = None  # (m,)
    scale: Array | None = None  # (n,) float64, multiplies columns
    weights: Array | None = None  # (m,) float64, multiplies rows
    own_rows: OwnRows = "no"
    unit: float = 1.0  # a power of two that keeps squares in range
    missing: Missing = "error"
    fill: Array | None = None  # (n,) values at missing entries, for "impute-mean"; None: the row's own mean

    @property
    def trivial(self) -> bool:
        """Whether entries pass unchanged."""
        vectors = (self.centre, self.row_centre, self.scale, self.weights, self.fill)
        plain = self.own_rows == "no" and self.unit == 1.0 and self.missing == "error"
        return plain and all(vector is None for vector in vectors)

    @property
    def transposed(self) -> Transform:
        """The same view of the transpose; only for views without `own_rows` and without imputation."""
        return replace(self, centre=self.row_centre, row_centre=self.centre, scale=self.weights, weights=self.scale)

    def columns_at(self, columns: slice) -> Transform:
        """The transform of a range of columns."""
        cut = [None if v is None else v[columns] for v in (self.centre, self.scale, self.fill)]
        return replace(self, centre=cut[0], scale=cut[1], fill=cut[2])

    def picked(self, rows: Array | None, columns: Array | None) -> Transform:
        """The transform of some rows and columns."""

        def cut(vector: Array | None, picks: Array | None) -> Array | None:
            return vector if vector is None or picks is None else vector[picks]

        return replace(
            self,
            centre=cut(self.centre, columns),
            scale=cut(self.scale, columns),
            fill=cut(self.fill, columns),
            row_centre=cut(self.row_centre, rows),
            weights=cut(self.weights, rows),
        )

    def rounding_of_means(self, rows: int) -> float:
        """Spectral norm of what the rounding of `centre` to float64 may add to a view of so many rows."""
        if self.centre is None:
            return 0.0
        half = np.finfo(np.float64).eps / 2
        length = math.sqrt(rows) if self.weights is None else float(np.linalg.norm(self.weights))
        return float(half * length * np.linalg.norm(self.centre * self.multiplier()))

    def multiplier(self) -> Array | float:
        """Row vector that multiplies the columns, units included."""
        return self.unit if self.scale is None else self.unit * self.scale

    def dense(self, raw: Array, rows: slice, dtype: DType) -> tuple[Array, RowMoments | None]:
        """The view's block (`raw` itself when nothing is to be done) and the means and deviations of its own rows."""
        if self.trivial and raw.dtype == dtype:
            return raw, None
        refuse_inexact(raw, rows)
        order: Any = "F" if raw.flags.f_contiguous and not raw.flags.c_contiguous else "C"
        block = np.array(raw, dtype=dtype, order=order, copy=True)
        absent = None if self.missing == "error" else ~np.isfinite(block)
        if absent is not None and not absent.any():
            absent = None
        centre = self.row_centre[rows] if self.row_centre is not None else None
        spread, own, fill = None, None, self.fill
        if self.own_rows != "no" or (self.missing == "impute-mean" and fill is None):
            own = row_moments(block, absent)
            centre = own.mean if self.own_rows in {"centre", "standardise"} else centre
            spread = own.spread if self.own_rows in {"scale", "standardise"} else None
            fill = own.mean[:, None]
            if absent is not None and self.missing == "impute-mean":
                refuse_without_mean(absent.all(axis=1), rows.start)
        if absent is not None:
            block[absent] = 0 if fill is None else np.broadcast_to(fill, block.shape)[absent]
        if self.centre is not None:
            subtract_row(block, self.centre)
        if centre is not None:
            subtract_row(block.T, centre)
        if absent is not None and self.missing == "mask":
            block[absent] = 0
        self._multiply(block, rows, spread)
        return block, own

    def _multiply(self, block: Array, rows: slice, spread: Array | None) -> None:
        real = block.real.dtype
        if self.scale is not None or self.unit != 1.0:
            block *= np.asarray(self.multiplier(), dtype=real)
        if spread is not None:
            block /= spread[:, None].astype(real)
        if self.weights is not None:
            block *= self.weights[rows, None].astype(real)


def refuse_without_mean(empty: Array, first: int = 0) -> None:
    """Columns without a single finite entry have no mean to impute: (n,) bool, the first of them column `first`."""
    if empty.any():
        few = ", ".join(str(first + j) for j in np.flatnonzero(empty)[:10])
        msg = (
            f"missing='impute-mean': columns without a finite entry have no mean: {few} ({int(empty.sum())} in all); "
            "leave them out, or choose missing='mask', which takes them as zero"
        )
        raise NonFiniteError(msg)


def row_moments(block: Array, absent: Array | None = None) -> RowMoments:
    """Mean and standard deviation (1 where it vanishes) of the present entries of each row, in float64."""
    unit = _square_unit(block)
    wide = block.astype(np.complex128 if block.dtype.kind == "c" else np.float64) * unit
    if absent is None:
        mean = wide.mean(axis=1)
        squares = squared_column_norms((wide - mean[:, None]).T)
        spread = spread_of(squares, np.asarray(float(block.shape[1])), mean)
        known = np.isfinite(mean)  # elsewhere is an error: leave the row's other entries as they are, to locate it
        return RowMoments(np.where(known, mean / unit, 0.0), np.where(known, spread / unit, 1.0))
    count = np.maximum((~absent).sum(axis=1), 1)
    mean = np.where(absent, 0.0, wide).sum(axis=1) / count
    squares = squared_column_norms(np.where(absent, 0.0, wide - mean[:, None]).T)
    return RowMoments(mean / unit, spread_of(squares, count, mean) / unit)


def _square_unit(block: Array) -> float:
    """A power of two that keeps the squares of a block in range: 1 for nearly all data."""
    sizes = np.abs(block)
    largest = float(sizes.max(initial=0.0, where=np.isfinite(sizes)))
    if largest == 0 or 1e-100 < largest < 1e100:
        return 1.0
    return math.ldexp(1.0, max(-1000, min(1000, -math.frexp(largest)[1])))


def spread_of(deviation: Array, count: Array, mean: Array) -> Array:
    """Standard deviation from sums of squared deviations (divisor: count); 1 for a constant column, as scikit-learn.

    A column is constant when what deviates is the rounding of its mean: at most count eps |mean|.
    """
    spread = np.sqrt(deviation / np.maximum(count, 1.0))
    return np.where(spread > count * np.finfo(np.float64).eps * np.abs(mean), spread, 1.0)
