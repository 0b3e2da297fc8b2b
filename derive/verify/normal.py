"""Arithmetic on symbols in normal form: a Program run on polynomials of atoms.

Every value is brought into normal form as soon as it is computed, and called by its name where it
has one. On trees a value that is used twice stands twice, and is found again only as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import sympy
from sympy import Symbol

from derive.functions import Defined, relu, step
from derive.program.interpret import Arithmetic, compiled
from derive.verify.polynomials import Algebra, Polynomial, TooManyTerms, add
from derive.verify.unrolling import plainer

Term = Polynomial | None


class Value:
    """A polynomial of an algebra, with operators; None where it grew too large."""

    __slots__ = ("algebra", "polynomial")

    def __init__(self, algebra: Algebra, polynomial: Term) -> None:
        self.algebra = algebra
        self.polynomial = polynomial

    def applied(self, function: Callable[..., Polynomial], *others: Any) -> Value:
        """A function of this and others, in normal form."""
        args = [self.polynomial, *(self._of(v) for v in others)]
        if any(a is None for a in args):
            return Value(self.algebra, None)
        try:
            return Value(self.algebra, self.algebra.checked(function(*args)))
        except TooManyTerms:
            return Value(self.algebra, None)

    def _of(self, other: Any) -> Term:
        if isinstance(other, Value):
            return other.polynomial
        return self.algebra.read(sympy.sympify(other))

    def _product(self, a: Polynomial, b: Polynomial) -> Polynomial:
        return self.algebra.reduced(self.algebra.multiply(a, b))

    def __add__(self, other: Any) -> Value:
        return self.applied(add, other)

    def __sub__(self, other: Any) -> Value:
        return self.applied(lambda a, b: add(a, b, -1), other)

    def __mul__(self, other: Any) -> Value:
        return self.applied(self._product, other)

    def __rtruediv__(self, other: Any) -> Value:
        return self.applied(lambda a, b: self._product(self.algebra.inverse(a), b), other)

    def __pow__(self, n: Any) -> Value:
        if isinstance(n, int):
            return self.applied(lambda a: self.algebra.rational_power(a, n, 1))
        p = n.polynomial
        if p is not None and p.keys() <= {0}:
            number = sympy.Rational(p.get(0, 0))
            return self.applied(
                lambda a: self.algebra.rational_power(a, int(number.p), int(number.q))
            )
        return self.applied(self.algebra.any_power, n)

    def _holds(self, relation: type, other: Any) -> Value:
        return self.applied(lambda a, b: self.algebra.holds(relation, add(a, b, -1)), other)

    def __eq__(self, other: Any) -> Any:
        return self._holds(sympy.Eq, other)

    def __ne__(self, other: Any) -> Any:
        return self._holds(sympy.Ne, other)

    def __gt__(self, other: Any) -> Value:
        return self._holds(sympy.StrictGreaterThan, other)

    def __ge__(self, other: Any) -> Value:
        return self._holds(sympy.GreaterThan, other)

    def __lt__(self, other: Any) -> Value:
        return self._holds(sympy.StrictLessThan, other)

    def __le__(self, other: Any) -> Value:
        return self._holds(sympy.LessThan, other)

    __hash__ = None  # type: ignore[assignment]


class NormalForm(Arithmetic):
    """Polynomials of an algebra as the numbers a Program is run on."""

    def __init__(self, algebra: Algebra) -> None:
        number = lambda c: Value(algebra, algebra.read(c))  # noqa: E731
        super().__init__("normal form", number, _Functions(self, algebra), _select)


def _select(condition: Any, yes: Value, no: Value) -> Value:
    if isinstance(condition, bool):
        return yes if condition else no
    if condition.polynomial == {0: 1}:
        return yes
    if condition.polynomial == {}:
        return no
    return condition * yes + (condition * -1 + 1) * no


class _Functions(Mapping[type, Callable[..., Any]]):
    """Every function there is: those with a definition by it, the others by the algebra."""

    def __init__(self, arithmetic: NormalForm, algebra: Algebra) -> None:
        self.arithmetic = arithmetic
        self.algebra = algebra
        self._defined: dict[type, Callable[..., Any]] = {}

    def __getitem__(self, function: type) -> Callable[..., Any]:
        if issubclass(function, Defined) and function not in (step, relu):
            return self._by_definition(function)
        return lambda first, *others: first.applied(
            lambda *args: self.algebra.applied(function, list(args)), *others
        )

    def _by_definition(self, function: type[Defined]) -> Callable[..., Any]:
        if function not in self._defined:
            x = Symbol("x", real=True)
            of = compiled(plainer(function.definition(x)), (x,), self.arithmetic)
            self._defined[function] = lambda value: of((value,))
        return self._defined[function]

    def __iter__(self) -> Any:
        return iter(())

    def __len__(self) -> int:
        return 0
