"""Reports of CUR and interpolative decompositions: three bases side by side, what fills them, where the lines lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnla.algorithms.bases import COMPARED
from rnla.arrays import Array
from rnla.dashboard import curves
from rnla.dashboard.axes import Axis, counting
from rnla.dashboard.curves import Curve
from rnla.dashboard.page import BLANK, Section, Table, figure, folded, html, pair
from rnla.dashboard.reading import Content, Shown, content, names
from rnla.dashboard.spelling import TIMES, known, number, percent
from rnla.tables import counted

SPACE = "\N{NO-BREAK SPACE}"
HEADINGS = ("Error against rank", "Two bases side by side", "Three bases side by side")  # for so many, from one
RANKS = (1, 2, 5)  # times powers of ten: rows of the table of errors


@dataclass(frozen=True)
class Lines:
    """Columns or rows that were chosen, in order."""

    indices: Array  # (c,)
    names: list[str] | None
    length: int  # of the axis that they are taken from
    axis: str  # its name

    @property
    def told(self) -> list[str]:
        """Names, or indices where there are none."""
        return self.names or [f"{index:,}" for index in self.indices.tolist()]


@dataclass(frozen=True)
class Bases:
    """A matrix in terms of its own columns (and rows) as a report shows it."""

    result: Shown
    columns: Lines
    rows: Lines | None
    errors: Array  # (j + 1,) relative, by the first 0, 1, ... columns and rows
    column_errors: Array  # (c + 1,)
    best_errors: Array  # (l + 1,); empty if not known
    selectors: dict[str, Array]  # (j + 1,) like `errors`, by the lines that other selectors would take

    @property
    def is_cur(self) -> bool:
        """Whether rows of the matrix are a factor too."""
        return bool(self.result.record.get("pipeline") == "cur")

    @property
    def floor(self) -> float:
        """Relative error that rounding hides."""
        c = self.result.certificate
        hidden, norm = c.get("rounding_floor"), c.get("frobenius_norm")
        return hidden / norm if known(hidden) and known(norm) and norm > 0 else 0.0

    def told(self, error: float) -> str:
        """A relative error as text; one that rounding hides is at most the rounding floor."""
        if error <= self.floor > 0:
            return f"≤{SPACE}{percent(self.floor, 2)}"
        return percent(error)


def bases_of(result: Shown) -> Bases:
    """The bases of a result of cur or id."""
    across = "R" if "R" in result.found.dimensions else "X"
    columns, rows = result.arrays["columns"], result.arrays.get("rows")
    m, n = result.factor("C").shape[0], result.factor(across).shape[1]
    along = None
    if rows is not None:
        along = Lines(rows, names(result, "row_names"), m, result.axis("C", 0))
    return Bases(
        result=result,
        columns=Lines(columns, names(result, "column_names"), n, result.axis(across, 1)),
        rows=along,
        errors=result.arrays["errors"],
        column_errors=result.arrays["column_errors"],
        best_errors=result.arrays["best_errors"],
        selectors=dict(zip(result.certificate.get("selectors") or (), result.arrays.get(COMPARED, ()), strict=True)),
    )


def sections(found: Bases) -> tuple[Section, ...]:
    """Errors, sparsity, places, the lines themselves."""
    heading = HEADINGS[len(curves_of(found)) - 1]
    lines = "Columns and rows" if found.rows is not None else "Columns"
    others = (Section("Selectors side by side", selectors(found)),) if found.selectors else ()
    return (
        Section(heading, compared(found)),
        *others,
        Section("What fills the factors", filled(found)),
        Section(f"Where the chosen {lines.lower()} lie", where(found)),
        Section(f"{lines} in the order of choice", chosen(found)),
    )


def compared(found: Bases) -> str:
    """Errors at equal rank as curves and as a table."""
    drawn = curves_of(found)
    if max(curve.xs.size for curve in drawn) < 2:
        return "<p>The matrix is zero: no column explains anything of it, and nothing is left.</p>"
    figures = [figure(error_plot(found, drawn), error_caption(found), "Error against rank")]
    if len(times := ratio_curves(found)) > 0:
        figures.append(figure(ratio_plot(times), "The same errors over that of the singular vectors of equal rank; "
                       "1 is the best there is.", "How many times the best"))  # fmt: skip
    return dependent(found) + beside(figures) + html(Table(*error_table(found)))


def beside(figures: list[str]) -> str:
    """Two figures side by side, or one of the same size."""
    return pair(*figures, *([BLANK] if len(figures) == 1 else []))


def dependent(found: Bases) -> str:
    """A remark when some of the columns follow from others: the curves end before all are taken."""
    count, taken = found.column_errors.size - 1, found.columns.indices.size
    if count >= taken:
        return ""
    return (
        f"<p>Of the {taken:,} columns only {count:,} are linearly independent to rounding, and the curves end with "
        f"those; the error above is that of all {'columns and rows' if found.is_cur else 'columns'}.</p>"
    )


def curves_of(found: Bases) -> list[Curve]:
    """The error of each basis against rank, in percent, as far as columns go."""
    bases = [("U of SVD", found.best_errors[: found.column_errors.size], "c0")]
    bases.append(("Q of QR" if found.is_cur else "C of ID", found.column_errors, "c1"))
    if found.is_cur:
        bases.append(("C M R of CUR", found.errors, "c2"))
    return [
        Curve(name, np.arange(errors.size), 100 * np.maximum(errors, found.floor), style, found.told(float(errors[-1])))
        for name, errors, style in bases
        if errors.size
    ]


def error_plot(found: Bases, drawn: list[Curve]) -> str:
    """The errors of the bases against rank."""
    values = np.concatenate([curve.ys for curve in drawn])
    y = curves.values_axis("relative error (%)", values)
    rank, count = int(found.result.certificate.get("rank") or 0), found.column_errors.size - 1
    marks = [(rank, f"k = {rank}")] if 0 < rank < count else []
    return curves.comparison(drawn, from_zero("rank", count), y,
                             "Relative error of each basis against rank; values in the table", marks=marks)  # fmt: skip


def from_zero(label: str, count: int) -> Axis:
    """An axis of 0..count with ticks at whole numbers."""
    marks = ((0.0, "0"), *((v, text) for v, text in counting("", count).ticks if v > 1 or count < 9))
    return Axis(label, 0, max(count, 1), marks=marks)


def error_caption(found: Bases) -> str:
    """What the curves are."""
    known_best = "U, singular vectors (no basis of equal rank does better)" if found.best_errors.size else ""
    own = f"{'Q' if found.is_cur else 'C'}, columns of the matrix with the best coefficients"
    cur = "C M R, its columns and rows with the best middle matrix" if found.is_cur else ""
    listed = [text for text in (known_best, own, cur) if text]
    return f"Frobenius error over the norm of the matrix, exact: {'; '.join(listed)}."


def ratio_curves(found: Bases) -> list[Curve]:
    """Errors over that of singular vectors of the same rank, where that one is more than rounding."""
    times = []
    for curve in curves_of(found):
        size = min(curve.ys.size, found.best_errors.size)
        best = 100 * found.best_errors[:size]
        sure = 1 + np.flatnonzero(best[1:] > 1000 * found.floor)
        if curve.style != "c0" and sure.size > 1:
            ratio = curve.ys[sure] / best[sure]
            times.append(Curve(curve.name, sure, ratio, curve.style, f"{ratio[-1]:.2f}{TIMES}"))
    return times


def ratio_plot(times: list[Curve]) -> str:
    """The errors of columns and rows over the best."""
    top = max(float(curve.ys.max()) for curve in times)
    count = max(int(curve.xs[-1]) for curve in times)
    y = Axis(f"{TIMES} the error of singular vectors", 1.0, max(1 + 1.08 * (top - 1), 1.01))
    return curves.comparison(times, from_zero("rank", count), y, "Errors over the best of the same rank")


def table_ranks(count: int, rank: Any) -> list[int]:
    """Ranks that a table shows: 1, 2, 5 times powers of ten, the last, and one to be sure of."""
    ranks = {f * 10**e for e in range(6) for f in RANKS if f * 10**e < count} | {count}
    return sorted(ranks | ({int(rank)} if known(rank) and rank <= count else set()))


def error_table(found: Bases) -> tuple[list[str], list[list[str]]]:
    """Heads and rows: the error of each basis at a few ranks."""
    count = found.column_errors.size - 1
    ranks = table_ranks(count, found.result.certificate.get("rank"))
    bases = {"U of SVD": found.best_errors} if found.best_errors.size else {}
    bases |= {"columns": found.column_errors}
    bases |= {"C M R": found.errors} if found.is_cur else {}
    last = list(bases)[-1]
    rows = []
    for k in ranks:
        cells = [found.told(float(errors[k])) if k < errors.size else "" for errors in bases.values()]
        best = float(found.best_errors[k]) if k < found.best_errors.size else 0.0
        over = number(float(bases[last][k]) / best, 3) if best > 10 * found.floor and k < bases[last].size else ""
        rows.append([f"{k:,}", *cells, *([over] if found.best_errors.size else [])])
    ratio = [f"{last} over SVD"] if found.best_errors.size else []
    return ["rank", *(f"error of {name}" for name in bases), *ratio], rows


def selectors(found: Bases) -> str:
    """Errors by the lines of each selector as curves and as a table, the best at the end first."""
    own = str(found.result.config.get("select"))
    errors = {own: found.errors} | found.selectors
    ordered = sorted(errors, key=lambda name: float(errors[name][-1]))
    styles = {name: "c1" if name == own else "c2" for name in ordered}
    drawn = [
        Curve(name, np.arange(errors[name].size), 100 * np.maximum(errors[name], found.floor), styles[name],
              found.told(float(errors[name][-1])))
        for name in ordered
    ]  # fmt: skip
    count = max(curve.xs.size for curve in drawn) - 1
    if count < 1:
        return "<p>The matrix is zero: no selector leaves anything.</p>"
    y = curves.values_axis("relative error (%)", np.concatenate([curve.ys for curve in drawn]))
    plot = curves.comparison(drawn, from_zero("columns and rows", count), y,
                             "Relative error by the lines of each selector; values in the table")  # fmt: skip
    caption = (
        f"Frobenius error of C M R over the norm of the matrix, exact, M the best there is: its columns and rows "
        f"chosen by {own}, as here, and by the other selectors. Drawn lines are one draw."
    )
    ranks = [k for k in table_ranks(count, None) if k <= count]
    rows = [
        [f"{k:,}", *(found.told(float(errors[name][k])) if k < errors[name].size else "" for name in ordered)]
        for k in ranks
    ]
    return pair(figure(plot, caption, "Error against rank"), html(Table(["rank", *ordered], rows)))


def filled(found: Bases) -> str:
    """How sparse the factors are, beside singular vectors."""
    factors = ("C", "R") if found.is_cur else ("C", "X")
    known_content = {name: content(found.result.factor(name)) for name in factors}
    styles = {"C": "c1", "R": "c1", "X": "c2"}
    bars = [(name, part.share, styles[name]) for name, part in known_content.items()]
    plot = curves.shares(bars, "share of entries that are not zero (%)",
                         "Share of entries that are not zero in each factor")  # fmt: skip
    heads = ("factor", "shape", "not zero", "share", "negative")
    rows = [content_row(name, found.result.factor(name).shape, part) for name, part in known_content.items()]
    notes = [f"<p>{filled_words(found, known_content)}</p>"]
    return notes[0] + pair(figure(plot), html(Table(heads, rows)))


def content_row(name: str, shape: tuple[int, int], part: Content) -> list[str]:
    """What fills one factor."""
    filled_entries = f"{part.filled:,}" if part.seen == part.entries else f"about {part.share * part.entries:,.0f}"
    return [name, f"{shape[0]:,} {TIMES} {shape[1]:,}", filled_entries, percent(part.share),
            "some" if part.negative else "none"]  # fmt: skip


def filled_words(found: Bases, parts: dict[str, Content]) -> str:
    """What sparsity means here."""
    own = "C and R are columns and rows" if found.is_cur else "C is columns"
    sampled = [name for name, part in parts.items() if part.seen < part.entries]
    read = f" Of {' and '.join(sampled)} strips at even distances were read." if sampled else ""
    return (
        f"{own} of the matrix itself: where it is zero they are, and where it is positive they are. Singular vectors "
        f"U and V have hardly an entry that is zero, and both signs.{read}"
    )


def where(found: Bases) -> str:
    """Places of the chosen lines along their axes."""
    sides = [(found.columns, "column", "c1")]
    if found.rows is not None:
        sides.append((found.rows, "row", "c2"))
    return beside([figure(place_plot(lines, noun, style), place_caption(lines, noun)) for lines, noun, style in sides])


def place_plot(lines: Lines, noun: str, style: str) -> str:
    """Where the lines of one side lie."""
    axis = noun if lines.axis == noun else f"{noun}: {lines.axis}"
    label = f"{axis} (index from 0, {lines.length:,} in all)"
    return curves.places(lines.indices, lines.length, lines.told, label, style, f"Places of the chosen {noun}s")


def place_caption(lines: Lines, noun: str) -> str:
    """How many of how many."""
    share = percent(lines.indices.size / lines.length)
    return f"{counted(lines.indices.size, 'chosen ' + noun)} of {lines.length:,} ({share}), the first at the top."


def chosen(found: Bases) -> str:
    """Table of the chosen columns and rows in order, with what is left after each."""
    heads, parts, texts = ["order"], [], []
    for lines, noun in ((found.columns, "column"), (found.rows, "row")):
        if lines is None:
            continue
        heads.append(noun)
        parts.append([f"{index:,}" for index in lines.indices.tolist()])
        if lines.names is not None:
            texts.append(len(heads))
            heads.append(lines.axis if lines.axis not in {noun, "row", "column"} else f"name of the {noun}")
            parts.append(lines.names)
    heads.append("left by the columns so far")
    parts.append([found.told(float(error)) for error in found.column_errors[1:]])
    if found.is_cur:
        heads.append("left by columns and rows so far")
        parts.append([found.told(float(error)) for error in found.errors[1:]])
    count = max(map(len, parts))
    rows = [[f"{i + 1:,}", *(part[i] if i < len(part) else "" for part in parts)] for i in range(count)]
    return f"<p>{chosen_words(found)}</p>{folded(Table(heads, rows, texts=tuple(texts)), 'Choices')}"


def chosen_words(found: Bases) -> str:
    """How to read the table."""
    select = str(found.result.config.get("select") or "")
    ordered = select in {"pivoted", "deim"}
    order = "those first that explain most of what was left" if ordered else "in the order in which they were drawn"
    return f"Indices count from 0; {order}. Errors are relative to the norm of the matrix."
