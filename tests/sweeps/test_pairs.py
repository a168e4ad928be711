"""Dots of pairs of columns: those that crowd are read off products of matrices, and sparse columns stay sparse."""

import numpy as np
import pytest
import scipy.sparse

import rnla
from rnla.sweeps.pairs import TILE, Dots, tiles_of
from rnla.sweeps.sparse import Sparse
from tests.tolerances import sum_rounding

ROWS, COLUMNS = 60, TILE + 150


def crowded_and_lone():
    """All pairs of the first 100 columns and of the last 150, and some between those; in no order of tiles."""
    rng = np.random.default_rng(0)
    ranges = [np.triu_indices(100, 1), tuple(TILE + side for side in np.triu_indices(150, 1))]
    lone = rng.integers(0, TILE, 40), rng.integers(TILE, COLUMNS, 40)
    first, second = (np.concatenate(side) for side in zip(*ranges, lone, strict=True))
    order = rng.permutation(first.size)
    return first[order], second[order]


def in_order(first, second):
    order = np.argsort(tiles_of(first, second), kind="stable")
    return Dots(first[order], second[order])


@pytest.mark.parametrize("share", [1.0, 0.05, 0.5])
@pytest.mark.parametrize("weighted", [False, True])
def test_dots_are_those_of_the_definition_crowded_or_not(share, weighted):
    rng = np.random.default_rng(1)
    B = np.where(rng.random((ROWS, COLUMNS)) < share, rng.standard_normal((ROWS, COLUMNS)), 0.0)
    matrix = rnla.open(B if share == 1.0 else scipy.sparse.csc_array(B))
    if weighted:
        rows, columns = rng.random(ROWS) + 0.5, rng.random(COLUMNS) + 0.5
        matrix, B = matrix.weighted(rows=rows, columns=columns), rows[:, None] * B * columns
    for product in (Dots(*crowded_and_lone()), in_order(*crowded_and_lone())):
        (found,) = matrix.sweep(product)
        expected, size = ((C.T @ C)[product.first, product.second] for C in (B, np.abs(B)))
        assert np.all(np.abs(found - expected) <= sum_rounding("f8", 2 * ROWS) * size)


def test_crowded_pairs_are_taken_by_tiles_and_all_pairs_once():
    runs = in_order(*crowded_and_lone()).runs
    assert [run.tile is None for run in runs] == [False, True, False]
    assert [run.pairs.start for run in runs[1:]] == [run.pairs.stop for run in runs[:-1]]


def test_few_nonzeros_are_never_made_dense(monkeypatch):
    A = scipy.sparse.random_array((300, COLUMNS), density=0.05, rng=0, format="csr")
    monkeypatch.setattr(Sparse, "dense_parts", None)
    rnla.open(A).sweep(in_order(*crowded_and_lone()))
