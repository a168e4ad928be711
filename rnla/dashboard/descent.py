"""Reports of descent studies: errors against steps beside theory, samplings, semi-convergence."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnla.dashboard import curves
from rnla.dashboard.account import Account
from rnla.dashboard.axes import Axis, counting, linear, logarithmic
from rnla.dashboard.curves import Curve
from rnla.dashboard.page import Section, Table, Tile, figure, html, pair
from rnla.dashboard.reading import Shown
from rnla.dashboard.spelling import TIMES, known, number
from rnla.dashboard.words import matrix, store_name

LOOKS = 300  # points of a curve
MOST_ROUNDING = 1e-6  # errors above this are no rounding, whatever the condition
LATEST = 0.6  # of all steps: methods that end later are shown whole
STYLES = {"gradient": "c0", "accelerated": "c1", "heavy ball": "c2"}
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
        sections.insert(0, Section("How far from the truth", truth(result)))
    return Account(
        title=f"Descent on {store_name(result)}",
        what_html=f"Least squares with {matrix(result)}; AᵀA has condition <b>{number(c.get('condition'), 4)}</b>.",
        wrong_html=words(c),
        numbers=tiles(c),
        sections=tuple(sections),
        meaning_html=MEANING,
        meaning_heading="What the numbers mean",
        wrong_heading="What was seen",
        certified=False,
    )


def words(c: dict[str, Any]) -> str:
    """Semi-convergence, rates and comparisons in sentences."""
    rates = c.get("rates") or {}
    told = "".join(semi_convergence(method, rate) for method, rate in rates.items() if "truth" in rate)
    off = [abs(rate["measured"] / rate["theory"] - 1) for rate in rates.values() if known(rate["measured"])]
    if off:
        told += f"Measured rates are within {100 * max(off):.0f} % of theory. "
    elif rates:
        least = float(f"{min(1 / rate['theory'] for rate in rates.values()):.1e}")
        told += (
            f"No rate is seen: by theory the slowest part of the error takes some {number(least, 2)} steps or more. "
        )
    for sampling, seen in (c.get("comparisons") or {}).items():
        told += (
            f"Draws by {sampling} leave {number(seen['ratio'], 3)} times what permutations leave "
            f"(95 %: {number(seen['low'], 3)} to {number(seen['high'], 3)}). "
        )
    return told


def semi_convergence(method: str, rate: dict[str, Any]) -> str:
    """How near the truth a method comes, and what is left of that, in a sentence."""
    seen = rate["truth"]
    if seen["at"] == 0:
        return f"By {method} the error only grows, to {number(seen['end'], 3)} times the truth. "
    stop = ""
    if known(seen["stopped"]):
        stop = f"; at step {rate['stopped']:,}, where the residual is as small as the noise, it is "
        stop += f"<b>{number(seen['stopped'], 3)}</b>"
    elif rate["stopped"] is None:
        stop = "; no step was found where the residual is as small as the noise"
    grows = f", and at the end, step {seen['steps']:,}, {number(seen['end'], 3)}" if seen["at"] < seen["steps"] else ""
    least = f"<b>{number(seen['least'], 3)}</b> at step {seen['at']:,}"
    return f"By {method} the error against the truth is least, {least}{stop}{grows}. "


def tiles(c: dict[str, Any]) -> tuple[Tile, ...]:
    """The numbers that matter, large."""
    rates = c.get("rates") or {}
    found: list[Tile] = [("Condition of AᵀA", number(c.get("condition"), 3), "")]
    for method, rate in rates.items():
        if (seen := rate.get("truth")) is not None and seen["at"]:
            stop = f"at the stop {number(seen['stopped'], 3)}, " if known(seen["stopped"]) else ""
            remark = f"step {seen['at']:,}; {stop}at the end {number(seen['end'], 3)}"
            found.append((f"Least error, {method}", number(seen["least"], 3), remark))
    found += [
        (f"Rate, {method}", number(rate["measured"], 3), f"theory {number(rate['theory'], 3)}")
        for method, rate in rates.items()
        if known(rate["measured"])
    ]
    return tuple(found)


def method_curves(result: Shown, kind: str, *, until: float = np.inf, evenly: bool = True) -> list[Curve]:
    """One curve for each method, thinned: evenly, or ever more seldom, as a logarithmic axis wants them."""
    found = []
    for method, style in STYLES.items():
        name = method.replace(" ", "_")
        if f"{kind}_{name}" not in result.arrays:
            continue
        steps, values = result.arrays[f"steps_{name}"], result.arrays[f"{kind}_{name}"]
        drawn = np.flatnonzero((steps <= until) & (values > 0) & np.isfinite(values))
        last = max(drawn.size - 1, 1)
        spread = np.linspace(0, last, LOOKS) if evenly else np.geomspace(1, last + 1, LOOKS) - 1
        at = drawn[np.unique(spread.round().astype(int).clip(0, drawn.size - 1))] if drawn.size > LOOKS else drawn
        if at.size:
            found.append(Curve(method, steps[at], values[at], style, number(float(values[at[-1]]), 2)))
    return found


def ended(result: Shown) -> float:
    """The step after which the errors of all methods are rounding; infinite where that is late or never."""
    floor = min(1e3 * float(np.finfo(np.float64).eps) * float(result.certificate["condition"]), MOST_ROUNDING)
    last, steps = 0.0, 1.0
    for name in (method.replace(" ", "_") for method in STYLES):
        if f"errors_{name}" in result.arrays:
            at, values = result.arrays[f"steps_{name}"], result.arrays[f"errors_{name}"]
            low = np.flatnonzero(values <= floor)
            last, steps = max(last, float(at[low[0]]) if low.size else np.inf), max(steps, float(at[-1]))
    return 1.4 * last + 3 if last < LATEST * steps else np.inf


def gradients(result: Shown) -> str:
    """Errors against steps, and rates beside theory."""
    until = ended(result)
    drawn = method_curves(result, "errors", until=until)
    x = linear("step", np.concatenate([curve.xs for curve in drawn]), pad=0.0)
    y = logarithmic("error, |x - x*| / |x*|", np.concatenate([curve.ys for curve in drawn]))
    plot = curves.comparison(drawn, x, y, "Error against steps")
    rows = [(method, *spelt_rate(rate)) for method, rate in result.certificate["rates"].items()]
    table = html(Table(("method", "measured rate", "theory", f"{TIMES} theory"), rows, texts=(0,)))
    rest = "" if np.isinf(until) else " The steps that follow are rounding."
    words = f"x* is the solution of least norm; a straight line is a constant rate.{rest}"
    return pair(figure(plot, words, "Error"), f"<div>{table}</div>")


def spelt_rate(rate: dict[str, Any]) -> tuple[str, str, str]:
    """Measured, theory, and the one over the other."""
    theory = number(rate["theory"], 4)
    if not known(rate["measured"]):
        return "not seen", theory, ""
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
    drawn = method_curves(result, "true_errors", evenly=False)
    shifted = [Curve(c.name, c.xs + 1, c.ys, c.style, c.end) for c in drawn]
    x = logarithmic("step + 1", np.concatenate([curve.xs for curve in shifted]))
    y = logarithmic("error against the truth", np.concatenate([curve.ys for curve in shifted]))
    rates = result.certificate["rates"]
    rings = [
        (rate["stopped"] + 1.0, rate["truth"]["stopped"], f"stop of {method}: step {rate['stopped']:,}")
        for method, rate in rates.items()
        if rate["stopped"] is not None and known(rate.get("truth", {}).get("stopped"))
    ]
    plot = curves.comparison(shifted, x, y, "Error against the truth", rings=rings)
    ringed = " Ringed: where the residual is first as small as the noise." if rings else ""
    rows = []
    for method, rate in rates.items():
        seen = rate.get("truth") or {}
        stop = "" if rate["stopped"] is None else f"{rate['stopped']:,}"
        at_stop = number(seen.get("stopped"), 3) if known(seen.get("stopped")) else ""
        where = f"{seen['at']:,}" if "at" in seen else ""
        rows.append((method, number(seen.get("least"), 3), where, at_stop, stop, number(seen.get("end"), 3)))
    heads = ("method", "least error", "at step", "error at the stop", "stop at step", "error at the end")
    return pair(
        figure(plot, f"|x - truth| / |truth|.{ringed}", "Semi-convergence"),
        f"<div>{html(Table(heads, rows, texts=(0,)))}</div>",
    )
