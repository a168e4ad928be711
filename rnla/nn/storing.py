"""`rnla.nn.save`: a network, with how it was trained, as a result of its own; `rnla.load` reads it."""

from __future__ import annotations

import os
import shutil
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rnla.algorithms.delivery_training import layer_arrays, trained_arrays
from rnla.algorithms.network import Network
from rnla.algorithms.trained import Trained
from rnla.checks import flag
from rnla.errors import OutputError, OutputExistsError, RnlaError
from rnla.nn.training import refuse_other
from rnla.records import FORMAT, certificate_record, now, versions
from rnla.store.publishing import check_target, local_target
from rnla.store.results import ResultWriter
from rnla.store.writing import writing_errors

BARE = {"status": "ok", "inputs": "taken as they are, neither centred nor scaled"}


def save(network: Network | Trained, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write a network to a Zarr group, by one rename; `rnla.load` gives it back, bit by bit.

    Parameters
    ----------
    network : Network or Trained
        A `Trained` is kept whole: how it centres and scales its inputs, its history, its certificate, its classes. A
        `Network` alone takes inputs as they are.
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
    refuse_other(network.network if isinstance(network, Trained) else network)
    target, replace = local_target(path), flag(overwrite, "overwrite")
    with writing_errors(target):
        check_target(target, overwrite=replace)
    writer = ResultWriter(str(target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")))
    arrays = trained_arrays(network) if isinstance(network, Trained) else layer_arrays(network)
    try:
        for name, (array, dimensions) in arrays.items():
            writer.set(name, array, dimensions)
        return writer.publish(target, record(network), overwrite=replace)
    except OSError as error:
        if not isinstance(error, OutputExistsError):
            shutil.rmtree(writer.folder, ignore_errors=True)
        if isinstance(error, RnlaError):
            raise
        msg = f"{target}: cannot be written ({error.strerror or error}); choose another place"
        raise OutputError(msg) from error


def record(network: Network | Trained) -> dict[str, Any]:
    """What is written beside the layers; a result that was loaded keeps what is known of how it was made."""
    alone = network.network if isinstance(network, Trained) else network
    found: dict[str, Any] = {
        "format": FORMAT,
        "pipeline": "network",
        "method": "rnla.nn.save",
        "config": {"seed": alone.seed},
        "seed": alone.seed,
        "versions": versions(),
        "certificate": BARE,
        "cost": {"passes": 0.0, "bytes_read": 0, "seconds": 0.0, "peak_bytes": 0},
        "finished": now(),
    }
    if not isinstance(network, Trained):
        return found
    known = {name: value for name, value in network.record.items() if name != "spec_digest"}  # no job's result
    proof = {"certificate": certificate_record(network.certificate), "cost": asdict(network.cost)}
    return found | {"pipeline": "train", "method": "rnla.nn.train"} | known | proof
