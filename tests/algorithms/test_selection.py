"""Selectors as what they are: DEIM against its definition, drawn lines against their law, and what they look at."""

import numpy as np
import pytest
import scipy.stats

import rnla
from rnla.algorithms.selection import Side, deim, selected, spanning, uniform
from rnla.sweeps.picking import Elimination
from tests.backends import BACKENDS
from tests.matrices import random_of, turned
from tests.tolerances import eps

ROWS = 60
CONFIDENCE = 1e-6
LINES, DRAWS = 6000, 400  # so few that taking them without replacement changes the law by less than chi-square sees
CLASSES = np.arange(LINES) % 4
PROFILES = np.array([[0.0, 1.0, 1.0, 9.0], [0.5, 0.0, 1.0, 9.0], [1.0, 1.0, 0.0, 9.0], [2.0, 1.0, 1.0, 9.0]])


def interpolation_points(U):
    """DEIM as Sorensen and Embree (2016), algorithm 1, write it; the size of a complex number is |re| + |im|."""
    points = [int(sizes(U[:, 0]).argmax())]
    for j in range(1, U.shape[1]):
        c = np.linalg.solve(U[points, :j], U[points, j])
        points.append(int(sizes(U[:, j] - U[:, :j] @ c).argmax()))
    return points


def sizes(x):
    return np.abs(x.real) + np.abs(x.imag)


@pytest.mark.parametrize("dtype", ["f8", "c16"])
@pytest.mark.parametrize("seed", range(3))
def test_deim_is_its_definition(dtype, seed):
    U = np.linalg.qr(random_of(dtype, (ROWS, 12), seed))[0]
    assert list(deim(rnla.open(U), 9)) == interpolation_points(U[:, :9])


@pytest.mark.usefixtures("small_cuts")
@pytest.mark.parametrize("backend", ["numpy", "zarr v3", "zarr v3, in parts"])
def test_deim_of_blocks_is_one_read_and_interpolates_well(tmp_path, backend):
    U = np.linalg.qr(random_of("f8", (ROWS, 8)))[0]
    F = BACKENDS[backend](U, tmp_path).metered()
    points = deim(F, 8)
    assert len(set(points)) == 8
    assert len(F.meter.tallies) == 1
    assert np.linalg.norm(np.linalg.inv(U[points]), 2) <= 10 * np.linalg.norm(
        np.linalg.inv(U[interpolation_points(U)]), 2
    )


def test_elimination_of_dependent_rows_names_each_row_once():
    A = np.ones((ROWS, 4))
    (found,) = rnla.open(A).sweep(Elimination(np.eye(4), 6))
    assert len(set(found)) == 6


@pytest.mark.usefixtures("small_cuts")
@pytest.mark.parametrize("rank", [1, 5])
def test_spanning_rows_span_all_others(tmp_path, rank):
    U = np.zeros((ROWS, rank))
    U[10:] = np.linalg.qr(random_of("f8", (ROWS - 10, rank)))[0]
    rows = spanning(BACKENDS["zarr v3"](U, tmp_path), 7)
    assert len(set(rows)) == 7
    W = U @ np.linalg.pinv(U[rows])
    assert np.linalg.matrix_rank(U[rows]) == rank
    assert np.abs(W @ U[rows] - U).max() <= 100 * rank * eps("f8")
    assert np.abs(W).max() <= 2 * np.sqrt(ROWS)


def share_of_classes(lines, weights):
    """p-value of chi-square for how many lines of each class were drawn, few of many, against the weight it has."""
    law = np.bincount(CLASSES, weights)
    counts = np.bincount(CLASSES[lines], minlength=law.size)
    assert not counts[law == 0].any()
    here = law > 0
    return scipy.stats.chisquare(counts[here], len(lines) * law[here] / law.sum()).pvalue


@pytest.mark.parametrize("k", [1, 3])
def test_leverage_draws_by_scores_over_k_modes(k):
    F = random_of("f8", (LINES, 4)) * PROFILES[CLASSES]
    side = Side("rows", rnla.open(F), np.eye(4), np.eye(4))
    lines = selected(side, "leverage", DRAWS, k, 0)
    assert len(set(lines)) == DRAWS
    assert share_of_classes(lines, np.sum(F[:, :k] ** 2, axis=1)) > CONFIDENCE
    assert share_of_classes(lines, np.sum(F**2, axis=1)) < CONFIDENCE  # of other modes: another law


def test_norms_draw_by_squared_norms():
    weights = PROFILES[CLASSES, 0] ** 2
    side = Side("rows", rnla.open(weights[:, None]), np.eye(1), np.eye(1))
    lines = selected(side, "norm-squared", DRAWS, 1, 0)
    assert len(set(lines)) == DRAWS
    assert share_of_classes(lines, weights) > CONFIDENCE
    assert share_of_classes(lines, weights**2) < CONFIDENCE


def test_uniform_draws_are_uniform_and_without_replacement():
    assert share_of_classes(uniform(LINES, DRAWS, 0, "rows"), np.ones(LINES)) > CONFIDENCE
    assert sorted(uniform(8, 8, 0, "rows")) == list(range(8))
    assert list(uniform(1000, 5, 0, "rows")) != list(uniform(1000, 5, 0, "columns"))
    assert list(uniform(1000, 5, 0, "rows")) != list(uniform(1000, 5, 1, "rows"))


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("select", ["leverage", "norm-squared", "uniform"])
def test_a_cur_draws_its_lines_by_the_law_of_its_selector(select, turned):
    A = random_of("f8", (LINES, 60)) * np.where(np.arange(60) < 2, 10.0, 1.0)
    A *= np.array([0.0, 0.2, 0.5, 1.0])[CLASSES][:, None]
    U = np.linalg.svd(A, full_matrices=False)[0]
    law = {"leverage": np.sum(U[:, :2] ** 2, axis=1), "norm-squared": np.sum(A**2, axis=1), "uniform": np.ones(LINES)}
    found = rnla.cur(A.T if turned else A, 2, columns=60, rows=60, select=select, passes=2)
    lines = found.columns if turned else found.rows
    assert share_of_classes(lines, law[select]) > CONFIDENCE
    others = [law[other] for other in law if {other, select} != {"leverage", "norm-squared"} and other != select]
    assert all(share_of_classes(lines[CLASSES[lines] > 0], other * (CLASSES > 0)) < CONFIDENCE for other in others)


@pytest.mark.usefixtures("small_cuts")
def test_a_one_sided_decomposition_looks_at_one_side_only(monkeypatch):
    looked = []
    monkeypatch.setattr(
        "rnla.algorithms.cur.side",
        lambda *a, real=rnla.algorithms.cur.side, **o: looked.append(o["along"]) or real(*a, **o),
    )
    A = turned(random_of("f8", (40, 12)), np.random.default_rng(0), 0)
    rnla.interpolative(A, 3)
    rnla.interpolative(A.T, 3, select="deim")
    assert looked == [False, True]
