"""Job file: a job in TOML. Keys `pipeline`, `store`, `out` and a table `[options]`; anything else is an error."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from rnla.errors import ConfigError


@dataclass(frozen=True)
class JobFile:
    """What a job file says."""

    pipeline: str | None = None
    store: str | None = None
    out: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


def is_job_file(given: str | None) -> bool:
    """Whether what stands in the place of a STORE is a job file: its name ends in .toml, and it is no folder."""
    return given is not None and given.lower().endswith(".toml") and not Path(given).is_dir()


def job_file(path: str | None) -> JobFile:
    """The job in a file; an empty one when there is no file.

    Raises
    ------
    ConfigError
        The file cannot be read, is not TOML, or has a key that is unknown or of the wrong type.
    """
    if path is None:
        return JobFile()
    try:
        document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"job file {path}: {error.strerror}"
        raise ConfigError(msg) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        msg = f"job file {path} is not TOML: {error}"
        raise ConfigError(msg) from error
    for key, value in document.items():
        _check(path, key, value)
    return JobFile(**document)


def _check(path: str, key: str, value: Any) -> None:
    known = [entry.name for entry in fields(JobFile)]
    if key not in known:
        near = get_close_matches(key, known, n=1)
        guess = f"; did you mean {near[0]!r}?" if near else ""
        home = "" if near else " Options of the pipeline go into the table [options]."
        msg = f"job file {path}: unknown key {key!r}{guess or '.'}{home} Known keys: {', '.join(known)}"
        raise ConfigError(msg)
    wanted, name = (dict, "a table") if key == "options" else (str, "a string")
    if not isinstance(value, wanted):
        msg = f"job file {path}: {key} = {value!r} must be {name}"
        raise ConfigError(msg)
