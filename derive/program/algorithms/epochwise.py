"""Epochwise backpropagation through time: ∂J^total(t₀,t₁)/∂θ, exact, once an epoch.

One sweep forward that keeps the signals, one backward that carries ε and δ; the error of every
step is injected as the sweep passes it (Williams & Zipser 1995; Werbos 1990). Space
Θ((n+m)T), time per step Θ(w_U + w_A). With ``memory`` the signals are kept of one segment at a
time, and computed twice: space Θ((n+m)√T), see :mod:`derive.program.checkpoints`.
"""

from __future__ import annotations

from dataclasses import replace

from derive.network.network import Network
from derive.program import judgement, storage, sweep
from derive.program.checkpoints import segments
from derive.program.ir import (
    Array,
    Assign,
    Index,
    Lookup,
    Loop,
    Note,
    Plus,
    Program,
    Ref,
    Statement,
    Var,
    plus,
)
from derive.program.layout import Layout, lay_out


def programs(
    net: Network, memory: int | str = "full", teacher_forcing: bool = False
) -> dict[str, Program]:
    """The functions of an epochwise kernel."""
    free = lay_out(net)
    layout = lay_out(net, forced=True) if teacher_forcing else free
    return {
        "forward": forward(net, free),
        "gradient": gradient(net, layout=layout, memory=memory),
        "gradient_all": gradient(net, ("theta", "x", "y0"), layout, memory),
    }


def forward(net: Network, layout: Layout | None = None) -> Program:
    """The states of every step: y of shape (T+1, N)."""
    layout = layout or lay_out(net)
    t = Var("t")
    out = storage.copy(
        Ref("y", (t, Var("l"))),
        Ref("z", (layout.row(t), layout.own_state(Var("l")))),
    )
    states = len(layout.state_columns)
    body: tuple[Statement, ...] = (
        *sweep.begin(layout),
        Loop("t", 1, Plus(Var("T"), 1), sweep.advance(layout, t, tape=False), "time"),
        Loop("t", 0, Plus(Var("T"), 1), (Loop("l", 0, states, (out,), "copy"),), "time"),
    )
    held = storage.arrays(layout, ("theta", "x", "y0", "y"), tape=False)
    return _program("forward", layout, ("T",), held, body)


def gradient(
    net: Network,
    wrt: tuple[str, ...] = ("theta",),
    layout: Layout | None = None,
    memory: int | str = "full",
) -> Program:
    """J^total and its gradient with respect to theta and, on demand, x and y0.

    ``memory`` is ``"full"``, ``"sqrt"``, or the steps of a segment.
    """
    layout = layout or lay_out(net)
    t = Var("t")
    held: dict[str, Array] = {}
    derived: dict[str, Index] = {}

    def back(layout: Layout, t: Index) -> tuple[Statement, ...]:
        return _step_back(layout, t, wrt)

    if memory == "full":
        steps = 1, Plus(Var("T"), 1)
        first: tuple[Statement, ...] = (Loop("t", *steps, _ahead(layout, t), "time"),)
        then: tuple[Statement, ...] = (Loop("t", *steps, back(layout, t), "time", backward=True),)
    else:
        cut = segments(layout, None if memory == "sqrt" else int(memory))
        layout, held, derived = cut.layout, cut.arrays, cut.derived
        first, then = cut.first_pass(_ahead), cut.back(_ahead, back)
    body: list[Statement] = [
        *sweep.begin(layout),
        *first,
        storage.clear("grad_theta", (net.size,)),
        storage.clear("eps", layout.eps_shape),
        storage.clear("delta", (layout.longest, layout.row_count)),
        storage.clear("J", ()),
    ]
    if "x" in wrt:
        rows = Loop("t", 0, Var("T"), (_clear_row("grad_x", net.inputs),), "time")
        body.append(rows)
    body += then
    if "y0" in wrt:
        take = storage.copy(Ref("grad_y0", (Var("l"),)), layout.eps(0, _state_column(Var("l"))))
        body.append(Loop("l", 0, len(layout.state_columns), (take,), "copy"))
    outs = ("J", *(f"grad_{name}" for name in ("theta", "x", "y0") if name in (*wrt, "theta")))
    given = ("theta", "x", "target", "mask", "y0", *outs)
    held = storage.arrays(layout, given, layout.tape_width > 0) | held
    held |= storage.backward_arrays(layout)
    program = _program("gradient", layout, ("T", "mask_step"), held, tuple(body))
    return replace(program, derived=derived)


def _ahead(layout: Layout, t: Index) -> tuple[Statement, ...]:
    """Step t forward, and what the way back needs kept."""
    return (*sweep.advance(layout, t, layout.tape_width > 0), *judgement.force(layout, t))


def _step_back(layout: Layout, t: Index, wrt: tuple[str, ...]) -> tuple[Statement, ...]:
    """From ε(t) to ε(t−1), and step t's terms of J and its gradient."""
    before, whole = plus(t, -1), wrt != ("theta",)
    back: list[Statement] = [
        *judgement.cut(layout, t, kept=False),
        Note("ε(t) += e(t), the error of this step"),
        *judgement.inject(layout, t),
        Note("δ(t), and this step's terms of the gradient"),
        *sweep.through_units(layout, t, whole=whole),
        Note("ε(t−1): what reaches the step before along the connections"),
        *sweep.across_connections(layout, before, 0, layout.n, "eps", last=Var("T"), whole=whole),
    ]
    if "x" in wrt:
        back += sweep.across_connections(
            layout, before, layout.n, layout.m, "grad_x", (before,), last=Var("T")
        )
    return tuple(back)


def _state_column(at: Index) -> Index:
    return Lookup("state_column", at)


def _clear_row(array: str, width: int) -> Statement:
    return Loop("l", 0, width, (Assign(Ref(array, (Var("t"), Var("l"))), storage.ZERO),), "copy")


def _program(
    name: str,
    layout: Layout,
    sizes: tuple[str, ...],
    held: dict[str, Array],
    body: tuple[Statement, ...],
) -> Program:
    held |= storage.constants(layout) | storage.locals_of(layout)
    return Program(name, sizes, held, layout.tables, ()).with_body(body)
