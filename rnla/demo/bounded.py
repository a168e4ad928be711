"""A job in a process of its own that the operating system keeps under a limit of memory.

`python -m rnla.demo.bounded REQUEST`, REQUEST being JSON; what happens is told on stdout, one JSON object a line. On
Linux RLIMIT_DATA makes every allocation beyond the limit fail; it also counts what is reserved and never touched
(thread stacks, the buffers of BLAS), for which there is room on top. What was touched is measured, there and
elsewhere.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnla.algorithms.planning import Plan
    from rnla.jobs.running import Outcome

RESERVED_BYTES = 256_000_000  # room for what is reserved and never touched
SECONDS = 0.1  # between two lines about the bytes read


def enforce(data_bytes: int) -> bool:
    """Let the operating system refuse this process more data than that; whether it will."""
    if not sys.platform.startswith("linux"):
        return False
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard == resource.RLIM_INFINITY or hard > data_bytes:  # else a narrower limit holds already
        resource.setrlimit(resource.RLIMIT_DATA, (data_bytes, data_bytes))
    return True


def peak_rss_bytes() -> int:
    """The most memory this process has held, as the operating system counts it."""
    status = Path("/proc/self/status")
    if status.exists():  # not ru_maxrss, which a child inherits from its parent
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class Teller:
    """Observer of a job that writes what it sees as JSON lines."""

    def __init__(self) -> None:
        self.read_bytes, self.told_seconds = 0, 0.0
        self.lock = threading.Lock()

    def tell(self, event: str, **facts: Any) -> None:
        """One line."""
        with self.lock:
            sys.stdout.write(json.dumps({"event": event, **facts}) + "\n")
            sys.stdout.flush()

    def planned(self, plan: Plan) -> None:
        """Before the first read."""
        self.tell("planned", text=str(plan), plan=plan.as_dict())

    def swept(self, sweeps_done: int) -> None:
        """After each sweep."""
        self.tell("swept", sweeps=sweeps_done)

    def noted(self, text: str) -> None:
        """What a pipeline says of where it is."""
        self.tell("noted", text=text)

    def read(self, byte_count: int) -> None:
        """As data is read; from any thread."""
        with self.lock:
            self.read_bytes += byte_count
            now = monotonic()
            due = now - self.told_seconds > SECONDS
            self.told_seconds = now if due else self.told_seconds
        if due:
            self.tell("read", bytes=self.read_bytes)

    def finished(self, outcome: Outcome) -> None:
        """After publication."""
        self.tell("finished", path=str(outcome.path), status=outcome.status)


def main(request: dict[str, Any]) -> int:
    """Run the job that is asked for; 0 when its result is there."""
    teller = Teller()
    limit = int(request["memory_bytes"])
    held = enforce(limit + RESERVED_BYTES)
    from rnla.errors import RnlaError
    from rnla.jobs.running import run_job

    teller.tell("limited", enforced=held, limit_bytes=limit, data_bytes=limit + RESERVED_BYTES)
    try:
        run_job(
            request["pipeline"],
            request["store"],
            request["out"],
            request["options"],
            overwrite=True,
            threads=request["threads"],
            memory_bytes=limit,
            observer=teller,
        )
    except RnlaError as error:
        teller.tell("failed", message=str(error), exit_code=error.exit_code)
        return error.exit_code
    except MemoryError:
        teller.tell(
            "failed", message=f"the operating system refused more than {limit + RESERVED_BYTES:,} bytes", exit_code=5
        )
        return 5
    teller.tell("peak", rss_bytes=peak_rss_bytes())
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
