"""Where the worst error is, in the words of the network: a parameter, a time, a unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from derive.network.network import Network


def place(name: str, net: Network, values: Any, wanted: Any) -> str:
    """The component of an output in which it differs most from what was wanted.

    Parameters
    ----------
    name : str
        ``y`` (T+1, N), ``theta`` (P,), ``x`` (T, m) or ``y0`` (N,); ``steps y`` (T, N) and
        ``steps theta`` (windows, P) of an online run.
    values, wanted : array of that shape
        Numbers of any kind that subtract; what is not finite counts as worst.

    Returns
    -------
    str
        As ``w(2, 0)`` or ``y of unit 1, t = 3``; empty for what has one component or none.
    """
    got, right = (np.asarray(v, dtype=object) for v in (values, wanted))
    if got.size < 2 or got.shape != right.shape:
        return ""
    finite = np.isfinite(np.asarray(values, dtype=np.float64)).reshape(-1)
    if not finite.all():
        return component(name, net, np.unravel_index(int(np.argmin(finite)), got.shape))
    apart = [abs(v) for v in (got - right).reshape(-1).tolist()]
    worst = max(range(len(apart)), key=apart.__getitem__)
    return component(name, net, np.unravel_index(worst, got.shape))


def component(name: str, net: Network, index: Sequence[Any]) -> str:
    """One component of an output, or of an argument, as a person says it."""
    *before, last = (int(i) for i in index)
    match name:
        case "theta":
            return parameter(net, last)
        case "steps theta":
            return f"{parameter(net, last)}, window {before[0] + 1}"
        case "y":
            return f"{state(net, last)}, t = {before[0]}"
        case "steps y":
            return f"{state(net, last)}, t = {before[0] + 1}"
        case "y0":
            return state(net, last)
        case "x":
            return f"input line {last}, t = {before[0]}"
    return f"t = {last + 1}"


def parameter(net: Network, i: int) -> str:
    """An entry of theta: w(target, source[, delay]), or a parameter of a unit or a connection."""
    for p in net.parameters:
        if p.unit is not None and p.start <= i < p.stop:
            return f"{p.name} of unit {p.unit}"
    weights = {"w": np.arange(net.wiring.weights), **net.connection_parameters}
    for name, places in weights.items():  # each by distinct weight, of which connections have one
        found = np.flatnonzero(places == i)
        if found.size:
            c = net.connections[int(np.argmax(net.wiring.weight == found[0]))]
            several = len(net.cells[net.cell_index[c.target]].net_inputs) > 1
            into = f".{c.net_input}" if several else ""
            late = f", {c.delay}" if c.delay != 1 else ""
            return f"{name}({c.target}{into}, {c.source}{late})"
    return f"theta[{i}]"


def state(net: Network, column: int) -> str:
    """A state column: the state of a unit."""
    unit, name = net.states[column]
    return f"{name} of unit {unit}"


def direction(name: str, net: Network, way: Any) -> str:
    """A direction of an argument: the component it is along, if it is along one."""
    along = np.flatnonzero(np.asarray(way).reshape(-1))
    if along.size != 1:
        return "a direction drawn at random"
    return component(name, net, np.unravel_index(int(along[0]), np.shape(way)))
