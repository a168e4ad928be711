"""Reports of similar columns: how many pairs, how similar, and which."""

from __future__ import annotations

import numpy as np

from rnla.dashboard import curves
from rnla.dashboard.account import Account
from rnla.dashboard.page import Section, Table, Tile, figure, folded, html, pair
from rnla.dashboard.reading import Shown, names
from rnla.dashboard.spelling import known, number, percent
from rnla.dashboard.words import matrix, store_name
from rnla.tables import counted

MOST = 500  # pairs in the table
BINS = 40
MEANING = """
<p><b>Cosine.</b> a<sub>i</sub>·a<sub>j</sub> / (‖a<sub>i</sub>‖ ‖a<sub>j</sub>‖) of two columns; of centred columns it
is their correlation. Every cosine that is listed was computed from the columns themselves and is right to
rounding.</p>
<p><b>Missed pairs.</b> Where all products of columns were formed, none can be missed. Where a sketch looked for
candidates, a pair may be missed with the probability given, which is that of a pair whose cosine is just the threshold;
pairs that are more similar are missed less often.</p>
"""


def account(result: Shown) -> Account:
    """What is said of a result of similarity."""
    c = result.certificate
    return Account(
        title=f"Similar columns of {store_name(result)}",
        what_html=what(result),
        wrong_html=f"Each cosine is right to rounding. {missed(result)}",
        numbers=numbers(result),
        sections=(Section("Cosines", cosines(result)), Section("Pairs, the most similar first", listed(result))),
        meaning_html=MEANING,
        wrong_heading="How wrong it can be" if c.get("missed") else "How wrong it is",
    )


def what(result: Shown) -> str:
    """What was computed."""
    centred = ", its columns centred" if result.config.get("centred") else ""
    return (
        f"The {counted(result.arrays['cosine'].size, 'pair')} of columns of {matrix(result)}{centred} whose cosine is "
        f"at least <b>{number(result.certificate.get('threshold'), 3)}</b>."
    )


def missed(result: Shown) -> str:
    """What may be absent."""
    chance = result.certificate.get("missed")
    if not chance:
        return "No pair is missed: all products of columns were formed."
    return f"A pair just at the threshold is missed with probability {number(chance, 2)} at most, others less often."


def possible(result: Shown) -> int:
    """Pairs that there could be."""
    n = int(((result.record.get("input") or {}).get("shape") or [0, 0])[1])
    return n * (n - 1) // 2


def numbers(result: Shown) -> tuple[Tile, ...]:
    """The numbers that matter, large."""
    c, cosine = result.certificate, result.arrays["cosine"]
    total, chance = possible(result), c.get("missed")
    return (
        ("Pairs", f"{cosine.size:,}", f"{percent(cosine.size / total)} of all" if total else ""),
        ("Threshold", number(c.get("threshold"), 3), "least cosine"),
        ("Largest cosine", number(float(cosine.max()), 4) if cosine.size else "none", ""),
        ("Missed", f"≤ {number(chance, 2)}" if known(chance) and chance else "none", "probability of a pair"),
    )


def cosines(result: Shown) -> str:
    """Histogram of the cosines, and the columns that have most partners."""
    cosine = result.arrays["cosine"]
    if not cosine.size:
        return "<p>No two columns are as similar as that.</p>"
    threshold = float(result.certificate.get("threshold") or cosine.min())
    counts, edges = np.histogram(cosine, bins=BINS, range=(min(threshold, float(cosine.min())), 1.0))
    plot = curves.histogram(edges, counts, "cosine of the pair", "pairs", "How many pairs have which cosine")
    return pair(figure(plot, "Pairs by their cosine, from the threshold to one."), partners(result))


def partners(result: Shown) -> str:
    """The columns that belong to most pairs."""
    ends = np.concatenate([result.arrays["first"], result.arrays["second"]])
    told = [*called(result, "first"), *called(result, "second")]
    columns, first, counts = np.unique(ends, return_index=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:10]
    rows = [(f"{columns[i]:,}", told[int(first[i])], f"{counts[i]:,}") for i in order]
    note = f"<p>{counted(columns.size, 'column')} belong to at least one pair; these to most:</p>"
    if columns.size == 1:
        note = note.replace("belong", "belongs")
    if not any(told):
        return f"<div>{note}{html(Table(('column', 'pairs'), [(column, count) for column, _, count in rows]))}</div>"
    return f"<div>{note}{html(Table(('column', 'name', 'pairs'), rows, texts=(1,)))}</div>"


def called(result: Shown, end: str) -> list[str]:
    """Names of the columns at one end of the pairs, or nothing where they have none."""
    return names(result, f"{end}_names") or [""] * result.arrays[end].size


def listed(result: Shown) -> str:
    """Table of pairs."""
    cosine = result.arrays["cosine"]
    if not cosine.size:
        return "<p>None.</p>"
    order = np.argsort(-cosine, kind="stable")[:MOST]
    left, right = called(result, "first"), called(result, "second")
    rows = [
        (f"{rank}", f"{result.arrays['first'][i]:,}", left[i], f"{result.arrays['second'][i]:,}", right[i],
         number(float(cosine[i]), 6))
        for rank, i in enumerate(order.tolist(), 1)
    ]  # fmt: skip
    more = f"<p>The {MOST:,} most similar of {cosine.size:,} pairs.</p>" if cosine.size > MOST else ""
    if not any(left + right):
        return more + folded(
            Table(("", "column", "column", "cosine"), [(*row[:2], *row[3::2]) for row in rows]), "Pairs"
        )
    heads = ("", "column", "name", "column", "name", "cosine")
    return more + folded(Table(heads, rows, texts=(2, 4)), "Pairs")
