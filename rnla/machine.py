"""What the operating system says of this machine's memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

GROUP_FILES = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def group_memory() -> Iterator[tuple[int, int]]:
    """Limit and use, in bytes, of the control groups that hold this process, where they have a limit."""
    for limit, used in GROUP_FILES:
        with suppress(OSError, ValueError):
            yield int(Path(limit).read_text()), int(Path(used).read_text())
