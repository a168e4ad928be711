"""The work of one task: read the panels of a span one after the other, and give every product's partial.

A span's partial is a pure function of (store, products, span), so repeating it is harmless. The next panel is read
while the present one is multiplied; panels are cut into blocks that stay in cache, so that A X and A^H (A X) touch
memory once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import psutil
import scipy.sparse

from rnla.arrays import Array, DType, page_aligned
from rnla.errors import OverflowedError
from rnla.kernels.dense import nonfinite_positions
from rnla.kernels.sparse import as_csr, csr_rows, densified, row_cuts
from rnla.sweeps.blocks import Block, Dense, Strip, Wanted
from rnla.sweeps.copies import Copy
from rnla.sweeps.geometry import Geometry
from rnla.sweeps.nonzeros import SparseGeometry, weights
from rnla.sweeps.picked import Picked
from rnla.sweeps.picking import Rows
from rnla.sweeps.products import ColumnNorms, Product, RowNorms
from rnla.sweeps.retries import retried
from rnla.sweeps.source import Source, Tall
from rnla.sweeps.sparse import Sparse
from rnla.sweeps.transform import Transform

BLOCK_BYTES = 8 << 20
SPARSE_BLOCKS = (
    4  # blocks of a sparse panel may be so many times larger: what they are multiplied by does not fit in cache
)
FIRST_POSITIONS = 10
Report = Callable[[int], None]


@dataclass(frozen=True)
class Work:
    """Everything that a task needs, in one value that pickles."""

    source: Source
    transform: Transform
    dtype: DType
    geometry: Geometry
    products: tuple[Product, ...]
    allow_nonfinite: bool = False
    measured: bool = True  # whether the tally's energy is wanted; otherwise A X alone shows NaN and infinity

    def operands(self) -> list[Array]:
        """The distinct X of all products that need A X."""
        found = {id(X): X for product in self.products if (X := getattr(product, "X", None)) is not None}
        return list(found.values())

    def wanted(self, rows: slice) -> Wanted:
        """What the products need of a strip of these rows before they see it."""
        picks = [product.I for product in self.products if isinstance(product, Rows)]
        lines = np.unique(np.concatenate(picks)) if picks else np.zeros(0, np.int64)
        here = lines[(lines >= rows.start) & (lines < rows.stop)] - rows.start
        squares = any(isinstance(product, ColumnNorms | RowNorms) for product in self.products)
        return Wanted(self.operands(), here, squares)


@dataclass(frozen=True)
class Tally:
    """What a range of rows cost and contained."""

    bytes_read: int = 0
    energy: float = 0.0
    largest: float = 0.0  # largest modulus seen where squares left the range
    nonfinite: int = 0
    missing: int = 0  # entries that are not finite and were masked or imputed
    positions: tuple[tuple[int, int], ...] = ()
    read_seconds: float = 0.0
    seconds: float = 0.0
    peak_bytes: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.bytes_read + other.bytes_read,
            self.energy + other.energy,
            max(self.largest, other.largest),
            self.nonfinite + other.nonfinite,
            self.missing + other.missing,
            (self.positions + other.positions)[:FIRST_POSITIONS],
            self.read_seconds + other.read_seconds,
            self.seconds + other.seconds,
            max(self.peak_bytes, other.peak_bytes),
        )


Partials = tuple[Tally, list[Any]]


def span_partials(
    work: Work, span: slice, scratch: list[Array] | None = None, report: Report | None = None
) -> Partials:
    """Partial of every product over the rows of a span."""
    started = perf_counter()
    totals = Totals(work, span)
    process = psutil.Process()
    with np.errstate(all="ignore"):  # overflow shows in the energy, which the sweep checks
        for panel_tally, blocks in _panels(work, span, scratch):
            for block in blocks:
                totals.add(block)
            totals.tally += panel_tally() + Tally(peak_bytes=process.memory_info().rss)
            if report is not None:
                report(totals.tally.bytes_read)
    totals.flush()
    return totals.tally + Tally(seconds=perf_counter() - started), totals.partials


def join_partials(work: Work, *parts: Partials) -> Partials:
    """Partials of neighbouring ranges of rows, joined from left to right."""
    tally, totals = parts[0]
    totals = [_own(total) for total in totals]  # Dask may keep the part: do not add into it
    with np.errstate(all="ignore"):
        for other_tally, others in parts[1:]:
            tally += other_tally
            totals = [
                None if a is None else product.join(a, b)
                for product, a, b in zip(work.products, totals, others, strict=True)
            ]
    return tally, totals


def _own(total: Any) -> Any:
    if isinstance(total, np.ndarray):
        return total.copy()
    if type(total) is tuple:
        return tuple(_own(part) for part in total)
    return total


class Totals:
    """Running partials of a span, and the rows of its row-wise products until a chunk of them is whole."""

    def __init__(self, work: Work, span: slice) -> None:
        self.work = work
        self.partials: list[Any] = [None] * len(work.products)
        self.tally = Tally()
        self.strips: dict[int, list[Array]] = {}
        self.start = self.stop = span.start

    def add(self, block: Block) -> None:
        """Take one block into every product."""
        for k, product in enumerate(self.work.products):
            found = product.panel(block)
            if hasattr(product, "into"):
                self.strips.setdefault(k, []).append(found)
            else:
                self.partials[k] = found if self.partials[k] is None else product.join(self.partials[k], found)
        self.tally += _checked(block, self.work)
        self.stop = block.rows.stop
        if self.stop % self.work.geometry.tall_rows == 0:
            self.flush()

    def flush(self) -> None:
        """Write the rows held so far."""
        for k, strips in self.strips.items():
            into: Tall = self.work.products[k].into  # type: ignore[attr-defined]
            rows, block = slice(self.start, self.stop), np.concatenate(strips)
            retried(partial(into.write, rows, block), partial(into.source.place, rows.start, 0))
        self.strips = {}
        self.start = self.stop


def _checked(block: Block, work: Work) -> Tally:
    """Energy of a block, if it is wanted; on the way NaN, infinity and squares out of range are noticed."""
    if not work.measured and not isinstance(block, Strip) and (operands := work.operands()):
        product = block.right(operands[0])
        if np.isfinite(np.vdot(product, product)):
            return Tally()
    energy = block.energy()
    tiny, huge = energy_range(work.dtype)
    if tiny <= energy <= huge or (energy == 0.0 and isinstance(block, Strip)):
        return Tally(energy=energy)
    if isinstance(block, Sparse):
        (count, positions), largest = block.nonfinite(FIRST_POSITIONS), block.largest()
    else:
        parts = [part.array for _, part in block.parts()] if isinstance(block, Strip) else [block.dense()]
        array = np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]
        count, positions = nonfinite_positions(array, FIRST_POSITIONS)
        largest = float(np.abs(array[np.isfinite(array)]).max(initial=0.0))
    first = block.rows.start
    return Tally(
        energy=energy,
        largest=largest,
        nonfinite=count,
        positions=tuple((first + i, j) for i, j in positions),
    )


def energy_range(dtype: DType) -> tuple[float, float]:
    """Squared Frobenius norms between which products of products neither overflow nor vanish."""
    return (1e-20, 1e24) if dtype.itemsize // (2 if dtype.kind == "c" else 1) == 4 else (1e-120, 1e120)


def _panels(
    work: Work, span: slice, scratch: list[Array] | None
) -> Iterator[tuple[Callable[[], Tally], Iterator[Block]]]:
    """Each panel's tally (after use) and blocks; the next panel is being read meanwhile."""
    if work.geometry.reads == 2:
        yield from _strips(work, span)
        return
    everything = slice(0, work.geometry.columns)
    panels = work.geometry.panels(span)
    buffers = scratch or [page_aligned(work.geometry.panel_bytes) for _ in range(min(2, len(panels)))]

    def read(index: int) -> tuple[Any, float]:
        started = perf_counter()
        rows = panels[index]
        where = partial(work.source.place, rows.start, 0)
        raw = retried(lambda: work.source.read(rows, everything, buffers[index % 2]), where)
        return raw, perf_counter() - started

    with ThreadPoolExecutor(1, thread_name_prefix="rnla-read") as reader:
        ahead = reader.submit(read, 0)
        for index, rows in enumerate(panels):
            raw, seconds = ahead.result()
            if index + 1 < len(panels):
                ahead = reader.submit(read, index + 1)
            read_bytes, missing = raw_bytes(raw, work, rows, everything), missing_entries(raw, work)
            tally = Tally(bytes_read=read_bytes, read_seconds=seconds, missing=missing)
            yield partial(_same, tally), blocks_of(raw, rows, work)


def raw_bytes(raw: Any, work: Work, rows: slice, columns: slice) -> int:
    """Matrix bytes in a panel: what is stored of it (of a Dask array, as if dense); of picks those of their chunks."""
    if isinstance(work.source, Picked | Copy):
        return work.source.read_bytes(rows, columns)
    sparse = scipy.sparse.issparse(raw) and isinstance(work.geometry, SparseGeometry)
    return work.geometry.stored_bytes(raw.shape[0], raw.nnz if sparse else int(np.prod(raw.shape)))


def missing_entries(raw: Any, work: Work) -> int:
    """Entries that the view masks or imputes."""
    if work.transform.missing == "error" or scipy.sparse.issparse(raw):
        return 0
    return int(raw.size) - int(np.count_nonzero(np.isfinite(raw)))


def blocks_of(raw: Any, rows: slice, work: Work) -> Iterator[Block]:
    """A panel as blocks of whole rows: dense ones stay in cache, sparse ones hold a bounded number of nonzeros."""
    if scipy.sparse.issparse(raw):
        yield from _sparse_blocks(as_csr(raw), rows, work)
        return
    step = max(1, BLOCK_BYTES // max(1, raw.shape[1] * work.dtype.itemsize))
    for first in range(0, raw.shape[0], step):
        cut = raw[first : first + step]
        here = slice(rows.start + first, rows.start + first + cut.shape[0])
        yield Dense(*work.transform.dense(cut, here, work.dtype), here)


def _sparse_blocks(raw: Any, rows: slice, work: Work) -> Iterator[Block]:
    """A sparse panel, in one block unless it is larger than most."""
    entry_bytes = raw.data.itemsize + raw.indices.itemsize
    for cut in row_cuts(weights(raw.indptr, entry_bytes), SPARSE_BLOCKS * BLOCK_BYTES):
        here = slice(rows.start + cut.start, rows.start + cut.stop)
        yield Sparse(csr_rows(raw, cut), here, work.dtype, work.transform)


def _strips(work: Work, span: slice) -> Iterator[tuple[Callable[[], Tally], Iterator[Block]]]:
    for rows in work.geometry.panels(span):
        seen: list[tuple[int, int]] = []  # bytes and missing entries of each part, as often as it is read

        def parts(rows: slice = rows, seen: list[tuple[int, int]] = seen) -> Iterator[tuple[slice, Dense]]:
            for columns in work.geometry.parts():
                where = partial(work.source.place, rows.start, columns.start)
                raw = densified(retried(partial(work.source.read, rows, columns), where))
                seen.append((raw_bytes(raw, work, rows, columns), missing_entries(raw, work)))
                transform = work.transform.columns_at(columns)
                yield columns, Dense(*transform.dense(raw, rows, work.dtype), rows)

        strip = Strip(parts, rows, work.dtype, work.wanted(rows))
        yield partial(_tally_of, seen, len(work.geometry.parts())), iter([strip])


def _same(tally: Tally) -> Tally:
    return tally


def _tally_of(seen: list[tuple[int, int]], parts: int) -> Tally:
    return Tally(bytes_read=sum(nbytes for nbytes, _ in seen), missing=sum(missing for _, missing in seen[:parts]))


def overflowed(tally: Tally, dtype: DType, *, rescaled: bool = True) -> OverflowedError:
    """The error of a matrix whose squares leave the range, as it is or even `rescaled` by a power of two."""
    tried = ", even scaled so that the largest is near 1" if rescaled else ""
    single = np.finfo(dtype).dtype.itemsize == 4
    cure = "multiply in float64 (A.astype('float64')), or " if single else ""
    return OverflowedError(
        f"entries up to {tally.largest:.3g} cannot be squared in {dtype}{tried}: {cure}scale the matrix, "
        "A.weighted(columns=...)"
    )
