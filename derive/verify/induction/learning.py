"""What the gradient is: by what each step does to θ, or by e and p; windows and what is cut.

With the claim of :mod:`backward` down to the first step of a horizon, ∂(what is judged)/∂θ is the
sum over the steps of g(τ), what θ does directly, and of ε·ẏ over the states that the window starts
from. These are at rest where the window starts at t₀ (epochwise, real-time), are p (the hybrid), or
are held fixed, which is what truncation is.
"""

from __future__ import annotations

import sympy
from sympy import Expr, Sum

from derive.calculus import indexed as ix
from derive.calculus.boundary import LAGS
from derive.calculus.horizon import Horizon
from derive.calculus.indexed import D2, LONGEST, D, k, l, r, tau
from derive.calculus.judging import by_itself
from derive.calculus.learned import Learned
from derive.calculus.sensitivities import carried, minded
from derive.verify.induction.backward import (
    bars,
    heard,
    only,
    own,
    pairing,
)
from derive.verify.induction.forward import (
    Case,
    at,
    cases_of,
    supposed,
    tangents,
    unreached,
    values,
)
from derive.verify.induction.network import DOT, Stated, dot, gains, part, unfolding
from derive.verify.induction.parts import Lemma, Line, Page
from derive.verify.induction.sums import Env, Rewrite


def direct(stated: Stated, theta: Learned) -> Expr:
    """What θ does at step τ, signals before at rest: Σ δ·∂s/∂θ, or Σ ε·∂y/∂θ of the unit."""
    if theta.net_input is not None:
        port = stated.form.net_inputs[theta.net_input]
        term = port.delta[k, tau] * stated.net_input(port, theta, moving="none")
        return Sum(term, (k, *port.domain))
    u = theta.unit
    assert u is not None
    terms = [u.eps(y)[k, tau] * dot(u.names[y])[k, tau] for y in u.local.old]
    return Sum(sympy.Add(*terms), (k, *u.domain))


def by_steps(stated: Stated, theta: Learned, page: Page) -> Lemma:
    """The gradient as a sum over the steps of a window, and of what it starts from."""
    horizon = stated.sheet.horizon
    each, limits, rest = split(stated, theta)
    left = direct(stated, theta)
    moving = {
        name: v for name, v in tangents(stated, theta).items() if not _of_net_input(stated, name[0])
    }
    table = values(stated) | moving | bars(stated, net_inputs=False)
    cases = []
    for env, put, words in _cases(stated, theta):
        rewrites = only(stated, None, None), _at_rest(stated), gains(stated)
        space = stated.space(env, *rewrites, unfolding(at(table, put)))
        cases.append((left.xreplace(put), each.xreplace(put), space, words))
    rule = "g(τ): stated equations differentiated by θ, signals before τ at rest"
    lines = [page.line(left, each, rule, *theta.ranges, cases=cases)]
    wanted = (tau, *horizon.steps)
    if limits != wanted:
        lines[0] = Line(lines[0].step, False, " for the steps it is summed over")
    if horizon.sensed:
        lines += _joined(stated, theta, page, rest)
    elif rest != 0:
        lines.append(page.line(rest, sympy.S.Zero, "nothing else is added",
                               cases=[(rest, sympy.S.Zero, stated.space({}), "")]))  # fmt: skip
    return Lemma(
        f"Gradient by θ = {_text(theta.by)}",
        f"{_text(stated.sheet.step(f'gradient_{theta.name}').left)} is the sum over τ = "
        f"{_text(horizon.first)}…{_text(horizon.last)} of g(τ){_from(horizon)}.",
        "",
        (),
        tuple(lines),
        _so(horizon, theta),
    )


def _cases(stated: Stated, theta: Learned) -> list[Case]:
    """Where the indices of θ may be, and q of a sweep."""
    return [
        ({**env, **place}, put, words)
        for env, put, words in cases_of(stated, theta)
        for place in stated.places
    ]


def _from(horizon: Horizon) -> str:
    if horizon.sensed:
        return ", and of ε·p over what the window starts from"
    return ""


def _so(horizon: Horizon, theta: Learned) -> str:
    by = _text(theta.by)
    if horizon.sensed:
        return f"So it is exact by {by}, for all n, all windows and every h; so is the sum of them."
    if horizon.truncated:
        return (
            f"So it is, for all n, τ and h, the derivative by {by} of what is judged, where the "
            "states that the window starts from are held fixed; what they owe to θ is left out."
        )
    return f"So it is the derivative by {by}, for all n and all T: y(t₀) does not depend on θ."


def _text(expr: Expr) -> str:
    from derive.calculus.notation import in_terminal

    return in_terminal(expr)


def _of_net_input(stated: Stated, name: str) -> bool:
    return name.removesuffix(DOT) in {str(s.s.label) for s in stated.form.net_inputs.values()}


def _at_rest(stated: Stated) -> Rewrite:
    """Net inputs do not move where a parameter of a cell is asked about."""

    def rewrite(expr: Expr, env: Env) -> Expr | None:
        name = str(expr.base.label) if isinstance(expr, sympy.Indexed) else ""
        return sympy.S.Zero if name.endswith(DOT) and _of_net_input(stated, name) else None

    return rewrite


def split(stated: Stated, theta: Learned) -> tuple[Expr, tuple[Expr, ...], Expr]:
    """What each step adds to the derived gradient, over which steps, and what is added besides.

    What J has of θ itself is its partial derivative by θ, and no matter of time.
    """
    total = stated.sheet.right(f"gradient_{theta.name}")
    total -= by_itself(stated.sheet, theta) if stated.seed is None else 0
    each, limits, rest = sympy.S.Zero, (), sympy.S.Zero
    for term in sympy.Add.make_args(total):
        factor, sum_ = term.as_coeff_Mul()
        over = [tuple(v) for v in sum_.limits if v[0] == tau] if isinstance(sum_, Sum) else []
        if not over:
            rest += term
            continue
        others = [v for v in sum_.limits if v[0] != tau]
        limits = over[0]
        each += factor * (Sum(sum_.function, *others) if others else sum_.function)
    return each, limits, rest


def by_sensitivities(stated: Stated, theta: Learned, page: Page) -> Lemma:
    """The gradient as Σ e·p."""
    sheet, form = stated.sheet, stated.form
    last = sheet.horizon.last
    derived = sheet.right(f"gradient_{theta.name}") - by_itself(sheet, theta)
    left = Sum(ix.e[k, last] * dot(form.output)[k, last], (k, *ix.UNITS))
    still = unreached(stated, theta)
    cases = []
    for env, put, words in cases_of(stated, theta):
        space = stated.space(env, supposed(stated, theta, still, put))
        cases.append((left, derived.xreplace(put), space, words))
    rule = "the derivative of J along ẏ, with ẏ = p as proved"
    line = page.line(left, derived, rule, *theta.ranges, cases=cases)
    return Lemma(
        f"Gradient by θ = {_text(theta.by)}",
        f"{_text(sheet.step(f'gradient_{theta.name}').left)} is Σ_k e_k(t)·ẏ_k(t).",
        "", (), (line,),
        f"So it is the derivative by {_text(theta.by)}, for all n and all t; over an epoch the sum "
        "of them is that of J^total.",
    )  # fmt: skip


# --- where windows meet -----------------------------------------------------------------------


def boundary_lemma(stated: Stated, page: Page) -> Lemma:
    """ε of what a window starts from, whose own error belongs to the window before."""
    sheet, horizon = stated.sheet, stated.sheet.horizon
    start, lines = horizon.first - 1, []
    delays = {} if not stated.form.delayed else {"delays": ix.LATER}
    pushed = (own(stated) + heard(stated, **delays)).xreplace({tau: horizon.first})
    rule = "what the window reads of the states it starts from"
    for u in stated.form.units:
        for y in u.local.old:
            if y == u.output or y in carried(u):
                name = u.name(f"boundary{'' if y == u.output else f'({y.name})'}")
                line = pairing(stated, page, u, y, sheet.right(name), pushed, start, rule,
                                now=horizon.first)  # fmt: skip
                lines.append(line)
    if stated.form.reaching_back:
        lines += _further_back(stated, page)
    return Lemma(
        "Where a window begins",
        f"P({_text(horizon.first)}) = Σ ε·ẏ over the states at {_text(start)}, and over those "
        "further back that longer delays bring in.",
        "", (), tuple(lines), "So P is known by ε at the boundary and the tangents there.",
    )  # fmt: skip


def _further_back(stated: Stated, page: Page) -> list[Line]:
    sheet, lines = stated.sheet, []
    at_ = sheet.horizon.first - 1 - r
    pushed = heard(stated, delays=(r + 1, LONGEST)).xreplace({tau: at_ + 1})
    for state in minded(stated.form):
        for units, _ in state.hearing:
            name = f"boundary_earlier{state.told}"
            if len(state.hearing) > 1:
                name += f"/{stated.form.label(units)}"
            right = sheet.right(name).replace(
                lambda v: isinstance(v, Sum),
                lambda v: Sum(v.function, *((D2, *q[1:]) if q[0] == D else q for q in v.limits))
                .xreplace({D: D2}),
            )  # fmt: skip
            for u in units:
                y = next(v for v in u.local.old if u.mark(v) == state.mark)
                rule = "what the window reads r steps before the states it starts from"
                lines.append(pairing(stated, page, u, y, right, pushed, at_, rule))
    return lines


def _joined(stated: Stated, theta: Learned, page: Page, rest: Expr) -> list[Line]:
    """What the derived gradient adds for what the window starts from: ε·ẏ, with ẏ = p."""
    form, start = stated.form, stated.sheet.horizon.first - 1
    wanted = sympy.Add(*(
        Sum(u.eps(y)[l, start] * dot(u.names[y])[l, start], (l, *u.domain))
        for u in form.units for y in u.local.old
    ))  # fmt: skip
    if form.reaching_back:
        earlier = start - r
        for state in minded(form):
            for units, _ in state.hearing:
                eps = ix.signal(f"ε^(∂, {state.mark})" if state.mark else "ε^(∂)")
                for u in units:
                    y = next(v for v in u.local.old if u.mark(v) == state.mark)
                    term = eps[l, earlier] * dot(u.names[y])[l, earlier]
                    wanted += Sum(term, (l, *u.domain), (r, *LAGS))
    still = unreached(stated, theta)
    cases = []
    for env, put, words in _cases(stated, theta):
        space = stated.space(env, supposed(stated, theta, still, put), _unheard(stated))
        cases.append((wanted, rest.xreplace(put), space, words))
    rule = "P at the start of the window, with ẏ = p there"
    return [page.line(wanted, rest, rule, *theta.ranges, cases=cases)]


def _unheard(stated: Stated) -> Rewrite:
    """ε of states that reach no output is 0, and they have no p."""
    names = {
        (str(u.eps(y).label), part(u))
        for u in stated.form.units for y in u.local.old
        if y != u.output and y not in carried(u)
    }  # fmt: skip

    def rewrite(expr: Expr, env: Env) -> Expr | None:
        if not isinstance(expr, sympy.Indexed):
            return None
        here = str(expr.base.label), env.get(expr.indices[0], "")
        return sympy.S.Zero if here in names else None

    return rewrite
