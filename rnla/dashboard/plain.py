"""Reports of results of any kind, such as a plug-in's: what the record says, and which arrays there are."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from rnla.arrays import spelt_bytes
from rnla.dashboard.account import Account
from rnla.dashboard.page import Section, Table, html
from rnla.dashboard.provenance import plain
from rnla.dashboard.reading import Shown
from rnla.dashboard.spelling import TIMES, known, number, percent
from rnla.dashboard.words import by_method, matrix, store_name


def account(result: Shown) -> Account:
    """What is said of a result of a kind that has no report of its own."""
    name = str(result.record.get("pipeline") or "unknown")
    proof = result.certificate
    relative = proof.get("relative_error")
    return Account(
        title=f"{name} of {store_name(result)}",
        what_html=f"The result of the pipeline {escape(name)} for {matrix(result)}{by_method(result)}.",
        wrong_html=f"Its relative error is <b>{percent(relative)}</b>." if known(relative) else "",
        numbers=(("Relative error", percent(relative), ""),) if known(relative) else (),
        sections=(Section("Certificate", certificate(result)), Section("Arrays", arrays(result))),
    )


def certificate(result: Shown) -> str:
    """Names and values of the certificate."""
    rows = [(name.replace("_", " "), spelt(value)) for name, value in result.certificate.items()]
    return html(Table((), rows, left=True)) if rows else "<p>This result carries no certificate.</p>"


def spelt(value: object) -> str:
    """A value of the certificate."""
    return number(value, 6) if known(value) and not isinstance(value, bool) else plain(value)


def arrays(result: Shown) -> str:
    """What the result holds."""
    held: dict[str, Any] = {**result.arrays, **result.found.tall}
    rows = []
    for name, array in sorted(held.items()):
        shape = tuple(int(size) for size in array.shape)
        size = int(np.prod(shape, dtype=object)) * array.dtype.itemsize
        dimensions = ", ".join(result.found.dimensions.get(name) or ())
        rows.append((name, f" {TIMES} ".join(f"{side:,}" for side in shape) or "one value", dimensions,
                     str(array.dtype), spelt_bytes(size)))  # fmt: skip
    return html(Table(("array", "shape", "dimensions", "type", "size"), rows, left=True))
