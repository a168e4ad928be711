"""A drawing of the linear pieces of a network with two inputs, as one self-contained file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from rnla import checks
from rnla.algorithms.network import Network
from rnla.algorithms.regions import pieces, seen
from rnla.algorithms.trained import Trained
from rnla.dashboard.page import document, figure
from rnla.dashboard.pieces import NAMES, caption, heading, tiles
from rnla.dashboard.tilings import Tiles, standalone, tiles_svg
from rnla.errors import OutputError, RequestError


def picture(
    network: Network | Trained,
    box: Sequence[tuple[float, float]],
    path: str | os.PathLike[str],
    *,
    output: int = 0,
    names: tuple[str, str] = NAMES,
) -> Path:
    """Draw the activation regions of a network with two inputs in a box; the file is named.

    Parameters
    ----------
    network : Network or Trained
        With 2 inputs.
    box : sequence of (low, high)
        Of both inputs, in the units of the data: a `Trained` centres and scales them as it was trained.
    path : path
        The file to write, ending in .svg or .html; replaced when it exists. It needs nothing beside it.
    output : int
        The one whose slope gives the colours.
    names : pair of str
        Of the axes.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    RequestError
        Another number of inputs, another ending, no such output, a box that is none.
    OutputError
        The file cannot be written.

    Notes
    -----
    An edge is drawn in the style of the first layer that has a neuron changing its state there, and dashed where no
    output bends. A region is some 100 bytes of the file.

    Examples
    --------
    >>> import os, tempfile, rnla
    >>> folder = tempfile.mkdtemp()
    >>> file = rnla.nn.picture(rnla.nn.Network((2, 8, 1)), [(-1, 1), (-1, 1)], os.path.join(folder, "pieces.svg"))
    >>> file.name
    'pieces.svg'
    """
    place = Path(checks.path(path, "path")).resolve()
    if place.suffix not in {".svg", ".html"}:
        msg = f"path={place.name} must end in .svg or .html"
        raise RequestError(msg)
    net = seen(network).network
    if net.widths[0] != 2:
        msg = f"{net!r} cannot be drawn in a plane: give a network with 2 inputs"
        raise RequestError(msg)
    if checks.integer(output, "output", least=0) >= net.widths[-1]:
        msg = f"output={output} must lie in 0..{net.widths[-1] - 1}"
        raise RequestError(msg)
    found, area = pieces(network, box), np.asarray(box, dtype=np.float64)
    tiling = tiles(net, found, output, area)
    drawn = tiles_svg(tiling, area, names, heading(net, found))
    text = standalone(drawn) if place.suffix == ".svg" else page(net, drawn, tiling)
    try:
        place.write_text(text, encoding="utf-8")
    except OSError as error:
        msg = f"the picture cannot be written to {place}: {error.strerror or error}; give another place"
        raise OutputError(msg) from error
    return place


def page(network: Network, drawn: str, tiling: Tiles) -> str:
    """The drawing as a page of its own."""
    title = f"Linear pieces of a ReLU network {' - '.join(map(str, network.widths))}"
    body = f'<div style="max-width: 46rem">{figure(drawn, caption(tiling))}</div>'
    return document(title, f"<h1>{escape(title)}</h1>{body}", [])
