"""What the sweeps of a job cost, added up, and told to whoever waits."""

from __future__ import annotations

from dataclasses import dataclass, field

from rnla.machine import Peak
from rnla.sweeps.runners import Progress
from rnla.sweeps.spans import Tally


@dataclass(frozen=True)
class Meter:
    """Adds up what the sweeps of a job cost; shared by all views of a matrix that was given one."""

    tallies: list[Tally] = field(default_factory=list)
    progress: Progress = lambda _count: None
    peak: Peak = field(default_factory=Peak)  # of this process, since the meter was made

    def total(self) -> Tally:
        """Sum over all sweeps so far."""
        return sum(self.tallies, Tally())

    def read(self, bytes_read: int, peak_bytes: int = 0) -> None:
        """Bytes that were read beside the sweeps, and the most memory that was seen meanwhile."""
        self.tallies.append(Tally(bytes_read=bytes_read, peak_bytes=peak_bytes))
        self.progress(bytes_read)

    @property
    def missing(self) -> int:
        """Entries masked or imputed; every sweep meets all of them."""
        return max((tally.missing for tally in self.tallies), default=0)
