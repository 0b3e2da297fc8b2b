"""Where units and input lines stand: in columns as signals go, or all on one ring.

Units that hear one another, round about, are one block; what only leads on from block to block is
drawn as columns. Where most of a network is one block, units and input lines stand on a ring: no
straight line between two places of a circle runs through a third.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from derive.network.network import Network
from derive.pictures.curves import Point, Points
from derive.pictures.picture import PictureError

RADIUS = 17.0
"""Of a unit."""
ROW, COLUMN, ALONG = 76.0, 210.0, 92.0
"""Between neighbours of a column, between columns, and along the ring."""


@dataclass(frozen=True, eq=False)
class Places:
    """Where each source stands, units first, and how.

    Attributes
    ----------
    at : array (n + m, 2)
    column : tuple of int, or None
        Of each source; None where they stand on a ring.
    """

    at: Points
    column: tuple[int, ...] | None

    @property
    def middle(self) -> Point:
        """The middle of the ring, or of all there is."""
        low, high = self.at.min(axis=0), self.at.max(axis=0)
        return float((low[0] + high[0]) / 2), float((low[1] + high[1]) / 2)


def _networkx() -> Any:
    try:
        import networkx
    except ImportError:
        raise PictureError(
            "pictures need networkx, which is not installed; pip install 'derive[pictures]'"
        ) from None
    return networkx


def blocks(net: Network) -> list[int]:
    """What each unit is one with to begin with: its population, its cell, or itself alone."""
    if net.populations:
        return [i for i, units in enumerate(net.populations.values()) for _ in units]
    if len(net.cells) > 1:
        return [int(c) for c in net.cell_index]
    return list(range(net.units))


def generations(net: Network) -> tuple[list[list[int]], int]:
    """Units by column, each hearing columns before it and itself; the size of the largest block."""
    nx = _networkx()
    block = blocks(net)
    graph = nx.DiGraph()
    graph.add_nodes_from(range(max(block) + 1))
    w = net.wiring
    between = {
        (block[s], block[t])
        for t, s in zip(w.target.tolist(), w.source.tolist(), strict=True)
        if s < net.units
    }
    graph.add_edges_from(sorted(between))
    whole = nx.condensation(graph)
    found, largest = [], 0
    for generation in nx.topological_generations(whole):
        together = {b for g in generation for b in whole.nodes[g]["members"]}
        found.append([k for k in range(net.units) if block[k] in together])
        for g in generation:
            largest = max(largest, sum(b in whole.nodes[g]["members"] for b in block))
    return found, largest


def placed(net: Network, room: float = 1.0) -> Places:
    """Where everything of a network stands, with more room where there is much to be written."""
    columns, largest = generations(net)
    stated = bool(net.populations) or len(net.cells) > 1
    apart = len(columns) > 1 and (stated or largest <= net.units / 2 or net.units <= 3)
    lines = list(range(net.units, net.units + net.inputs))
    if apart or net.units + net.inputs <= 2:
        return _in_columns(net, [lines, *columns] if lines else columns, room)
    return _on_a_ring(net, room)


def _in_columns(net: Network, columns: list[list[int]], room: float) -> Places:
    at = np.zeros((net.units + net.inputs, 2))
    column = [0] * len(at)
    # High columns stand further apart, so that no arrow is steep.
    apart = max(COLUMN, 0.4 * ROW * max(map(len, columns)))
    for number, members in enumerate(columns):
        for i, member in enumerate(members):
            # A column of one between columns of one would have all arrows on one line.
            drop = (number % 2) * 22.0
            at[member] = number * apart, (i - (len(members) - 1) / 2) * ROW * room + drop
            column[member] = number
    return Places(at, tuple(column))


def _on_a_ring(net: Network, room: float) -> Places:
    """Input lines to the left, units clockwise from above them."""
    total = net.units + net.inputs
    w = net.wiring
    _, together = np.unique(w.target * total + w.source, return_counts=True)
    # Where several connections join two places, these stand further apart.
    room *= min(1 + 0.25 * (int(together.max(initial=1)) - 1), 2.0)
    radius = max(105.0, total * ALONG / (2 * math.pi)) * room
    order = [*range(net.units), *reversed(range(net.units, total))]
    # The middle of the input lines points to the left.
    first = -math.pi + (net.inputs + 1) / 2 * (2 * math.pi / total) if net.inputs else -math.pi / 2
    at = np.zeros((total, 2))
    for i, member in enumerate(order):
        angle = first + i * 2 * math.pi / total
        at[member] = radius * math.cos(angle), radius * math.sin(angle)
    return Places(at, None)
