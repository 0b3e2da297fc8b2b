"""An online algorithm as Programs: for a whole sequence, and step by step.

An algorithm says what it does at each step and at the end of each window of ``period`` steps, as
statements for symbolic times. From these come ``gradient`` (a loop over windows and steps: what
the steps would have given, summed, a last window that is not whole included) and, for online
learning, ``start``, ``step`` and ``update``, whose ``state`` arrays last from call to call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from derive.network.network import Network
from derive.program import judgement, storage, sweep
from derive.program.algorithms import epochwise
from derive.program.ir import (
    Array,
    Index,
    Loop,
    Note,
    Program,
    Ref,
    Statement,
    Var,
    least,
    plus,
    quotient,
    times,
)
from derive.program.layout import Layout, Memory

Body = tuple[Statement, ...]


@dataclass(frozen=True, eq=False)
class Recipe:
    """What an online algorithm keeps and does.

    Attributes
    ----------
    layout : Layout
        Its memory says whether this is for a sequence or for one step.
    period : int or None
        Steps of a window, after which ``update`` gives a gradient; 1: after every step.
    tape : bool
        Whether the tape is written on the way forward.
    arrays : dict of str to Array
        Storage beyond signals, tape and errors.
    begin : statements
        What is done before the first step besides y0.
    step : callable
        From t, the statements of that step after the network's own and its judgement.
    update : callable
        From the window's number and last time, what adds its gradient to ``gathers``.
    renew : callable, optional
        From the same two, what else is done where another window follows.
    gathers : str
        The array the gradient is gathered in, of ``gathered`` entries.
    finish : statements
        From ``gathers`` to ``grad_theta``.
    """

    layout: Layout
    period: int
    tape: bool
    arrays: dict[str, Array]
    begin: Body
    step: Callable[[Index], Body]
    update: Callable[[Index, Index], Body]
    renew: Callable[[Index, Index], Body] | None = None
    gathers: str = "grad_theta"
    gathered: int = 0
    finish: Body = ()


Make = Callable[[Memory], Recipe]


def programs(net: Network, make: Make) -> dict[str, Program]:
    """All functions of an online kernel, from what makes its recipe for a memory."""
    together, stepwise = make(Memory()), make(Memory(one_step=True))
    found = {
        "forward": epochwise.forward(net),
        "gradient": gradient(together),
        "start": start(stepwise),
        "step": step(stepwise),
    }
    if _separate(stepwise):
        found["update"] = update(stepwise)
    return found


def _separate(recipe: Recipe) -> bool:
    """Whether the gradient comes at the end of windows, and not with each step."""
    return recipe.period > 1 or recipe.renew is not None


def gradient(recipe: Recipe) -> Program:
    """J^total of a sequence and the sum of the gradients that the steps give."""
    layout, period = recipe.layout, recipe.period
    t, T, b = Var("t"), Var("T"), Var("b")
    if not _separate(recipe):
        each = (*_step(recipe, t), *recipe.update(plus(t, -1), t))
        over: Statement = Loop("t", 1, plus(T, 1), each, "time")
    else:
        end = least(times(plus(b, 1), period), T)
        steps = Loop("t", plus(times(b, period), 1), plus(end, 1), _step(recipe, t), "time")
        windows = quotient(plus(T, period - 1), period)
        each = (steps, *recipe.update(b, end))
        if recipe.renew is not None:
            # A loop of one turn, or of none after the last window.
            another = least(1, plus(windows, -1, times(b, -1)))
            each += (Loop("more", 0, another, recipe.renew(b, end), "time"),)
        over = Loop("b", 0, windows, each, "time")
    body = (
        *sweep.begin(layout),
        *recipe.begin,
        storage.clear(recipe.gathers, (recipe.gathered,)),
        *_cleared_theta(recipe),
        storage.clear("J", ()),
        over,
        *recipe.finish,
    )
    given = ("theta", "x", "target", "mask", "y0", "J", "grad_theta")
    return _program("gradient", recipe, ("T", "mask_step"), given, body)


def start(recipe: Recipe) -> Program:
    """The state before the first step."""
    body = (*sweep.begin(recipe.layout), *recipe.begin)
    return _program("start", recipe, (), ("y0",), body)


def step(recipe: Recipe) -> Program:
    """Step number t: outputs and J(t), and with a window of one step the gradient."""
    layout, t = recipe.layout, Var("t")
    outputs = storage.copy(
        Ref("y", (Var("l"),)), Ref("z", (layout.row(t), layout.own_state(Var("l"))))
    )
    states = len(layout.state_columns)
    body: list[Statement] = [
        storage.clear("J", ()),
        *_step(recipe, t),
        Loop("l", 0, states, (outputs,), "copy"),
    ]
    given: tuple[str, ...] = ("theta", "x", "target", "mask", "y", "J")
    if not _separate(recipe):
        given += ("grad_theta",)
        body += [
            storage.clear(recipe.gathers, (recipe.gathered,)),
            *_cleared_theta(recipe),
            *recipe.update(plus(t, -1), t),
            *recipe.finish,
        ]
    return _program("step", recipe, ("t",), given, tuple(body))


def update(recipe: Recipe) -> Program:
    """The gradient of window number b, which ends at time t."""
    body = (
        storage.clear(recipe.gathers, (recipe.gathered,)),
        *_cleared_theta(recipe),
        *recipe.update(Var("b"), Var("t")),
        *(recipe.renew(Var("b"), Var("t")) if recipe.renew is not None else ()),
        *recipe.finish,
    )
    return _program("update", recipe, ("b", "t"), ("theta", "grad_theta"), body)


def _step(recipe: Recipe, t: Index) -> Body:
    layout = recipe.layout
    return (
        *sweep.advance(layout, t, recipe.tape),
        Note("J(t), and e(t)"),
        *judgement.judge(layout, t),
        *judgement.force(layout, t),
        *recipe.step(t),
    )


def _cleared_theta(recipe: Recipe) -> Body:
    """Entries of the gradient that nothing is gathered for stay 0."""
    if recipe.gathers == "grad_theta":
        return ()
    return (storage.clear("grad_theta", (recipe.layout.net.size,)),)


def _program(
    name: str, recipe: Recipe, sizes: tuple[str, ...], given: tuple[str, ...], body: Body
) -> Program:
    layout = recipe.layout
    held = storage.arrays(layout, given, recipe.tape)
    held |= judgement.judge_arrays(layout) | recipe.arrays
    held |= storage.constants(layout) | storage.locals_of(layout)
    return Program(name, sizes, held, layout.tables, ()).with_body(body)


def gathered_in(name: str, count: int) -> dict[str, Array]:
    """Scratch for a gradient in another order than theta's."""
    return {name: Array(name, (count,), "work", True, "gradient, block by block")}


def nothing(*_: Index) -> Body:
    """No statements."""
    return ()
