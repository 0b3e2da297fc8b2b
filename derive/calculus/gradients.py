"""∂J by weights, cell parameters, inputs and initial state: sums of δ and ε over time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import sympy
from sympy import Expr, Indexed, IndexedBase, Sum, Symbol

from derive.calculus import indexed as ix
from derive.calculus.forcing import unforced_at_start
from derive.calculus.form import Form, NetInput, Unit
from derive.calculus.indexed import Change, Slope, collapse, i, j, k, t0, tau
from derive.calculus.judging import by_itself, by_itself_shared
from derive.calculus.learned import Learned, learned
from derive.calculus.notation import in_terminal
from derive.calculus.recursion import brought_back, chain, eps_name, found_in, put_in, terms_of
from derive.calculus.steps import Sheet, cited


@dataclass(frozen=True)
class Before:
    """What the steps before the first add to the gradient by a learned quantity, and why."""

    adds: Callable[[Learned], Expr]
    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Share:
    """What one step of one unit adds to a gradient: by the chain rule, and with the partials in."""

    units: tuple[Expr, Expr]
    raw: Expr
    entered: str
    found: Expr
    rule: str

    def over(self, *steps: Expr) -> Expr:
        """The sum over units and steps; a Kronecker delta leaves the unit whose θ it is."""
        return collapse(Sum(self.found, (k, *self.units), (tau, *steps)), k)


def gradients(sheet: Sheet, before: Before | None = None) -> None:
    """The gradient by everything that can be asked for."""
    form = sheet.form
    for theta in learned(form):
        if theta.net_input is not None:
            _gradient(sheet, theta, before)
    shared_weights(sheet)
    for theta in learned(form):
        if theta.net_input is None:
            _gradient(sheet, theta, before)
    if form.net.inputs:
        _inputs(sheet)
    if sheet.horizon.first == sheet.horizon.begin:
        for u in form.units:
            _start(sheet, u)


def updates(sheet: Sheet) -> None:
    """A step up the gradient."""
    form, horizon = sheet.form, sheet.horizon
    for name, port in form.net_inputs.items():
        if port.learnt:
            by = port.w[form.at(i, j)]
            rule = f"J is maximised: a step up its gradient{horizon.update}"
            sheet.add(f"update{form.mark(name)}", Change(by), ix.eta * Slope(horizon.of, by), rule)


def share(sheet: Sheet, theta: Learned) -> Share:
    """What each step adds to the gradient by θ: through a net input, or within a unit."""
    if theta.net_input is not None:
        name = theta.net_input
        port, key = sheet.form.net_inputs[name], theta.enters_by
        entered = f"{cited(sheet.numbers['s', name])} for every unit and time"
        found = sheet.numbers[key]
        rule = f"{found_in(found)}; the Kronecker delta collapses the sum"
        raw = port.delta[k, tau] * Slope(port.s[k, tau], theta.by)
        return Share(port.domain, raw, entered, port.delta[k, tau] * sheet.right(key), rule)
    u, p = theta.unit, theta.symbol
    assert u is not None and p is not None
    terms = terms_of(sheet, u, p)
    entered = f"{cited(*(sheet.numbers[u, q.of] for q, _ in terms))} at every time"
    raw, found_term = chain(u, terms) * theta.own, u.lift(u.backward(p)) * theta.own
    return Share(u.domain, raw, entered, found_term, put_in(terms))


def _gradient(sheet: Sheet, theta: Learned, before: Before | None) -> None:
    """The sum over time of what every step adds.

    The chain rule goes over every step there was. Those before the first either come in by what
    the window starts from, or are left out, and then the second line is no equation any more.
    """
    horizon, one = sheet.horizon, share(sheet, theta)
    name, left = f"gradient_{theta.name}", Slope(horizon.of, theta.by)
    every = horizon.steps if horizon.sensed else (horizon.begin, horizon.last)
    raw: Expr = Sum(one.raw, (k, *one.units), (tau, *every))
    ranges: tuple[str, ...] = ()
    if theta.net_input is None:  # its own Kronecker delta is there before any partial is put in
        raw, ranges = collapse(raw, k), theta.ranges
    rule = f"chain rule over everything it enters: {one.entered}"
    found, rule_found, sign = one.over(*horizon.steps), one.rule, "="
    if itself := by_itself(sheet, theta):
        raw, found = raw + itself, found + itself
        rule += ", and J itself"
    if before is not None:
        raw, found = raw + before.adds(theta), found + before.adds(theta)
        rule += f", and through what the window starts from, with {cited(*before.numbers)}"
    elif horizon.truncated:
        rule_found += "; what lies before the newest h steps is left out"
        sign = "≈"
    sheet.add(name, left, raw, rule, *ranges)
    sheet.add(name, left, found, rule_found, *theta.ranges, sign=sign)


def shared_weights(sheet: Sheet) -> None:
    """Where connections share a weight: the sum over those that carry it.

    They share what else they have of their own too.
    """
    form, wiring = sheet.form, sheet.form.net.wiring
    if wiring.weights == int(wiring.learnt.sum()):
        return
    ports = [port for port in form.net_inputs.values() if port.learnt]
    _shared(sheet, "gradient_shared", ix.signal("θ"), {port: port.w for port in ports})
    names = dict.fromkeys(p for port in ports for p in port.further)
    for p in names:
        having = {port: port.further[p] for port in ports if p in port.further}
        letter = str(next(iter(having.values())).label).partition("^")[0]
        _shared(sheet, f"gradient_shared_{p.name}", ix.signal(letter), having)


def _shared(
    sheet: Sheet, name: str, theta: IndexedBase, of: Mapping[NetInput, IndexedBase]
) -> None:
    form, total = sheet.form, sheet.horizon.of
    at = form.at(i, j)
    carries = theta[ix.Carried(*at)].diff(theta[ix.a])
    terms = []
    for port, base in of.items():
        limits = [(j, *form.sources), (i, *port.domain)]
        limits += [(ix.D, *form.lags)] if form.delayed else []
        terms.append(Sum(carries * Slope(total, base[at]), *limits))
    rule = "chain rule over every connection that carries the shared weight"
    if name == "gradient_shared" and (itself := by_itself_shared(sheet)):
        terms.append(itself)
        rule += ", and J itself"
    sheet.add(name, Slope(total, theta[ix.a]), sympy.Add(*terms), rule)


def _inputs(sheet: Sheet) -> None:
    form, horizon = sheet.form, sheet.horizon
    _, brought = brought_back(sheet, j, form.net_inputs.values())
    # Whatever state is heard of units: of an input line it is the input.
    inputs = {
        v: ix.x[v.indices]
        for v in brought.atoms(Indexed)
        if v.indices[0] == j and v.base in [signal.base for signal in form.heard]
    }
    brought = brought.xreplace(inputs)
    right = brought if form.delayed else brought.xreplace({tau: tau + 1})
    used = cited(*(sheet.numbers[f"d{s}_dx"] for s in form.net_inputs))
    rule = f"chain rule, with {used}: an input enters net inputs only"
    span = "…".join(in_terminal(v - 1) for v in horizon.steps)
    left = Slope(horizon.of, ix.x[j, tau])
    sheet.add("gradient_x", left, right, rule, "j∈I", f"τ = {span}")


def _start(sheet: Sheet, u: Unit) -> None:
    """The recursion one step further back, to t₀, where no error is injected."""
    for y in u.local.old:
        eps = u.name(eps_name(u, y))
        right = unforced_at_start(sheet.form, one_step_back(sheet, u, y, t0))
        by = ix.signal(u.names[y])[k, t0]
        rule = f"({sheet.numbers[eps]}) at the start, whose error is no part of the total"
        sheet.add(u.name(f"gradient_{y.name}0"), Slope(sheet.horizon.of, by), right, rule, u.where)


def one_step_back(sheet: Sheet, u: Unit, y: Symbol, start: Expr) -> Expr:
    """What the recursion gives for ε at the time before the first step."""
    form, horizon = sheet.form, sheet.horizon
    at = start if form.delayed else start + 1
    right = sheet.right(u.name(eps_name(u, y)))
    if y == u.output:
        within = horizon.injected(tau if form.delayed else tau - 1, *horizon.before)
        right = right - within + horizon.injected(start, start, start)
    return heard_later(form, right).xreplace({tau: at})


def heard_later(form: Form, expr: Expr) -> Expr:
    """Sums over delays without 0: what is heard in the first step's past is no part of a step."""
    if form.soonest:
        return expr
    now = (ix.D, *form.lags)

    def later(total: Sum) -> Sum:
        limits = ((ix.D, *ix.LATER) if tuple(v) == now else v for v in total.limits)
        return Sum(total.function, *limits)

    return expr.replace(lambda v: isinstance(v, Sum), later)
