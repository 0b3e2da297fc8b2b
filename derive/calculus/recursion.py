"""ε and δ: the chain rule for ordered derivatives, along the connections and within a unit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sympy
from sympy import Expr, Sum, Symbol

from derive.calculus import indexed as ix
from derive.calculus.adjoint import bar
from derive.calculus.forcing import passed
from derive.calculus.form import NetInput, Unit, over_connections, slope_of_sum
from derive.calculus.indexed import Ordered, Slope, collapse, i, j, k, l, tau
from derive.calculus.partials import SOURCE, Partial
from derive.calculus.steps import Sheet, cited


def define(sheet: Sheet) -> None:
    """ε, δ and the bars of intermediates, as ordered derivatives."""
    form = sheet.form
    defined: dict[Expr, tuple[str, Expr, str]] = {}
    for u in form.units:
        for y in u.local.old:
            of = form.output if y == u.output else ix.signal(u.names[y])
            where = "k∈U" if y == u.output else u.where
            defined.setdefault(u.eps(y)[k, tau], (eps_name(u, y), of[k, tau], where))
        for v in u.local.inner:
            if bar(v) in u.bars:
                defined.setdefault(u.places[bar(v)], (f"eps({v.name})", u.places[v], u.where))
    for name, port in form.net_inputs.items():
        defined[port.delta[k, tau]] = (f"delta{form.mark(name)}", port.s[k, tau], port.where)
    for left, (name, of, where) in defined.items():
        sheet.add(f"{name}_definition", left, Ordered(sheet.horizon.of, of), "definition", where)


def through_connections(sheet: Sheet) -> None:
    """∂s/∂x and ∂s/∂w: the weighted sum differentiated by an indexed quantity.

    Where all delays are 1 the net input one step later is meant; otherwise that of any time τ′.
    """
    form = sheet.form
    later, before = (ix.tau2, tau) if form.delayed else (tau, tau - 1)
    for name, port in form.net_inputs.items():
        stated, carried = sheet.numbers["s", name], port.heard.base[k, before]
        raw = slope_of_sum(form, SOURCE, carried, port, l, later, j)
        left, key = Slope(port.s[l, later], carried), f"d{name}_dx"
        first = sheet.add(key, left, raw, f"derivative of ({stated})")
        rule = f"the Kronecker delta collapses the sum over j in ({first})"
        sheet.add(key, left, collapse(raw, j), rule)

        for p in port.synapse.parameters if port.learnt else ():
            # The sum's own delay is D′ here, so that D can name the one whose weight it is.
            by = port.parameter(p)[form.at(i, j)]
            raw = slope_of_sum(form, p, by, port, k, tau, l, ix.D2)
            left, key = Slope(port.s[k, tau], by), f"d{name}_d{p.name}"
            first = sheet.add(key, left, raw, f"derivative of ({stated})")
            rule = f"the Kronecker deltas collapse the sum of ({first})"
            sheet.add(key, left, collapse(raw, l, ix.D2), rule)


def through_unit(sheet: Sheet, u: Unit) -> None:
    """ε → bars of intermediates → δ → ε of the step before, for one cell."""
    form, horizon, last = sheet.form, sheet.horizon, sheet.horizon.last
    for y in u.local.old:
        error = horizon.injected(last, last, last) if y == u.output else sympy.S.Zero
        rule, brought = "nothing follows from the last step but its error", error
        if form.hearing_at_once(u, y):
            at_once, numbers = heard_at_once(sheet, u, y, last)
            rule += f", and what hears it in the same step: {cited(*numbers)} with D = 0"
            brought = error + at_once
        sheet.add(u.name(eps_name(u, y) + "_last"), u.eps(y)[k, last], brought, rule, u.where)
    for v in (*reversed(u.local.inner), *u.local.net_inputs):
        is_net_input = v in u.local.net_inputs
        if bar(v) not in u.bars and not is_net_input:
            continue
        name = u.name(f"eps({v.name})")
        if is_net_input:
            name = u.name(f"delta{form.mark(u.of_net_input[v].name)}")
        left, terms = u.places[bar(v)], terms_of(sheet, u, v)
        rule = "it reaches no state"
        if terms:
            sheet.add(name, left, chain(u, terms), _enters(sheet, u, terms), u.where)
            rule = put_in(terms)
        sheet.add(name, left, u.lift(u.backward(v)), rule, u.where, horizon.backward)
    for y in u.local.old:
        _before(sheet, u, y)


def _before(sheet: Sheet, u: Unit, y: Symbol) -> None:
    """ε of the step before: the error, what the unit carries, what its connections bring back."""
    form = sheet.form
    before, shift = (tau, {tau: tau + 1}) if form.delayed else (tau - 1, {})
    terms = terms_of(sheet, u, y)
    raw, found = chain(u, terms).xreplace(shift), u.lift(u.backward(y)).xreplace(shift)
    entered, used = [sheet.numbers[u, p.of] for p, _ in terms], [number for _, number in terms]
    hearing = form.hearing(u, y)
    if hearing:
        brought_raw, brought = brought_back(sheet, k, hearing)
        raw, found = raw + brought_raw, found + brought
        entered += [sheet.numbers["s", s.name] for s in hearing]
        used += [sheet.numbers[f"d{s.name}_dx"] for s in hearing]
    if y == u.output:
        named, factor = passed(form, k, before)
        error = sheet.horizon.injected(before, *sheet.horizon.before)
        raw, found = error + named * raw, error + factor * found
        if form.forced and used:
            entered, used = [*entered, sheet.numbers["x"]], [*used, sheet.numbers["dx_dy"]]
        entered += [sheet.numbers["J"]] * (error != 0)
    name, left = u.name(eps_name(u, y)), u.eps(y)[k, before]
    times = sheet.horizon.recursion(tau - before)
    if used:
        sheet.add(name, left, raw, f"chain rule over everything it enters: {cited(*entered)}",
                  u.where, times)  # fmt: skip
    rule = found_in(*used) if used else "it enters nothing"
    sheet.add(name, left, found, rule, u.where, times)


def brought_back(
    sheet: Sheet, source: Symbol, hearing: Iterable[NetInput], since: Expr | None = None
) -> tuple[Expr, Expr]:
    """Σ over the net inputs that a source enters of δ·∂s/∂x: by name, and with the partial in.

    At the time of the net input where all delays are 1, else at that of the source: there a
    second Kronecker delta, that of time, collapses the sum over the times τ′ it is heard at; these
    begin one step later (in the same step, where some delay is 0), or at ``since``.
    """
    form = sheet.form
    raw, found = [], []
    later, before = (ix.tau2, tau) if form.delayed else (tau, tau - 1)
    first = tau + form.soonest if since is None else since
    heard = [(ix.tau2, first, sheet.horizon.last)] if form.delayed else []
    for port in hearing:
        limits = [(l, *port.domain), *heard]
        by_name = Slope(port.s[l, later], port.heard.base[source, before])
        raw.append(Sum(port.delta[l, later] * by_name, *limits))
        slope, over = _to_source(sheet, port, source)
        found.append(collapse(Sum(port.delta[l, later] * slope, *limits, *over), ix.tau2))
    return sympy.Add(*raw), sympy.Add(*found)


def _to_source(sheet: Sheet, port: NetInput, source: Symbol) -> tuple[Expr, tuple[Any, ...]]:
    """∂s/∂x as found, for one source, and the sum over delays it stands in."""
    slope = sheet.right(f"d{port.name}_dx").xreplace({k: source})
    return (slope.function, slope.limits) if isinstance(slope, Sum) else (slope, ())


def heard_at_once(sheet: Sheet, u: Unit, y: Symbol, last: Expr) -> tuple[Expr, list[int]]:
    """What connections of delay 0 bring back at the last step, where there is nothing later."""
    form, found = sheet.form, []
    hearing = form.hearing_at_once(u, y)
    for port in hearing:
        slope, over = _to_source(sheet, port, k)
        term = (port.delta[l, tau] * slope).xreplace({tau: last, ix.tau2: last})
        found.append(collapse(Sum(term, (l, *port.domain), *over), ix.D))
    factor = passed(form, k, last)[1] if y == u.output else sympy.S.One
    return factor * sympy.Add(*found), [sheet.numbers[f"d{s.name}_dx"] for s in hearing]


def eps_name(u: Unit, y: Symbol) -> str:
    """The name of the step that gives ε of a state."""
    return "eps" if y == u.output else f"eps({y.name})"


Terms = list[tuple[Partial, int]]


def terms_of(sheet: Sheet, u: Unit, v: Symbol) -> Terms:
    """The partials by ``v`` of what it enters within the unit, with the steps that found them."""
    entered = [p for p in u.local.partials if p.by == v and bar(p.of) in u.bars]
    return [(p, partial(sheet, u, p)) for p in entered]


def partial(sheet: Sheet, u: Unit, p: Partial) -> int:
    """Write ∂of/∂by, as differentiated and as found, where it is not written yet."""
    if (u, p.of, p.by) in sheet.numbers:
        return sheet.numbers[u, p.of, p.by]
    left = u.slope(p)
    name = u.name(f"d{p.of.name.rstrip('⁺')}_d{p.by.name}")
    rule = f"derivative of ({sheet.numbers[u, p.of]})"
    if p.found in u.local.gains:
        port = u.of_net_input[p.of]
        total = over_connections(sheet.form, port.synapse.partials[p.by], port, k, tau, l)
        number = sheet.add(name, left, total, rule, u.where, sheet.horizon.forward)
        sheet.numbers[u, p.of, p.by] = number
        return number
    number = sheet.add(name, left, u.lift(p.stated), rule, u.where)
    if p.found != p.stated:
        named = p.found.free_symbols - p.stated.free_symbols
        by = cited(*(sheet.numbers[u, q.symbol] for q in u.local.equations if q.symbol in named))
        rule = f"({number}) in what the forward pass has, by {by}"
        number = sheet.add(name, left, u.lift(p.found), rule, u.where)
    sheet.numbers[u, p.of, p.by] = number
    return number


def chain(u: Unit, terms: Terms) -> Expr:
    """Σ of ∂⁺J/∂of · ∂of/∂by within a unit, before the partials are put in."""
    at = u.places
    return sympy.Add(*(at[bar(p.of)] * u.slope(p) for p, _ in terms))


def _enters(sheet: Sheet, u: Unit, terms: Terms) -> str:
    entered = cited(*(sheet.numbers[u, p.of] for p, _ in terms))
    return f"chain rule over everything it enters: {entered}"


def put_in(terms: Terms) -> str:
    """The rule that puts the partials into the chain rule."""
    return found_in(*(number for _, number in terms))


def found_in(*numbers: int) -> str:
    """The rule that replaces partials by what was found for them."""
    return f"partial{'s' * (len(set(numbers)) > 1)} found in {cited(*numbers)}"
