"""General equations for one network: indices become numbers, sums the connections there are.

Nothing is stated anew. An equation's free indices get each value they can have; sums over units,
sources and delays are written out; the weight of a connection that is not there is zero, and so is
the error of a unit that is never judged, and the sensitivity of a unit that a weight cannot reach.
Time stays a letter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from itertools import product
from typing import Any

import sympy
from sympy import Expr, Indexed, Integer, Sum, Symbol

from derive.calculus import indexed as ix
from derive.calculus.form import Form
from derive.calculus.indexed import GROUP, MEMBER, Carried, Change, Slope
from derive.calculus.learned import Learned, learned
from derive.calculus.notation import is_sensitivity, is_tiered, is_weight
from derive.calculus.steps import Step
from derive.network.network import Network

At = dict[Symbol, Expr]
INDICES = {v.name: v for v in (ix.i, ix.j, ix.k, ix.l, ix.q, ix.a, ix.D, ix.r)}


class Instance:
    """A network's connections, as equations in index form ask for them.

    Parameters
    ----------
    net : Network
    form : Form
        The letters of its derivation.
    groups : tuple of tuple of int, optional
        Groups of units within which sensitivities are kept.
    """

    def __init__(
        self, net: Network, form: Form, groups: tuple[tuple[int, ...], ...] | None = None
    ) -> None:
        self.net, self.form = net, form
        self.group_of = {k: g for g, units in enumerate(groups or ()) for k in units}

    # --- what there is ------------------------------------------------------------------------

    @cached_property
    def connections(self) -> dict[tuple[str, int, int, int], int]:
        """The place of every connection: the letter of its weight, target, source, delay."""
        w, found = self.net.wiring, {}
        for c in range(w.size):
            u = self.form.units[self.net.cell_index[w.target[c]]]
            port = u.of_net_input[u.local.net_inputs[w.port[c]]]
            at = int(w.target[c]), int(w.source[c]), int(w.delay[c])
            for base in (port.w, *port.further.values()):
                found[str(base.label), *at] = c
        return found

    @cached_property
    def judged(self) -> frozenset[int]:
        """The units whose outputs some term of the objective is over."""
        found: set[int] = set()
        for term in self.net.objective.terms:
            if term.over != "parameters":
                found.update(range(self.net.units) if term.units is None else term.units)
        return frozenset(found)

    @cached_property
    def reaches(self) -> dict[int, frozenset[int]]:
        """The units that each unit reaches along connections, itself among them."""
        heard_by: dict[int, set[int]] = {k: set() for k in range(self.net.units)}
        w = self.net.wiring
        for target, source in zip(w.target.tolist(), w.source.tolist(), strict=True):
            if source < self.net.units:
                heard_by[source].add(target)
        return {k: _closure(k, heard_by) for k in heard_by}

    def units(self, label: str) -> list[int]:
        """The units that have one of some cells."""
        wanted = [c for c, u in enumerate(self.form.units) if u.label in label.split(" or ")]
        return [k for k in range(self.net.units) if self.net.cell_index[k] in wanted]

    # --- expressions --------------------------------------------------------------------------

    def __call__(self, expr: Expr, at: At) -> Expr:
        """An expression for given indices."""
        return self._written_out(expr.xreplace(at))

    def _written_out(self, expr: Any) -> Any:
        if isinstance(expr, Sum):
            return self._sum(expr)
        if isinstance(expr, Carried):
            return self._carried(expr)
        if isinstance(expr, Indexed):
            return self._leaf(expr)
        if not expr.args or isinstance(expr, Symbol):
            return expr
        return expr.func(*(self._written_out(v) for v in expr.args))

    def _sum(self, expr: Sum) -> Expr:
        terms, kept = [expr.function], []
        for index, low, high in expr.limits:
            values = self.values(low, high)
            if values is None:
                kept.append((index, low, high))
            else:
                put_in = (v.xreplace({index: Integer(n)}) for v in terms for n in values)
                terms = [v for v in put_in if not self._vanishes(v)]
        total = sympy.Add(*(self._written_out(v) for v in terms))
        return Sum(total, *kept) if kept and total else total

    def _vanishes(self, term: Expr) -> bool:
        """Whether a factor of a term is known to be zero, so that it need not be written out."""
        factors = sympy.Mul.make_args(term)
        return any(v == 0 or (isinstance(v, Indexed) and self._leaf(v) == 0) for v in factors)

    def values(self, low: Expr, high: Expr) -> list[int] | None:
        """What an index ranges over; None for a range in time."""
        match (low, high):
            case ix.UNITS:
                return list(range(self.net.units))
            case ix.SIGNALS:
                return list(range(self.net.units + self.net.inputs))
            case ix.DELAYS | ix.DELAYS_FROM_NOW:
                return list(self.form.delays)
            case ix.LATER:
                return [d for d in self.form.delays if d]
        if high in (ix.LONGEST, ix.LATER[1]) and sympy.sympify(low).is_Integer:
            return [d for d in self.form.delays if d >= low]
        cell = re.fullmatch(r"n\[(.*)\] - 1", str(high))
        return self.units(cell[1]) if cell else None

    def _carried(self, expr: Any) -> Expr:
        """Which entry of theta a connection carries; −1 where there is none."""
        *at, _ = (*map(int, expr.args), 0)
        delay = at[2] if len(at) > 2 else 1
        found = [c for (_, *place), c in self.connections.items() if place == [*at[:2], delay]]
        learnt = [int(self.net.wiring.weight[c]) for c in found if self.net.wiring.learnt[c]]
        return Integer(learnt[0] if learnt else -1)

    def _leaf(self, expr: Any) -> Expr:
        label, at = str(expr.base.label), expr.indices
        zero = sympy.S.Zero
        if is_weight(expr):
            if all(v.is_Integer for v in at):
                target, source, *delay = map(int, at)
                place = label, target, source, delay[0] if delay else 1
                return expr if place in self.connections else zero
            if all(v.is_Integer for v in at[:2]):
                there = any(
                    (label, *map(int, at[:2]), d) in self.connections for d in self.form.delays
                )
                return expr if there else zero
        elif not at[0].is_Integer:
            return expr
        elif expr.base == GROUP:
            return Integer(self.group_of[int(at[0])])
        elif expr.base == MEMBER and int(at[0]) not in self.net.objective.targets:
            return zero
        elif re.fullmatch("[TU][₀-₉]+", label):
            return self._of_term(expr, label)
        elif label == "e" and int(at[0]) not in self.judged:
            return zero
        elif is_tiered(expr) and not self._connected(expr):
            return zero
        return expr

    def _of_term(self, expr: Any, label: str) -> Expr:
        """Whether a unit is among those of a term of the objective."""
        number = int(label[1:].translate(str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")))
        terms = self.net.objective.terms
        units = terms[number - 1].units if number <= len(terms) else None
        inside = units is None or int(expr.indices[0]) in units
        if label[0] == "U" and units is not None:
            return Integer(inside)
        return expr if inside else sympy.S.Zero

    def _connected(self, expr: Any) -> bool:
        """Whether a path leads from where a derivative is by to where it is of."""
        untimed = "*" in str(expr.base.label)
        at = expr.indices if untimed else expr.indices[:-1]
        if len(at) < 2 or not all(v.is_Integer for v in at[:2]):
            return True
        of, by = int(at[0]), int(at[1])
        if is_sensitivity(expr) and self.group_of and self.group_of[of] != self.group_of[by]:
            return False
        return of in self.reaches[by]

    # --- equations ----------------------------------------------------------------------------

    def places(self, step: Step) -> Iterator[At]:
        """The values that an equation's free indices can have.

        Those at which its left side is structurally zero, or by a weight that is not there or
        not learnt, are left out.
        """
        free = [v for v in INDICES.values() if v in step.left.free_symbols]
        theta = self._by(step.left)
        for values in product(*(self._set(step, v) for v in free)):
            at: At = {v: Integer(n) for v, n in zip(free, values, strict=True)}
            if theta is not None and not self._learnt(theta, at):
                continue
            left = step.left.xreplace(at)
            if isinstance(left, Indexed) and self._leaf(left) == 0 and left.base != ix.e:
                continue
            yield at

    def _set(self, step: Step, index: Symbol) -> list[int]:
        """The values of an index, as the ranges of the equation say."""
        for text in step.ranges:
            head, _, label = text.partition(" with cell ")
            name, _, among = head.partition("∈")
            if name == index.name:
                if label:
                    return self.units(label)
                if among == "I":
                    return list(range(self.net.units, self.net.units + self.net.inputs))
                return self.values(*{"U": ix.UNITS, "U∪I": ix.SIGNALS}.get(among, ix.DELAYS)) or []
        if index == ix.a:
            return self._shared
        if index == ix.D:
            return list(self.form.delays)
        if index == ix.r:  # how many steps before the window
            return list(range(1, max(self.form.delays)))
        return list(range(self.net.units + self.net.inputs * (index == ix.j)))

    @cached_property
    def _shared(self) -> list[int]:
        """Entries of theta that several connections carry."""
        w = self.net.wiring
        carried = w.weight[w.learnt].tolist()
        return sorted({v for v in carried if carried.count(v) > 1})

    def _learnt(self, theta: Learned, at: At) -> bool:
        """Whether a learnt quantity is there for some indices."""
        if theta.net_input is None:
            u = theta.unit
            unit = at.get(ix.i)
            return unit is None or u is None or not u.label or int(unit) in self.units(u.label)
        by = theta.by.xreplace(at)
        if not all(v.is_Integer for v in by.indices):
            return True
        target, source, *delay = map(int, by.indices)
        lag = delay[0] if delay else 1
        c = self.connections.get((str(by.base.label), target, source, lag))
        return c is not None and bool(self.net.wiring.learnt[c])

    def _by(self, left: Expr) -> Learned | None:
        """The learnt quantity that a left side is by."""
        if isinstance(left, (Slope, Change)):
            return next((v for v in learned(self.form) if v.by == left.args[-1]), None)
        if isinstance(left, Indexed) and is_sensitivity(left):
            return next((v for v in learned(self.form) if _same(v, left)), None)
        return None


def _same(theta: Learned, left: Any) -> bool:
    """Whether a sensitivity is by a learnt quantity: what it is by stands behind the second bar."""

    def by(label: str) -> str:
        return label.split("|")[2] if "|" in label else ""

    p = theta.p("", ix.k, ix.tau)
    marks = by(str(left.base.label)), by(str(p.base.label))
    untimed = "*" in str(left.base.label)
    return marks[0] == marks[1] and len(left.indices) + untimed == len(p.indices)


def _closure(start: int, edges: dict[int, set[int]]) -> frozenset[int]:
    found, todo = {start}, [start]
    while todo:
        for k in edges[todo.pop()] - found:
            found.add(k)
            todo.append(k)
    return frozenset(found)
