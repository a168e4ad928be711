"""Numbers as people read them."""

from __future__ import annotations

import math
from typing import Any, TypeGuard

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MINUS = "\N{MINUS SIGN}"
TIMES = "\N{MULTIPLICATION SIGN}"
SIGMA = "\N{GREEK SMALL LETTER SIGMA}"
UNKNOWN = "not known"
PERCENT = "\N{NO-BREAK SPACE}%"


def power(exponent: int) -> str:
    """10 to the exponent: 10⁻⁷."""
    return "10" + str(exponent).translate(_SUPERSCRIPTS)


def known(value: Any) -> TypeGuard[float]:
    """Whether the value is a number at all (JSON has no NaN: it may be null)."""
    return isinstance(value, int | float) and not math.isnan(value)


def number(value: Any, digits: int = 4) -> str:
    """The value to so many significant digits: 0.0123, 255.4, 12,345, 1.2 x 10⁻⁷ (spelt with a multiplication sign)."""
    if not known(value):
        return UNKNOWN
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    if value == 0:
        return "0"
    mantissa, exponent = f"{abs(value):.{digits - 1}e}".split("e")
    sign = MINUS if value < 0 else ""
    if not -3 <= int(exponent) < 6:
        factor = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        return f"{sign}{'' if factor == '1' else factor + TIMES}{power(int(exponent))}"
    return f"{sign}{abs(value):,.{max(digits - 1 - int(exponent), 0)}f}"


def times(value: Any) -> str:
    """A count that need not be whole: 4, 3.98."""
    return f"{value:.3g}" if known(value) else UNKNOWN


def percent(share: Any, digits: int = 3) -> str:
    """A share as a percentage, 12.3 %; shares too small for that as they are."""
    if not known(share):
        return UNKNOWN
    return "0" + PERCENT if share == 0 else f"{number(100 * share, digits)}{PERCENT}"


def captured(share: Any) -> str:
    """A share that may be close to one: 87.6 %, or all but 3 x 10⁻⁸ of it."""
    if known(share) and 0.9995 <= share < 1:
        return f"all but {number(1 - share, 2)}"
    return percent(share)


def probability(value: Any) -> str:
    """A probability near one without rounding it to one: 99.9999 %."""
    if not known(value):
        return UNKNOWN
    missing = 1 - value
    if missing <= 0:
        return "100" + PERCENT
    places = max(-math.floor(math.log10(missing) + 0.01) - 2, 0)
    return f"{100 * value:.{places}f}{PERCENT}" if places <= 8 else f"1 {MINUS} {number(missing, 2)}"


def duration(seconds: Any) -> str:
    """0.42 s, 12.3 s, 4 min 5 s, 2 h 3 min."""
    if not known(seconds):
        return UNKNOWN
    if seconds < 120:
        return f"{number(seconds, 3)} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, left = divmod(minutes, 60)
    return f"{hours} h {left} min" if hours else f"{minutes} min {rest} s"
