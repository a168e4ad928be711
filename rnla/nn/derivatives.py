"""Derivatives of numpy's functions: of each ufunc by each of its arguments, and of sums, maxima and rearrangements.

A derivative is a function (d, y, *arguments) -> derivative by one argument, where d, of the shape of y, is that by the
result y. It is made of functions that are in these tables itself, so that it can be differentiated again; what is
locally constant (which one of two is larger) is taken from the bare values.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rnla.errors import RequestError
from rnla.nn.tape import Derivative, Tables, Variable, applied, bare, shape_of


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


def _sum(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    back: Derivative = lambda d, _y, a: _widened(d, a, axis) * np.ones(shape_of(a), bare(a).dtype)  # noqa: E731
    return applied(lambda a: a.sum(axis=axis, keepdims=keepdims), (back,), (x,))


def _mean(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    total = _sum(x, axis, keepdims=keepdims)
    return total / (x.size / max(total.size, 1))


def _max(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    def back(d: Any, y: Any, a: Any) -> Any:
        equal = (bare(a) == _widened(bare(y), a, axis)).astype(bare(a).dtype)
        return _widened(d, a, axis) * (equal / equal.sum(axis=axis, keepdims=True))

    return applied(lambda a: a.max(axis=axis, keepdims=keepdims), (back,), (x,))


def _reshape(x: Any, shape: Any) -> Any:
    return applied(lambda a: np.reshape(a, shape), (lambda d, _y, a: np.reshape(d, shape_of(a)),), (x,))


def _transpose(x: Any, axes: Any = None) -> Any:
    back = None if axes is None else tuple(np.argsort([axis % x.ndim for axis in axes]))
    return applied(lambda a: np.transpose(a, axes), (lambda d, _y, _a: np.transpose(d, back),), (x,))


def _swapaxes(x: Any, first: int, second: int) -> Any:
    order = list(range(x.ndim))
    order[first], order[second] = order[second], order[first]
    return _transpose(x, tuple(order))


def _dot(a: Any, b: Any) -> Any:
    if not (shape_of(a) and shape_of(b)):
        return a * b
    if len(shape_of(b)) > 2:
        msg = f"numpy.dot of arrays of shapes {shape_of(a)} and {shape_of(b)} has no derivative here: write a @ b"
        raise RequestError(msg)
    return a @ b


def _where(condition: Any, a: Any, b: Any) -> Any:
    chosen = np.array(bare(condition), dtype=bool)
    derivatives = _pair(lambda d, _y, _a, _b: d * chosen, lambda d, _y, _a, _b: d * ~chosen)
    if not isinstance(a, Variable) and not isinstance(b, Variable):
        return np.where(chosen, a, b)
    return applied(lambda x, y: np.where(chosen, x, y), derivatives, (a, b))


def _concatenated(parts: Sequence[Any], axis: int = 0) -> Any:
    parts = list(parts)
    sizes = [shape_of(part)[axis] for part in parts]
    edges = [0, *itertools.accumulate(sizes)]

    def back(start: int, stop: int) -> Derivative:
        def pull(d: Any, _y: Any, *_parts: Any) -> Any:
            index = [slice(None)] * d.ndim
            index[axis] = slice(start, stop)
            return d[tuple(index)]

        return pull

    derivatives = [back(start, stop) for start, stop in itertools.pairwise(edges)]
    return applied(lambda *arrays: np.concatenate(arrays, axis=axis), derivatives, parts)


_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.sum: _sum,
    np.mean: _mean,
    np.max: _max,
    np.reshape: _reshape,
    np.transpose: _transpose,
    np.swapaxes: _swapaxes,
    np.where: _where,
    np.concatenate: _concatenated,
    np.dot: _dot,
    np.shape: shape_of,
    np.ndim: lambda x: x.ndim,
    np.size: lambda x: x.size,
}
TABLES = Tables(_UFUNCS, _FUNCTIONS, _FLAT)
