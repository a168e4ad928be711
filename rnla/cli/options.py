"""Options: sizes as people write them, and the flags of a pipeline made from the fields of its configuration."""

from __future__ import annotations

import dataclasses
import re
import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import click

from rnla.errors import ConfigError

_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_SIZE = re.compile(r"\s*([0-9]*\.?[0-9]+(?:e[0-9]+)?)\s*([kmgt]?)(i?)(b?)\s*", re.IGNORECASE)
_PLAIN: dict[Any, click.ParamType[Any]] = {
    int: click.INT,
    float: click.FLOAT,
    str: click.STRING,
    tuple[int, ...]: click.STRING,  # taken apart where options of job files are checked too
}


def size(text: str) -> int:
    """Bytes of a size as people write it: 600MB, 2GiB, 1.5 GB."""
    found = _SIZE.fullmatch(text)
    count = _bytes(found) if found else 0
    if count < 1:
        msg = f"{text!r} is no size; write it like 600MB, 2GiB or 1.5GB"
        raise click.BadParameter(msg)
    return count


def _bytes(found: re.Match[str]) -> int:
    number, unit, binary, _ = found.groups()
    return int(float(number) * float(1024 if binary else 1000) ** _UNITS[unit.lower()])


class NumberOr(click.ParamType[Any]):
    """An integer, or one of a few words."""

    def __init__(self, words: tuple[str, ...]) -> None:
        self.words = words
        self.name = "|".join(("integer", *words))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The word, or the number."""
        return value if value in self.words else click.INT.convert(value, param, ctx)


class Number(click.ParamType[Any]):
    """An integer or any other number, as it is written: 100 samples, or a share of 0.1."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """An integer where it is one."""
        try:
            return int(value)
        except ValueError:
            return click.FLOAT.convert(value, param, ctx)


def pipeline_options(config: type[Any], taken: frozenset[str]) -> list[click.Option]:
    """One option for each field of a pipeline's configuration; unset ones are None and keep the field's default."""
    hints = get_type_hints(config)
    return [_option(field, hints[field.name], taken) for field in dataclasses.fields(config) if field.init]


def _option(field: dataclasses.Field[Any], hint: Any, taken: frozenset[str]) -> click.Option:
    flag = f"--{field.name.replace('_', '-')}"
    if field.name in taken:
        msg = f"the pipeline's option {flag} has the name of an option of every job; its author must rename it"
        raise ConfigError(msg)
    flags = f"{flag}/--no-{flag[2:]}" if hint is bool else flag
    return click.Option([flags, f"option_{field.name}"], type=_type(hint, flag), default=None, help=_help(field))


def _type(hint: Any, flag: str) -> click.ParamType[Any]:
    if get_origin(hint) in {Union, types.UnionType}:
        wanted = [part for part in get_args(hint) if part is not type(None)]
        if len(wanted) == 1:
            return _type(wanted[0], flag)
        if wanted[0] is int and get_origin(wanted[1]) is Literal:
            return NumberOr(get_args(wanted[1]))
        if set(wanted) == {int, float}:
            return Number()
    if get_origin(hint) is Literal:
        return click.Choice([str(choice) for choice in get_args(hint) if choice is not None])
    if hint is bool:
        return click.BOOL
    if hint in _PLAIN:
        return _PLAIN[hint]
    msg = (
        f"the pipeline's option {flag} has type {hint}; a configuration holds int, float, bool, str, Literal and "
        "tuple[int, ...]"
    )
    raise ConfigError(msg)


def _help(field: dataclasses.Field[Any]) -> str:
    words = str(field.metadata.get("help", ""))
    words = words[:1].upper() + words[1:]
    default = field.default
    if default is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    if default is dataclasses.MISSING:
        return f"{words}  [required]"
    shown = ("on" if default else "off") if isinstance(default, bool) else default
    shown = ",".join(map(str, shown)) if isinstance(shown, tuple) else shown
    return words if default is None else f"{words}  [default: {shown}]"


def given_options(parameters: dict[str, Any]) -> dict[str, Any]:
    """The pipeline's options that were set on the command line."""
    prefix = "option_"
    return {name[len(prefix) :]: v for name, v in parameters.items() if name.startswith(prefix) and v is not None}
