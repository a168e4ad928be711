import json

import pytest

from rnla.cli.jobfile import job_file
from rnla.errors import ConfigError
from tests.cli.conftest import written  # the same way of writing a store


@pytest.fixture
def written_job(tmp_path, store):
    def write(text="", **keys):
        lines = [f'{key} = "{value}"' for key, value in {"pipeline": "svd", "store": store, **keys}.items()]
        path = tmp_path / "job.toml"
        path.write_text("\n".join([*lines, text]))
        return path

    return write


def test_a_job_file_says_the_whole_job(written_job, command, tmp_path):
    job = written_job("[options]\nk = 4\ncentred = true", out=tmp_path / "r.zarr")
    config = json.loads(command("run", "--job", job, "--json").stdout)["attributes"]["config"]
    assert (config["k"], config["centred"], config["passes"]) == (4, True, 4)


def test_flags_override_the_file(written_job, command, tmp_path):
    job = written_job("[options]\nk = 4\npasses = 3", out=tmp_path / "r.zarr")
    done = command("run", "svd", "--job", job, "--k", 2, "--out", tmp_path / "other.zarr", "--json")
    outcome = json.loads(done.stdout)
    assert (outcome["attributes"]["config"]["k"], outcome["attributes"]["config"]["passes"]) == (2, 3)
    assert outcome["path"] == str(tmp_path / "other.zarr")


def test_a_job_file_may_stand_where_the_store_does(written_job, command, tmp_path):
    job = written_job("[options]\nk = 4", out=tmp_path / "r.zarr")
    for number, words in enumerate((["svd", job], [job], ["svd", job, "--k", 2])):
        done = command("run", *words, "--out", tmp_path / f"{number}.zarr", "--json")
        assert done.exit_code == 0, done.stderr
        assert json.loads(done.stdout)["attributes"]["config"]["k"] == (2 if "--k" in words else 4)
    assert json.loads(command("plan", "svd", job, "--json").stdout)["shape"] == [400, 30]


def test_two_job_files_or_another_pipeline_are_refused(written_job, command):
    job = written_job("[options]\nk = 4")
    for words, said in (
        (["pca", job], f"job file {job} is for 'svd' and the command says 'pca'"),
        (["svd", job, "--job", job], f"{job} and --job {job} are two job files"),
        ([job, "--job", job], "two job files"),
    ):
        done = command("plan", *words)
        assert done.exit_code == ConfigError.exit_code
        assert said in done.stderr


def test_a_folder_that_ends_like_a_job_file_is_a_store(command, matrix, tmp_path):
    store = written(tmp_path / "odd.toml", matrix)
    assert json.loads(command("plan", "svd", store, "--k", 2, "--json").stdout)["shape"] == [400, 30]


@pytest.mark.parametrize(
    ("hidden", "validation", "found"),
    [("[8, 4]", "40", ([8, 4], 40)), ("8", "0.25", ([8], 0.25)), ('"8,4"', "0", ([8, 4], 0)), ("[]", "0.1", ([], 0.1))],
)
def test_widths_are_lists_and_samples_held_out_are_counted_or_a_share(
    command, store, tmp_path, hidden, validation, found
):
    job, common = tmp_path / "job.toml", f"outputs = 1\nlabel_column = 3\nloss = 'square'\nvalidation = {validation}"
    job.write_text(f"pipeline = 'train'\nstore = '{store}'\n[options]\nepochs = 1\nhidden = {hidden}\n{common}\n")
    line = ["--loss", "square", "--outputs", 1, "--label-column", 3, "--epochs", 1, "--validation", validation]
    text = ",".join(map(str, found[0]))
    for words in ([job], ["train", store, *line, "--hidden", text]):
        done = command("run", *words, "--out", tmp_path / f"{len(words)}.zarr", "--json")
        assert done.exit_code == 0, done.stderr
        record = json.loads(done.stdout)["attributes"]
        assert (record["config"]["hidden"], record["config"]["validation"]) == found
        assert record["certificate"]["held_out"] == (found[1] if isinstance(found[1], int) else found[1] * 400)


@pytest.mark.parametrize("hidden", ['"a"', "[1.5]", "[true]", "1.5", "-3", '"-3"'])
def test_widths_that_are_none_are_refused(command, store, tmp_path, hidden):
    job = tmp_path / "job.toml"
    job.write_text(f"[options]\noutputs = 1\nlabel_column = 3\nhidden = {hidden}\n")
    done = command("plan", "train", store, "--job", job)
    assert done.exit_code == ConfigError.exit_code
    assert "integers, such as 128,64" in done.stderr or "each 1 or more" in done.stderr


def test_plan_takes_the_same_file(written_job, command):
    assert json.loads(command("plan", "--job", written_job("[options]\nk = 4"), "--json").stdout)["pipeline"] == "svd"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('piepline = "svd"', ["'piepline'", "did you mean 'pipeline'?"]),
        ('stroe = "x"', ["'stroe'", "did you mean 'store'?"]),
        ("[optoins]\nk = 1", ["'optoins'", "did you mean 'options'?"]),
        ("k = 4", ["'k'", "[options]"]),
        ("store = 4", ["store = 4", "a string"]),
        ("options = 4", ["options = 4", "a table"]),
        ("pipeline = svd", ["not TOML", "line 1"]),
    ],
)
def test_errors_name_the_key_and_the_nearest_one(tmp_path, text, words):
    path = tmp_path / "job.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        job_file(str(path))
    assert all(word in str(error.value) for word in [str(path), *words])


@pytest.mark.parametrize(
    ("text", "words"),
    [("[options]\noversampel = 3", "did you mean 'oversample'?"), ('[options]\nk = "five"', "must be an integer")],
)
def test_wrong_options_are_refused_before_anything_is_read(written_job, command, tmp_path, text, words):
    done = command("run", "--job", written_job(text, out=tmp_path / "r.zarr"))
    assert done.exit_code == ConfigError.exit_code
    assert words in done.stderr
    assert not (tmp_path / "r.zarr").exists()


def test_a_file_for_another_pipeline_is_refused(written_job, command):
    done = command("plan", "pca", "--job", written_job("[options]\nk = 4"))
    assert done.exit_code == ConfigError.exit_code
    assert "'svd'" in done.stderr
    assert "'pca'" in done.stderr


def test_a_file_that_is_not_there_is_named(command, tmp_path):
    done = command("run", "--job", tmp_path / "none.toml")
    assert done.exit_code == ConfigError.exit_code
    assert f"job file {tmp_path / 'none.toml'}: No such file" in done.stderr


def test_a_line_that_begins_with_an_option_is_told_what_is_missing(command, store):
    done = command("run", "--k", 3, store)
    assert done.exit_code == 2
    assert "name the pipeline first" in done.stderr
