"""A trained network as a user gets it, with how it came about."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rnla.algorithms.network import Network
from rnla.algorithms.results import Cost
from rnla.algorithms.training import COLUMNS
from rnla.arrays import Array
from rnla.sweeps.matrix import Matrix
from rnla.tables import Certified, counted, html_table


@dataclass(frozen=True, repr=False)
class TrainingCertificate(Certified):
    """What is known of a trained network: losses seen, and on samples that it was not trained on."""

    loss: float | None  # mean over the samples of the epoch that was kept, each before its step; None: of no round yet
    accuracy: float | None  # of the same; None for the square loss
    validation_loss: float | None  # of the network that was kept, on the samples held out; None without
    validation_accuracy: float | None
    held_out: int  # samples
    epochs: int  # that were made
    stopped_at: int  # epoch whose parameters were kept
    stopped_early: bool
    steps: int
    rounds: int
    samples_per_second: float  # of this attempt
    diverged: str | None = None  # how, when the network is the last one of a descent that went up without end
    validation_r2: float | None = None  # of the square loss: 1 - |y - F|^2 / |y - mean|^2, the mean over the outputs
    validation_rmse: float | None = None  # and the root mean square of y - F over all outputs, in units of the targets

    @property
    def status(self) -> str:
        """'ok' or 'diverged'."""
        return "diverged" if self.diverged else "ok"

    @property
    def summary(self) -> list[tuple[str, str]]:
        """Names and values, as they are printed."""
        seen = "not known" if self.loss is None else f"{self.loss:.6g}"
        seen += "" if self.accuracy is None else f", {self.accuracy:.2%} right"
        lines = [(f"loss, epoch {self.stopped_at}", seen)]
        if self.validation_loss is not None:
            right = "" if self.validation_accuracy is None else f", {self.validation_accuracy:.2%} right"
            right += "" if self.validation_r2 is None else f", R^2 {self.validation_r2:.4g}"
            right += "" if self.validation_rmse is None else f", root mean square error {self.validation_rmse:.4g}"
            lines.append((f"{self.held_out:,} held out, epoch {self.stopped_at}", f"{self.validation_loss:.6g}{right}"))
        early = ", stopped early" if self.stopped_early else ""
        lines.append(("epochs", f"{self.epochs}{early}; parameters of epoch {self.stopped_at}"))
        lines.append(("steps", f"{self.steps:,} in {counted(self.rounds, 'round')}"))
        told = [("diverged", self.diverged)] if self.diverged else []
        return [*lines, *told, ("status", self.status)]


@dataclass(frozen=True, repr=False)
class PredictionCertificate(Certified):
    """What was evaluated."""

    network: str  # place of the result that holds it
    parameters: str  # hash of its parameters
    outputs: int

    @property
    def status(self) -> str:
        """'ok'."""
        return "ok"

    @property
    def summary(self) -> list[tuple[str, str]]:
        """Names and values, as they are printed."""
        return [("network", f"{self.network}, parameters {self.parameters}"), ("status", self.status)]


@dataclass(frozen=True, repr=False)
class Trained:
    """A network and how it was trained."""

    network: Network
    history: dict[str, Array]  # by name, one entry an epoch: see `rnla.algorithms.training.COLUMNS`
    stopped_at: int  # the epoch whose parameters were kept, from 1
    cost: Cost
    certificate: TrainingCertificate
    centre: Array | None = None  # (n,) subtracted from each sample before it enters the network
    scale: Array | None = None  # (n,) by which it is multiplied then
    fill: Array | None = None  # (n,) what stood for entries that were missing, with missing="impute-mean"
    limit: float | None = None  # samples, centred and scaled, are cut off at -limit and limit
    classes: Array | None = None  # (c,) labels that outputs stand for, where `rnla.nn.Classifier` numbered them
    confusion: Array | None = None  # (c, c) samples held out of each class that were taken for each
    baseline: float | None = None  # square loss of the samples held out, of always naming their mean
    record: dict[str, Any] = field(default_factory=dict)

    def view(self, A: Matrix) -> Matrix:
        """A matrix as the network was trained to see it, before it is cut off at `limit`.

        Means of training, if kept, stand for what is missing.
        """
        fill = self.centre if self.fill is None else self.fill
        if A.transform.missing == "impute-mean" and A.transform.fill is None and fill is not None:
            A = replace(A, transform=replace(A.transform, fill=fill))
        A = A if self.centre is None else A.centred(self.centre)
        return A if self.scale is None else A.weighted(columns=self.scale)

    @property
    def loss(self) -> str | None:
        """By which it was trained; None where that was not kept."""
        found = self.record.get("config", {}).get("loss")
        return None if found is None else str(found)

    def __repr__(self) -> str:
        proof = self.certificate
        loss = "not known" if proof.loss is None else f"{proof.loss:.4g}"
        held = "" if proof.validation_loss is None else f", {proof.validation_loss:.4g} held out"
        right = "" if proof.validation_accuracy is None else f" ({proof.validation_accuracy:.2%} right)"
        return (
            f"Trained({self.network!r}: loss {loss}{held}{right} in epoch {self.stopped_at} of {proof.epochs}, "
            f"which was kept, {self.cost.told})"
        )

    def _repr_html_(self) -> str:
        net = self.network
        shape = ("network", f"{net.spelt}, {net.parameters.size:,} parameters, {net.dtype}")
        return html_table("Trained network", [shape, *self.certificate.summary, ("made by", self.cost.told)])


def history_of(rows: Array) -> dict[str, Array]:
    """The history by name."""
    return {name: np.ascontiguousarray(rows[:, i]) for i, name in enumerate(COLUMNS)}
