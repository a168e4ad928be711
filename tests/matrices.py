"""Matrices whose singular values we chose, by name.

A = P diag(s) R^H with P and R products of two random-sign cosine (or, complex, random-phase Fourier) transforms:
orthogonal to rounding, without coordinates of their own, and made in O(m n log n).
"""

from typing import NamedTuple

import numpy as np
import scipy.fft


class Known(NamedTuple):
    """A matrix and its singular values, descending."""

    A: np.ndarray  # (m, n)
    s: np.ndarray  # (min(m, n),)


def inverse(count):
    """1 / i: slow decay, the hardest for every randomized method."""
    return 1.0 / np.arange(1, count + 1)


def inverse_square(count):
    """1 / i^2."""
    return inverse(count) ** 2


def geometric(count):
    """0.8^i, down to underflow."""
    return 0.8 ** np.arange(count)


def step(count):
    """Flat, then a step of 100 down to a flat rest."""
    return np.where(np.arange(count) < min(30, (count + 1) // 2), 1.0, 1e-2)


def clustered(count):
    """Clusters of five values within 1e-4 of each other, each half as large as the last."""
    index = np.arange(count)
    return 0.5 ** (index // 5) * (1 - 1e-4 * (index % 5) / 5)


def distinct21(count):
    """21 distinct values, 20 large ones and one that all others share: a Krylov space ends early."""
    s = np.full(count, 1e-2)
    leading = min(20, count)
    s[:leading] = np.linspace(2.0, 1.0, leading)
    return s


def levels21(count):
    """21 distinct values, each taken about as often."""
    return np.sort(1.0 + (np.arange(count) * 21 // count))[::-1]


def noise_floor(count):
    """A signal of 50 modes falling by a factor of 10, over a floor of noise."""
    index = np.arange(count)
    return np.where(index < 50, 10.0 ** (-index / 49), 0.02 * (1 - 0.5 * index / count))


def rank_deficient(count):
    """30 values from 1 to 0.1 (two thirds of them when there are fewer), the rest zero."""
    rank = max(1, min(30, 2 * count // 3))
    return np.where(np.arange(count) < rank, np.linspace(1.0, 0.1, rank)[np.minimum(np.arange(count), rank - 1)], 0.0)


SPECTRA = {
    "1/i": inverse,
    "1/i^2": inverse_square,
    "geometric": geometric,
    "step": step,
    "clustered": clustered,
    "21 distinct values": distinct21,
    "noise floor": noise_floor,
    "rank-deficient": rank_deficient,
}
FLAT = {"21 levels": levels21}  # nothing to find: 4 reads cannot resolve it, and the certificate must say so


def with_singular_values(s, shape, seed=0, *, complex_=False):
    """A matrix of this shape with these singular values (the rest are zero)."""
    rng = np.random.default_rng(seed)
    A = np.zeros(shape, dtype=complex if complex_ else float)
    A[range(len(s)), range(len(s))] = s
    return turned(turned(A, rng, 0), rng, 1)


def turned(A, rng, axis):
    """A times a random orthogonal (unitary) matrix along one axis."""
    for _ in range(2):
        if np.iscomplexobj(A):
            flips, transform = np.exp(2j * np.pi * rng.random(A.shape[axis])), scipy.fft.fft
        else:
            flips, transform = rng.choice([-1.0, 1.0], A.shape[axis]), scipy.fft.dct
        A = transform(A * (flips[:, None] if axis == 0 else flips), axis=axis, norm="ortho")
    return A


def named(name, shape, seed=0, *, complex_=False):
    """The matrix of a named spectrum."""
    s = (SPECTRA | FLAT)[name](min(shape))
    return Known(with_singular_values(s, shape, seed, complex_=complex_), s)


def random_of(dtype, shape, seed=0):
    """Random entries of any type; integers and bool over their small values, floats of both signs."""
    rng = np.random.default_rng(seed)
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind in "iu":
        low = 0 if dtype.kind == "u" else -100
        return rng.integers(low, 100, shape).astype(dtype)
    A = rng.standard_normal(shape)
    return (A + 1j * rng.standard_normal(shape)).astype(dtype) if dtype.kind == "c" else A.astype(dtype)
