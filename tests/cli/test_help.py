import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from rnla import errors
from rnla.cli import main
from rnla.cli.door import EXIT_CODES

HEAVY = ("dask", "distributed", "zarr", "scipy", "numpy", "rich")


@pytest.mark.parametrize("words", [["--help"], ["info", "--help"], ["show", "--help"]])
def test_help_imports_nothing_heavy(words):
    program = (
        "import sys\n"
        "from rnla.cli import main\n"
        f"main({words!r}, standalone_mode=False)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage:")
    assert done.stderr.strip() == "[]"


def test_python_m_rnla_is_the_same_program(process):
    assert process("--help").stdout.startswith("Usage: rnla ")


def test_dask_serves_the_same_group():
    (found,) = entry_points(group="dask_cli", name="rnla")
    assert found.load() is main
    assert main.name == "rnla"


def test_help_lists_commands_in_the_order_of_use(command):
    page = command("--help").output
    names = ("info", "plan", "run", "show", "rechunk", "fingerprint", "verify")
    places = [page.index(f"\n  {name} ") for name in names]
    assert places == sorted(places)


def test_every_exit_code_of_an_error_is_in_the_table(command):
    classes = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.RnlaError)]
    assert {kind.exit_code for kind in classes} <= set(EXIT_CODES)
    page = command("--help").output
    assert all(f"{code:>3}  {meaning}" in page for code, meaning in EXIT_CODES.items())


@pytest.mark.parametrize("name", list(main.commands))
def test_every_command_says_what_it_does(command, name):
    done = command(name, "--help")
    assert done.exit_code == 0
    assert len(main.commands[name].help) > len("what it does")


def test_options_of_a_pipeline_come_from_its_configuration(command):
    page = command("run", "svd", "--help").output
    assert all(flag in page for flag in ("--k", "--passes", "--tol", "--oversample", "--seed", "--centred"))
    assert "[default: 4]" in page


def test_the_version_is_that_of_the_package(command):
    assert command("--version").output.startswith("rnla 0.")
