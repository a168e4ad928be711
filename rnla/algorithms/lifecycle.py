"""One loop for every iterative method: it owns stopping, progress and checkpoints.

A method is `start() -> State`, `step(State) -> State`, `done(State) -> bool`, with the state a NamedTuple of arrays and
numbers. One step is one sweep, so a checkpoint after every step is a checkpoint after every sweep.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

S = TypeVar("S")


class Method(Protocol[S]):
    """An iteration over a matrix."""

    def start(self) -> S:
        """The state before the first sweep."""

    def step(self, state: S) -> S:
        """The state after one more sweep."""

    def done(self, state: S) -> bool:
        """Whether no further sweep is needed."""


class Checkpoints(Protocol):
    """Where states are kept."""

    def load(self, blank: S) -> S | None:
        """The last state kept, of the type of `blank`; None if there is none."""

    def save(self, state: S) -> None:
        """Keep a state in place of the last one, in one atomic step."""


class NoCheckpoints:
    """Keeps nothing."""

    def load(self, blank: S) -> S | None:
        """None."""
        return None

    def save(self, state: S) -> None:
        """Nothing."""


def iterate(method: Method[S], checkpoints: Checkpoints | None = None) -> S:
    """The state in which the method is done, continued from the last checkpoint."""
    keeper = checkpoints or NoCheckpoints()
    blank = method.start()
    state = keeper.load(blank) or blank
    while not method.done(state):
        state = method.step(state)
        keeper.save(state)
    return state
