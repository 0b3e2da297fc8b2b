"""Teacher forcing: an output that has a target goes on as its target, once its error is taken.

What others hear, and what the unit itself goes on from, is

    x_k(τ) = T_k(τ)·d_k(τ) + (1 − T_k(τ))·y_k(τ), with T_k(τ) = 1 for k∈T(τ), else 0

(Williams & Zipser 1989). Its slope by y_k(τ) stands wherever a derivative crosses from one step to
another: nothing flows through a forced output.
"""

from __future__ import annotations

import sympy
from sympy import Expr

from derive.calculus import indexed as ix
from derive.calculus.form import Form
from derive.calculus.indexed import Slope, k, tau
from derive.calculus.steps import Sheet


def heard(unforced: Expr, forced: bool) -> Expr:
    """x_k(τ), for an output of unit k at time τ."""
    if not forced:
        return unforced
    member = ix.MEMBER[k, tau]
    return member * ix.d[k, tau] + (1 - member) * unforced


def differentiate_forcing(sheet: Sheet) -> None:
    """Write ∂x/∂y, where outputs are forced."""
    form = sheet.form
    if form.forced:
        left = Slope(ix.x[k, tau], form.output[k, tau])
        found = heard(form.output[k, tau], True).diff(form.output[k, tau])
        sheet.add("dx_dy", left, found, f"derivative of ({sheet.numbers['x']})", "k∈U")


def passed(form: Form, unit: Expr, time: Expr) -> tuple[Expr, Expr]:
    """∂x/∂y of a unit at a time, by name and as found; 1 where nothing is forced."""
    if not form.forced:
        return sympy.S.One, sympy.S.One
    at = {k: unit, tau: time}
    output = form.output[k, tau]
    found = heard(output, True).diff(output)
    return Slope(ix.x[k, tau], output).xreplace(at), found.xreplace(at)


def unforced_at_start(form: Form, expr: Expr) -> Expr:
    """An expression at t₀, where there is no target yet and an output is heard as it is."""
    if not form.forced:
        return expr
    return expr.xreplace({ix.MEMBER[k, ix.t0]: sympy.S.Zero})
