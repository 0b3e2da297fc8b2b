"""BPTT(h) and BPTT(h; h′): every h′ steps one sweep back over the last h.

The error is injected at the newest h′ of these steps: an approximation of the gradient of
J^total(t−h′, t) (Williams & Peng 1990). With h′ = 1 it is ∂J(t)/∂θ cut after h steps, at each t.
Exact while h covers the whole history. Space Θ((n+m)h), time per step Θ((w_U + w_A)h/h′).
"""

from __future__ import annotations

from derive.network.network import Network
from derive.program import online
from derive.program.ir import Program
from derive.program.layout import Memory
from derive.program.window import recipe


def programs(
    net: Network, h: int, h_prime: int = 1, teacher_forcing: bool = False
) -> dict[str, Program]:
    """The functions of a BPTT(h; h′) kernel."""

    def make(memory: Memory) -> online.Recipe:
        longest = net.wiring.longest_delay
        ring = Memory(h + longest, h, h if teacher_forcing else h_prime, memory.one_step)
        return recipe(net, ring, h, h_prime, teacher_forcing)

    return online.programs(net, make)
