"""∂J^total by weights, cell parameters, inputs and initial state: sums of δ and ε over time."""

from __future__ import annotations

import sympy
from sympy import Sum, Symbol

from derive.calculus import indexed as ix
from derive.calculus.indexed import Change, Slope, Total, Unit, collapse, i, j, k, t0, t1, tau
from derive.calculus.recursion import brought_back, chain, eps_name, found_in, put_in, terms_of
from derive.calculus.steps import Sheet, cited

TOTAL = Total(t0, t1)


def gradients(sheet: Sheet) -> None:
    """The gradient by everything that can be asked for, and the step it leads to."""
    form = sheet.form
    for name in form.net_inputs:
        _weights(sheet, name)
    if form.net.wiring.weights < form.net.wiring.size:
        _shared_weights(sheet)
    for u in form.units:
        for p in u.local.parameters:
            _parameter(sheet, u, p)
    if form.net.inputs:
        _inputs(sheet)
    for u in form.units:
        _start(sheet, u)
    for name, (_, w, _) in form.net_inputs.items():
        by = w[form.at(i, j)]
        rule = "J is maximised: a step up its gradient"
        sheet.add(f"update{form.mark(name)}", Change(by), ix.eta * Slope(TOTAL, by), rule)


def _weights(sheet: Sheet, name: str) -> None:
    """Every δ_k(τ) has its say; the Kronecker delta leaves that of the connection's target."""
    form = sheet.form
    s, w, delta = form.net_inputs[name]
    by, key = w[form.at(i, j)], f"gradient_w{form.mark(name)}"
    limits = ((k, *ix.UNITS), (tau, *ix.EPOCH))
    raw = Sum(delta[k, tau] * Slope(s[k, tau], by), *limits)
    entered = cited(sheet.numbers["s", name])
    rule = f"chain rule over everything it enters: {entered} for every unit and time"
    sheet.add(key, Slope(TOTAL, by), raw, rule)
    slope = sheet.right(f"d{name}_dw")
    ranges = ("i∈U", "j∈U∪I" if form.net.inputs else "j∈U") + ("D∈𝒟",) * form.delayed
    rule = found_in(sheet.numbers[f"d{name}_dw"]) + "; the Kronecker delta collapses the sum"
    found = collapse(Sum(delta[k, tau] * slope, *limits), k)
    sheet.add(key, Slope(TOTAL, by), found, rule, *ranges)


def _shared_weights(sheet: Sheet) -> None:
    form = sheet.form
    at = form.at(i, j)
    limits = [(j, *form.sources), (i, *ix.UNITS)]
    limits += [(ix.D, *ix.DELAYS)] if form.delayed else []
    theta = ix.signal("θ")
    carries = theta[ix.Carried(*at)].diff(theta[ix.a])
    terms = [Sum(carries * Slope(TOTAL, w[at]), *limits) for _, w, _ in form.net_inputs.values()]
    rule = "chain rule over every connection that carries the shared weight"
    sheet.add("gradient_shared", Slope(TOTAL, theta[ix.a]), sympy.Add(*terms), rule)


def _parameter(sheet: Sheet, u: Unit, p: Symbol) -> None:
    """Every step's term, summed; a Kronecker delta leaves the unit whose parameter it is."""
    terms = terms_of(sheet, u, p)
    if not terms:
        return
    here = u.places[p]
    by = here if p in u.shared else here.xreplace({k: i})
    own = here.diff(by)
    limits = ((k, *u.domain), (tau, *ix.EPOCH))
    where = () if p in u.shared else ("i" + u.where[1:],)
    name, left = u.name(f"gradient_{p.name}"), Slope(TOTAL, by)
    entered = cited(*(sheet.numbers[u, q.of] for q, _ in terms))
    rule = f"chain rule over everything it enters: {entered} at every time"
    sheet.add(name, left, collapse(Sum(chain(u, terms) * own, *limits), k), rule, *where)
    found = collapse(Sum(u.lift(u.backward(p)) * own, *limits), k)
    sheet.add(name, left, found, put_in(terms), *where)


def _inputs(sheet: Sheet) -> None:
    form = sheet.form
    _, brought = brought_back(sheet, j)
    right = brought if form.delayed else brought.xreplace({tau: tau + 1})
    used = cited(*(sheet.numbers[f"d{s}_dx"] for s in form.net_inputs))
    rule = f"chain rule, with {used}: an input enters net inputs only"
    sheet.add("gradient_x", Slope(TOTAL, ix.x[j, tau]), right, rule, "j∈I", "τ = t₀…t₁−1")


def _start(sheet: Sheet, u: Unit) -> None:
    """The recursion one step further back, to t₀, where no error is injected."""
    start = {tau: t0} if sheet.form.delayed else {tau: t0 + 1}
    for y in u.local.old:
        eps = u.name(eps_name(u, y))
        right = sheet.right(eps).xreplace(start).xreplace({ix.e[k, t0]: sympy.S.Zero})
        by = ix.signal(u.names[y])[k, t0]
        rule = f"({sheet.numbers[eps]}) at the start, whose error is no part of the total"
        sheet.add(u.name(f"gradient_{y.name}0"), Slope(TOTAL, by), right, rule, u.where)
