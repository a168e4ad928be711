"""`rnla.load`: a published result as the object that the function which made it returns."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from rnla.algorithms.delivery_samples import DRAWN
from rnla.algorithms.delivery_studies import study_of
from rnla.algorithms.delivery_training import network_of, trained_from
from rnla.algorithms.draws import Draws
from rnla.algorithms.labels import side
from rnla.algorithms.lines import CUR, ID
from rnla.algorithms.network import Network
from rnla.algorithms.norms import Norms
from rnla.algorithms.results import PCA, SVD, Cost
from rnla.algorithms.sample_certificates import PairsCertificate, ProductCertificate
from rnla.algorithms.sampled_product import SampledProduct
from rnla.algorithms.similarity import Similar
from rnla.algorithms.studies import Study, StudyCertificate
from rnla.algorithms.trained import Trained, TrainingCertificate
from rnla.arrays import DType
from rnla.checks import path as checked_path
from rnla.errors import StoreError
from rnla.records import bases_certificate_from, certificate_from
from rnla.sweeps.geometry import TALL_ROWS
from rnla.sweeps.matrix import Labels, Matrix


class Parts(NamedTuple):
    """What a result is made of."""

    arrays: dict[str, Any]  # tall ones are Dask arrays
    cost: Cost
    record: dict[str, Any]


LABELLED = SVD | PCA | CUR | ID | Norms | Similar
Loaded = SVD | PCA | CUR | ID | Norms | SampledProduct | Similar | Trained | Study | Network


def load(path: str | os.PathLike[str]) -> Loaded:
    """A published result as the function that makes it returns it; tall arrays are Dask arrays over the store.

    `SVD`, `PCA`, `CUR`, `ID`, `Norms`, `SampledProduct`, `Similar`, `Trained`, `Study` or `Network`, by the
    pipeline that made it; of `predict` the values, a Dask array. Names and coordinates of a labelled matrix come along
    where xarray is installed.
    """
    from rnla.store.publishing import local_target
    from rnla.store.results import read_result

    result = read_result(checked_path(path, "path"))
    record, arrays = result.attributes["rnla"], dict(result.arrays)
    arrays |= {name: Matrix(source).to_dask().astype(source.dtype) for name, source in result.tall.items()}
    known = {field.name for field in dataclasses.fields(Cost)}
    cost = Cost(**{name: value for name, value in record["cost"].items() if name in known})
    if record["pipeline"] not in LOADERS:
        msg = f"{path} is the result of pipeline {record['pipeline']!r}; rnla.load reads those of {', '.join(LOADERS)}"
        raise StoreError(msg)
    loaded: Loaded = LOADERS[record["pipeline"]](Parts(arrays, cost, record))
    if isinstance(loaded, LABELLED) and "labels" in record:
        return dataclasses.replace(loaded, labels=_labels(local_target(path), record["labels"]))
    return loaded


def _labels(path: Path, sides: dict[str, str]) -> Labels | None:
    """Names of the two sides and coordinates along them, as they lie in a result; None without xarray to read them."""
    try:
        import xarray
    except ImportError:
        return None
    with xarray.open_zarr(path, chunks=None) as found:
        stored = {name: side(name) for name in sides.values() if side(name) in found.coords}
        known = {name: found.coords[other].load().rename({other: name}) for name, other in stored.items()}
    return Labels(sides["rows"], sides["columns"], known.get(sides["rows"]), known.get(sides["columns"]))


def _svd(found: Parts) -> SVD:
    arrays, cost, record = found
    proof = certificate_from(record["certificate"], arrays)
    return SVD(dasked(arrays["U"]), arrays["s"], arrays["Vt"], proof, cost, record["method"], record)


def _pca(found: Parts) -> PCA:
    arrays, cost, record = found
    return PCA(
        dasked(arrays["scores"]),
        arrays["components"],
        arrays["explained_variance"],
        arrays["explained_variance_ratio"],
        arrays["mean"],
        arrays["singular_values"],
        certificate_from(record["certificate"], arrays),
        cost,
        arrays.get("scale"),
        record["method"],
        record,
    )


def _cur(found: Parts) -> CUR:
    arrays, cost, record = found
    proof = bases_certificate_from(record["certificate"], arrays)
    C, R = (as_stored(arrays[name], arrays[name].dtype, sparse=bool(arrays["sparse"])) for name in ("C", "R"))
    return CUR(arrays["columns"], arrays["rows"], C, arrays["M"], R, proof, cost, record["method"], record)


def _id(found: Parts) -> ID:
    arrays, cost, record = found
    proof = bases_certificate_from(record["certificate"], arrays)
    C = as_stored(arrays["C"], arrays["C"].dtype, sparse=bool(arrays["sparse"]))
    rows, W = arrays.get("rows"), arrays.get("W")
    return ID(arrays["columns"], C, arrays["X"], proof, cost, rows, W, record["method"], record)


def _norms(found: Parts) -> Norms:
    arrays, cost, record = found
    columns, rows = (arrays[name][:, 0] for name in ("column_norms", "row_norms"))
    proof = record["certificate"]
    return Norms(columns, rows, proof["frobenius_norm"], cost, proof["exact"], record)


def _product(found: Parts) -> SampledProduct:
    arrays, cost, record = found
    proof = ProductCertificate(**{name: value for name, value in record["certificate"].items() if name != "status"})
    indices, counts, probabilities, scales = (arrays[name] for name in DRAWN)
    threshold = float(arrays["threshold"])
    once = indices.size == proof.draws and bool(np.all(probabilities == 1))  # as again() tells
    again = record["config"]["replace"] and not once
    draws = Draws(indices, counts, probabilities, scales, proof.terms, proof.draws, again, threshold)
    return SampledProduct(
        dasked(arrays["value"]),
        draws,
        proof,
        cost,
        dasked(arrays["left"]),
        dasked(arrays.get("right", arrays["left"])),
        record,
    )


def _similar(found: Parts) -> Similar:
    arrays, cost, record = found
    proof = PairsCertificate(**{name: value for name, value in record["certificate"].items() if name != "status"})
    first, second, cosine = (arrays[name] for name in ("first", "second", "cosine"))
    return Similar(first, second, cosine, proof.threshold, proof.missed, cost, None, proof.sketch_rows, record)


def _trained(found: Parts) -> Trained:
    arrays, cost, record = found
    proof = TrainingCertificate(**{name: value for name, value in record["certificate"].items() if name != "status"})
    return trained_from(arrays, proof, cost, record, record["seed"])


def _network(found: Parts) -> Trained | Network:
    """What `rnla.nn.save` was given."""
    if "stopped_at" in found.record["certificate"]:
        return _trained(found)
    return network_of(found.arrays, found.record["seed"])


def _study(found: Parts) -> Study:
    arrays, cost, record = found
    proof = StudyCertificate(**{name: value for name, value in record["certificate"].items() if name != "status"})
    return dataclasses.replace(study_of(arrays, proof, record["config"]["batch"]), cost=cost, record=record)


LOADERS: dict[str, Callable[[Parts], Any]] = {
    "svd": _svd,
    "pca": _pca,
    "cur": _cur,
    "id": _id,
    "column-norms": _norms,
    "sampled-product": _product,
    "similarity": _similar,
    "train": _trained,
    "predict": lambda found: dasked(found.arrays["values"]),
    "network": _network,
    "descent-study": _study,
}


def as_stored(lines: Any, dtype: DType, *, sparse: bool) -> Any:
    """Columns or rows of A as A has them: of its type, and sparse (scipy.sparse, or in Dask's blocks) if it is."""
    lines = lines.astype(dtype)
    if scipy.sparse.issparse(lines):
        return scipy.sparse.csr_array(lines)
    if not sparse:
        return lines
    if isinstance(lines, np.ndarray):
        return scipy.sparse.csr_array(lines)
    meta = scipy.sparse.csr_array((0, 0), dtype=lines.dtype)
    return lines.map_blocks(scipy.sparse.csr_array, dtype=lines.dtype, meta=meta)


def dasked(array: Any) -> Any:
    """An array in memory as a Dask array, others as they are."""
    import dask.array

    return dask.array.from_array(array, chunks=(TALL_ROWS, -1)) if isinstance(array, np.ndarray) else array
