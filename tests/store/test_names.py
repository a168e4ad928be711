"""Names of cells and genes beside a matrix in an AnnData store: found, read when asked for, never trusted blindly."""

import json

import numpy as np
import pytest
import scipy.sparse
import zarr

import rnla
import rnla.store.names
from rnla.store.names import NamesReader
from tests.backends import grouped

SHAPE = (60, 25)
CELLS, GENES = np.array([f"cell {i}" for i in range(60)]), np.array([f"gene {j}" for j in range(25)])


def table(group, side, names, *, index="_index", nullable=False):
    """A data frame as AnnData writes it."""
    attributes = {"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": index, "column-order": []}
    place = group.create_group(side, attributes=attributes)
    if nullable:
        place = place.create_group(index, attributes={"encoding-type": "nullable-string-array"})
    column = place.create_array("values" if nullable else index, shape=names.shape, dtype="string", chunks=(8,))
    column[:] = names.astype(object)


@pytest.fixture(params=[2, 3], ids=["v2", "v3"])
def cells(request, tmp_path):
    """A store with X, raw/X (more genes) and layers/dense, and the matrix that lies in each."""
    place = tmp_path / "cells.zarr"
    group = zarr.create_group(place, zarr_format=request.param, attributes={"encoding-type": "anndata"})
    table(group, "obs", CELLS, nullable=request.param == 3)
    table(group, "var", GENES[:20], index="symbol")
    raw = group.create_group("raw")
    table(raw, "var", GENES)
    A = np.random.default_rng(1).standard_normal(SHAPE)
    A[np.abs(A) < 1] = 0
    options = {"zarr_format": request.param}
    grouped(scipy.sparse.csr_array, A[:, :20], place / "X", **options)
    grouped(scipy.sparse.csc_array, A, place / "raw" / "X", **options)
    zarr.create_array(place / "layers" / "dense", data=A[:, :20], **options)
    return place, A


@pytest.mark.parametrize("name", ["X", "raw/X", "layers/dense"])
def test_chosen_lines_have_the_names_of_cells_and_genes(tmp_path, cells, name):
    place, A = cells
    found = rnla.cur(rnla.open(place / name), 4, out=tmp_path / "cur.zarr")
    for each in (found, rnla.load(tmp_path / "cur.zarr")):
        assert each.column_names.tolist() == GENES[each.columns].tolist()
        assert each.row_names.tolist() == CELLS[each.rows].tolist()
    shown = rnla.load(tmp_path / "cur.zarr").to_xarray()
    assert shown["obs"].values.tolist() == CELLS.tolist()
    assert np.array_equal(shown["C"].values, A[:, shown["columns"].values])
    assert shown["C"].sel(chosen_column=found.column_names[1]).values.tolist() == A[:, found.columns[1]].tolist()
    assert (
        shown["R"].sel(chosen_row=found.row_names[0]).values.tolist() == A[found.rows[0], : shown.sizes["var"]].tolist()
    )


def test_names_go_with_transposes_subsets_and_modes(cells):
    place, _ = cells
    A = rnla.open(place / "X")
    assert rnla.cur(A.T, 3).row_names.tolist() == [GENES[j] for j in rnla.cur(A.T, 3).rows]
    view = A.subset(columns=[7, 3, 11], rows=np.arange(20, 50))
    assert np.asarray(view.labels.column_coordinates).tolist() == GENES[[7, 3, 11]].tolist()
    assert rnla.pca(view, 2).to_xarray()["obs"].values.tolist() == CELLS[20:50].tolist()


def test_opening_reads_no_name_and_picking_reads_few(monkeypatch, cells):
    place, _ = cells
    read = []
    plain = NamesReader.__call__
    monkeypatch.setattr(NamesReader, "__call__", lambda self, picks: read.append(picks) or plain(self, picks))
    monkeypatch.setattr(rnla.store.names, "MOST", 10)
    A = rnla.open(place / "X")
    assert not read
    found = rnla.cur(A, 4)
    assert found.column_names.tolist() == GENES[found.columns].tolist()
    assert [len(picks) for picks in read] == [4]
    assert "var" not in rnla.svd(A, 2).to_xarray().coords  # too many to be taken along


def hostile(place):
    column = place / "obs" / "_index"
    file = next(file for file in (column / "values" / "zarr.json", column / ".zarray") if file.exists())
    metadata = json.loads(file.read_text())
    if metadata["zarr_format"] == 2:
        metadata["filters"] = [{"id": "pickle"}]
    else:
        metadata["codecs"] = [{"name": "numcodecs.pickle"}]
    file.write_text(json.dumps(metadata))


def outside(place):
    pointing(place, "../../elsewhere")


def pointing(place, name):
    file = next(file for file in (place / "obs" / "zarr.json", place / "obs" / ".zattrs") if file.exists())
    metadata = json.loads(file.read_text())
    metadata.get("attributes", metadata)["_index"] = name
    file.write_text(json.dumps(metadata))


def absent(place):
    pointing(place, "gone")


@pytest.mark.parametrize("spoil", [hostile, outside, absent])
def test_names_that_cannot_be_trusted_are_left_out(cells, spoil):
    place, _ = cells
    spoil(place)
    labels = rnla.open(place / "X").labels
    assert labels.row_coordinates is None
    assert np.asarray(labels.column_coordinates).tolist() == GENES[:20].tolist()


def test_names_of_another_length_and_matrices_elsewhere_have_none(tmp_path, cells):
    place, A = cells
    zarr.create_array(place / "layers" / "other", data=A[:50])
    assert rnla.open(place / "layers" / "other").labels is None
    zarr.create_array(place / "obsm" / "X_pca", data=A[:, :2])
    assert rnla.open(place / "obsm" / "X_pca").labels is None
    zarr.create_array(tmp_path / "X", data=A)
    assert rnla.open(tmp_path / "X").labels is None


def test_repeated_names_are_kept_as_they_are(tmp_path):
    A = np.random.default_rng(0).standard_normal((30, 6))
    group = zarr.create_group(tmp_path / "a", attributes={"encoding-type": "anndata"})
    table(group, "var", np.array(["a", "b", "a", "a", "c", "b"]))
    zarr.create_array(tmp_path / "a" / "X", data=A)
    found = rnla.cur(tmp_path / "a" / "X", 6, out=tmp_path / "out")
    assert rnla.load(tmp_path / "out").column_names.tolist() == [list("abaacb")[j] for j in found.columns]
