"""Windows of h steps, joined by sensitivities: the FP/BPTT(h) hybrid (Schmidhuber 1992).

Everything that J^total(t−h,t) depends on lies within the window, or comes in by the states it
starts from. Of these the sensitivities are kept:

    ∂J^total(t−h,t)/∂w_ij = Σ over the window of δ·∂s/∂w_ij + Σ_l ε_l(t−h)·p^l_ij(t−h)

The same equation with an output y_q(t) in place of J^total gives p^q_ij(t), for the next window:
its ordered derivatives are ζ, whose recursion is that of ε without any error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

import sympy
from sympy import Expr, Indexed, IndexedBase, Integer, Sum

from derive.calculus import indexed as ix
from derive.calculus.forcing import passed
from derive.calculus.form import NetInput, Unit
from derive.calculus.gradients import Before, one_step_back, share
from derive.calculus.indexed import LONGEST, Ordered, k, l, q, r, r2, tau, tiered
from derive.calculus.learned import Learned, learned
from derive.calculus.recursion import brought_back, eps_name, found_in
from derive.calculus.sensitivities import Minded, carried, minded, start
from derive.calculus.steps import Sheet, Step, cited

LATER_ONLY = "∂"
"""Marks ε of outputs further back than the window's first step, which only delays bring in."""
LAGS = (1, LONGEST - 1)
SEEDED = {"ε": "ζ", "δ": "δ"}
"""What the ordered derivatives are called where an output takes the objective's place."""


def at_the_boundary(sheet: Sheet) -> Before:
    """ε of what the window starts from, and the term it adds to every gradient."""
    start_of, numbers = sheet.horizon.first - 1, []
    for u in sheet.form.units:
        for y in u.local.old:
            if y == u.output or y in carried(u):
                eps = u.name(eps_name(u, y))
                found = one_step_back(sheet, u, y, start_of)
                rule = f"({sheet.numbers[eps]}) at the start of the window, whose error is no part"
                name = u.name(f"boundary{'' if y == u.output else f'({y.name})'}")
                number = sheet.add(name, u.eps(y)[k, start_of], found, f"{rule} of it", u.where)
                numbers.append(number)
    if sheet.form.reaching_back:
        for state in minded(sheet.form):
            for units, hearing in state.hearing:
                numbers.append(_further_back(sheet, state, units, hearing))
    return Before(lambda theta: _brought_in(sheet, theta), tuple(numbers))


def _further_back(sheet: Sheet, state: Minded, units: list[Unit], hearing: list[NetInput]) -> int:
    """ε of a state r steps before the window's start: what it adds to net inputs within."""
    form, horizon = sheet.form, sheet.horizon
    at = horizon.first - 1 - r
    raw, found = (
        v.xreplace({tau: at}) for v in brought_back(sheet, k, hearing, since=horizon.first)
    )
    # What a delay D carries from there is within the window if at + D is.
    reaching = {(ix.D, *form.lags): (ix.D, horizon.first - at, LONGEST)}
    found = found.replace(
        lambda v: isinstance(v, Sum),
        lambda v: Sum(v.function, *(reaching.get(tuple(limit), limit) for limit in v.limits)),
    )
    named, factor = (sympy.S.One, sympy.S.One) if state.mark else passed(form, k, at)
    entered = [sheet.numbers["s", s.name] for s in hearing]
    used = [sheet.numbers[f"d{s.name}_dx"] for s in hearing]
    if form.forced and not state.mark:
        entered, used = [*entered, sheet.numbers["x"]], [*used, sheet.numbers["dx_dy"]]
    ranges = form.among(units, "k"), "r = 1…D₁−1"
    rule = f"chain rule over what it enters in the window: {cited(*entered)}"
    name, left = f"boundary_earlier{state.told}", _earlier(state)[k, at]
    if len(state.hearing) > 1:  # one for each such group of cells
        name += f"/{form.label(units)}"
    sheet.add(name, left, named * raw, rule, *ranges)
    rule = f"{found_in(*used)}; longer delays than r reach into the window"
    return sheet.add(name, left, factor * found, rule, *ranges)


def _earlier(state: Minded) -> IndexedBase:
    """ε of a state further back than the window's first step."""
    return ix.signal(f"ε^({LATER_ONLY}, {state.mark})" if state.mark else f"ε^({LATER_ONLY})")


def _brought_in(sheet: Sheet, theta: Learned) -> Expr:
    """Σ of ε·p over all that the window starts from."""
    start_of = sheet.horizon.first - 1
    eps = ix.signal("ε")
    total = Sum(eps[l, start_of] * theta.p("", l, start_of), (l, *ix.UNITS))
    for u in sheet.form.units:
        for y in carried(u):
            if y != u.output:
                term = u.eps(y)[l, start_of] * theta.p(u.mark(y), l, start_of)
                total += Sum(term, (l, *u.domain))
    if sheet.form.reaching_back:
        at = start_of - r
        for state in minded(sheet.form):
            heard = [u for units, _ in state.hearing for u in units]
            if heard:
                domain = sheet.form.domain(heard)
                term = _earlier(state)[l, at] * theta.p(state.mark, l, at)
                total += Sum(term, (l, *domain), (r, *LAGS))
    return total


# --- the same for an output in place of the objective ----------------------------------------


def sweeps(sheet: Sheet, before: Before) -> None:
    """p at the end of the window, by one sweep back for each unit (and state) it is of.

    Where there are delays the next window starts from outputs of several times: from each of them
    a sweep goes back.
    """
    for theta in learned(sheet.form):
        start(sheet, theta)
    for state in minded(sheet.form):
        _sweep(sheet, before, state)


def _sweep(sheet: Sheet, before: Before, state: Minded) -> None:
    form, horizon, of, where = sheet.form, sheet.horizon, state.mark, state.among("q")
    further = form.reaching_back and bool(state.hearing)
    lag, ending = (r2, ["r′ = 0…D₁−1", "r′ < h"]) if further else (0, [])
    sweep = replace(horizon, last=horizon.last - lag)
    spans = {horizon.backward: sweep.backward}
    spans |= {horizon.recursion(v): sweep.recursion(v) for v in (Integer(0), Integer(1))}

    def add(name: str, left: Expr, right: Expr, rule: str, ranges: Iterable[str]) -> None:
        named = f"{seeded_name(name)}[{of}]" if of else seeded_name(name)
        sheet.add(named, _seeded(left, of), _seeded(right, of), rule, where, *ranges, *ending)

    for step in _definitions(sheet):
        right = Ordered(state.signal[q, sweep.last], step.right.args[1])
        add(step.name, step.left, right, "definition", step.ranges)
    for u in form.units:
        for y in u.local.old:
            by = form.output if y == u.output else ix.signal(u.names[y])
            seed = state.signal[q, sweep.last].diff(by[k, sweep.last])
            rule = "nothing follows from the last step but itself"
            name = u.name(f"{eps_name(u, y)}_last")
            if form.hearing_at_once(u, y):
                rule += f", and what hears it in the same step, as ({sheet.numbers[name]})"
                seed += sheet.right(name).xreplace({horizon.last: sweep.last})
            add(name, u.eps(y)[k, sweep.last], seed, rule, [u.where])
    for step in window_results(sheet):
        rule = f"as ({step.number}), where no error is injected"
        add(step.name, step.left, step.right, rule, [spans.get(v, v) for v in step.ranges])
    for theta in learned(form):
        total = share(sheet, theta).over(*sweep.steps) + before.adds(theta)
        rule = f"as ({sheet.numbers[f'gradient_{theta.name}']}), for this in place of the objective"
        left = theta.p(of, q, sweep.last)
        name = f"p{state.told}_{theta.name}"
        sheet.add(name, left, _seeded(total, of), rule, where, *theta.ranges, *ending)


def _definitions(sheet: Sheet) -> list[Step]:
    """The definitions of ε and δ."""
    return [v for v in sheet.steps if re.fullmatch(r"(eps|delta).*_definition", v.name)]


def window_results(sheet: Sheet) -> list[Step]:
    """What gives δ from ε, and ε of the step before, down to the window's start."""
    found = {v.name: v for v in sheet.steps if re.match(r"eps|delta|boundary", v.name)}
    ends = ("_definition", "_last")
    return [v for name, v in found.items() if not name.partition("/")[0].endswith(ends)]


def seeded_name(name: str) -> str:
    """The name of a step of a sweep, after that of the same step for the objective."""
    return re.sub(r"^(eps)?", lambda v: "zeta" if v[0] else "zeta_", name, count=1)


def _seeded(expr: Expr, of: str) -> Expr:
    """An equation of ε and δ in the letters of the sweep for unit q: ζ^q and δ^q, and no error."""
    letters: dict[Expr, Expr] = {}
    for v in expr.atoms(Indexed):
        name, _, mark = str(v.base.label).partition("^")
        if name in SEEDED:
            letters[v] = tiered(SEEDED[name], of, mark[1:-1])[(q, *v.indices)]
        elif v.base == ix.e:
            letters[v] = sympy.S.Zero
    return expr.xreplace(letters)
