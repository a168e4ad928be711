"""What a report says of singular value decompositions and principal components in words."""

from __future__ import annotations

from rnla.dashboard.account import Account
from rnla.dashboard.modes import Modes, modes_of, sections
from rnla.dashboard.page import Tile
from rnla.dashboard.reading import Shown
from rnla.dashboard.spelling import captured, number, percent, probability
from rnla.dashboard.words import by_method, matrix, odds, relative_floor, store_name
from rnla.tables import counted

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


def account(result: Shown) -> Account:
    """What is said of a result of svd or pca."""
    found = modes_of(result)
    kind = "Principal components" if found.is_pca else "Singular value decomposition"
    return Account(
        title=f"{kind} of {store_name(result)}",
        what_html=what(found),
        wrong_html=how_wrong(found),
        numbers=numbers(found),
        sections=sections(found),
        meaning_html=MEANING,
        wrong_heading="How wrong it can be",
    )


def what(found: Modes) -> str:
    """What was computed."""
    names = "principal component" if found.is_pca else "singular triplet"
    size = found.rows.length, found.columns.length
    return (
        f"The {counted(found.k, 'leading ' + names)} of {matrix(found.result, size)}"
        f"{', its columns centred' if found.is_pca else ''}{by_method(found.result)}."
    )


def how_wrong(found: Modes) -> str:
    """The certificate in words."""
    c = found.result.certificate
    return (
        f"The approximation of rank {found.k} leaves "
        f"<b>{percent(c.get('relative_error'))}</b> of the matrix (Frobenius norm; exact up to rounding of "
        f"{number(relative_floor(c), 2)}), so the modes explain {captured(c.get('explained_variance'))} of the "
        f"{found.of_what}. With probability at least {probability(c.get('confidence'))} no direction is missed "
        f"by more than {number(c.get('spectral_bound'), 3)} (spectral norm), and each singular value lies in its "
        f"interval: {resolution(found)}."
    )


def resolution(found: Modes) -> str:
    """How many modes are known well."""
    count = int(found.resolved.sum())
    if count == found.k:
        return "all are known to one millionth or better"
    return f"{count} of {found.k} are known to one millionth or better, the others as the error bars show"


def numbers(found: Modes) -> tuple[Tile, ...]:
    """The numbers that matter, large."""
    c = found.result.certificate
    return (
        ("Relative error", percent(c.get("relative_error")), "Frobenius norm, exact"),
        ("Explained", captured(c.get("explained_variance")), f"of the {found.of_what}"),
        ("Spectral error", f"≤ {number(c.get('spectral_bound'), 3)}", odds(c)),
        ("Modes resolved", f"{int(found.resolved.sum())} of {found.k}", "to one millionth"),
    )
