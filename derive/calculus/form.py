"""A network in index form: each distinct cell at unit k and time τ, and its connections."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import sympy
from sympy import Expr, IndexedBase, Sum, Symbol

from derive.calculus import indexed as ix
from derive.calculus.adjoint import CellAdjoint, bar, cell_adjoint
from derive.calculus.indexed import D, Slope, Within, cell_domain, k, signal, tau, w, x
from derive.calculus.partials import SOURCE, LocalSystem, Partial, local_system
from derive.calculus.synapses import WEIGHT, Synapse, synapse_of
from derive.calculus.tangent import CellTangent, cell_tangent, part_tangent
from derive.errors import DerivationError
from derive.network.cell import Cell, NetInputDeclaration
from derive.network.network import Network

OWN = frozenset({"w", "x", "d", "e", "J", "T"})
"""Letters with a meaning of their own: a cell's quantity of that name is written with a prime."""
BARE = OWN | frozenset("ijklmntDaUI")
"""The same for a quantity without indices."""
WITH_INDICES = frozenset("pG")
"""Of the letters that only some algorithms use, those that carry indices."""
UNFORCED = "ŷ"
"""Outputs before forcing, where cells call them differently; no identifier has this letter."""


@dataclass(frozen=True)
class Heard:
    """What connections carry: x, the outputs and inputs, or x^(v), a state v and the inputs.

    Attributes
    ----------
    base : IndexedBase
        Its letter.
    state : str
        The name of the state; empty where it is the output.
    """

    base: IndexedBase = x
    state: str = ""

    def carries(self, u: Unit, y: Symbol) -> bool:
        """Whether it is a cell's state, given by its old symbol."""
        return y.name == self.state if self.state else y == u.output

    def state_of(self, u: Unit) -> Symbol | None:
        """Which of a cell's states it is."""
        return next((y for y in u.local.old if self.carries(u, y)), None)


class Labelled:
    """What holds for the units with some cells; ``label`` names these, empty where all have it."""

    label: str

    @property
    def where(self) -> str:
        """Which units k its equations hold for."""
        return self.among("k")

    def among(self, unit: str) -> str:
        """Which units its equations hold for, with another letter for the unit."""
        return f"{unit} with cell {self.label}" if self.label else f"{unit}∈U"

    @property
    def domain(self) -> tuple[Any, Any]:
        """The range of an index over the units that have it."""
        return cell_domain(self.label) if self.label else ix.UNITS


@dataclass(frozen=True, eq=False)
class NetInput(Labelled):
    """One net input in index form.

    Attributes
    ----------
    name : str
        What finds it; primed where cells state net inputs of one name differently.
    s, w, delta : IndexedBase
        Its letter, that of its weights, and δ.
    heard : Heard
        What its connections carry.
    synapse : Synapse
        What each adds.
    further : dict
        The letters of what each has besides its weight.
    looked_at : dict
        The old states of the target that its synapse looks at, at unit k and time τ.
    label : str
        The cells that have it; empty where that need not be said, since no weight leads into it
        elsewhere.
    learnt : bool
        Whether some of its connections are learnt.
    at_once : bool
        Whether some of its connections have delay 0.
    """

    name: str
    s: IndexedBase
    w: IndexedBase
    delta: IndexedBase
    heard: Heard
    synapse: Synapse
    further: dict[Symbol, IndexedBase]
    looked_at: dict[Symbol, Expr]
    label: str
    learnt: bool
    at_once: bool

    def parameter(self, p: Symbol) -> IndexedBase:
        """The letter of its weights, or of another parameter of its connections."""
        return self.w if p == WEIGHT else self.further[p]


@dataclass(frozen=True, eq=False)
class Unit(Labelled):
    """One distinct cell in index form."""

    label: str  # empty when all units have this cell
    cell: Cell
    local: LocalSystem
    adjoint: CellAdjoint
    names: dict[Symbol, str]
    shared: frozenset[Symbol]
    of_net_input: dict[Symbol, NetInput]
    heard: frozenset[str] = frozenset()  # states that connections carry besides outputs
    forced: bool = False

    @property
    def output(self) -> Symbol:
        """The old value of the state that others see."""
        return self.local.old[self.local.output]

    @cached_property
    def tangent(self) -> CellTangent:
        """The slopes of its next states, and which states' sensitivities are needed.

        What a net input looks at of the unit's own states is part of the sensitivity of that net
        input here, as what its connections carry is, and of no slope.
        """
        carried = cell_tangent(self.local, self.heard).carried
        through = tuple(p for p in self.local.partials if p.of not in self.local.net_inputs)
        return part_tangent(replace(self.local, partials=through, gains=()), carried)

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
        for s, port in self.of_net_input.items():
            at[s], at[bar(s)] = port.s[k, tau], port.delta[k, tau]
        for p in (*self.local.parameters, *self.local.fixed):
            name = self.names[p]
            at[p] = Symbol(name, real=True) if p in self.shared else signal(name)[k]
        for q in self.local.partials:
            if q.found in self.local.gains:
                # Of a forced output ∂s/∂x is what a connection carries: this is told from it.
                by_name = Within if self.forced and q.by == self.output else Slope
                at[q.found] = by_name(at[q.of], at[q.by])
        return at

    def lift(self, expr: Expr) -> Expr:
        """An expression in the cell's symbols, for unit k at time τ."""
        return expr.xreplace(self.places)

    def slope(self, p: Partial) -> Expr:
        """A partial by name, for unit k at time τ."""
        at = self.places
        return at[p.found] if p.found in self.local.gains else Slope(at[p.of], at[p.by])


@dataclass(frozen=True, eq=False)
class Form:
    """Everything of a network that its equations in index form depend on.

    ``output`` is what the objective judges; x what others hear, which is a target instead where
    outputs are ``forced``.
    """

    net: Network
    units: tuple[Unit, ...]
    output: IndexedBase
    net_inputs: dict[str, NetInput]
    delays: tuple[int, ...]
    forced: bool = False

    @property
    def delayed(self) -> bool:
        """Whether some delay is not 1."""
        return self.delays not in ((1,), ())

    @property
    def soonest(self) -> int:
        """How many steps later a signal is heard at the earliest: 0 where some delay is 0."""
        return 0 if 0 in self.delays else 1

    @property
    def reaching_back(self) -> bool:
        """Whether some delay is longer than 1."""
        return max(self.delays, default=1) > 1

    @property
    def lags(self) -> tuple[Any, Any]:
        """The range of an index over the delays."""
        return ix.DELAYS if self.soonest else ix.DELAYS_FROM_NOW

    @property
    def heard(self) -> tuple[Heard, ...]:
        """What connections carry: x, and each state that is heard besides."""
        return tuple(dict.fromkeys((Heard(), *(s.heard for s in self.net_inputs.values()))))

    def hearing(self, u: Unit, y: Symbol) -> list[NetInput]:
        """The net inputs that hear a state of a cell."""
        return [s for s in self.net_inputs.values() if s.heard.carries(u, y)]

    def hearing_at_once(self, u: Unit, y: Symbol) -> list[NetInput]:
        """Those of them that hear it in the same step."""
        return [s for s in self.hearing(u, y) if s.at_once]

    def among(self, units: Iterable[Unit], unit: str) -> str:
        """Which units have one of some cells, with a letter for the unit."""
        label = self.label(units)
        return f"{unit} with cell {label}" if label else f"{unit}∈U"

    def domain(self, units: Iterable[Unit]) -> tuple[Any, Any]:
        """The range of an index over the units that have one of some cells."""
        label = self.label(units)
        return cell_domain(label) if label else ix.UNITS

    def label(self, units: Iterable[Unit]) -> str:
        """The names of some cells; empty for all of them."""
        labels = [u.label for u in units]
        return "" if len(labels) == len(self.units) else _either(labels)

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

    Raises
    ------
    DerivationError
        Where an output is forced and heard in the same step: its target is not, and x is both.
    """
    own, bare = OWN | (letters & WITH_INDICES), BARE | letters
    labels = [""] if len(net.cells) == 1 else _labels([c.name for c in net.cells])
    net_inputs, of_cell = _net_inputs(net, labels, forced, own)
    heard = frozenset(s.heard.state for s in net_inputs.values()) - {""}
    if forced:
        _check_forcing(net)
    units = []
    for c, (label, cell) in enumerate(zip(labels, net.cells, strict=True)):
        local = local_system(cell)
        shared = {p.name for p in cell.parameters if p.shared}
        parameters = (*local.parameters, *local.fixed)
        names = {v: _told(v.name, own) for v in (*local.old, *local.inner)}
        names |= {s: str(net_inputs[of_cell[c, s.name]].s.label) for s in local.net_inputs}
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
                {s: net_inputs[of_cell[c, s.name]] for s in local.net_inputs},
                heard,
                forced,
            )
        )
    outputs = {u.names[u.output] for u in units}
    several = signal(UNFORCED) if forced else x
    output = signal(outputs.pop()) if len(outputs) == 1 else several
    delays = tuple(int(v) for v in np.unique(net.wiring.delay))
    return Form(net, tuple(units), output, net_inputs, delays, forced)


def _told(name: str, taken: Iterable[str]) -> str:
    return name + "′" if name in taken else name


def _either(labels: Iterable[str]) -> str:
    return " or ".join(labels)


def _labels(names: list[str]) -> list[str]:
    """Cell names, numbered where two distinct cells have one name."""
    return [
        f"{name} {names[: place + 1].count(name)}" if names.count(name) > 1 else name
        for place, name in enumerate(names)
    ]


def _check_forcing(net: Network) -> None:
    """Refuse to write a forced output that is heard in the same step."""
    w, targets = net.wiring, set(net.objective.targets)
    for place in np.flatnonzero(w.delay == 0).tolist():
        k, source = int(w.target[place]), int(w.source[place])
        port = net.cells[net.cell_index[k]].ports[w.port[place]]
        output = net.cells[net.cell_index[source]].output
        if source in targets and port.hears in (None, output):
            raise DerivationError(
                f"teacher forcing: unit {k} hears the output of unit {source} in the same step, "
                "before a target takes its place, and others hear the target; the equations have "
                "one letter x for both. Kernels compute this; to see it derived, give that "
                "connection delay 1"
            )


# --- net inputs ------------------------------------------------------------------------------

Variant = tuple[Any, ...]
"""What has to be alike for net inputs of one name, in several cells, to be one."""


def _net_inputs(
    net: Network, labels: list[str], forced: bool, own: frozenset[str]
) -> tuple[dict[str, NetInput], dict[tuple[int, str], str]]:
    """Each net input with its letters, and which one a cell means by a name."""
    variants: dict[Variant, list[int]] = {}
    for c, cell in enumerate(net.cells):
        for port in cell.ports:
            variants.setdefault(_variant(net, c, port), []).append(c)
    names = list(dict.fromkeys(name for name, *_ in variants))
    found: dict[str, NetInput] = {}
    of_cell: dict[tuple[int, str], str] = {}
    alone = len(variants) == 1
    for name in names:
        alike = [(v, cells) for v, cells in variants.items() if v[0] == name]
        for number, (_, cells) in enumerate(alike):
            key = name + "′" * number
            told = len(alike) > 1 or bool(synapse_of(net.cells[cells[0]], name).looked_at)
            label = "" if not told or len(cells) == len(net.cells) else _either(
                labels[c] for c in cells
            )  # fmt: skip
            found[key] = _net_input(net, key, name, cells, label, alone, forced, own)
            of_cell |= {(c, name): key for c in cells}
    return found, of_cell


def _variant(net: Network, c: int, port: NetInputDeclaration) -> Variant:
    synapse = synapse_of(net.cells[c], port.name)
    # One that looks at a state of its target goes by the cell: the state is that cell's.
    cell = c if synapse.looked_at else -1
    return port.name, _state_heard(net, port), synapse.expr, synapse.parameters, cell


def _state_heard(net: Network, port: NetInputDeclaration) -> str:
    """The state that reaches a net input; empty where that is the output, of every cell."""
    every_output = all(cell.output == port.hears for cell in net.cells)
    return "" if port.hears is None or every_output else port.hears


def _net_input(
    net: Network,
    key: str,
    name: str,
    cells: list[int],
    label: str,
    alone: bool,
    forced: bool,
    own: frozenset[str],
) -> NetInput:
    cell = net.cells[cells[0]]
    port = cell.ports[cell.net_inputs.index(name)]
    state, synapse = _state_heard(net, port), synapse_of(cell, name)
    primes = key.removeprefix(name)
    mark = "" if alone else f"^({key})"
    looked_at = {}
    for y in synapse.looked_at:
        is_forced = forced and y.name == cell.output
        looked_at[y] = (x if is_forced else signal(_told(y.name, own)))[k, tau - 1]
    wiring = net.wiring
    into = np.isin(net.cell_index[wiring.target], cells)
    ports = np.array([c.net_inputs.index(name) if name in c.net_inputs else -1 for c in net.cells])
    into &= wiring.port == ports[net.cell_index[wiring.target]]
    used = {v for c in net.cells for v in (*c.states, *c.net_inputs, *c.intermediates)}
    return NetInput(
        key,
        signal(_told(name, own) + primes),
        w if alone else signal(f"w{mark}"),
        signal("δ" if alone else f"δ{mark}"),
        Heard(signal(f"x^({_told(state, own)})"), state) if state else Heard(),
        synapse,
        {p: ix.of_connection(f"{_told(p.name, own | used)}{mark}")
         for p in synapse.parameters if p != WEIGHT},
        looked_at,
        label,
        not into.any() or bool(wiring.learnt[into].any()),
        bool((wiring.delay[into] == 0).any()),
    )  # fmt: skip


# --- the sum over connections ----------------------------------------------------------------


def connection(
    form: Form, port: NetInput, unit: Expr, time: Expr, source: Expr, delay: Expr = D
) -> dict[Symbol, Expr]:
    """Where everything stands that a connection from a source adds to a net input of."""
    carried = port.heard.base[source, time - (delay if form.delayed else 1)]
    own = {p: port.parameter(p)[form.at(unit, source, delay)] for p in port.synapse.parameters}
    looked_at = {y: v.xreplace({k: unit, tau: time}) for y, v in port.looked_at.items()}
    return {SOURCE: carried, **own, **looked_at}


def weighted_sum(
    form: Form, port: NetInput, unit: Expr, time: Expr, over: Symbol, delay: Symbol = D
) -> Sum:
    """Σ over sources (and delays) of what each connection adds to a net input."""
    return over_connections(form, port.synapse.expr, port, unit, time, over, delay)


def over_connections(
    form: Form,
    expr: Expr,
    port: NetInput,
    unit: Expr,
    time: Expr,
    over: Symbol,
    delay: Symbol = D,
) -> Sum:
    """Σ over sources (and delays) of an expression in what a connection has."""
    limits = [(over, *form.sources), *([(delay, *form.lags)] if form.delayed else [])]
    return Sum(expr.xreplace(connection(form, port, unit, time, over, delay)), *limits)


def slope_of_sum(
    form: Form,
    of: Symbol,
    by: Expr,
    port: NetInput,
    unit: Expr,
    time: Expr,
    over: Symbol,
    delay: Symbol = D,
) -> Sum:
    """That sum differentiated by what stands in one of its terms for ``of``.

    A term's partial is known; SymPy differentiates one indexed quantity by another, and so tells
    by a Kronecker delta which term it is.
    """
    same = connection(form, port, unit, time, over, delay)[of].diff(by)
    total = over_connections(form, port.synapse.partials[of], port, unit, time, over, delay)
    return Sum(total.function * same, *total.limits)
