"""Reverse-mode automatic differentiation of numpy functions: the chain rule along a tape, backwards.

Whatever a variable meets is put on the tape: which values it came from, and how a derivative by the result becomes one
by each of them. One run of the function and one run of the tape backwards give the derivatives by all variables,
however many: a small multiple of the cost of the function (Baur and Strassen 1983; Griewank and Walther 2008).

    f(x, y) = x^2 (x + y) at (2, 3):   p = x^2 = 4,  q = x + y = 5,  f = p q = 20
    df/df = 1;  df/dq = p = 4,  df/dp = q = 5;  df/dy = 4,  df/dx = 4 + 5 * 2 x = 24

Functions are written with operators and numpy's own functions. Derivatives are made of the same, so that `gradient` of
a `gradient` works. Where a function has no derivative it takes one from a side: |x| at 0 has 0, and so has
maximum(x, 0); of two that are equal, `maximum` and `minimum` take the second.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rnla.errors import RequestError

Derivative = Callable[..., Any]  # (derivative by the result, the result, *arguments) -> derivative by one argument
_levels = itertools.count()


class Tape:
    """What was computed, in order: of each step, the places of its arguments and their derivatives."""

    def __init__(self) -> None:
        self.level = next(_levels)  # a tape made while another one is written is the inner one
        self.steps: list[list[tuple[int, Callable[[Any], Any]]]] = []

    def put(self, value: Any, made_of: list[tuple[int, Callable[[Any], Any]]]) -> Variable:
        """A value with the derivatives by what it was made of."""
        self.steps.append(made_of)
        return Variable(value, self, len(self.steps) - 1)

    def backwards(self, last: int, first: int) -> list[Any]:
        """Derivatives of the value at place `last` by the first so many values; None by those it does not depend on."""
        found: list[Any] = [None] * (last + 1)
        found[last] = 1.0
        for place in range(last, -1, -1):
            derivative = found[place]
            if derivative is None:
                continue
            if place >= first:
                found[place] = None  # not needed again
            for source, pull in self.steps[place]:
                part = pull(derivative)
                found[source] = part if found[source] is None else found[source] + part
        return found[:first]


class Variable(np.lib.mixins.NDArrayOperatorsMixin):
    """A number or an array whose use is written to a tape. Made by `gradient`; used like numpy's arrays."""

    __array_priority__ = 1000.0

    def __init__(self, value: Any, tape: Tape, place: int) -> None:
        self.value, self.tape, self.place = value, tape, place

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the value."""
        return _shape(self.value)

    @property
    def ndim(self) -> int:
        """Of the value."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Of the value."""
        return math.prod(self.shape)

    @property
    def dtype(self) -> Any:
        """Of the value."""
        return self.value.dtype

    @property
    def T(self) -> Any:  # noqa: N802 - as numpy calls it
        """Transposed."""
        return np.transpose(self)  # type: ignore[call-overload]

    def sum(self, axis: Any = None, *, keepdims: bool = False) -> Any:
        """numpy.sum."""
        return _sum(self, axis, keepdims=keepdims)

    def mean(self, axis: Any = None, *, keepdims: bool = False) -> Any:
        """numpy.mean."""
        return _mean(self, axis, keepdims=keepdims)

    def max(self, axis: Any = None, *, keepdims: bool = False) -> Any:
        """numpy.max; the derivative is shared by those that are equal."""
        return _max(self, axis, keepdims=keepdims)

    def reshape(self, *shape: Any) -> Any:
        """numpy.reshape."""
        return _reshape(self, shape[0] if len(shape) == 1 else shape)

    def __getitem__(self, index: Any) -> Any:
        return _item(self, index)

    def __len__(self) -> int:
        return self.shape[0]

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if method != "__call__" or options:
            return NotImplemented
        if ufunc in _FLAT:
            return ufunc(*(_bare(x) for x in inputs))
        if ufunc not in _UFUNCS:
            msg = f"numpy.{ufunc.__name__} has no derivative here; those that have: {', '.join(_known())}"
            raise RequestError(msg)
        return _applied(ufunc, _UFUNCS[ufunc], inputs)

    def __array_function__(self, function: Any, _types: Any, args: Any, options: Any) -> Any:
        if function not in _FUNCTIONS:
            msg = f"numpy.{function.__name__} has no derivative here; those that have: {', '.join(_known())}"
            raise RequestError(msg)
        return _FUNCTIONS[function](*args, **options)

    def __float__(self) -> float:
        msg = "a variable that is being differentiated is no number: use operators and numpy's functions on it"
        raise RequestError(msg)

    def __bool__(self) -> bool:
        return bool(_bare(self))

    def __repr__(self) -> str:
        return f"Variable({self.value!r})"


def gradient(f: Callable[..., Any]) -> Callable[..., Any]:
    """The function that gives the derivatives of f, a number, by its arguments.

    Parameters
    ----------
    f : function of numbers and arrays
        Written with operators and numpy's functions; its value is one number.

    Returns
    -------
    function
        Of the same arguments. Of one argument: the derivative by it, of its shape; of several: a tuple of those.

    Raises
    ------
    RequestError
        An argument that is not real, a value of f that is not one number, a function without a derivative here; when
        the returned function is called.

    Notes
    -----
    Cost: one run of f and one of its tape backwards, together a small multiple of f alone whatever the number of
    variables, and the memory of all intermediate values.

    Examples
    --------
    >>> import rnla
    >>> rnla.nn.gradient(lambda x, y: x**2 * (x + y))(2.0, 3.0)
    (24.0, 4.0)
    """

    def of(*args: Any) -> Any:
        found = value_and_gradient(f)(*args)[1]
        return found if len(args) > 1 else found[0]

    return of


def value_and_gradient(f: Callable[..., Any]) -> Callable[..., tuple[Any, tuple[Any, ...]]]:
    """The function that gives f and the tuple of its derivatives by all arguments, from one run; see `gradient`."""

    def of(*args: Any) -> tuple[Any, tuple[Any, ...]]:
        tape = Tape()
        variables = [tape.put(_real(x, number), []) for number, x in enumerate(args)]
        value = f(*variables)
        if not (isinstance(value, Variable) and value.tape is tape):
            bare = _bare(value)
            _one_number(bare)
            return value, tuple(_zeros(variable) for variable in variables)
        _one_number(_bare(value))
        found = tape.backwards(value.place, len(variables))
        return value.value, tuple(
            _zeros(variable) if derivative is None else _shaped(derivative, variable)
            for variable, derivative in zip(variables, found, strict=True)
        )

    return of


def _one_number(value: Any) -> None:
    if np.size(value) != 1:
        msg = f"the function must return one number; this one returns an array of shape {np.shape(value)}: sum it up"
        raise RequestError(msg)


def _real(x: Any, number: int) -> Any:
    """An argument in floating point."""
    if isinstance(x, Variable):
        return x
    found = np.asarray(x)
    if found.dtype.kind not in "buif":
        msg = f"argument {number} is of type {found.dtype}; derivatives are by real numbers"
        raise RequestError(msg)
    found = found if found.dtype.kind == "f" else found.astype(np.float64)
    return found if found.ndim else found[()]


def _zeros(variable: Variable) -> Any:
    return variable.value * 0.0


def _shaped(derivative: Any, variable: Variable) -> Any:
    """A derivative of the shape of its variable."""
    if _shape(derivative) != variable.shape:
        derivative = derivative + np.zeros(variable.shape)
    return derivative if variable.shape or isinstance(derivative, Variable) else float(derivative)


def _bare(x: Any) -> Any:
    """The value under all tapes."""
    while isinstance(x, Variable):
        x = x.value
    return x


def _shape(x: Any) -> tuple[int, ...]:
    return tuple(getattr(x, "shape", ()) or np.shape(_bare(x)))


def _applied(forward: Callable[..., Any], derivatives: Sequence[Derivative | None], inputs: Sequence[Any]) -> Any:
    """A primitive on the innermost tape among its arguments; variables of other tapes are constants to it."""
    tape = max((x.tape for x in inputs if isinstance(x, Variable)), key=lambda tape: tape.level)
    values = [x.value if isinstance(x, Variable) and x.tape is tape else x for x in inputs]
    result = forward(*values)
    made_of = [
        (x.place, _pull(derivative, result, values))
        for x, derivative in zip(inputs, derivatives, strict=True)
        if isinstance(x, Variable) and x.tape is tape and derivative is not None
    ]
    return tape.put(result, made_of)


def _pull(derivative: Derivative, result: Any, values: list[Any]) -> Callable[[Any], Any]:
    return lambda by_result: derivative(by_result, result, *values)


def _like(derivative: Any, x: Any) -> Any:
    """A derivative summed over the axes along which its argument was broadcast."""
    shape, wanted = _shape(derivative), _shape(x)
    if shape == wanted:
        return derivative
    lead = len(shape) - len(wanted)
    derivative = derivative.sum(axis=tuple(range(lead))) if lead > 0 else derivative
    ones = tuple(i for i, size in enumerate(wanted) if size == 1 and _shape(derivative)[i : i + 1] not in {(1,), ()})
    return derivative.sum(axis=ones, keepdims=True) if ones else derivative


def _pair(first: Derivative, second: Derivative) -> tuple[Derivative, Derivative]:
    """Derivatives of a function of two arguments that broadcast."""
    return (lambda d, y, a, b: _like(first(d, y, a, b), a)), (lambda d, y, a, b: _like(second(d, y, a, b), b))


def _by_base(d: Any, _y: Any, a: Any, b: Any) -> Any:
    return d * b * a ** (b - 1) if np.any(_bare(b)) else d * 0.0 * a


def _by_exponent(d: Any, y: Any, a: Any, _b: Any) -> Any:
    return d * y * np.log(np.where(_bare(a) > 0, a, 1.0))


def _across(x: Any) -> Any:
    """The last two axes swapped."""
    return x if x.ndim < 2 else np.swapaxes(x, -1, -2)


def _by_left(d: Any, _y: Any, a: Any, b: Any) -> Any:
    if a.ndim == 1:
        return d * b if b.ndim == 1 else b @ d
    return _like(d[..., None] * b if b.ndim == 1 else d @ _across(b), a)


def _by_right(d: Any, _y: Any, a: Any, b: Any) -> Any:
    if b.ndim == 1:
        return d * a if a.ndim == 1 else _like(_across(a) @ d[..., None], np.empty((*b.shape, 1)))[..., 0]
    return a[:, None] * d if a.ndim == 1 else _like(_across(a) @ d, b)


_UFUNCS: dict[Any, tuple[Derivative, ...]] = {
    np.add: _pair(lambda d, _y, _a, _b: d, lambda d, _y, _a, _b: d),
    np.subtract: _pair(lambda d, _y, _a, _b: d, lambda d, _y, _a, _b: -d),
    np.multiply: _pair(lambda d, _y, _a, b: d * b, lambda d, _y, a, _b: d * a),
    np.divide: _pair(lambda d, _y, _a, b: d / b, lambda d, y, _a, b: -d * y / b),
    np.power: _pair(_by_base, _by_exponent),
    np.maximum: _pair(lambda d, _y, a, b: d * (_bare(a) > _bare(b)), lambda d, _y, a, b: d * (_bare(a) <= _bare(b))),
    np.minimum: _pair(lambda d, _y, a, b: d * (_bare(a) < _bare(b)), lambda d, _y, a, b: d * (_bare(a) >= _bare(b))),
    np.matmul: (_by_left, _by_right),
    np.negative: (lambda d, _y, _a: -d,),
    np.absolute: (lambda d, _y, a: d * np.sign(_bare(a)),),
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
    shape = _shape(like)
    if axis is None:
        return _reshape(x, (1,) * len(shape)) if shape and _shape(x) != (1,) * len(shape) else x
    summed = {i % len(shape) for i in (axis if isinstance(axis, tuple) else (axis,))}
    return _reshape(x, tuple(1 if i in summed else size for i, size in enumerate(shape)))


def _sum(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    back: Derivative = lambda d, _y, a: _widened(d, a, axis) * np.ones(_shape(a), _bare(a).dtype)  # noqa: E731
    return _applied(lambda a: a.sum(axis=axis, keepdims=keepdims), (back,), (x,))


def _mean(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    total = _sum(x, axis, keepdims=keepdims)
    return total / (x.size / max(total.size, 1))


def _max(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    def back(d: Any, y: Any, a: Any) -> Any:
        equal = _bare(a) == _bare(_widened(_bare(y), a, axis))
        return _widened(d, a, axis) * (equal / equal.sum(axis=axis, keepdims=True))

    return _applied(lambda a: a.max(axis=axis, keepdims=keepdims), (back,), (x,))


def _reshape(x: Any, shape: Any) -> Any:
    if not isinstance(x, Variable):
        return np.reshape(x, shape)
    return _applied(lambda a: a.reshape(shape), (lambda d, _y, a: _reshape(d, _shape(a)),), (x,))


def _transpose(x: Any, axes: Any = None) -> Any:
    back = None if axes is None else tuple(np.argsort(axes))
    return _applied(lambda a: np.transpose(a, axes), (lambda d, _y, _a: np.transpose(d, back),), (x,))


def _swapaxes(x: Any, first: int, second: int) -> Any:
    order = list(range(x.ndim))
    order[first], order[second] = order[second], order[first]
    return _transpose(x, tuple(order))


def _item(x: Any, index: Any) -> Any:
    return _applied(lambda a: a[index], (lambda d, _y, a: _scattered(d, index, _shape(a)),), (x,))


def _scattered(x: Any, index: Any, shape: tuple[int, ...]) -> Any:
    """Zeros with the entries of x added at an index; the other way round from taking them."""
    if isinstance(x, Variable):
        return _applied(lambda a: _scattered(a, index, shape), (lambda d, _y, _a: d[index],), (x,))
    found = np.zeros(shape, getattr(x, "dtype", np.float64))
    np.add.at(found, index, x)
    return found


def _where(condition: Any, a: Any, b: Any) -> Any:
    chosen = np.asarray(_bare(condition), dtype=bool)
    derivatives = _pair(lambda d, _y, _a, _b: d * chosen, lambda d, _y, _a, _b: d * ~chosen)
    if not isinstance(a, Variable) and not isinstance(b, Variable):
        return np.where(chosen, a, b)
    return _applied(lambda x, y: np.where(chosen, x, y), derivatives, (a, b))


def _concatenated(parts: Sequence[Any], axis: int = 0) -> Any:
    sizes = [_shape(part)[axis] for part in parts]
    edges = [0, *itertools.accumulate(sizes)]

    def back(start: int, stop: int) -> Derivative:
        def pull(d: Any, _y: Any, *_parts: Any) -> Any:
            index = [slice(None)] * d.ndim
            index[axis] = slice(start, stop)
            return d[tuple(index)]

        return pull

    derivatives = [back(start, stop) for start, stop in itertools.pairwise(edges)]
    return _applied(lambda *arrays: np.concatenate(arrays, axis=axis), derivatives, parts)


_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.sum: _sum,
    np.mean: _mean,
    np.max: _max,
    np.reshape: _reshape,
    np.transpose: _transpose,
    np.swapaxes: _swapaxes,
    np.where: _where,
    np.concatenate: _concatenated,
    np.dot: np.matmul,
    np.shape: _shape,
    np.ndim: lambda x: x.ndim,
    np.size: lambda x: x.size,
}


def _known() -> list[str]:
    return sorted({function.__name__ for function in (*_UFUNCS, *_FUNCTIONS, *_FLAT)})
