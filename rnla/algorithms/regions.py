"""The linear pieces of a ReLU network, exactly: its domain cut layer by layer where neurons change their state.

Where all neurons of earlier layers keep their state, each neuron of the next one is an affine function, and its zero
line cuts the piece in two. What is left after the last hidden layer are the activation regions of B. Hanin and D.
Rolnick, Deep ReLU networks have surprisingly few activation patterns, NeurIPS 2019: convex, one for each pattern, and F
is affine on each. In a plane the pieces are polygons, on a line intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from scipy.sparse.csgraph import connected_components

from rnla.algorithms.network import Network
from rnla.algorithms.trained import Trained
from rnla.arrays import Array
from rnla.checks import vector
from rnla.errors import RequestError
from rnla.kernels import intervals, polygons
from rnla.kernels.affine import Affine, entering, following
from rnla.kernels.blas import single_blas_thread
from rnla.kernels.intervals import Intervals
from rnla.kernels.polygons import Tiling
from rnla.tables import counted, html_table


@dataclass(frozen=True)
class Subdivision:
    """A domain in coordinates -1..1, cut into activation regions."""

    tiling: Tiling | Intervals
    active: Array  # (p, hidden neurons) bool
    outputs: Affine  # F on each region

    @cached_property
    def shared(self) -> tuple[Array, Array]:
        """Pairs of regions with an edge in common (d = 1: an end), and the ends of that edge: (e, 2) and (e, d, d)."""
        kernel: Any = polygons if isinstance(self.tiling, Tiling) else intervals
        pairs, points = kernel.neighbours(self.tiling)
        return pairs, self.tiling.points.reshape(len(self.tiling.points), -1)[points]

    @cached_property
    def bends(self) -> Array:
        """Whether F bends between the regions of each pair, by more than rounding: (e,)."""
        a, b = self.shared[0].T
        maps, rounding = self.outputs.maps, self.outputs.rounding
        jump = np.abs(maps[a] - maps[b]).max(axis=1)  # of slopes and offset
        return np.asarray((jump > rounding[a] + rounding[b]).any(axis=1))

    @property
    def pieces(self) -> Array:
        """The linear piece of F that each region belongs to, numbered from 0: (p,)."""
        a, b = self.shared[0][~self.bends].T
        graph = scipy.sparse.coo_array((np.ones(len(a), bool), (a, b)), shape=(len(self.tiling),) * 2)
        return np.asarray(connected_components(graph, directed=False)[1])


class Seen(NamedTuple):
    """A network, and how points of the data enter it: as (x - centre) scale."""

    network: Network
    centre: Array  # (inputs,)
    scale: Array  # (inputs,)
    limit: float | None  # where they are cut off

    def inputs(self, x: Array) -> Array:
        """The same points as the network gets them."""
        with np.errstate(over="ignore", invalid="ignore"):  # told where weights are multiplied
            return np.asarray((x - self.centre) * self.scale)


def subdivided(view: Seen, low: Array, high: Array, axes: Array) -> Subdivision:
    """The regions of x = origin + u axes, |u_i| <= 1, between two points: axes (1 or 2, inputs).

    The map into the network is applied to the coordinates, not to the weights, so that an offset of the data that is
    large costs no digits: what is left of it in the box is found first.
    """
    network = view.network
    origin, axes, reach = (
        view.inputs(centred(low, high)[0]),
        axes * view.scale,
        np.abs([view.inputs(low), view.inputs(high)]).max(axis=0),
    )
    if view.limit is not None and (far := reach > view.limit).any():
        j = int(np.flatnonzero(far)[0])
        ends = (view.centre[j] + np.array([-1, 1]) * view.limit / view.scale[j]).tolist()
        msg = f"the network cuts input {j} off at {ends[0]:.6g} and {ends[1]:.6g}: count its pieces between them"
        raise RequestError(msg)
    if not np.isfinite(network.parameters).all():
        msg = "this network has parameters that are not finite, and so no linear pieces: train it with smaller steps"
        raise RequestError(msg)
    kernel: Any = polygons if len(axes) == 2 else intervals
    tiling = polygons.square() if len(axes) == 2 else intervals.unit()
    layers = network.layers
    functions, active = entering(layers[0], axes, origin, reach), np.empty((1, 0), bool)
    with single_blas_thread():
        for layer in layers[1:]:
            tiling, parents, sides = kernel.cut(tiling, functions)
            active = np.hstack([active[parents], sides > 0])
            functions = following(functions, parents, sides, layer)
    return Subdivision(tiling, active, functions)


@dataclass(frozen=True, repr=False)
class Pieces:
    """The activation regions of a network in a box, and F on each; made by `pieces`."""

    corners: list[Array]  # of each: (k, inputs), counter-clockwise, or the two ends of an interval
    active: Array  # (count, hidden neurons) bool: which neurons are on, layer after layer
    gradients: Array  # (count, inputs, outputs): F(x) = x @ gradient + offset
    offsets: Array  # (count, outputs)
    piece: Array  # (count,) the linear piece of F that each belongs to
    between: Array  # (e, 2) pairs of regions that share an edge (an end, for one input)
    edges: Array  # (e, inputs, inputs) the points at the ends of that edge
    bends: Array  # (e,) bool: whether F bends there

    @property
    def count(self) -> int:
        """Activation regions."""
        return len(self.corners)

    @property
    def linear(self) -> int:
        """Linear pieces: regions that share an edge and have the same affine map are one."""
        return int(self.piece.max()) + 1

    def __repr__(self) -> str:
        return f"Pieces({counted(self.count, 'activation region')}, {counted(self.linear, 'linear piece')})"

    def _repr_html_(self) -> str:
        rows = [("activation regions", f"{self.count:,}"), ("linear pieces", f"{self.linear:,}")]
        return html_table("Pieces in a box", rows)


def count_regions(network: Network | Trained, box: Sequence[tuple[float, float]]) -> int:
    """How many activation regions of a network have an interior in a box: its linear pieces.

    A region is where every hidden neuron keeps its state, on or off; F is affine there. Regions are counted, not maps:
    two neighbours on which F happens to be the same, since a neuron between them has no weight in what follows, are two
    regions and one linear piece of F (`pieces` tells both).

    Parameters
    ----------
    network : Network or Trained
        With 1 or 2 inputs and any layers after them.
    box : sequence of (low, high)
        One for each input, in the units of the data: a `Trained` centres and scales it as it was trained.

    Returns
    -------
    int
        Exact but for regions too narrow for float64: zero lines whose distance is within their rounding are one, so
        that neurons that repeat one another and lines that meet in one point are counted as what they are.

    Raises
    ------
    RequestError
        More than 2 inputs (count along lines then: `count_on_line`), a box that is none, weights that are not finite.

    Notes
    -----
    Rounding is bounded from the weights, for the worst case (`kernels/affine.py`). Relative to the box it leaves the
    lines of three layers of 64 neurons uncertain by 1e-13 and those of ten by 2e-11 (medians for random weights). It
    grows by a factor with each layer: after twenty, regions as narrow as 1e-4 of the box can be missed.

    Time grows with regions x neurons, memory with regions x width. On one core, 6,000 regions of a network
    2 - 64 - 64 - 1 take 0.3 s; 100,000 of 2 - 256 - 256 - 1 take 10 s and 0.6 GB.

    Examples
    --------
    Three lines in general position cut a box that holds their crossings into 7 pieces.

    >>> import numpy, rnla
    >>> lines = [1, 0, 1, 0, 1, 1, 0, 0, -1, 1, 1, 1, 0]  # x, y and x + y - 1, with weights 1 into the output
    >>> net = rnla.nn.Network((2, 3, 1), parameters=lines)
    >>> rnla.nn.count_regions(net, [(-9, 9), (-9, 9)]), rnla.nn.regions(3, 2)
    (7, 7)
    """
    return len(boxed(seen(network), box)[0].tiling)


def pieces(network: Network | Trained, box: Sequence[tuple[float, float]]) -> Pieces:
    """The activation regions of a network in a box, their corners, and F on each of them.

    Parameters, errors and limits are those of `count_regions`; corners and F are in the units of the data.

    Returns
    -------
    Pieces
        `count` regions and `linear` pieces of F, that is, regions joined with neighbours (over an edge) on which F is
        the same affine map, to rounding.

    Examples
    --------
    |x| + |y| has 4 pieces. A fifth neuron that is on for x > y, but has no weight in the output, cuts two of them.

    >>> import numpy, rnla
    >>> weights = [[1, -1, 0, 0, 1], [0, 0, 1, -1, -1]], [0] * 5, [1, 1, 1, 1, 0], [0]
    >>> net = rnla.nn.Network((2, 5, 1), parameters=numpy.hstack([numpy.ravel(part) for part in weights]))
    >>> found = rnla.nn.pieces(net, [(-1, 1), (-1, 1)])
    >>> found.count, found.linear
    (6, 4)
    """
    found, (low, high) = boxed(seen(network), box)
    origin, axes = centred(low, high)
    points = np.clip(origin + found.tiling.points.reshape(-1, len(low)) * axes, low, high)
    if isinstance(found.tiling, Tiling):
        corners = np.split(points[found.tiling.corners], found.tiling.first[1:-1])
    else:
        corners = list(np.stack([points[:-1], points[1:]], axis=1))
    gradients = found.outputs.slopes / axes[:, None]
    offsets = found.outputs.offsets - origin @ gradients
    pairs, ends = found.shared
    edges = np.clip(origin + ends * axes, low, high)
    return Pieces(corners, found.active, gradients, offsets, found.pieces, pairs, edges, found.bends)


@dataclass(frozen=True, repr=False)
class OnLine:
    """The pieces of a network along a segment."""

    count: int  # intervals on which every neuron keeps its state
    breakpoints: Array  # (count - 1,) where they meet, 0 < t < 1, ascending
    bends: Array  # (count - 1,) bool: whether F changes its slope there

    @property
    def linear(self) -> int:
        """Linear pieces of F along the segment."""
        return int(self.bends.sum()) + 1

    def __repr__(self) -> str:
        return f"OnLine({counted(self.count, 'activation interval')}, {counted(self.linear, 'linear piece')})"

    def _repr_html_(self) -> str:
        few = ", ".join(f"{t:.6g}" for t in self.breakpoints[:5]) + ", ..." * (self.count > 6)
        rows = [("activation intervals", f"{self.count:,}"), ("linear pieces", f"{self.linear:,}")]
        return html_table("Pieces along a segment", [*rows, ("breakpoints", few or "none")])


def count_on_line(network: Network | Trained, start: Any, stop: Any) -> OnLine:
    """The linear pieces of a network along the segment (1 - t) start + t stop, 0 <= t <= 1.

    Parameters
    ----------
    network : Network or Trained
        Of any widths.
    start, stop : sequence of numbers
        Two points of its input space, in the units of the data.

    Returns
    -------
    OnLine
        `count` intervals on which every hidden neuron keeps its state, exact in the sense of `count_regions`, and the
        `breakpoints` between them; `linear` counts the pieces of F, which need not bend at each.

    Raises
    ------
    RequestError
        Points that are none of the input space, or the same twice; weights that are not finite.

    Examples
    --------
    |x| along a segment that passes zero after three quarters of its length.

    >>> import rnla
    >>> net = rnla.nn.Network((1, 2, 1), parameters=[1, -1, 0, 0, 1, 1, 0])
    >>> found = rnla.nn.count_on_line(net, [-3], [1])
    >>> found.count, found.breakpoints.tolist()
    (2, [0.75])
    """
    view = seen(network)
    inputs = view.network.widths[0]
    start, stop = vector(start, inputs, "start"), vector(stop, inputs, "stop")
    if np.array_equal(start, stop):
        msg = "start and stop are the same point: give two points to count the pieces between them"
        raise RequestError(msg)
    found = subdivided(view, start, stop, centred(start, stop)[1][None])
    breakpoints = (found.tiling.points[1:-1] + 1) / 2
    return OnLine(len(found.tiling), breakpoints, found.bends)


def boxed(view: Seen, box: Any) -> tuple[Subdivision, tuple[Array, Array]]:
    """The regions in a box, and its low and high ends."""
    low, high = ranges(view.network, box)
    return subdivided(view, low, high, np.diag(centred(low, high)[1])), (low, high)


def centred(start: Array, stop: Array) -> tuple[Array, Array]:
    """The middle and half of the way; halved first, so that nothing overflows."""
    return start / 2 + stop / 2, stop / 2 - start / 2


def ranges(network: Network, box: Any) -> tuple[Array, Array]:
    """Low and high of each input, checked: (inputs,) each."""
    inputs = network.widths[0]
    if inputs > 2:
        msg = f"{network!r} has {inputs} inputs: regions are counted for 1 or 2; count_on_line takes any number of them"
        raise RequestError(msg)
    try:
        found = np.asarray(box, dtype=np.float64)
    except (TypeError, ValueError):
        found = np.empty(0)
    if found.shape != (inputs, 2) or not np.isfinite(found).all() or not (found[:, 0] < found[:, 1]).all():
        msg = f"box={box!r} must be {inputs} pairs of finite numbers (low, high) with low < high, one for each input"
        raise RequestError(msg)
    return found[:, 0], found[:, 1]


def seen(given: Any) -> Seen:
    """The network, if it is one, and how points of the data enter it."""
    network = given.network if isinstance(given, Trained) else given
    if not isinstance(network, Network):
        msg = f"network={type(network).__name__} must be a rnla.nn.Network, or what rnla.nn.train gives"
        raise RequestError(msg)
    inputs = network.widths[0]
    centre, scale = (given.centre, given.scale) if isinstance(given, Trained) else (None, None)
    limit = given.limit if isinstance(given, Trained) else None
    middle, by = np.zeros(inputs) if centre is None else centre, np.ones(inputs) if scale is None else scale
    return Seen(network, middle, by, limit)
