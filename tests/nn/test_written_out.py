"""Training is descent as it is written out: optimizers, schedules, decay, clipping, replicas, outer steps, averages."""

import itertools
import math
from dataclasses import asdict

import numpy as np
import pytest

import rnla
import rnla.sweeps.orders
from rnla.algorithms.regime import checked_regime
from rnla.algorithms.samples import held_rows
from rnla.sweeps.orders import Order
from tests.nn.written_out import Asked, trained
from tests.tolerances import sum_rounding

ROWS, WIDTHS, SEED = 230, (4, 9, 7, 3), 7

STEPS = {  # how a gradient becomes a step
    "sgd": {},
    "sgd without momentum": {"momentum": 0.0},
    "sgd, decay, clip": {"weight_decay": 0.1, "clip": 0.2},
    "sgd, 1/k, warmup, decay": {"schedule": "1/k", "warmup": 2, "weight_decay": 0.03},
    "nesterov, cosine, warmup, decay": {
        "optimizer": "nesterov", "schedule": "cosine", "warmup": 3, "weight_decay": 0.01, "learning_rate": 0.02,
    },
    "nesterov, clip": {"optimizer": "nesterov", "clip": 0.3, "learning_rate": 0.02},
    "adam": {"optimizer": "adam", "learning_rate": 0.01},
    "adam, 1/k, decay, clip": {
        "optimizer": "adam", "schedule": "1/k", "weight_decay": 0.1, "clip": 0.5, "learning_rate": 0.01,
    },
}  # fmt: skip
ROUNDS = {  # how replicas come together
    "one replica": {},
    "four gradients": {"replicas": 4, "local_steps": 1},
    "three replicas": {"replicas": 3, "local_steps": 2},
    "two replicas, an outer rate": {"replicas": 2, "local_steps": 5, "outer_rate": 0.5},
    "two replicas, an outer momentum": {"replicas": 2, "local_steps": 3, "outer_momentum": 0.9},
    "three replicas, both": {"replicas": 3, "local_steps": 4, "outer_momentum": 0.5, "outer_rate": 0.7},
}
LOSSES = ("cross-entropy", "square", "hinge")
TABLE = [
    pytest.param(LOSSES[number % 3], STEPS[step] | ROUNDS[way] | {"averaging": averaging},
                 id=f"{LOSSES[number % 3]}, {step}, {way}{', averaged' * averaging}")
    for number, (step, way, averaging) in enumerate(itertools.product(STEPS, ROUNDS, (False, True)))
]  # fmt: skip


def samples(loss):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((ROWS, WIDTHS[0]))
    return X, rng.standard_normal((ROWS, 3)) if loss == "square" else rng.integers(0, 3, ROWS)


def sides(loss, options, validation=0):
    """Parameters by the library; a function of options that writes them out; how far rounding may part them."""
    X, y = samples(loss)
    network = rnla.nn.Network(WIDTHS, dtype="float64", seed=2)
    held = held_rows(ROWS, WIDTHS[0], 8, validation, SEED)

    def written(options):
        asked = Asked(**options)
        regime = checked_regime(WIDTHS, ROWS - held.size, held.size, loss=loss, seed=SEED, **given(asked))
        order = Order(ROWS, 8 * WIDTHS[0], SEED, "permutation", held, regime.lanes)
        return trained(asked, network, X, y, loss, order, regime)

    found = rnla.nn.train(network, X, y, loss=loss, seed=SEED, validation=validation, **given(Asked(**options)))
    # sums of a step have a term for each sample and each neuron on the way; a step of descent lengthens no error
    rounding = sum_rounding("f8", Asked().batch + sum(WIDTHS)) * np.abs(found.network.parameters).max()
    return found.network.parameters, written, found.certificate.steps * rounding


def given(asked):
    """The same as `rnla.nn.train` takes it."""
    return asdict(asked) | {"clip": None if asked.clip == math.inf else asked.clip}


@pytest.mark.parametrize(("loss", "options"), TABLE)
def test_training_is_descent_as_it_is_written_out(loss, options):
    found, written, within = sides(loss, options)
    assert np.abs(found - written(options)).max() <= within
    for name in set(options) - {"learning_rate", "local_steps"}:  # each one matters, and so is tested
        plain = {other: value for other, value in options.items() if other != name}
        if options[name] != getattr(Asked(), name) and name not in {"optimizer", "replicas"}:
            assert np.abs(found - written(plain)).max() > 1e3 * within, name


@pytest.mark.parametrize("way", ROUNDS)
@pytest.mark.parametrize("validation", [0, 57])
def test_training_by_several_buffers_is_as_it_is_written_out(monkeypatch, way, validation):
    monkeypatch.setattr(rnla.sweeps.orders, "BLOCK_BYTES", 8 * 8 * WIDTHS[0])
    monkeypatch.setattr(rnla.sweeps.orders, "BUFFER_BLOCKS", 6)
    monkeypatch.setattr(rnla.sweeps.orders, "LEAST_BLOCKS", 3)
    options = ROUNDS[way] | {"averaging": True, "batch": 9}
    found, written, within = sides("cross-entropy", options, validation)
    assert np.abs(found - written(options)).max() <= within
