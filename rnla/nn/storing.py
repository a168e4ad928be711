"""`rnla.nn.save`: a network as a result of its own; `rnla.load` reads it."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

from rnla.algorithms.delivery_training import layer_arrays
from rnla.checks import flag
from rnla.nn.training import refuse_other
from rnla.records import FORMAT, now, versions
from rnla.store.publishing import check_target, local_target
from rnla.store.results import ResultWriter
from rnla.store.writing import writing_errors


def save(network: Any, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write a network to a Zarr group, by one rename; `rnla.load` gives it back, bit by bit.

    Parameters
    ----------
    network : Network
    path : path on this machine
    overwrite : bool
        Replace a result of rnla's there.

    Raises
    ------
    OutputError
        The place is taken, or cannot be written.

    Examples
    --------
    >>> import rnla, tempfile
    >>> place = rnla.nn.save(rnla.nn.Network((2, 3, 1)), tempfile.mkdtemp() + "/net.zarr")
    >>> rnla.load(place)
    Network(2 - 3 - 1, 13 parameters, float32)
    """
    refuse_other(network)
    target, replace = local_target(path), flag(overwrite, "overwrite")
    with writing_errors(target):
        check_target(target, overwrite=replace)
    writer = ResultWriter(str(target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")))
    for name, (array, dimensions) in layer_arrays(network).items():
        writer.set(name, array, dimensions)
    record = {
        "format": FORMAT,
        "pipeline": "network",
        "method": "",
        "config": {"seed": network.seed},
        "seed": network.seed,
        "versions": versions(),
        "certificate": {"status": "ok"},
        "cost": {"passes": 0.0, "bytes_read": 0, "seconds": 0.0, "peak_bytes": 0},
        "finished": now(),
    }
    return writer.publish(target, record, overwrite=replace)
