"""Small stores with known singular values, cut like large ones: several panels a span, several spans a sweep."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import zarr

import rnla.sweeps.geometry
import rnla.sweeps.retries
from tests.backends import grouped, written
from tests.jobs.attempts import PANEL_BYTES, Job, files, unflushed
from tests.matrices import with_singular_values

M, N, CHUNK = 1700, 24, 100
ENTRIES = 1000  # of a chunk of a sparse group
CHOSEN = 7  # the chunk that is damaged: rows 700..799
S = np.concatenate([np.arange(9.0, 3.0, -1.0), np.linspace(1.0, 0.1, N - 6)])  # six modes well apart, and a rest
K = 3
SMALL = {"k": K, "oversample": 2}


SAMPLES = {  # pipelines that take lines or samples of a matrix: name, store, options
    "cur": ("cur", "store", {"k": K}),
    "cross of a wide matrix": ("cur", "wide", {"k": K, "middle": "cross"}),
    "id": ("id", "store", {"k": K, "two_sided": True}),
    "norms": ("column-norms", "store", {}),
    "norms of a wide matrix": ("column-norms", "wide", {}),
    "product": ("sampled-product", "store", {"draws": 9, "right": "{right}"}),
    "product with itself": ("sampled-product", "store", {"tol": 0.5, "transposed": True, "replace": False}),
    "similarity": ("similarity", "store", {"threshold": 0.4, "method": "sketch"}),
    "correlations": ("similarity", "wide", {"threshold": 0.95, "centred": True}),
    "similarity of few": ("similarity", "wide", {"threshold": 0.9}),
    "cur of a sparse matrix": ("cur", "sparse", {"k": K}),
    "predict": ("predict", "store", {"network": "{network}"}),
    "predict and score": (
        "predict",
        "store",
        {"network": "{network}", "labels": "{classes}", "loss": "cross-entropy"},
    ),
    "predict a column": ("predict", "store", {"network": "{narrow}", "label_column": 5, "loss": "square"}),
    "descent": ("descent-study", "store", {"label_column": 5, "epochs": 2, "seeds": 2, "steps": 60, "batch": 64}),
    "train": (
        "train",
        "store",
        {
            "label_column": 5,
            "outputs": 1,
            "loss": "square",
            "hidden": "8",
            "epochs": 3,
            "local_steps": 9,
            "patience": 2,
        },
    ),
    "train replicas": (
        "train",
        "wide",
        {"label_column": 9, "outputs": 1, "loss": "square", "batch": 2, "epochs": 2, "replicas": 3, "local_steps": 1},
    ),
    "product of a sparse matrix": ("sampled-product", "sparse", {"draws": 9, "transposed": True}),
}


@dataclass(frozen=True)
class Kept:
    """A matrix and the store that holds it."""

    A: np.ndarray
    path: Path

    def chunk(self, i, j=0):
        """File of a chunk."""
        found = [self.path / "c" / str(i) / str(j), self.path / f"{i}.{j}"]
        return next((file for file in found if file.exists()), found[0])

    def damageable(self):
        """A chunk in the middle, and what an error says of where it is."""
        place = (CHOSEN, 0) if self.A.shape[0] == M else (0, CHOSEN)
        file = self.chunk(*place)
        return file, (
            str(self.path),
            f"key {file.relative_to(self.path)}",
            f"{CHOSEN * CHUNK}..{(CHOSEN + 1) * CHUNK - 1}",
        )

    def rewrite(self, A):
        """Put another matrix in its place."""
        kept(A, self.path, rnla.open(self.path).source.chunks, overwrite=True, compressors=None)

    def job(self, out, name="svd", **options):
        """A small job on it."""
        return Job(name, str(self.path), str(out), SMALL | options)


class KeptSparse(Kept):
    """A sparse group: three arrays, cut by entries."""

    def rewrite(self, A):
        """Put another matrix in its place."""
        shutil.rmtree(self.path, ignore_errors=True)
        grouped(scipy.sparse.csr_array, A, self.path, chunk=ENTRIES, compressors=None)

    def damageable(self):
        """A chunk of the values in the middle, and what an error says of where it is."""
        return self.path / "data" / "c" / str(CHOSEN), (
            str(self.path / "data"),
            f"key c/{CHOSEN}",
            f"{CHOSEN * ENTRIES}..",
        )


def kept(A, path, chunks=(CHUNK, N), **options):
    """A matrix in a new store."""
    written(A, path, chunks, **options)
    return Kept(A, Path(path))


@pytest.fixture(scope="session")
def matrix():
    return with_singular_values(S, (M, N)) + 0.001


@pytest.fixture
def store(tmp_path, matrix):
    """A tall Zarr v3 store, its chunks as plain bytes."""
    return kept(matrix, tmp_path / "a.zarr", compressors=None)


@pytest.fixture
def wide(tmp_path, matrix):
    """The transpose, compressed, its chunks cut both ways."""
    return kept(np.ascontiguousarray(matrix.T), tmp_path / "wide.zarr", (10, CHUNK))


@pytest.fixture
def sparse(tmp_path, matrix):
    """A sparse group, every second entry of the tall matrix and no other."""
    A = np.where(np.indices(matrix.shape).sum(axis=0) % 2, matrix, 0.0)
    found = KeptSparse(A, tmp_path / "sparse.zarr")
    found.rewrite(A)
    return found


@pytest.fixture
def right(tmp_path):
    """The right factor of a product, in a store."""
    return kept(np.random.default_rng(4).standard_normal((N, 50)), tmp_path / "b.zarr", (N, 20), compressors=None)


@pytest.fixture
def network(tmp_path):
    """A network in a store."""
    return rnla.nn.save(rnla.nn.Network((N, 5, 2), seed=4), tmp_path / "net.zarr")


@pytest.fixture
def narrow(tmp_path):
    """A network of one output that takes a column less."""
    return rnla.nn.save(rnla.nn.Network((N - 1, 5, 1), seed=4), tmp_path / "narrow.zarr")


@pytest.fixture
def classes(tmp_path):
    """Two classes, in a store of one dimension."""
    labels = np.random.default_rng(6).integers(0, 2, M)
    zarr.create_array(str(tmp_path / "classes.zarr"), data=labels, chunks=(CHUNK,))
    return tmp_path / "classes.zarr"


@pytest.fixture(params=SAMPLES)
def sample(request, right, network, narrow, classes, tmp_path):
    """The job of a pipeline that takes samples, its store, and where it goes: `sample(out)`, reads logged if asked."""
    name, where, options = SAMPLES[request.param]
    found = request.getfixturevalue(where)
    places = {"{right}": str(right.path), "{network}": str(network)}
    places |= {"{narrow}": str(narrow), "{classes}": str(classes)}
    given = {key: places.get(value, value) if isinstance(value, str) else value for key, value in options.items()}

    def job(out="out", *, log=None):
        return Job(name, str(found.path), str(tmp_path / out), given, log and str(tmp_path / log))

    job.store = found
    return job


@pytest.fixture(autouse=True)
def cut_small(monkeypatch):
    """Several spans in this process too; no long pauses between attempts at a read, or for the disk."""
    monkeypatch.setattr(os, "fsync", unflushed)
    monkeypatch.setattr(rnla.sweeps.geometry, "PANEL_BYTES", PANEL_BYTES)
    monkeypatch.setattr(rnla.sweeps.retries, "FIRST_PAUSE_SECONDS", 1e-4)
    assert len(rnla.open(np.zeros((M, N))).geometry.spans()) > 2


@pytest.fixture(scope="session")
def undamaged(tmp_path_factory, matrix):
    """Files of the result of an undisturbed job on the tall store, by the job's name and options; each is run once."""
    room = tmp_path_factory.mktemp("undamaged")
    store, found = kept(matrix, room / "a.zarr", compressors=None), {}

    def result(name="svd", **options):
        key = repr((name, sorted(options.items())))
        if key not in found:
            found[key] = files(store.job(room / str(len(found)), name, **options).run().path)
        return found[key]

    return result
