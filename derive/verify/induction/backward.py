"""ε and δ are ordered derivatives: induction backward over the steps.

Let ẏ be any tangent: what the stated equations make of an arbitrary direction, of the states that
a window starts from and of what is learned. With g(τ) for what θ does directly at step τ, and P(τ)
for what steps from τ on read of the time before, each times the ordered derivative of what reads
it, the claim is

    Σ_{σ=τ…last} Σ_k e_k(σ)·ẏ_k(σ) = Σ_{σ=τ…last} g(σ) + P(τ)        for every τ and every tangent.

At the last step ε is the error. The step from τ to τ−1 takes from P what reads the states of τ−1:
by the recursion of ε this and the error of τ−1 are Σ_k ε_k(τ−1)·ẏ_k(τ−1), and within the units, by
the equations of δ, Σ_k δ_k·ṡ_k + g, which the connections carry to earlier times again.
"""

from __future__ import annotations

from typing import Any

import sympy
from sympy import Expr, Indexed, Sum, Symbol

from derive.calculus import indexed as ix
from derive.calculus.adjoint import bar
from derive.calculus.form import Unit
from derive.calculus.horizon import Horizon
from derive.calculus.indexed import D2, k, tau
from derive.calculus.recursion import eps_name
from derive.verify.induction.forward import incoming, tangents, values
from derive.verify.induction.network import (
    DOT,
    SINCE,
    Stated,
    Table,
    dot,
    gains,
    part,
    unfolding,
    without_cases,
)
from derive.verify.induction.parts import Lemma, Line, Page
from derive.verify.induction.sums import Env, Rewrite

V = ix.signal("v")
"""An arbitrary tangent of the states that are asked about."""

AS_STATED: Any = None
"""Delays over all there are."""


def errors_lemma(stated: Stated, page: Page) -> Lemma:
    """e is the derivative of J by the outputs, whatever their tangent."""
    sheet, form = stated.sheet, stated.form
    objective, e = sheet.right("J"), sheet.right("e")
    outputs = {v for v in objective.atoms(Indexed) if v.base == form.output}
    left = stated.along(objective, outputs)
    right = Sum(without_cases(e) * dot(form.output)[k, ix.t], (k, *ix.UNITS))
    line = page.line(
        left, right, "stated objective differentiated along ẏ",
        cases=[(left, right, stated.space({}), "")],
    )  # fmt: skip
    claim = "The derivative of J(t) along any tangent is Σ_k e_k(t)·ẏ_k(t)."
    return Lemma("The error", claim, "", (), (line,), "So e_k(t) = ∂J(t)/∂y_k(t), for all n.")


def ordered_lemma(stated: Stated, page: Page) -> Lemma:
    """The claim of this module, for the horizon of an algorithm."""
    horizon = stated.sheet.horizon
    base = [_last(stated, page, u, y) for u in stated.form.units for y in u.local.old]
    step = [_within(stated, page, u) for u in stated.form.units]
    step += [_before(stated, page, u, y) for u in stated.form.units for y in u.local.old]
    last = _written(horizon.last)
    return Lemma(
        "Ordered derivatives ε and δ",
        f"Σ_{{σ=τ…{last}}} Σ_k e_k(σ)·ẏ_k(σ) = Σ_{{σ=τ…{last}}} g(σ) + P(τ) for every tangent ẏ "
        "and every τ of the window, where only errors that count are summed; v is an arbitrary "
        "tangent of the states named, the others at rest.",
        f"It holds from τ on; every ε and δ after {last} is 0.",
        tuple(base),
        tuple(step),
        "So the derivative of what follows τ along any tangent of the states at τ is Σ_k "
        "ε_k(τ)·v_k, for all n and all τ.",
    )


def _written(expr: Expr) -> str:
    from derive.calculus.notation import in_terminal

    return in_terminal(expr)


# --- the parts of the claim ----------------------------------------------------------------------


def _last(stated: Stated, page: Page, u: Unit, y: Symbol) -> Line:
    """ε of the last step: its error, and what hears it in the same step."""
    last = stated.sheet.horizon.last
    right = stated.sheet.right(u.name(eps_name(u, y) + "_last"))
    error = stated.error_at_last(u, y)
    pushed = heard(stated, delays=0).xreplace({tau: last + 1})
    return pairing(
        stated,
        page,
        u,
        y,
        without_cases(right) - error,
        pushed,
        last,
        "nothing follows the last step",
        error=error,
    )


def _before(stated: Stated, page: Page, u: Unit, y: Symbol) -> Line:
    """ε one step earlier: its error, and what the step and its connections read of it."""
    right = stated.sheet.right(u.name(eps_name(u, y)))
    if stated.form.delayed:  # stated for τ, read here one step earlier
        right = right.xreplace({tau: tau - 1})
    error = injected(stated.sheet.horizon, tau - 1) if y == u.output else sympy.S.Zero
    pushed = own(stated) + heard(stated)
    rule = "what reads the state, from the stated equations; sums exchanged"
    return pairing(
        stated, page, u, y, without_cases(right) - error, pushed, tau - 1, rule, error=error
    )


def pairing(
    stated: Stated, page: Page, u: Unit, y: Symbol, brought: Expr, pushed: Expr, time: Expr,
    rule: str, now: Expr = tau,
    error: Expr = sympy.S.Zero,
) -> Line:  # fmt: skip
    """Σ_k (ε_k − error)·v_k is what the tangent v of one state adds to what follows."""
    left = Sum(without_cases(brought) * V[k, time], (k, *u.domain))
    table = values(stated) | tangents(stated, None) | bars(stated, net_inputs=False)
    cases = []
    for free in stated.places:
        rewrites = only(stated, u, y, now), unfolding(table, now), gains(stated)
        cases.append((left, pushed, stated.space(free, *rewrites), ""))
    return page.line(*shown(stated, u, y, brought, pushed, time, error), rule, cases=cases)


def shown(
    stated: Stated, u: Unit, y: Symbol, brought: Expr, pushed: Expr, time: Expr, error: Expr
) -> tuple[Expr, Expr]:
    """The two sides as they are written, with the error on both: what moves is v, nothing else."""
    moved: dict[Expr, Expr] = {}
    carriers = {str(h.base.label) for h in stated.form.heard if h.carries(u, y)} | {u.names[y]}
    inner = {u.names[v] for u in stated.form.units for v in u.local.inner}
    for v in pushed.atoms(Indexed):
        name = str(v.base.label)
        if name.endswith(DOT) and name.rstrip(DOT) in carriers:
            moved[v] = V[v.indices]
        elif name.endswith(DOT) and name.rstrip(DOT) not in inner:
            moved[v] = sympy.S.Zero
    seen = pushed.xreplace(moved).replace(
        lambda v: isinstance(v, Sum) and v.function == 0, lambda v: sympy.S.Zero
    )
    sides = (Sum(part * V[k, time], (k, *u.domain)) for part in (brought + error, error))
    left, own_error = (v if v.function != 0 else sympy.S.Zero for v in sides)
    return left, own_error + seen


def _within(stated: Stated, page: Page, u: Unit) -> Line:
    """Σ ε·ẏ of a unit is Σ δ·ṡ, where old states and parameters are at rest."""
    eps = [u.eps(y)[k, tau] * dot(u.names[y])[k, tau] for y in u.local.old]
    delta = [port.delta[k, tau] * dot(port.s)[k, tau] for port in u.of_net_input.values()]
    moving = {
        name: v for name, v in tangents(stated, None).items() if not _is_net_input(stated, name)
    }
    table = values(stated) | moving | bars(stated)
    space = stated.space({k: part(u)}, only(stated, None, None), unfolding(table), gains(stated))
    left, right = sympy.Add(*eps), sympy.Add(*delta)
    return page.line(
        left, right, "stated equations of the unit differentiated; δ put in", u.where,
        cases=[(left, right, space, "")],
    )  # fmt: skip


def _is_net_input(stated: Stated, key: tuple[str, str]) -> bool:
    return key[0].removesuffix(DOT) in {str(s.s.label) for s in stated.form.net_inputs.values()}


def injected(horizon: Horizon, time: Expr) -> Expr:
    """The error that counts at a time before the last: from the definition of what is summed."""
    if horizon.since == horizon.first:
        return ix.e[k, time]
    if horizon.since == horizon.until:
        return sympy.S.Zero
    return SINCE(sympy.expand(time - horizon.since)) * ix.e[k, time]


# --- what reads a state, from the stated equations --------------------------------------------


def own(stated: Stated) -> Expr:
    """Σ ε·ẏ + Σ δ·ṡ at τ, of what units read of their own states of the step before."""
    found = []
    for u in stated.form.units:
        eps = sympy.Add(*(
            u.eps(y)[k, tau] * stated.equation(u, z)
            for y, z in zip(u.local.old, u.local.new, strict=True)
        ))  # fmt: skip
        found.append(Sum(eps, (k, *u.domain)))
    for port in stated.form.net_inputs.values():
        if port.looked_at:
            term = port.delta[k, tau] * stated.net_input(port, moving="own")
            found.append(Sum(term, (k, *port.domain)))
    return sympy.Add(*found)


def heard(stated: Stated, delays: Any = AS_STATED) -> Expr:
    """Σ δ·ṡ over the net inputs that hear what there is at τ−1, whenever they do.

    ``delays`` limits them, to one value or a range.
    """
    form = stated.form
    if not form.delayed and delays == 0:
        return sympy.S.Zero
    found = []
    for port in form.net_inputs.values():
        if delays == 0 and not port.at_once:
            continue  # no connection of it is heard in the same step
        total = stated.net_input(port, moving="heard")
        if not isinstance(total, Sum):
            continue
        term, limits = port.delta[k, tau] * total.function, list(total.limits)
        if form.delayed:
            # At the time that hears τ−1 with this delay.
            term = term.xreplace({tau: tau - 1 + D2})
            if delays == 0:
                term, limits = term.xreplace({D2: sympy.S.Zero}), limits[:1]
            elif delays is not AS_STATED:
                limits[1] = sympy.Tuple(D2, *delays)
        found.append(Sum(term, *limits, (k, *port.domain)))
    return sympy.Add(*found)


def only(stated: Stated, u: Unit | None, y: Symbol | None, now: Expr = tau) -> Rewrite:
    """Tangents that come in are v for one state, and 0 for the others."""

    def rewrite(expr: Expr, env: Env) -> Expr | None:
        found = incoming(stated, expr, env, now)
        if found is None:
            return None
        of, state, place = found
        return V[place] if of is u and state == y else sympy.S.Zero

    def net_inputs_at_rest(expr: Expr, env: Env) -> Expr | None:
        if (
            u is not None
            and isinstance(expr, Indexed)
            and _is_net_input(stated, (str(expr.base.label), ""))
        ):
            if str(expr.base.label).endswith(DOT):
                return sympy.S.Zero
        return rewrite(expr, env)

    return net_inputs_at_rest


# --- what is derived --------------------------------------------------------------------------


def bars(stated: Stated, net_inputs: bool = True) -> Table:
    """The derived ordered derivatives of what a unit computes on the way, and δ."""
    sheet, found = stated.sheet, Table()
    for u in stated.form.units:
        for v in u.local.inner:
            if bar(v) in u.bars:
                right = sheet.right(u.name(f"eps({v.name})"))
                found[str(u.places[bar(v)].base.label), part(u)] = right
        for port in u.of_net_input.values() if net_inputs else ():
            right = sheet.right(u.name(f"delta{stated.form.mark(port.name)}"))
            found[str(port.delta.label), part(u)] = right
    return found
