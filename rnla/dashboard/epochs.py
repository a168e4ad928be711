"""What came of training, as pages and terminals tell it: the epoch that was kept, the last, the best, and a baseline.

A loss and an accuracy are told with those of the samples held out after the same epoch, and beside what is had without
looking at a sample: by always naming the largest class, or the mean of the targets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

UNITS = {"square": "half the squared error", "cross-entropy": "cross-entropy, nats", "hinge": "hinge"}


class Epoch(NamedTuple):
    """Numbers of one epoch; None where there is none."""

    number: int  # from 1
    loss: float | None
    right: float | None  # share of the samples that were decided rightly
    held_loss: float | None  # of the network as the epoch left it, on the samples held out
    held_right: float | None


class Baseline(NamedTuple):
    """What is had without looking at a sample."""

    named: str  # "class 4", "the mean of the targets"
    right: float | None = None
    loss: float | None = None


@dataclass(frozen=True)
class Epochs:
    """What is told of a result of train; epochs are numbered from 1."""

    loss: str
    early: bool
    held_out: int
    kept: Epoch
    last: Epoch
    best: Epoch | None  # by the loss of the samples held out
    baseline: Baseline | None
    standardised: bool
    diverged: str = ""  # how, where descent went up without end
    r2: float | None = None  # of samples held out, of the square loss
    rmse: float | None = None  # in units of the targets

    @property
    def unit(self) -> str:
        """What the loss is."""
        return UNITS.get(self.loss, self.loss)

    @property
    def another(self) -> bool:
        """Whether the best epoch is not the one that was kept."""
        return self.best is not None and self.best.number != self.kept.number

    @property
    def remark(self) -> str:
        """What must not be overlooked: that nothing was learned; empty otherwise."""
        kept, base = self.kept, self.baseline
        if base is None or self.diverged or not self._no_better(base):
            return ""
        told = f"no better than always naming {base.named}"
        if base.loss is not None and kept.held_loss is not None and kept.held_loss < 0.9 * base.loss:
            return f"{told}, though the loss held out is less than {base.loss:.4g}, that of the classes' shares"
        cure = "lower the learning rate, or give it more epochs"
        return f"{told}: {cure if self.standardised else 'scale the columns, or lower the learning rate'}"

    def _no_better(self, base: Baseline) -> bool:
        if base.right is not None and self.kept.held_right is not None:
            return self.kept.held_right <= base.right
        return base.loss is not None and self.kept.held_loss is not None and self.kept.held_loss >= base.loss


def epochs_of(record: Mapping[str, Any], arrays: Mapping[str, Any]) -> Epochs:
    """What is told of a result, from its record and its small arrays."""
    proof, config = record["certificate"], record.get("config") or {}
    kept, last = (epoch(arrays, int(proof[name])) for name in ("stopped_at", "epochs"))
    every = [epoch(arrays, i + 1) for i in range(last.number)]
    held = [(found.held_loss, found) for found in every if found.held_loss is not None]
    return Epochs(
        loss=str(config.get("loss")),
        early=bool(proof["stopped_early"]),
        held_out=int(proof["held_out"]),
        kept=kept,
        last=last,
        best=min(held)[1] if held else None,
        baseline=baseline(record, arrays),
        standardised=bool(config.get("standardise", True)),
        diverged=str(proof.get("diverged") or ""),
        r2=proof.get("validation_r2"),
        rmse=proof.get("validation_rmse"),
    )


def epoch(arrays: Mapping[str, Any], number: int) -> Epoch:
    """The numbers of an epoch, from 1."""
    names = ("loss", "accuracy", "validation_loss", "validation_accuracy")
    values = (float(arrays[name][number - 1]) for name in names)
    return Epoch(number, *(None if math.isnan(value) else value for value in values))


def baseline(record: Mapping[str, Any], arrays: Mapping[str, Any]) -> Baseline | None:
    """From the classes of the samples held out, or the spread of their targets; None where none were held out."""
    config = record.get("config") or {}
    if "confusion" in arrays:
        return of_classes(arrays["confusion"].tolist(), str(config.get("loss")), signs=config.get("outputs") == 1)
    return Baseline("the mean of the targets", loss=float(arrays["baseline"])) if "baseline" in arrays else None


def of_classes(confusion: list[list[int]], loss: str, *, signs: bool) -> Baseline | None:
    """The largest class; and of cross-entropy the least without looking, -sum p log p of the classes' shares."""
    counts = [sum(row) for row in confusion]
    if not (total := sum(counts)):
        return None
    largest = counts.index(max(counts))
    entropy = -sum(count / total * math.log(count / total) for count in counts if count)
    named = f"class {class_name(largest, signs=signs)}"
    return Baseline(named, max(counts) / total, entropy if loss == "cross-entropy" else None)


def class_name(place: int, *, signs: bool) -> str:
    """A class as it was given: its number, or -1 and 1 of a single output."""
    return ("-1", "1")[place] if signs else str(place)
