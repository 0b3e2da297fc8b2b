"""Recurrent backpropagation: the gradient at a fixed point of a net whose input is held.

    y* = F(y*, x),   ε_k = e_k + Σ_l w_lk f′_l(s_l) ε_l,   ∂J/∂w_ij = δ_i x_j   (all at y*)

(Almeida 1987; Pineda 1987). The net is relaxed by its own steps until nothing changes. Then ε is
relaxed by the same steps backwards, which multiply by the transposed Jacobian: the spectral radius
that makes the one converge makes the other. Nothing is kept but the fixed point: space Θ(n + m),
time Θ(K·w_U + w_A) for K steps. At a fixed point every delay sees the same signals, but relaxation
passes them as the net does.

A Program has no loop that ends by its data: here are one step forward and one back, each with the
largest change it made; who calls them repeats them until that is within the tolerance.
"""

from __future__ import annotations

import sympy
from sympy import Symbol

from derive.network.network import Network
from derive.program import judgement, storage, sweep
from derive.program.ir import (
    Array,
    Assign,
    Loop,
    Note,
    Program,
    Ref,
    Statement,
    Var,
    plus,
)
from derive.program.layout import Layout, Memory, lay_out

NEW, OLD, SO_FAR = (Symbol(name, real=True) for name in ("new", "old", "so_far"))
LARGEST = sympy.Max(SO_FAR, sympy.Abs(NEW - OLD))


def programs(
    net: Network, tol: float | None, max_steps: int, teacher_forcing: bool = False
) -> dict[str, Program]:
    """The functions of a settling kernel; ``tol`` and ``max_steps`` are for who repeats them."""
    longest = net.wiring.longest_delay
    layout = lay_out(net, Memory(longest + 1, 1, 1, one_step=True), teacher_forcing)
    return {
        "start": _program("start", layout, (), ("y0",), sweep.begin(layout)),
        "relax": relax(layout),
        "judge": judge(layout),
        "relax_back": relax_back(layout),
        "collect": collect(layout),
    }


def relax(layout: Layout) -> Program:
    """Step t of the net under held inputs, and the largest change of a state."""
    t, l = Var("t"), Var("l")  # noqa: E741 - the paper's letter
    new = Ref("z", (layout.row(t), layout.own_state(l)))
    old = Ref("z", (layout.row(t, 1), layout.own_state(l)))
    states = len(layout.state_columns)
    body = (
        *sweep.advance(layout, t, tape=layout.tape_width > 0),
        *judgement.force(layout, t),
        storage.clear("change", ()),
        Loop("l", 0, states, (_larger(new, old), storage.copy(Ref("y", (l,)), new)), "units"),
    )
    given = ("theta", "x", "target", "mask", "y")
    return _program("relax", layout, ("t",), given, body)


def judge(layout: Layout) -> Program:
    """J and e at the fixed point that step t reached; nothing has flowed back yet."""
    body = (
        storage.clear("J", ()),
        *judgement.judge(layout, Var("t")),
        storage.clear("eps", layout.eps_shape),
        storage.clear("before", (layout.width,)),
        storage.clear("delta", (layout.longest, layout.row_count)),
    )
    return _program("judge", layout, ("t",), ("target", "mask", "J"), body)


def relax_back(layout: Layout) -> Program:
    """ε ← e + what ε brings back through units and connections, and its largest change.

    ``u`` counts down, as time does on the way back; every step passes the signals of time t.
    """
    t, u, l = Var("t"), Var("u"), Var("l")  # noqa: E741 - the paper's letter
    eps, before = layout.eps(plus(u, -1), l), Ref("before", (l,))
    body: tuple[Statement, ...] = (
        *_with_error(layout),
        *_through(layout, gather=False),
        *sweep.across_connections(layout, plus(u, -1), 0, layout.n, "eps", last=t, rest=t),
        storage.clear("change", ()),
        Loop("l", 0, layout.width, (_larger(eps, before), storage.copy(before, eps)), "units"),
    )
    return _program("relax_back", layout, ("t", "u"), ("theta",), body)


def collect(layout: Layout) -> Program:
    """∂J/∂θ from the relaxed ε."""
    body = (
        storage.clear("grad_theta", (layout.net.size,)),
        *_with_error(layout),
        *_through(layout, gather=True),
    )
    return _program("collect", layout, ("t", "u"), ("theta", "grad_theta"), body)


def _with_error(layout: Layout) -> tuple[Statement, ...]:
    t = Var("t")
    return (
        Note("nothing flows into a forced output; then its error"),
        *judgement.cut(layout, t, kept=True, at=Var("u")),
        *judgement.inject_kept(layout, t, at=Var("u")),
    )


def _through(layout: Layout, gather: bool) -> tuple[Statement, ...]:
    return sweep.through_units(layout, Var("t"), gather, at=Var("u"))


def _larger(new: Ref, old: Ref) -> Assign:
    change = Ref("change")
    return Assign(change, LARGEST, ((SO_FAR, change), (NEW, new), (OLD, old)))


def _program(
    name: str,
    layout: Layout,
    sizes: tuple[str, ...],
    given: tuple[str, ...],
    body: tuple[Statement, ...],
) -> Program:
    held = storage.arrays(layout, given, tape=layout.tape_width > 0)
    held |= judgement.judge_arrays(layout)
    kept = storage.backward_arrays(layout)
    kept["before"] = Array("before", (layout.width,), "work", True, "ε one step of relaxing ago")
    held |= {a.name: Array(a.name, a.shape, "state", a.batched, a.meaning) for a in kept.values()}
    if name.startswith("relax"):
        held["change"] = Array("change", (), "out", True, "largest change")
    held |= storage.constants(layout) | storage.locals_of(layout)
    return Program(name, sizes, held, layout.tables, ()).with_body(body)
