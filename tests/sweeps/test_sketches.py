"""Sketches: each kind of S has the law it should have, and E[S^T S] = I."""

from collections import Counter

import dask.array
import numpy as np
import pytest
import scipy.sparse
import scipy.stats

import rnla
import rnla.streams
from rnla.errors import OverflowedError, RequestError
from rnla.streams import normal, words
from rnla.sweeps.sketches import GAUSSIAN_TILE, KINDS, NONZEROS, Embedding, Normal, lightest
from rnla.sweeps.source import holds_sparse
from tests.backends import BACKENDS
from tests.matrices import random_of
from tests.tolerances import LAYOUT, ks_threshold, mean_band

UNLIKELY = 1e-6
SCALES = [("f8", 1e-300), ("f8", 1e160), ("f8", 1e300), ("f4", 1e-30), ("f4", 1e12), ("f4", 1e30)]


def uniform_counts(counts):
    """Whether counts are those of a uniform law, at 1e-6."""
    return scipy.stats.chisquare(counts).pvalue > UNLIKELY


@pytest.mark.parametrize("kind", KINDS)
def test_a_sketch_keeps_inner_products_on_average(kind):
    m, l, trials = 24, 6, 3000
    seen = np.zeros((trials, m, m))
    for seed in range(trials):
        St = Embedding(kind, l, m, seed).transpose()
        seen[seed] = St @ St.T
    spread = seen.std(axis=0)
    band = mean_band(trials, scipy.stats.norm.isf(UNLIKELY / m**2))
    assert np.all(np.abs(seen.mean(axis=0) - np.eye(m)) <= band * spread + 1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_any_rows_are_those_of_the_whole(kind):
    S = Embedding(kind, 9, 1000, 5)
    whole = S.transpose()
    for rows in (slice(0, 1), slice(250, 700), slice(999, 1000)):
        found = S.rows(rows)
        found = found.toarray() if scipy.sparse.issparse(found) else found
        assert np.array_equal(found * S.scale, whole[rows])


def test_gaussian_entries_are_normal():
    entries = Embedding("gaussian", 40, 3000, 0).rows(slice(0, 3000)).ravel()
    assert scipy.stats.kstest(entries, "norm").statistic <= ks_threshold(entries.size)


@pytest.mark.parametrize(("kind", "l"), [("sparse-sign", 24), ("sparse-sign", 5), ("countsketch", 24)])
def test_signs_are_fair_and_their_places_uniform_and_distinct(kind, l):
    S, m = Embedding(kind, l, 40_000, 1), 40_000
    rows = S.rows(slice(0, m)).tocsr()
    count = {"sparse-sign": min(NONZEROS, l), "countsketch": 1}[kind]
    assert np.all(np.diff(rows.indptr) == count)
    assert rows.has_canonical_format  # so no place twice
    assert set(np.unique(rows.data)) == {-1.0, 1.0}
    assert uniform_counts(np.bincount((rows.data > 0).astype(int)))
    assert uniform_counts(np.bincount(rows.indices, minlength=l))
    pairs = Counter(zip(rows.indices[:-1].tolist(), rows.indices[1:].tolist(), strict=True)) if count == 1 else None
    if pairs is not None:  # one row tells nothing of the next
        assert uniform_counts([pairs[i, j] for i in range(l) for j in range(l)])


def test_srht_takes_distinct_rows_of_a_hadamard_matrix_with_random_signs():
    m, l = 4096, 64
    entries = Embedding("srht", l, m, 2).rows(slice(0, m))
    assert set(np.unique(entries)) == {-1.0, 1.0}
    assert np.array_equal(entries.T @ entries, m * np.eye(l))  # rows of H are orthogonal, and none is taken twice
    assert uniform_counts(np.bincount((entries[:, 0] > 0).astype(int)))


def test_rows_of_the_hadamard_matrix_and_its_signs_are_uniform():
    rows, patterns, picked = slice(0, 8), [], []
    for seed in range(10_000):
        entries = Embedding("srht", 1, 8, seed).rows(rows)[:, 0]
        patterns.append(int((entries > 0) @ (1 << np.arange(8))))
        signs = 1.0 - 2.0 * (words(seed, "sketch", rows, 1)[:, 0] & np.uint64(1))
        bare = entries * signs  # the row of H: its entries at 1, 2 and 4 are the bits of its number
        picked.append(int((bare[[1, 2, 4]] < 0) @ [1, 2, 4]))
    assert uniform_counts(np.bincount(patterns, minlength=256))
    assert uniform_counts(np.bincount(picked, minlength=8))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(131, 11), (11, 131)])
def test_the_sketch_of_any_store_is_one_sketch(tmp_path, small_panels, kind, shape):
    A = random_of("f8", shape)
    expected = Embedding(kind, 5, shape[0], 4).transpose().T @ A
    for backend in BACKENDS:
        found = rnla.sketch(BACKENDS[backend](A, tmp_path / backend.replace(" ", "")), 5, kind=kind, seed=4)
        assert found.S.kind == kind
        assert np.abs(np.asarray(found.value) - expected).max() <= LAYOUT * np.abs(expected).max(), backend
        assert found.cost.passes == (1 if "parts" not in backend else found.cost.passes)


@pytest.mark.parametrize(
    ("kind", "l", "view"),
    [("countsketch", 21, view) for view in ("as it is", "centred", "weighted")] + [("sparse-sign", 161, "centred")],
)
def test_wide_matrices_are_sketched_from_the_nonzeros_of_s(tmp_path, small_panels, monkeypatch, kind, l, view):
    m, n = l + 2, l + 9
    by = np.random.default_rng(2)
    A = np.where(by.random((m, n)) < 0.5, random_of("f8", (m, n)), 0.0)
    rows, columns, mean = by.random(m), by.random(n), by.random(n)
    views = {
        "as it is": (lambda B: B, A),
        "centred": (lambda B: B.centred(mean), A - mean),
        "weighted": (lambda B: B.weighted(rows, columns), rows[:, None] * A * columns),
    }
    expected = Embedding(kind, l, m, 4).transpose().T @ views[view][1]
    monkeypatch.setattr(Embedding, "transpose", None)
    for backend in ("numpy", "zarr v3, in parts", "sparse csc"):
        matrix = BACKENDS[backend](A, tmp_path / backend.replace(" ", ""))
        seen = views[view][0](matrix)
        found = rnla.sketch(seen, l, kind=kind, seed=4)
        assert np.abs(np.asarray(found.value) - expected).max() <= LAYOUT * np.abs(expected).max(), backend
        assert found.cost.passes == 1


def test_probes_read_by_rows_are_those_of_the_whole_and_no_others_are_drawn(monkeypatch):
    m, l, drawn = 5000, 3, []
    whole = normal(7, "probes", m, l, tile_rows=GAUSSIAN_TILE)
    tile = rnla.streams._tile

    def counted(seed, name, number, shape, *, complex_):
        drawn.append(shape[0])
        return tile(seed, name, number, shape, complex_=complex_)

    monkeypatch.setattr(rnla.streams, "_tile", counted)
    probes = Normal(7, "probes", (m, l))
    rows = [slice(start, min(start + 100, m)) for start in range(0, m, 100)]
    assert np.array_equal(np.concatenate([probes.read(cut, slice(0, l)) for cut in rows]), whole)
    assert sum(drawn) <= len(rows) * 2 * GAUSSIAN_TILE


def test_a_sketch_of_strips_in_parts_is_one_read(tmp_path, small_panels):
    A = BACKENDS["zarr v3, in parts"](random_of("f8", (131, 11)), tmp_path)
    assert rnla.sketch(A, 5, kind="sparse-sign").cost.passes == 1


def test_auto_takes_what_is_multiplied_faster():
    dense, sparse = np.ones((100, 3)), scipy.sparse.csr_array(np.eye(100))
    lazy = dask.array.from_array(np.eye(100), chunks=(50, 100)).map_blocks(scipy.sparse.csr_matrix)
    assert [holds_sparse(rnla.open(A).source) for A in (dense, sparse, lazy)] == [False, True, True]
    assert lightest(rnla.open(dense).source, 20) == "gaussian"
    assert lightest(rnla.open(dense).source, 40) == "sparse-sign"
    assert lightest(rnla.open(sparse).source, 40) == "gaussian"
    assert rnla.sketch(sparse, 80).S.kind == "sparse-sign"


@pytest.mark.parametrize(
    ("given", "told"),
    [({"l": 0}, "at least 1"), ({"l": 41}, "1..40"), ({"l": 2.5}, "integer"), ({"l": 3, "kind": "fjlt"}, "one of"),
     ({"l": 3, "seed": "x"}, "integer")],
)  # fmt: skip
def test_requests_that_cannot_be_right_are_refused(given, told):
    with pytest.raises(RequestError, match=told):
        rnla.sketch(np.ones((40, 3)), **given)


def test_what_has_no_entries_is_refused():
    with pytest.raises(RequestError, match="no entries"):
        rnla.sketch(np.ones((0, 3)), 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("dtype", "scale"), SCALES)
@pytest.mark.parametrize("shape", [(60, 9), (9, 60)])
def test_a_sketch_scales_with_the_data(kind, dtype, scale, shape):
    power = 2.0 ** np.round(np.log2(scale))  # so that scaling the data is exact
    A = random_of(dtype, shape)
    here, there = (np.asarray(rnla.sketch(B, 4, kind=kind).value) for B in (A, A * A.dtype.type(power)))
    assert np.array_equal(here.astype("f8"), there.astype("f8") / power)


@pytest.mark.parametrize("shape", [(60, 9), (9, 60)])
def test_a_sketch_that_its_precision_may_not_hold_is_refused(shape):
    with pytest.raises(OverflowedError, match="may leave the range of float32; convert"):
        rnla.sketch(np.full(shape, 3e38, "f4"), 4)
