"""The linear pieces of a network with two inputs as they are drawn: in a file of their own, or on the page of a result.

On a page the box is that of the data's means and so many deviations, which a result of standardised samples knows.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rnla.algorithms.arrangements import regions
from rnla.algorithms.delivery_training import network_of
from rnla.algorithms.network import Network
from rnla.algorithms.regions import Pieces, pieces
from rnla.arrays import Array
from rnla.dashboard.page import Section, figure
from rnla.dashboard.reading import Shown
from rnla.dashboard.spelling import number
from rnla.dashboard.tilings import Tiles, steepest, tiles_svg
from rnla.tables import counted

NAMES = ("input x₁", "input x₂")
CAPTION = (
    "Across a line a neuron turns on or off; between the lines F is affine. The colour is the direction in which {0} "
    "rises, the stronger the steeper; where there is none, {0} is flat. In the full colour of the rim of the wheel {0} "
    "rises by {1} from one side of the frame to the other."
)
DEVIATIONS = 2.5  # of the data, on both sides of its mean
MOST_NEURONS = 64  # hidden ones of a network whose pieces are few enough for a page


def section(result: Shown) -> list[Section]:
    """The pieces where the data lies; none of a network too large, or whose inputs are not two that were scaled."""
    arrays = result.arrays
    if len(arrays["weights_1"]) != 2 or not {"centre", "scale"} <= set(arrays):
        return []
    network = network_of(arrays, 0)
    if not 0 < sum(network.widths[1:-1]) <= MOST_NEURONS or not np.isfinite(network.parameters).all():
        return []
    centre, scale = (arrays[name].astype(np.float64) for name in ("centre", "scale"))
    half = DEVIATIONS * np.ones(2)
    found = pieces(network, list(zip(-half, half, strict=True)))
    tiling = tiles(network, found, 0, np.stack([-half, half], axis=1))
    tiling = replace(
        tiling,
        corners=[corners / scale + centre for corners in tiling.corners],
        begins=tiling.begins / scale + centre,
        ends=tiling.ends / scale + centre,
    )
    box = np.stack([centre - half / scale, centre + half / scale], axis=1)
    drawn = tiles_svg(tiling, box, NAMES, heading(network, found))
    where = f" The frame is the mean of the data and {DEVIATIONS} deviations on both sides."
    return [Section("Linear pieces", f'<div style="max-width: 46rem">{figure(drawn, caption(tiling) + where)}</div>')]


def caption(tiling: Tiles) -> str:
    """What lines and colours are."""
    return CAPTION.format(tiling.rising, number(steepest(tiling), 2))


def tiles(network: Network, found: Pieces, output: int, box: Array) -> Tiles:
    """What is drawn of the pieces."""
    changes = found.active[found.between[:, 0]] != found.active[found.between[:, 1]]
    neuron = changes.argmax(axis=1) if changes.size else np.empty(0, np.intp)
    layers = np.searchsorted(np.cumsum(network.widths[1:-1]), neuron, side="right")
    begins, ends = found.edges.transpose(1, 0, 2)
    slopes = found.gradients[:, :, output] * np.ptp(box, axis=1)
    rising = "F" if network.widths[-1] == 1 else f"output {output}"
    return Tiles(found.corners, slopes, begins, ends, layers, found.bends, rising)


def heading(network: Network, found: Pieces) -> str:
    """The counts, in words; with one hidden layer also how many its lines can make."""
    told = counted(found.count, "activation region")
    if len(network.widths) == 3:
        told += f" (at most {regions(network.widths[1], 2):,})"
    return told if found.linear == found.count else f"{told}, {counted(found.linear, 'linear piece')} of F"
