"""What was taken for what: a table of known classes against decided ones, and the confusions that are most frequent."""

from __future__ import annotations

import numpy as np

from rnla.arrays import Array
from rnla.dashboard.epochs import class_name
from rnla.dashboard.page import Table, beside, html
from rnla.dashboard.spelling import percent

MOST_CLASSES = 30  # whose table is shown
WORST = 10  # confusions that are listed


def class_names(count: int, *, signs: bool) -> list[str]:
    """Classes as they were given."""
    return [class_name(place, signs=signs) for place in range(count)]


def confused(found: Array, names: list[str], whose: str) -> str:
    """How many of each class were taken for each: (c, c), known class down; `whose`: 'Samples held out'."""
    often = worst(found, names)
    if len(names) > MOST_CLASSES:
        return often
    heads = ("class", *names, "right")
    rows = [
        (name, *(f"{value:,}" if value else "·" for value in row), percent(row[i] / row.sum()) if row.sum() else "")
        for i, (name, row) in enumerate(zip(names, found, strict=True))
    ]
    room = max(len(f"{int(found.max()):,}"), *map(len, names))
    return (
        f"<p>{whose}: their classes down, what the network takes them for across.</p>"
        f"{beside(html(Table(heads, rows, texts=(0,), even=room)), f'<div>{often}</div>')}"
    )


def worst(found: Array, names: list[str]) -> str:
    """The confusions that are most frequent."""
    wrong = np.where(np.eye(len(names), dtype=bool), 0, found)
    order = np.argsort(-wrong, axis=None, kind="stable")[:WORST]
    places = [(int(i), int(j)) for i, j in zip(*np.unravel_index(order, wrong.shape), strict=True) if wrong[i, j]]
    if not places:
        return "<p>All were decided rightly.</p>"
    rows = [
        (f"{names[i]} as {names[j]}", f"{found[i, j]:,}", percent(int(found[i, j]) / int(found[i].sum())))
        for i, j in places
    ]
    return html(Table(("taken for", "how often", "of its class"), rows, texts=(0,)))
