"""The regions of a network in rational arithmetic: one polygon after the other, no tolerance anywhere."""

from fractions import Fraction

import numpy as np


def rational(array):
    """The same numbers, exactly."""
    return np.vectorize(Fraction, otypes=[object])(np.asarray(array, dtype=np.float64))


def value(f, x):
    """Of an affine function (slopes..., offset) at a point."""
    return sum((a * b for a, b in zip(f, x, strict=False)), f[-1])


def clipped(corners, f, sign):
    """The part of a convex polygon (or interval) where sign * f >= 0."""
    kept = []
    for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
        at_a, at_b = sign * value(f, a), sign * value(f, b)
        if at_a >= 0:
            kept.append(a)
        if at_a * at_b < 0:
            t = at_a / (at_a - at_b)
            kept.append(tuple(x + t * (y - x) for x, y in zip(a, b, strict=True)))
    return kept


def regions(network, corners):
    """Activation regions of a polygon (or of an interval by its ends) as [(corners, affine map of F)]."""
    inputs = network.widths[0]
    coordinates = [tuple(Fraction(int(i == j)) for j in range(inputs + 1)) for i in range(inputs)]
    found = [(list(map(tuple, rational(corners))), coordinates)]
    return through(found, [(layer.W, layer.b) for layer in network.layers])


def through(found, layers):
    """Regions [(corners, values as affine functions)] cut by layers (W, b); the last one is affine."""
    for number, layer in enumerate(layers):
        W, b = map(rational, layer)
        following = []
        for polygon, before in found:
            size = len(before[0])
            maps = [
                tuple(sum((w * f[k] for w, f in zip(column, before, strict=True)), c * (k == size - 1))
                      for k in range(size))
                for column, c in zip(W.T, b, strict=True)
            ]  # fmt: skip
            if number + 1 == len(layers):
                following.append((polygon, maps))
            else:
                following += [(part, switched(maps, signs)) for part, signs in cut(polygon, maps)]
        found = following
    return found


def switched(maps, signs):
    """ReLU: functions where they are positive, zero elsewhere."""
    return [f if sign > 0 else (Fraction(0),) * len(f) for f, sign in zip(maps, signs, strict=True)]


def cut(polygon, maps):
    """Parts with an interior on which no function changes sign, and the signs."""
    parts = [(polygon, [])]
    for f in maps:
        following = []
        for part, signs in parts:
            values = [value(f, x) for x in part]
            low, high = min(values) < 0, max(values) > 0
            if low and high:
                following += [(clipped(part, f, sign), [*signs, sign]) for sign in (1, -1)]
            else:
                following.append((part, [*signs, high - low]))
        parts = following
    return parts


def linear_pieces(found):
    """How many pieces are left when regions with a common edge and the same affine map are one."""
    names = list(range(len(found)))
    for i, (first, map_a) in enumerate(found):
        for j, (second, map_b) in enumerate(found[:i]):
            if map_a == map_b and names[i] != names[j] and touch(first, second):
                names = [names[j] if name == names[i] else name for name in names]
    return len(set(names))


def touch(first, second):
    """Whether two polygons have more than a point of their boundaries in common."""
    return any(overlap(a, b, c, d) for a, b in sides(first) for c, d in sides(second))


def sides(polygon):
    """Edges by their ends."""
    return zip(polygon, polygon[1:] + polygon[:1], strict=True)


def overlap(a, b, c, d):
    """Whether two segments of a line have more than a point in common."""
    along = [y - x for x, y in zip(a, b, strict=True)]
    off = [along[0] * (p[1] - a[1]) - along[1] * (p[0] - a[0]) for p in (c, d)]
    if any(off):
        return False
    at = [sum(x * (y - z) for x, y, z in zip(along, p, a, strict=True)) for p in (a, b, c, d)]
    return max(min(at[:2]), min(at[2:])) < min(max(at[:2]), max(at[2:]))
