"""Names and coordinates of the two sides, carried from a labelled matrix to its factors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse

from rnla.sweeps.matrix import Labels

TAKEN = frozenset(
    {
        *("mode", "U", "s", "Vt", "scores", "components", "mean", "scale", "singular_values"),
        *("explained_variance", "explained_variance_ratio", "lower", "upper", "residuals", "resolved"),
        *("C", "M", "R", "X", "W", "columns", "rows", "column_names", "row_names", "sparse"),
        *("chosen_column", "chosen_row", "errors", "column_errors", "best_errors"),
        *("selector_errors", "selector"),
        *("row_norms", "column_norms", "norm", "first", "second", "cosine", "pair", "first_names", "second_names"),
        *("value", "left", "right", "indices", "counts", "probabilities", "scales", "drawn", "right_column"),
    }
)  # names of a result's own dimension and arrays: a side of the matrix that is called so gets an underscore


def coordinate(array: Any, dimension: Any) -> Any:
    """Coordinates of a DataArray along a dimension; None where it has none (xarray's `get` makes up 0, 1, ...)."""
    return array.coords[dimension] if dimension in array.coords else None  # noqa: SIM401 - see above


def named(dimensions: tuple[str, ...], labels: Labels | None) -> tuple[str, ...]:
    """Dimension names with "row" and "column" replaced by the matrix's own names."""
    if labels is None:
        return dimensions
    own = {"row": side(labels.rows), "column": side(labels.columns)}
    return tuple(own.get(name, name) for name in dimensions)


def coordinates(labels: Labels | None) -> dict[str, Any]:
    """Coordinates along the two sides, by dimension name; those of several levels, or too many, are left out."""
    if labels is None:
        return {}
    pairs = ((labels.rows, labels.row_coordinates), (labels.columns, labels.column_coordinates))
    return {
        side(name): values if side(name) == name else values.rename({name: side(name)})
        for name, values in pairs
        if values is not None and len(getattr(values, "dims", (name,))) == 1 and getattr(values, "few", True)
    }


def side(name: str) -> str:
    """Name of a side of the matrix in a result."""
    return f"{name}_" if name in TAKEN else name


def dataset(arrays: Mapping[str, tuple[Any, tuple[str, ...]]], labels: Labels | None, attributes: Any) -> Any:
    """Arrays as an xarray.Dataset with the matrix's names and coordinates; sparse ones, made dense."""
    import xarray

    variables = {name: (named(dimensions, labels), _full(values)) for name, (values, dimensions) in arrays.items()}
    found = {
        name: values if isinstance(values, xarray.DataArray) else (values.dims, np.asarray(values))
        for name, values in coordinates(labels).items()
        if name not in variables
    }
    return xarray.Dataset(variables, coords=found, attrs=attributes)


def _full(values: Any) -> Any:
    """A sparse array, or a Dask array of sparse blocks, as xarray takes it: dense."""
    if scipy.sparse.issparse(values):
        return values.toarray()
    if scipy.sparse.issparse(getattr(values, "_meta", None)):
        return values.map_blocks(lambda block: block.toarray(), dtype=values.dtype, meta=np.empty((0, 0), values.dtype))
    return values
