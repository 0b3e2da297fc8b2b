"""The operations of a right-hand side: how many of each, and what is counted as one.

- A difference is an addition, a change of sign is free, xⁿ is n − 1 multiplications while it is
  printed as a product and one call of ``pow`` beyond, and a constant is a number, not a quotient.
- Every branch of a choice is counted, as a vector over lanes computes them all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import sympy
from sympy import Expr

from derive.functions import greatest

MULTIPLIED = 4
"""Whole powers up to this are products; beyond, a library call."""


@dataclass(frozen=True)
class Tally:
    """How many of each operation."""

    multiplications: int = 0
    additions: int = 0
    divisions: int = 0
    functions: Mapping[str, int] = field(default_factory=Counter)
    loads: int = 0
    stores: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.multiplications + other.multiplications,
            self.additions + other.additions,
            self.divisions + other.divisions,
            Counter(self.functions) + Counter(other.functions),
            self.loads + other.loads,
            self.stores + other.stores,
        )

    def __mul__(self, times: int) -> Tally:
        return Tally(
            self.multiplications * times,
            self.additions * times,
            self.divisions * times,
            Counter({f: n * times for f, n in self.functions.items() if n * times}),
            self.loads * times,
            self.stores * times,
        )

    @property
    def operations(self) -> int:
        """Multiplications, additions, divisions and function calls together."""
        arithmetic = self.multiplications + self.additions + self.divisions
        return arithmetic + sum(self.functions.values())


def operations(expr: Expr) -> Tally:
    """The operations of one right-hand side."""
    if expr.is_Atom:
        return Tally()
    if expr.is_Add:
        terms = [t if not t.could_extract_minus_sign() else -t for t in expr.args]
        return _all(terms) + Tally(additions=len(terms) - 1)
    if expr.is_Mul:
        return _product(expr)
    if expr.is_Pow:
        return _power(expr.base, expr.exp)
    if isinstance(expr, sympy.Piecewise):
        return _all([part for value, test in expr.args for part in (value, *test.args)])
    if isinstance(expr, (sympy.Max, sympy.Min)):
        calls = Tally(functions=Counter({type(expr).__name__: len(expr.args) - 1}))
        return _all(expr.args) + calls
    if isinstance(expr, greatest):
        return _all(expr.args) + Tally(functions=Counter({"Max": 1}))
    return _all(expr.args) + Tally(functions=Counter({type(expr).__name__: 1}))


def _all(exprs: Any) -> Tally:
    return reduce(lambda a, b: a + b, map(operations, exprs), Tally())


def _product(e: Expr) -> Tally:
    coefficient, rest = e.as_coeff_Mul()
    factors = rest.args if rest.is_Mul else (rest,)
    under = [sympy.Pow(f.base, -f.exp) for f in factors if _divides(f)]
    over = [f for f in factors if not _divides(f)]
    if abs(coefficient) != 1:
        if coefficient.is_Rational and coefficient.q != 1 and not over:
            over, under = [sympy.Integer(abs(coefficient.p))], [*under, coefficient.q]
        else:
            over.append(abs(coefficient))
    count = Tally(multiplications=max(len(over) - 1, 0) + max(len(under) - 1, 0))
    return _all(map(sympy.sympify, over + under)) + count + Tally(divisions=int(bool(under)))


def _divides(factor: Expr) -> bool:
    return bool(factor.is_Pow and factor.exp.is_Rational and factor.exp.is_negative)


def _power(base: Expr, exponent: Expr) -> Tally:
    if exponent.is_Rational and exponent.is_negative:
        return operations(sympy.Pow(base, -exponent)) + Tally(divisions=1)
    if exponent.is_Integer and exponent <= MULTIPLIED:
        return operations(base) + Tally(multiplications=int(exponent) - 1)
    name = "sqrt" if exponent == sympy.Rational(1, 2) else "pow"
    return operations(base) + operations(exponent) + Tally(functions=Counter({name: 1}))
