"""Many sweeps back at once: one for each state whose sensitivities are wanted.

A sweep seeded with ∂⁺y_k(t) = 1 and no injected errors gives row k of the sensitivities,

    p^k_ij(t) = Σ_τ δ^k_i(τ) x_j(τ−1) + Σ_l ζ^k_l(t₀) p^l_ij(t₀),

since what flows back linearly is the derivative of y_k(t) (Schmidhuber 1992). All of them pass
the same units and connections with the same slopes, so each number of a sweep is a run of
neighbouring numbers here, one for each seed q. Sensitivities stand parameter by parameter:
entry ``start[c] + i`` of ``p`` is that of the i-th seed which parameter c reaches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sympy
from sympy import Symbol

from derive.calculus.partials import SOURCE, WEIGHT
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
from derive.program.judgement import cleared_where, forced_at
from derive.program.layout import Group, Layout
from derive.program.sensitivities import P, slopes
from derive.program.storage import ZERO, clear, copy, in_order, local_name, scalar
from derive.program.structure import Structure
from derive.program.sweep import DELTA, across_connections, slot, source, weight

ZETA = Symbol("ζ", real=True)


@dataclass(frozen=True, eq=False)
class Seeds:
    """Where the sweeps' numbers stand; the tables are added to those of the layout."""

    structure: Structure
    count: int
    """Q: seeds, one for each state that counts."""
    size: int
    """Sensitivities of one time."""
    widest: int
    """Most seeds one parameter reaches."""

    @property
    def layout(self) -> Layout:
        """The network's layout."""
        return self.structure.layout


def seeds_of(structure: Structure) -> Seeds:
    """Number the seeds, and place every parameter's sensitivities."""
    layout, w = structure.layout, structure.layout.net.wiring
    carried, needed = structure.carried * structure.needed, structure.needed
    first_seed = np.concatenate([[0], np.cumsum(carried)]).astype(np.int64)
    tables: dict[str, Any] = {}
    output_seed = np.zeros(layout.n, dtype=np.int64)
    for g, tangent in zip(layout.groups, structure.tangents, strict=True):
        tables[f"alive_{g.number}"] = np.flatnonzero(needed[g.units] & bool(tangent.carried))
        for i, y in enumerate(tangent.carried):
            tables[f"seed_{g.number}_{y.name}"] = first_seed[g.units] + i
            if y == g.local.old[g.local.output]:
                output_seed[g.units] = first_seed[g.units] + i
    tables["output_seed"] = output_seed
    seed_column = np.zeros(int(first_seed[-1]), dtype=np.int64)
    for g, tangent in zip(layout.groups, structure.tangents, strict=True):
        new = dict(zip(g.local.old, g.local.new, strict=True))
        for i, y in enumerate(tangent.carried):
            alive = needed[g.units]
            seed_column[first_seed[g.units[alive]] + i] = g.columns[new[y]][alive]
    tables["seed_column"] = seed_column
    block_seeds = [
        np.concatenate([first_seed[k] + np.arange(carried[k]) for k in b.units.tolist()])
        for b in structure.blocks
    ]
    lengths = [len(s) for s in block_seeds]
    before = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    of_column = np.repeat(
        np.arange(len(lengths)), [b.parameters.size for b in structure.blocks]
    ).astype(np.int64)
    length = np.array(lengths, dtype=np.int64)[of_column]
    start = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
    tables["block_seed"] = np.concatenate(block_seeds) if block_seeds else []
    tables["column_seeds"], tables["column_length"] = before[:-1][of_column], length
    tables["column_start"] = start[:-1]
    tables["order"] = structure.order

    # What enters a net input, and what flows back to a source, among what counts.
    ports = np.array([len(layout.net.cells[c].net_inputs) for c in layout.net.cell_index])
    first_row = np.concatenate([[0], np.cumsum(ports)]).astype(np.int64)
    row = first_row[w.target] + w.port
    counts = (structure.block_of[w.weight] >= 0) & needed[w.target]
    for g, tangent in zip(layout.groups, structure.tangents, strict=True):
        for s, net_rows in g.rows.items():
            if not any((z, s) in tangent.slopes for z in g.local.new):
                counts &= ~np.isin(row, net_rows)
    _ragged(tables, "gather", row, np.flatnonzero(counts), layout.row_count)
    tables["gather_column"] = structure.place[w.weight[tables["gather_connection"]]]
    passing = structure.edges & needed[w.target]
    ordered = np.lexsort((w.delay, row, w.source))
    _ragged(tables, "pass", w.source, ordered[passing[ordered]], layout.n)
    chosen = tables["pass_connection"]
    tables["pass_row"], tables["pass_delay"] = row[chosen], w.delay[chosen]
    tables["pass_weight"] = w.weight[chosen]
    tables["alive"] = np.flatnonzero(needed & (structure.carried > 0))
    tables["alive_target"] = [
        j for j, k in enumerate(layout.net.objective.targets) if structure.carried[k]
    ]
    for g, tangent in zip(layout.groups, structure.tangents, strict=True):
        for p, places in g.theta.items():
            if any((z, p) in tangent.slopes for z in g.local.new):
                tables[f"parameter_{g.number}_{p.name}"] = structure.place[places]
    layout.tables.update({name: as_table(values) for name, values in tables.items()})
    return Seeds(structure, int(first_seed[-1]), int(start[-1]), int(length.max(initial=0)))


def _ragged(tables: dict[str, Any], name: str, key: Any, chosen: Any, rows: int) -> None:
    """Starts per row, and the chosen connections in the rows' order."""
    keys = key[chosen]
    starts = np.bincount(keys, minlength=rows) if len(keys) else np.zeros(rows, np.int64)
    tables[f"{name}_first"] = np.concatenate([[0], np.cumsum(starts)]).astype(np.int64)
    tables[f"{name}_connection"] = chosen[np.argsort(keys, kind="stable")]


def seed_arrays(seeds: Seeds) -> dict[str, Array]:
    """ζ, the sweeps' δ, what they gather, and the sensitivities at both ends of a window."""
    layout = seeds.layout
    role: Role = "state" if layout.memory.one_step else "work"
    Q = seeds.count
    found = [
        Array("p", (2, layout.longest, seeds.size), role, True, "sensitivities at a window's ends"),
        Array("zeta", (Q, Q), "work", True, "∂⁺y_k(t)/∂y_l(τ) for each seed k"),
        Array("delta_k", (layout.longest, layout.row_count, Q), "work", True,
              "∂⁺y_k(t)/∂s_l(τ) for each seed k"),
        Array("gathered", (seeds.size,), "work", True, "sensitivities of the window's own part"),
    ]  # fmt: skip
    for g, tangent in zip(layout.groups, seeds.structure.tangents, strict=True):
        names = [local_name(e.symbol) for e in tangent.equations]
        names += [_seed_local(z) for z in g.local.new]
        found += [Array(name, (), "scalar", True) for name in names]
    return {a.name: a for a in found}


def _seed_local(z: Symbol) -> str:
    return "zeta_" + local_name(z)


def renew(seeds: Seeds, b: Index, start: Index, end: Index, h: int) -> tuple[Statement, ...]:
    """The sensitivities at the end of window b, from those at its start."""
    layout, lag = seeds.layout, Var("lag")
    swept = min(h, layout.longest)
    seed = Assign(Ref("zeta", (Var("q"), Var("q"))), sympy.S.One)
    sweep = (
        clear("zeta", (seeds.count, seeds.count)),
        Loop("q", 0, seeds.count, (seed,), "copy"),
        clear("delta_k", (layout.longest, layout.row_count, seeds.count)),
        clear("gathered", (seeds.size,)),
        Loop(
            "u",
            plus(start, 1),
            plus(end, Times(lag, -1) if layout.longest > 1 else 0, 1),
            _back(seeds, Var("u")),
            "time",
            backward=True,
            turns=f"{swept}·h − {swept * (swept - 1) // 2}" if swept > 1 else "h",
        ),
        *_boundary(seeds, b, start),
        _keep(seeds, plus(b, 1), lag if layout.longest > 1 else 0),
    )
    if layout.longest == 1:
        return sweep
    out: list[Statement] = [Loop("lag", 0, swept, sweep, "time")]
    if swept < layout.longest:
        # So long ago that it lies in the window before.
        i = Var("i")
        new = Ref("p", (modulo(plus(b, 1), 2), lag, i))
        old = Ref("p", (modulo(b, 2), plus(lag, -h), i))
        again = Loop("i", 0, seeds.size, (copy(new, old),), "columns")
        out.append(Loop("lag", swept, layout.longest, (again,), "copy"))
    return tuple(out)


def _keep(seeds: Seeds, b: Index, lag: Index) -> Statement:
    i = Var("i")
    put = copy(Ref("p", (modulo(b, 2), lag, i)), Ref("gathered", (i,)))
    return Loop("i", 0, seeds.size, (put,), "columns")


def _back(seeds: Seeds, t: Index) -> tuple[Statement, ...]:
    """One step back of all sweeps."""
    layout = seeds.layout
    body: list[Statement] = []
    if layout.forced:
        j = Lookup("alive_target", Var("j"))
        unit = Lookup("output_seed", Lookup("target_unit", j))
        ref = Ref("zeta", (unit, Var("q")))
        it = _over_seeds(seeds, (cleared_where(ref, forced_at(layout, t, j, kept=True)),))
        count = int(layout.tables["alive_target"].size)
        body.append(Loop("j", 0, count, (it,), "targets", turns="n_T"))
    for g, tangent in zip(layout.groups, seeds.structure.tangents, strict=True):
        if tangent.carried:
            among = f"alive_{g.number}"
            loops = layout.for_units(g, lambda k, g=g: _unit(seeds, g, k, t), among)
            named = _alive(layout, g)
            body += [replace(it, turns=named) for it in loops if isinstance(it, Loop)]
    body.append(_across(seeds, plus(t, -1)))
    return tuple(body)


def _over_seeds(seeds: Seeds, body: tuple[Statement, ...], turns: str = "") -> Loop:
    return Loop("q", 0, seeds.count, body, "columns", turns=turns)


def _alive(layout: Layout, g: Group) -> str:
    """What formulas call the units of a group from which a path leads to a target."""
    return "n_R" + layout.count_of(g).removeprefix("n")


def _unit(seeds: Seeds, g: Group, k: Index, t: Index) -> list[Statement]:
    layout, tangent, local = seeds.layout, seeds.structure.tangents[g.number], g.local
    new = dict(zip(local.old, local.new, strict=True))
    body = slopes(layout, g, tangent.equations, k, t)

    def at(y: Symbol, q: Index) -> Ref:
        return Ref("zeta", (layout.entry(g, "seed", y, k), q))

    def through(by: Symbol, read: Any) -> tuple[Any, tuple[tuple[Symbol, Operand], ...]]:
        """Σ over next states of ζ_z·∂⁺z/∂by."""
        terms, reads = [], []
        for y in tangent.carried:
            if slope := tangent.slope(new[y], by):
                zeta = Symbol(f"ζ_{y.name}", real=True)
                terms.append(slope * zeta)
                reads += [(slope, scalar(slope)), (zeta, read(y))]
        return sympy.Add(*terms), tuple(dict(reads).items())

    for p in local.parameters:
        table = f"parameter_{g.number}_{p.name}"
        if table in layout.tables:
            column = Lookup(table, k)
            expr, reads = through(p, lambda y, c=column: at(y, _seed(c, Var("i"))))
            add = Assign(_gathered(column, Var("i")), expr, reads, accumulate=True)
            cell = layout.net.cell_names[g.number]
            body.append(_over_column(seeds, column, (add,), f"p[{cell}.{p.name}]"))
    locally = {y: Ref(_seed_local(new[y])) for y in tangent.carried}
    q = Var("q")
    inner: list[Statement] = [copy(locally[y], at(y, q)) for y in tangent.carried]
    heard = [s for s in local.net_inputs if any((z, s) in tangent.slopes for z in local.new)]
    for s in heard:
        expr, reads = through(s, locally.__getitem__)
        row = layout.entry(g, "row", s, k)
        inner.append(Assign(Ref("delta_k", (slot(layout, t), row, q)), expr, reads))
    for y in tangent.carried:
        expr, reads = through(y, locally.__getitem__)
        inner.append(Assign(at(y, q), expr, reads))
    body.append(_over_seeds(seeds, tuple(inner), f"Q·{_alive(layout, g)}"))
    for s in heard:
        row = layout.entry(g, "row", s, k)
        body.append(layout.over("gather_first", row, lambda e, row=row: _gather(seeds, e, row, t)))
    return body


def _gather(seeds: Seeds, e: Index, row: Index, t: Index) -> list[Statement]:
    """∂y_k/∂w += δ^k·x for every seed that the weight reaches."""
    layout = seeds.layout
    c, column = Lookup("gather_connection", e), Lookup("gather_column", e)
    expr = DELTA * layout.synapse.by_weight
    delta = Ref("delta_k", (slot(layout, t), row, _seed(column, Var("i"))))
    reads: dict[Symbol, Operand] = {
        DELTA: delta, WEIGHT: weight(c), SOURCE: source(layout, c, t),
    }  # fmt: skip
    target = _gathered(column, Var("i"))
    add = Assign(target, expr, tuple((v, reads[v]) for v in in_order(expr)), accumulate=True)
    return [_over_column(seeds, column, (add,), "p_w")]


def _seed(column: Index, i: Index) -> Index:
    """The i-th seed that a parameter reaches."""
    return Lookup("block_seed", plus(Lookup("column_seeds", column), i))


def _gathered(column: Index, i: Index) -> Ref:
    return Ref("gathered", (plus(Lookup("column_start", column), i),))


def _over_column(seeds: Seeds, column: Index, body: tuple[Statement, ...], turns: str = "") -> Loop:
    stop = Lookup("column_length", column)
    return Loop("i", 0, stop, body, "columns", span=(0, seeds.widest), turns=turns)


def _across(seeds: Seeds, t: Index) -> Loop:
    """ζ_l(t) += Σ over the connections out of l of δ^k(t + delay)·∂(contribution)/∂(source)."""
    layout, q = seeds.layout, Var("q")
    unit = Lookup("alive", Var("l"))
    expr = DELTA * layout.synapse.by_source

    def add(e: Index) -> list[Statement]:
        then = plus(t, Lookup("pass_delay", e))
        reads: dict[Symbol, Operand] = {
            DELTA: Ref("delta_k", (slot(layout, then), Lookup("pass_row", e), q)),
            WEIGHT: Ref("theta", (Lookup("pass_weight", e),)),
        }
        into = Ref("zeta", (Lookup("output_seed", unit), q))
        term = Assign(into, expr, tuple((v, reads[v]) for v in in_order(expr)), accumulate=True)
        return [_over_seeds(seeds, (term,), "Q·w_P")]

    count = int(layout.tables["alive"].size)
    return Loop("l", 0, count, (layout.over("pass_first", unit, add),), "units")


# --- the edge of a window ----------------------------------------------------------------------


def _boundary(seeds: Seeds, b: Index, start: Index) -> tuple[Statement, ...]:
    """Σ over lags r and states l of ζ_l(start − r)·p^l(start − r), added to what was gathered."""
    longest = seeds.layout.longest
    first = _through_boundary(seeds, b, 0)
    if longest == 1:
        return (first,)
    r = Var("r")
    earlier = (*_earlier(seeds, start, r), _through_boundary(seeds, b, r))
    return (first, Loop("r", 1, longest, earlier, "copy"))


def _through_boundary(seeds: Seeds, b: Index, r: Index) -> Loop:
    c, j = Var("c"), Var("j")
    reads = (
        (P, Ref("p", (modulo(b, 2), r, plus(Lookup("column_start", c), j)))),
        (ZETA, Ref("zeta", (_seed(c, j), _seed(c, Var("i"))))),
    )
    add = Assign(_gathered(c, Var("i")), P * ZETA, reads, accumulate=True)
    stop = Lookup("column_length", c)
    states = Loop(
        "j", 0, stop, (_over_column(seeds, c, (add,), "r"),), "units", span=(0, seeds.widest)
    )
    return Loop("c", 0, int(seeds.structure.order.size), (states,), "units")


def _earlier(seeds: Seeds, start: Index, r: Index) -> tuple[Statement, ...]:
    """ζ(start − r): only connections that skip the window's start lead there."""
    layout = seeds.layout
    # One ring further, so that no time is negative.
    before = plus(start, Times(r, -1), layout.longest)
    row, q = Var("row"), Var("q")
    none = Assign(Ref("delta_k", (slot(layout, plus(before, 1)), row, q)), ZERO)
    quiet = Loop("row", 0, layout.row_count, (_over_seeds(seeds, (none,)),), "units")
    return quiet, clear("zeta", (seeds.count, seeds.count)), _across(seeds, before)


def weigh_boundary(seeds: Seeds, b: Index, start: Index) -> tuple[Statement, ...]:
    """∂J/∂θ += Σ over lags r and states l of ε_l(start − r)·p^l(start − r)."""
    layout = seeds.layout
    first = _weigh(seeds, b, 0)
    if layout.longest == 1:
        return (first,)
    r, row = Var("r"), Var("row")
    before = plus(start, Times(r, -1), layout.longest)
    none = Assign(Ref("delta", (slot(layout, plus(before, 1)), row)), ZERO)
    earlier = (
        Loop("row", 0, layout.row_count, (none,), "copy"),
        clear("eps", (layout.width,)),
        *across_connections(layout, before, 0, layout.n, "eps"),
        _weigh(seeds, b, r),
    )
    return (first, Loop("r", 1, layout.longest, earlier, "copy"))


def _weigh(seeds: Seeds, b: Index, r: Index) -> Loop:
    c, i = Var("c"), Var("i")
    eps = Ref("eps", (Lookup("seed_column", _seed(c, i)),))
    reads = (
        (P, Ref("p", (modulo(b, 2), r, plus(Lookup("column_start", c), i)))),
        (ZETA, eps),
    )
    add = Assign(Ref("sum"), P * ZETA, reads, accumulate=True)
    total = Ref("grad_theta", (Lookup("order", c),))
    body = (copy(Ref("sum"), total), _over_column(seeds, c, (add,), "p"), copy(total, Ref("sum")))
    return Loop("c", 0, int(seeds.structure.order.size), body, "units")
