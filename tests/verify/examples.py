"""The networks every rung of the ladder is tried on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from derive.network import connect
from derive.network.cell import Cell, NetInputDeclaration
from derive.network.library import leaky, semilinear
from derive.network.network import Network
from derive.network.objective import SquaredError
from derive.network.objectives import SoftmaxCrossEntropy, WeightDecay
from derive.network.topology import Connection
from derive.program.algorithms import programs, settle
from derive.program.ir import Program
from derive.program.schedules.choose import Choice, scheduled

SPARSE = [(0, 1, 2), (0, 0), (1, 0, 3), (1, 3), (2, 1, 2), (2, 2, 1), (0, 4, 2)]
SHARED = [
    Connection(0, 1, weight="a"),
    Connection(1, 0, 2, weight="a"),
    Connection(1, 1),
    Connection(0, 2, weight="b"),
    Connection(1, 2, 2, weight="b"),
]
TARGETS = SquaredError([2, 0])

LOOKING = Network(
    Cell.from_text(
        {"y": "tanh(s)"},
        net_inputs=(NetInputDeclaration("s", None, 1, "w*x*(2 - y)"),),
        name="looking",
    ),
    1, 1, [(0, 0, 3), (0, 0), (0, 1)], SquaredError([0]), name="looking",
)  # fmt: skip
"""Connections that look at the unit they lead into, some of them late."""

NETS = {
    net.name: net
    for net in (
        Network(semilinear("tanh"), 3, 2, connect.full(), SquaredError([2]), name="wz3x5"),
        Network(semilinear("tanh"), 3, 2, SPARSE, TARGETS, name="delayed"),
        Network(leaky("tanh"), 2, 1, connect.full(), SquaredError([1]), name="leaky_pair"),
        Network(
            [semilinear("softplus"), leaky("tanh"), semilinear("tanh")],
            3, 1, [(0, 0), (0, 3), (1, 0, 2), (2, 1), (0, 2)], TARGETS, name="mixed",
        ),
        Network(semilinear("logistic", bias=True), 2, 1, connect.full(), SquaredError([1]),
                name="biased"),
        Network(semilinear("relu"), 3, 2, SPARSE, TARGETS, name="cornered"),
        Network(semilinear("tanh"), 2, 1, SHARED, SquaredError([1]), name="sharing"),
        Network(semilinear("tanh"), 2, 1, connect.full(),
                SoftmaxCrossEntropy([1, 0]) + WeightDecay(0.25), name="pooled"),
    )
}  # fmt: skip


EPOCHWISE = {"name": "epochwise"}

# Short windows, as on a witness: what happens at their edges happens within few steps.
ALGORITHMS: dict[str, dict[str, Any]] = {
    "epochwise": {"name": "epochwise"},
    "epochwise cut 1": {"name": "epochwise", "memory": 1},
    "epochwise cut 2": {"name": "epochwise", "memory": 2},
    "epochwise wide": {"name": "epochwise", "accumulate": "float64"},
    "realtime": {"name": "realtime", "capacity": 12},
    "truncated 1": {"name": "truncated", "h": 1},
    "truncated 2": {"name": "truncated", "h": 2},
    "truncated 2;2": {"name": "truncated", "h": 2, "h_prime": 2},
    "truncated 3;2": {"name": "truncated", "h": 3, "h_prime": 2},
    "rtrl": {"name": "rtrl"},
    "rtrl grouped": {"name": "rtrl", "groups": [[0], [1, 2]]},
    "hybrid 1": {"name": "hybrid", "h": 1},
    "hybrid 2": {"name": "hybrid", "h": 2},
}


def algorithm_of(net: Network, name: str) -> dict[str, Any]:
    """An algorithm by its name above, settled; ``, forced`` adds teacher forcing."""
    plain = name.removesuffix(", forced")
    options = dict(ALGORITHMS[plain])
    if plain != name:
        options["teacher_forcing"] = True
    return settle(net, options.pop("name"), options)


def programs_of(net: Network, algorithm: Mapping[str, Any] = EPOCHWISE) -> dict[str, Program]:
    """Right Programs, not yet scheduled."""
    return programs(net, algorithm)


def laid_out(of: Mapping[str, Program], schedule: str = "unrolled") -> dict[str, Program]:
    """Programs in a schedule."""
    return {k: scheduled(p, Choice(schedule, False, "test"), 8) for k, p in of.items()}
