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

from derive.calculus.form import Unit
from derive.claims.context import DIRECT, Budget, Context, letter_of, put_in
from derive.claims.letters import is_function, plain
from derive.claims.lexer import FUNCTIONS
from derive.claims.model import DIGITS, Model, Undefined
from derive.claims.syntax import (
    Add,
    Cases,
    Condition,
    Div,
    Gradient,
    Group,
    IllFormed,
    Indicator,
    Member,
    Mul,
    Node,
    Num,
    Pow,
    Ref,
    Slope,
    Total,
)
from derive.claims.wellformed import BY_SOURCE, BY_TARGET
from derive.functions import logistic, relu, softplus
from derive.program.interpret import MULTIPRECISION, compiled
from derive.verify.unrolling import stated

Env = Mapping[str, int]
MOST_POWER = 12
DEEPEST = 200
"""Definitions within definitions, and all else, within one value."""

CALLED: dict[str, Any] = {
    **{name: getattr(sympy, name, None) for name in FUNCTIONS},
    "logistic": logistic, "softplus": softplus, "relu": relu,
}  # fmt: skip
ETA, DT = Symbol("eta", positive=True), Symbol("dt", positive=True)


@dataclass(eq=False)
class Evaluator:
    """Expressions of claims on one model.

    Attributes
    ----------
    exact : bool
        Whether values are expressions; numbers otherwise.
    """

    model: Model
    context: Context
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

    def whole(self, node: Node, env: Env) -> int:
        """An index or a time."""
        match node:
            case Num():
                if node.value.denominator != 1:
                    raise IllFormed("an index or a time is a whole number", node.span)
                return int(node.value)
            case Ref():
                return self.letter(node, env)
            case Add():
                return sum(self.whole(v, env) for v in node.terms)
            case Mul():
                found = 1
                for v in node.factors:
                    found *= self.whole(v, env)
                return found
        raise IllFormed("an index or a time is made of letters, numbers, + and −", node.span)

    def letter(self, ref: Ref, env: Env) -> int:
        name = letter_of(ref)
        if name in env:
            return env[name]
        net = self.model.net
        fixed = {"t0": 0, "t1": self.model.steps, "n": net.units, "m": net.inputs}
        if name in fixed:
            return fixed[name]
        if name in self.context.values:
            return self.context.values[name]
        raise IllFormed(f"{name} is bound by nothing", ref.span)

    def members(self, group: Group, env: Env) -> list[int]:
        """The indices or times of a set."""
        net = self.model.net
        units, lines = range(net.units), range(net.units, net.units + net.inputs)
        if self.context.swapped:
            units, lines = lines, units
        match group.kind:
            case "U":
                return list(units)
            case "I":
                return list(lines)
            case "𝒟":
                return list(self.model.form.delays)
            case "T":
                time = self.whole(group.of[0], env)
                return [k for k in range(net.units) if self.model.has_target(k, time)]
            case "range":
                return self.range(group, env)
            case "cell":
                names = {v.name for v in group.of if isinstance(v, Ref)}
                labels = {u.label.replace(" ", "") for u in self.model.form.units}
                if not names <= labels:
                    raise IllFormed(
                        f"there is no cell {', '.join(sorted(names - labels))}; there are "
                        f"{', '.join(sorted(labels))}", group.span)  # fmt: skip
                return [k for k in range(net.units)
                        if self.model.unit(k).label.replace(" ", "") in names]  # fmt: skip
            case "∪" | "∖":
                a, b = (self.members(v, env) for v in group.of if isinstance(v, Group))
                if group.kind == "∖":
                    return [v for v in a if v not in b]
                return sorted({*a, *b})
        raise IllFormed(f"{group.kind} is no set", group.span)

    def range(self, group: Group, env: Env) -> list[int]:
        """First to last; downwards where that is how it is written for long runs."""
        first, last = (self.whole(v, env) for v in group.of)
        long = Evaluator(_Long(self.model), self.context, self.budget)  # type: ignore[arg-type]
        ends = [long.whole(v, {k: 500 for k in env}) for v in group.of]
        if ends[0] > ends[1] and any("t1" == letter_of(v) for v in group.of[0].walk()
                                     if isinstance(v, Ref)):  # fmt: skip
            first, last = last, first
        return list(range(first, last + 1))

    def holds(self, condition: Condition, env: Env) -> bool:
        """Whether a condition on indices or times does."""
        if isinstance(condition, Member):
            return self.whole(condition.index, env) in self.members(condition.group, env)
        a, b = self.whole(condition.left, env), self.whole(condition.right, env)
        return {"=": a == b, "≠": a != b, "<": a < b, "≤": a <= b, ">": a > b,
                "≥": a >= b}[condition.sign]  # fmt: skip

    # --- letters --------------------------------------------------------------------------------

    def reference(self, ref: Ref, env: Env) -> Any:
        name = letter_of(ref) if ref.name != "f" else "f"
        if name in self.context.definitions:
            return self.value(self.defined(ref, name), env)
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

    def defined(self, ref: Ref, name: str) -> Node:
        """What a defined letter stands for, with its indices and times put in."""
        d = self.context.definitions[name]
        given = dict(zip((*d.lower, *d.args), (*ref.lower, *(ref.args or ())), strict=True))
        return put_in(d.body, given)

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
        found = activation(u)
        if found is None:
            raise IllFormed(
                f"f_k is the function of the net input in a unit's equations, and cell "
                f"{u.cell.name} has not one such; name the function",
                ref.span,
            )
        expr, symbol = found
        return expr.xreplace({p: self.model.parameter(k, p.name)
                              for p in (*u.local.parameters, *u.local.fixed)}), symbol  # fmt: skip

    def unit(self, node: Node, env: Env) -> int:
        """An index that has to be a unit's."""
        k = self.whole(node, env)
        if not 0 <= k < self.model.net.units:
            raise Undefined(f"there is no unit {k}", "index")
        return k

    def model_letter(self, k: int, name: str) -> Symbol | None:
        """The symbol of a unit's cell that is written with a letter."""
        u = self.model.unit(k)
        return next(
            (
                v
                for v, written in u.names.items()
                if plain(written) == name and v not in u.local.new
            ),
            None,
        )

    def expression(self, ref: Ref, env: Env) -> Expr:
        """A letter in the model's symbols."""
        model, name = self.model, ref.name
        times = [self.whole(v, env) for v in ref.args or ()]
        match name, ref.mark:
            case "J", "total":
                return sympy.Add(*(model.J(v) for v in range(times[0] + 1, times[1] + 1)))
            case "J", "":
                return model.J(times[0])
            case "η", "":
                return ETA
            case "Δt", "":
                return DT
            case "x", "net":
                line = self.whole(ref.lower[0], env)
                if not model.net.units <= line < model.net.units + model.net.inputs:
                    raise Undefined(f"x^net has no value for {line}: it is no input line", "index")
                return model.source(line, times[0])
            case "x", "":
                return self.heard(self.whole(ref.lower[0], env), times[0])
            case "d", "":
                return model.target(self.unit(ref.lower[0], env), times[0])
            case "e", "":
                k = self.unit(ref.lower[0], env)
                output = model.source(k, times[0])
                assert isinstance(output, Symbol)
                return sympy.diff(model.J(times[0]), output)
            case ("w", _):
                return self.weight(ref, env)
            case (("ε" | "δ"), _):
                return self.sensitivity(ref, env, times[0])
            case "p", _:
                k = self.unit(ref.upper[0], env)
                of = self.signal(k, ref.mark, times[0], ref)
                return model.ordered(of, self.by_weight(ref, env))
            case "Δw", _:
                return ETA * model.ordered(self.objective(env), self.by_weight(ref, env))
        k = self.unit(ref.lower[0], env) if ref.lower else 0
        return self.signal(k, name + "'" * ref.primes, times[0] if times else None, ref)

    def heard(self, l: int, time: int) -> Expr:  # noqa: E741 - the paper's letter
        model = self.model
        if not 0 <= l < model.net.units + model.net.inputs:
            raise Undefined(f"there is no unit or input line {l}", "index")
        if time < 0 and model.form.reaching_back:
            return sympy.S.Zero
        return model.source(l, time)

    def signal(self, k: int, name: str, time: int | None, ref: Ref) -> Expr:
        """A state, intermediate, net input or parameter of a unit, by its letter."""
        u = self.model.unit(k)
        v = self.model_letter(k, name)
        if v is None and name in u.cell.net_inputs:
            v = next(s for s in u.local.net_inputs if s.name == name)
        if v is None and name in ("", "y"):
            v = u.output
        if v is None:
            raise Undefined(f"unit {k} has no {name}: its cell is {u.cell.name}", "index")
        if v in u.local.old:
            return self.model.state(k, v.name, _given(time, ref))
        if v in (*u.local.parameters, *u.local.fixed):
            return self.model.parameter(k, v.name)
        return self.model.local(k, v, _given(time, ref))

    def port(self, k: int, mark: str) -> str:
        """The cell's name of a net input."""
        u = self.model.unit(k)
        for s, port in u.of_net_input.items():
            if not mark or port.name == mark:
                return str(s.name)
        raise Undefined(f"unit {k} has no net input {mark}", "index")

    def weight(self, ref: Ref, env: Env) -> Expr:
        """w_kl, which is 0 where nothing leads from l to k."""
        k = self.unit(ref.lower[0], env)
        source = self.whole(ref.lower[1], env)
        if not 0 <= source < self.model.net.units + self.model.net.inputs:
            raise Undefined(f"there is no unit or input line {source}", "index")
        there = self.model.connections(k, self.port(k, ref.mark), source)
        if ref.upper:
            own = there.get(self.whole(ref.upper[0], env))
            return sympy.S.Zero if own is None else own[_W]
        if len(there) > 1:
            raise IllFormed(
                "w needs its delay, as in w_kl^(D): several connections lead from one unit to "
                "another", ref.span)  # fmt: skip
        return next((own[_W] for own in there.values()), sympy.S.Zero)

    def by_weight(self, ref: Ref, env: Env) -> Symbol:
        of_weight = ref.name in ("w", "Δw")
        mark, delay = (ref.mark, ref.upper) if of_weight else ("", ())
        found = self.weight(Ref("w", mark, delay, ref.lower), env)
        if not isinstance(found, Symbol):
            raise Undefined("there is no weight to learn there", "weight")
        return found

    def objective(self, env: Env) -> Expr:
        """What ε and δ are of."""
        exact = self if self.exact else self.in_symbols
        return exact.value(self.context.of, env)

    @cached_property
    def in_symbols(self) -> Evaluator:
        """The same, exactly."""
        return self if self.exact else Evaluator(self.model, self.context, self.budget, True)

    def sensitivity(self, ref: Ref, env: Env, time: int) -> Expr:
        """ε or δ."""
        k = self.unit(ref.lower[0], env)
        if time > self.model.steps and self.model.form.reaching_back:
            return sympy.S.Zero
        if ref.name == "δ":
            by: Expr = self.model.net_input(k, self.port(k, ref.mark), time)
        else:
            by = self.signal(k, ref.mark, time, ref)
        if not isinstance(by, Symbol):
            raise Undefined("nothing to differentiate by", "index")
        return self.model.ordered(self.objective(env), by)

    # --- derivatives ----------------------------------------------------------------------------

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
        if node.kind == "°" or not node.kind and self.is_direct(node):
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


class _Long:
    """Stands for a model of many steps where only the order of two times is asked."""

    def __init__(self, model: Model) -> None:
        self.net = model.net
        self.steps = 1000
        self.form = model.form


def _given(time: int | None, ref: Ref) -> int:
    if time is None:
        raise IllFormed(f"{ref.name} needs its time", ref.span)
    return time


def of_objective(node: Slope) -> bool:
    """Whether it is the objective that is differentiated."""
    return any(isinstance(v, Ref) and v.name == "J" for v in node.over.walk())


def activation(u: Unit) -> tuple[Expr, Symbol] | None:
    """The largest expression of the net input alone through which it enters a unit's output."""
    if len(u.local.net_inputs) != 1:
        return None
    (s,) = u.local.net_inputs
    eq = u.cell.equations
    output = next(e for y, e in eq.states.items() if y == u.output)
    while output.free_symbols & set(eq.intermediates):
        output = output.xreplace(dict(eq.intermediates))
    others = set(u.local.old)
    found = [
        e for e in sympy.preorder_traversal(output)
        if isinstance(e, Expr) and s in e.free_symbols and not e.free_symbols & others
        and not (e.is_Symbol and output != e)
    ]  # fmt: skip
    functions = [e for e in found if isinstance(e, sympy.Function)]
    largest = output if output in found else next(iter(functions), None)
    return None if largest is None else (largest, s)
