"""Drawings of linear pieces: every piece drawn once, in one file that needs no other, legible whatever the box."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import rnla
from rnla.dashboard.tilings import HUES, STEPS, shade
from rnla.errors import OutputError, RequestError
from rnla.nn import Network, picture, pieces, train

SVG = "{http://www.w3.org/2000/svg}"
BOX = [(-1, 1), (-1, 1)]


def network(widths=(2, 9, 6, 2), seed=0):
    found, rng = Network(widths, seed=seed), np.random.default_rng(seed)
    for layer in found.layers:
        layer.b[...] = 0.4 * rng.standard_normal(layer.b.shape)
    return found


def drawn(path):
    """The drawing in a file, and its texts."""
    text = path.read_text(encoding="utf-8")
    svg = (
        text
        if path.suffix == ".svg"
        else re.search("<svg.*</svg>", text, re.DOTALL)[0].replace("<svg", f'<svg xmlns="{SVG[1:-1]}"')
    )
    tree = ET.fromstring(svg)
    return tree, [node.text for node in tree.iter(f"{SVG}text")]


@pytest.mark.parametrize("ending", ["svg", "html"])
def test_every_region_and_every_edge_is_drawn_once(tmp_path, ending):
    net, wheel = network(), HUES * STEPS
    found = pieces(net, BOX)
    tree, texts = drawn(picture(net, BOX, tmp_path / f"pieces.{ending}", output=1))
    paths = [node.get("d") for node in tree.iter(f"{SVG}path") if node.get("class") is None]
    assert sum(path.count("Z") for path in paths) == found.count + wheel
    edges = sum(path.count("L") for path in paths if "Z" not in path)
    assert edges == len(found.edges)
    assert f"{found.count} activation regions, {found.linear} linear pieces of F" in texts
    assert {"layer 1", "layer 2", "input x₁", "input x₂", "output 1 rises"} < set(texts)
    chips = [node for node in tree.iter(f"{SVG}rect") if node.get("fill") == shade(0, 0)]
    assert len(chips) == sum(text.startswith("layer ") or text == "F is the same" for text in texts)


@pytest.mark.parametrize("ending", ["svg", "html"])
def test_what_was_trained_is_drawn_in_the_units_of_the_data(tmp_path, ending):
    rng = np.random.default_rng(0)
    X = np.array([1000.0, -0.02]) + rng.standard_normal((60, 2)) * [20, 0.001]
    found = train(network(), rnla.open(X).centred().scaled(), X[:, 0] > 1000, epochs=1, batch=20, validation=0)
    box = [(950, 1050), (-0.022, -0.018)]
    own = [tuple((np.array(side) - c) * s) for side, c, s in zip(box, found.centre, found.scale, strict=True)]
    tree, texts = drawn(picture(found, box, tmp_path / f"data.{ending}"))
    alone, _ = drawn(picture(found.network, own, tmp_path / f"own.{ending}"))
    assert {"980", "1,000"} < set(texts)

    def fills(svg):
        paths = [node for node in svg.iter(f"{SVG}path") if "Z" in node.get("d") and node.get("class") is None]
        return [(node.get("fill"), node.get("d").count("Z"), node.get("d").count("L")) for node in paths]

    assert fills(tree) == fills(alone)
    assert texts[0].startswith(f"{pieces(found, box).count} activation regions")


def test_the_strongest_colour_is_told_in_words(tmp_path):
    net = network((2, 3, 1))
    for layer, W in zip(net.layers, ([[1, 0, 0], [0, 0, 0]], [[30], [0], [0]]), strict=True):
        layer.W[...], layer.b[...] = W, 9
    text = picture(net, [(0, 5), (0, 1)], tmp_path / "a.html").read_text(encoding="utf-8")
    assert "full colour of the rim of the wheel F rises by 150 from one side of the frame to the other" in text


def test_a_file_needs_nothing_beside_it(tmp_path):
    for name in ("a.svg", "a.html"):
        text = picture(network(), BOX, tmp_path / name).read_text(encoding="utf-8").replace(SVG[1:-1], "")
        assert not re.search(r"https?:|<script|@import|<link|url\(", text)


def test_counts_of_lines_and_edges_without_a_bend_are_told(tmp_path):
    net = network((2, 5, 1))
    net.layers[1].W[2] = 0
    _, texts = drawn(picture(net, [(-9, 9), (-9, 9)], tmp_path / "a.svg"))
    assert any("(at most 16)" in text and "linear pieces of F" in text for text in texts if text)
    assert "F is the same" in texts


@pytest.mark.parametrize(
    "box", [BOX, [(0, 1e-3), (0, 2000)], [(-10, 10), (-1, 1)], [(0, 1), (5, 8)], [(1e6, 2e6), (0, 1)]]
)
@pytest.mark.parametrize("widths", [(2, 1), (2, 3, 1), (2, 5, 5, 5, 5, 5, 5, 5, 3)], ids=str)
def test_everything_lies_on_the_paper(tmp_path, box, widths):
    tree, _ = drawn(picture(network(widths), box, tmp_path / "a.svg"))
    width, height = float(tree.get("width")), float(tree.get("height"))
    for node in tree.iter(f"{SVG}text"):
        if node.get("x"):
            assert 0 <= float(node.get("x")) <= width - 30
            assert 8 <= float(node.get("y")) <= height
    places = [(x, y) for node in tree.iter(f"{SVG}path") if node.get("class") is None
              for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", node.get("d"))]  # fmt: skip
    x, y = np.array(places, dtype=float).T
    assert 0 <= min(x.min(), y.min()) <= x.max() <= width
    assert y.max() <= height


def test_names_of_axes_are_escaped(tmp_path):
    assert "a < b & c" in drawn(picture(network(), BOX, tmp_path / "a.svg", names=("a < b & c", "y")))[1]


def test_fills_are_light_and_the_flat_one_has_no_colour():
    colours = [[int(shade(h, s)[i : i + 2], 16) for i in (1, 3, 5)] for h in range(HUES) for s in range(STEPS + 1)]
    assert min(np.mean(colour) for colour in colours) > 190
    assert len(set(map(tuple, colours[:: STEPS + 1]))) == 1
    assert np.ptp(colours[0]) <= 1


@pytest.mark.parametrize(
    ("net", "box", "name", "output", "says"),
    [
        (network(), BOX, "a.png", 0, r"\.svg or \.html"),
        (network(), BOX, "a.svg", 2, r"0\.\.1"),
        (network(), BOX, "a.svg", -1, "at least 0"),
        (network(), [(1, 0), (0, 1)], "a.svg", 0, "low < high"),
        (Network((3, 4, 1)), [(0, 1)] * 3, "a.svg", 0, "2 inputs"),
        ("net", BOX, "a.svg", 0, "Network"),
    ],
)
def test_what_cannot_be_drawn_is_refused(tmp_path, net, box, name, output, says):
    with pytest.raises(RequestError, match=says):
        picture(net, box, tmp_path / name, output=output)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(OutputError, match="give another place"):
        picture(network(), BOX, tmp_path / "no folder" / "a.svg")
