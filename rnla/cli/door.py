"""The door: where errors become one line on stderr and an exit code, whichever program the group is part of."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from rnla.errors import RnlaError

EXIT_CODES = {
    0: "done",
    1: "an unexpected error: a defect in rnla; --debug shows where",
    2: "a request that cannot be right: option, job file, rank, kind of data; nothing was read",
    3: "the tolerance asked for was not met, or descent diverged; the result is there and says so",
    4: "the data: a store that cannot be opened, a missing or altered chunk, NaN or infinity, overflow",
    5: "does not fit the memory or disk space there is; the message has the cure",
    6: "the result cannot be written: taken, locked, disk full",
    7: "the cluster lost the work; the same command again resumes",
    130: "interrupted (Ctrl-C); the same command again resumes",
    143: "terminated (SIGTERM); the same command again resumes",
}
TOLERANCE_NOT_MET = 3
INTERRUPTED = 130
TERMINATED = 143
GRACE_SECONDS = 10.0

_FLAGS = (
    (r"\w+=True \((--[a-z-]+)\)", r"\1"),  # overwrite=True (--overwrite)
    (r"\bmissing='([a-z-]+)'", r"--missing \1"),
    (r"\blabels='([^']*)'", r"--labels \1"),
    (r"\bgive labels,", "give --labels,"),
    (r" needs (\w+) \(", r" needs --\1 ("),
    (r"\bloss='([a-z-]+)'", r"--loss \1"),
    (r"\blabel_column=(\d+)", r"--label-column \1"),
    (r"\blabel_column\b", "--label-column"),
    (r"\bmemory_bytes\b", "--memory"),
    (r"\bpanel_bytes\b", "--panel"),
)

Command = TypeVar("Command", bound=Callable[..., Any])


def debug_option(command: Command) -> Command:
    """Add `--debug`, which lets errors end in a traceback."""

    def noted(context: click.Context, _option: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's order
        if wanted:
            context.meta["rnla.debug"] = True

    return click.option(
        "--debug", is_flag=True, expose_value=False, is_eager=True, callback=noted, help="Show tracebacks of errors."
    )(command)


def json_option(command: Command) -> Command:
    """Add `--json`: one JSON object on stdout and nothing else."""

    def noted(context: click.Context, _option: click.Parameter, wanted: bool) -> bool:  # noqa: FBT001 - click's order
        if wanted:
            context.meta["rnla.json"] = True
        return wanted

    return click.option(
        "--json", "as_json", is_flag=True, callback=noted, help="One JSON object on stdout, nothing else there."
    )(command)


class TerminatedError(KeyboardInterrupt):
    """SIGTERM came: the work ends as by Ctrl-C."""


@contextmanager
def terminable() -> Iterator[None]:
    """Inside, SIGTERM is raised in the main thread; where that is swallowed, the process dies of it a little later."""
    last = threading.Timer(GRACE_SECONDS, os.kill, (os.getpid(), signal.SIGTERM))
    last.daemon = True

    def ended(_signal: int, _frame: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        last.start()
        raise TerminatedError

    if threading.current_thread() is not threading.main_thread():  # where Python allows no handlers
        yield
        return
    before = signal.signal(signal.SIGTERM, ended)
    try:
        yield
    finally:
        last.cancel()
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


class Door(click.Group):
    """A group that ends with the exit code of the error, and without a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which they were added: that in which they are used."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command named on the command line."""
        try:
            with terminable():
                return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except (KeyboardInterrupt, click.Abort) as error:
            terminated = isinstance(error, TerminatedError)
            kept = "; finished sweeps are kept, the same command again resumes"
            resumes = kept if ctx.invoked_subcommand == "run" else ""
            click.echo(f"{'terminated' if terminated else 'interrupted'}{resumes}", err=True)
            ctx.exit(TERMINATED if terminated else INTERRUPTED)
        except Exception as error:
            if ctx.meta.get("rnla.debug") or (isinstance(error, OSError) and error.errno == errno.EPIPE):
                raise
            ctx.exit(_told(error, as_json=bool(ctx.meta.get("rnla.json"))))


def in_flags(message: str) -> str:
    """A message of the library, the arguments it names turned into flags."""
    for argument, flag in _FLAGS:
        message = re.sub(argument, flag, message)
    return message


def _told(error: Exception, *, as_json: bool) -> int:
    """Say what went wrong; returns the exit code."""
    kind, message, code = type(error).__name__, in_flags(str(error)), getattr(error, "exit_code", 1)
    if not isinstance(error, RnlaError):
        message, code = f"unexpected {kind}: {message}. This is a defect in rnla; --debug shows where", 1
    click.echo(f"error: {message}", err=True)
    if as_json:
        click.echo(json.dumps({"status": "error", "error": kind, "message": in_flags(str(error)), "exit_code": code}))
    return int(code)
