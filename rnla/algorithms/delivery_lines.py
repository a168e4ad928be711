"""From columns and rows of a matrix to the small arrays of a stored result, by name and dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnla.algorithms.bases import COMPARED, CURVES, BasesCertificate
from rnla.algorithms.cur import Cross
from rnla.algorithms.delivery import Named
from rnla.algorithms.interpolative import Interpolation
from rnla.algorithms.lines import names
from rnla.arrays import Array
from rnla.kernels.sparse import densified
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.source import holds_sparse


def cur_arrays(A: Matrix, found: Cross) -> Named:
    """The small arrays of a CUR's result."""
    short: Named = (
        {"C": (_dense(found.C), ("row", "chosen_column"))}
        if found.transposed
        else {"R": (_dense(found.R), ("chosen_row", "column"))}
    )
    middle: Named = {"M": (found.M, ("chosen_column", "chosen_row"))}
    return short | middle | _chosen(A, found.columns, found.rows) | _curves(found.certificate)


def id_arrays(A: Matrix, found: Interpolation) -> Named:
    """The small arrays of an interpolative decomposition's result."""
    short: Named = (
        {"C": (_dense(found.C), ("row", "chosen_column"))}
        if found.transposed
        else {"X": (found.X, ("chosen_column", "column"))}
    )
    return short | _chosen(A, found.columns, found.rows) | _curves(found.certificate)


def _chosen(A: Matrix, columns: Array, rows: Array | None) -> Named:
    """Indices and names of what was chosen."""
    labels = A.labels
    arrays: Named = {"columns": (columns, ("chosen_column",)), "sparse": (np.array(holds_sparse(A.source)), ())}
    if labels is not None and labels.column_coordinates is not None:
        arrays["column_names"] = (names(labels.column_coordinates, columns), ("chosen_column",))
    if rows is not None:
        arrays["rows"] = (rows, ("chosen_row",))
        if labels is not None and labels.row_coordinates is not None:
            arrays["row_names"] = (names(labels.row_coordinates, rows), ("chosen_row",))
    return arrays


def _curves(proof: BasesCertificate) -> Named:
    """Errors by the number of columns taken."""
    others: Named = {COMPARED: (proof.selector_errors, ("selector", f"{COMPARED}_rank"))} if proof.selectors else {}
    return others | {name: (getattr(proof, name), (f"{name}_rank",)) for name in CURVES}


def _dense(lines: Any) -> Array:
    """Rows or columns of A as an array."""
    return np.ascontiguousarray(densified(lines))
