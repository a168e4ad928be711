"""Products for samples of a matrix: the view itself, and how far a product is from another."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from rnla.arrays import Array, wide
from rnla.kernels.dense import times_power
from rnla.sweeps.blocks import Block
from rnla.sweeps.products import Cast, Sum, tall_rows
from rnla.sweeps.source import Tall


@dataclass(frozen=True)
class Copied(Sum):
    """The view itself, row-wise, written to `into`: (m, n)."""

    into: Tall

    def panel(self, block: Block) -> Array:
        """Its rows."""
        return block.dense()

    def finish(self, total: None) -> Tall:
        """The tall matrix."""
        return self.into


@dataclass(frozen=True)
class Rescaled:
    """A tall matrix in another unit: 2^power times what is read of `inner`, 2^-power of what is written goes there."""

    inner: Tall
    power: int

    @property
    def shape(self) -> tuple[int, int]:
        """(m, l)."""
        return self.inner.shape

    @property
    def source(self) -> Any:
        """Itself: it answers `read`."""
        return self

    def read(self, rows: slice, columns: slice, scratch: Array | None = None) -> Array:
        """A range of rows."""
        return times_power(np.asarray(self.inner.source.read(rows, columns)), self.power)

    def write(self, rows: slice, block: Array) -> None:
        """Set rows."""
        self.inner.write(rows, times_power(block, -self.power))

    def place(self, row: int, column: int) -> str:
        """Where an element lies."""
        return self.inner.source.place(row, column)


@dataclass(frozen=True)
class Distance(Sum):
    """||A X - Y||_F^2 for a tall Y; without Y, ||A X||_F^2."""

    X: Array  # (n, l)
    Y: Tall | None = None  # (m, l)

    def cast(self, cast: Cast) -> Self:
        """X in the working precision."""
        return replace(self, X=cast(self.X))

    def panel(self, block: Block) -> float:
        """||A_i X - Y_i||_F^2."""
        product = wide(block.right(self.X))
        if self.Y is not None:
            product = product - tall_rows(self.Y, block.rows)
        return float(np.vdot(product, product).real)

    def join(self, a: float, b: float) -> float:
        """a + b."""
        return a + b
