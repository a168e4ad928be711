"""Derivatives of numpy's functions: of each ufunc by each of its arguments, and of sums, maxima and rearrangements.

A derivative is a function (d, y, *arguments) -> derivative by one argument, where d, of the shape of y, is that by the
result y. It is made of functions that are in these tables itself, so that it can be differentiated again; what is
locally constant (which one of two is larger) is taken from the bare values.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rnla.errors import RequestError
from rnla.nn.tape import Derivative, Tables, Variable, applied, bare, shape_of, stacked, whole


def _like(derivative: Any, x: Any) -> Any:
    """A derivative summed over the axes along which its argument was broadcast."""
    shape, wanted = shape_of(derivative), shape_of(x)
    if shape == wanted:
        return derivative
    lead = len(shape) - len(wanted)
    derivative = derivative.sum(axis=tuple(range(lead))) if lead > 0 else derivative
    ones = tuple(i for i, size in enumerate(wanted) if size == 1 and shape_of(derivative)[i : i + 1] not in {(1,), ()})
    return derivative.sum(axis=ones, keepdims=True) if ones else derivative


def _pair(first: Derivative, second: Derivative) -> tuple[Derivative, Derivative]:
    """Derivatives of a function of two arguments that broadcast."""
    return (lambda d, y, a, b: _like(first(d, y, a, b), a)), (lambda d, y, a, b: _like(second(d, y, a, b), b))


def _by_base(d: Any, _y: Any, a: Any, b: Any) -> Any:
    constant = np.logical_and(np.equal(bare(a), 0), np.equal(bare(b), 0))  # 0^0, whose b a^(b - 1) is 0 times infinity
    return d * b * a ** (np.where(constant, 1.0, b - 1.0) if np.any(constant) else b - 1.0)


def _by_exponent(d: Any, y: Any, a: Any, _b: Any) -> Any:
    """y log a; 0 where a is not positive."""
    return d * y * np.log(np.where(bare(a) > 0, a, 1.0))


def _across(x: Any) -> Any:
    """The last two axes swapped."""
    return np.swapaxes(x, -1, -2)


def _by_left(d: Any, _y: Any, a: Any, b: Any) -> Any:
    if b.ndim == 1:
        return d * b if a.ndim == 1 else d[..., None] * b
    return _like((b @ d[..., None])[..., 0] if a.ndim == 1 else d @ _across(b), a)


def _by_right(d: Any, _y: Any, a: Any, b: Any) -> Any:
    if a.ndim == 1:
        return d * a if b.ndim == 1 else a[:, None] * d[..., None, :]
    if b.ndim == 1:
        return _like((_across(a) @ d[..., None])[..., 0], b)
    return _like(_across(a) @ d, b)


_UFUNCS: dict[Any, tuple[Derivative, ...]] = {
    np.add: _pair(lambda d, _y, _a, _b: d, lambda d, _y, _a, _b: d),
    np.subtract: _pair(lambda d, _y, _a, _b: d, lambda d, _y, _a, _b: -d),
    np.multiply: _pair(lambda d, _y, _a, b: d * b, lambda d, _y, a, _b: d * a),
    np.divide: _pair(lambda d, _y, _a, b: d / b, lambda d, y, _a, b: -d * y / b),
    np.power: _pair(_by_base, _by_exponent),
    np.maximum: _pair(lambda d, _y, a, b: d * (bare(a) > bare(b)), lambda d, _y, a, b: d * (bare(a) <= bare(b))),
    np.minimum: _pair(lambda d, _y, a, b: d * (bare(a) < bare(b)), lambda d, _y, a, b: d * (bare(a) >= bare(b))),
    np.matmul: (_by_left, _by_right),
    np.positive: (lambda d, _y, _a: d,),
    np.negative: (lambda d, _y, _a: -d,),
    np.absolute: (lambda d, _y, a: d * np.sign(bare(a)),),
    np.square: (lambda d, _y, a: d * 2.0 * a,),
    np.sqrt: (lambda d, y, _a: d / (2.0 * y),),
    np.exp: (lambda d, y, _a: d * y,),
    np.expm1: (lambda d, y, _a: d * (y + 1.0),),
    np.log: (lambda d, _y, a: d / a,),
    np.log1p: (lambda d, _y, a: d / (1.0 + a),),
    np.sin: (lambda d, _y, a: d * np.cos(a),),
    np.cos: (lambda d, _y, a: -d * np.sin(a),),
    np.tanh: (lambda d, y, _a: d * (1.0 - y * y),),
}
_FLAT = {np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal, np.sign, np.isfinite, np.isnan}


def _widened(x: Any, like: Any, axis: Any) -> Any:
    """What a sum over axes left, with those axes again."""
    shape = shape_of(like)
    if axis is None:
        return np.reshape(x, (1,) * len(shape)) if shape and shape_of(x) != (1,) * len(shape) else x
    summed = {i % max(1, len(shape)) for i in (axis if isinstance(axis, tuple) else (axis,))}
    return np.reshape(x, tuple(1 if i in summed else size for i, size in enumerate(shape)))


def _sum(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    back: Derivative = lambda d, _y, a: _widened(d, a, axis) * np.ones(shape_of(a), bare(a).dtype)  # noqa: E731
    return applied(lambda a: a.sum(axis=axis, keepdims=keepdims), (back,), (a,))


def _mean(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    total = _sum(a, axis, keepdims=keepdims)
    return total / (a.size / max(total.size, 1))


def _prod(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """By halves: derivatives are products of the other entries, of zeros too."""
    shape = shape_of(a)
    every = tuple(range(len(shape)))
    axes = every if axis is None or not shape else np.lib.array_utils.normalize_axis_tuple(axis, len(shape))
    others = tuple(i for i in every if i not in axes)
    rows = tuple(shape[i] for i in others)
    left = np.reshape(np.transpose(a, others + axes), (*rows, math.prod(shape[i] for i in axes)))
    if not left.shape[-1]:
        left = np.concatenate([left, np.ones((*rows, 1), left.dtype)], axis=-1)
    while (half := left.shape[-1] // 2) > 0:
        pairs, rest = left[..., :half] * left[..., half : 2 * half], left[..., 2 * half :]
        left = np.concatenate([pairs, rest], axis=-1) if rest.size else pairs
    return np.reshape(left, tuple(1 if i in axes else shape[i] for i in every) if keepdims else rows)


def _extreme(of: Callable[..., Any]) -> Callable[..., Any]:
    """numpy.max or numpy.min: those that are equal share the derivative."""

    def extreme(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
        def back(d: Any, y: Any, a: Any) -> Any:
            equal = (bare(a) == _widened(bare(y), a, axis)).astype(bare(a).dtype)
            return _widened(d, a, axis) * (equal / equal.sum(axis=axis, keepdims=True))

        return applied(lambda a: of(a, axis=axis, keepdims=keepdims), (back,), (a,))

    return extreme


def _clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:  # noqa: A002
    least, most = (min if a_min is None else a_min), (max if a_max is None else a_max)
    a = a if least is None else np.maximum(a, least)
    return a if most is None else np.minimum(a, most)


def _reshaped(a: Any, forward: Callable[[Any], Any]) -> Any:
    """The same entries in another shape."""
    return applied(forward, (lambda d, _y, a: np.reshape(d, shape_of(a)),), (a,))


def _reshape(a: Any, shape: Any) -> Any:
    return _reshaped(a, lambda a: np.reshape(a, shape))


def _ravel(a: Any) -> Any:
    return _reshape(a, -1)


def _squeeze(a: Any, axis: Any = None) -> Any:
    return _reshaped(a, lambda a: np.squeeze(a, axis))


def _transpose(a: Any, axes: Any = None) -> Any:
    back = None if axes is None else tuple(np.argsort([axis % a.ndim for axis in axes]))
    return applied(lambda a: np.transpose(a, axes), (lambda d, _y, _a: np.transpose(d, back),), (a,))


def _swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    back: Derivative = lambda d, _y, _a: np.swapaxes(d, axis1, axis2)  # noqa: E731
    return applied(lambda a: np.swapaxes(a, axis1, axis2), (back,), (a,))


def _dot(a: Any, b: Any) -> Any:
    a, b = whole(a), whole(b)
    if not (shape_of(a) and shape_of(b)):
        return a * b
    if len(shape_of(b)) > 2:
        msg = f"numpy.dot of arrays of shapes {shape_of(a)} and {shape_of(b)} has no derivative here: write a @ b"
        raise RequestError(msg)
    return a @ b


def _where(condition: Any, x: Any, y: Any) -> Any:
    chosen = np.array(bare(whole(condition)), dtype=bool)
    x, y = whole(x), whole(y)
    if not isinstance(x, Variable) and not isinstance(y, Variable):
        return np.where(chosen, x, y)
    derivatives = _pair(lambda d, _y, _a, _b: d * chosen, lambda d, _y, _a, _b: d * ~chosen)
    return applied(lambda a, b: np.where(chosen, a, b), derivatives, (x, y))


def _concatenated(arrays: Sequence[Any], axis: int | None = 0) -> Any:
    parts = [whole(part) for part in arrays]
    if axis is None:
        parts, axis = [np.reshape(part, -1) for part in parts], 0
    if not all(shape_of(part) for part in parts):
        msg = "numpy.concatenate joins arrays, not numbers: write np.stack([x, y]), or axis=None"
        raise RequestError(msg)
    axis = np.lib.array_utils.normalize_axis_index(axis, len(shape_of(parts[0])))
    edges = [0, *itertools.accumulate(shape_of(part)[axis] for part in parts)]

    def back(start: int, stop: int) -> Derivative:
        return lambda d, _y, *_parts: d[(slice(None),) * axis + (slice(start, stop),)]

    derivatives = [back(start, stop) for start, stop in itertools.pairwise(edges)]
    return applied(lambda *values: np.concatenate(values, axis=axis), derivatives, parts)


_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.sum: _sum,
    np.mean: _mean,
    np.prod: _prod,
    np.max: _extreme(np.max),
    np.min: _extreme(np.min),
    np.clip: _clip,
    np.reshape: _reshape,
    np.ravel: _ravel,
    np.squeeze: _squeeze,
    np.transpose: _transpose,
    np.swapaxes: _swapaxes,
    np.where: _where,
    np.concatenate: _concatenated,
    np.stack: stacked,
    np.dot: _dot,
    np.shape: shape_of,
    np.ndim: lambda a: a.ndim,
    np.size: lambda a: a.size,
}
TABLES = Tables(_UFUNCS, _FUNCTIONS, _FLAT)
