"""Sparse groups equal the matrices they were written from; what is wrong with them is found, named and located."""

import pickle
import tracemalloc
from dataclasses import replace

import numcodecs
import numpy as np
import pytest
import scipy.sparse
import zarr

import rnla
from rnla.errors import IntegrityError, NonFiniteError, RequestError, StoreError, UnsupportedError
from rnla.store.manifest import fingerprint, verify
from rnla.sweeps import nonzeros
from rnla.sweeps.nonzeros import sparse_geometry
from rnla.sweeps.products import Gram
from rnla.sweeps.runners import Threads
from tests.backends import grouped
from tests.faults import passes_read, watched
from tests.matrices import named
from tests.tolerances import backward

SHAPE = (53, 29)
CODECS = {
    "plain": {"compressors": None},
    "crc32c": {"compressors": zarr.codecs.Crc32cCodec()},
    "zstd": {"compressors": zarr.codecs.ZstdCodec()},
    "sharded": {"shards": (80,), "compressors": None},
    "transpose": {"filters": zarr.codecs.TransposeCodec(order=(0,))},
    "v2 plain": {"zarr_format": 2, "compressors": None},
    "v2 blosc": {"zarr_format": 2, "compressors": numcodecs.Blosc()},
    "v2 shuffle": {"zarr_format": 2, "filters": [numcodecs.Shuffle(4)], "compressors": numcodecs.Zlib()},
}
FORMS = {"csr": scipy.sparse.csr_array, "csc": scipy.sparse.csc_array}


def matrix(shape=SHAPE, density=0.3, dtype="f8", seed=4):
    rng = np.random.default_rng(seed)
    A = scipy.sparse.random_array(shape, density=density, rng=rng, data_sampler=rng.standard_normal)
    return A.toarray().astype(dtype)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("codec", CODECS)
def test_any_rows_of_a_sparse_group_equal_those_in_memory(tmp_path, codec, form):
    A = matrix()
    grouped(FORMS[form], A, tmp_path / "a.zarr", chunk=20, **CODECS[codec])
    S = pickle.loads(pickle.dumps(rnla.open(tmp_path / "a.zarr").source))
    assert (S.shape, S.dtype, S.by_rows) == (A.shape, A.dtype, form == "csr")
    scratch = np.empty(2 * A.nbytes + 8192, np.uint8)
    for rows, columns in [
        (slice(0, 53), slice(0, 29)),
        (slice(3, 47), slice(0, 29)),
        (slice(3, 47), slice(5, 23)),
        (slice(52, 53), slice(28, 29)),
        (slice(7, 7), slice(0, 29)),
    ]:
        for room in (None, scratch):
            assert np.array_equal(S.read(rows, columns, room).toarray(), A[rows, columns])
            assert np.array_equal(S.transposed.read(columns, rows, room).toarray(), A[rows, columns].T)


@pytest.mark.parametrize("types", [("f4", "i4", "i4"), ("f8", "i8", "i8"), ("i2", "u4", "u8"), (">f4", ">i4", ">i8")])
def test_every_type_of_element_and_index_is_read(tmp_path, types):
    A = scipy.sparse.csr_array(np.round(10 * matrix()).astype(types[0]).astype(np.dtype(types[0]).newbyteorder("=")))
    parts = {
        name: getattr(A, name).astype(kind) for name, kind in zip(("data", "indices", "indptr"), types, strict=True)
    }
    written(tmp_path / "a.zarr", parts, A.shape, zarr_format=2)
    assert np.array_equal(read(rnla.open(tmp_path / "a.zarr")), A.toarray())


@pytest.mark.parametrize("elements", ["f2", "?"])
def test_elements_that_scipy_does_not_multiply_are_converted(tmp_path, elements):
    A = scipy.sparse.csr_array(np.round(10 * matrix()))
    parts = {"data": A.data.astype(elements), "indices": A.indices, "indptr": A.indptr}
    written(tmp_path / "a.zarr", parts, A.shape)
    expected = scipy.sparse.csr_array((A.data.astype(elements).astype("f8"), A.indices, A.indptr), shape=A.shape)
    X = np.eye(SHAPE[1])
    (found,) = rnla.open(tmp_path / "a.zarr").sweep(Gram(X))
    assert np.allclose(found, (expected.T @ expected).toarray(), rtol=1e-6)


def test_groups_are_opened_as_zarr_objects_in_memory_and_in_zip_files(tmp_path):
    A = matrix()
    grouped(FORMS["csr"], A, tmp_path / "a.zarr")
    remote = f"memory://{tmp_path.name}/a.zarr"
    grouped(FORMS["csr"], A, remote)
    with zarr.storage.ZipStore(tmp_path / "a.zip", mode="w") as store:
        S = scipy.sparse.csr_array(A)
        group = zarr.create_group(store, path="X", attributes={"encoding-type": "csr_matrix", "shape": list(A.shape)})
        for name in ("data", "indices", "indptr"):
            group.create_array(name, data=getattr(S, name), chunks=(97,))
    for place in (remote, zarr.open_group(tmp_path / "a.zarr", mode="r"), tmp_path / "a.zip" / "X"):
        assert np.array_equal(read(rnla.open(place, allow_missing=True)), A)


def read(A):
    m, n = A.shape
    return A.source.read(slice(0, m), slice(0, n)).toarray()


def written(place, parts, shape, encoding="csr_matrix", zarr_format=3):
    """A group of these vectors, whatever they are; the shape may be wrong too."""
    group = zarr.create_group(place, zarr_format=zarr_format)
    group.attrs.update({"encoding-type": encoding, "shape": shape if shape is None else list(shape)})
    for name, values in parts.items():
        chunks = tuple(max(1, min(50, size)) for size in values.shape)
        made = group.create_array(
            name, shape=values.shape, dtype=values.dtype, chunks=chunks, config={"write_empty_chunks": True}
        )
        made[...] = values
    return place


def set_at(name, index, value):
    """The same vectors with one element replaced."""

    def changed(parts):
        parts[name] = parts[name].copy()
        parts[name][index] = value
        return parts

    return changed


def without(name):
    return lambda parts: {key: values for key, values in parts.items() if key != name}


def cut(name, length):
    return lambda parts: parts | {name: parts[name][:length]}


WRONG = {
    "no indptr": (without("indptr"), StoreError, "indptr: there is no such array.*data, indices and indptr"),
    "no data": (without("data"), StoreError, "data: there is no such array"),
    "indptr too short": (cut("indptr", 40), IntegrityError, "indptr has 40 elements, and 53 rows need 54"),
    "indices too short": (cut("indices", 9), IntegrityError, "data has .* elements and indices 9"),
    "indptr not from 0": (set_at("indptr", 0, 1), IntegrityError, "indptr begins with 1 and not with 0"),
    "indptr falls": (set_at("indptr", 20, 3), IntegrityError, r"indptr falls from .* to 3 at 19..20"),
    "indptr beyond": (set_at("indptr", 53, 9999), IntegrityError, r"indptr\[53\] is 9999, and there are .* elements"),
    "indptr of fractions": (lambda parts: parts | {"indptr": parts["indptr"] + 0.5}, StoreError, "must be integers"),
    "two dimensions": (
        lambda parts: parts | {"data": parts["data"][:, None]},
        StoreError,
        "two dimensions and not one",
    ),
}


@pytest.mark.parametrize("fault", WRONG)
def test_groups_that_hold_no_matrix_are_refused_when_they_are_opened(tmp_path, fault):
    change, error, words = WRONG[fault]
    A = scipy.sparse.csr_array(matrix())
    parts = change({"data": A.data, "indices": A.indices, "indptr": A.indptr})
    written(tmp_path / "a.zarr", parts, A.shape)
    with pytest.raises(error, match=rf"(?s){tmp_path}.*{words}.*(restore|Restore)"):
        rnla.open(tmp_path / "a.zarr")


@pytest.mark.parametrize("shape", [None, [3], [3, -1], [3, 2.5], "3x2"])
def test_a_shape_that_is_none_is_refused(tmp_path, shape):
    A = scipy.sparse.csr_array(matrix())
    written(tmp_path / "a.zarr", {"data": A.data, "indices": A.indices, "indptr": A.indptr}, A.shape)
    zarr.open_group(tmp_path / "a.zarr").attrs["shape"] = shape
    with pytest.raises(StoreError, match=r"attribute shape is .*two sides"):
        rnla.open(tmp_path / "a.zarr")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("index", [-1, 53, 10**9])
def test_an_index_outside_the_matrix_is_located(tmp_path, form, index):
    A = FORMS[form](matrix())
    parts = set_at("indices", 100, index)({"data": A.data, "indices": A.indices, "indptr": A.indptr})
    written(tmp_path / "a.zarr", parts, A.shape, f"{form}_matrix")
    line = int(np.searchsorted(A.indptr, 100, side="right")) - 1
    side, other = ("row", "column") if form == "csr" else ("column", "row")
    with pytest.raises(IntegrityError, match=rf"{tmp_path}.*{side} {line} names {other} {index} \(indices\[100\]\)"):
        rnla.svd(rnla.open(tmp_path / "a.zarr"), 2)


@pytest.mark.parametrize("form", FORMS)
def test_unsorted_and_repeated_elements_are_summed(tmp_path, form):
    A = matrix()
    twice = FORMS[form](A)
    rng = np.random.default_rng(0)
    data, indices, ends = [], [], [0]
    for a, b in zip(twice.indptr[:-1], twice.indptr[1:], strict=True):  # each element as two halves, in any order
        order = rng.permutation(2 * (b - a))
        data.append(np.tile(twice.data[a:b] / 2, 2)[order])
        indices.append(np.tile(twice.indices[a:b], 2)[order])
        ends.append(ends[-1] + order.size)
    parts = {"data": np.concatenate(data), "indices": np.concatenate(indices), "indptr": np.array(ends)}
    written(tmp_path / "a.zarr", parts, A.shape, f"{form}_matrix")
    opened = rnla.open(tmp_path / "a.zarr")
    s = np.linalg.svd(A, compute_uv=False)
    assert np.abs(rnla.svd(opened, 5).s - s[:5]).max() <= backward("f8", A.shape, s[0])
    found = rnla.norms(opened)
    assert np.allclose(np.asarray(found.columns), (A**2).sum(axis=0), rtol=1e-12)
    assert np.allclose(np.asarray(found.rows), (A**2).sum(axis=1), rtol=1e-12)
    centred = np.linalg.svd(A - A.mean(axis=0), compute_uv=False)
    assert np.abs(rnla.pca(opened, 5).singular_values - centred[:5]).max() <= backward("f8", A.shape, s[0])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("solve", [rnla.svd, rnla.pca, lambda A, _: rnla.norms(A)])
def test_nan_and_infinity_are_located(tmp_path, form, solve, bad):
    A = matrix()
    row, column = np.argwhere(A)[200].tolist()
    A[row, column] = bad
    grouped(FORMS[form], A, tmp_path / "a.zarr")
    with pytest.raises(NonFiniteError, match=rf"1 entry is.*row {row}, column {column}.*\({row}, {column}\)"):
        solve(rnla.open(tmp_path / "a.zarr"), 3)


def test_in_memory_matrices_with_wrong_indices_are_refused():
    A = scipy.sparse.csr_array(matrix())
    A.indices[5] = 1000
    with pytest.raises(RequestError, match=r"scipy\.sparse matrix is not one"):
        rnla.open(A)


def test_the_data_of_a_matrix_in_memory_is_left_as_it_is():
    A = scipy.sparse.csr_array((np.ones(4), np.array([1, 0, 1, 1]), np.array([0, 3, 4])), shape=(2, 2))
    before = A.data.copy(), A.indices.copy()
    rnla.pca(A, 1)
    rnla.norms(A)
    assert np.array_equal(A.data, before[0])
    assert np.array_equal(A.indices, before[1])


@pytest.mark.parametrize("part", ["data", "indices", "indptr"])
def test_a_deleted_chunk_of_any_vector_is_named(tmp_path, part):
    grouped(FORMS["csr"], matrix(), tmp_path / "a.zarr", chunk=20, compressors=None)
    (tmp_path / "a.zarr" / part / "c" / "1").unlink()
    with pytest.raises(IntegrityError, match=rf"a.zarr/{part}: key c/1, chunk 1, entries 20..39 .*missing"):
        rnla.svd(rnla.open(tmp_path / "a.zarr"), 3)


@pytest.mark.parametrize("codec", ["plain", "zstd", "v2 blosc"])
@pytest.mark.parametrize("part", ["data", "indices", "indptr"])
def test_a_flipped_byte_of_any_vector_is_found_by_its_fingerprint(tmp_path, part, codec):
    place = tmp_path / "a.zarr"
    grouped(FORMS["csr"], matrix(), place, chunk=20, **CODECS[codec])
    unverified = rnla.open(place).source.identity
    manifest = fingerprint(place)
    source = rnla.open(place).source
    assert source.verified
    assert source.identity["manifest"] == manifest.digest != unverified["manifest"]
    assert verify(place).sound
    file = place / part / ("1" if codec.startswith("v2") else "c/1")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(data)
    report = verify(place)
    assert (report.damaged, f"/{part}" in report.problems[0]) == (1, True)
    with pytest.raises(IntegrityError, match=rf"a.zarr/{part}: key .*chunk 1.*damaged"):
        rnla.svd(rnla.open(place), 3)


@pytest.mark.parametrize("part", ["data", "indices", "indptr"])
def test_identity_covers_all_three_vectors(tmp_path, part):
    place = tmp_path / "a.zarr"
    grouped(FORMS["csr"], matrix(), place, compressors=None)
    one = rnla.open(place).source.identity
    file = place / part / "c" / "0"
    file.write_bytes(file.read_bytes())
    two = rnla.open(place).source.identity
    assert one.pop("objects_digest") != two.pop("objects_digest")
    assert one == two


def test_a_store_of_cells_names_the_matrices_inside(tmp_path):
    root = zarr.create_group(tmp_path / "cells.zarr")
    root.create_array("obs/n_genes", data=np.arange(53))
    grouped(FORMS["csr"], matrix(), tmp_path / "cells.zarr" / "X")
    grouped(FORMS["csc"], matrix(), tmp_path / "cells.zarr" / "layers" / "counts")
    words = r"X \(53 x 29 sparse\), layers/counts \(53 x 29 sparse\), obs/n_genes \(53\).*cells.zarr/X"
    with pytest.raises(StoreError, match=words):
        rnla.open(tmp_path / "cells.zarr")


def test_a_sweep_across_the_side_it_is_kept_by_is_refused(tmp_path):
    grouped(FORMS["csc"], matrix(), tmp_path / "a.zarr")
    A = rnla.open(tmp_path / "a.zarr")
    with pytest.raises(UnsupportedError, match=r"a.zarr is kept by its other side.*A\.T"):
        A.sweep(Gram(np.eye(SHAPE[1])))
    A.T.sweep(Gram(np.eye(SHAPE[0])))


@pytest.mark.parametrize("shape", [(60, 400), (400, 60)])
@pytest.mark.parametrize("form", FORMS)
def test_either_side_may_be_the_longer_one(tmp_path, small_panels, form, shape):
    A = named("geometric", shape).A
    A[np.abs(A) < np.median(np.abs(A))] = 0
    grouped(FORMS[form], A, tmp_path / "a.zarr")
    opened = watched(rnla.open(tmp_path / "a.zarr"), tmp_path / "log")
    s = np.linalg.svd(A, compute_uv=False)
    found = rnla.svd(opened, 5, method="krylov", passes=6)
    unresolved = found.certificate.upper - found.certificate.lower
    assert np.all(np.abs(found.s - s[:5]) <= backward("f8", shape, s[0]) + unresolved)
    planned = rnla.plan("svd", opened, k=5, passes=6, method="krylov").passes
    assert passes_read(tmp_path / "log", shape) == found.cost.passes <= planned
    proof = rnla.certify(opened, np.asarray(found.U), found.s, np.asarray(found.Vt))
    assert proof.relative_error == pytest.approx(found.certificate.relative_error, rel=1e-6)
    assert np.array_equal(np.asarray(opened.to_dask()), A)
    assert np.array_equal(np.asarray(opened.T.to_dask()), A.T)


@pytest.mark.parametrize("method", ["krylov", "subspace", "gram", "merge"])
@pytest.mark.parametrize("solve", [rnla.svd, rnla.pca])
def test_bytes_read_are_what_is_stored_times_passes(tmp_path, small_panels, solve, method):
    A = matrix((300, 20), 0.2, "f4")
    stored = np.count_nonzero(A) * (4 + 4)
    grouped(FORMS["csr"], A, tmp_path / "a.zarr")
    for place in (tmp_path / "a.zarr", scipy.sparse.csr_array(A)):
        plan = rnla.plan(solve.__name__, place, k=3, method=method)
        found = solve(place, 3, method=method)
        assert found.cost.passes == plan.passes
        assert found.cost.bytes_read == plan.bytes_read == plan.passes * stored


def test_rows_of_very_different_sizes_are_cut_by_their_nonzeros(monkeypatch):
    monkeypatch.setattr(nonzeros, "PANEL_BYTES", 20_000)
    monkeypatch.setattr(nonzeros, "ROW_BYTES", 16)
    monkeypatch.setattr(nonzeros, "span_bytes", lambda *_: 100_000)
    rng = np.random.default_rng(0)
    counts = np.sort(rng.pareto(1.0, 5000) * 20).astype(int)[::-1]  # sorted: the heaviest rows lie together
    pointers = np.concatenate([[0], counts.cumsum()])
    found = sparse_geometry(lambda rows: pointers[rows.start : rows.stop + 1], (5000, 10**6), counts.sum(), 4, 8)
    edges = np.array(found.edges)
    assert (edges[0], edges[-1]) == (0, 5000)
    weight = np.diff(pointers[edges] * 8 + edges * 16)
    assert np.all((weight <= 20_000) | (np.diff(edges) == 1))
    assert len(weight) <= 2 * (counts.sum() * 8 + 5000 * 16) / 20_000 + np.count_nonzero(counts * 8 > 20_000) + 2
    assert found.most_nonzeros == np.diff(pointers[edges]).max()
    assert all(end % found.tall_rows == 0 or end == 5000 for end in found.ends)
    joined = [panel for span in found.spans() for panel in found.panels(span)]
    assert [panel.start for panel in joined] == edges[:-1].tolist()
    monkeypatch.setattr(nonzeros, "POINTERS", 300)  # however the pointers are read
    assert found == sparse_geometry(
        lambda rows: pointers[rows.start : rows.stop + 1], (5000, 10**6), counts.sum(), 4, 8
    )


TALL_AND_THIN = {"wide": ((3000, 40_000), 60_000), "long": ((200_000, 500), 300_000)}


@pytest.mark.parametrize("kept", ["stored", "memory"])
@pytest.mark.parametrize(
    ("shape", "method"), [("wide", "krylov"), ("wide", "merge"), ("long", "gram"), ("long", "merge")]
)
@pytest.mark.parametrize("solve", [rnla.svd, rnla.pca])
def test_nothing_is_made_dense(tmp_path, solve, shape, method, kept):
    (m, n), count = TALL_AND_THIN[shape]
    rng = np.random.default_rng(1)
    places = rng.integers(0, m, count), rng.integers(0, n, count)
    A = scipy.sparse.coo_array((rng.random(count, dtype="f4"), places), shape=(m, n)).tocsr()
    if kept == "stored":
        grouped(lambda A: A, A, tmp_path / "a.zarr", chunk=1 << 16)
    opened = replace(rnla.open(tmp_path / "a.zarr" if kept == "stored" else A), runner=Threads(1))
    plan = rnla.plan(solve.__name__, opened, k=3, oversample=4, method=method, passes=1 if method == "merge" else 3)
    tracemalloc.start()
    solve(opened, 3, oversample=4, method=method, passes=1 if method == "merge" else 3)
    rnla.norms(opened)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak <= m * n * 4 / 3
    tall = plan.output_bytes + plan.scratch_bytes if kept == "memory" else 0  # then those are in memory too
    assert peak <= plan.peak_bytes - plan.base_bytes + tall


def test_a_group_without_its_attributes_is_told_what_it_lacks(tmp_path):
    group = grouped(scipy.sparse.csr_array, np.eye(5), tmp_path / "a.zarr")
    del group.attrs["encoding-type"]
    with pytest.raises(StoreError, match=r"lacks the attributes that say which: encoding-type .*and shape"):
        rnla.open(tmp_path / "a.zarr")
