"""Where everything of a network lives: columns, rows, and the static tables that say so.

The signal vector z(t) holds, in this order, the n unit outputs, the m input lines, and any other
states. Its first n+m entries are the x(t) of Williams & Zipser, so a connection's *source* is
a column of z. Rows of z are times; ``pad`` rows of zeros before time 0 serve the longest delay.

Under teacher forcing the signal of a unit is its target where there is one; what the unit itself
computed then stands in a further column, its *own* one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sympy import Symbol

from derive.calculus.adjoint import CellAdjoint, cell_adjoint
from derive.calculus.partials import SLOPE, LocalSystem, local_system
from derive.calculus.parts import parts_of
from derive.network.network import Network
from derive.program.ir import (
    Index,
    Lookup,
    Loop,
    LoopRole,
    Plus,
    Ref,
    Statement,
    Times,
    Var,
    as_table,
    modulo,
    plus,
    times,
)
from derive.program.kinds import Kind, kinds_of, place_kinds
from derive.program.terms import Judging, place_terms


@dataclass(frozen=True)
class Memory:
    """For how many steps each thing is kept; None for all steps of a call.

    Attributes
    ----------
    signals : int, optional
        Rows of the ring of z.
    tape : int, optional
        Rows of the ring of what the backward equations read besides signals.
    errors : int, optional
        Rows of the ring of injected errors; None where they are not kept but computed from the
        caller's targets on the way back.
    one_step : bool
        Whether the caller's arrays hold one step, as in online learning, and not a sequence.
    steps : index
        Steps that can be kept where there is no ring.
    origin : index
        The time they begin after: what is kept are times origin + 1 … origin + steps, and of
        signals also the times before that delays reach back to.
    later : int
        Times after these whose signals are kept too.
    """

    signals: int | None = None
    tape: int | None = None
    errors: int | None = None
    one_step: bool = False
    steps: Index = Var("T")
    origin: Index = 0
    later: int = 0


@dataclass(frozen=True, eq=False)
class Group:
    """Units that have one cell, in order, and where their quantities live.

    Where units of a cell wait for others at different times, or compute in parts, each such part
    has a group. Every table has one entry per unit of the group.
    """

    number: int
    cell: int
    stage: int
    local: LocalSystem
    adjoint: CellAdjoint
    units: Any
    columns: dict[Symbol, Any]  # what the unit computes → column of z, as it is seen afterwards
    own: dict[Symbol, Any]  # next state → column of z that holds what the unit computed
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
    kinds: tuple[Kind, ...]
    judging: Judging
    width: int  # columns of z
    tape_width: int
    row_count: int  # net inputs over all units
    state_columns: Any  # user's state column → column of z
    tables: dict[str, Any]
    memory: Memory = Memory()
    forced: bool = False
    moved: Any = None
    """For each unit whether something learnt reaches it: nothing has to flow back to others."""
    in_parts: bool = False
    """Whether some unit is computed in parts: its ε(t) and ε(t−1) are then both in use at once."""

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

    def row(self, t: Index, back: Index = 0) -> Index:
        """The row of z that holds time t − back."""
        back = -back if isinstance(back, int) else Times(back, -1)
        row = plus(t, times(self.memory.origin, -1), self.pad, back)
        ring = self.memory.signals
        return row if ring is None else modulo(row, ring)

    def tape_row(self, t: Index) -> Index:
        """The row of the tape that holds time t."""
        ring, row = self.memory.tape, plus(t, times(self.memory.origin, -1), -1)
        return row if ring is None else modulo(row, ring)

    def error_row(self, t: Index) -> Index:
        """The row of the kept errors that holds time t."""
        ring = self.memory.errors
        return plus(t, -1) if ring is None else modulo(plus(t, -1), ring)

    def eps(self, t: Index, column: Index) -> Ref:
        """Where ε(t) of a column stands: in the place of ε(t+1), but for units in parts."""
        return Ref("eps", (modulo(t, 2), column) if self.in_parts else (column,))

    @property
    def eps_shape(self) -> tuple[int, ...]:
        """The extents of ε."""
        return (2, self.width) if self.in_parts else (self.width,)

    def given_row(self, t: Index) -> tuple[Index, ...]:
        """The row of the caller's arrays that holds what is given for time t."""
        return () if self.memory.one_step else (plus(t, -1),)

    @property
    def rows(self) -> Index:
        """How many rows z has."""
        ring = self.memory.signals
        rows = plus(self.memory.steps, 1 + self.pad + self.memory.later)
        return rows if ring is None else ring

    def entry(self, group: Group, kind: str, symbol: Symbol, at: Index) -> Index:
        """The place of one of a group's quantities, for the group's unit ``at``."""
        return Lookup(table_name(group, kind, symbol), at)

    def into(self, kind: Kind, row: Index, body: Any) -> Loop:
        """A loop over a kind's connections into a net input; ``body`` makes statements of c."""
        return self.over(kind.table("first"), row, body, turns=f"w_A{kind.of}")

    def out_of(self, kind: Kind, place: Index, body: Any, turns: str = "w_U") -> Loop:
        """A loop over a kind's connections out of a source."""
        return self.over(kind.table("out_first"), place, body, turns=turns + kind.of)

    def kinds_into(self, group: Group, net_input: Symbol) -> tuple[Kind, ...]:
        """The kinds of connection that lead into a group's net input; one where there is none."""
        found = [k for k in self.kinds if (group.number, net_input.name) in k.enters]
        return tuple(found or self.kinds[:1])

    def own_entry(self, group: Group, state: Symbol, at: Index) -> Index:
        """The column that holds what the group's unit ``at`` itself computed for a state."""
        return self.entry(group, "own" if self.forced else "column", state, at)

    def own_target(self, j: Index) -> Index:
        """The column that holds what target unit j itself computed."""
        return Lookup("target_own" if self.forced else "target_unit", j)

    def own_state(self, at: Index) -> Index:
        """The column that holds what was computed for the user's state column ``at``."""
        return Lookup("own_column" if self.forced else "state_column", at)

    def over(
        self,
        first: str,
        row: Index,
        body: Any,
        var: str = "c",
        role: LoopRole = "connections",
        turns: str = "",
    ) -> Loop:
        """A loop over the entries that a table of starts gives a row; ``body`` takes their place.

        Where all rows have as many entries the table is not needed.
        """
        starts = self.tables[first]
        width = _uniform(np.diff(starts))
        if width is not None:
            c: Index = Plus(Times(row, width), Var(var))
            return Loop(var, 0, width, tuple(body(c)), role, turns=turns)
        stop = Lookup(first, Plus(row, 1))
        span = (0, int(starts[-1]))
        return Loop(
            var, Lookup(first, row), stop, tuple(body(Var(var))), role, span=span, turns=turns
        )

    def for_units(self, group: Group, body: Any, among: str = "") -> tuple[Statement, ...]:
        """A loop over the units of a group; ``body`` makes statements of the place in the group.

        ``among`` names a table with the places of those units that are meant, where not all are.
        """
        if not among:
            statements = tuple(body(Var("k")))
            count = group.size
        else:
            statements = tuple(body(Lookup(among, Var("k"))))
            count = int(self.tables[among].size)
        if not statements or not count:
            return ()
        return (Loop("k", 0, count, statements, "units", turns=self.count_of(group)),)

    def count_of(self, group: Group) -> str:
        """What formulas call the number of a group's units."""
        if len(self.groups) == 1:
            return "n"
        return f"n[{self.group_name(group)}]"

    def group_name(self, group: Group) -> str:
        """The cell's name, and which part or stage of it where there are several."""
        name = self.net.cell_names[group.cell]
        same = [g for g in self.groups if g.cell == group.cell]
        return name if len(same) == 1 else f"{name}.{same.index(group)}"


def table_name(group: Group, kind: str, symbol: Symbol) -> str:
    """The name of a group's table, e.g. ``row_0_s``."""
    plain = symbol.name.replace("⁺", "")
    if SLOPE in plain:
        of, by = plain.split(SLOPE)
        return f"{kind}of_{group.number}_{len(of)}_{of}__{by}"
    return f"{kind}_{group.number}_{plain}"


def lay_out(net: Network, memory: Memory = Memory(), forced: bool = False) -> Layout:
    """Differentiate each distinct cell once and place every unit's quantities.

    Parameters
    ----------
    memory : Memory
        For how many steps things are kept.
    forced : bool
        Whether targets take the place of outputs (teacher forcing).
    """
    ports = np.array([len(net.cells[c].net_inputs) for c in net.cell_index], dtype=np.int64)
    first_row = np.concatenate([[0], np.cumsum(ports)])
    states = np.array([len(net.cells[c].states) for c in net.cell_index], dtype=np.int64)
    first_state = np.concatenate([[0], np.cumsum(states)])
    state_columns = np.empty(int(states.sum()), dtype=np.int64)

    width, tape_width = net.units + net.inputs, 0
    tables: dict[str, Any] = {}
    groups: list[Group] = []
    places: dict[int, dict[Symbol, Any]] = {}
    for number, cell in enumerate(net.cells):
        local = local_system(cell)
        units = np.flatnonzero(net.cell_index == number)
        columns = places[number] = {}
        for i, z in enumerate(local.new):
            if i == local.output:
                columns[z] = units
            else:
                columns[z] = width + np.arange(units.size)
                width += units.size
            state_columns[first_state[units] + i] = columns[z]
    for number, stage, units, part in _parts(net):
        every = np.flatnonzero(net.cell_index == number)
        chosen = np.searchsorted(every, units)
        columns = {z: at[chosen] for z, at in places[number].items()}
        adjoint = cell_adjoint(part)
        kept = {}
        for v in adjoint.remembered:
            kept[v] = tape_width + np.arange(units.size)
            tape_width += units.size
        group = Group(
            len(groups),
            number,
            stage,
            part,
            adjoint,
            units,
            columns,
            dict(columns),
            {
                s: first_row[units] + p
                for p, s in enumerate(local_system(net.cells[number]).net_inputs)
                if s in part.net_inputs
            },
            kept,
            {p: net.unit_parameters[p.name][units] for p in part.parameters},
            {p: net.values[p.name][units] for p in part.fixed},
        )
        groups.append(group)
    for group in groups:
        for v in group.local.computed:
            if v not in group.columns:  # handed on from part to part
                at = width + np.arange(group.size)
                width += group.size
                for other in groups:
                    if other.cell == group.cell and np.array_equal(other.units, group.units):
                        other.columns[v] = other.own[v] = at
    in_parts = sum(g.size for g in groups) > net.units
    own_columns = state_columns.copy()
    target_own = np.array(net.objective.targets, dtype=np.int64)
    if forced:
        further = np.full(net.units, -1)
        further[target_own] = width + np.arange(len(target_own))
        for group in groups:
            output, here = group.local.output, further[group.units]
            own = np.where(here < 0, group.units, here)
            group.own[group.local.new[output]] = own
            own_columns[first_state[group.units] + output] = own
        target_own = further[target_own]
        width += len(target_own)
    own_of_unit = np.arange(net.units)
    own_of_unit[list(net.objective.targets)] = target_own
    judging = place_terms(net, own_of_unit)
    tables.update(judging.tables)
    for group in groups:
        for kind, places in (
            ("column", group.columns),
            ("own", group.own),
            ("row", group.rows),
            ("kept", group.kept),
            ("theta", group.theta),
        ):
            for symbol, values in places.items():
                tables[table_name(group, kind, symbol)] = as_table(values)

    moved = moved_by_learning(net)
    if not moved.all():
        for group in groups:
            tables[f"moved_{group.number}"] = as_table(np.flatnonzero(moved[group.units]))
        tables["moved"] = as_table(np.flatnonzero(moved))
    kinds = kinds_of(net, groups)
    column_of = _heard_columns(net, groups, own=False)
    own_column_of = _heard_columns(net, groups, own=True)
    place_kinds(net, kinds, first_row, column_of, own_column_of, groups, tables)
    if not moved.all():
        unit_of = {int(c): k for of in column_of.values() for k, c in enumerate(of) if c >= 0}
        heard = [moved[unit_of[int(c)]] for c in tables["heard"]]
        tables["heard_moved"] = as_table(np.flatnonzero(np.array(heard, dtype=bool)))
    tables.update(
        state_column=as_table(state_columns),
        own_column=as_table(own_columns),
        target_unit=as_table(net.objective.targets),
        target_own=as_table(target_own),
    )
    return Layout(
        net,
        tuple(groups),
        kinds,
        judging,
        width,
        tape_width,
        int(first_row[-1]),
        state_columns,
        tables,
        memory,
        forced,
        moved,
        in_parts,
    )


def moved_by_learning(net: Network) -> Any:
    """For each unit whether a learnt weight or parameter reaches it, over any number of steps."""
    w = net.wiring
    found = np.zeros(net.units, dtype=bool)
    found[w.target[w.learnt]] = True
    for at in net.unit_parameters.values():
        found |= at >= 0
    from_unit = w.source < net.units
    source, target = w.source[from_unit], w.target[from_unit]
    while True:
        further = found.copy()
        further[target[found[source]]] = True
        if (further == found).all():
            return found
        found = further


def _parts(net: Network) -> list[tuple[int, int, Any, LocalSystem]]:
    """(cell, stage, units, part) of everything that is computed together, in order."""
    found = []
    heard = set(net.wiring.source[net.wiring.delay == 0].tolist())
    for number, cell in enumerate(net.cells):
        local = local_system(cell)
        units = np.flatnonzero(net.cell_index == number)
        first = (0,) * len(local.net_inputs)
        alike: dict[tuple[tuple[int, ...], bool], list[int]] = {}
        for k in units.tolist():
            stages = net.stages.get(k, first)
            # What depends on no net input can wait for the unit's others, if no one hears it.
            alike.setdefault((stages, k in heard if any(stages) else True), []).append(k)
        for (stages, at_once), members in alike.items():
            least = 0 if at_once else min(stages, default=0)
            by = dict(zip(local.net_inputs, stages, strict=True))
            for stage, part in parts_of(local, by, least):
                found.append((number, stage, np.array(members, dtype=np.int64), part))
    # Stable: of one stage, cells stay in the order in which the network lists them.
    return sorted(found, key=lambda part: part[1])


def _heard_columns(net: Network, groups: list[Group], own: bool) -> dict[str, Any]:
    """For each state that is heard by name, the column of z it has in each unit; −1: none."""
    names = {s.hears for c in net.cells for s in c.ports if s.hears is not None}
    found = {name: np.full(net.units, -1, dtype=np.int64) for name in sorted(names)}
    outputs = np.arange(net.units, dtype=np.int64)
    for g in groups:
        columns = g.own if own else g.columns
        outputs[g.units] = columns[g.local.new[g.local.output]]
        for y, z in zip(g.local.old, g.local.new, strict=True):
            if y.name in found:
                found[y.name][g.units] = columns[z]
    return {"": outputs, **found}


def _uniform(widths: Any) -> int | None:
    return int(widths[0]) if widths.size and (widths == widths[0]).all() else None
