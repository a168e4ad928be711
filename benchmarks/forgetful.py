"""Local threads that drop the page cache before each sweep of a store, so that every pass comes from the disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.machine import settle
from rnla.sweeps.runners import Threads


@dataclass(frozen=True)
class Forgetful(Threads):
    """Local threads; sweeps of `store` find nothing in the page cache."""

    store: str = ""

    def run(self, work: Any, progress: Any) -> Any:
        """The joined partials of all spans."""
        if getattr(work.source, "url", "") == self.store:
            settle(cold=True)
        return super().run(work, progress)
