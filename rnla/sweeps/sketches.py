"""Sketches S A: a random S of few rows, addressed by the rows of A, so the same whatever the chunks; one read.

Gaussian; sparse sign (8 nonzeros in each column of S, one in each of 8 strips of its rows: the block form of OSNAP,
Nelson and Nguyen 2013, which needs no search for distinct places); CountSketch (Charikar, Chen and Farach-Colton 2002);
SRHT (Tropp 2011). Of the last, entries of the Hadamard matrix are parities of popcount(r & i), and rows of S meet a
block as a product of matrices: a fast transform would need all rows of A at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any, Literal, get_args

import numpy as np
import scipy.sparse

from rnla.arrays import Array, wide
from rnla.kernels.sparse import densified
from rnla.streams import normal_rows, tile_generator, words
from rnla.sweeps.blocks import Block, Dense, Strip
from rnla.sweeps.products import Sum
from rnla.sweeps.source import Source, Tall, holds_sparse
from rnla.sweeps.sparse import Sparse

Kind = Literal["gaussian", "sparse-sign", "countsketch", "srht"]
KINDS: tuple[str, ...] = get_args(Kind)
NONZEROS = 8  # in a column of a sparse sign matrix
DENSE_ROWS, SPARSE_ROWS = 32, 64  # from so many rows on, sparse signs are multiplied faster: see `lightest`
SPARSER = 20  # from so many times fewer nonzeros on, A S^T is made faster from a sparse S, as measured
GAUSSIAN_TILE = 256  # rows drawn together: blocks of few rows waste little


@dataclass(frozen=True)
class Embedding:
    """A random real l x m matrix S with E[S^T S] = I, known by rows of its transpose."""

    kind: Kind
    l: int
    m: int
    seed: int
    name: str = "sketch"

    @property
    def nonzeros(self) -> int:
        """In each column of S."""
        return {"countsketch": 1, "sparse-sign": min(NONZEROS, self.l)}.get(self.kind, self.l)

    @property
    def sparse(self) -> bool:
        """Whether S^T has so few nonzeros that A S^T is made from them alone."""
        return self.l > SPARSER * self.nonzeros

    @property
    def scale(self) -> float:
        """What the entries of `rows` are multiplied by."""
        return 1.0 / math.sqrt(self.nonzeros)

    def rows(self, rows: slice) -> Any:
        """Rows of S^T / scale, numpy or scipy.sparse: (p, l). Entries are standard normal, or 0, 1 and -1."""
        if self.kind == "gaussian":
            return normal_rows(self.seed, self.name, rows, self.l, tile_rows=GAUSSIAN_TILE)
        return self._hadamard(rows) if self.kind == "srht" else self._sparse(rows)

    def transpose(self) -> Array:
        """S^T itself, dense: (m, l)."""
        return densified(self.rows(slice(0, self.m))) * self.scale

    def _sparse(self, rows: slice) -> Any:
        drawn = words(self.seed, self.name, rows, self.nonzeros)
        edges = np.arange(self.nonzeros + 1, dtype=np.uint64) * np.uint64(self.l) // np.uint64(self.nonzeros)
        places = edges[:-1] + ((drawn >> np.uint64(32)) * np.diff(edges) >> np.uint64(32))
        signs = 1.0 - 2.0 * (drawn & np.uint64(1))
        starts = np.arange(0, drawn.size + 1, self.nonzeros)
        return scipy.sparse.csr_array((signs.ravel(), places.ravel().astype(np.int64), starts), (len(drawn), self.l))

    def _hadamard(self, rows: slice) -> Array:
        order = 1 << (self.m - 1).bit_length()  # of the Hadamard matrix, whose first m columns are used
        generator = tile_generator(self.seed, f"{self.name} rows", 0)
        selected = generator.choice(order, self.l, replace=False).astype(np.uint64)
        signs = 1.0 - 2.0 * (words(self.seed, self.name, rows, 1) & np.uint64(1))
        places = np.arange(rows.start, rows.stop, dtype=np.uint64)
        parity = np.bitwise_count(places[:, None] & selected) & np.uint8(1)
        return np.asarray((1.0 - 2.0 * parity) * signs)


@dataclass(frozen=True)
class Sketch(Sum):
    """S A: (m, n) -> (l, n)."""

    S: Embedding

    def panel(self, block: Block) -> Array:
        """S_i A_i / scale."""
        return left(block, self.S.rows(block.rows))

    def finish(self, total: Array) -> Array:
        """S A."""
        return total * self.S.scale


@dataclass(frozen=True)
class Across(Sum):
    """A S^T, row-wise, written to `into`, for a sparse S: (m, n) -> (m, l); S^T is made where it is needed."""

    S: Embedding
    into: Tall

    @cached_property
    def turned(self) -> Any:
        """S^T / scale, sparse: (n, l)."""
        return self.S.rows(slice(0, self.S.m))

    def panel(self, block: Block) -> Array:
        """A_i S^T: (p, l)."""
        return right(block, self.turned) * self.S.scale

    def finish(self, total: None) -> Tall:
        """The tall matrix."""
        return self.into


@dataclass(frozen=True)
class Normal:
    """A standard Gaussian matrix (m, l) in the place of a tall one: read by rows, never whole."""

    seed: int
    name: str
    shape: tuple[int, int]

    @property
    def source(self) -> Any:
        """Itself: it answers `read`."""
        return self

    def read(self, rows: slice, columns: slice, scratch: Array | None = None) -> Array:
        """A range of rows."""
        return normal_rows(self.seed, self.name, rows, self.shape[1], tile_rows=GAUSSIAN_TILE)[:, columns]

    def write(self, rows: slice, block: Array) -> None:
        """Never."""
        raise AssertionError


def left(block: Block, Y: Any) -> Array:
    """Y^T A for a real Y, dense or scipy.sparse: (p, l) -> (l, n)."""
    if not scipy.sparse.issparse(Y):
        return block.left(Y.astype(block.dtype))
    if isinstance(block, Strip):
        return np.concatenate([left(part, Y) for _, part in block.parts()], axis=1)
    if isinstance(block, Dense):
        return wide(Y.astype(block.dtype).T @ block.array)
    assert isinstance(block, Sparse)  # noqa: S101 - for mypy: there is no other kind
    return block.left_of_sparse(Y)


def right(block: Block, X: Any) -> Array:
    """A X for a real sparse X: (n, l) -> (p, l)."""
    if isinstance(block, Strip):
        parts = (wide(right(part, X[columns])) for columns, part in block.parts())
        return reduce(np.add, parts)
    if isinstance(block, Dense):
        return np.asarray(block.array @ X.astype(block.dtype))
    assert isinstance(block, Sparse)  # noqa: S101 - for mypy: there is no other kind
    return block.right_of_sparse(X)


def lightest(source: Source, l: int) -> Kind:
    """The kind that costs least to make and multiply by.

    Milliseconds for a block of 8 MB of float32 (1 % nonzeros where sparse), one core of an AMD EPYC, S drawn anew:

    rows x columns   l    dense: Gaussian  sparse sign   sparse: Gaussian  sparse sign
    2097 x 1000      20   4.0              2.9           2.3               2.5
                     60   6.3              4.0           3.2               2.9
                     200  19               3.2           10                4.1
    209 x 10000      20   2.4              3.7           0.7               2.7
                     60   4.2              3.3           1.7               3.1
                     600  44               15            30                18
    """
    return "gaussian" if l < (SPARSE_ROWS if holds_sparse(source) else DENSE_ROWS) else "sparse-sign"
