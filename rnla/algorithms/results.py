"""What an algorithm returns: the factors, the certificate of their error, and what they cost."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import scipy.sparse

from rnla.algorithms.labels import coordinate, dataset
from rnla.arrays import Array, accumulator_dtype, spelt_bytes, working_dtype
from rnla.checks import array_of_numbers, unmasked
from rnla.errors import RequestError
from rnla.sweeps.matrix import Labels, Matrix
from rnla.tables import Certified, html_table


@dataclass(frozen=True)
class Cost:
    """What a job cost, measured; over all attempts, but for the sweeps that an interrupted attempt did not finish."""

    passes: float  # bytes read / bytes of the matrix
    bytes_read: int
    seconds: float
    peak_bytes: int  # largest memory of any process that took part, seen at each panel
    read_seconds: float = 0.0  # summed over threads
    missing_entries: int = 0  # NaN and infinite entries found, masked or imputed as `missing` said
    sweeps: tuple[int, ...] = ()  # bytes that each read; those of earlier attempts together

    @property
    def told(self) -> str:
        """Passes and bytes, in words."""
        passes = f"{self.passes:.3g}"
        return f"{passes} pass{'es' * (passes != '1')}, {spelt_bytes(self.bytes_read)} read"


@dataclass(frozen=True, repr=False)
class Certificate(Certified):
    """How wrong a rank-k factorisation can be.

    `frobenius_error` is exact up to `rounding_floor`. `spectral_bound`, `upper` and `resolved` hold with probability
    at least `confidence` over the random probes, whatever the matrix. Rounding is estimated from the asymmetry of
    matrices that would be Hermitian in exact arithmetic.
    """

    frobenius_error: float  # ||A - U diag(s) Vt||_F
    relative_error: float  # the same over ||A||_F
    explained_variance: float  # 1 - relative_error^2
    spectral_bound: float  # ||A - U diag(s) Vt||_2 is at most this, the factors as they are rounded
    confidence: float
    lower: Array  # (k,) sigma_i is at least this
    upper: Array  # (k,) and at most this
    residuals: Array  # (k,) ||A^H A x - theta x|| / sqrt(theta) of the Ritz vectors
    resolved: Array  # (k,) bool: the interval is narrower than 1e-6 of the value
    rounding_floor: float  # errors below this cannot be told from rounding
    frobenius_norm: float  # ||A||_F
    tolerance: float | None = None  # relative error asked for
    met: bool = True  # whether it was reached

    @property
    def status(self) -> str:
        """'ok', or 'tolerance_not_met'."""
        return "ok" if self.met else "tolerance_not_met"

    @property
    def summary(self) -> list[tuple[str, str]]:
        """Names and values, as they are printed."""
        return [
            ("relative Frobenius error", f"{self.relative_error:.6g}  (rounding floor {self.relative_floor:.1e})"),
            ("Frobenius error", f"{self.frobenius_error:.6g}  of ||A||_F = {self.frobenius_norm:.6g}"),
            ("spectral error at most", f"{self.spectral_bound:.6g}  with probability 1 - {1 - self.confidence:.0e}"),
            ("modes resolved to 1e-6", f"{int(self.resolved.sum())} of {self.resolved.size}"),
            ("status", self.status),
        ]

    def in_units(self, unit: float) -> Certificate:
        """The certificate in the units of the data, when the matrix was swept multiplied by `unit`."""
        if unit == 1.0:
            return self
        names = ("frobenius_error", "spectral_bound", "lower", "upper", "residuals", "rounding_floor", "frobenius_norm")
        return replace(self, **{name: getattr(self, name) / unit for name in names})

    @property
    def relative_floor(self) -> float:
        """`rounding_floor` over ||A||_F."""
        return self.rounding_floor / self.frobenius_norm if self.frobenius_norm > 0 else 0.0


def certificate_arrays(proof: Certificate) -> dict[str, tuple[Array, tuple[str, ...]]]:
    """The parts of a certificate that have one entry a mode."""
    return {name: (getattr(proof, name), ("mode",)) for name in ("lower", "upper", "residuals", "resolved")}


def _rows(X: Any, columns: int, what: str, labels: Labels | None = None) -> Any:
    """New data (numpy, Dask, scipy.sparse or a Matrix) of so many columns, which are those of the labels."""
    if isinstance(X, str | os.PathLike):
        msg = f"{os.fspath(X)!r} is a path: open it first, {what}(rnla.open({os.fspath(X)!r}))"
        raise RequestError(msg)
    if isinstance(X, Matrix):
        _refuse_other_columns(X.labels and X.labels.column_coordinates, labels, what)
    elif hasattr(X, "dims") and hasattr(X, "data"):  # an xarray.DataArray
        _refuse_other_columns(coordinate(X, X.dims[-1]) if X.dims else None, labels, what)
        X = X.data
    unmasked(getattr(X, "_meta", X))  # of a Dask array the kind of its blocks
    if not hasattr(X, "dtype") or isinstance(X, np.matrix):
        X = array_of_numbers(X, f"the argument of {what}")
    working_dtype(X.dtype)  # refuses what cannot be multiplied
    if len(X.shape) != 2 or X.shape[1] != columns:
        one = "; a single row goes as row[None, :]" if len(X.shape) == 1 else ""
        msg = f"{what} takes rows of {columns:,} entries, so an array (p, {columns}); this one is {X.shape}{one}"
        raise RequestError(msg)
    return X


def _lazy(rows: Any) -> Any:
    """A Matrix as a Dask array; anything else as it is."""
    return rows.to_dask() if isinstance(rows, Matrix) else rows


def _refuse_other_columns(found: Any, labels: Labels | None, what: str) -> None:
    """Columns that carry other labels than those that were factored, or the same in another order."""
    known = None if labels is None else labels.column_coordinates
    if found is None or known is None or np.array_equal(np.asarray(found), np.asarray(known)):
        return
    same = np.shape(found) == np.shape(known) and set(np.asarray(found).tolist()) == set(np.asarray(known).tolist())
    differ = "stand in another order" if same else "are labelled otherwise"
    msg = (
        f"{what}: the columns {differ} than those that were factored; reindex them first (array.reindex), or give "
        "array.data if they are the same columns"
    )
    raise RequestError(msg)


def _standardised(X: Matrix, mean: Any, scale: Any) -> Matrix:
    """The view (X - 1 mean^T) diag(1 / scale) of new data, in full precision, by the statistics of other data."""
    if X.centring or X.scaling or not replace(X.transform, missing="error").trivial:
        msg = (
            "transform takes a matrix as rnla.open gives it, not a view that is centred, scaled or weighted: "
            "it subtracts the mean and divides by the scale of the data that was factored"
        )
        raise RequestError(msg)
    mean = np.asarray(mean)
    fill = mean if X.transform.missing == "impute-mean" else None
    bare = replace(X, axis="columns", transform=replace(X.transform, fill=fill))
    view = bare.astype(np.result_type(accumulator_dtype(X.dtype), mean.dtype)).centred(mean)
    return view if scale is None else view.weighted(columns=1 / np.asarray(scale))


def _told(kind: str, shape: tuple[int, int], k: int, method: str, proof: Certificate, cost: Cost) -> str:
    """A result in a line, for notebooks and prompts."""
    (m, n), resolved = shape, int(proof.resolved.sum())
    return (
        f"{kind}(rank {k} of {m:,} x {n:,} by {method or 'rnla'}: relative error {proof.relative_error:.4g}, "
        f"{resolved} of {k} values resolved, {cost.told})"
    )


def _table(kind: str, s: Array, method: str, proof: Certificate, cost: Cost) -> str:
    """A result as an HTML table."""
    few = ", ".join(f"{value:.6g}" for value in s[:5]) + (", ..." if s.size > 5 else "")
    made = ("made by", f"{method or 'rnla'}, {cost.told}")
    return html_table(f"{kind} of rank {s.size}", [("singular values", few), *proof.summary, made])


@dataclass(frozen=True, repr=False)
class SVD:
    """A ~ U diag(s) Vt of rank k.

    The factor along the side that was swept (the longer one) may be far larger than memory and is a Dask array over
    the result store; the other is a numpy array. `U` is always a Dask array when made by `rnla.svd`.
    """

    U: Any  # (m, k)
    s: Array  # (k,) descending
    Vt: Any  # (k, n)
    certificate: Certificate
    cost: Cost
    method: str = ""
    record: dict[str, Any] = field(default_factory=dict)  # how it was made
    labels: Labels | None = None  # names and coordinates of a labelled matrix

    def to_xarray(self) -> Any:
        """The factors and their intervals as an xarray.Dataset, labelled as the matrix was."""
        arrays = {"U": (self.U, ("row", "mode")), "s": (self.s, ("mode",)), "Vt": (self.Vt, ("mode", "column"))}
        return dataset(arrays | certificate_arrays(self.certificate), self.labels, {"method": self.method})

    def __repr__(self) -> str:
        shape = self.U.shape[0], self.Vt.shape[1]
        return _told("SVD", shape, self.s.size, self.method, self.certificate, self.cost)

    def _repr_html_(self) -> str:
        return _table("SVD", self.s, self.method, self.certificate, self.cost)

    def transform(self, X: Any) -> Any:
        """Coordinates X V of rows in the basis of right singular vectors: (p, n) -> (p, k).

        X is a numpy, Dask or scipy.sparse array, a DataArray, or a Matrix; of a Matrix or a Dask array the answer is a
        Dask array.

        Raises
        ------
        RequestError
            X is not two-dimensional, has another number of columns, or labels its columns otherwise.
        """
        rows = _rows(X, self.Vt.shape[1], "transform", self.labels)
        return _lazy(rows) @ self.Vt.conj().T

    def inverse_transform(self, scores: Any) -> Any:
        """Rows from coordinates: (p, k) -> (p, n)."""
        rows = _rows(scores, self.s.size, "inverse_transform")
        return _lazy(rows) @ self.Vt


@dataclass(frozen=True, repr=False)
class PCA:
    """Principal components of the rows of A.

    `scores` is U diag(s): row i holds the coordinates of sample i. Variances use the divisor m - 1.
    """

    scores: Any  # (m, k)
    components: Any  # (k, n) orthonormal rows
    explained_variance: Array  # (k,)
    explained_variance_ratio: Array  # (k,)
    mean: Any  # (n,)
    singular_values: Array  # (k,)
    certificate: Certificate
    cost: Cost
    scale: Any = None  # (n,) what columns were divided by after centring, or None
    method: str = ""
    record: dict[str, Any] = field(default_factory=dict)
    labels: Labels | None = None  # names and coordinates of a labelled matrix

    def to_xarray(self) -> Any:
        """The components, scores, variances and intervals as an xarray.Dataset, labelled as the matrix was."""
        arrays = {
            "scores": (self.scores, ("row", "mode")),
            "components": (self.components, ("mode", "column")),
            "explained_variance": (self.explained_variance, ("mode",)),
            "explained_variance_ratio": (self.explained_variance_ratio, ("mode",)),
            "singular_values": (self.singular_values, ("mode",)),
            "mean": (self.mean, ("column",)),
        }
        return dataset(arrays | certificate_arrays(self.certificate), self.labels, {"method": self.method})

    def __repr__(self) -> str:
        shape = self.scores.shape[0], self.components.shape[1]
        return _told("PCA", shape, self.singular_values.size, self.method, self.certificate, self.cost)

    def _repr_html_(self) -> str:
        return _table("PCA", self.singular_values, self.method, self.certificate, self.cost)

    def transform(self, X: Any) -> Any:
        """Scores of new rows: (p, n) -> (p, k).

        X is a numpy, Dask or scipy.sparse array, a DataArray, or a Matrix (not centred: the mean of the data that was
        factored is subtracted here); of a Matrix or a Dask array the answer is a Dask array. Sparse rows stay sparse.
        Missing entries of a Matrix opened with missing="mask" or "impute-mean" count as the mean of the data that was
        factored, as they did there.

        Raises
        ------
        RequestError
            X is not two-dimensional, has another number of columns, or labels its columns otherwise.
        """
        rows, basis = _rows(X, self.components.shape[1], "transform", self.labels), self.components.conj().T
        if isinstance(rows, Matrix):
            return _standardised(rows, self.mean, self.scale).to_dask() @ basis
        if scipy.sparse.issparse(rows):
            scaled = np.asarray(basis if self.scale is None else basis / np.asarray(self.scale)[:, None])
            return rows @ scaled - np.asarray(self.mean) @ scaled
        centred = rows - self.mean
        return (centred if self.scale is None else centred / self.scale) @ basis

    def inverse_transform(self, scores: Any) -> Any:
        """Rows from scores: (p, k) -> (p, n)."""
        given = _rows(scores, self.singular_values.size, "inverse_transform")
        rows = _lazy(given) @ self.components
        return (rows if self.scale is None else rows * self.scale) + self.mean


def explained(s: Array, energy: float) -> Array:
    """Share of the energy that each mode carries: (k,)."""
    return np.zeros_like(s) if energy == 0 else np.asarray(s**2 / energy)
