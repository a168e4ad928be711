"""Blocks of a Dask array are what it declares, or the error says which is not, and why."""

import dask.array
import numpy as np
import pytest
from dask.distributed import Client

import rnla
from rnla.errors import IntegrityError, RnlaError, StoreError, UnsupportedError
from tests.matrices import random_of

A = random_of("f8", (50, 20))
MASKED = "masked arrays are ambiguous"


def lazy(made=lambda block: block, dtype="f8", A=A):
    """A in blocks of 10 x 10, each as `made` gives it, and declared to be as before."""
    given = dask.array.from_array(A, chunks=(10, 10))
    return given.map_blocks(made, dtype=dtype, meta=np.empty((0, 0), dtype), chunks=given.chunks, name=False)


def fourth(made):
    """A function of blocks that changes the one of rows 30..39, columns 10..19 only."""
    return lambda block: made(block) if np.array_equal(block, A[30:40, 10:]) else block


AT_FOURTH = r"rows 30\.\.39, columns 10\.\.19 of the Dask array"
LIES = {
    "a row less": (fourth(lambda block: block[:-1]), rf"{AT_FOURTH} .*declares \(10, 10\) .* block is \(9, 10\)"),
    "a row more": (fourth(lambda block: np.vstack([block, block[:1]])), r"block is \(11, 10\)"),
    "a vector": (fourth(lambda block: block[0]), r"block is \(10,\)"),
    "a sum": (fourth(np.sum), r"block is \(\)"),
    "complex": (fourth(lambda block: block + 1j), rf"{AT_FOURTH} .*of float64 here.*of complex128"),
    "text": (fourth(lambda block: block.astype(str)), "of <U32"),
}


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("lie", LIES)
def test_a_block_that_is_not_what_was_declared_is_named(lie, turned):
    made, words = LIES[lie]
    given = rnla.open(lazy(made))
    with pytest.raises(IntegrityError, match=words):
        rnla.svd(given.T if turned else given, 2)


def failing(block):
    return block / (1 if block[0, 0] != A[30, 10] else 1 // 0)


CAUSE = rf"{AT_FOURTH} .*: a block cannot be made, ZeroDivisionError: integer division"


@pytest.mark.parametrize("turned", [False, True])
def test_what_fails_inside_a_block_is_told_with_its_rows(turned):
    given = rnla.open(lazy(failing))
    with pytest.raises(StoreError, match=CAUSE) as caught:
        rnla.svd(given.T if turned else given, 2)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_what_fails_inside_a_block_on_a_cluster_is_told_with_its_rows():
    with Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0"):
        with pytest.raises(StoreError, match=CAUSE):
            rnla.norms(lazy(failing))
        with pytest.raises(IntegrityError, match=r"block is \(9, 10\)"):
            rnla.norms(lazy(LIES["a row less"][0]))


@pytest.mark.parametrize("error", [TimeoutError("slow"), UnsupportedError("ours")])
def test_errors_that_pass_and_errors_of_ours_stay_what_they_are(error):
    def failing(block):
        raise error

    with pytest.raises(type(error), match=str(error)) as caught:
        rnla.svd(lazy(failing), 2)
    assert isinstance(caught.value, RnlaError) == isinstance(error, RnlaError)


def test_a_factor_that_cannot_be_read_is_told_with_its_rows():
    U, s, Vt = np.linalg.svd(A, full_matrices=False)
    bad = dask.array.from_array(U, chunks=(10, 20)).map_blocks(lambda block: block / (1 // 0), dtype="f8", meta=U[:0])
    with pytest.raises(StoreError, match=r"rows 0\.\.49, columns .* ZeroDivisionError"):
        rnla.certify(A, bad, s, Vt)


def test_masked_arrays_are_refused_when_opened_and_when_only_the_blocks_are_masked():
    with pytest.raises(UnsupportedError, match=MASKED):
        rnla.open(dask.array.ma.masked_greater(lazy(), 1))
    with pytest.raises(UnsupportedError, match=MASKED):
        rnla.svd(lazy(lambda block: np.ma.masked_greater(block, 1)), 2)


def test_blocks_of_a_narrower_type_or_of_another_grid_are_taken():
    s = rnla.svd(A, 3).s
    assert np.allclose(rnla.svd(lazy(lambda block: block.astype("f4")), 3).s, s, rtol=1e-6, atol=0)
    assert np.allclose(rnla.svd(lazy().rechunk((7, 3)), 3).s, s, rtol=1e-12, atol=0)
