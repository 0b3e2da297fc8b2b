"""What formulas of cost call the numbers of a network: n units, w_A weights, p sensitivities.

They are counted from the network and from the structure of its sensitivities, not from a Program:
a Program's loops say by these names how often they run, and one statement can be held against the
other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from derive.network.network import Network
from derive.program.layout import Layout, lay_out
from derive.program.structure import Structure

MEANINGS = {
    "n": "units",
    "m": "input lines",
    "N": "states of all units",
    "S": "net inputs of all units",
    "D": "longest delay",
    "n_T": "units with targets",
    "n_H": "states that are heard and are no outputs",
    "w_U": "connections from units",
    "w_I": "connections from input lines",
    "w_A": "connections, each with its weight",
    "θ": "parameters",
    "h": "steps of a window",
    "h′": "steps between updates",
    "L": "steps of the history",
    "K": "steps of a segment",
    "C": "segments",
    "g": "groups of units",
    "p": "sensitivities kept, each of a state by a parameter",
    "q": "products of a weight and a sensitivity in a step of RTRL",
    "p_T": "sensitivities of units that are judged",
    "Q": "states whose sensitivities are kept",
    "n_R": "units from which a path leads to a target",
    "w_R": "connections whose weights have sensitivities",
    "w_P": "connections that pass sensitivities on",
    "p_w": "sensitivities by weights, counted once a connection",
    "r": "squares of the sensitivities by one parameter, summed over parameters",
}
"""Each name and what it counts; ``n[cell]`` is the part of n that has that cell.

Where a cell's units wait for others at different times, or compute in parts, ``n[cell.0]`` are
those of the first; where connections are of several kinds, ``w_A[0]`` are those of the first.
"""


def census(net: Network, structure: Structure | None = None) -> dict[str, int]:
    """Every name with its number.

    Parameters
    ----------
    structure : Structure, optional
        Which sensitivities an algorithm keeps, where it keeps any.
    """
    wiring = net.wiring
    from_units = int((wiring.source < net.units).sum())
    found = {
        "n": net.units,
        "m": net.inputs,
        "N": len(net.states),
        "S": sum(len(net.cells[c].net_inputs) for c in net.cell_index),
        "D": wiring.longest_delay,
        "n_T": len(net.objective.targets),
        "w_U": from_units,
        "w_I": wiring.size - from_units,
        "w_A": wiring.size,
        "θ": net.size,
    }
    for number, name in enumerate(net.cell_names):
        found[f"n[{name}]"] = int((net.cell_index == number).sum())
    layout = lay_out(net) if structure is None else structure.layout
    found |= _in_parts(layout)
    return found if structure is None else found | _sensitivities(structure)


def _in_parts(layout: Layout) -> dict[str, int]:
    """The numbers of each group of units and each kind of connection, where there are several."""
    found = {f"n[{layout.group_name(g)}]": g.size for g in layout.groups}
    heard = int(layout.tables["heard"].size)
    if heard:
        found["n_H"] = heard
    for kind in layout.kinds if len(layout.kinds) > 1 else ():
        from_units = int((layout.net.wiring.source[kind.members] < layout.n).sum())
        later = 0 if kind.now else from_units
        found[f"w_A{kind.of}"] = int(kind.members.size)
        found[f"w_U{kind.of}"] = later
        found[f"w_I{kind.of}"] = int(kind.members.size) - from_units
    return found


def _sensitivities(structure: Structure) -> dict[str, int]:
    layout = structure.layout
    wiring = layout.net.wiring
    carried, needed = structure.carried, structure.needed
    judged = np.array(layout.judging.units, dtype=np.int64)
    width = np.array([b.parameters.size for b in structure.blocks], dtype=np.int64)
    length = np.array([carried[b.units].sum() for b in structure.blocks], dtype=np.int64)
    block = structure.block_of_connection
    counts = (block >= 0) & needed[wiring.target] & _is_heard(structure)
    products = np.zeros(wiring.size, dtype=np.int64)
    for b in structure.blocks:
        inside = np.isin(wiring.source, b.units) & np.isin(wiring.target, b.units)
        products += b.parameters.size * (structure.edges & inside)
    passing = structure.edges & needed[wiring.target]
    found = {
        "p": structure.stored,
        "q": int(products.sum()),
        "p_T": sum(b.parameters.size * int(np.isin(b.units, judged).sum())
                   for b in structure.blocks),
        "Q": int((carried * needed).sum()),
        "n_R": int(needed.sum()),
        "w_R": int(counts.sum()),
        "w_P": int(passing.sum()),
        "p_w": int(length[block[counts]].sum()),
        "r": int((width * length**2).sum()),
    }  # fmt: skip
    for kind in layout.kinds if len(layout.kinds) > 1 else ():
        at = kind.members
        found[f"q{kind.of}"] = int(products[at].sum())
        found[f"w_R{kind.of}"] = int(counts[at].sum())
        found[f"w_P{kind.of}"] = int(passing[at].sum())
        found[f"p_w{kind.of}"] = int(length[block[at][counts[at]]].sum())
    for g, tangent in zip(layout.groups, structure.tangents, strict=True):
        cell = layout.group_name(g)
        alive = g.units[needed[g.units]]
        found[f"n_R[{cell}]"] = int(alive.size)
        found[f"p[{cell}]"] = sum(
            b.parameters.size * int(carried[b.units[np.isin(b.units, g.units)]].sum())
            for b in structure.blocks
        )
        for p, places in g.theta.items():
            if any((z, p) in tangent.slopes for z in g.local.computed):
                own = structure.block_of[places[needed[g.units]]]
                found[f"p[{cell}.{p.name}]"] = int(length[own].sum())
    return found


def _is_heard(structure: Structure) -> Any:
    """For each connection whether a slope leads from its net input to a next state."""
    layout, wiring = structure.layout, structure.layout.net.wiring
    ports = [len(layout.net.cells[c].net_inputs) for c in layout.net.cell_index]
    first = np.concatenate([[0], np.cumsum(ports)]).astype(np.int64)
    heard = np.zeros(layout.row_count, dtype=bool)
    for g, tangent in zip(layout.groups, structure.tangents, strict=True):
        for s, rows in g.rows.items():
            heard[rows] = any((z, s) in tangent.slopes for z in g.local.computed)
    return heard[first[wiring.target] + wiring.port]


def same_here(
    net: Network, values: Mapping[str, int], structure: Structure | None
) -> dict[str, str]:
    """Names that in this network stand for what a shorter one says, as products of names.

    A part that is the whole (every unit reaches a target) is called as the whole is.
    """
    groups = () if structure is None else structure.layout.groups
    cells = [structure.layout.group_name(g) for g in groups] if structure and groups[1:] else []
    short = {"D": "1"} if values["D"] == 1 else {}
    if values["N"] == values["n"]:
        short["N"] = "n"
    if values["S"] == values["n"]:
        short["S"] = "n"
    if net.size == net.wiring.size == net.wiring.weights:
        short["θ"] = "w_A"
    if structure is None:
        return short
    if (structure.carried == 1).all() and structure.needed.all():
        short["Q"] = "n"
    for part, whole in [("n_R", "n"), ("w_R", "w_A"), ("w_P", "w_U"), ("p_T", "p"),
                        *((f"n_R[{c}]", f"n[{c}]") for c in cells)]:  # fmt: skip
        if values[part] == values[whole]:
            short[part] = whole
    if net.size == net.wiring.size == net.wiring.weights == values["w_R"]:
        short["p_w"] = "p"
    if values["r"] == values["Q"] * values["p"]:
        short["r"] = "Q·p"
    for g in structure.layout.groups:
        cell = structure.layout.group_name(g)
        units = f"n[{cell}]" if cells else "n"
        for p in g.theta:
            name = f"p[{cell}.{p.name}]"
            if values.get(name) == values["Q"] * values[units]:
                short[name] = f"Q·{units}"
    return short
