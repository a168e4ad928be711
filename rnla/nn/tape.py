"""The tape of automatic differentiation, and the variables that write to it.

A tape holds, for each value that was computed, which values it came from and how a derivative by it becomes one by each
of them; read backwards, it is the chain rule. A tape made while another one is written is the inner one: to it,
variables of the outer tape are constants, whose own use the outer tape sees. Arrays that are constants are copied: what
is written into them after their use does not reach the tape.
"""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np

from rnla.errors import RequestError

Derivative = Callable[..., Any]  # (derivative by the result, the result, *arguments) -> derivative by one argument
_levels = itertools.count()
_SMALL_BYTES = 16_384  # what is copied sooner than compared


class Tables(NamedTuple):
    """What a variable can go through."""

    ufuncs: dict[Any, tuple[Derivative, ...]]  # the derivatives by each argument
    functions: dict[Any, Callable[..., Any]]  # what is called instead
    flat: set[Any]  # ufuncs that are constant but for jumps


class Tape:
    """What was computed, in order: of each step, the places of its arguments and their derivatives."""

    def __init__(self, tables: Tables) -> None:
        self.tables, self.level = tables, next(_levels)
        self.steps: list[list[tuple[int, Callable[[Any], Any]]]] = []
        self.copies: dict[Any, Any] = {}  # place and layout of a constant array -> what was there last

    def put(self, value: Any, made_of: list[tuple[int, Callable[[Any], Any]]]) -> Variable:
        """A value with the derivatives by what it was made of."""
        self.steps.append(made_of)
        return Variable(value, self, len(self.steps) - 1)

    def constant(self, x: Any) -> Any:
        """A constant as it is now; a large array that is met again as it was has one copy for all its uses."""
        if isinstance(x, _FIXED):
            return x
        found = real(x, "a constant")
        if found.nbytes <= _SMALL_BYTES or found.itemsize > 8:
            return np.array(found)
        key = (found.__array_interface__["data"][0], found.shape, found.strides, found.dtype)
        bits = f"u{found.itemsize}"
        if key not in self.copies or not np.array_equal(found.view(bits), self.copies[key].view(bits)):
            self.copies[key] = np.array(found)
        return self.copies[key]

    def backwards(self, last: Variable, first: int) -> list[Any]:
        """Derivatives of a number by the first so many values; None by those it does not depend on."""
        found: list[Any] = [None] * max(first, last.place + 1)
        found[last.place] = np.ones_like(bare(last))[()]
        for place in range(last.place, -1, -1):
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
        return shape_of(self.value)

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
        return np.transpose(self)

    def sum(self, axis: Any = None, *, keepdims: bool = False) -> Any:
        """numpy.sum."""
        return np.sum(self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Any = None, *, keepdims: bool = False) -> Any:
        """numpy.mean."""
        return np.mean(self, axis=axis, keepdims=keepdims)

    def prod(self, axis: Any = None, *, keepdims: bool = False) -> Any:
        """numpy.prod."""
        return np.prod(self, axis=axis, keepdims=keepdims)

    def max(self, axis: Any = None, *, keepdims: bool = False) -> Any:
        """numpy.max; the derivative is shared by those that are equal."""
        return np.max(self, axis=axis, keepdims=keepdims)

    def min(self, axis: Any = None, *, keepdims: bool = False) -> Any:
        """numpy.min; the derivative is shared by those that are equal."""
        return np.min(self, axis=axis, keepdims=keepdims)

    def clip(self, min: Any = None, max: Any = None) -> Any:  # noqa: A002 - as numpy calls them
        """numpy.clip."""
        return np.clip(self, min, max)

    def dot(self, b: Any) -> Any:
        """numpy.dot."""
        return np.dot(self, b)

    def reshape(self, *shape: Any) -> Any:
        """numpy.reshape."""
        return np.reshape(self, shape[0] if len(shape) == 1 else shape)

    def ravel(self) -> Any:
        """numpy.ravel."""
        return np.ravel(self)

    flatten = ravel

    def squeeze(self, axis: Any = None) -> Any:
        """numpy.squeeze."""
        return np.squeeze(self, axis)

    def __getitem__(self, index: Any) -> Any:
        index = _settled(index)
        return applied(lambda a: a[index], (lambda d, _y, a: scattered(d, index, shape_of(a)),), (self,))

    def __len__(self) -> int:
        if not self.shape:
            msg = "a number has no length"
            raise TypeError(msg)
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def _anew(self, _other: Any) -> Any:
        """x += y is x = x + y: what is on the tape stays as it is."""
        return NotImplemented

    __iadd__ = __isub__ = __imul__ = __itruediv__ = __ipow__ = __imatmul__ = _anew

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        tables = self.tape.tables
        if method != "__call__" or options:
            how = f".{method}" if method != "__call__" else f" with {', '.join(options)}=..."
            hint = ": write `a = a + x` for `a += x`, where a is an array" if "out" in options else ""
            refused(f"{ufunc.__name__}{how}", tables, hint)
        if ufunc in tables.flat:
            return ufunc(*(bare(whole(x)) for x in inputs))
        if ufunc not in tables.ufuncs:
            refused(ufunc.__name__, tables)
        return applied(ufunc, tables.ufuncs[ufunc], inputs)

    def __array_function__(self, function: Any, _types: Any, args: Any, options: Any) -> Any:
        if function not in self.tape.tables.functions:
            refused(function.__name__, self.tape.tables)
        known = self.tape.tables.functions[function]
        try:
            return known(*args, **options)
        except TypeError:
            _check_arguments(function.__name__, known, args, options)
            raise

    def __array__(self, dtype: Any = None, *, copy: Any = None) -> NoReturn:
        msg = (
            "a variable that is being differentiated cannot become an array of numpy: use it as it is, and "
            "np.stack([x, y]) for np.array([x, y]) or for a list of variables that meets none; it can neither index an "
            "array nor meet a sparse or a masked one"
        )
        raise RequestError(msg)

    def __float__(self) -> float:
        msg = "a variable that is being differentiated is no number: use operators and numpy's functions on it"
        raise RequestError(msg)

    __int__ = __complex__ = __float__

    def __index__(self) -> int:
        msg = "an index has no derivative: use whole numbers that do not depend on what is differentiated"
        raise RequestError(msg)

    def __bool__(self) -> bool:
        return bool(bare(self))

    def __repr__(self) -> str:
        return f"Variable({self.value!r})"


_FIXED = (Variable, bool, int, float, np.bool_, np.integer, np.floating)  # constants that nobody can change


def refused(name: str, tables: Tables, hint: str = "") -> NoReturn:
    """RequestError for what has no derivative."""
    known = sorted({function.__name__ for function in (*tables.ufuncs, *tables.functions, *tables.flat)})
    msg = f"numpy.{name} has no derivative here{hint}; those that have: {', '.join(known)}"
    raise RequestError(msg)


def _check_arguments(name: str, function: Callable[..., Any], args: Any, options: Any) -> None:
    """RequestError for arguments that a function does not have here."""
    signature = inspect.signature(function)
    try:
        signature.bind(*args, **options)
    except TypeError as error:
        extra = [f"{option}=..." for option in options if option not in signature.parameters]
        given = ", ".join(extra) or f"{len(args) + len(options)} of its arguments"
        msg = f"numpy.{name} with {given} has no derivative here: it takes {', '.join(signature.parameters)}"
        raise RequestError(msg) from error


def bare(x: Any) -> Any:
    """The value under all tapes."""
    while isinstance(x, Variable):
        x = x.value
    return x


def shape_of(x: Any) -> tuple[int, ...]:
    """Of a variable, an array or a number."""
    return tuple(getattr(x, "shape", ()) or np.shape(bare(x)))


def real(x: Any, name: str) -> Any:
    """An argument or a constant as an array of real numbers."""
    found = np.asarray(x)
    if found.dtype.kind not in "buif" or isinstance(x, np.ma.MaskedArray):
        msg = f"{name} is of type {type(x).__name__} ({found.dtype}); only real numbers have derivatives"
        raise RequestError(msg)
    return found


def whole(x: Any) -> Any:
    """An argument as one array: lists, tuples and arrays of objects are stacked where they hold variables."""
    if isinstance(x, np.ndarray) and x.dtype.hasobject:
        found = whole(x.tolist())
        if shape_of(found) != x.shape:
            msg = f"an array of shape {x.shape} holds objects that are arrays: write np.stack([x, y]) of what it holds"
            raise RequestError(msg)
        return found
    if not isinstance(x, list | tuple):
        return x
    parts = [whole(part) for part in x]
    return stacked(parts) if any(isinstance(part, Variable) for part in parts) else np.asarray(parts)


def applied(forward: Callable[..., Any], derivatives: Sequence[Derivative], inputs: Sequence[Any]) -> Any:
    """A primitive on the innermost tape among its arguments; variables of other tapes are constants to it."""
    inputs = [whole(x) for x in inputs]
    tape = max((x.tape for x in inputs if isinstance(x, Variable)), key=lambda tape: tape.level)
    values = [x.value if isinstance(x, Variable) and x.tape is tape else tape.constant(x) for x in inputs]
    result = forward(*values)
    made_of = [
        (x.place, _pull(derivative, result, values))
        for x, derivative in zip(inputs, derivatives, strict=True)
        if isinstance(x, Variable) and x.tape is tape
    ]
    return tape.put(result, made_of)


def _pull(derivative: Derivative, result: Any, values: list[Any]) -> Callable[[Any], Any]:
    return lambda by_result: derivative(by_result, result, *values)


def stacked(arrays: Sequence[Any], axis: int = 0) -> Any:
    """numpy.stack."""
    parts = [whole(part) for part in arrays]
    shapes = sorted({shape_of(part) for part in parts})
    if len(shapes) > 1:
        msg = f"values of shapes {', '.join(map(str, shapes))} make no array: give them one shape"
        raise RequestError(msg)
    return applied(lambda *values: np.stack(values, axis), [_layer(i, axis) for i in range(len(parts))], parts)


def _layer(i: int, axis: int) -> Derivative:
    return lambda d, _y, *_parts: d[(slice(None),) * (axis % d.ndim) + (i,)]


def _settled(index: Any) -> Any:
    """An index that stays as it is: arrays for all that may name an entry twice."""
    if isinstance(index, tuple):
        return tuple(_settled(i) for i in index)
    if index is None or index is Ellipsis or isinstance(index, int | np.integer | slice):
        return index
    if isinstance(index, Variable):
        return index.__index__()
    found = np.array(index)
    return found if found.size or isinstance(index, np.ndarray) else found.astype(np.intp)  # of [] numpy knows no type


def scattered(x: Any, index: Any, shape: tuple[int, ...]) -> Any:
    """Zeros with the entries of x added at an index; the other way round from taking them."""
    if isinstance(x, Variable):
        return applied(lambda a: scattered(a, index, shape), (lambda d, _y, _a: d[index],), (x,))
    found = np.zeros(shape, x.dtype)
    if any(isinstance(i, np.ndarray) for i in (index if isinstance(index, tuple) else (index,))):
        np.add.at(found, index, x)  # an entry may be there twice
    else:
        found[index] = x
    return found
