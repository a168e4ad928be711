"""Certificates: what rnla says of its own answers and of those of other tools, true ones and wrong ones."""

import numpy as np
import pytest
import scipy.sparse
import scipy.stats
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.utils.extmath import randomized_svd

import rnla
from rnla.algorithms.certificate import FAILURE, chi_squared_floor, top_eigenvalue_bound
from rnla.errors import RequestError
from tests.backends import BACKENDS, FEW
from tests.faults import passes_read, watched
from tests.matrices import SPECTRA, named
from tests.tolerances import LAYOUT, backward, cancellation, failures_allowed

SEEDS = 50
SHAPE, K = (300, 90), 10


@pytest.mark.parametrize(
    ("name", "method"), [("1/i", "krylov"), ("noise floor", "krylov"), ("clustered", "subspace"), ("1/i", "merge")]
)
def test_intervals_and_bounds_hold_over_fifty_seeds(name, method):
    known, k, broken = named(name, (120, 60)), 5, 0
    slack = backward("f8", known.A.shape, known.s[0])
    for seed in range(SEEDS):
        found = rnla.svd(known.A, k, method=method, passes=2, seed=seed)
        proof = found.certificate
        inside = np.all(proof.lower - slack <= known.s[:k]) and np.all(known.s[:k] <= proof.upper + slack)
        E = known.A - (np.asarray(found.U) * found.s) @ found.Vt
        broken += not (inside and np.linalg.norm(E, 2) <= proof.spectral_bound + slack)
    assert broken <= failures_allowed(SEEDS, FAILURE)


def test_the_probes_bound_holds_as_often_as_it_says():
    """For C = diag(1, 0, ..., 0), which is where the bound is sharp: at a failure rate that can be counted."""
    rng = np.random.default_rng(0)
    trials, probes = 20_000, 3
    lengths = (rng.standard_normal((trials, probes)) ** 2).sum(axis=1)
    for failure in (0.3, 0.01):
        count = int((lengths < scipy.stats.chi2.ppf(failure, probes)).sum())
        assert count <= failures_allowed(trials, failure)
    assert chi_squared_floor(probes, complex_=False) == pytest.approx(scipy.stats.chi2.ppf(FAILURE, probes), rel=LAYOUT)
    CW = np.zeros((5, probes))
    CW[0] = 3.0
    assert top_eigenvalue_bound(CW) >= 3.0


@pytest.mark.parametrize("name", SPECTRA)
def test_certify_agrees_with_the_truth_about_exact_factors(name):
    known = named(name, SHAPE)
    U, s, Vt = np.linalg.svd(known.A, full_matrices=False)
    proof = rnla.certify(known.A, U[:, :K], s[:K], Vt[:K])
    norm = np.linalg.norm(known.s)
    made = np.sqrt(np.sum(known.s[K:] ** 2))
    assert abs(proof.frobenius_error - made) <= max(proof.rounding_floor, cancellation("f8", norm))
    assert proof.frobenius_norm == pytest.approx(norm, rel=LAYOUT)
    slack = backward("f8", SHAPE, known.s[0])
    assert np.all(proof.lower - slack <= known.s[:K])
    assert np.all(known.s[:K] <= proof.upper + slack)
    assert proof.spectral_bound >= known.s[K] - slack
    assert proof.residuals.max() <= slack


@pytest.mark.parametrize("shape", [SHAPE, SHAPE[::-1]])
@pytest.mark.parametrize("backend", FEW)
@pytest.mark.parametrize("dtype", ["f8", "f4", "c16"])
def test_certify_bounds_the_error_of_scikit_learn(tmp_path, shape, backend, dtype):
    known = named("1/i", shape, complex_=dtype == "c16")
    A = known.A.astype(dtype)
    if dtype == "c16":
        rng = np.random.default_rng(0)
        Q = np.linalg.qr(A @ (A.conj().T @ (A @ rng.standard_normal((shape[1], K)))))[0]
        u, s, Vt = np.linalg.svd(Q.conj().T @ A, full_matrices=False)
        U = Q @ u
    else:
        U, s, Vt = randomized_svd(A, K, n_iter=1, random_state=0)
    proof = rnla.certify(BACKENDS[backend](A, tmp_path), U, s, Vt)
    E = A.astype("c16" if dtype == "c16" else "f8") - (U.astype(known.A.dtype) * s) @ Vt
    floor = proof.rounding_floor + cancellation("f8", np.linalg.norm(known.s))
    assert abs(proof.frobenius_error - np.linalg.norm(E)) <= floor
    assert np.linalg.norm(E, 2) <= proof.spectral_bound + floor
    assert np.all(proof.lower <= known.s[:K] + floor)
    assert np.all(known.s[:K] <= proof.upper + floor)
    assert not proof.resolved.all()


def test_certify_takes_the_components_of_other_tools():
    known = named("geometric", SHAPE)
    A = known.A + 5
    model = PCA(K).fit(A)
    U = model.transform(A) / model.singular_values_
    proof = rnla.certify(rnla.open(A).centred(), U, model.singular_values_, model.components_)
    rest = np.linalg.norm(A - A.mean(axis=0) - (U * model.singular_values_) @ model.components_)
    assert abs(proof.frobenius_error - rest) <= proof.rounding_floor + cancellation("f8", proof.frobenius_norm)
    model = TruncatedSVD(K, random_state=0)
    scores = model.fit_transform(known.A)
    proof = rnla.certify(known.A, scores / model.singular_values_, model.singular_values_, model.components_)
    assert proof.frobenius_error >= np.sqrt(np.sum(known.s[K:] ** 2)) - cancellation("f8", 2.0)


WRONG = {
    "a value 1 % too large": lambda U, s, Vt: (U, s * np.append(1.01, np.ones(K - 1)), Vt),
    "values of another matrix": lambda U, s, Vt: (U, s * 2, Vt),
    "two vectors swapped": lambda U, s, Vt: (U[:, [1, 0, *range(2, K)]], s, Vt),
    "a vector of the wrong sign": lambda U, s, Vt: (U * np.append(-1, np.ones(K - 1)), s, Vt),
    "a vector turned away": lambda U, s, Vt: (U, s, np.vstack([Vt[0] + 0.1 * Vt[K - 1], Vt[1:]])),
    "rows in another order": lambda U, s, Vt: (U[::-1], s, Vt),
    "vectors that are not orthonormal": lambda U, s, Vt: (U * 1.1, s, Vt),
    "the same vector twice": lambda U, s, Vt: (U[:, [0, 0, *range(2, K)]], s, Vt[[0, 0, *range(2, K)]]),
    "noise": lambda U, s, Vt: (U + 1e-3 * np.random.default_rng(0).standard_normal(U.shape), s, Vt),
    "nothing": lambda U, s, Vt: (U * 0, s, Vt * 0),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("name", ["geometric", "1/i"])
def test_certify_detects_a_wrong_answer(wrong, name):
    known = named(name, SHAPE)
    U, s, Vt = (
        part[..., :K] if i < 2 else part[:K] for i, part in enumerate(np.linalg.svd(known.A, full_matrices=False))
    )
    best = rnla.certify(known.A, U, s, Vt)
    U, s, Vt = WRONG[wrong](U, s, Vt)
    proof = rnla.certify(known.A, U, s, Vt)
    E = known.A - (U * s) @ Vt
    floor = proof.rounding_floor + cancellation("f8", np.linalg.norm(known.s))
    assert abs(proof.frobenius_error - np.linalg.norm(E)) <= floor
    assert proof.frobenius_error > best.frobenius_error
    assert np.linalg.norm(E, 2) <= proof.spectral_bound + floor
    assert np.all(proof.lower <= known.s[:K] * (1 + LAYOUT)), "an interval is about the matrix, whatever was given"
    assert np.all(known.s[:K] <= proof.upper * (1 + LAYOUT))
    if wrong != "nothing":
        assert proof.residuals.max() > best.residuals.max()


def test_certify_costs_one_read(tmp_path):
    known = named("geometric", (900, 40))
    A = BACKENDS["zarr v3, ragged"](known.A, tmp_path / "a")
    found = rnla.svd(known.A, K)
    rnla.certify(watched(A, tmp_path / "log"), found.U, found.s, found.Vt)
    assert passes_read(tmp_path / "log", A.shape) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda U, s, Vt: (U[:, :3], s, Vt),
        lambda U, s, Vt: (U, s, Vt[:, :5]),
        lambda U, s, Vt: (U, s[::-1], Vt),
        lambda U, s, Vt: (U, -s, Vt),
        lambda U, s, Vt: (U, s * np.nan, Vt),
        lambda U, s, Vt: (U, s, Vt * np.nan),
        lambda U, s, Vt: (U * np.inf, s, Vt),
        lambda U, s, Vt: (U, s + 0j, Vt),
        lambda U, s, Vt: (U, ["a"] * len(s), Vt),
        lambda U, s, Vt: (U, [None] * len(s), Vt),
        lambda U, s, Vt: (U, s[:, None], Vt),
        lambda U, s, Vt: (U, [list(s), []], Vt),
    ],
)
def test_certify_refuses_what_cannot_be_factors(change):
    known = named("geometric", SHAPE)
    U, s, Vt = np.linalg.svd(known.A, full_matrices=False)
    with pytest.raises(RequestError):
        rnla.certify(known.A, *change(U, s, Vt))


@pytest.mark.parametrize("shape", [SHAPE, SHAPE[::-1]])
@pytest.mark.parametrize("backend", FEW)
def test_certify_sees_imaginary_parts_where_the_data_has_none(tmp_path, shape, backend):
    known = named("geometric", shape)
    U, s, Vt = (part[:, :K] if i == 0 else part[:K] for i, part in enumerate(np.linalg.svd(known.A)))
    phase = np.exp(1j * np.arange(K))
    A = BACKENDS[backend](known.A, tmp_path)
    rest = np.linalg.norm(known.s[K:])
    for left, right in ((U * phase, phase.conj()[:, None] * Vt), (U + 1e-2j, Vt), (U, Vt * 1j)):
        proof = rnla.certify(A, left, s, right)
        error = np.linalg.norm(known.A - (left * s) @ right)
        assert abs(proof.frobenius_error - error) <= proof.rounding_floor + cancellation("f8", np.linalg.norm(known.s))
        assert proof.spectral_bound >= np.linalg.norm(known.A - (left * s) @ right, 2) - proof.rounding_floor
    assert error > 2 * rest, "the phase that was left out shows"


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_certify_takes_data_of_any_scale(scale):
    known = named("geometric", SHAPE)
    U, s, Vt = np.linalg.svd(known.A, full_matrices=False)
    proof = rnla.certify(known.A * scale, U[:, :K], s[:K] * scale, Vt[:K])
    assert proof.frobenius_error / scale == pytest.approx(
        np.sqrt(np.sum(known.s[K:] ** 2)), rel=cancellation("f8", 10.0)
    )


@pytest.mark.parametrize("seed", [3, 4])
@pytest.mark.parametrize("freedom", [1, 1.5, 2])
@pytest.mark.parametrize("centred", [False, True])
def test_values_and_intervals_of_heavy_tails_in_float32(seed, freedom, centred):
    """Small rows added to a large one vanish in float32, always downwards: values came out up to 80 eps low."""
    A = np.clip(np.random.default_rng(seed).standard_t(freedom, (6000, 300)), -1e6, 1e6).astype("f4")
    B = A.astype("f8") - (A.mean(axis=0, dtype="f8") if centred else 0.0)
    s = np.linalg.svd(B, compute_uv=False)[:10]
    for form in (np.asarray, scipy.sparse.csr_array):
        found = (rnla.pca if centred else rnla.svd)(form(A), 10, passes=8, method="krylov")
        proof = found.certificate
        assert np.all(proof.lower <= s)
        assert np.all(s <= proof.upper)
        values = found.singular_values if centred else found.s
        np.testing.assert_allclose(values, s, rtol=4 * np.finfo("f4").eps)  # random roundings of two products
