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
from derive.program.judgement import cleared_where, forced_at
from derive.program.kinds import Kind
from derive.program.layout import Group, Layout
from derive.program.sensitivities import BROUGHT, P, slope_locals, slopes, told
from derive.program.storage import ZERO, clear, copy, local_name, scalar
from derive.program.structure import Structure
from derive.program.sweep import (
    DELTA,
    across_connections,
    at_connection,
    in_reverse,
    reads_of,
    shared_first,
    slot,
)

ZETA, SLOPE_ALONG = Symbol("ζ", real=True), Symbol("∂s/∂x", real=True)


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
    by_unit: bool
    """Whether outputs alone are heard, so that what flows back is gathered unit by unit."""

    @property
    def layout(self) -> Layout:
        """The network's layout."""
        return self.structure.layout

    def zeta(self, t: Index, state: Index, seed: Index) -> Ref:
        """Where ζ of a state at time t stands; see :meth:`Layout.eps`."""
        at = (modulo(t, 2),) if self.layout.in_parts else ()
        return Ref("zeta", (*at, state, seed))

    @property
    def zeta_shape(self) -> tuple[int, ...]:
        """The extents of ζ."""
        return (2,) * self.layout.in_parts + (self.count, self.count)


def seeds_of(structure: Structure) -> Seeds:
    """Number the seeds, and place every parameter's sensitivities."""
    layout, w = structure.layout, structure.layout.net.wiring
    carried, needed = structure.carried * structure.needed, structure.needed
    first_seed = np.concatenate([[0], np.cumsum(carried)]).astype(np.int64)
    tables: dict[str, Any] = {}
    output_at, seed_of = structure.position(""), np.zeros(layout.n, dtype=np.int64)
    seed_column = np.zeros(int(first_seed[-1]), dtype=np.int64)
    for g, kept in zip(layout.groups, structure.rows, strict=True):
        alive = needed[g.units] & any(v in kept for v in g.local.computed)
        tables[f"alive_{g.number}"] = np.flatnonzero(alive)
        for i, v in enumerate(kept):
            tables[f"seed_{g.number}_{_plain(v)}"] = first_seed[g.units] + i
            here = needed[g.units]
            seed_column[first_seed[g.units[here]] + i] = g.columns[v][here]
        seed_of[g.units] = first_seed[g.units] + np.maximum(output_at[g.units], 0)
    tables["output_seed"] = seed_of
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
    counts = (structure.block_of_connection >= 0) & needed[w.target]
    for g, tangent in zip(layout.groups, structure.tangents, strict=True):
        for s, net_rows in g.rows.items():
            if not any((z, s) in tangent.slopes for z in g.local.computed):
                counts &= ~np.isin(row, net_rows)
    passing = structure.edges & needed[w.target]
    source = np.minimum(w.source, layout.n - 1)
    heard_seed = first_seed[source] + np.maximum(structure.heard_at, 0)
    by_unit = not layout.tables["heard"].size
    for kind in layout.kinds:
        at, mark = kind.members, kind.mark
        found: dict[str, Any] = {}
        _ragged(found, "gather", row[at], np.flatnonzero(counts[at]), layout.row_count)
        for p in kind.synapse.parameters if kind.learnt else ():
            where = layout.tables[kind.place_table(p)][found["gather_connection"]]
            found[f"gather_column{told(p)}"] = structure.place[where]
        if kind.now:
            _ragged(found, "now", row[at], np.flatnonzero(passing[at]), layout.row_count)
            found["now_seed"] = heard_seed[at[found["now_connection"]]]
        else:
            # By unit where outputs alone are heard; else by seed, as every state has one.
            key = w.source if by_unit else heard_seed
            ordered = np.lexsort((w.delay[at], row[at], key[at]))
            rows_of_it = layout.n if by_unit else int(first_seed[-1])
            _ragged(found, "pass", key[at], ordered[passing[at[ordered]]], rows_of_it)
            chosen = at[found["pass_connection"]]
            found["pass_row"], found["pass_delay"] = row[chosen], w.delay[chosen]
            found["pass_weight"] = w.weight[chosen]
        tables.update({name + mark: values for name, values in found.items()})
    tables["alive"] = np.flatnonzero(needed & (structure.carried > 0))
    tables["heard_seed"] = np.unique(heard_seed[passing])
    tables["alive_target"] = [
        j for j, k in enumerate(layout.net.objective.targets) if structure.carried[k]
    ]
    for g, tangent in zip(layout.groups, structure.tangents, strict=True):
        for p, places in g.theta.items():
            if any((z, p) in tangent.slopes for z in g.local.computed):
                tables[f"parameter_{g.number}_{p.name}"] = structure.place[places]
    layout.tables.update({name: as_table(values) for name, values in tables.items()})
    widest = int(length.max(initial=0))
    return Seeds(structure, int(first_seed[-1]), int(start[-1]), widest, by_unit)


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
        Array("zeta", seeds.zeta_shape, "work", True, "∂⁺y_k(t)/∂y_l(τ) for each seed k"),
        Array("delta_k", (layout.longest, layout.row_count, Q), "work", True,
              "∂⁺y_k(t)/∂s_l(τ) for each seed k"),
        Array("gathered", (seeds.size,), "work", True, "sensitivities of the window's own part"),
    ]  # fmt: skip
    names = [_seed_local(z) for g in layout.groups for z in g.local.computed]
    found += [Array(name, (), "scalar", True) for name in (*names, BROUGHT.array)]
    return {a.name: a for a in found} | slope_locals(seeds.structure)


def _plain(v: Symbol) -> str:
    """The name in tables of what has a seed: a state's, or that of what parts hand on."""
    return v.name.replace("⁺", "") if v.name.endswith("⁺") else f"_{v.name}"


def _seed_local(z: Symbol) -> str:
    return "zeta_" + local_name(z)


def renew(seeds: Seeds, b: Index, start: Index, end: Index, h: int) -> tuple[Statement, ...]:
    """The sensitivities at the end of window b, from those at its start."""
    layout, lag = seeds.layout, Var("lag")
    swept = min(h, layout.longest)
    ending = plus(end, Times(lag, -1) if layout.longest > 1 else 0)
    seed = Assign(seeds.zeta(ending, Var("q"), Var("q")), sympy.S.One)
    sweep = (
        clear("zeta", seeds.zeta_shape),
        Loop("q", 0, seeds.count, (seed,), "copy"),
        clear("delta_k", (layout.longest, layout.row_count, seeds.count)),
        clear("gathered", (seeds.size,)),
        Loop(
            "u",
            plus(start, 1),
            plus(ending, 1),
            _back(seeds, Var("u"), ending),
            "time",
            backward=True,
            turns=f"{swept}·h − {swept * (swept - 1) // 2}" if swept > 1 else "h",
        ),
        *_boundary(seeds, b, start, ending),
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


def _back(seeds: Seeds, t: Index, last: Index) -> tuple[Statement, ...]:
    """One step back of all sweeps."""
    layout = seeds.layout
    body: list[Statement] = []
    if layout.forced:
        j = Lookup("alive_target", Var("j"))
        unit = Lookup("output_seed", Lookup("target_unit", j))
        ref = seeds.zeta(t, unit, Var("q"))
        it = _over_seeds(seeds, (cleared_where(ref, forced_at(layout, t, j, kept=True)),))
        count = int(layout.tables["alive_target"].size)
        body.append(Loop("j", 0, count, (it,), "targets", turns="n_T"))
    for g in in_reverse(layout):
        row = seeds.structure.rows[g.number]
        if any(v in row for v in g.local.computed):
            among = f"alive_{g.number}"
            loops = layout.for_units(g, lambda k, g=g: _unit(seeds, g, k, t), among)
            named = _alive(layout, g)
            body += [replace(it, turns=named) for it in loops if isinstance(it, Loop)]
    body.append(_across(seeds, plus(t, -1), last))
    return tuple(body)


def _over_seeds(seeds: Seeds, body: tuple[Statement, ...], turns: str = "") -> Loop:
    return Loop("q", 0, seeds.count, body, "columns", turns=turns)


def _alive(layout: Layout, g: Group) -> str:
    """What formulas call the units of a group from which a path leads to a target."""
    return "n_R" + layout.count_of(g).removeprefix("n")


def _unit(seeds: Seeds, g: Group, k: Index, t: Index) -> list[Statement]:
    layout, tangent, local = seeds.layout, seeds.structure.tangents[g.number], g.local
    new = dict(zip(local.old, local.new, strict=True))
    mine = [v for v in seeds.structure.rows[g.number] if v in local.computed]
    body = slopes(layout, g, tangent.equations, k, t)

    def at(v: Symbol, q: Index, time: Index = t) -> Ref:
        return seeds.zeta(time, Lookup(f"seed_{g.number}_{_plain(v)}", k), q)

    def through(by: Symbol, read: Any) -> tuple[Any, tuple[tuple[Symbol, Operand], ...]]:
        """Σ over what is computed of ζ_z·∂⁺z/∂by."""
        terms, reads = [], []
        for z in mine:
            if slope := tangent.slope(z, by):
                zeta = Symbol(f"ζ_{z.name.removesuffix('⁺')}", real=True)
                terms.append(slope * zeta)
                reads += [(slope, scalar(slope)), (zeta, read(z))]
        return sympy.Add(*terms), tuple(dict(reads).items())

    for p in local.parameters:
        table = f"parameter_{g.number}_{p.name}"
        if table in layout.tables:
            column = Lookup(table, k)
            expr, reads = through(p, lambda z, c=column: at(z, _seed(c, Var("i"))))
            add = Assign(_gathered(column, Var("i")), expr, reads, accumulate=True)
            cell = layout.group_name(g)
            body.append(_over_column(seeds, column, (add,), f"p[{cell}.{p.name}]"))
    locally = {z: Ref(_seed_local(z)) for z in mine}
    q = Var("q")
    inner: list[Statement] = [copy(locally[z], at(z, q)) for z in mine]
    heard = [s for s in local.net_inputs if any((z, s) in tangent.slopes for z in local.computed)]
    for s in heard:
        expr, reads = through(s, locally.__getitem__)
        row = layout.entry(g, "row", s, k)
        inner.append(Assign(Ref("delta_k", (slot(layout, t), row, q)), expr, reads))
    if layout.in_parts:
        inner += [Assign(at(z, q), ZERO) for z in mine]
        for v in (*tangent.carried, *local.links):
            expr, reads = through(v, locally.__getitem__)
            if expr != 0:
                into = at(v, q) if v in local.links else at(new[v], q, plus(t, -1))
                inner.append(Assign(into, expr, reads, accumulate=True))
    else:
        for y in tangent.carried:
            expr, reads = through(y, locally.__getitem__)
            inner.append(Assign(at(new[y], q), expr, reads))
    body.append(_over_seeds(seeds, tuple(inner), f"Q·{_alive(layout, g)}"))
    for s in heard:
        row = layout.entry(g, "row", s, k)
        for kind in layout.kinds_into(g, s):
            if kind.learnt:
                first = kind.table("gather_first")
                body.append(
                    layout.over(
                        first, row, lambda e, kind=kind, row=row: _gather(seeds, kind, e, row, t)
                    )
                )
            if kind.now:
                first = kind.table("now_first")
                body.append(
                    layout.over(
                        first, row, lambda e, kind=kind, row=row: _now(seeds, kind, e, row, t)
                    )
                )
    return body


def _now(seeds: Seeds, kind: Kind, e: Index, row: Index, t: Index) -> list[Statement]:
    """ζ of what a connection of delay 0 carries, which is of the same step."""
    layout, q = seeds.layout, Var("q")
    c = Lookup(kind.table("now_connection"), e)
    before, slope, reads = _slope(kind, kind.synapse.by_source, at_connection(layout, kind, c, t))
    delta = Ref("delta_k", (slot(layout, t), row, q))
    into = seeds.zeta(t, Lookup(kind.table("now_seed"), e), q)
    add = Assign(into, DELTA * slope, ((DELTA, delta), *reads), accumulate=True)
    return [*before, _over_seeds(seeds, (add,), f"Q·w_P{kind.of}")]


def _slope(
    kind: Kind, expr: Any, place: dict[Symbol, Operand]
) -> tuple[list[Statement], Any, tuple[tuple[Symbol, Operand], ...]]:
    """A slope along a connection: itself where it is a number read, else found once before."""
    if expr.is_Symbol:
        return [], expr, ((expr, place[expr]),)
    body, (found,), place = shared_first(kind, (expr,), place)
    body.append(Assign(BROUGHT, found, reads_of(found, place)))
    return body, SLOPE_ALONG, ((SLOPE_ALONG, BROUGHT),)


def _gather(seeds: Seeds, kind: Kind, e: Index, row: Index, t: Index) -> list[Statement]:
    """∂y_k/∂w += δ^k·x for every seed that the weight reaches, and so for further parameters."""
    layout = seeds.layout
    c = Lookup(kind.table("gather_connection"), e)
    place = at_connection(layout, kind, c, t)
    body: list[Statement] = []
    for p in kind.synapse.parameters:
        column = Lookup(kind.table(f"gather_column{told(p)}"), e)
        before, slope, reads = _slope(kind, kind.synapse.partials[p], place)
        delta = Ref("delta_k", (slot(layout, t), row, _seed(column, Var("i"))))
        target = _gathered(column, Var("i"))
        both = sorted([(DELTA, delta), *reads], key=lambda r: r[0].name)
        add = Assign(target, DELTA * slope, tuple(both), accumulate=True)
        body += [*before, _over_column(seeds, column, (add,), f"p_w{kind.of}")]
    return body


def _seed(column: Index, i: Index) -> Index:
    """The i-th seed that a parameter reaches."""
    return Lookup("block_seed", plus(Lookup("column_seeds", column), i))


def _gathered(column: Index, i: Index) -> Ref:
    return Ref("gathered", (plus(Lookup("column_start", column), i),))


def _over_column(seeds: Seeds, column: Index, body: tuple[Statement, ...], turns: str = "") -> Loop:
    stop = Lookup("column_length", column)
    return Loop("i", 0, stop, body, "columns", span=(0, seeds.widest), turns=turns)


def _across(seeds: Seeds, t: Index, last: Index, turned: int = 0) -> Loop:
    """ζ_l(t) += Σ over the connections out of l of δ^k(t + delay)·∂(contribution)/∂(source).

    There are signals up to time ``last``. Rings of ζ and δ are read as if ``turned`` steps later.
    """
    layout, q = seeds.layout, Var("q")
    sources = "alive" if seeds.by_unit else "heard_seed"
    place = Lookup(sources, Var("l"))
    seed = Lookup("output_seed", place) if seeds.by_unit else place
    loops = []
    for kind in layout.kinds:
        if kind.now:
            continue

        def add(e: Index, kind: Kind = kind) -> list[Statement]:
            then = plus(t, Lookup(kind.table("pass_delay"), e))
            ring = slot(layout, plus(then, turned))
            delta = Ref("delta_k", (ring, Lookup(kind.table("pass_row"), e), q))
            expr = kind.synapse.by_source
            if expr == WEIGHT and kind.learnt:
                at: dict[Symbol, Operand] = {
                    WEIGHT: Ref("theta", (Lookup(kind.table("pass_weight"), e),))
                }
            else:
                at = at_connection(
                    layout, kind, Lookup(kind.table("pass_connection"), e), then, last
                )
            before, slope, reads = _slope(kind, expr, at)
            both = sorted([(DELTA, delta), *reads], key=lambda r: r[0].name)
            into = seeds.zeta(plus(t, turned), seed, q)
            term = Assign(into, DELTA * slope, tuple(both), accumulate=True)
            return [*before, _over_seeds(seeds, (term,), f"Q·w_P{kind.of}")]

        loops.append(layout.over(kind.table("pass_first"), place, add))
    count = int(layout.tables[sources].size)
    return Loop("l", 0, count, tuple(loops), "units")


# --- the edge of a window ----------------------------------------------------------------------


def _boundary(seeds: Seeds, b: Index, start: Index, last: Index) -> tuple[Statement, ...]:
    """Σ over lags r and states l of ζ_l(start − r)·p^l(start − r), added to what was gathered."""
    longest = seeds.layout.longest
    first = _through_boundary(seeds, b, 0, start)
    if longest == 1:
        return (first,)
    r = Var("r")
    before = plus(start, Times(r, -1))
    earlier = (
        *_earlier(seeds, before, last),
        _through_boundary(seeds, b, r, plus(before, longest)),
    )
    return (first, Loop("r", 1, longest, earlier, "copy"))


def _through_boundary(seeds: Seeds, b: Index, r: Index, t: Index) -> Loop:
    c, j = Var("c"), Var("j")
    reads = (
        (P, Ref("p", (modulo(b, 2), r, plus(Lookup("column_start", c), j)))),
        (ZETA, seeds.zeta(t, _seed(c, j), _seed(c, Var("i")))),
    )
    add = Assign(_gathered(c, Var("i")), P * ZETA, reads, accumulate=True)
    stop = Lookup("column_length", c)
    states = Loop(
        "j", 0, stop, (_over_column(seeds, c, (add,), "r"),), "units", span=(0, seeds.widest)
    )
    return Loop("c", 0, int(seeds.structure.order.size), (states,), "units")


def _earlier(seeds: Seeds, before: Index, last: Index) -> tuple[Statement, ...]:
    """ζ(start − r): only connections that skip the window's start lead there."""
    layout = seeds.layout
    row, q = Var("row"), Var("q")
    later = plus(before, layout.longest, 1)  # one ring further, so that no time is negative
    none = Assign(Ref("delta_k", (slot(layout, later), row, q)), ZERO)
    quiet = Loop("row", 0, layout.row_count, (_over_seeds(seeds, (none,)),), "units")
    return quiet, clear("zeta", seeds.zeta_shape), _across(seeds, before, last, layout.longest)


def weigh_boundary(seeds: Seeds, b: Index, start: Index, end: Index) -> tuple[Statement, ...]:
    """∂J/∂θ += Σ over lags r and states l of ε_l(start − r)·p^l(start − r)."""
    layout = seeds.layout
    first = _weigh(seeds, b, 0, start)
    if layout.longest == 1:
        return (first,)
    r, row = Var("r"), Var("row")
    before, further = plus(start, Times(r, -1)), layout.longest
    none = Assign(Ref("delta", (slot(layout, plus(before, further, 1)), row)), ZERO)
    earlier = (
        Loop("row", 0, layout.row_count, (none,), "copy"),
        clear("eps", layout.eps_shape),
        *across_connections(
            layout, before, 0, layout.n, "eps", last=end, turned=further, whole=False
        ),
        _weigh(seeds, b, r, plus(before, further)),
    )
    return (first, Loop("r", 1, layout.longest, earlier, "copy"))


def _weigh(seeds: Seeds, b: Index, r: Index, t: Index) -> Loop:
    c, i = Var("c"), Var("i")
    eps = seeds.layout.eps(t, Lookup("seed_column", _seed(c, i)))
    reads = (
        (P, Ref("p", (modulo(b, 2), r, plus(Lookup("column_start", c), i)))),
        (ZETA, eps),
    )
    add = Assign(Ref("sum"), P * ZETA, reads, accumulate=True)
    total = Ref("grad_theta", (Lookup("order", c),))
    body = (copy(Ref("sum"), total), _over_column(seeds, c, (add,), "p"), copy(total, Ref("sum")))
    return Loop("c", 0, int(seeds.structure.order.size), body, "units")
