"""Claims about continuous time: ẏ, and signals at t + Δt.

What stands at t + c·Δt is a Taylor series in Δt, and the two sides are compared order by order.
ẏ is the rate that the network's cell was stated by, or what a claim defines it to be; where there
is neither it is the derivative of a function of time of which nothing is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import sympy
from sympy import Derivative, Expr, Function, Symbol
from sympy.core.function import AppliedUndef

from derive.calculus.form import Unit
from derive.claims.context import Context, letter_of, put_in
from derive.claims.letters import is_function, plain
from derive.claims.lexer import FUNCTIONS, rate_of, undotted
from derive.claims.symbols import CALLED, DIGITS, DT, activation
from derive.claims.syntax import Add, Div, Mul, Node, Num, Pow, Ref, Slope
from derive.claims.wellformed import TIME_ITSELF
from derive.network.cell import Cell
from derive.verify.polynomials import Algebra
from derive.verify.unrolling import stated

ORDERS = 4
"""Up to which power of Δt two sides are compared."""
T = Symbol("t", real=True)
NEAR = 1e-18
BESIDE = "|"
"""Between a letter and its indices in the name of a function of time."""


class Beyond(Exception):
    """What is said about continuous time and cannot be judged; why."""


@dataclass(frozen=True)
class Comparison:
    """Two sides in continuous time.

    Attributes
    ----------
    order : int or None
        The lowest power of Δt in which they differ; None where no difference was found.
    difference : sympy.Expr
        Its coefficient.
    exact : bool
        Whether nothing was cut off: without a difference the sides are equal.
    euler : bool
        Whether the right side is Euler's step y + Δt·ẏ.
    """

    order: int | None
    difference: Expr
    exact: bool
    euler: bool

    @property
    def words(self) -> str:
        """The first term of the difference."""
        factor = f"·{power(self.order)}" if self.order else ""
        return f"({_written(self.difference)}){factor}"


def is_continuous(side: Node) -> bool:
    """Whether a side has a rate, or a signal at a time that is no whole number of steps on."""
    return any(
        isinstance(v, Ref) and (undotted(v.name) is not None or _moved(v))
        or isinstance(v, Slope) and v.under == TIME_ITSELF
        for v in side.walk()
    )  # fmt: skip


def compare(left: Node, right: Node, units: tuple[Unit, ...], context: Context) -> Comparison:
    """Compare two sides for a unit of each cell; the first difference found.

    Raises
    ------
    Beyond
        Where a side cannot be judged.
    """
    found = [_compared(Reading(u, context), left, right) for u in units]
    differing = [v for v in found if v.order is not None]
    return min(differing, key=lambda v: v.order or 0) if differing else found[0]


def _compared(reading: Reading, left: Node, right: Node) -> Comparison:
    difference = reading.rates_known(reading.expression(left) - reading.expression(right))
    shifted = any(_moved(v) for side in (left, right) for v in side.walk() if isinstance(v, Ref))
    euler = shifted and reading.is_euler(right)
    if not shifted:
        if _differs(difference):
            if difference.atoms(Derivative):
                raise Beyond("it rests on a rate, and the network is stated in steps; define ẏ")
            return Comparison(0, difference, True, False)
        return Comparison(None, sympy.S.Zero, True, False)
    for order in range(ORDERS + 1):
        term = sympy.diff(difference, DT, order).xreplace({DT: sympy.S.Zero})
        term = reading.rates_known(term.doit()) / sympy.factorial(order)
        if _differs(term):
            return Comparison(order, term, False, euler)
    return Comparison(None, sympy.S.Zero, False, euler)


@dataclass(frozen=True, eq=False)
class Reading:
    """Expressions of claims as functions of time, for one unit."""

    unit: Unit
    context: Context

    @cached_property
    def cell(self) -> Cell:
        """The cell's equations; a state's is its rate, where it was stated by rates."""
        made = self.unit.cell.discretized
        return self.unit.cell if made is None else made.continuous.stated

    @cached_property
    def named(self) -> Mapping[str, Symbol]:
        """The symbols of the cell's equations by the letter they are written with."""
        found = {plain(written): v for v, written in self.unit.names.items()
                 if v not in self.unit.local.new}  # fmt: skip
        found.update({s.name: s for s in self.unit.local.net_inputs})
        return {"y": self.unit.output, **found}

    def expression(self, node: Node) -> Expr:
        """A side as an expression in functions of t, Δt and parameters."""
        match node:
            case Num():
                return sympy.Rational(node.value.numerator, node.value.denominator)
            case Add():
                return sympy.Add(*map(self.expression, node.terms))
            case Mul():
                return sympy.Mul(*map(self.expression, node.factors))
            case Div():
                return self.expression(node.over) / self.expression(node.under)
            case Pow():
                return self.expression(node.base) ** self.expression(node.exponent)
            case Slope() if node.under == TIME_ITSELF:
                return sympy.diff(self.expression(node.over), T)
            case Ref():
                return self.reference(node)
        raise Beyond("it has sums, derivatives or conditions beside its rates")

    def reference(self, ref: Ref) -> Expr:
        name = letter_of(ref) if ref.name != "f" else "f"
        of_rate = undotted(name)
        if name in self.context.definitions and of_rate is None:
            return self.expression(self.context.meaning(name, ref))
        if name in FUNCTIONS and ref.args:
            return stated(CALLED[name](self.expression(ref.args[0])))
        if is_function(ref):
            return self._activation(ref)
        if ref.args is None:
            return DT if name == "Δt" else self._parameter(name, ref)
        if len(ref.args) != 1:
            raise Beyond(f"{ref.name} has two times")
        signal = self._signal(of_rate or name, ref)
        if of_rate is not None:
            signal = sympy.diff(signal, T)
        return _series(signal, _shift(ref.args[0]))

    def _activation(self, ref: Ref) -> Expr:
        found = activation(self.unit, self.cell)
        if found is None or ref.primes:
            raise Beyond("f_k is not the one function of the unit's net input here")
        expr, symbol = found
        return stated(expr).xreplace({symbol: self.expression((ref.args or ())[0])})

    def _parameter(self, name: str, ref: Ref) -> Expr:
        symbol = self.named.get(name)
        if symbol is not None and symbol in (*self.unit.local.parameters, *self.unit.local.fixed):
            return symbol
        return Symbol("_".join([name, *(_letter(v) for v in ref.lower)]), real=True)

    def _signal(self, name: str, ref: Ref) -> Expr:
        symbol = self.named.get(name)
        base = name if symbol is None else symbol.name
        return _function(base, [_letter(v) for v in ref.lower])

    # --- rates --------------------------------------------------------------------------------

    def rates_known(self, expr: Expr) -> Expr:
        """With the rate of each state put in, as often as it is differentiated."""
        for _ in range(2 * ORDERS):
            known = {v: self._rate(v) for v in expr.atoms(Derivative)}
            known = {v: rate for v, rate in known.items() if rate is not None}
            if not known:
                return expr
            expr = expr.xreplace(known).doit()
        return expr

    def _rate(self, derivative: Derivative) -> Expr | None:
        signal, (_, times) = derivative.expr, derivative.variable_count[0]
        rate = self._first_rate(signal)
        return None if rate is None else sympy.diff(rate, T, times - 1)

    def _first_rate(self, signal: Expr) -> Expr | None:
        name, *lower = str(signal.func).split(BESIDE)
        d = self.context.definitions.get(rate_of(name))
        if d is not None:
            letters = dict(zip(d.lower, (Ref(v) for v in lower), strict=False))
            return self.expression(put_in(d.body, letters))
        made = self.unit.cell.discretized
        if made is None or name not in made.continuous.rates:
            return None
        (rate,) = (e for y, e in made.continuous.equations.states.items() if y.name == name)
        while rate.free_symbols & set(made.continuous.equations.intermediates):
            rate = rate.xreplace(dict(made.continuous.equations.intermediates))
        moving = {v: _function(v.name, lower) for v in rate.free_symbols
                  if v.name in made.continuous.stated.states
                  or v.name in made.continuous.stated.net_inputs}  # fmt: skip
        return stated(rate).xreplace(moving)

    def is_euler(self, right: Node) -> bool:
        """Whether a side is y(t) + Δt·ẏ(t) of some state."""
        found = self.rates_known(self.expression(right))
        return any(
            not _differs(found - self.rates_known(y + DT * sympy.diff(y, T)))
            for y in found.atoms(AppliedUndef)
        )


def _function(name: str, lower: list[str]) -> Expr:
    return Function(BESIDE.join([name, *lower]), real=True)(T)


# --- times --------------------------------------------------------------------------------------


def _moved(ref: Ref) -> bool:
    return any(isinstance(p, Ref) and p.name == "Δt" for a in ref.args or () for p in a.walk())


def _letter(node: Node) -> str:
    if isinstance(node, Ref) and not node.lower and node.args is None:
        return letter_of(node)
    if isinstance(node, Num):
        return str(node.value)
    raise Beyond("its indices are not letters")


def _shift(time: Node) -> Expr:
    """c in t + c·Δt."""
    found = sympy.S.Zero
    for term in time.terms if isinstance(time, Add) else (time,):
        factors = term.factors if isinstance(term, Mul) else (term,)
        numbers = [v.value for v in factors if isinstance(v, Num)]
        letters = [letter_of(v) for v in factors if isinstance(v, Ref)]
        if letters == ["Δt"]:
            found += sympy.Mul(*(sympy.Rational(v.numerator, v.denominator) for v in numbers))
        elif letters != ["t"] or numbers:
            raise Beyond("its times are not t and so many Δt")
    return found


def _series(signal: Expr, shift: Expr) -> Expr:
    """A signal at t + shift·Δt, one order further than what is compared."""
    return sympy.Add(*(
        sympy.diff(signal, T, j) * (shift * DT) ** j / sympy.factorial(j)
        for j in range(ORDERS + 2 if shift else 1)
    ))  # fmt: skip


# --- whether something is zero ----------------------------------------------------------------


def _differs(expr: Expr) -> bool:
    """Whether an expression is other than 0; exactly 0 otherwise."""
    plain = expr.xreplace({v: Symbol(f"v{i}", real=True) for i, v in enumerate(_moving(expr))})
    symbols = sorted(plain.free_symbols, key=str)
    for seed in range(3):
        generator = np.random.Generator(np.random.PCG64(seed))
        drawn = {v: sympy.Rational(int(generator.integers(11, 99)), 50) for v in symbols}
        if abs(sympy.N(plain.subs(drawn), DIGITS)) > NEAR:
            return True
    algebra = Algebra()
    if not algebra.is_zero(algebra.read(plain), algebra.read(sympy.S.Zero)):
        raise Beyond("its sides are equal as numbers, and not proved equal")
    return False


def _moving(expr: Expr) -> Iterator[Any]:
    """Derivatives first, so that what they are of is not changed in them."""
    rates = sorted(expr.atoms(Derivative), key=lambda v: (-v.derivative_count, str(v)))
    yield from rates
    yield from sorted(expr.atoms(AppliedUndef), key=str)


def power(order: int) -> str:
    """Δt to an order."""
    return "Δt" if order == 1 else f"Δt{'⁰¹²³⁴⁵⁶⁷⁸⁹'[order]}"


def _written(expr: Expr) -> str:
    """In the letters of claims: ÿ_k(t)/2."""
    names = {}
    for v in expr.atoms(Derivative) | expr.atoms(AppliedUndef):
        signal, times = (v.expr, v.derivative_count) if isinstance(v, Derivative) else (v, 0)
        name, *lower = str(signal.func).split(BESIDE)
        dots = {0: "", 1: "\u0307", 2: "\u0308"}.get(times, f"^({times})")
        index = f"_{''.join(lower)}" if lower else ""
        names[v] = Symbol(f"{plain(name)}{dots}{index}(t)")
    names.update({v: Symbol(plain(v.name)) for v in expr.free_symbols - {T}})
    ordered = dict(sorted(names.items(), key=lambda item: not isinstance(item[0], Derivative)))
    return str(expr.xreplace(ordered)).replace("**", "^").replace("*", "·")
