"""Where everything of a network lives: columns, rows, and the static tables that say so.

The signal vector z(t) holds, in this order, the n unit outputs, the m input lines, and any other
states. Its first n+m entries are the x(t) of Williams & Zipser, so a connection's *source* is
a column of z. Rows of z are times; ``pad`` rows of zeros before time 0 serve the longest delay.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sympy import Symbol

from derive.calculus.adjoint import CellAdjoint, cell_adjoint
from derive.calculus.partials import (
    Injection,
    LocalSystem,
    Synapse,
    injection,
    local_system,
    synapse,
)
from derive.network.network import Network
from derive.program.ir import Index, Lookup, Loop, LoopRole, Plus, Statement, Times, Var, as_table


@dataclass(frozen=True, eq=False)
class Group:
    """The units that have one cell, in order, and where their quantities live.

    Every table has one entry per unit of the group.
    """

    number: int
    local: LocalSystem
    adjoint: CellAdjoint
    units: Any
    columns: dict[Symbol, Any]  # next state → column of z
    rows: dict[Symbol, Any]  # net input → row of the connection table
    kept: dict[Symbol, Any]  # remembered quantity → column of the tape
    theta: dict[Symbol, Any]  # trainable parameter → place in theta
    fixed: dict[Symbol, Any]  # fixed parameter → value

    @property
    def size(self) -> int:
        """How many units there are."""
        return int(self.units.size)


@dataclass(frozen=True, eq=False)
class Layout:
    """A network laid out in memory, with what the calculus says of its parts."""

    net: Network
    groups: tuple[Group, ...]
    synapse: Synapse
    injection: Injection
    width: int  # columns of z
    tape_width: int
    row_count: int  # net inputs over all units
    state_columns: Any  # user's state column → column of z
    tables: dict[str, Any]

    @property
    def n(self) -> int:
        """Units."""
        return self.net.units

    @property
    def m(self) -> int:
        """Input lines."""
        return self.net.inputs

    @property
    def longest(self) -> int:
        """The longest delay; also the number of slots δ needs."""
        return self.net.wiring.longest_delay

    @property
    def pad(self) -> int:
        """Rows of z before time 0."""
        return self.longest - 1

    @cached_property
    def fan_in(self) -> int | None:
        """Connections per net input, where that is the same for all."""
        return _uniform(np.diff(self.tables["first"]))

    @cached_property
    def fan_out(self) -> int | None:
        """Connections per source, where that is the same for all."""
        return _uniform(np.diff(self.tables["out_first"]))

    def entry(self, group: Group, kind: str, symbol: Symbol, at: Index) -> Index:
        """The place of one of a group's quantities, for the group's unit ``at``."""
        return Lookup(table_name(group, kind, symbol), at)

    def into(self, row: Index, body: Any) -> Loop:
        """A loop over the connections into a net input; ``body`` makes statements of index c."""
        return self._over("first", row, self.fan_in, body)

    def out_of(self, column: Index, body: Any) -> Loop:
        """A loop over the connections out of a source."""
        return self._over("out_first", column, self.fan_out, body)

    def _over(self, first: str, row: Index, width: int | None, body: Any) -> Loop:
        role: LoopRole = "connections"
        if width is not None:
            c: Index = Plus(Times(row, width), Var("c"))
            return Loop("c", 0, width, tuple(body(c)), role)
        stop = Lookup(first, Plus(row, 1))
        span = (0, self.net.wiring.size)
        return Loop("c", Lookup(first, row), stop, tuple(body(Var("c"))), role, span=span)

    def for_units(self, group: Group, body: Any) -> tuple[Statement, ...]:
        """A loop over the units of a group; ``body`` makes statements of the place in the group."""
        statements = tuple(body(Var("k")))
        return (Loop("k", 0, group.size, statements, "units"),) if statements else ()


def table_name(group: Group, kind: str, symbol: Symbol) -> str:
    """The name of a group's table, e.g. ``row_0_s``."""
    plain = symbol.name.replace("⁺", "")
    return f"{kind}_{group.number}_{plain}"


def lay_out(net: Network) -> Layout:
    """Differentiate each distinct cell once and place every unit's quantities."""
    wiring = net.wiring
    ports = np.array([len(net.cells[c].net_inputs) for c in net.cell_index], dtype=np.int64)
    first_row = np.concatenate([[0], np.cumsum(ports)])
    states = np.array([len(net.cells[c].states) for c in net.cell_index], dtype=np.int64)
    first_state = np.concatenate([[0], np.cumsum(states)])
    state_columns = np.empty(int(states.sum()), dtype=np.int64)

    width, tape_width = net.units + net.inputs, 0
    tables: dict[str, Any] = {}
    groups = []
    for number, cell in enumerate(net.cells):
        local = local_system(cell)
        adjoint = cell_adjoint(local)
        units = np.flatnonzero(net.cell_index == number)
        columns = {}
        for i, z in enumerate(local.new):
            if i == local.output:
                columns[z] = units
            else:
                columns[z] = width + np.arange(units.size)
                width += units.size
            state_columns[first_state[units] + i] = columns[z]
        kept = {}
        for v in adjoint.remembered:
            kept[v] = tape_width + np.arange(units.size)
            tape_width += units.size
        group = Group(
            number,
            local,
            adjoint,
            units,
            columns,
            {s: first_row[units] + p for p, s in enumerate(local.net_inputs)},
            kept,
            {p: net.unit_parameters[p.name][units] for p in local.parameters},
            {p: net.values[p.name][units] for p in local.fixed},
        )
        groups.append(group)
        for kind, places in (
            ("column", columns),
            ("row", group.rows),
            ("kept", kept),
            ("theta", group.theta),
        ):
            for symbol, values in places.items():
                tables[table_name(group, kind, symbol)] = as_table(values)

    row = first_row[wiring.target] + wiring.port
    rows, sources = int(first_row[-1]), net.units + net.inputs
    out = np.lexsort((wiring.delay, row, wiring.source))
    tables.update(
        first=as_table(_starts(row, rows)),
        source=as_table(wiring.source),
        delay=as_table(wiring.delay),
        weight=as_table(wiring.weight),
        out_first=as_table(_starts(wiring.source, sources)),
        out_row=as_table(row[out]),
        out_delay=as_table(wiring.delay[out]),
        out_weight=as_table(wiring.weight[out]),
        state_column=as_table(state_columns),
        target_unit=as_table(net.objective.targets),
    )
    return Layout(
        net,
        tuple(groups),
        synapse(),
        injection(net.objective),
        width,
        tape_width,
        rows,
        state_columns,
        tables,
    )


def _starts(key: Any, count: int) -> Any:
    return np.concatenate([[0], np.cumsum(np.bincount(key, minlength=count))])


def _uniform(widths: Any) -> int | None:
    return int(widths[0]) if widths.size and (widths == widths[0]).all() else None
