"""Some rows and columns of a matrix, in any order, as a matrix of its own: only the chunks that hold them are read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from rnla.arrays import Array, DType
from rnla.sweeps.source import Source


class Group(NamedTuple):
    """Picks that lie in one chunk."""

    places: Array  # where they go
    span: slice  # of the source, from the first of them to the last
    chunk: slice  # the whole chunk
    inside: Array  # where they are in `span`


@dataclass(frozen=True, eq=False)
class Picked:
    """The matrix A[rows][:, columns] of a source A."""

    inner: Source
    rows: Array | None  # (u,) None: all of them
    columns: Array | None  # (w,)

    def __str__(self) -> str:
        return f"{self.shape[0]:,} x {self.shape[1]:,} of {self.inner}"

    @property
    def shape(self) -> tuple[int, int]:
        """(u, w)."""
        m, n = self.inner.shape
        return m if self.rows is None else len(self.rows), n if self.columns is None else len(self.columns)

    @property
    def dtype(self) -> DType:
        """Type of the elements."""
        return self.inner.dtype

    @property
    def chunks(self) -> tuple[int, int]:
        """Picked lines can be read alone; the others as they lie in the source."""
        r, c = self.inner.chunks
        return r if self.rows is None else 1, c if self.columns is None else max(1, self.shape[1])

    @property
    def transient_bytes(self) -> int:
        """Memory beyond the answer: the chunks of one group at a time, as they lie in the source."""
        r, c = self.inner.chunks
        wide = c if self.columns is not None else self.shape[1]
        return r * wide * self.dtype.itemsize + int(getattr(self.inner, "transient_bytes", 0))

    @property
    def identity(self) -> dict[str, Any]:
        """The source's, and a hash of the picks."""
        digest = hashlib.blake2b(digest_size=16)
        for picks in (self.rows, self.columns):
            digest.update(b"all" if picks is None else np.ascontiguousarray(picks, "<i8").tobytes())
        return dict(self.inner.identity) | {"picked": digest.hexdigest()}

    @property
    def transposed(self) -> Picked:
        """The same picks as a w x u matrix."""
        return Picked(self.inner.transposed, self.columns, self.rows)

    def read(self, rows: slice, columns: slice, scratch: Array | None = None) -> Any:
        """A[rows][:, columns], each chunk that holds some of it read once."""
        down, across = self._groups(rows, columns)
        count, width = rows.stop - rows.start, columns.stop - columns.start
        out = np.empty((count, width), self.dtype)
        strips = []
        for group in down:
            parts = [self.inner.read(group.span, other.span)[group.inside][:, other.inside] for other in across]
            if any(scipy.sparse.issparse(part) for part in parts):
                order = np.argsort(np.concatenate([other.places for other in across]))
                strips.append(scipy.sparse.hstack(parts, format="csc")[:, order].tocsr())
                continue
            for other, part in zip(across, parts, strict=True):
                out[np.ix_(group.places, other.places)] = part
        if not strips:
            return out
        order = np.argsort(np.concatenate([group.places for group in down]))
        return scipy.sparse.vstack(strips, format="csr")[order]

    def read_bytes(self, rows: slice, columns: slice) -> int:
        """Matrix bytes of the chunks that such a read touches; of a sparse source, as if its nonzeros lay evenly."""
        down, across = (sum(g.chunk.stop - g.chunk.start for g in side) for side in self._groups(rows, columns))
        cut = getattr(self.inner, "cut", None)
        if cut is not None:
            return int(down * across * cut.bytes / max(1, cut.rows * cut.columns))
        return int(down * across * self.dtype.itemsize)

    def place(self, row: int, column: int) -> str:
        """Where an element lies in the source."""
        return self.inner.place(*self.origin(row, column))

    def origin(self, row: int, column: int) -> tuple[int, int]:
        """Row and column of an element in the source."""
        at = row if self.rows is None else int(self.rows[row])
        return at, column if self.columns is None else int(self.columns[column])

    def _groups(self, rows: slice, columns: slice) -> tuple[list[Group], list[Group]]:
        (m, n), (r, c) = self.inner.shape, self.inner.chunks
        return list(groups(self.rows, rows, r, m)), list(groups(self.columns, columns, c, n))


def groups(picks: Array | None, wanted: slice, chunk: int, size: int) -> Iterator[Group]:
    """The picks of a range, gathered by the chunks of the source that they lie in."""
    taken = np.arange(wanted.start, wanted.stop) if picks is None else picks[wanted]
    order = np.argsort(taken, kind="stable")
    found = taken[order]
    edges = np.flatnonzero(np.diff(found // chunk, prepend=-1, append=-1))
    for first, last in pairwise(edges.tolist()):
        lines = found[first:last]
        start, stop = int(lines[0]), int(lines[-1]) + 1
        base = start // chunk * chunk
        yield Group(order[first:last], slice(start, stop), slice(base, min(base + chunk, size)), lines - start)


def picked(source: Any, rows: Array | None, columns: Array | None) -> Source:
    """Some rows and columns of a source; sources that can do it themselves have a method `picked`."""
    if hasattr(source, "picked"):
        found: Source = source.picked(rows, columns)
        return found
    return Picked(source, rows, columns)
