"""Small dense algebra of subspaces: orthonormal bases with rank revealed, and factors from graded Gram matrices."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.linalg

from rnla.arrays import Array

RANK_TOLERANCE = 1e-13  # relative size of a direction that float64 can still orthonormalise
DROWNED = 4.0  # eigenvalues below this many times the noise are noise


def svd(A: Array) -> tuple[Array, Array, Array]:
    """Thin SVD u diag(s) vh of a small matrix; when divide and conquer does not converge, by QR iteration."""
    try:
        return scipy.linalg.svd(A, full_matrices=False)  # type: ignore[no-any-return]
    except scipy.linalg.LinAlgError:
        return scipy.linalg.svd(A, full_matrices=False, lapack_driver="gesvd")  # type: ignore[no-any-return]


def eigh(A: Array) -> tuple[Array, Array]:
    """Eigenvalues, ascending, and eigenvectors of a Hermitian matrix; by QR iteration where the fast way fails."""
    try:
        return scipy.linalg.eigh(A)  # type: ignore[no-any-return]
    except scipy.linalg.LinAlgError:
        return scipy.linalg.eigh(A, driver="ev")  # type: ignore[no-any-return]


def eigvalsh(A: Array) -> Array:
    """Eigenvalues of a Hermitian matrix, ascending, likewise."""
    try:
        return np.asarray(scipy.linalg.eigvalsh(A))
    except scipy.linalg.LinAlgError:
        return np.asarray(scipy.linalg.eigvalsh(A, driver="ev"))


def orth(A: Array, against: Array | None = None) -> Array:
    """Orthonormal basis of the columns of A, less their part in span(against): (n, l) -> (n, r), r <= l.

    Columns are brought to the same length first, so that graded columns keep their small ones. Directions that vanish
    to rounding are dropped: a basis that pretends to them inflates singular values. The basis is ordered by what A has
    in each direction, so that products with it come out graded, which is what keeps float32 safe.
    """
    Q = _unit_columns(A)
    if against is not None and against.shape[1]:
        for _ in range(2):
            Q = Q - against @ (against.conj().T @ Q)
        Q = _unit_columns(Q, np.sqrt(Q.shape[0]) * RANK_TOLERANCE)
    for _ in range(2):
        if Q.shape[1] == 0:
            return Q
        U, s, _ = svd(Q)
        Q = U[:, s > RANK_TOLERANCE * s[0]]
        if against is not None and against.shape[1]:
            Q = Q - against @ (against.conj().T @ Q)
            Q = _unit_columns(Q, 0.5)  # what was mostly rounding lies in span(against) again
    return np.asarray(Q @ svd(Q.conj().T @ A)[0]) if Q.shape[1] else Q


def _unit_columns(A: Array, floor: float = 0.0) -> Array:
    lengths = np.linalg.norm(A, axis=0)
    kept = lengths > floor
    return np.asarray(A[:, kept] / lengths[kept])


class Whitening(NamedTuple):
    """T with T^H G T = I on the numerical range of a Gram matrix G, and G's rank."""

    T: Array  # (l, r)
    scales: Array  # (r,) eigenvalues, descending


def whitening(G: Array, tolerance: float) -> Whitening:
    """T = D W w^-1/2 from G = Y^H Y, with D the inverse column norms, dropping w < tolerance: (l, l) -> (l, r).

    Scaling first makes graded columns (norms 1 .. 1e-16) harmless.
    """
    norms = np.sqrt(np.maximum(G.diagonal().real, 0.0))
    seen = norms > 1e-16 * norms.max(initial=0.0)  # below, products in float32 underflow and Z is no longer A^H Y
    inverse = np.divide(1.0, norms, out=np.zeros_like(norms), where=seen)
    scaled = G * np.outer(inverse, inverse)
    w, W = eigh((scaled + scaled.conj().T) / 2)
    kept = w > tolerance
    T = inverse[:, None] * W[:, kept] / np.sqrt(w[kept])
    return Whitening(T[:, ::-1], w[kept][::-1])


class Factors(NamedTuple):
    """A's factors over span(Y): U = Y C orthonormal, U^H A = diag(s) Vh exactly."""

    C: Array  # (l, r)
    s: Array  # (r,) descending
    Vh: Array  # (r, n)


def factors(G: Array, Z: Array, tolerance: float) -> Factors:
    """With G = Y^H Y and Z = A^H Y: B = T^H Z^H = (Y T)^H A, B = u s Vh, C = T u."""
    T = whitening(G, tolerance).T
    u, s, Vh = svd(T.conj().T @ Z.conj().T)
    return Factors(T @ u, s, Vh)


def ritz_factors(K: Array, Z: Array) -> Factors:
    """The same from Z = A^H A K for an orthonormal K, without A K: its Gram matrix is K^H Z.

    Its asymmetry shows the rounding of the products; directions that it drowns are dropped.
    """
    if K.shape[1] == 0:
        return Factors(np.zeros((0, 0), K.dtype), np.zeros(0), np.zeros((0, K.shape[0]), K.dtype))
    raw = K.conj().T @ Z
    w, W = eigh((raw + raw.conj().T) / 2)
    noise = float(np.linalg.norm(raw - raw.conj().T, 2)) / 2
    kept = w > max(DROWNED * noise, 1e-14 * max(float(w[-1]), 0.0))
    T = W[:, kept] / np.sqrt(w[kept])
    u, s, Vh = svd(T.conj().T @ Z.conj().T)
    return Factors(T @ u, s, Vh)


def pivots(A: Array, count: int) -> Array:
    """The first `count` pivots of QR with column pivoting: columns of A, each the farthest from those before it."""
    return np.asarray(scipy.linalg.qr(A, mode="r", pivoting=True, check_finite=False)[1][:count])


def phases(peaks: Array) -> Array:
    """Factors of modulus 1 that make each peak real and positive (1 where a peak is zero)."""
    modulus = np.abs(peaks)
    return np.where(modulus > 0, peaks.conj() / np.where(modulus > 0, modulus, 1.0), 1.0)


def column_peaks(A: Array) -> Array:
    """Entry of largest modulus of each column, the first of equals: (n, k) -> (k,)."""
    return np.asarray(np.take_along_axis(A, np.abs(A).argmax(axis=0)[None, :], axis=0)[0])
