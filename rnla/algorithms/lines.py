"""CUR and ID as a user gets them: lines of A by index and name, the matrices between them, certificate and cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnla.algorithms.bases import BasesCertificate
from rnla.algorithms.labels import dataset
from rnla.algorithms.results import Cost
from rnla.arrays import Array
from rnla.sweeps.matrix import Labels
from rnla.tables import html_table

FEW = 8  # names in a notebook's table


def _told(kind: str, lines: str, shape: tuple[int, int], method: str, proof: BasesCertificate, cost: Cost) -> str:
    """One line for a prompt; an error under its rounding floor is not known to be less."""
    (m, n), floor = shape, proof.relative_floor
    error = f"{proof.relative_error:.4g}" if proof.relative_error > floor else f"<= {floor:.2g}"
    best = "" if proof.ratio is None else f", at most {proof.ratio:.3g} x the best of rank {proof.rank}"
    return f"{kind}({lines} of {m:,} x {n:,} by {method}: relative error {error}{best}, {cost.told})"


def _few(names: Any) -> str:
    return ", ".join(str(name) for name in names[:FEW]) + (", ..." if len(names) > FEW else "")


def names(coordinates: Any, indices: Array) -> Array:
    """Names of lines; their indices where they have none."""
    return indices if coordinates is None else np.asarray(coordinates[indices])


@dataclass(frozen=True, repr=False)
class CUR:
    """A ~ C M R, C and R being columns and rows of A itself, as it stores them.

    Of C and R the one along the longer side is a Dask array over the result store, the other an array in memory; of a
    sparse A both are sparse.
    """

    columns: Array  # (c,) indices of the columns, those first that explain most of what was left
    rows: Array  # (r,)
    C: Any  # (m, c) A[:, columns]
    M: Array  # (c, r)
    R: Any  # (r, n) A[rows]
    certificate: BasesCertificate
    cost: Cost
    method: str = ""
    record: dict[str, Any] = field(default_factory=dict)  # how it was made
    labels: Labels | None = None  # names and coordinates of a labelled matrix

    @property
    def column_names(self) -> Array:
        """Names of the columns; their indices where they have none."""
        return names(self.labels and self.labels.column_coordinates, self.columns)

    @property
    def row_names(self) -> Array:
        """Names of the rows, likewise."""
        return names(self.labels and self.labels.row_coordinates, self.rows)

    def to_xarray(self) -> Any:
        """The three factors and the indices as an xarray.Dataset, labelled as the matrix was; chosen lines by name."""
        arrays = {
            "chosen_column": (self.column_names, ("chosen_column",)),
            "chosen_row": (self.row_names, ("chosen_row",)),
            "C": (self.C, ("row", "chosen_column")),
            "M": (self.M, ("chosen_column", "chosen_row")),
            "R": (self.R, ("chosen_row", "column")),
            "columns": (self.columns, ("chosen_column",)),
            "rows": (self.rows, ("chosen_row",)),
        }
        return dataset(arrays, self.labels, {"method": self.method})

    def __repr__(self) -> str:
        lines = f"{len(self.columns)} columns and {len(self.rows)} rows"
        return _told("CUR", lines, (self.C.shape[0], self.R.shape[1]), self.method, self.certificate, self.cost)

    def _repr_html_(self) -> str:
        made = ("made by", f"{self.method}, {self.cost.told}")
        lines = [("columns", _few(self.column_names)), ("rows", _few(self.row_names))]
        return html_table(f"CUR of {len(self.columns)} columns and {len(self.rows)} rows", [
            *lines, *self.certificate.summary, made,
        ])  # fmt: skip


@dataclass(frozen=True, repr=False)
class ID:
    """A ~ C X, C being columns of A and X the identity on them; two-sided, A ~ W A[rows][:, columns] X."""

    columns: Array  # (c,) indices of the columns
    C: Any  # (m, c) A[:, columns]
    X: Any  # (c, n)
    certificate: BasesCertificate
    cost: Cost
    rows: Array | None = None  # (c,) two-sided only
    W: Any = None  # (m, c) two-sided only: C = W C[rows]
    method: str = ""
    record: dict[str, Any] = field(default_factory=dict)
    labels: Labels | None = None

    @property
    def column_names(self) -> Array:
        """Names of the columns; their indices where they have none."""
        return names(self.labels and self.labels.column_coordinates, self.columns)

    @property
    def row_names(self) -> Array | None:
        """Names of the rows, likewise; None unless two-sided."""
        return None if self.rows is None else names(self.labels and self.labels.row_coordinates, self.rows)

    def to_xarray(self) -> Any:
        """The factors and the indices as an xarray.Dataset, labelled as the matrix was; chosen lines by name."""
        arrays: dict[str, tuple[Any, tuple[str, ...]]] = {
            "chosen_column": (self.column_names, ("chosen_column",)),
            "C": (self.C, ("row", "chosen_column")),
            "X": (self.X, ("chosen_column", "column")),
            "columns": (self.columns, ("chosen_column",)),
        }
        if self.rows is not None:
            arrays |= {"W": (self.W, ("row", "chosen_row")), "rows": (self.rows, ("chosen_row",))}
            arrays["chosen_row"] = (self.row_names, ("chosen_row",))
        return dataset(arrays, self.labels, {"method": self.method})

    def __repr__(self) -> str:
        lines = f"{len(self.columns)} columns" + ("" if self.rows is None else f" and {len(self.rows)} rows")
        return _told("ID", lines, (self.C.shape[0], self.X.shape[1]), self.method, self.certificate, self.cost)

    def _repr_html_(self) -> str:
        made = ("made by", f"{self.method}, {self.cost.told}")
        title = f"Interpolative decomposition of {len(self.columns)} columns"
        return html_table(title, [("columns", _few(self.column_names)), *self.certificate.summary, made])
