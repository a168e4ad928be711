"""The house rules that a machine can check: layers of imports, size and name of every module."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = (ROOT / "rnla", ROOT / "pipelines" / "rnla_pipelines")
MODULES = sorted(module for package in PACKAGES for module in package.rglob("*.py"))

LONGEST_MODULE_LINES = 400
SAYS_NOTHING = frozenset({"utils", "util", "common", "helpers", "helper", "core", "base", "manager"})

each_module = pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(ROOT)))


def test_imports_point_downwards():
    linter = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([linter, "--no-cache", "--no-logo"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_package_is_looked_at():
    assert all(package / "__init__.py" in MODULES for package in PACKAGES)


@each_module
def test_module_says_what_it_is(module):
    assert ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))), f"{module} has no docstring"


@each_module
def test_module_is_short_enough_to_read(module):
    lines = len(module.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST_MODULE_LINES, f"{module} has {lines} lines: split it by the steps of the paper"


@each_module
def test_name_says_something(module):
    words = set(module.relative_to(ROOT).with_suffix("").as_posix().lower().replace("_", "/").split("/"))
    assert not words & SAYS_NOTHING, f"{module}: name it after the mathematics it holds"
