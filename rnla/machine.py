"""What the operating system says of this machine's memory."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import psutil

resource: ModuleType | None
try:
    import resource
except ImportError:  # pragma: no cover - Windows
    resource = None

GROUP_FILES = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


class Peak:
    """The most memory that this process held since it was made, as far as that is known.

    The system keeps the most there ever was: that is it, once it has grown; before, what is held when `look` is called.
    """

    def __init__(self) -> None:
        self.before, self.seen = _most_ever(), 0

    def look(self) -> int:
        """Look at the memory of this process now; gives the most so far, in bytes."""
        self.seen = max(self.seen, self.grown or int(psutil.Process().memory_info().rss))
        return self.seen

    @property
    def grown(self) -> int:
        """The most there was, as the system kept it, in bytes; 0 if there was more before this was made."""
        ever = _most_ever()
        return ever if ever > self.before else 0


def _most_ever() -> int:
    if resource is None:  # pragma: no cover - a system without it
        return 0
    most = int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return most if sys.platform == "darwin" else 1024 * most


def group_memory() -> Iterator[tuple[int, int]]:
    """Limit and use, in bytes, of the control groups that hold this process, where they have a limit."""
    for limit, used in GROUP_FILES:
        with suppress(OSError, ValueError):
            yield int(Path(limit).read_text()), int(Path(used).read_text())
