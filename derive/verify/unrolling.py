"""The network written out over time, straight from what was stated.

This is the other side of every comparison: it uses the cells' equations, the connections and the
objective, and nothing of ``calculus`` or ``program``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sympy
from sympy import Expr, Symbol

from derive.functions import Defined, relu, step
from derive.network.cell import Cell
from derive.network.network import Network
from derive.network.objective import Term
from derive.network.topology import Connection


@dataclass(frozen=True)
class Unrolled:
    """A run written out, as expressions of theta, x, target, mask and y0.

    Attributes
    ----------
    y : list of lists
        ``y[t][column]``, what each unit computed at time t; ``y[0]`` is the initial state.
    seen : list of lists
        The same as everything computed afterwards sees it: under teacher forcing d_k(t) stands
        where unit k has a target.
    terms : list of lists
        ``terms[t − 1]`` are the terms of J(t): one for each target that is there, and those
        without targets.
    """

    y: list[list[Expr]]
    seen: list[list[Expr]]
    terms: list[list[Expr]]

    def J(self, first: int, last: int) -> Expr:
        """J^total(first, last), the sum of J(t) over first < t ≤ last."""
        return sympy.Add(*(term for row in self.terms[first:last] for term in row))


Name = Callable[[str, Expr, bool], Expr]
"""From a label and an expression: what is written for it where it is used, e.g. a symbol.

The label says what it is, where and when; and the last argument whether it is a net input."""

Heard = Callable[[int, int, int], Expr | None]
"""From target, source and time: what the target hears instead of it, or None for the signal."""


def rational(expr: Expr) -> Expr:
    """``expr`` with each floating-point number replaced by the fraction it is."""
    return expr.xreplace({f: sympy.Rational(float(f)) for f in expr.atoms(sympy.Float)})


def plainer(expr: Expr) -> Expr:
    """``expr`` without functions on which SymPy loses itself when they are given a long u.

    Of log(cosh(u)) it wants to know whether cosh(u) is positive, and for a derivative of |u| what
    the real part of u is; it looks for that through all of u. A sum of exponentials of what is
    real is positive by itself, and |u| = max(u, 0) + max(−u, 0).
    """
    simpler: dict[type, Callable[[Expr], Expr]] = {
        sympy.cosh: lambda u: (sympy.exp(u) + sympy.exp(-u)) / 2,
        sympy.sinh: lambda u: (sympy.exp(u) - sympy.exp(-u)) / 2,
        sympy.Abs: lambda u: relu(u) + relu(-u),
        sympy.sign: lambda u: step(u) - step(-u),
    }
    for function, form in simpler.items():
        expr = expr.replace(function, form)
    return expr


def without_cases(expr: Expr) -> Expr:
    """``expr`` with cases on order written by steps: a·step(u − v) + b·(1 − step(u − v)).

    Cases within the conditions of cases cost SymPy minutes as soon as they are substituted;
    products do not. The value is the same wherever both sides have one.
    """

    def product(*args: Any) -> Expr:
        total, left = sympy.S.Zero, sympy.S.One
        for value, condition in args:
            here = _step_of(condition)
            if here is None:
                return sympy.Piecewise(*args)
            total += left * here * value
            left *= 1 - here
        return total

    return expr.replace(sympy.Piecewise, product)


def _step_of(condition: Any) -> Expr | None:
    """1 where an order holds, else 0; None for a condition of another kind."""
    match condition:
        case sympy.StrictGreaterThan():
            return step(condition.lhs - condition.rhs)
        case sympy.StrictLessThan():
            return step(condition.rhs - condition.lhs)
        case sympy.GreaterThan():
            return 1 - step(condition.rhs - condition.lhs)
        case sympy.LessThan():
            return 1 - step(condition.lhs - condition.rhs)
    return sympy.S.One if condition == sympy.true else None


def defined(expr: Expr) -> Expr:
    """``expr`` with logistic, softplus, … written out, so that SymPy alone differentiates them.

    Functions with a corner stay as they are: nested in one another their cases multiply.
    """
    while found := {f for f in expr.atoms(Defined) if not has_corner(type(f))}:
        expr = expr.xreplace({f: f.definition(f.args[0]) for f in found})
    return expr


def stated(expr: Expr) -> Expr:
    """An expression as stated, in forms that SymPy handles fast and exactly."""
    return plainer(without_cases(defined(rational(expr))))


def has_corner(function: type[Defined]) -> bool:
    """Whether a function is defined by cases."""
    return bool(function.definition(Symbol("x", real=True)).has(sympy.Piecewise))


def step_equations(net: Network, unit: int) -> dict[str, Expr]:
    """Each state's next value in terms of states, net inputs and parameters only."""
    eq = net.cells[net.cell_index[unit]].equations
    found = {}
    for y, expr in eq.states.items():
        while expr.free_symbols & set(eq.intermediates):
            expr = expr.xreplace(dict(eq.intermediates))
        found[y.name] = stated(expr)
    return found


def one_by_one(cell: Cell) -> tuple[dict[str, Expr], dict[Symbol, Expr]]:
    """Each state's next value, and each intermediate, as stated: in terms of one another."""
    eq = cell.equations
    states = {y.name: stated(e) for y, e in eq.states.items()}
    return states, {v: stated(e) for v, e in eq.intermediates.items()}


def unit_places(net: Network, unit: int) -> dict[str, int | float]:
    """Each parameter of a unit: its place in theta, or its fixed value."""
    places: dict[str, int | float] = {}
    for p in net.cells[net.cell_index[unit]].parameters:
        if p.trainable:
            places[p.name] = int(net.unit_parameters[p.name][unit])
        else:
            places[p.name] = float(net.values[p.name][unit])
    return places


def unrolled(
    net: Network,
    data: dict[str, Any],
    steps: int,
    *,
    forced: bool = False,
    past: Sequence[Sequence[Expr]] = (),
    heard: Heard | None = None,
    name: Name | None = None,
) -> Unrolled:
    """Write ``steps`` steps of ``net`` out on the symbols (or numbers) of ``data``.

    Parameters
    ----------
    data : dict
        theta (P,), x (T, m), target and mask (T, n_T), y0 (N,). A mask entry is either the number
        0 or a symbol that is not zero.
    forced : bool
        Teacher forcing: where there is a target it takes the place of the output in everything
        computed afterwards, the unit's own leak included; J is of what the unit computed.
    past : sequence of rows of states, optional
        y of the first times, from 0 on, if they are given and not to be computed.
    heard : callable, optional
        What units hear of one another instead of signals.
    name : callable, optional
        What to write for states, net inputs and intermediates instead of all that they are.
    """
    theta, x, mask, target = (data[name] for name in ("theta", "x", "mask", "target"))
    column = {place: i for i, place in enumerate(net.states)}
    equations = [step_equations(net, k) for k in range(net.units)]
    places = [unit_places(net, k) for k in range(net.units)]
    weights = net.wiring.weight.tolist()
    outputs = output_columns(net)
    targets = net.objective.targets

    def as_seen(row: list[Expr], time: int) -> list[Expr]:
        found = list(row)
        for j, k in enumerate(targets):
            if forced and time and mask[time - 1][j] != 0:
                found[outputs[k]] = target[time - 1][j]
        return found

    y = [[sympy.sympify(v) for v in row] for row in past or [data["y0"]]]
    seen = [as_seen(row, t) for t, row in enumerate(y)]

    into: dict[tuple[int, str], list[tuple[Connection, dict[Symbol, Expr]]]] = {}
    for c, i in zip(net.connections, weights, strict=True):
        into.setdefault((c.target, c.net_input or ""), []).append(
            (c, _of_connection(net, c, i, theta))
        )
    added = [synapses(cell) for cell in net.cells]
    ports = [{s.name: s for s in cell.ports} for cell in net.cells]
    in_steps = {cell: one_by_one(cell) for cell in net.cells} if name else {}

    def signal(c: Connection, t: int, row: dict[int, Expr]) -> Expr:
        """What a connection carries to time t, of which the row is being computed."""
        time = t - c.delay
        if time < 0:
            return sympy.S.Zero
        if c.source >= net.units:
            return x[time][c.source - net.units]
        instead = None if heard is None else heard(c.target, c.source, time)
        if instead is not None:
            return instead
        state = ports[net.cell_index[c.target]][c.net_input or ""].hears
        at = outputs[c.source] if state is None else column[c.source, state]
        return state_at(c.source, at, t, row) if time == t else seen[time][at]

    def state_at(k: int, at: int, t: int, row: dict[int, Expr]) -> Expr:
        """A state at time t, computed with what it needs where that is not done yet."""
        if at not in row:
            number = net.cell_index[k]
            cell, of = net.cells[number], net.states[at][1]
            here: dict[Symbol, Expr] = {}
            for v in cell.equations.states:
                here[v] = seen[t - 1][column[k, v.name]]
            for v in cell.equations.net_inputs:
                if v in equations[k][of].free_symbols:
                    total = sympy.Add(*(
                        added[number][v.name].xreplace({**own, **here, SOURCE: signal(c, t, row)})
                        for c, own in into.get((k, v.name), ())
                    ))  # fmt: skip
                    here[v] = name(f"{v}_{k}_{t}", total, True) if name else total
            for v in cell.equations.parameters:
                place = places[k][v.name]
                here[v] = theta[place] if isinstance(place, int) else sympy.Rational(place)
            if name:
                row[at] = name(f"{of}_{k}_{t}", by_intermediates(cell, of, f"{k}_{t}", here), False)
            else:
                row[at] = equations[k][of].xreplace(here)
        return row[at]

    def by_intermediates(cell: Cell, of: str, where: str, here: dict[Symbol, Expr]) -> Expr:
        """A state's next value, with a name for each intermediate it needs."""
        assert name is not None
        stated_states, between = in_steps[cell]

        def put_in(e: Expr) -> Expr:
            for v in sorted(e.free_symbols & between.keys(), key=str):
                if v not in here:
                    here[v] = name(f"{v}_{where}", put_in(between[v]), False)
            return e.xreplace(here)

        return put_in(stated_states[of])

    for t in range(len(y), steps + 1):
        row: dict[int, Expr] = {}
        for at, (k, _) in enumerate(net.states):
            state_at(k, at, t, row)
        y.append([row[at] for at in range(len(net.states))])
        seen.append(as_seen(y[t], t))
    objective = WrittenObjective(net)
    terms = [
        objective.written([y[t][at] for at in outputs], target[t - 1], mask[t - 1], theta)
        for t in range(1, steps + 1)
    ]
    return Unrolled(y, seen, terms)


SOURCE = Symbol("x", real=True)


def synapses(cell: Cell) -> dict[str, Expr]:
    """What one connection adds to each net input of a cell, in w, x and whatever is stated."""
    told = {s.name: stated(e) for s, e in cell.equations.synapses.items()}
    plain = Symbol("w", real=True) * SOURCE
    return {name: told.get(name, plain) for name in cell.net_inputs}


def _of_connection(net: Network, c: Connection, weight: int, theta: Any) -> dict[Symbol, Expr]:
    """The weight and the other parameters of a connection, by their symbols."""
    fixed = weight >= net.wiring.weights
    port = next(
        s for s in net.cells[net.cell_index[c.target]].ports if s.name == (c.net_input or s.name)
    )
    own = {Symbol("w", real=True): sympy.Rational(c.fixed) if fixed else theta[weight]}
    for p in port.parameters:
        place = None if fixed else net.connection_parameters[p.name][weight]
        value = sympy.Rational(p.initial) if place is None else theta[int(place)]
        own[Symbol(p.name, real=True)] = value
    return own


def output_columns(net: Network) -> list[int]:
    """The column of ``y`` that holds each unit's output."""
    column = {place: i for i, place in enumerate(net.states)}
    return [column[k, net.cells[net.cell_index[k]].output] for k in range(net.units)]


D, Y, W = (Symbol(name, real=True) for name in "dyw")


@dataclass(frozen=True, eq=False)
class WrittenObjective:
    """The terms of a network's J(t), written out.

    A pool is the sum that it is defined to be. The largest of several only shifts: any shift gives
    the same value, so it is taken as 0, and log Σ exp(y) is then the definition itself.
    """

    net: Network

    @cached_property
    def _expressions(self) -> list[tuple[Expr, dict[str, Expr]]]:
        return [
            (stated(t.expression), {p.name: stated(t.pooled(p)) for p in t.pools})
            for t in self.net.objective.terms
        ]

    def written(self, y: Any, target: Any, mask: Any, theta: Any) -> list[Expr]:
        """The terms of one J(t) that are there.

        Parameters
        ----------
        y : sequence of Expr
            Each unit's output.
        target, mask : sequence of Expr
            By column; a mask entry is the number 0 or a symbol that is not zero.
        """
        found = []
        terms = self.net.objective.terms
        column = {k: j for j, k in enumerate(self.net.objective.targets)}
        for term, (expr, shares) in zip(terms, self._expressions, strict=True):
            units, here = self._places(term)
            if term.over == "parameters":
                at = [{**fixed, W: theta[i]} for i, fixed in zip(units, here, strict=True)]
                found += [expr.xreplace(values) for values in at]
                continue
            pools: dict[Symbol, Expr] = {}
            at = [{**fixed, Y: y[k]} for k, fixed in zip(units, here, strict=True)]
            for pool in term.pools:
                share = shares[pool.name]
                pools[pool.symbol] = sympy.S.Zero
                if pool.kind == "sum":
                    each = (share.xreplace({**pools, **values}) for values in at)
                    pools[pool.symbol] = sympy.Add(*each)
            for k, values in zip(units, at, strict=True):
                if term.over == "units":
                    found.append(expr.xreplace({**pools, **values}))
                elif mask[j := column[k]] != 0:
                    found.append(mask[j] * expr.xreplace({**pools, **values, D: target[j]}))
        return found

    def _places(self, term: Term) -> tuple[tuple[int, ...], list[dict[Symbol, Expr]]]:
        """The units, or places in theta, of a term, and the constants of each."""
        of_theta = term.over == "parameters"
        places = term.entries(self.net) if of_theta else term.units_of(self.net.units)
        values = {c: term.values(c, len(places)) for c in term.constants}
        return places, [
            {Symbol(c, real=True): sympy.Rational(v[i]) for c, v in values.items()}
            for i in range(len(places))
        ]
