"""In which order a step is computed: connections of delay 0 lead from what comes before.

A unit's net inputs are gathered, then its equations computed. Where a net input hears what other
units compute in the same step, theirs must come first; and a unit of which one net input waits for
others may compute in two parts, as a GRU does whose candidate hears r∘h of all units. Each net
input and each equation has a *stage*; what is of one stage can be computed in any order.
"""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

import numpy as np

from derive.errors import NetworkError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from derive.network.cell import Cell
    from derive.network.topology import Integers, Wiring


def stages_of(
    cells: Sequence[Cell], cell_index: Integers, inputs: int, wiring: Wiring
) -> dict[int, tuple[int, ...]]:
    """The stage of each net input, for every unit of which one is not of the first stage.

    Raises
    ------
    NetworkError
        When connections of delay 0 lead in a circle, which is named.
    """
    now = np.flatnonzero(wiring.delay == 0)
    if not now.size:
        return {}
    needs = [cell.needed_net_inputs for cell in cells]
    heard_by: dict[tuple[int, int], set[tuple[int, str]]] = {}
    for c in now.tolist():
        k, port, source = (int(a[c]) for a in (wiring.target, wiring.port, wiring.source))
        of = cells[cell_index[source]]
        heard = cells[cell_index[k]].ports[port].hears or of.output
        heard_by.setdefault((k, port), set()).add((source, heard))
    graph: dict[Any, set[Any]] = {}
    for (k, port), sources in heard_by.items():
        graph[k, port] = set(sources)
        for source, state in sources:
            cell = cell_index[source]
            names = cells[cell].net_inputs
            graph[source, state] = {(source, names.index(s)) for s in needs[cell][state]}
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise NetworkError(_circle(error.args[1], cells, cell_index)) from None
    stage: dict[Any, int] = {}
    for node in order:
        before = [stage[n] for n in graph.get(node, ())]
        # A net input waits for states one stage earlier; a state comes with its net inputs.
        step = 1 if isinstance(node[1], int) and before else 0
        stage[node] = max(before, default=0) + step
    units = sorted({k for k, _ in heard_by})
    return {
        k: tuple(stage.get((k, p), 0) for p in range(len(cells[cell_index[k]].net_inputs)))
        for k in units
    }


def _circle(nodes: Sequence[Any], cells: Sequence[Cell], cell_index: Integers) -> str:
    """The circle in words: units and the net inputs by which each hears the one before."""

    def said(node: Any) -> str:
        k, what = node
        if isinstance(what, int):
            return f"net input {cells[cell_index[k]].net_inputs[what]!r} of unit {k}"
        return f"{what} of unit {k}"

    return (
        "connections of delay 0 lead in a circle: "
        + " → ".join(map(said, nodes))
        + "; give one of them delay 1"
    )
