"""The sweeps of the hybrid: p at a window's end, by the same induction with an output as objective.

A sweep's ζ and δ^q are ordered derivatives of one output y_q(last). Their equations are read in
the letters ε and δ, on a sheet of their own that has no error; then the lemmas of
:mod:`backward` and :mod:`learning` are about them. With ẏ = p at the window's start by hypothesis,
what they prove is ẏ_q = p^q at its end: induction over windows.
"""

from __future__ import annotations

from dataclasses import replace

import sympy
from sympy import Expr, Indexed

from derive.calculus import indexed as ix
from derive.calculus.boundary import SEEDED, seeded_name, window_results
from derive.calculus.indexed import q, r2, t0
from derive.calculus.learned import learned
from derive.calculus.notation import in_terminal
from derive.calculus.recursion import eps_name
from derive.calculus.sensitivities import Minded
from derive.calculus.steps import Sheet
from derive.verify.induction.backward import ordered_lemma
from derive.verify.induction.learning import boundary_lemma, by_steps
from derive.verify.induction.network import Stated
from derive.verify.induction.parts import Lemma, Page

LETTERS = {new: old for old, new in SEEDED.items()}
"""What stands for ζ and δ^q of a sweep."""


def _sheet(sheet: Sheet, state: Minded) -> Sheet:
    further = sheet.form.reaching_back and bool(state.hearing)
    last = sheet.horizon.last - (r2 if further else 0)
    # One output at the last time: no error anywhere before it.
    horizon = replace(sheet.horizon, since=last, until=last, last=last)
    found = Sheet(sheet.form, horizon, steps=[*sheet.steps], numbers={**sheet.numbers})

    def take(name: str, seeded: str) -> None:
        right = _unseeded(sheet.right(seeded), state)
        found.steps.append(replace(sheet.step(seeded), right=right, number=len(found.steps) + 1))
        found.numbers[name] = len(found.steps)

    def named(name: str) -> str:
        return f"{seeded_name(name)}[{state.mark}]" if state.mark else seeded_name(name)

    for step in window_results(sheet):
        take(step.name, named(step.name))
    for u in sheet.form.units:
        for y in u.local.old:
            name = u.name(f"{eps_name(u, y)}_last")
            take(name, named(name))
    for theta in learned(sheet.form):
        take(f"gradient_{theta.name}", f"p{state.told}_{theta.name}")
    return found


def _unseeded(expr: Expr, state: Minded) -> Expr:
    """An equation of ζ^q and δ^q in the letters ε and δ."""
    letters: dict[Expr, Expr] = {}
    for v in expr.atoms(Indexed):
        name, of, by = [*str(v.base.label).split("|"), "", ""][:3]
        if name in LETTERS and of == state.mark and v.indices[0] == q and len(v.indices) == 3:
            letter = LETTERS[name] + (f"^({by})" if by else "")
            letters[v] = ix.signal(letter)[v.indices[1:]]
    return expr.xreplace(letters)


def sweep_lemma(sheet: Sheet, state: Minded, page: Page) -> Lemma:
    """That a sweep gives p of one state at a window's end, if p is right at its start."""
    stated = Stated(_sheet(sheet, state), state)
    ordered = ordered_lemma(stated, page)
    parts = [boundary_lemma(stated, page)]
    parts += [by_steps(stated, theta, page) for theta in learned(sheet.form)]
    base = []
    for theta in learned(sheet.form):
        right = sheet.right(f"p{state.told}_start_{theta.name}")
        rule = "the state at t₀ does not depend on θ"
        base.append(page.line(theta.p(state.mark, q, t0), right, rule, state.among("q"),
                              cases=[(right, sympy.S.Zero, stated.space({}), "")]))  # fmt: skip
    of = in_terminal(state.signal[q, stated.sheet.horizon.last])
    return Lemma(
        f"Sensitivities at the end of a window, of {of}",
        f"A sweep back from {of}, with ζ^q for ε and no error, gives its derivative p^q; its "
        "equations are written here in the letters ε and δ.",
        "p is the derivative at the window's start, and before.",
        (*base, *ordered.base),
        (*ordered.step, *(line for v in parts for line in v.step)),
        "So p is the derivative at the start of every window, by induction over windows.",
    )
