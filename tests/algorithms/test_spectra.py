"""Singular values on the named spectra: with 4 reads as good as scikit-learn's 16, or to 1e-9; every interval holds."""

import numpy as np
import pytest
from sklearn.utils.extmath import randomized_svd

import rnla
from tests.matrices import FLAT, SPECTRA, named
from tests.tolerances import FINE, RESOLVED, backward, weyl

N, K, PASSES = 2000, 50, 4
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=SPECTRA)
def known(request):
    return named(request.param, (N, N))


@pytest.fixture(scope="module")
def sklearn_error(known):
    _, s, _ = randomized_svd(known.A, K, random_state=0)
    return relative_error(s, known.s)


def relative_error(s, exact):
    """Largest relative error of sigma_1..k; errors at zero values count against the largest."""
    exact = exact[: len(s)]
    return float(np.max(np.abs(s - exact) / np.where(exact > 0, exact, exact[0])))


def spectral_norm(E):
    """||E||_2 from below, by power iteration; that is the side that a bound can be wrong on."""
    x = np.random.default_rng(0).standard_normal(E.shape[1])
    for _ in range(30):
        x = E.T @ (E @ x)
        x /= max(np.linalg.norm(x), np.finfo(float).tiny)
    return np.linalg.norm(E @ x)


def check_certificate(found, known, given):
    """Every interval holds, resolved means 1e-6, and the errors stated are the errors made."""
    proof, exact = found.certificate, known.s[:K]
    slack = weyl(given.dtype, np.linalg.norm(known.s)) if given.dtype == np.float32 else 0.0  # entries were rounded
    slack += backward("f8", given.shape, exact[0])
    assert np.all(proof.lower - slack <= exact)
    assert np.all(exact <= proof.upper + slack)
    assert np.all(np.abs(found.s - exact)[proof.resolved] <= RESOLVED * exact[proof.resolved] + slack)
    wide = given.astype("f8")
    E = wide - (np.asarray(found.U).astype("f8") * found.s) @ found.Vt.astype("f8")
    made = np.linalg.norm(E)
    stored = weyl(given.dtype, np.linalg.norm(found.s)) * 2  # U and Vt are rounded to the data's precision
    assert abs(proof.frobenius_error - made) <= proof.rounding_floor + stored
    assert spectral_norm(E) <= proof.spectral_bound + stored


def test_four_reads_in_float64_are_as_good_as_sixteen_of_scikit_learn(known, sklearn_error):
    found = rnla.svd(known.A, K, passes=PASSES)
    assert found.cost.passes <= PASSES
    assert relative_error(found.s, known.s) <= max(sklearn_error, FINE)
    check_certificate(found, known, known.A)


def test_four_reads_in_float32_reach_what_float32_can_show(known, sklearn_error):
    A = known.A.astype("f4")
    found = rnla.svd(A, K, passes=PASSES)
    assert found.cost.passes <= PASSES
    proof = found.certificate
    floor = np.max((proof.upper - proof.lower)[proof.resolved] / known.s[:K][proof.resolved], initial=0.0)
    error = relative_error(found.s, known.s)
    rounded = weyl("f4", np.linalg.norm(known.s)) / known.s[:K][known.s[:K] > 0].min()
    assert error <= max(sklearn_error + rounded, floor + rounded)
    check_certificate(found, known, A)


@pytest.mark.parametrize("name", FLAT)
@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_a_spectrum_that_cannot_be_resolved_is_not_called_resolved_and_not_inflated(name, dtype):
    known = named(name, (N, N))
    found = rnla.svd(known.A.astype(dtype), K, passes=PASSES)
    check_certificate(found, known, known.A.astype(dtype))
    assert not found.certificate.resolved.any()
    assert np.all(found.s <= known.s[:K] * (1 + RESOLVED))
