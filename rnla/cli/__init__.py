"""The command line: `rnla`, `python -m rnla` and `dask rnla` are this one click group.

It parses and prints; what it prints is computed below. Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import click

from rnla.cli.demonstration import demo
from rnla.cli.door import EXIT_CODES, Door, debug_option
from rnla.cli.jobs import plan, run
from rnla.cli.results import show
from rnla.cli.stores import fingerprint, info, rechunk, verify

__all__ = ["main"]

_EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {code:>3}  {meaning}" for code, meaning in EXIT_CODES.items())


def _version(context: click.Context, _option: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's order
    if wanted and not context.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"rnla {version('rnla')}")
        context.exit()


@click.group("rnla", cls=Door, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Show the version and exit."
)
@debug_option
def main() -> None:
    """Certified randomized linear algebra of Zarr matrices far bigger than memory.

    Every result says how wrong it can be, how often the data was read, and stays within a memory bound that was
    promised before the first byte was read.

    \b
      rnla info matrix.zarr                            what is there, and what one pass costs
      rnla plan svd matrix.zarr --k 50                 passes, bytes and memory, before anything is read
      rnla run  svd matrix.zarr --k 50 --out svd.zarr  the same command again resumes or reuses it
      rnla show svd.zarr --html report.html
    """  # noqa: D301 - click's mark for lines to be left alone is a backspace character


for _command in (info, plan, run, show, rechunk, fingerprint, verify, demo):
    main.add_command(_command)
