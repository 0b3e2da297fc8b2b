"""Real-time BPTT, BPTT(∞): ∂J(t)/∂θ at every step, by a sweep back to the very first.

Exact for fixed θ. The history grows by a step with every step: online there is room for
``capacity`` of them, and one more is an error; use RTRL, the hybrid or BPTT(h) where a run has no
end. Space Θ((n+m)L) and time Θ((w_U + w_A)L) at step L.
"""

from __future__ import annotations

from derive.network.network import Network
from derive.program import online
from derive.program.ir import Index, Program, Var
from derive.program.layout import Memory
from derive.program.window import recipe


def programs(net: Network, capacity: int, teacher_forcing: bool = False) -> dict[str, Program]:
    """The functions of a real-time BPTT kernel."""

    def make(memory: Memory) -> online.Recipe:
        steps: Index = capacity if memory.one_step else Var("T")
        whole = Memory(None, None, None if teacher_forcing else 1, memory.one_step, steps)
        return recipe(net, whole, None, 1, teacher_forcing)

    return online.programs(net, make)
