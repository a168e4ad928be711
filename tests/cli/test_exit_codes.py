import signal
import subprocess
import sys

import numpy as np
import pytest

import rnla
from tests.cli.conftest import written  # the same way of writing a store

CASES = {
    "done": (["run", "svd", "{store}", "--k", "3", "--out", "{out}"], 0),
    "unknown option": (["run", "svd", "{store}", "--kk", "3", "--out", "{out}"], 2),
    "unknown pipeline": (["run", "sdv", "{store}"], 2),
    "rank out of range": (["run", "svd", "{store}", "--k", "31", "--out", "{out}"], 2),
    "no place for the result": (["run", "svd", "{store}", "--k", "3"], 2),
    "no such size": (["run", "svd", "{store}", "--k", "3", "--out", "{out}", "--memory", "much"], 2),
    "plain tcp off loopback": (["plan", "svd", "{store}", "--k", "3", "--scheduler", "tcp://10.0.0.1:8786"], 2),
    "tolerance not met": (
        ["run", "svd", "{store}", "--k", "3", "--tol", "1e-6", "--method", "subspace", "--out", "{out}"],
        3,
    ),
    "place taken by a result": (["run", "svd", "{store}", "--k", "4", "--out", "{out}"], 0),
    "no such store": (["info", "{out}"], 4),
    "no such result": (["show", "{out}"], 4),
    "NaN in the data": (["run", "svd", "{nan}", "--k", "3", "--out", "{out}"], 4),
    "plan that does not fit": (["plan", "svd", "{store}", "--k", "3", "--memory", "1MB"], 5),
    "job that does not fit": (["run", "svd", "{store}", "--k", "3", "--out", "{out}", "--memory", "1MB"], 5),
    "place taken by something else": (["run", "svd", "{store}", "--k", "3", "--out", "{taken}", "--overwrite"], 6),
}


DIVERGING = ["--learning-rate", "1e6", "--loss", "square", "--outputs", "1", "--label-column", "3", "--batch", "8"]


def test_descent_that_diverges_ends_with_3_and_leaves_the_last_finite_network(command, store, tmp_path):
    done = command("run", "train", store, *DIVERGING, "--out", tmp_path / "out.zarr")
    assert done.exit_code == 3
    assert "descent diverged" in done.stderr
    assert "take a smaller one" in done.stderr
    shown = command("show", tmp_path / "out.zarr")
    assert "descent diverged" in shown.stdout
    assert np.isfinite(rnla.load(tmp_path / "out.zarr").network.parameters).all()
    assert "descent diverged" in command("--help").output
    again = command("run", "train", store, *DIVERGING, "--learning-rate", "1e-6", "--out", tmp_path / "out.zarr")
    assert again.exit_code == 6
    assert "--overwrite" in again.stderr


IN_A_PROCESS = (  # one for each code
    "done",
    "rank out of range",
    "tolerance not met",
    "NaN in the data",
    "plan that does not fit",
    "place taken by something else",
)


@pytest.fixture
def line_of(tmp_path, matrix, store):
    """The command line of a case, with its places made."""
    holed = matrix.copy()
    holed[123, 4] = np.nan
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "precious.txt").write_text("mine")
    places = {"store": store, "out": tmp_path / "out.zarr", "nan": written(tmp_path / "n.zarr", holed), "taken": taken}
    yield lambda case: [word.format(**places) for word in CASES[case][0]]
    assert (taken / "precious.txt").read_text() == "mine"


@pytest.mark.parametrize("case", CASES)
def test_exit_code_tells_what_happened(case, command, line_of):
    done = command(*line_of(case))
    assert done.exit_code == CASES[case][1], done.stderr
    assert done.exit_code in {0, 3} or "rror: " in done.stderr


@pytest.mark.parametrize("case", IN_A_PROCESS)
def test_a_process_ends_with_that_code_and_without_a_traceback(case, process, line_of):
    done = process(*line_of(case))
    assert done.returncode == CASES[case][1], done.stderr
    assert "Traceback" not in done.stderr
    assert case != "NaN in the data" or "(123, 4)" in done.stderr


@pytest.mark.parametrize(("name", "code", "word"), [("SIGINT", 130, "interrupted"), ("SIGTERM", 143, "terminated")])
def test_a_signal_ends_with_its_code_and_one_line(store, tmp_path, name, code, word):
    program = (
        "import os, signal\n"
        "import rnla.jobs.running\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin without\n"
        "def run_job(*a, **k):\n"
        f"    os.kill(os.getpid(), signal.{name})\n"
        "    signal.pause()\n"
        "rnla.jobs.running.run_job = run_job\n"
        "from rnla.cli import main\n"
        "main()\n"
    )
    line = [sys.executable, "-c", program, "run", "svd", store, "--k", "3", "--out", str(tmp_path / "r.zarr")]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code
    assert done.stderr == f"{word}; finished sweeps are kept, the same command again resumes\n"


def test_a_termination_that_is_swallowed_ends_the_process_all_the_same(store):
    program = (
        "import os, signal\n"
        "import rnla.cli.door, rnla.store.places\n"
        "def found_matrix(store):\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        signal.pause()\n"
        "    except KeyboardInterrupt:\n"
        "        signal.pause()\n"
        "rnla.store.places.found_matrix = found_matrix\n"
        "rnla.cli.door.GRACE_SECONDS = 0.1\n"
        "from rnla.cli import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program, "info", store], check=False, timeout=25)
    assert done.returncode == -signal.SIGTERM


@pytest.mark.parametrize(
    ("case", "flag"), [("NaN in the data", "choose --missing mask"), ("place taken by a result", "or give --overwrite")]
)
def test_errors_name_flags_not_arguments(command, line_of, case, flag):
    if case == "place taken by a result":
        command(*line_of("done"))
    done = command(*line_of(case))
    assert flag in done.stderr
    assert "='" not in done.stderr
    assert "=True" not in done.stderr


@pytest.mark.parametrize("folder", ["/proc/nowhere", "{store}/zarr.json"])
def test_a_folder_that_the_demo_cannot_make_is_told(command, store, folder):
    done = command("demo", "--folder", folder.format(store=store))
    assert done.exit_code == 6
    assert "cannot be made" in done.stderr


def test_unexpected_errors_are_one_line_unless_debug(store, command, monkeypatch):
    def broken(_store):
        raise KeyError("secret")  # noqa: EM101 - stands for a defect

    monkeypatch.setattr("rnla.store.places.found_matrix", broken)
    done = command("info", store)
    assert done.exit_code == 1
    assert done.stderr == "error: unexpected KeyError: 'secret'. This is a defect in rnla; --debug shows where\n"
    assert isinstance(command("info", store, "--debug").exception, KeyError)


@pytest.mark.parametrize("status", [0, 3])
def test_demo_ends_with_its_own_status(command, monkeypatch, tmp_path, status):
    monkeypatch.setattr("rnla.demo.run", lambda _console, _folder: status, raising=False)
    assert command("demo", "--folder", tmp_path).exit_code == status
