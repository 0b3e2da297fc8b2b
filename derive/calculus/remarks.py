"""What a derivation says besides its equations: what must be kept, and what the letters mean."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from sympy import Expr, Indexed

from derive.calculus import indexed as ix
from derive.calculus.form import Form, Unit
from derive.calculus.indexed import Within, h, h2, k, l, r2, tau
from derive.calculus.judging import said_of_terms
from derive.calculus.learned import learned
from derive.calculus.notation import in_terminal
from derive.calculus.options import Options
from derive.calculus.sensitivities import minded
from derive.calculus.steps import Sheet

SHOWN = 8
"""How many members of a set are listed."""


def kept_for_the_way_back(sheet: Sheet) -> tuple[Expr, ...]:
    """What the backward equations read of the forward pass."""
    kept: dict[Expr, None] = {signal.base[l, tau]: None for signal in sheet.form.heard}
    for port in sheet.form.net_inputs.values():
        own = (v.xreplace({tau: tau + 1}) for v in port.looked_at.values())
        kept.update(dict.fromkeys(v for v in own if v not in _as_sources(sheet)))
    for u in sheet.form.units:
        used = {v for q in u.adjoint.equations for v in q.expr.free_symbols}
        for y, z in zip(u.local.old, u.local.new, strict=True):
            # Others hear an output, so x has it already, unless a target stands in its place.
            if (y != u.output and used & {y, z}) or (u.forced and y == u.output and z in used):
                kept[u.places[z]] = None
        kept.update(dict.fromkeys(u.places[v] for v in u.adjoint.remembered))
    return tuple(kept)


def _as_sources(sheet: Sheet) -> set[Expr]:
    """States at unit k that x has already, so that they need not be kept twice."""
    return {ix.x[k, tau], *(ix.signal(u.names[u.output])[k, tau] for u in sheet.form.units)}


def sensitivities_kept(sheet: Sheet, time: Expr = tau) -> tuple[Expr, ...]:
    """Every p that is carried on, of outputs and other states."""
    form = sheet.form
    return tuple(theta.p(v.mark, k, time) for theta in learned(form) for v in minded(form))


def notes(sheet: Sheet, options: Options) -> tuple[str, ...]:
    """What the letters mean that the equations do not say."""
    settling = sheet.horizon.settling
    targets = "T: the units with a target" if settling else "T(t): the units with a target at t"
    said = [
        f"U: the units; I: the input lines; {targets}; 1{{…}}: Kronecker's delta; ∂⁺: the ordered "
        "derivative.",
        *_of_signals(sheet),
        *_of_delays(sheet),
        *_of_forcing(sheet),
        *said_of_terms(sheet.form),
        *_of_letters(sheet, options),
        *_of_connections(sheet),
    ]
    for u in sheet.form.units:
        said += _of_names(sheet, u)
        if "tau" in [p.name for p in (*u.local.parameters, *u.local.fixed)]:
            said.append("tau_k is a parameter of the cell; τ is time.")
    return tuple(dict.fromkeys(said))


def _of_names(sheet: Sheet, u: Unit) -> list[str]:
    """Which of a cell's names are written otherwise; and of which cell, where that matters."""
    several = {s.name for s in u.local.net_inputs if u.of_net_input[s].label}
    said = []
    for old, new in sorted(u.renamed.items()):
        whose = f"the {old} of cell {u.label}" if old in several else f"the cell's {old}"
        said.append(f"{new} is {whose}.")
    return said


def _of_signals(sheet: Sheet) -> list[str]:
    """What is heard besides outputs."""
    said = []
    for signal in sheet.form.heard:
        if signal.state:
            time = "" if sheet.horizon.settling else "(τ)"
            star = "*" if sheet.horizon.settling else ""
            name = str(signal.base.label).replace("x^", f"x{star}^")
            said.append(f"{name}_l{time} is x{star}_l{time} of an input.")
    return said


def _of_connections(sheet: Sheet) -> list[str]:
    """What connections have of their own, and which are not learnt."""
    form, said = sheet.form, []
    at = form.at(k, l)
    given = _given(form)
    for port in form.net_inputs.values():
        own = [in_terminal(base[at]) for base in port.further.values()]
        if own:
            said.append(
                f"{', '.join(own)}: of the connection from l to k, learnt as its weight is."
            )
        if port.name in given:
            letters = ", ".join([in_terminal(port.w[at]), *own])
            indices = "(k,l,D)" if form.delayed else "(k,l)"
            places = f", for {indices} = {_listed(given[port.name])}" * port.learnt
            said.append(f"{letters}: given, and not learnt{places}.")
    return said


def _given(form: Form) -> dict[str, list[str]]:
    """For each net input where those of its connections are that are not learnt."""
    w, found = form.net.wiring, dict[str, list[str]]()
    for c in np.flatnonzero(~w.learnt).tolist():
        u = form.units[form.net.cell_index[w.target[c]]]
        port = u.of_net_input[u.local.net_inputs[w.port[c]]]
        at = [w.target[c], w.source[c], *([w.delay[c]] if form.delayed else [])]
        found.setdefault(port.name, []).append(f"({','.join(str(int(v)) for v in at)})")
    return found


def _of_delays(sheet: Sheet) -> list[str]:
    form, horizon = sheet.form, sheet.horizon
    if not form.delayed:
        return []
    used = "".join(_labels(sheet))
    nothing = ["w_kl^(D) = 0 where no connection from l to k has delay D"]
    if "δ" in used and not horizon.settling:
        nothing.append(f"δ_l(τ) = 0 for τ > {in_terminal(horizon.last)}")
    if horizon.sensed:
        nothing.append(f"δ^q_l(τ) = 0 for τ > {in_terminal(horizon.last - r2)}")
    if "p" in used and not horizon.settling:
        nothing.append("every p(τ) = 0 for τ ≤ t₀")
    *first, last = nothing
    together = f"{', '.join(first)}, and {last}" if first else last
    letters = {v for step in sheet.steps for v in step.right.free_symbols}
    told = horizon.sensed or ix.LATER[1] in letters
    longest = ["D₁: the longest of them."] * told
    carried = [str(signal.base.label) for signal in form.heard]
    return [
        f"{', '.join(f'{v}_l(τ)' for v in carried)} = 0 for τ < t₀.",
        f"𝒟 = {{{_listed(form.delays)}}}: the delays; {together}.",
        *longest,
    ]


def _of_forcing(sheet: Sheet) -> list[str]:
    if not sheet.form.forced:
        return []
    if sheet.horizon.settling:
        return ["T_k is 1 for k∈T, else 0."]
    return ["T_k(τ) is 1 for k∈T(τ), else 0; nothing has a target at t₀."]


def _of_letters(sheet: Sheet, options: Options) -> list[str]:
    said = []
    letters = {v for step in sheet.steps for v in (step.left + step.right).free_symbols}
    if h in letters:
        value = "" if options.h is None else f" = {options.h}"
        said.append(f"h{value}: how many steps go into one gradient.")
    if sheet.horizon.truncated:
        said.append("A window that would begin before t₀+1 begins there.")
    if h2 in letters:
        said.append(f"h′ = {options.h_prime}: how many steps lie between two gradients.")
    if options.groups is not None:
        groups = [f"{{{_listed(group)}}}" for group in options.groups]
        said.append(f"G(k): the units in one group with k; the groups are {_listed(groups)}.")
    if any(step.left.has(Within) for step in sheet.steps):
        looked_at = sheet.form.forced and any(u.local.gains for u in sheet.form.units)
        further = ", or what connections look at of it" * looked_at
        said.append(f"∂°: the derivative through a unit's own equations of one step{further}.")
    if any("|" in label for label in _labels(sheet)):
        said.append(
            "In parentheses, where the letter alone does not tell: above, of which state or net "
            "input; below, by which, or by whose weight, or by which parameter."
        )
    if sheet.horizon.settling:
        said.append(
            "*: at the fixed point. One step of the relaxation of ε is the transpose of one of y "
            "there, so it converges where that does."
        )
    return said


def _labels(sheet: Sheet) -> set[str]:
    """The names of indexed quantities that stand on some left side, without a cell's own."""
    found = {str(v.base.label) for step in sheet.steps for v in step.left.atoms(Indexed)}
    return {v for v in found if v[0] in "δζ" or v == "p" or "|" in v}


def _listed(members: Iterable[object]) -> str:
    members = list(members)
    return ", ".join(str(v) for v in members[:SHOWN]) + ", …" * (len(members) > SHOWN)
