"""Looks at targets: one read each, whatever the size of the numbers, and every byte of it counted."""

import numpy as np
import pytest
import zarr

import rnla
import rnla.algorithms.targets
from rnla.algorithms.targets import look_bytes, moments_of, size_of, standard
from rnla.opening import open_column
from tests.faults import passes_read, watched
from tests.tolerances import sum_rounding

SIZES = (1e-297, 1e-170, 1.0, 1e160, 1e297)


@pytest.fixture(autouse=True)
def strips(monkeypatch):
    """Targets are looked at some rows at a time."""
    monkeypatch.setattr(rnla.algorithms.targets, "STRIP_ENTRIES", 60)


def growing(m=500):
    """Columns whose numbers become larger from strip to strip, smaller, or stay; of zeros first; of one value."""
    rng = np.random.default_rng(0)
    slope = np.geomspace(1e-3, 1e3, m)
    zeros_first = np.where(np.arange(m) < m // 2, 0.0, 1.0)
    return rng.standard_normal((m, 5)) * np.column_stack(
        [slope, slope[::-1], np.ones(m), zeros_first, np.zeros(m)]
    ) + np.array([5.0, 0, -3, 0, 7])


@pytest.mark.parametrize("size", SIZES)
def test_moments_come_from_one_read_for_numbers_of_any_size(tmp_path, size):
    Y = growing()
    y = watched(rnla.open(Y * size), tmp_path / "log")
    centre, scale = moments_of(y.source)
    expected = np.append(Y.std(axis=0)[:4], 1.0 / size)  # a column that is constant is not scaled
    assert np.abs(centre / size - Y.mean(axis=0)).max() <= sum_rounding("f8", len(Y)) * np.abs(Y).max()
    assert scale / size == pytest.approx(expected, rel=sum_rounding("f8", len(Y)))
    assert passes_read(tmp_path / "log", Y.shape) == 1


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("column", range(5))
def test_the_size_of_a_column_comes_from_one_read(tmp_path, size, column):
    b = growing()[:, [column]]
    y = watched(rnla.open(b * size), tmp_path / "log")
    unit, energy = size_of(y.source)
    assert 0.5 <= np.abs(b * size * unit).max() < 1.0
    assert np.frexp(unit)[0] == 0.5  # a power of two
    assert energy == pytest.approx(float(np.sum((b * size * unit) ** 2)), rel=sum_rounding("f8", len(b)))
    assert passes_read(tmp_path / "log", b.shape) == 1


def test_the_size_of_zeros_is_zero():
    assert size_of(rnla.open(np.zeros((200, 1))).source) == (1.0, 0.0)


def test_a_look_counts_what_is_decoded(tmp_path):
    values = growing()[:, 0]
    zarr.create_array(str(tmp_path / "plain"), data=values, chunks=(100,), compressors=None)
    zarr.create_array(str(tmp_path / "packed"), data=values, chunks=(100,))
    for name, expected in (
        ("plain", 8 * 500),
        ("packed", 8 * 100 * (9 + 3)),
    ):  # strips of 60: three begin inside a chunk
        y = open_column(tmp_path / name)
        assert look_bytes(y.source) == expected
        standard(y)
        assert y.meter.total().bytes_read == expected


@pytest.mark.parametrize("kind", ["Classifier", "Regressor"])
def test_an_estimator_counts_its_look_at_stored_targets(tmp_path, kind):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((400, 3)), rng.integers(0, 2, 400).astype("f8")
    for name, array in (("X", X), ("y", y)):
        zarr.create_array(str(tmp_path / name), data=array, compressors=None)
    A, b = (watched(open_column(tmp_path / name), tmp_path / f"log of {name}") for name in ("X", "y"))
    model = getattr(rnla.nn, kind)(hidden=(4,), epochs=2, batch=40, learning_rate=0.01).fit(A, b)
    read = X.nbytes * passes_read(tmp_path / "log of X", X.shape)
    read += y.nbytes * passes_read(tmp_path / "log of y", (400, 1))
    cost = model.trained_.cost
    assert cost.bytes_read == read == sum(cost.sweeps)
    assert cost.passes == pytest.approx(read / (X.nbytes + y.nbytes))
