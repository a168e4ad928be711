"""Similar columns: every pair at or above the threshold with its exact cosine, by one read or two."""

import json

import numpy as np
import pytest
import scipy.sparse
import scipy.stats
import xarray
import zarr
from distributed import Client

import rnla
from rnla.algorithms.similarity import cut_of, missed, sketch_rows
from rnla.errors import DoesNotFitError, RequestError, UnsupportedError
from tests.backends import BACKENDS, BY_COLUMNS, SPARSE
from tests.matrices import random_of
from tests.tolerances import LAYOUT, TIGHT, failures_allowed, sum_rounding

THRESHOLD = 0.8


def alike(m=400, n=60, seed=0, noise=0.4):
    """Columns of different lengths; some are copies of others with noise, one is zero, one is twice another."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((m, n)) * rng.lognormal(0, 2, n)
    for j in range(0, n - 1, 3):
        A[:, j + 1] = A[:, j] + noise * np.linalg.norm(A[:, j]) / np.sqrt(m) * rng.standard_normal(m)
    A[:, 5], A[:, 8] = 0, 2 * A[:, 2]
    return A


def pairs_of(A, threshold):
    """Pairs and cosines by the definition."""
    sizes = np.outer(*2 * [np.linalg.norm(A, axis=0)])
    cosine = np.divide(A.T @ A, sizes, out=np.zeros(sizes.shape), where=sizes > 0)
    return {(i, j): cosine[i, j] for i, j in np.argwhere(np.triu(cosine >= threshold, 1)).tolist()}


def check(found, A, threshold=THRESHOLD):
    expected = pairs_of(A.astype("f8"), threshold)
    pairs = list(zip(found.first.tolist(), found.second.tolist(), strict=True))
    assert len(pairs) == len(set(pairs))
    assert set(pairs) == set(expected)
    cosines = np.array([expected[pair] for pair in pairs])
    assert np.all(np.abs(found.cosine - cosines) <= sum_rounding("f8", 2 * len(A)))
    assert np.all(np.diff(found.cosine) <= 0)
    assert np.all(found.first < found.second)


@pytest.mark.parametrize("method", ["gram", "sketch"])
@pytest.mark.parametrize("shape", [(400, 60), (50, 90)])
def test_pairs_are_those_of_the_definition_whatever_holds_the_matrix(tmp_path, small_panels, method, shape):
    A = alike(*shape)
    for backend in BACKENDS:
        B = np.where(np.random.default_rng(1).random(len(A)) < 0.5, 1.0, 0.0)[:, None] * A if backend in SPARSE else A
        matrix = BACKENDS[backend](B, tmp_path / backend.replace(" ", ""))
        if method == "gram" and (matrix.geometry.reads == 2 or backend == BY_COLUMNS):
            with pytest.raises(UnsupportedError, match=r"take method 'sketch'.*rnla rechunk"):
                rnla.similar_columns(matrix, THRESHOLD, method=method)
            check(rnla.similar_columns(matrix, THRESHOLD), B)
            continue
        found = rnla.similar_columns(matrix, THRESHOLD, method=method)
        check(found, B)
        assert found.cost.passes <= (1 if method == "gram" else 2) * matrix.geometry.reads


@pytest.mark.parametrize("dtype", ["f4", "i2", "?", "f2"])
def test_cosines_of_any_type_are_those_of_the_numbers_as_stored(dtype):
    A = (20 * alike() / np.maximum(np.abs(alike()).max(axis=0), 1e-30)).astype(dtype)
    for method in ("gram", "sketch"):
        check(rnla.similar_columns(A, 0.6, method=method), A, 0.6)


@pytest.mark.parametrize("method", ["gram", "sketch"])
@pytest.mark.parametrize(
    ("dtype", "scale"), [("f8", 1e-300), ("f8", 1e300), ("f4", 1e-30), ("f4", 1e-12), ("f4", 1e12), ("f4", 1e30)]
)
@pytest.mark.parametrize("shape", [(90, 31), (40, 91)])
def test_cosines_do_not_depend_on_the_unit(method, dtype, scale, shape):
    A = alike(*shape)
    A = (A / np.abs(A).max()).astype(dtype)
    power = A.dtype.type(2.0 ** np.round(np.log2(scale)))
    for B in (A * power, scipy.sparse.csr_array(A * power)):
        check(rnla.similar_columns(B, THRESHOLD, method=method), A)
    here, there = (rnla.similar_columns(rnla.open(B).centred(), 0.5, method=method) for B in (A, A * power))
    assert np.array_equal(here.first, there.first)
    assert np.allclose(here.cosine, there.cosine, rtol=0, atol=sum_rounding(dtype, len(A)))


def test_small_columns_among_large_ones_are_compared():
    A = alike(n=30).astype("f4")
    A[:, :6] *= np.float32(2.0**-60)
    for method in ("gram", "sketch"):
        check(rnla.similar_columns(A, THRESHOLD, method=method), A)
    A[:, 6:] = random_of("f4", (400, 24))  # only small ones are candidates
    check(rnla.similar_columns(A, THRESHOLD, method="sketch"), A)


def test_views_are_compared_as_they_are_seen(tmp_path, small_panels):
    A = alike() + 5
    matrix = BACKENDS["zarr v3, both ways"](A, tmp_path)
    for method in ("gram", "sketch"):
        check(rnla.similar_columns(matrix.centred(), THRESHOLD, method=method), A - A.mean(axis=0))
        check(rnla.similar_columns(matrix.T.T, 0.9999, method=method), A, 0.9999)


@pytest.mark.parametrize(("cosine", "rows"), [(0.5, 272), (0.8, 70), (0.95, 26), (0.8, 5), (0.3, 40)])
def test_the_law_of_a_sketched_cosine(cosine, rows):
    rng, trials = np.random.default_rng(0), 40_000
    u, z = rng.standard_normal((2, trials, rows))
    w = cosine * u + np.sqrt(1 - cosine**2) * z
    seen = (u * w).sum(axis=1) / np.sqrt((u**2).sum(axis=1) * (w**2).sum(axis=1))
    for share in (0.001, 0.1, 0.5, 0.9):
        cut = float(np.quantile(seen, share))
        chance = missed(cosine, cut, rows)
        below = int((seen < cut).sum())
        assert below <= failures_allowed(trials, chance)
        assert trials - below <= failures_allowed(trials, 1 - chance)


@pytest.mark.parametrize("threshold", [0.4, 0.8, 0.99])
@pytest.mark.parametrize("failure", [1e-2, 1e-6, 1e-9])
def test_a_pair_at_the_threshold_is_missed_as_seldom_as_stated_and_a_closer_one_less(threshold, failure):
    rows = sketch_rows(threshold, failure)
    cut = cut_of(threshold, failure, rows)
    assert missed(threshold, cut, rows) == pytest.approx(failure, rel=1e-3)
    assert missed((1 + threshold) / 2, cut, rows) < failure
    assert 0 < cut < threshold


def test_pairs_are_missed_no_more_often_than_stated():
    A, failure, trials = alike(300, 31, noise=0.7), 0.05, 40
    exact = pairs_of(A, 0.8)
    lost = 0
    for seed in range(trials):
        found = rnla.similar_columns(A, 0.8, method="sketch", failure=failure, seed=seed)
        lost += len(exact) - found.first.size
    assert lost <= failures_allowed(trials * len(exact), failure)


def test_the_second_read_is_of_the_chunks_that_hold_candidates(tmp_path, small_panels):
    A = random_of("f8", (200, 80))
    A[:, 71] = A[:, 3] + 0.01
    zarr.create_array(str(tmp_path / "a"), data=A, chunks=(20, 10), compressors=None)
    found = rnla.similar_columns(tmp_path / "a", 0.99, method="sketch")
    assert list(zip(found.first, found.second, strict=True)) == [(3, 71)]
    assert found.cost.bytes_read == 8 * 200 * (80 + 2 * 10)
    assert "missed with probability 1e-06" in repr(found)


def test_a_store_kept_by_the_other_side_names_the_side_to_write(tmp_path):
    by_columns = BACKENDS[BY_COLUMNS](alike(), tmp_path / "columns")
    by_rows = BACKENDS["sparse csr in zarr v3"](alike().T, tmp_path / "rows")
    for matrix, side in ((by_columns, "rows"), (by_rows.T, "columns")):
        with pytest.raises(UnsupportedError, match=f"kept by its columns.*rnla rechunk --along {side}"):
            rnla.similar_columns(matrix, THRESHOLD, method="gram")
        check(rnla.similar_columns(matrix, THRESHOLD), alike())


def test_candidates_whose_strips_do_not_fit_are_refused(tmp_path, small_panels, monkeypatch):
    matrix = BACKENDS["zarr v3, in parts"](alike(), tmp_path / "a")
    monkeypatch.setattr("rnla.algorithms.similarity.STRIP_BYTES", 1000)
    with pytest.raises(RequestError, match=r"columns are candidates.*rnla rechunk"):
        rnla.similar_columns(matrix, THRESHOLD)


def test_labels_come_with_the_pairs():
    A = alike(n=9)
    named = xarray.DataArray(A, dims=("cell", "gene"), coords={"gene": [f"g{j}" for j in range(9)]})
    found = rnla.similar_columns(named, THRESHOLD)
    assert found.names[0].tolist() == [f"g{j}" for j in found.first]
    assert found.names[1].tolist() == [f"g{j}" for j in found.second]
    assert rnla.similar_columns(A, THRESHOLD).names[0] is not None


def test_the_same_pairs_on_a_cluster_and_with_other_chunks(tmp_path, small_panels):
    A = alike()
    found = []
    for number, chunks in enumerate([(400, 60), (30, 7)]):
        zarr.create_array(str(tmp_path / str(number)), data=A, chunks=chunks)
        found.append(rnla.similar_columns(tmp_path / str(number), THRESHOLD, method="sketch"))
    with Client(processes=False, n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0"):
        there = rnla.similar_columns(tmp_path / "0", THRESHOLD, method="sketch")
    assert there.cosine.tobytes() == found[0].cosine.tobytes()
    assert np.array_equal(found[0].first, found[1].first)
    assert np.allclose(found[0].cosine, found[1].cosine, rtol=LAYOUT)


def test_many_columns_are_sketched(small_panels):
    A = scipy.sparse.random_array((500, 2500), density=0.02, rng=0, format="csc")
    order = np.arange(2500)
    order[2400] = 17
    found = rnla.similar_columns(A[:, order], 0.95)
    assert (17, 2400) in list(zip(found.first.tolist(), found.second.tolist(), strict=True))
    assert found.missed == 1e-6


def test_nothing_is_similar_to_zero_columns():
    for method in ("gram", "sketch"):
        assert rnla.similar_columns(np.zeros((9, 4)), 0.5, method=method).first.size == 0
        assert rnla.similar_columns(np.ones((9, 1)), 0.5, method=method).first.size == 0


@pytest.mark.parametrize("threshold", [0, 1, -0.5, 1.5, True, "high", np.nan])
def test_thresholds_that_are_no_cosines_are_refused(threshold):
    with pytest.raises(RequestError, match="threshold"):
        rnla.similar_columns(np.eye(3), threshold)


def test_other_requests_that_cannot_be_right_are_refused(monkeypatch):
    with pytest.raises(RequestError, match="one of auto, gram, sketch"):
        rnla.similar_columns(np.eye(3), 0.5, method="dimsum")
    with pytest.raises(RequestError, match="failure"):
        rnla.similar_columns(np.eye(3), 0.5, failure=0)
    with pytest.raises(RequestError, match="no entries"):
        rnla.similar_columns(np.ones((3, 0)), 0.5)
    with pytest.raises(RequestError, match="too small for a sketch"):
        rnla.similar_columns(np.eye(3), 0.05, method="sketch")
    with pytest.raises(UnsupportedError, match="real columns"):
        rnla.similar_columns(np.eye(3) * 1j, 0.5)
    monkeypatch.setattr("rnla.algorithms.similarity.MOST_PAIRS", 10)
    with pytest.raises(RequestError, match="higher threshold"):
        rnla.similar_columns(np.ones((50, 20)), 0.9, method="sketch")


MEASURED = """
import json, sys
import numpy as np
import psutil
import scipy.sparse
import rnla
from rnla.algorithms.forecasts import Machine, plan_sketch
from rnla.algorithms.sketching import checked_sketch
from rnla.cluster.resources import resources
name = sys.argv[1]
rng = np.random.default_rng(0)
if name == "sparse":
    half = scipy.sparse.random_array((10_000, 2000), density=0.005, rng=rng, format="csr", dtype="f4")
    A = scipy.sparse.hstack([half, half], format="csr")
elif name == "crowded":
    A = rng.standard_normal((300, 1)) + 0.3 * rng.standard_normal((300, 2500))
else:
    A = rng.standard_normal((8000, 1500), dtype="f4")
A = rnla.open(A, threads=2)
options = {"threshold": 0.8, "method": "gram" if name == "gram" else "sketch"}
if name == "sketch":
    S = checked_sketch(A, 300)
    plan = plan_sketch(A, S, Machine(2, resources(A.swept_by, None).base_bytes))
else:
    plan = rnla.plan("similarity", A, **options)
before = psutil.Process().memory_info().rss
found = 0 if (name == "sketch" and rnla.sketch(A, 300)) else rnla.similar_columns(A, **options).first.size
peak = [1024 * int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")][0]
print(json.dumps([plan.peak_bytes, plan.base_bytes, before, peak, found]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "pairs"), [("sparse", 2000), ("crowded", 2500 * 2499 // 2), ("gram", 0), ("sketch", 0)]
)
def test_measured_memory_stays_under_the_plan(killer, name, pairs):
    planned, base, before, peak, found = json.loads(killer.run(MEASURED, name).splitlines()[-1])
    print(f"{name}: planned {planned - base:,}, used {peak - before:,} bytes")  # noqa: T201
    assert found == pairs
    assert peak <= planned
    assert peak - before <= planned - base
    if name == "crowded":  # elsewhere memory for the most pairs there may be is planned for nothing
        assert planned - base <= TIGHT * (peak - before)


@pytest.mark.parametrize("stored", [False, True])
def test_repeated_labels_are_no_trouble(tmp_path, stored):
    A = alike(n=9)
    named = xarray.DataArray(A, dims=("cell", "gene"), coords={"gene": ["g"] * 9, "cell": np.zeros(len(A))})
    found = rnla.similar_columns(named, THRESHOLD, out=tmp_path / "r.zarr" if stored else None)
    alone = rnla.similar_columns(A, THRESHOLD)
    assert np.array_equal(found.first, alone.first)
    assert set(found.names[0]) == {"g"}


def test_pairs_that_were_published_are_those_of_the_function(tmp_path):
    matrix = BACKENDS["zarr v3"](alike(), tmp_path / "a")
    for view in (matrix, matrix.centred()):
        here = rnla.similar_columns(view, THRESHOLD)
        there = rnla.similar_columns(view, THRESHOLD, out=tmp_path / "r.zarr", overwrite=True)
        assert here.cosine.tobytes() == there.cosine.tobytes()
        assert np.array_equal(here.first, there.first)
    with pytest.raises(DoesNotFitError):
        rnla.similar_columns(matrix, THRESHOLD, memory_bytes=1 << 20)
