"""Reverse-mode derivatives against central differences, complex steps, and the derivatives of another library."""

import tracemalloc
from collections import deque

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
import scipy.sparse

from rnla.errors import RequestError
from rnla.nn.autodiff import gradient, value_and_gradient
from rnla.nn.derivatives import TABLES
from rnla.nn.tape import Tape
from tests.tolerances import eps

EPS = eps("f8")
STEP = EPS ** (1 / 3)  # of central differences: balances h^2 |f'''| / 6 with eps |f| / h
TERMS = 100  # operations that any of the expressions makes with one number, at most

rng = np.random.default_rng(0)
V, W, U = rng.standard_normal(3), rng.standard_normal(4), rng.standard_normal(3)
M, N = rng.standard_normal((3, 4)), rng.standard_normal((4, 2))
P, Q = rng.uniform(0.5, 2.0, 3), rng.uniform(0.5, 2.0, (2, 3))  # positive
COLUMN, ROW = rng.uniform(0.5, 2.0, (3, 1)), rng.uniform(0.5, 2.0, (1, 4))
BATCH, OTHER, ONE = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 4, 5)), rng.standard_normal((1, 4, 5))
ABOVE = rng.standard_normal((5, 1, 3, 4))
POINT = rng.standard_normal((2, 3))
ZERO, ZEROS = np.array([2.0, 0.0, 3.0]), np.array([[1.5, 0.0, 2.0, 0.0], [1.0, 2.0, 0.0, 3.0], [1.0, 0.5, 2.0, 3.0]])


def weighed(f):
    """The sum of all that f gives, each with a weight of its own: a number whose derivative sees every entry."""

    def number(*args):
        found = f(*args)
        weights = np.cos(1.0 + np.arange(np.size(found))).reshape(np.shape(found))
        return np.sum(weights * found)

    return number


def moved(args, number, place, by):
    """The arguments with one entry changed."""
    out = [np.array(x, np.result_type(x, by)) for x in args]
    out[number][place] += by
    return [x if x.ndim else x[()] for x in out]


def entries(args):
    """Each entry of each argument."""
    return [(number, place) for number, x in enumerate(args) for place in np.ndindex(np.shape(x))]


def assert_central(f, derivative, args):
    """Within h^2 |f'''| / 6 + eps |f| / h, where f''' is a third difference over a longer step."""
    wide, size = 1e-3, abs(f(*args))
    for number, place in entries(args):
        up, down, far_up, far_down = (f(*moved(args, number, place, h)) for h in (STEP, -STEP, 2 * wide, -2 * wide))
        near_up, near_down = (f(*moved(args, number, place, h)) for h in (wide, -wide))
        third = abs(far_up - 2 * near_up + 2 * near_down - far_down) / (2 * wide**3)
        allowed = STEP**2 * (1 + third) + TERMS * EPS * (1 + size) / STEP
        assert abs((up - down) / (2 * STEP) - derivative[number][place]) <= allowed


def assert_complex_step(f, derivative, args):
    """Im f(x + ih) / h, which nothing cancels in: exact but for rounding."""
    h = 1e-30
    for number, place in entries(args):
        found = np.imag(f(*moved(args, number, place, 1j * h))) / h
        assert abs(found - derivative[number][place]) <= TERMS * EPS * (1 + abs(found))


def derivatives(f, args):
    return [np.asarray(x) for x in value_and_gradient(f)(*args)[1]]


def added_up(x):
    total = 0.0
    for row in x:
        total += row
        total *= row
        total -= 1.0
        total /= 2.0
        total **= 2
    return total


def array_in_place(x):
    total = np.zeros(3)
    total += x
    return np.sum(total)


def entry_in_place(x):
    total = np.zeros(3)
    total[:] = x
    return np.sum(total)


def boxed(*values):
    """An array of objects, which numpy makes of variables only when it is told to."""
    found = np.empty(len(values), object)
    for i, value in enumerate(values):
        found[i] = value
    return found


def plain(x):
    """Numbers that numpy left in an array of objects."""
    return np.array(x.tolist()) if isinstance(x, np.ndarray) else x


# what is differentiated -> (the function of numpy that it is there for, f, arguments); where f is analytic, last: True
EXPRESSIONS = {
    "x + y": (np.add, lambda x, y: x + y, (V, U), True),
    "number + array": (np.add, lambda x, y: x + y, (2.0, V), True),
    "array + constant": (np.add, lambda x: 1 + x + M, (W,), True),
    "column + row": (np.add, lambda x, y: x + y, (COLUMN, ROW), True),
    "axes in front": (np.add, lambda x, y: x + y, (M, ABOVE), True),
    "one entry + array": (np.add, lambda x, y: x + y, (np.ones((1, 1)), M), True),
    "x - y": (np.subtract, lambda x, y: x - y, (V, U), True),
    "column - row": (np.subtract, lambda x, y: x - y, (COLUMN, ROW), True),
    "list - x": (np.subtract, lambda x: [1.0, 2.0, 3.0] - x, (V,), True),
    "x y": (np.multiply, lambda x, y: x * y, (V, U), True),
    "number array": (np.multiply, lambda x, y: x * y, (2.0, M), True),
    "column row": (np.multiply, lambda x, y: x * y * x, (COLUMN, ROW), True),
    "axes in front, times": (np.multiply, lambda x, y: x * y, (W, ABOVE), True),
    "a product with itself": (np.multiply, lambda x: x * x, (V,), True),
    "x / y": (np.divide, lambda x, y: x / y, (V, P), True),
    "1 / x": (np.divide, lambda x: 1 / x, (P,), True),
    "column / row": (np.divide, lambda x, y: x / y, (COLUMN, ROW), True),
    "array / number": (np.divide, lambda x, y: x / y, (M, 3.0), True),
    "x^y": (np.power, lambda x, y: x**y, (P, V), True),
    "x^3": (np.power, lambda x: x**3, (V,), True),
    "x^0": (np.power, lambda x: x**0, (V,), True),
    "x^-2": (np.power, lambda x: x**-2, (P,), True),
    "2^x": (np.power, lambda x: 2**x, (V,), True),
    "column^row": (np.power, lambda x, y: x**y, (COLUMN, ROW), True),
    "powers": (np.power, lambda x: x[:, None] ** np.arange(4), (P,), True),
    "list^x": (np.power, lambda x: [1, 2, 3] ** x, (V,), True),
    "maximum": (np.maximum, np.maximum, (V, U), False),
    "relu": (np.maximum, lambda x: np.maximum(x, 0), (M,), False),
    "maximum of column and row": (np.maximum, np.maximum, (COLUMN, ROW), False),
    "minimum": (np.minimum, np.minimum, (V, U), False),
    "minimum with a number": (np.minimum, lambda x, y: np.minimum(x, y) * x, (V, 0.1), False),
    "vector @ vector": (np.matmul, lambda x, y: x @ y, (V, U), True),
    "vector @ matrix": (np.matmul, lambda x, y: x @ y, (V, M), True),
    "matrix @ vector": (np.matmul, lambda x, y: x @ y, (M, W), True),
    "matrix @ matrix": (np.matmul, lambda x, y: x @ y, (M, N), True),
    "vector @ batch": (np.matmul, lambda x, y: x @ y, (V, BATCH), True),
    "batch @ vector": (np.matmul, lambda x, y: x @ y, (BATCH, W), True),
    "matrix @ batch": (np.matmul, lambda x, y: x @ y, (M, OTHER), True),
    "batch @ matrix": (np.matmul, lambda x, y: x @ y, (BATCH, N), True),
    "batch @ batch": (np.matmul, lambda x, y: x @ y, (BATCH, OTHER), True),
    "batch @ batch of one": (np.matmul, lambda x, y: x @ y, (BATCH, ONE), True),
    "list @ matrix": (np.matmul, lambda x: [1.0, 2.0, 3.0] @ x, (M,), True),
    "row @ column": (np.matmul, lambda x, y: x @ y, (ROW, ROW.T), True),
    "+x": (np.positive, lambda x: +x, (V,), True),
    "-x": (np.negative, lambda x: -x, (V,), True),
    "|x|": (np.absolute, abs, (V,), False),
    "square": (np.square, np.square, (V,), True),
    "sqrt": (np.sqrt, np.sqrt, (P,), True),
    "exp": (np.exp, np.exp, (V,), True),
    "expm1": (np.expm1, np.expm1, (V,), True),
    "log": (np.log, np.log, (P,), True),
    "log1p": (np.log1p, np.log1p, (P,), True),
    "sin": (np.sin, np.sin, (V,), True),
    "cos": (np.cos, np.cos, (V,), True),
    "tanh": (np.tanh, np.tanh, (V,), True),
    "sum": (np.sum, lambda x: np.sum(x * x), (M,), True),
    "sum of a number": (np.sum, lambda x: np.sum(x) * np.sum(x, axis=0), (2.0,), True),
    "sum over rows": (np.sum, lambda x: x.sum(axis=0) ** 2, (M,), True),
    "sum over an axis from behind": (np.sum, lambda x: x.sum(axis=-2) ** 2, (BATCH,), True),
    "sum over axes, kept": (np.sum, lambda x: x * np.sum(x, axis=(0, -1), keepdims=True), (BATCH,), True),
    "sum over all axes, kept": (np.sum, lambda x: x * np.sum(x, keepdims=True), (M,), True),
    "mean": (np.mean, lambda x: np.mean(x * x), (M,), True),
    "mean over columns": (np.mean, lambda x: x.mean(axis=1) ** 2, (M,), True),
    "mean over axes, kept": (np.mean, lambda x: x * x.mean(axis=(0, 2), keepdims=True), (BATCH,), True),
    "max": (np.max, lambda x: np.max(x) ** 2, (M,), False),
    "max over rows": (np.max, lambda x: x.max(axis=0) ** 2, (M,), False),
    "max over axes": (np.max, lambda x: np.max(x, axis=(0, 2)) ** 2, (BATCH,), False),
    "max over columns, kept": (np.max, lambda x: x * x.max(axis=-1, keepdims=True), (M,), False),
    "min": (np.min, lambda x: np.min(x) ** 2, (M,), False),
    "min over rows": (np.min, lambda x: x.min(axis=0) ** 2, (M,), False),
    "min over columns, kept": (np.min, lambda x: x * x.min(axis=-1, keepdims=True), (M,), False),
    "prod": (np.prod, lambda x: np.prod(x) * x, (M,), True),
    "prod of a number": (np.prod, lambda x: np.prod(x) * np.prod(x, axis=0), (2.0,), True),
    "prod of nothing": (np.prod, lambda x: np.prod(x[:0], axis=0) * x + x.prod(axis=0), (M,), True),
    "prod with a zero": (np.prod, lambda x: x.prod(), (ZERO,), True),
    "prod with zeros": (np.prod, lambda x: x.prod(axis=1), (ZEROS,), True),
    "prod over an axis from behind": (np.prod, lambda x: np.prod(x, axis=-2) ** 2, (BATCH,), True),
    "prod over axes, kept": (np.prod, lambda x: x * np.prod(x, axis=(0, -1), keepdims=True), (BATCH,), True),
    "prod over all axes, kept": (np.prod, lambda x: x * x.prod(keepdims=True), (M,), True),
    "clip": (np.clip, lambda x: np.clip(x, -0.5, 0.5) * x, (M,), False),
    "clip by variables": (np.clip, lambda x, y, z: np.clip(x * x, y, z) * x, (M, COLUMN / 4, ROW), False),
    "clip from below": (np.clip, lambda x: np.clip(x, 0.1, None) * np.clip(x, min=-0.1) * x.clip(-0.2), (M,), False),
    "clip from above": (np.clip, lambda x: np.clip(x, a_min=None, a_max=0.1) * np.clip(x, max=-0.1), (M,), False),
    "clip a constant": (np.clip, lambda x: np.clip(M, x, 2.0) * x, (0.1,), False),
    "clip not at all": (np.clip, lambda x: np.clip(x, None, None) * x, (M,), True),
    "reshape": (np.reshape, lambda x: np.reshape(x, (4, 3)) ** 2, (M,), True),
    "reshape, one side open": (np.reshape, lambda x: x.reshape(2, -1) @ x.reshape((6, 2)), (M,), True),
    "ravel": (np.ravel, lambda x: np.ravel(x) * x.T.ravel(), (M,), True),
    "ravel a number": (np.ravel, lambda x: np.ravel(x) * x, (2.0,), True),
    "flatten": (np.ravel, lambda x: x.flatten() ** 2, (BATCH,), True),
    "squeeze": (np.squeeze, lambda x: np.squeeze(x) ** 2, (ONE,), True),
    "squeeze one axis of two": (np.squeeze, lambda x: x[:, None].squeeze(axis=1) ** 2, (ONE,), True),
    "transpose": (np.transpose, lambda x: x.T @ x, (M,), True),
    "transpose around": (np.transpose, lambda x: np.transpose(x, (1, 2, 0)) ** 2, (BATCH,), True),
    "transpose from behind": (np.transpose, lambda x: np.transpose(x, (-1, 0, 1)) ** 2, (BATCH,), True),
    "swapaxes": (np.swapaxes, lambda x: np.swapaxes(x, 0, -1) ** 2, (BATCH,), True),
    "where": (np.where, lambda x, y: np.where(M > 0, x * x, y), (M, M + 1), True),
    "where, broadcast": (np.where, lambda x, y: np.where(M > 0, x, y * y), (COLUMN, 3.0), True),
    "where, of the variable": (np.where, lambda x: np.where(x > 0, x * x, -x), (M,), False),
    "concatenate": (np.concatenate, lambda x, y: np.concatenate([x, y]) ** 2, (V, U), True),
    "concatenate with a constant": (np.concatenate, lambda x: np.concatenate([M, x, x], axis=-1) ** 2, (M,), True),
    "concatenate an array": (np.concatenate, lambda x: np.concatenate(x) ** 2, (M,), True),
    "concatenate all entries": (np.concatenate, lambda x, y: np.concatenate([x, y, M], None) ** 2, (BATCH, 2.0), True),
    "concatenate lists": (np.concatenate, lambda x, y: np.concatenate([x, [y, 1.0], (y,)]) ** 2, (V, 2.0), True),
    "stack": (np.stack, lambda x, y: np.stack([x, y, x]) ** 2, (V, U), True),
    "stack columns": (np.stack, lambda x, y: np.stack([x, V, y], axis=1) ** 2, (V, U), True),
    "stack from behind": (np.stack, lambda x: np.stack([x, x**2], axis=-2) ** 2, (M,), True),
    "stack numbers": (np.stack, lambda x, y: np.stack([x, 1.0, x * y]) ** 2, (2.0, 3.0), True),
    "stack lists": (np.stack, lambda x, y: np.stack([[y, 1.0, y], x, (y, x[0], 2.0)]) ** 2, (V, 3.0), True),
    "stack an array": (np.stack, lambda x: np.stack(x, axis=1) ** 2, (M,), True),
    "list of variables times array": ("list", lambda x, y: [y, 1.0, y * y] * x, (V, 2.0), True),
    "array plus tuple of variables": ("list", lambda x, y: x * x + (y, 1.0, y), (V, 2.0), True),
    "list of rows": ("list", lambda x, y: x * [y, [1.0, 2.0, 3.0], y * y], (V, U), True),
    "nested list of variables @ vector": ("list", lambda x, y: [[y, 1.0, y], (1.0, y, y * y)] @ x, (V, 2.0), True),
    "maximum with a list": ("list", lambda x, y: np.maximum(x, [y, 0.0, -y]) * x, (V, 0.1), False),
    "more than a list": ("list", lambda x, y: x * y * (x > [y, 0.0, -y]), (V, 0.1), False),
    "dot with lists": ("list", lambda x, y: np.dot(x, [y, y, 1.0]) * x.dot([y, 2.0, x[0]]), (V, 2.0), True),
    "where with lists": ("list", lambda x, y: np.where(V > 0, [y, y * y, 1.0], x), (V, 2.0), True),
    "where with a list as condition": ("list", lambda x, y: np.where([y, 0.0, 1.0], x * y, y), (V, 2.0), True),
    "where between lists": ("list", lambda x, y: np.where(x * (x > 0), [y, y, 1.0], [1.0, y * y, y]), (V, 2.0), True),
    "clip a list": ("list", lambda x, y: np.clip([y, 1.0, -y], x, 0.9) * x, (V, 0.5), False),
    "objects": ("list", lambda x, y: plain(x * boxed(y, 1.0, y * y)), (V, 2.0), True),
    "dot of vectors": (np.dot, np.dot, (V, U), True),
    "dot of matrices": (np.dot, np.dot, (M, N), True),
    "dot of three axes and two": (np.dot, np.dot, (BATCH, N), True),
    "dot with a number": (np.dot, np.dot, (2.0, V), True),
    "dot as a method": (np.dot, lambda x, y: x.dot(y).dot(y.T), (M, N), True),
    "shape": (np.shape, lambda x: x * np.shape(x)[1] * x.shape[0] * len(x), (M,), True),
    "ndim": (np.ndim, lambda x: x * np.ndim(x) * x.ndim, (M,), True),
    "size": (np.size, lambda x: x * np.size(x) * x.size, (M,), True),
    "an entry": ("index", lambda x: x[1, 2] * x, (M,), True),
    "a row": ("index", lambda x: x[1] ** 2, (M,), True),
    "a stride, backwards": ("index", lambda x: x[::-2, 1:] ** 2, (M,), True),
    "a new axis": ("index", lambda x: x[:, None] * x[None, ..., None], (V,), True),
    "rows, some of them twice": ("index", lambda x: x[[0, 2, 0, 0]] ** 2, (M,), True),
    "entries, some of them twice": ("index", lambda x: x[[0, 1, 0], [3, 1, 3]] ** 2, (M,), True),
    "rows of a list, some of them twice": ("index", lambda x: x[range(2)] * x[deque([1, 1])], (M,), True),
    "no rows": ("index", lambda x: np.sum(x[[]]) + x**2, (M,), True),
    "a row and columns twice": ("index", lambda x: x[1, [2, 2, -2]] ** 2, (M,), True),
    "a mask": ("index", lambda x: x[M > 0] ** 2, (M,), True),
    "unpacked": ("index", lambda x: sum(row @ row for row in x), (M,), True),
    "x += y": ("in place", added_up, (M,), True),
}
CONSTANT = {
    np.greater: lambda x: x * (x > 0.2),
    np.greater_equal: lambda x: x * (x >= 0.2),
    np.less: lambda x: x * (x < 0.2),
    np.less_equal: lambda x: x * (x <= 0.2),
    np.equal: lambda x: x * (x == 0.2),
    np.not_equal: lambda x: x * (x != 0.2),
    np.sign: lambda x: x * np.sign(x),
    np.isfinite: lambda x: x * np.isfinite(x),
    np.isnan: lambda x: x * ~np.isnan(x),
}

each_expression = pytest.mark.parametrize("name", EXPRESSIONS)


def test_every_function_of_the_tables_is_here():
    assert {row[0] for row in EXPRESSIONS.values()} >= {*TABLES.ufuncs, *TABLES.functions}
    assert CONSTANT.keys() == TABLES.flat


@each_expression
def test_derivatives_are_those_of_differences(name):
    _, f, args, analytic = EXPRESSIONS[name]
    f = weighed(f)
    found = derivatives(f, args)
    assert [x.shape for x in found] == [np.shape(x) for x in args]
    assert_central(f, found, args)
    if analytic:
        assert_complex_step(f, found, args)


@each_expression
def test_derivatives_of_derivatives_are_those_of_differences(name):
    _, f, args, _ = EXPRESSIONS[name]
    f = weighed(f)

    def slopes(*at):
        parts = value_and_gradient(f)(*at)[1]
        return sum(np.sum(np.sin(2.0 + np.arange(np.size(x))).reshape(np.shape(x)) * x) for x in parts)

    assert_central(slopes, derivatives(slopes, args), args)


@each_expression
def test_the_value_is_that_of_numpy(name):
    _, f, args, _ = EXPRESSIONS[name]
    expected = weighed(f)(*args)
    assert abs(value_and_gradient(weighed(f))(*args)[0] - expected) <= TERMS * EPS * (1 + abs(expected))


@pytest.mark.parametrize("function", CONSTANT, ids=lambda function: function.__name__)
def test_what_jumps_is_constant_between_its_jumps(function):
    f = weighed(CONSTANT[function])
    assert_central(f, derivatives(f, (M,)), (M,))


def test_the_example_by_hand():
    assert gradient(lambda x, y: x**2 * (x + y))(2.0, 3.0) == (24.0, 4.0)
    assert value_and_gradient(lambda x, y: x**2 * (x + y))(2, 3) == (20.0, (24.0, 4.0))


def test_of_one_argument_there_is_one_derivative():
    found = gradient(lambda x: np.sum(x * x))(V)
    assert isinstance(found, np.ndarray)
    assert np.array_equal(found, 2 * V)
    assert isinstance(gradient(lambda x: x * x)(3.0), float)


def test_where_there_is_no_derivative_it_is_the_documented_one():
    assert gradient(abs)(0.0) == 0.0
    assert gradient(lambda x: np.maximum(x, 0))(0.0) == 0.0
    assert gradient(lambda x: np.minimum(x, 0))(0.0) == 0.0
    assert gradient(np.maximum)(1.0, 1.0) == (0.0, 1.0)
    assert gradient(np.minimum)(1.0, 1.0) == (0.0, 1.0)
    assert gradient(lambda x: np.maximum(x, x))(1.0) == 1.0
    assert gradient(np.clip)(1.0, 1.0, 2.0) == (0.0, 1.0, 0.0)
    assert gradient(np.clip)(2.0, 1.0, 2.0) == (0.0, 0.0, 1.0)
    assert np.array_equal(gradient(np.max)(np.array([2.0, 1.0, 2.0])), [0.5, 0.0, 0.5])
    assert np.array_equal(gradient(np.min)(np.array([1.0, 1.0, 2.0])), [0.5, 0.5, 0.0])
    ties = gradient(lambda x: np.sum(np.max(x, axis=1)))(np.array([[1.0, 1.0], [0.0, 3.0]]))
    assert np.array_equal(ties, [[0.5, 0.5], [0.0, 1.0]])
    assert gradient(lambda b: (-2.0) ** b)(2.0) == 0.0
    assert gradient(lambda b: 0.0**b)(2.0) == 0.0


def test_powers_of_zero_have_a_derivative():
    powers = np.arange(4)
    assert np.array_equal(gradient(lambda x: np.sum(x**powers))(np.zeros(4)), [0, 1, 0, 0])
    assert gradient(lambda x: x**0)(0.0) == 0.0
    assert gradient(lambda x: x**1)(0.0) == 1.0
    assert gradient(gradient(lambda x: x**2))(0.0) == 2.0


def test_an_argument_that_is_ignored_has_zeros():
    assert gradient(lambda x, _y: 3 * x)(1.0, 2.0) == (3.0, 0.0)
    assert gradient(lambda _x, y: 3 * y)(np.inf, 2.0) == (0.0, 3.0)
    by_x, by_y, by_z = gradient(lambda x, _y, _z: np.sum(x))(V, np.full((2, 2), np.nan), M)
    assert np.array_equal(by_x, np.ones(3))
    assert np.array_equal(by_y, np.zeros((2, 2)))
    assert np.array_equal(by_z, np.zeros((3, 4)))
    assert gradient(lambda x, _y: x)(1.0, 2.0) == (1.0, 0.0)  # nothing was computed at all


def test_a_constant_has_zeros():
    value, (by_x, by_y) = value_and_gradient(lambda _x, _y: 7.0)(V, 2.0)
    assert value == 7.0
    assert np.array_equal(by_x, np.zeros(3))
    assert by_y == 0.0
    assert np.array_equal(gradient(lambda x: np.sum(x > 0))(V), np.zeros(3))
    assert gradient(lambda x: gradient(lambda _y: 3.0)(x) + x)(2.0) == 1.0


@pytest.mark.parametrize("kind", ["?", "i1", "u4", "i8"])
def test_whole_numbers_are_differentiated_in_float64(kind):
    x = np.array([0, 1, 1], kind)
    found = gradient(lambda x: np.sum(x**3 + x / 2))(x)
    assert found.dtype == np.float64
    assert np.array_equal(found, [0.5, 3.5, 3.5])
    assert gradient(lambda x: x**2)(3) == 6.0
    assert np.array_equal(gradient(lambda x: x @ x)([1, 2]), [2, 4])


@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_derivatives_have_the_precision_of_their_argument(kind):
    def net(x, w):
        hidden = np.maximum(x @ w, 0)
        return (
            np.mean(np.max(hidden, axis=1))
            + np.maximum(np.sum(hidden), 0)
            + np.mean(hidden**2 + np.sqrt(1 + x[0, 0] ** 2))
            + np.min(np.prod(np.stack([x, np.clip(x, 0, None)]), axis=0)) * np.prod(x[:0])
        )

    by_x, by_w = gradient(net)(M.astype(kind), N.astype("f8"))
    assert by_x.dtype == kind
    assert by_w.dtype == np.float64
    assert all(found.dtype == kind for found in gradient(net)(M.astype(kind), N.astype(kind)))


def test_derivatives_do_not_share_memory():
    found = gradient(lambda x, y: np.sum(x + y.T))(M, M.T)
    assert not np.shares_memory(*found)
    assert all(x.flags.writeable and x.flags.c_contiguous for x in found)


def test_a_number_may_have_axes():
    for f in (lambda x: x @ np.ones((3, 1)), lambda x: np.reshape(x @ x, (1, 1)).T, lambda x: np.concatenate([x[:1]])):
        numerical = [np.array([f(V + h * e) - f(V - h * e) for e in np.eye(3)]).ravel() / (2 * h) for h in (STEP,)]
        assert np.abs(gradient(f)(V) - numerical[0]).max() <= TERMS * EPS / STEP  # no third derivative


def test_a_number_may_stand_in_an_array_of_objects():
    assert gradient(lambda x: boxed(x * x))(3.0) == 6.0
    assert gradient(lambda x: boxed(x * x).reshape(()))(3.0) == 6.0
    assert gradient(lambda _x: boxed(2.0))(3.0) == 0.0


def test_lists_of_outer_variables_are_arguments_of_inner_functions():
    assert gradient(lambda x: gradient(lambda v: v @ v)([x, 2 * x])[1])(3.0) == 4.0  # d/dx 4 x
    assert gradient(lambda x: gradient(lambda v: np.sum(v * [x, v[0]]))((x, 2 * x))[0])(3.0) == 3.0  # d/dx (x + 2 x)


WHOLE = np.arange(1.0, 4.0)
LARGE = np.arange(9000.0).reshape(3000, 3) % 7  # of more bytes than are copied unseen
# where a constant stands -> (f, two contents of it): whole numbers, so that sums are exact
CHANGED = {
    "factor": (lambda x, c: x * c, WHOLE, -2 * WHOLE),
    "factor, one number": (lambda x, c: x * c, np.array(2.0), np.array(5.0)),
    "exponent": (lambda x, c: x**c, np.arange(3), np.arange(3)[::-1]),
    "matrix": (lambda x, c: c @ x, LARGE, LARGE[:, ::-1]),
    "matrix of another layout": (lambda x, c: x @ c.T[:, ::2], LARGE, LARGE[:, ::-1]),
    "matrix, its last row": (lambda x, c: c @ x, LARGE, np.where(np.arange(3000)[:, None] == 2999, 9.0, LARGE)),
    "matrix of whole numbers": (lambda x, c: c @ x, LARGE.astype("i8"), LARGE[:, ::-1].astype("i8")),
    "matrix of 16 bytes a number": (lambda x, c: c @ x, LARGE.astype("g"), LARGE[:, ::-1].astype("g")),
    "row of a matrix": (lambda x, c: c[1] * x, LARGE, LARGE[:, ::-1]),
    "in a list": (lambda x, c: x * [c, x], WHOLE, -2 * WHOLE),
    "one of two": (np.maximum, WHOLE, np.array([3.0, 1.0, 2.0])),
    "index": (lambda x, c: x[c], np.array([0, 1, 1]), np.array([2, 2, 0])),
    "index beside another": (lambda x, c: x[:, None][c, 0], np.array([0, 1, 1]), np.array([2, 2, 0])),
    "mask": (lambda x, c: x[c], np.array([True, False, True]), np.array([False, True, True])),
    "condition": (lambda x, c: np.where(c, x, 0), np.array([True, False, True]), np.array([False, True, True])),
}


@pytest.mark.parametrize("name", CHANGED)
def test_constants_may_be_written_to_after_their_use(name):
    f, first, second = CHANGED[name]

    def over(contents):
        return lambda x: sum(np.sum(f(x, c) ** 2) for c in contents())

    def one_array():
        c = first.copy()
        for content in (first, second, first, first):
            c[...] = content
            yield c
        c[...] = second

    written, kept, x = over(one_array), over(lambda: [first, second, first, first]), np.array([2.0, 3.0, 5.0])
    assert value_and_gradient(written)(x)[0] == kept(x)
    for of in (lambda f: f, lambda f: lambda x: gradient(f)(x) @ x):
        assert np.array_equal(gradient(of(written))(x), gradient(of(kept))(x))


def test_a_list_that_indexes_may_be_written_to_after_its_use():
    def f(x):
        rows = [0, 0]
        found = x[rows] * x[(rows,)]
        rows[1] = 2
        return np.sum(found + x[rows])

    assert np.array_equal(gradient(f)(np.ones(3)), [5.0, 0.0, 1.0])


def test_the_sign_of_a_zero_is_seen_and_nan_is_no_change():
    c = np.full((100, 100), np.nan)
    tape = Tape(TABLES)
    first = tape.constant(c)
    assert tape.constant(c) is first
    c[:] = 0.0
    positive = tape.constant(c)
    c[:] = -0.0
    assert not np.signbit(positive).any()
    assert np.signbit(tape.constant(c)).all()


def test_a_constant_that_stays_as_it_is_has_one_copy_for_each_layout():
    A, steps = rng.standard_normal((200, 200)) / 200, 50

    def f(x):
        for _ in range(steps):
            x = x - A.T @ (A @ x)
        return x @ x

    tracemalloc.start()
    gradient(f)(np.ones(200))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 2 * A.nbytes <= most < 4 * A.nbytes  # of 100 uses


def test_perturbations_of_nested_derivatives_are_not_confused():
    def inner(x):
        return gradient(lambda y: x * y)(3.0)  # x

    assert gradient(lambda x: x * inner(x))(5.0) == 10.0
    assert gradient(lambda x: gradient(lambda y: x**2 * y**3)(x))(2.0) == 12 * 2.0**3  # d/dx 3 x^4


def test_a_product_with_the_second_derivatives_of_a_net():
    rows, widths = rng.standard_normal((6, 3)), ((3, 4), (4, 2))
    x = rng.standard_normal(sum(a * b + b for a, b in widths))
    direction, target = rng.standard_normal(x.size), rng.standard_normal((6, 2))

    def loss(x):
        V, start = rows, 0
        for number, (a, b) in enumerate(widths):
            Z = V @ x[start : start + a * b].reshape(a, b) + x[start + a * b : start + a * b + b]
            V, start = (np.maximum(Z, 0) if number == 0 else np.tanh(Z)), start + a * b + b
        return np.mean((V - target) ** 2)

    slope = gradient(loss)
    product = gradient(lambda x: slope(x) @ direction)(x)
    assert_central(lambda x: slope(x) @ direction, [product], (x,))
    along = (slope(x + STEP * direction) - slope(x - STEP * direction)) / (2 * STEP)
    third = np.abs(slope(x + 1e-3 * direction) - 2 * slope(x) + slope(x - 1e-3 * direction)) / 1e-6
    assert np.all(np.abs(along - product) <= STEP**2 * (1 + 1e3 * third) + TERMS * EPS / STEP)


@pytest.mark.parametrize(
    ("f", "args", "words"),
    [
        (lambda x: x * 2, (V,), r"returns an array of shape \(3,\): sum it up"),
        (lambda _x: V, (1.0,), r"returns an array of shape \(3,\)"),
        (lambda x: np.cumsum(x)[-1], (V,), "numpy.cumsum has no derivative here; those that have: absolute, add"),
        (np.arctan, (1.0,), "numpy.arctan has no derivative here"),
        (lambda x: np.sum(np.floor(x)), (V,), "numpy.floor has no derivative here"),
        (np.add.reduce, (V,), "numpy.add.reduce has no derivative"),
        (lambda x: np.sum(np.exp(x, out=np.zeros(3))), (V,), "numpy.exp with out=... has no derivative"),
        (array_in_place, (V,), "numpy.add with out=... .*write `a = a \\+ x`"),
        (lambda x: np.sum(np.dot(x, BATCH)), (V,), "numpy.dot of arrays of shapes .* write a @ b"),
        (float, (1.0,), "is no number: use operators and numpy's functions"),
        (lambda x: int(x) * x, (1.0,), "is no number"),
        (entry_in_place, (V,), "cannot become an array of numpy"),
        (lambda x: x, (1j,), r"argument 0 is of type complex \(complex128\); only real numbers have derivatives"),
        (lambda x, _y: x, (1.0, np.ones(2, "F")), r"argument 1 is of type ndarray \(complex64\)"),
        (lambda x: x, ("a",), "argument 0 is of type str"),
        (lambda x: x, ([None],), r"argument 0 is of type ndarray \(object\)"),
        (np.sum, (np.ma.masked_array(V, V > 0),), "argument 0 is of type MaskedArray"),
        (lambda x: np.abs(x * 1j), (3.0,), r"a constant is of type complex \(complex128\); only real"),
        (lambda x: np.sum(x * ["a", "b", "c"]), (V,), "a constant is of type ndarray"),
        (lambda x: x * None, (3.0,), "a constant is of type NoneType"),
        (lambda x: np.sum(x * np.ma.masked_array(U, U > 0)), (V,), "a constant is of type MaskedArray"),
        (lambda _x: None, (V,), "must return one real number; this one returns a value of type NoneType"),
        (lambda _x: "a", (V,), "a value of type str"),
        (lambda x: [x * x], (3.0,), "a value of type list"),
        (lambda x: (x, x), (3.0,), "a value of type tuple"),
        (lambda _x: 1j, (3.0,), "a value of type complex"),
        (lambda _x: np.array([1j]), (3.0,), r"the value of the function is of type ndarray \(complex128\)"),
        (lambda _x: np.array([None]), (3.0,), r"the value of the function is of type ndarray \(object\)"),
        (lambda x: boxed(x, x), (3.0,), r"returns an array of shape \(2,\)"),
        (
            lambda x: np.array([x * x]),
            (3.0,),
            r"np.stack\(\[x, y\]\) for np.array\(\[x, y\]\)",
        ),
        (lambda x: np.asarray(x * x), (3.0,), "cannot become an array of numpy: use it as it is"),
        (lambda x, y: np.sum(x * np.array([y, 1.0, y])), (V, 2.0), "cannot become an array"),
        (lambda x: np.sum([x, x]), (3.0,), "cannot become an array"),
        (lambda x: np.sum(V * [x, x, x]), (3.0,), "for a list of variables that meets none"),
        (lambda x: np.sum(scipy.sparse.eye_array(3).tocsr() @ x), (V,), "nor meet a sparse"),
        (lambda x: np.sum(x @ scipy.sparse.eye_array(3).tocsr()), (V,), "a constant is of type csr_array"),
        (lambda x: np.sum([x, x[0]] * x), (V,), r"values of shapes \(\), \(3,\) make no array: give them one shape"),
        (lambda x: np.sum(np.stack([x, x[:2]])), (V,), r"values of shapes \(2,\), \(3,\) make no array"),
        (lambda x: np.sum(boxed(x, x, x) * x), (V,), r"of shape \(3,\) holds objects that are arrays: write np.stack"),
        (lambda x: np.concatenate([x, 1.0])[0], (V,), "joins arrays, not numbers: write np.stack.* or axis=None"),
        (lambda x: x[x[0]], (V,), "an index has no derivative: use whole numbers"),
        (lambda x: x[1:, x[0, 0]], (M,), "an index has no derivative"),
        (lambda x: np.sum(x[x[0] :]), (V,), "an index has no derivative"),
        (lambda x: x[[x[0], 1]], (V,), "can neither index an array"),
        (lambda x: V[x[0]], (V,), "can neither index an array"),
        (lambda x: sum(range(x[0])), (V,), "an index has no derivative"),
        (lambda x: np.sum(x, dtype="f4"), (V,), "numpy.sum with dtype=... has no .* it takes a, axis, keepdims"),
        (
            lambda x: np.sum(x, None, "f4"),
            (V,),
            "numpy.sum with 3 of its arguments has no .* it takes a, axis, keepdims",
        ),
        (lambda x: np.sum(x, where=V > 0, initial=1), (V,), r"numpy.sum with where=..., initial=..."),
        (lambda x: np.mean(x, where=V > 0), (V,), "numpy.mean with where=..."),
        (lambda x: np.max(x, initial=0), (V,), "numpy.max with initial=..."),
        (lambda x: np.min(x, out=np.zeros(())), (V,), "numpy.min with out=..."),
        (lambda x: np.sum(np.reshape(x, (4, 3), order="F")), (M,), "numpy.reshape with order=.* it takes a, shape"),
        (lambda x: np.sum(np.ravel(x, "F")), (M,), "numpy.ravel with 2 of its arguments .* it takes a"),
        (lambda x: np.where(x)[0], (V,), "numpy.where with 1 of its arguments .* it takes condition, x, y"),
        (lambda x: np.sum(np.clip(x, 0, 1, out=np.zeros(3))), (V,), "numpy.clip with out=..."),
    ],
)
def test_what_has_no_derivative_is_refused_in_words(f, args, words):
    with pytest.raises(RequestError, match=words):
        gradient(f)(*args)


@pytest.mark.parametrize("derivative", [gradient, value_and_gradient])
def test_there_must_be_an_argument(derivative):
    with pytest.raises(RequestError, match="nothing to differentiate by: call the derivative with the arguments"):
        derivative(lambda: 3.0)()


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.sum(x, axis=2),
        lambda x: np.prod(x, axis=2),
        lambda x: np.min(x, axis=(0, 2)),
        lambda x: np.swapaxes(x, 0, 2),
        lambda x: np.concatenate([x, x], axis=2),
        lambda x: np.stack([x, x], axis=3),
        lambda x: np.squeeze(x, axis=2),
    ],
)
def test_an_axis_that_is_not_there_is_numpys_own_error(f):
    with pytest.raises(np.exceptions.AxisError):
        gradient(weighed(f))(M)


def test_a_variable_behaves_like_an_array():
    def f(x, number):
        assert (x.shape, x.ndim, x.size, x.dtype, len(x)) == ((3,), 1, 3, np.float64, 3)
        assert (number.shape, number.ndim, number.size) == ((), 0, 1)
        assert bool(number > 1)
        assert not number < 1
        assert number
        assert "2.0" in repr(number)
        with pytest.raises(TypeError):
            len(number)
        with pytest.raises(TypeError):
            list(number)
        return np.sum(x) * number

    gradient(f)(V, 2.0)


# another library: the same expressions of its numpy, and a net of three layers with each loss
OTHERS = {
    "logistic": lambda np, x: np.sum(np.log1p(np.exp(-x))),
    "softmax": lambda np, x: np.sum(np.log(np.sum(np.exp(x), axis=1))),
    "softmax, safe": lambda np, x: np.sum(np.exp(x - np.max(x, axis=1, keepdims=True)) ** 2),
    "standardised": lambda np, x: np.sum(((x - np.mean(x, axis=0)) / np.sqrt(np.mean(x**2, axis=0))) ** 3),
    "Gram": lambda np, x: np.sum((x.T @ x) ** 2),
    "Huber": lambda np, x: np.sum(np.where(np.abs(x) < 0.5, x**2, np.abs(x) - 0.25)),
    "polynomial": lambda np, x: np.sum(x[:, :, None] ** anp.arange(4)),
    "trigonometric": lambda np, x: np.sum(np.sin(x) * np.cos(x[::-1]) + np.tanh(x)),
    "clipped": lambda np, x: np.sum(np.minimum(np.maximum(x, -0.5), 0.5) * x),
    "clipped by numpy": lambda np, x: np.sum(np.clip(x, -0.5, 0.5) * x),
    "products": lambda np, x: np.sum(np.prod(x, axis=0) ** 2) + np.prod(x) * np.prod(x, axis=1)[0],
    "smallest": lambda np, x: np.min(x) ** 3 + np.sum(np.min(x, axis=1) * np.max(x, axis=1)),
    "stacked": lambda np, x: np.sum(np.stack([x[0], x[1] ** 2, x[0] * x[1]], axis=1) @ x.T),
    "flat": lambda np, x: np.sum(np.ravel(x) ** 2 * np.squeeze(x[None]).flatten()),
    "joined": lambda np, x: np.sum(np.concatenate([x, x**2], axis=1) @ np.concatenate([x, -x], axis=1).T),
    "gathered": lambda np, x: np.sum(x[[0, 1, 1]] * x[np.array([1, 0, 0])]),
    "turned": lambda np, x: np.sum(np.reshape(x, (3, 2)) * np.swapaxes(x, 0, 1) ** 2 @ np.transpose(x.T)),
    "mixed": lambda np, x: np.sum(np.expm1(x) / (1 + np.square(x)) - x.T[0][:, None] * np.sqrt(1 + x[:, :1] ** 2)),
}


def assert_like_autograd(f, args):
    """To rounding, in units of the largest derivative."""
    ours = gradient(lambda *args: f(np, *args))(*args)
    theirs = autograd.grad(lambda *args: f(anp, *args), tuple(range(len(args))))(*args)
    for a, b in zip(ours if len(args) > 1 else (ours,), theirs, strict=True):
        assert np.abs(a - b).max() <= TERMS * EPS * (1 + np.abs(b).max())


@pytest.mark.parametrize("name", OTHERS)
def test_autograd_says_the_same_of_an_expression(name):
    assert_like_autograd(OTHERS[name], (POINT,))


@pytest.mark.parametrize("name", OTHERS)
def test_autograd_says_the_same_of_second_derivatives(name):
    def slopes(np, x):
        derivative = gradient if np is not anp else autograd.grad
        return np.sum(np.sin(derivative(lambda x: OTHERS[name](np, x))(x)))

    assert_like_autograd(slopes, (POINT,))


def square(np, Z, y):
    return np.sum((Z - y) ** 2, axis=1) / 2


def cross_entropy(np, Z, y):
    largest = np.max(Z, axis=1, keepdims=True)
    return np.log(np.sum(np.exp(Z - largest), axis=1)) + largest[:, 0] - Z[anp.arange(len(y)), y]


def hinge(np, Z, y):
    others = np.where(anp.arange(3) == y[:, None], -anp.inf, Z)
    return np.maximum(0, 1 + np.max(others, axis=1) - Z[anp.arange(len(y)), y])


@pytest.mark.parametrize("loss", [square, cross_entropy, hinge])
def test_autograd_says_the_same_of_a_net(loss):
    own = np.random.default_rng(3)
    X, y = own.standard_normal((8, 4)), own.integers(0, 3, 8)
    target = own.standard_normal((8, 3)) if loss is square else y
    shapes = [(4, 6), (6,), (6, 5), (5,), (5, 3), (3,)]

    def net(np, W1, b1, W2, b2, W3, b3):
        Z = np.maximum(np.maximum(X @ W1 + b1, 0) @ W2 + b2, 0) @ W3 + b3
        return np.mean(loss(np, Z, target))

    assert_like_autograd(net, tuple(own.standard_normal(shape) for shape in shapes))
