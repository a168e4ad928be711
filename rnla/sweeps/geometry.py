"""How a matrix is cut for reading: panels, spans and the join tree, from the store's geometry alone.

Nothing here looks at the number of workers or at the memory of the machine, so the same store gives the same partial
sums joined in the same order, hence the same bits, on any cluster.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

PANEL_BYTES = 16 << 20  # what is read at once, when the store's own chunks are not larger
SPAN_BYTES = 128 << 20  # what one task works through, at least, in a matrix of 64 spans or more
SPAN_LIMIT = 1024  # spans in a sweep, at most
STRIP_BYTES = 256 << 20  # a strip of whole rows larger than this is read in column parts, twice
TALL_ROWS = 16384  # rows in one chunk of a tall result, about
FAN_IN = 8  # partial results joined by one task


@dataclass(frozen=True)
class Geometry:
    """The cut of an m x n matrix swept by rows."""

    rows: int
    columns: int
    itemsize: int
    panel_rows: int  # rows read at once, whole chunks
    span_panels: int  # panels in one task, a power of two
    part_columns: int  # columns read at once: all of them, or a part when a strip does not fit

    @property
    def reads(self) -> int:
        """Times that one sweep of a Gram product reads the matrix: 1, or 2 when strips are read in parts."""
        return 1 if self.part_columns >= self.columns else 2

    @property
    def entries(self) -> int:
        """Elements that are stored."""
        return self.rows * self.columns

    @property
    def bytes(self) -> int:
        """Size of the matrix as it is stored, decoded."""
        return self.entries * self.itemsize

    def stored_bytes(self, rows: int, entries: int) -> int:
        """Size of so many rows that hold so many stored elements."""
        return entries * self.itemsize

    @property
    def span_rows(self) -> int:
        """Rows in one task."""
        return self.panel_rows * self.span_panels

    @property
    def tall_rows(self) -> int:
        """Rows in one chunk of a tall result: whole panels, and a whole number of chunks in a span."""
        panels = 1
        while panels * 2 <= self.span_panels and panels * 2 * self.panel_rows <= TALL_ROWS:
            panels *= 2
        return panels * self.panel_rows

    def filled(self, rows: int) -> int:
        """Rows that a tall result of so many takes on the disk: its last chunk is filled up."""
        return rows if rows <= self.tall_rows else -(-rows // self.tall_rows) * self.tall_rows

    @property
    def panel_bytes(self) -> int:
        """Decoded size of what is read at once."""
        return min(self.panel_rows, self.rows) * self.part_columns * self.itemsize

    @property
    def panel_count(self) -> int:
        """Panels in the matrix."""
        return -(-self.rows // self.panel_rows)

    def spans(self) -> list[slice]:
        """Row ranges of the tasks, in order."""
        return list(_cuts(0, self.rows, self.span_rows))

    def panels(self, rows: slice) -> list[slice]:
        """Row ranges of the panels in a span."""
        return list(_cuts(rows.start, rows.stop, self.panel_rows))

    def parts(self) -> list[slice]:
        """Column ranges read one after the other."""
        return list(_cuts(0, self.columns, self.part_columns))

    def tasks(self) -> int:
        """Tasks of one sweep: the spans, the joins of their tree, and the task that holds the operands."""
        count = len(self.spans())
        return 1 + count + sum(len(level) for level in join_tree(count))


def _cuts(start: int, stop: int, step: int) -> Iterator[slice]:
    edges = [*range(start, stop, step), stop]
    return (slice(a, b) for a, b in pairwise(edges))


def join_tree(leaves: int) -> list[list[slice]]:
    """Levels of the join tree: each entry is the range of nodes of the level below that one join takes."""
    levels = []
    while leaves > 1:
        level = list(_cuts(0, leaves, FAN_IN))
        levels.append(level)
        leaves = len(level)
    return levels


def geometry(
    shape: tuple[int, int],
    itemsize: int,
    chunks: tuple[int, int],
    *,
    strip_bytes: int = STRIP_BYTES,
    whole_spans: bool = False,
) -> Geometry:
    """The cut of a matrix of this shape whose chunks are (rows, columns) apart; `whole_spans`: one panel a span."""
    rows, columns = shape
    unit_rows = max(1, min(chunks[0], rows))
    unit_columns = max(1, min(chunks[1], columns))
    row_bytes = max(1, columns * itemsize)
    part = columns
    if unit_rows * row_bytes > strip_bytes and unit_columns < columns:
        part = unit_columns * max(1, PANEL_BYTES // (unit_rows * unit_columns * itemsize))
    units = max(1, PANEL_BYTES // (unit_rows * row_bytes))
    panel_rows = min(units * unit_rows, -(-max(rows, 1) // unit_rows) * unit_rows)
    wanted = span_bytes(rows * row_bytes, columns)
    panels = 1
    while not whole_spans and panels * panel_rows * row_bytes < wanted and panels * panel_rows < rows:
        panels *= 2
    return Geometry(rows, columns, itemsize, panel_rows, panels, min(part, columns))


def span_bytes(total: int, columns: int) -> int:
    """What a span of a matrix of this size holds, at least."""
    # a span's partial sums have a few hundred columns at most: keep them small beside the span itself
    return max(min(SPAN_BYTES, total // 64), 4096 * columns, -(-total // SPAN_LIMIT))
