"""From norms, sampled products and similar pairs to the small arrays of a stored result, by name and dimensions."""

from __future__ import annotations

import numpy as np

from rnla.algorithms.delivery import Named
from rnla.algorithms.draws import Draws
from rnla.algorithms.lines import names
from rnla.algorithms.norms import Sides
from rnla.algorithms.similarity import Pairs
from rnla.sweeps.matrix import Matrix

DRAWN = ("indices", "counts", "probabilities", "scales")  # of draws, one entry for each different index


def norms_arrays(found: Sides, *, transposed: bool) -> Named:
    """The norms across the swept side; those along it are tall."""
    name, side = ("row_norms", "row") if transposed else ("column_norms", "column")
    return {name: (found.across[:, None], (side, "norm"))}


def product_arrays(draws: Draws) -> Named:
    """What was drawn."""
    arrays: Named = {name: (getattr(draws, name), ("drawn",)) for name in DRAWN}
    return arrays | {"threshold": (np.array(draws.threshold), ())}


def similarity_arrays(A: Matrix, found: Pairs) -> Named:
    """Pairs of columns, and their names where they have some."""
    arrays: Named = {name: (getattr(found, name), ("pair",)) for name in ("first", "second", "cosine")}
    known = A.labels and A.labels.column_coordinates
    if known is None:
        return arrays
    return arrays | {f"{name}_names": (names(known, getattr(found, name)), ("pair",)) for name in ("first", "second")}
