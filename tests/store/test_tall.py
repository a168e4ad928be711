"""Tall results: what is written by rows, in any order and any number of times, is what is read."""

import pickle

import numpy as np
import pytest
import zarr

from rnla.errors import IntegrityError, RequestError
from rnla.store.tall import Scratch, made_tall


@pytest.mark.parametrize("dtype", ["f4", "f8", "c16"])
@pytest.mark.parametrize("step", [20, 40, 13, 1, 200])
def test_rows_written_are_rows_read(tmp_path, dtype, step):
    U = np.random.default_rng(0).standard_normal((103, 7)).astype(dtype)
    tall = pickle.loads(pickle.dumps(Scratch(str(tmp_path)).tall("U", U.shape, U.dtype, 20)))
    for _ in range(2):
        for start in reversed(range(0, 103, step)):
            tall.write(slice(start, min(start + step, 103)), U[start : start + step])
    assert tall.shape == U.shape
    assert np.array_equal(tall.source.read(slice(0, 103), slice(0, 7)), U)
    assert np.array_equal(zarr.open_array(tmp_path / "U", mode="r")[...], U)


def test_blocks_of_another_type_or_layout_are_converted(tmp_path):
    tall = made_tall(tmp_path / "U", (10, 3), np.dtype("f4"), 5)
    U = np.asfortranarray(np.arange(30.0).reshape(10, 3))
    tall.write(slice(0, 10), U)
    assert np.array_equal(tall.source.read(slice(0, 10), slice(0, 3)), U.astype("f4"))


def test_rows_never_written_are_missing_not_zero(tmp_path):
    tall = made_tall(tmp_path / "U", (10, 3), np.dtype("f4"), 5)
    tall.write(slice(0, 5), np.ones((5, 3), "f4"))
    with pytest.raises(IntegrityError, match=r"chunk \(1, 0\).*missing"):
        tall.source.read(slice(0, 10), slice(0, 3))


def test_zeros_are_written_like_any_number(tmp_path):
    tall = made_tall(tmp_path / "U", (10, 3), np.dtype("f4"), 5)
    tall.write(slice(0, 10), np.zeros((10, 3), "f4"))
    assert not tall.source.read(slice(0, 10), slice(0, 3)).any()


def test_the_same_name_is_the_same_place_and_another_array_is_refused(tmp_path):
    tall = made_tall(tmp_path / "U", (10, 3), np.dtype("f4"), 5)
    assert made_tall(tmp_path / "U", (10, 3), np.dtype("f4"), 5) == tall
    with pytest.raises(RequestError, match="another array"):
        made_tall(tmp_path / "U", (10, 4), np.dtype("f4"), 5)
    with pytest.raises(RequestError, match=r"block of shape \(2, 3\)"):
        tall.write(slice(0, 5), np.ones((2, 3)))


def test_writing_again_gives_the_same_bytes_and_leaves_nothing_else(tmp_path):
    tall = made_tall(tmp_path / "U", (10, 3), np.dtype("f4"), 5)
    tall.write(slice(0, 10), np.ones((10, 3), "f4"))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    tall.write(slice(0, 10), np.ones((10, 3), "f4"))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert sorted(path.name for path in before) == ["0", "0", "zarr.json"]


@pytest.mark.parametrize("shape", [(0, 3), (5, 0), (0, 0), (1, 1)])
def test_empty_and_tiny_shapes_work(tmp_path, shape):
    tall = made_tall(tmp_path / "U", shape, np.dtype("f8"), 4)
    tall.write(slice(0, shape[0]), np.ones(shape))
    assert np.array_equal(tall.source.read(slice(0, shape[0]), slice(0, shape[1])), np.ones(shape))


@pytest.mark.parametrize("dtype", ["f4", "c16"])
@pytest.mark.parametrize("step", [20, 13, 200])
def test_a_grid_is_written_a_strip_of_columns_at_a_time(tmp_path, dtype, step):
    A = np.random.default_rng(0).standard_normal((103, 17)).astype(dtype)
    grid = pickle.loads(pickle.dumps(Scratch(str(tmp_path)).grid("A", A.shape, A.dtype, (20, 5))))
    assert [(columns.start, columns.stop) for columns, _ in grid.strips()] == [(0, 5), (5, 10), (10, 15), (15, 17)]
    for columns, strip in reversed(grid.strips()):
        assert strip.shape == (103, columns.stop - columns.start)
        for start in reversed(range(0, 103, step)):
            rows = slice(start, min(start + step, 103))
            strip.write(rows, A[rows, columns])
    assert grid.shape == A.shape
    assert np.array_equal(grid.source.read(slice(0, 103), slice(0, 17)), A)
    z = zarr.open_array(tmp_path / "A", mode="r")
    assert z.chunks == (20, 5)
    assert np.array_equal(z[...], A)


def test_a_strip_that_was_never_written_is_missing(tmp_path):
    grid = Scratch(str(tmp_path)).grid("A", (10, 4), np.dtype("f4"), (5, 2))
    grid.strips()[0][1].write(slice(0, 10), np.ones((10, 2), "f4"))
    with pytest.raises(IntegrityError, match=r"chunk \(0, 1\).*missing"):
        grid.source.read(slice(0, 10), slice(0, 4))


def test_a_block_of_another_width_does_not_fit_a_strip(tmp_path):
    grid = Scratch(str(tmp_path)).grid("A", (10, 3), np.dtype("f4"), (5, 2))
    with pytest.raises(RequestError, match="cannot take a block"):
        grid.strips()[1][1].write(slice(0, 10), np.ones((10, 2), "f4"))
