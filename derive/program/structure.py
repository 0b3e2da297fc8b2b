"""Which sensitivities there are: who can reach whom, decided when the code is made.

The sensitivity p^k_c = ∂y_k/∂θ_c is structurally zero unless a path leads from a unit that θ_c
enters to unit k, and is of no use unless a path leads from k to a unit with a target. What is left
depends on θ_c only through the set of units it reaches, so parameters fall into *blocks* with one
such set each; in a net of one strong component there is a single block of all.

A network whose units do not hear one another (self-loops only) keeps one sensitivity a parameter
instead of n, and one in layers keeps none of a later layer's weights on an earlier layer's units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sympy import Symbol

from derive.calculus.partials import local_system
from derive.calculus.tangent import CellTangent, cell_tangent, part_tangent
from derive.program.layout import Layout

MOST_TERMS = 4_000_000
"""Table entries of sums over connections; nets beyond share coarser blocks."""


@dataclass(frozen=True, eq=False)
class Block:
    """Parameters that reach the same units.

    Attributes
    ----------
    first : int
        Place of its first parameter among all that count.
    parameters : integer array
        Their places in theta, ascending.
    units : integer array
        The units they reach and that reach a target, ascending.
    """

    first: int
    parameters: Any
    units: Any


@dataclass(frozen=True, eq=False)
class Structure:
    """The sensitivities of a network that can differ from zero and are of use."""

    layout: Layout
    tangents: tuple[CellTangent, ...]
    """One per group of the layout."""
    rows: tuple[tuple[Symbol, ...], ...]
    """For each group what its units have sensitivities of: states, then what parts hand on."""
    edges: Any
    """For each connection whether sensitivities pass along it."""
    needed: Any
    """For each unit whether it reaches a target, along edges."""
    blocks: tuple[Block, ...]

    @cached_property
    def order(self) -> Any:
        """Places in theta of the parameters that count, block by block."""
        parts = [b.parameters for b in self.blocks]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)

    @cached_property
    def place(self) -> Any:
        """For each entry of theta its place in ``order``, or their number where it has none."""
        place = np.full(self.layout.net.size, self.order.size, dtype=np.int64)
        place[self.order] = np.arange(self.order.size)
        return place

    @cached_property
    def block_of(self) -> Any:
        """For each entry of theta its block; −1 for those that do not count."""
        found = np.full(self.layout.net.size, -1, dtype=np.int64)
        for b, block in enumerate(self.blocks):
            found[block.parameters] = b
        return found

    @cached_property
    def carried(self) -> Any:
        """For each unit how many of its states have sensitivities."""
        count = np.zeros(self.layout.n, dtype=np.int64)
        for group, row in zip(self.layout.groups, self.rows, strict=True):
            count[group.units] = len(row)
        return count

    @cached_property
    def block_of_connection(self) -> Any:
        """For each connection the block of its weight; −1 where it is fixed or does not count."""
        w = self.layout.net.wiring
        found = np.full(w.size, -1, dtype=np.int64)
        found[w.learnt] = self.block_of[w.weight[w.learnt]]
        return found

    def position(self, name: str) -> Any:
        """For each unit where a state stands in its row; −1 if nowhere. Empty: the output."""
        return _positions(self.layout, self.rows, name)

    @cached_property
    def heard_at(self) -> Any:
        """For each connection where what it carries stands in its source's row; −1: nowhere."""
        return _heard_at(self.layout, self.rows)

    @cached_property
    def stored(self) -> int:
        """Sensitivities of one time."""
        return sum(b.parameters.size * int(self.carried[b.units].sum()) for b in self.blocks)

    @cached_property
    def full(self) -> int:
        """What they would be without structure: one for each state of each unit and parameter."""
        return int(self.carried.sum()) * self.layout.net.size

    @property
    def words(self) -> str:
        """What the structure saves."""
        parameters, used = self.layout.net.size, int(self.order.size)
        said = f"{self.stored} of {self.full} sensitivities are kept and computed"
        if used < parameters:
            none = parameters - used
            said += f"; {none} of {parameters} parameters lead to no target and have none"
        if len(self.blocks) > 1:
            said += f"; {len(self.blocks)} blocks of parameters reach different units"
        return said

    @property
    def is_identity(self) -> bool:
        """Whether every parameter counts, in theta's own order."""
        return bool(np.array_equal(self.order, np.arange(self.layout.net.size)))


def structure(layout: Layout, groups: Sequence[Sequence[int]] | None = None) -> Structure:
    """Find what can reach what.

    Parameters
    ----------
    groups : sequence of sequence of int, optional
        Subgrouping (Zipser 1989): sensitivities are kept only of units and parameters within one
        group, so nothing passes along a connection between two.
    """
    net, w = layout.net, layout.net.wiring
    tangents, rows = _tangents(layout)
    hears = np.zeros(layout.row_count, dtype=bool)
    carried = np.zeros(net.units, dtype=bool)
    for g, tangent, row in zip(layout.groups, tangents, rows, strict=True):
        carried[g.units] = bool(row)
        for s, at in g.rows.items():
            hears[at] = any((z, s) in tangent.slopes for z in g.local.computed)
    port_row = _rows_of(layout)
    entered = hears[port_row]
    from_unit = w.source < net.units
    edges = entered & from_unit & carried[w.target] & (_heard_at(layout, rows) >= 0)
    if groups is not None:
        member = np.empty(net.units, dtype=np.int64)
        for number, group in enumerate(groups):
            member[list(group)] = number
        edges[from_unit] &= member[w.source[from_unit]] == member[w.target[from_unit]]
    ahead: list[set[int]] = [set() for _ in range(net.units)]
    for source, target in zip(w.source[edges].tolist(), w.target[edges].tolist(), strict=True):
        ahead[source].add(target)
    back: list[set[int]] = [set() for _ in range(net.units)]
    for source, targets in enumerate(ahead):
        for target in targets:
            back[target].add(source)
    judged = _positions(layout, rows, "") >= 0
    needed = _closure([1 << k for k in net.objective.targets if judged[k]], back)
    reach = _reach(ahead)
    starts: dict[int, int] = {}
    for c in np.flatnonzero(entered & carried[w.target] & w.learnt).tolist():
        weight = int(w.weight[c])
        further = (int(at[weight]) for at in net.connection_parameters.values())
        for index in (weight, *(i for i in further if i >= 0)):
            starts[index] = starts.get(index, 0) | reach[int(w.target[c])]
    for g, tangent in zip(layout.groups, tangents, strict=True):
        for p, places in g.theta.items():
            if any((z, p) in tangent.slopes for z in g.local.computed):
                for k, index in zip(g.units.tolist(), places.tolist(), strict=True):
                    starts[index] = starts.get(index, 0) | reach[k]
    classes: dict[int, list[int]] = {}
    for index in sorted(starts):
        units = starts[index] & needed
        if units:
            classes.setdefault(units, []).append(index)
    classes = _affordable(classes, w, edges)
    blocks, first = [], 0
    for units, parameters in classes.items():
        blocks.append(Block(first, np.array(parameters, dtype=np.int64), _members(units)))
        first += len(parameters)
    return Structure(
        layout, tangents, rows, edges, np.isin(np.arange(net.units), _members(needed)),
        tuple(blocks),
    )  # fmt: skip


def _tangents(
    layout: Layout,
) -> tuple[tuple[CellTangent, ...], tuple[tuple[Symbol, ...], ...]]:
    """The slopes of each group, and what its units have sensitivities of."""
    net = layout.net
    heard = frozenset(s.hears for c in net.cells for s in c.ports if s.hears is not None)
    whole = [cell_tangent(local_system(cell), heard) for cell in net.cells]
    tangents = tuple(
        whole[g.cell] if g.local is local_system(net.cells[g.cell])
        else part_tangent(g.local, whole[g.cell].carried)
        for g in layout.groups
    )  # fmt: skip
    handed: dict[tuple[int, int], list[Symbol]] = {}
    for g in layout.groups:
        new = set(g.local.new)
        handed.setdefault((g.cell, int(g.units[0])), []).extend(
            v for v in g.local.computed if v not in new
        )
    rows = []
    for g in layout.groups:
        carried = whole[g.cell].carried
        states = [z for y, z in zip(g.local.old, g.local.new, strict=True) if y in carried]
        rows.append(tuple(states + handed[g.cell, int(g.units[0])]) if states else ())
    return tangents, tuple(rows)


def _positions(layout: Layout, rows: tuple[tuple[Symbol, ...], ...], name: str) -> Any:
    found = np.full(layout.n, -1, dtype=np.int64)
    for g, row in zip(layout.groups, rows, strict=True):
        output = g.local.old[g.local.output].name
        for y, z in zip(g.local.old, g.local.new, strict=True):
            if y.name == (name or output) and z in row:
                found[g.units] = row.index(z)
    return found


def _heard_at(layout: Layout, rows: tuple[tuple[Symbol, ...], ...]) -> Any:
    net, w = layout.net, layout.net.wiring
    found = np.full(w.size, -1, dtype=np.int64)
    of_target = net.cell_index[w.target]
    for c, cell in enumerate(net.cells):
        for p, port in enumerate(cell.ports):
            here = (of_target == c) & (w.port == p) & (w.source < net.units)
            found[here] = _positions(layout, rows, port.hears or "")[w.source[here]]
    return found


def _rows_of(layout: Layout) -> Any:
    ports = np.array([len(layout.net.cells[c].net_inputs) for c in layout.net.cell_index])
    first = np.concatenate([[0], np.cumsum(ports)])
    w = layout.net.wiring
    return (first[w.target] + w.port).astype(np.int64)


# --- sets of units as whole numbers, one bit a unit --------------------------------------------


def _members(units: int) -> Any:
    digits = np.frombuffer(bin(units)[2:].encode(), dtype=np.uint8)[::-1]
    return np.flatnonzero(digits == ord("1")).astype(np.int64)


def _closure(start: list[int], edges: list[set[int]]) -> int:
    found = 0
    for bit in start:
        found |= bit
    waiting = _members(found).tolist()
    while waiting:
        for k in edges[waiting.pop()]:
            if not found >> k & 1:
                found |= 1 << k
                waiting.append(k)
    return found


def _reach(ahead: list[set[int]]) -> list[int]:
    """For each unit those it reaches, itself included; repeated until nothing is added."""
    reach = [1 << k for k in range(len(ahead))]
    changed = True
    while changed:
        changed = False
        for k in reversed(range(len(ahead))):
            found = reach[k]
            for target in ahead[k]:
                found |= reach[target]
            if found != reach[k]:
                reach[k], changed = found, True
    return reach


def _affordable(classes: dict[int, list[int]], w: Any, edges: Any) -> dict[int, list[int]]:
    """The classes, merged into one where their tables would be larger than a compiler likes."""
    fan_in = np.bincount(w.target[edges]) if edges.any() else np.zeros(0, dtype=np.int64)
    fan_in = np.append(fan_in, np.zeros(1 + max((u.bit_length() for u in classes), default=0)))
    if sum(fan_in[_members(units)].sum() for units in classes) <= MOST_TERMS:
        return classes
    union, everything = 0, []
    for units, parameters in classes.items():
        union |= units
        everything += parameters
    return {union: sorted(everything)}
