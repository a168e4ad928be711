"""rnla.pca: exact means and variances, scores, shares, and data that are far from their mean."""

import numpy as np
import pytest
import scipy.sparse
import zarr
from sklearn.decomposition import PCA

import rnla
from rnla.errors import RequestError
from tests.backends import BACKENDS, FEW, IN_PARTS
from tests.matrices import named, random_of
from tests.tolerances import backward, orthonormality, squared, sum_rounding, weyl

METHODS = ("krylov", "subspace", "gram", "merge")
SHAPES = {"tall": (400, 25), "wide": (25, 400)}


def data(shape, dtype="f8"):
    """Rows about a mean that is not zero, columns of different sizes."""
    rng = np.random.default_rng(1)
    A = named("geometric", shape).A * np.exp(rng.standard_normal(shape[1])) + 3 * rng.standard_normal(shape[1])
    return A.astype(dtype)


def close(found, expected, floor):
    return np.all(np.abs(np.asarray(found) - expected) <= floor)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("backend", FEW)
def test_principal_components_equal_those_of_scikit_learn(tmp_path, method, shape, backend):
    A, k = data(SHAPES[shape]), 4
    expected = PCA(k, svd_solver="full").fit(A)
    found = rnla.pca(BACKENDS[backend](A, tmp_path), k, method=method, passes=6 if method == "subspace" else 4)
    size = np.abs(A).max()
    assert close(found.mean, expected.mean_, sum_rounding("f8", A.shape[0]) * size)
    floor = squared("f8", A.shape, expected.singular_values_) + (found.certificate.upper - found.certificate.lower)
    assert close(found.singular_values, expected.singular_values_, floor)
    assert close(found.explained_variance, found.singular_values**2 / (A.shape[0] - 1), floor)
    total = np.linalg.norm(A - A.mean(axis=0)) ** 2
    assert close(found.explained_variance_ratio, found.singular_values**2 / total, floor)
    assert found.certificate.frobenius_norm**2 == pytest.approx(total, rel=sum_rounding("f8", A.size))
    U = np.asarray(found.scores) / found.singular_values
    assert close(U.T @ U, np.eye(k), orthonormality("f8", k))
    rest = A - A.mean(axis=0) - np.asarray(found.scores) @ np.asarray(found.components)
    stated = found.certificate
    assert abs(stated.frobenius_error - np.linalg.norm(rest)) <= stated.rounding_floor


@pytest.mark.parametrize("method", ["krylov", "gram"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("backend", FEW)
def test_columns_can_be_scaled_to_unit_variance(tmp_path, method, shape, backend):
    A = data(SHAPES[shape])
    A[:, 3] = 0.1  # constant, and its mean is not exact
    spread = A.std(axis=0)
    spread[3] = 1.0
    B = (A - A.mean(axis=0)) / spread
    B[:, 3] = 0.0
    exact = np.linalg.svd(B, compute_uv=False)[:4]
    found = rnla.pca(BACKENDS[backend](A, tmp_path), 4, scale=True, method=method, passes=6)
    floor = squared("f8", A.shape, exact) + (found.certificate.upper - found.certificate.lower)
    assert close(found.singular_values, exact, floor)
    assert close(found.scale, spread, sum_rounding("f8", A.shape[0]) * np.abs(A).max())


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_new_rows_are_projected_and_rebuilt(shape, scale):
    A = data(SHAPES[shape])
    k = min(A.shape) - 1
    found = rnla.pca(A, k, scale=scale)
    scores = np.asarray(found.transform(A))
    size = np.abs(A).max() * np.sqrt(A.size)
    assert close(
        scores,
        np.asarray(found.scores),
        squared("f8", A.shape, found.singular_values).max() + backward("f8", A.shape, size),
    )
    if A.shape[0] > A.shape[1]:
        k = A.shape[1]
        found = rnla.pca(A, k, scale=scale)
        assert close(found.inverse_transform(found.transform(A)), A, backward("f8", A.shape, size))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_share_of_the_variance_picks_the_number_of_components(shape, share):
    A = data(SHAPES[shape])
    s = np.linalg.svd(A - A.mean(axis=0), compute_uv=False)
    needed = int(np.searchsorted(np.cumsum(s**2) / np.sum(s**2), share)) + 1
    found = rnla.pca(A, explained=share)
    assert len(found.singular_values) == needed
    assert found.explained_variance_ratio.sum() >= share
    assert found.certificate.explained_variance >= share


def test_a_share_and_a_tolerance_together_are_refused():
    with pytest.raises(RequestError, match="not both"):
        rnla.pca(np.ones((5, 3)), explained=0.5, tol=0.5)


@pytest.mark.parametrize("share", [0, 1, 1.5, -0.1, True, "0.9", np.nan])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(RequestError, match="between 0 and 1"):
        rnla.pca(np.ones((5, 3)), explained=share)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("dtype", "offset"), [("f8", 1e8), ("f4", 1e5)])
def test_a_constant_offset_costs_no_digits(method, shape, dtype, offset):
    """A pressure in Pa in float32; 1e8 in float64: against numpy on the same rounded data, in float64."""
    A = (named("geometric", SHAPES[shape]).A * 1e3 + offset).astype(dtype)
    exact_mean = A.astype("f8").mean(axis=0)
    exact = np.linalg.svd(A.astype("f8") - exact_mean, compute_uv=False)[:5]
    found = rnla.pca(A, 5, method=method, passes=6)
    assert close(found.mean, exact_mean, sum_rounding("f8", A.shape[0]) * offset)
    width = found.certificate.upper - found.certificate.lower
    floor = squared("f8", A.shape, exact) + sum_rounding(dtype, 1) * exact[0] + backward("f8", A.shape, offset)
    assert close(found.singular_values, exact, floor + width)
    assert np.all(found.certificate.lower - floor <= exact)
    assert np.all(exact <= found.certificate.upper + floor)


@pytest.mark.parametrize("shape", [(1, 5), (2, 5), (5, 1), (5, 2), (1, 1)])
def test_a_few_samples_or_columns_are_enough(shape):
    A = random_of("f8", shape)
    found = rnla.pca(A, 1)
    exact = np.linalg.svd(A - A.mean(axis=0), compute_uv=False)[:1]
    assert close(found.singular_values, exact, backward("f8", shape, np.linalg.norm(A)))
    assert found.scores.shape == (shape[0], 1)
    assert found.components.shape == (1, shape[1])


@pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_array])
def test_identical_rows_have_no_variance(form):
    A = np.tile(np.arange(1.0, 7.0), (50, 1))
    found = rnla.pca(form(A), 2)
    assert close(found.singular_values, np.zeros(2), np.sqrt(backward("f8", A.shape, 1.0)) * np.linalg.norm(A))
    assert np.isfinite(np.asarray(found.scores)).all()


def test_weights_apply_after_centring_on_sparse_and_dense_data_alike():
    A = np.where(random_of("?", (300, 20), 5), random_of("f8", (300, 20)) + 2, 0)
    w = np.linspace(0.5, 2, 20)
    exact = np.linalg.svd((A - A.mean(axis=0)) * w, compute_uv=False)[:4]
    for form in (np.asarray, scipy.sparse.csr_array):
        for method in METHODS:
            found = rnla.svd(
                rnla.open(form(A)).centred().weighted(columns=w), 4, method=method, passes=6 if method != "merge" else 1
            )
            width = found.certificate.upper - found.certificate.lower
            assert close(found.s, exact, squared("f8", A.shape, exact) + width), (form, method)


MU, D = np.linspace(-1, 4, 25), np.linspace(0.5, 2, 25)
CENTRED = {  # view, and what it is
    "own means, weighted": (lambda A: A.centred().weighted(columns=D), lambda A: (A - A.mean(axis=0)) * D),
    "own means, rows weighted": (
        lambda A: A.centred().weighted(rows=np.arange(1.0, A.shape[0] + 1)),
        lambda A: (A - A.mean(axis=0)) * np.arange(1.0, A.shape[0] + 1)[:, None],
    ),
    "own means, own scale, weighted": (
        lambda A: A.centred().scaled().weighted(columns=D),
        lambda A: (A - A.mean(axis=0)) / A.std(axis=0) * D,
    ),
    "given means": (lambda A: A.centred(MU), lambda A: A - MU),
    "given means and scale": (lambda A: A.centred(MU).scaled(D), lambda A: (A - MU) / D),
    "transposed twice": (lambda A: A.centred().T.T, lambda A: A - A.mean(axis=0)),
}


@pytest.mark.parametrize("case", CENTRED)
@pytest.mark.parametrize("rows", [400, 15])
@pytest.mark.parametrize("published", [False, True])
def test_a_view_that_is_centred_already_is_taken_as_it_is(tmp_path, case, rows, published):
    view, definition = CENTRED[case]
    A = data((rows, 25))
    B = definition(A)
    exact = np.linalg.svd(B, compute_uv=False)[:3]
    found = rnla.pca(view(rnla.open(A)), 3, out=tmp_path / "out.zarr" if published else None)
    allowed = squared("f8", A.shape, exact) + (found.certificate.upper - found.certificate.lower)
    assert close(found.singular_values, exact, allowed)
    assert close(found.mean, MU if "given" in case else A.mean(axis=0), sum_rounding("f8", rows) * np.abs(A).max())
    if "rows" not in case:
        scores = np.asarray(B @ np.asarray(found.components).T)
        assert close(found.scores, scores, backward("f8", A.shape, np.linalg.norm(B)))
        assert close(found.transform(A), scores, 4 * backward("f8", A.shape, np.linalg.norm(A)))


def test_deviations_are_asked_for_once():
    A = data((400, 25))
    exact = np.linalg.svd((A - A.mean(axis=0)) / A.std(axis=0), compute_uv=False)[:3]
    for view in (rnla.open(A).centred(), rnla.open(A).centred().scaled(), rnla.open(A).scaled()):
        found = rnla.pca(view, 3, scale=True)
        width = found.certificate.upper - found.certificate.lower
        assert close(found.singular_values, exact, squared("f8", A.shape, exact) + width)
    for view in (rnla.open(A).centred(MU).scaled(D), rnla.open(A).centred().weighted(columns=D)):
        with pytest.raises(RequestError, match="scaled or weighted already; leave one of the two out"):
            rnla.pca(view, 3, scale=True)
    with pytest.raises(RequestError, match="the order is centred, scaled, weighted"):
        rnla.pca(rnla.open(A).weighted(columns=D), 3)


@pytest.mark.parametrize("shape", [(60, 90), (90, 60), (20, 400)])
@pytest.mark.parametrize("scale", [False, True])
def test_stores_whose_strips_do_not_fit_are_centred_all_the_same(tmp_path, shape, scale):
    A = data(shape)
    zarr.create_array(str(tmp_path / "a.zarr"), data=A, chunks=(11, 13), compressors=None)
    B = A - A.mean(axis=0)
    B = B / A.std(axis=0) if scale else B
    exact = np.linalg.svd(B, compute_uv=False)[:3]
    found = rnla.pca(rnla.open(tmp_path / "a.zarr", strip_bytes=IN_PARTS), 3, scale=scale, passes=6)
    width = found.certificate.upper - found.certificate.lower
    assert close(found.singular_values, exact, squared("f8", A.shape, exact) + width)
    assert close(found.mean, A.mean(axis=0), sum_rounding("f8", shape[0]) * np.abs(A).max())


def test_duplicate_entries_of_a_sparse_matrix_are_added():
    twice = scipy.sparse.csr_array((np.array([1.0, 2.0, 3.0]), np.array([0, 0, 1]), np.array([0, 2, 3])), shape=(2, 2))
    assert np.allclose(rnla.svd(twice, 2).s, [3.0, 3.0], rtol=backward("f8", (2, 2), 1.0), atol=0)


def test_values_that_are_rounded_to_float32_carry_that_rounding_only():
    A = data((400, 25))
    exact = np.linalg.svd(A - A.mean(axis=0), compute_uv=False)[:4]
    found = rnla.pca(A.astype("f4"), 4)
    assert close(found.singular_values, exact, weyl("f4", np.linalg.norm(A)))
