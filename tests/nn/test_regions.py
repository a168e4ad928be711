"""Linear pieces of networks: the formula, counts against rational arithmetic and against samples, and invariances."""

import itertools
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from rnla.algorithms.arrangements import regions_by_recursion
from rnla.errors import DoesNotFitError, RequestError
from rnla.nn import Network, count_on_line, count_regions, pieces, regions, train
from tests.nn import exact
from tests.tolerances import sum_rounding

BOX = [(-3.0, 3.0), (-2.0, 2.0)]
CORNERS = [(-3, -2), (3, -2), (3, 2), (-3, 2)]


def gaussian(widths, seed, bias=1.0, dtype="float64"):
    return filled(widths, seed, dtype, lambda rng, shape: rng.standard_normal(shape) * (1 if len(shape) == 2 else bias))


def small_integers(widths, seed, dtype="float64"):
    """Parallel and equal neurons, neurons of zeros, many lines through one point."""
    return filled(widths, seed, dtype, lambda rng, shape: rng.integers(-2, 3, shape))


def filled(widths, seed, dtype, draw):
    network, rng = Network(widths, dtype=dtype), np.random.default_rng(seed)
    for layer in network.layers:
        layer.W[...] = draw(rng, layer.W.shape)
        layer.b[...] = draw(rng, layer.b.shape)
    return network


def with_layers(layers):
    widths = (len(layers[0][0]), *(len(b) for _, b in layers))
    return Network(widths, dtype="float64", parameters=np.hstack([np.hstack([np.ravel(W), b]) for W, b in layers]))


def layers_of(network):
    return [(layer.W.copy(), layer.b.copy()) for layer in network.layers]


# The formula


@pytest.mark.parametrize(
    ("N", "m", "wanted"),
    [(2, 2, 4), (3, 2, 7), (5, 3, 26), (0, 5, 1), (7, 0, 1), (0, 0, 1), (4, 4, 16), (3, 9, 8), (9, 1, 10)],
)
def test_known_numbers_of_regions(N, m, wanted):
    assert regions(N, m) == wanted == regions_by_recursion(N, m)


def test_formula_equals_recursion():
    assert all(regions(N, m) == regions_by_recursion(N, m) for N in range(31) for m in range(33))
    assert regions(400, 399) == 2**400 - 1
    assert regions(500, 220) == regions_by_recursion(500, 220)


def test_large_numbers_are_exact():
    found = regions(10**6, 1000)
    assert isinstance(found, int)
    assert found - regions(10**6, 999) == math.comb(10**6, 1000)
    assert regions(10**18, 2) == 1 + 10**18 + 10**18 * (10**18 - 1) // 2
    assert regions(np.int64(3), np.int8(2)) == 7


@pytest.mark.parametrize("count", [regions, regions_by_recursion])
@pytest.mark.parametrize(("N", "m", "name"), [(-1, 2, "N=-1"), (2, -3, "m=-3"), (2.0, 1, "N=2.0"), (2, True, "m=True")])
def test_numbers_that_count_nothing_are_refused(count, N, m, name):
    with pytest.raises(RequestError, match=name):
        count(N, m)


@pytest.mark.parametrize(("N", "m"), [(10**13, 10**13), (10**13, 6 * 10**12), (10**13, 4 * 10**12), (10**400, 10**400)])
def test_numbers_that_no_memory_holds_are_refused(N, m):
    with pytest.raises(DoesNotFitError, match="binary digits"):
        regions(N, m)


# Counts against other ways to count


@pytest.mark.parametrize("N", [1, 2, 3, 6, 12, 20])
def test_one_hidden_layer_in_general_position_reaches_the_formula(N):
    for seed in range(4):
        network = gaussian((2, N, 1), seed)
        assert count_regions(network, [(-1e5, 1e5)] * 2) == regions(N, 2)
        assert count_regions(gaussian((1, N, 1), seed), [(-1e7, 1e7)]) == regions(N, 1) == N + 1


def lines_in_box(network, corners):
    """1 + lines + sum over their crossings of (lines there - 1): Euler's formula for lines across a convex set."""
    W, b = exact.rational(network.layers[0].W), exact.rational(network.layers[0].b)
    lines = set()
    for f in zip(*W, b, strict=True):
        values = [exact.value(f, x) for x in corners]
        if min(values) < 0 < max(values):
            scale = next(a for a in f if a)
            lines.add(tuple(a / scale for a in f))
    low, high = (tuple(f(x) for x in zip(*corners, strict=True)) for f in (min, max))
    through = {}
    for f, g in itertools.combinations(sorted(lines), 2):
        sine = f[0] * g[1] - f[1] * g[0]
        if sine:
            x = (f[1] * g[2] - g[1] * f[2]) / sine, (g[0] * f[2] - f[0] * g[2]) / sine
            if all(a < y < c for a, y, c in zip(low, x, high, strict=True)):
                through.setdefault(x, set()).update((f, g))
    return 1 + len(lines) + sum(len(meeting) - 1 for meeting in through.values())


@pytest.mark.parametrize("draw", [small_integers, gaussian])
def test_one_hidden_layer_agrees_with_euler_s_formula_in_rational_arithmetic(draw):
    for seed in range(30):
        network = draw((2, 3 + seed % 12, 1), seed, dtype=["float32", "float64"][seed % 2])
        assert count_regions(network, BOX) == lines_in_box(network, CORNERS), seed


WIDTHS = [(2, 1, 1), (2, 5, 2), (2, 4, 4, 1), (2, 6, 3, 2), (2, 3, 3, 3, 1), (2, 2, 2, 2, 2, 1)]


@pytest.mark.parametrize("widths", WIDTHS, ids=str)
@pytest.mark.parametrize("draw", [small_integers, gaussian, lambda w, s: gaussian(w, s, bias=0)], ids=["Z", "R", "0"])
def test_deep_networks_agree_with_rational_arithmetic(widths, draw):
    for seed in range(6):
        network = draw(widths, seed)
        wanted, found = exact.regions(network, CORNERS), pieces(network, BOX)
        assert (found.count, found.linear) == (len(wanted), exact.linear_pieces(wanted)), seed
        assert count_regions(network, BOX) == found.count


def patterns(network, X):
    """The state of all hidden neurons at each row: (rows, neurons) bool."""
    states = []
    for layer in network.layers[:-1]:
        Z = X @ layer.W.astype("f8") + layer.b
        states.append(Z > 0)
        X = np.maximum(Z, 0)
    return np.hstack(states)


def grid(count):
    return np.stack(np.meshgrid(*(np.linspace(*side, count) for side in BOX)), axis=-1).reshape(-1, 2)


@pytest.mark.parametrize("widths", [(2, 24, 1), (2, 12, 12, 1), (2, 8, 8, 8, 8, 2)], ids=str)
def test_samples_never_find_more_patterns(widths):
    network = gaussian(widths, 5)
    seen = np.unique(np.packbits(patterns(network, grid(301)), axis=1), axis=0)
    found = count_regions(network, BOX)
    assert 0.7 * found <= len(seen) <= found


@pytest.mark.parametrize(("widths", "seed"), [((2, 3, 1), 0), ((2, 4, 1), 7), ((2, 2, 2, 1), 1)])
def test_samples_find_all_patterns_of_large_pieces(widths, seed):
    network = gaussian(widths, seed)
    seen = np.unique(np.packbits(patterns(network, grid(801)), axis=1))  # at most 8 neurons: a byte each
    assert len(seen) == count_regions(network, BOX) > 3


def test_cones_of_a_fresh_network_are_counted_along_the_boundary():
    """Without biases every neuron's zero set is made of rays from 0, and the corners of the box lie inside cones."""
    for seed in range(3):
        network = Network((2, 64, 64, 1), seed=seed)
        around = [(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)]
        sides = [count_on_line(network, a, b).count for a, b in itertools.pairwise(around)]
        assert count_regions(network, [(-1, 1), (-1, 1)]) == sum(sides) - 4 > 64


def test_regions_tile_the_box_and_hold_one_pattern_and_one_affine_map():
    network = gaussian((2, 16, 12, 8, 2), 3)
    found = pieces(network, BOX)
    x = np.array([c.mean(axis=0) for c in found.corners])
    assert np.array_equal(found.active, patterns(network, x))
    assert len(np.unique(found.active, axis=0)) == found.count > 300
    values = np.einsum("pi,pio->po", x, found.gradients) + found.offsets
    tolerance = sum_rounding("f8", 38) * 16 * 12 * 8 * 3**4
    assert np.abs(values - network(x)).max() < tolerance
    areas = [a @ np.roll(b, -1) - b @ np.roll(a, -1) for a, b in ((c - c[0]).T for c in found.corners)]
    assert min(areas) > 0  # counter-clockwise
    assert sum(areas) / 2 == pytest.approx(24, rel=tolerance)
    corners = len(np.unique(np.vstack(found.corners), axis=0))
    outer = sum(len(c) for c in found.corners) - 2 * len(found.between)
    assert corners - (len(found.between) + outer) + found.count == 1  # Euler: edge to edge
    a, b = found.between.T
    for ends in found.edges.transpose(1, 0, 2):
        jump = np.einsum("ei,eio->eo", ends, found.gradients[a] - found.gradients[b])
        assert np.abs(jump + found.offsets[a] - found.offsets[b]).max() < tolerance


# Lines


def test_breakpoints_of_one_layer_are_the_zeros_of_its_neurons():
    for seed in range(10):
        network = small_integers((1, 9, 1), seed)
        W, b = exact.rational(network.layers[0].W[0]), exact.rational(network.layers[0].b)
        zeros = sorted({-c / w for w, c in zip(W, b, strict=True) if w and abs(c) < 3 * abs(w)})
        found = count_on_line(network, [-3], [3])
        wanted = [(float(zero) + 3) / 6 for zero in zeros]
        assert np.allclose(found.breakpoints, wanted, rtol=0, atol=sum_rounding("f8", 9))
        assert found.count == count_regions(network, [(-3, 3)]) == len(zeros) + 1


@pytest.mark.parametrize("widths", [(1, 6, 6, 1), (3, 5, 1), (4, 6, 5, 2), (7, 5, 5, 5, 1)], ids=str)
@pytest.mark.parametrize("draw", [small_integers, gaussian])
def test_segments_agree_with_rational_arithmetic(widths, draw):
    for seed in range(12):
        network, rng = draw(widths, seed), np.random.default_rng(seed)
        start, stop = rng.integers(-4, 5, (2, widths[0]))
        stop[0] = start[0] + 3
        (W, b), *rest = layers_of(network)
        ends = [sum((Fraction(int(x)) * row for x, row in zip(p, exact.rational(W), strict=True)), exact.rational(b))
                for p in (start, stop)]  # fmt: skip
        wanted = along([tuple(f) for f in zip(ends[1] - ends[0], ends[0], strict=True)], rest)
        found = count_on_line(network, start, stop)
        assert found.count == len(wanted), seed
        inner = sorted(float(max(x for (x,) in part)) for part, _ in wanted)[:-1]
        tolerance = sum_rounding("f8", 40) * (1 + 10 * np.abs(network.parameters).sum())
        assert np.allclose(found.breakpoints, inner, rtol=0, atol=tolerance)
        assert found.linear == 1 + sum(a[1] != b[1] for a, b in itertools.pairwise(sorted(wanted)))


def along(first, rest):
    """Regions of 0..1 with the affine functions of the first layer given."""
    found = [(part, exact.switched(first, signs)) for part, signs in exact.cut([(Fraction(0),), (Fraction(1),)], first)]
    return exact.through(found, rest)


def test_a_line_along_an_edge_or_through_a_corner_counts_what_it_crosses():
    cross = with_layers([(np.eye(2), np.zeros(2)), (np.ones((2, 1)), [0])])  # x > 0 and y > 0
    assert count_on_line(cross, [-1, 0], [1, 0]).breakpoints.tolist() == [0.5]
    assert count_on_line(cross, [-1, -1], [1, 1]).breakpoints.tolist() == [0.5]
    assert count_on_line(cross, [0, 0], [1, 1]).count == 1
    assert count_on_line(cross, [-1, -2], [-2, -1]).count == 1


def test_bends_are_where_the_slope_of_f_changes():
    network = with_layers([([[1, 1]], [0, -0.5]), ([[1], [0]], [0])])
    found = count_on_line(network, [-1], [1])
    assert (found.count, found.breakpoints.tolist(), found.bends.tolist()) == (3, [0.5, 0.75], [True, False])
    assert found.linear == 2 == pieces(network, [(-1, 1)]).linear


# What changes nothing


SHAPES = [(2, 10, 1), (2, 7, 6, 1), (1, 8, 5, 1)]


def altered(network, change):
    """The network with its first two layers changed by a function of (W, b, the next W)."""
    (W, b), (V, c), *rest = layers_of(network)
    W, b, V = change(W, b, V)
    return with_layers([(W, b), (V, c), *rest])


def appended(weights, bias):
    return lambda W, b, V: (
        np.column_stack([W, np.full(len(W), weights)]),
        np.append(b, bias),
        np.vstack([V, np.ones(V.shape[1])]),
    )


SCALES = 10.0 ** np.array([3, -4, 0.3, 7, -7, 0.1, 1.7, 2, -2, 0.5])
ORDER = np.array([3, 0, 6, 1, 5, 2, 4])
CHANGES = {
    "neurons scaled by positive numbers": lambda W, b, V: (
        W * SCALES[: len(b)],
        b * SCALES[: len(b)],
        V / SCALES[: len(b), None],
    ),
    "neurons permuted": lambda W, b, V: tuple(
        np.concatenate([np.take(part, ORDER, axis), np.take(part, range(7, len(b)), axis)], axis)
        for part, axis in ((W, 1), (b, 0), (V, 0))
    ),
    "a neuron that is never on": appended(0.0, -1.0),
    "a neuron of zeros": appended(0.0, 0.0),
    "a neuron that is off in the box": appended(0.1, -9.0),
    "a neuron twice": lambda W, b, V: (W[:, [*range(len(b)), 2]], b[[*range(len(b)), 2]], np.vstack([V, V[:1] * 0])),
    "a neuron and its negative": lambda W, b, V: (
        np.column_stack([W, -3 * W[:, 2]]),
        np.append(b, -3 * b[2]),
        np.vstack([V, V[:1] * 0]),
    ),
}


@pytest.mark.parametrize("widths", SHAPES, ids=str)
@pytest.mark.parametrize("change", CHANGES)
def test_the_count_does_not_change_with(change, widths):
    for seed in range(5):
        network = gaussian(widths, seed)
        box = BOX[: widths[0]]
        assert count_regions(altered(network, CHANGES[change]), box) == count_regions(network, box) > 5


def test_a_neuron_without_weight_in_the_output_makes_regions_but_no_linear_pieces():
    network = gaussian((2, 8, 1), 1)
    network.layers[1].W[3] = 0
    less = with_layers([(np.delete(W, 3, W.ndim - 1 - number), np.delete(b, 3) if number == 0 else b)
                        for number, (W, b) in enumerate(layers_of(network))])  # fmt: skip
    found = pieces(network, BOX)
    assert found.linear == count_regions(less, BOX) < found.count


def test_the_count_does_not_depend_on_the_units_of_the_inputs():
    network = gaussian((2, 9, 5, 1), 4)
    (W, b), *rest = layers_of(network)
    scale, shift = np.array([1e-6, 1e3]), np.array([2e-6, -500.0])
    moved = with_layers([(W / scale[:, None], b - (shift / scale) @ W), *rest])
    box = [(a * s + t, c * s + t) for (a, c), s, t in zip(BOX, scale, shift, strict=True)]
    assert count_regions(moved, box) == count_regions(network, BOX)


def test_zero_lines_that_only_touch_the_box_cut_nothing():
    touching = [(1, 1, -2), (1, -1, 2), (1, 0, 1), (0, 1, -1), (2, 1, -9)]  # in corners, along sides, outside
    W, b = np.array(touching, dtype=float)[:, :2].T, np.array(touching, dtype=float)[:, 2]
    network = with_layers([(W, b), (np.ones((5, 1)), [0])])
    assert count_regions(network, [(-1, 1), (-1, 1)]) == 1


def test_a_network_without_hidden_layers_has_one_piece():
    assert count_regions(Network((2, 3)), BOX) == 1
    assert count_on_line(Network((5, 1)), np.zeros(5), np.ones(5)).count == 1


def test_folds_of_a_sawtooth_double_with_every_layer():
    """Telgarsky 2016: the tent map composed with itself k times has 2^k linear pieces."""
    tent = ([[2, 2]], [0, -1]), ([[1], [-2]], [0])
    (W, b), (V, c) = (tuple(np.array(part, dtype=float) for part in layer) for layer in tent)
    for depth in (1, 4, 10):
        network = with_layers([(W, b), *[(V @ W, c @ W + b)] * (depth - 1), (V, c)])
        found = count_on_line(network, [0], [1])
        assert found.linear == 2**depth
        assert np.array_equal(found.breakpoints[found.bends], np.arange(1, 2**depth) / 2**depth)


# What was trained


CENTRE, SCALE = np.array([1e5, -0.03, 7.0]), np.array([1e-3, 400.0, -2.0])


def trained(network, centre=CENTRE, scale=SCALE):
    """The network as training gives it, with a view of its inputs."""
    inputs = network.widths[0]
    X = np.random.default_rng(0).standard_normal((30, inputs))
    kind = np.arange(30) % 2
    found = train(Network((inputs, 2)), X, kind, epochs=1, batch=10, validation=0)
    cut = [None if vector is None else vector[:inputs] for vector in (centre, scale)]
    return replace(found, network=network, centre=cut[0], scale=cut[1])


def data(z):
    """Points of the data that enter a network as z."""
    z = np.asarray(z, dtype=float)
    return z / SCALE[: z.shape[-1]] + CENTRE[: z.shape[-1]]


def box_of_data():
    return np.sort(data(np.array(BOX).T).T, axis=1)


@pytest.mark.parametrize("widths", SHAPES, ids=str)
def test_what_was_trained_is_counted_in_the_units_of_the_data(widths):
    network = gaussian(widths, 3)
    box = box_of_data()[: widths[0]]
    wanted, found = pieces(network, BOX[: widths[0]]), pieces(trained(network), box)
    assert count_regions(trained(network), box) == found.count == wanted.count > 5
    assert found.linear == wanted.linear
    x = np.array([corners.mean(axis=0) for corners in found.corners])
    assert (x >= box[:, 0]).all()
    assert (x <= box[:, 1]).all()
    z = (x - CENTRE[: widths[0]]) * SCALE[: widths[0]]
    assert np.array_equal(found.active, patterns(network, z))
    values = np.einsum("pi,pio->po", x - box[:, 0], found.gradients)
    values += box[:, 0] @ found.gradients + found.offsets
    at_most = (np.abs(x)[:, :, None] * np.abs(found.gradients)).sum(axis=1).max()
    assert np.abs(values - network(z)).max() <= sum_rounding("f8", 4) * at_most
    areas = [np.ptp(c) if widths[0] == 1 else abs((c - c[0])[:, 0] @ np.roll((c - c[0])[:, 1], -1)
             - np.roll((c - c[0])[:, 0], -1) @ (c - c[0])[:, 1]) / 2 for c in found.corners]  # fmt: skip
    assert sum(areas) == pytest.approx(np.prod(np.ptp(box, axis=1)), rel=1e-9)


@pytest.mark.parametrize("widths", [(2, 10, 1), (3, 7, 6, 1)], ids=str)
def test_what_was_trained_is_counted_on_lines_of_the_data(widths):
    network = gaussian(widths, 3)
    start, stop = np.full(widths[0], -2.0), np.linspace(1, 3, widths[0])
    wanted, found = count_on_line(network, start, stop), count_on_line(trained(network), data(start), data(stop))
    assert found.count == wanted.count > 3
    lost = np.finfo(float).eps * (np.abs(data(start)) * np.abs(SCALE[: widths[0]])).max()  # of what data() rounds
    assert np.abs(found.breakpoints - wanted.breakpoints).max() <= 1e3 * lost
    assert np.array_equal(found.bends, wanted.bends)


@pytest.mark.parametrize(("centre", "scale"), [(None, None), (None, SCALE), (CENTRE, None)])
def test_a_view_that_only_centres_or_scales_or_neither_is_taken_as_it_is(centre, scale):
    network, corner = gaussian((2, 10, 1), 3), np.zeros(2) if centre is None else CENTRE[:2]
    by = np.ones(2) if scale is None else SCALE[:2]
    box = np.sort(np.array(BOX) / by[:, None] + corner[:, None], axis=1)
    assert count_regions(trained(network, centre, scale), box) == count_regions(network, BOX)


def test_an_offset_of_the_data_costs_no_region():
    """Composed with the weights, 2^40 would leave every line uncertain by 2^40 eps, some 1e-4."""
    network, far = gaussian((2, 8, 8, 1), 2), np.array([2.0**40, -(2.0**40)])
    box = [(-3 + far[0], 3 + far[0]), (-2 + far[1], 2 + far[1])]
    found = pieces(trained(network, far, None), box)
    wanted = pieces(network, BOX)
    assert found.count == wanted.count
    assert np.array_equal(found.active, wanted.active)
    assert np.array_equal(found.gradients, wanted.gradients)


# What cannot be counted


@pytest.mark.parametrize(
    "box",
    [[(-1, 1)], [(-1, 1)] * 3, [(1, -1), (0, 1)], [(0, 0), (0, 1)], [(0, np.inf), (0, 1)], [(0, np.nan), (0, 1)], "box",
     None, 3, [(0, 1, 2), (0, 1, 2)], [("a", 1), (0, 1)]],
    ids=str,
)  # fmt: skip
def test_a_box_that_is_none_is_refused(box):
    with pytest.raises(RequestError, match="2 pairs of finite numbers"):
        count_regions(Network((2, 3, 1)), box)


def test_more_than_two_inputs_are_refused_with_the_way_out():
    with pytest.raises(RequestError, match="count_on_line"):
        count_regions(Network((3, 4, 1)), [(0, 1)] * 3)
    with pytest.raises(RequestError, match=r"rnla\.nn\.Network"):
        count_regions(lambda x: x, [(0, 1)])


@pytest.mark.parametrize(
    ("start", "stop", "says"),
    [([0, 0], [1], "stop"), ([0, np.nan], [1, 1], "start"), ([1, 1], [1, 1], "same point"), ("a", [1, 1], "start")],
)
def test_points_that_make_no_segment_are_refused(start, stop, says):
    with pytest.raises(RequestError, match=says):
        count_on_line(Network((2, 3, 1)), start, stop)


def test_weights_that_are_not_finite_or_leave_float64_are_refused():
    network = gaussian((2, 3, 3, 1), 0)
    network.parameters[4] = np.nan
    with pytest.raises(RequestError, match="not finite"):
        count_regions(network, BOX)
    network.parameters[:] = 1e200
    with pytest.raises(RequestError, match="beyond float64"):
        count_regions(network, BOX)


def test_pieces_are_counted_where_samples_are_not_cut_off():
    X = np.random.default_rng(0).standard_normal((300, 2)) * [2, 50] + [0, 1000]
    found = train(Network((2, 8, 2)), X, (X[:, 0] > 0).astype(int), standardise=True, epochs=2)
    low, high = (found.centre + np.array([[-9.9], [9.9]]) / found.scale).tolist()
    assert count_regions(found, list(zip(low, high, strict=True))) > 1
    with pytest.raises(RequestError, match=r"cuts input 1 off at 5\d\d.*and 1[45]\d\d"):
        count_on_line(found, [0, 1000], [0, 2000])
