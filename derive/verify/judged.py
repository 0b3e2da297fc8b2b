"""J as stated, among numbers, and where it has corners.

It has no derivative of anything: a pool is the sum, or the largest, that it is defined to be. Among
symbols J is written out in :mod:`derive.verify.unrolling`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import sympy
from sympy import Expr, Symbol
from sympy.core.relational import Relational

from derive.functions import relu, step
from derive.network.network import Network
from derive.network.objective import Term
from derive.program.interpret import compiled, numpy_arithmetic

D, Y, W = (Symbol(name, real=True) for name in "dyw")


@dataclass(frozen=True, eq=False)
class StatedObjective:
    """The terms of a network's J(t)."""

    net: Network

    @property
    def terms(self) -> tuple[Term, ...]:
        """The terms, as stated."""
        return self.net.objective.terms

    @cached_property
    def column(self) -> dict[int, int]:
        """The column of target and mask of each unit that has targets."""
        return {k: j for j, k in enumerate(self.net.objective.targets)}

    # --- as numbers ---------------------------------------------------------------------------

    def value(self, outputs: Any, target: Any, mask: Any, theta: Any) -> Any:
        """J^total of outputs (T, n[, lanes]), in extended precision; works on complex numbers."""
        complex_ = np.iscomplexobj(outputs) or np.iscomplexobj(theta)
        kind = np.clongdouble if complex_ else np.longdouble
        total = kind(0) + np.zeros(outputs.shape[2:], kind)
        for part in self._parts(outputs, target, mask, theta, kind):
            total = total + part
        return total

    def _parts(self, outputs: Any, target: Any, mask: Any, theta: Any, kind: Any) -> Iterator[Any]:
        for term in self.terms:
            values, there = self._values(term, outputs, target, mask, theta, kind)
            each = _function(term.expression, values, kind)
            if term.over == "parameters":
                yield len(outputs) * each.sum(axis=0)
                continue
            if there is not None:
                each = np.where(there != 0, there * each, 0)
            shape = (len(outputs), len(term.units_of(self.net.units)), *outputs.shape[2:])
            yield np.broadcast_to(each, shape).sum(axis=(0, 1))

    def _values(
        self, term: Term, outputs: Any, target: Any, mask: Any, theta: Any, kind: Any
    ) -> tuple[dict[Symbol, Any], Any]:
        """The values of a term's symbols, by time and unit or by parameter, and its mask."""
        of_theta = term.over == "parameters"
        places = term.entries(self.net) if of_theta else term.units_of(self.net.units)
        lanes = (1,) * (outputs.ndim - 2)
        shape = (len(places), *lanes) if of_theta else (1, len(places), *lanes)
        values: dict[Symbol, Any] = {
            Symbol(c, real=True): np.reshape(term.values(c, len(places)), shape).astype(kind)
            for c in term.constants
        }
        if of_theta:
            theta = np.asarray(theta)[list(places)]
            wide = theta.reshape(*theta.shape, *(1,) * (1 + len(lanes) - theta.ndim))
            return {**values, W: wide.astype(kind)}, None
        values[Y] = outputs[:, list(places)].astype(kind)
        for pool in term.pools:
            share = _function(term.pooled(pool), values, kind)
            # The largest only shifts: a constant, whatever the outputs are.
            reduced = share.real.max(axis=1, keepdims=True) if pool.kind == "max" else None
            values[pool.symbol] = share.sum(axis=1, keepdims=True) if reduced is None else reduced
        if term.over == "units":
            return values, None
        columns = [self.column[k] for k in places]
        rows = (len(outputs), len(self.column), *lanes)
        there = np.reshape(mask, rows)[:, columns]
        wanted = np.reshape(target, rows)[:, columns]
        values[D] = np.where(there != 0, wanted, 0).astype(kind)
        return values, there.astype(kind)

    # --- corners ------------------------------------------------------------------------------

    @cached_property
    def expressions(self) -> list[Expr]:
        """Everything that is computed for J, but for what only shifts."""
        return [
            e
            for t in self.terms
            for e in (t.expression, *(t.pooled(p) for p in t.pools if p.kind == "sum"))
        ]

    @cached_property
    def has_corners(self) -> bool:
        """Whether J has a corner somewhere."""
        return any(corner_arguments(e) for e in self.expressions)

    def nearest(self, outputs: Any, target: Any, mask: Any, theta: Any) -> float:
        """How near outputs (T, n), targets and parameters come to a corner of J."""
        found = np.inf
        for term in self.terms:
            values, there = self._values(term, outputs, target, mask, theta, np.longdouble)
            shares = [term.pooled(p) for p in term.pools if p.kind == "sum"]
            for e in (term.expression, *shares):
                for argument in corner_arguments(e):
                    distance = np.abs(_function(argument, values, np.longdouble))
                    counts = distance > 0
                    if there is not None and e is term.expression:
                        counts = counts & (there != 0)
                    found = min(found, float(np.min(distance, where=counts, initial=np.inf)))
        return found


def corner_arguments(expr: Expr) -> list[Expr]:
    """What must stay away from 0 in an expression, so that it has a slope."""
    found: list[Expr] = []
    for f in sympy.preorder_traversal(expr):
        if isinstance(f, (sympy.Max, sympy.Min)):
            found += [a - b for i, a in enumerate(f.args) for b in f.args[:i]]
        elif isinstance(f, (relu, step, sympy.Abs, sympy.sign)):
            found.append(f.args[0])
        elif isinstance(f, Relational):
            found.append(f.lhs - f.rhs)
    return sorted(set(found), key=sympy.default_sort_key)


def _function(expr: Expr, values: dict[Symbol, Any], kind: Any) -> Any:
    symbols = tuple(values)
    found = compiled(expr, symbols, numpy_arithmetic(kind))(tuple(values.values()))
    return np.asarray(found) + 0 * next(iter(values.values())) if np.ndim(found) == 0 else found


def operations(net: Network) -> int:
    """Operations on the longest way through J(t) and its errors."""
    longest = 0
    for term in net.objective.terms:
        here = int(term.expression.count_ops())
        if term.over == "parameters":
            here += len(term.entries(net))
        for pool in term.pools:
            share = term.pooled(pool)
            functions = sum(isinstance(e, sympy.Function) for e in sympy.preorder_traversal(share))
            here += 2 * (int(share.count_ops()) + 4 * functions + len(term.units_of(net.units)))
        longest += here
    return longest
