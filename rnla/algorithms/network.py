"""Networks of affine maps and ReLU: widths, parameters in one vector, values on arrays and over stored matrices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnla.arrays import Array, DType
from rnla.checks import integer, one_of
from rnla.errors import RequestError
from rnla.kernels.blas import single_blas_thread
from rnla.kernels.layers import Layer, Room, checked_widths, forward, layers, parameter_count
from rnla.streams import normal
from rnla.sweeps.blocks import Block
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.products import Multiplied
from rnla.sweeps.source import Tall, Workspace

ACTIVATIONS = ("relu",)
ROWS = 4096  # of an array that are evaluated at once


class Network:
    """F(x) = A_L ReLU(... ReLU(A_1 x + b_1) ...) + b_L, continuous and piecewise linear.

    Parameters
    ----------
    widths : sequence of int
        Inputs, hidden layers, outputs.
    activation : {"relu"}
        Between the affine maps.
    dtype : {"float32", "float64"}
        Precision of parameters and products.
    seed : int
        Of the initial weights: Gaussian with variance 2 / inputs of their layer, and zero biases (He, Zhang, Ren and
        Sun 2015). They do not depend on anything else.

    Attributes
    ----------
    parameters : array of length p
        All weights and biases; `layers` are views of it.

    Examples
    --------
    >>> import numpy, rnla
    >>> net = rnla.nn.Network((2, 8, 1))
    >>> net(numpy.zeros((5, 2))).shape, net.parameters.size
    ((5, 1), 33)
    """

    def __init__(
        self, widths: Any, activation: str = "relu", *, dtype: Any = "float32", seed: int = 0, parameters: Any = None
    ) -> None:
        self.widths = checked_widths(widths)
        self.activation = str(one_of(activation, "activation", ACTIVATIONS))
        self.seed = integer(seed, "seed")
        self.dtype = _precision(dtype)
        if parameters is None:
            self.parameters = initial(self.widths, self.dtype, self.seed)
        else:
            self.parameters = _checked_parameters(parameters, self.widths, self.dtype)

    @property
    def layers(self) -> list[Layer]:
        """Weights (inputs, outputs) and biases (outputs,) of each affine map, V -> V W + b; views of `parameters`."""
        return layers(self.parameters, self.widths)

    def with_parameters(self, parameters: Array) -> Network:
        """The same network with other parameters."""
        return Network(self.widths, self.activation, dtype=self.dtype, seed=self.seed, parameters=parameters)

    def __call__(self, X: Any) -> Array:
        """F at each row of an array: (p, inputs) -> (p, outputs). For stored matrices: `rnla.nn.predict`."""
        X = np.asarray(X)
        if X.ndim != 2 or X.shape[1] != self.widths[0]:
            msg = f"an array of shape {X.shape} is no input of this network: give (rows, {self.widths[0]})"
            raise RequestError(msg)
        found = np.empty((len(X), self.widths[-1]), self.dtype)
        room, net = Room(self.widths, min(ROWS, max(len(X), 1)), self.dtype), self.layers
        with single_blas_thread():
            for start in range(0, len(X), ROWS):
                part = np.ascontiguousarray(X[start : start + ROWS], dtype=self.dtype)
                found[start : start + ROWS] = forward(net, part, room)
        return found

    def __repr__(self) -> str:
        return f"Network({' - '.join(map(str, self.widths))}, {self.parameters.size:,} parameters, {self.dtype})"


def _precision(given: Any) -> DType:
    try:
        found: DType = np.dtype(given)
    except TypeError:
        found = np.dtype(object)
    if found not in (np.float32, np.float64):
        msg = f"dtype={given!r} must be float32 or float64"
        raise RequestError(msg)
    return found


def _checked_parameters(given: Any, widths: tuple[int, ...], dtype: DType) -> Array:
    found, count = np.ascontiguousarray(given, dtype=dtype), parameter_count(widths)
    if found.shape != (count,):
        msg = f"parameters of shape {found.shape}: a network of widths {widths} has {count}, in one dimension"
        raise RequestError(msg)
    return found


def initial(widths: tuple[int, ...], dtype: DType, seed: int) -> Array:
    """Weights with variance 2 / inputs, zero biases: (p,)."""
    flat = np.zeros(parameter_count(widths), dtype)
    for number, layer in enumerate(layers(flat, widths)):
        inputs, outputs = layer.W.shape
        layer.W[...] = normal(seed, f"weights {number}", inputs, outputs) * np.sqrt(2.0 / inputs)
    return flat


@dataclass(frozen=True)
class Values(Multiplied):
    """F at each row of A, row-wise, written to `into`: (m, n) -> (m, outputs). The first layer is A W_1."""

    X: Array  # (n, outputs of the first layer) W_1
    rest: Array  # biases of the first layer, then all other parameters
    widths: tuple[int, ...]
    into: Tall

    def panel(self, block: Block) -> Array:
        """Rows of the answer."""
        first, dtype = self.widths[1], self.rest.dtype
        Z = np.array(block.right(self.X), dtype=dtype)
        Z += self.rest[:first]
        if len(self.widths) == 2:
            return Z
        np.maximum(Z, 0, out=Z)
        net = layers(self.rest[first:], self.widths[1:])
        return forward(net, Z, Room(self.widths[1:], len(Z), dtype)).copy()

    def finish(self, total: None) -> Tall:
        """The tall matrix."""
        return self.into


def seen_by(dtype: DType, A: Matrix) -> Matrix:
    """A view as it is centred and scaled for a network of this precision: no coarser than it is stored."""
    return A.astype(np.result_type(A.dtype, dtype))


def predicted(network: Network, A: Matrix, workspace: Workspace, name: str = "values") -> Tall:
    """F at each row of a matrix, one read: (m, n) -> (m, outputs)."""
    view = seen_by(network.dtype, A)
    first = network.layers[0].W
    into = workspace.tall(name, (A.shape[0], network.widths[-1]), network.dtype, A.geometry.tall_rows)
    with single_blas_thread():
        view.swept(Values(first, network.parameters[first.size :], network.widths, into))
    return into
