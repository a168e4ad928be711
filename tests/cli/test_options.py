import re
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Literal

import pytest

from rnla.cli.options import given_options, pipeline_options, size
from rnla.cli.output import singular
from rnla.errors import ConfigError


@dataclass(frozen=True)
class Config:
    steps: int = field(metadata={"help": "how many"})
    rate: float | None = None
    kind: Literal["plain", "fancy"] = "plain"
    sure: bool = False
    two_words: str | None = None


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("600MB", 600_000_000),
        ("600 mb", 600_000_000),
        ("2GiB", 2 << 30),
        ("1.5G", 1_500_000_000),
        ("512Mi", 512 << 20),
        ("4096", 4096),
        ("1e3kB", 1_000_000),
    ],
)
def test_sizes_are_read_as_people_write_them(text, count):
    assert size(text) == count


@pytest.mark.parametrize("text", ["", "much", "-1GB", "0", "3 apples", "GB"])
def test_other_words_are_no_sizes(command, store, text):
    done = command("plan", "svd", store, "--k", 2, "--memory", text)
    assert done.exit_code == 2
    assert "is no size; write it like 600MB" in done.stderr


@pytest.fixture
def plugged(monkeypatch):
    """A pipeline as a user's package would plug it in, and what it was run with."""
    seen = {}

    def run_job(name, store, out, options, **_settings):
        seen.update(name=name, store=store, out=out, options=options)
        return SimpleNamespace(path=out, status="ok", reused=False, resumed_sweeps=0, attributes={"pipeline": name})

    mine = SimpleNamespace(name="mine", summary="What I do.", config=Config)
    monkeypatch.setattr("rnla.jobs.pipelines.pipelines", lambda: {"mine": mine})
    monkeypatch.setattr("rnla.jobs.running.run_job", run_job)
    return seen


def test_one_span_is_not_one_spans(command, store):
    done = command("plan", "svd", store, "--k", 3, "--passes", 1, "--threads", 1, "--memory", "1MB")
    assert "(1 sweep)" in done.stdout
    assert "(1 thread)" in done.stderr
    assert not re.search(r"\b1 (spans|sweeps|tasks|threads|passes)\b", done.output)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("1 passes in 2 s", "1 pass in 2 s"), ("11 passes, 2.1 spans, 1,001 tasks", "11 passes, 2.1 spans, 1,001 tasks")],
)
def test_only_one_is_singular(text, wanted):
    assert singular(text) == wanted


def test_a_plugged_in_pipeline_has_its_own_flags(command, plugged):
    page = command("run", "mine", "--help").output
    assert "What I do." in page
    assert "[plain|fancy]" in page
    assert "How many  [required]" in page
    line = ["--steps", 3, "--rate", 0.5, "--kind", "fancy", "--sure", "--two-words", "x y"]
    assert command("run", "mine", "s.zarr", "--out", "r.zarr", *line).exit_code == 0
    wanted = {"steps": 3, "rate": 0.5, "kind": "fancy", "sure": True, "two_words": "x y"}
    assert plugged == {"name": "mine", "store": "s.zarr", "out": "r.zarr", "options": wanted}


def test_flags_that_are_not_given_leave_the_configuration_alone(command, plugged):
    command("run", "mine", "s.zarr", "--out", "r.zarr", "--no-sure")
    assert plugged["options"] == {"sure": False}


@pytest.mark.parametrize("line", [["--kind", "odd"], ["--steps", "many"], ["--rate", "x"]])
def test_values_of_the_wrong_type_are_usage_errors(command, plugged, line):
    assert command("run", "mine", "s.zarr", "--out", "r.zarr", *line).exit_code == 2
    assert plugged == {}


def test_a_field_with_the_name_of_a_common_option_is_refused():
    with pytest.raises(ConfigError, match="--two-words has the name of an option of every job"):
        pipeline_options(Config, frozenset({"two_words"}))


def test_a_field_of_a_type_that_flags_cannot_hold_is_refused():
    @dataclass(frozen=True)
    class Odd:
        x: dict = field(default_factory=dict)

    with pytest.raises(ConfigError, match="--x has type"):
        pipeline_options(Odd, frozenset())


def test_given_options_are_those_that_were_set():
    assert given_options({"option_k": 3, "option_tol": None, "out": "r"}) == {"k": 3}
