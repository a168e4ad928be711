"""Networks as functions of arrays: their formula, and in plain words what they do not take."""

import numpy as np
import pytest

import rnla
from rnla.algorithms.network import ROWS
from rnla.errors import DoesNotFitError, NonFiniteError, OverflowedError, RequestError, UnsupportedError
from rnla.nn import Network
from tests.tolerances import sum_rounding

WIDTHS = (5, 7, 3)


def rows(count=40):
    return np.random.default_rng(0).standard_normal((count, WIDTHS[0]))


def spoilt(value, at=(17, 2), count=40):
    X = rows(count)
    X[at] = value
    return X


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [0, 1, ROWS - 1, ROWS + 3, 2 * ROWS])
def test_values_are_the_formula(dtype, count):
    network, X = Network(WIDTHS, dtype=dtype, seed=2), rows(count)
    (A, a), (B, b) = ((W.astype("f8"), c.astype("f8")) for W, c in network.layers)
    expected = np.maximum(X @ A + a, 0) @ B + b
    size = (np.abs(X) @ np.abs(A) + np.abs(a)) @ np.abs(B) + np.abs(b)
    found = network(X)
    assert (found.shape, found.dtype) == ((count, 3), dtype)
    assert np.all(np.abs(found - expected) <= sum_rounding(dtype, sum(WIDTHS)) * size)


def test_a_list_and_integers_are_taken():
    network = Network(WIDTHS, seed=2)
    X = np.arange(10).reshape(2, 5)
    assert np.array_equal(network(X), network(X.astype("f4")))
    assert np.array_equal(network(X.tolist()), network(X))


REFUSED = {
    "rows of two lengths": (lambda net: net([[1, 2], [3]]), RequestError, "X is no array"),
    "words": (lambda net: net([["a"] * 5]), RequestError, "X must be numbers"),
    "one dimension": (lambda net: net(np.zeros(5)), RequestError, r"shape \(5,\)"),
    "other columns": (lambda net: net(np.zeros((3, 4))), RequestError, r"give \(rows, 5\)"),
    "complex numbers": (lambda net: net(rows() + 1j), UnsupportedError, "X is complex"),
    "masked numbers": (lambda net: net(np.ma.masked_array(rows(), rows() > 0)), UnsupportedError, "masked"),
    "NaN": (lambda net: net(spoilt(np.nan)), NonFiniteError, r"X\[17, 2\] is nan"),
    "infinity": (lambda net: net(spoilt(-np.inf)), NonFiniteError, r"X\[17, 2\] is -inf"),
    "NaN in a later part": (
        lambda net: net(spoilt(np.nan, (ROWS + 1, 4), ROWS + 9)), NonFiniteError, rf"X\[{ROWS + 1}, 4\] is nan",
    ),
    "numbers beyond float32": (
        lambda net: net(spoilt(1e39)), OverflowedError, r"X\[17, 2\] is 1e\+39, beyond the range of float32.*float64",
    ),
    "values beyond float32": (
        lambda net: net(spoilt(3e38)), OverflowedError, "F at row 17 of X leaves the range of float32.*float64",
    ),
    "a network of NaN": (
        lambda net: net.with_parameters(net.parameters * np.nan)(rows()), RequestError, "are not finite",
    ),
    "parameters that are words": (
        lambda _: Network((2, 1), parameters=["a", "b", "c"]), RequestError, "parameters must be numbers",
    ),
    "parameters in rows of two lengths": (
        lambda _: Network((2, 1), parameters=[[1, 2], [3]]), RequestError, "parameters is no array",
    ),
    "complex parameters": (lambda _: Network((2, 1), parameters=[1j, 2, 3]), RequestError, "parameters are complex"),
    "parameters beyond float32": (
        lambda _: Network((2, 1), parameters=[1, 2, -1e39]), RequestError, r"parameter 2 is -1e\+39.*float64",
    ),
    "too few parameters": (lambda _: Network((2, 1), parameters=[1, 2]), RequestError, "has 3, in one dimension"),
    "layers beyond memory": (
        lambda _: Network((10**6, 10**6, 1)), DoesNotFitError, "1,000,002,000,001 parameters.*narrower layers",
    ),
    "layers beyond numpy": (lambda _: Network((10**13, 10**13)), DoesNotFitError, "narrower layers"),
    "layers beyond floating point": (lambda _: Network((10**400, 2)), DoesNotFitError, "narrower layers"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_network_does_not_take_is_said(case):
    action, kind, words = REFUSED[case]
    network = Network(WIDTHS, seed=2)
    network.layers[0].W[...] *= 50
    with pytest.raises(kind, match=words):
        action(network)


def test_float64_holds_what_float32_does_not():
    network = Network(WIDTHS, dtype="float64", seed=2)
    assert np.isfinite(network(spoilt(1e39))).all()
    assert np.isnan(Network((1, 1), parameters=[np.nan, 0]).parameters[0])  # as after descent that went astray


def test_complex_columns_are_refused_in_prediction_too():
    with pytest.raises(RequestError, match="imaginary parts"):
        rnla.nn.predict(Network(WIDTHS), rows() + 1j)


def test_what_notebooks_and_prompts_show_is_a_few_words_and_no_arrays():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((300, 4))
    b = A @ [1, 2, 3, 4] + rng.standard_normal(300)
    net = Network((4, 6, 2), seed=3)
    plane = Network((2, 6, 1), seed=3)
    shown = {
        "Network": net,
        "Trained": rnla.nn.train(net, A, (b > 0).astype(int), epochs=1),
        "Study": rnla.nn.descent_study(A, b, steps=50, epochs=1, seeds=2),
        "Path": rnla.nn.descend(A, b, steps=50, truth=[1, 2, 3, 4], noise=0.3),
        "OnLine": rnla.nn.count_on_line(plane, [-1, 0], [1, 1]),
        "Pieces": rnla.nn.pieces(plane, [(-1, 1), (-1, 1)]),
    }
    for name, found in shown.items():
        told = repr(found)
        assert told.startswith(f"{name}(")
        assert "array" not in told
        assert "\n" not in told
        assert len(told) < 300
        assert found._repr_html_().startswith("<table><caption>")
    assert "in epoch 1 of 1, which was kept" in repr(shown["Trained"])
    assert f"<td>{shown['OnLine'].count}</td>" in shown["OnLine"]._repr_html_()
    assert f"least {shown['Path'].true_errors.min():.4g}" in repr(shown["Path"])
    assert "3 samplings over 2 seeds of 1 epoch)" in repr(shown["Study"])
