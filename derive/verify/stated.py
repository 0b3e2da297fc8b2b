"""The network as stated, in NumPy: states and J straight from equations and connections.

It shares no code with Programs. Numbers may be complex, and outputs forced by targets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import sympy
from sympy import Symbol

from derive.network.cell import PLAIN
from derive.network.network import Network
from derive.program.interpret import compiled, numpy_arithmetic
from derive.verify.unrolling import output_columns, step_equations, synapses

Probe = Callable[[int, Any], None]
"""Called at each step with each cell and the values of its symbols over its units."""


@dataclass(frozen=True, eq=False)
class Stated:
    """A network's equations as functions, made once."""

    net: Network

    @cached_property
    def cells(self) -> list[StatedCell]:
        """The equations of each cell."""
        return [_stated_cell(self.net, c, self.first) for c in range(len(self.net.cells))]

    @cached_property
    def first(self) -> Any:
        """For each unit the place of its first net input among all; their number at the end."""
        ports = [len(self.net.cells[c].net_inputs) for c in self.net.cell_index]
        return np.concatenate([[0], np.cumsum(ports)]).astype(np.int64)

    def forward(
        self,
        theta: Any,
        x: Any,
        y0: Any,
        forced: tuple[Any, Any] | None = None,
        probe: Probe | None = None,
    ) -> Any:
        """The states (T+1, N) as each unit computed them, in float64, or complex128 if some are.

        ``forced`` are target and mask under teacher forcing: where the mask is not 0 the target
        takes the place of the output in all that is computed afterwards.
        """
        theta, x, y0 = (np.asarray(v) for v in (theta, x, y0))
        kind = np.result_type(np.float64, theta, x, y0)
        theta, x, y0 = (v.astype(kind) for v in (theta, x, y0))
        net, T, w = self.net, len(x), self.net.wiring
        columns = np.array(output_columns(net))
        N = len(net.states)
        y = np.zeros((T + 1, N), kind)
        signals = np.zeros((T + 1, N + net.inputs), kind)  # row t: states and inputs of time t
        y[0] = before = y0
        weights = np.concatenate([theta[: w.weights], w.fixed])
        for t in range(1, T + 1):
            signals[t - 1, :N] = before
            signals[t - 1, N:] = x[t - 1]
            s = np.zeros(self.first[-1], kind)
            for stage in range(self.stages):
                here = self.stage_of == stage
                then = t - w.delay[here]
                place = self.heard[here]
                carried = np.where(then >= 0, signals[np.maximum(then, 0), place], 0.0)
                into = self.first[w.target[here]] + w.port[here]
                np.add.at(s, into, self._added(here, carried, weights, theta, before))
                for number, cell in enumerate(self.cells):
                    values = cell.values(theta, before, s)
                    for at, function in zip(cell.columns, cell.functions, strict=True):
                        y[t, at] = function(values)
                    if probe is not None and stage == self.stages - 1:
                        probe(number, values)
                signals[t, :N] = y[t]
            before = y[t]
            if forced is not None:
                target, mask = forced
                at = columns[list(net.objective.targets)]
                before = y[t].copy()
                before[at] = np.where(mask[t - 1] != 0, target[t - 1], before[at])
        return y

    @cached_property
    def heard(self) -> Any:
        """For each connection the place of what it carries, among states and then inputs."""
        net, outputs = self.net, output_columns(self.net)
        column = {place: i for i, place in enumerate(net.states)}
        found = []
        for c in net.connections:
            cell = net.cells[net.cell_index[c.target]]
            state = cell.ports[cell.net_inputs.index(c.net_input or "")].hears
            if c.source >= net.units:
                found.append(len(net.states) + c.source - net.units)
            else:
                found.append(outputs[c.source] if state is None else column[c.source, state])
        return np.array(found, dtype=np.int64)

    @cached_property
    def stage_of(self) -> Any:
        """For each connection when, within a step, what it carries is there."""
        w, stages = self.net.wiring, self.net.stages
        pairs = zip(w.target.tolist(), w.port.tolist(), strict=True)
        return np.array([stages[k][p] if k in stages else 0 for k, p in pairs], dtype=np.int64)

    @property
    def stages(self) -> int:
        """How often within a step something waits for what others compute in it."""
        return max((s for each in self.net.stages.values() for s in each), default=0) + 1

    @cached_property
    def synapses(self) -> list[tuple[Any, Any, tuple[Any, ...], tuple[Any, ...]]]:
        """For each net input that is no Σ w·x: which connections, what they add, its arguments.

        Arguments are the columns of states looked at, and the places of further parameters in
        theta, or their values.
        """
        net, w, found = self.net, self.net.wiring, []
        column = {place: i for i, place in enumerate(net.states)}
        for number, cell in enumerate(net.cells):
            told = synapses(cell)
            for p, port in enumerate(cell.ports):
                here = np.flatnonzero((net.cell_index[w.target] == number) & (w.port == p))
                if port.synapse == PLAIN or not here.size:
                    continue
                names = [s for s in cell.states if Symbol(s, real=True) in
                         told[port.name].free_symbols]  # fmt: skip
                symbols = ["w", "x", *names, *(q.name for q in port.parameters)]
                function = compiled(
                    told[port.name],
                    tuple(Symbol(v, real=True) for v in symbols),
                    numpy_arithmetic(np.float64),
                )
                looked = tuple(np.array([column[int(k), v] for k in w.target[here]]) for v in names)
                own = tuple(
                    (self._places(q.name, w.weight[here]), q.initial) for q in port.parameters
                )
                found.append((here, function, looked, own))
        return found

    def _places(self, name: str, weight: Any) -> Any:
        """Places in theta of a parameter of connections; −1 where it is not learnt."""
        at = self.net.connection_parameters[name]
        learnt = weight < self.net.wiring.weights
        return np.where(learnt, at[np.where(learnt, weight, 0)] if at.size else -1, -1)

    def _added(self, here: Any, carried: Any, weights: Any, theta: Any, before: Any) -> Any:
        """What each connection of a stage adds to its net input."""
        w = self.net.wiring
        added = weights[w.weight[here]] * carried
        at = np.cumsum(here) - 1
        for members, function, looked, own in self.synapses:
            chosen = here[members]
            places = at[members[chosen]]
            if not places.size:
                continue
            values = [weights[w.weight[members[chosen]]], carried[places]]
            values += [before[c[chosen]] for c in looked]
            values += [np.where(p[chosen] < 0, initial, theta[p[chosen]]) for p, initial in own]
            added[places] = function(tuple(values))
        return added


def stated_forward(net: Network, theta: Any, x: Any, y0: Any) -> Any:
    """The states (T+1, N) of a free run."""
    return Stated(net).forward(theta, x, y0)


@dataclass(frozen=True)
class StatedCell:
    """A cell's equations as functions, and where its units' states and net inputs are."""

    columns: tuple[Any, ...]  # per state: its column for each unit
    rows: tuple[Any, ...]  # per net input: its place for each unit
    parameters: tuple[Any, ...]  # per parameter: places in theta (integers) or values
    functions: tuple[Callable[[tuple[Any, ...]], Any], ...]

    def values(self, theta: Any, before: Any, s: Any) -> tuple[Any, ...]:
        own = (theta[p] if p.dtype.kind == "i" else p for p in self.parameters)
        return (*(before[c] for c in self.columns), *(s[r] for r in self.rows), *own)


def symbols_of(net: Network, cell: int) -> tuple[Symbol, ...]:
    """The symbols of a cell's equations, in the order a probe gives their values."""
    eq = net.cells[cell].equations
    return (*eq.states, *eq.net_inputs, *eq.parameters)


def _stated_cell(net: Network, number: int, first: Any) -> StatedCell:
    cell = net.cells[number]
    units = np.flatnonzero(net.cell_index == number)
    column = {place: i for i, place in enumerate(net.states)}
    symbols, arithmetic = symbols_of(net, number), numpy_arithmetic(np.float64)
    return StatedCell(
        tuple(np.array([column[k, s] for k in units.tolist()]) for s in cell.states),
        tuple(first[units] + port for port in range(len(cell.net_inputs))),
        tuple(
            net.unit_parameters[p.name][units] if p.trainable else net.values[p.name][units]
            for p in cell.parameters
        ),
        tuple(
            compiled(e, symbols, arithmetic) for e in step_equations(net, int(units[0])).values()
        ),
    )


def objective_value(net: Network, y: Any, target: Any, mask: Any) -> Any:
    """J^total of states y (T+1, N[, lanes]), summed in extended precision; works on complex y."""
    d, out = Symbol("d", real=True), Symbol("y", real=True)
    y = np.asarray(y)
    kind = np.clongdouble if np.iscomplexobj(y) else np.longdouble
    summand = compiled(net.objective.expression, (d, out), numpy_arithmetic(kind))
    columns = np.array(output_columns(net))[list(net.objective.targets)]
    shape = np.shape(target) + (1,) * (y.ndim - 2)
    there = np.reshape(mask, shape) != 0
    wanted = np.where(there, np.reshape(target, shape), 0).astype(kind)
    terms = np.reshape(mask, shape).astype(kind) * summand((wanted, y[1:, columns].astype(kind)))
    return np.where(there, terms, 0).sum(axis=(0, 1))


def unit_with(net: Network, cell: int) -> int:
    """The first unit that has a cell."""
    return int(np.flatnonzero(net.cell_index == cell)[0])


def depth(net: Network) -> int:
    """Operations on the longest way through one step, forward and back: one rounding each."""
    w = net.wiring
    fan_in = int(np.bincount(w.target).max()) if w.size else 0
    fan_out = int(np.bincount(w.source).max()) if w.size else 0
    operations = 0
    for cell in range(len(net.cells)):
        here = 0
        for expr in step_equations(net, unit_with(net, cell)).values():
            functions = sum(isinstance(e, sympy.Function) for e in sympy.preorder_traversal(expr))
            here += int(expr.count_ops()) + 4 * functions
        operations = max(operations, here)
    objective = int(net.objective.expression.count_ops())
    return fan_in + fan_out + operations + objective
