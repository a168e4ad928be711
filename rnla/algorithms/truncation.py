"""Merge and truncate: an SVD in one read, for data that comes once.

Each block is compressed to rank l by randomized subspace iteration inside memory, and neighbours are merged along the
join tree by the SVD of their stacked s Vh (Iwen and Ong 2016). Every truncation discards a part D that is orthogonal,
by rows and columns, to what is kept, so ||A - U S Vh||_F^2 = ||A||_F^2 - sum s_i^2 holds exactly here too, and
||(A - U S Vh) w||^2 is the sum of the discarded ||D w||^2. Means are removed as they become known: merging adds the row
sqrt(p q / (p + q)) (mean_a - mean_b) (Ross et al. 2008).

The left vectors are kept as (block's left vectors) x (small rotations), applied when all is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from rnla.arrays import Array, wide
from rnla.kernels.subspaces import orth, svd
from rnla.sweeps.blocks import Block, Dense
from rnla.sweeps.products import Sum
from rnla.sweeps.source import Tall
from rnla.sweeps.spans import energy_range
from rnla.sweeps.sparse import Sparse
from rnla.sweeps.transform import Transform

ITERATIONS = 3  # products with the block and its adjoint, in memory


class Compressed(NamedTuple):
    """U S Vh of a range of rows, and what was discarded on the way."""

    rows: int
    mean: Array | None
    s: Array  # (l,)
    Vh: Array  # (l, n)
    discarded: Array  # (r,) sum of ||D w||^2 for each probe w
    energy: float  # ||A - 1 mean^T||_F^2 of the rows
    rotations: tuple[tuple[slice, Array, Array], ...]  # per block: rows, rotation (l_i, l), offset row (l,)


@dataclass(frozen=True)
class Truncation(Sum):
    """Rank-l SVD of the rows, merged block by block; left vectors of blocks are written to `lefts`."""

    omega: Array  # (n, l) start of every block's compression
    probes: Array  # (n, r)
    lefts: Tall
    centring: bool = False

    def panel(self, block: Block) -> Any:
        """Compressed block; its left vectors are written."""
        mean = None
        if self.centring:
            block, mean = block.centred_here()
        A = in_float64(block)
        count = block.rows.stop - block.rows.start
        if not block.energy() <= energy_range(block.dtype)[1]:  # the sweep will refuse it, or repeat it in another unit
            A = Sparse(scipy.sparse.csr_array((count, self.omega.shape[0])), block.rows, A.dtype, Transform())  # zeros
            mean = None if mean is None else np.zeros_like(mean)
        U, s, Vh = compress(A, self.omega)
        rest = A.product(self.probes) - U @ (s[:, None] * (Vh @ self.probes))
        padded = np.zeros((count, self.lefts.shape[1]), dtype=U.dtype)
        padded[:, : s.size] = U
        self.lefts.write(block.rows, padded)
        discarded = np.sum(np.abs(rest) ** 2, axis=0)
        start = (block.rows, np.eye(s.size, dtype=U.dtype), np.zeros(s.size, dtype=U.dtype))
        return Compressed(count, mean, s, Vh, discarded, A.energy(), (start,))

    def join(self, a: Compressed, b: Compressed) -> Compressed:
        """SVD of the stacked s Vh, truncated to l."""
        stack = [a.s[:, None] * a.Vh, b.s[:, None] * b.Vh]
        count, mean, energy = a.rows + b.rows, None, a.energy + b.energy
        weight = np.sqrt(a.rows * b.rows / count)
        if a.mean is not None and b.mean is not None:
            delta = a.mean - b.mean
            stack.append(weight * delta[None, :])
            mean = a.mean - delta * (b.rows / count)
            energy += float(weight**2 * np.vdot(delta, delta).real)
        M = np.concatenate(stack)
        u, s, Vh = svd(M)
        l = min(self.omega.shape[1], s.size)
        rest = s[l:, None] * (Vh[l:] @ self.probes)
        discarded = a.discarded + b.discarded + np.sum(np.abs(rest) ** 2, axis=0)
        rotations = self._rotated(a, b, u[:, :l], count)
        return Compressed(count, mean, s[:l], Vh[:l], discarded, energy, rotations)

    def _rotated(self, a: Compressed, b: Compressed, u: Array, count: int) -> tuple[Any, ...]:
        """Rotations of both sides; a merged mean adds the same row to all left vectors of a side."""
        upper, lower = u[: a.s.size], u[a.s.size : a.s.size + b.s.size]
        offsets: tuple[Any, Any] = (0.0, 0.0)
        if a.mean is not None:
            extra = u[a.s.size + b.s.size]
            # the unit column of the merged row is (sqrt(q/(p N)) on a, -sqrt(p/(q N)) on b)
            offsets = (
                extra * np.sqrt(b.rows / (a.rows * count)),
                -extra * np.sqrt(a.rows / (b.rows * count)),
            )
        return tuple(
            (rows, rotation @ part, row @ part + offset)
            for side, part, offset in ((a, upper, offsets[0]), (b, lower, offsets[1]))
            for rows, rotation, row in side.rotations
        )


def in_float64(block: Block) -> Dense | Sparse:
    """The block, multiplied in float64 or complex128."""
    return block.in_float64() if isinstance(block, Sparse) else Dense(wide(block.dense()), None, block.rows)


def compress(A: Dense | Sparse, omega: Array) -> tuple[Array, Array, Array]:
    """Rank-l SVD of one block from `omega`, by subspace iteration in memory: U^H A = diag(s) Vh exactly."""
    count, n = A.rows.stop - A.rows.start, omega.shape[0]
    if min(count, n) <= omega.shape[1]:
        return svd(A.dense())
    Q = orth(A.left(A.product(omega)).conj().T)  # A^H (A omega)
    for _ in range(ITERATIONS - 1):
        Q = orth(A.left(A.product(Q)).conj().T) if Q.shape[1] else Q
    U = orth(A.product(Q))
    u, s, Vh = svd(A.left(U))  # U^H A
    return U @ u, s, Vh
