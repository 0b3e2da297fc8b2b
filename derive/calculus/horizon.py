"""What an algorithm differentiates, over which steps, and where its errors enter.

The same recursions serve all of them:

    epochwise      J^total(t₀,t₁)     steps t₀+1…t₁
    real-time      J(t)               steps t₀+1…t
    BPTT(h;h′)     J^total(t−h′,t)    steps t−h+1…t, not all there were
    hybrid         J^total(t−h,t)     steps t−h+1…t, and what the window starts from
    settling       J at the fixed point
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy
from sympy import Expr, KroneckerDelta, Sum, Symbol

from derive.calculus import indexed as ix
from derive.calculus.indexed import J, Total, collapse, e, h, h2, k, t, t0, t1
from derive.calculus.notation import in_terminal


@dataclass(frozen=True)
class Horizon:
    """The extent of one gradient.

    Attributes
    ----------
    of : Expr
        What is differentiated.
    since, until : Expr
        The first and last time whose error is part of it.
    first, last : Expr
        The first and last step that is gone back through.
    begin : Expr
        The first step there was.
    sensed : bool
        Whether sensitivities account for the steps before the first, so that nothing is lost.
    update : str
        When the weights move, as a rule adds it.
    settling : bool
        Whether there are as many steps as it takes.
    """

    of: Expr
    since: Expr
    until: Expr
    first: Expr
    last: Expr
    begin: Expr = t0 + 1
    sensed: bool = False
    update: str = ""
    settling: bool = False

    @property
    def truncated(self) -> bool:
        """Whether steps there were are left out."""
        return self.first != self.begin and not self.sensed

    @property
    def judged_throughout(self) -> bool:
        """Whether every step that is gone back through has its error injected."""
        return self.since == self.first

    @property
    def errors(self) -> tuple[Expr, Expr]:
        """The limits of a sum over the times whose errors are part of it."""
        return self.since, self.until

    @property
    def steps(self) -> tuple[Expr, Expr]:
        """The limits of a sum over the steps that are gone back through."""
        return self.first, self.last

    @property
    def forward(self) -> str:
        """All steps there were, in words."""
        if self.settling:
            return f"τ ≥ {in_terminal(self.begin)}"
        return f"τ = {in_terminal(self.begin)}…{in_terminal(self.last)}"

    @property
    def backward(self) -> str:
        """The steps that are gone back through, in words."""
        return f"τ = {in_terminal(self.last)}…{in_terminal(self.first)}"

    @property
    def before(self) -> tuple[Expr, Expr]:
        """The earliest and the latest time whose ε another ε gives."""
        return self.first, self.last - 1

    def recursion(self, later: Expr) -> str:
        """The steps τ at which an ε is given by others, whose time is τ − ``later``, in words."""
        earliest, latest = self.before
        return f"τ = {in_terminal(latest + later)}…{in_terminal(earliest + later)}"

    def injected(self, time: Expr, earliest: Expr, latest: Expr) -> Expr:
        """∂of/∂y_k(time) = Σ_τ′ e_k(τ′)·1{τ′=time}, for a time between two that are given.

        The sum collapses onto its one term, if that is a time it runs over: one of those that
        are gone back through.
        """
        total = Sum(e[k, ix.tau2] * KroneckerDelta(ix.tau2, time), (ix.tau2, *self.errors))
        if (latest - self.first).is_negative:
            return sympy.S.Zero
        cases = []
        for inside_always, inside_ever, condition in (
            (earliest - self.since, latest - self.since, sympy.Ge(time, self.since)),
            (self.until - latest, self.until - earliest, sympy.Le(time, self.until)),
        ):
            if inside_ever.is_negative:
                return sympy.S.Zero
            # There is at least one time: the last, whatever the first.
            if not inside_always.is_nonnegative and earliest != self.until:
                cases.append(condition)
        found = collapse(total, ix.tau2)
        return sympy.Piecewise((found, sympy.And(*cases)), (0, True)) if cases else found


EPOCHWISE = Horizon(Total(t0, t1), t0 + 1, t1, t0 + 1, t1)
REALTIME = Horizon(J(t), t, t, t0 + 1, t, update=", at every step")
WINDOW = Horizon(Total(t - h, t), t - h + 1, t, t - h + 1, t, sensed=True, update=", every h steps")
SETTLING = Horizon(Symbol("J"), t, t, t0 + 1, t, update=", once settled", settling=True)


def truncated(several: bool) -> Horizon:
    """BPTT(h), every step for the error of that step; BPTT(h;h′), where h′ is more than one."""
    if several:
        of, since, update = Total(t - h2, t), t - h2 + 1, ", every h′ steps"
    else:
        of, since, update = J(t), t, ", at every step"
    return Horizon(of, since, t, t - h + 1, t, update=update)
