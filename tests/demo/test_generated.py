"""The generated matrix: its factors are what it says, whatever its size."""

import numpy as np
import pytest
import zarr

from rnla.demo.generated import COLUMNS, SIGNAL, Panels, right_vectors, rounding, spectrum, write_generated


@pytest.mark.parametrize("blocks", [1, 3])
def test_singular_values_and_vectors_are_the_known_ones(blocks):
    n = 128
    panels = Panels(blocks, n)
    A = np.vstack([panels.block(i) for i in range(blocks)]).astype(np.float64)
    U, s, Vt = np.linalg.svd(A, full_matrices=False)
    exact = spectrum(n)
    assert A.shape == (blocks * n, n)
    np.testing.assert_allclose(s, exact, rtol=0, atol=rounding(n, exact))
    overlap = np.abs(np.sum(Vt[:SIGNAL] * right_vectors(n)[:SIGNAL], axis=1))
    np.testing.assert_allclose(overlap, 1, atol=1e2 * np.finfo(np.float32).eps)
    assert np.abs(U[:, :SIGNAL]).max() < 10 / np.sqrt(blocks * n)  # spread over all rows, not a few


def test_blocks_differ_and_come_again_the_same():
    first, again = Panels(4, 64), Panels(4, 64)
    np.testing.assert_array_equal(first.block(2), again.block(2))
    assert not np.array_equal(first.block(0), first.block(1))


def test_spectrum_is_descending_signal_over_a_noise_floor():
    s = spectrum()
    assert s.size == COLUMNS
    assert np.all(np.diff(s) < 0)
    assert s[SIGNAL - 1] == pytest.approx(2 * s[SIGNAL])


def test_store_holds_the_blocks_with_checksums(tmp_path):
    written = []
    write_generated(tmp_path / "g.zarr", 2, threads=2, told=written.append)
    array = zarr.open_array(tmp_path / "g.zarr", mode="r")
    assert array.shape == (2 * COLUMNS, COLUMNS)
    assert sum(written) == array.nbytes
    assert array.metadata.to_dict()["codecs"][-1]["name"] == "crc32c"
    np.testing.assert_array_equal(array[COLUMNS:], Panels(2).block(1))
