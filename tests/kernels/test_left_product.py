"""Y^H A of float32 blocks: what lies beside a heavy row must not be lost."""

import numpy as np
import pytest

from rnla.kernels.dense import HEAVY_SHARE, heavy_apart, heavy_rows, left_product

ROWS, COLUMNS, WIDTH = 4000, 64, 8
RNG = np.random.default_rng(7)
EPS = np.finfo("f4").eps


def blocks(kind):
    """A block and its product with orthonormal columns, as a sweep has them."""
    A = RNG.standard_normal((ROWS, COLUMNS))
    if kind == "one heavy row":
        A[1234] *= 1e5
    elif kind == "heavy rows of all sizes":
        A *= 10.0 ** (6 * RNG.random((ROWS, 1)) ** 40)
    return A


@pytest.mark.parametrize("dtype", ["f4", "c8"])
@pytest.mark.parametrize("kind", ["one heavy row", "heavy rows of all sizes"])
def test_what_lies_beside_heavy_rows_is_not_lost(kind, dtype):
    A = (blocks(kind) * (1 if dtype == "f4" else 0.6 + 0.8j)).astype(dtype)
    X = np.linalg.qr(RNG.standard_normal((COLUMNS, WIDTH)))[0].astype(dtype)
    Y = A @ X
    exact = Y.astype("c16").conj().T @ A.astype("c16")
    light, rows = heavy_apart(Y)
    assert 0 < rows.size <= -(-ROWS // HEAVY_SHARE)
    # the light rows round once each, at random; the heavy ones, in float64, not to speak of
    rest = np.linalg.norm(np.abs(light).T.astype("f8") @ np.abs(A).astype("f8"))
    loss = np.linalg.norm(left_product(Y, A) - exact)
    assert loss <= EPS * rest
    assert np.linalg.norm(Y.conj().T @ A - exact) > 10 * loss


def test_ordinary_rows_are_multiplied_as_they_are():
    Y = RNG.standard_normal((ROWS, WIDTH)).astype("f4")
    light, rows = heavy_apart(Y)
    assert rows.size == 0
    assert light is Y


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_the_heaviest_are_taken_in_order_whatever_the_scale(scale):
    Y = np.full((960, 2), scale, "f4")
    Y[[90, 3, 50, 7, 20], [0, 1, 0, 1, 0]] *= np.array([10, 30, 40, 50, 40], "f4")
    assert heavy_rows(Y).tolist() == [3, 7, 20, 50]
    crowd = np.full((960, 4), scale, "f4")
    crowd[np.arange(80) * 12, np.arange(80) % 4] *= np.where(np.arange(80) < 50, 1000, 1300).astype("f4")
    assert heavy_rows(crowd).tolist() == [12 * i for i in range(50, 80)]
    assert heavy_rows(np.zeros((5, 2), "f4")).size == 0
    assert heavy_apart(Y.astype("f8"))[1].size == 0
