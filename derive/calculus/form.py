"""A network in index form: each distinct cell at unit k and time τ, and its connections."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import sympy
from sympy import Expr, IndexedBase, Sum, Symbol

from derive.calculus import indexed as ix
from derive.calculus.adjoint import CellAdjoint, bar, cell_adjoint
from derive.calculus.indexed import D, cell_domain, k, signal, tau, w, x
from derive.calculus.partials import SOURCE, LocalSystem, local_system
from derive.calculus.synapses import WEIGHT, synapse
from derive.calculus.tangent import CellTangent, cell_tangent
from derive.network.cell import Cell
from derive.network.network import Network

OWN = frozenset({"w", "x", "d", "e", "J", "T"})
"""Letters with a meaning of their own: a cell's quantity of that name is written with a prime."""
BARE = OWN | frozenset("ijklmntDaUI")
"""The same for a quantity without indices."""
WITH_INDICES = frozenset("pG")
"""Of the letters that only some algorithms use, those that carry indices."""
UNFORCED = "ŷ"
"""Outputs before forcing, where cells call them differently; no identifier has this letter."""


@dataclass(frozen=True, eq=False)
class Unit:
    """One distinct cell in index form."""

    label: str  # empty when all units have this cell
    cell: Cell
    local: LocalSystem
    adjoint: CellAdjoint
    names: dict[Symbol, str]
    shared: frozenset[Symbol]
    of_net_input: dict[Symbol, tuple[IndexedBase, IndexedBase, IndexedBase]]
    forced: bool = False

    @property
    def output(self) -> Symbol:
        """The old value of the state that others see."""
        return self.local.old[self.local.output]

    @cached_property
    def tangent(self) -> CellTangent:
        """The slopes of its next states, and which states' sensitivities are needed."""
        return cell_tangent(self.local)

    @cached_property
    def renamed(self) -> dict[str, str]:
        """The cell's names that are written otherwise here."""
        own = {v.name: name for v, name in self.names.items() if v not in self.local.new}
        return {old: new for old, new in own.items() if old != new}

    @cached_property
    def bars(self) -> frozenset[Symbol]:
        """The symbols of the ordered derivatives that are not structurally zero."""
        return frozenset({*self.adjoint.eps, *(q.symbol for q in self.adjoint.equations)})

    def backward(self, v: Symbol) -> Expr:
        """What the calculus found for ∂⁺J/∂v through this step, in the cell's symbols."""
        found = (q.expr for q in self.adjoint.equations if q.symbol == bar(v))
        return next(found, sympy.S.Zero)

    @property
    def where(self) -> str:
        """Which units k the cell's equations hold for."""
        return self.among("k")

    def among(self, unit: str) -> str:
        """Which units the cell's equations hold for, with another letter for the unit."""
        return f"{unit} with cell {self.label}" if self.label else f"{unit}∈U"

    @property
    def domain(self) -> tuple[Any, Any]:
        """The range of an index over the units with this cell."""
        return cell_domain(self.label) if self.label else ix.UNITS

    def name(self, plain: str) -> str:
        """The name of a step of this cell."""
        return f"{plain}/{self.label}" if self.label else plain

    def mark(self, state: Symbol) -> str:
        """Tells states apart where the letter alone does not: nothing for the output."""
        return "" if state == self.output else self.names[state]

    def eps(self, state: Symbol) -> IndexedBase:
        """ε of a state, given by its old symbol."""
        mark = self.mark(state)
        return signal(f"ε^({mark})" if mark else "ε")

    @cached_property
    def places(self) -> dict[Symbol, Expr]:
        """Each of the cell's symbols, and each bar symbol, at unit k and time τ."""
        at: dict[Symbol, Expr] = {}
        for y, z in zip(self.local.old, self.local.new, strict=True):
            base = signal(self.names[y])
            at[y], at[z], at[bar(z)] = base[k, tau - 1], base[k, tau], self.eps(y)[k, tau]
        if self.forced:  # the unit itself goes on from what it was forced to
            at[self.output] = x[k, tau - 1]
        for v in self.local.inner:
            name = self.names[v]
            at[v], at[bar(v)] = signal(name)[k, tau], signal(f"ε^({name})")[k, tau]
        for s, (base, _, delta) in self.of_net_input.items():
            at[s], at[bar(s)] = base[k, tau], delta[k, tau]
        for p in (*self.local.parameters, *self.local.fixed):
            name = self.names[p]
            at[p] = Symbol(name, real=True) if p in self.shared else signal(name)[k]
        return at

    def lift(self, expr: Expr) -> Expr:
        """An expression in the cell's symbols, for unit k at time τ."""
        return expr.xreplace(self.places)


@dataclass(frozen=True, eq=False)
class Form:
    """Everything of a network that its equations in index form depend on.

    ``output`` is what the objective judges; x what others hear, which is a target instead where
    outputs are ``forced``.
    """

    net: Network
    units: tuple[Unit, ...]
    output: IndexedBase
    net_inputs: dict[str, tuple[IndexedBase, IndexedBase, IndexedBase]]  # name → s, w, δ
    delays: tuple[int, ...]
    forced: bool = False

    @property
    def delayed(self) -> bool:
        """Whether some delay is not 1."""
        return self.delays not in ((1,), ())

    def among(self, units: Iterable[Unit], unit: str) -> str:
        """Which units have one of some cells, with a letter for the unit."""
        labels = [u.label for u in units]
        every = len(labels) == len(self.units)
        return f"{unit}∈U" if every else f"{unit} with cell {' or '.join(labels)}"

    @property
    def sources(self) -> tuple[Any, Any]:
        """The range of an index over what a connection may come from."""
        return ix.SIGNALS if self.net.inputs else ix.UNITS

    def at(self, unit: Expr, source: Expr, delay: Expr = D) -> tuple[Expr, ...]:
        """The indices of a weight."""
        return (unit, source, delay) if self.delayed else (unit, source)

    def mark(self, net_input: str) -> str:
        """Tells net inputs apart in names of steps, where there are several."""
        return "" if len(self.net_inputs) == 1 else f"({net_input})"


def form_of(net: Network, forced: bool = False, letters: frozenset[str] = frozenset()) -> Form:
    """Put a network's distinct cells, net inputs and delays into these letters.

    ``letters`` are those that an algorithm uses besides, so that a cell's are told from them.
    """
    own, bare = OWN | (letters & WITH_INDICES), BARE | letters
    ports = list(dict.fromkeys(s for cell in net.cells for s in cell.net_inputs))
    one = len(ports) == 1
    net_inputs = {
        s: (
            signal(_told(s, own)),
            w if one else signal(f"w^({s})"),
            signal("δ" if one else f"δ^({s})"),
        )
        for s in ports
    }
    labels = [""] if len(net.cells) == 1 else _labels([c.name for c in net.cells])
    units = []
    for label, cell in zip(labels, net.cells, strict=True):
        local = local_system(cell)
        shared = {p.name for p in cell.parameters if p.shared}
        parameters = (*local.parameters, *local.fixed)
        names = {v: _told(v.name, own) for v in (*local.old, *local.net_inputs, *local.inner)}
        names |= {z: names[y] for y, z in zip(local.old, local.new, strict=True)}
        names |= {p: _told(p.name, bare if p.name in shared else own) for p in parameters}
        units.append(
            Unit(
                label,
                cell,
                local,
                cell_adjoint(local),
                names,
                frozenset(p for p in parameters if p.name in shared),
                {s: net_inputs[s.name] for s in local.net_inputs},
                forced,
            )
        )
    outputs = {u.names[u.output] for u in units}
    several = signal(UNFORCED) if forced else x
    output = signal(outputs.pop()) if len(outputs) == 1 else several
    delays = tuple(int(v) for v in np.unique(net.wiring.delay))
    return Form(net, tuple(units), output, net_inputs, delays, forced)


def _told(name: str, taken: frozenset[str]) -> str:
    return name + "′" if name in taken else name


def _labels(names: list[str]) -> list[str]:
    """Cell names, numbered where two distinct cells have one name."""
    return [
        f"{name} {names[: place + 1].count(name)}" if names.count(name) > 1 else name
        for place, name in enumerate(names)
    ]


def weighted_sum(
    form: Form, weights: IndexedBase, unit: Expr, time: Expr, over: Symbol, delay: Symbol = D
) -> Sum:
    """Σ over sources (and delays) of what each connection adds to a net input."""
    lag = delay if form.delayed else 1
    carried = {WEIGHT: weights[form.at(unit, over, delay)], SOURCE: x[over, time - lag]}
    limits = [(over, *form.sources), *([(delay, *ix.DELAYS)] if form.delayed else [])]
    return Sum(synapse().expr.xreplace(carried), *limits)
