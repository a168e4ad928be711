"""What a report says in words: the matrix, what it cost, what must not be overlooked."""

from __future__ import annotations

from html import escape
from typing import Any

from rnla.arrays import spelt_bytes
from rnla.dashboard.account import Account
from rnla.dashboard.page import Tile, tiles
from rnla.dashboard.reading import Shown
from rnla.dashboard.spelling import TIMES, duration, known, probability, times
from rnla.tables import counted


def store_name(shown: Shown) -> str:
    """The last part of the input's address, with the store that an array lies in."""
    url = str((shown.record.get("input") or {}).get("url") or "")
    if not url:
        return "a matrix in memory"
    *above, last = url.rstrip("/").rsplit("/", 2)[-2:]
    return f"{above[0]}/{last}" if above and above[0].endswith(".zarr") else last or url


def matrix(shown: Shown, shape: tuple[int, int] | None = None) -> str:
    """The input: 'a 300 x 80 matrix of float32'."""
    given = shown.record.get("input") or {}
    size = given.get("shape") or shape
    numbers = f" {size[0]:,} {TIMES} {size[1]:,}" if size else ""
    return f"a{numbers} matrix" + (f" of {escape(str(given['dtype']))}" if given.get("dtype") else "")


def by_method(shown: Shown) -> str:
    """', by the method krylov'."""
    method = str(shown.record.get("method") or "")
    return f", by the method {escape(method)}" if method else ""


def top(shown: Shown, account: Account) -> str:
    """Headline, a few sentences, and the numbers that matter."""
    bad = shown.certificate.get("met") is False or shown.certificate.get("diverged")
    tone = " missed" if bad else ""
    wrong = f"<p><b>{escape(account.wrong_heading)}.</b> {account.wrong_html}</p>" if account.wrong_html else ""
    return (
        f"<h1>{escape(account.title)}</h1>\n<p class='sub'>{escape(subtitle(shown))}</p>\n"
        f'<div class="say{tone}"><p><b>What.</b> {account.what_html}</p>{wrong}'
        f"{cautions(shown, account)}{cost(shown)}</div>\n"
        f"{tiles([*account.numbers, *spent(shown)])}"
    )


def cautions(shown: Shown, account: Account) -> str:
    """What a reader must not overlook."""
    found = tolerance(shown, account.cure), missing(shown), absent(shown), unverified(shown, account.certified)
    return "".join(found)


def subtitle(shown: Shown) -> str:
    """When and with what."""
    version = (shown.record.get("versions") or {}).get("rnla")
    finished = str(shown.record.get("finished") or "")
    when = finished[:16].replace("T", " ") + (" UTC" if finished.endswith("+00:00") else "")
    return f"rnla {version or ''}".strip() + (f", finished {when}" if when else "")


def relative_floor(certificate: dict[str, Any]) -> float | None:
    """Rounding floor over the norm."""
    floor, norm = certificate.get("rounding_floor"), certificate.get("frobenius_norm")
    return floor / norm if known(floor) and known(norm) and norm else None


def odds(certificate: dict[str, Any]) -> str:
    """'probability 99 %'."""
    return f"probability {probability(certificate.get('confidence'))}"


def tolerance(shown: Shown, cure: str) -> str:
    """Whether the error asked for was reached; nothing when none was asked for."""
    c = shown.certificate
    if c.get("tolerance") is None:
        return ""
    asked = times(c["tolerance"])
    if c.get("met"):
        return f"<p>The relative error asked for, {asked}, <b class='good'>was reached</b>.</p>"
    return f"<p>The relative error asked for, {asked}, <b class='bad'>was not reached</b>: {escape(cure)}.</p>"


def absent(shown: Shown) -> str:
    """A caution when chunks were read that are not there."""
    count = (shown.record.get("input") or {}).get("absent_chunks", 0)
    if count == 0:
        return ""
    many = "not counted" if count is None else counted(count, "chunk")
    return f"<p class='sub'>Absent from the store, and read as its fill value as was asked for: {many}.</p>"


def missing(shown: Shown) -> str:
    """A caution when values were masked or imputed."""
    count = (shown.record.get("cost") or {}).get("missing_entries", 0)
    if not count:
        return ""
    how = escape(str((shown.record.get("config") or {}).get("missing", "as was asked for")))
    return f"<p class='sub'>NaN or infinite in the data, and treated by <b>{how}</b>: {counted(count, 'value')}.</p>"


def unverified(shown: Shown, certified: bool) -> str:  # noqa: FBT001 - a fact of the account
    """A caution when nothing vouches for the bytes that were read."""
    given = shown.record.get("input") or {}
    if given.get("input_verified") is not False or given.get("kind") == "memory":
        return ""
    speaks = "The certificate speaks of the data as it was read. " if certified else ""
    return (
        f"<p class='sub'>{speaks}No fingerprint vouches for the input's chunks: <code>rnla fingerprint</code> makes "
        "one, and later runs check each chunk against it.</p>"
    )


def cost(shown: Shown) -> str:
    """What it cost, in words."""
    c = shown.record.get("cost") or {}
    often = "once" if c.get("passes") == 1 else f"{times(c.get('passes'))} times"
    peak, promised = c.get("peak_bytes"), (shown.record.get("plan") or {}).get("peak_bytes")
    memory = f"peak memory {spelt_bytes(peak)}" if known(peak) else "peak memory not known"
    if known(peak) and known(promised):
        memory += f", within the {spelt_bytes(promised)} that the plan promised"
        if peak > promised:
            memory = f"<b class='bad'>{memory.replace('within', 'above')}</b>"
    read = spelt_bytes(c["bytes_read"]) if known(c.get("bytes_read")) else "bytes not known"
    took = duration(c.get("seconds"))
    return f"<p><b>What it cost.</b> The matrix was read {often} ({read}) in {took}; {memory}.</p>"


def spent(shown: Shown) -> list[Tile]:
    """What it cost, large."""
    c, promised = shown.record.get("cost") or {}, (shown.record.get("plan") or {}).get("peak_bytes")
    peak = c.get("peak_bytes")
    return [
        ("Passes", times(c.get("passes")), f"in {duration(c.get('seconds'))}"),
        (
            "Peak memory",
            spelt_bytes(peak) if known(peak) else "not known",
            f"plan: {spelt_bytes(promised)}" if known(promised) else "",
        ),
    ]
