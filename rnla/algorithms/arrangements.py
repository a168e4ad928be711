"""How many regions hyperplanes in general position make: Schlaefli's formula and the recursion behind it.

L. Schlaefli, Theorie der vielfachen Kontinuitaet (written 1850-52, printed 1901); T. Zaslavsky, Facing up to
arrangements, Memoirs of the AMS 154 (1975), for hyperplanes in any position; G. Strang, The Functions of Deep Learning,
SIAM News 51(10), 2018, for the flat pieces of a ReLU network with one hidden layer, by the recursion (after Kleinbaum).
"""

from __future__ import annotations

import psutil

from rnla.arrays import spelt_bytes
from rnla.checks import integer
from rnla.errors import DoesNotFitError

COPIES = 4  # of the number, while it is added up


def regions(N: int, m: int) -> int:
    """sum_(i = 0..m) C(N, i): the regions into which N hyperplanes in general position cut R^m.

    Those are the flat pieces of a ReLU network with m inputs and one hidden layer of N neurons; fewer when their
    hyperplanes are parallel or meet more often than they must.

    Parameters
    ----------
    N : int
        Hyperplanes, 0 or more.
    m : int
        Dimensions, 0 or more.

    Returns
    -------
    int
        Exact, whatever its length. min(N, m) products of an integer of up to N bits by a small one.

    Raises
    ------
    RequestError
        N or m is negative or no integer.
    DoesNotFitError
        The number has more digits than memory holds.

    Examples
    --------
    >>> import rnla
    >>> rnla.nn.regions(2, 2), rnla.nn.regions(3, 2), rnla.nn.regions(5, 3)
    (4, 7, 26)
    """
    N, m = integer(N, "N", least=0), integer(m, "m", least=0)
    _refuse_too_long(N, m)
    if m >= N:
        return 1 << N
    if 2 * m >= N:  # C(N, i) = C(N, N - i): the shorter end of the row
        return (1 << N) - regions(N, N - m - 1)
    total = term = 1
    for i in range(m):
        term = term * (N - i) // (i + 1)  # C(N, i + 1)
        total += term
    return total


def _refuse_too_long(N: int, m: int) -> None:
    """DoesNotFitError for a sum that memory does not hold; it is at most 2^N, and (N + 1)^m."""
    digits = min(N, m * N.bit_length())
    needed, there = COPIES * digits // 8, psutil.virtual_memory().total
    if needed > there:
        msg = (
            f"regions({N}, {m}) is a number of some {digits:,} binary digits, more than the memory of this machine "
            f"holds ({spelt_bytes(there)}): take smaller ones"
        )
        raise DoesNotFitError(msg)


def regions_by_recursion(N: int, m: int) -> int:
    """The same from r(N, m) = r(N - 1, m) + r(N - 1, m - 1), with r = 1 where N or m is 0: N m additions.

    Hyperplane N is itself cut by the others into r(N - 1, m - 1) pieces, and each of those divides one region in two.

    Examples
    --------
    >>> from rnla.algorithms.arrangements import regions_by_recursion
    >>> regions_by_recursion(5, 3)
    26
    """
    N, m = integer(N, "N", least=0), integer(m, "m", least=0)
    row = [1] * (m + 1)  # r(0, 0..m)
    for _ in range(N):
        row = [1, *(row[i] + row[i - 1] for i in range(1, m + 1))]
    return row[m]
