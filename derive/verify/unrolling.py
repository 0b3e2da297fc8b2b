"""The network written out over time, straight from what was stated.

This is the other side of every comparison: it uses the cells' equations, the connections and the
objective, and nothing of ``calculus`` or ``program``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sympy
from sympy import Expr, Symbol

from derive.functions import Defined, step
from derive.network.network import Network


@dataclass(frozen=True)
class Unrolled:
    """J^total and the states y[t][column] as expressions of theta, x, target, mask and y0."""

    J: Expr
    y: list[list[Expr]]


def rational(expr: Expr) -> Expr:
    """``expr`` with each floating-point number replaced by the fraction it is."""
    return expr.xreplace({f: sympy.Rational(float(f)) for f in expr.atoms(sympy.Float)})


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
        found[y.name] = without_cases(defined(rational(expr)))
    return found


def unit_places(net: Network, unit: int) -> dict[str, int | float]:
    """Each parameter of a unit: its place in theta, or its fixed value."""
    places: dict[str, int | float] = {}
    for p in net.cells[net.cell_index[unit]].parameters:
        if p.trainable:
            places[p.name] = int(net.unit_parameters[p.name][unit])
        else:
            places[p.name] = float(net.values[p.name][unit])
    return places


def unrolled(net: Network, data: dict[str, Any], steps: int) -> Unrolled:
    """Write ``steps`` steps of ``net`` out on the symbols (or numbers) of ``data``.

    ``data`` has theta (P,), x (T, m), target and mask (T, n_T), y0 (N,). A mask entry is either
    the number 0 or a symbol that is not zero.
    """
    theta, x = data["theta"], data["x"]
    column = {place: i for i, place in enumerate(net.states)}
    equations = [step_equations(net, k) for k in range(net.units)]
    places = [unit_places(net, k) for k in range(net.units)]
    weights = net.wiring.weight.tolist()
    outputs = [column[k, net.cells[net.cell_index[k]].output] for k in range(net.units)]

    y: list[list[Expr]] = [[sympy.sympify(v) for v in data["y0"]]]

    def signal(source: int, time: int) -> Expr:
        if time < 0:
            return sympy.S.Zero
        if source >= net.units:
            return x[time][source - net.units]
        return y[time][outputs[source]]

    for t in range(1, steps + 1):
        s: dict[tuple[int, str], Expr] = {}
        for c, i in zip(net.connections, weights, strict=True):
            at = (c.target, c.net_input or "")
            s[at] = s.get(at, sympy.S.Zero) + theta[i] * signal(c.source, t - c.delay)
        row: list[Expr] = [sympy.S.Zero] * len(column)
        for k in range(net.units):
            cell = net.cells[net.cell_index[k]]
            here: dict[Symbol, Expr] = {}
            for v in cell.equations.states:
                here[v] = y[t - 1][column[k, v.name]]
            for v in cell.equations.net_inputs:
                here[v] = s.get((k, v.name), sympy.S.Zero)
            for v in cell.equations.parameters:
                place = places[k][v.name]
                here[v] = theta[place] if isinstance(place, int) else sympy.Rational(place)
            for name, expr in equations[k].items():
                row[column[k, name]] = expr.xreplace(here)
        y.append(row)
    d, out = Symbol("d", real=True), Symbol("y", real=True)
    summand = without_cases(defined(rational(net.objective.expression)))
    J: Expr = sympy.S.Zero
    for t in range(1, steps + 1):
        for j, k in enumerate(net.objective.targets):
            m = data["mask"][t - 1][j]
            if m != 0:
                J += m * summand.xreplace({d: data["target"][t - 1][j], out: y[t][outputs[k]]})
    return Unrolled(J, y)


def output_columns(net: Network) -> list[int]:
    """The column of ``y`` that holds each unit's output."""
    column = {place: i for i, place in enumerate(net.states)}
    return [column[k, net.cells[net.cell_index[k]].output] for k in range(net.units)]
