"""A job from end to end: the published answer against numpy, what its record says, what it read, and its second run."""

import json
import os
import re
import shutil
from datetime import datetime
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse
import xarray
from distributed import Client

import rnla
import rnla.jobs.running
import rnla.store.manifest
from rnla.algorithms.studies import Study
from rnla.errors import IntegrityError
from rnla.jobs.running import Silence, plan_job, run_job
from rnla.store.results import verify_result
from tests.backends import IN_PARTS
from tests.faults import passes_read, watched
from tests.jobs.attempts import Job, files
from tests.jobs.conftest import CHUNK, SMALL, K, M, N, S, kept
from tests.tolerances import backward, orthonormality

NORM = float(np.linalg.norm(S))
GAP = 0.9  # between the leading singular values, which are 1 apart but for the constant and the centring
LAYOUTS = {
    "tall v3": ((M, N), (CHUNK, N), {"compressors": None}),
    "tall v2": ((M, N), (CHUNK, N), {"zarr_format": 2}),
    "wide v3": ((N, M), (10, CHUNK), {}),
    "wide v2": ((N, M), (N, CHUNK), {"zarr_format": 2, "compressors": None}),
}


@pytest.fixture(params=LAYOUTS)
def laid(request, tmp_path, matrix):
    """Stores of both formats and orientations."""
    shape, chunks, options = LAYOUTS[request.param]
    return kept(
        matrix if shape == matrix.shape else np.ascontiguousarray(matrix.T), tmp_path / "a.zarr", chunks, **options
    )


def factors(A):
    """Leading triplets by numpy, the largest entry of each right vector positive."""
    U, s, Vt = np.linalg.svd(A, full_matrices=False)
    turn = np.sign(Vt[np.arange(len(s)), np.abs(Vt).argmax(axis=1)])
    return (U * turn)[:, :K], s[:K], (Vt * turn[:, None])[:K]


def values_within(A):
    """Error of singular values by a backward stable method."""
    return backward(A.dtype, A.shape, NORM)


def vectors_within(A):
    """A backward error E turns singular vectors by 2^(3/2) ||E|| / gap at most (Wedin; Davis and Kahan)."""
    return 2**1.5 * values_within(A) / GAP


def close(found, expected, within):
    return np.abs(np.asarray(found) - expected).max() <= within


def opened(path):
    """A result as xarray opens it, warnings being errors."""
    with xarray.open_zarr(path) as data:
        return data.load()


def test_svd_is_published_as_numpy_has_it(laid, tmp_path):
    outcome = laid.job(tmp_path / "out.zarr").run()
    U, s, Vt = factors(laid.A)
    data = opened(outcome.path)
    assert {name: data[name].dims for name in ("U", "s", "Vt", "lower")} == {
        "U": ("row", "mode"),
        "s": ("mode",),
        "Vt": ("mode", "column"),
        "lower": ("mode",),
    }
    assert close(data["s"], s, values_within(laid.A))
    assert close(data["U"], U, vectors_within(laid.A))
    assert close(data["Vt"], Vt, vectors_within(laid.A))
    assert close(data["Vt"].values @ data["Vt"].values.T, np.eye(K), orthonormality("f8", N))
    assert (data["lower"] <= s + values_within(laid.A)).all()
    assert (data["upper"] >= s - values_within(laid.A)).all()
    rest = np.sqrt(np.sum(laid.A**2) - np.sum(s**2))
    proof = outcome.attributes["certificate"]
    assert abs(proof["frobenius_error"] - rest) <= values_within(laid.A) * NORM / rest  # d sqrt(x) = dx / (2 sqrt(x))
    assert (outcome.status, outcome.reused, outcome.resumed_sweeps) == ("ok", False, 0)


@pytest.mark.parametrize("scale", [False, True])
def test_pca_is_published_as_numpy_has_it(laid, tmp_path, scale):
    path = laid.job(tmp_path / "out.zarr", "pca", scale=scale).run().path
    mean, deviation = laid.A.mean(axis=0), laid.A.std(axis=0)
    view = (laid.A - mean) / (deviation if scale else 1.0)
    U, s, Vt = factors(view)
    size = np.linalg.norm(view) / NORM  # how much larger scaling makes the matrix, and hence its rounding
    gap = np.abs(np.diff(np.linalg.svd(view, compute_uv=False)[: K + 1])).min()
    vectors = 2**1.5 * values_within(laid.A) * size / gap
    data = opened(path)
    assert close(data["singular_values"], s, values_within(laid.A) * size)
    assert close(data["components"], Vt, vectors)
    assert close(data["scores"], U * s, (vectors + values_within(laid.A)) * s[0])
    assert close(data["mean"], mean, values_within(laid.A))
    m = laid.A.shape[0]
    assert close(data["explained_variance"], s**2 / (m - 1), 3 * s[0] * values_within(laid.A) * size / (m - 1))
    assert close(data["explained_variance_ratio"], s**2 / np.sum(view**2), vectors)
    assert ("scale" in data) == scale
    assert not scale or close(data["scale"], deviation, values_within(laid.A))


def test_load_and_svd_with_out_give_what_was_published(store, tmp_path):
    path = store.job(tmp_path / "out.zarr", method="krylov").run().path
    options = SMALL | {"method": "krylov"}
    direct = rnla.svd(store.path, out=tmp_path / "direct.zarr", **options)
    again = rnla.svd(rnla.open(store.path), **options)
    data = opened(path)
    for found in (rnla.load(path), direct, again):
        for name in ("U", "s", "Vt"):
            assert np.asarray(getattr(found, name)).tobytes() == data[name].values.tobytes()
        for name in ("lower", "upper", "residuals", "resolved"):
            assert getattr(found.certificate, name).tobytes() == data[name].values.tobytes()
    assert direct.certificate.spectral_bound == rnla.load(path).certificate.spectral_bound
    loaded = rnla.load(path)
    assert (loaded.method, loaded.cost.passes) == ("krylov", 4)


def test_pca_with_out_gives_the_bits_of_the_job(wide, tmp_path):
    job = rnla.load(wide.job(tmp_path / "job.zarr", "pca", scale=True).run().path)
    found = rnla.pca(wide.path, out=tmp_path / "out.zarr", scale=True, **SMALL)
    for name in ("scores", "components", "explained_variance", "mean", "scale", "singular_values"):
        assert np.asarray(getattr(found, name)).tobytes() == np.asarray(getattr(job, name)).tobytes()


def arrays_of(found):
    """Arrays of a result of any pipeline, by name."""
    names = {
        "CUR": ("columns", "rows", "C", "M", "R"),
        "ID": ("columns", "rows", "C", "X", "W"),
        "Norms": ("columns", "rows"),
        "SampledProduct": ("value", "left", "right", "probabilities"),
        "Similar": ("first", "second", "cosine"),
        "Trained": ("centre", "scale"),
        "Study": ("condition",),
    }[type(found).__name__]
    if isinstance(found, rnla.nn.Trained):
        found = SimpleNamespace(**vars(found), **found.history, parameters=found.network.parameters)
        names = ("centre", "scale", "parameters", "loss", "validation_loss", "learning_rate", "steps")
    if isinstance(found, Study):
        curves = {path.method: path.errors for path in found.paths} | found.excess
        return {"condition": np.array(found.condition)} | curves
    return {name: dense(getattr(found, name)) for name in names}


def dense(array):
    """As a numpy array."""
    computed = array.compute() if hasattr(array, "compute") else array
    return np.asarray(computed.toarray() if scipy.sparse.issparse(computed) else computed)


def trained_like(job, A):
    """What `rnla.nn.train` returns, asked for what the job asks for."""
    given = {"patience": None, "epochs": 15} | dict(job.options)
    at, hidden = given.pop("label_column"), [int(width) for width in given.pop("hidden", "64").split(",")]
    y, X = np.asarray(A.subset(columns=[at]).to_dask()), A.subset(columns=np.delete(np.arange(A.shape[1]), at))
    network = rnla.nn.Network((X.shape[1], *hidden, given.pop("outputs")))
    found = rnla.nn.train(network, X, y, standardise=True, **given)
    if given.get("loss") == "square":  # whose targets are standardised too
        return found
    view = X.centred().scaled().weighted(columns=np.full(X.shape[1], min(1.0, 8 / np.sqrt(X.shape[1]))))
    assert np.array_equal(rnla.nn.train(network, view, y, **given).network.parameters, found.network.parameters)
    return found


def returned(job):
    """What the public function returns that the job's pipeline is made of."""
    given = dict(job.options)
    A = rnla.open(job.store)
    A = A.T if given.pop("transposed", False) else A
    A = A.centred() if given.pop("centred", False) else A
    if job.name == "descent-study":
        at = given.pop("label_column")
        y = np.asarray(A.subset(columns=[at]).to_dask())[:, 0]
        return rnla.nn.descent_study(A.subset(columns=np.delete(np.arange(A.shape[1]), at)), y, **given)
    if job.name == "train":
        return trained_like(job, A)
    if job.name == "sampled-product":
        B = rnla.open(given.pop("right")) if "right" in given else A.T
        return rnla.sampled_product(A, B, given.pop("draws", "auto"), **given)
    functions = {
        "cur": rnla.cur,
        "id": rnla.interpolative,
        "column-norms": rnla.norms,
        "similarity": rnla.similar_columns,
    }
    return functions[job.name](A, **given)


def test_every_pipeline_publishes_what_its_function_returns(sample):
    outcome = sample().run()
    opened(outcome.path)
    if sample().name == "predict":
        A, left_out = rnla.open(sample().store), sample().options.get("label_column")
        A = A if left_out is None else A.subset(columns=np.delete(np.arange(N), left_out))
        expected = rnla.nn.predict(rnla.load(sample().options["network"]), A)
        assert dense(rnla.load(outcome.path)).tobytes() == dense(expected).tobytes()
        return
    loaded, direct = rnla.load(outcome.path), returned(sample())
    assert type(loaded) is type(direct)
    for name, array in arrays_of(direct).items():
        assert arrays_of(loaded)[name].tobytes() == array.tobytes(), name
    stated, proof = outcome.attributes["certificate"], direct.certificate
    assert str(loaded.certificate) == str(proof)
    assert stated["status"] == outcome.status == proof.status == "ok"
    assert loaded.record["pipeline"] == sample().name
    assert verify_result(outcome.path).sound


def test_every_pipeline_reads_no_more_than_planned_and_is_reused(sample, tmp_path):
    job, notes = sample(log="log"), Notes()
    cost = job.run(notes).attributes["cost"]
    promised = plan_job(job.name, job.store, job.options)
    assert 0 < cost["passes"] <= promised.passes
    assert notes.bytes_read == cost["bytes_read"] <= promised.bytes_read
    assert cost["peak_bytes"] <= promised.peak_bytes
    again = Notes()
    assert job.run(again).reused
    assert (again.bytes_read, again.order) == (0, ["finished"])


def test_every_pipeline_gives_the_same_bits_on_a_cluster(sample, lent_cluster):
    expected = files(sample("threads").run().path)
    with lent_cluster.as_current():
        assert files(sample("cluster").run().path) == expected


@pytest.fixture(scope="module")
def lent_cluster():
    """A client of workers in this process, for those who ask for it: other tests run on threads."""
    address = "127.0.0.1:0"
    with Client(
        processes=False, n_workers=2, threads_per_worker=1, dashboard_address=address, set_as_default=False
    ) as client:
        yield client


def product(store, right, out, **options):
    """A job that multiplies two stores."""
    return Job("sampled-product", str(store.path), str(out), {"draws": 9, "right": str(right.path)} | options)


def test_a_product_is_not_reused_for_a_right_factor_that_was_changed(store, right, tmp_path):
    job = product(store, right, tmp_path / "out")
    assert job.run().attributes["others"]["right"]["url"] == str(right.path)
    right.chunk(0, 1).write_bytes((right.A[:, 20:40] * 2).tobytes())
    with pytest.raises(rnla.errors.OutputExistsError, match=r"the chunks of right, which were written again since"):
        job.run()
    other = kept(right.A, tmp_path / "c.zarr", (N, 20))
    with pytest.raises(rnla.errors.OutputExistsError, match=r"option right \(.*b\.zarr there, .*c\.zarr asked\);"):
        product(store, other, tmp_path / "out").run()


class RightWriter(Silence):
    """Writes to the right factor as a job begins to read."""

    def __init__(self, right):
        self.right, self.done = right, False

    def read(self, byte_count):
        if not self.done:
            self.done = True
            self.right.chunk(0, 2).write_bytes(np.ones((N, 20)).tobytes())


def test_a_right_factor_that_changes_while_it_is_read_gives_no_result(store, right, tmp_path):
    job = product(store, right, tmp_path / "out")
    with pytest.raises(IntegrityError, match=r"b\.zarr: the store was written to while this job read it"):
        job.run(RightWriter(right))
    assert not (tmp_path / "out").exists()
    changed = right.A.copy()
    changed[:, 40:] = 1
    job.run()
    twin = product(store, kept(changed, tmp_path / "c.zarr", (N, 20)), tmp_path / "twin").run()
    assert files(tmp_path / "out") == files(twin.path)


@pytest.mark.parametrize(("tol", "status"), [(0.01, "tolerance_not_met"), (0.999, "ok")])
def test_a_product_says_whether_it_met_its_tolerance(store, right, tmp_path, tol, status):
    outcome = product(store, right, tmp_path / "out", draws=60, tol=tol).run()
    assert outcome.status == status
    assert (outcome.attributes["certificate"]["needed"] > 60) == (status != "ok")
    assert product(store, right, tmp_path / "out", draws=60, tol=tol).run().status == status


def test_a_product_with_out_is_the_job(store, right, tmp_path):
    A, B = rnla.open(store.path), rnla.open(right.path)
    found = rnla.sampled_product(A, B, 9, out=tmp_path / "out")
    assert product(store, right, tmp_path / "job").run().path.exists()
    assert files(tmp_path / "out") == files(tmp_path / "job")
    assert found.value.compute().tobytes() == rnla.sampled_product(A, B, 9).value.compute().tobytes()
    for other, weights in ((right.A, "product"), (B.centred(), "product"), (B, np.ones(N))):
        with pytest.raises(rnla.errors.RequestError, match="or leave out= out"):
            rnla.sampled_product(A, other, 9, weights=weights, out=tmp_path / "other")


def test_norms_kept_beside_the_store_leave_its_result_reusable(store, tmp_path):
    job = Job("column-norms", str(store.path), str(tmp_path / "out"), {"keep": True})
    job.run()
    assert (store.path / "rnla-norms.npz").exists()
    assert job.run().reused
    again = Job("column-norms", str(store.path), str(tmp_path / "again"), {}).run()
    assert again.attributes["cost"]["bytes_read"] == 0
    assert files(again.path) == files(tmp_path / "out")


def test_numbers_of_numpy_are_options_too(store, tmp_path):
    found = rnla.svd(store.path, np.int64(K), oversample=np.int32(2), tol=np.float64(0.9), out=tmp_path / "o.zarr")
    assert found.record["config"]["k"] == K
    assert found.record["config"]["tol"] == 0.9


class Notes(Silence):
    """Remembers the plan and the bytes it was told of."""

    def __init__(self):
        self.plan, self.bytes_read, self.order = None, 0, []

    def planned(self, plan):
        assert not self.bytes_read
        self.plan = plan
        self.order.append("planned")

    def swept(self, sweeps_done):
        self.order.append(sweeps_done)

    def read(self, byte_count):
        self.bytes_read += byte_count

    def noted(self, text):
        self.order.append(text)

    def finished(self, outcome):
        self.order.append("finished")


def test_training_tells_its_epoch_loss_speed_and_time_left(store, tmp_path):
    notes = Notes()
    options = {"label_column": 2, "outputs": 1, "loss": "square", "epochs": 2, "local_steps": 12}
    Job("train", str(store.path), str(tmp_path / "out"), options).run(notes)
    told = [note for note in notes.order if isinstance(note, str) and note.startswith("epoch")]
    assert len(told) == 4  # two rounds an epoch
    for number, text in enumerate(told):
        assert re.fullmatch(rf"epoch {1 + number // 2} of 2, loss [\d.e-]+, [\d,]+ samples/s, \d+:\d\d left", text), (
            text
        )


class Touching(Notes):
    """Writes a chunk of a store anew, as it is, in the second epoch."""

    def __init__(self, chunk):
        super().__init__()
        self.chunk, self.bytes = chunk, chunk.read_bytes()

    def noted(self, text):
        super().noted(text)
        if text.startswith("epoch 2"):
            os.utime(self.chunk, ns=(1, 1))


def test_training_stops_soon_when_its_store_is_written_to(store, tmp_path, monkeypatch):
    monkeypatch.setattr(rnla.jobs.running, "SELDOM", 0)
    notes = Touching(next(path for path in sorted(store.path.rglob("c/**/*")) if path.is_file()))
    options = {"label_column": 2, "outputs": 1, "loss": "square", "epochs": 50, "local_steps": 12}
    with pytest.raises(IntegrityError, match="was written to while this job read it"):
        Job("train", str(store.path), str(tmp_path / "out"), options).run(notes)
    assert len([note for note in notes.order if isinstance(note, str) and note.startswith("epoch")]) == 3


CASES = {
    "gram": ("svd", {}, 2),
    "krylov": ("svd", {"method": "krylov"}, 4),
    "five passes": ("svd", {"method": "krylov", "passes": 5}, 5),
    "subspace": ("svd", {"method": "subspace", "passes": 3}, 3),
    "one pass": ("svd", {"passes": 1}, 1),
    "deviations first": ("svd", {"method": "krylov", "scaled": True, "passes": 3}, 4),
    "pca": ("pca", {"method": "krylov", "passes": 3}, 3),
    "scaled pca": ("pca", {"scale": True}, 2),
}


@pytest.mark.parametrize("case", CASES)
def test_reads_are_those_of_the_plan(tmp_path, store, case):
    name, options, passes = CASES[case]
    log, notes = tmp_path / "log", Notes()
    outcome = run_job(name, watched(rnla.open(store.path), log), tmp_path / "out", SMALL | options, observer=notes)
    promised = plan_job(name, store.path, SMALL | options)
    assert notes.plan.passes == promised.passes == passes
    assert passes_read(log, store.A.shape) == passes
    assert outcome.attributes["cost"]["passes"] == passes
    assert (
        notes.bytes_read == outcome.attributes["cost"]["bytes_read"] == promised.bytes_read == passes * store.A.nbytes
    )
    sweeps = [count for count in notes.order if isinstance(count, int)]
    assert notes.order == ["planned", *sweeps, "finished"]
    assert sweeps == sorted(set(sweeps))


def test_strips_that_do_not_fit_are_read_twice_a_sweep_as_planned(tmp_path, matrix):
    both_ways = kept(matrix, tmp_path / "a.zarr", (CHUNK, 7))
    A = watched(rnla.open(both_ways.path, strip_bytes=IN_PARTS), tmp_path / "log")
    notes = Notes()
    options = SMALL | {"method": "krylov", "passes": 3}
    outcome = run_job("svd", A, tmp_path / "out.zarr", options, observer=notes)
    assert passes_read(tmp_path / "log", matrix.shape) == notes.plan.passes == outcome.attributes["cost"]["passes"] == 6
    proof = rnla.load(outcome.path).certificate
    s = np.linalg.svd(matrix, compute_uv=False)[:K]
    assert (proof.lower <= s + values_within(matrix)).all()
    assert (proof.upper >= s - values_within(matrix)).all()


def test_the_record_tells_how_the_result_was_made(store, tmp_path):
    rnla.store.manifest.fingerprint(store.path)
    outcome = store.job(tmp_path / "out.zarr", "pca", method="krylov", seed=7).run()
    kept_record = json.loads((outcome.path / "zarr.json").read_text())["attributes"]["rnla"]
    record = outcome.attributes
    assert all(kept_record[name] == json.loads(json.dumps(record[name])) for name in record)
    assert record["pipeline"] == "pca"
    assert record["method"] == "krylov"
    assert record["seed"] == record["config"]["seed"] == 7
    assert record["config"] == {
        "k": K,
        "passes": 4,
        "tol": None,
        "explained": None,
        "scale": False,
        "oversample": 2,
        "seed": 7,
        "method": "krylov",
        "missing": "error",
        "allow_missing": False,
    }
    assert set(record["versions"]) == {"python", "rnla", "numpy", "scipy", "zarr", "dask", "distributed"}
    assert record["versions"]["numpy"] == np.__version__
    assert record["input"]["url"] == str(store.path)
    assert record["input"]["shape"] == [M, N]
    assert record["input"]["chunks"] == [CHUNK, N]
    assert record["input"]["dtype"] == "float64"
    assert record["input"]["input_verified"] is True
    assert record["input"]["manifest"] == rnla.open(store.path).source.identity["manifest"]
    promised = plan_job("pca", store.path, SMALL | {"method": "krylov"}).as_dict()
    here = ("base_bytes", "peak_bytes", "threads")  # as the process was when it planned
    assert {name: value for name, value in record["plan"].items() if name not in here} == {
        name: value for name, value in promised.items() if name not in here
    }
    assert record["plan"]["passes"] == record["cost"]["passes"] == 4
    assert 0 < record["cost"]["peak_bytes"] <= record["plan"]["peak_bytes"]
    assert record["cost"]["seconds"] > 0
    assert record["certificate"]["status"] == "ok"
    assert 0 < record["certificate"]["relative_error"] < 1
    assert record["certificate"]["confidence"] > 0.99
    assert record["started"] <= record["finished"]
    assert (kept_record["tall"], "scores" in kept_record["digests"]) == (["scores"], False)


def test_input_without_a_manifest_is_recorded_as_not_verified(store, tmp_path):
    assert store.job(tmp_path / "out.zarr").run().attributes["input"]["input_verified"] is False


def test_a_second_run_reuses_the_result_without_reading_a_chunk(store, tmp_path):
    job = store.job(tmp_path / "out.zarr")
    first = job.run()
    before = (first.path / "zarr.json").read_bytes()
    notes = Notes()
    second = job.run(notes)
    assert second.reused
    assert (second.path, second.status) == (first.path, "ok")
    assert second.attributes["spec_digest"] == first.attributes["spec_digest"]
    assert (second.path / "zarr.json").read_bytes() == before
    assert notes.order == ["finished"]
    assert notes.bytes_read == 0


def written_again(store):
    store.chunk(3).write_bytes((store.A[300:400] * 2).tobytes())


def removed(store):
    store.chunk(3).unlink()


@pytest.mark.parametrize("change", [written_again, removed])
def test_a_result_is_not_reused_for_a_store_that_was_changed(store, tmp_path, change):
    job = store.job(tmp_path / "out.zarr")
    job.run()
    change(store)
    with pytest.raises(
        rnla.errors.OutputExistsError, match=r"result already.*chunks of the store, which were written again"
    ):
        job.run()


def test_what_a_result_differs_in_is_named(store, tmp_path):
    store.job(tmp_path / "out.zarr").run()
    with pytest.raises(rnla.errors.OutputExistsError, match=r"option seed \(0 there, 5 asked\); choose another path"):
        store.job(tmp_path / "out.zarr", seed=5).run()


class Writer(Notes):
    """Writes to the store while a job reads it."""

    def __init__(self, store):
        super().__init__()
        self.store = store

    def swept(self, sweeps_done):
        super().swept(sweeps_done)
        if sweeps_done == 2:
            written_again(self.store)


def test_a_store_that_changes_while_it_is_read_gives_no_result(store, tmp_path):
    job = store.job(tmp_path / "out.zarr", method="krylov", oversample=9)
    with pytest.raises(rnla.errors.IntegrityError, match=r"a\.zarr: the store was written to while this job read it"):
        job.run(Writer(store))
    assert not (tmp_path / "out.zarr").exists()
    outcome = job.run()
    assert outcome.resumed_sweeps == 0
    changed = store.A.copy()
    changed[300:400] *= 2
    assert close(rnla.load(outcome.path).s, factors(changed)[1], 2 * values_within(changed))


def test_an_open_matrix_is_recorded_as_it_was_opened(store, tmp_path):
    removed(store)
    A = rnla.open(store.path, missing="mask", allow_missing=True)
    config = run_job("svd", A, tmp_path / "out.zarr", SMALL).attributes["config"]
    assert (config["missing"], config["allow_missing"]) == ("mask", True)
    with pytest.raises(rnla.errors.ConfigError, match=r"missing='error' comes too late.*rnla\.open"):
        run_job("svd", A, tmp_path / "other.zarr", SMALL | {"missing": "error"})


def test_a_result_that_was_removed_is_made_again(store, tmp_path):
    job = store.job(tmp_path / "out.zarr")
    first = rnla.load(job.run().path).U.compute()
    shutil.rmtree(tmp_path / "out.zarr")
    again = job.run()
    assert not again.reused
    assert rnla.load(again.path).U.compute().tobytes() == first.tobytes()


def test_a_store_that_was_changed_and_fingerprinted_is_another_input(store, tmp_path):
    rnla.store.manifest.fingerprint(store.path)
    job = store.job(tmp_path / "out.zarr")
    job.run()
    assert job.run().reused
    kept(store.A * 2, store.path, compressors=None, overwrite=True)
    rnla.store.manifest.fingerprint(store.path)
    with pytest.raises(rnla.errors.OutputExistsError):
        job.run()


def test_the_folder_of_a_job_tells_how_it_went(store, tmp_path):
    job = store.job(tmp_path / "out.zarr")
    job.run()
    assert sorted(path.name for path in job.folder.iterdir()) == ["attempts", "final.json", "lock", "spec.json"]
    assert json.loads((job.folder / "final.json").read_text())["status"] == "ok"
    assert json.loads((job.folder / "spec.json").read_text())["config"]["k"] == K
    assert [path.name for path in (job.folder / "attempts").iterdir()] == ["0001.json"]


class Stopper(Silence):
    """Raises an error after its first sweep."""

    def __init__(self, error):
        self.error = error

    def swept(self, sweeps_done):
        raise self.error


def test_each_attempt_tells_how_and_when_it_ended(store, tmp_path):
    job = store.job(tmp_path / "out.zarr", method="krylov", oversample=9)
    for error in (IntegrityError("chunk lost"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            job.run(Stopper(error))
    assert job.run().resumed_sweeps == 2
    told = [json.loads((job.folder / "attempts" / f"000{i}.json").read_text()) for i in (1, 2, 3)]
    assert [record["status"] for record in told] == ["failed", "interrupted", "done"]
    assert (told[0]["error"], told[0]["message"]) == ("IntegrityError", "chunk lost")
    times = [datetime.fromisoformat(record[name]) for record in told for name in ("started", "ended")]
    assert times == sorted(times)
    assert all(time.tzinfo for time in times)


def test_a_tolerance_that_is_missed_is_published_and_says_so(store, tmp_path):
    job = store.job(tmp_path / "out.zarr", tol=1e-6)
    outcome = job.run()
    error = np.sqrt(np.sum(factors(store.A)[1] ** 2))
    expected = np.sqrt(1 - (error / np.linalg.norm(store.A)) ** 2)
    assert outcome.status == "tolerance_not_met"
    assert (
        abs(rnla.load(outcome.path).certificate.relative_error - expected) <= values_within(store.A) / NORM / expected
    )
    assert job.run().status == "tolerance_not_met"
