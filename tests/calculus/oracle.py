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
    for t in range(len(x)):
        theta = theta_at(t)
        for k in range(net.units):
            cell = net.cells[net.cell_index[k]]
            net_inputs: dict[str, Any] = dict.fromkeys(cell.net_inputs, 0)
            for c, i in zip(net.connections, net.wiring.weight.tolist(), strict=True):
                then = t + 1 - c.delay
                if c.target != k or then < 0:
                    continue
                carried = heard[then, outputs[c.source]] if c.source < net.units else None
                carried = x[then, c.source - net.units] if carried is None else carried
                net_inputs[c.net_input] += theta[i] * carried
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
    """The same where a weight's derivative stays within the group of its target."""
    found = np.zeros((len(values.x), net.size))
    for c, place in zip(net.connections, net.wiring.weight.tolist(), strict=True):
        moved = values.theta.astype(complex)
        moved[place] += 1j * STEP
        group = next(g for g in groups if c.target in g)
        J = run(net, values, lambda _, moved=moved: moved, keep=lambda k, g=group: k in g)[1]
        found[:, place] = J.imag / STEP
    return found


def relative(found: Any, true: Any) -> float:
    """The largest difference, against the largest entry; small gradients are of larger parts."""
    return float(np.abs(found - true).max() / max(np.abs(true).max(), 1e-2))
