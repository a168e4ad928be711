"""Rules of descent against their formulas, written out in float64; what is refused, and in which words."""

import math

import numpy as np
import pytest

from rnla.algorithms.steps import checked_rule, step
from rnla.errors import RequestError
from tests.tolerances import eps

SIZE, STEPS = 17, 12
ROUNDINGS = 50  # of one number in one step, at most: each rule makes fewer operations than that
CURVES = np.linspace(0.1, 2.0, SIZE)

RULES = {
    "sgd": {"momentum": 0.0},
    "sgd, decay": {"momentum": 0.0, "weight_decay": 0.05},
    "sgd, clipped": {"momentum": 0.0, "clip": 1.5},
    "sgd, clipped and decay": {"momentum": 0.0, "clip": 1.5, "weight_decay": 0.05},
    "momentum": {},
    "momentum, decay": {"weight_decay": 0.05},
    "momentum, clipped": {"clip": 1.5},
    "momentum, clipped and decay": {"clip": 1.5, "weight_decay": 0.05, "momentum": 0.5},
    "momentum, 1/k": {"schedule": "1/k", "horizon": 4},
    "nesterov": {"optimizer": "nesterov"},
    "nesterov, decay": {"optimizer": "nesterov", "weight_decay": 0.05},
    "nesterov, clipped, cosine": {"optimizer": "nesterov", "clip": 1.5, "schedule": "cosine", "horizon": STEPS},
    "adam": {"optimizer": "adam"},
    "adam, decay": {"optimizer": "adam", "weight_decay": 0.05},
    "adam, clipped": {"optimizer": "adam", "clip": 1.5},
    "adam, all": {
        "optimizer": "adam",
        "clip": 1.5,
        "weight_decay": 0.05,
        "schedule": "cosine",
        "horizon": STEPS,
        "warmup": 3,
    },
}


def slope(x):
    """Of a smooth function that has no symmetry."""
    return CURVES * x + np.sin(x)


def rates(*, learning_rate=0.1, schedule="constant", warmup=0, horizon=1, **_):
    """The learning rate of each step."""
    found = []
    for k in range(STEPS):
        if k < warmup:
            found.append(learning_rate * (k + 1) / (warmup + 1))
        elif schedule == "1/k":
            found.append(learning_rate / (1 + (k - warmup) / horizon))
        elif schedule == "cosine":
            found.append(learning_rate / 2 * (1 + math.cos(math.pi * min(1, (k - warmup) / (horizon - warmup)))))
        else:
            found.append(learning_rate)
    return found


def by_hand(x, *, optimizer="sgd", momentum=0.9, weight_decay=0.0, clip=None, **schedule):
    """The points of the first steps, as the papers write them."""
    points, v, q = [x], np.zeros(SIZE), np.zeros(SIZE)
    for k, eta in enumerate(rates(**schedule)):
        g = slope(x)
        if clip is not None:
            g = g * min(1.0, clip / np.sqrt(np.sum(g**2)))
        if optimizer == "adam":
            v, q = 0.9 * v + 0.1 * g, 0.999 * q + 0.001 * g**2
            unbiased = v / (1 - 0.9 ** (k + 1)) / (np.sqrt(q / (1 - 0.999 ** (k + 1))) + 1e-8)
            x = x - eta * weight_decay * x - eta * unbiased
        else:
            g = g + weight_decay * x
            v = momentum * v + g
            x = x - eta * (g + momentum * v if optimizer == "nesterov" else v)
        points.append(x)
    return np.array(points)


def walked(x, dtype, given, *, f=slope, steps=STEPS):
    """The same points from the library; each gradient is put where it is wanted, on top of what is kept."""
    rule = checked_rule(**given)
    x, kept = x.astype(dtype), np.zeros((rule.moments, x.size), dtype)
    points, spare = [x.copy()], np.full_like(x, np.nan)

    def put(into, keep):
        into[...] = f(x.astype("f8")) + (keep * into if keep else 0)

    for number in range(steps):
        step(rule, x, kept, number, put, spare)
        points.append(x.copy())
    assert x.dtype == kept.dtype == dtype
    return np.array(points)


def start():
    return np.random.default_rng(0).standard_normal(SIZE)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", RULES)
def test_steps_are_those_of_the_formulas(name, dtype):
    x = start().astype(dtype).astype("f8")
    expected = by_hand(x, **RULES[name])
    found = walked(x, dtype, RULES[name])
    allowed = ROUNDINGS * eps(dtype) * np.arange(STEPS + 1)[:, None] * np.abs(expected).max()  # adds up step by step
    assert np.all(np.abs(found - expected) <= allowed)
    assert np.abs(np.diff(expected, axis=0)).max() > 100 * allowed.max()  # the walk is long enough to tell rules apart


def test_rules_differ():
    ends = [by_hand(start(), **given)[-1] for given in RULES.values()]
    apart = [np.abs(a - b).max() for i, a in enumerate(ends) for b in ends[:i]]
    assert min(apart) > ROUNDINGS * STEPS * eps("f4") * 3


@pytest.mark.parametrize("schedule", ["constant", "1/k", "cosine"])
@pytest.mark.parametrize("warmup", [0, 1, 5])
def test_rates_follow_their_schedule(schedule, warmup):
    rule = checked_rule(learning_rate=0.3, schedule=schedule, warmup=warmup, horizon=9)
    expected = rates(learning_rate=0.3, schedule=schedule, warmup=warmup, horizon=9)
    found = [rule.rate(number) for number in range(STEPS)]
    assert np.allclose(found, expected, rtol=8 * eps("f8"), atol=eps("f8"))
    assert max(found) == found[warmup] == 0.3
    assert np.all(np.diff(found[: warmup + 1]) > 0)
    assert np.all(np.diff(found[warmup:]) <= 0)


def test_rates_at_marked_steps():
    halved = checked_rule(learning_rate=1.0, schedule="1/k", horizon=6)
    assert halved.rate(6) == 0.5
    fallen = checked_rule(learning_rate=1.0, schedule="cosine", warmup=2, horizon=10)
    assert abs(fallen.rate(6) - 0.5) <= eps("f8")
    assert fallen.rate(10) == fallen.rate(1000) == 0.0
    assert checked_rule(schedule="cosine", warmup=5, horizon=5).rate(5) == 0.1  # all of it is warmup
    assert checked_rule(schedule="1/k", horizon=0).rate(0) == 0.1


@pytest.mark.parametrize(("given", "moments"), [("sgd", 1), ("nesterov", 1), ("adam", 2)])
def test_vectors_are_kept_as_a_rule_needs(given, moments):
    assert checked_rule(optimizer=given).moments == moments
    assert checked_rule(optimizer="sgd", momentum=0).moments == 0


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_gradient_is_clipped_only_where_it_is_longer(dtype):
    for length in (0.5, 2.0):
        x = np.zeros(SIZE)
        direction = np.ones(SIZE) / np.sqrt(SIZE)
        given = {"momentum": 0.0, "learning_rate": 1.0, "clip": 1.0}
        found = walked(x, dtype, given, f=lambda _, length=length, to=direction: length * to, steps=1)[-1]
        assert np.abs(found + min(length, 1.0) * direction).max() <= ROUNDINGS * eps(dtype)


def test_the_largest_gradients_of_float32_are_clipped_too():
    huge = np.full(SIZE, 1e30)  # whose squares float32 does not hold
    given = {"momentum": 0.0, "learning_rate": 1.0, "clip": 1.0}
    found = walked(np.zeros(SIZE), "f4", given, f=lambda _: huge, steps=1)[-1]
    assert np.abs(found + 1 / np.sqrt(SIZE)).max() <= ROUNDINGS * eps("f4")


@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov", "adam", "adam, clipped"])
def test_without_a_gradient_nothing_moves(name):
    found = walked(start(), "f8", RULES[name], f=np.zeros_like)
    assert np.array_equal(found[-1], found[0])


def test_numbers_of_numpy_are_numbers():
    given = {"learning_rate": np.float32(0.5), "momentum": np.float64(0), "clip": np.int64(2), "warmup": np.int64(3)}
    rule = checked_rule(**given)
    assert (rule.learning_rate, rule.momentum, rule.clip, rule.warmup) == (0.5, 0.0, 2.0, 3)
    assert type(rule.warmup) is int
    assert checked_rule(learning_rate=1).learning_rate == 1.0
    assert checked_rule(clip=math.inf).clip == math.inf


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"optimizer": "adamw"}, "optimizer='adamw' must be one of sgd, nesterov, adam"),
        ({"optimizer": None}, "optimizer=None must be one of"),
        ({"schedule": "step"}, "schedule='step' must be one of constant, 1/k, cosine"),
        ({"learning_rate": 0}, "learning_rate=0 must be positive"),
        ({"learning_rate": -0.1}, "learning_rate=-0.1 must be positive"),
        ({"learning_rate": math.inf}, "learning_rate=inf must be positive"),
        ({"learning_rate": math.nan}, "learning_rate=nan must be positive"),
        ({"learning_rate": "0.1"}, "learning_rate='0.1' must be a number"),
        ({"learning_rate": True}, "learning_rate=True must be a number"),
        ({"learning_rate": 1j}, "learning_rate=1j must be a number"),
        ({"learning_rate": np.True_}, "must be a number"),
        ({"momentum": 1}, "momentum=1 must lie in 0 <= momentum < 1"),
        ({"momentum": -0.1}, "momentum=-0.1 must lie in"),
        ({"momentum": math.nan}, "momentum=nan must lie in"),
        ({"momentum": None}, "momentum=None must be a number"),
        ({"weight_decay": -1e-9}, "weight_decay=-1e-09 must not be negative"),
        ({"weight_decay": math.inf}, "weight_decay=inf must not be negative"),
        ({"weight_decay": math.nan}, "weight_decay=nan must not be negative"),
        ({"weight_decay": [0.1]}, "must be a number"),
        ({"optimizer": "nesterov", "momentum": 0}, "optimizer='nesterov' needs a momentum above 0, such as 0.9"),
        ({"clip": 0}, "clip=0 must be positive, the largest norm of a gradient, or None"),
        ({"clip": -1.0}, "clip=-1.0 must be positive"),
        ({"clip": math.nan}, "clip=nan must be positive"),
        ({"clip": "1"}, "clip='1' must be a number"),
        ({"warmup": -1}, "warmup=-1 must be"),
        ({"warmup": 1.5}, "warmup=1.5 must be"),
        ({"warmup": True}, "warmup=True must be"),
        ({"warmup": None}, "warmup=None must be"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_in_words(given, words):
    with pytest.raises(RequestError, match=words):
        checked_rule(**given)
