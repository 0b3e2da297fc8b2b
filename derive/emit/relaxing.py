"""Functions of a settling kernel: steps forward, and back, repeated until nothing changes.

A Program says what one step does and how much it changed; these loops repeat it. A batch settles
in lockstep: until the slowest of its sequences has.
"""

from __future__ import annotations

from collections.abc import Mapping

from derive.emit.cores import Call, core_of, function, prepared
from derive.emit.online import new_gradient, new_outputs, one_row, row_counts
from derive.network.network import Network
from derive.program.ir import Program

BEGIN = [
    "cdef Py_ssize_t steps = 0, quiet = 0, t",
    "cdef real change = 0",
]


def settle(net: Network, program: Program) -> str:
    """Relax the net under held inputs."""
    batch = program.lane_width > 1
    call = prepared(core_of(program, "relax", row_counts(net), net))
    ring = net.wiring.longest_delay + 1
    body = [
        *one_row(net, batch),
        new_outputs(net, batch),
        *BEGIN,
        *call.setup,
        "with nogil:",
        *_until_quiet(call, "t = steps + 1", net.wiring.longest_delay),
        "    # On to where the ring of signals is as at time 0, so that every run begins alike.",
        "    t = steps",
        f"    while t % {ring} != 0:",
        "        t += 1",
        *(f"        {line}" for line in call.run),
        "    k_release(work)",
        "return y, steps, change",
    ]
    doc = [
        '"""Relax until no state changes by more than tol: y (N), steps, the last change.',
        "",
        "Not settled if the change is above tol (or NaN) after max_steps.",
        '"""',
    ]
    head = "def settle(state, theta, x, target, mask, double tol, Py_ssize_t max_steps):"
    return function(head, doc, body, call)


def _until_quiet(call: Call, time: str, longest: int) -> list[str]:
    """Repeat while some change of as many steps as the longest delay is above tol."""
    return [
        f"    while steps < max_steps and quiet < {longest} and change == change:",
        f"        {time}",
        "        change = 0",
        *(f"        {line}" for line in call.run),
        "        steps += 1",
        "        quiet = quiet + 1 if change <= tol else 0",
    ]


def settle_back(net: Network, programs: Mapping[str, Program]) -> str:
    """Relax ε at the fixed point, and gather the gradient."""
    batch = programs["judge"].lane_width > 1
    rows = row_counts(net)
    names = ("judge", "relax_back", "collect")
    judge, back, collect = (prepared(core_of(programs[k], k, rows, net)) for k in names)
    longest = net.wiring.longest_delay
    body = [
        *one_row(net, batch, x=False),
        "cdef real J = 0",
        new_gradient(net, batch),
        *BEGIN,
        f"cdef Py_ssize_t u, last = max_steps + {2 * longest + 1}",
        f"t = {longest + 1}",
        *judge.lines,
        *back.setup,
        "with nogil:",
        *_until_quiet(back, "u = last - steps", longest),
        "    k_release(work)",
        "u = last - steps",
        *collect.lines,
        "return J, grad_theta, steps, change",
    ]
    doc = [
        '"""At the fixed point that settle left: J, dJ/dtheta, steps back, the last change."""',
    ]
    head = "def settle_back(state, theta, target, mask, double tol, Py_ssize_t max_steps):"
    return function(head, doc, body, judge, back, collect)
