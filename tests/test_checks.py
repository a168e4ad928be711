"""Arguments of the wrong kind are refused by name, everywhere a person can give them."""

import numpy as np
import pytest
import xarray

import rnla
from rnla.errors import RequestError, RnlaError
from rnla.store.rechunk import rechunk
from tests.backends import written

A = np.random.default_rng(2).standard_normal((30, 8))
CALLS = {
    "memory of nothing": (lambda _: rnla.svd(A, 2, memory_bytes=0), "memory_bytes=0 must be at least 1"),
    "memory in words": (lambda _: rnla.svd(A, 2, memory_bytes="1GB"), "memory_bytes='1GB' must be an integer"),
    "memory of a plan": (lambda _: rnla.plan("svd", A, 2, memory_bytes=1e9), "memory_bytes=.* must be an integer"),
    "out": (lambda _: rnla.svd(A, 2, out=7), "out=7 must be a path"),
    "nothing to load": (lambda _: rnla.load(None), "path=None must be a path"),
    "strip": (lambda _: rnla.open(A, strip_bytes=1.5), "strip_bytes=1.5 must be an integer"),
    "threads": (lambda _: rnla.open(A, threads=0), "threads=0 must be at least 1"),
    "allow_missing": (lambda _: rnla.open(A, allow_missing="yes"), "allow_missing='yes' must be True or False"),
    "scale": (lambda _: rnla.pca(A, 2, scale="yes"), "scale='yes' must be True or False"),
    "tol": (lambda _: rnla.svd(A, tol=True), "tol=True must be a relative error between 0 and 1"),
    "explained": (lambda _: rnla.pca(A, explained="0.9"), "explained='0.9' must be a share of the variance"),
    "oversample": (lambda _: rnla.svd(A, 2, oversample=-1), "oversample=-1 must be at least 0"),
    "k": (lambda _: rnla.svd(A, True), "k=True must be an integer"),
    "seed": (lambda _: rnla.svd(A, 2, seed="lucky"), "seed='lucky' must be an integer"),
    "method": (lambda _: rnla.svd(A, 2, method=["gram"]), r"method=\['gram'\] must be one of auto, krylov"),
    "missing": (lambda _: rnla.open(A, missing=["mask"]), r"missing=\['mask'\] must be one of error, mask"),
    "pipeline": (
        lambda _: rnla.plan(None, A, k=2),
        "pipeline=None must be the name of one: column-norms, cur, descent-study, id, pca",
    ),
    "weights": (lambda _: rnla.open(A).weighted(rows=["a"] * 30), "rows must be numbers"),
    "scale of text": (lambda _: rnla.open(A).scaled(["a"] * 8), "scale must be numbers"),
    "no values": (lambda _: rnla.certify(A, np.zeros((30, 0)), [], np.zeros((0, 8))), "s has no values"),
    "a Dataset": (
        lambda _: rnla.open(xarray.Dataset({"x": (("a", "b"), A)})),
        r"arrays, 'x': give one.*dataset\[name\]",
    ),
    "panel": (lambda place: rechunk(place, f"{place}.copy", panel_bytes=0), "panel_bytes=0 must be at least 1"),
    "itself": (lambda place: rechunk(place, place, overwrite=True), "this is the source itself"),
}


@pytest.mark.parametrize("call", CALLS)
def test_it_is_refused_by_name(tmp_path, call):
    done, words = CALLS[call]
    written(A, tmp_path / "a.zarr", (10, 8))
    with pytest.raises(RnlaError, match=words):
        done(tmp_path / "a.zarr")
    if call != "a Dataset":
        with pytest.raises(RequestError):
            done(tmp_path / "a.zarr")


def test_numbers_of_numpy_are_numbers():
    few = rnla.svd(A, np.int64(2), passes=np.int32(2), oversample=np.uint8(4), seed=np.int16(3))
    assert few.s.tobytes() == rnla.svd(A, 2, passes=2, oversample=4, seed=3).s.tobytes()
    for kind in (np.float32, np.float64, np.float16):
        assert rnla.pca(A, explained=kind(0.5)).certificate.explained_variance >= 0.5
        assert rnla.svd(A, tol=kind(0.5)).certificate.relative_error <= 0.5
    assert rnla.pca(A, 2, scale=np.True_).scale is not None


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_a_matrix_subclass_is_an_array():
    assert rnla.svd(np.matrix(A), 2).s.tobytes() == rnla.svd(A, 2).s.tobytes()
