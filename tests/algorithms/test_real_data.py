"""Real matrices against reference values computed in float64 by numpy and scipy, and against other tools' own output.

Reference singular values: full decompositions of the same matrices in float64 (numpy 2.4.6, scipy 1.17.1). Data that
may be redistributed lies in tests/data with its source; the rest is read from a folder shared/data beside the
repository where there is one.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse

import rnla
from rnla.demo.sea_surface import anomalies
from tests.backends import grouped

HERE = Path(__file__).parents[1] / "data"
SHARED = Path(__file__).parents[3] / "shared" / "data"
RESOLVED = 1e-6  # what the certificate means by resolved

elsewhere = pytest.mark.skipif(
    not (SHARED / "REFERENCE.json").exists(),
    reason="this data may not be redistributed, and there is no folder shared/data beside the repository",
)


def reference(name: str) -> np.ndarray:
    """Ten leading singular values from REFERENCE.json by a part of the entry's name."""
    found: list[list[float]] = []

    def walk(entry: Any, path: str) -> None:
        if isinstance(entry, dict):
            for key, value in entry.items():
                walk(value, f"{path}/{key}")
        elif path.endswith("/sv10") and name in path:
            found.append(entry)

    walk(json.loads((SHARED / "REFERENCE.json").read_text(encoding="utf-8")), "")
    assert len(found) == 1, f"{name} names {len(found)} entries"
    return np.asarray(found[0])


def genotypes(folder: Path, stem: str) -> np.ndarray:
    """Copies of the first allele, samples x variants, NaN where missing, from a PLINK 1 binary file."""
    samples = len((folder / f"{stem}.fam").read_text(encoding="utf-8").splitlines())
    raw = np.frombuffer((folder / f"{stem}.bed").read_bytes(), np.uint8)
    assert raw[:3].tolist() == [0x6C, 0x1B, 0x01]
    codes = raw[3:].reshape(-1, -(-samples // 4))
    pairs = np.stack([(codes >> (2 * i)) & 3 for i in range(4)], axis=-1).reshape(codes.shape[0], -1)
    return np.array([2.0, np.nan, 1.0, 0.0])[pairs[:, :samples].T]


def standardised(copies: np.ndarray, **options: Any) -> rnla.Matrix:
    """(g - 2p) / sqrt(2p(1 - p)), missing calls zero."""
    p = np.nanmean(copies, axis=0) / 2
    spread = np.sqrt(2 * p * (1 - p))
    return rnla.open(copies, missing="mask", **options).centred(2 * p).scaled(np.where(spread > 0, spread, 1.0))


def assert_certified(result: Any, values: np.ndarray, relative: float = 1e-11) -> None:
    """Resolved values to 1e-6, every interval holding; `relative` is how well the reference is known."""
    s = result.s if isinstance(result, rnla.SVD) else result.singular_values
    k = min(len(values), len(s))
    proof, want = result.certificate, values[:k]
    error = np.abs(s[:k] / want - 1)
    assert np.all(error[proof.resolved[:k]] <= max(RESOLVED, relative))
    assert np.all(proof.lower[:k] <= want * (1 + relative))
    assert np.all(want * (1 - relative) <= proof.upper[:k])


IRIS = [1226.6305723019482, 216.7726373125885, 193.28347287555172, 149.82050050829244, 121.91021704402812]
ERSST = [255.3712807648596, 154.77373163291787, 134.4593932552095, 121.47507532686342, 110.51032777632076]


def test_air_temperature_of_north_america() -> None:
    with np.load(HERE / "iris_a1b" / "A1B.npz") as kept:
        field = kept["air_temperature"]
    result = rnla.pca(field.reshape(field.shape[0], -1), 10)
    assert result.certificate.resolved.all()
    assert_certified(result, np.asarray(IRIS))
    assert np.all(np.abs(result.singular_values[:5] / IRIS - 1) <= RESOLVED)


def test_sea_surface_temperatures() -> None:
    result = rnla.svd(anomalies().matrix, 10)
    assert_certified(result, np.asarray(ERSST))
    assert np.all(np.abs(result.s[:5] / ERSST - 1) <= RESOLVED)


def test_propca_example_agrees_with_propca() -> None:
    copies = genotypes(HERE / "propca", "example")
    printed = np.loadtxt(HERE / "propca" / "example_evals.txt")  # singular values, six digits
    result = rnla.svd(standardised(copies), 5)
    assert_certified(result, printed, relative=5e-6)
    assert np.all(np.abs(result.s / printed - 1) <= 5e-6)


@elsewhere
def test_genotypes_with_missing_calls() -> None:
    copies = genotypes(SHARED / "genotypes_chr1", "data_chr1")
    values = reference("genotypes_chr1")
    result = rnla.svd(standardised(copies), 10)
    assert result.certificate.resolved.all()
    assert_certified(result, values)
    assert_certified(rnla.svd(standardised(copies), 10, method="krylov"), values)


@elsewhere
def test_terapca_toy_agrees_with_terapca() -> None:
    copies = genotypes(SHARED / "terapca_toy", "ToyHapmap")
    lines = (SHARED / "terapca_toy" / "ToyHapmap_singularValues.txt").read_text(encoding="utf-8").split()
    printed = np.array([float(line) for line in lines if line[0].isdigit()])[:5]  # eigenvalues of X X^T / 50
    result = rnla.svd(standardised(copies), 5)
    assert np.all(np.abs(result.s**2 / 50 / printed - 1) <= 1e-10)


def digits() -> np.ndarray:
    """Images x pixels, 0 to 255."""
    raw = gzip.decompress((SHARED / "mnist_train" / "train-images-idx3-ubyte.gz").read_bytes())
    return np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 784)


def words() -> scipy.sparse.csr_array:
    """Documents x words, counts."""
    lines = gzip.decompress((SHARED / "text_kos" / "docword.kos.txt.gz").read_bytes()).decode().splitlines()
    entries = np.array([line.split() for line in lines[3:]], dtype=np.int64)
    places = entries[:, 0] - 1, entries[:, 1] - 1
    return scipy.sparse.csr_array((entries[:, 2].astype(np.float64), places), shape=(int(lines[0]), int(lines[1])))


def cells() -> np.ndarray:
    """Cells x genes, counts."""
    store = rnla.open(SHARED / "singlecell_10k_zarr" / "10x-10k-subset.zarr" / "X")
    return store.to_dask().compute().astype(np.float64)


def logarithms(counts: np.ndarray) -> np.ndarray:
    """log(1 + 10,000 x the share of each gene in its cell)."""
    size = counts.sum(axis=1, keepdims=True)
    return np.log1p(np.divide(counts * 1e4, size, out=np.zeros_like(counts), where=size > 0))


@elsewhere
def test_digits() -> None:
    pixels = digits()
    view = rnla.open(pixels).centred().weighted(columns=np.full(784, 1 / 255))
    values = reference("mnist_train /255 centred")
    result = rnla.svd(view, 10)
    assert result.certificate.resolved.all()
    assert_certified(result, values)
    assert_certified(rnla.svd(view, 10, method="krylov"), values)


@elsewhere
def test_words() -> None:
    counts = words()
    values = reference("text_kos")
    assert_certified(rnla.svd(counts, 10), values)
    eight = rnla.svd(counts, 10, passes=8)
    assert_certified(eight, values)
    assert np.all(np.abs(eight.s / values - 1) <= RESOLVED)


@elsewhere
@pytest.mark.parametrize("logged", [False, True], ids=["raw", "log1p"])
def test_single_cells(logged: bool) -> None:
    store = SHARED / "singlecell_10k_zarr" / "10x-10k-subset.zarr" / "X"
    if not logged:
        result = rnla.pca(store, 50)
        assert_certified(result, reference("raw counts centred"))
    else:
        result = rnla.pca(logarithms(cells()).astype(np.float32), 50)
        assert_certified(result, reference("log1p(counts/libsize*1e4) centred"))
    assert result.certificate.resolved.all()


@elsewhere
def test_sampled_products_of_single_cells_are_as_wrong_as_the_reference_says() -> None:
    known = json.loads((SHARED / "REFERENCE.json").read_text(encoding="utf-8"))["sampled_product"]
    figures = known["singlecell_10k raw (X^T X over cells)"]
    X = rnla.open(SHARED / "singlecell_10k_zarr" / "10x-10k-subset.zarr" / "X")
    counts = cells()
    C = counts.T @ counts
    squared = np.linalg.norm(C) ** 2
    assert squared == pytest.approx(figures["AAT_fro2"], rel=RESOLVED)
    errors = []
    for seed in range(20):
        found = rnla.sampled_product(X.T, X, 200, seed=seed)
        errors.append(np.linalg.norm(C - np.asarray(found.value)) ** 2)
        assert found.error_bound * 200 - squared == pytest.approx(figures["E_err2_times_s_normsq"], rel=1e-5)
        assert found.cost.passes <= 2
    expected = figures["E_err2_times_s_normsq"] / 200
    assert abs(np.mean(errors) / expected - 1) <= 0.1  # issue 3
    uniform = rnla.sampled_product(X.T, X, 200, weights="uniform")
    # cells without a count are not drawn here: one of 10,000
    share = (figures["n"] - figures["zero_norm"]) / figures["n"]
    moment = (figures["E_err2_times_s_uniform"] + figures["AAT_fro2"]) * share
    assert uniform.error_bound * 200 == pytest.approx(moment, rel=1e-5)


@elsewhere
@pytest.mark.parametrize("form", [scipy.sparse.csr_array, scipy.sparse.csc_array])
def test_single_cells_kept_sparse(tmp_path: Path, form: Any) -> None:
    grouped(form, cells().astype(np.float32), tmp_path / "cells.zarr", chunk=100_000)
    result = rnla.pca(tmp_path / "cells.zarr", 50)
    values = reference("raw counts centred")
    assert_certified(result, values)
    assert np.all(np.abs(result.singular_values[:10] / values - 1) <= RESOLVED)


@elsewhere
@pytest.mark.parametrize(("form", "version"), [(scipy.sparse.csr_array, 2), (scipy.sparse.csc_array, 3)])
def test_words_kept_sparse(tmp_path: Path, form: Any, version: int) -> None:
    counts = words()
    grouped(form, form(counts), tmp_path / "words.zarr", chunk=50_000, zarr_format=version)
    stored = rnla.open(tmp_path / "words.zarr")
    assert_certified(rnla.svd(stored, 10), reference("text_kos"))
    found, known = rnla.cur(stored, 10), rnla.cur(counts, 10)
    assert found.certificate.relative_error == pytest.approx(known.certificate.relative_error, rel=1e-3)
    C = found.C if scipy.sparse.issparse(found.C) else found.C.compute()
    assert abs(C - counts[:, found.columns]).sum() == 0
    product = counts @ counts.T  # documents x documents
    squared = float((product.data**2).sum())
    drawn = [rnla.sampled_product(stored, stored.T, 200, seed=seed) for seed in range(20)]
    errors = [np.linalg.norm(product.toarray() - np.asarray(each.value)) ** 2 for each in drawn]
    expected = drawn[0].error_bound - squared / 200
    assert abs(np.mean(errors) / expected - 1) <= 0.1  # issue 3


def columns_alone(A: np.ndarray, k: int) -> float:
    """Relative error that the first k pivots of QR with column pivoting leave: those whose rest is longest."""
    rest = np.array(A, np.float64)
    for _ in range(k):
        pivot = rest[:, np.argmax((rest**2).sum(axis=0))]
        q = pivot / np.linalg.norm(pivot)
        rest -= np.outer(q, q @ rest)
    return float(np.linalg.norm(rest) / np.linalg.norm(A))


def assert_columns_and_rows(A: Any, k: int, s: np.ndarray, alone: float) -> None:
    """A CUR at most 1.1 times as wrong as full pivoted QR by columns alone, and no worse than drawn lines by median.

    `s` are at least k leading singular values.
    """
    proof = rnla.cur(A, k).certificate
    assert proof.relative_error <= 1.1 * alone
    drawn = [rnla.cur(A, k, select="norm-squared", seed=seed).certificate.relative_error for seed in range(5)]
    assert proof.relative_error <= np.median(drawn)
    energy = float(np.sum(np.square(A.data if scipy.sparse.issparse(A) else A), dtype=np.float64))
    best = float(np.sqrt(energy - np.sum(s[:k] ** 2)))
    assert proof.best_lower is not None
    assert proof.best_upper is not None
    assert proof.best_lower <= best * (1 + 1e-9) <= proof.best_upper * (1 + RESOLVED)


def spectrum(A: np.ndarray) -> np.ndarray:
    """All singular values."""
    return np.asarray(np.linalg.svd(A if len(A) <= 4 * A.shape[1] else np.linalg.qr(A, mode="r"), compute_uv=False))


def test_columns_and_rows_of_air_temperature() -> None:
    with np.load(HERE / "iris_a1b" / "A1B.npz") as kept:
        field = kept["air_temperature"]
    A = np.asarray(field.reshape(field.shape[0], -1), np.float64)
    assert_columns_and_rows(A, 10, spectrum(A), columns_alone(A, 10))


@elsewhere
def test_columns_and_rows_of_single_cells() -> None:
    counts = cells()
    known = json.loads((SHARED / "REFERENCE.json").read_text(encoding="utf-8"))["CMR_best_M"]["singlecell raw_k20"]
    alone = columns_alone(counts, 20)
    assert alone == pytest.approx(known["colID_qrcp_rel_err"], rel=1e-6)
    assert_columns_and_rows(counts, 20, spectrum(counts), alone)
    drawn = [rnla.cur(counts, 20, select="norm-squared", seed=seed).certificate.relative_error for seed in range(9)]
    assert np.median(drawn) <= 1.1 * known["CMR_normsq_c20_rel_err_median10"]  # without replacement, no worse
    logged = logarithms(counts)
    assert_columns_and_rows(logged, 20, spectrum(logged), columns_alone(logged, 20))


@elsewhere
def test_columns_and_rows_of_words() -> None:
    counts = words()
    assert_columns_and_rows(counts, 10, reference("text_kos"), columns_alone(counts.toarray(), 10))


@elsewhere
def test_columns_and_rows_of_digits() -> None:
    pixels = digits() / np.float32(255)
    assert_columns_and_rows(pixels, 10, reference("mnist_train /255 uncentred"), columns_alone(pixels, 10))
