"""Real-time recurrent learning: ∂J(t)/∂θ at every step, exact for fixed θ, without a history.

    p^k_ij(t) = Σ_l ∂y_k/∂y_l p^l_ij(t−1) + ∂y_k/∂w_ij,   ∂J(t)/∂w_ij = Σ_k e_k(t) p^k_ij(t)

(Williams & Zipser 1989). Straightforward code keeps n·w_A sensitivities and multiplies
w_U·w_A + n·w_A + n_T·w_A times a step. Here only those are kept and computed that some path from
the weight can reach and from which some path leads to a target: a net of self-loops alone has one a
weight, and weights into units that lead to no target have none. :mod:`derive.program.structure`
finds them. With ``groups`` sensitivities stay within one group of units (Zipser 1989): an
approximation that costs a g-th of the space and a g²-th of the time.
"""

from __future__ import annotations

from typing import Any

from derive.network.network import Network
from derive.program import online, storage
from derive.program.ir import Array, Note, Program
from derive.program.judgement import add_penalties
from derive.program.layout import Memory, lay_out
from derive.program.sensitivities import (
    carry,
    forget_forced,
    rows_of,
    scatter,
    sensitivity_arrays,
    weigh,
)
from derive.program.structure import Structure, structure


def programs(net: Network, groups: Any = None, teacher_forcing: bool = False) -> dict[str, Program]:
    """The functions of an RTRL kernel."""
    return online.programs(net, lambda memory: recipe(net, memory, groups, teacher_forcing))


def sensitivities(net: Network, groups: Any = None, **_: Any) -> Structure:
    """Which sensitivities are kept."""
    return structure(lay_out(net), groups)


def recipe(net: Network, memory: Memory, groups: Any, forced: bool) -> online.Recipe:
    """What RTRL keeps and does."""
    longest = net.wiring.longest_delay
    memory = Memory(longest + 1, 1, 1, memory.one_step, memory.steps)
    layout = lay_out(net, memory, forced)
    found = structure(layout, groups)
    rows = rows_of(found)
    tape = any(t.remembered for t in found.tangents)
    direct = found.is_identity
    count = int(found.order.size)
    held = sensitivity_arrays(rows)
    held["error_j"] = Array("error_j", (), "scalar", True)
    if not direct:
        held |= online.gathered_in("along", count)
    into = "grad_theta" if direct else "along"
    return online.Recipe(
        layout=layout,
        period=1,
        tape=tape,
        arrays=held,
        begin=(storage.clear("p", (rows.slots, rows.size)),),
        step=lambda t: (Note("p(t): sensitivities carried one step further"), *carry(rows, t)),
        update=lambda b, t: (
            Note("∂J(t)/∂θ += Σ e·p"),
            *weigh(rows, t, into),
            *add_penalties(layout),
            *forget_forced(rows, t),
        ),
        gathers=into,
        gathered=count,
        finish=() if direct else scatter(found),
    )
