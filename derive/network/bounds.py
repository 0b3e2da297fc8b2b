"""What a stranger's expression may ask of SymPy.

SymPy simplifies as it builds, and that is a way to make a program work without end:
``exp(10**9*log(2))`` is an integer of 10⁹ bits, and deciding that √2 + √3 − √(5 + 2√6) is 0 takes
an algebraic proof. So a constant must have a value that float64 can hold, looked at before SymPy
is asked, and the constant part of an exponent is bounded. A constant may show only on the way: in
``2**(x - x + 10**10)`` SymPy has removed x by the time it meets the power.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any

from derive.errors import NetworkError

LARGEST_EXPONENT = 1000
LARGEST_BITS = 4096
"""Of an exact numerator or denominator."""
NEAR_ZERO = 1e-9
"""A constant below this share of its terms has no sign here: exact zero tests can take hours."""

VALUES: Mapping[str, Callable[..., float]] = {
    **{
        name: getattr(math, name)
        for name in ("exp", "log", "sqrt", "tanh", "sinh", "cosh", "sin", "cos", "tan", "atan",
                     "asin", "acos", "asinh", "acosh", "atanh", "erf")
    },
    "abs": abs,
    "sign": lambda x: float(x > 0) - float(x < 0),
    "logistic": lambda x: 0.5 + 0.5 * math.tanh(x / 2),
    "softplus": lambda x: max(x, 0.0) + math.log1p(math.exp(-abs(x))),
    "relu": lambda x: max(x, 0.0),
    "step": lambda x: float(x > 0),
    "max": max,
    "min": min,
    "+": lambda a, b: a + b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "**": math.pow,
}  # fmt: skip
"""Values in float64: they bound what SymPy is asked to do, and nothing else."""
CONSTANTS = {"pi": math.pi, "E": math.e}


def value_of(tree: tuple[Any, ...]) -> float | None:
    """The value of a tree without names, ``None`` for one with names or a choice in it."""
    kind = tree[0]
    if kind == "number":
        return float(tree[1])
    if kind == "constant":
        return CONSTANTS[tree[1]]
    if kind == "name":
        return None
    values = [value_of(part) for part in tree[1:]]
    if None in values:
        return None
    if kind == "-":
        return -values[0] if len(values) == 1 else values[0] - values[1]  # type: ignore[operator]
    return apply(kind, *values) if kind in VALUES else None


def apply(kind: str, *values: Any) -> float:
    """The value of a function of constants.

    Raises
    ------
    NetworkError
        If it has none that float64 can hold.
    """
    shown = f"{kind} of {', '.join(f'{v:g}' for v in values)}"
    try:
        value = VALUES[kind](*values)
    except ZeroDivisionError:
        raise NetworkError("an expression divides by zero") from None
    except ValueError:
        raise NetworkError(f"an expression has {shown}, which has no real value") from None
    except OverflowError:
        value = math.inf
    if not math.isfinite(value) or (value == 0 and kind in ("exp", "**") and values[0] != 0):
        raise NetworkError(f"an expression has {shown}, beyond the numbers of float64")
    return value


def check_arguments(kind: str, args: list[Any]) -> None:
    """Refuse what SymPy would work on without end, before it starts."""
    if kind in VALUES and all(a.is_number for a in args):
        apply(kind, *(constant(a) for a in args))
    if kind in ("exp", "**"):
        _check_exponent(args[-1])
    if kind in ("max", "min", "<", "<=", ">", ">=", "==", "!="):
        for a, b in combinations(args, 2):  # compared by the sign of their difference
            bounded(a - b)


def bounded(expr: Any) -> Any:
    """``expr`` if its numbers are real, and small enough to go on with."""
    for part in (expr, *expr.args, *(b for a in expr.args for b in a.args)):
        if part.is_Rational and max(part.p.bit_length(), part.q.bit_length()) > LARGEST_BITS:
            raise NetworkError(f"an expression has a constant of more than {LARGEST_BITS} bits")
        if getattr(part, "is_Pow", False) or type(part).__name__ == "exp":
            _check_exponent(part.as_base_exp()[1])
    if getattr(expr, "is_number", False):
        constant(expr)
    return expr


def _check_exponent(exponent: Any) -> None:
    for term in exponent.args if exponent.is_Add else (exponent,):
        if term.is_number and abs(constant(term)) > LARGEST_EXPONENT:
            raise NetworkError(f"an exponent must be a number of at most {LARGEST_EXPONENT}")


def constant(expr: Any) -> float:
    """The value of a SymPy constant by its structure, in time linear in its size."""
    try:
        if expr.is_Rational:
            return int(expr.p) / int(expr.q)
        if str(expr) in CONSTANTS:
            return CONSTANTS[str(expr)]
        values = [constant(a) for a in expr.args]
        if expr.is_Add:
            value = math.fsum(values)
            if abs(value) < NEAR_ZERO * sum(map(abs, values)):
                raise NetworkError(
                    "an expression has a constant too near 0 to tell its sign; write its value"
                )
            return value
        if expr.is_Mul:
            return math.prod(values)
    except OverflowError:
        raise NetworkError("an expression has a constant beyond the numbers of float64") from None
    name = type(expr).__name__
    kind = "**" if expr.is_Pow else {"Abs": "abs", "Max": "max", "Min": "min"}.get(name, name)
    if kind not in VALUES:
        raise NetworkError(f"an expression has {str(expr)[:40]}, which is no real number")
    return apply(kind, *values)
