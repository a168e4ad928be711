"""The report of a result: one file, complete, right about its numbers, and never the whole factor in memory."""

import re
import tracemalloc
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import zarr

from rnla.dashboard.page import Section
from rnla.dashboard.reading import LONGEST_LINE, SAMPLES, profile, strips_of
from rnla.dashboard.report import write_report
from rnla.errors import IntegrityError, OutputError, StoreError
from rnla.store.stored import open_stored
from tests.dashboard.results import made_result

VOID = {"meta", "br", "img", "link", "hr"}


class Nesting(HTMLParser):
    """Open tags, and everything that would be fetched."""

    def __init__(self):
        super().__init__()
        self.open, self.wrong, self.fetched, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        self.fetched += [value for name, value in attrs if name in {"src", "href"} and not value.startswith("data:")]
        self.fetched += [tag] if tag in {"script", "link", "iframe"} else []

    def handle_startendtag(self, tag, attrs):
        """Closed where it is opened."""

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        self.text.append(data)


def report(place, **options):
    page = write_report(place, place.parent / "report.html", **options).read_text(encoding="utf-8")
    found = Nesting()
    found.feed(page)
    assert not found.open
    assert not found.wrong
    assert not found.fetched
    return page, " ".join("".join(found.text).split())


@pytest.mark.parametrize("pipeline", ["svd", "pca"])
def test_report_is_one_wellformed_file_that_fetches_nothing(tmp_path, pipeline):
    page, text = report(made_result(tmp_path / "r.zarr", pipeline=pipeline))
    assert "url(" not in page
    assert "@import" not in page
    assert page.count("<svg") == 10  # scree, share, 3 modes along both sides, 2 planes
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page
    title = {"svd": "Singular value decomposition", "pca": "Principal components"}[pipeline]
    assert f"{title} of ocean & ice.zarr" in text  # and escaped: the parser found it whole


def test_headline_says_what_how_wrong_and_at_which_cost(tmp_path):
    _, text = report(made_result(tmp_path / "r.zarr", (300, 80), 12))
    assert "The 12 leading singular triplets of a 300 \N{MULTIPLICATION SIGN} 80 matrix of float32" in text
    assert "57.7 %" in text  # sqrt(1 - 1 / 1.5)
    assert "99.9999 %" in text
    assert "6 of 12 are known to one millionth" in text
    assert "read 4 times (384 kB) in 12.3 s; peak memory 402 MB, within the 420 MB" in text
    assert "No fingerprint vouches" in text
    assert "finished 2026-11-22 10:00 UTC" in text


def test_tolerance_missed_and_promise_broken_are_said_plainly(tmp_path):
    place = made_result(tmp_path / "r.zarr", tolerance=1e-3, met=False, status="tolerance_not_met")
    group = zarr.open_group(place)
    record = dict(group.attrs["rnla"])
    record["cost"] = record["cost"] | {"peak_bytes": 500_000_000}
    group.attrs["rnla"] = record
    _, text = report(place)
    assert "0.001, was not reached" in text
    assert "above the 420 MB that the plan promised" in text
    assert "exceeded" in text


def test_table_holds_every_mode_also_those_folded_away(tmp_path):
    page, _ = report(made_result(tmp_path / "r.zarr", (200, 90), 45))
    assert [int(mode) for mode in re.findall(r'<th scope="row">(\d+)</th>', page)] == list(range(1, 46))
    assert "Modes 21 to 45" in page


def test_wide_tables_scroll_and_show_that_they_do(tmp_path):
    page, _ = report(made_result(tmp_path / "r.zarr"))
    assert page.count('<div class="wide" tabindex="0"><table') == page.count("<table")
    assert re.search(r"\.wide \{ overflow-x: auto; background:\s+linear-gradient", page)


def test_resolved_is_told_by_shape_not_by_colour_alone(tmp_path):
    page, _ = report(made_result(tmp_path / "r.zarr"))
    scree = page[page.index("<svg") : page.index("</svg>")]
    assert scree.count('<circle class="known"') == 6 + 1  # and one in the key
    assert scree.count('<rect class="open"') == 6 + 1


@pytest.mark.parametrize(("shape", "k"), [((1, 1), 1), ((5, 1), 1), ((2, 9), 2), ((9000, 3), 3)])
def test_smallest_and_long_results_are_drawn(tmp_path, shape, k):
    page, text = report(made_result(tmp_path / "r.zarr", shape, k))
    assert "nan" not in page
    assert ("one mode only" in text) == (k == 1)
    assert ("Too long for a line" in text) == (max(shape) > LONGEST_LINE)


def test_complex_factors_are_drawn_by_their_real_parts(tmp_path):
    _, text = report(made_result(tmp_path / "r.zarr", dtype="complex64"))
    assert "left singular vector along row, real part" in text


@pytest.mark.parametrize("change", ["zeros", "infinite", "no_numbers"])
def test_degenerate_numbers_are_drawn_and_spelt(tmp_path, change):
    values = {"zeros": dict.fromkeys(("s", "lower", "upper"), 0.0), "infinite": {"upper": np.inf}}.get(change)
    place = made_result(tmp_path / "r.zarr", pipeline="svd", values=values)
    group = zarr.open_group(place)
    record = dict(group.attrs["rnla"])
    record["certificate"] = record["certificate"] | {"spectral_bound": None, "frobenius_norm": 0.0}
    if change == "no_numbers":
        record |= {"cost": {}, "plan": {}, "input": {}, "certificate": {}, "config": {}, "versions": {}}
    group.attrs["rnla"] = record
    page, text = report(place)
    assert "nan" not in page
    assert ("not known" in text) or ("∞" in text)
    assert not re.search(r'="[^"]*\binf', page)


def test_extras_come_before_the_general_parts(tmp_path):
    page, _ = report(made_result(tmp_path / "r.zarr"), extras=[Section("Maps & more", "<p>here</p>")])
    assert page.index("Maps &amp; more") < page.index("<h2>Singular values")


def test_text_of_the_record_cannot_become_markup(tmp_path):
    nasty = "<script>alert(1)</script>"
    place = made_result(tmp_path / "r.zarr", attributes={"method": nasty, "config": {nasty: nasty}, "seed": nasty})
    page, _ = report(place)
    assert "<script" not in page


def test_what_is_no_result_is_refused_with_the_cure(tmp_path):
    zarr.open_group(tmp_path / "other.zarr", mode="w")
    for name in ("absent.zarr", "other.zarr"):
        with pytest.raises(StoreError, match=r"no result of rnla's.*check the path"):
            write_report(tmp_path / name, tmp_path / "r.html")
    newer = made_result(tmp_path / "newer.zarr", attributes={"format": 2})
    with pytest.raises(StoreError, match="format 2"):
        write_report(newer, tmp_path / "r.html")


def test_result_of_a_plugged_in_pipeline_gets_a_plain_page(tmp_path):
    record = {"pipeline": "<qr>", "certificate": {"relative_error": 0.25, "lossy": True, "steps": [1, 2]}}
    page, text = report(made_result(tmp_path / "r.zarr", (300, 80), 12, attributes=record))
    assert "The result of the pipeline <qr> for a 300 \N{MULTIPLICATION SIGN} 80 matrix of float32" in text
    assert "<qr>" not in page
    assert "Its relative error is 25.0 %" in text
    for name, shape in {
        "U": "300 \N{MULTIPLICATION SIGN} 12",
        "Vt": "12 \N{MULTIPLICATION SIGN} 80",
        "s": "12",
    }.items():
        assert re.search(f'<th scope="row">{name}</th><td>{shape}</td>', page)
    assert page.index("Certificate") < page.index("Arrays") < page.index("Promised and measured")
    _, bare = report(made_result(tmp_path / "bare.zarr", attributes={"pipeline": "qr", "certificate": None}))
    assert "carries no certificate" in bare


def flip(chunk):
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(data)


@pytest.mark.parametrize("harm", [flip, Path.unlink])
@pytest.mark.parametrize("name", ["U/c/0/0", "Vt/c/0/0", "lower/c/0"])
def test_a_damaged_array_is_refused_not_drawn(tmp_path, harm, name):
    place = made_result(tmp_path / "r.zarr")
    harm(place / name)
    with pytest.raises(IntegrityError, match=name.split("/")[0]):
        write_report(place, tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


def test_place_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(OutputError, match=r"absent/r\.html"):
        write_report(made_result(tmp_path / "r.zarr"), tmp_path / "absent" / "r.html")


def test_tall_factor_is_read_by_strips_never_whole(tmp_path):
    rows, modes = 400_000, 25
    array = zarr.create_array(
        tmp_path / "U", shape=(rows, modes), chunks=(4096, modes), dtype="float32", dimension_names=("row", "mode")
    )
    ramp = np.arange(rows, dtype=np.float32)
    for start in range(0, rows, 4096):
        array[start : start + 4096] = np.repeat(ramp[start : start + 4096, None], modes, axis=1)
    tracemalloc.start()
    found = profile(open_stored(array), "row")
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < rows * modes * 4 / 2
    assert found.seen == found.length == rows
    assert found.low[0, 0] == 0
    assert found.high[0, -1] == rows - 1
    assert 2 * SAMPLES / 3 < found.sample.shape[0] <= SAMPLES
    assert np.all(np.diff(found.sample[:, 0]) > 0)


def test_strips_are_whole_chunks_and_bounded_in_number():
    strips = list(strips_of(10**9, 4096, 200))
    assert len(strips) <= 64
    assert all(strip.start % 4096 == 0 for strip in strips)
    assert strips[0].start == 0
    assert strips[-1].stop == 10**9
    assert [(strip.start, strip.stop) for strip in strips_of(10, 3, 8)] == [(0, 10)]
