"""What is refused before anything is read: requests, options, places that are taken, and plans that do not fit."""

import json
import os
import shutil
import sys
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, Optional

import numpy as np
import pytest
import zarr

import rnla
from rnla.cli import main
from rnla.errors import (
    ConfigError,
    DoesNotFitError,
    OutputError,
    OutputExistsError,
    RankError,
    RequestError,
    StoreError,
    UnsupportedError,
)
from rnla.jobs.cures import disk_cure, memory_cure
from rnla.jobs.differences import differences
from rnla.jobs.pipelines import configured, names, pipeline, pipelines
from rnla.jobs.running import plan_job, run_job
from rnla.store.rechunk import rechunk
from tests.faults import reads, watched
from tests.jobs.attempts import Job, Moment, files, killed
from tests.jobs.conftest import SMALL, K, M, kept


def job_folder(out):
    return out.with_name(f".{out.name}.rnla")


# Options


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"oversmaple": 3}, ("unknown option 'oversmaple'", "did you mean 'oversample'", "known are k, passes")),
        ({"zzz": 3}, ("unknown option 'zzz'", "known are k, passes")),
        ({"k": "3"}, ("k='3'", "an integer or absent")),
        ({"k": 3.0}, ("k=3.0", "an integer or absent")),
        ({"k": True}, ("k=True", "an integer or absent")),
        ({"passes": None}, ("passes=None", "an integer")),
        ({"tol": "small"}, ("tol='small'", "a number or absent")),
        ({"tol": True}, ("tol=True", "a number or absent")),
        ({"centred": 1}, ("centred=1", "true or false")),
        ({"method": "kryloff"}, ("method='kryloff'", "one of auto, krylov, subspace, gram, merge")),
        ({"method": ["krylov"]}, ("method=['krylov']", "one of auto")),
        ({"missing": None}, ("missing=None", "one of error, mask, impute-mean")),
    ],
)
def test_options_of_unknown_name_or_wrong_type_are_refused(store, tmp_path, options, words):
    with pytest.raises(ConfigError) as caught:
        run_job("svd", store.path, tmp_path / "out", SMALL | options)
    assert all(word in str(caught.value) for word in words), caught.value
    with pytest.raises(ConfigError):
        plan_job("svd", store.path, SMALL | options)
    assert not os.path.lexists(tmp_path / "out")
    assert not job_folder(tmp_path / "out").exists()


def test_options_are_converted_to_the_types_of_the_configuration():
    config = configured(pipeline("svd"), {"k": np.int64(4), "tol": 1, "centred": np.bool_(True), "seed": 2**70})
    assert (config.k, config.tol, config.centred, config.seed) == (4, 1.0, True, 2**70)
    assert [type(value) for value in (config.k, config.tol, config.centred)] == [int, float, bool]
    assert (config.passes, config.method) == (4, "auto")


@dataclass(frozen=True)
class Spelt:
    """Every way to say that an option may be absent."""

    needed: int
    either: Optional[int] = None  # noqa: UP045 - the older spelling is what is tested
    choice: Literal["a", "b"] | None = None
    text: str = ""


def test_every_spelling_of_an_option_that_may_be_absent_is_known():
    spelt = replace(pipeline("svd"), name="spelt", config=Spelt)
    options = {"needed": 1, "either": 2, "choice": "b", "text": "t"}
    assert configured(spelt, options) == Spelt(**options)
    assert configured(spelt, {"needed": 1, "either": None, "choice": None}) == Spelt(1)
    with pytest.raises(ConfigError, match="choice='c' must be one of a, b or absent"):
        configured(spelt, {"needed": 1, "choice": "c"})
    with pytest.raises(ConfigError, match="spelt needs needed: give it a value"):
        configured(spelt, {})


@pytest.mark.parametrize(
    ("name", "options", "error", "words"),
    [
        ("svd", {"k": 0}, RankError, ("k=0", "1..24", "1700 x 24")),
        ("svd", {"k": 25}, RankError, ("k=25", "1..24")),
        ("pca", {"k": -1}, RankError, ("k=-1", "1..24")),
        ("svd", {"k": None}, RequestError, ("give k", "or tol")),
        ("svd", {"passes": 0}, RequestError, ("passes=0", "1..100")),
        ("svd", {"tol": 0.0}, RequestError, ("tol=0.0", "between 0 and 1")),
        ("svd", {"tol": float("nan")}, RequestError, ("tol=nan", "between 0 and 1")),
        ("svd", {"oversample": -1}, RequestError, ("oversample=-1", "must be at least 0")),
        ("pca", {"explained": 1.5}, RequestError, ("explained=1.5", "between 0 and 1")),
        ("pca", {"explained": 0.5, "tol": 0.5}, RequestError, ("tol or explained, not both",)),
        ("cur", {"k": 25}, RankError, ("k=25", "1..24")),
        ("cur", {"columns": 2}, RequestError, ("columns=2",)),
        ("id", {"k": 0}, RankError, ("k=0", "1..24")),
        ("sampled-product", {}, RequestError, ("give draws", "or tol")),
        ("sampled-product", {"draws": 0}, RequestError, ("draws=0", "at least 1")),
        ("sampled-product", {"draws": 2, "right": "{store}"}, RequestError, ("A needs as many columns as B has rows",)),
        ("sampled-product", {"draws": 2, "right": "nowhere"}, StoreError, ("no such file or folder",)),
        ("sampled-product", {"draws": 2, "right_transposed": True}, RequestError, ("there is no right store",)),
        ("similarity", {"threshold": 1.5}, RequestError, ("threshold=1.5", "between 0 and 1")),
        ("similarity", {"threshold": 0.01, "method": "sketch"}, RequestError, ("too small for a sketch",)),
        ("similarity", {}, ConfigError, ("similarity needs threshold",)),
        ("column-norms", {"kep": True}, ConfigError, ("did you mean 'keep'",)),
        (
            "sdv",
            {},
            ConfigError,
            ("unknown pipeline 'sdv'", "did you mean 'svd'", "known are column-norms, cur, descent-study, id, pca"),
        ),
    ],
)
def test_requests_that_cannot_be_right_are_refused_before_any_read(store, tmp_path, name, options, error, words):
    A = watched(rnla.open(store.path), tmp_path / "log")
    small = SMALL if name in {"svd", "pca", "sdv"} else {"k": K} if name in {"cur", "id"} else {}
    given = {key: str(store.path) if value == "{store}" else value for key, value in options.items()}
    with pytest.raises(error) as caught:
        run_job(name, A, tmp_path / "out", small | given)
    assert all(word in str(caught.value) for word in words), caught.value
    assert caught.value.exit_code == (4 if error is StoreError else 2)
    assert reads(tmp_path / "log") == []
    assert not job_folder(tmp_path / "out").exists()


def test_what_is_no_matrix_is_refused(tmp_path):
    zarr.create_array(str(tmp_path / "empty"), shape=(0, 5), chunks=(1, 5), dtype="f8")
    zarr.create_array(str(tmp_path / "cube"), shape=(2, 3, 4), chunks=(1, 3, 4), dtype="f8")
    zarr.create_array(str(tmp_path / "dates"), shape=(4, 4), chunks=(4, 4), dtype="M8[s]")
    zarr.create_group(str(tmp_path / "group")).create_array("inside", shape=(4, 4), chunks=(4, 4), dtype="f8")
    for place, error, words in (
        ("empty", RequestError, "0 x 5 has no entries"),
        ("cube", RequestError, "rnla takes matrices, and this array has 3 dimensions"),
        ("dates", UnsupportedError, "datetime"),
        ("group", StoreError, "this is a group"),
        ("nowhere", StoreError, "no such file or folder"),
    ):
        with pytest.raises(error, match=words):
            run_job("svd", tmp_path / place, tmp_path / "out", {"k": 1})
    assert not job_folder(tmp_path / "out").exists()


# Pipelines that others plug in


PLUGIN = """
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal
from rnla_pipelines import svd

@dataclass(frozen=True)
class Config:
    power: Literal["one", "two"] = "one"
    k: int = 2

def as_svd(config):
    return svd.SvdConfig(k=config.k, centred=config.power == "two")

pipeline = replace(
    svd.pipeline,
    name="halves",
    config=Config,
    view=lambda A, config: svd.view(A, as_svd(config)),
    plan=lambda A, config, found: svd.planned(A, as_svd(config), found),
    run=lambda A, config, place: svd.run(A, as_svd(config), place),
)
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package with two pipelines, one of which cannot be imported, installed as pip would."""
    room = tmp_path / "site-packages"
    facts = room / "halving-1.0.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: halving\nVersion: 1.0\n")
    points = "[rnla.pipelines]\nhalves = halving:pipeline\nbroken = halving_broken:pipeline\n"
    (facts / "entry_points.txt").write_text(points)
    (room / "halving.py").write_text(PLUGIN)
    (room / "halving_broken.py").write_text("import a_package_that_is_not_there\n")
    monkeypatch.syspath_prepend(room)
    yield room
    sys.modules.pop("halving", None)


def test_a_plugged_in_pipeline_runs_and_resumes_like_our_own(installed, store, tmp_path):
    ours = {"column-norms", "cur", "id", "pca", "sampled-product", "similarity", "svd"}
    ours |= {"descent-study", "predict", "train"}
    assert names() == tuple(sorted(ours | {"broken", "halves"}))
    assert set(pipelines()) == ours | {"halves"}
    outcome = run_job("halves", store.path, tmp_path / "out", {"power": "two", "k": K})
    direct = rnla.svd(rnla.open(store.path).centred(), K)
    with zarr.open_group(str(outcome.path), mode="r").store as found:
        group = zarr.open_group(found, mode="r")
        assert group["s"][...].tobytes() == direct.s.tobytes()
        assert group["U"][...].tobytes() == direct.U.compute().tobytes()
    assert outcome.attributes["pipeline"] == "halves"
    assert outcome.attributes["config"] == {"power": "two", "k": K}
    assert run_job("halves", store.path, tmp_path / "out", {"power": "two", "k": K}).reused
    with pytest.raises(StoreError, match=r"pipeline 'halves'; rnla.load reads those of svd, pca, cur, id, "):
        rnla.load(outcome.path)


def test_options_of_a_plugged_in_pipeline_are_checked_like_our_own(installed, store, tmp_path):
    for options, words in (
        ({"powr": "one"}, "did you mean 'power'"),
        ({"power": "three"}, "one of one, two"),
        ({"k": 1.5}, "an integer"),
    ):
        with pytest.raises(ConfigError, match=words):
            run_job("halves", store.path, tmp_path / "out", options)


def test_a_pipeline_that_cannot_be_loaded_is_told_when_it_is_asked_for(installed, store, tmp_path):
    with pytest.raises(ConfigError) as caught:
        run_job("broken", store.path, tmp_path / "out", {})
    for words in ("'broken'", "halving_broken:pipeline", "a_package_that_is_not_there", "update or remove"):
        assert words in str(caught.value)
    with pytest.raises(ConfigError, match="did you mean 'halves'"):
        pipeline("halve")


# Memory and disk


def test_a_plan_that_exceeds_the_memory_is_refused_before_a_chunk_is_read(store, tmp_path):
    A = watched(rnla.open(store.path), tmp_path / "log")
    needed = plan_job("svd", store.path, SMALL).peak_bytes
    for refused in (
        lambda: run_job("svd", A, tmp_path / "out", SMALL, memory_bytes=needed // 2),
        lambda: rnla.svd(A, memory_bytes=needed // 2, **SMALL),
        lambda: rnla.pca(A, memory_bytes=needed // 2, **SMALL),
        lambda: rnla.svd(A, out=tmp_path / "out", memory_bytes=needed // 2, **SMALL),
    ):
        with pytest.raises(DoesNotFitError) as caught:
            refused()
        for words in ("the plan needs", "is allowed", "more memory", "fewer threads", "smaller k", "rnla rechunk"):
            assert words in str(caught.value)
        assert caught.value.exit_code == 5
    assert reads(tmp_path / "log") == []
    assert not os.path.lexists(tmp_path / "out")
    assert not job_folder(tmp_path / "out").exists()
    run_job("svd", A, tmp_path / "out", SMALL, memory_bytes=2 * needed)
    assert rnla.load(tmp_path / "out").record["plan"]["peak_bytes"] <= 2 * needed


CURES = {  # what each pipeline can make smaller: for its memory, on the disk
    "svd": ("smaller k, oversample or passes, or rechunk", "a larger disk or smaller k"),
    "cur": ("smaller k, passes, columns or rows, or rechunk", "a larger disk or smaller k, columns or rows"),
    "column-norms": ("fewer threads, or rechunk", "a larger disk"),
    "sampled-product": ("smaller draws, or rechunk", "a larger disk or smaller draws"),
    "train": ("smaller hidden, batch, validation or replicas, or rechunk", "a larger disk or smaller hidden"),
    "predict": ("fewer threads, or rechunk", "a larger disk"),
    "descent-study": ("fewer threads, or rechunk", "a larger disk"),
}


@pytest.mark.parametrize("name", CURES)
def test_the_cure_names_what_the_pipeline_can_change(name):
    memory, disk = CURES[name]
    assert memory in memory_cure(pipeline(name))
    assert disk_cure(pipeline(name)) == f"choose {disk}"


def test_a_job_and_its_plan_name_the_same_cure(store, tmp_path, capsys):
    line = [store.path, "--outputs", 1, "--loss", "square", "--label-column", 3, "--memory", "1MB"]
    said = []
    for words in (["plan", "train", *line], ["run", "train", *line, "--out", tmp_path / "out"]):
        with pytest.raises(SystemExit):
            main([*map(str, words)])
        said.append(capsys.readouterr().err.partition("allowed. ")[2])
    assert said[0] == said[1] == f"{memory_cure(pipeline('train'))}\n"


def test_every_pipeline_is_refused_before_a_chunk_is_read_where_memory_or_place_is_wanting(sample, tmp_path):
    job = sample(log="log")
    with pytest.raises(DoesNotFitError, match="more memory"):
        run_job(job.name, watched(rnla.open(job.store), job.log), job.out, job.options, memory_bytes=1000)
    folder_of_notes(tmp_path / "out")
    with pytest.raises(OutputExistsError, match="rnla did not make"):
        replace(job, overwrite=True).run()
    assert reads(job.log) == []
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["notes.txt"]


# Places that are taken


def test_an_unfinished_job_of_other_options_is_kept_and_what_differs_is_named(store, tmp_path):
    begun = store.job(tmp_path / "out", method="krylov")
    killed(begun, Moment(sweep=2))
    before = files(begun.folder / "work")
    for other, words in (
        (store.job(tmp_path / "out", method="krylov", seed=5), ["option seed (0 there, 5 asked). With"]),
        (store.job(tmp_path / "out", k=2), ["option k (3 there, 2 asked)", "option method (krylov there, auto asked)"]),
        (store.job(tmp_path / "out", "pca", method="krylov"), ["in pipeline (svd there, pca asked). With"]),
    ):
        with pytest.raises(OutputExistsError) as caught:
            other.run()
        for word in (
            str(begun.folder),
            *words,
            "--overwrite) drops its work and starts anew",
            "options it had it goes on",
        ):
            assert word in str(caught.value), caught.value
        assert files(begun.folder / "work") == before
    assert begun.run().resumed_sweeps == 2


def test_an_unfinished_job_on_another_store_is_kept(store, wide, tmp_path):
    begun = store.job(tmp_path / "out", method="krylov")
    killed(begun, Moment(sweep=1))
    with pytest.raises(OutputExistsError, match=r"in the store \(.*a\.zarr there, .*wide\.zarr asked\)\. "):
        wide.job(tmp_path / "out", method="krylov").run()
    assert begun.run().resumed_sweeps == 1


def test_other_labels_are_named_once_and_no_digest_is_told(store, tmp_path):
    rng = np.random.default_rng(3)
    places = [kept(rng.standard_normal((count, 1)), tmp_path / f"y{count}", (100, 1)).path for count in (M, M - 1)]
    options = {"outputs": 1, "loss": "square", "epochs": 2, "labels": str(places[0])}
    begun = Job("train", str(store.path), str(tmp_path / "out"), options)
    killed(begun, Moment(sweep=1))
    with pytest.raises(OutputExistsError) as caught:
        replace(begun, options=options | {"labels": str(places[1])}).run()
    told = f"that differs in option labels ({places[0]} there, {places[1]} asked). With the options it had"
    assert told in str(caught.value)
    shutil.rmtree(places[0])
    kept(rng.standard_normal((M - 2, 2)), places[0], (50, 1))
    with pytest.raises(OutputExistsError) as caught:
        begun.run()
    said = (
        f"in shape of labels ({M} x 1 there, {M - 2} x 2 asked), chunks of labels (100 x 1 there, 50 x 1 asked). With"
    )
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "there", "words"),
    [
        ({}, {}, ""),
        ({"manifest": "b"}, {"manifest": "a"}, "the fingerprint of the store, which was taken anew since"),
        ({"digest": "b"}, {"digest": "a"}, "the data of the store, which is not what it was"),
        ({"objects_digest": "b"}, {}, "the chunks of the store, which were written again since"),
        ({"url": "a"}, {}, "the store (a matrix in memory there, a asked)"),
        ({"dtype": "f4", "metadata_digest": "b"}, {"dtype": "f8"}, "dtype of the store (f8 there, f4 asked)"),
    ],
)
def test_differences_of_a_store_are_told_in_words(asked, there, words):
    spec = {"pipeline": "svd", "config": {}}
    assert differences(spec | {"input": asked}, spec | {"input": there}) == words


def test_overwrite_drops_an_unfinished_job_of_other_options(store, tmp_path):
    killed(store.job(tmp_path / "out", method="krylov"), Moment(sweep=2))
    other = Job("svd", str(store.path), str(tmp_path / "out"), SMALL | {"seed": 5, "method": "krylov"}, overwrite=True)
    outcome = other.run()
    assert outcome.resumed_sweeps == 0
    twin = store.job(tmp_path / "twin", seed=5, method="krylov")
    assert files(outcome.path) == files(twin.run().path)
    assert len(list((other.folder / "attempts").iterdir())) == 1


def folder_of_notes(place):
    place.mkdir()
    (place / "notes.txt").write_text("years of work")


def zarr_of_others(place):
    zarr.create_array(str(place), data=np.eye(3), chunks=(2, 2), attributes={"owner": "somebody"})


def plain_file(place):
    place.write_bytes(b"numbers")


def link_to_a_result(place):
    made = place.with_name("made")
    run_job("svd", np.eye(5), made, {"k": 1})
    place.symlink_to(made)


def dangling_link(place):
    place.symlink_to(place.with_name("nowhere"))


@pytest.mark.parametrize("made", [folder_of_notes, zarr_of_others, plain_file, link_to_a_result, dangling_link])
@pytest.mark.parametrize("overwrite", [False, True])
def test_what_rnla_did_not_make_is_refused_and_left_as_it_is(store, tmp_path, made, overwrite):
    out = tmp_path / "taken"
    made(out)
    before = out.read_bytes() if out.is_file() else files(out), out.is_symlink() and out.readlink()
    A = watched(rnla.open(store.path), tmp_path / "log")
    with pytest.raises(OutputExistsError, match="rnla did not make") as caught:
        run_job("svd", A, out, SMALL, overwrite=overwrite)
    assert str(out) in str(caught.value)
    assert caught.value.exit_code == 6
    assert (out.read_bytes() if out.is_file() else files(out), out.is_symlink() and out.readlink()) == before
    assert reads(tmp_path / "log") == []


def test_the_store_itself_is_no_place_for_its_result(store, tmp_path):
    before = files(store.path)
    with pytest.raises(OutputExistsError):
        run_job("svd", store.path, store.path, SMALL, overwrite=True)
    assert files(store.path) == before


def group_of_others(place, version):
    zarr.create_group(place, zarr_format=version)
    return place


def array_of_others(place, version):
    zarr.create_array(place, data=np.eye(3), zarr_format=version)
    return place


def array_of_ours(place, version):
    run_job("svd", np.eye(5), place, {"k": 1})
    return place / "U"


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("made", [group_of_others, array_of_others, array_of_ours])
def test_nothing_is_written_into_a_store_of_others(store, tmp_path, made, version):
    inside = made(tmp_path / "b.zarr", version)
    (tmp_path / "link").symlink_to(inside)
    before = files(tmp_path / "b.zarr")
    for place in (inside / "x", inside / "deep" / "x", tmp_path / "link" / "x"):
        for write in (partial(run_job, "svd", store.path, options=SMALL), partial(rechunk, store.path)):
            with pytest.raises(OutputError, match=r"puts nothing into it; choose a path outside of it") as caught:
                write(place)
            assert str(inside) in str(caught.value)
    assert files(tmp_path / "b.zarr") == before


def test_a_result_may_lie_in_a_group_of_rnla_and_beside_stores(store, tmp_path):
    first = run_job("svd", store.path, tmp_path / "new" / "folder" / "a", SMALL).path
    for place in (first / "inner", first.parent / "b"):
        assert np.array_equal(rnla.load(run_job("svd", store.path, place, SMALL).path).s, rnla.load(first).s)


def test_another_result_of_rnla_is_replaced_only_when_told_to(store, tmp_path):
    first = store.job(tmp_path / "out").run()
    before = files(first.path)
    other = store.job(tmp_path / "out", k=2)
    with pytest.raises(OutputExistsError, match=r"a result already.*overwrite=True \(--overwrite\)"):
        other.run()
    assert files(first.path) == before
    replace(other, overwrite=True).run()
    assert rnla.load(first.path).s.shape == (2,)
    assert sorted(place.name for place in tmp_path.iterdir()) == [".out.rnla", "a.zarr", "out"]
    assert not replace(other, overwrite=True).run().reused  # told to replace it, it is made again
    assert other.run().reused


@pytest.mark.parametrize(
    ("place", "error", "words"),
    [
        ("s3://bucket/out", RequestError, "local or shared file system"),
        ("/", RequestError, "no place for a result"),
        ("{file}/out", OutputError, "choose another place"),
        ("{long}", OutputError, "choose another place"),
    ],
)
def test_places_that_cannot_be_written_are_told(store, tmp_path, place, error, words):
    (tmp_path / "file").write_text("")
    place = place.format(file=tmp_path / "file", long=tmp_path / ("x" * 300))
    with pytest.raises(error, match=words) as caught:
        run_job("svd", store.path, place, SMALL)
    assert place.removesuffix("/out") in str(caught.value)


def test_results_that_are_none_are_not_loaded(store, tmp_path):
    for place in (store.path, tmp_path / "nowhere", tmp_path):
        with pytest.raises(StoreError, match=r"no result of rnla's.*check the path") as caught:
            rnla.load(place)
        assert str(place) in str(caught.value)


def test_the_command_line_gives_the_same_refusals(store, tmp_path, capsys):
    out = tmp_path / "out"
    for words, code in (
        (["run", "svd", store.path, "--k", 99, "--out", out], 2),
        (["run", "svd", store.path, "--k", 3, "--out", out, "--memory", "1MB"], 5),
        (["run", "svd", store.path, "--k", 3, "--out", store.path, "--overwrite"], 6),
        (["run", "svd", store.path, "--k", 3, "--out", out], 0),
    ):
        with pytest.raises(SystemExit) as ended:
            main([*map(str, words), "--json"])
        said = json.loads(capsys.readouterr().out)
        assert (ended.value.code or 0) == code
        assert said.get("exit_code", 0) == code
