"""What was taken for what: a table of known classes against decided ones, and the confusions that are most frequent."""

from __future__ import annotations

import numpy as np

from rnla.arrays import Array
from rnla.dashboard.axes import Axis, Frame
from rnla.dashboard.curves import index_ticks
from rnla.dashboard.epochs import class_name
from rnla.dashboard.maps import image, indices
from rnla.dashboard.page import Table, beside, figure, html, pair
from rnla.dashboard.spelling import percent

MOST_CLASSES = 30  # whose table is shown
MOST_DRAWN = 300  # whose shares are drawn, a pixel or more each
SQUARE = 480  # height of a frame that is about as wide
WORST = 10  # confusions that are listed


def class_names(count: int, *, signs: bool) -> list[str]:
    """Classes as they were given."""
    return [class_name(place, signs=signs) for place in range(count)]


def confused(found: Array, names: list[str], whose: str) -> str:
    """How many of each class were taken for each: (c, c), known class down; `whose`: 'Samples held out'."""
    often = worst(found, names)
    if len(names) > MOST_CLASSES:
        return many(found, whose, often)
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


def many(found: Array, whose: str, often: str) -> str:
    """The same of many classes: shares of each as colours, unless they are too many to be seen, and the worst."""
    all_counts = "all counts are in the array <code>confusion</code> of the result"
    if len(found) > MOST_DRAWN:
        return f"<p>{whose}: the most frequent confusions of {len(found):,} classes; {all_counts}.</p>{often}"
    shares = found / np.where(found.any(axis=1), found.sum(axis=1), np.nan)[:, None]
    right = np.eye(len(found), dtype=bool)
    most = float(np.nanmax(np.where(right, 0, shares), initial=0)) or 1.0
    words = (
        f"<p>{whose}: their classes down, what the network takes them for across. Blue is right and red is wrong, the "
        f"darker the larger the share of its class; the darkest red stands for {percent(most)}. A class that does not "
        f"occur is grey; {all_counts}.</p>"
    )
    ticks = index_ticks(len(found))
    end = len(found) - 0.5
    frame = Frame(Axis("taken for", -0.5, end, marks=ticks), Axis("known class", end, -0.5, marks=ticks), height=SQUARE)
    field = indices(np.where(right, -shares, shares / most), 1.0)
    plot = frame.svg(image(field, frame.box), "Share of each known class that was taken for each class")
    return words + pair(figure(plot), f"<div>{often}</div>")


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
