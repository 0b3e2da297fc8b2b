"""Recurrent backpropagation: the gradient at a fixed point y* = F(y*) (Almeida 1987, Pineda 1987).

Both sides of the fixed point differentiated by θ give linear equations in the sensitivities p*: the
recursion of p with every time alike. They need not be solved for each θ. With any ε and δ

    ∂J/∂θ = Σ_k e_k·p*^k + Σ_k ε_k·(what p*^k equals − p*^k) + the same for net inputs with δ

since what stands in parentheses is zero; and ε and δ can be chosen so that no p* is left. That is
one linear equation in ε for all θ, again a fixed point, which is relaxed to as y is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import sympy
from sympy import Expr, Indexed, Sum, Symbol

from derive.calculus import indexed as ix
from derive.calculus.form import Unit
from derive.calculus.indexed import Slope, collapse, k, l, q, rho, t, tau
from derive.calculus.judging import by_itself
from derive.calculus.learned import Learned, learned
from derive.calculus.notation import is_member, is_sensitivity, is_tiered, is_weight
from derive.calculus.recursion import eps_name, found_in
from derive.calculus.sensitivities import (
    Entering,
    carried,
    net_input,
    state_name,
    through_unit_forward,
    unit_states,
)
from derive.calculus.steps import Sheet

TIMELESS = frozenset({ix.d, ix.e, ix.MEMBER})
"""What has one value at the fixed point, and no other."""


def at_rest(expr: Expr) -> Expr:
    """An equation with every time alike: y*_k for y_k(τ) and for y_k(τ−1)."""
    settled: dict[Expr, Expr] = {ix.J(t): Symbol("J")}
    for v in expr.atoms(Indexed):
        name, bar, tiers = str(v.base.label).partition("|")
        if v.base in TIMELESS or is_member(v):
            settled[v] = v.base[v.indices[0]]
        elif is_tiered(v) or (len(v.indices) == 2 and not is_weight(v) and name[0] not in "εδ"):
            letter, mark, above = name.partition("^")
            settled[v] = ix.signal(f"{letter}*{mark}{above}{bar}{tiers}")[v.indices[:-1]]
    settled |= {v: v.args[0] for v in expr.atoms(ix.Pool)}
    return expr.xreplace(settled)


def resting(sheet: Sheet) -> Sheet:
    """The same sheet, on which every equation is written at rest."""
    return replace(sheet, writing=at_rest)


def state_fixed_point(sheet: Sheet) -> None:
    """The forward equations where nothing changes any more."""
    for step in tuple(sheet.steps):
        rule = f"the fixed point: ({step.number}) where nothing changes any more"
        ranges = [v for v in step.ranges if v != sheet.horizon.forward]
        resting(sheet).add(f"{step.name}*", step.left, step.right, rule, *ranges)


@dataclass(frozen=True, eq=False)
class Balance:
    """One equation p* = right at the fixed point of unit k, and the multiplier it gets.

    ``unit`` is the cell it belongs to; None for a net input, which the units of any cell may have.
    """

    number: int
    p: Expr
    right: Expr
    multiplier: Expr
    domain: tuple[Expr, Expr]
    unit: Unit | None = None
    of_output: bool = False

    @property
    def nothing(self) -> Expr:
        """The term that it adds, which is zero whatever the multiplier."""
        return Sum(self.multiplier * (self.right - self.p), (k, *self.domain))


Balances = dict[Learned, list[Balance]]


def implicit_derivatives(sheet: Sheet) -> Balances:
    """Both sides of the fixed point, differentiated by everything that is learned."""
    form = sheet.form
    slopes = {u: through_unit_forward(sheet, u, naming=False) for u in form.units}
    balances: Balances = {}
    for theta in learned(form):
        found = balances[theta] = []
        entering: Entering = {}
        for name, port in form.net_inputs.items():
            net_input(sheet, theta, name, False)
            _slopes_at_rest(sheet)
            entering[name] = (theta.p(str(port.s.label), k, tau), [])
            sides = _both_sides(sheet, f"p({name})_{theta.name}", sheet.numbers[f"{name}*"])
            found.append(Balance(*sides, port.delta[k], port.domain))
        for u in form.units:
            unit_states(sheet, theta, u, slopes[u], entering, False)
            for y in carried(u):
                fixed = sheet.numbers[f"{u.name(u.names[y])}*"]
                sides = _both_sides(sheet, state_name(u, y, theta), fixed)
                found.append(Balance(*sides, u.eps(y)[k], u.domain, u, y == u.output))
    return balances


def _slopes_at_rest(sheet: Sheet) -> None:
    """∂s/∂y of the states that connections look at, written at rest where it is not yet."""
    for u in sheet.form.units:
        for p in u.local.partials:
            name = u.name(f"d{p.of.name}_d{p.by.name}")
            number = sheet.numbers.get((u, p.of, p.by))
            if p.found in u.local.gains and number and f"{name}*" not in sheet.numbers:
                step = sheet.steps[number - 1]
                rule = f"({number}) where nothing changes any more"
                resting(sheet).add(f"{name}*", step.left, step.right, rule, u.where)


def _both_sides(sheet: Sheet, name: str, fixed: int) -> tuple[int, Expr, Expr]:
    """Write the recursion of p at rest: the fixed point differentiated."""
    step = sheet.step(name)
    rule = f"both sides of ({fixed}) differentiated: ({step.number}) where nothing changes any more"
    ranges = [v for v in step.ranges if v != sheet.horizon.forward]
    number = resting(sheet).add(f"{name}*", step.left, step.right, rule, *ranges)
    return number, at_rest(step.left), at_rest(step.right)


def eliminate(sheet: Sheet, balances: Balances) -> None:
    """Add what is zero, choose the multipliers so that no p* is left, and see what is."""
    added = {theta: _add_nothing(sheet, theta, found) for theta, found in balances.items()}
    for theta, found in list(balances.items())[:1]:  # they are the same for every θ
        for u in sheet.form.units:
            _choose(sheet, u, found, added[theta])
    for theta, found in balances.items():
        name = f"gradient_{theta.name}"
        left_over = (Sum(b.multiplier * _without_p(b.right), (k, *b.domain)) for b in found)
        total = sympy.Add(*(collapse(v, k) for v in left_over if v.function != 0))
        total += by_itself(sheet, theta)
        rule = f"what is left of ({added[theta]}); the Kronecker delta collapses its sum"
        sheet.add(name, sheet.step(name).left, total, rule, *theta.ranges)


def _add_nothing(sheet: Sheet, theta: Learned, balances: list[Balance]) -> int:
    name = f"gradient_{theta.name}"
    step = sheet.step(name)
    total = step.right + sympy.Add(*(b.nothing for b in balances))
    rule = f"({step.number}); what is added is zero, whatever its factors"
    return sheet.add(name, step.left, total, rule, *theta.ranges)


def _without_p(expr: Expr) -> Expr:
    """What does not depend on any p*."""
    gone = {v: sympy.S.Zero for v in expr.atoms(Indexed) if is_sensitivity(v)}
    return expr.xreplace(gone).replace(
        lambda v: isinstance(v, Sum) and v.function == 0, lambda _: sympy.S.Zero
    )


def _choose(sheet: Sheet, u: Unit, balances: list[Balance], added: int) -> None:
    """δ and ε of one cell: with them the factor of each p* in what was added vanishes."""
    form = sheet.form
    own = [b for b in balances if b.unit is u]
    ports = dict(zip(form.net_inputs, balances, strict=False))
    of_port = {v: ports[port.name] for v, port in u.of_net_input.items()}
    wanted = [
        (f"delta{form.mark(port.name)}", of_port[v], [c for c in own if c.right.diff(of_port[v].p)])
        for v, port in u.of_net_input.items()
    ]
    by_state = dict(zip(carried(u), own, strict=True))
    for y, b in by_state.items():
        looking = [c for c in of_port.values() if _by_itself(c, b.p) != 0]
        wanted.append((eps_name(u, y), b, [c for c in (*own, *looking) if _by_itself(c, b.p)]))
    hearing = {b: form.hearing(u, y) for y, b in by_state.items()}
    for name, b, entered in wanted:
        raw = sympy.Add(*(c.multiplier * Slope(c.p, b.p) for c in entered))
        found = sympy.Add(*(c.multiplier * _by_itself(c, b.p) for c in entered))
        if b.of_output:
            raw, found = raw + ix.e[k], found + ix.e[k]
        for port in hearing.get(b, ()):
            c, at_l = ports[port.name], {k: l}
            slope = Slope(c.p.xreplace(at_l), b.p)
            raw += Sum(c.multiplier.xreplace(at_l) * slope, (l, *port.domain))
            found += _brought_back(c, b.p, port.domain)
            entered = [*entered, c]
        rule = f"so that ({added}) has nothing of this p left"
        sheet.add(u.name(name), b.multiplier, raw, rule, u.where)
        rule = found_in(*(c.number for c in entered)) if entered else "it reaches no state"
        sheet.add(u.name(name), b.multiplier, found, rule, u.where)


def _by_itself(balance: Balance, p: Expr) -> Expr:
    """The slope of what a unit's p* equals by another p* of the same unit: by no connection."""
    terms = (v for v in sympy.Add.make_args(balance.right) if not isinstance(v, Sum))
    return sympy.Add(*terms).diff(p)


def _brought_back(heard: Balance, p: Expr, domain: tuple[Any, Any]) -> Expr:
    """Σ over units of δ times the slope of their net input's p* by that of unit k."""
    sums = [v for v in sympy.Add.make_args(heard.right) if isinstance(v, Sum)]
    brought = []
    for total in sums:
        slope: Expr = collapse(total.xreplace({k: q}).diff(p), l)
        over = ()
        if isinstance(slope, Sum):  # over delays, whose letter is free again
            slope, over = slope.function, slope.limits
        term = Sum(heard.multiplier.xreplace({k: q}) * slope, (q, *domain), *over)
        brought.append(term.xreplace({q: l, ix.D2: ix.D}) if slope != 0 else sympy.S.Zero)
    return sympy.Add(*brought)


def relax(sheet: Sheet) -> None:
    """The equations of ε and δ as steps of a relaxation, each with the delay it has forward."""
    form = sheet.form
    lag = ix.D if form.delayed else 1
    for u in form.units:
        names = [f"delta{form.mark(port.name)}" for port in u.of_net_input.values()]
        for name in (*names, *(eps_name(u, y) for y in carried(u))):
            step, of_net_input = sheet.step(u.name(name)), name in names
            later: dict[Expr, Expr] = {}
            for v in step.right.atoms(Indexed):
                letter = str(v.base.label)[0]
                if letter == "ε":
                    later[v] = v.base[v.indices[0], rho if of_net_input else rho - 1]
                elif letter == "δ":  # of the unit itself by what is looked at, one step late
                    waits = 1 if v.indices[0] == k else lag
                    later[v] = v.base[v.indices[0], rho - waits]
            left, right = step.left.base[k, rho], step.right.xreplace(later)
            rule = f"({step.number}), relaxed to from 0"
            sheet.add(f"relaxed_{u.name(name)}", left, right, rule, u.where, "ρ ≥ 1")
