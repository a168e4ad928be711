"""What a report says in words: what was computed, how wrong it can be, what it cost."""

from __future__ import annotations

from html import escape
from typing import Any

from rnla.arrays import spelt_bytes
from rnla.dashboard.page import tiles
from rnla.dashboard.reading import Shown
from rnla.dashboard.spelling import TIMES, captured, counted, duration, known, number, percent, probability, times

MEANING = """
<p><b>Errors of the approximation.</b> The factors satisfy U<sup>H</sup>A = diag(s)V<sup>H</sup>, so the Frobenius
error is √(‖A‖² &minus; s₁² &minus; … &minus; s<sub>k</sub>²): not an estimate, but exact up to the rounding floor
given above. Nothing had to be read again for it. Explained is the other side of it: 1 &minus; (relative error)².</p>
<p><b>Spectral bound.</b> No unit vector x has ‖(A &minus; UΣV<sup>H</sup>)x‖ larger than this. It rests on random
test vectors that went along in the last read and that the computation did not know; the probability is over them, and
it holds whatever the matrix is.</p>
<p><b>Intervals.</b> The true singular value of each number lies between lower and upper. The lower end always holds,
the upper end with the stated probability. A mode is called resolved when its interval is narrower than one millionth
of its value. Modes that are not resolved are no error: their values may still be very good, but it is not shown;
modes close to one another also have singular vectors that are determined only together. More passes
(<code>--passes</code>) narrow the intervals.</p>
<p><b>Residual.</b> ‖AᴴA v &minus; θ v‖ / √θ of each mode as it came into the last read, in the units of the singular
values: how far v was from satisfying the equation of a singular vector.</p>
"""


def store_name(shown: Shown) -> str:
    """The last part of the input's address."""
    url = str((shown.record.get("input") or {}).get("url") or "matrix")
    return url.rstrip("/").rsplit("/", 1)[-1] or url


def title(shown: Shown) -> str:
    """Headline of the page."""
    kind = "Principal components" if shown.is_pca else "Singular value decomposition"
    return f"{kind} of {store_name(shown)}"


def top(shown: Shown) -> str:
    """Headline, three sentences, and the numbers that matter."""
    tone = " missed" if shown.certificate.get("met") is False else ""
    return (
        f"<h1>{escape(title(shown))}</h1>\n<p class='sub'>{escape(subtitle(shown))}</p>\n"
        f'<div class="say{tone}">{what(shown)}{how_wrong(shown)}{cost(shown)}</div>\n{numbers(shown)}'
    )


def subtitle(shown: Shown) -> str:
    """When and with what."""
    version = (shown.record.get("versions") or {}).get("rnla")
    finished = str(shown.record.get("finished") or "")
    when = finished[:16].replace("T", " ") + (" UTC" if finished.endswith("+00:00") else "")
    return f"rnla {version or ''}".strip() + (f", finished {when}" if when else "")


def what(shown: Shown) -> str:
    """What was computed."""
    given = shown.record.get("input") or {}
    m, n = (given.get("shape") or [shown.rows.length, shown.columns.length])[:2]
    names = "principal component" if shown.is_pca else "singular triplet"
    method = str(shown.record.get("method") or "")
    return (
        f"<p><b>What.</b> The {counted(shown.k, 'leading ' + names)} of a {m:,} {TIMES} {n:,} matrix"
        f"{' of ' + escape(str(given['dtype'])) if given.get('dtype') else ''}"
        f"{', its columns centred' if shown.is_pca else ''}{f', by the method {escape(method)}' if method else ''}.</p>"
    )


def how_wrong(shown: Shown) -> str:
    """The certificate in words."""
    c = shown.certificate
    sentence = (
        f"<p><b>How wrong it can be.</b> The approximation of rank {shown.k} leaves "
        f"<b>{percent(c.get('relative_error'))}</b> of the matrix (Frobenius norm; exact up to rounding of "
        f"{number(relative_floor(c), 2)}), so the modes explain {captured(c.get('explained_variance'))} of the "
        f"{of_what(shown)}. With probability at least {probability(c.get('confidence'))} no direction is missed "
        f"by more than {number(c.get('spectral_bound'), 3)} (spectral norm), and each singular value lies in its "
        f"interval: {resolution(shown)}.</p>"
    )
    return sentence + tolerance(shown) + missing(shown) + absent(shown) + unverified(shown)


def resolution(shown: Shown) -> str:
    """How many modes are known well."""
    count = int(shown.resolved.sum())
    if count == shown.k:
        return "all are known to one millionth or better"
    return f"{count} of {shown.k} are known to one millionth or better, the others as the error bars show"


def of_what(shown: Shown) -> str:
    """What the shares are shares of."""
    return "variance" if shown.is_pca else "sum of squares"


def relative_floor(certificate: dict[str, Any]) -> float | None:
    """Rounding floor over the norm."""
    floor, norm = certificate.get("rounding_floor"), certificate.get("frobenius_norm")
    return floor / norm if known(floor) and known(norm) and norm else None


def tolerance(shown: Shown) -> str:
    """Whether the error asked for was reached; nothing when none was asked for."""
    c = shown.certificate
    if c.get("tolerance") is None:
        return ""
    asked = times(c["tolerance"])
    if c.get("met"):
        return f"<p>The relative error asked for, {asked}, <b class='good'>was reached</b>.</p>"
    return (
        f"<p>The relative error asked for, {asked}, <b class='bad'>was not reached</b>: allow more passes, or a "
        "larger k.</p>"
    )


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


def unverified(shown: Shown) -> str:
    """A caution when nothing vouches for the bytes that were read."""
    if (shown.record.get("input") or {}).get("input_verified") is not False:
        return ""
    return (
        "<p class='sub'>The certificate speaks of the data as it was read. No fingerprint vouches for the input's "
        "chunks: <code>rnla fingerprint</code> makes one, and later runs check each chunk against it.</p>"
    )


def cost(shown: Shown) -> str:
    """What it cost, in words."""
    c = shown.record.get("cost") or {}
    reads = times(c.get("passes"))
    peak, promised = c.get("peak_bytes"), (shown.record.get("plan") or {}).get("peak_bytes")
    memory = f"peak memory {spelt_bytes(peak)}" if known(peak) else "peak memory not known"
    if known(peak) and known(promised):
        memory += f", within the {spelt_bytes(promised)} that the plan promised"
        if peak > promised:
            memory = f"<b class='bad'>{memory.replace('within', 'above')}</b>"
    read = spelt_bytes(c["bytes_read"]) if known(c.get("bytes_read")) else "bytes not known"
    took = duration(c.get("seconds"))
    return f"<p><b>What it cost.</b> The matrix was read {reads} times ({read}) in {took}; {memory}.</p>"


def numbers(shown: Shown) -> str:
    """The numbers that matter, large."""
    c, spent = shown.certificate, shown.record.get("cost") or {}
    promised = (shown.record.get("plan") or {}).get("peak_bytes")
    peak = spent.get("peak_bytes")
    return tiles(
        [
            ("Relative error", percent(c.get("relative_error")), "Frobenius norm, exact"),
            ("Explained", captured(c.get("explained_variance")), f"of the {of_what(shown)}"),
            (
                "Spectral error",
                f"≤ {number(c.get('spectral_bound'), 3)}",
                f"probability {probability(c.get('confidence'))}",
            ),
            ("Modes resolved", f"{int(shown.resolved.sum())} of {shown.k}", "to one millionth"),
            ("Passes", times(spent.get("passes")), f"in {duration(spent.get('seconds'))}"),
            (
                "Peak memory",
                spelt_bytes(peak) if known(peak) else "not known",
                f"plan: {spelt_bytes(promised)}" if known(promised) else "",
            ),
        ]
    )
