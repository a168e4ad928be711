"""`rnla.open`: anything that holds a matrix, as a Matrix."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import scipy.sparse

from rnla.algorithms.labels import coordinate
from rnla.arrays import working_dtype
from rnla.checks import flag, integer, one_of, unmasked
from rnla.errors import RequestError, UnsupportedError
from rnla.sweeps.geometry import STRIP_BYTES
from rnla.sweeps.matrix import Labels, Matrix
from rnla.sweeps.runners import Active
from rnla.sweeps.source import Resident, Source
from rnla.sweeps.transform import Missing, Transform

if TYPE_CHECKING:
    from rnla.store.sparse import StoredSparse
    from rnla.store.stored import Stored


def open_matrix(
    place: Any,
    *,
    missing: Missing = "error",
    allow_missing: bool = False,
    verify: bool = True,
    threads: int | None = None,
    strip_bytes: int = STRIP_BYTES,
) -> Matrix:
    """The m x n matrix at a place; nothing is read but metadata.

    Parameters
    ----------
    place : str, Path, zarr.Array or Group, dask Array, numpy.ndarray, scipy.sparse array, xarray.DataArray or Matrix
        A path or URL (through fsspec) of a two-dimensional Zarr v2 or v3 array, or the array itself; or of a sparse
        group as AnnData writes it (csr_matrix, csc_matrix), such as `cells.zarr/X`. Rows are samples. A matrix in an
        AnnData store (X, raw/X, layers/NAME) has the names of its cells and genes.
    missing : {"error", "mask", "impute-mean"}
        What to do with NaN and infinity: stop and say where they are; count them as zero (after centring), so that a
        column of nothing else is zero; or put the mean of their column in their place, which then must have one.
    allow_missing : bool
        Read a chunk that is absent from a store as its fill value. Otherwise it is an error, because a lost chunk and
        a chunk of zeros that Zarr did not write look the same.
    verify : bool
        Check every chunk against the store's fingerprint, if it has one (`rnla fingerprint`).
    threads : int, optional
        Threads when no distributed.Client is active as a job starts; default: the cores of this machine.
    strip_bytes : int
        A strip of whole rows of chunks larger than this is read in parts, twice in each sweep.

    Raises
    ------
    StoreError
        No array there, or one that cannot be read.
    UnsupportedError
        Not two-dimensional, or not numeric.

    Examples
    --------
    >>> import numpy, rnla
    >>> rnla.open(numpy.eye(3)).shape
    (3, 3)
    """
    if isinstance(place, Matrix):
        return place
    if threads is not None:
        integer(threads, "threads", least=1)
    integer(strip_bytes, "strip_bytes", least=1)
    flag(allow_missing, "allow_missing")
    flag(verify, "verify")
    one_of(missing, "missing", get_args(Missing))
    source, labels = _source(place, allow_missing=allow_missing, verify=verify)
    working_dtype(source.dtype)  # refuses what cannot be multiplied
    return Matrix(
        source,
        transform=Transform(missing=missing),
        runner=Active() if threads is None else Active(threads),
        strip_bytes=strip_bytes,
        labels=labels,
    )


def open_column(place: Any, *, allow_missing: bool = False) -> Matrix:
    """What belongs to the rows of a matrix, as `open_matrix`, but one dimension is taken too: (m,) -> (m, 1)."""
    kind = f"{type(place).__module__.split('.')[0]}.{type(place).__name__}"
    if isinstance(place, str | os.PathLike) or kind == "zarr.Array":
        from rnla.store.places import found_column
        from rnla.store.stored import stored_of

        return Matrix(stored_of(found_column(place), allow_missing=allow_missing), runner=Active())
    if isinstance(place, Matrix):
        return place
    if kind == "xarray.DataArray":
        return open_column(place.data)
    given = place if hasattr(place, "ndim") else np.asarray(place)
    if getattr(given.dtype, "kind", "f") in "OSTU":
        msg = (
            f"targets of type {given.dtype} are no numbers: number the classes 0, 1, ..., or take rnla.nn.Classifier, "
            "which takes labels of any type"
        )
        raise UnsupportedError(msg)
    return open_matrix(given.reshape(-1, 1) if given.ndim == 1 else given)


def _source(place: Any, *, allow_missing: bool, verify: bool) -> tuple[Source, Labels | None]:
    kind = f"{type(place).__module__.split('.')[0]}.{type(place).__name__}"
    if kind == "xarray.DataArray":
        return _labelled(place)
    if kind == "xarray.Dataset":
        names = ", ".join(repr(str(name)) for name in place.data_vars)
        msg = f"a Dataset holds several arrays, {names}: give one of them, dataset[name]"
        raise UnsupportedError(msg)
    unmasked(place)
    if isinstance(place, np.ndarray):
        return Resident(_two_dimensional(np.asarray(place))), None
    if scipy.sparse.issparse(place):
        return Resident(scipy.sparse.csr_array(_sound(_two_dimensional(place)))), None
    if kind == "dask.Array":
        from rnla.sweeps.dasked import Dasked

        return Dasked(_two_dimensional(place)), None
    if isinstance(place, str | os.PathLike) or kind in {"zarr.Array", "zarr.Group"}:
        from rnla.store.sparse import open_place

        stored = open_place(place, allow_missing=allow_missing, verify=verify)
        return stored, _names_beside(stored)
    if hasattr(place, "__array__"):
        return _source(np.asarray(place), allow_missing=allow_missing, verify=verify)
    msg = (
        f"cannot open a {type(place).__module__}.{type(place).__qualname__} as a matrix: give a path or URL of a Zarr "
        "array, a zarr.Array, dask.array.Array, numpy array, scipy.sparse array or xarray.DataArray"
    )
    raise UnsupportedError(msg)


def _names_beside(stored: Stored | StoredSparse) -> Labels | None:
    """Names of cells and genes, of a matrix in an AnnData store."""
    from rnla.store.names import names_beside

    rows, columns = names_beside(stored.objects, stored.shape)
    return None if rows is None and columns is None else Labels("obs", "var", rows, columns)


def _two_dimensional(array: Any) -> Any:
    if array.ndim != 2:
        msg = f"a matrix has two dimensions, this array has {array.ndim}: {array.shape}; reshape it to m x n"
        raise UnsupportedError(msg)
    return array


def _sound(array: Any) -> Any:
    """A scipy.sparse matrix whose indices lie inside it: scipy's products do not look."""
    try:
        if hasattr(array, "check_format"):
            array.check_format(full_check=True)
    except ValueError as error:
        msg = f"this scipy.sparse matrix is not one: {error}; make it again, or mend its indices and indptr"
        raise RequestError(msg) from error
    return array


def _labelled(array: Any) -> tuple[Source, Labels]:
    if array.ndim != 2:
        names = ", ".join(str(d) for d in array.dims)
        msg = (
            f"a matrix has two dimensions, this DataArray has {array.ndim} ({names}); stack some of them first: "
            f"array.stack(column=({', '.join(repr(str(d)) for d in array.dims[1:])}))"
        )
        raise UnsupportedError(msg)
    source, _ = _source(array.data, allow_missing=False, verify=True)
    rows, columns = array.dims
    return source, Labels(str(rows), str(columns), coordinate(array, rows), coordinate(array, columns))
