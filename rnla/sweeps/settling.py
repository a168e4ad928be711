"""The first sweep over a view: its product, together with the means, variances and unit that only a read can tell."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from rnla.arrays import Array, DType, accumulator_dtype
from rnla.sweeps.matrix import Matrix
from rnla.sweeps.products import CentredGram, Gram, GramMatrix, Moments, Product
from rnla.sweeps.spans import Tally, energy_range, overflowed
from rnla.sweeps.transform import refuse_without_mean, spread_of

EASY = 20  # lengths between 2^-20 and 2^20 are multiplied as they are: products of products stay in any range
FARTHEST = {4: 120, 8: 1000}  # powers of two that are numbers of a precision, by the bytes of a real one


class Settled(NamedTuple):
    """What the first sweep found."""

    matrix: Matrix  # the view with its means, variances and unit filled in
    Q: Array | None  # (n, l) the basis, as the settled view sees it
    Z: Array  # (n, l) A^H A Q
    energy: float  # ||A||_F^2


def first_sweep(A: Matrix, Q: Array | None) -> Settled:
    """A^H A Q (A^H A itself without Q) and ||A||_F^2 of a view whose own means need not be known: one read.

    Means come out of the same read (Chan's updates). Unit variance is applied afterwards: with A0 the centred matrix
    and D the inverse deviations, D A0^H A0 D (D^-1 Q) = D (A0^H A0 Q). One more read is made when means must be known
    beforehand (rows weighted after centring, missing entries, scaling without centring, strips read in parts), and one
    when squares leave the range of the precision and the unit is changed.
    """
    if not A.settled and fused(A):
        return _first_centred(A, Q)
    settled = settled_by_moments(A)
    answers, tally, view = in_range(settled, GramMatrix() if Q is None else Gram(Q))
    return Settled(view, Q, answers[0], tally.energy)


def fused(A: Matrix) -> bool:
    """Whether an unsettled view's means come out of its first product's read."""
    weights = A.transform.scale is None or bool(np.all(A.transform.scale > 0))
    plain = A.transform.weights is None and A.transform.missing == "error"
    return A.centring and plain and A.geometry.reads == 1 and (weights or not A.scaling)


def extra_reads(A: Matrix) -> int:
    """Reads that settling costs beyond the first product's own: 0 or 1."""
    return 0 if A.settled or fused(A) else 1


def _first_centred(A: Matrix, Q: Array | None) -> Settled:
    scale = A.transform.scale
    bare = replace(A, centring=False, scaling=False)
    if A.scaling:  # columns may differ in size by much: multiply them in full precision before they are scaled
        bare = replace(bare, transform=replace(A.transform, scale=None)).astype(accumulator_dtype(A.dtype))
    (moments, (_, Z)), _, view = in_range(bare, Moments(), CentredGram(Q))
    kept = view.transform.scale if view.transform.scale is not None else np.ones(A.shape[1])
    centre = moments.mean / (view.transform.unit * np.where(kept != 0, kept, 1.0))
    energy = float(moments.deviation.sum())
    if A.scaling:
        by = (1.0 if scale is None else scale) / spread_of(moments.deviation, moments.present, moments.mean)
        Z = Z * by[:, None]
        Q, Z = (None, Z * by) if Q is None else (Q / by[:, None], Z)
        energy = float(moments.deviation @ by**2)
        scale = by * view.transform.unit  # unit variance is in range: no other unit is needed
        view = replace(view, transform=replace(view.transform, unit=1.0))
    transform = replace(view.transform, centre=centre, scale=scale)
    return Settled(replace(A, centring=False, scaling=False, transform=transform), Q, Z, energy)


def settled_by_moments(A: Matrix) -> Matrix:
    """The view with means and variances found by a read of their own."""
    return A if A.settled else settled_with(A)[0]


def settled_with(A: Matrix, *others: Product, without: Array | None = None) -> tuple[Matrix, tuple[Any, ...]]:
    """The view with means and variances found by a read, and what others make in the same read of the data as stored.

    Rows `without` (sorted) have no part in means and variances. The others see neither means nor weights nor a
    treatment of missing entries, and no unit: they must not square.
    """
    missing = A.transform.missing
    bare = replace(A, centring=False, scaling=False, transform=replace(A.transform, scale=None, weights=None))
    bare = replace(bare, transform=replace(bare.transform, missing="error", centre=None, fill=None))
    wanted, allowed = Moments(missing != "error", without), missing != "error"
    if A.settled:
        return A, bare.swept(*others, allow_nonfinite=allowed)[0]
    (moments, *answers), tally = bare.swept(wanted, *others, allow_nonfinite=allowed)
    if tally.largest > 0 and not 1e-100 < tally.largest < 1e100:  # squared deviations leave the range of float64
        bare = in_unit_of(bare, tally.largest)
        (moments,), _ = bare.swept(wanted, allow_nonfinite=allowed)
    if missing == "impute-mean":
        refuse_without_mean(moments.present == 0)
    unit = bare.transform.unit
    mean = moments.mean / unit
    scale = A.transform.scale
    if A.scaling:
        spread = spread_of(moments.deviation, moments.present, moments.mean) / unit
        scale = (1.0 if scale is None else scale) / spread
    transform = replace(
        A.transform,
        centre=mean if A.centring else A.transform.centre,
        scale=scale,
        fill=mean if missing == "impute-mean" else None,
    )
    return replace(A, centring=False, scaling=False, transform=transform), tuple(answers)


def in_range(A: Matrix, *products: Product) -> tuple[tuple[Any, ...], Tally, Matrix]:
    """A sweep, repeated at another power of two when squares overflow or vanish; the view it was made with."""
    low, high = energy_range(A.dtype)
    answers, tally = A.swept(*products)
    if tally.largest == 0 or low <= tally.energy <= high:
        return answers, tally, A
    view = in_unit_of(A, tally.largest)
    answers, tally = view.swept(*products)
    if not low <= tally.energy <= high:
        raise overflowed(tally, A.dtype)
    return answers, tally, view


def in_unit_for(A: Matrix, norm: float | None) -> Matrix:
    """The view in a unit in which the square of a known norm is in range; as it is when none is known."""
    low, high = energy_range(A.dtype)
    return A if not norm or low <= norm * norm <= high else in_unit_of(A, norm)


def in_unit_of(A: Matrix, largest: float) -> Matrix:
    """The view times a power of two that brings entries of this size near 1."""
    return in_power(A, _near_one(largest, A.dtype))


def in_power(A: Matrix, power: int) -> Matrix:
    """The view 2^power A."""
    unit = math.ldexp(A.transform.unit, power)
    return A if power == 0 else replace(A, transform=replace(A.transform, unit=unit))


def settled(A: Matrix) -> Matrix:
    """The view with its own means known, along whichever side they are; they take a read."""
    return settled_by_moments(A.T).T if A.own_means else settled_by_moments(A)


def unit_power(length: float, dtype: DType) -> int:
    """The power of two that brings a length near 1; 0 where it and its squares are in range as it is."""
    if length == 0 or -EASY <= math.frexp(length)[1] <= EASY:
        return 0
    return _near_one(length, dtype)


def _near_one(size: float, dtype: DType) -> int:
    most = FARTHEST[np.finfo(dtype).dtype.itemsize]
    return max(-most, min(most, -math.frexp(size)[1]))
