"""Every way to hold a matrix that `rnla.open` takes: name -> function (A, folder) -> Matrix."""

from functools import partial

import dask.array
import numpy as np
import scipy.sparse
import xarray
import zarr

import rnla

IN_PARTS = 1  # strip_bytes that no strip fits in


def numpy_array(A, folder):
    return rnla.open(A)


def fortran_array(A, folder):
    return rnla.open(np.asfortranarray(A))


def reversed_array(A, folder):
    return rnla.open(np.ascontiguousarray(A[::-1, ::-1])[::-1, ::-1])  # neither order is contiguous


def sparse(form, A, folder):
    return rnla.open(form(A))


def written(A, folder, chunks, **options):
    """A Zarr array in a folder; every chunk is there, zeros too."""
    chunks = tuple(max(1, min(c, size)) for c, size in zip(chunks, A.shape, strict=True))
    z = zarr.create_array(
        str(folder), shape=A.shape, dtype=A.dtype, chunks=chunks, config={"write_empty_chunks": True}, **options
    )
    z[...] = A
    return z


def stored(chunks, A, folder, *, strip_bytes=None, **options):
    written(A, folder, chunks, **options)
    return rnla.open(folder) if strip_bytes is None else rnla.open(folder, strip_bytes=strip_bytes)


def grouped(form, A, folder, *, zarr_format=3, chunk=97, **options):
    """A sparse group as AnnData writes it; every chunk is there, zeros too. The kind of its elements is that of A."""
    S = form(A)
    kind = f"{S.format}_matrix"
    attributes = {"encoding-type": kind, "encoding-version": "0.1.0", "shape": list(S.shape)}
    group = zarr.create_group(folder, zarr_format=zarr_format, attributes=attributes)
    for name in ("data", "indices", "indptr"):
        values = getattr(S, name)
        z = group.create_array(
            name,
            shape=values.shape,
            dtype=values.dtype,
            chunks=(max(1, min(chunk, values.size)),),
            config={"write_empty_chunks": True},
            **options,
        )
        z[...] = values
    return group


def stored_sparse(form, A, folder, **options):
    grouped(form, A, folder, **options)
    return rnla.open(folder)


def zarr_array(A, folder):
    return rnla.open(written(A, folder, (8, A.shape[1])))


def in_parts(A, folder):
    """Whole rows do not fit: read in parts of columns, twice."""
    found = stored((7, 5), A, folder, strip_bytes=IN_PARTS)
    assert found.geometry.reads == (2 if A.shape[1] > 5 else 1)
    return found


def dask_array(A, folder):
    chunks = [ragged(size) for size in A.shape]
    return rnla.open(dask.array.from_array(A, chunks=tuple(chunks)))


def dask_sparse(A, folder):
    lazy = dask.array.from_array(A, chunks=(ragged(A.shape[0]), A.shape[1]))
    return rnla.open(lazy.map_blocks(scipy.sparse.csr_matrix, dtype=A.dtype))


def ragged(size):
    """Chunk sizes 1, 2, 4, ... then the rest."""
    sizes, step = [], 1
    while sum(sizes) < size:
        sizes.append(min(step, size - sum(sizes)))
        step *= 2
    return tuple(sizes)


def data_array(A, folder):
    return rnla.open(xarray.DataArray(A, dims=("cell", "gene")))


def lazy_data_array(A, folder):
    return rnla.open(xarray.DataArray(dask.array.from_array(A, chunks=(9, 6)), dims=("cell", "gene")))


BACKENDS = {
    "numpy": numpy_array,
    "numpy, by columns": fortran_array,
    "numpy, reversed": reversed_array,
    "sparse csr": partial(sparse, scipy.sparse.csr_array),
    "sparse csc": partial(sparse, scipy.sparse.csc_array),
    "sparse coo": partial(sparse, scipy.sparse.coo_matrix),
    "sparse csr in zarr v3": partial(stored_sparse, scipy.sparse.csr_array, compressors=None),
    "sparse csc in zarr v2": partial(stored_sparse, scipy.sparse.csc_array, zarr_format=2),
    "zarr v2": partial(stored, (8, 1 << 20), zarr_format=2),
    "zarr v2, by columns": partial(stored, (16, 1 << 20), zarr_format=2, order="F"),
    "zarr v3": partial(stored, (8, 1 << 20), compressors=None),
    "zarr v3, ragged": partial(stored, (13, 1 << 20)),
    "zarr v3, one chunk": partial(stored, (1 << 20, 1 << 20)),
    "zarr v3, both ways": partial(stored, (7, 5)),
    "zarr v3, by columns": partial(stored, (1 << 20, 3)),
    "zarr v3, in parts": in_parts,
    "zarr.Array": zarr_array,
    "dask": dask_array,
    "dask of sparse": dask_sparse,
    "xarray": data_array,
    "xarray of dask": lazy_data_array,
}
SPARSE = {name for name in BACKENDS if "sparse" in name}
BY_COLUMNS = "sparse csc in zarr v2"  # swept as its transpose
FEW = ["numpy", "sparse csr", "sparse csr in zarr v3", BY_COLUMNS, "zarr v3, ragged", "dask"]  # one of each kind
