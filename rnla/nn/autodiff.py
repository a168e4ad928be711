"""Reverse-mode automatic differentiation of numpy functions: the chain rule along a tape, backwards.

Whatever a variable meets is put on the tape: which values it came from, and how a derivative by the result becomes one
by each of them. One run of the function and one run of the tape backwards give the derivatives by all variables,
however many: a small multiple of the cost of the function (Baur and Strassen 1983; Griewank and Walther 2008).

    f(x, y) = x^2 (x + y) at (2, 3):   p = x^2 = 4,  q = x + y = 5,  f = p q = 20
    df/df = 1;  df/dq = p = 4,  df/dp = q = 5;  df/dy = 4,  df/dx = 4 + 5 * 2 x = 24

Functions are written with operators and numpy's own functions (`rnla.nn.derivatives`). Derivatives are made of the
same, so that `gradient` of a `gradient` works. Where a function has no derivative it takes one from a side: |x| at 0
has 0, and so has maximum(x, 0); of two that are equal, `maximum`, `minimum` and `clip` take the second, the bound;
those that share the maximum or the minimum of an array share the derivative; a power has 0 by its exponent where its
base is not positive.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rnla.errors import RequestError
from rnla.nn.derivatives import TABLES
from rnla.nn.tape import Tape, Variable, bare, real, whole


def gradient(f: Callable[..., Any]) -> Callable[..., Any]:
    """The function that gives the derivatives of f, a number, by its arguments.

    Parameters
    ----------
    f : function of numbers and arrays
        Written with operators and numpy's functions; its value is one number, or an array of one entry. Lists and
        tuples may hold what depends on its arguments where a function of numpy takes an array beside a variable.

    Returns
    -------
    function
        Of the same arguments. Of one argument: the derivative by it, of its shape; of several: a tuple of those.

    Raises
    ------
    RequestError
        No argument, an argument or a constant that is not real, a value of f that is not one real number, a function
        without a derivative here; when the returned function is called.

    Notes
    -----
    Cost: one run of f and one of its tape backwards, together a small multiple of f alone whatever the number of
    variables, and the memory of all intermediate values and a copy of each constant array: f may write into those
    after their use, but not into its arguments.

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
        if not args:
            msg = "there is nothing to differentiate by: call the derivative with the arguments of the function"
            raise RequestError(msg)
        tape = Tape(TABLES)
        variables = [tape.put(_real(x, number), []) for number, x in enumerate(args)]
        value = _one_number(f(*variables))
        if not (isinstance(value, Variable) and value.tape is tape):
            return value, tuple(_zeros(variable) for variable in variables)
        found = tape.backwards(value, len(variables))
        return value.value, tuple(
            _zeros(variable) if derivative is None else _own(derivative, variable)
            for variable, derivative in zip(variables, found, strict=True)
        )

    return of


def _one_number(value: Any) -> Any:
    """What the function returned, if that is one real number."""
    found = whole(value) if isinstance(value, np.ndarray) else value
    inside = bare(found)
    if not isinstance(inside, bool | int | float | np.generic | np.ndarray):
        msg = f"the function must return one real number; this one returns a value of type {type(value).__name__}"
        raise RequestError(msg)
    real(inside, "the value of the function")
    if np.size(inside) != 1:
        msg = f"the function must return one number; this one returns an array of shape {np.shape(inside)}: sum it up"
        raise RequestError(msg)
    return found


def _real(x: Any, number: int) -> Any:
    """An argument in floating point."""
    given = whole(x)
    if isinstance(given, Variable):
        return given
    found = real(given, f"argument {number}")
    found = found if found.dtype.kind == "f" else found.astype(np.float64)
    return found if found.ndim else found[()]


def _zeros(variable: Variable) -> Any:
    return np.zeros(variable.shape, variable.dtype) if variable.shape else 0.0


def _own(derivative: Any, variable: Variable) -> Any:
    """A derivative in the precision of its variable and in memory of its own."""
    if isinstance(derivative, Variable):
        return derivative
    return np.array(derivative, variable.dtype, order="C") if variable.shape else float(derivative)
