"""The reports of norms, similar columns and sampled products: what they say is what the result holds."""

import math
import re

import numpy as np
import pytest
import scipy.sparse

import rnla
from rnla.arrays import spelt_bytes
from rnla.dashboard.norms import norms_of
from rnla.dashboard.reading import shown
from rnla.store.results import ResultWriter
from tests.backends import grouped
from tests.dashboard.results import record
from tests.dashboard.test_bases import told
from tests.dashboard.test_report import report


def stored(place, pipeline, arrays, proof, config, shape=(300, 80), sweeps=()):
    """A result of small arrays, as a pipeline writes it."""
    writer = ResultWriter(str(place.with_name("making")))
    for name, (values, dimensions) in arrays.items():
        writer.set(name, values, dimensions)
    made = record(pipeline, shape, proof)
    writer.publish(place, made | {"config": config, "cost": made["cost"] | {"sweeps": list(sweeps)}})
    return place


def product(place, count=40, *, replace=True, sweeps=(), **proof):
    """300 terms, drawn with weights that fall."""
    chances = 1.0 / np.arange(1, 31)
    chances /= chances.sum() * 1.2
    arrays = {
        "indices": (np.arange(30)[::-1], ("drawn",)),
        "counts": (np.ones(30, dtype=np.int64), ("drawn",)),
        "probabilities": (chances[::-1], ("drawn",)),
        "scales": (np.ones(30), ("drawn",)),
    }
    certificate = {
        "expected_error": 2.0, "expected_error_bound": 3.0, "measured_error": 2.5, "norm_estimate": 100.0,
        "expected_relative_error": 0.02, "terms": 300, "draws": count, "different": 30, "tolerance": None,
        "needed": None, "met": True, "status": "ok",
    }  # fmt: skip
    config = {"weights": "product", "replace": replace, "transposed": True}
    return stored(place, "sampled-product", arrays, certificate | proof, config, sweeps=sweeps)


def test_sampled_product_sets_expected_beside_measured(tmp_path):
    page, text = report(product(tmp_path / "r.zarr"))
    rows = told(page)
    assert "The product of the transpose of a 300 \N{MULTIPLICATION SIGN} 80 matrix of float32 and the matrix" in text
    assert "40 draws with replacement of its 300 terms (30 different)" in text
    assert "On average over draws, the error is 2.00 % of the product" in text
    assert "probes measured 2.50 %" in text
    assert "≤ 3.00 %" in text
    for tolerance, spelt in ((0.1, "10.0 %"), (0.01, "1.00 %")):
        assert [spelt, f"{math.ceil(40 * (0.02 / tolerance) ** 2):,}"] in rows


def test_other_weights_are_set_beside_those_taken(tmp_path):
    errors = {"product": 2.0, "norm-squared": 4.0, "uniform": 7.0}
    page, text = report(product(tmp_path / "r.zarr", expected_errors=errors))
    rows = told(page)
    at = rows.index(["draws by", "expected error at 40"])
    assert rows[at + 1 : at + 4] == [["product", "2.00 %"], ["norm-squared", "4.00 %"], ["uniform", "7.00 %"]]
    assert "Dashed: expected of draws by other weights" in text
    assert "square: measured" in text
    assert "square" not in report(product(tmp_path / "none.zarr", measured_error=None))[1]


def test_terms_drawn_once_at_most_are_compared_with_even_chances(tmp_path):
    page, text = report(product(tmp_path / "r.zarr", count=30, replace=False))
    rows = told(page)
    assert "30 terms of 300, none twice" in text
    assert "all alike: 0.10" in text  # 30 of 300
    assert ["0.100 %", "300, each once"] in rows  # never more than there are


def test_draws_are_listed_by_their_probability(tmp_path):
    rows = told(report(product(tmp_path / "r.zarr"))[0])
    at = rows.index(["term", "times drawn", "probability", "\N{MULTIPLICATION SIGN} that of even draws"])
    assert [row[0] for row in rows[at + 1 : at + 21]] == [str(i) for i in range(20)]


def test_second_read_is_told_apart_from_the_first(tmp_path):
    size = 300 * 80 * 4
    place = product(tmp_path / "r.zarr", sweeps=[size, 3 * size])
    rows = told(report(place)[0])
    assert ["first read, for norms and probes", f"{size // 1000} kB", "100 %"] in rows
    assert ["second read, of chunks with drawn terms", f"{3 * size // 1000} kB", "300 %"] in rows


@pytest.mark.parametrize("kept", [False, True])
def test_reads_of_sparse_products_are_told_by_what_was_read(tmp_path, kept):
    A = np.where(np.arange(60 * 40).reshape(60, 40) % 3 == 0, 1.0 + np.arange(40), 0.0)
    grouped(scipy.sparse.csr_array, A, tmp_path / "a")
    if kept:
        rnla.norms(tmp_path / "a", keep=True)
    X = rnla.open(tmp_path / "a")
    found = rnla.sampled_product(X.T, X, 40, replace=False, out=tmp_path / "r.zarr")
    rows = told(report(tmp_path / "r.zarr")[0])
    one = spelt_bytes(X.geometry.bytes)
    first = ["first read, none: the norms were kept beside the stores", "0 B", "0 %"]
    assert (first if kept else ["first read, for norms and probes", one, "100 %"]) in rows
    assert ["second read, of chunks with drawn terms", one, "100 %"] in rows
    assert sum(found.cost.sweeps) == found.cost.bytes_read


@pytest.mark.parametrize(
    "proof",
    [
        {"expected_error": 0.0, "measured_error": 0.0, "expected_relative_error": 0.0},
        {"norm_estimate": 0.0, "expected_relative_error": None},
        {"expected_error_bound": None, "measured_error": None},
    ],
)
def test_products_that_are_exact_zero_or_not_measured_are_told(tmp_path, proof):
    page, text = report(product(tmp_path / "r.zarr", **proof))
    told(page)
    assert "Sampled product" in text


def test_missed_tolerance_says_how_many_draws_it_needs(tmp_path):
    _, text = report(product(tmp_path / "r.zarr", tolerance=0.01, needed=160, met=False))
    assert "was not reached: it needs 160 draws" in text


def similar(place, count):
    cosine = np.linspace(0.5, 0.99, count)
    first, second = np.zeros(count, dtype=np.int64), np.arange(1, count + 1)
    arrays = {
        "first": (first, ("pair",)), "second": (second, ("pair",)), "cosine": (cosine, ("pair",)),
        "first_names": (np.array(["zero"] * count, dtype=object), ("pair",)),
        "second_names": (np.array([f"<{i}>" for i in second], dtype=object), ("pair",)),
    }  # fmt: skip
    proof = {"threshold": 0.5, "pairs": count, "missed": 1e-6, "sketch_rows": 64, "status": "ok"}
    return stored(place, "similarity", arrays, proof, {"threshold": 0.5})


def test_pairs_are_listed_by_name_the_most_similar_first(tmp_path):
    page, text = report(similar(tmp_path / "r.zarr", 50))
    rows = told(page)
    assert ["1", "0", "zero", "50", "&lt;50&gt;", "0.990000"] in rows
    assert ["0", "zero", "50"] in rows  # it belongs to all pairs
    assert "missed with probability 10⁻⁶ at most" in text
    bars = [int(count) for count in re.findall(r"<title>([\d,]+) pairs</title>", page)]
    assert sum(bars) == 50


def test_no_pair_is_no_table(tmp_path):
    page, text = report(similar(tmp_path / "r.zarr", 0))
    told(page)
    assert "No two columns are as similar as that" in text


def lengths(place, columns, rows):
    arrays = {"column_norms": (columns[:, None], ("gene", "norm")), "row_norms": (rows[:, None], ("row", "norm"))}
    proof = {"frobenius_norm": float(np.sqrt(columns.sum())), "exact": True, "status": "ok"}
    return stored(place, "column-norms", arrays, proof, {}, (rows.size, columns.size))


def test_energy_of_the_largest_columns_is_told(tmp_path):
    columns = np.r_[np.zeros(100), np.full(99, 1.0), 101.0]
    place = lengths(tmp_path / "r.zarr", columns, np.full(50, 4.0))
    page, text = report(place)
    rows = told(page)
    assert ["199", "101.00", "50.5 %", "50.50 %"] in rows
    assert "<span>Zero columns</span><b>100</b><span>of 200</span>" in page
    assert "exact and rounded once" in text
    found = norms_of(shown(place), "column")
    assert found.held(0.01) == pytest.approx(102 / 200)
    assert found.whole


@pytest.mark.parametrize("columns", [np.zeros(5), np.ones(1)])
def test_norms_of_the_smallest_matrices_are_told(tmp_path, columns):
    page, _ = report(lengths(tmp_path / "r.zarr", columns, columns))
    told(page)
    zeros = int((columns == 0).sum())
    assert f"<span>Zero columns</span><b>{zeros}</b><span>of {columns.size}</span>" in page
