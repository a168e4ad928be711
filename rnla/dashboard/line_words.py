"""What a report says of CUR and interpolative decompositions in words."""

from __future__ import annotations

import math
from html import escape

from rnla.dashboard.account import Account
from rnla.dashboard.bases import SPACE, Bases, bases_of, sections
from rnla.dashboard.page import Tile
from rnla.dashboard.reading import Shown
from rnla.dashboard.spelling import UNKNOWN, known, number, percent, probability
from rnla.dashboard.words import matrix, odds, relative_floor, store_name
from rnla.tables import counted

CUR_MEANING = """
<p><b>C, M and R.</b> C holds columns and R rows of the matrix itself, exactly as it stores them; M is the small matrix
between them. The best middle matrix is M = C⁺AR⁺, C⁺ being the pseudo-inverse; the middle "cross" takes the inverse of
the entries where the chosen rows and columns meet, and needs no read of its own.</p>
"""
ID_MEANING = """
<p><b>C and X.</b> C holds columns of the matrix itself, exactly as it stores them; X says how each column of the matrix
follows from them, and is the identity on those that were chosen. Two-sided, C = W C[rows], so that the matrix follows
from the entries where the chosen rows and columns meet; this adds rounding only.</p>
"""
MEANING = """
<p><b>Errors.</b> The Frobenius errors are exact, not estimates, up to the rounding floor: the last read multiplies the
matrix with its own columns, and by Pythagoras what they explain and what is left add up to ‖A‖².
Those of the columns alone are ‖A &minus; CC⁺A‖, the least that these columns allow; they are the errors of a QR
decomposition of the chosen columns. Errors are given after each choice.</p>
<p><b>The best of rank k.</b> No matrix of rank k is nearer to A than the one of its k leading singular vectors; its
error lies between the two ends given. The upper end is attained by singular vectors that were computed on the way; the
lower end holds with the stated probability, which is over random test vectors and not over matrices. The ratio
divides by the lower end: the true ratio is at most this. With more columns than k it may be below one.</p>
"""


def account(result: Shown) -> Account:
    """What is said of a result of cur or id."""
    found = bases_of(result)
    kind = "CUR decomposition" if found.is_cur else "Interpolative decomposition"
    return Account(
        title=f"{kind} of {store_name(result)}",
        what_html=what(found),
        wrong_html=wrong(found),
        numbers=numbers(found),
        sections=sections(found),
        meaning_html=(CUR_MEANING if found.is_cur else ID_MEANING) + MEANING,
    )


def what(found: Bases) -> str:
    """What was computed."""
    rows = "" if found.rows is None else f" and {counted(found.rows.indices.size, 'row')}"
    size = (found.rows.length if found.rows else found.result.factor("C").shape[0], found.columns.length)
    select = escape(str(found.result.config.get("select") or "the selector of the job"))
    middle = found.result.config.get("middle")
    between = f"; the matrix between them is the {escape(str(middle))} one" if middle and found.is_cur else ""
    return (
        f"{counted(found.columns.indices.size, 'column')}{rows} of {matrix(found.result, size)}, chosen by "
        f"<b>{select}</b>{between}. They stand for all others: {follows(found)}."
    )


def follows(found: Bases) -> str:
    """The formula of the approximation."""
    if found.is_cur:
        return "A ≈ C M R"
    return "A ≈ C X" if found.rows is None else "A ≈ C X ≈ W A[rows, columns] X"


def wrong(found: Bases) -> str:
    """The certificate in words."""
    c = found.result.certificate
    if c.get("frobenius_norm") == 0:
        return "The matrix is zero, and so is the approximation: nothing is left of it."
    alone = ""
    if found.is_cur:
        alone = f" The columns alone, each other column being their best combination, leave {column_share(found)}."
    return (
        f"{follows(found).split(' ≈ ')[1]} leaves <b>{leftover(found)}</b> of the matrix (Frobenius "
        f"norm; exact up to rounding of {number(relative_floor(c), 2)}).{alone} {beside_best(found)}"
    )


def leftover(found: Bases) -> str:
    """Relative error."""
    relative = found.result.certificate.get("relative_error")
    return found.told(relative) if known(relative) else UNKNOWN


def column_share(found: Bases) -> str:
    """Relative error of the columns alone."""
    c = found.result.certificate
    error, norm = c.get("column_error"), c.get("frobenius_norm")
    if not known(error) or not known(norm):
        return UNKNOWN
    return found.told(error / norm if norm > 0 else 0.0)


def beside_best(found: Bases) -> str:
    """The error beside the best of equal rank."""
    c = found.result.certificate
    best = f"est approximation of rank {c.get('rank')}"
    if c.get("best_lower") is None:
        select = escape(str(found.result.config.get("select") or "of this job"))
        return f"How little the b{best} leaves is not known: the selector {select} computed no singular vectors."
    if known(c.get("ratio")):
        return (
            f"The b{best}, by singular vectors, leaves {best_share(found)}: the error is <b>at most "
            f"{upward(c['ratio'])} times</b> that, with probability at least {probability(c.get('confidence'))}."
        )
    if best_is_nothing(found):
        return f"The b{best} leaves nothing that could be told from rounding."
    return (
        f"The b{best} leaves {best_share(found)}; how much less is not known, so no ratio is given: more passes would "
        "tell."
    )


def best_is_nothing(found: Bases) -> bool:
    """Whether the best error of equal rank is hidden by rounding, which its upper bound holds a second time."""
    c = found.result.certificate
    high, floor = c.get("best_upper"), c.get("rounding_floor")
    return known(high) and known(floor) and high <= 2 * floor


def best_share(found: Bases) -> str:
    """Between what the best relative error lies: 18.0 %, 17.1 % to 18.0 %, or at most 4.2 %."""
    c = found.result.certificate
    norm, low, high = (c.get(name) for name in ("frobenius_norm", "best_lower", "best_upper"))
    if not known(norm) or not known(low) or not known(high):
        return UNKNOWN
    if norm <= 0 or high / norm <= found.floor:
        return found.told(0.0)
    if low / norm <= found.floor:
        return f"≤{SPACE}{percent(high / norm)}"
    ends = percent(low / norm), percent(high / norm)
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def upward(ratio: float) -> str:
    """A bound with four digits, never rounded down."""
    if not 0 < ratio < math.inf:
        return number(ratio)
    step = 10.0 ** (math.floor(math.log10(ratio)) - 3)
    return number(math.ceil(ratio / step - 1e-9) * step, 4)


def ratio_tile(found: Bases) -> Tile:
    """At most how many times the best."""
    ratio = found.result.certificate.get("ratio")
    if known(ratio):
        return "Times the best", f"≤ {upward(ratio)}", odds(found.result.certificate)
    return (
        "Times the best",
        "no ratio",
        "the best leaves nothing" if best_is_nothing(found) else "the best is not known",
    )


def numbers(found: Bases) -> tuple[Tile, ...]:
    """The numbers that matter, large."""
    alone = ("Columns alone", column_share(found), "with the best coefficients")
    return (
        ("Relative error", leftover(found), "Frobenius norm, exact"),
        *([alone] if found.is_cur else []),
        (f"Best of rank {found.result.certificate.get('rank')}", best_share(found), "by singular vectors"),
        ratio_tile(found),
    )
