"""What is told of training: numbers of one epoch together, and what is had without looking at a sample."""

import math

import numpy as np
import pytest

from rnla.dashboard.epochs import Baseline, Epoch, epochs_of

NAN = float("nan")


def arrays(losses, held, rights=None, held_rights=None, **more):
    none = [NAN] * len(losses)
    named = {"loss": losses, "accuracy": rights or none, "validation_loss": held or none}
    return {name: np.array(values) for name, values in named.items()} | {
        "validation_accuracy": np.array(held_rights or none), **more,
    }  # fmt: skip


def record(stopped_at, epochs, *, early=False, **config):
    proof = {"stopped_at": stopped_at, "epochs": epochs, "stopped_early": early, "held_out": 100}
    return {"certificate": proof, "config": {"loss": "cross-entropy", "outputs": 2, "standardise": True} | config}


def test_numbers_of_an_epoch_are_those_of_that_epoch():
    held = arrays([3.0, 2.0, 1.0], [1.5, 1.2, 1.4], [0.5, 0.6, 0.7], [0.4, 0.6, 0.5])
    found = epochs_of(record(2, 3, early=True), held)
    assert found.kept == Epoch(2, 2.0, 0.6, 1.2, 0.6)
    assert found.last == Epoch(3, 1.0, 0.7, 1.4, 0.5)
    assert found.best == found.kept
    assert not found.another
    late = epochs_of(record(3, 3), held)
    assert (late.kept.number, late.best.number, late.another) == (3, 2, True)


def test_without_samples_held_out_there_is_no_best_and_no_baseline():
    found = epochs_of(record(2, 2), arrays([2.0, 1.0], None))
    assert (found.best, found.baseline, found.remark, found.another) == (None, None, "", False)
    assert found.kept == Epoch(2, 1.0, None, None, None)


def test_the_baseline_is_the_largest_class_and_the_entropy_of_shares():
    confusion = np.array([[10, 20], [30, 40]])
    found = epochs_of(record(1, 1), arrays([1.0], [1.0], [0.5], [0.5], confusion=confusion)).baseline
    entropy = -0.3 * math.log(0.3) - 0.7 * math.log(0.7)
    assert found == Baseline("class 1", 0.7, pytest.approx(entropy))
    signs = record(1, 1, loss="hinge", outputs=1)
    assert epochs_of(signs, arrays([1.0], [1.0], [0.5], [0.5], confusion=confusion[::-1])).baseline.named == "class -1"


LOWER = "though the loss held out is less than 0.673, that of the classes' shares"
SCALE, SLOWER = "scale the columns, or lower the learning rate", "lower the learning rate, or give it more epochs"
ALL_ONE = np.array([[0, 40], [0, 60]])
REMARKS = {
    "it learned": (record(1, 1), arrays([0.1], [0.1], [0.9], [0.9], confusion=np.diag([40, 60])), ""),
    "always the largest class": (
        record(1, 1, standardise=False), arrays([2.0], [0.7], [0.6], [0.6], confusion=ALL_ONE),
        f"no better than always naming class 1: {SCALE}",
    ),
    "worse, of scaled columns": (
        record(1, 1), arrays([2.0], [0.7], [0.4], [0.4], confusion=ALL_ONE[::-1]),
        f"no better than always naming class 0: {SLOWER}",
    ),
    "no more right, and yet a lower loss": (
        record(1, 1), arrays([0.5], [0.3], [0.6], [0.6], confusion=ALL_ONE),
        f"no better than always naming class 1, {LOWER}",
    ),
    "numbers worse than the mean": (
        record(1, 1, loss="square"), arrays([9.0], [9.0], baseline=np.array(4.0)),
        f"no better than always naming the mean of the targets: {SLOWER}",
    ),
    "numbers": (record(1, 1, loss="square"), arrays([9.0], [1.0], baseline=np.array(4.0)), ""),
}  # fmt: skip


@pytest.mark.parametrize("case", REMARKS)
def test_a_network_that_learned_nothing_is_remarked(case):
    made, held, words = REMARKS[case]
    assert epochs_of(made, held).remark == words
