"""A second opinion on gradients: a naive simulation, differentiated by complex steps.

It shares no code with the calculus. Weights may differ from step to step, so that what a truncated
algorithm leaves out can be left out here, and outputs may be forced.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import sympy

from derive.network.cell import Cell
from derive.network.network import Network
from tests.strategies import NUMPY, Data, judged

STEP = 1e-30


def run(
    net: Network,
    values: Data,
    theta_at: Callable[[int], Any],
    forced: bool = False,
    keep: Callable[[int], bool] = lambda k: True,
) -> tuple[Any, Any]:
    """States y (T+1, N) and J(t) (T), step t → t+1 with the weights ``theta_at(t)``.

    Units for which ``keep`` is false pass on their value but no derivative.
    """
    _, x, target, mask, y0 = values
    columns = {place: i for i, place in enumerate(net.states)}
    functions = [functions_of(cell) for cell in net.cells]
    y = np.zeros((len(x) + 1, len(net.states)), dtype=complex)
    y[0] = y0
    outputs = [columns[k, net.cells[net.cell_index[k]].output] for k in range(net.units)]
    heard = y.copy()  # what others, and the unit itself, go on from
    J = np.zeros(len(x), dtype=complex)
    added = [additions_of(cell) for cell in net.cells]
    for t in range(len(x)):
        theta = theta_at(t)

        def added_by(c: Any, i: int, t: int = t, theta: Any = theta) -> Any:
            """What a connection adds at time t + 1."""
            cell, then = net.cells[net.cell_index[c.target]], t + 1 - c.delay
            port, order, function = added[net.cell_index[c.target]][c.net_input]
            carried = 0
            if then >= 0 and c.source >= net.units:
                carried = x[then, c.source - net.units]
            elif then >= 0:
                at = columns[c.source, port.hears] if port.hears else outputs[c.source]
                carried = (heard if c.delay else y)[then, at]
            known = {"x": carried, "w": theta[i] if c.fixed is None else c.fixed}
            for q in port.parameters:
                place = None if c.fixed is not None else net.connection_parameters[q.name][i]
                known[q.name] = q.initial if place is None else theta[place]
            known |= {name: heard[t, columns[c.target, name]] for name in cell.states}
            return function(*(known[name] for name in order))

        for _ in range(1 + len(net.states) * bool(net.stages)):  # until the step has come round
            for k in range(net.units):
                cell = net.cells[net.cell_index[k]]
                net_inputs: dict[str, Any] = dict.fromkeys(cell.net_inputs, 0)
                for c, i in zip(net.connections, net.wiring.weight.tolist(), strict=True):
                    if c.target == k:
                        net_inputs[c.net_input] += added_by(c, i)
                order, bodies = functions[net.cell_index[k]]
                known = {name: heard[t, columns[k, name]] for name in cell.states} | net_inputs
                for p in cell.parameters:
                    at = net.unit_parameters[p.name][k] if p.trainable else None
                    known[p.name] = net.values[p.name][k] if at is None else theta[at]
                for name, body in bodies.items():
                    v = body(*(known[n] for n in order))
                    y[t + 1, columns[k, name]] = v if keep(k) else np.real(v)
        heard[t + 1] = y[t + 1]
        for term in net.objective.terms:
            J[t] += judged(term, net, y[t + 1, outputs], target[t], mask[t], theta)
        for place, k in enumerate(net.objective.targets):
            if forced and mask[t, place]:
                heard[t + 1, outputs[k]] = target[t, place]
    return y, J


@cache
def functions_of(cell: Cell) -> tuple[list[str], dict[str, Any]]:
    """The next states of a cell as functions of what stands in them."""
    eq = cell.equations
    order = [*cell.states, *cell.net_inputs, *(p.name for p in cell.parameters)]
    bodies = {k.name: v for k, v in eq.states.items()}
    for name, body in reversed(list(eq.intermediates.items())):
        bodies = {k: v.xreplace({name: body}) for k, v in bodies.items()}
    symbols = [sympy.Symbol(v, real=True) for v in order]
    return order, {k: sympy.lambdify(symbols, v, NUMPY) for k, v in bodies.items()}


@cache
def additions_of(cell: Cell) -> dict[str, Any]:
    """What a connection into each net input adds: who it hears, and a function of what is named."""
    found = {}
    stated = {s.name: e for s, e in cell.equations.synapses.items()}
    for port in cell.ports:
        order = ["w", "x", *(q.name for q in port.parameters), *cell.states]
        symbols = [sympy.Symbol(v, real=True) for v in order]
        expr = stated.get(port.name, symbols[0] * symbols[1])
        found[port.name] = (port, order, sympy.lambdify(symbols, expr, NUMPY))
    return found


def slopes(net: Network, values: Data, since: int = 0, forced: bool = False) -> Any:
    """∂J(t)/∂theta (T, size) by complex steps; weights move from step ``since`` on only."""
    found = np.zeros((len(values.x), net.size))
    for place in range(net.size):
        moved = values.theta.astype(complex)
        moved[place] += 1j * STEP

        def theta_at(t: int, moved: Any = moved) -> Any:
            return moved if t >= since else values.theta

        found[:, place] = run(net, values, theta_at, forced)[1].imag / STEP
    return found


def grouped_slopes(net: Network, values: Data, groups: Any) -> Any:
    """The same where a derivative stays within the group of the unit whose connection it is by."""
    found = np.zeros((len(values.x), net.size))
    for c, weight in zip(net.connections, net.wiring.weight.tolist(), strict=True):
        group = next(g for g in groups if c.target in g)
        own = [int(at[weight]) for at in net.connection_parameters.values()]
        for place in (weight, *(v for v in own if v >= 0)):
            moved = values.theta.astype(complex)
            moved[place] += 1j * STEP
            J = run(net, values, lambda _, moved=moved: moved, keep=lambda k, g=group: k in g)[1]
            found[:, place] = J.imag / STEP
    return found


def relative(found: Any, true: Any) -> float:
    """The largest difference, against the largest entry; small gradients are of larger parts."""
    return float(np.abs(found - true).max() / max(np.abs(true).max(), 1e-2))
