"""Pairs of columns whose cosine is at least a threshold, with their exact cosines.

Few columns: A^T A in one read. Many: a Gaussian sketch of l rows and the norms come with the first read; pairs whose
sketched cosine is near the threshold or above it are candidates; the second read, of the chunks that hold them, gives
their cosines exactly. DIMSUM (Bosagh Zadeh and Goel 2013; Spark's columnSimilarities) samples entries instead and gives
estimates of all pairs; here what is returned is exact, and only that a pair is missed is left to chance: with the
sketches of two columns jointly normal, the law of a sketched cosine is known (`missed`).
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import scipy.special

from rnla.algorithms.lifecycle import Checkpoints, Journal
from rnla.algorithms.planning import oriented
from rnla.algorithms.results import Cost
from rnla.algorithms.sample_certificates import PairsCertificate
from rnla.arrays import Array, spelt_bytes
from rnla.checks import one_of, share
from rnla.errors import RequestError, UnsupportedError
from rnla.kernels.blas import single_blas_thread
from rnla.sweeps.geometry import STRIP_BYTES
from rnla.sweeps.matrix import Labels, Matrix
from rnla.sweeps.pairs import Dots, tiles_of
from rnla.sweeps.products import ColumnNorms, GramMatrix, Product, Right, RowNorms, tall_rows
from rnla.sweeps.settling import in_range, settled
from rnla.sweeps.sketches import Embedding, Sketch
from rnla.sweeps.source import ResidentTall, Tall, Workspace, swept_as_it_is

METHODS = ("auto", "gram", "sketch")
GRAM_COLUMNS = 2048  # up to here A^T A is formed: 34 MB
FALSE_ALARM = 1e-5  # chance that orthogonal columns are candidates
MOST_ROWS = 1024  # of a sketch
MOST_PAIRS = 5_000_000  # candidates
BLOCK = 1024  # columns compared with as many others at once
HELD = 1 << 23  # elements of a sketch that are compared with all others while those are read: 32 MB


class Pairs(NamedTuple):
    """Similar pairs."""

    first: Array  # (c,)
    second: Array  # (c,) each larger than `first`
    cosine: Array  # (c,)
    rows: int  # of the sketch; 0: none was made
    missed: float  # chance that a given pair at the threshold is not among them


@dataclass(frozen=True, repr=False)
class Similar:
    """Pairs of columns with cosine >= threshold, the most similar first."""

    first: Array  # (c,) indices
    second: Array  # (c,)
    cosine: Array  # (c,) exact to rounding
    threshold: float
    missed: float  # chance that a given pair with a cosine of the threshold is not here; smaller for larger cosines
    cost: Cost
    labels: Labels | None = None
    sketch_rows: int = 0  # 0: A^T A was formed
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def certificate(self) -> PairsCertificate:
        """What may be absent."""
        return PairsCertificate(self.threshold, self.first.size, self.missed, self.sketch_rows)

    @property
    def names(self) -> tuple[Array, Array]:
        """Labels of both columns of each pair; their indices where the matrix has none."""
        known = None if self.labels is None else self.labels.column_coordinates
        if known is None:
            return self.first, self.second
        found = np.asarray(known)
        return found[self.first], found[self.second]

    def __repr__(self) -> str:
        chance = f", each missed with probability {self.missed:.1g} at most" if self.missed else ""
        return (
            f"Similar({self.first.size:,} pairs of columns with cosine >= {self.threshold:g}{chance}; {self.cost.told})"
        )


@dataclass(frozen=True)
class Search:
    """What is asked for, checked."""

    threshold: float
    failure: float
    method: str
    seed: int


def checked_search(A: Matrix, threshold: Any, *, failure: Any, method: Any, seed: int) -> Search:
    """The request, or an error that says what is allowed."""
    if min(A.shape) < 1:
        msg = f"a matrix of shape {A.shape[0]} x {A.shape[1]} has no entries to compare"
        raise RequestError(msg)
    if A.dtype.kind == "c":
        msg = "similar_columns compares real columns: give the real and imaginary parts one under the other"
        raise UnsupportedError(msg)
    one_of(method, "method", METHODS)
    cosine = share(threshold, "threshold", "a cosine")
    chance = share(failure, "failure", "a probability")
    how = method if method != "auto" else "gram" if gram_fits(A) else "sketch"
    if how == "gram":
        _check_rows(A)
    if how == "sketch" and sketch_rows(cosine, chance) > MOST_ROWS:
        least = math.tanh(_widths(chance) / math.sqrt(MOST_ROWS - 2))
        msg = (
            f"threshold={cosine} is too small for a sketch of {MOST_ROWS} rows: it must be at least {least:.2g}, or "
            "take method='gram', if A^T A fits into memory"
        )
        raise RequestError(msg)
    return Search(cosine, chance, how, seed)


def gram_fits(A: Matrix) -> bool:
    """Whether A^T A is formed."""
    return A.shape[1] <= GRAM_COLUMNS and A.geometry.reads == 1 and swept_as_it_is(A.source)


def _check_rows(A: Matrix) -> None:
    """Refuses to form A^T A where whole rows cannot be read."""
    along = "" if swept_as_it_is(A.source) else " --along rows"
    if A.geometry.reads == 2 or along:
        what = "it is kept by its columns" if along else "strips of whole rows do not fit"
        if along and A.source.identity.get("transposed"):
            along = " --along columns"
        msg = (
            f"method 'gram' reads {getattr(A.source, 'url', 'the matrix')} by whole rows, and {what}: take method "
            f"'sketch' or 'auto', or write the store anew (rnla rechunk{along})"
        )
        raise UnsupportedError(msg)


def sketch_rows(threshold: float, failure: float) -> int:
    """Rows that tell a pair at the threshold from orthogonal columns: atanh of a cosine has spread (l - 2)^-1/2."""
    return 2 + math.ceil((_widths(failure) / math.atanh(threshold)) ** 2)


def _widths(failure: float) -> float:
    return -float(scipy.special.ndtri(failure) + scipy.special.ndtri(FALSE_ALARM))


def missed(cosine: float, cut: float, rows: int) -> float:
    """P(sketched cosine < cut) for columns with this cosine under a Gaussian sketch of so many rows.

    With unit columns x and y = c x + d z, d = (1 - c^2)^1/2, and u = S x, w = S z independent: the sketched cosine r
    has r / (1 - r^2)^1/2 = (c |u| + d g) / (d |w'|), g = u.w / |u| normal, |u| chi with l, |w'| with l - 1 degrees of
    freedom, all independent. So P = E[Phi(t |w'| - k |u|)], t = cut / (1 - cut^2)^1/2, k = c / d; by quadrature.
    """
    return _missed(cosine, cut, _chi_nodes(rows), _chi_nodes(rows - 1)) if rows > 1 else 1.0


def _missed(cosine: float, cut: float, u: tuple[Array, Array], w: tuple[Array, Array]) -> float:
    t, k = (value / math.sqrt(1.0 - value**2) for value in (cut, cosine))
    inside = scipy.special.ndtr(t * w[0] - k * u[0][:, None])
    return float(u[1] @ inside @ w[1])


def _chi_nodes(degrees: int) -> tuple[Array, Array]:
    """Gauss-Legendre nodes within eleven spreads of the middle of a chi law, and its mass at each."""
    middle = math.sqrt(degrees)
    low, high = max(0.0, middle - 8.0), middle + 8.0  # the spread of a chi is at most 0.71
    nodes, weights = np.polynomial.legendre.leggauss(100)
    at = low + (nodes + 1.0) * (high - low) / 2
    half = degrees / 2  # the density is at^(degrees - 1) exp(-at^2 / 2) / (2^(half - 1) Gamma(half))
    logarithm = scipy.special.xlogy(degrees - 1, at) - at**2 / 2 - (half - 1) * math.log(2) - math.lgamma(half)
    return at, weights * (high - low) / 2 * np.exp(logarithm)


def cut_of(threshold: float, failure: float, rows: int) -> float:
    """The largest sketched cosine under which no more than `failure` of pairs at the threshold fall; by bisection."""
    low, high = -1.0 + 1e-9, threshold
    u, w = _chi_nodes(rows), _chi_nodes(max(1, rows - 1))
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if _missed(threshold, middle, u, w) <= failure else (low, middle)
    return low


def similar(A: Matrix, search: Search, workspace: Workspace, checkpoints: Checkpoints | None = None) -> Pairs:
    """Pairs of columns of A whose cosine is at least the threshold."""
    with single_blas_thread():
        A = settled(A)
        if search.method == "gram":
            return _by_gram(A, search.threshold)
        return _by_sketch(A, search, workspace, Journal(checkpoints))


def _by_gram(A: Matrix, threshold: float) -> Pairs:
    (G,), _, _ = in_range(A, GramMatrix())
    lengths = np.sqrt(G.diagonal())
    cosines = _cosines(G, lengths[:, None], lengths)
    first, second = np.nonzero(np.triu(cosines >= threshold, 1))
    return _sorted(first, second, cosines[first, second], 0, 0.0, threshold)


def _cosines(dots: Array, first: Array, second: Array) -> Array:
    """dots / (first second), 0 where a length is 0."""
    found = dots / np.where(first > 0, first, 1.0)
    found /= np.where(second > 0, second, 1.0)
    return np.asarray(found)


def _by_sketch(A: Matrix, search: Search, workspace: Workspace, journal: Journal) -> Pairs:
    rows = min(sketch_rows(search.threshold, search.failure), A.shape[0])
    cut = cut_of(search.threshold, search.failure, rows)
    sketch, lengths, unit = _first_read(A, rows, search.seed, workspace, journal)
    first, second = _candidates(sketch, lengths > 0, search, cut, A.swept_by.threads)
    if not first.size:
        return Pairs(first, second, np.zeros(0), rows, search.failure)
    picks, first, second, wanted = _by_tiles(first, second, A.shape[1])
    here = replace(A, transform=replace(A.transform, unit=unit)).subset(columns=picks)
    if here.geometry.panel_bytes > max(STRIP_BYTES, A.geometry.panel_bytes):  # of a store that is read in parts
        msg = (
            f"{picks.size:,} columns are candidates, and a strip of whole rows of them "
            f"({spelt_bytes(here.geometry.panel_bytes)}) exceeds {spelt_bytes(STRIP_BYTES)}: ask for a threshold "
            f"above {search.threshold:g}, or rechunk the store to panels of whole rows (rnla rechunk)"
        )
        raise RequestError(msg)
    (dots,), _ = here.swept(wanted)  # in float64, so small columns among large ones are in range
    exact = _cosines(dots, lengths[first], lengths[second])
    return _sorted(first, second, exact, rows, search.failure, search.threshold)


def _by_tiles(first: Array, second: Array, n: int) -> tuple[Array, Array, Array, Dots]:
    """The columns that are in some pair, the pairs in the order in which they are multiplied, and their dots."""
    there = np.zeros(n, bool)
    there[first] = there[second] = True
    place = np.cumsum(there, dtype=first.dtype) - 1
    order = np.argsort(tiles_of(place[first], place[second]), kind="stable")
    first, second = first[order], second[order]
    return np.flatnonzero(there), first, second, Dots(place[first], place[second])


def _first_read(A: Matrix, rows: int, seed: int, workspace: Workspace, journal: Journal) -> tuple[Tall, Array, float]:
    """(S A)^T for a Gaussian S (n, l), the lengths of the columns (n,), and the unit that both are in."""
    S = Embedding("gaussian", rows, A.shape[0], seed, "similarity")
    view, turned = oriented(A)

    def swept(*products: Product) -> tuple[Any, ...]:
        answers, _, used = in_range(view, *products)
        return *answers, used.transform.unit

    if not turned:
        norms, sketch, unit = journal.once(lambda: swept(ColumnNorms(), Sketch(S)))
        return ResidentTall(np.ascontiguousarray(sketch.T)), np.sqrt(norms), float(unit)
    height, dtype = view.geometry.tall_rows, np.dtype(np.float64)
    into = workspace.tall("sketch", (view.shape[0], rows), dtype, height)
    found = workspace.tall("norms", (view.shape[0], 1), dtype, height)
    *_, unit = journal.once(lambda: swept(RowNorms(found), Right(S.transpose(), into)))
    return into, np.sqrt(tall_rows(found, slice(0, view.shape[0]))[:, 0]), float(unit)


def _candidates(sketch: Tall, there: Array, search: Search, cut: float, threads: int) -> tuple[Array, Array]:
    """Pairs i < j of nonzero columns whose sketches have a cosine of at least `cut`, by blocks: (c,), (c,).

    All n^2 l / 2 products are made, by the threads of this process. The sketch is read once for each part of it that is
    held: n l / 2^23 times, and half of it on average.
    """
    n, index = sketch.shape[0], np.int32 if sketch.shape[0] < 1 << 31 else np.int64
    found, count = [], 0
    rim = sketch.shape[1] * float(np.finfo(np.float32).eps)  # rounding of a product of unit rows
    with ThreadPoolExecutor(threads, thread_name_prefix="rnla") as pool:
        for held in _cuts(0, n, max(1, HELD // (BLOCK * sketch.shape[1])) * BLOCK):
            ours = _unit_rows(sketch, held, there)
            for columns in _cuts(held.start, n, BLOCK):
                own = columns.start < held.stop
                theirs = ours[columns.start - held.start :][:BLOCK] if own else _unit_rows(sketch, columns, there)
                rows = _cuts(held.start, columns.stop if own else held.stop, BLOCK)
                near = partial(_near, ours, held.start, theirs, columns, cut - rim)
                for first, second in pool.map(near, rows):
                    found.append((first.astype(index), second.astype(index)))
                    count += first.size
                    _refuse_many(count, search.threshold)
    first, second = (np.concatenate(side) for side in zip(*found, strict=True))
    return first, second


def _cuts(start: int, stop: int, step: int) -> list[slice]:
    return [slice(first, min(first + step, stop)) for first in range(start, stop, step)]


def _refuse_many(count: int, threshold: float) -> None:
    if count > MOST_PAIRS:
        msg = (
            f"more than {MOST_PAIRS:,} pairs of columns may have a cosine of {threshold:g} or more: ask for a higher "
            "threshold, or centre the matrix if its columns have a common mean"
        )
        raise RequestError(msg)


def _near(held: Array, start: int, theirs: Array, columns: slice, cut: float, rows: slice) -> tuple[Array, Array]:
    """Pairs of a range of `rows` and one of `columns`, not before it, whose cosine is at least `cut`: (c,), (c,)."""
    near = held[rows.start - start : rows.stop - start] @ theirs.T >= cut
    i, j = np.nonzero(np.triu(near, 1) if columns == rows else near)
    return i + rows.start, j + columns.start


def _unit_rows(sketch: Tall, rows: slice, there: Array) -> Array:
    """Rows of length 1 in float32; of columns that are zero, zero."""
    found = np.zeros((rows.stop - rows.start, sketch.shape[1]), np.float32)
    for cut in _cuts(rows.start, rows.stop, BLOCK):
        part = tall_rows(sketch, cut)
        lengths = np.linalg.norm(part, axis=1)
        kept = there[cut] & (lengths > 0)
        found[cut.start - rows.start : cut.stop - rows.start][kept] = part[kept] / lengths[kept, None]
    return found


def _sorted(first: Array, second: Array, cosine: Array, rows: int, chance: float, threshold: float) -> Pairs:
    kept = cosine >= threshold
    first, second, cosine = first[kept].astype(np.int64), second[kept].astype(np.int64), np.minimum(cosine[kept], 1.0)
    order = np.lexsort((second, first, -cosine))
    return Pairs(first[order], second[order], cosine[order], rows, chance)
