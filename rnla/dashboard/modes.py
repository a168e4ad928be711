"""Reports of svd and pca: the modes, how well each is known, and their vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rnla.arrays import Array
from rnla.dashboard import plots
from rnla.dashboard.page import Section, Table, figure, folded, pair
from rnla.dashboard.reading import Profile, Shown, side
from rnla.dashboard.spelling import SIGMA, known, number, percent
from rnla.tables import counted

UNITS = "data units"


@dataclass(frozen=True)
class Modes:
    """Singular triplets or principal components as a report shows them."""

    result: Shown
    s: Array  # (k,)
    lower: Array  # (k,)
    upper: Array  # (k,)
    residuals: Array  # (k,)
    resolved: Array  # (k,) bool
    shares: Array  # (k,) of the total variance, or of the sum of squares
    rows: Profile
    columns: Profile

    @property
    def is_pca(self) -> bool:
        """Whether these are principal components."""
        return bool(self.result.record.get("pipeline") == "pca")

    @property
    def k(self) -> int:
        """Number of modes."""
        return int(self.s.size)

    @property
    def of_what(self) -> str:
        """What the shares are shares of."""
        return "variance" if self.is_pca else "sum of squares"

    @property
    def scores(self) -> Array:
        """Coordinates of sampled rows along the leading modes: (p, j)."""
        drawn = self.rows.sample
        return drawn if self.is_pca else np.asarray(drawn * self.s[: drawn.shape[1]])


def modes_of(result: Shown) -> Modes:
    """The modes of a result of svd or pca."""
    is_pca = result.record["pipeline"] == "pca"
    s = result.arrays["singular_values" if is_pca else "s"]
    norm = result.certificate.get("frobenius_norm") or 0.0
    return Modes(
        result=result,
        s=s,
        lower=result.arrays["lower"],
        upper=result.arrays["upper"],
        residuals=result.arrays["residuals"],
        resolved=result.arrays["resolved"],
        shares=result.arrays["explained_variance_ratio"] if is_pca else (s / norm if norm > 0 else s * 0) ** 2,
        rows=side(result, "scores" if is_pca else "U", 0),
        columns=side(result, "components" if is_pca else "Vt", 1),
    )


def sections(found: Modes) -> tuple[Section, ...]:
    """Spectrum, modes, vectors, scores."""
    return (
        Section("Singular values", spectrum(found)),
        Section("Modes", modes(found)),
        Section("Leading vectors", vectors(found)),
        Section("Scores", scores(found)),
    )


def spectrum(found: Modes) -> str:
    """Scree plot and cumulative share."""
    bound = found.result.certificate.get("spectral_bound")
    scree = plots.scree(found.s, found.lower, found.upper, found.resolved, bound if known(bound) else None, UNITS)
    zeros = int((found.s <= 0).sum())
    caption = "Each singular value with the interval that holds it, on a logarithmic axis." + (
        f" {counted(zeros, 'mode')} of value zero at the lower edge." if zeros else ""
    )
    label = f"share of the {found.of_what} (%)"
    share = figure(plots.cumulative(found.shares, label), f"Share of the {found.of_what} that the leading modes "
                   "explain together.")  # fmt: skip
    return pair(figure(scree, caption), share)


def modes(found: Modes) -> str:
    """Table of modes; a long one is folded after its first rows."""
    names = ("mode", SIGMA, "at least", "at most", "relative width", "residual", "explained", "together", "resolved")
    rows = [mode_row(found, i, float(total)) for i, total in enumerate(np.cumsum(found.shares))]
    return folded(Table(names, rows), "Modes")


def mode_row(found: Modes, i: int, together: float) -> list[str]:
    """What is known of one mode."""
    s, low, high = float(found.s[i]), float(found.lower[i]), float(found.upper[i])
    return [
        str(i + 1),
        number(s, 7),
        number(low, 7),
        number(high, 7),
        number((high - low) / s, 2) if s > 0 else f"{SIGMA} = 0",
        number(float(found.residuals[i]), 2),
        percent(float(found.shares[i])),
        percent(together, 4),
        "yes" if found.resolved[i] else "no",
    ]


def vectors(found: Modes) -> str:
    """The leading vectors along both sides."""
    left = ("score", "scores") if found.is_pca else ("u", "left singular vector")
    right = ("loading", "component") if found.is_pca else ("v", "right singular vector")
    drawn = found.rows.low.shape[0]
    body = "".join(pair(along(found.rows, i, *left), along(found.columns, i, *right)) for i in range(drawn))
    return f"<p>The first {counted(drawn, 'mode')} along the rows and along the columns.</p>{body}"


def along(drawn: Profile, mode: int, symbol: str, name: str) -> str:
    """One vector along its index."""
    index = f"{drawn.name} (index, {drawn.length:,} in all)"
    unit = f"({UNITS})" if symbol == "score" else "(no unit)"
    real = ", real part" if drawn.is_complex else ""
    says = f"{name} {mode + 1} along {drawn.name}"
    plot = plots.series(drawn.xs, drawn.low[mode], drawn.high[mode], index, f"{symbol} {unit}", says)
    return figure(plot, how_drawn(drawn), f"Mode {mode + 1}: {name} along {drawn.name}{real}")


def how_drawn(drawn: Profile) -> str:
    """What the reader must know when not every entry is drawn."""
    if drawn.whole:
        return ""
    part = (
        "" if drawn.seen == drawn.length else f" of {drawn.seen:,} of {drawn.length:,} entries, read at even distances"
    )
    return f"Too long for a line: the band holds the values{part or ' of all entries'}."


def scores(found: Modes) -> str:
    """Rows in the plane of the first two modes, and of the first and third."""
    drawn, total = found.scores, found.rows.length
    planes = [(0, j) for j in range(1, drawn.shape[1])]
    if not planes:
        return "<p>There is one mode only: its values along the rows are drawn above.</p>"
    many = f"{drawn.shape[0]:,} of {total:,} rows, evenly chosen" if drawn.shape[0] < total else f"all {total:,} rows"
    formula = "UΣ" + (", real parts" if found.rows.is_complex else "")
    body = pair(*(figure(plane(found, drawn, i, j)) for i, j in planes))
    return f"<p>Each dot is a row ({many}); its place is its coordinates along two modes, {formula}.</p>{body}"


def plane(found: Modes, drawn: Array, i: int, j: int) -> str:
    """Rows in the plane of two modes."""
    x, y = (f"mode {mode + 1} ({percent(float(found.shares[mode]))} explained; {UNITS})" for mode in (i, j))
    return plots.scatter(drawn[:, i], drawn[:, j], x, y, f"Rows in the plane of modes {i + 1} and {j + 1}")
