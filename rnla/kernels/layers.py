"""A fully connected ReLU network on one batch: forward, losses, and backpropagation written out layer by layer.

F(x) = A_L ReLU(... ReLU(A_1 x + b_1) ...) + b_L is continuous and piecewise linear. With rows as samples,
V_k = ReLU(V_(k-1) W_k + 1 b_k^T) and W_k = A_k^T; from D_L = dloss/dV_L the chain rule runs backwards,

    dloss/dW_k = V_(k-1)^T D_k,   dloss/db_k = D_k^T 1,   D_(k-1) = (D_k W_k^T) where V_(k-1) > 0, else 0.

`nn/autodiff.py` gives the same derivatives from the forward run alone; here each is one product that adds into the
place where it is wanted: BLAS forms  into := keep * into + V^T D  in one go, so that momentum costs no pass of its own,
and no array is made but the D of each layer.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg.blas

from rnla.arrays import Array, DType
from rnla.errors import RequestError

GEMM = {"f": scipy.linalg.blas.sgemm, "d": scipy.linalg.blas.dgemm}
AXPY = {"f": scipy.linalg.blas.saxpy, "d": scipy.linalg.blas.daxpy}
NRM2 = {"f": scipy.linalg.blas.snrm2, "d": scipy.linalg.blas.dnrm2}


class Layer(NamedTuple):
    """One affine map, V -> V W + 1 b^T, as views of the vector of all parameters."""

    W: Array  # (inputs, outputs)
    b: Array  # (outputs,)


def sizes(widths: tuple[int, ...]) -> list[tuple[int, int]]:
    """Inputs and outputs of each layer."""
    return list(itertools.pairwise(widths))


def parameter_count(widths: tuple[int, ...]) -> int:
    """Weights and biases of all layers."""
    return sum(inputs * outputs + outputs for inputs, outputs in sizes(widths))


def layers(flat: Array, widths: tuple[int, ...]) -> list[Layer]:
    """The layers in a vector of parameters, first weights, then biases of each: (p,) -> views."""
    found, start = [], 0
    for inputs, outputs in sizes(widths):
        stop = start + inputs * outputs
        found.append(Layer(flat[start:stop].reshape(inputs, outputs), flat[stop : stop + outputs]))
        start = stop + outputs
    return found


@dataclass
class Room:
    """Arrays that one thread reuses from batch to batch."""

    widths: tuple[int, ...]
    rows: int
    dtype: DType
    values: list[Array] = field(init=False)  # V_1 .. V_L
    slopes: list[Array] = field(init=False)  # D_1 .. D_L
    alive: list[Array] = field(init=False)  # where V_k is above zero
    ones: Array = field(init=False)

    def __post_init__(self) -> None:
        shapes = [(self.rows, width) for width in self.widths[1:]]
        self.values = [np.empty(shape, self.dtype) for shape in shapes]
        self.slopes = [np.empty(shape, self.dtype) for shape in shapes]
        self.alive = [np.empty(shape, bool) for shape in shapes[:-1]]
        self.ones = np.ones(self.rows, self.dtype)


def forward(net: list[Layer], X: Array, room: Room) -> Array:
    """F at each row: (p, n) -> (p, outputs); the array is the room's."""
    V, rows = X, len(X)
    for number, (layer, whole) in enumerate(zip(net, room.values, strict=True)):
        Z = whole[:rows]
        np.matmul(V, layer.W, out=Z)
        np.add(Z, layer.b, out=Z)
        if number + 1 < len(net):
            np.maximum(Z, 0, out=Z)
        V = Z
    return V


def backward(net: list[Layer], X: Array, room: Room, into: list[Layer], keep: float) -> None:
    """into := keep * into + gradient, from the slopes of the loss by F that lie in the room."""
    rows, D = len(X), room.slopes[-1][: len(X)]
    gemm = GEMM[D.dtype.char]
    for number in range(len(net) - 1, -1, -1):
        V = room.values[number - 1][:rows] if number else X
        place = into[number]
        # in BLAS's order of columns: W^T := keep W^T + D^T V
        gemm(1.0, D.T, V.T, keep, place.W.T, trans_b=True, overwrite_c=True)
        slopes = room.ones[:rows] @ D
        if keep:
            np.multiply(place.b, keep, out=place.b)
            np.add(place.b, slopes, out=place.b)
        else:
            place.b[...] = slopes
        if number:
            below = room.slopes[number - 1][:rows]
            np.matmul(D, net[number].W.T, out=below)
            alive = room.alive[number - 1][:rows]
            np.greater(V, 0, out=alive)
            np.multiply(below, alive, out=below)  # copyto(where=) takes twenty times as long
            D = below


LOSSES = ("square", "cross-entropy", "hinge")


def loss_and_slopes(kind: str, Z: Array, y: Array, D: Array, weights: Array | None) -> Array:
    """The loss of each row of outputs Z (p, c), and d(mean of weighted losses)/dZ into D: (p,).

    "square": |z - y|^2 / 2 with y (p, c). "cross-entropy": log sum_j exp(z_j) - z_y with labels y (p,). "hinge":
    max(0, 1 - y z) with y = +-1 for one output, max(0, 1 + max_(j != y) z_j - z_y) with labels for several (Crammer and
    Singer 2001); where a maximum is attained twice, the derivative is that of the flat side.
    """
    found: Array = KINDS[kind](Z, y, D)
    scale = np.full(len(Z), 1.0 / len(Z)) if weights is None else weights / len(Z)
    D *= scale[:, None].astype(D.dtype) if weights is not None else D.dtype.type(1.0 / len(Z))
    return found if weights is None else found * weights


def _square(Z: Array, y: Array, D: Array) -> Array:
    np.subtract(Z, y, out=D)
    return np.asarray(0.5 * np.einsum("ij,ij->i", D, D, dtype=np.float64))


def _cross_entropy(Z: Array, y: Array, D: Array) -> Array:
    rows = np.arange(len(Z))
    np.subtract(Z, Z.max(axis=1, keepdims=True), out=D)  # exponents at most zero: nothing overflows
    chosen = D[rows, y].astype(np.float64)
    np.exp(D, out=D)
    total = D.sum(axis=1, keepdims=True)  # at least one
    D /= total
    D[rows, y] -= 1
    return np.asarray(np.log(total[:, 0].astype(np.float64)) - chosen)


def _hinge(Z: Array, y: Array, D: Array) -> Array:
    D[...] = 0
    if Z.shape[1] == 1:
        margin = 1.0 - y * Z[:, 0].astype(np.float64)
        np.copyto(D[:, 0], -y, where=margin > 0, casting="same_kind")
        return np.asarray(np.maximum(margin, 0.0))
    rows = np.arange(len(Z))
    own = Z[rows, y].astype(np.float64)
    others = Z.astype(np.float64)
    others[rows, y] = -np.inf
    rival = others.argmax(axis=1)
    margin = 1.0 + others[rows, rival] - own
    wrong = np.flatnonzero(margin > 0)
    D[wrong, rival[wrong]] = 1
    D[wrong, y[wrong]] -= 1
    return np.asarray(np.maximum(margin, 0.0))


KINDS: dict[str, Any] = {"square": _square, "cross-entropy": _cross_entropy, "hinge": _hinge}


def decided(kind: str, Z: Array) -> Array:
    """What outputs say: labels for "cross-entropy" and "hinge" (+-1 of a single output), the outputs for "square"."""
    if kind == "square":
        return Z
    if Z.shape[1] == 1:
        return np.where(Z[:, 0] >= 0, 1, -1)
    return np.asarray(Z.argmax(axis=1))


def checked_widths(given: Any) -> tuple[int, ...]:
    """Widths of a network: inputs, hidden layers, outputs."""
    try:
        wanted = tuple(given)
        found = tuple(int(width) for width in wanted)
        whole = found == wanted
    except (TypeError, ValueError, OverflowError):
        found, whole = (), False
    if not whole or len(found) < 2 or min(found) < 1:
        msg = f"widths={given!r} must be at least two integers, each 1 or more: inputs, hidden layers, outputs"
        raise RequestError(msg)
    return found


def blank_loss(loss: str, y: Array, outputs: int) -> float:
    """Sum of the losses of samples where all outputs are zero."""
    if loss == "square":
        return 0.5 * float(np.square(y, dtype=np.float64).sum())
    return len(y) * (math.log(outputs) if loss == "cross-entropy" else 1.0)
