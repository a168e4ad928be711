import os
import pty
import subprocess
import sys
from types import SimpleNamespace

import pytest

from rnla.arrays import clock
from rnla.cli import progress
from rnla.cli.progress import Display, Lines, Pace


@pytest.fixture
def clockwork(monkeypatch):
    """A clock that is set by hand."""
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(progress, "monotonic", lambda: now.seconds)
    return now


def test_rate_and_time_left(clockwork):
    pace = Pace(total_bytes=8_000_000_000, passes=4)
    assert str(pace).endswith("waiting")
    clockwork.seconds += 2
    pace.read(1_000_000_000)
    assert pace.bytes_per_second == pytest.approx(0.5e9)
    assert pace.left_seconds == pytest.approx(14)
    assert str(pace) == "1 GB of 8 GB  0.50 GB/s  0:14 left"


def test_pass_changes_when_a_whole_matrix_was_read():
    pace = Pace(total_bytes=400, passes=4)
    passes = []
    for _ in range(8):
        passes.append(pace.current_pass)
        pace.read(50)
    assert passes == [1, 1, 2, 2, 3, 3, 4, 4]
    assert pace.current_pass == 4


def test_sweeps_of_an_earlier_run_count_as_done_but_not_as_speed(clockwork):
    pace = Pace(total_bytes=400, passes=4)
    pace.reached(0.5)
    clockwork.seconds += 1
    pace.read(100)
    assert pace.done_bytes == 300
    assert pace.bytes_per_second == pytest.approx(100)


def test_rate_forgets_the_distant_past(clockwork):
    pace = Pace(total_bytes=10**9, passes=1)
    for _ in range(100):
        clockwork.seconds += 1
        pace.read(10)
    for _ in range(20):
        clockwork.seconds += 1
        pace.read(1000)
    assert pace.bytes_per_second == pytest.approx(1000)


@pytest.mark.parametrize(("seconds", "spelt"), [(0.2, "0:00"), (7, "0:07"), (725, "12:05"), (10812, "3:00:12")])
def test_clock(seconds, spelt):
    assert clock(seconds) == spelt


def test_one_line_when_stderr_is_not_a_terminal(command, store, tmp_path):
    done = command("run", "svd", store, "--k", 3, "--out", tmp_path / "r.zarr")
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("svd done, relative error")
    assert line.endswith(str(tmp_path / "r.zarr"))


@pytest.mark.parametrize("flag", ["--quiet", "--json"])
def test_no_line_at_all_when_asked(command, store, tmp_path, flag):
    assert command("run", "svd", store, "--k", 3, "--out", tmp_path / "r.zarr", flag).stderr == ""


def test_passes_and_certificate_are_shown_on_a_terminal(store, tmp_path):
    ours, theirs = pty.openpty()
    line = [sys.executable, "-m", "rnla", "run", "svd", store, "--k", "3", "--out", str(tmp_path / "r.zarr")]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "200"}
    with subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=theirs, env=environment) as job:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 4096):
                shown += piece
        except OSError:  # Linux: the other end has closed
            pass
        finally:
            os.close(ours)
    text = shown.decode()
    assert job.returncode == 0
    assert "passes" in text
    assert "pass 1 of" in text
    assert "of memory a process" in text
    assert "with probability" in text


def test_words_of_a_pipeline_take_the_place_of_passes_and_bytes():
    drawn = []
    display = Display(screen=None)
    display.bar, display.task = SimpleNamespace(update=lambda _task, **shown: drawn.append(shown)), 0
    display.swept(0)
    assert (drawn[-1]["description"], drawn[-1]["pace"]) == ("pass 1 of 1", display.pace)
    display.noted("epoch 2 of 5, loss 0.25, 0:07 left")
    display.swept(1)
    assert (drawn[-1]["description"], drawn[-1]["pace"]) == ("", "epoch 2 of 5, loss 0.25, 0:07 left")


def test_without_a_terminal_a_line_is_said_now_and_then_and_once_an_epoch(clockwork, capsys):
    lines = Lines()
    lines.planned(SimpleNamespace(pipeline="train"))
    for step in range(100):  # epochs of 25 s, a round each second
        lines.noted(f"epoch {1 + step // 25} of 4, loss 0.5, round {step}")
        clockwork.seconds += 1
    for epoch in range(5, 25):  # and of a second
        lines.noted(f"epoch {epoch} of 24, loss 0.4")
        clockwork.seconds += 1
    out, err = capsys.readouterr()
    said = err.splitlines()
    assert [line.split(",")[0] for line in said[:4]] == [f"train: epoch {i} of 4" for i in range(1, 5)]
    assert said[0].endswith("round 10")
    assert said[4:] == ["train: epoch 5 of 24, loss 0.4", "train: epoch 15 of 24, loss 0.4"]
    assert out == ""
