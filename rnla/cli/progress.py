"""Progress of a job on stderr: pass i of p, bytes read, GB/s, time left; a line now and then where nobody watches."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

import click

from rnla.arrays import clock, spelt_bytes
from rnla.cli.output import console, singular

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

APART_SECONDS = 10.0  # between lines where there is no terminal
RATE_SECONDS = 10.0  # the rate is that of the last so many seconds


class Pace:
    """Bytes read so far and how fast they come; told from any thread."""

    def __init__(self, total_bytes: int, passes: int) -> None:
        self.total_bytes = max(1, total_bytes)
        self.passes = max(1, passes)
        self.done_bytes = 0
        self._read_bytes = 0
        self._seen: deque[tuple[float, int]] = deque([(monotonic(), 0)])
        self._lock = threading.Lock()

    def read(self, count: int) -> None:
        """Bytes that were read since the last call."""
        with self._lock:
            now = monotonic()
            self.done_bytes += count
            self._read_bytes += count
            self._seen.append((now, self._read_bytes))
            while len(self._seen) > 2 and now - self._seen[1][0] > RATE_SECONDS:
                self._seen.popleft()

    def reached(self, share: float) -> None:
        """At least this share is done: sweeps of an earlier run count too."""
        with self._lock:
            self.done_bytes = max(self.done_bytes, int(share * self.total_bytes))

    @property
    def current_pass(self) -> int:
        """Number of the pass under way, from 1."""
        return min(self.passes, 1 + self.done_bytes * self.passes // self.total_bytes)

    @property
    def bytes_per_second(self) -> float:
        """Rate of the last seconds; 0 before anything was read."""
        with self._lock:
            (start, before), (_, after) = self._seen[0], self._seen[-1]
        elapsed = monotonic() - start
        return (after - before) / elapsed if elapsed > 0 else 0.0

    @property
    def left_seconds(self) -> float | None:
        """Time left at this rate; None when there is no rate yet."""
        rate = self.bytes_per_second
        return max(0, self.total_bytes - self.done_bytes) / rate if rate > 0 else None

    def __str__(self) -> str:
        left = self.left_seconds
        rate = self.bytes_per_second
        return "  ".join(
            [
                f"{spelt_bytes(min(self.done_bytes, self.total_bytes))} of {spelt_bytes(self.total_bytes)}",
                f"{rate / 1e9:.2f} GB/s" if rate > 0 else "waiting",
                f"{clock(left)} left" if left is not None else "",
            ]
        ).rstrip()


class Lines:
    """Observer that writes a line now and then of what a pipeline tells, once an epoch at most."""

    def __init__(self) -> None:
        self.pipeline = ""
        self.said = monotonic()
        self.last = ""

    def planned(self, plan: Any) -> None:
        """The clock starts."""
        self.pipeline, self.said = plan.pipeline, monotonic()

    def swept(self, sweeps_done: int) -> None:
        """Nothing is said of sweeps."""

    def read(self, byte_count: int) -> None:
        """Nor of bytes."""

    def noted(self, text: str) -> None:
        """Where the work is, unless the last line is of the same epoch or of a moment ago."""
        where, now = text.partition(",")[0], monotonic()
        if where != self.last and now - self.said >= APART_SECONDS:
            self.last, self.said = where, now
            click.echo(f"{self.pipeline}: {text}", err=True)

    def finished(self, outcome: Any) -> None:
        """The result is told by whoever ran the job."""


class Display:
    """Observer that draws one line, several times a second."""

    def __init__(self, screen: Console) -> None:
        self.screen = screen
        self.sweeps = 1
        self.pace = Pace(1, 1)
        self.bar: Progress | None = None
        self.task: TaskID | None = None
        self.note = ""

    def planned(self, plan: Any) -> None:
        """Say what is going to happen, and start the line."""
        from rich.progress import BarColumn, Progress, TextColumn

        self.sweeps = max(1, plan.sweeps)
        self.pace = Pace(plan.bytes_read, math.ceil(plan.passes))
        m, n = plan.shape
        line = (
            f"[bold]{plan.pipeline}[/bold] of {m:,} x {n:,} {plan.dtype}: {plan.method}, {plan.passes:.4g} passes, "
            f"{spelt_bytes(plan.bytes_read)} to read, at most {spelt_bytes(plan.peak_bytes)} of memory a process"
        )
        self.screen.print(singular(line), soft_wrap=True)
        columns = (TextColumn("{task.description}"), BarColumn(24), TextColumn("{task.fields[pace]}"))
        self.bar = Progress(*columns, console=self.screen, refresh_per_second=5, transient=True)
        self.task = self.bar.add_task(self._title(), total=self.pace.total_bytes, pace=self.pace)
        self.bar.start()

    def swept(self, sweeps_done: int) -> None:
        """So many sweeps are finished, those of an earlier run included."""
        self.pace.reached(sweeps_done / self.sweeps)
        self._draw()

    def read(self, byte_count: int) -> None:
        """So many more bytes were read."""
        self.pace.read(byte_count)
        self._draw()

    def noted(self, text: str) -> None:
        """Where the work is, in the pipeline's own words: these are shown in place of passes and bytes."""
        self.note = text
        self._draw()

    def finished(self, outcome: Any) -> None:
        """Take the line away."""
        self.stop()

    def stop(self) -> None:
        """Take the line away, if it is there."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def _title(self) -> str:
        return f"pass {self.pace.current_pass} of {self.pace.passes}"

    def _draw(self) -> None:
        if self.bar is not None and self.task is not None:
            title, pace = ("", self.note) if self.note else (self._title(), self.pace)
            self.bar.update(self.task, completed=self.pace.done_bytes, description=title, pace=pace)


@contextmanager
def observer(*, quiet: bool) -> Iterator[Display | Lines | None]:
    """What watches a job: a line that changes on a terminal, a line now and then elsewhere."""
    screen = console(stderr=True)
    if quiet or not screen.is_terminal:
        yield None if quiet else Lines()
        return
    display = Display(screen)
    try:
        yield display
    finally:
        display.stop()


@contextmanager
def counter(doing: str, spelt: Callable[[int], str], *, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A line on a terminal for work that tells (done, in all); None elsewhere."""
    screen = console(stderr=True)
    if quiet or not screen.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(doing), BarColumn(24), TextColumn("{task.fields[count]}"), TimeRemainingColumn(compact=True))
    with Progress(*columns, console=screen, refresh_per_second=5, transient=True) as bar:
        task = bar.add_task(doing, total=None, count="")

        def told(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, count=f"{spelt(done)} of {spelt(total)}")

        yield told
