"""Sensitivities p^k_ij(τ) = ∂⁺y_k(τ)/∂w_ij, carried forward in time: real-time recurrent learning.

The chain rule goes over everything that enters a quantity, in the order of computation:

    ∂⁺v/∂θ = ∂v/∂θ + Σ over every u that enters v of ∂v/∂u · ∂⁺u/∂θ

An input depends on no θ, so what enters a net input by a connection is p of units only. Through a
unit the slopes are the same for every θ; they are found once (``tangent.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy
from sympy import Expr, IndexedBase, KroneckerDelta, Sum, Symbol

from derive.calculus import indexed as ix
from derive.calculus.forcing import passed
from derive.calculus.form import Form, Heard, NetInput, Unit
from derive.calculus.indexed import Ordered, Slope, Within, collapse, k, l, t0, tau
from derive.calculus.judging import by_itself
from derive.calculus.learned import Learned, learned
from derive.calculus.partials import Partial
from derive.calculus.recursion import found_in, partial
from derive.calculus.steps import Sheet, cited
from derive.calculus.tangent import slope_symbol


@dataclass(frozen=True)
class Through:
    """A slope through a unit, ∂z/∂v: by name, as found, and the step that found it."""

    name: Expr
    found: Expr
    number: int


Slopes = dict[Symbol, Through]


def define_sensitivities(sheet: Sheet, of_net_inputs: bool = True) -> None:
    """p, of every state (and net input) that is minded, by everything that is learned."""
    form = sheet.form
    for theta in learned(form):
        defined = {
            theta.p(v.mark, k, tau): (f"p{v.told}_{theta.name}", v.signal[k, tau], v.among("k"))
            for v in minded(form)
        }
        for name, port in form.net_inputs.items():
            if of_net_inputs:
                p = theta.p(str(port.s.label), k, tau)
                defined[p] = (f"p({name})_{theta.name}", port.s[k, tau], port.where)
        for left, (name, of_what, where) in defined.items():
            right = Ordered(of_what, theta.by)
            sheet.add(f"{name}_definition", left, right, "definition", where, *theta.ranges)


def carried(u: Unit) -> tuple[Symbol, ...]:
    """The states of a unit whose sensitivities are needed."""
    return u.tangent.carried


@dataclass(frozen=True, eq=False)
class Minded:
    """A state whose sensitivity is carried on: the output of every unit, or one that cells have."""

    mark: str  # empty for outputs
    signal: IndexedBase
    form: Form
    units: list[Unit]

    @property
    def hearing(self) -> list[tuple[list[Unit], list[NetInput]]]:
        """The net inputs that hear it, and of which units: those of different cells may differ."""
        found: dict[tuple[str, ...], tuple[list[Unit], list[NetInput]]] = {}
        for u in self.units:
            y = next(v for v in u.local.old if u.mark(v) == self.mark)
            ports = self.form.hearing(u, y)
            if ports:
                names = tuple(port.name for port in ports)
                found.setdefault(names, ([], ports))[0].append(u)
        return list(found.values())

    @property
    def told(self) -> str:
        """Tells it from others in names of steps."""
        return f"({self.mark})" if self.mark else ""

    def among(self, unit: str) -> str:
        """Which units have it."""
        return self.form.among(self.units, unit)


def minded(form: Form) -> list[Minded]:
    """Outputs, and every other state whose p is needed, once for all cells that have it."""
    found = {"": Minded("", form.output, form, list(form.units))}
    for u in form.units:
        for y in carried(u):
            if y != u.output:
                mark = u.mark(y)
                found.setdefault(mark, Minded(mark, ix.signal(u.names[y]), form, []))
                found[mark].units.append(u)
    return list(found.values())


def sensitivities(sheet: Sheet, grouped: bool = False) -> None:
    """The recursion of every sensitivity.

    With ``grouped`` only those within a group of units are minded, and what other groups would
    add is left out (Zipser 1989).
    """
    form = sheet.form
    slopes = {u: through_unit_forward(sheet, u) for u in form.units}
    for theta in learned(form):
        entering = {}
        for name in form.net_inputs:
            net_input(sheet, theta, name, grouped)
            found = f"p({name})_{theta.name}"
            entering[name] = (sheet.right(found), [sheet.numbers[found]])
        for u in form.units:
            unit_states(sheet, theta, u, slopes[u], entering, grouped)
        start(sheet, theta)


def through_unit_forward(sheet: Sheet, u: Unit, naming: bool = True) -> Slopes:
    """The slopes of a unit's next states, through whatever is computed between.

    A slope that is one product is put in where it is used. With ``naming`` a sum over several
    ways keeps its name, so that an equation does not double with every branch within the unit.
    """
    of_by = {
        slope_symbol(q.symbol, by): (q.symbol, by)
        for q in u.local.equations
        for by in (*u.local.net_inputs, *u.local.old, *u.local.parameters)
    }
    partials = {(p.of, p.by): p for p in u.local.partials}
    slopes: Slopes = {}
    for equation in u.tangent.equations:
        of, by = of_by[equation.symbol]
        ways = [
            (partials[of, v], slopes[slope_symbol(v, by)])
            for v in u.local.inner
            if (of, v) in partials and slope_symbol(v, by) in slopes
        ]
        direct = partials.get((of, by))
        numbers = [partial(sheet, u, p) for p in (direct, *(p for p, _ in ways)) if p is not None]
        if not ways and direct is not None:
            left = Slope(u.places[of], u.places[by])
            slopes[equation.symbol] = Through(left, u.lift(direct.found), numbers[0])
            continue
        left, name = Within(u.places[of], u.places[by]), u.name(f"slope_{of.name}_{by.name}")
        terms = [Slope(u.places[p.of], u.places[p.by]) * between.name for p, between in ways]
        terms += [Slope(u.places[of], u.places[by])] * (direct is not None)
        entered = cited(sheet.numbers[u, of], *(sheet.numbers[u, p.by] for p, _ in ways))
        sheet.add(name, left, sympy.Add(*terms), f"chain rule through the unit: {entered}", u.where)
        numbers += [between.number for _, between in ways]
        found = equation.expr.xreplace({**u.places, **{s: v.found for s, v in slopes.items()}})
        number = sheet.add(name, left, found, found_in(*numbers), u.where)
        slopes[equation.symbol] = Through(left, found, number)
        if naming and len(terms) > 1:
            slopes[equation.symbol] = Through(left, left, number)
    return slopes


def net_input(sheet: Sheet, theta: Learned, name: str, grouped: bool) -> None:
    """p of a net input: what enters it by its connections, and what they have of their own."""
    form = sheet.form
    port = form.net_inputs[name]
    raw, found = [], []
    used = [sheet.numbers[f"d{name}_dx"]]
    entered = [sheet.numbers["s", name]]
    sources = sources_of(form, port.heard)
    for source in sources:
        by_name, put_in = _by_connections(sheet, theta, port, source, grouped)
        raw.append(by_name)
        found.append(put_in)
    if form.forced and any(not source.mark for source in sources):
        entered, used = [*entered, sheet.numbers["x"]], [*used, sheet.numbers["dx_dy"]]
    for u, q in _looks(form, port):
        number, by_name, put_in, forcing = _by_looking(sheet, theta, u, q)
        raw.append(by_name)
        found.append(put_in)
        used += [number, *forcing]
    if theta.net_input == name:
        raw.append(Slope(port.s[k, tau], theta.by))
        found.append(sheet.right(theta.enters_by))
        used.append(sheet.numbers[theta.enters_by])
    rule = f"chain rule over everything that enters it: {cited(*entered)}; no input depends on it"
    key, left = f"p({name})_{theta.name}", theta.p(str(port.s.label), k, tau)
    sheet.add(key, left, sympy.Add(*raw), rule, port.where, *theta.ranges)
    rule, sign = found_in(*used), "="
    if grouped:
        rule, sign = f"{rule}; what units of other groups add is left out", "≈"
    where = [port.where, *theta.ranges, *_within_group(theta, grouped), sheet.horizon.forward]
    sheet.add(key, left, sympy.Add(*found), rule, *where, sign=sign)


@dataclass(frozen=True)
class Source:
    """Units of which connections carry one state; ``mark`` is empty where it is their output."""

    mark: str
    units: list[Unit]


def sources_of(form: Form, heard: Heard) -> list[Source]:
    """Where the sensitivities are that come in by connections."""
    if not heard.state:
        return [Source("", list(form.units))]
    found: dict[str, Source] = {}
    for u in form.units:
        y = heard.state_of(u)
        if y is not None and y in carried(u):
            found.setdefault(u.mark(y), Source(u.mark(y), [])).units.append(u)
    return list(found.values())


def _by_connections(
    sheet: Sheet, theta: Learned, port: NetInput, source: Source, grouped: bool
) -> tuple[Expr, Expr]:
    """Σ of ∂s/∂x·p over the units that connections come from: by name, and as found."""
    form, name = sheet.form, port.name
    before = ix.tau2 if form.delayed else tau - 1
    heard = [(ix.tau2, t0, tau - form.soonest)] if form.delayed else []
    limits = [(l, *form.domain(source.units)), *heard]
    named, factor = (sympy.S.One, sympy.S.One) if source.mark else passed(form, l, before)
    p = theta.p(source.mark, l, before)
    raw = Sum(Slope(port.s[k, tau], port.heard.base[l, before]) * named * p, *limits)
    # Found for the source k and the target l, and for τ before τ′: here it is the other way round.
    turned = {k: l, l: k, tau: ix.tau2, ix.tau2: tau, ix.D: ix.D2} if form.delayed else {k: l, l: k}
    slope, over = sheet.right(f"d{name}_dx").xreplace(turned), ()
    if isinstance(slope, Sum):
        slope, over = slope.function, slope.limits
    together = KroneckerDelta(ix.GROUP[k], ix.GROUP[l]) if grouped else sympy.S.One
    return raw, collapse(Sum(slope * factor * p * together, *limits, *over), ix.tau2)


def _looks(form: Form, port: NetInput) -> list[tuple[Unit, Partial]]:
    """The slopes of a net input by states of its own unit that its connections look at."""
    return [
        (u, q)
        for u in form.units
        for q in u.local.partials
        if u.of_net_input.get(q.of) is port and q.by in carried(u)
    ]


def _by_looking(
    sheet: Sheet, theta: Learned, u: Unit, q: Partial
) -> tuple[int, Expr, Expr, list[int]]:
    """∂s/∂y·p of one such state: the step of the slope, by name, as found, and more steps."""
    number = partial(sheet, u, q)
    named = factor = sympy.S.One
    if q.by == u.output:
        named, factor = passed(sheet.form, k, tau - 1)
    p = theta.p(u.mark(q.by), k, tau - 1)
    numbers = [sheet.numbers["dx_dy"]] if factor != 1 else []
    return number, u.slope(q) * named * p, u.slope(q) * factor * p, numbers


Entering = dict[str, tuple[Expr, list[int]]]
"""What is put in for the sensitivity of a net input, and the steps that found it."""


def unit_states(
    sheet: Sheet, theta: Learned, u: Unit, slopes: Slopes, entering: Entering, grouped: bool
) -> None:
    """p of a unit's states: by its net inputs, its old states and its own parameters."""
    where = [u.where, *theta.ranges, *_within_group(theta, grouped), sheet.horizon.forward]
    if u.output not in carried(u):
        rule = "nothing that is learned reaches it"
        name = state_name(u, u.output, theta)
        sheet.add(name, theta.p("", k, tau), sympy.S.Zero, rule, *where)
    for y, z in zip(u.local.old, u.local.new, strict=True):
        if y not in carried(u):
            continue
        raw, found, used = [], [], []
        for v in (*u.local.net_inputs, *u.local.old, *u.local.parameters):
            slope = slopes.get(slope_symbol(z, v))
            enters = _entering(sheet, theta, u, v, entering) if slope else None
            if slope and enters:
                raw.append(slope.name * enters[0])
                found.append(slope.found * enters[1])
                used += [slope.number, *enters[2]]
        name, left = state_name(u, y, theta), theta.p(u.mark(y), k, tau)
        entered = cited(sheet.numbers[u, z])
        rule = f"chain rule over everything that enters it: {entered}"
        sheet.add(name, left, sympy.Add(*raw), rule, u.where, *theta.ranges)
        rule = found_in(*used) if used else "nothing that is learned reaches it"
        sheet.add(name, left, sympy.Add(*found), rule, *where, sign="≈" if grouped else "=")


def state_name(u: Unit, y: Symbol, theta: Learned) -> str:
    """The name of the step that gives the sensitivity of a state."""
    mark = f"({u.mark(y)})" if u.mark(y) else ""
    return u.name(f"p{mark}_{theta.name.replace('/', ' of ')}")


def _entering(
    sheet: Sheet, theta: Learned, u: Unit, v: Symbol, entering: Entering
) -> tuple[Expr, Expr, list[int]] | None:
    """∂⁺v/∂θ of what enters a unit's step: by name, as found, and the steps that found it."""
    if v in u.local.net_inputs:
        port = u.of_net_input[v]
        return theta.p(str(port.s.label), k, tau), *entering[port.name]
    if v in u.local.old:
        p = theta.p(u.mark(v), k, tau - 1)
        if v not in carried(u):
            return None
        named, factor = passed(sheet.form, k, tau - 1) if v == u.output else (1, 1)
        return named * p, factor * p, [sheet.numbers["dx_dy"]] if factor != 1 else []
    if theta.unit is u and theta.symbol == v:
        return theta.own, theta.own, []
    return None


def _within_group(theta: Learned, grouped: bool) -> list[str]:
    return ["k∈G(i)"] if grouped and theta.at else []


def start(sheet: Sheet, theta: Learned) -> None:
    """p(t₀) of every state."""
    rule = "the initial state does not depend on what is learned"
    for v in minded(sheet.form):
        name, where = f"p{v.told}_start_{theta.name}", v.among("k")
        sheet.add(name, theta.p(v.mark, k, t0), sympy.S.Zero, rule, where, *theta.ranges)


def gradient_by_sensitivities(sheet: Sheet, grouped: bool = False) -> None:
    """∂J(t)/∂θ: every output that is judged has its say."""
    form, horizon = sheet.form, sheet.horizon
    for theta in learned(form):
        left, name = Slope(horizon.of, theta.by), f"gradient_{theta.name}"
        p, output = theta.p("", k, horizon.last), form.output[k, horizon.last]
        rule = f"chain rule over everything it depends on: ({sheet.numbers['J']})"
        itself = by_itself(sheet, theta)
        raw = Sum(Slope(horizon.of, output) * p, (k, *ix.UNITS)) + itself
        sheet.add(name, left, raw, rule, *theta.ranges)
        error = horizon.injected(horizon.last, horizon.last, horizon.last)
        rule, together, sign = found_in(sheet.numbers["e"]), sympy.S.One, "="
        if grouped:
            rule, sign = f"{rule}; errors of other groups are left out", "≈"
            together = KroneckerDelta(ix.GROUP[k], ix.GROUP[ix.i]) if theta.at else together
        found = Sum(error * p * together, (k, *ix.UNITS)) + itself
        sheet.add(name, left, found, rule, *theta.ranges, sign=sign)
