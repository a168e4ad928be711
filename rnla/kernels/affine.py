"""The neurons of a layer before ReLU as affine functions, one for each piece of the input space.

A piece is where all earlier neurons keep their state. There a layer of ReLU is a choice, V_k = on * Z_k, and
Z_(k+1) = W^T V_k + b is affine again. A computed Z_k(x) is within  eps (roundings) S_k  of the true one for every x of
the domain, with  S_(k+1) = |W|^T (on * S_k) + |b|  (Higham 2002, section 3.5, for a product of matrices).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rnla.arrays import Array
from rnla.errors import RequestError
from rnla.kernels.layers import Layer

EPS = float(np.finfo(np.float64).eps)
OWN = 8  # roundings of the coordinates, of an evaluation and of a comparison
ROWS = 1024  # pieces whose functions are made at once


class Affine(NamedTuple):
    """Functions u -> slopes.u + offset of coordinates |u_i| <= 1, for p pieces and w neurons."""

    maps: Array  # (p, d + 1, w) slopes, then the offset
    sizes: Array  # (p, w) S: the sum of the magnitudes of all terms
    roundings: int  # along the longest chain of operations

    @property
    def slopes(self) -> Array:
        """(p, d, w)."""
        return self.maps[:, :-1]

    @property
    def offsets(self) -> Array:
        """(p, w)."""
        return self.maps[:, -1]

    @property
    def rounding(self) -> Array:
        """How far a value may be from the true one: (p, w)."""
        return EPS * self.roundings * self.sizes


def entering(layer: Layer, axes: Array, origin: Array, reach: Array) -> Affine:
    """The first layer on one piece, x = origin + u axes with |x_i| <= reach_i: axes (d, inputs)."""
    W, b = layer.W.astype(np.float64), layer.b.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        maps = np.vstack([axes @ W, origin @ W + b])
        return finite(Affine(maps[None], (reach @ np.abs(W) + np.abs(b))[None], len(W) + OWN))


def following(before: Affine, parents: Array, sides: Array, layer: Layer) -> Affine:
    """The next layer on p pieces, each a part of one of `before`, `parents` (p,), with signs `sides` (p, w).

    A neuron that is zero to rounding counts as off, and its rounding is carried on.
    """
    W, b = layer.W.astype(np.float64), layer.b.astype(np.float64)
    maps = np.empty((len(parents), before.maps.shape[1], len(b)))
    sizes = np.empty((len(parents), len(b)))
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(parents), ROWS):
            rows = slice(start, start + ROWS)
            on = np.where(sides[rows, None] > 0, before.maps[parents[rows]], 0.0)
            np.matmul(on.reshape(-1, len(W)), W, out=maps[rows].reshape(-1, len(b)))
            np.matmul(np.where(sides[rows] >= 0, before.sizes[parents[rows]], 0.0), np.abs(W), out=sizes[rows])
        maps[:, -1] += b
        sizes += np.abs(b)
    return finite(Affine(maps, sizes, before.roundings + len(W) + 2))


def finite(found: Affine) -> Affine:
    """The functions, unless products of weights have left float64."""
    if not np.isfinite(found.sizes).all():
        msg = "the weights of this network or their products are beyond float64 in this box: scale them down"
        raise RequestError(msg)
    return found
