"""Matrices that are hard to certify: whatever the method says must hold, and what is easy to know must be known."""

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse

import rnla
from rnla.errors import RequestError
from tests.tolerances import RESOLVED, backward

M, N = 300, 90
METHODS = ["krylov", "gram", "subspace"]


def factored(rng, s):
    U, V = (np.linalg.qr(rng.standard_normal((size, s.size)))[0] for size in (M, N))
    return (U * s) @ V.T


I = np.arange(1, N + 1.0)
HIDDEN = {
    "values under a floor": lambda rng: factored(rng, np.where(I <= 25, 1 / I, 1e-9)),
    "a step down by 1e6": lambda rng: factored(rng, np.where(I <= 5, 1.0, 1e-6)),
    "halves": lambda rng: factored(rng, 0.5**I),
    "powers of ten": lambda rng: factored(rng, 10.0 ** -np.minimum(I, 17)),
    "slow decay": lambda rng: factored(rng, I**-0.3),
    "an offset of 2e5": lambda rng: rng.standard_normal((M, N)) + 2e5,
    "one row 1e8 times larger": lambda rng: np.vstack([rng.standard_normal((M, N)), 1e8 * rng.standard_normal((1, N))]),
    "entries without a variance": lambda rng: rng.standard_cauchy((M, N)),
    "one large value": lambda rng: factored(rng, np.where(I == 1, 1e6, 1 / I)),
}
PLAIN = {  # every value is there to be seen
    "rank 12": lambda rng: rng.standard_normal((M, 12)) @ rng.standard_normal((12, N)),
    "columns thrice": lambda rng: np.tile(rng.standard_normal((M, 15)), 3),
    "ones": lambda _: np.ones((M, N)),
    "shares that add to one": lambda rng: rng.dirichlet(np.ones(11), M),
    "few samples": lambda rng: rng.standard_normal((13, N)),
    "indicators and a constant": lambda rng: np.hstack([np.eye(8)[rng.integers(0, 8, M)], np.ones((M, 1))]),
}


def judged(A, found, truth, centred):
    """What a certificate says against the truth; the widest relative interval of the values that are not tiny."""
    proof, k = found.certificate, len(truth)
    s = found.singular_values if centred else found.s
    slack = backward("f8", A.shape, np.linalg.norm(A, 2))  # of the reference
    assert np.all(proof.lower <= truth + slack)
    assert np.all(truth <= proof.upper + slack)
    wrong = np.abs(s - truth) > 1e-6 * truth + slack
    assert not np.any(proof.resolved & wrong)
    left, right = (found.scores, found.components) if centred else (np.asarray(found.U) * s, found.Vt)
    B = A.astype("f8") - (A.astype("f8").mean(axis=0) if centred else 0.0)
    E = B - np.asarray(left).astype("f8") @ np.asarray(right).astype("f8")
    assert np.linalg.norm(E, 2) <= proof.spectral_bound + slack
    rounded = 4 * np.finfo(A.dtype).eps * np.linalg.norm(B)  # the factors are
    assert abs(np.linalg.norm(E) - proof.frobenius_error) <= proof.rounding_floor + rounded
    if not centred:
        U = np.asarray(found.U).astype("f8")
        within = 1e-9 if A.dtype == "f8" else 1e-5
        assert np.linalg.norm(U.T @ U - np.eye(k), 2) <= within
    seen = (truth > 1e-6 * truth[0]) & (truth > slack)
    return float(((proof.upper - proof.lower)[seen] / truth[seen]).max(initial=0.0))


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", [*HIDDEN, *PLAIN])
def test_what_is_certified_holds(kind, method, dtype, centred):
    for seed, most in ((0, 5), (1, 10))[centred:]:
        A = (HIDDEN | PLAIN)[kind](np.random.default_rng(seed)).astype(dtype)
        k = min(most, *A.shape)
        B = A.astype("f8") - (A.astype("f8").mean(axis=0) if centred else 0.0)
        truth = np.linalg.svd(B, compute_uv=False)[:k]
        found = (rnla.pca if centred else rnla.svd)(A, k, method=method, seed=seed)
        width = judged(A, found, truth, centred)
        if kind in PLAIN:
            assert width <= (RESOLVED if dtype == "f8" or method == "gram" else 20 * RESOLVED)


@pytest.mark.parametrize("seed", range(10))
def test_a_tolerance_is_met_only_when_rounding_hides_no_more(seed):
    rng = np.random.default_rng(seed)
    A = factored(rng, 0.7**I)
    tol = 10 ** rng.uniform(-6.7, -5.0)
    found = rnla.svd(A, tol=tol)
    error = np.linalg.norm(A - (np.asarray(found.U) * found.s) @ found.Vt) / np.linalg.norm(A)
    assert not found.certificate.met or error <= tol


def test_a_tolerance_that_nobody_could_certify_is_refused():
    with pytest.raises(RequestError, match=r"tol=1e-08 .* ask for a rank"):
        rnla.svd(np.eye(5), tol=1e-8)


def test_what_lapack_cannot_do_fast_it_does_slowly(monkeypatch):
    A = np.linalg.qr(np.random.default_rng(15).standard_normal((296, 20)))[0]
    expected = rnla.svd(A, 3)
    for name in ("eigh", "eigvalsh"):
        slow = getattr(scipy.linalg, name)

        def broken(B, slow=slow, **options):
            if options.get("driver") != "ev":
                msg = "Internal Error."
                raise scipy.linalg.LinAlgError(msg)
            return slow(B, **options)

        monkeypatch.setattr(scipy.linalg, name, broken)
    found = rnla.svd(A, 3)
    np.testing.assert_allclose(found.s, expected.s, rtol=1e-13)
    np.testing.assert_allclose(found.certificate.upper, expected.certificate.upper, rtol=1e-6)


@pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_array])
def test_means_are_right_to_their_last_digit(form):
    """Entries of +-3 about 1e12, exact in float64: a mean off by 60 of its last digits moved values by 1e-5."""
    rng = np.random.default_rng(0)
    E = rng.integers(-3, 4, (30_000, 5)).astype("f8")
    x = np.linalg.svd(E - E.mean(axis=0), compute_uv=False)
    found = rnla.pca(form(E + 1e12), 5)
    half_a_digit = np.sqrt(E.size) * 1e12 * np.finfo("f8").eps / 2  # of the mean as float64 holds it; enters squared
    if form is np.asarray:
        np.testing.assert_allclose(found.singular_values, x, rtol=2 * (half_a_digit / x[-1]) ** 2)
    assert np.all(found.certificate.lower <= x)
    assert np.all(x <= found.certificate.upper)


def test_a_large_offset_does_not_cancel_in_sparse_sums_of_squares():
    rng = np.random.default_rng(0)
    D = rng.integers(-3, 4, (4000, 20)) * (rng.random((4000, 20)) < 0.2).astype("f8")
    D[:, 0] += 1e10
    dense, found = rnla.pca(D, 5), rnla.pca(scipy.sparse.csr_array(D), 5)
    assert found.certificate.frobenius_error == pytest.approx(dense.certificate.frobenius_error, rel=1e-9)
    np.testing.assert_allclose(found.explained_variance_ratio, dense.explained_variance_ratio, rtol=1e-7)


def test_a_large_offset_of_a_full_column_costs_sparse_float32_no_digits():
    rng = np.random.default_rng(0)
    D = rng.integers(-3, 4, (4000, 20)) * (rng.random((4000, 20)) < 0.2).astype("f4")
    D[:, 0] += 1e6  # exact in float32, and its square is not
    s = np.linalg.svd(D - D.mean(axis=0, dtype="f8"), compute_uv=False)
    found = rnla.pca(scipy.sparse.csr_array(D), 5, method="krylov")
    assert np.abs(found.singular_values - s[:5]).max() <= backward("f4", D.shape, s[0])


def test_values_beyond_the_reach_of_float64_are_not_called_known():
    found = rnla.svd(np.diag([1e300, 1.0, 1e-300]), 3)
    assert found.certificate.resolved.tolist() == [True, False, False]
    assert found.certificate.lower[1] <= 1.0 <= found.certificate.upper[1]


def test_a_value_outside_its_interval_is_not_resolved():
    u, v = np.eye(7)[:, :1], np.eye(5)[:1]
    proof = rnla.certify(5 * u @ v, np.hstack([u, u]), np.array([5.0, 5.0]), np.vstack([v, v]))
    assert proof.resolved.tolist() == [True, False]
    assert proof.upper[1] < 5


def test_something_is_not_an_approximation_of_nothing():
    proof = rnla.certify(np.zeros((5, 4)), np.eye(5)[:, :1], np.array([1.0]), np.eye(4)[:1])
    assert proof.frobenius_error == 1.0
    assert proof.relative_error == np.inf
    assert not proof.resolved.any()
