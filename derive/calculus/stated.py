"""What a person stated, in index form: the forward equations of a unit, and the objective."""

from __future__ import annotations

import sympy
from sympy import Expr, Sum, Symbol

from derive.calculus import indexed as ix
from derive.calculus.forcing import heard
from derive.calculus.form import UNFORCED, Heard, Unit, weighted_sum
from derive.calculus.indexed import J, Slope, Total, collapse, k, l, t, tau
from derive.calculus.judging import is_plain, state_terms
from derive.calculus.partials import DESIRED, OUTPUT, injection
from derive.calculus.steps import Sheet


def state_forward(sheet: Sheet, needing: str = "both directions need") -> None:
    """The weighted sums, each distinct cell's equations, and what others hear.

    ``needing`` says who else wants the quantities that were given a name.
    """
    form, forward = sheet.form, sheet.horizon.forward
    for name, port in form.net_inputs.items():
        total = weighted_sum(form, port, k, tau, l)
        rule = "stated: the sum over the connections into k"
        number = sheet.add(name, port.s[k, tau], total, rule, port.where, forward)
        sheet.numbers["s", name] = number
    for u in form.units:
        for v, port in u.of_net_input.items():
            sheet.numbers[u, v] = sheet.numbers["s", port.name]
        for v in u.local.equations:
            rule = "stated"
            if v.symbol in u.local.inner and v.symbol.name not in u.cell.intermediates:
                rule = f"stated; named, since {needing} it"
            name = u.name(u.names[v.symbol])
            number = sheet.add(name, u.places[v.symbol], u.lift(v.expr), rule, u.where, forward)
            sheet.numbers[u, v.symbol] = number
    _state_signal(sheet)


def _state_signal(sheet: Sheet) -> None:
    form = sheet.form
    by_output: dict[str, list[Unit]] = {}
    for u in form.units:
        by_output.setdefault(u.names[u.output], []).append(u)
    gathered = form.forced and len(by_output) > 1
    for base, units in by_output.items():
        where = form.among(units, "k")
        output = ix.signal(base)[k, tau]
        if gathered:
            sheet.add(UNFORCED, form.output[k, tau], output, "definition: the output", where)
        elif not form.forced:
            rule = "definition: x is the outputs and the inputs"
            sheet.add("x", ix.x[k, tau], output, rule, where)
    if form.forced:
        rule = "teacher forcing: an output that has a target goes on as its target"
        sheet.add("x", ix.x[k, tau], heard(form.output[k, tau], True), rule, "k∈U")
    for signal in form.heard:
        if signal.state:
            _state_heard(sheet, signal)


def _state_heard(sheet: Sheet, signal: Heard) -> None:
    """What those hear whose connections carry a state by its name."""
    form = sheet.form
    alike: dict[Expr, list[Unit]] = {}
    for u in form.units:
        y = signal.state_of(u)
        if y is not None:
            is_forced = form.forced and y == u.output
            state = (ix.x if is_forced else ix.signal(u.names[y]))[k, tau]
            alike.setdefault(state, []).append(u)
    for state, units in alike.items():
        rule = f"definition: the states {signal.state} that are heard, and the inputs"
        where = form.among(units, "k")
        sheet.add(f"x({signal.state})", signal.base[k, tau], state, rule, where)


def state_objective(sheet: Sheet) -> None:
    """J, what is summed of it, and e as its derivative."""
    if not is_plain(sheet.form):
        state_terms(sheet)
        return
    form, judged = sheet.form, injection(sheet.form.net.objective)

    def at(expr: Expr, unit: Symbol) -> Expr:
        return expr.xreplace({DESIRED: ix.d[unit, t], OUTPUT: form.output[unit, t]})

    scale, term = at(judged.expr, k).as_coeff_Mul()
    objective = scale * Sum(ix.MEMBER[k, t] * term, (k, *ix.UNITS))
    stated = sheet.numbers["judged"] = sheet.add("J", J(t), objective, "stated; J is maximised")
    if isinstance(sheet.horizon.of, Total):
        total = Sum(J(tau), (tau, *sheet.horizon.errors))
        sheet.numbers["judged"] = sheet.add("J_total", sheet.horizon.of, total, "definition")
    sheet.part = "error"
    by = form.output[k, t]
    sheet.add("e", ix.e[k, t], Slope(J(t), by), "definition: the error of unit k", "k∈U")
    slope = form.output[l, t].diff(by)
    direct = collapse(Sum(ix.MEMBER[l, t] * at(judged.error, l) * slope, (l, *ix.UNITS)), l)
    # Within T(t) the membership is 1, elsewhere 0 takes the whole expression away.
    there = sympy.Eq(ix.MEMBER[k, t], 1)
    error = sympy.Piecewise((direct.xreplace({ix.MEMBER[k, t]: sympy.S.One}), there), (0, True))
    rule = f"derivative of ({stated}); the Kronecker delta collapses its sum"
    sheet.add("e", ix.e[k, t], error, rule, "k∈U")


def state_errors(sheet: Sheet) -> None:
    """∂of/∂y, where not every step has its error injected."""
    horizon = sheet.horizon
    if horizon.judged_throughout:
        return
    y, earlier = sheet.form.output[k, tau], sheet.form.output[k, ix.tau2]
    left, entered = Slope(horizon.of, y), f"({sheet.numbers['judged']})"
    rule = f"derivative of {entered}, with ({sheet.numbers['e']})"
    if horizon.since == horizon.until:
        raw = (ix.e[k, ix.tau2] * earlier.diff(y)).xreplace({ix.tau2: horizon.until})
    else:
        raw = Sum(ix.e[k, ix.tau2] * earlier.diff(y), (ix.tau2, *horizon.errors))
    number = sheet.add("direct", left, raw, rule, "k∈U")
    if horizon.since != horizon.until:
        found = horizon.injected(tau, *horizon.steps)
        rule = f"the Kronecker delta collapses the sum of ({number})"
        sheet.add("direct", left, found, rule, "k∈U", horizon.backward)
