"""Certificates: how wrong a factorisation can be, from numbers that its own sweeps left behind.

* U^H A = diag(s) Vh exactly, so ||A - U_k S_k V_k^H||_F^2 = ||A||_F^2 - (s_1^2 + ... + s_k^2).
* Lower ends: s_i <= sigma_i (Cauchy interlacing).
* Upper ends: on an orthonormal X (n, d) with A^H A X known, let H = X^H A^H A X and R = A^H A X - X H. In the basis
  [X, X_perp] A^H A is [[H, R^H], [R, M]], and M <= beta I bounds its eigenvalues by those of [[H, S^H], [S, beta I]]
  (S^H S = R^H R) and beta itself.
* beta from Gaussian probes W that the basis never saw: for the Hermitian C >= 0 on the complement with top eigenpair
  (mu, v), W^H C^2 W >= mu^2 (W^H v)(W^H v)^H, and |W^H v|^2 is chi-squared with r degrees of freedom; so
  mu <= sqrt(||W^H C^2 W||_2 / q) except with probability P(chi^2_r < q). This is Dixon's (1983) bound for a block of
  probes and the square of the matrix; the trace of C is the other, certain, bound.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.linalg
import scipy.special

from rnla.algorithms.results import Certificate
from rnla.arrays import Array
from rnla.kernels.subspaces import eigh, eigvalsh, svd

EPS = float(np.finfo(np.float64).eps)
PROBES = 12  # with the 60 columns of k = 50, 72 in all: BLAS multiplies 72 faster than 70
FAILURE = 2.5e-7  # probability that one bound does not hold; at most four are used together
RESOLVED = 1e-6  # relative width of an interval that counts as resolved


class Squared(NamedTuple):
    """What two sweeps with the probes know: C is A^H A on the complement of the blocks K, which X contains."""

    X: Array  # (n, d) orthonormal, spans K and the last block
    Z: Array  # (n, d) A^H A X
    CCW: Array  # (n, r) C^2 W


class Evidence(NamedTuple):
    """What the sweeps of a factorisation know of A^H A."""

    energy: float  # ||A||_F^2
    eps: float  # relative uncertainty of an entry: rounding of the stored or working type
    working: float  # rounding of the type it was multiplied in
    X: Array  # (n, d) orthonormal
    Z: Array  # (n, d) A^H A X
    W: Array  # (n, r) Gaussian probes, independent of X
    ZW: Array  # (n, r) A^H A W
    Q: Array  # (n, l) the last block, and
    difference: Array  # (l, l) between two ways of summing Q^H A^H A Q
    means: float  # size of what rounding of the columns' means adds to the matrix
    squared: Squared | None = None  # more, when the probes went through two sweeps
    beyond: float = np.inf  # bound on A^H A on the complement of X, when A^H A was formed


class Residual(NamedTuple):
    """What a one-pass factorisation knows of the part D that it discarded."""

    energy: float  # ||A||_F^2
    eps: float
    discarded: Array  # (r,) ||D w||^2 of independent Gaussian probes


def chi_squared_floor(probes: int, *, complex_: bool) -> float:
    """q with P(|W^H v|^2 < q) = FAILURE for `probes` Gaussian probes."""
    if complex_:  # |w^H v|^2 is half a chi-squared with two degrees of freedom
        return float(scipy.special.gammaincinv(probes, FAILURE))
    return 2 * float(scipy.special.gammaincinv(probes / 2, FAILURE))


def top_eigenvalue_bound(CW: Array) -> float:
    """Upper bound on the largest eigenvalue of C = C^H >= 0 from C W, with probability 1 - FAILURE."""
    if CW.shape[1] == 0:
        return np.inf
    largest = float(np.linalg.norm(CW, 2))
    return largest / float(np.sqrt(chi_squared_floor(CW.shape[1], complex_=np.iscomplexobj(CW))))


class Spectrum(NamedTuple):
    """Bounds on the leading eigenvalues of A^H A, and the residuals of its Ritz pairs."""

    ritz: Array  # (d,) descending, each at most the eigenvalue of its rank
    upper: Array  # (d,)
    residuals: Array  # (d,) ||A^H A x - theta x|| / sqrt(theta)
    noise: Array  # (d,) uncertainty of these eigenvalues: rounding of entries and of sums
    rounding: Array  # (d,) the part of it that is rounding of sums
    beyond: float  # bound on every eigenvalue after these


def spectrum_of(evidence: Evidence | Residual, s: Array) -> Spectrum:
    """Intervals of the leading eigenvalues of A^H A: (l,) singular values of the factors."""
    return spectrum(evidence) if isinstance(evidence, Evidence) else spectrum_from_residual(evidence, s)


def spectrum(evidence: Evidence) -> Spectrum:
    """Intervals of the leading eigenvalues of A^H A from what is known on X and from the probes."""
    found = spectrum_on(evidence, evidence.X, evidence.Z, None)
    if evidence.squared is None:
        return found
    other = spectrum_on(evidence, evidence.squared.X, evidence.squared.Z, evidence.squared.CCW)
    count = min(found.ritz.size, other.ritz.size)
    better = other.upper[:count] + other.noise[:count] < found.upper[:count] + found.noise[:count]
    return Spectrum(
        found.ritz[:count],
        np.where(better, other.upper[:count], found.upper[:count]),
        found.residuals[:count],
        np.where(better, np.maximum(other.noise[:count], found.noise[:count]), found.noise[:count]),
        found.rounding[:count],
        max(found.beyond, other.beyond),
    )


def spectrum_on(evidence: Evidence, X: Array, Z: Array, CCW: Array | None) -> Spectrum:
    """`spectrum` from one basis; CCW, if given, is C^2 W on the complement of a part of span(X)."""
    raw = X.conj().T @ Z
    H = (raw + raw.conj().T) / 2
    theta, Y = (part[..., ::-1] for part in eigh(H))
    rounding = rounding_noise(theta, Y.conj().T @ (raw - H) @ Y)
    seen = (X @ Y).conj().T @ evidence.Q
    rounding = rounding + perturbation(theta, seen @ evidence.difference @ seen.conj().T)
    # rounded means are orthogonal to centred columns: they enter squared
    noise = rounding + 2 * evidence.eps * np.maximum(theta, 0.0) + evidence.means**2
    R = (Z - X @ H) @ Y  # columns: residuals of the Ritz vectors
    whole = X.shape[0] == X.shape[1]  # then nothing is left out
    upper, beyond = theta, 0.0
    if not whole and theta.size:
        bounds = arrow_eigenvalues(theta, R, complement_bound(evidence, X, Z, CCW))
        upper, beyond = bounds[: theta.size], float(bounds[theta.size])
    residuals = np.linalg.norm(R, axis=0) / np.sqrt(np.maximum(theta, np.finfo(np.float64).tiny))
    return Spectrum(np.maximum(theta, 0.0), upper, residuals, noise, rounding, beyond)


def perturbation(theta: Array, D: Array) -> Array:
    """How far a Hermitian D, in the basis of the eigenvectors, may move each eigenvalue: (d,), four times over.

    Y^H Y is summed in float64, Q^H (A^H Y) in float32. D is what float32 lost, in one direction: no asymmetry shows it.
    """
    size = np.abs(D)
    np.fill_diagonal(size, 0.0)
    gap = np.maximum(np.abs(theta[:, None] - theta[None, :]), size)  # of close ones it moves both by |D_ij| at most
    through = np.divide(size**2, gap, out=np.zeros_like(size), where=gap > 0).sum(axis=1)
    return np.asarray(4 * (np.abs(np.diagonal(D)) + through))


def shifted(theta: Array, shift: float) -> Array:
    """(sigma + shift)^2 - sigma^2: how far eigenvalues of A^H A move when A does so by `shift`."""
    return np.asarray(2 * np.sqrt(np.maximum(theta, 0.0)) * shift + shift**2)


def absolute_rounding(theta: float, d: int) -> float:
    """Size of float64 rounding in eigenvalues of a matrix of order d whose largest eigenvalue is theta.

    Sums over blocks of rows, orthonormalisation and LAPACK together: 2e-13 theta, about a thousand roundings.
    """
    return 16 * EPS * (64 + d) * max(theta, 0.0)


def rounding_noise(theta: Array, N: Array) -> Array:
    """Size of rounding in each Ritz value: (d,), from the antisymmetric part N of X^H (A^H A X) in the Ritz basis.

    In exact arithmetic N = 0. Rounding makes N and a Hermitian part of the same size, which moves theta_i by about
    |N_ij| within the leading modes, and by |N_ij|^2 / (theta_i - theta_j) through those below.
    """
    d = theta.size
    size = np.abs(N)
    gap = np.maximum(theta[:, None] - theta[None, :], 4 * size)  # close to theta_i the shift is |N_ij| at most
    through = np.divide(4 * size**2, gap, out=np.zeros_like(size), where=gap > 0)
    through = np.where(np.tri(d, dtype=bool), 0.0, through).sum(axis=1)
    leading = np.maximum.accumulate(np.where(np.tri(d, dtype=bool), size, 0.0).max(axis=1))
    # columns of A^H (A X) round in proportion to theirs in A X, so sigma_i moves by at most a multiple of eps sigma_1
    largest = float(np.sqrt(max(theta[0], np.finfo(np.float64).tiny)))
    return np.asarray(4 * (leading + through) + shifted(theta, absolute_rounding(float(theta[0]), d) / (2 * largest)))


def complement_bound(evidence: Evidence, X: Array, Z: Array, CCW: Array | None) -> float:
    """beta: upper bound on the largest eigenvalue of A^H A on the complement of span(X)."""
    known = float(np.sum(X.conj() * Z).real)  # the trace of X^H A^H A X
    certain = max(evidence.energy - known, 0.0) + 64 * EPS * evidence.energy
    if np.isfinite(evidence.beyond):
        return min(certain, evidence.beyond)
    if CCW is not None:  # C^2 has the squares of C's eigenvalues
        return min(certain, float(np.sqrt(top_eigenvalue_bound(CCW))))
    PW = evidence.ZW - Z @ (X.conj().T @ evidence.W)  # A^H A (I - P) W
    return min(certain, top_eigenvalue_bound(PW - X @ (X.conj().T @ PW)))


def beyond_basis(C: Array, X: Array, Z: Array) -> float:
    """Bound on the largest eigenvalue of C = A^H A, formed whole, on the complement of span(X), with Z = C X."""
    away = C - X @ (X.conj().T @ C)
    away -= (away @ X) @ X.conj().T
    largest = float(eigvalsh((away + away.conj().T) / 2)[-1])
    return max(largest, 0.0) + absolute_rounding(float(np.sum(X.conj() * Z).real), X.shape[1])


def remainder_bound(evidence: Evidence, s: Array, Vh: Array) -> float:
    """Bound on the largest eigenvalue of D = A^H A - V S^2 V^H = A^H (I - U U^H) A, as for A^H A itself.

    D is known on X, and on the complement it is at most A^H A.
    """
    bases: list[tuple[Array, Array, Array | None]] = [(evidence.X, evidence.Z, None)]
    if evidence.squared is not None:
        bases.append((evidence.squared.X, evidence.squared.Z, evidence.squared.CCW))
    return min(_remainder_on(evidence, s, Vh, X, Z, CCW) for X, Z, CCW in bases)


def _remainder_on(evidence: Evidence, s: Array, Vh: Array, X: Array, Z: Array, CCW: Array | None) -> float:
    DX = Z - Vh.conj().T @ (s[:, None] ** 2 * (Vh @ X))
    raw = X.conj().T @ DX
    H = (raw + raw.conj().T) / 2
    if X.shape[0] == X.shape[1]:
        return max(float(eigvalsh(H)[-1]), 0.0)
    theta, Y = eigh(H)
    beta = complement_bound(evidence, X, Z, CCW)
    return max(float(arrow_eigenvalues(theta, (DX - X @ H) @ Y, beta)[0]), 0.0)


def arrow_eigenvalues(theta: Array, R: Array, beta: float) -> Array:
    """Leading eigenvalues, descending, of [[diag(theta), S^H], [S, beta I]] with S^H S = R^H R, and of beta itself."""
    d = theta.size
    w, V = eigh(R.conj().T @ R)
    S = np.sqrt(np.maximum(w, 0.0))[:, None] * V.conj().T
    arrow = np.block([[np.diag(theta), S.conj().T], [S, beta * np.eye(d)]])
    return np.asarray(np.maximum(eigvalsh(arrow)[::-1], beta))


def joint_basis(blocks: list[tuple[Array, Array]], cut: float) -> tuple[Array, Array]:
    """Orthonormal X and A^H A X from blocks (Q, A^H A Q), the first kept intact; directions below `cut` are dropped."""
    X, Z = blocks[0]
    basis, triangle = np.linalg.qr(X)
    X, Z = basis, scipy.linalg.solve_triangular(triangle.T, Z.T, lower=True).T
    for Q, ZQ in blocks[1:]:
        rest, Zrest = Q, ZQ
        for _ in range(2):
            inside = X.conj().T @ rest
            rest, Zrest = rest - X @ inside, Zrest - Z @ inside
        if rest.shape[1] == 0:
            continue
        u, s, vh = svd(rest)
        kept = s > cut
        X = np.hstack([X, u[:, kept]])
        Z = np.hstack([Z, (Zrest @ vh.conj().T[:, kept]) / s[kept]])
    return X, Z


def certificate(
    evidence: Evidence | Residual, known: Spectrum, s: Array, Vh: Array, k: int, *, tolerance: float | None = None
) -> Certificate:
    """Certificate of the leading k of the factors U^H A = diag(s) Vh, (l,), (l, n), and of the `known` spectrum."""
    energy, norm = evidence.energy, float(np.sqrt(evidence.energy))
    error = float(np.sqrt(max(energy - float(np.sum(s[:k] ** 2)), 0.0)))
    floor = float(np.sqrt(hidden_energy(evidence, known, k)))
    lower, upper = intervals(known, s[:k])
    relative = error / norm if norm > 0 else 0.0
    residuals = np.zeros(k)
    residuals[: known.residuals.size] = known.residuals[:k]
    bounds = [float(np.hypot(error, floor))]
    if isinstance(evidence, Evidence):
        bounds += [probed_bound(evidence, s, Vh, k, kept) for kept in (k, s.size)]
        rounding = known.noise[min(k, known.noise.size - 1)]
        bounds.append(float(np.sqrt(remainder_bound(evidence, s[:k], Vh[:k]) + rounding)))
    else:
        bounds.append(float(np.sqrt(residual_bound(evidence, s) + (s[k] ** 2 if s.size > k else 0.0))))
    return Certificate(
        frobenius_error=error,
        relative_error=relative,
        explained_variance=1.0 - relative**2,
        spectral_bound=min(bounds) + 8 * evidence.eps * norm,  # the factors themselves are rounded
        confidence=1.0 - 4 * FAILURE,
        lower=lower,
        upper=upper,
        residuals=residuals,
        resolved=resolved(lower, s[:k], upper),
        rounding_floor=floor,
        frobenius_norm=norm,
        tolerance=tolerance,
        met=tolerance is None or float(np.hypot(error, floor)) <= tolerance * norm,
    )


def resolved(lower: Array, s: Array, upper: Array) -> Array:
    """Whether each interval holds its value and is narrow: (k,) bool."""
    return np.asarray((lower <= s) & (s <= upper) & (upper - lower <= RESOLVED * s))


def residual_bound(residual: Residual, s: Array) -> float:
    """Upper bound on ||D||_2^2: the exact ||D||_F^2, or the probes' sum over the chi-squared quantile."""
    rounding = 64 * EPS * residual.energy
    certain = max(residual.energy - float(np.sum(s**2)), 0.0) + rounding
    seen = float(residual.discarded.sum()) / chi_squared_floor(residual.discarded.size, complex_=False)
    return min(certain, seen + rounding)


def spectrum_from_residual(residual: Residual, s: Array) -> Spectrum:
    """s_i^2 <= sigma_i^2 <= s_i^2 + ||D||_2^2."""
    rest = residual_bound(residual, s)
    rounding = np.full(s.size, 64 * EPS * np.sqrt(s.size) * float(np.sum(s[:1] ** 2)))
    noise = rounding + 2 * residual.eps * float(np.sum(s[:1] ** 2))
    return Spectrum(s**2, s**2 + rest, np.full(s.size, np.sqrt(rest)), noise, rounding, rest)


def intervals(known: Spectrum, s: Array) -> tuple[Array, Array]:
    """[lower, upper] of each sigma_i, widened by rounding: (k,), (k,)."""
    best, noise = np.full(s.size, known.beyond), np.zeros(s.size)
    count = min(s.size, known.upper.size)
    best[:count], noise[:count] = known.upper[:count], known.noise[:count]
    noise[count:] = noise[:count].max(initial=0.0)
    upper = np.sqrt(np.maximum(best, s**2) + noise)
    lower = np.sqrt(np.maximum(s**2 - noise, 0.0))
    return lower, upper


def hidden_energy(evidence: Evidence | Residual, known: Spectrum, k: int) -> float:
    """Squared errors below this are lost in ||A||_F^2 - (s_1^2 + ... + s_k^2)."""
    working = evidence.working if isinstance(evidence, Evidence) else EPS
    return energy_rounding(evidence.energy, working) + float(np.linalg.norm(known.rounding[:k]))


def energy_rounding(energy: float, eps: float) -> float:
    """Size of rounding in ||A||_F^2 less a sum of s_i^2 from products of rounding `eps`.

    Sums of squares are in float64. Roundings of products are random: over a million of them 2^-8 of one is left.
    """
    return energy * (64 * EPS + (eps * 2**-8 if eps > EPS else 0.0))


def probed_bound(evidence: Evidence, s: Array, Vh: Array, k: int, kept: int) -> float:
    """Bound on ||A - U_k S_k V_k^H||_2 from A^H A - V S^2 V^H (over `kept` modes) applied to the probes."""
    DW = evidence.ZW - Vh[:kept].conj().T @ (s[:kept, None] ** 2 * (Vh[:kept] @ evidence.W))
    rest = float(s[k] ** 2) if kept > k else 0.0
    return float(np.sqrt(top_eigenvalue_bound(DW) + rest))
