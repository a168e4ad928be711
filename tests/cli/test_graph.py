import xml.etree.ElementTree as ET

import pytest

from rnla.dashboard.graph import sweep_graph
from rnla.sweeps.geometry import FAN_IN, Geometry, join_tree


def drawn(spans):
    """Labels of a drawing, and the boxes as (x, y, width, height)."""
    page = ET.fromstring(sweep_graph(Geometry(spans, 10, 8, 1, 1, 10)))
    name = "{http://www.w3.org/2000/svg}"
    boxes = [box for box in page.iter(f"{name}rect") if box.get("rx")]
    places = [tuple(float(box.get(key)) for key in ("x", "y", "width", "height")) for box in boxes]
    labels = [text.text for text in page.iter(f"{name}text")]
    return labels, places, (float(page.get("width")), float(page.get("height")))


@pytest.mark.parametrize("spans", [1, 2, 8, 9, 24])
def test_a_small_sweep_is_drawn_whole(spans):
    labels, places, _ = drawn(spans)
    joins = sum(len(level) for level in join_tree(spans))
    assert sum(label.startswith("span ") for label in labels) == spans
    assert len(places) == 2 * spans + joins


@pytest.mark.parametrize("spans", [25, 64, 65, 513, 1000])
def test_what_is_left_out_is_counted(spans):
    labels, places, _ = drawn(spans)
    shown = sum(label.startswith("span ") for label in labels)
    (left_out,) = [int(label.split()[0].replace(",", "")) for label in labels if label.endswith(" more spans")]
    assert shown + left_out == spans
    assert len(places) < 60
    joins = sum(label.startswith("join ") for label in labels if "level" not in label)
    counted = sum(int(label.split()[0]) for label in labels if label.endswith(" more joins"))
    assert joins + counted + 1 == sum(len(level) for level in join_tree(spans))


@pytest.mark.parametrize("spans", [1, 9, 24, 25, 65, 513, 1024])
def test_boxes_neither_overlap_nor_leave_the_page(spans):
    _, places, (width, height) = drawn(spans)
    for i, (x, y, w, h) in enumerate(places):
        assert 0 <= x < x + w <= width
        assert 0 <= y < y + h <= height
        for a, b, c, d in places[i + 1 :]:
            assert x + w <= a or a + c <= x or y + h <= b or b + d <= y


@pytest.mark.parametrize("spans", [1, 65])
@pytest.mark.parametrize("title", ["One sweep", "One sweep of " + "/a/long/path" * 20])
def test_no_words_leave_the_page(spans, title):
    page = ET.fromstring(sweep_graph(Geometry(spans * 10_000_000, 10, 8, 10_000_000, 1, 10), title=title))
    for text in page.iter("{http://www.w3.org/2000/svg}text"):
        if text.get("text-anchor") == "start":
            advance = 0.65 if text.get("font-weight") == "600" else 0.56  # of DejaVu Sans, bold or not, in ems
            end = float(text.get("x")) + advance * float(text.get("font-size")) * len(text.text)
            assert end <= float(page.get("width"))


def test_a_panel_has_no_more_rows_than_the_store():
    assert "up to 1 panel, 50 rows each" in sweep_graph(Geometry(50, 10, 8, 63, 1, 10))


def test_a_graph_is_svg_and_nothing_else(command, store, tmp_path):
    done = command("plan", "svd", store, "--k", 3, "--graph", tmp_path / "g.png")
    assert done.exit_code == 2
    assert "give a file name that ends in .svg" in done.stderr
    assert not (tmp_path / "g.png").exists()


def test_plan_draws_it(command, store, tmp_path):
    done = command("plan", "svd", store, "--k", 3, "--graph", tmp_path / "g.svg")
    assert done.exit_code == 0
    page = (tmp_path / "g.svg").read_text(encoding="utf-8")
    assert store in page
    assert f"joined {FAN_IN} at a time" in page
