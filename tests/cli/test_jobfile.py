import json

import pytest

from rnla.cli.jobfile import job_file
from rnla.errors import ConfigError


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
