"""How a sparse matrix is cut for reading: panels and spans that hold about the same number of nonzeros.

Rows may hold very different numbers of them, so panels differ in rows. All follows from the row pointers, so the same
store is cut in the same way everywhere. Panels lie in cells of one number of rows, or are made of whole cells: a cell
is a chunk of tall results, and spans end where cells do, so that no chunk is written by two tasks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from rnla.arrays import PAGE, Array
from rnla.kernels.sparse import row_cuts
from rnla.sweeps.geometry import TALL_ROWS, Geometry, span_bytes

PANEL_BYTES = 32 << 20  # weight of what is read at once, unless one row or one chunk of the store is more
ROW_BYTES = 1024  # a row weighs so much beside its entries: rows of A X, of Y and of their copies
POINTERS = 1 << 20  # row pointers read at once

Pointers = Callable[[slice], Array]  # rows -> where each begins among the entries, and where the last one ends


def weights(pointers: Array, entry_bytes: int, first: int = 0) -> Array:
    """What all rows before each row weigh, rows first, first + 1, ...: (p,) int64."""
    rows = np.arange(first, first + len(pointers), dtype=np.int64)
    return pointers.astype(np.int64) * entry_bytes + rows * ROW_BYTES


@dataclass(frozen=True)
class SparseGeometry(Geometry):
    """The cut of an m x n sparse matrix swept by rows; `panel_rows` and `span_panels` are the most there are."""

    nonzeros: int
    entry_bytes: int  # an element and its column, as stored
    edges: tuple[int, ...]  # first row of each panel, and m
    ends: tuple[int, ...]  # first row of each span, and m
    cell_rows: int
    most_nonzeros: int  # in one panel

    @property
    def entries(self) -> int:
        """Elements that are stored."""
        return self.nonzeros

    @property
    def bytes(self) -> int:
        """Size of the matrix as it is stored, decoded."""
        return self.stored_bytes(self.rows, self.nonzeros)

    def stored_bytes(self, rows: int, entries: int) -> int:
        """Size of so many stored elements, whatever the rows: the same for a matrix and its transpose."""
        return entries * self.entry_bytes

    @property
    def panel_bytes(self) -> int:
        """Room for the elements of the largest panel, and for their columns from the next page on."""
        return self.most_nonzeros * self.entry_bytes + PAGE

    @property
    def panel_count(self) -> int:
        """Panels in the matrix."""
        return len(self.edges) - 1

    @property
    def tall_rows(self) -> int:
        """Rows in one chunk of a tall result."""
        return self.cell_rows

    def spans(self) -> list[slice]:
        """Row ranges of the tasks, in order."""
        return [slice(a, b) for a, b in pairwise(self.ends)]

    def panels(self, rows: slice) -> list[slice]:
        """Row ranges of the panels in a span."""
        first, last = (bisect_left(self.edges, end) for end in (rows.start, rows.stop))
        return [slice(a, b) for a, b in pairwise(self.edges[first : last + 1])]


def sparse_geometry(
    pointers: Pointers, shape: tuple[int, int], nonzeros: int, itemsize: int, entry_bytes: int, *, chunk_bytes: int = 0
) -> SparseGeometry:
    """The cut of a matrix with these row pointers; `chunk_bytes`: what of it the store gives only as a whole."""
    m, n = shape
    most = max(PANEL_BYTES, chunk_bytes)
    total = int(weights(np.array([nonzeros]), entry_bytes, m)[0])
    cell = 1
    while cell * 2 * total <= most * m and cell * 2 <= TALL_ROWS:
        cell *= 2
    edges, ends, counts, weight, held = [0], [0], [0], 0, 0
    for panel in _panels(pointers, m, cell, most, entry_bytes):
        edges.append(panel.stop)
        counts.append(panel.entries)
        weight, held = weight + panel.weight, held + 1
        if panel.stop == m or (weight >= span_bytes(total, n) and panel.stop % cell == 0):
            ends.append(panel.stop)
            weight = 0
    tallest = max((b - a for a, b in pairwise(edges)), default=1)
    longest = _most_panels(edges, ends)
    return SparseGeometry(
        m, n, itemsize, tallest, longest, n, nonzeros, entry_bytes, tuple(edges), tuple(ends), cell, max(counts)
    )


class _Panel(NamedTuple):
    stop: int  # row after its last
    entries: int
    weight: int


def _panels(pointers: Pointers, rows: int, cell: int, most: int, entry_bytes: int) -> Iterator[_Panel]:
    """Panels from the first row on: whole cells while they fit, and parts of a cell that does not."""
    start = base = begun = 0  # first row of the open panel, what all before it weighs, and how many entries that is
    step = max(1, POINTERS // cell) * cell
    for first in range(0, rows, step):
        found = pointers(slice(first, min(first + step, rows)))
        weight = weights(found, entry_bytes, first)
        for a in range(first, min(first + step, rows), cell):
            b = min(a + cell, rows)
            if weight[b - first] - base <= most:
                continue
            edges = [a] if a > start else []
            if weight[b - first] - weight[a - first] > most:
                edges += [a + cut.stop for cut in row_cuts(weight[a - first : b - first + 1], most)]
            for stop in edges:
                entries, above = int(found[stop - first]), int(weight[stop - first])
                yield _Panel(stop, entries - begun, above - base)
                start, base, begun = stop, above, entries
        last, above = int(found[-1]), int(weight[-1])
    if start < rows:
        yield _Panel(rows, last - begun, above - base)


def _most_panels(edges: list[int], ends: list[int]) -> int:
    starts = [bisect_left(edges, end) for end in ends]
    return max((b - a for a, b in pairwise(starts)), default=1)
