"""Squared norms of rows and columns, and the Frobenius norm, in one read; none where they are kept beside the store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from rnla.algorithms.labels import dataset
from rnla.algorithms.results import Cost
from rnla.algorithms.sample_certificates import NormsCertificate
from rnla.arrays import Array, accumulator_dtype
from rnla.errors import IntegrityError, OverflowedError, RequestError
from rnla.sweeps.integers import IntegerColumnNorms, IntegerRowNorms, of_integers
from rnla.sweeps.matrix import Labels, Matrix
from rnla.sweeps.products import ColumnNorms, RowNorms, SumOfSquares
from rnla.sweeps.settling import in_range, settled_by_moments
from rnla.sweeps.source import Tall, Workspace


@dataclass(frozen=True, repr=False)
class Norms:
    """Squared norms of a matrix."""

    columns: Any  # (n,) sum_i |a_ij|^2
    rows: Any  # (m,) sum_j |a_ij|^2
    frobenius: float  # ||A||_F
    cost: Cost | None = None
    exact: bool = False  # sums of integers, each rounded once
    record: dict[str, Any] = field(default_factory=dict)
    labels: Labels | None = None  # names and coordinates of a labelled matrix

    @property
    def certificate(self) -> NormsCertificate:
        """How good they are."""
        return NormsCertificate(self.frobenius, self.exact)

    def to_xarray(self) -> Any:
        """Both vectors as an xarray.Dataset, labelled as the matrix was."""
        arrays = {"column_norms": (self.columns, ("column",)), "row_norms": (self.rows, ("row",))}
        return dataset(arrays, self.labels, {"frobenius_norm": self.frobenius})

    def __repr__(self) -> str:
        m, n = self.rows.shape[0], self.columns.shape[0]
        read = "" if self.cost is None else f", {self.cost.told}"
        return f"Norms({m:,} x {n:,}: ||A||_F = {self.frobenius:.6g}{read})"


class Sides(NamedTuple):
    """Squared norms of a matrix that is swept by rows."""

    across: Array  # (n,) of the columns
    along: Tall  # (m, 1) of the rows
    frobenius: float


def norms(A: Matrix, workspace: Workspace, *, keep: bool = False, name: str = "norms") -> Sides:
    """Squared norms across the swept side (n,), along it (m, 1), and ||A||_F, for a matrix swept by rows.

    Norms that are kept beside the store are taken from there; with `keep` they are put there.
    """
    if keep:
        check_keepable(A)
    into = workspace.tall(name, (A.shape[0], 1), np.dtype(np.float64), A.geometry.tall_rows)
    if (found := kept_norms(A, into)) is not None:
        return found
    file = A.source.norms_file() if keep else None  # type: ignore[attr-defined]
    before = file and file.binding()
    found = _exact(A, into) if of_integers(A) else _swept(A, into)
    if file is not None:
        if before is None or file.binding() != before:
            msg = f"{file.objects.url}: the store was written to while its norms were computed; run the same again"
            raise IntegrityError(msg)
        file.save(before, *found)
    return found


def kept_norms(A: Matrix, into: Tall) -> Sides | None:
    """What is kept beside the store of A, if it still holds; the norms of the rows go to `into`."""
    if not keepable(A):
        return None
    found = A.source.norms_file().load(into)  # type: ignore[attr-defined]
    return None if found is None else Sides(found[0], into, found[1])


def keepable(A: Matrix) -> bool:
    """Whether this is a stored matrix as it is, not a view that changes it."""
    return hasattr(A.source, "norms_file") and A.transform.trivial and A.settled and not A.own_means


def check_keepable(A: Matrix) -> None:
    """Refuses to keep the norms of what is not a stored matrix as it is."""
    if not keepable(A):
        msg = "keep=True: norms are kept beside a stored matrix as it is; this one is a view of it, or is not stored"
        raise RequestError(msg)
    if A.source.norms_file().binding() is None:  # type: ignore[attr-defined]
        msg = (
            "keep=True: this place does not tell when its chunks change, so norms kept there could be of other data: "
            "take a fingerprint first (rnla fingerprint)"
        )
        raise RequestError(msg)


def exact(A: Matrix) -> bool:
    """Whether every norm is the exact sum, rounded once: of integers that have at most 32 bits."""
    return of_integers(A) and A.source.dtype.itemsize <= 4


def _exact(A: Matrix, into: Tall) -> Sides:
    """Of integers: sums of squares rounded once, below 2^32 in modulus; larger ones to rounding."""
    columns, _ = A.astype(np.float64).sweep(IntegerColumnNorms(), IntegerRowNorms(into))
    return Sides(columns.columns, into, float(np.sqrt(columns.total)))


def _swept(A: Matrix, into: Tall) -> Sides:
    view = settled_by_moments(A.astype(accumulator_dtype(A.dtype)))
    (columns, _, energy), _, used = in_range(view, ColumnNorms(), RowNorms(into), SumOfSquares())
    unit = used.transform.unit / A.transform.unit
    if unit != 1.0:
        raise _out_of_range(unit)
    return Sides(columns, into, float(np.sqrt(energy)))


def _out_of_range(unit: float) -> Exception:
    return OverflowedError(
        f"squares of the entries leave the range of the precision by a factor of about {unit:.1e} squared; "
        "scale the matrix: A.weighted(columns=...)"
    )
