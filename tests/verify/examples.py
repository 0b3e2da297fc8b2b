"""The networks every rung of the ladder is tried on."""

from __future__ import annotations

from derive.network import connect
from derive.network.library import leaky, semilinear
from derive.network.network import Network
from derive.network.objective import SquaredError
from derive.network.topology import Connection
from derive.program.algorithms import programs
from derive.program.ir import Program

SPARSE = [(0, 1, 2), (0, 0), (1, 0, 3), (1, 3), (2, 1, 2), (2, 2, 1), (0, 4, 2)]
SHARED = [
    Connection(0, 1, weight="a"),
    Connection(1, 0, 2, weight="a"),
    Connection(1, 1),
    Connection(0, 2, weight="b"),
    Connection(1, 2, 2, weight="b"),
]
TARGETS = SquaredError([2, 0])

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
    )
}  # fmt: skip


def programs_of(net: Network) -> dict[str, Program]:
    """Right Programs, not yet scheduled."""
    return programs(net, {"name": "epochwise"})
