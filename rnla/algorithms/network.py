"""Networks of affine maps and ReLU: widths, parameters in one vector, values on arrays and over stored matrices."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil

from rnla.arrays import Array, DType, spelt_bytes
from rnla.checks import array_of_numbers, integer, one_of
from rnla.errors import DoesNotFitError, NonFiniteError, OverflowedError, RequestError, UnsupportedError
from rnla.kernels.blas import single_blas_thread
from rnla.kernels.layers import Layer, Room, checked_widths, forward, layers, parameter_count
from rnla.machine import group_memory
from rnla.streams import normal
from rnla.sweeps.blocks import Block, Strip
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.products import Multiplied
from rnla.sweeps.source import Tall, Workspace
from rnla.sweeps.sparse import Sparse
from rnla.tables import html_table

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
            _refuse_too_large(self.widths, self.dtype)
            self.parameters = initial(self.widths, self.dtype, self.seed)
        else:
            self.parameters = _checked_parameters(parameters, self.widths, self.dtype)

    @property
    def layers(self) -> list[Layer]:
        """Weights (inputs, outputs) and biases (outputs,) of each affine map, V -> V W + b; views of `parameters`."""
        return layers(self.parameters, self.widths)

    @property
    def spelt(self) -> str:
        """Its widths in words: 784 - 128 - 10."""
        return " - ".join(map(str, self.widths))

    def with_parameters(self, parameters: Array) -> Network:
        """The same network with other parameters."""
        return Network(self.widths, self.activation, dtype=self.dtype, seed=self.seed, parameters=parameters)

    def __call__(self, X: Any) -> Array:
        """F at each row of an array: (p, inputs) -> (p, outputs). For stored matrices: `rnla.nn.predict`."""
        X = array_of_numbers(X, "X")
        if X.ndim != 2 or X.shape[1] != self.widths[0]:
            msg = f"an array of shape {X.shape} is no input of this network: give (rows, {self.widths[0]})"
            raise RequestError(msg)
        if X.dtype.kind == "c":
            msg = (
                "X is complex, and a network takes real numbers: give real and imaginary parts as columns of their own"
            )
            raise UnsupportedError(msg)
        starts = range(0, max(len(X), 1), ROWS)
        found = np.concatenate([self.outputs(_taken(X[i : i + ROWS], i, self.dtype)) for i in starts])
        self._refuse_lost(found)
        return found

    def outputs(self, X: Array) -> Array:
        """The same for rows that are finite and of the network's precision; what overflows is infinite or NaN."""
        found = np.empty((len(X), self.widths[-1]), self.dtype)
        room, net = Room(self.widths, min(ROWS, max(len(X), 1)), self.dtype), self.layers
        with single_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
            for start in range(0, len(X), ROWS):
                found[start : start + ROWS] = forward(net, X[start : start + ROWS], room)
        return found

    def _refuse_lost(self, found: Array) -> None:
        """An error where values are no numbers."""
        if np.isfinite(found).all():
            return
        if not np.isfinite(self.parameters).all():
            msg = "this network has parameters that are not finite: train it with smaller steps"
            raise RequestError(msg)
        row = int(np.flatnonzero(~np.isfinite(found).all(axis=1))[0])
        raise lost(row, self.dtype)

    def __repr__(self) -> str:
        return f"Network({self.spelt}, {self.parameters.size:,} parameters, {self.dtype})"

    def _repr_html_(self) -> str:
        parameters = f"{self.parameters.size:,} of {self.dtype}, {spelt_bytes(self.parameters.nbytes)}"
        return html_table("Network", [("widths", self.spelt), ("parameters", parameters)])


def lost(row: int, dtype: DType) -> OverflowedError:
    """The error of values that are no numbers, or of samples that are none in the precision of the network."""
    wider = ", or take a network in float64" if dtype != np.float64 else ""
    msg = f"F at row {row} of X leaves the range of {dtype}: scale X down{wider}"
    return OverflowedError(msg)


def _precision(given: Any) -> DType:
    try:
        found: DType = np.dtype(given)
    except TypeError:
        found = np.dtype(object)
    if found not in (np.float32, np.float64):
        msg = f"dtype={given!r} must be float32 or float64"
        raise RequestError(msg)
    return found


def _refuse_too_large(widths: tuple[int, ...], dtype: DType) -> None:
    """DoesNotFitError for parameters that this machine does not hold while they are drawn, in float64."""
    needed = parameter_count(widths) * dtype.itemsize + 16 * max(a * b for a, b in itertools.pairwise(widths))
    there = min([psutil.virtual_memory().total, *(limit for limit, _ in group_memory())])
    if needed > there:
        msg = (
            f"widths={widths} make {parameter_count(widths):,} parameters, more than the memory of this machine holds "
            f"({spelt_bytes(there)}): take narrower layers"
        )
        raise DoesNotFitError(msg)


def _checked_parameters(given: Any, widths: tuple[int, ...], dtype: DType) -> Array:
    numbers, count = array_of_numbers(given, "parameters"), parameter_count(widths)
    if numbers.shape != (count,):
        msg = f"parameters of shape {numbers.shape}: a network of widths {widths} has {count}, in one dimension"
        raise RequestError(msg)
    if numbers.dtype.kind == "c":
        msg = "parameters are complex, and those of a network are real numbers"
        raise RequestError(msg)
    with np.errstate(over="ignore"):
        found = np.ascontiguousarray(numbers, dtype=dtype)
    if numbers.dtype != dtype and (lost := np.isfinite(numbers) & ~np.isfinite(found)).any():
        at = int(np.flatnonzero(lost)[0])
        msg = f"parameter {at} is {numbers[at]}, beyond the range of {dtype}: take a network in float64"
        raise RequestError(msg)
    return found


def _taken(X: Array, first: int, dtype: DType) -> Array:
    """Rows in the precision of a network; what it does not take is named, the first row being row `first` of X."""
    with np.errstate(over="ignore"):
        found = np.ascontiguousarray(X, dtype=dtype)
    finite = np.isfinite(found)
    if not finite.all():
        i, j = (int(at[0]) for at in np.nonzero(~finite))
        told = f"X[{first + i}, {j}] is {X[i, j]}"
        if np.isfinite(X[i, j]):
            msg = f"{told}, beyond the range of {dtype}: scale X down, or take a network in float64"
            raise OverflowedError(msg)
        msg = f"{told}, and a network takes finite numbers: clean X"
        raise NonFiniteError(msg)
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
    limit: float | None = None  # at which entries of A are cut off, above and below

    def panel(self, block: Block) -> Array:
        """Rows of the answer."""
        with np.errstate(over="ignore", invalid="ignore"):
            found = self._values(block)
        if not (finite := np.isfinite(found).all(axis=1)).all():
            place = int(np.flatnonzero(~finite)[0])
            if known(block, place):  # NaN and infinity in the data are told by the sweep
                raise lost(block.rows.start + place, self.rest.dtype)
        return found

    def _values(self, block: Block) -> Array:
        first, dtype = self.widths[1], self.rest.dtype
        Z = np.array(self._first(block), dtype=dtype)
        Z += self.rest[:first]
        if len(self.widths) == 2:
            return Z
        np.maximum(Z, 0, out=Z)
        net, room = layers(self.rest[first:], self.widths[1:]), Room(self.widths[1:], min(ROWS, len(Z)), dtype)
        found = np.empty((len(Z), self.widths[-1]), dtype)
        for start in range(0, len(Z), ROWS):
            found[start : start + ROWS] = forward(net, Z[start : start + ROWS], room)
        return found

    def _first(self, block: Block) -> Array:
        """A W_1, entries of A cut off."""
        if self.limit is None:
            return block.right(self.X)
        if isinstance(block, Strip):
            return sum(self._cut_off(part) @ self.X[columns] for columns, part in block.parts())  # type: ignore[return-value]
        if isinstance(block, Sparse):
            return np.concatenate([self._cut_off(part) @ self.X for part in block.dense_parts()])
        return self._cut_off(block) @ self.X

    def _cut_off(self, block: Block) -> Array:
        return np.clip(block.dense(), -self.limit, self.limit)  # type: ignore[operator]

    def finish(self, total: None) -> Tall:
        """The tall matrix."""
        return self.into


def known(block: Block, place: int) -> bool:
    """Whether a row of a block is finite."""
    if isinstance(block, Strip):
        return all(known(part, place) for _, part in block.parts())
    found = block.lines(np.array([place]))
    return bool(np.isfinite(found.data if isinstance(block, Sparse) and not block.centred else found).all())


def seen_by(dtype: DType, A: Matrix) -> Matrix:
    """A view as it is centred and scaled for a network of this precision: no coarser than it is stored."""
    return A.astype(dtype if A.dtype.kind == "c" else np.result_type(A.dtype, dtype))  # which refuses complex data


def predicted(network: Network, A: Matrix, workspace: Workspace, limit: float | None = None) -> Tall:
    """F at each row of a matrix, its entries cut off at a limit; one read: (m, n) -> (m, outputs)."""
    view = seen_by(network.dtype, A)
    first = network.layers[0].W
    into = workspace.tall("values", (A.shape[0], network.widths[-1]), network.dtype, A.geometry.tall_rows)
    with single_blas_thread():
        view.swept(Values(first, network.parameters[first.size :], network.widths, into, limit))
    return into
