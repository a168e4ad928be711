"""Inner products of pairs of columns: few of all pairs, or nearly all of them.

A pair alone costs a pass over its two columns; a product of matrices gives all pairs of two ranges of columns at a
small part of that each. So pairs that crowd in such a tile are read off a product, and the others are taken one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from rnla.arrays import Array, accumulator_dtype
from rnla.errors import UnsupportedError
from rnla.kernels.sparse import densified, row_cuts
from rnla.sweeps.blocks import Block, Strip
from rnla.sweeps.products import Sum
from rnla.sweeps.sparse import Sparse

TILE = 512  # columns on each side: its products are 2 MB
CROWDED = 100  # a tile is multiplied whole when one in so many of its pairs is wanted: sooner done, as measured
GATHERED = 1 << 19  # entries taken together for pairs one by one


class Run(NamedTuple):
    """Consecutive pairs, and the ranges of columns whose product they are read off (None: one by one)."""

    pairs: slice
    tile: tuple[slice, slice] | None


def tiles_of(first: Array, second: Array) -> Array:
    """The tile that each pair lies in, by number: (c,)."""
    across = int(second.max(initial=0)) // TILE + 1
    return np.asarray(first // TILE * np.int64(across) + second // TILE)


@dataclass(frozen=True)
class Dots(Sum):
    """Inner products conj(a_i) . a_j of pairs of columns, in float64: (c,). Fast when pairs are in order of tiles."""

    first: Array  # (c,)
    second: Array  # (c,)

    @cached_property
    def runs(self) -> list[Run]:
        """All pairs in order: crowded tiles, and what lies between them."""
        n = int(max(self.first.max(initial=0), self.second.max(initial=0))) + 1
        edges = np.append(np.flatnonzero(np.diff(tiles_of(self.first, self.second), prepend=-1)), len(self.first))
        found, done = [], 0
        for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            tile = _tile(int(self.first[start]), n), _tile(int(self.second[start]), n)
            if (stop - start) * CROWDED >= (tile[0].stop - tile[0].start) * (tile[1].stop - tile[1].start):
                found += [Run(slice(done, start), None), Run(slice(start, stop), tile)]
                done = stop
        found.append(Run(slice(done, len(self.first)), None))
        return [run for run in found if run.pairs.stop > run.pairs.start]

    def panel(self, block: Block) -> Array:
        """Of the block's rows."""
        if isinstance(block, Strip):
            msg = "dots of columns need whole rows in memory; run rechunk first"
            raise UnsupportedError(msg)
        if not isinstance(block, Sparse):
            return self._dots(np.ascontiguousarray(block.dense().T, dtype=accumulator_dtype(block.dtype)))
        light = block.light()
        if light is None:
            return reduce(self.join, map(self.panel, block.dense_parts()))
        return self._dots(light.T.tocsr())

    def _dots(self, columns: Any) -> Array:
        """Of columns that are given as rows, dense or sparse: (n, p) -> (c,)."""
        out = np.empty(len(self.first), columns.dtype)
        for pairs, tile in self.runs:
            first, second = self.first[pairs], self.second[pairs]
            if tile is None:
                out[pairs] = _one_by_one(columns, first, second)
                continue
            product = densified(columns[tile[0]].conj() @ columns[tile[1]].T)
            out[pairs] = product[first - tile[0].start, second - tile[1].start]
        return out


def _tile(column: int, n: int) -> slice:
    start = column // TILE * TILE
    return slice(start, min(start + TILE, n))


def _one_by_one(columns: Any, first: Array, second: Array) -> Array:
    """Inner products of pairs of rows, a bounded number of their entries at a time."""
    out = np.empty(len(first), columns.dtype)
    for cut in _pieces(columns, first, second):
        ours, theirs = columns[first[cut]].conj(), columns[second[cut]]
        sparse = scipy.sparse.issparse(ours)
        out[cut] = ours.multiply(theirs).sum(axis=1) if sparse else np.einsum("ij,ij->i", ours, theirs)
    return out


def _pieces(columns: Any, first: Array, second: Array) -> Iterator[slice]:
    step = max(1, GATHERED // max(1, columns.shape[1]))
    if not scipy.sparse.issparse(columns):
        yield from (slice(at, at + step) for at in range(0, len(first), step))
        return
    entries = np.diff(columns.indptr)
    for at in range(0, len(first), GATHERED):
        held = entries[first[at : at + GATHERED]] + entries[second[at : at + GATHERED]]
        for cut in row_cuts(np.concatenate([[0], np.cumsum(held)]), GATHERED):
            yield slice(at + cut.start, at + cut.stop)
