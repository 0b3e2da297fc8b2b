"""A small network that stands for a large one where symbols are too dear.

A derivation is made per cell and instantiated per topology, so a proof needs each cell, each kind
of connection, the objective and the schedule of the real network, and few of each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from derive.network.network import Network
from derive.network.objective import Objective
from derive.network.topology import Connection, full

UNITS, INPUTS, CONNECTIONS, DELAY, STATES = 4, 2, 24, 3, 6
"""A network no larger than this in all of them is proved itself."""

CELLS_EACH = 3
"""Distinct cells in one witness."""


@dataclass(frozen=True)
class Witness:
    """A network to run on symbols, for how many steps, and in words why it will do."""

    net: Network
    steps: int
    own: bool
    words: str


def witnesses(net: Network) -> tuple[Witness, ...]:
    """The networks a proof for ``net`` is run on: itself where it is small.

    Otherwise small ones with the same cells (at most three in each), objective, and kinds of
    connections: delays by rank (of 1, 3, 200 the witness has 1, 2, 3), full wiring where the
    network's is full, else a self-loop, a ring and a shortcut, input lines into the first unit
    only, so that their weights reach the targets through several steps, and shared weights where
    there are some.
    """
    w = net.wiring
    small = (
        net.units <= UNITS
        and net.inputs <= INPUTS
        and w.size <= CONNECTIONS
        and w.longest_delay <= DELAY
        and len(net.states) <= STATES
    )
    if small:
        words = f"the network itself, {_counts(net)}"
        return (Witness(net, max(3, w.longest_delay + 2), True, words),)
    cells = list(range(len(net.cells)))
    chosen = [cells[i : i + CELLS_EACH] for i in range(0, len(cells), CELLS_EACH)]
    return tuple(_small(net, group) for group in chosen)


def _small(net: Network, cells: list[int]) -> Witness:
    units = _representatives(net, cells)
    n, m = len(units), min(net.inputs, INPUTS)
    delays = np.unique(net.wiring.delay)[:DELAY].size
    connections, wiring = _wiring(net, units, n, m, delays)
    little = Network(
        [net.cells[net.cell_index[k]] for k in units],
        n,
        m,
        connections,
        Objective(net.objective.text, _targets(net, units)),
        name=net.name,
        parameters={
            name: np.nan_to_num(values[units]).tolist()
            for name, values in net.values.items()
            if not np.isnan(values[units]).all()
        },
    )
    steps = max(3, little.wiring.longest_delay + 2)
    original = np.unique(net.wiring.delay).tolist()
    words = f"{_counts(little)} with the same cells and objective; {wiring}"
    if original and original != list(range(1, delays + 1)):
        shown = ", ".join(map(str, original[:3])) + (", …" if len(original) > 3 else "")
        words += f"; delays {shown} by rank"
    return Witness(little, steps, False, words)


def _counts(net: Network) -> str:
    w = net.wiring
    return (
        f"{net.units} units, {net.inputs} input lines, {w.size} connections, "
        f"delays up to {w.longest_delay}"
    )


def _representatives(net: Network, cells: list[int]) -> list[int]:
    """The first unit of each cell, then further units of these cells up to three."""
    units = [int(np.flatnonzero(net.cell_index == c)[0]) for c in cells]
    others = np.flatnonzero(np.isin(net.cell_index, cells))
    # From the far end: their fixed parameters are the likeliest to differ from the first's.
    for k in others[::-1].tolist():
        if len(units) >= 3:
            break
        if k not in units:
            units.append(k)
    return sorted(units)


def _targets(net: Network, units: list[int]) -> list[int]:
    """The same pattern of targets; if none of the units has one, the last gets it."""
    place = {k: i for i, k in enumerate(units)}
    found = [place[k] for k in net.objective.targets if k in place]
    if len(found) == len(units) and len(net.objective.targets) < net.units:
        found = [i for i in found if i != 0]  # some unit must be without one, as in the network
    return found or [len(units) - 1]


def _wiring(net: Network, units: list[int], n: int, m: int, delays: int) -> tuple[Any, str]:
    ports = [net.cells[net.cell_index[k]].net_inputs for k in units]
    w = net.wiring
    everywhere = sum(len(net.cells[c].net_inputs) for c in net.cell_index)
    if not w.size:
        return [], "no connections"
    shared = w.weights < w.size
    if w.size == everywhere * (net.units + net.inputs) and delays == 1 and not shared:
        return full(), "fully connected"
    rows: list[tuple[int, int, int]] = []  # target, source, delay rank
    for k in range(n):
        rows.append((k, (k - 1) % n, 1 + k % delays))
    rows.append((0, 0, delays))
    if n > 1:
        rows.append((n - 1, 0, 1 + (n - 1 + 1) % delays))
        rows.append((n - 1, n - 1, 1))
    rows += [(0, n + line, 1 + line % delays) for line in range(m)]
    if m and delays > 1:
        rows.append((0, n, delays))
    rows += [(n - 1, 0, d) for d in range(1, delays + 1)]
    connections = []
    for k, source, delay in sorted(set(rows)):
        for s in ports[k]:
            connections.append(Connection(k, source, delay, s))
    if shared and len(connections) > 2:
        for i in (0, len(connections) // 2, len(connections) - 1):
            c = connections[i]
            connections[i] = Connection(c.target, c.source, c.delay, c.net_input, "shared")
    text = "a ring with self-loops and shortcuts, inputs into the first unit only"
    return connections, text + (", one weight shared by three connections" if shared else "")
