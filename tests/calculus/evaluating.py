"""The value of an expression in index form, for given letters and stored quantities.

An expression is turned into a function of the letters once: each test takes the same equations for
many units and times.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import sympy
from sympy import Sum, Symbol

from derive.calculus import indexed as ix
from derive.calculus.notation import is_weight
from tests.strategies import logistic_value

Letters = Mapping[Symbol, Any]
Code = Callable[[Letters], Any]

FUNCTIONS = {
    "tanh": np.tanh, "sinh": np.sinh, "cosh": np.cosh, "sin": np.sin, "cos": np.cos,
    "exp": np.exp, "log": np.log, "logistic": logistic_value,
    "softplus": lambda v: np.log(1 + np.exp(v)),
}  # fmt: skip
RELATIONS = {"==": operator.eq, ">=": operator.ge, "<=": operator.le, ">": operator.gt,
             "<": operator.lt}  # fmt: skip


class Evaluator:
    """Evaluates expressions; what is stored, and what is zero, a subclass knows."""

    def __init__(self) -> None:
        self.value: dict[Any, Any] = {}
        self.sizes: dict[Symbol, int] = {}
        self._code: dict[Any, Code] = {}
        self._keys: dict[Any, Code] = {}

    def read(self, key: Any, at: Letters) -> Any:
        """What is stored under a key."""
        return self.value[key]

    def units(self, label: str) -> list[int]:
        """The units that have a cell of some label."""
        raise NotImplementedError

    def __call__(self, expr: Any, at: Letters) -> Any:
        """The value of an expression for given letters."""
        return self.code(expr)(at)

    def key(self, left: Any, at: Letters) -> Any:
        """Under what the value of a left side is stored."""
        if left not in self._keys:
            self._keys[left] = self._key(left)
        return self._keys[left](at)

    def _key(self, left: Any) -> Code:
        if isinstance(left, Symbol):
            return lambda at: (left.name,)
        if isinstance(left, sympy.Indexed):
            name, parts = str(left.base.label), [self.code(v) for v in left.indices]
        elif left.func is ix.Pool:
            name, parts = left.args[0].name, [self.code(left.args[1])]
        elif left.func in (ix.J, ix.Total):
            name, parts = left.func.__name__, [self.code(v) for v in left.args]
        else:
            name, parts = left.func.__name__, [self._key(v) for v in left.args]
        return lambda at: (name, *(part(at) for part in parts))

    def code(self, expr: Any) -> Code:
        """An expression as a function of the letters."""
        if expr not in self._code:
            self._code[expr] = self._compiled(expr)
        return self._code[expr]

    def _compiled(self, expr: Any) -> Code:
        if expr.is_Number:
            number = int(expr) if expr.is_Integer else float(expr)
            return lambda at: number
        if isinstance(expr, Symbol):
            return lambda at: self._letter(expr, at)
        if isinstance(expr, Sum):
            return self._sum(expr.function, list(expr.limits))
        if isinstance(expr, sympy.Piecewise):
            cases = [(self.code(v), self._condition(c)) for v, c in expr.args]
            return lambda at: next((v(at) for v, c in cases if c(at)), 0)
        if isinstance(expr, sympy.Mul):
            return self._product(expr)
        if isinstance(expr, ix.Largest):
            return self._largest(*expr.args)
        parts = [self.code(v) for v in expr.args] if not isinstance(expr, sympy.Indexed) else []
        if isinstance(expr, sympy.Add):
            return lambda at: sum(part(at) for part in parts)
        if isinstance(expr, sympy.Pow):
            return lambda at: parts[0](at) ** parts[1](at)
        if isinstance(expr, sympy.KroneckerDelta):
            return lambda at: int(parts[0](at) == parts[1](at))
        if type(expr).__name__ in FUNCTIONS:
            function = FUNCTIONS[type(expr).__name__]
            return lambda at: function(parts[0](at))
        key = self._key(expr)
        return lambda at: self.read(key(at), at)

    def _largest(self, value: Any, member: Any, index: Any) -> Code:
        inner, counts = self.code(value), self.code(member)

        def largest(at: Letters) -> Any:
            every = [{**at, index: k} for k in range(self.sizes[ix.n])]
            return max(np.real(inner(one)) for one in every if counts(one))

        return largest

    def _letter(self, letter: Symbol, at: Letters) -> Any:
        if letter in at:
            return at[letter]
        return self.sizes[letter] if letter in self.sizes else self.value[(letter.name,)]

    def _product(self, expr: Any) -> Code:
        """A product; a Kronecker delta or a weight that is 0 takes the others away.

        So does any other factor that is 0, even where nothing gives one of the rest.
        """

        def effort(v: Any) -> int:
            if isinstance(v, sympy.KroneckerDelta):
                return 0
            if isinstance(v, sympy.Indexed):
                return 1 if is_weight(v) else 2
            return 4 if v.has(Sum) else 3

        parts = [self.code(v) for v in sorted(expr.args, key=effort)]

        def product(at: Letters) -> Any:
            total: Any = 1
            missing: KeyError | None = None
            for part in parts:
                try:
                    value = part(at)
                except KeyError as error:
                    missing = missing or error
                    continue
                if value == 0:
                    return 0
                total = total * value
            if missing:
                raise missing
            return total

        return product

    def _condition(self, condition: Any) -> Code:
        if condition in (sympy.true, sympy.false):
            return lambda at: bool(condition)
        if isinstance(condition, sympy.And):
            parts = [self._condition(c) for c in condition.args]
            return lambda at: all(part(at) for part in parts)
        left, right = self.code(condition.lhs), self.code(condition.rhs)
        relation = RELATIONS[condition.rel_op]
        return lambda at: relation(left(at), right(at))

    def _sum(self, body: Any, limits: list[Any]) -> Code:
        """A sum, its last index outermost."""
        if not limits:
            return self.code(body)
        index, low, high = limits[-1]
        inner = self._sum(body, limits[:-1])
        cell = re.fullmatch(r"n\[(.*)\] - 1", str(high))
        first, last = (None, None) if cell else (self.code(low), self.code(high))

        def total(at: Letters) -> Any:
            if first is None or last is None:
                over: Any = self.units(cell[1])  # type: ignore[index]
            else:
                over = range(first(at), last(at) + 1)
            return sum(inner({**at, index: value}) for value in over)

        return total
