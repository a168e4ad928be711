"""CUR and interpolative decomposition: lines of A to the last bit, the best middle, exact errors, promised passes."""

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse
import zarr

import rnla
from rnla.algorithms.selection import SELECTORS
from rnla.errors import RankError, RequestError, UnsupportedError
from tests.backends import BACKENDS, IN_PARTS, SPARSE
from tests.faults import reads, watched
from tests.matrices import SPECTRA, named, random_of, with_singular_values
from tests.tolerances import cancellation

K = 6
EITHER_WAY = [(backend, "tall") for backend in BACKENDS] + [
    (backend, "wide") for backend in ("numpy", "sparse csr", "zarr v3, ragged", "zarr v3, in parts", "dask")
]
SHAPES = {"tall": (131, 31), "wide": (31, 131), "square": (40, 40)}


def dense(array):
    """An answer as a numpy array."""
    computed = array.compute() if hasattr(array, "compute") else array
    return computed.toarray() if scipy.sparse.issparse(computed) else np.asarray(computed)


def error(A, *factors):
    """||A - product||_F."""
    return np.linalg.norm(A - np.linalg.multi_dot([dense(factor) for factor in factors]))


def low(shape, seed=0, *, complex_=False, floor=1e-3):
    """Of rank 8 but for a floor of noise."""
    s = np.concatenate([0.5 ** np.arange(8), np.full(min(shape) - 8, floor)])
    return with_singular_values(s, shape, seed, complex_=complex_)


@pytest.mark.usefixtures("small_cuts")
@pytest.mark.parametrize(
    ("backend", "shape", "middle"),
    [(*case, "optimal") for case in EITHER_WAY]
    + [(backend, shape, "cross") for backend in ("numpy", "sparse csr", "zarr v3, ragged") for shape in SHAPES],
)
def test_a_cur_is_of_lines_of_the_matrix_and_its_error_is_exact(tmp_path, backend, shape, middle):
    A = low(SHAPES[shape])
    A = np.where(np.abs(A) > np.quantile(np.abs(A), 0.7), A, 0.0) if backend in SPARSE else A
    found = rnla.cur(BACKENDS[backend](A, tmp_path), K, middle=middle, passes=3)
    assert np.array_equal(dense(found.C), A[:, found.columns])
    assert np.array_equal(dense(found.R), A[found.rows])
    assert len(set(found.columns)) == len(set(found.rows)) == K
    proof, norm = found.certificate, np.linalg.norm(A)
    assert abs(error(A, found.C, found.M, found.R) - proof.frobenius_error) <= cancellation("f8", norm)
    assert proof.frobenius_norm == pytest.approx(norm, rel=1e-13)
    if middle == "optimal":
        best = np.linalg.pinv(dense(found.C)) @ A @ np.linalg.pinv(dense(found.R))
        assert np.abs(best - found.M).max() <= 1e-8 * np.abs(best).max()


@pytest.mark.parametrize("complex_", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("select", SELECTORS)
def test_every_selector_gives_what_it_certifies(shape, select, complex_):
    A = low(SHAPES[shape], complex_=complex_)
    found = rnla.cur(A, K, columns=K + 2, rows=K + 1, select=select)
    proof, norm = found.certificate, np.linalg.norm(A)
    assert (found.M.shape, len(found.columns), len(found.rows)) == ((K + 2, K + 1), K + 2, K + 1)
    assert abs(error(A, found.C, found.M, found.R) - proof.frobenius_error) <= cancellation("f8", norm)
    Q = np.linalg.qr(A[:, found.columns])[0]
    alone = np.linalg.norm(A - Q @ (Q.conj().T @ A))
    sided = np.linalg.norm(A - (A @ np.linalg.pinv(A[found.rows])) @ A[found.rows])
    assert abs(proof.column_error - (sided if shape == "wide" else alone)) <= cancellation("f8", norm)
    assert np.all(np.diff(proof.errors) <= 1e-12)
    assert proof.errors[0] == 1
    s = np.linalg.svd(A, compute_uv=False)
    best = np.linalg.norm(s[K:])
    if proof.best_lower is not None:
        assert proof.best_lower <= best + cancellation("f8", norm)
        assert best <= proof.best_upper + cancellation("f8", norm)
        assert proof.ratio is None or proof.frobenius_error <= proof.ratio * best * (1 + 1e-6)


@pytest.mark.parametrize("spectrum", SPECTRA)
def test_pivoted_lines_are_as_good_as_those_of_full_pivoted_qr(spectrum):
    A = named(spectrum, (300, 120)).A
    rank = min(10, np.linalg.matrix_rank(A))
    columns, rows = (scipy.linalg.qr(B, mode="r", pivoting=True)[1][:rank] for B in (A, A.T))
    C, R = A[:, columns], A[rows]
    full = error(A, C, np.linalg.pinv(C) @ A @ np.linalg.pinv(R), R)
    found = rnla.cur(A, int(rank))
    assert found.certificate.frobenius_error <= 1.1 * full + cancellation("f8", np.linalg.norm(A))


@pytest.mark.parametrize("spectrum", SPECTRA)
def test_pivoted_lines_are_never_worse_than_drawn_ones_by_median(spectrum):
    A = named(spectrum, (300, 120)).A
    pivoted, drawn = (
        np.median([rnla.cur(A, 10, select=select, seed=seed).certificate.frobenius_error for seed in range(5)])
        for select in ("pivoted", "norm-squared")
    )
    assert pivoted <= drawn + cancellation("f8", np.linalg.norm(A))


@pytest.mark.usefixtures("small_cuts")
@pytest.mark.parametrize(("backend", "shape"), EITHER_WAY)
def test_an_interpolative_decomposition_is_exact_on_its_columns(tmp_path, backend, shape):
    A = low(SHAPES[shape])
    A = np.where(np.abs(A) > np.quantile(np.abs(A), 0.7), A, 0.0) if backend in SPARSE else A
    found = rnla.interpolative(BACKENDS[backend](A, tmp_path), K, two_sided=True)
    norm, X = np.linalg.norm(A), dense(found.X)
    assert np.array_equal(dense(found.C), A[:, found.columns])
    assert np.array_equal(X[:, found.columns], np.eye(K))
    assert abs(error(A, found.C, X) - found.certificate.frobenius_error) <= cancellation("f8", norm)
    core, W = A[found.rows][:, found.columns], dense(found.W)
    assert abs(error(A, W, core, X) - found.certificate.frobenius_error) <= cancellation("f8", norm)
    assert np.array_equal(W[found.rows], np.eye(K))


@pytest.mark.parametrize("tolerance", [0.5, 0.1, 0.01])
@pytest.mark.parametrize("shape", ["tall", "wide"])
def test_a_tolerance_takes_as_many_columns_as_it_needs(shape, tolerance):
    A = low(SHAPES[shape], floor=1e-4)
    found = rnla.interpolative(A, tol=tolerance)
    assert found.certificate.met
    assert error(A, found.C, found.X) <= tolerance * np.linalg.norm(A)
    fewer = rnla.interpolative(A, max(1, len(found.columns) - 3), tol=tolerance)
    assert len(found.columns) <= 3 or not fewer.certificate.met


@pytest.mark.parametrize("dtype", ["f4", "f2", "i1", "u1", "i4", "i8", "?", "c8"])
@pytest.mark.parametrize("shape", ["tall", "wide"])
def test_lines_keep_the_type_of_the_data(tmp_path, dtype, shape):
    A = random_of(dtype, SHAPES[shape])
    found = rnla.cur(BACKENDS["zarr v3, ragged"](A, tmp_path), 3)
    C, R = dense(found.C), dense(found.R)
    assert C.dtype == R.dtype == A.dtype
    assert np.array_equal(C, A[:, found.columns])
    assert np.array_equal(R, A[found.rows])
    wide = A.astype("c16" if dtype == "c8" else "f8")
    norm = np.linalg.norm(wide)
    assert abs(error(wide, C, found.M, R) - found.certificate.frobenius_error) <= cancellation("f4", norm)


def test_sparse_matrices_give_sparse_lines():
    A = scipy.sparse.random_array((200, 50), density=0.1, rng=np.random.default_rng(0), format="csr")
    found = rnla.cur(A, 5)
    assert scipy.sparse.issparse(found.R)
    assert scipy.sparse.issparse(found.C if not hasattr(found.C, "compute") else found.C.compute())
    assert found.R.nnz == A[found.rows].nnz


@pytest.mark.parametrize("scale", [1e-300, 1e-150, 1e150, 1e300])
@pytest.mark.parametrize("select", SELECTORS)
def test_scale_does_not_matter(scale, select):
    A = low(SHAPES["tall"])
    ours, plain = rnla.cur(A * scale, K, select=select), rnla.cur(A, K, select=select)
    assert np.array_equal(dense(ours.C), (A * scale)[:, ours.columns])
    assert ours.certificate.relative_error <= 1.2 * plain.certificate.relative_error
    M = ours.M * scale
    assert error(A, A[:, ours.columns], M, A[ours.rows]) == pytest.approx(
        ours.certificate.relative_error * np.linalg.norm(A), rel=1e-6
    )


def test_dependent_equal_and_zero_columns_are_no_trouble():
    rng = np.random.default_rng(0)
    B = rng.standard_normal((60, 4))
    A = np.hstack([B, B, np.zeros((60, 5)), 1e-13 * B, B @ rng.standard_normal((4, 7))])
    for select in SELECTORS:
        found = rnla.cur(A, 8, select=select)
        assert error(A, found.C, found.M, found.R) == pytest.approx(
            found.certificate.frobenius_error, abs=cancellation("f8", np.linalg.norm(A))
        )
    assert rnla.cur(A, 8).certificate.relative_error <= cancellation("f8", 1.0)
    assert rnla.interpolative(A, 4).certificate.relative_error <= cancellation("f8", 1.0)


@pytest.mark.parametrize("kind", ["f8", "f4", "sparse"])
@pytest.mark.parametrize("size", [0.0, 1e-9])
@pytest.mark.parametrize("turned", [False, True])
def test_zero_lines_are_never_taken_before_others(kind, size, turned):
    A = random_of("f8", (200, 30))
    A[:, :5] *= size
    A[:7] *= size
    A = A.T if turned else A
    dead = (7, 5)[::-1] if turned else (7, 5)
    given = scipy.sparse.csr_array(A) if kind == "sparse" else A.astype(kind)
    for middle in ("optimal", "cross"):
        found = rnla.cur(given, 5, middle=middle)
        assert min(found.rows) >= dead[0]
        assert min(found.columns) >= dead[1]
    every = rnla.cur(given, 4, columns=min(A.shape), rows=min(A.shape))
    rest = [size - d for size, d in zip(A.shape, dead, strict=True)]
    for lines, d, alive in ((every.rows, dead[0], rest[0]), (every.columns, dead[1], rest[1])):
        assert min(lines[: min(alive, len(lines))]) >= d
    assert min(rnla.interpolative(given, 5).columns) >= dead[1]


@pytest.mark.parametrize("rank", [1, 3, 8])
@pytest.mark.parametrize("seed", range(2))
def test_more_lines_than_the_rank_are_no_trouble(rank, seed):
    A = random_of("f8", (100, rank), seed) @ random_of("f8", (rank, 60), seed + 1)
    found = rnla.cur(A, min(rank, 5), columns=30, rows=30, seed=seed)
    assert error(A, found.C, found.M, found.R) <= cancellation("f8", np.linalg.norm(A))


@pytest.mark.parametrize("select", SELECTORS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_zero_matrix_is_told_exactly(select, shape):
    found = rnla.cur(np.zeros(SHAPES[shape]), 2, select=select)
    assert not found.M.any()
    assert (found.certificate.frobenius_error, found.certificate.status) == (0.0, "ok")
    found = rnla.interpolative(np.zeros(SHAPES[shape]), 2, select=select, two_sided=True)
    assert not np.linalg.multi_dot([dense(found.C), dense(found.X)]).any()
    assert found.certificate.frobenius_error == 0


def gappy(kind):
    """Matrices whose columns or rows are often zero or dependent."""
    rng = np.random.default_rng(0)
    if kind == "few rows":
        A = np.zeros((50, 20))
        A[:3] = rng.standard_normal((3, 20))
        return A
    if kind == "bool":
        return rng.random((200, 30)) < 0.5
    if kind == "equal columns":
        return np.ones((40, 6))
    return scipy.sparse.random_array((120, 40), density=0.02, rng=rng, format="csr")


@pytest.mark.parametrize("kind", ["few rows", "bool", "equal columns", "sparse"])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("select", SELECTORS)
def test_an_interpolative_decomposition_is_as_wrong_as_it_says_whatever_its_rank(kind, turned, select):
    A = gappy(kind).T if turned else gappy(kind)
    for k in (3, 6):
        found = rnla.interpolative(A, k, two_sided=True, select=select)
        D, W, X = dense(A).astype(float), dense(found.W), dense(found.X)
        core, floor = D[found.rows][:, found.columns], cancellation("f8", np.linalg.norm(D))
        assert abs(error(D, W, core, X) - found.certificate.frobenius_error) <= floor
        assert abs(error(D, found.C, X) - found.certificate.frobenius_error) <= floor
        assert np.array_equal(X[:, found.columns], np.eye(k))
        assert np.array_equal(W[found.rows], np.eye(k))


@pytest.mark.parametrize("select", SELECTORS)
def test_data_out_of_range_cost_one_read_more(select):
    A = 1e200 * low(SHAPES["tall"])
    assert rnla.cur(A, 5, select=select).cost.passes == 3 + 1
    assert rnla.cur(A, 5, select=select, passes=2).cost.passes == 2 + 1
    assert rnla.cur(A, 5, select=select, middle="cross").cost.passes == 2 + 1
    assert rnla.interpolative(A, 5, select=select).cost.passes == 3 + 1


LAYOUTS = {
    "panels": ((900, 40), (50, 40), {}),
    "wide": ((40, 900), (40, 50), {}),
    "both ways": ((900, 40), (50, 7), {}),
    "in parts": ((900, 40), (50, 7), {"strip_bytes": IN_PARTS}),
    "wide, in parts": ((40, 900), (7, 50), {"strip_bytes": IN_PARTS}),
}
REQUESTS = {
    "pivoted": {},
    "cross": {"middle": "cross"},
    "quick": {"passes": 2},
    "slow": {"passes": 5},
    "norms": {"select": "norm-squared"},
    "norms, quick": {"select": "norm-squared", "passes": 2},
    "uniform": {"select": "uniform"},
    "compared": {"compare": True},
    "norms, compared, quick": {"select": "norm-squared", "compare": True, "passes": 2},
}


@pytest.mark.usefixtures("small_panels")
@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_passes_read_are_passes_planned_are_passes_stated(tmp_path, layout, request_):
    shape, chunks, opening = LAYOUTS[layout]
    zarr.create_array(str(tmp_path / "a"), data=low(shape), chunks=chunks, compressors=None)
    A = watched(rnla.open(tmp_path / "a", **opening), tmp_path / "log")
    options = REQUESTS[request_]
    budget = options.get("passes", 2 if options.get("middle") == "cross" else 3)
    plan = rnla.plan("cur", A, k=5, **options)
    found = rnla.cur(A, 5, **options)
    read = sum(one.entries for one in reads(tmp_path / "log")) / A.geometry.rows / A.geometry.columns
    assert found.cost.passes == pytest.approx(read)
    assert read <= plan.passes
    assert plan.passes <= budget * A.geometry.reads


BAD = {
    "k too large": ({"k": 41}, RankError, "1..40"),
    "k zero": ({"k": 0}, RankError, "1..40"),
    "k no integer": ({"k": 2.5}, RequestError, "integer"),
    "fewer columns than k": ({"k": 5, "columns": 4}, RankError, "columns=4"),
    "too many rows": ({"k": 5, "rows": 41}, RankError, "rows=41"),
    "unknown selector": ({"k": 5, "select": "best"}, RequestError, "pivoted, deim"),
    "unknown middle": ({"k": 5, "middle": "no"}, RequestError, "optimal, cross"),
    "one pass": ({"k": 5, "passes": 1}, RequestError, "2..100"),
    "compare is no flag": ({"k": 5, "compare": "all"}, RequestError, "True or False"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_requests_are_refused_before_anything_is_read(tmp_path, case):
    options, kind, words = BAD[case]
    A = watched(rnla.open(low((60, 40))), tmp_path / "log")
    with pytest.raises(kind, match=words):
        rnla.cur(A, **options)
    assert not reads(tmp_path / "log")


@pytest.mark.parametrize(
    "view", [lambda A: A.centred(), lambda A: A.scaled(), lambda A: A.weighted(columns=np.ones(40))]
)
def test_views_are_refused(view):
    A = view(rnla.open(low((60, 40))))
    for action in (lambda: rnla.cur(A, 3), lambda: rnla.interpolative(A, 3), lambda: rnla.plan("cur", A, k=3)):
        with pytest.raises(UnsupportedError, match="as it is stored"):
            action()


@pytest.mark.usefixtures("small_panels")
@pytest.mark.parametrize("select", SELECTORS)
def test_other_chunks_give_the_same_lines_and_the_same_error_to_rounding(tmp_path, select):
    A = with_singular_values(0.8 ** np.arange(60), (203, 60))  # no two alike: singular vectors are unique
    first = rnla.cur(A, K, select=select)
    one_sided = rnla.interpolative(A, K, select=select)
    for number, chunks in enumerate([(203, 60), (20, 60), (17, 13), (203, 7)]):
        zarr.create_array(str(tmp_path / str(number)), data=A, chunks=chunks)
        found = rnla.cur(tmp_path / str(number), K, select=select)
        assert found.columns.tolist() == first.columns.tolist()
        assert found.rows.tolist() == first.rows.tolist()
        bound = found.certificate.rounding_floor + first.certificate.rounding_floor
        assert abs(found.certificate.frobenius_error - first.certificate.frobenius_error) <= bound
        other = rnla.interpolative(tmp_path / str(number), K, select=select)
        assert other.columns.tolist() == one_sided.columns.tolist()
        assert np.abs(dense(other.X) - dense(one_sided.X)).max() <= 1e-9 * np.abs(dense(one_sided.X)).max()


@pytest.mark.parametrize("two_sided", [False, True])
def test_a_zero_matrix_reaches_any_tolerance_with_one_column(two_sided):
    found = rnla.interpolative(np.zeros((40, 30)), tol=0.5, two_sided=two_sided)
    assert found.columns.tolist() == [0]
    assert found.certificate.met


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_two_sides_of_any_scale(scale):
    A, power = random_of("f8", (60, 40)), 2.0 ** np.round(np.log2(scale))
    plain, found = (rnla.interpolative(B, 8, two_sided=True) for B in (A, A * power))
    assert found.rows.tolist() == plain.rows.tolist()
    assert np.abs(dense(found.W) - dense(plain.W)).max() <= 1e-9
    assert found.certificate.relative_error == pytest.approx(plain.certificate.relative_error, rel=1e-9)


@pytest.mark.parametrize("k", [6, 10, 14])
@pytest.mark.parametrize("turned", [False, True])
def test_a_cross_of_nearly_dependent_lines_is_as_wrong_as_it_says(k, turned):
    t, u = np.linspace(0, 1, 300), np.linspace(0, 1, 120)
    A = np.exp(-2 * (t[:, None] - u) ** 2)  # singular values fall by a factor of 10 and more each
    A = A.T.copy() if turned else A
    found = rnla.cur(A, k, middle="cross")
    own = error(A, found.C, found.M, found.R)
    assert abs(own - found.certificate.frobenius_error) <= found.certificate.rounding_floor
    assert own <= 1e-5 * np.linalg.norm(A)  # the more lines the better, not the worse


@pytest.mark.parametrize("tol", [0.1, 0.03, 0.01, 0.003, 0.001])
def test_a_tolerance_is_met_by_columns_that_decay_over_many_digits(tol):
    A = np.random.default_rng(3).standard_normal((300, 120)) * np.logspace(0, -14, 300)[:, None]
    found = rnla.interpolative(A, tol=tol)
    assert found.certificate.met
    s = np.linalg.svd(A, compute_uv=False)
    rank = int(np.argmax(np.sqrt(np.cumsum(s[::-1] ** 2))[::-1] <= tol * np.linalg.norm(A)))
    assert len(found.columns) <= 1.6 * rank


@pytest.mark.usefixtures("small_cuts")
@pytest.mark.parametrize(
    ("own", "backend", "shape"),
    [
        ("pivoted", "zarr v3", "tall"),
        ("norm-squared", "zarr v3", "wide"),
        ("uniform", "sparse csr", "tall"),
        ("deim", "numpy", "wide"),
        ("leverage", "numpy", "square"),
    ],
)
def test_selectors_compared_are_those_of_runs_of_their_own(tmp_path, own, backend, shape):
    """Of rank 12, so that sketches of any width know the singular vectors, and selectors take the same lines."""
    (m, n), rank = SHAPES[shape], 12
    left, right = random_of("f8", (m, rank), 1), random_of("f8", (rank, n), 2)
    if backend in SPARSE:
        left[::3], right[:, ::4] = 0.0, 0.0
    A = left * 0.7 ** np.arange(rank) @ right
    given = BACKENDS[backend](A, tmp_path / "a")
    found = rnla.cur(given, K, select=own, compare=True, out=tmp_path / "r")
    proof, alone = found.certificate, rnla.cur(given, K, select=own)
    assert proof.selectors == tuple(select for select in SELECTORS if select != own)
    assert np.array_equal(dense(found.C), A[:, found.columns])
    assert len(found.columns) == len(found.rows) == K
    floor = cancellation("f8", 1.0)
    assert proof.errors == pytest.approx(alone.certificate.errors, abs=floor)
    for select, errors in zip(proof.selectors, proof.selector_errors, strict=True):
        expected = rnla.cur(given, K, select=select).certificate.errors
        expected = np.pad(expected, (0, errors.size - expected.size), "edge")  # ends with independent lines
        assert errors == pytest.approx(expected, abs=floor), select
    assert found.cost.passes == 3


def test_dependent_lines_of_other_selectors_leave_no_less():
    A = np.repeat(low((60, 20))[:, :10], 4, axis=1)
    proof = rnla.cur(A, 8, compare=True).certificate
    assert proof.selector_errors.shape[0] == 4
    assert np.all(np.diff(proof.selector_errors, axis=1) <= cancellation("f8", 1.0))


def test_selectors_of_a_zero_matrix_and_of_one_out_of_range_are_compared():
    assert not rnla.cur(np.zeros((20, 10)), 2, compare=True).certificate.selector_errors.any()
    A = low(SHAPES["tall"])
    near, far = (rnla.cur(scale * A, 5, compare=True).certificate for scale in (1.0, 1e200))
    assert "norm-squared" in near.selectors
    assert "norm-squared" not in far.selectors  # whose norms are no numbers of the first sweep
    at = near.selectors.index("uniform")
    drawn = far.selector_errors[far.selectors.index("uniform")]
    assert drawn == pytest.approx(near.selector_errors[at], rel=1e-9)


@pytest.mark.parametrize("options", [{}, {"passes": 2}, {"middle": "cross"}])
def test_the_ratio_is_never_below_the_truth_nor_without_a_bound(options):
    for seed in range(3):
        A = with_singular_values(np.arange(1.0, 41.0)[::-1], (150, 40), seed)
        proof = rnla.cur(A, 10, **options, seed=seed).certificate
        best = np.sqrt(np.sum(np.linalg.svd(A, compute_uv=False)[10:] ** 2))
        assert proof.best_lower <= best * (1 + 1e-12)
        assert best <= proof.best_upper * (1 + 1e-12)
        assert proof.frobenius_error / best <= proof.ratio <= 4 * proof.frobenius_error / best
