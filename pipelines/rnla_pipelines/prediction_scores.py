"""What the values of a network say: classes that it decides, or ranges of its numbers; beside what is known, if it is.

Values are looked at in the chunks in which they were written, so that memory does not grow with the rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import psutil

from rnla.algorithms.delivery import Named
from rnla.algorithms.samples import checked_targets, stored_bytes
from rnla.algorithms.targets import Moments, largest_of, strips, targets_of, unit_of
from rnla.algorithms.trained import PredictionCertificate
from rnla.arrays import Array, DType
from rnla.kernels.layers import decided, loss_and_slopes
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.runners import Cluster
from rnla.sweeps.source import Tall, Workspace

LABEL = np.dtype(np.int32)  # of classes that were decided
PART_ENTRIES = 1 << 18  # of values, looked at at once


@dataclass(frozen=True, repr=False)
class Predicted(PredictionCertificate):
    """What was evaluated, and how it compares with the targets that were given."""

    rows: int = 0
    loss: str | None = None  # by which the network was trained; None: not known
    mean_loss: float | None = None  # the same of these rows; None: no targets were given, here and below
    accuracy: float | None = None  # share of the rows that were decided rightly
    largest_class: int | float | str | None = None  # the class of most rows
    largest_share: float | None = None  # theirs of all rows: what always naming that class would give
    r2: float | None = None  # 1 - |y - F|^2 / |y - mean|^2, the mean over the outputs whose targets vary
    rmse: float | None = None  # root mean square of y - F, over all outputs
    spread: float | None = None  # that of y - mean: what always naming the mean would give

    @property
    def summary(self) -> list[tuple[str, str]]:
        """Names and values, as they are printed."""
        lines = [*super().summary[:-1], ("rows", f"{self.rows:,}")]
        if self.accuracy is not None:
            lines.append(("decided rightly", f"{self.accuracy:.2%}"))
            lines.append((f"always class {self.largest_class}", f"{self.largest_share:.2%}"))
        if self.rmse is not None:
            lines.append(("root mean square error", f"{self.rmse:.6g}, of always the mean {self.spread:.6g}"))
            lines.append(("R^2", "not known: targets do not vary" if self.r2 is None else f"{self.r2:.6g}"))
        return [*lines, ("status", self.status)]


class Tallied(Protocol):
    """What is summed up over the rows."""

    def take(self, Z: Array, y: Array | None) -> None:
        """Some rows of values (p, c), and their targets (p, 1) or (p, c)."""

    def arrays(self) -> Named:
        """Of the result."""

    def facts(self) -> dict[str, Any]:
        """Of the certificate."""


@dataclass
class Decisions:
    """Classes that a network decides: how many rows of each, and of each class that is known."""

    loss: str
    outputs: int
    classes: Array | None  # (k,) what the outputs stand for, if they were numbered; targets are numbers of them
    counts: Array = field(init=False)  # (k,)
    confusion: Array = field(init=False)  # (k, k) known class, decided class
    total: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        count = max(2, self.outputs) if self.classes is None else self.classes.size
        self.counts, self.confusion = np.zeros(count, np.int64), np.zeros((count, count), np.int64)

    def decide(self, Z: Array) -> Array:
        """Numbers of classes, or -1 and 1."""
        return decided(self.loss, Z) if self.classes is None else Z[:, : self.classes.size].argmax(axis=1)

    def labels(self, Z: Array) -> Array:
        """Labels as they are written: classes themselves, where those are numbers."""
        taken = self.decide(Z)
        return taken.astype(LABEL) if label_type(self.classes) == LABEL else np.asarray(self.classes)[taken]

    def take(self, Z: Array, y: Array | None) -> None:
        """Some rows."""
        taken = self._places(self.decide(Z))
        self.counts += np.bincount(taken, minlength=self.counts.size)
        if y is not None:
            known = y[:, 0].astype(np.int64)
            self.total += float(loss_and_slopes(self.loss, Z, known, np.empty_like(Z), None).sum())
            np.add.at(self.confusion, (self._places(known), taken), 1)

    def _places(self, labels: Array) -> Array:
        """Of classes; -1 and 1 of a single output are the first and the second."""
        return np.asarray((labels > 0).astype(np.int64) if self.outputs == 1 else labels)

    def arrays(self) -> Named:
        """Rows of each class that was decided, and the confusion where classes are known."""
        found: Named = {"class_counts": (self.counts, ("class",))}
        if self.classes is not None:
            found["classes"] = (self.classes, ("class",))
        if self.confusion.any():
            found["confusion"] = (self.confusion, ("true_class", "decided_class"))
        return found

    def facts(self) -> dict[str, Any]:
        """Accuracy, and that of naming the largest class."""
        known = self.confusion.sum(axis=1)
        if not (count := int(known.sum())):
            return {}
        largest = int(known.argmax())
        named = np.array([-1, 1]) if self.outputs == 1 else np.arange(known.size)
        return {
            "mean_loss": self.total / count,
            "accuracy": int(np.trace(self.confusion)) / count,
            "largest_class": (named if self.classes is None else self.classes)[largest].item(),
            "largest_share": int(known[largest]) / count,
        }


@dataclass
class Numbers:
    """Numbers that a network gives: their ranges, and their distance from those that are known.

    All are multiplied by a power of two that brings targets near 1, so that squares of no size leave the range.
    """

    outputs: int
    unit: Array  # (c,)
    values: Moments = field(init=False)
    targets: Moments = field(init=False)
    left: Array = field(init=False)  # (c,) squares of target - value

    def __post_init__(self) -> None:
        self.values, self.targets = Moments.of(self.outputs), Moments.of(self.outputs)
        self.left = np.zeros(self.outputs)

    def take(self, Z: Array, y: Array | None) -> None:
        """Some rows."""
        with np.errstate(over="ignore", invalid="ignore"):  # of values far from all targets
            wide = Z.astype(np.float64) * self.unit
            self.values.take(wide)
            if y is not None:
                known = y.astype(np.float64) * self.unit
                self.targets.take(known)
                self.left += ((known - wide) ** 2).sum(axis=0)

    def arrays(self) -> Named:
        """By output: range, mean and deviation of the values, R^2 and root mean square error."""
        v, each = self.values, ("output",)
        told = {"least": v.least, "largest": v.largest, "mean": v.mean, "deviation": v.deviation}
        found: Named = {name: (value / self.unit, each) for name, value in told.items()}
        if self.targets.count:
            found |= {"r2": (self._r2(), each), "rmse": (self._length(self.left), each)}
        return found

    def _length(self, squares: Array) -> Array:
        """Root mean squares of the columns, in units of the targets: (c,)."""
        return np.asarray(np.sqrt(squares / self.targets.count) / self.unit)

    def _r2(self) -> Array:
        """NaN where targets do not vary."""
        varying = self.targets.least < self.targets.largest
        return np.where(varying, 1.0 - self.left / np.where(varying, self.targets.squares, 1.0), np.nan)

    def facts(self) -> dict[str, Any]:
        """Over all outputs."""
        if not self.targets.count:
            return {}
        r2, left = self._r2(), math.hypot(*self._length(self.left))
        known, width = r2[np.isfinite(r2)], math.sqrt(self.left.size)
        return {
            "mean_loss": 0.5 * left * left,
            "r2": float(known.mean()) if known.size else None,
            "rmse": left / width,
            "spread": math.hypot(*self._length(self.targets.squares)) / width,
        }


def label_type(classes: Array | None) -> DType:
    """Of the labels that are written: numbers of classes, or the classes themselves where those are numbers."""
    return LABEL if classes is None or classes.dtype.kind not in "biuf" else classes.dtype


def tallied(
    values: Tall, loss: str | None, truth: Tall | None, label: Tall | None, classes: Array | None = None
) -> Tallied:
    """Values looked at chunk by chunk, with targets if they are known; classes go to `label` if it is given."""
    (m, outputs), height = values.shape, values.source.chunks[0]
    decisions = None if label is None else Decisions(str(loss), outputs, classes)
    unit = np.ones(outputs) if truth is None or decisions is not None else unit_of(largest_of(truth.source))
    found: Tallied = decisions or Numbers(outputs, unit)
    step = max(1, PART_ENTRIES // outputs)
    for first in range(0, m, height):
        rows = slice(first, min(first + height, m))
        Z = values.source.read(rows, slice(0, outputs))
        y = None if truth is None else truth.source.read(rows, slice(0, truth.shape[1]))
        if label is not None and decisions is not None:
            label.write(rows, decisions.labels(Z)[:, None])
        for start in range(0, len(Z), step):
            part = slice(start, start + step)
            found.take(Z[part], None if y is None else y[part])
    return found


def kept(A: Matrix, y: Matrix, loss: str, outputs: int, dtype: DType, workspace: Workspace, rows: int) -> Tall:
    """Targets checked and beside the values, so that they are read once: (m, c), refused before A is read."""
    source = targets_of(y)
    into = workspace.tall("truth", source.shape, source.dtype, rows)
    for at, block in strips(source):
        into.write(at, block)
    A.meter.read(stored_bytes(y), held_bytes(A))
    if loss != "square":
        checked_targets(into.source, loss, outputs, dtype, np.zeros(0, np.int64))
    return into


def held_bytes(A: Matrix) -> int:
    """Memory of this process, where it is the one that works; that of a cluster's client is promised nowhere."""
    return 0 if isinstance(A.swept_by, Cluster) else int(psutil.Process().memory_info().rss)
