"""Reports of descent studies: errors against steps beside theory, samplings, semi-convergence."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnla.arrays import Array
from rnla.dashboard import curves
from rnla.dashboard.account import Account
from rnla.dashboard.axes import Axis, counting, linear, logarithmic
from rnla.dashboard.curves import Curve
from rnla.dashboard.page import Section, Table, Tile, figure, html, pair
from rnla.dashboard.reading import Shown
from rnla.dashboard.spelling import TIMES, known, number
from rnla.dashboard.words import matrix, store_name

LOOKS = 300  # points of a curve
MEANING = """
<p><b>Rate.</b> What share of the error a step takes away, once the slowest direction is all that is left: 1/κ for
descent along the gradient, 1/√κ with Nesterov's momentum, about 2/√κ with Polyak's, κ being the condition of AᵀA.
<b>Beyond the least.</b> The mean loss less the least there is, which follows from AᵀA exactly. <b>Semi-convergence.</b>
Where A is ill-posed and b has noise, the error falls, then grows: stop when the residual is as small as the noise.</p>
"""


def account(result: Shown) -> Account:
    """What is said of a result of descent-study."""
    c = result.certificate
    sections = [Section("Whole gradients", gradients(result))]
    if any(name.startswith("excess_") for name in result.arrays):
        sections.append(Section("Samples", samples(result)))
    if any(name.startswith("true_errors_") for name in result.arrays):
        sections.append(Section("How far from the truth", truth(result)))
    return Account(
        title=f"Descent on {store_name(result)}",
        what_html=f"Least squares with {matrix(result)}; AᵀA has condition <b>{number(c.get('condition'), 4)}</b>.",
        wrong_html=words(c),
        numbers=tiles(c),
        sections=tuple(sections),
        meaning_html=MEANING,
        wrong_heading="What was seen",
    )


def words(c: dict[str, Any]) -> str:
    """Rates and comparisons in sentences."""
    rates = c.get("rates") or {}
    off = [abs(rate["measured"] / rate["theory"] - 1) for rate in rates.values() if known(rate["measured"])]
    told = (
        f"Measured rates are within {100 * max(off):.0f} % of theory. "
        if off
        else ("In so few steps the error has not fallen far enough for a rate to be measured. ")
    )
    for sampling, seen in (c.get("comparisons") or {}).items():
        told += (
            f"Draws by {sampling} leave {number(seen['ratio'], 3)} times what permutations leave "
            f"(95 %: {number(seen['low'], 3)} to {number(seen['high'], 3)}). "
        )
    return told


def tiles(c: dict[str, Any]) -> tuple[Tile, ...]:
    """The numbers that matter, large."""
    rates = c.get("rates") or {}
    found: list[Tile] = [("Condition of AᵀA", number(c.get("condition"), 3), "")]
    found += [
        (f"Rate, {method}", number(rate["measured"], 3), f"theory {number(rate['theory'], 3)}")
        for method, rate in rates.items()
        if known(rate["measured"])
    ]
    return tuple(found)


def method_curves(result: Shown, kind: str) -> list[Curve]:
    """One curve for each method, thinned."""
    found = []
    for style, method in zip(("c0", "c1", "c2"), ("gradient", "accelerated", "heavy_ball"), strict=True):
        if f"{kind}_{method}" not in result.arrays:
            continue
        steps, values = result.arrays[f"steps_{method}"], result.arrays[f"{kind}_{method}"]
        at = np.unique(np.linspace(0, steps.size - 1, min(steps.size, LOOKS)).round().astype(int))
        at = at[values[at] > 0]
        found.append(Curve(method.replace("_", " "), steps[at], values[at], style, number(float(values[at[-1]]), 2)))
    return found


def gradients(result: Shown) -> str:
    """Errors against steps, and rates beside theory."""
    drawn = method_curves(result, "errors")
    x = linear("step", np.concatenate([curve.xs for curve in drawn]), pad=0.0)
    y = logarithmic("error over that of zero", np.concatenate([curve.ys for curve in drawn]))
    plot = curves.comparison(drawn, x, y, "Error against steps")
    rows = [(method, *spelt_rate(rate)) for method, rate in result.certificate["rates"].items()]
    table = html(Table(("method", "measured rate", "theory", f"{TIMES} theory"), rows, texts=(0,)))
    return pair(figure(plot, "|x - x*| / |x*|; a straight line is a constant rate.", "Error"), f"<div>{table}</div>")


def spelt_rate(rate: dict[str, Any]) -> tuple[str, str, str]:
    """Measured, theory, and the one over the other."""
    theory = number(rate["theory"], 4)
    if not known(rate["measured"]):
        return "too few steps", theory, ""
    return number(rate["measured"], 4), theory, f"{rate['measured'] / rate['theory']:.3f}"


def samples(result: Shown) -> str:
    """Loss beyond the least by epoch, mean over seeds of its logarithm."""
    drawn, rows = [], []
    for style, name in (("c0", "permutation"), ("c1", "replacement"), ("c2", "norm_squared")):
        excess = result.arrays[f"excess_{name}"]
        mean = np.exp(np.log(np.maximum(excess, 1e-300)).mean(axis=0))
        drawn.append(Curve(name.replace("_", "-"), np.arange(mean.size), mean, style, number(float(mean[-1]), 2)))
    for sampling, seen in result.certificate["comparisons"].items():
        rows.append((sampling, *(number(seen[end], 3) for end in ("ratio", "low", "high"))))
    count = drawn[0].xs.size - 1
    marks = tuple(tick for tick in counting("", count).ticks if tick[0] > 1 or count < 9)
    x = Axis("epoch", 0, max(count, 1), marks=((0.0, "0"), *marks))
    y = logarithmic("mean loss beyond the least", np.concatenate([curve.ys for curve in drawn]))
    plot = curves.comparison(drawn, x, y, "Loss beyond the least against epochs")
    table = html(Table(("sampling", f"{TIMES} permutation", "from", "to"), rows, texts=(0,)))
    beside = f"<div><p>At the end, with 95 % of confidence:</p>{table}</div>"
    return pair(figure(plot, "Geometric mean over seeds.", "By way of drawing"), beside)


def truth(result: Shown) -> str:
    """The error of iterates against the truth, and where the discrepancy principle stops."""
    drawn = method_curves(result, "true_errors")
    shifted = [Curve(c.name, c.xs + 1, c.ys, c.style, c.end) for c in drawn]
    x = logarithmic("step + 1", np.concatenate([curve.xs for curve in shifted]))
    y = logarithmic("error against the truth", np.concatenate([curve.ys for curve in shifted]))
    stops = {m: r["stopped"] for m, r in result.certificate["rates"].items() if r["stopped"] is not None}
    mark = (stops["gradient"] + 1.0, f"stop: step {stops['gradient']:,}") if "gradient" in stops else None
    plot = curves.comparison(shifted, x, y, "Error against the truth", mark=mark)
    rows = []
    for curve in drawn:
        best = int(np.argmin(curve.ys))
        stop = stops.get(curve.name)
        at = "" if stop is None else f"{stop:,}"
        found = "" if stop is None else number(_at(curve, stop), 3)
        rows.append((curve.name, f"{int(curve.xs[best]):,}", number(float(curve.ys[best]), 3), at, found))
    heads = ("method", "least error at step", "least error", "stopped at step", "error there")
    table = html(Table(heads, rows, texts=(0,)))
    return pair(figure(plot, "|x - truth| / |truth|.", "Semi-convergence"), f"<div>{table}</div>")


def _at(curve: Curve, step: int) -> float:
    """A curve at the step looked at that is nearest."""
    distances: Array = np.abs(curve.xs - step)
    return float(curve.ys[int(np.argmin(distances))])
