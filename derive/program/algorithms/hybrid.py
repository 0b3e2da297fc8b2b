"""FP/BPTT(h): the exact gradient every h steps in fixed storage, for about n times less than RTRL.

    ∂J^total(t₀, t)/∂w_ij = Σ_τ δ_i(τ) x_j(τ−1) + Σ_l ε_l(t₀) p^l_ij(t₀),   t = t₀ + h

A sweep back over the window gives the first sum; what happened before the window enters through
the sensitivities at its start. ε(t₀) carries no e(t₀): that error belongs to the window before.
Then one sweep for each unit, seeded with 1 and without errors, gives the sensitivities at the
window's end (Schmidhuber 1992; Williams & Zipser 1995). Average multiplications per step
(n+1)(w_U + w_A + n) + (n² + n)w_A/h; Θ(n³) for h ∝ n in a full net, where RTRL takes Θ(n⁴).

With delays, times up to the longest delay before the window reach into it, and as many
sensitivities are kept at each end. As in RTRL, only those are kept and computed that a path from
the parameter can reach and from which a path leads to a target.
"""

from __future__ import annotations

from typing import Any

from derive.network.network import Network
from derive.program import online, storage
from derive.program.ir import Index, Note, Program, Statement, times
from derive.program.layout import Memory, lay_out
from derive.program.seeds import renew, seed_arrays, seeds_of, weigh_boundary
from derive.program.structure import Structure, structure
from derive.program.window import back_over, clear


def programs(net: Network, h: int, teacher_forcing: bool = False) -> dict[str, Program]:
    """The functions of an FP/BPTT(h) kernel."""
    return online.programs(net, lambda memory: recipe(net, memory, h, teacher_forcing))


def sensitivities(net: Network, **_: Any) -> Structure:
    """Which sensitivities are kept at a window's end."""
    return structure(lay_out(net))


def recipe(net: Network, memory: Memory, h: int, forced: bool) -> online.Recipe:
    """What the hybrid keeps and does."""
    memory = Memory(h + net.wiring.longest_delay, h, h, memory.one_step, memory.steps)
    layout = lay_out(net, memory, forced)
    seeds = seeds_of(structure(layout))

    def update(b: Index, end: Index) -> tuple[Statement, ...]:
        start = times(b, h)
        return (
            *clear(layout),
            *back_over(layout, start, start, end),
            Note("what came before the window: Σ ε·p at its start"),
            *weigh_boundary(seeds, b, start, end),
        )

    def again(b: Index, end: Index) -> tuple[Statement, ...]:
        note = Note("p at the window's end, by one sweep back for each state")
        return (note, *renew(seeds, b, times(b, h), end, h))

    return online.Recipe(
        layout=layout,
        period=h,
        tape=layout.tape_width > 0,
        arrays=storage.backward_arrays(layout) | seed_arrays(seeds),
        begin=(storage.clear("p", (2, layout.longest, seeds.size)),),
        step=online.nothing,
        update=update,
        renew=again,
        gathered=net.size,
    )
