"""Layers with backpropagation written out, against automatic differentiation in float64; losses at their edges."""

import itertools

import numpy as np
import pytest

from rnla.errors import RequestError
from rnla.kernels.layers import (
    LOSSES,
    Room,
    backward,
    checked_widths,
    decided,
    forward,
    layers,
    loss_and_slopes,
    parameter_count,
)
from rnla.nn.autodiff import gradient, value_and_gradient
from tests.tolerances import sum_rounding

ROOM = 9
HIDDEN = [(), (7,), (7, 6), (1, 6, 4)]  # depths 1 to 4, one of them with a bottleneck
HUGE = 1e4


def square(Z, y):
    return np.sum((Z - y) ** 2, axis=1) / 2


def cross_entropy(Z, y):
    largest = np.max(Z, axis=1, keepdims=True)
    return np.log(np.sum(np.exp(Z - largest), axis=1)) + largest[:, 0] - Z[np.arange(len(y)), y]


def hinge(Z, y):
    return np.maximum(1 - y * Z[:, 0], 0)


def hinges(Z, y):
    rivals = np.where(np.arange(Z.shape[1]) == y[:, None], -np.inf, Z)
    return np.maximum(1 + np.max(rivals, axis=1) - Z[np.arange(len(y)), y], 0)


FORMULAS = {  # loss -> (its kind, its formula, outputs)
    "square": ("square", square, 3),
    "cross-entropy": ("cross-entropy", cross_entropy, 3),
    "hinge, one output": ("hinge", hinge, 1),
    "hinge": ("hinge", hinges, 4),
}

each_loss = pytest.mark.parametrize("loss", FORMULAS)
each_dtype = pytest.mark.parametrize("dtype", ["f4", "f8"])


def goals(loss, rows, rng):
    """What a loss compares with."""
    _, _, outputs = FORMULAS[loss]
    if loss == "square":
        return rng.standard_normal((rows, outputs))
    return rng.choice([-1, 1], rows) if outputs == 1 else rng.integers(0, outputs, rows)


def net_value(flat, X, widths):
    """F at the rows of X, from numpy's functions alone."""
    V, start = X, 0
    for number, (n, m) in enumerate(itertools.pairwise(widths)):
        Z = V @ flat[start : start + n * m].reshape(n, m) + flat[start + n * m : start + n * m + m]
        V, start = (np.maximum(Z, 0) if number < len(widths) - 2 else Z), start + n * m + m
    return V


def magnitudes(flat, X, widths, slopes):
    """What the sums behind each derivative would be if all terms had one sign: rounding is relative to those."""
    net = layers(np.abs(flat.astype("f8")), widths)
    values = [np.abs(X.astype("f8"))]
    for layer in net:
        values.append(values[-1] @ layer.W + layer.b)
    D = np.abs(slopes) + values[-1] / len(X)  # slopes of every loss move no more than the outputs do
    parts = []
    for layer, V in zip(net[::-1], values[-2::-1], strict=True):
        parts = [(V.T @ D).ravel(), D.sum(axis=0), *parts]
        D = D @ layer.W.T
    return np.concatenate(parts)


def case(loss, hidden, dtype, rows, seed=0):
    """Widths, parameters, a batch and what belongs to it."""
    rng = np.random.default_rng(seed)
    widths = (5, *hidden, FORMULAS[loss][2])
    flat = rng.standard_normal(parameter_count(widths)).astype(dtype)
    y = goals(loss, rows, rng)
    return widths, flat, rng.standard_normal((rows, 5)).astype(dtype), y.astype(dtype) if loss == "square" else y


def fused(kind, widths, flat, X, y, *, weights=None, into=None, keep=0.0, room=None):
    """Losses, slopes by the outputs, and the gradient, by the kernel."""
    room = Room(widths, ROOM, flat.dtype) if room is None else room
    into = np.full_like(flat, np.nan) if into is None else into
    net = layers(flat, widths)
    Z = forward(net, X, room)
    losses = loss_and_slopes(kind, Z, y, room.slopes[-1][: len(X)], weights)
    slopes = room.slopes[-1][: len(X)].astype("f8")
    backward(net, X, room, layers(into, widths), keep)
    return losses, slopes, into


@each_loss
@each_dtype
@pytest.mark.parametrize("hidden", HIDDEN, ids=lambda hidden: f"depth-{len(hidden) + 1}")
@pytest.mark.parametrize("rows", [1, 5, ROOM])
@pytest.mark.parametrize("weighted", [False, True])
def test_backpropagation_is_automatic_differentiation(loss, hidden, dtype, rows, weighted):
    kind, formula, _ = FORMULAS[loss]
    widths, flat, X, y = case(loss, hidden, dtype, rows)
    weights = np.random.default_rng(1).uniform(0.2, 3.0, rows) if weighted else None
    every = np.ones(rows) if weights is None else weights
    wide = X.astype("f8"), y.astype("f8") if loss == "square" else y

    def mean_loss(x):
        return np.mean(every * formula(net_value(x, wide[0], widths), wide[1]))

    losses, slopes, found = fused(kind, widths, flat, X, y, weights=weights)
    value, (expected,) = value_and_gradient(mean_loss)(flat.astype("f8"))
    size = magnitudes(flat, X, widths, slopes) * every.max()
    rounding = sum_rounding(dtype, rows + sum(widths))
    assert found.dtype == dtype
    assert np.all(np.abs(found - expected) <= rounding * size)
    reach = np.abs(X.astype("f8"))
    for layer in layers(np.abs(flat.astype("f8")), widths):
        reach = reach @ layer.W + layer.b
    assert abs(losses.mean() - value) <= rounding * every.max() * (1 + np.abs(reach).max() ** 2 * widths[-1])


@each_loss
@each_dtype
@pytest.mark.parametrize("keep", [0.0, 0.5, 1.0])
def test_what_was_there_is_kept_in_part(loss, dtype, keep):
    kind, _, _ = FORMULAS[loss]
    widths, flat, X, y = case(loss, (7, 6), dtype, 5)
    before = np.random.default_rng(2).standard_normal(flat.size).astype(dtype)
    _, slopes, alone = fused(kind, widths, flat, X, y)
    _, _, found = fused(kind, widths, flat, X, y, into=before.copy(), keep=keep)
    size = magnitudes(flat, X, widths, slopes) + np.abs(before)
    assert np.all(np.abs(found - (keep * before.astype("f8") + alone)) <= sum_rounding(dtype, sum(widths) + 5) * size)


@each_dtype
@pytest.mark.parametrize("hidden", HIDDEN, ids=lambda hidden: f"depth-{len(hidden) + 1}")
@pytest.mark.parametrize("nothing", [np.nan, np.inf])
def test_nothing_survives_of_what_is_not_kept(hidden, dtype, nothing):
    widths, flat, X, y = case("square", hidden, dtype, 5)
    clean = fused("square", widths, flat, X, y, into=np.zeros_like(flat))[2]
    found = fused("square", widths, flat, X, y, into=np.full_like(flat, nothing))[2]
    assert np.all(np.isfinite(found))
    assert np.array_equal(found, clean)


@each_dtype
def test_a_room_is_as_good_after_use_as_before(dtype):
    widths, flat, X, y = case("cross-entropy", (7, 6), dtype, ROOM)
    used = Room(widths, ROOM, np.dtype(dtype))
    fused("cross-entropy", widths, flat, X, y, room=used)
    for values in (*used.values, *used.slopes):
        values[...] = np.nan
    few = X[:4], y[:4]
    again = fused("cross-entropy", widths, flat, *few, room=used)
    fresh = fused("cross-entropy", widths, flat, *few)
    assert all(np.array_equal(a, b) for a, b in zip(again, fresh, strict=True))


@each_dtype
def test_a_unit_at_zero_is_flat(dtype):
    widths = (1, 1, 1)
    flat = np.array([1, 0, 1, 0], dtype)  # ReLU(x)
    X, y = np.array([[0.0]], dtype), np.array([[-1.0]], dtype)
    _, slopes, found = fused("square", widths, flat, X, y)
    assert np.array_equal(slopes, [[1.0]])
    assert np.array_equal(found, [0, 0, 0, 1])  # the last bias alone


def test_layers_are_views_of_the_parameters():
    widths = (3, 4, 2)
    flat = np.zeros(parameter_count(widths))
    for number, layer in enumerate(layers(flat, widths)):
        layer.W[...], layer.b[...] = 2 * number + 1, 2 * number + 2
    assert np.array_equal(flat, np.repeat([1, 2, 3, 4], [12, 4, 8, 2]))


@each_loss
@each_dtype
@pytest.mark.parametrize("weighted", [False, True])
def test_losses_are_their_formulas(loss, dtype, weighted):
    kind, formula, outputs = FORMULAS[loss]
    rng = np.random.default_rng(4)
    Z, y = (3 * rng.standard_normal((40, outputs))).astype(dtype), goals(loss, 40, rng)
    weights = rng.uniform(0, 2, 40) if weighted else None
    every = np.ones(40) if weights is None else weights
    D = np.full_like(Z, np.nan)
    found = loss_and_slopes(kind, Z, y, D, weights)
    wide = Z.astype("f8")
    size = 1 + np.abs(wide).max() + np.abs(y).max()
    rounding = sum_rounding(dtype, outputs)
    assert found.dtype == np.float64
    assert np.all(np.abs(found - every * formula(wide, y)) <= rounding * size**2 * outputs)
    expected = gradient(lambda Z: np.mean(every * formula(Z, y)))(wide)
    assert np.all(np.abs(D - expected) <= rounding * size * every.max() / 40)


def far_outputs(dtype, outputs):
    """Rows of +-HUGE and 0 in all places."""
    return np.array(np.meshgrid(*[[-HUGE, 0, HUGE]] * outputs)).reshape(outputs, -1).T.astype(dtype)


@each_loss
@each_dtype
def test_outputs_of_any_size_are_safe(loss, dtype):
    kind, formula, outputs = FORMULAS[loss]
    Z = far_outputs(dtype, outputs)
    given = {"square": [np.zeros(3), np.full(3, HUGE)], "hinge, one output": [-1, 1]}.get(loss, range(outputs))
    for one in given:
        y = np.repeat(np.array([one]), len(Z), axis=0)
        D = np.empty_like(Z)
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            found = loss_and_slopes(kind, Z, y, D, None)
        exact = formula(Z.astype("f8"), y)
        in_formula = sum_rounding("f8", outputs) * HUGE  # which adds the largest and takes it off again
        assert np.all(np.abs(found - exact) <= sum_rounding(dtype, outputs) * (1 + exact) + in_formula)
        slopes = gradient(lambda Z, y=y: np.mean(formula(Z, y)))(Z.astype("f8"))
        if kind == "hinge" and outputs > 1:
            assert_hinge_slopes(Z, y, len(Z) * D)
        else:
            assert np.all(np.abs(D - slopes) <= sum_rounding(dtype, outputs) * (np.abs(slopes) + 1 / len(Z)))


def assert_hinge_slopes(Z, y, D):
    """Nothing where a row's own output leads by 1; else down by the own one, up by one of the largest rivals."""
    for z, own, d in zip(Z.astype("f8"), y, D, strict=True):
        rivals = [j for j in range(len(z)) if j != own]
        largest = max(z[j] for j in rivals)
        if z[own] - largest >= 1:
            assert not d.any()
            continue
        allowed = [np.eye(len(z))[j] - np.eye(len(z))[own] for j in rivals if z[j] == largest]
        assert min(np.abs(d - one).max() for one in allowed) <= sum_rounding(Z.dtype, 1)


@each_dtype
def test_one_output_on_the_margin_is_flat(dtype):
    D = np.full((4, 1), np.nan, dtype)
    found = loss_and_slopes("hinge", np.array([[1.0], [-1.0], [0.5], [2.0]], dtype), np.array([1, -1, 1, 1]), D, None)
    assert np.array_equal(found, [0, 0, 0.5, 0])
    assert np.array_equal(D, [[0], [0], [-0.25], [0]])


@each_dtype
def test_several_outputs_on_the_margin_are_flat_and_of_equal_rivals_one_is_taken(dtype):
    Z = np.array([[2, 1, 0], [0, 1, 1], [1, 1, 1], [5, 0, 0]], dtype)
    D = np.full_like(Z, np.nan)
    found = loss_and_slopes("hinge", Z, np.array([0, 0, 2, 0]), D, None)
    assert np.array_equal(found, [0, 2, 1, 0])
    assert np.array_equal(4 * D, [[0, 0, 0], [-1, 1, 0], [1, 0, -1], [0, 0, 0]])


def test_what_outputs_say():
    Z = np.array([[0.5, 2.0, -1.0], [3.0, 3.0, 1.0]])
    assert np.array_equal(decided("square", Z), Z)
    for kind in ("cross-entropy", "hinge"):
        assert np.array_equal(decided(kind, Z), [1, 0])
    assert np.array_equal(decided("hinge", np.array([[-0.1], [0.0], [7.0]])), [-1, 1, 1])
    assert {kind for kind, _, _ in FORMULAS.values()} == set(LOSSES)


@pytest.mark.parametrize("widths", [(2, 1), [3, 4, 5], np.array([2, 2]), (2.0, 1), (w for w in (3, 2))])
def test_widths_are_whole_numbers(widths):
    found = checked_widths(widths)
    assert all(isinstance(width, int) for width in found)
    assert len(found) >= 2


@pytest.mark.parametrize(
    "widths", [(), (3,), (3, 0), (3, -1), (2.5, 1), (np.nan, 1), (np.inf, 1), "32", 7, None, ("a", 1), (2, None)]
)
def test_other_widths_are_refused_in_words(widths):
    with pytest.raises(RequestError, match="must be at least two integers, each 1 or more"):
        checked_widths(widths)
