"""Sensitivities carried forward in time: one row of them for each unit and block of parameters.

    p_z(t) = Σ_s ∂⁺z/∂s · (Σ_c w_c p_source(t − delay) + 1{θ = w_c} x) + Σ_y ∂⁺z/∂y · p_y(t−1) + …

with the slopes that :mod:`derive.calculus.tangent` found for the cell. A *row* belongs to a unit
and a block (:mod:`derive.program.structure`), has one entry per parameter of the block for each
carried state of the unit, and stands in one flat array ``p`` for each of the last ``longest`` + 1
times; what follows a long one up to the next whole vector is not used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sympy
from sympy import Symbol

from derive.calculus.partials import SOURCE
from derive.calculus.synapses import WEIGHT
from derive.program.ir import (
    Array,
    Assign,
    Index,
    Lookup,
    Loop,
    Operand,
    Ref,
    Role,
    Statement,
    Times,
    Var,
    as_table,
    modulo,
    plus,
)
from derive.program.judgement import cleared_where, for_judged, for_targets, forced_at
from derive.program.kinds import Kind
from derive.program.layout import Group, Layout
from derive.program.storage import ZERO, copy, in_order, local_name, scalar
from derive.program.structure import Structure
from derive.program.sweep import accumulate, at_connection, places, reads_of, shared_first

BROUGHT = Ref("brought")
"""The local variable that holds a slope along a connection."""

VECTOR, WIDE = 8, 64
"""Rows of so many entries, and in a row those of each state, begin at multiples of the former: of
whole vectors of float64, and half a one at most of float32. Shorter rows stand close together."""

P, SUM = Symbol("p", real=True), Symbol("Σ", real=True)


@dataclass(frozen=True, eq=False)
class Rows:
    """Where each row of sensitivities stands, and the tables that say what it is made of."""

    structure: Structure
    size: int
    """Sensitivities of one time."""
    widest: int
    count: int

    @property
    def layout(self) -> Layout:
        """The network's layout, with the tables of the rows."""
        return self.structure.layout

    @property
    def slots(self) -> int:
        """Times that are kept: as many as the longest delay, and the one being computed."""
        return self.layout.longest + 1

    def of(self, row: Index, state: int = 0) -> Index:
        """The place in ``p`` of the first entry of a row's carried state."""
        skip = Times(Lookup("row_stride", row), state) if state else 0
        return plus(Lookup("row_start", row), skip)

    def entry(self, t: Index, at: Index) -> Ref:
        """An entry of ``p`` at time t."""
        return Ref("p", (modulo(t, self.slots), at))


def rows_of(structure: Structure) -> Rows:
    """Lay the rows out, unit by unit, and add their tables to those of the layout."""
    layout, carried = structure.layout, structure.carried
    pairs = sorted((k, b) for b, block in enumerate(structure.blocks) for k in block.units.tolist())
    row_of = {pair: r for r, pair in enumerate(pairs)}
    width = np.array([structure.blocks[b].parameters.size for _, b in pairs], dtype=np.int64)
    stride = np.where(width < WIDE, width, -(-width // VECTOR) * VECTOR)
    entries = stride * np.array([carried[k] for k, _ in pairs], dtype=np.int64)
    start = np.concatenate([[0], np.cumsum(entries)]).astype(np.int64)
    first = np.zeros(layout.n + 1, dtype=np.int64)
    for k, _ in pairs:
        first[k + 1] += 1
    tables: dict[str, Any] = {
        "row_first": np.cumsum(first),
        "row_width": width,
        "row_stride": stride,
        "row_start": start[:-1],
        "row_column": np.array([structure.blocks[b].first for _, b in pairs], dtype=np.int64),
    }
    output_at = structure.position("")

    def start_of(k: int, b: int, position: int) -> int:
        r = row_of[k, b]
        return int(start[r] + stride[r] * position)

    for g in layout.groups:
        for s, net_rows in g.rows.items():
            begins = dict(zip(g.units.tolist(), net_rows.tolist(), strict=True))
            for kind in layout.kinds_into(g, s):
                found = _kind_tables(structure, kind, begins, pairs, row_of, start_of)
                name = f"{g.number}_{s.name}{kind.mark}"
                tables |= {f"{key}_{name}": v for key, v in found.items()}
        for p, where in g.theta.items():
            at, own_first = [], [0]
            index_of = dict(zip(g.units.tolist(), where.tolist(), strict=True))
            for k, b in pairs:
                if k in index_of and structure.block_of[index_of[k]] == b:
                    at.append(int(structure.place[index_of[k]]) - structure.blocks[b].first)
                own_first.append(len(at))
            tables[f"of_first_{g.number}_{p.name}"] = own_first
            tables[f"of_at_{g.number}_{p.name}"] = at
    at, first_target = [], [0]
    for k in layout.judging.units:
        at += [row_of[k, b] for b in range(len(structure.blocks)) if (k, b) in row_of]
        first_target.append(len(at))
    tables["target_first"], tables["target_row"] = first_target, at
    tables["target_start"] = [start_of(*pairs[r], int(output_at[pairs[r][0]])) for r in at]
    tables["order"] = structure.order
    layout.tables.update({name: as_table(values) for name, values in tables.items()})
    return Rows(structure, int(start[-1]), int(width.max(initial=0)), len(pairs))


def _kind_tables(
    structure: Structure,
    kind: Kind,
    begins: dict[int, int],
    pairs: list[tuple[int, int]],
    row_of: dict[tuple[int, int], int],
    start_of: Callable[[int, int, int], int],
) -> dict[str, list[int]]:
    """Of a kind's connections into one net input: those that bring p, and own weights, by row."""
    layout, w = structure.layout, structure.layout.net.wiring
    first_of = layout.tables[kind.table("first")]
    found: dict[str, list[int]] = {
        "term_first": [0], "term_weight": [], "term_delay": [], "term_start": [],
        "term_connection": [], "own_first": [0], "own_connection": [],
        **{f"own_at{told(p)}": [] for p in kind.synapse.parameters},
    }  # fmt: skip
    for k, b in pairs:
        places = range(first_of[begins[k]], first_of[begins[k] + 1]) if k in begins else ()
        for place in places:
            c = int(kind.members[place])
            source = int(w.source[c])
            if structure.edges[c] and (source, b) in row_of:
                found["term_weight"].append(int(w.weight[c]))
                found["term_delay"].append(int(w.delay[c]))
                found["term_start"].append(start_of(source, b, structure.heard_at[c]))
                found["term_connection"].append(place)
            if structure.block_of_connection[c] == b:
                found["own_connection"].append(place)
                for p in kind.synapse.parameters:
                    at = int(structure.place[layout.tables[kind.place_table(p)][place]])
                    found[f"own_at{told(p)}"].append(at - structure.blocks[b].first)
        found["term_first"].append(len(found["term_weight"]))
        found["own_first"].append(len(found["own_connection"]))
    return found


def told(p: Symbol) -> str:
    """Tells the parameters of a synapse apart in names of tables; a weight needs no mark."""
    return "" if p == WEIGHT else f"_{p.name}"


def sensitivity_arrays(rows: Rows) -> dict[str, Array]:
    """The sensitivities, a sum for each net input of a cell, and the gradient by their order."""
    role: Role = "state" if rows.layout.memory.one_step else "work"
    found = {
        "p": Array("p", (rows.slots, rows.size), role, True, "sensitivities ∂y/∂θ"),
    }
    found[BROUGHT.array] = Array(BROUGHT.array, (), "scalar", True)
    for g in rows.layout.groups:
        for s in g.local.net_inputs:
            name = _sum(g, s)
            found[name] = Array(name, (rows.widest,), "work", True, f"sensitivity of {s.name}")
    return found | slope_locals(rows.structure)


def slope_locals(structure: Structure) -> dict[str, Array]:
    """The local variables of slopes."""
    names = (local_name(e.symbol) for t in structure.tangents for e in t.equations)
    return {name: Array(name, (), "scalar", True) for name in names}


def _sum(g: Group, s: Symbol) -> str:
    return f"p_{g.number}_{s.name}"


def carry(rows: Rows, t: Index) -> tuple[Statement, ...]:
    """The sensitivities of time t from those before it."""
    body: list[Statement] = []
    for g, row in zip(rows.layout.groups, rows.structure.rows, strict=True):
        if any(v in row for v in g.local.computed):
            body += rows.layout.for_units(g, lambda k, g=g: _unit(rows, g, k, t))
    return tuple(body)


def _unit(rows: Rows, g: Group, k: Index, t: Index) -> list[Statement]:
    layout, tangent = rows.layout, rows.structure.tangents[g.number]
    body = slopes(layout, g, tangent.equations, k, t)
    unit = layout.entry(g, "column", g.local.new[g.local.output], k)  # an output's is its unit's
    body.append(layout.over("row_first", unit, lambda r: _row(rows, g, k, r, t), "r", "units"))
    return body


def slopes(layout: Layout, g: Group, equations: Any, k: Index, t: Index) -> list[Statement]:
    """The slopes of a unit's next states at time t, each in a local variable."""
    place = places(layout, g, k, t, inner_from_tape=True)
    body: list[Statement] = []
    for e in equations:
        place[e.symbol] = scalar(e.symbol)
        reads = tuple((v, place[v]) for v in in_order(e.expr))
        body.append(Assign(scalar(e.symbol), e.expr, reads))
    return body


def _row(rows: Rows, g: Group, k: Index, r: Index, t: Index) -> list[Statement]:
    layout, tangent, local = rows.layout, rows.structure.tangents[g.number], g.local
    row = rows.structure.rows[g.number]
    heard = [s for s in local.net_inputs if any((z, s) in tangent.slopes for z in local.computed)]
    body: list[Statement] = []
    for s in heard:
        body += _net_input(rows, g, s, r, t)
    new = dict(zip(local.old, local.new, strict=True))
    updates: list[Statement] = []
    computed = [(i, z) for i, z in enumerate(row) if z in local.computed]
    for i, z in computed:
        terms, reads = [], []
        for s in heard:
            if slope := tangent.slope(z, s):
                sum_s = Symbol(f"Σ_{s.name}", real=True)
                terms.append(slope * sum_s)
                reads += [(slope, scalar(slope)), (sum_s, Ref(_sum(g, s), (Var("i"),)))]
        for v in (*tangent.carried, *local.links):
            if slope := tangent.slope(z, v):
                p_v = Symbol(f"p_{v.name}", real=True)
                terms.append(slope * p_v)
                at, when = row.index(new.get(v, v)), t if v in local.links else plus(t, -1)
                there = rows.entry(when, plus(rows.of(r, at), Var("i")))
                reads += [(slope, scalar(slope)), (p_v, there)]
        here = rows.entry(t, plus(rows.of(r, i), Var("i")))
        updates.append(Assign(here, sympy.Add(*terms), tuple(dict(reads).items())))
    of_group = layout.count_of(g).removeprefix("n")
    kept = f"p{of_group}" + (f"/{len(row)}" if len(row) > 1 else "")
    body.append(across(rows, r, tuple(updates), kept))
    for p in local.parameters:
        name = f"{g.number}_{p.name}"
        for i, z in computed:
            if slope := tangent.slope(z, p):

                def add(
                    q: Index, i: int = i, slope: Symbol = slope, name: str = name
                ) -> list[Statement]:
                    at = plus(rows.of(r, i), Lookup(f"of_at_{name}", q))
                    return [Assign(rows.entry(t, at), SOURCE, ((SOURCE, scalar(slope)),), True)]

                body.append(layout.over(f"of_first_{name}", r, add, "q", turns=f"n_R{of_group}"))
    return body


def _net_input(rows: Rows, g: Group, s: Symbol, r: Index, t: Index) -> list[Statement]:
    """The sensitivities of a net input: what its sources carry, then its own weights' part."""
    into = _sum(g, s)
    body: list[Statement] = [across(rows, r, (Assign(Ref(into, (Var("i"),)), ZERO),), "")]
    kinds = rows.layout.kinds_into(g, s)
    body += [_carried(rows, kind, f"{g.number}_{s.name}{kind.mark}", into, r, t) for kind in kinds]
    return body + [
        _own(rows, kind, f"{g.number}_{s.name}{kind.mark}", into, r, t)
        for kind in kinds
        if kind.learnt
    ]


def _carried(rows: Rows, kind: Kind, name: str, into: str, r: Index, t: Index) -> Loop:
    """What a kind's connections bring from their sources: ∂(contribution)/∂x·p_source."""
    layout, expr = rows.layout, kind.synapse.by_source

    def term(q: Index) -> list[Statement]:
        back = 0 if kind.now else Times(Lookup(f"term_delay_{name}", q), -1)
        start = Lookup(f"term_start_{name}", q)
        p = rows.entry(plus(t, back, rows.slots), plus(start, Var("i")))
        if expr == WEIGHT and kind.learnt:
            reads: dict[Symbol, Operand] = {
                WEIGHT: Ref("theta", (Lookup(f"term_weight_{name}", q),)), P: p
            }  # fmt: skip
            add = Assign(Ref(into, (Var("i"),)), expr * P, reads_of(expr * P, reads), True)
            return [across(rows, r, (add,), f"q{kind.of}")]
        # A slope that is no constant is found once, not once for each sensitivity.
        place = at_connection(layout, kind, Lookup(f"term_connection_{name}", q), t)
        body, (found,), place = shared_first(kind, (expr,), place)
        body.append(Assign(BROUGHT, found, reads_of(found, place)))
        add = Assign(Ref(into, (Var("i"),)), SUM * P, ((P, p), (SUM, BROUGHT)), True)
        return [*body, across(rows, r, (add,), f"q{kind.of}")]

    return layout.over(f"term_first_{name}", r, term, "q")


def _own(rows: Rows, kind: Kind, name: str, into: str, r: Index, t: Index) -> Loop:
    """1{θ = w_c}·∂(contribution)/∂w, and so for a connection's other parameters."""

    def own(q: Index) -> list[Statement]:
        c = Lookup(f"own_connection_{name}", q)
        targets = {
            Ref(into, (Lookup(f"own_at{told(p)}_{name}", q),)): kind.synapse.partials[p]
            for p in kind.synapse.parameters
        }
        return accumulate(rows.layout, kind, c, t, targets)

    return rows.layout.over(f"own_first_{name}", r, own, "q", turns=f"w_R{kind.of}")


def across(rows: Rows, r: Index, body: tuple[Statement, ...], turns: str) -> Loop:
    """A loop over the entries of a row."""
    width = Lookup("row_width", r)
    return Loop("i", 0, width, body, "columns", span=(0, rows.widest), turns=turns)


def weigh(rows: Rows, t: Index, into: str = "along") -> tuple[Statement, ...]:
    """∂J(t)/∂θ += Σ_k e_k(t)·p_k(t), by the order of the blocks."""
    layout, j = rows.layout, Var("j")
    error = Ref("error", (layout.error_row(t), j))

    def row(q: Index) -> list[Statement]:
        r = Lookup("target_row", q)
        at = plus(Lookup("target_start", q), Var("i"))
        target = Ref(into, (plus(Lookup("row_column", r), Var("i")),))
        reads = ((P, rows.entry(t, at)), (SUM, Ref("error_j")))
        return [across(rows, r, (Assign(target, SUM * P, reads, True),), "p_T")]

    loop = layout.over("target_first", j, row, "q", "units")
    return (for_judged(layout, (copy(Ref("error_j"), error), loop)),)


def forget_forced(rows: Rows, t: Index) -> tuple[Statement, ...]:
    """The sensitivities of an output that was forced at time t are zero from here on."""
    layout, j = rows.layout, Var("j")
    if not layout.forced:
        return ()

    def row(q: Index) -> list[Statement]:
        at = plus(Lookup("target_start", q), Var("i"))
        ref = rows.entry(t, at)
        mask = forced_at(layout, t, j, kept=True)
        return [across(rows, Lookup("target_row", q), (cleared_where(ref, mask),), "p_T")]

    return (for_targets(layout, (layout.over("target_first", j, row, "q", "units"),)),)


def scatter(structure: Structure, source_name: str = "along") -> tuple[Statement, ...]:
    """The gradient in theta's own order, from that of the blocks.

    It is added to what is there, if terms in learned parameters are.
    """
    if not structure.order.size:
        return ()
    i = Var("i")
    put = copy(Ref("grad_theta", (Lookup("order", i),)), Ref(source_name, (i,)))
    if structure.layout.judging.penalties:
        put = replace(put, accumulate=True)
    return (Loop("i", 0, int(structure.order.size), (put,), "columns"),)
