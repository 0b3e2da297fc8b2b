"""Backpropagation over a window: one sweep back from the newest step, over what is kept."""

from __future__ import annotations

from derive.network.network import Network
from derive.program import judgement, storage, sweep
from derive.program.ir import Index, Loop, Note, Statement, Var, most, plus, times
from derive.program.layout import Layout, Memory, lay_out
from derive.program.online import Recipe, nothing


def recipe(net: Network, memory: Memory, depth: int | None, newest: int, forced: bool) -> Recipe:
    """Every ``newest`` steps, backpropagation over the last ``depth`` (None: all) steps."""
    layout = lay_out(net, memory, forced)

    def update(b: Index, end: Index) -> tuple[Statement, ...]:
        start = most(plus(end, -depth), 0) if depth is not None else 0
        begun = plus(end, -1) if newest == 1 else times(b, newest)
        return (*clear(layout), *back_over(layout, start, begun, end))

    return Recipe(
        layout=layout,
        period=newest,
        tape=layout.tape_width > 0,
        arrays=storage.backward_arrays(layout),
        begin=(),
        step=nothing,
        update=update,
        gathered=net.size,
    )


def clear(layout: Layout) -> tuple[Statement, ...]:
    """Nothing has been carried back yet."""
    return (
        storage.clear("eps", layout.eps_shape),
        storage.clear("delta", (layout.longest, layout.row_count)),
    )


def back_over(layout: Layout, start: Index, begun: Index, end: Index) -> tuple[Statement, ...]:
    """Times end … start+1, backwards; errors are injected at those after ``begun`` only."""
    t = Var("u")
    injected = (
        *judgement.cut(layout, t, kept=True),
        *judgement.inject_kept(layout, t),
        *judgement.add_penalties(layout),
        *_step_back(layout, t, end),
    )
    further = (*judgement.cut(layout, t, kept=True), *_step_back(layout, t, end))
    newest = (
        Note("ε, δ and the gradient's terms of the newest steps, whose errors count"),
        Loop("u", plus(begun, 1), plus(end, 1), injected, "time", backward=True, turns="newest"),
    )
    if start == begun:
        return newest
    return (
        *newest,
        Note("and of those before, through which they pass"),
        Loop("u", plus(start, 1), plus(begun, 1), further, "time", backward=True, turns="older"),
    )


def _step_back(layout: Layout, t: Index, end: Index) -> tuple[Statement, ...]:
    return (
        *sweep.through_units(layout, t, whole=False),
        *sweep.across_connections(layout, plus(t, -1), 0, layout.n, "eps", last=end, whole=False),
    )
