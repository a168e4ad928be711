"""How the demo speaks to the person in front of it: headings, facts, one line of progress on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rnla.arrays import spelt_bytes

if TYPE_CHECKING:
    from rich.console import Console


@dataclass
class Story:
    """What is told, and whether all that was promised was found true."""

    console: Console
    broken: list[str] = field(default_factory=list)

    def heading(self, text: str) -> None:
        """A new part."""
        self.console.print()
        self.console.rule(text, align="left", style="dim")

    def say(self, text: str) -> None:
        """A sentence."""
        self.console.print(text, soft_wrap=True, markup=False, highlight=False)

    def fact(self, name: str, value: str) -> None:
        """A named value."""
        self.say(f"  {name:<24} {value}")

    def check(self, name: str, value: str, *, holds: bool) -> None:
        """A named value that was promised."""
        self.fact(name, f"{value}  [{'holds' if holds else 'BROKEN'}]")
        if not holds:
            self.broken.append(name)

    @contextmanager
    def progress(self, doing: str, total_bytes: int, passes: int = 1) -> Iterator[Callable[[int], None]]:
        """A line of progress, told the bytes done so far; nothing where nobody watches."""
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

        columns = (
            TextColumn("  {task.description}"),
            BarColumn(24),
            TextColumn("{task.fields[count]}"),
            TransferSpeedColumn(),
            TimeRemainingColumn(compact=True),
        )
        total = max(1, total_bytes)
        with Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal) as bar:
            task = bar.add_task(doing, total=total, count="")

            def told(done: int) -> None:
                turn = f", pass {min(passes, 1 + done * passes // total)} of {passes}" if passes > 1 else ""
                count = f"{spelt_bytes(done)} of {spelt_bytes(total_bytes)}"
                bar.update(task, completed=done, description=doing + turn, count=count)

            yield told
