"""Reports of predictions: classes decided or the spread of values, scores where targets are known, the first rows."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from rnla.arrays import Array
from rnla.dashboard import curves
from rnla.dashboard.account import Account
from rnla.dashboard.confusion import class_names, confused
from rnla.dashboard.epochs import UNITS
from rnla.dashboard.page import Section, Table, Tile, figure, folded, html, pair
from rnla.dashboard.reading import Shown, names, strips_of
from rnla.dashboard.spelling import known, number, percent
from rnla.dashboard.words import matrix, store_name
from rnla.tables import counted

BARS = 20  # classes that are drawn
DRAWN = 4  # outputs that are drawn
BINS = 40
ROWS = 10  # that are shown, and ...
OUTPUTS = 12  # ... of so many outputs
HEADS = {"least": "least", "mean": "mean", "largest": "largest", "deviation": "deviation", "r2": "R²", "rmse": "error"}
MEANING = """
<p><b>Values.</b> What the network gives at each row, its columns centred and scaled as in training. <b>Classes.</b> The
class of a row is that of its largest value (with a single output: 1 where it is at least zero, and &minus;1 elsewhere).
<b>Right.</b> The share of the rows whose class is the one that was given. <b>R².</b> One less
|y &minus; F|² / |y &minus; mean|²: 1 where values are those that were given, 0 for always naming their mean, below that
for worse.</p>
"""


def account(result: Shown) -> Account:
    """What is said of a result of predict."""
    decides = "class_counts" in result.arrays
    sections = [Section("Classes", classes(result)) if decides else Section("Values", values(result))]
    if "confusion" in result.arrays:
        found = result.arrays["confusion"]
        named = named_classes(result, len(found))
        sections.append(Section("What was taken for what", confused(found, named, "Rows whose class is known")))
    return Account(
        title=f"Predictions for {store_name(result)}",
        what_html=what(result),
        wrong_html=wrong(result),
        numbers=numbers(result),
        sections=(*sections, Section("First rows", first_rows(result))),
        meaning_html=MEANING,
        meaning_heading="What the numbers mean",
        wrong_heading="How good it is",
        certified=False,
    )


def signs(result: Shown) -> bool:
    """Whether classes are -1 and 1."""
    return bool(result.certificate.get("outputs") == 1)


def named_classes(result: Shown, count: int) -> list[str]:
    """Classes as the training knew them."""
    if "classes" in result.arrays:
        return [str(label) for label in result.arrays["classes"].tolist()]
    return class_names(count, signs=signs(result))


def what(result: Shown) -> str:
    """What was evaluated."""
    c, net = result.certificate, (result.record.get("others") or {}).get("network") or {}
    sizes = ", ".join(f"{size:,}" for size in net.get("shape") or ())
    widths = f" of widths <b>{sizes}</b>" if sizes else ""
    column = result.config.get("label_column")
    left = "" if column is None else f" Column {column} holds the labels: the network does not see it."
    label = ", and as <code>label</code> the class that it is decided to be" if "label" in result.found.tall else ""
    return (
        f"The network {escape(Path(str(c.get('network'))).name)}{widths} at each row of {matrix(result)}: "
        f"{counted(int(c.get('outputs') or 0), 'number')} for each row, as <code>values</code>{label}.{left}"
    )


def wrong(result: Shown) -> str:
    """Scores in words."""
    c = result.certificate
    if not known(c.get("mean_loss")):
        return "No targets were given, so it is not known: <code>--labels</code> scores the values."
    loss = f"the loss is {number(c['mean_loss'], 4)} ({UNITS.get(str(c.get('loss')), '')}, the mean of a row)"
    if known(c.get("accuracy")):
        base = f"always naming class {c['largest_class']} would decide {percent(c['largest_share'])}"
        worse = " <b class='bad'>The network is no better.</b>" if c["accuracy"] <= c["largest_share"] else ""
        return (
            f"Of {counted(int(c['rows']), 'row')} it decides <b>{percent(c['accuracy'])}</b> rightly; {base}.{worse} "
            f"On them {loss}."
        )
    told = f"Its root mean square error is <b>{number(c.get('rmse'), 4)}</b> over {counted(int(c['rows']), 'row')}"
    told += f", and always naming the mean would leave {number(c.get('spread'), 4)}"
    average = " on average over the outputs" if (c.get("outputs") or 1) > 1 else ""
    r2 = f"R² is {number(c['r2'], 4)}{average}" if known(c.get("r2")) else "R² is not known, as targets do not vary"
    worse = " <b class='bad'>The network is no better.</b>" if c["rmse"] >= c["spread"] else ""
    return f"{told}; {r2}.{worse} On them {loss}."


def numbers(result: Shown) -> tuple[Tile, ...]:
    """The numbers that matter, large."""
    c = result.certificate
    tiles: list[Tile] = [("Rows", f"{c.get('rows') or 0:,}", "")]
    if known(c.get("accuracy")):
        base = f"always class {c['largest_class']}: {percent(c['largest_share'])}"
        tiles.append(("Right", percent(c["accuracy"]), base))
    if known(c.get("rmse")):
        tiles.append(("R²", number(c.get("r2"), 4), "of always the mean: 0"))
        tiles.append(("Error", number(c["rmse"], 4), f"root mean square; the mean: {number(c['spread'], 4)}"))
    if known(c.get("mean_loss")):
        tiles.append(("Loss", number(c["mean_loss"], 4), UNITS.get(str(c.get("loss")), "")))
    return tuple(tiles)


def classes(result: Shown) -> str:
    """How many rows were decided to be of each class, beside how many are."""
    counts = result.arrays["class_counts"]
    named, total = named_classes(result, len(counts)), max(int(counts.sum()), 1)
    drawn = sorted(np.argsort(-counts, kind="stable")[:BARS].tolist())
    plot = curves.shares(
        [(named[i], int(counts[i]) / total, "c1") for i in drawn],
        "share of the rows (%)",
        "Share of the rows decided to be of each class",
        most=int(counts.max()) / total,
    )
    some = "" if len(named) <= BARS else f"The {BARS} largest of {len(named):,} classes."
    table = folded(Table(*decisions(counts, named, result.arrays.get("confusion")), texts=(0,)), "Classes")
    return pair(figure(plot, some, "Decided"), f"<div>{table}</div>")


def decisions(counts: Array, named: list[str], confusion: Array | None) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of the table of classes; of known ones, how many were found and how many decided rightly."""
    total = int(counts.sum())
    rows = [[name, f"{count:,}", share(count, total)] for name, count in zip(named, counts.tolist(), strict=True)]
    heads = ["class", "decided", "of all"]
    if confusion is None:
        return heads, rows
    right, known_rows = np.diag(confusion), confusion.sum(axis=1)
    for i, row in enumerate(rows):
        row += [f"{known_rows[i]:,}", share(right[i], known_rows[i]), share(right[i], counts[i])]
    return [*heads, "known", "of these found", "of the decided right"], rows


def share(part: Any, whole: Any) -> str:
    """A part in percent; nothing of nothing."""
    return percent(int(part) / int(whole)) if whole else ""


def values(result: Shown) -> str:
    """How the values of each output are spread, and a table of all outputs."""
    count = result.arrays["mean"].size
    figures = [histogram(result, j, count) for j in range(min(count, DRAWN))]
    kept = {name: head for name, head in HEADS.items() if name in result.arrays}
    rows = [[f"{j}", *(number(float(result.arrays[name][j]), 4) for name in kept)] for j in range(count)]
    if count == 1:
        table = html(Table(("", "output 0"), list(zip(kept.values(), rows[0][1:], strict=True))))
        return pair(*figures, f"<div>{table}</div>")
    return pair(*figures) + folded(Table(["output", *kept.values()], rows), "Outputs")


def histogram(result: Shown, j: int, outputs: int) -> str:
    """Values of one output, of strips at even distances where there are many rows."""
    source = result.factor("values")
    strips = list(strips_of(source.shape[0], source.chunks[0], source.shape[1] * source.dtype.itemsize))
    low, high = (float(result.arrays[name][j]) for name in ("least", "largest"))
    low, high = (low, high) if low < high else (low - 0.5, high + 0.5)
    edges, counts, seen = np.linspace(low, high, BINS + 1), np.zeros(BINS, np.int64), 0
    for strip in strips:
        found = np.asarray(source.read(strip, slice(j, j + 1)))
        counts += np.histogram(found[np.isfinite(found)], edges)[0]
        seen += len(found)
    plot = curves.histogram(edges, counts, "value", "rows", f"How many rows have which value of output {j}")
    some = "" if seen == source.shape[0] else f"Of {seen:,} rows, in strips at even distances."
    return figure(plot, some, f"Output {j}" if outputs > 1 else "How they are spread")


def first_rows(result: Shown) -> str:
    """Values of the first rows, and their classes."""
    source, tall = result.factor("values"), result.found.tall
    rows, outputs = min(ROWS, source.shape[0]), min(OUTPUTS, source.shape[1])
    block = np.asarray(source.read(slice(0, rows), slice(0, outputs)))
    axis = result.axis("values", 0)
    named = names(result, axis)
    columns = [[f"{i:,}" for i in range(rows)]]
    heads = ["row"]
    if named is not None:
        columns.append(named[:rows])
        heads.append(axis)
    if "label" in tall:
        labels = np.asarray(tall["label"].read(slice(0, rows), slice(0, 1)))[:, 0]
        classes = result.arrays.get("classes")
        if classes is not None and classes.dtype.kind not in "biuf":  # names, which labels number
            labels = classes[labels]
        columns.append([str(label) for label in labels.tolist()])
        heads.append("class")
    columns += [[number(float(value), 3) for value in block[:, j]] for j in range(outputs)]
    more = source.shape[1] - outputs
    note = f"<p>{counted(more, 'output')} more are not shown.</p>" if more else ""
    table = html(Table([*heads, *(f"output {j}" for j in range(outputs))], list(zip(*columns, strict=True))))
    return f"{table}{note}"
