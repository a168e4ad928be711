"""The one-pass factorisation as a job: sweep `Truncation`, then turn the blocks' left vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from rnla.algorithms.certificate import PROBES, Residual
from rnla.algorithms.krylov import Extra, extras
from rnla.algorithms.truncation import Truncation
from rnla.arrays import Array, accumulator_dtype
from rnla.kernels.subspaces import orth
from rnla.streams import normal
from rnla.sweeps.blocks import Block
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.products import Product, Sum
from rnla.sweeps.settling import in_range
from rnla.sweeps.source import Tall, Workspace


class Streamed(NamedTuple):
    """Factors over an orthonormal tall Y: A ~ Y diag(s) Vh."""

    Y: Tall
    s: Array
    Vh: Array
    residual: Residual
    unit: float
    centre: Array | None
    squares: Array  # (n,) squared norms of the columns, if wanted


def stream(A: Matrix, width: int, seed: int, workspace: Workspace, extra: Extra) -> Streamed:
    """Rank-`width` factors in one read."""
    n, wide = A.shape[1], accumulator_dtype(A.dtype)
    complex_ = wide.kind == "c"
    start = orth(normal(seed, "start", n, width, complex_=complex_))
    probes = normal(seed, "probes", n, PROBES, complex_=complex_)
    lefts = workspace.tall("blocks", (A.shape[0], width), wide, A.geometry.tall_rows)
    own = A.axis == "columns" and A.centring
    bare = A.uncentred() if own else A
    products: list[Product] = [Truncation(start, probes, lefts, own)]
    products += extras(extra)
    (found, *more), _, view = in_range(bare, *products)
    Y = workspace.tall("Y", (A.shape[0], found.s.size), wide, A.geometry.tall_rows)
    A.over(lefts.source).sweep(Turned(found.rotations, Y))
    unit = view.transform.unit
    centre = view.transform.centre
    if found.mean is not None:
        scale = 1.0 if view.transform.scale is None else np.where(view.transform.scale > 0, view.transform.scale, 1.0)
        centre = found.mean / unit / scale
    residual = Residual(found.energy, A.eps, found.discarded)
    squares = np.zeros(0) if extra.squares is None else more[0]
    return Streamed(Y, found.s, found.Vh, residual, unit, centre, squares)


@dataclass(frozen=True)
class Turned(Sum):
    """Left vectors of blocks, each multiplied by its rotation and shifted, row-wise: (m, l) -> (m, l)."""

    rotations: tuple[tuple[slice, Array, Array], ...]
    into: Tall

    def panel(self, block: Block) -> Array:
        """Rows of Y."""
        U = block.dense()
        out = np.empty((U.shape[0], self.into.shape[1]), dtype=U.dtype)
        for rows, rotation, offset in self.rotations:
            first, last = max(rows.start, block.rows.start), min(rows.stop, block.rows.stop)
            if first < last:
                here = slice(first - block.rows.start, last - block.rows.start)
                out[here] = U[here, : rotation.shape[0]] @ rotation + offset
        return out

    def finish(self, total: Any) -> Tall:
        """The tall matrix."""
        return self.into
