"""Reports of sampled products: expected against measured error, error against draws, what was drawn and read."""

from __future__ import annotations

import math
from html import escape
from typing import Any

import numpy as np

from rnla.arrays import spelt_bytes
from rnla.dashboard import curves
from rnla.dashboard.account import Account
from rnla.dashboard.axes import Axis, Frame, counting, logarithmic
from rnla.dashboard.curves import Curve, curve_marks
from rnla.dashboard.page import Section, Table, Tile, figure, folded, html, pair
from rnla.dashboard.plots import level
from rnla.dashboard.reading import Shown
from rnla.dashboard.spelling import TIMES, UNKNOWN, known, number, percent
from rnla.dashboard.words import matrix, store_name
from rnla.tables import counted

LISTED = 200  # draws in the table
TOLERANCES = (0.1, 0.05, 0.02, 0.01, 0.001)
MEANING = """
<p><b>Expected error.</b> A B is the sum of N terms, a column of A times a row of B each. Drawn by weights and scaled
rightly, their sum has A B as its mean, and the mean of ‖AB &minus; C‖² over draws is known from the norms of columns
and rows: with replacement ((Σ|a<sub>j</sub>||b<sub>j</sub>|)² &minus; ‖AB‖²)/draws for weights |a||b|. ‖AB‖ itself is
estimated by random probes that went along with the first read; the bound does without it.</p>
<p><b>Measured error.</b> The same probes tell the error of the draw that was made. It differs from the expected one, by
chance.</p>
"""


def account(result: Shown) -> Account:
    """What is said of a result of sampled-product."""
    c = result.certificate
    needed = c.get("needed")
    return Account(
        title=f"Sampled product of {store_name(result)}",
        what_html=what(result),
        wrong_html=wrong(result),
        numbers=numbers(result),
        sections=(
            Section("Error against the number of draws", against_draws(result)),
            Section("What was drawn", drawn(result)),
            Section("What was read", read(result)),
        ),
        meaning_html=MEANING,
        cure=f"it needs {counted(int(needed), 'draw')}" if known(needed) else "allow more draws",
    )


def again(result: Shown) -> bool:
    """Whether terms were drawn with replacement: not where as many draws as terms took each of them once."""
    chances = result.arrays["probabilities"]
    once = chances.size == result.certificate.get("draws") and bool((chances == 1).all())
    return bool(result.config.get("replace", True)) and not once


def relative(c: dict[str, Any], name: str) -> float | None:
    """An error of the certificate as a share of ||AB||."""
    error, norm = c.get(name), c.get("norm_estimate")
    return error / norm if known(error) and known(norm) and norm > 0 else None


def what(result: Shown) -> str:
    """What was computed."""
    c, config = result.certificate, result.config
    left = f"the transpose of {matrix(result)}" if config.get("transposed") else matrix(result)
    how = "with" if again(result) else "without"
    return (
        f"The product of {left} and {right(result)}, from <b>{counted(c.get('draws', 0), 'draw')}</b> {how} "
        f"replacement of its {c.get('terms', 0):,} terms ({c.get('different', 0):,} different), by the weights "
        f"{escape(str(config.get('weights', 'product')))}."
    )


def right(result: Shown) -> str:
    """The second matrix, by its size."""
    other = (result.record.get("others") or {}).get("right")
    if not other:
        return "the matrix itself" if result.config.get("transposed") else "its transpose"
    size = f" {TIMES} ".join(f"{side:,}" for side in other.get("shape", ()))
    return f"{'the transpose of ' if result.config.get('right_transposed') else ''}a {size} matrix"


def wrong(result: Shown) -> str:
    """The certificate in words."""
    c = result.certificate
    measured = relative(c, "measured_error")
    own = f" Of this draw, probes measured <b>{percent(measured)}</b>." if known(measured) else ""
    return (
        f"On average over draws, the error is <b>{percent(relative(c, 'expected_error'))}</b> of the product "
        f"(Frobenius norm, which is about {number(c.get('norm_estimate'), 4)}).{own}"
    )


def numbers(result: Shown) -> tuple[Tile, ...]:
    """The numbers that matter, large."""
    c = result.certificate
    bound = relative(c, "expected_error_bound")
    measured = relative(c, "measured_error")
    return (
        ("Expected error", percent(relative(c, "expected_error")), "of the product, over draws"),
        ("Measured error", percent(measured) if known(measured) else "not measured", "of this draw, by probes"),
        ("Bound", f"≤ {percent(bound)}" if known(bound) else "none", "on the expected error"),
        ("Draws", f"{c.get('draws', 0):,}", f"of {c.get('terms', 0):,} terms, {c.get('different', 0):,} different"),
    )


def against_draws(result: Shown) -> str:
    """Expected error over draws with the point of this job, and how many draws a tolerance needs."""
    c = result.certificate
    expected, count = relative(c, "expected_error"), int(c.get("draws") or 0)
    if not known(expected) or expected <= 0 or count < 1:
        return "<p>The product is exact, or its norm is not known: there is no curve.</p>"
    draws = np.geomspace(max(1.0, count / 100), count * 100, 60)
    bound = relative(c, "expected_error_bound")
    lines = [Curve("bound", draws, 100 * bound * np.sqrt(count / draws), "c0")] if known(bound) else []
    lines.append(Curve("expected", draws, 100 * expected * np.sqrt(count / draws), "c1"))
    others = by_other_weights(result)
    lines += [
        Curve(kind, draws, 100 * error * np.sqrt(count / draws), "c2") for kind, error in others.items() if error > 0
    ]
    y = logarithmic("relative error (%)", np.concatenate([line.ys for line in lines]))
    points = [(expected, "c1", "expected")]
    measured = relative(c, "measured_error")
    points += [(measured, "c2", "measured")] if known(measured) else []
    marks = [Curve(name, np.array([count]), np.array([100 * value]), style) for value, style, name in points]
    plot = error_plot(lines, marks, logarithmic("draws", draws), y, count)
    falls = (
        "falls as one over the root of the draws"
        if again(result)
        else ("falls at least as one over the root of the draws, and to zero when every term is drawn")
    )
    most = int(c.get("terms") or count)  # each of them once is exact
    wanted = [(tol, math.ceil(count * (expected / tol) ** 2)) for tol in TOLERANCES]
    rows = [(percent(tol), f"{need:,}" if need < most else f"{most:,}, each once") for tol, need in wanted]
    square = "; square: measured for this draw" if known(measured) else ""
    dashed = ". Dashed: expected of draws by other weights" if others else ""
    caption = f"The expected error {falls}. Disc: expected for this job{square}{dashed}."
    table = html(Table(("expected error", "draws it needs" if again(result) else "draws it needs at most"), rows))
    if others:
        chosen = str(result.config.get("weights", "product"))
        same = sorted({chosen: expected, **others}.items(), key=lambda pair: pair[1])
        table += html(Table(("draws by", f"expected error at {count:,}"), [(kind, percent(e)) for kind, e in same]))
    return pair(figure(plot, caption), f"<div>{table}</div>")


def by_other_weights(result: Shown) -> dict[str, float]:
    """Expected relative error of as many draws by each kind of weights that this job did not take."""
    errors, norm = result.certificate.get("expected_errors") or {}, result.certificate.get("norm_estimate")
    chosen = result.config.get("weights", "product")
    return {kind: error / norm for kind, error in errors.items() if kind != chosen and known(norm) and norm > 0}


def error_plot(lines: list[Curve], marks: list[Curve], x: Axis, y: Axis, count: int) -> str:
    """Error against draws, with the points of this job."""
    extra = {mark.style: mark for mark in marks}
    frame = Frame(x, y, height=330, right=118)
    body = "".join(curve_marks(frame, line, discs=False) for line in lines)
    edge = frame.box[0] + frame.box[2] + 6
    ends = curves.spread([float(frame.down([line.ys[-1]])[0]) for line in lines], frame)
    body += "".join(
        f'<text class="name {line.style}" x="{edge:.1f}" y="{at + 4:.1f}">{line.name}</text>'
        for line, at in zip(lines, ends, strict=True)
    )
    (across,) = frame.across([count])
    for style, mark in extra.items():
        (down,) = frame.down(mark.ys)
        body += (
            f'<circle class="disc {style}" cx="{across:.1f}" cy="{down:.1f}" r="4.5"/>'
            if style == "c1"
            else f'<rect class="bar {style}" x="{across - 4:.1f}" y="{down - 4:.1f}" width="8" height="8"/>'
        )
    return frame.svg(curves.upright(frame, (count, f"this job: {count:,}")) + body, "Error against the number of draws")


def drawn(result: Shown) -> str:
    """Probabilities of what was drawn: as a curve in decreasing order, and the largest in a table."""
    chances, counts, indices = (result.arrays[name] for name in ("probabilities", "counts", "indices"))
    if not chances.size:
        return "<p>Nothing was drawn: all weights are zero.</p>"
    order = np.argsort(-chances, kind="stable")
    terms = int(result.certificate.get("terms") or chances.size)
    repeated = again(result)
    even = (1 if repeated else int(result.certificate.get("draws") or chances.size)) / terms
    y = logarithmic("probability of one draw" if repeated else "probability of being drawn", np.append(chances, even))
    frame = Frame(counting("drawn term, the likeliest first", chances.size), y)
    line = curve_marks(frame, Curve("", np.arange(1, chances.size + 1), chances[order], "c1"), discs=False)
    plot = frame.svg(level(frame, even, f"all alike: {number(even, 2)}", right=True) + line, "Probabilities, sorted")
    rows = [
        (f"{indices[i]:,}", f"{counts[i]:,}", number(float(chances[i]), 4), f"{number(float(chances[i] / even), 3)}")
        for i in order[:LISTED].tolist()
    ]
    often = "some more than once" if int(np.max(counts, initial=1)) > 1 else "none twice"
    heads = ("term", "times drawn", "probability", f"{TIMES} that of even draws")
    text = (
        f"<p>{counted(chances.size, 'different term')} of {terms:,}, {often}; the largest probability is "
        f"{number(float(chances.max() / even), 3)} times that of even draws.</p>"
    )
    if not repeated:
        text = f"<p>{counted(chances.size, 'term')} of {terms:,}, none twice.</p>"
    return text + pair(
        figure(plot, "Terms that were drawn, the likeliest first."), f"<div>{folded(Table(heads, rows), 'Terms')}</div>"
    )


def read(result: Shown) -> str:
    """Bytes of the reads for norms and probes, which are whole, and of the last, of chunks that hold what was drawn."""
    cost = result.record.get("cost") or {}
    spent, passes, sweeps = cost.get("bytes_read"), cost.get("passes"), cost.get("sweeps") or ()
    gathered = 2 if result.record.get("others") else 1  # sweeps: of A, and of B if it is not A^T
    if not known(spent) or not passes or len(sweeps) < gathered:
        return f"<p>Bytes read: {spelt_bytes(spent) if known(spent) else UNKNOWN}.</p>"
    first, second, size = sum(sweeps[:-gathered]), sum(sweeps[-gathered:]), spent / passes
    found = "for norms and probes" if first else "none: the norms were kept beside the stores"
    rows = [
        (name, spelt_bytes(count), percent(count / size))
        for name, count in (
            (f"first read, {found}", first),
            ("second read, of chunks with drawn terms", second),
            ("together", spent),
        )
    ]
    return html(Table(("", "bytes", "of the data"), rows))
