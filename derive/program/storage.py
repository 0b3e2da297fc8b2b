"""What a Program keeps where: declarations of its arrays, and the local variables of a unit."""

from __future__ import annotations

import sympy
from sympy import Symbol

from derive.blocks import is_heavy
from derive.calculus.adjoint import LOWER
from derive.calculus.partials import SLOPE, SOURCE
from derive.calculus.synapses import SHARED, shared_symbol
from derive.program.ir import (
    Array,
    Assign,
    Index,
    Loop,
    Program,
    Ref,
    Role,
    Statement,
    Var,
    plus,
)
from derive.program.kinds import FIXED
from derive.program.layout import Layout

ZERO = sympy.S.Zero

PREFIXES = {"⁺": "new_", "⁺̄": "eps_", "̄" + LOWER: "sum_", "̄": "bar_", SHARED: "syn_"}


def local_name(symbol: Symbol) -> str:
    """The local variable that holds a cell's symbol while one unit is computed.

    A prefix tells what is derived from what a person named, and ``u_`` marks the latter, so that
    a state ``y`` and an intermediate ``y_new`` or ``bar_y`` never meet.
    """
    if SLOPE in symbol.name:
        of, by = symbol.name.split(SLOPE)
        # Two underscores at the joints and lengths in front: no two pairs of names meet.
        return f"d{len(of)}_{of.replace('⁺', '_new')}__{by}"
    for mark in ("⁺̄", "⁺", "̄" + LOWER, "̄", SHARED):
        if symbol.name.endswith(mark):
            return f"{PREFIXES[mark]}{symbol.name.removesuffix(mark)}"
    return f"u_{symbol.name}"


def scalar(symbol: Symbol) -> Ref:
    """A cell's symbol as a local variable."""
    return Ref(local_name(symbol))


def arrays(
    layout: Layout, wanted: tuple[str, ...], tape: bool, history: bool = True
) -> dict[str, Array]:
    """Declarations of the arrays an algorithm may use, caller's first, in the order of the call.

    Where there is a y0 and delays reach before it, there is a history, unless told otherwise.
    """
    net = layout.net
    T: tuple[Index, ...] = (Var("T"),)
    mask_rows: tuple[Index, ...] = (Var("mask_rows"),)
    y_rows: tuple[Index, ...] = (plus(Var("T"), 1),)
    if layout.memory.one_step:
        T = mask_rows = y_rows = ()
    labels = theta_labels(layout)
    n_T = len(net.objective.targets)
    states = len(layout.state_columns)
    everything = [
        Array("theta", (net.size,), "in", meaning="parameters", labels=labels),
        Array("x", (*T, net.inputs), "in", True, "inputs"),
        Array("target", (*T, n_T), "in", True, "targets d"),
        Array("mask", (*mask_rows, n_T), "in", True, "1 where a target exists"),
        Array("y0", (states,), "in", True, "initial state"),
        Array("history", (layout.pad, states + net.inputs), "in", True, "before time 0"),
        Array("y", (*y_rows, states), "out", True, "states"),
        Array("J", (), "out", True, "objective"),
        Array(
            "grad_theta",
            (net.size,),
            "out",
            True,
            "gradient by theta",
            labels=tuple(f"grad_{label}" for label in labels),
        ),
        Array("grad_x", (*T, net.inputs), "out", True, "gradient by x"),
        Array("grad_y0", (states,), "out", True, "gradient by y0"),
    ]
    if "y0" in wanted and history and layout.pad:
        wanted = (*wanted, "history")
    return {a.name: a for a in everything if a.name in wanted} | kept_arrays(layout, tape)


def kept_arrays(layout: Layout, tape: bool) -> dict[str, Array]:
    """Where signals, and what the way back needs besides them, are kept."""
    role: Role = "state" if layout.memory.one_step else "work"
    rows = layout.rows
    found = {"z": Array("z", (rows, layout.width), role, True, "outputs, inputs, states")}
    if tape:
        ring = layout.memory.tape
        steps = layout.memory.steps if ring is None else ring
        shape = (steps, layout.tape_width)
        found["tape"] = Array("tape", shape, role, True, "kept for the way back")
    return found


LABELLED = 512
"""Parameters up to which each has a name of its own."""


def theta_labels(layout: Layout) -> tuple[str, ...]:
    """``w_TARGET_SOURCE[_DELAY]`` or ``PARAMETER_UNIT`` for each entry of theta of a small net."""
    net = layout.net
    if net.size > LABELLED:
        return ()
    labels: dict[int, str] = {}
    ports = [len(net.cells[c].net_inputs) for c in net.cell_index]
    for c, i in zip(net.connections, net.wiring.weight.tolist(), strict=True):
        parts = ["w", str(c.target), *([c.net_input or ""] if ports[c.target] > 1 else [])]
        parts += [str(c.source), *([f"d{c.delay}"] if c.delay != 1 else [])]
        if i >= net.wiring.weights:
            continue
        labels.setdefault(i, "_".join(parts))
        for name, at in net.connection_parameters.items():
            if at[i] >= 0:
                # Marked by a letter that no weight's label begins with.
                labels.setdefault(int(at[i]), "_".join([f"c_{name}_", *parts[1:]]))
    for p in net.parameters:
        if p.unit is not None:
            # A double underscore: no weight's label has one, whatever the parameter is called.
            labels[p.start] = f"{p.name}__{p.unit}"
    return tuple(labels[i] for i in range(net.size))


def constants(layout: Layout) -> dict[str, Array]:
    """Fixed parameters that differ between units, as arrays known when the code is made."""
    found = {}
    for g in layout.groups:
        for p, values in g.fixed.items():
            if values.size and (values != values[0]).any():
                name = f"fixed_{g.number}_{p.name}"
                found[name] = Array(name, (g.size,), "const", meaning=p.name, values=values)
    fixed = layout.net.wiring.fixed
    if len(fixed):
        found[FIXED] = Array(FIXED, (len(fixed),), "const", meaning="fixed weights", values=fixed)
    judging = layout.judging.arrays()
    return found | {name: a for name, a in judging.items() if a.role == "const"}


SUM = Ref("sum")
"""The local variable in which what flows back to one source is gathered."""


def locals_of(layout: Layout) -> dict[str, Array]:
    """The local variables of all cells."""
    found = {SUM.array: Array(SUM.array, (), "scalar", True)}
    for g in layout.groups:
        symbols = (*g.local.net_inputs, *g.local.gains, *(e.symbol for e in g.local.equations))
        symbols += (*g.adjoint.eps, *(e.symbol for e in g.adjoint.equations))
        for s in symbols:
            found[local_name(s)] = Array(local_name(s), (), "scalar", True)
    for kind in layout.kinds:
        for i in range(kind.synapse.most_shared):
            name = local_name(shared_symbol(i))
            found[name] = Array(name, (), "scalar", True)
    judging = layout.judging.arrays()
    return found | {name: a for name, a in judging.items() if a.role == "scalar"}


def copy(target: Ref, source: Ref) -> Assign:
    """target = source."""
    return Assign(target, SOURCE, ((SOURCE, source),))


def in_order(expr: sympy.Expr) -> list[Symbol]:
    """The symbols of an expression, sorted."""
    return sorted(expr.free_symbols, key=lambda s: s.name)


def backward_arrays(layout: Layout) -> dict[str, Array]:
    """ε for every column that can have one, and δ for as many steps as the longest delay."""
    return {
        "eps": Array("eps", layout.eps_shape, "work", True, "ordered derivative by z(t)"),
        "delta": Array(
            "delta", (layout.longest, layout.row_count), "work", True, "ordered derivative by s(t)"
        ),
    }


def clear(array: str, shape: tuple[int, ...]) -> Statement:
    """array = 0 everywhere."""
    names = [f"i{d}" for d in range(len(shape))]
    body: Statement = Assign(Ref(array, tuple(Var(v) for v in names)), ZERO)
    for name, extent in zip(reversed(names), reversed(shape), strict=True):
        body = Loop(name, 0, extent, (body,), "copy")
    return body


def is_heavy_program(program: Program) -> bool:
    """Whether a program's parameters come from further away than what else a batch needs."""
    (parameters,) = program.arrays["theta"].shape if "theta" in program.arrays else (0,)
    assert isinstance(parameters, int)
    return is_heavy(parameters, program.itemsize)
