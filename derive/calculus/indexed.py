"""A network in index form: unit k, time τ, as SymPy objects that can be differentiated.

A signal carries its unit and its time as indices, ``y[k, τ]``; a weight its target, its source and,
where delays differ, its delay, ``w[k, l, D]``; a cell parameter its unit, ``tau[k]``. Sums run over
index ranges 0…n−1 (the units U) and 0…n+m−1 (units and input lines U∪I), so that SymPy can
differentiate them by an indexed quantity and collapse them where that gives a Kronecker delta.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import sympy
from sympy import Expr, Function, IndexedBase, KroneckerDelta, Sum, Symbol
from sympy.concrete.delta import deltasummation

from derive.calculus.adjoint import CellAdjoint, bar, cell_adjoint
from derive.calculus.partials import SOURCE, WEIGHT, LocalSystem, local_system, synapse
from derive.network.cell import Cell
from derive.network.network import Network


def _index(name: str) -> Symbol:
    return Symbol(name, integer=True)


i, j, k, l = (_index(name) for name in "ijkl")  # noqa: E741 - the paper's letters
t, tau, tau2, t0, t1 = (_index(name) for name in ("t", "τ", "τ′", "t₀", "t₁"))
n, m, D, D2, LONGEST = (_index(name) for name in ("n", "m", "D", "D′", "D₁"))
a = _index("a")
eta = Symbol("η", positive=True)

UNITS = (0, n - 1)
SIGNALS = (0, n + m - 1)
DELAYS = (1, LONGEST)
EPOCH = (t0 + 1, t1)

MEMBER = IndexedBase("T", integer=True)
"""T[k, t] is 1 for k ∈ T(t), else 0."""


class J(Function):  # type: ignore[misc]
    """J(t), the objective at one time."""

    nargs = 1


class Total(Function):  # type: ignore[misc]
    """J^total(t₀, t₁), its sum over the epoch."""

    nargs = 2


class Slope(Function):  # type: ignore[misc]
    """∂a/∂b: a derivative by name, through the one equation that gives a."""

    nargs = 2


class Ordered(Function):  # type: ignore[misc]
    """∂⁺a/∂b: the ordered derivative by name, through everything that follows from b."""

    nargs = 2


class Change(Function):  # type: ignore[misc]
    """Δa: how far a learning step moves it."""

    nargs = 1


class Carried(Function):  # type: ignore[misc]
    """a(i, j): which distinct weight the connection from j to i carries."""


def signal(name: str) -> IndexedBase:
    """A real quantity with indices."""
    return IndexedBase(name, real=True)


w, x, d, e = (signal(name) for name in "wxde")
OWN = frozenset({"w", "x", "d", "e", "J", "T"})
"""Letters with a meaning of their own: a cell's quantity of that name is written with a prime."""
BARE = OWN | frozenset("ijklmntDaUI")
"""The same for a quantity without indices."""


def cell_domain(label: str) -> tuple[int, Expr]:
    """The range of an index over the units that have one cell."""
    return (0, Symbol(f"n[{label}]", integer=True) - 1)


# --- a cell and a network in these letters --------------------------------------------------


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

    @property
    def output(self) -> Symbol:
        """The old value of the state that others see."""
        return self.local.old[self.local.output]

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
        return f"k with cell {self.label}" if self.label else "k∈U"

    @property
    def domain(self) -> tuple[Any, Any]:
        """The range of an index over the units with this cell."""
        return cell_domain(self.label) if self.label else UNITS

    def name(self, plain: str) -> str:
        """The name of a step of this cell."""
        return f"{plain}/{self.label}" if self.label else plain

    def eps(self, state: Symbol) -> IndexedBase:
        """ε of a state, given by its old symbol."""
        mark = "" if state == self.output else f"^({self.names[state]})"
        return signal("ε" + mark)

    @cached_property
    def places(self) -> dict[Symbol, Expr]:
        """Each of the cell's symbols, and each bar symbol, at unit k and time τ."""
        at: dict[Symbol, Expr] = {}
        for y, z in zip(self.local.old, self.local.new, strict=True):
            base = signal(self.names[y])
            at[y], at[z], at[bar(z)] = base[k, tau - 1], base[k, tau], self.eps(y)[k, tau]
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
    """Everything of a network that its equations in index form depend on."""

    net: Network
    units: tuple[Unit, ...]
    output: IndexedBase
    net_inputs: dict[str, tuple[IndexedBase, IndexedBase, IndexedBase]]  # name → s, w, δ
    delays: tuple[int, ...]

    @property
    def delayed(self) -> bool:
        """Whether some delay is not 1."""
        return self.delays not in ((1,), ())

    @property
    def sources(self) -> tuple[Any, Any]:
        """The range of an index over what a connection may come from."""
        return SIGNALS if self.net.inputs else UNITS

    def at(self, unit: Expr, source: Expr, delay: Expr = D) -> tuple[Expr, ...]:
        """The indices of a weight."""
        return (unit, source, delay) if self.delayed else (unit, source)

    def mark(self, net_input: str) -> str:
        """Tells net inputs apart in names of steps, where there are several."""
        return "" if len(self.net_inputs) == 1 else f"({net_input})"


def form_of(net: Network) -> Form:
    """Put a network's distinct cells, net inputs and delays into these letters."""
    ports = list(dict.fromkeys(s for cell in net.cells for s in cell.net_inputs))
    one = len(ports) == 1
    net_inputs = {
        s: (
            signal(_own(s)),
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
        names = {v: _own(v.name) for v in (*local.old, *local.net_inputs, *local.inner)}
        names |= {z: names[y] for y, z in zip(local.old, local.new, strict=True)}
        names |= {p: _own(p.name, p.name in shared) for p in parameters}
        units.append(
            Unit(
                label,
                cell,
                local,
                cell_adjoint(local),
                names,
                frozenset(p for p in parameters if p.name in shared),
                {s: net_inputs[s.name] for s in local.net_inputs},
            )
        )
    outputs = {u.names[u.output] for u in units}
    output = signal(outputs.pop()) if len(outputs) == 1 else x
    delays = tuple(int(v) for v in np.unique(net.wiring.delay))
    return Form(net, tuple(units), output, net_inputs, delays)


def _own(name: str, bare: bool = False) -> str:
    return name + "′" if name in (BARE if bare else OWN) else name


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
    limits = [(over, *form.sources), *([(delay, *DELAYS)] if form.delayed else [])]
    return Sum(synapse().expr.xreplace(carried), *limits)


HERE = IndexedBase("here")


def collapse(total: Expr, *over: Symbol) -> Expr:
    """A sum with those of the indices ``over`` that a Kronecker delta fixes summed out.

    That the index lies in the range of the sum is what the delta's other side stands for, so no
    case distinction is made for it.
    """
    if not isinstance(total, Sum):
        return total
    body, left = total.function, []
    for limit in total.limits:
        deltas = [f for f in sympy.Mul.make_args(body) if isinstance(f, KroneckerDelta)]
        fixing = [f for f in deltas if limit[0] in f.free_symbols]
        if limit[0] not in over or not fixing:
            left.append(limit)
            continue
        # The rest of the product stays as it is while SymPy finds the index's value.
        value = deltasummation(HERE[limit[0]] * fixing[0], limit, no_piecewise=True).indices[0]
        body = (body / fixing[0]).xreplace({limit[0]: value})
    return Sum(body, *left) if left else body
