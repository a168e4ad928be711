"""Tolerances, each derived: rounding from eps x terms x size, bounds from a theorem, frequencies from a confidence."""

import numpy as np
import scipy.stats


def eps(dtype):
    """Unit of rounding of a precision (its real part)."""
    return float(np.finfo(np.dtype(dtype)).eps)


def sum_rounding(dtype, terms):
    """|fl(sum) - sum| <= terms * eps * sum|.| for sums and products of this many terms (Higham 2002, 3.1).

    Times the sum of magnitudes. The 4 covers conversion, the view's own arithmetic, and complex products.
    """
    return 4 * (terms + 4) * eps(dtype)


def weyl(dtype, norm):
    """|sigma_i(A + E) - sigma_i(A)| <= ||E||_2, for rounding A to a precision: ||E||_F <= eps ||A||_F."""
    return eps(dtype) * norm


def backward(dtype, shape, norm):
    """Error of singular values by a backward stable method: a modest polynomial of the size times eps ||A||."""
    return 30 * np.sqrt(max(shape)) * eps(dtype) * norm


def squared(dtype, shape, s):
    """Error of each sigma_i when A^H A Q is known to rounding: eps sigma_1^2 / sigma_i, and never above sqrt(eps)."""
    s = np.asarray(s, dtype=float)
    known = np.sqrt(backward(dtype, shape, 1.0)) * s[0]
    return np.minimum(backward(dtype, shape, s[0]) * s[0] / np.where(s > 0, s, known), known) if s[0] > 0 else s


def orthonormality(dtype, columns):
    """||V^H V - I||_max: unit columns rounded to a precision, after a whitening in float64 that costs 3 digits."""
    return (100 * eps(dtype) + 1000 * eps("f8")) * np.sqrt(columns)


def cancellation(dtype, norm):
    """Floor of ||A||_F^2 - sum s_i^2 as an error: sqrt(eps) ||A||_F, since what cancels is known to eps ||A||_F^2."""
    return np.sqrt(100 * eps(dtype)) * norm


LAYOUT = 1e-12  # PROMISES.md 18: another chunk grid changes the answer by no more than this, relative
FINE = 1e-9  # issue 2: singular values as good as this need no comparison with scikit-learn
RESOLVED = 1e-6  # issue 2: relative accuracy of singular values that a certificate calls resolved
TASKS_PER_CHUNK = 1.3  # PROMISES.md 16
TIGHT = 3.0  # a plan of more than three times what is used would refuse jobs that fit
PLAN_BYTES = 500_000_000  # PROMISES.md 16: memory in which 1e6 chunks are planned


def failures_allowed(trials, failure, confidence=1e-6):
    """Most failures of an event of this probability in so many independent trials, up to 1e-6."""
    return int(scipy.stats.binom.ppf(1 - confidence, trials, failure))


def ks_threshold(samples, confidence=1e-6):
    """Kolmogorov-Smirnov distance that a true hypothesis exceeds with this probability."""
    return float(scipy.stats.kstwo.ppf(1 - confidence, samples))


def mean_band(samples, confidence_sigmas=4.0):
    """Plus or minus 4 standard errors, in units of one standard deviation."""
    return confidence_sigmas / np.sqrt(samples)
