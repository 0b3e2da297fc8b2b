"""What an expression of a claim is on a model: a SymPy expression, or a number.

The same reading serves both: every letter becomes an expression in the model's symbols, and where
numbers are wanted each of these is a number before anything is computed with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import mpmath
import sympy
from sympy import Expr, Symbol

from derive.claims.context import DIRECT, Budget, letter_of
from derive.claims.letters import is_function
from derive.claims.lexer import FUNCTIONS
from derive.claims.model import Undefined
from derive.claims.places import Env
from derive.claims.signals import Signals
from derive.claims.symbols import CALLED, DIGITS, activation
from derive.claims.syntax import (
    Add,
    Cases,
    Div,
    Gradient,
    IllFormed,
    Indicator,
    Mul,
    Node,
    Num,
    Pow,
    Ref,
    Slope,
    Total,
)
from derive.claims.wellformed import BY_SOURCE, BY_TARGET
from derive.program.interpret import MULTIPRECISION, compiled
from derive.verify.unrolling import stated

MOST_POWER = 12
DEEPEST = 200
"""Definitions within definitions, and all else, within one value."""


@dataclass(eq=False)
class Evaluator(Signals):
    """Expressions of claims on one model.

    Attributes
    ----------
    exact : bool
        Whether values are expressions; numbers otherwise.
    """

    budget: Budget
    exact: bool = False
    depth: int = 0
    _known: dict[Any, Any] = field(default_factory=dict)

    def value(self, node: Node, env: Env) -> Any:
        """The value of an expression, its free letters being so many.

        Raises
        ------
        Undefined
            Where a letter stands for nothing there.
        """
        self.budget.check()
        self.depth += 1
        try:
            if self.depth > DEEPEST:
                raise IllFormed("definitions that go round in a circle, or far too deep", node.span)
            return self._value(node, env)
        finally:
            self.depth -= 1

    def _value(self, node: Node, env: Env) -> Any:
        match node:
            case Num():
                return self.number(sympy.Rational(node.value.numerator, node.value.denominator))
            case Ref():
                return self.reference(node, env)
            case Add():
                return self.summed(self.value(v, env) for v in node.terms)
            case Mul():
                return self.product(node, env)
            case Div():
                under = self.value(node.under, env)
                if under == 0:
                    raise Undefined("a division by zero", "index")
                return self.value(node.over, env) / under
            case Pow():
                return self.value(node.base, env) ** self.power(node.exponent, env)
            case Total():
                return self.total(node, env)
            case Slope() | Gradient():
                return self.slope(node, env)
            case Indicator():
                return self.number(sympy.Integer(int(self.holds(node.condition, env))))
            case Cases():
                for value, condition in node.rows:
                    if condition is None or self.holds(condition, env):
                        return self.value(value, env)
                raise Undefined("none of the cases", "index")
        raise IllFormed("this has no value", node.span)

    # --- arithmetic -----------------------------------------------------------------------------

    def number(self, expr: Expr) -> Any:
        """An expression in the model's symbols as what values are here."""
        return expr if self.exact else self.model.number(expr)

    def summed(self, terms: Iterator[Any]) -> Any:
        found = list(terms)
        if self.exact:
            return sympy.Add(*found)
        with mpmath.workdps(DIGITS):
            return sum(found, mpmath.mpf(0))

    def product(self, node: Mul, env: Env) -> Any:
        """A product; its rest need have no value where a factor is 1{…} of what does not hold."""
        chosen = [v for v in node.factors if isinstance(v, Indicator)]
        if not all(self.holds(v.condition, env) for v in chosen):
            return self.number(sympy.S.Zero)
        rest = [self.value(v, env) for v in node.factors if not isinstance(v, Indicator)]
        if self.exact:
            return sympy.Mul(*rest)
        with mpmath.workdps(DIGITS):
            found = mpmath.mpf(1)
            for v in rest:
                found *= v
            return found

    def power(self, node: Node, env: Env) -> Any:
        value = self.value(node, env)
        if abs(value) > MOST_POWER if not self.exact else (
            not value.is_Rational or abs(value) > MOST_POWER
        ):  # fmt: skip
            raise IllFormed(f"an exponent is a number, at most {MOST_POWER}", node.span)
        return value

    def total(self, node: Total, env: Env) -> Any:
        domain = node.domain
        members = self.natural(node) if domain is None else self.members(domain, env)
        return self.summed(self.value(node.body, {**env, node.letter: v}) for v in members)

    def natural(self, node: Total) -> list[int]:
        """What a sum runs over that does not say it: units, unless inputs are meant as well."""
        letters = (
            places
            for part in node.body.walk()
            if isinstance(part, Ref)
            for places in (self.source_places(part),)
        )
        n, m = self.model.net.units, self.model.net.inputs
        only = all(place == "x" for places in letters for letter, place in places
                   if letter == node.letter)  # fmt: skip
        return list(range(n + m if only else n))

    @staticmethod
    def source_places(ref: Ref) -> list[tuple[str, str]]:
        """Each index of a letter, and whether it may be an input line."""
        may = {"x": 0, "w": 1, "Δw": 1, "p": 1}.get(ref.name)
        found = [(letter_of(v), "x" if i == may else "u") for i, v in enumerate(ref.lower)
                 if isinstance(v, Ref)]  # fmt: skip
        return found + [(letter_of(v), "u") for v in ref.upper if isinstance(v, Ref)]

    # --- indices, times, conditions ---------------------------------------------------------------

    def reference(self, ref: Ref, env: Env) -> Any:
        name = letter_of(ref) if ref.name != "f" else "f"
        if name in self.context.definitions:
            return self.value(self.context.meaning(name, ref), env)
        if ref.args is None and not ref.lower and not ref.upper:
            if name in env or name in ("t0", "t1", "n", "m") or name in self.context.values:
                return self.number(sympy.Integer(self.letter(ref, env)))
        if name in FUNCTIONS and ref.args:
            return self.called(CALLED[name], self.value(ref.args[0], env))
        if is_function(ref):
            return self.activation(ref, env)
        key = self.key(ref, env)
        if key not in self._known:
            self._known[key] = self.number(self.expression(ref, env))
        return self._known[key]

    def key(self, ref: Ref, env: Env) -> Any:
        places = (*ref.lower, *ref.upper, *(ref.args or ()))
        of = tuple(env.get(v) for v in self.context.letters_of_objective)
        values = tuple(self.whole(v, env) for v in places)
        return (ref.name, ref.mark, ref.primes, len(ref.lower), values, of)

    def called(self, function: Any, argument: Any) -> Any:
        """A function of a value."""
        if self.exact:
            return stated(function(argument))
        symbol = Symbol("u", real=True)
        expr = function(symbol)
        if type(expr) in MULTIPRECISION.functions:
            with mpmath.workdps(DIGITS):
                return MULTIPRECISION.functions[type(expr)](argument)
        return self.at(expr, {symbol: argument})

    def at(self, expr: Expr, values: Mapping[Symbol, Any]) -> Any:
        """An expression with values for some of its symbols, and the model's for the others."""
        if self.exact:
            return expr.xreplace(dict(values))
        symbols = tuple(sorted(expr.free_symbols, key=str))
        given = tuple(values[v] if v in values else self.model.number(v) for v in symbols)
        with mpmath.workdps(DIGITS):
            return compiled(expr, symbols, MULTIPRECISION)(given)

    def activation(self, ref: Ref, env: Env) -> Any:
        """f_k(u) and its derivatives: the function through which the net input enters the unit."""
        k = self.unit(ref.lower[0], env)
        argument = self.value((ref.args or ())[0], env)
        template, symbol = self.function_of(k, ref)
        if self.exact and ref.primes == 0:
            return stated(template).xreplace({symbol: argument})
        slope = sympy.diff(stated(template), symbol, ref.primes)
        return self.at(slope, {symbol: argument})

    def function_of(self, k: int, ref: Ref) -> tuple[Expr, Symbol]:
        u = self.model.unit(k)
        found = activation(u, u.cell)
        if found is None:
            raise IllFormed(
                f"f_k is the function of the net input in a unit's equations, and cell "
                f"{u.cell.name} has not one such; name the function",
                ref.span,
            )
        expr, symbol = found
        return expr.xreplace({p: self.model.parameter(k, p.name)
                              for p in (*u.local.parameters, *u.local.fixed)}), symbol  # fmt: skip

    def objective(self, env: Env) -> Expr:
        """What ε and δ are of."""
        exact = self if self.exact else self.in_symbols
        return exact.value(self.context.of, env)

    @cached_property
    def in_symbols(self) -> Evaluator:
        """The same, exactly."""
        return self if self.exact else Evaluator(self.model, self.context, self.budget, True)

    def slope(self, node: Slope | Gradient, env: Env) -> Any:
        key = (node, tuple(sorted(env.items())))
        if key not in self._known:
            self._known[key] = self.number(self._slope(node, env))
        return self._known[key]

    def _slope(self, node: Slope | Gradient, env: Env) -> Expr:
        if isinstance(node, Gradient):
            by = self.by_weight(Ref("w", "", (), (Ref(BY_TARGET), Ref(BY_SOURCE))), env)
            return self.model.ordered(self.in_symbols.value(node.of, env), by)
        over = self.in_symbols.value(node.over, env)
        symbol = self.by(node.under, env)
        if node.kind == "°":
            return self.model.through_the_step(over, symbol)
        if not node.kind and self.is_direct(node):
            return self.model.direct(over, symbol)
        return self.model.ordered(over, symbol)

    def is_direct(self, node: Slope) -> bool:
        """Whether a plain ∂ is read as the direct partial."""
        return self.context.reading == DIRECT and not of_objective(node)

    def by(self, under: Node, env: Env) -> Symbol:
        """What is differentiated by."""
        if isinstance(under, Ref) and under.name == "w":
            return self.by_weight(under, env)
        found = self.in_symbols.value(under, env)
        if not isinstance(found, Symbol):
            if found.is_number:  # what reaches back before the start, or is not learnt
                raise Undefined("there is nothing to differentiate by there", "time")
            raise IllFormed("a derivative is by one quantity of the network", under.span)
        return found


_W = Symbol("w", real=True)


def of_objective(node: Slope) -> bool:
    """Whether it is the objective that is differentiated."""
    return any(isinstance(v, Ref) and v.name == "J" for v in node.over.walk())
