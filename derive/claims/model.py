"""A small network written out over a few steps: what the letters of a claim stand for.

Every state, intermediate and net input at every time has a symbol of its own with a definition,
straight from the stated equations, so that a derivative by any of them is one of what follows from
it. Nothing of the backward equations is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import mpmath
import numpy as np
import sympy
from sympy import Expr, Symbol

from derive.calculus.form import Form, Unit, form_of
from derive.calculus.partials import SOURCE
from derive.calculus.synapses import WEIGHT
from derive.claims.symbols import DIGITS
from derive.network.network import Network
from derive.network.topology import Connection
from derive.program.interpret import MULTIPRECISION, compiled
from derive.verify.differentials import Differentials
from derive.verify.unrolling import WrittenObjective, stated, synapses


class Undefined(Exception):
    """A letter that stands for nothing at some index or time."""

    def __init__(self, what: str, of: str) -> None:
        super().__init__(what)
        self.of = of  # "time", "index" or "weight"


@dataclass(eq=False)
class Model:
    """A network, so many steps of it, and which targets are there.

    Attributes
    ----------
    net : Network
        Its weights are not shared.
    steps : int
        t₁ − t₀; t₀ is 0.
    missing : int
        Which of the targets are not there: none for 0, else every so manieth.
    """

    net: Network
    steps: int
    missing: int = 0
    meaning: dict[Symbol, Expr] = field(default_factory=dict)
    when: dict[Symbol, int] = field(default_factory=dict)
    partials: list[Symbol] = field(default_factory=list)
    sums: list[Symbol] = field(default_factory=list)
    """Symbols of net inputs, and of all else that has a definition."""

    @cached_property
    def form(self) -> Form:
        """The letters."""
        return form_of(self.net)

    def unit(self, k: int) -> Unit:
        """The cell of a unit in index form."""
        return self.form.units[int(self.net.cell_index[k])]

    @cached_property
    def differentials(self) -> Differentials:
        """Derivatives of what is written in symbols with definitions."""
        return Differentials(self.meaning, self.meaning, self.partials)

    # --- what is given ------------------------------------------------------------------------

    @cached_property
    def theta(self) -> list[Symbol]:
        """One symbol for each entry of theta: w_kl for a weight, else its own name and place."""
        net = self.net
        names = {i: f"theta_{i}" for i in range(net.size)}
        for c, weight in zip(net.connections, net.wiring.weight.tolist(), strict=True):
            ends = f"{c.target}{c.source}"
            several = len(net.cells[net.cell_index[c.target]].ports) > 1
            said = (c.net_input if several else None, c.delay if c.delay != 1 else None)
            mark = "".join(f"^({v})" for v in said if v is not None)
            if c.fixed is None:
                names[weight] = f"w{mark}_{ends}"
            for name, places in net.connection_parameters.items():
                names[int(places[weight])] = f"{name}{mark}_{ends}"
        for name, places in net.unit_parameters.items():
            for k, place in enumerate(places.tolist()):
                names[int(place)] = f"{name}_{k}"
        names.pop(-1, None)
        return [Symbol(names[i], real=True) for i in sorted(names)]

    def parameter(self, k: int, name: str) -> Expr:
        """A cell parameter of a unit, learnt or not: claims are of all its values."""
        if (
            name in self.net.unit_parameters
            and (place := int(self.net.unit_parameters[name][k])) >= 0
        ):
            return self.theta[place]
        shared = {p.name for p in self.unit(k).cell.parameters if p.shared}
        where = "" if name in shared else f"_{k}"
        symbol = Symbol(f"fixed_{name}{where}", real=True)
        self.given.setdefault(symbol, float(self.net.values[name][k]))
        return symbol

    @cached_property
    def given(self) -> dict[Symbol, float]:
        """First values of the parameters that are not learnt."""
        return {}

    @cached_property
    def _into(self) -> dict[tuple[int, str], list[tuple[Connection, dict[Symbol, Expr]]]]:
        """The connections into each net input, each with what it has of its own."""
        found: dict[tuple[int, str], list[tuple[Connection, dict[Symbol, Expr]]]] = {}
        for c, weight in zip(self.net.connections, self.net.wiring.weight.tolist(), strict=True):
            own: dict[Symbol, Expr] = {WEIGHT: self._weight(c, weight)}
            cell = self.net.cells[self.net.cell_index[c.target]]
            (port,) = (s for s in cell.ports if s.name == (c.net_input or s.name))
            for p in port.parameters:
                places = self.net.connection_parameters.get(p.name)
                at = None if places is None or c.fixed is not None else int(places[weight])
                value = sympy.Rational(p.initial) if at is None else self.theta[at]
                own[Symbol(p.name, real=True)] = value
            found.setdefault((c.target, port.name), []).append((c, own))
        return found

    def _weight(self, c: Connection, place: int) -> Expr:
        return self.theta[place] if c.fixed is None else sympy.Rational(c.fixed)

    def connections(self, k: int, port: str, source: int) -> dict[int, dict[Symbol, Expr]]:
        """What each connection from a source into a net input has, by its delay."""
        into = self._into.get((k, port), [])
        return {c.delay: own for c, own in into if c.source == source}

    def target(self, k: int, time: int) -> Symbol:
        """d_k(t): a number for every unit and time, whether or not it is a target."""
        return Symbol(f"d_{k}_{time}", real=True)

    def has_target(self, k: int, time: int) -> bool:
        """Whether k ∈ T(t)."""
        if k not in self.net.objective.targets:
            return False
        return not self.missing or (time + k) % (self.missing + 1) != 0

    def source(self, l: int, time: int) -> Expr:  # noqa: E741 - the paper's letter
        """x_l(t), an output or an input."""
        if l < self.net.units:
            return self.state(l, self.unit(l).output.name, time)
        self._check_time(time, 0, "x")
        return Symbol(f"x_{l - self.net.units}_{time}", real=True)

    # --- what follows ---------------------------------------------------------------------------

    def _check_time(self, time: int, first: int, what: str) -> None:
        if not first <= time <= self.steps:
            raise Undefined(
                f"{what} has no value at time {_when(time, self.steps)}: it has from "
                f"{_when(first, self.steps)} to t₁",
                "time",
            )

    def _define(
        self, label: str, time: int, build: Callable[[], Expr], is_sum: bool = False
    ) -> Symbol:
        symbol = Symbol(label, real=True)
        if symbol not in self.meaning:
            self.when[symbol] = time
            self.meaning[symbol] = build()
            if is_sum:
                self.sums.append(symbol)
        return symbol

    def state(self, k: int, name: str, time: int) -> Symbol:
        """A state of a unit; at t₀ it is given."""
        self._check_time(time, 0, name)
        label = f"{name}_{k}_{time}"
        if time == 0:
            return Symbol(label, real=True)
        new = self._new(k)[name]
        return self._define(label, time, lambda: self._equation(k, new, time))

    def _new(self, k: int) -> dict[str, Symbol]:
        local = self.unit(k).local
        return {y.name: z for y, z in zip(local.old, local.new, strict=True)}

    def inner(self, k: int, v: Symbol, time: int) -> Symbol:
        """An intermediate of a unit."""
        self._check_time(time, 1, v.name)
        return self._define(f"{v.name}_{k}_{time}", time, lambda: self._equation(k, v, time))

    def _equation(self, k: int, v: Symbol, time: int) -> Expr:
        (expr,) = (e.expr for e in self.unit(k).local.equations if e.symbol == v)
        return stated(expr).xreplace(
            {a: self.local(k, a, time) for a in expr.free_symbols | stated(expr).free_symbols}
        )

    def net_input(self, k: int, name: str, time: int) -> Symbol:
        """A net input of a unit."""
        self._check_time(time, 1, name)

        def total() -> Expr:
            cell = self.net.cells[self.net.cell_index[k]]
            added = synapses(cell)[name]
            hears = next(s.hears for s in cell.ports if s.name == name)
            terms = []
            for c, own in self._into.get((k, name), []):
                looked_at = {Symbol(y, real=True): self.state(k, y, time - 1) for y in cell.states}
                carried = self._carried(c, hears, time - c.delay)
                terms.append(added.xreplace({**looked_at, **own, SOURCE: carried}))
            return sympy.Add(*terms)

        return self._define(f"{name}_{k}_{time}", time, total, True)

    def _carried(self, c: Connection, hears: str | None, time: int) -> Expr:
        if time < 0:
            return sympy.S.Zero
        if hears is None or c.source >= self.net.units:
            return self.source(c.source, time)
        return self.state(c.source, hears, time)

    def local(self, k: int, v: Symbol, time: int) -> Expr:
        """A symbol of a cell's equations, at a unit and a time."""
        u = self.unit(k)
        if v in u.local.old:
            return self.state(k, v.name, time - 1)
        if v in u.local.new:
            return self.state(k, u.local.old[u.local.new.index(v)].name, time)
        if v in u.local.net_inputs:
            return self.net_input(k, v.name, time)
        if v in u.local.inner:
            return self.inner(k, v, time)
        return self.parameter(k, v.name)

    # --- the objective ------------------------------------------------------------------------

    @cached_property
    def _objective(self) -> WrittenObjective:
        return WrittenObjective(self.net)

    @cached_property
    def _judged(self) -> dict[int, Expr]:
        return {}

    def J(self, time: int) -> Expr:
        """J(t), in the outputs at t and the targets."""
        self._check_time(time, 0, "J")
        if time not in self._judged:
            outputs = [self.source(k, time) for k in range(self.net.units)]
            targets = self.net.objective.targets
            mask = [sympy.Integer(int(self.has_target(k, time))) for k in targets]
            row = [self.target(k, time) for k in targets]
            terms = self._objective.written(outputs, row, mask, self.theta)
            self._judged[time] = sympy.Add(*terms)
        return self._judged[time]

    # --- derivatives and numbers ----------------------------------------------------------------

    def ordered(self, over: Expr, by: Symbol) -> Expr:
        """∂⁺over/∂by: through everything that follows from ``by``."""
        return self.differentials.of(over, by)

    def direct(self, over: Expr, by: Symbol) -> Expr:
        """∂over/∂by through the one equation that gives ``over``, or in it where it has none."""
        if over == by:
            return sympy.S.One
        expr = self.meaning.get(over, over) if over.is_Symbol else over
        return sympy.diff(expr, by)

    def through_the_step(self, over: Expr, by: Symbol) -> Expr:
        """∂°over/∂by: through the equations of one unit's step, its net inputs held as they are."""
        if over == by:
            return sympy.S.One
        if over not in self.meaning:
            return sympy.diff(over, by)
        time = self.when[over]
        held = {by, *self.sums}
        found = self.meaning[over]
        while inner := [v for v in found.free_symbols - held if self.when.get(v) == time]:
            found = found.xreplace({v: self.meaning[v] for v in inner})
        return sympy.diff(found, by)

    def rests_on(self, used: Iterable[Symbol]) -> set[Symbol]:
        """The given symbols that others follow from."""
        found: set[Symbol] = set()
        seen: set[Symbol] = set()
        waiting = list(used)
        while waiting:
            symbol = waiting.pop()
            if symbol in seen:
                continue
            seen.add(symbol)
            if symbol in self.meaning:
                waiting += self.meaning[symbol].free_symbols
            else:
                found.add(symbol)
        return found

    @cached_property
    def numbers(self) -> dict[Expr, Any]:
        """The number each symbol with no definition stands for, and what followed so far."""
        return {}

    def number(self, expr: Expr) -> Any:
        """What an expression is with the model's numbers in place of its symbols."""
        if expr in self.numbers:
            return self.numbers[expr]
        if expr.is_Symbol and expr not in self.meaning:
            found = self._drawn(expr)
        elif expr.is_Symbol:
            found = self.number(self.meaning[expr])
        else:
            symbols = tuple(sorted(expr.free_symbols, key=str))
            values = tuple(self.number(v) for v in symbols)
            plain = expr.replace(lambda e: isinstance(e, sympy.DiracDelta), lambda e: sympy.S.Zero)
            with mpmath.workdps(DIGITS):
                found = compiled(plain, symbols, MULTIPRECISION)(values)
        self.numbers[expr] = found
        return found

    def _drawn(self, symbol: Symbol) -> Any:
        """A number of two digits for what is given, by its name alone."""
        generator = np.random.Generator(np.random.PCG64([self.missing, *symbol.name.encode()]))
        hundredths = int(generator.integers(11, 100)) * (1 if generator.random() < 0.5 else -1)
        with mpmath.workdps(DIGITS):
            drawn = mpmath.mpf(hundredths) / 100
            first = self._first(symbol)
            return drawn if not first else mpmath.mpf(str(first)) * (1 + abs(drawn) / 2)

    def _first(self, symbol: Symbol) -> float:
        """The first value of a cell's parameter: some may not be of any size or sign."""
        if symbol in self.given:
            return self.given[symbol]
        if symbol not in self.theta or self.theta.index(symbol) < self.net.wiring.weights:
            return 0.0
        return float(self.net.init(0)[self.theta.index(symbol)])


def _when(time: int, steps: int) -> str:
    if time == 0:
        return "t₀"
    if time == steps:
        return "t₁"
    return f"t₀+{time}" if 0 < time < steps else f"t₀{time:+d}".replace("-", "−")
