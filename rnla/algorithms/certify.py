"""The certificate of a factorisation that somebody else made: one read of A.

With E = A - U diag(s) Vt, whatever U and V are (orthonormal or not):
||E||_F^2 = ||A||_F^2 - 2 Re tr(diag(s) U^H A V) + ||U diag(s) Vt||_F^2, and probes give
||E||_2^2 <= ||E^H E W||_2 / sqrt(q) as in `certificate`. They come from the basis V as there: H = (A V)^H (A V) and
A^H A V = A^H U diag(s) + A^H D with D = A V - U diag(s), so that the off-diagonal block is known up to ||A||_2 ||D||_F.
Residuals are (||A v_i - s_i u_i||^2 + ||A^H u_i - s_i v_i||^2)^1/2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np

from rnla.algorithms.certificate import (
    EPS,
    FAILURE,
    PROBES,
    absolute_rounding,
    arrow_eigenvalues,
    resolved,
    top_eigenvalue_bound,
)
from rnla.algorithms.results import Certificate
from rnla.arrays import Array, accumulator_dtype, wide
from rnla.errors import RequestError
from rnla.kernels.subspaces import eigh
from rnla.streams import normal
from rnla.sweeps.blocks import Block
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.products import Cast, Sum, tall_rows
from rnla.sweeps.settling import in_range, settled_by_moments
from rnla.sweeps.source import Tall


@dataclass(frozen=True)
class Compare(Sum):
    """Everything that one read tells of U diag(s) Vt against A."""

    U: Tall
    s: Array
    X: Array  # (n, k + r) [V W]

    def cast(self, cast: Cast) -> Self:
        """Operands in the working precision."""
        return replace(self, X=cast(self.X))

    def panel(self, block: Block) -> list[Any]:
        """Partial of one block."""
        k = self.s.size
        U = wide(tall_rows(self.U, block.rows))
        product = wide(block.right(self.X))
        AV, AW = product[:, :k], product[:, k:]
        seen = self.X[:, :k].conj().T @ self.X[:, k:]  # V^H W
        EW = AW - U @ (self.s[:, None] * seen)  # E W
        FW = AW - AV @ seen  # A (I - V V^H) W
        left = block.left(np.hstack([U, EW, FW]).astype(block.dtype))
        difference = AV - U * self.s
        return [
            np.array(block.energy()),
            U.conj().T @ U,
            U.conj().T @ AV,
            AV.conj().T @ AV,
            np.sum(np.abs(difference) ** 2, axis=0),
            left,
            EW.conj().T @ U,
        ]

    def join(self, a: list[Any], b: list[Any]) -> list[Any]:
        """Sums."""
        return [x + y for x, y in zip(a, b, strict=True)]


def certify(A: Matrix, U: Tall, s: Array, Vt: Array, seed: int = 0) -> Certificate:
    """Certificate of A ~ U diag(s) Vt: (m, k), (k,), (k, n); A swept by rows."""
    k, n = Vt.shape
    if U.shape != (A.shape[0], s.size) or (k, n) != (s.size, A.shape[1]):
        msg = f"U {U.shape}, s {s.shape} and Vt {Vt.shape} do not factor a matrix of shape {A.shape}"
        raise RequestError(msg)
    if not (np.all(np.diff(s) <= 0) and np.all(s >= 0) and np.all(np.isfinite(s))):
        msg = "s must be singular values: finite, not negative and in descending order"
        raise RequestError(msg)
    view = settled_by_moments(A).astype(accumulator_dtype(A.dtype))
    W = normal(seed, "certify", n, PROBES, complex_=A.dtype.kind == "c")
    V = Vt.conj().T
    compare = Compare(U, s, np.hstack([V, W]))
    (found,), _, used = in_range(view, compare)
    if not (np.all(np.isfinite(Vt)) and np.all(np.isfinite(found[1]))):
        msg = "U or Vt has NaN or infinite entries; there is nothing to certify: make them anew"
        raise RequestError(msg)
    if used.transform.unit != view.transform.unit:  # entries out of range: compare in the unit that fits
        ratio = used.transform.unit / view.transform.unit
        (found,) = used.sweep(replace(compare, s=s * ratio))
        return _judged(view, found, s * ratio, V).in_units(ratio)
    return _judged(view, found, s, V)


def _judged(A: Matrix, found: list[Any], s: Array, V: Array) -> Certificate:
    energy, UU, UAV, H, right, left, EWU = found
    k, VV = s.size, V.conj().T @ V
    UA, EWA, FWA = left[:k], left[k : k + PROBES], left[k + PROBES :]
    own = float(np.einsum("i,ij,j,ji->", s, UU, s, VV).real)
    squared = float(energy) - 2 * float(np.sum(s * np.diagonal(UAV).real)) + own
    norm, error = float(np.sqrt(energy)), float(np.sqrt(max(squared, 0.0)))
    floor = float(np.sqrt(64 * EPS * (energy + own)))
    EEW = EWA - (EWU * s) @ V.conj().T  # (E W)^H E = (E W)^H A - ((E W)^H U) diag(s) V^H
    spectral = min(float(np.hypot(error, floor)), float(np.sqrt(top_eigenvalue_bound(EEW.T))))
    away = np.sqrt(right + np.linalg.norm(UA - s[:, None] * V.conj().T, axis=1) ** 2)
    largest = min(norm, float(s[0]) * (1 + _departure(UU) + _departure(VV)) + spectral)
    basis = _Basis(V, VV, H, UA.conj().T * s, FWA.conj().T, largest * float(np.sqrt(right.sum())), norm)
    lower, upper = basis.intervals(s, A.eps)
    relative = error / norm if norm > 0 else np.inf if error > 0 else 0.0
    return Certificate(
        frobenius_error=error,
        relative_error=relative,
        explained_variance=1.0 - relative**2,
        spectral_bound=spectral,
        confidence=1.0 - 4 * FAILURE,
        lower=lower,
        upper=upper,
        residuals=away,
        resolved=resolved(lower, s, upper),
        rounding_floor=floor,
        frobenius_norm=norm,
    )


class _Basis(NamedTuple):
    """What one read tells of A^H A on the span of V and off it."""

    V: Array  # (n, k)
    VV: Array  # (k, k) V^H V
    H: Array  # (k, k) (A V)^H (A V)
    Z: Array  # (n, k) A^H U diag(s), which is A^H A V up to `slack`
    CW: Array  # (n, r) A^H A (I - V V^H) W
    slack: float  # bound on ||A^H A V - Z||
    norm: float  # ||A||_F

    def intervals(self, s: Array, eps: float) -> tuple[Array, Array]:
        """Interval of each sigma_i: Ritz values below, the eigenvalues of the arrow matrix above."""
        w, W = eigh(self.VV)
        kept = w > 1e-3
        T = W[:, kept] / np.sqrt(w[kept])
        X, H = self.V @ T, T.conj().T @ self.H @ T
        theta, Y = (part[..., ::-1] for part in eigh(H))
        R = self.Z @ T
        R = (R - X @ (X.conj().T @ R)) @ Y
        CW = self.CW - X @ (X.conj().T @ self.CW)
        departure = _departure(self.VV) * self.norm**2  # W was projected with V, not with X
        certain = max(self.norm**2 - float(np.sum(theta)), 0.0) + 64 * EPS * self.norm**2
        beta = min(certain, top_eigenvalue_bound(CW) + departure)
        noise = 2 * eps * np.maximum(theta, 0.0) + absolute_rounding(float(theta.max(initial=0.0)), theta.size)
        values, bounds = np.zeros(s.size), np.full(s.size, beta)
        values[: theta.size] = np.maximum(theta - noise, 0.0)
        bounds[: theta.size] = arrow_eigenvalues(theta, R, beta)[: theta.size] + self.slack + noise
        return np.sqrt(values), np.sqrt(bounds)


def _departure(gram: Array) -> float:
    return float(np.linalg.norm(gram - np.eye(gram.shape[0]), 2))
