"""rnla.svd: factors of every shape, type and method, their signs, ranks chosen by tolerance, and requests refused."""

from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse
import zarr

import rnla
from rnla.errors import RankError, RequestError, RnlaError, UnsupportedError
from tests.matrices import SPECTRA, named, random_of, with_singular_values
from tests.tolerances import LAYOUT, backward, orthonormality, squared, sum_rounding, weyl

METHODS = ("krylov", "subspace", "gram", "merge")
SHAPES = {"tall": (600, 40), "wide": (40, 600), "square": (120, 120)}


def check_factors(found, A, exact):
    """Orthonormal U and V, U diag(s) Vt within the stated error of A, s within its stated interval."""
    U, s, Vt = np.asarray(found.U), found.s, np.asarray(found.Vt)
    k = len(s)
    assert U.shape == (A.shape[0], k)
    assert Vt.shape == (k, A.shape[1])
    wide = "c16" if A.dtype.kind == "c" else "f8"
    U, Vt = U.astype(wide), Vt.astype(wide)
    close = orthonormality(found.Vt.dtype, k)
    assert np.abs(U.conj().T @ U - np.eye(k)).max() <= close
    assert np.abs(Vt @ Vt.conj().T - np.eye(k)).max() <= close
    assert np.all(np.diff(s) <= 0)
    proof = found.certificate
    norm = np.linalg.norm(exact)
    stored = 2 * weyl(found.Vt.dtype, norm)  # U and Vt are rounded to the data's precision
    made = np.linalg.norm(A.astype(wide) - (U * s) @ Vt)
    assert abs(proof.frobenius_error - made) <= proof.rounding_floor + stored
    slack = weyl(A.dtype, norm) if A.dtype.char in "fF" else backward("f8", A.shape, exact[0])
    assert np.all(proof.lower - slack <= exact[:k])
    assert np.all(exact[:k] <= proof.upper + slack)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["f8", "f4", "c16", "c8"])
def test_factors_are_what_the_certificate_says(method, shape, dtype):
    known = named("geometric", SHAPES[shape], complex_=dtype[0] == "c")
    A = known.A.astype(dtype)
    found = rnla.svd(A, 8, method=method)
    assert found.method == method
    check_factors(found, A, known.s)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SPECTRA)
def test_certificates_hold_for_every_method_on_every_spectrum(method, name):
    known = named(name, (300, 80))
    check_factors(rnla.svd(known.A, 12, method=method), known.A, known.s)


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "i4", "i8", "u8", "?", "f2"])
def test_integers_bool_and_halves_are_converted_before_they_are_multiplied(dtype):
    A = random_of(dtype, (300, 20))
    exact = np.linalg.svd(A.astype("f8"), compute_uv=False)
    found = rnla.svd(A, 5)
    assert np.abs(found.s - exact[:5]).max() <= backward("f8", A.shape, exact[0])


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
@pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_array])
def test_integers_that_float64_cannot_hold_are_refused(dtype, form):
    A = np.arange(20, dtype=dtype).reshape(5, 4) ** 3
    np.testing.assert_allclose(rnla.svd(form(A), 2).s, np.linalg.svd(A.astype("f8"), compute_uv=False)[:2], rtol=1e-12)
    A[3, 1] = 2**53 + 1
    with pytest.raises(UnsupportedError, match=r"rows 0\.\.4 hold integers up to 9,007,199,254,740,993"):
        rnla.svd(form(A), 2)


def test_int8_does_not_overflow():
    A = np.full((100, 3), 127, np.int8)
    assert rnla.svd(A, 1).s[0] == pytest.approx(127 * np.sqrt(300), rel=LAYOUT)
    A = np.full((100, 3), -128, np.int8)
    assert rnla.svd(A, 1, method="krylov").s[0] == pytest.approx(128 * np.sqrt(300), rel=sum_rounding("f4", 1))


@pytest.mark.parametrize("complex_", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("method", METHODS)
def test_the_largest_entry_of_each_right_vector_is_positive(method, shape, complex_):
    A = named("geometric", SHAPES[shape], complex_=complex_).A
    Vt = np.asarray(rnla.svd(A, 6, method=method).Vt)
    peaks = Vt[range(6), np.abs(Vt).argmax(axis=1)]
    assert np.all(peaks.real > 0)
    assert np.abs(peaks.imag).max() <= orthonormality("f8", 6)


def test_the_transpose_has_the_same_values_and_swapped_vectors():
    A = named("geometric", (200, 60)).A
    here, there = rnla.svd(A, 5), rnla.svd(rnla.open(A).T, 5)
    assert np.abs(here.s - there.s).max() <= LAYOUT
    overlap = np.abs(np.sum(np.asarray(here.U) * np.asarray(there.Vt).T, axis=0))
    assert np.abs(overlap - 1).max() <= orthonormality("f8", 5)


def test_krylov_uses_all_blocks_and_beats_subspace_iteration():
    known = named("1/i", (1500, 1500))
    errors = {}
    for method in ("krylov", "subspace"):
        found = rnla.svd(known.A, 20, method=method, passes=4)
        errors[method] = np.abs(found.s / known.s[:20] - 1).max()
    assert errors["krylov"] < errors["subspace"] / 10


@pytest.mark.parametrize("method", ["krylov", "subspace"])
def test_deflation_keeps_21_distinct_values_from_being_inflated(method):
    known = named("21 distinct values", (800, 300))
    found = rnla.svd(known.A, 40, method=method, passes=8)
    assert np.all(found.s <= known.s[:40] * (1 + LAYOUT) + backward("f8", (800, 300), 2.0))
    check_factors(found, known.A, known.s)


def test_more_passes_give_smaller_errors():
    known = named("1/i", (800, 800))
    errors = [np.abs(rnla.svd(known.A, 10, method="krylov", passes=p).s / known.s[:10] - 1).max() for p in (2, 3, 4, 5)]
    assert all(later < earlier / 2 for earlier, later in pairwise(errors))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("tol", [0.5, 0.1, 1e-3])
@pytest.mark.parametrize("method", ["krylov", "gram", "subspace"])
def test_a_tolerance_picks_the_smallest_rank(method, shape, tol):
    known = named("geometric", SHAPES[shape])
    found = rnla.svd(known.A, tol=tol, method=method)
    rest = np.sqrt(np.cumsum(known.s[::-1] ** 2)[::-1] / np.sum(known.s**2))  # rest[r]: relative error of rank r
    assert found.certificate.met
    assert found.certificate.status == "ok"
    assert found.certificate.relative_error <= tol
    assert len(found.s) == np.flatnonzero(rest <= tol)[0]


def test_a_tolerance_stops_the_sweeps_early():
    known = named("step", (3000, 1200))
    assert rnla.svd(known.A, 30, passes=8, tol=0.5).cost.passes < 8


def test_a_tolerance_that_is_missed_is_said():
    known = named("1/i", (300, 200))
    found = rnla.svd(known.A, 3, tol=1e-3)
    assert not found.certificate.met
    assert found.certificate.status == "tolerance_not_met"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(200, 30), (30, 200)])
@pytest.mark.parametrize("dtype", ["f8", "f4", "c16"])
def test_a_matrix_of_low_rank_gets_orthonormal_vectors_for_its_zeros(method, shape, dtype):
    s = np.array([3.0, 2.0, 1.0])
    A = with_singular_values(s, shape, complex_=dtype == "c16").astype(dtype)
    found = rnla.svd(A, 10, method=method)
    exact = np.append(s, np.zeros(27))
    assert np.all(np.abs(found.s - exact[:10]) <= squared("f8", shape, exact[:10]) + weyl(dtype, np.linalg.norm(s)))
    check_factors(found, A, exact)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_a_matrix_of_ones_has_one_mode(method, dtype):
    A = np.ones((90, 12), dtype)
    check_factors(rnla.svd(A, 4, method=method), A, np.append(np.sqrt(A.size), np.zeros(11)))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "c16"])
def test_a_matrix_of_zeros_has_zero_values_and_orthonormal_vectors(method, dtype):
    A = np.zeros((50, 8), dtype)
    found = rnla.svd(A, 3, method=method)
    assert np.array_equal(found.s, np.zeros(3))
    check_factors(found, A, np.zeros(8))
    assert found.certificate.frobenius_error == 0
    assert found.certificate.relative_error == 0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2), (1, 5000), (5000, 1)])
def test_the_smallest_matrices_are_factored(method, shape):
    A = random_of("f8", shape)
    found = rnla.svd(A, 1, method=method)
    exact = np.linalg.svd(A, compute_uv=False)
    assert np.abs(found.s - exact[:1]).max() <= backward("f8", shape, exact[0])
    check_factors(found, A, exact)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(60, 7), (7, 60), (12, 12)])
def test_all_singular_values_can_be_asked_for(method, shape):
    A = random_of("f8", shape)
    exact = np.linalg.svd(A, compute_uv=False)
    found = rnla.svd(A, min(shape), method=method)
    assert np.all(np.abs(found.s - exact) <= squared("f8", shape, exact))
    check_factors(found, A, exact)


@pytest.mark.parametrize("k", [0, -1, 31, 10**9])
def test_a_rank_out_of_range_is_refused(k):
    with pytest.raises(RankError, match=rf"k={k} must lie in 1..30 for a matrix of shape 300 x 30"):
        rnla.svd(np.ones((300, 30)), k)


@pytest.mark.parametrize("k", [1.5, 2.0, "3", True, np.nan, np.inf, np.float64(2), [1]])
def test_a_rank_that_is_no_integer_is_refused(k):
    with pytest.raises(RequestError, match="must be an integer"):
        rnla.svd(np.ones((300, 30)), k)


def test_a_numpy_integer_is_an_integer():
    assert len(rnla.svd(np.ones((300, 30)), np.int32(2)).s) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"passes": 0}, "passes=0 must lie in 1..100"),
        ({"passes": 2.5}, "must be an integer"),
        ({"passes": True}, "must be an integer"),
        ({"tol": 0}, "between 0 and 1"),
        ({"tol": 1.0}, "between 0 and 1"),
        ({"tol": np.nan}, "between 0 and 1"),
        ({"tol": True}, "between 0 and 1"),
        ({"tol": "0.1"}, "between 0 and 1"),
        ({"oversample": -1}, "must be at least 0"),
        ({"oversample": 1.5}, "must be an integer"),
        ({"seed": 1.5}, "must be an integer"),
        ({"seed": None}, "must be an integer"),
        ({"method": "arnoldi"}, "one of auto, krylov"),
        ({"memory_bytes": 1}, "memory|allowed"),
    ],
)
def test_options_that_cannot_be_right_are_refused(options, words):
    with pytest.raises(RnlaError, match=words):
        rnla.svd(np.ones((300, 30)), 2, **options)


def test_neither_rank_nor_tolerance_is_refused():
    with pytest.raises(RequestError, match="give k, the rank, or tol"):
        rnla.svd(np.ones((300, 30)))


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0)])
def test_a_matrix_without_entries_is_refused(tmp_path, shape):
    for A in (np.empty(shape), scipy.sparse.csr_array(shape), zarr.create_array({}, shape=shape, dtype="f8")):
        with pytest.raises(RequestError, match="no entries"):
            rnla.svd(A, 1)


@pytest.mark.parametrize(
    "A",
    [
        np.array([["a", "b"]]),
        np.array([[object()]]),
        np.array([["2001-01-01"]], "M8[D]"),
        np.array([[1]], "m8[s]"),
        np.ma.masked_array(np.ones((2, 2)), [[True, False], [False, False]]),
        np.ones(3),
        np.ones((2, 2, 2)),
        np.float64(1),
        [[1.0, 2.0]],
        None,
        np.zeros(3, "f4,f4")[:, None],
        scipy.sparse.coo_array(np.ones(5)),
    ],
    ids=lambda A: f"{type(A).__name__} {getattr(A, 'dtype', '')} {getattr(A, 'shape', '')}",
)
def test_what_is_no_numeric_matrix_is_refused(A):
    with pytest.raises(UnsupportedError):
        rnla.svd(A, 1)


def test_new_rows_are_projected_and_rebuilt():
    known = named("rank-deficient", (100, 20))
    rank = int(np.count_nonzero(known.s))
    for A in (known.A, named("rank-deficient", (100, 20), complex_=True).A):
        found = rnla.svd(A, rank)
        scores = found.transform(A)
        assert np.abs(scores - np.asarray(found.U) * found.s).max() <= orthonormality("f8", rank)
        assert np.abs(found.inverse_transform(scores) - A).max() <= orthonormality("f8", rank)
