"""Reports of squared norms: how the energy of a matrix is spread over its columns and rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rnla.arrays import Array
from rnla.dashboard import curves
from rnla.dashboard.account import Account
from rnla.dashboard.axes import Axis
from rnla.dashboard.curves import Curve
from rnla.dashboard.page import Section, Table, Tile, figure, html, pair
from rnla.dashboard.reading import Shown, names, strips_of
from rnla.dashboard.spelling import known, number, percent
from rnla.dashboard.words import matrix, store_name

DRAWN = 400  # points of a curve
LARGEST = 20
MEANING = """
<p><b>Squared norms.</b> The squared norm of a column is the sum of the squares of its entries; those of all columns,
like those of all rows, add up to ‖A‖², the energy of the matrix. Draws by these weights are the norm-squared draws of
sampled products and of CUR: they help where few columns hold most of the energy, and are no better than uniform draws
where all columns are alike.</p>
"""


@dataclass(frozen=True)
class Norms:
    """Squared norms of the lines of one side, largest first, as far as they were read."""

    noun: str
    length: int
    values: Array  # (seen,) decreasing
    indices: Array  # (seen,)
    axis: str
    names: list[str] | None  # of all lines

    @property
    def whole(self) -> bool:
        """Whether all were read."""
        return self.values.size == self.length

    @property
    def together(self) -> Array:
        """Share of the energy read that the largest 1, 2, ... hold."""
        total = float(self.values.sum())
        return np.cumsum(self.values) / total if total > 0 else np.zeros(self.values.size)

    def held(self, share: float) -> float:
        """Energy in the largest lines, so large a share of all (one line at least)."""
        return float(self.together[max(1, round(share * self.values.size)) - 1])


def norms_of(result: Shown, noun: str) -> Norms:
    """The squared norms of columns or of rows, from at most so many strips of them."""
    source = result.factor(f"{noun}_norms")
    length = source.shape[0]
    strips = list(strips_of(length, source.chunks[0], source.dtype.itemsize))
    values = np.concatenate([np.asarray(source.read(strip, slice(0, 1)))[:, 0] for strip in strips])
    indices = np.concatenate([np.arange(strip.start, strip.stop) for strip in strips])
    order = np.argsort(-values, kind="stable")
    axis = result.axis(f"{noun}_norms", 0)
    return Norms(noun, length, values[order], indices[order], axis, names(result, axis))


def account(result: Shown) -> Account:
    """What is said of a result of column-norms."""
    sides = norms_of(result, "column"), norms_of(result, "row")
    exact = result.certificate.get("exact")
    how = "Sums of squares of integers, exact and rounded once." if exact else "Sums in float64, right to rounding."
    return Account(
        title=f"Norms of {store_name(result)}",
        what_html=f"The squared norms of all columns and rows of {matrix(result)}, and its Frobenius norm "
        f"<b>{number(result.certificate.get('frobenius_norm'), 6)}</b>.",
        wrong_html=how,
        numbers=numbers(result, sides),
        sections=(Section("How the energy is spread", spread(sides)), Section("The largest", largest(sides))),
        meaning_html=MEANING,
    )


def numbers(result: Shown, sides: tuple[Norms, Norms]) -> tuple[Tile, ...]:
    """The numbers that matter, large."""
    norm = result.certificate.get("frobenius_norm")
    held = [
        (f"Largest 1 % of {side.noun}s", percent(side.held(0.01)), "of the energy" if side.whole else "about")
        for side in sides
    ]
    return (
        ("Frobenius norm", number(norm, 5) if known(norm) else "not known", ""),
        *held,
        ("Zero columns", f"{int((sides[0].values == 0).sum()):,}", f"of {sides[0].values.size:,}"),
        ("Zero rows", f"{int((sides[1].values == 0).sum()):,}", f"of {sides[1].values.size:,}"),
    )


def spread(sides: tuple[Norms, Norms]) -> str:
    """Sorted squared norms, and what the largest hold together."""
    pieces = [curve_points(side) for side in sides]
    if not any(side.values[0] > 0 for side in sides):
        return "<p>The matrix is zero.</p>"
    ordered = [
        Curve(f"{side.noun}s", xs, side.values[at] / side.values.mean(), style)
        for side, (xs, at), style in zip(sides, pieces, ("c1", "c2"), strict=True)
    ]
    sums = [
        Curve(f"{side.noun}s", np.append(0.0, xs), np.append(0.0, 100 * side.together[at]), style)
        for side, (xs, at), style in zip(sides, pieces, ("c1", "c2"), strict=True)
    ]
    marks = tuple((float(v), f"{v}") for v in range(0, 101, 20))
    x = Axis("share of the columns or rows, largest first (%)", 0, 100, marks=marks)
    y = curves.values_axis("squared norm over its mean", np.concatenate([curve.ys for curve in ordered]))
    left = curves.comparison(ordered, x, y, "Squared norms, sorted")
    right = curves.comparison(sums, x, Axis("share of the energy (%)", 0, 102, marks=marks), "Energy of the largest")
    sampled = [f"{side.noun}s" for side in sides if not side.whole]
    note = f" Of the {' and '.join(sampled)}, strips at even distances were read." if sampled else ""
    return pair(
        figure(left, f"Squared norms in decreasing order; 1 is the mean.{note}", "Squared norms"),
        figure(right, "A straight line would mean that all are alike.", "Energy of the largest together"),
    )


def curve_points(side: Norms) -> tuple[Array, Array]:
    """Shares of the lines in percent, and the places in the order at which a curve is drawn."""
    count = side.values.size
    at = np.unique(np.geomspace(1, count, min(count, DRAWN)).round().astype(int)) - 1
    at = np.unique(np.append(at, np.linspace(0, count - 1, min(count, DRAWN)).round().astype(int)))
    return 100 * (at + 1) / count, at


def largest(sides: tuple[Norms, Norms]) -> str:
    """Tables of the columns and rows with the largest norms."""
    return pair(*(f"<div>{table(side)}</div>" for side in sides))


def table(side: Norms) -> str:
    """The lines of one side with the largest norms."""
    total = float(side.values.sum())
    named = side.names or []
    rows = [
        (
            f"{index:,}",
            *named[index : index + 1],
            number(value, 5),
            percent(value / total) if total else "",
            percent(float(together), 4),
        )
        for index, value, together in zip(
            side.indices[:LARGEST].tolist(), side.values[:LARGEST].tolist(), side.together, strict=False
        )
    ]
    heads = (side.noun, *([side.axis] if named else []), "squared norm", "share", "together")
    return html(Table(heads, rows, texts=(1,) if named else ()))
