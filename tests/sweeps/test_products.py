"""The definition table: every product on every backend, type, shape and view, against its definition in numpy.

Tolerances are componentwise: the definition applied to magnitudes (all differences turned into sums) bounds what
rounding can do, times eps and the number of terms.
"""

# ruff: noqa: ARG005 - the entries of a table all take the same arguments

from dataclasses import dataclass, replace

import numpy as np
import pytest
import scipy.sparse

from rnla.errors import UnsupportedError
from rnla.sweeps.pairs import Dots
from rnla.sweeps.picking import ColumnProducts, Columns, LeftOut, Rows, Triangle, identity_columns
from rnla.sweeps.products import (
    CentredGram,
    ColumnNorms,
    Gram,
    GramMatrix,
    Inner,
    Left,
    Moments,
    OwnMoments,
    Peaks,
    Right,
    RowNorms,
    SumOfSquares,
)
from rnla.sweeps.sampled import Copied, Distance
from rnla.sweeps.settling import first_sweep, settled_by_moments
from rnla.sweeps.sketches import KINDS, Embedding, Sketch
from rnla.sweeps.source import ResidentTall, swept_as_it_is
from tests.backends import BACKENDS, BY_COLUMNS, SPARSE
from tests.matrices import random_of
from tests.tolerances import sum_rounding

pytestmark = pytest.mark.usefixtures("small_cuts")

SHAPES = {"tall": (131, 11), "wide": (11, 131), "square": (32, 32), "one row": (1, 23), "one column": (61, 1)}
DTYPES = ("f8", "f4", "i1", "u1", "i8", "?", "f2", "c8", "c16")


@dataclass(frozen=True)
class Operands:
    """What the products multiply by; exact in float32."""

    X: np.ndarray  # (n, 3)
    Y: np.ndarray  # (m, 2)
    S: dict[str, np.ndarray]  # sketches by kind (l, m)

    @classmethod
    def of(cls, shape, complex_):
        single = "c8" if complex_ else "f4"
        pair = random_of(single, (shape[1], 3), 1), random_of(single, (shape[0], 2), 2)
        sketches = {kind: embedding(kind, shape[0]).transpose().T for kind in KINDS}
        return cls(*(X.astype("c16" if complex_ else "f8") for X in pair), sketches)

    def magnitudes(self):
        return Operands(np.abs(self.X), np.abs(self.Y), {kind: np.abs(S) for kind, S in self.S.items()})

    @property
    def across(self):
        """Some columns, the last one first."""
        return np.array([len(self.X) - 1, 0, len(self.X) // 2])

    @property
    def along(self):
        """Some rows, likewise."""
        return np.array([len(self.Y) - 1, 0, len(self.Y) // 2])

    @property
    def selector(self):
        """The columns J of the identity."""
        return identity_columns(len(self.X), self.across)


def embedding(kind, m):
    return Embedding(kind, min(12, m), m, seed=3)


def tall(m, columns, dtype):
    return ResidentTall(np.full((m, columns), np.nan, dtype=dtype))


def peaks(Y):
    return Y[np.abs(Y).argmax(axis=0), range(Y.shape[1])]


def moments(A, minus):
    mean = A.mean(axis=0)
    return np.full(A.shape[1], float(A.shape[0])), mean, (np.abs(minus(A, mean)) ** 2).sum(axis=0)


def centred_gram(A, X, minus):
    centred = minus(A, A.mean(axis=0))
    return A.mean(axis=0), centred.conj().T @ (centred @ X)


# product of operands and the view's precision; its definition, with `minus` for differences
TABLE = {
    "Right": (lambda o, m, t: Right(o.X, tall(m, 3, t)), lambda A, o, minus: A @ o.X),
    "Right, 2 columns": (lambda o, m, t: Right(o.X, tall(m, 2, t), 2), lambda A, o, minus: A @ o.X[:, :2]),
    "Gram": (lambda o, m, t: Gram(o.X), lambda A, o, minus: A.conj().T @ (A @ o.X)),
    "Inner": (lambda o, m, t: Inner(o.X), lambda A, o, minus: (A @ o.X).conj().T @ (A @ o.X)),
    "Left": (lambda o, m, t: Left(ResidentTall(o.Y)), lambda A, o, minus: o.Y.conj().T @ A),
    "SumOfSquares": (lambda o, m, t: SumOfSquares(), lambda A, o, minus: (np.abs(A) ** 2).sum()),
    "ColumnNorms": (lambda o, m, t: ColumnNorms(), lambda A, o, minus: (np.abs(A) ** 2).sum(axis=0)),
    "RowNorms": (lambda o, m, t: RowNorms(tall(m, 1, "f8")), lambda A, o, minus: (np.abs(A) ** 2).sum(axis=1)[:, None]),
    "GramMatrix": (lambda o, m, t: GramMatrix(), lambda A, o, minus: A.conj().T @ A),
    "Peaks": (lambda o, m, t: Peaks(o.X), lambda A, o, minus: peaks(A @ o.X)),
    "Columns": (lambda o, m, t: Columns(o.across, o.selector, tall(m, 3, t)), lambda A, o, minus: A[:, o.across]),
    "ColumnProducts": (
        lambda o, m, t: ColumnProducts(o.across, o.selector), lambda A, o, minus: A[:, o.across].conj().T @ A
    ),
    "Rows": (lambda o, m, t: Rows(o.along), lambda A, o, minus: A[o.along]),
    "Moments": (lambda o, m, t: Moments(), lambda A, o, minus: moments(A, minus)),
    "Left, not conjugated": (
        lambda o, m, t: Left(ResidentTall(o.Y), conjugate=False), lambda A, o, minus: o.Y.T @ A
    ),
    "Gaussian sketch": (
        lambda o, m, t: Sketch(embedding("gaussian", m)), lambda A, o, minus: o.S["gaussian"] @ A
    ),
    "Sparse sign sketch": (
        lambda o, m, t: Sketch(embedding("sparse-sign", m)), lambda A, o, minus: o.S["sparse-sign"] @ A
    ),
    "CountSketch": (
        lambda o, m, t: Sketch(embedding("countsketch", m)), lambda A, o, minus: o.S["countsketch"] @ A
    ),
    "SRHT": (lambda o, m, t: Sketch(embedding("srht", m)), lambda A, o, minus: o.S["srht"] @ A),
    "Copied": (lambda o, m, t: Copied(tall(m, len(o.X), t)), lambda A, o, minus: A),
    "Distance": (
        lambda o, m, t: Distance(o.X[:, :2], ResidentTall(o.Y)),
        lambda A, o, minus: (np.abs(minus(A @ o.X[:, :2], o.Y)) ** 2).sum(),
    ),
    "Distance from zero": (lambda o, m, t: Distance(o.X), lambda A, o, minus: (np.abs(A @ o.X) ** 2).sum()),
    "Dots": (
        lambda o, m, t: Dots(np.zeros(2, int), np.array([0, len(o.X) - 1])),
        lambda A, o, minus: A[:, 0].conj() @ A[:, [0, -1]],
    ),
    "CentredGram": (lambda o, m, t: CentredGram(o.X), lambda A, o, minus: centred_gram(A, o.X, minus)),
    "CentredGram, whole": (
        lambda o, m, t: CentredGram(None), lambda A, o, minus: centred_gram(A, np.eye(A.shape[1]), minus)
    ),
}  # fmt: skip
WHOLE_ROWS = {
    "GramMatrix",
    "CentredGram",
    "CentredGram, whole",
    "Copied",
    "Dots",
}  # refused when a strip is read in parts
ALIKE = {"Sparse sign sketch", "SRHT"}  # to a view, what the other two sketches are: rows on the left
PLAIN = {"CentredGram", "CentredGram, whole"}  # of the data as it is, before the view is settled


def arrays(answer):
    """An answer as a list of arrays."""
    if isinstance(answer, ResidentTall):
        return [answer.array]
    parts = answer if isinstance(answer, tuple) else (answer,)
    return [part.toarray() if scipy.sparse.issparse(part) else np.asarray(part) for part in parts]


def check(matrix, B, magnitude, products):
    """One sweep of all these products gives what their definitions give on B."""
    m, n = B.shape
    operands = Operands.of(B.shape, np.iscomplexobj(B))
    assert matrix.shape == B.shape
    answers = matrix.sweep(*(TABLE[name][0](operands, m, matrix.dtype) for name in products))
    rounding = sum_rounding(matrix.dtype, m + n)
    for name, answer in zip(products, answers, strict=True):
        definition = TABLE[name][1]
        expected = arrays(definition(B, operands, np.subtract))
        bound = arrays(definition(magnitude, operands.magnitudes(), np.add))
        for got, wanted, size in zip(arrays(answer), expected, bound, strict=True):
            assert got.shape == wanted.shape, name
            assert np.all(np.abs(got - wanted) <= rounding * np.abs(size)), name


def wide(A):
    return A.astype("c16" if A.dtype.kind == "c" else "f8")


def swept(matrix, products):
    return [p for p in products if matrix.geometry.reads == 1 or p not in WHOLE_ROWS]


CASES = [(backend, shape, "f8") for backend in BACKENDS for shape in SHAPES] + [
    (backend, "tall", dtype)
    for backend in BACKENDS
    for dtype in DTYPES
    if dtype != "f8" and not (backend in SPARSE and dtype == "f2")
]


@pytest.mark.parametrize(("backend", "shape", "dtype"), CASES)
def test_products_equal_their_definitions(tmp_path, backend, shape, dtype):
    A = random_of(dtype, SHAPES[shape])
    if backend in SPARSE:
        A = np.where(random_of("?", A.shape, 9), A, np.zeros((), A.dtype))
    matrix = BACKENDS[backend](A, tmp_path)
    matrix, A = (matrix, A) if swept_as_it_is(matrix.source) else (matrix.T, A.T)
    check(matrix, wide(A), np.abs(wide(A)), swept(matrix, TABLE))


def test_the_table_sweeps_several_blocks_panels_spans_and_joins(tmp_path):
    geometry = BACKENDS["zarr v3"](random_of("f8", SHAPES["tall"]), tmp_path).geometry
    spans = geometry.spans()
    assert len(spans) > 8  # more than one level of joins
    assert len(geometry.panels(spans[0])) == 2
    assert SHAPES["tall"][0] % geometry.panel_rows  # the last one is ragged


@pytest.mark.parametrize("name", sorted(WHOLE_ROWS))
def test_products_that_need_whole_rows_say_so_when_strips_are_read_in_parts(tmp_path, name):
    matrix = BACKENDS["zarr v3, in parts"](random_of("f8", SHAPES["tall"]), tmp_path)
    operands = Operands.of(matrix.shape, complex_=False)
    with pytest.raises(UnsupportedError, match=r"rechunk|means"):
        matrix.sweep(TABLE[name][0](operands, matrix.shape[0], matrix.dtype))


@dataclass(frozen=True)
class Sides:
    """What views subtract and multiply by."""

    mean: np.ndarray  # (n,) the data's own
    std: np.ndarray  # (n,)
    given: np.ndarray  # (n,) subtracted by request
    columns: np.ndarray  # (n,) weights
    rows: np.ndarray  # (m,)

    @classmethod
    def of(cls, A):
        rng = np.random.default_rng(7)
        m, n = A.shape
        present = np.isfinite(A)
        count = np.maximum(present.sum(axis=0), 1)
        mean = np.where(present, A, 0).sum(axis=0) / count
        std = np.sqrt((np.abs(np.where(present, A - mean, 0)) ** 2).sum(axis=0) / count)
        return cls(mean, np.where(std > 0, std, 1.0), rng.standard_normal(n), 0.5 + rng.random(n), 0.5 + rng.random(m))

    def magnitudes(self):
        return replace(self, mean=np.abs(self.mean), given=np.abs(self.given))


VIEWS = {
    "as it is": (lambda A, s: A, lambda A, s, minus: A),
    "centred at": (lambda A, s: A.centred(s.given), lambda A, s, minus: minus(A, s.given)),
    "scaled by": (lambda A, s: A.scaled(1 / s.columns), lambda A, s, minus: A * s.columns),
    "weighted": (
        lambda A, s: A.weighted(rows=s.rows, columns=s.columns), lambda A, s, minus: s.rows[:, None] * A * s.columns
    ),
    "weighted twice": (
        lambda A, s: A.weighted(rows=s.rows).weighted(s.rows, s.columns),
        lambda A, s, minus: s.rows[:, None] ** 2 * A * s.columns,
    ),
    "centred at, weighted": (
        lambda A, s: A.centred(s.given).weighted(s.rows, s.columns),
        lambda A, s, minus: s.rows[:, None] * minus(A, s.given) * s.columns,
    ),
    "centred": (lambda A, s: A.centred(), lambda A, s, minus: minus(A, s.mean)),
    "centred twice": (lambda A, s: A.centred(s.given).centred(), lambda A, s, minus: minus(A, s.mean)),
    "centred, columns weighted": (
        lambda A, s: A.centred().weighted(columns=s.columns), lambda A, s, minus: minus(A, s.mean) * s.columns
    ),
    "scaled": (lambda A, s: A.scaled(), lambda A, s, minus: A / s.std),
    "centred, scaled": (lambda A, s: A.centred().scaled(), lambda A, s, minus: minus(A, s.mean) / s.std),
    "centred, scaled, weighted": (
        lambda A, s: A.centred().scaled().weighted(s.rows, s.columns),
        lambda A, s, minus: s.rows[:, None] * minus(A, s.mean) / s.std * s.columns,
    ),
}  # fmt: skip
WITH_VIEWS = (
    [(backend, "tall", "f8") for backend in ("numpy, by columns", "zarr v3, ragged", "dask")]
    + [(backend, shape, "f8") for backend in ("numpy", "sparse csr", "zarr v3, in parts") for shape in SHAPES]
    + [(backend, "tall", dtype) for backend in ("numpy", "sparse csr") for dtype in ("f4", "c16")]
    + [(backend, "tall", dtype) for backend in ("sparse csr in zarr v3", BY_COLUMNS) for dtype in ("f8", "f4")]
)


ALL_VIEWS = {("numpy", "tall", "f8"), ("zarr v3, in parts", "wide", "f8"), ("sparse csr in zarr v3", "tall", "f8")}
DEEPEST = ("weighted twice", "centred at, weighted", "centred twice", "centred, scaled, weighted")  # hold the others


@pytest.mark.parametrize(
    ("backend", "shape", "dtype", "view"),
    [(*case, view) for case in WITH_VIEWS for view in (VIEWS if case in ALL_VIEWS else DEEPEST)],
)
def test_products_of_views_equal_their_definitions(tmp_path, backend, shape, dtype, view):
    A = random_of(dtype, SHAPES[shape])
    sides, (taken, defined) = Sides.of(wide(A)), VIEWS[view]
    opened = BACKENDS[backend](A, tmp_path)
    B, magnitude = defined(wide(A), sides, np.subtract), defined(np.abs(wide(A)), sides.magnitudes(), np.add)
    products = [name for name in TABLE if name not in PLAIN | ALIKE]
    if swept_as_it_is(opened.source):
        matrix = settled_by_moments(taken(opened, sides))
        check(matrix, B, magnitude, swept(matrix, products))
    turned = taken(opened, sides).T
    if not swept_as_it_is(turned.source):
        return
    if turned.own_means and turned.geometry.reads == 2:  # a part of a row does not know the row's mean
        with pytest.raises(UnsupportedError, match="rechunk"):
            turned.sweep(SumOfSquares())
        return
    check(turned, B.T, magnitude.T, swept(turned, products))


MISSING = {
    "mask": (lambda A, s: A, lambda A, s, minus: np.where(np.isfinite(A), A, 0)),
    "mask, centred": (lambda A, s: A.centred(), lambda A, s, minus: np.where(np.isfinite(A), minus(A, s.mean), 0)),
    "mask, centred, scaled": (
        lambda A, s: A.centred().scaled(),
        lambda A, s, minus: np.where(np.isfinite(A), minus(np.where(np.isfinite(A), A, 0), s.mean) / s.std, 0),
    ),
    "impute-mean": (lambda A, s: A, lambda A, s, minus: np.where(np.isfinite(A), A, s.mean)),
    "impute-mean, centred": (
        lambda A, s: A.centred(), lambda A, s, minus: minus(np.where(np.isfinite(A), A, s.mean), s.mean)
    ),
}  # fmt: skip


@pytest.mark.parametrize("view", MISSING)
@pytest.mark.parametrize("backend", ["numpy", "zarr v3, ragged", "zarr v3, in parts", "dask"])
@pytest.mark.parametrize("dtype", ["f8", "f4", "c16"])
def test_missing_entries_are_treated_as_asked(tmp_path, backend, dtype, view):
    A = random_of(dtype, SHAPES["tall"])
    A[random_of("i1", A.shape, 3) > 80] = np.nan
    A[5, 3], A[6, 3] = np.inf, -np.inf
    A[0 if view.startswith("mask") else 1 :, 4] = np.nan  # a mean can only be imputed where there is one
    taken, defined = MISSING[view]
    opened = BACKENDS[backend](A, tmp_path)
    opened = replace(opened, transform=replace(opened.transform, missing=view.split(",")[0]))
    sides = Sides.of(wide(A))
    B, magnitude = defined(wide(A), sides, np.subtract), defined(np.abs(wide(A)), sides.magnitudes(), np.add)
    products = [name for name in TABLE if name not in PLAIN]
    matrix = settled_by_moments(taken(opened, sides))
    check(matrix, B, magnitude, swept(matrix, products))
    turned = taken(opened, sides).T
    if turned.geometry.reads == 2 and (turned.own_means or view.startswith("impute")):
        with pytest.raises(UnsupportedError, match="rechunk"):
            turned.sweep(SumOfSquares())
        return
    check(turned, B.T, magnitude.T, swept(turned, products))


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("backend", ["numpy", "zarr v3, ragged", "dask", "sparse csr", BY_COLUMNS])
def test_means_and_deviations_of_a_turned_view_are_written_row_by_row(tmp_path, backend, scaled):
    A = random_of("f8", SHAPES["wide"])
    view = BACKENDS[backend](A, tmp_path).centred()
    into = tall(A.shape[1], 2, "f8")
    (view.scaled() if scaled else view).T.sweep(OwnMoments(into))
    bound = sum_rounding("f8", A.shape[0]) * np.abs(A).max()
    assert np.abs(into.array[:, 0] - A.mean(axis=0)).max() <= bound
    assert np.abs(into.array[:, 1] - A.std(axis=0)).max() <= bound


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(
    ("backend", "dtype"),
    [(backend, "f8") for backend in ("numpy", "sparse csr", "zarr v3, ragged", "zarr v3, in parts", "dask")]
    + [("numpy", "f4"), ("sparse csr", "c16"), ("sparse csr in zarr v3", "f8")],
)
def test_the_first_sweep_gives_gram_and_energy_of_a_view_with_unknown_means(tmp_path, backend, dtype, view):
    A = random_of(dtype, SHAPES["tall"])
    sides, (taken, defined) = Sides.of(wide(A)), VIEWS[view]
    B, magnitude = defined(wide(A), sides, np.subtract), defined(np.abs(wide(A)), sides.magnitudes(), np.add)
    Q = Operands.of(B.shape, dtype == "c16").X
    found = first_sweep(taken(BACKENDS[backend](A, tmp_path), sides), Q)
    assert found.matrix.settled
    rounding = sum_rounding(dtype, sum(A.shape))
    bound = rounding * (magnitude.T @ (magnitude @ np.abs(found.Q)))
    assert np.all(np.abs(found.Z - B.conj().T @ (B @ found.Q)) <= bound)
    assert abs(found.energy - (np.abs(B) ** 2).sum()) <= rounding * (magnitude**2).sum()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("backend", ["numpy", "sparse csr", "zarr v3, ragged", "zarr v3, in parts", "dask"])
@pytest.mark.parametrize("dtype", ["f8", "f4", "c16"])
def test_a_triangle_is_that_of_qr(tmp_path, backend, shape, dtype):
    A = random_of(dtype, SHAPES[shape])
    operands = Operands.of(A.shape, dtype == "c16")
    (R,) = (
        BACKENDS[backend](A, tmp_path)
        .astype("c16" if dtype == "c16" else "f8")
        .sweep(Triangle(operands.across, operands.selector))
    )
    C = wide(A)[:, operands.across]
    bound = sum_rounding("f8", len(A)) * np.linalg.norm(C) ** 2
    assert np.abs(R.conj().T @ R - C.conj().T @ C).max() <= bound
    assert np.array_equal(R, np.triu(R))


@pytest.mark.parametrize("backend", ["numpy", "zarr v3, ragged", "zarr v3, in parts"])
def test_what_is_left_out_of_each_row_is_not_below_zero(tmp_path, backend):
    A = random_of("f8", SHAPES["tall"])
    Q = np.linalg.qr(random_of("f8", (A.shape[1], 3), 1))[0]
    squares = (A**2).sum(axis=1)
    squares[::7] = 0  # rounding may make them less than what is inside
    (into,) = BACKENDS[backend](A, tmp_path).sweep(
        LeftOut(Q, ResidentTall(squares[:, None]), tall(A.shape[0], 1, "f8"))
    )
    expected = np.maximum(squares - ((A @ Q) ** 2).sum(axis=1), 0)
    assert np.abs(into.array[:, 0] - expected).max() <= sum_rounding("f8", A.shape[1]) * squares.max()
    assert into.array.min() == 0


def test_products_that_share_an_operand_share_its_multiplication(monkeypatch):
    A, calls = random_of("f8", (40, 6)), []
    X = random_of("f8", (6, 2), 1)
    dot = np.dot

    def counted(a, b):
        calls.append(b.shape)
        return dot(a, b)

    monkeypatch.setattr(np, "dot", counted)
    matrix = BACKENDS["numpy"](A, None)
    matrix.sweep(Right(X, tall(40, 2, "f8")), Gram(X), Inner(X), SumOfSquares())
    seen = calls.count(X.shape)
    calls.clear()
    matrix.sweep(Right(X, tall(40, 2, "f8")))
    assert seen == calls.count(X.shape) > 1  # A_i X once for each block, however many products ask for it


def test_a_view_whose_means_are_not_known_cannot_be_swept_as_if_it_were_not_centred():
    matrix = BACKENDS["numpy"](1.0 + random_of("f8", (40, 6)), None)
    for view in (matrix.centred(), matrix.scaled()):
        with pytest.raises(ValueError, match="mean"):
            view.sweep(SumOfSquares())
