"""One loop for every iterative method: it owns stopping, progress and checkpoints.

A method is `start() -> State`, `step(State) -> State`, `done(State) -> bool`, with the state a NamedTuple of arrays and
numbers. One step is one sweep, so a checkpoint after every step is a checkpoint after every sweep.

What is no iteration but a few sweeps, each of another kind, keeps the answers of each in a `Journal`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from rnla.arrays import Array

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

    def forget(self) -> None:
        """Drop a state that does not fit the data, with the tall arrays that belong to it."""


class NoCheckpoints:
    """Keeps nothing."""

    def load(self, blank: S) -> S | None:
        """None."""
        return None

    def save(self, state: S) -> None:
        """Nothing."""

    def forget(self) -> None:
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


class Answers(NamedTuple):
    """What sweeps answered, as a checkpoint keeps it."""

    sweeps: int
    kinds: Array  # () text: for each sweep, for each answer its type and shape; null for one that lies in the workspace
    elements: Array  # (b,) their bytes, one after the other


class Journal:
    """The answers of the sweeps of a job, in the order in which it makes them.

    Killed and run again, it takes those that were finished from here, in place of sweeping. Tall answers lie in the
    workspace, under the same names as before.
    """

    def __init__(self, checkpoints: Checkpoints | None = None) -> None:
        self.checkpoints = checkpoints or NoCheckpoints()
        found = self.checkpoints.load(Answers(0, np.array("[]"), np.zeros(0, np.uint8)))
        self.kept = [] if found is None else _unpacked(found)
        if found is None:  # tall arrays of other data may be of other shapes, and are written again
            self.checkpoints.forget()
        self.asked = 0

    def once(self, sweep: Callable[[], tuple[Any, ...]]) -> tuple[Any, ...]:
        """The arrays and numbers that this sweep answered; what it answers besides is not kept."""
        number, self.asked = self.asked, self.asked + 1
        if number == len(self.kept):
            self.kept.append(tuple(_plain(answer) for answer in sweep()))
            self.checkpoints.save(_packed(self.kept))
        return self.kept[number]


def _plain(answer: Any) -> Array | None:
    return np.asarray(answer) if isinstance(answer, np.ndarray | np.generic | int | float) else None


def _packed(kept: list[tuple[Array | None, ...]]) -> Answers:
    kinds = [[None if each is None else [each.dtype.str, each.shape] for each in answers] for answers in kept]
    flat = [np.ascontiguousarray(each).reshape(-1).view(np.uint8) for row in kept for each in row if each is not None]
    return Answers(len(kept), np.array(json.dumps(kinds)), np.concatenate([np.zeros(0, np.uint8), *flat]))


def _unpacked(found: Answers) -> list[tuple[Array | None, ...]]:
    kept, start = [], 0
    for kinds in json.loads(str(found.kinds)):
        answers: list[Array | None] = []
        for kind in kinds:
            if kind is None:
                answers.append(None)
                continue
            dtype, shape = np.dtype(kind[0]), tuple(kind[1])
            stop = start + dtype.itemsize * int(np.prod(shape, dtype=np.int64))
            answers.append(found.elements[start:stop].view(dtype).reshape(shape))
            start = stop
        kept.append(tuple(answers))
    return kept
