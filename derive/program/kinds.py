"""Kinds of connection: those that add alike to a net input, and are learnt alike, come together.

A kind has a synapse, is learnt or fixed, and is heard in the same step or later. Most networks
have one. The connections of a kind have tables of their own, by target (in canonical order) and by
source, so that a loop over them does the same for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sympy import Symbol

from derive.calculus.synapses import WEIGHT, Synapse, synapse_of
from derive.calculus.synapses import synapse as plain_synapse
from derive.network.network import Network
from derive.program.ir import Index, Lookup, Operand, Ref, as_table

if TYPE_CHECKING:
    from derive.program.layout import Group


FIXED = "fixed_weight"
"""The array of weights that are not learnt."""


@dataclass(frozen=True, eq=False)
class Kind:
    """Connections that add alike to net inputs.

    Attributes
    ----------
    number : int
    of : str
        Tells its numbers from those of other kinds in formulas; empty where there is one kind.
    synapse : Synapse
    learnt : bool
        Whether its weights, and other parameters, are part of theta.
    now : bool
        Whether what it carries is of the same step.
    members : integer array
        Places in the network's wiring, in canonical order.
    enters : frozenset of (int, str)
        The groups, and which of their net inputs, it leads into.
    values : dict
        What its parameters other than weights are where they are not learnt.
    """

    number: int
    of: str
    synapse: Synapse
    learnt: bool
    now: bool
    members: Any
    enters: frozenset[tuple[int, str]]
    values: dict[str, float]

    @property
    def mark(self) -> str:
        """Ends the names of its tables; empty for the first."""
        return f"_{self.number}" if self.number else ""

    def table(self, name: str) -> str:
        """The name of one of its tables."""
        return name + self.mark

    def parameter(self, p: Symbol, c: Index, side: str = "") -> Operand:
        """Where the weight, or another parameter, of its connection c stands."""
        if p != WEIGHT and not self.learnt:
            return self.values[p.name]
        return Ref("theta" if self.learnt else FIXED, (Lookup(self.place_table(p, side), c),))

    def place_table(self, p: Symbol, side: str = "") -> str:
        """The table of places of its connections' weights, or of another parameter of theirs."""
        return self.table(side + ("weight" if p == WEIGHT else f"of_{p.name}"))

    def looked_at(self, y: Symbol, c: Index, side: str = "") -> Index:
        """The column of an old state of the target of its connection c."""
        return Lookup(self.table(f"{side}look_{y.name}"), c)


def kinds_of(net: Network, groups: Sequence[Group]) -> tuple[Kind, ...]:
    """The kinds of a network's connections; one, of no connection, where there is none."""
    w = net.wiring
    synapses: dict[tuple[int, int], Synapse] = {}
    texts: dict[tuple[int, int], str] = {}
    for number, cell in enumerate(net.cells):
        for p, port in enumerate(cell.ports):
            synapses[number, p] = synapse_of(cell, port.name)
            # Expressions that look at a target's state go by the cell: its columns are a table.
            looks = number if synapses[number, p].looked_at else ""
            texts[number, p] = f"{synapses[number, p].expr}/{looks}"
    cell_of = net.cell_index[w.target]
    distinct = sorted(set(texts.values()), key=list(texts.values()).index)
    text = np.zeros(w.size, dtype=np.int64)
    for (number, p), value in texts.items():
        text[(cell_of == number) & (w.port == p)] = distinct.index(value)
    # One number a connection: rows of a table would take a large net a second to sort.
    key = (2 * (w.delay == 0) + ~w.learnt) * max(len(distinct), 1) + text
    group_of = _group_of(net, groups)
    found: list[Kind] = []
    for code in np.unique(key).tolist() if w.size else [0]:
        here = np.flatnonzero(key == code)
        told, which = divmod(code, max(len(distinct), 1))
        now, fixed = divmod(told, 2)
        at = next((at for at, v in texts.items() if distinct and v == distinct[which]), None)
        synapse = plain_synapse() if at is None else synapses[at]  # None: cells hear nothing
        ports = np.unique(w.target[here] * group_of.shape[1] + w.port[here])
        enters = {
            (int(group_of[k, p]), net.cells[net.cell_index[k]].net_inputs[p])
            for k, p in zip(*(a.tolist() for a in divmod(ports, group_of.shape[1])), strict=True)
        }
        number = len(found)
        found.append(
            Kind(number, "", synapse, not fixed, bool(now), here,
                 frozenset(enters), {} if at is None else _values(net, *at))
        )  # fmt: skip
    if len(found) > 1:
        return tuple(replace(kind, of=f"[{kind.number}]") for kind in found)
    return tuple(found)


def _values(net: Network, cell: int, port: int) -> dict[str, float]:
    return {q.name: q.initial for q in net.cells[cell].ports[port].parameters}


def _group_of(net: Network, groups: Sequence[Group]) -> Any:
    """For each unit and net input the group that gathers it."""
    most = max((len(c.net_inputs) for c in net.cells), default=0)
    found = np.full((net.units, max(most, 1)), -1, dtype=np.int64)
    for g in groups:
        names = net.cells[g.cell].net_inputs
        for s in g.rows:
            found[g.units, names.index(s.name)] = g.number
    return found


def place_kinds(
    net: Network,
    kinds: tuple[Kind, ...],
    first_row: Any,
    column_of: dict[str, Any],
    own_column_of: dict[str, Any],
    groups: Sequence[Group],
    tables: dict[str, Any],
) -> None:
    """Add the tables of each kind's connections."""
    w, sources = net.wiring, net.units + net.inputs
    row = (first_row[w.target] + w.port).astype(np.int64)
    heard = _heard_names(net)
    extra = _further_sources(net, heard, column_of)
    tables["heard"] = as_table(extra)
    place = {int(column): sources + i for i, column in enumerate(extra)}
    for kind in kinds:
        at = kind.members
        # Where ε of what is heard stands, which under forcing is not where it was computed.
        into = _columns(net, w.source[at], heard[at], column_of)
        carried = _columns(net, w.source[at], heard[at], own_column_of) if kind.now else into
        out_place = into
        if place:
            out_place = np.array([place.get(v, v) for v in into.tolist()], dtype=np.int64)
        out = np.lexsort((w.delay[at], row[at], out_place))
        found: dict[str, Any] = {
            "first": _starts(row[at], int(first_row[-1])),
            "source": carried,
            "delay": w.delay[at],
            "out_first": _starts(out_place, sources + extra.size),
            "out_row": row[at][out],
            "out_delay": w.delay[at][out],
        }
        if kind.now:
            found["eps"] = into
        for p in kind.synapse.parameters if kind.learnt else (WEIGHT,):
            name = "weight" if p == WEIGHT else f"of_{p.name}"
            where = _places(net, kind, p)
            found[name], found[f"out_{name}"] = where, where[out]
        for y in kind.synapse.looked_at:
            columns_of_y = np.empty(net.units, dtype=np.int64)
            for g in groups:
                of = dict(zip(g.local.old, g.local.new, strict=True))
                if y in of:
                    columns_of_y[g.units] = g.columns[of[y]]
            look = columns_of_y[w.target[at]]
            found[f"look_{y.name}"], found[f"out_look_{y.name}"] = look, look[out]
        tables.update({kind.table(name): as_table(values) for name, values in found.items()})


def _columns(net: Network, source: Any, heard: Any, column_of: dict[str, Any]) -> Any:
    """The column of z that each connection carries."""
    found = source.copy()
    for name in set(heard.tolist()):
        here = (heard == name) & (source < net.units)
        found[here] = column_of[name][source[here]]
    return found


def _places(net: Network, kind: Kind, p: Symbol) -> Any:
    """Each connection's place of a parameter: in theta, or among the fixed values."""
    weight = net.wiring.weight[kind.members]
    if not kind.learnt:
        return weight - net.wiring.weights
    return weight if p == WEIGHT else net.connection_parameters[p.name][weight]


def _heard_names(net: Network) -> Any:
    """For each connection the name of the state it carries; empty for outputs and inputs."""
    w = net.wiring
    names = np.full(w.size, "", dtype=object)
    cell_of = net.cell_index[w.target]
    for c, cell in enumerate(net.cells):
        for p, port in enumerate(cell.ports):
            if port.hears is not None:
                names[(cell_of == c) & (w.port == p) & (w.source < net.units)] = port.hears
    return names


def _further_sources(net: Network, heard: Any, column_of: dict[str, Any]) -> Any:
    """The columns of states that are heard and are no outputs, ascending."""
    columns: list[int] = []
    for name in sorted(set(heard.tolist()) - {""}):
        units = np.unique(net.wiring.source[heard == name])
        columns += column_of[name][units].tolist()
    outputs = set(column_of[""].tolist())
    return np.array(sorted(set(columns) - outputs), dtype=np.int64)


def _starts(key: Any, count: int) -> Any:
    return np.concatenate([[0], np.cumsum(np.bincount(key, minlength=count))])
