from itertools import pairwise

import pytest

from rnla.cli.scree import EIGHTHS, scree


def heights(plot):
    """Height of each bar in eighths of a line."""
    return [sum(EIGHTHS.index(line[i]) for line in plot.lines) for i in range(len(plot.lines[0]))]


def test_heights_are_logarithmic():
    tall = heights(scree([1.0, 0.1, 0.01, 0.001], width=4))
    steps = [a - b for a, b in pairwise(tall)]
    assert max(steps) - min(steps) <= 1
    assert tall[0] == 80


def test_the_smallest_value_is_seen_and_zero_is_not():
    plot = scree([3.0, 1e-4, 0.0], width=3)
    first, second, third = heights(plot)
    assert first > second > 0
    assert third == 0


def test_a_flat_spectrum_looks_flat():
    assert len(set(heights(scree([1.0, 0.999, 0.998], width=3)))) == 1


def test_more_modes_than_columns_share_bars():
    plot = scree([0.9**i for i in range(100)], width=30)
    assert len(plot.modes) <= 30
    assert [i for group in plot.modes for i in group] == list(range(100))
    assert heights(plot) == sorted(heights(plot), reverse=True)


def test_few_modes_have_wide_bars():
    assert len(scree([2.0, 1.0], width=40).lines[0]) == 6


@pytest.mark.parametrize("values", [[], [0.0], [0.0, 0.0]])
def test_nothing_to_draw(values):
    assert scree(values, width=10).lines == ()


def test_axis_ends_are_labelled():
    plot = scree([100.0, 1.0], width=10)
    assert plot.labels[0] == "1e+02"
    assert 0.5 < float(plot.labels[-1]) < 1.0


def test_ascii_terminals_get_ascii():
    assert "".join(scree([4.0, 2.0, 1.0], width=9, ascii_only=True).lines).isascii()
