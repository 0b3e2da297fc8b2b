"""What is stated of a network, in index form, and its tangent: a derivative along a direction.

Nothing here is derived by the calculus. The tangent of an equation is found by giving every
quantity q in it a direction, q + θ·q̇, and differentiating by θ at 0. In a sum over U∪I that is
done for each part of the range: units of each cell, whose signal is what the cell states, and
input lines, whose signal is given and does not move.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sympy
from sympy import Expr, Indexed, IndexedBase, KroneckerDelta, Sum, Symbol

from derive.calculus import indexed as ix
from derive.calculus.form import Form, NetInput, Unit, weighted_sum
from derive.calculus.indexed import D2, Slope, Within, k, l, tau
from derive.calculus.learned import Learned
from derive.calculus.sensitivities import Minded
from derive.calculus.steps import Sheet
from derive.functions import convention
from derive.verify.induction.sums import Env, Rewrite, Space

INPUT, LATER = "I", "later"
THETA = Symbol("θ", real=True)
"""Along which everything is differentiated."""
DOT = "\u0307"
"""Ends the name of a tangent; no identifier has it."""

Table = dict[tuple[str, str], Expr]
"""By the name of a signal and the part its unit is of: what stands for it at unit k and time τ."""


def dot(base: IndexedBase | str) -> IndexedBase:
    """The tangent of a signal."""
    return ix.signal(str(getattr(base, "label", base)) + DOT)


def as_heard(base: IndexedBase | str) -> IndexedBase:
    """The tangent of a signal as it comes in by a connection or from the step before.

    Told from the tangent that the unit's own equation gives, since a connection of delay 0 brings
    another unit's of the same step.
    """
    return ix.signal(str(getattr(base, "label", base)) + DOT + DOT)


def part(u: Unit) -> str:
    """The name of the units that have one cell, as a part of a range."""
    return f"U[{u.label}]" if u.label else "U"


@dataclass(frozen=True, eq=False)
class Stated:
    """The stated equations of a network, from the sheet its derivation is written on.

    ``seed`` is the state of unit q that takes the objective's place, in a sweep of the hybrid.
    """

    sheet: Sheet
    seed: Minded | None = None

    @property
    def places(self) -> list[dict[Symbol, str]]:
        """Where q may be: in each cell that has the state."""
        return [{}] if self.seed is None else [{ix.q: part(u)} for u in self.seed.units]

    def error_at_last(self, u: Unit, y: Symbol) -> Expr:
        """What is judged, differentiated by a state of unit k at the last time."""
        if self.seed is not None:
            own: Expr = KroneckerDelta(k, ix.q)
            return own if u.mark(y) == self.seed.mark else sympy.S.Zero
        return ix.e[k, self.sheet.horizon.last] if y == u.output else sympy.S.Zero

    @property
    def form(self) -> Form:
        """The network in index form."""
        return self.sheet.form

    @cached_property
    def units(self) -> dict[str, Unit]:
        """The distinct cells, by their part of the units."""
        return {part(u): u for u in self.form.units}

    def parts_of(self, label: str) -> tuple[str, ...]:
        """The parts of the units that have one of some cells, by how a range names these."""
        chosen = [p for p, u in self.units.items() if not label or u.label in label.split(" or ")]
        return tuple(chosen)

    @cached_property
    def ranges(self) -> dict[tuple[Any, Any], tuple[str | int, ...]]:
        """Every range of the calculus by its parts."""
        every = tuple(self.units)
        found: dict[tuple[Any, Any], tuple[str | int, ...]] = {
            ix.UNITS: every,
            ix.SIGNALS: (*every, INPUT),
            ix.LATER: (LATER,),
            ix.DELAYS: (LATER,),
            ix.DELAYS_FROM_NOW: (0, LATER),
        }
        labels = {u.label for u in self.form.units} | {
            s.label for s in self.form.net_inputs.values()
        }
        for step in self.sheet.steps:
            for total in step.right.atoms(Sum):
                for _, _, high in total.limits:
                    if cell := re.fullmatch(r"n\[(.*)\] - 1", str(high)):
                        labels.add(cell[1])
        found |= {ix.cell_domain(v): self.parts_of(v) for v in labels if v}
        return found

    def space(self, free: Mapping[Symbol, str], *rewrites: Rewrite) -> Space:
        """How sums are read, with signals at sources as they are stated."""

        def rewrite(expr: Expr, env: Env) -> Expr | None:
            for one in (self.at_source, member, *rewrites):
                if (found := one(expr, env)) is not None:
                    return found
            return None

        return Space(self.ranges, frozenset({*self.units, INPUT}), free, rewrite)

    # --- signals ------------------------------------------------------------------------------

    def at_source(self, expr: Expr, env: Env) -> Expr | None:
        """What others hear of a unit, as its cell states it; of an input line it stays."""
        if not isinstance(expr, Indexed) or len(expr.indices) != 2:
            return None
        u = self.units.get(env.get(expr.indices[0], ""))
        name = str(expr.base.label)
        moved = name.endswith(DOT)
        if name.endswith(DOT + DOT):
            return None
        name = name.removesuffix(DOT)
        if moved and env.get(expr.indices[0]) == INPUT:
            return sympy.S.Zero  # inputs are given
        if u is None:
            return None
        if name == "ŷ" or (expr.base == self.form.output and not moved):
            return self._own(u, u.output, expr, moved)
        for heard in self.form.heard:
            if name == str(heard.base.label):
                y = heard.state_of(u)
                if y is None:
                    return sympy.S.Zero  # no connection carries a state that a unit has not
                forced = self.form.forced and y == u.output
                return self._own(u, y, expr, moved, forced)
        return None

    def _own(self, u: Unit, y: Symbol, at: Any, moved: bool, forced: bool = False) -> Expr | None:
        """A unit's state, or what it is heard as; nothing where that is how it is written."""
        base = ix.signal(u.names[y])
        state = base[at.indices]
        if forced:
            t = ix.MEMBER[at.indices]
            heard = t * ix.d[at.indices] + (1 - t) * state
            if moved:  # differentiated, not known
                along = heard.xreplace({state: state + THETA * as_heard(base)[at.indices]})
                return sympy.diff(along, THETA)
            return heard
        found = as_heard(base)[at.indices] if moved else state
        return None if found == at else found

    # --- tangents -----------------------------------------------------------------------------

    def net_input(self, port: NetInput, theta: Learned | None = None, moving: str = "all") -> Expr:
        """The tangent of s_k(τ), from the sum over connections as stated.

        With ``theta`` its weight, or another parameter of its connections, has the direction
        1{k=i}·1{l=j}. ``moving`` says which signals move: ``"all"``, what is ``"heard"``, the
        ``"own"`` states that connections look at, or ``"none"``.
        """
        # The delay is D′ here: D is that of the weight θ.
        total = weighted_sum(self.form, port, k, tau, l, D2)
        own = set(port.looked_at.values())
        chosen = {
            v
            for v in total.atoms(Indexed)
            if moving == "all"
            or (moving == "own" and v in own)
            or (moving == "heard" and v.base == port.heard.base and v not in own)
        }
        return self._along(total, theta if theta and theta.net_input else None, chosen)

    def equation(self, u: Unit, v: Symbol, theta: Learned | None = None) -> Expr:
        """The tangent of one of a cell's equations at unit k and time τ."""
        stated = u.lift(next(e.expr for e in u.local.equations if e.symbol == v))
        mine = theta is not None and theta.unit is u
        return self._along(stated, theta if mine else None, stated.atoms(Indexed))

    def along(self, expr: Expr, moving: Iterable[Expr]) -> Expr:
        """The derivative of an expression along tangents of what moves in it."""
        return self._along(expr, None, moving)

    def _along(self, expr: Expr, theta: Learned | None, moving: Iterable[Expr]) -> Expr:
        moved: dict[Expr, Expr] = {
            v: v + THETA * dot(v.base)[v.indices] for v in moving if not self._is_given(v)
        }
        if theta is not None and theta.at:
            for v in expr.atoms(Indexed):
                if v.base == theta.by.base:
                    same = [KroneckerDelta(a, b) for a, b in zip(v.indices, theta.at, strict=True)]
                    moved[v] = v + THETA * sympy.Mul(*same)
        elif theta is not None:
            moved[theta.by] = theta.by + THETA
        return convention(sympy.diff(expr.xreplace(moved), THETA).subs(THETA, 0))

    def _is_given(self, v: Any) -> bool:
        """Weights, parameters, targets and memberships do not move by themselves."""
        weights = {s.w for s in self.form.net_inputs.values()}
        weights |= {b for s in self.form.net_inputs.values() for b in s.further.values()}
        parameters = {
            u.names[p] for u in self.form.units for p in (*u.local.parameters, *u.local.fixed)
        }
        return (
            v.base in weights
            or v.base in (ix.d, ix.MEMBER)
            or (len(v.indices) == 1 and str(v.base.label) in parameters)
        )


SINCE = sympy.Function("since")
"""1 where its argument is not negative, else 0."""


def member(expr: Expr, env: Env) -> Expr | None:
    """Cases by a membership, which is 1 or 0, as a product with it."""
    if isinstance(expr, sympy.Piecewise) and len(expr.args) == 2:
        (value, condition), (other, always) = expr.args
        if other == 0 and always == sympy.true:
            if isinstance(condition, sympy.Eq) and condition.rhs == 1:
                of = condition.lhs
                return of * value if isinstance(of, Indexed) and of.base == ix.MEMBER else None
            if isinstance(condition, (sympy.Ge, sympy.Le)):
                since = condition.gts - condition.lts
                return SINCE(sympy.expand(since)) * value
    if expr.is_Pow and isinstance(expr.base, Indexed) and expr.base.base == ix.MEMBER:
        return expr.base if expr.exp.is_Integer and expr.exp > 1 else None
    return None


def without_cases(expr: Expr) -> Expr:
    """Cases by a membership or a time as products: a sum would take the whole of it into each."""
    return expr.replace(
        lambda v: isinstance(v, sympy.Piecewise),
        lambda v: found if (found := member(v, {})) is not None else v,
    )


def unfolding(table: Table, now: Expr = tau) -> Rewrite:
    """What puts in for a signal, at the time ``now``, what a table has for it at τ."""

    def rewrite(expr: Expr, env: Env) -> Expr | None:
        if not isinstance(expr, Indexed) or len(expr.indices) != 2 or expr.indices[1] != now:
            return None
        unit = expr.indices[0]
        found = table.get((str(expr.base.label), env.get(unit, "")))
        return None if found is None else at_unit(found, unit, now)

    return rewrite


def at_unit(expr: Expr, unit: Expr, time: Expr = tau) -> Expr:
    """An equation of unit k at time τ for another unit and time; its sums get letters apart."""
    bound = {i for total in expr.atoms(Sum) for i, *_ in total.limits}
    apart = {v: sympy.Dummy(v.name, integer=True) for v in bound}
    return expr.xreplace(apart).xreplace({k: unit, tau: time})


def gains(stated: Stated) -> Rewrite:
    """Slopes of net inputs by what their connections look at, as found."""
    sheet = stated.sheet
    found = {
        (part(u), u.slope(p).args[0].base, u.slope(p).args[1].base): sheet.steps[
            sheet.numbers[u, p.of, p.by] - 1
        ].right
        for u in stated.form.units
        for p in u.local.partials
        if p.found in u.local.gains and (u, p.of, p.by) in sheet.numbers
    }

    def rewrite(expr: Expr, env: Env) -> Expr | None:
        if not isinstance(expr, (Slope, Within)):
            return None
        of, by = expr.args
        if not (isinstance(of, Indexed) and isinstance(by, Indexed)):
            return None
        right = found.get((env.get(of.indices[0], ""), of.base, by.base))
        return None if right is None else at_unit(right, *of.indices)

    return rewrite
