"""A matrix: a source, the view of it, and who sweeps it. One verb reads: `A.sweep(*products)`.

Y, Z, energy = A.sweep(Right(Q, into=Y), Gram(Q), SumOfSquares())     # one read
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import starmap
from typing import Any, Literal

import numpy as np

from rnla.arrays import Array, DType, accumulator_dtype, real_eps, spelt_bytes, working_dtype
from rnla.checks import indices, vector
from rnla.errors import NonFiniteError, RequestError, UnsupportedError
from rnla.sweeps.geometry import STRIP_BYTES, Geometry, geometry
from rnla.sweeps.meters import Meter
from rnla.sweeps.picked import picked
from rnla.sweeps.products import Product
from rnla.sweeps.runners import Progress, Runner, Threads, current
from rnla.sweeps.source import Resident, Source, holds_sparse, refuse_across, swept_as_it_is, told_pieces
from rnla.sweeps.spans import Tally, Work, energy_range, overflowed
from rnla.sweeps.transform import CURE, SPARSE_CURE, Transform
from rnla.tables import html_table

Axis = Literal["columns", "rows"]


@dataclass(frozen=True)
class Labels:
    """Names of the two sides, and coordinates along them."""

    rows: str = "row"
    columns: str = "column"
    row_coordinates: Any = None
    column_coordinates: Any = None

    @property
    def transposed(self) -> Labels:
        """The labels of the transpose."""
        return Labels(self.columns, self.rows, self.column_coordinates, self.row_coordinates)

    def picked(self, rows: Array | None, columns: Array | None) -> Labels:
        """The labels of some rows and columns."""

        def cut(coordinates: Any, picks: Array | None) -> Any:
            return coordinates if coordinates is None or picks is None else coordinates[picks]

        return Labels(self.rows, self.columns, cut(self.row_coordinates, rows), cut(self.column_coordinates, columns))


@dataclass(frozen=True, repr=False)
class Matrix:
    """An m x n matrix that is read by sweeps. Made by `rnla.open`."""

    source: Source
    transform: Transform = field(default_factory=Transform)
    precision: DType | None = None  # working precision; None: follows from the source
    runner: Runner = field(default_factory=Threads)
    centring: bool = False  # by means that are not known before the first sweep
    scaling: bool = False  # likewise, to unit variance
    axis: Axis = "columns"  # whose means and variances those are
    strip_bytes: int = STRIP_BYTES
    labels: Labels | None = None
    meter: Meter = field(default_factory=Meter)
    cut_as: tuple[int, int] | None = None  # chunks to be cut as if it had, rows x columns, in place of its own

    @property
    def summary(self) -> list[tuple[str, str]]:
        """Names and values, as they are printed."""
        (m, n), view = self.shape, self.transform
        done = {
            "centred": self.centring or view.centre is not None or view.row_centre is not None,
            "scaled": self.scaling,
            "columns weighted": view.scale is not None,
            "rows weighted": view.weights is not None,
            f"missing={view.missing!r}": view.missing != "error",
            f"multiplied in {self.dtype}": self.dtype != self.source.dtype,
        }
        return [
            ("matrix", f"{m:,} x {n:,} {self.source.dtype}"),
            ("source", getattr(self.source, "url", None) or str(self.source)),
            ("read by", told_pieces(self.source)),
            ("view", ", ".join(word for word, holds in done.items() if holds) or "as it is"),
        ]

    def __repr__(self) -> str:
        return f"Matrix({'; '.join(value for _, value in self.summary if value != 'as it is')})"

    def _repr_html_(self) -> str:
        return html_table("Matrix", self.summary)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        """Refused: it may be far larger than memory."""
        msg = (
            f"a matrix of {spelt_bytes(self.geometry.bytes)} is not made an array by itself: take A.to_dask(), a Dask "
            "array, or A.to_dask().compute() if it fits"
        )
        raise RequestError(msg)

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n)."""
        return self.source.shape

    @property
    def dtype(self) -> DType:
        """Precision in which the matrix is multiplied."""
        return self.precision or working_dtype(self.source.dtype)

    @property
    def eps(self) -> float:
        """Relative uncertainty of an entry: one rounding of the type it is stored or multiplied in, the coarser."""
        stored = self.source.dtype.kind in "fc"
        return max(real_eps(self.dtype), real_eps(working_dtype(self.source.dtype)) if stored else 0.0)

    @property
    def geometry(self) -> Geometry:
        """How the matrix is cut for reading (its transpose, where a sparse store is kept by columns)."""
        return getattr(self.source, "cut", None) or geometry(
            self.shape,
            self.source.dtype.itemsize,
            self.cut_as or self.source.chunks,
            strip_bytes=self.strip_bytes,
            whole_spans=hasattr(self.source, "blocks"),
        )

    @property
    def settled(self) -> bool:
        """Whether the view needs nothing that only a read can tell."""
        imputing = self.transform.missing == "impute-mean" and self.transform.fill is None
        return self.axis == "rows" or not (self.centring or self.scaling or imputing)

    @property
    def own_means(self) -> bool:
        """Whether each row of this (transposed) view is centred or scaled by its own mean and variance."""
        return self.axis == "rows" and (self.centring or self.scaling)

    @property
    def needs_whole_rows(self) -> bool:
        """Whether a panel must hold whole rows, because they are centred, scaled or imputed by their own means."""
        imputing = self.transform.missing == "impute-mean" and self.transform.fill is None
        return self.axis == "rows" and (self.centring or self.scaling or imputing)

    @property
    def swept_by(self) -> Runner:
        """Who sweeps it, if a sweep starts now: always this process when the data is in its memory."""
        if isinstance(self.source, Resident):
            return self.runner if isinstance(self.runner, Threads) else Threads(self.runner.threads)
        runner = current(self.runner)
        if hasattr(self.source, "blocks") and isinstance(runner, Threads):
            from rnla.sweeps.graphs import LazyThreads

            return LazyThreads(runner.threads)
        return runner

    @property
    def T(self) -> Matrix:  # noqa: N802 - the mathematical name
        """The transpose: the same data, swept along its other side."""
        if self.transform.fill is not None:
            msg = "a view with imputed means cannot be transposed after it was settled; transpose it first"
            raise RequestError(msg)
        flipped: Axis = "rows" if self.axis == "columns" else "columns"
        return replace(
            self,
            source=self.source.transposed,
            transform=self.transform.transposed,
            axis=flipped,
            labels=self.labels and self.labels.transposed,
        )

    def centred(self, mean: Any = None) -> Matrix:
        """The view A - 1 mean^T; without `mean` each column's own mean, found in the first sweep that is made anyway.

        Parameters
        ----------
        mean : array of length n, optional
            What is subtracted from each row.
        """
        if self.centring and mean is None and self.axis == "columns":
            return self
        self._unweighted("centred")
        given = self.transform.centre is not None and mean is not None
        if self.centring or given or self.transform.row_centre is not None:
            msg = "this view is centred already; centre the matrix once, by rnla.open(...).centred(...)"
            raise RequestError(msg)
        if mean is None:  # own means take any constants with them
            bare = replace(self.transform, centre=None)
            return replace(self._along_columns("centred"), centring=True, transform=bare)
        found = vector(mean, self.shape[1], "mean", complex_=self.dtype.kind == "c")
        return replace(self, transform=replace(self.transform, centre=found))

    def scaled(self, scale: Any = None) -> Matrix:
        """The view whose column j is divided by scale[j]; without `scale`, by its standard deviation (divisor m).

        Constant columns are divided by 1. Scale after centring.
        """
        if scale is None:
            self._unweighted("scaled")
            if self.transform.row_centre is not None or self.scaling:
                msg = "scaled() takes a view that is not scaled yet and not the transpose of a centred one; give scale="
                raise RequestError(msg)
            return replace(self._along_columns("scaled"), scaling=True)
        given = vector(scale, self.shape[1], "scale")
        if not np.all(given > 0):
            msg = "scale must be positive in every column; use 1 for columns to be left alone"
            raise RequestError(msg)
        return self.weighted(columns=1.0 / given)

    def weighted(self, rows: Any = None, columns: Any = None) -> Matrix:
        """The view diag(rows) A diag(columns), applied after centring and scaling."""
        transform = self.transform
        if columns is not None:
            weights = vector(columns, self.shape[1], "columns")
            transform = replace(transform, scale=weights if transform.scale is None else transform.scale * weights)
        if rows is not None:
            weights = vector(rows, self.shape[0], "rows")
            transform = replace(
                transform, weights=weights if transform.weights is None else transform.weights * weights
            )
        return replace(self, transform=transform)

    def subset(self, rows: Any = None, columns: Any = None) -> Matrix:
        """The view A[rows][:, columns] of some rows and columns, in the order given; only their chunks are read.

        Parameters
        ----------
        rows, columns : arrays of indices, optional
            From 0, repeats allowed; all of them where left out.

        Raises
        ------
        RequestError
            An index that A does not have, or a view that is still to be centred or scaled by its own means.

        Examples
        --------
        >>> import numpy, rnla
        >>> rnla.open(numpy.eye(4)).subset(columns=[2, 0]).shape
        (4, 2)
        """
        if not self.settled or self.own_means:
            msg = "subset() of a view whose own means are still to be found: take the subset first, then centre it"
            raise RequestError(msg)
        (m, n), labels = self.shape, self.labels
        down, across = indices(rows, m, "rows"), indices(columns, n, "columns")
        return replace(
            self,
            source=picked(self.source, down, across),
            transform=self.transform.picked(down, across),
            labels=labels and labels.picked(down, across),
        )

    def _along_columns(self, view: str) -> Matrix:
        """The view with its own means along its columns, if none are pending along its rows."""
        if self.own_means:
            msg = f"{view}() after the transpose of a view centred or scaled by its own means: transpose last"
            raise RequestError(msg)
        return replace(self, axis="columns")

    def _unweighted(self, view: str) -> None:
        if self.transform.scale is not None or self.transform.weights is not None:
            msg = f"{view}() comes before weighted() and scaled(scale): the order is centred, scaled, weighted"
            raise RequestError(msg)

    def standardised(self, *, scale: bool = False) -> Matrix:
        """The view whose principal components are wanted: centred, unless it is, and scaled by deviations on request.

        A view that was centred by given means, or weighted after centring, is taken as it is.
        """
        own = self.centring and self.axis == "columns"
        view = self if own or self.transform.centre is not None else self.centred()
        if not scale or view.scaling:
            return view
        if view.transform.scale is not None:
            msg = "scale=True: the columns of this view are scaled or weighted already; leave one of the two out"
            raise RequestError(msg)
        return view.scaled()

    def astype(self, dtype: Any) -> Matrix:
        """The same view multiplied in another precision: float32, float64, complex64 or complex128."""
        try:
            wanted = np.dtype(dtype)
        except TypeError:
            wanted = np.dtype(object)
        if wanted.char not in "fdFD":
            msg = f"astype({dtype!r}): matrices are multiplied in float32, float64, complex64 or complex128"
            raise RequestError(msg)
        if self.dtype.kind == "c" and wanted.kind != "c":
            msg = f"astype({dtype!r}) would drop the imaginary parts of complex data; open its real part instead"
            raise RequestError(msg)
        return replace(self, precision=wanted.newbyteorder("="))

    def uncentred(self) -> Matrix:
        """The same view without centring by its own means."""
        return replace(self, centring=False)

    def metered(self, progress: Progress | None = None) -> Matrix:
        """The same view with a meter of its own."""
        return replace(self, meter=Meter(progress=progress or (lambda _count: None)))

    def over(self, source: Source, *, cut_as: tuple[int, int] | None = None) -> Matrix:
        """Another matrix swept by the same runner, in float64, with a meter of its own."""
        return Matrix(source, precision=accumulator_dtype(source.dtype), runner=self.runner, cut_as=cut_as)

    def to_dask(self) -> Any:
        """The view as a dask.array.Array, one chunk for each panel; lazy, for use outside rnla."""
        from rnla.sweeps.graphs import lazy_view

        if not self.settled:
            msg = "this view's means are not known yet; give them: A.centred(mean).to_dask()"
            raise RequestError(msg)
        if not swept_as_it_is(self.source):
            return self.T.to_dask().T
        return lazy_view(self._work(()))

    def sweep(self, *products: Product) -> tuple[Any, ...]:
        """One read of the matrix, every product's answer.

        Raises
        ------
        NonFiniteError
            NaN or infinity in the data, with its count and first positions.
        OverflowedError
            Squares that leave the range of the working precision.
        """
        answers, tally = self._swept(self._work(products, measured=False))
        low, high = energy_range(self.dtype)
        if tally.largest > 0 and not low <= tally.energy <= high:
            raise overflowed(tally, self.dtype, rescaled=False)
        return answers

    def swept(self, *products: Product, allow_nonfinite: bool = False) -> tuple[tuple[Any, ...], Tally]:
        """`sweep` with the tally of its read, and without the check of the range."""
        return self._swept(self._work(products, allow_nonfinite=allow_nonfinite))

    def _swept(self, work: Work) -> tuple[tuple[Any, ...], Tally]:
        tally, totals = self.swept_by.run(work, self.meter.progress)
        self.meter.tallies.append(tally)
        if tally.nonfinite and not work.allow_nonfinite:
            raise self._nonfinite(tally)
        return tuple(p.finish(total) for p, total in zip(work.products, totals, strict=True)), tally

    def _work(self, products: tuple[Product, ...], *, allow_nonfinite: bool = False, measured: bool = True) -> Work:
        casts: dict[int, Array] = {}

        def cast(X: Array) -> Array:
            return casts.setdefault(id(X), np.ascontiguousarray(X, dtype=self.dtype))

        refuse_across(self.source)
        self._check_means()
        transform = self.transform
        if self.own_means:
            own = {(True, False): "centre", (True, True): "standardise", (False, True): "scale"}
            transform = replace(transform, own_rows=own[self.centring, self.scaling])  # type: ignore[arg-type]
        return Work(
            self.source,
            transform,
            self.dtype,
            self.geometry,
            tuple(p.cast(cast) for p in products),
            allow_nonfinite,
            measured,
        )

    def _check_means(self) -> None:
        if not self.settled:
            msg = "this view's means are not known yet: give them, A.centred(mean), or let rnla.svd or pca find them"
            raise RequestError(msg)
        if self.needs_whole_rows and self.geometry.reads == 2:
            msg = "rows are read in parts here, so their own means are not known: rechunk the store to panels of rows"
            raise UnsupportedError(msg)

    def _nonfinite(self, tally: Tally) -> NonFiniteError:
        turned = self.axis == "rows"  # swept along its columns: tell places in the matrix that was given
        positions = [(j, i) if turned else (i, j) for i, j in tally.positions]
        source = self.source.transposed if turned else self.source
        origin = getattr(source, "origin", lambda *place: place)  # of picked rows and columns
        shown, where = ", ".join(f"({i}, {j})" for i, j in starmap(origin, positions)), source.place(*positions[0])
        count = "1 entry is" if tally.nonfinite == 1 else f"{tally.nonfinite} entries are"
        return NonFiniteError(
            f"{count} NaN or infinite; first at {where}; (row, column) of the first "
            f"{len(tally.positions)}: {shown}. {SPARSE_CURE if holds_sparse(self.source) else CURE}"
        )
