"""The sensitivities p are derivatives: induction forward over the steps.

For one θ, a weight w_ij or a parameter of a cell, ẏ is the derivative by θ of what the stated
equations give. The claim is ẏ_k(τ) = p^k(τ) for every state. It holds at t₀, where no state depends
on θ. If it holds at every time before τ (and within τ for what is computed earlier, where some
connection has delay 0) then differentiating the stated equations of the step gives the derived p.
"""

from __future__ import annotations

from itertools import product

import sympy
from sympy import Expr, Indexed, Symbol

from derive.calculus.form import Unit
from derive.calculus.indexed import D, i, j, k, t0, tau
from derive.calculus.learned import Learned
from derive.calculus.sensitivities import carried, minded, state_name
from derive.verify.induction.network import (
    DOT,
    INPUT,
    LATER,
    Stated,
    Table,
    dot,
    gains,
    part,
    unfolding,
)
from derive.verify.induction.parts import Lemma, Line, Page
from derive.verify.induction.sums import Env, Rewrite, same

Case = tuple[Env, dict[Symbol, Expr], str]
"""Where the free indices are, what is put for those that have one value, and this in words."""

Still = frozenset[tuple[str, str]]
"""States that θ does not reach, by name and part."""


def forward(stated: Stated, theta: Learned, page: Page) -> Lemma:
    """The lemma for one θ."""
    still = unreached(stated, theta)
    base, step = [], []
    for v in minded(stated.form):
        right = stated.sheet.right(f"p{v.told}_start_{theta.name}")
        left = dot(v.signal)[k, t0]
        base.append(
            page.line(
                left,
                right,
                "the state at t₀ does not depend on θ",
                v.among("k"),
                cases=[(right, sympy.S.Zero, stated.space({}), "")],
            )  # fmt: skip
        )
    for u in stated.form.units:
        for y, z in zip(u.local.old, u.local.new, strict=True):
            if y in carried(u):
                step.append(_step(stated, theta, page, u, y, z, still))
    by = theta.p("", k, tau)
    written = f"{_text(dot(stated.form.output)[k, tau])} = {_text(by)}"
    return Lemma(
        f"Sensitivities by θ = {_text(theta.by)}",
        f"{written} for every unit and every τ ≥ t₀" + _also(stated, theta)
        + ", where the dot is the derivative by θ of what the stated equations give.",
        "It holds at all times before τ" + (
            ", and at τ for units computed before k." if not stated.form.soonest else "."
        ),
        tuple(base),
        tuple(step),
        f"So every p is the derivative by {_text(theta.by)}, for all n and all τ.",
    )  # fmt: skip


def _text(expr: Expr) -> str:
    from derive.calculus.notation import in_terminal

    return in_terminal(expr)


def _also(stated: Stated, theta: Learned) -> str:
    marks = [v.mark for v in minded(stated.form) if v.mark]
    return f", and for the states {', '.join(marks)}" if marks else ""


def _step(
    stated: Stated, theta: Learned, page: Page, u: Unit, y: Symbol, z: Symbol, still: Still
) -> Line:
    derived = stated.sheet.right(state_name(u, y, theta))
    left = dot(u.names[y])[k, tau]
    table = values(stated) | tangents(stated, theta)
    cases = []
    for env, put, words in cases_of(stated, theta):
        free = {**env, k: part(u)}
        space = stated.space(
            free, supposed(stated, theta, still, put), unfolding(at(table, put)), gains(stated)
        )
        tangent = stated.equation(u, z, theta)
        cases.append((
            tangent.xreplace(put),
            derived.xreplace(put),
            space,
            f"k∈{part(u)}{', ' if words else ''}{words}",
        ))  # fmt: skip
    rule = "stated equations differentiated by θ, hypothesis put in, sums in normal form"
    return page.line(left, derived, rule, u.where, *theta.ranges, cases=cases)


def values(stated: Stated) -> Table:
    """What every quantity of a step is, by the stated equation."""
    return {
        (u.names[e.symbol], part(u)): u.lift(e.expr)
        for u in stated.form.units
        for e in u.local.equations
    }


def tangents(stated: Stated, theta: Learned | None) -> Table:
    """The tangent of every quantity of a step, of net inputs too."""
    found: Table = {}
    for u in stated.form.units:
        for e in u.local.equations:
            found[u.names[e.symbol] + DOT, part(u)] = stated.equation(u, e.symbol, theta)
        for port in u.of_net_input.values():
            own = theta if theta is not None and theta.net_input == port.name else None
            found[str(port.s.label) + DOT, part(u)] = stated.net_input(port, own)
    return found


def at(table: Table, put: dict[Symbol, Expr]) -> Table:
    """A table with what has one value put in."""
    return {name: v.xreplace(put) for name, v in table.items()} if put else table


def supposed(stated: Stated, theta: Learned, still: Still, put: dict[Symbol, Expr]) -> Rewrite:
    """The hypothesis: tangents of states that come in are p."""

    def rewrite(expr: Expr, env: Env) -> Expr | None:
        found = incoming(stated, expr, env)
        if found is None:
            return None
        u, y, place = found
        if (u.names[y], part(u)) in still:
            return sympy.S.Zero
        if y not in carried(u):
            return None
        p: Expr = theta.p(u.mark(y), *place)
        return p.xreplace(put)

    return rewrite


def incoming(
    stated: Stated, expr: Expr, env: Env, now: Expr = tau
) -> tuple[Unit, Symbol, tuple[Expr, Expr]] | None:
    """Which state's tangent this is, if it comes in by a connection or from the step before."""
    if not isinstance(expr, Indexed) or len(expr.indices) != 2:
        return None
    name = str(expr.base.label)
    if not name.endswith(DOT) or (not name.endswith(DOT + DOT) and expr.indices[1] == now):
        return None
    u = stated.units.get(env.get(expr.indices[0], ""))
    if u is None:
        return None
    y = next((y for y in u.local.old if u.names[y] == name.rstrip(DOT)), None)
    return None if y is None else (u, y, tuple(expr.indices))


def unreached(stated: Stated, theta: Learned) -> Still:
    """The states without a p whose tangents are 0: shown by induction, all of them together."""
    still = frozenset(
        (u.names[y], part(u)) for u in stated.form.units for y in u.local.old if y not in carried(u)
    )
    table = values(stated) | tangents(stated, theta)
    while True:
        moved = set()
        for u in stated.form.units:
            for y, z in zip(u.local.old, u.local.new, strict=True):
                if (u.names[y], part(u)) in still:
                    for env, put, _ in cases_of(stated, theta):
                        space = stated.space(
                            {**env, k: part(u)},
                            supposed(stated, theta, still, put),
                            unfolding(at(table, put)),
                            gains(stated),
                        )
                        tangent = stated.equation(u, z, theta).xreplace(put)
                        if not same(tangent, sympy.S.Zero, space):
                            moved.add((u.names[y], part(u)))
        if not moved:
            return still
        still -= moved


def cases_of(stated: Stated, theta: Learned) -> list[Case]:
    """Where i, j and D of a θ may be: every part that its connections or its units have."""
    if not theta.at:
        return [({}, {}, "")]
    if theta.net_input is None:
        assert theta.unit is not None
        return [({i: part(theta.unit)}, {}, f"i∈{part(theta.unit)}")]
    label = stated.form.net_inputs[theta.net_input].label
    targets = [p for p in stated.parts_of(label)]
    sources = [*stated.units, *([INPUT] if stated.form.net.inputs else [])]
    delays: list[str | int] = [""]
    if stated.form.delayed:
        delays = [LATER] if stated.form.soonest else [0, LATER]
    found: list[Case] = []
    for a, b, d in product(targets, sources, delays):
        env = {i: a, j: b}
        words = f"i∈{a}, j∈{b}"
        if d == LATER:
            env[D], words = LATER, words + ", D ≥ 1"
        elif d == 0:
            words += ", D = 0"
        found.append((env, {D: sympy.S.Zero} if d == 0 else {}, words))
    return found
