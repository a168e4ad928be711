"""`rnla demo`: the main job on real data and on a matrix larger than the memory it allows itself."""

from __future__ import annotations

import click

from rnla.cli.door import debug_option
from rnla.cli.output import console


@click.command("demo", short_help="Real data, then more data than memory.")
@click.option("--folder", metavar="FOLDER", default="rnla-demo", show_default=True, help="Where everything is written.")
@debug_option
def demo(folder: str) -> None:
    """Show what rnla does: sea-surface temperatures, and more data than memory."""
    from pathlib import Path

    from rnla.demo import run

    click.get_current_context().exit(run(console(), Path(folder)))
