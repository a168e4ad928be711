"""Descent on least squares: rates as theory has them, errors that fall and grow again, samplings compared."""

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse
import zarr

import rnla
from rnla.algorithms.descent import METHODS, Quadratic, quadratic, theory
from rnla.algorithms.regime import checked_regime
from rnla.algorithms.studies import expected_ratio
from rnla.errors import NonFiniteError, RequestError, UnsupportedError
from rnla.jobs.running import run_job
from rnla.opening import open_column
from rnla.sweeps.source import touched_bytes
from tests.backends import BACKENDS, SPARSE
from tests.faults import passes_read, reads, watched
from tests.matrices import random_of, with_singular_values

SHARED = Path(__file__).parents[3] / "shared" / "data"


def problem(condition, shape=(200, 30), seed=0):
    """A of known condition of A^T A, x, and b = A x."""
    A = with_singular_values(np.sqrt(np.linspace(condition, 1.0, shape[1])), shape, seed)
    x = random_of("f8", (shape[1],), seed + 1)
    return A, x, A @ x


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("condition", [10, 1000, 10_000])
def test_rates_are_those_of_theory_within_a_tenth(method, condition):
    A, x, b = problem(condition)
    steps = 30 * condition if method == "gradient" else round(40 * condition**0.5)
    found = rnla.nn.descend(A, b, method=method, steps=steps)
    assert found.theory == pytest.approx(theory(method, condition), rel=1e-6)
    assert abs(found.rate - found.theory) <= 0.1 * found.theory
    assert np.abs(found.x - x).max() <= 1e-6


def test_iterates_are_those_of_the_formula():
    A, _, b = problem(20, (40, 6))
    L, kappa = 20.0, 20.0
    beta = (kappa**0.5 - 1) / (kappa**0.5 + 1)
    x, before = np.zeros(6), np.zeros(6)
    for _ in range(25):
        y = x + beta * (x - before)
        before, x = x, y - A.T @ (A @ y - b) / L
    assert np.abs(rnla.nn.descend(A, b, method="accelerated", steps=25).x - x).max() <= 1e-9
    x, before = np.zeros(6), np.zeros(6)
    for _ in range(25):
        step = 4 / (L**0.5 + 1) ** 2
        before, x = x, x - step * A.T @ (A @ x - b) + beta**2 * (x - before)
    assert np.abs(rnla.nn.descend(A, b, method="heavy ball", steps=25).x - x).max() <= 1e-9
    x = np.zeros(6)
    for _ in range(25):
        x = x - A.T @ (A @ x - b) / L
    found = rnla.nn.descend(A, b, steps=25)
    assert np.abs(found.x - x).max() <= 1e-9
    assert found.residuals[-1] == pytest.approx(np.linalg.norm(A @ x - b), rel=1e-6)
    assert np.array_equal(found.steps, np.arange(26))


@pytest.mark.parametrize("backend", BACKENDS)
def test_any_backend_is_read_once(tmp_path, backend, small_panels):
    A, _, b = problem(50)
    A = A * (A > 0) if backend in SPARSE else A
    opened = rnla.open(BACKENDS[backend](A, tmp_path / "a"))
    if not getattr(opened.source, "by_rows", True) or opened.geometry.reads == 2:  # A^T A needs whole rows
        with pytest.raises(UnsupportedError):
            rnla.nn.descend(opened, b)
        return
    found = rnla.nn.descend(watched(opened, tmp_path / "log"), b, steps=300)
    assert np.abs(found.x - rnla.nn.descend(A, b, steps=300).x).max() <= 1e-9
    read = sum(one.entries for one in reads(tmp_path / "log"))
    assert read <= opened.geometry.reads * A.size


@pytest.mark.skipif(not SHARED.exists(), reason="no folder shared/data beside the repository")
def test_the_error_falls_and_grows_and_the_discrepancy_principle_stops_near_its_least():
    read = scipy.io.loadmat(SHARED / "illposed" / "gravity_100.mat", squeeze_me=True, struct_as_record=False)["Problem"]
    known = json.loads((SHARED / "REFERENCE.json").read_text())["shared/illposed/gravity_100.mat"]
    known = known["noise 1e-3 rel (rng default_rng(0))"]
    A = np.asarray(read.A.todense() if scipy.sparse.issparse(read.A) else read.A)
    noise = np.random.default_rng(0).standard_normal(100)
    size = 1e-3 * np.linalg.norm(read.b)
    b = read.b + size * noise / np.linalg.norm(noise)
    found = rnla.nn.descend(A, b, steps=20_000, truth=read.x, noise=1.01 * size / np.linalg.norm(b))
    best = int(found.true_errors.argmin())
    at, error = known["Landweber(step 1/s1^2)_best_within_20000"]
    assert abs(found.steps[best] - at) <= 0.01 * at  # of the steps that are looked at
    assert found.true_errors[best] == pytest.approx(error, rel=1e-5)
    assert found.true_errors[-1] == pytest.approx(known["Landweber_at_20000"], rel=1e-5)
    assert found.true_errors[best] < found.true_errors[-1] < found.true_errors[0]
    stopped = np.linalg.norm(found.x - read.x) / np.linalg.norm(read.x)
    assert 0 < found.stopped < 20_000
    assert stopped <= 1.2 * error


def test_samplings_are_compared_by_what_they_leave_beyond_the_least():
    rng = np.random.default_rng(3)
    A = rng.standard_normal((1200, 8)) * np.linspace(1, 5, 8) + 10
    b = A @ rng.standard_normal(8) + rng.standard_normal(1200)
    found = rnla.nn.descent_study(A, b, steps=300, epochs=10, seeds=6, batch=4)
    Z, c = (A - A.mean(axis=0)) / A.std(axis=0), (b - b.mean()) / b.std()
    least = np.linalg.lstsq(Z, c, rcond=None)[1][0] / (2 * len(Z))
    start = 0.5 * np.mean(c**2) - least
    for excess in found.excess.values():
        assert excess.shape == (6, 11)
        assert excess[:, 0] == pytest.approx(start, rel=1e-9)
        assert np.all(excess[:, -1] < 0.05 * start)
    (replaced, drawn) = found.comparisons
    assert (replaced.sampling, drawn.sampling) == ("replacement", "norm-squared")
    assert replaced.low <= replaced.ratio <= replaced.high
    logs = np.log(found.excess["replacement"][:, -1] / found.excess["permutation"][:, -1])
    assert replaced.ratio == pytest.approx(np.exp(logs.mean()))
    assert found.certificate.comparisons["norm-squared"]["theory"] is None
    told = dict(found.certificate.summary)["replacement"]
    assert told.endswith(f"(95 %: {replaced.low:.3g} to {replaced.high:.3g}; theory {replaced.theory:.3g})")


def noisy(m, n, condition, seed):
    """Gaussian rows with columns that are correlated, and b that half of the time is noise."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((m, n)) * np.geomspace(condition**0.5, 1, n) @ np.linalg.qr(rng.standard_normal((n, n)))[0]
    b = A @ rng.standard_normal(n)
    return A, b + b.std() * rng.standard_normal(m)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("condition", [1, 10])
def test_permutations_leave_less_than_draws_by_what_theory_says(condition, seed):
    found = rnla.nn.descent_study(*noisy(500, 10, condition, seed), steps=10)
    (replaced, drawn) = found.comparisons
    assert replaced.low > 2
    assert drawn.low > 2
    logs = np.log(found.excess["replacement"][:, -1] / found.excess["permutation"][:, -1])
    # four standard errors, and what is beyond the first order in steps of a quarter of what is stable
    assert abs(np.log(replaced.ratio / replaced.theory)) <= 4 * logs.std(ddof=1) / 6**0.5 + 0.25


def test_after_long_steps_samplings_are_alike():
    found = rnla.nn.descent_study(*noisy(2000, 10, 1, 0), steps=10, epochs=3, schedule="constant")
    assert found.certificate.schedule == "constant"
    assert found.comparisons[0].theory == pytest.approx(1, abs=0.3)
    assert found.comparisons[0].low < 1.3


def test_the_ratio_of_constant_steps_is_the_one_in_closed_form():
    curvature, rows, batch = np.array([3.0, 1.0, 0.2]), 40_000, 4
    problem = Quadratic(rows * curvature, np.eye(3), np.zeros(3), 0.5 * rows, rows)
    for eta in (1e-4, 1e-3):
        regime = checked_regime((3, 1), rows, 0, loss="square", learning_rate=eta, momentum=0.0, batch=batch, epochs=60)
        a = eta * np.append(curvature, 1.0) * rows / batch / 2
        weights = np.append(curvature, 1.0)  # of noise; the last is that of the bias
        closed = weights.sum() / (weights * (1 - np.tanh(a) / a)).sum()
        assert expected_ratio(problem, regime) == pytest.approx(closed, rel=3 * eta)
    assert closed == pytest.approx(1.2, abs=0.2)
    assert expected_ratio(problem, checked_regime((3, 1), rows, 0, loss="square", learning_rate=0.4)) is None


def test_directions_that_no_step_moves_leave_samplings_alike():
    regime = checked_regime((2, 1), 800, 0, loss="square", learning_rate=0.1, schedule="cosine", momentum=0.0, batch=8)
    blind = Quadratic(np.array([800.0, 1e-15]), np.eye(2), np.array([0.0, 1e-6]), 1e-3, 800)
    assert expected_ratio(blind, regime) == pytest.approx(1, abs=1e-3)


def test_samplings_that_leave_rounding_are_alike():
    A, _ = noisy(300, 4, 1, 0)
    replaced, drawn = rnla.nn.descent_study(A, A @ np.arange(1.0, 5.0), steps=10).comparisons
    assert replaced[1:4] == drawn[1:4] == (1.0, 1.0, 1.0)


def stored(place, packed=(), **arrays):
    """Arrays in stores, those of some names in one chunk that is decoded as a whole."""
    for name, array in arrays.items():
        options = {"chunks": array.shape} if name in packed else {"compressors": None}
        zarr.create_array(str(place / name), data=array, **options)


def test_a_study_counts_every_byte_of_a_and_b(tmp_path):
    A, b = noisy(400, 6, 10, 0)
    stored(tmp_path, A=A, b=b)
    X, y = (watched(open_column(tmp_path / name), tmp_path / f"log of {name}") for name in "Ab")
    cost = rnla.nn.descent_study(X, y, steps=10, epochs=2, seeds=2).cost
    read = A.nbytes * passes_read(tmp_path / "log of A", A.shape)
    looks = passes_read(tmp_path / "log of b", (400, 1))
    assert cost.bytes_read == read + b.nbytes * looks
    assert cost.passes == pytest.approx(cost.bytes_read / (A.nbytes + b.nbytes))
    assert looks == 4 + 6  # moments, size, product with A, range; runs


@pytest.mark.parametrize("packed", [(), ("b",)])
@pytest.mark.parametrize("options", [{"epochs": 2, "seeds": 2, "batch": 32}, {"standardise": False, "truth": "x"}])
def test_a_study_reads_what_its_plan_says(tmp_path, packed, options):
    A, b = noisy(9000, 70, 10, 0)  # a panel of several blocks
    stored(tmp_path, packed, A=A, b=b, x=np.ones(70))
    options = options | {"labels": str(tmp_path / "b"), "steps": 10}
    options = options | ({"truth": str(tmp_path / "x")} if "truth" in options else {})
    plan = rnla.plan("descent-study", tmp_path / "A", **options)
    cost = run_job("descent-study", tmp_path / "A", tmp_path / "out", options).attributes["cost"]
    assert cost["bytes_read"] == plan.bytes_read
    assert cost["passes"] == pytest.approx(plan.passes)
    assert cost["peak_bytes"] <= plan.peak_bytes


def test_a_column_of_the_matrix_is_decoded_once(tmp_path):
    A, b = noisy(400, 6, 10, 0)
    stored(tmp_path, ("A",), A=np.column_stack([A, b]))
    options = {"label_column": 6, "steps": 10, "epochs": 2, "seeds": 2}
    plan = rnla.plan("descent-study", tmp_path / "A", **options)
    cost = run_job("descent-study", tmp_path / "A", tmp_path / "out", options).attributes["cost"]
    assert cost["bytes_read"] == plan.bytes_read == 8 * 400 * 7 * (1 + 3 + 6)  # the copy of b, sweeps, runs


def test_chunks_of_b_that_every_block_decodes_are_counted_as_often(tmp_path):
    A, b = noisy(5000, 512, 10, 0)  # three blocks in two panels
    stored(tmp_path, ("b",), b=b)
    y = watched(open_column(tmp_path / "b"), tmp_path / "log")
    X = rnla.open(A).metered()
    quadratic(X, y)
    decoded = sum(touched_bytes(y.source, read.rows) for read in reads(tmp_path / "log"))
    assert X.meter.total().bytes_read - A.nbytes == decoded == 8 * 5000 * (1 + 3)


BAD = {
    "too many columns": (lambda: rnla.nn.descend(np.ones((2, 4097)), [1.0, 2.0]), RequestError, "4,096 at most"),
    "another length": (lambda: rnla.nn.descend(np.eye(3), [1.0, 2.0]), RequestError, "3 rows"),
    "a zero matrix": (lambda: rnla.nn.descend(np.zeros((3, 2)), np.ones(3)), RequestError, "A is zero"),
    "complex": (lambda: rnla.nn.descend(np.eye(3) * 1j, np.ones(3)), UnsupportedError, "real data"),
    "an unknown method": (lambda: rnla.nn.descend(np.eye(3), np.ones(3), method="newton"), RequestError, "heavy ball"),
    "no steps": (lambda: rnla.nn.descend(np.eye(3), np.ones(3), steps=0), RequestError, "steps"),
    "too many steps": (lambda: rnla.nn.descend(np.eye(3), np.ones(3), steps=10**7), RequestError, "2,000,000"),
    "a truth of another length": (
        lambda: rnla.nn.descend(np.eye(3), np.ones(3), truth=[1.0]), RequestError, "truth",
    ),
    "one seed": (lambda: rnla.nn.descent_study(np.eye(3), np.ones(3), seeds=1), RequestError, "seeds"),
    "NaN in b": (
        lambda: rnla.nn.descend(np.eye(3), [1.0, np.nan, 2.0]), NonFiniteError, r"target 1 is \[nan\]",
    ),
    "NaN in b of a study": (
        lambda: rnla.nn.descent_study(np.eye(9), np.where(np.arange(9) == 4, np.inf, 1.0), batch=2),
        NonFiniteError, "target 4",
    ),
    "complex b": (lambda: rnla.nn.descend(np.eye(3), np.ones(3) * 1j), UnsupportedError, "complex"),
    "b as a view": (
        lambda: rnla.nn.descend(np.eye(3), rnla.open(np.ones((3, 1))).centred()), RequestError, "this is a view",
    ),
    "a zero truth": (lambda: rnla.nn.descend(np.eye(3), np.ones(3), truth=np.zeros(3)), RequestError, "truth is zero"),
    "noise that is no number": (lambda: rnla.nn.descend(np.eye(3), np.ones(3), noise="a"), RequestError, "noise='a'"),
    "noise below zero": (lambda: rnla.nn.descend(np.eye(3), np.ones(3), noise=-1), RequestError, "noise=-1"),
    "a constant b": (lambda: rnla.nn.descent_study(np.eye(9), np.ones(9), batch=2), RequestError, "nothing to descend"),
    "a rate that is no number": (
        lambda: rnla.nn.descent_study(np.eye(9), np.arange(9.0), batch=2, learning_rate="a"), RequestError, "number",
    ),
    "an unknown schedule": (
        lambda: rnla.nn.descent_study(np.eye(9), np.arange(9.0), batch=2, schedule="b"), RequestError, "cosine",
    ),
    "no rate": (
        lambda: rnla.nn.descent_study(np.eye(9), np.arange(9.0), batch=2, learning_rate=-1), RequestError, "positive",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_right_is_refused(case):
    action, kind, words = BAD[case]
    with pytest.raises(kind, match=words):
        action()


@pytest.mark.parametrize("size", [1e-200, 1.0, 1e160])
def test_residuals_keep_their_digits_whatever_the_size_of_b(size):
    A, x, _ = problem(100)
    b = A @ x * size
    found = rnla.nn.descend(A, b, steps=3000, noise=1e-6)
    direct = rnla.nn.descend(A, b, steps=found.stopped)
    true = np.linalg.norm(A @ direct.x / size - A @ x) / np.linalg.norm(A @ x)
    assert direct.residuals[-1] / size == pytest.approx(true * np.linalg.norm(A @ x), rel=1e-6)
    before = rnla.nn.descend(A, b, steps=found.stopped - 1)
    assert true <= 1e-6 < np.linalg.norm(A @ before.x / size - A @ x) / np.linalg.norm(A @ x)


def test_a_residual_that_one_read_does_not_tell_is_no_place_to_stop():
    A, x, _ = problem(100)
    with pytest.raises(RequestError, match="do not tell a residual"):
        rnla.nn.descend(A, A @ x, noise=1e-12)
