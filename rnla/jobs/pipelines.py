"""Pipelines: named jobs that anybody can plug in through the entry-point group "rnla.pipelines".

A pipeline is a value: a frozen dataclass of options, a plan, and a run. Options are data of a closed schema, checked
here; nothing in them names code.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, Literal

import numpy as np

from rnla.algorithms.lifecycle import Checkpoints
from rnla.algorithms.planning import Plan
from rnla.arrays import Array
from rnla.cluster.resources import Resources
from rnla.errors import ConfigError
from rnla.records import Proof
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.source import Workspace

GROUP = "rnla.pipelines"
Integers = tuple[int, ...]  # an option that is a list: [128, 64] in a job file, 128,64 on the command line


@dataclass(frozen=True)
class Place:
    """Where a run keeps what it makes: tall arrays (of the result, or scratch) and its states between sweeps."""

    workspace: Workspace
    checkpoints: Checkpoints
    others: Mapping[str, Matrix] = field(default_factory=dict)  # by the names that the pipeline gives them
    note: Callable[[str], None] = lambda _text: None  # tells whoever watches where the work is
    check: Callable[[], None] = lambda: None  # IntegrityError when what is read was changed; for long runs to ask often


@dataclass(frozen=True)
class Delivered:
    """What a run gives besides its tall arrays."""

    arrays: dict[str, tuple[Array, tuple[str, ...]]]  # small arrays and their dimension names
    certificate: Proof
    method: str


def alone(_A: Matrix, _config: Any) -> dict[str, Matrix]:
    """No other matrices."""
    return {}


@dataclass(frozen=True)
class Pipeline:
    """A named job: options -> sweeps -> stored result."""

    name: str
    summary: str
    config: type[Any]  # frozen dataclass; field metadata {"help": ...}
    view: Callable[[Matrix, Any], Matrix]  # centring and scaling as configured; may refuse options
    plan: Callable[[Matrix, Any, Resources], Plan]
    run: Callable[[Matrix, Any, Place], Delivered]
    tall: dict[str, tuple[str, str]]  # tall arrays of the result and their dimension names
    others: Callable[[Matrix, Any], dict[str, Matrix]] = alone  # what is read besides the matrix, as configured
    of_memory: tuple[str, ...] | None = None  # options that need less of it when they are smaller; None: the usual ones
    of_disk: tuple[str, ...] | None = None


def names() -> tuple[str, ...]:
    """Names of the pipelines that are installed."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


def pipelines() -> dict[str, Pipeline]:
    """All pipelines that are installed and can be loaded, by name; one that cannot is told when it is asked for."""
    found = {}
    for name in names():
        with suppress(ConfigError):
            found[name] = pipeline(name)
    return found


def pipeline(name: Any) -> Pipeline:
    """The pipeline of this name."""
    if not isinstance(name, str):
        msg = f"pipeline={name!r} must be the name of one: {', '.join(names())}"
        raise ConfigError(msg)
    points = [point for point in entry_points(group=GROUP) if point.name == name]
    if not points:
        msg = f"unknown pipeline {name!r}{_nearest(name, names())}; known are {', '.join(names())}"
        raise ConfigError(msg)
    try:
        loaded: Pipeline = points[0].load()
    except Exception as error:  # a plug-in may fail in any way
        msg = f"pipeline {name!r} of {points[0].value} cannot be loaded: {error}; update or remove that package"
        raise ConfigError(msg) from error
    return loaded


def given(**options: Any) -> dict[str, Any]:
    """Options that were given, as a job takes them: those that are not None."""
    return {name: value for name, value in options.items() if value is not None}


def configured(chosen: Pipeline, options: Mapping[str, Any]) -> Any:
    """The pipeline's configuration from options, each of a known name and the right type."""
    fields = {field.name: field for field in dataclasses.fields(chosen.config)}
    for name in options:
        if name not in fields:
            msg = f"unknown option {name!r} for {chosen.name}{_nearest(name, fields)}; known are {', '.join(fields)}"
            raise ConfigError(msg)
    hints = typing.get_type_hints(chosen.config)
    values = {name: _checked(name, value, hints[name]) for name, value in options.items()}
    needed = [name for name, field in fields.items() if name not in values and _required(field)]
    if needed:
        told = [
            f"{name} ({fields[name].metadata['help']})" if "help" in fields[name].metadata else name for name in needed
        ]
        msg = (
            f"{chosen.name} needs {', '.join(told)}: give {'it a value' if len(told) == 1 else 'each of them a value'}"
        )
        raise ConfigError(msg)
    return chosen.config(**values)


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _nearest(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _checked(name: str, value: Any, hint: Any) -> Any:
    union = typing.get_origin(hint) in {types.UnionType, typing.Union}
    allowed = typing.get_args(hint) if union else (hint,)
    value = value.item() if isinstance(value, np.generic) else value
    for kind in allowed:
        if typing.get_origin(kind) is Literal:
            if value in typing.get_args(kind):
                return value
        elif kind == Integers:
            if (found := _integers(value)) is not None:
                return found
        elif kind is float and type(value) in {int, float}:
            return float(value)
        elif type(value) is kind:
            return value
    spelt = " or ".join(_spelt(kind) for kind in allowed)
    msg = f"option {name}={value!r} must be {spelt}"
    raise ConfigError(msg)


def _integers(value: Any) -> Integers | None:
    """Whole numbers of a list, of text such as 128,64, or one alone; None where it is none of these."""
    if isinstance(value, str):
        words = value.replace(",", " ").split()
        return tuple(int(word) for word in words) if all(word.isdecimal() for word in words) else None
    parts = [value] if isinstance(value, int) else value
    if not isinstance(parts, list | tuple):
        return None
    plain = [part.item() if isinstance(part, np.generic) else part for part in parts]
    return tuple(plain) if all(type(part) is int for part in plain) else None


def _spelt(kind: Any) -> str:
    if typing.get_origin(kind) is Literal:
        return "one of " + ", ".join(str(choice) for choice in typing.get_args(kind))
    if kind == Integers:
        return "integers, such as 128,64"
    names = {type(None): "absent", int: "an integer", float: "a number", bool: "true or false", str: "text"}
    return names.get(kind, str(kind))
