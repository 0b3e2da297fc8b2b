"""Networks whose connections are of further kinds: heard in the same step, or of another state.

And with contributions of their own, looked-at states, fixed weights, and all of that together.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from derive.network import connect
from derive.network.cell import Cell, NetInputDeclaration, ParameterDeclaration
from derive.network.library import leaky, semilinear
from derive.network.network import Network
from derive.network.objective import Objective, SquaredError
from derive.network.topology import Connection
from tests.strategies import adaptive, chained, gated, shared_leak

SPARSE = [(0, 1, 2), (0, 0), (1, 0, 3), (1, 3), (2, 1, 2), (2, 2, 1), (2, 4, 2), (0, 3, 3)]


def own(*names: str) -> tuple[ParameterDeclaration, ...]:
    """Parameters of connections."""
    return tuple(ParameterDeclaration(name, 0.5) for name in names)


def gru() -> Cell:
    """A gated unit whose candidate hears r∘h of all units in the same step."""
    return Cell.from_text(
        {"h": "(1-u)*h + u*tanh(a)", "rh": "r*h"},
        intermediates={"r": "logistic(ar)", "u": "logistic(au)"},
        net_inputs=(NetInputDeclaration("a", hears="rh", delay=0), "ar", "au"),
        name="gru",
    )


def ltc() -> Cell:
    """A liquid time constant: connections with a threshold, which look at their target."""
    synapse = "w*logistic(gamma*(x - mu))*(A - v)"
    return Cell.from_text(
        {"v": "v + (s - v)/tau"},
        net_inputs=(NetInputDeclaration("s", synapse=synapse, parameters=own("gamma", "mu", "A")),),
        parameters=(ParameterDeclaration("tau", 3.0),),
        name="ltc",
    )


def looking() -> Cell:
    """Connections that look at a second state of their target, and at its output."""
    synapse = "w*tanh(c*x)*(1 - v) + w**2*x*y/2"
    return Cell.from_text(
        {"y": "tanh(s) + v/3", "v": "v/2 + y/4 + s/8"},
        net_inputs=(NetInputDeclaration("s", synapse=synapse, parameters=own("c")),),
        name="looking",
    )


def saturating() -> Cell:
    """A contribution that is no product with the weight."""
    return Cell.from_text(
        {"y": "tanh(s) + b*y"},
        net_inputs=(NetInputDeclaration("s", synapse="tanh(w*x)"),),
        parameters=(ParameterDeclaration("b", 0.4),),
        name="saturating",
    )


def reader(delay: int = 1) -> Cell:
    """Hears the second state v of others."""
    heard = NetInputDeclaration("s", hears="v", delay=delay)
    return Cell.from_text({"y": "sin(s) + s/3"}, net_inputs=(heard,), name="reader")


def twofold() -> Cell:
    """Its second state v is heard, and is what the ltc calls its output."""
    return Cell.from_text(
        {"y": "tanh(s) + v/4", "v": "y/2 - v/3 + g"},
        net_inputs=("s", NetInputDeclaration("g", hears="v", synapse="w*x*c", parameters=own("c"))),
        name="twofold",
    )


def net_of(cell: Any, connections: Any = None, targets: tuple[int, ...] = (0, 2)) -> Network:
    """Three units, two inputs."""
    pattern = connect.full() if connections is None else connections
    return Network(cell, 3, 2, pattern, SquaredError(list(targets)), name="net")


def named(*rows: tuple[Any, ...]) -> list[Connection]:
    """Connections with their net inputs."""
    return [Connection(*row) for row in rows]


NETS = {
    "gru": net_of(gru()),
    "gru, delayed": net_of(
        gru(),
        named((0, 1, 0, "a"), (0, 2, 3, "a"), (1, 2, 0, "a"), (2, 2, 1, "a"), (2, 0, 2, "a"),
              (0, 3, 1, "a"), (1, 4, 2, "a"), (0, 0, 2, "ar"), (1, 2, 1, "ar"), (2, 3, 1, "ar"),
              (0, 1, 1, "au"), (1, 3, 1, "au"), (2, 1, 3, "au")),
    ),
    "layers at once": Network(
        semilinear("tanh", bias=True), 5, 2, connect.layers(2, 2, 1, delay=0), SquaredError([4]),
        name="layers",
    ),
    "leaks at once": net_of(
        leaky("tanh"), [(1, 0, 0), (2, 1, 0), (2, 0, 2), (0, 2), (0, 3), (1, 1, 3), (2, 4, 2)]
    ),
    "nothing but at once": net_of(leaky("tanh"), [(1, 0, 0), (2, 1, 0), (2, 0, 0)]),
    "ltc": net_of(ltc()),
    "ltc, delayed": net_of(ltc(), [*SPARSE, (1, 0, 0)], (1, 2)),
    "shared contributions": net_of(
        ltc(),
        [Connection(0, 1, weight="u"), Connection(1, 2, weight="u"), (2, 0), (0, 3), (1, 1, 2)],
    ),
    "looking": net_of(looking()),
    "looking, delayed": net_of(looking(), [*SPARSE, (1, 0, 0)]),
    "saturating at once": net_of(saturating(), [(1, 0, 0), (2, 1, 0), (0, 2), (0, 3), (1, 1)]),
    "a second state is read": net_of(
        [adaptive(), adaptive(), reader()], [(0, 1), (1, 0, 2), (0, 3), (2, 0), (2, 1, 3), (2, 4)]
    ),
    "a second state is read at once": net_of(
        [adaptive(), adaptive(), reader(0)], [(0, 1), (1, 0), (0, 2), (1, 3), (2, 0, 0), (2, 1, 0)]
    ),
    "fixed": net_of(
        leaky("tanh"),
        [Connection(0, 1, fixed=0.5), Connection(1, 0, 1, fixed=-0.7), (2, 0), (2, 1), (0, 3)],
    ),
    "all fixed": net_of(
        leaky("tanh"),
        [Connection(0, 1, fixed=0.5), Connection(1, 0, 2, fixed=-0.7), Connection(2, 0, fixed=1.5),
         Connection(2, 1, fixed=0.3), Connection(0, 3, fixed=0.9)],
    ),
    "fixed contributions": net_of(
        ltc(), [Connection(0, 1, fixed=0.5), Connection(1, 0, 2), (2, 0), (2, 1), (0, 3), (1, 1)]
    ),
    "one name, stated differently": net_of(
        [semilinear("tanh"), ltc(), reader()],
        [(0, 1), (0, 0, 2), (0, 2), (1, 0), (1, 2), (1, 3), (2, 1), (2, 1, 2), (2, 4)],
    ),
    "a state that is an output elsewhere": net_of(
        [twofold(), ltc(), twofold()],
        named((0, 1, 1, "s"), (0, 0, 2, "g"), (0, 1, 1, "g"), (0, 2, 2, "g"), (1, 0, 1, "s"),
              (1, 2, 2, "s"), (2, 1, 0, "g"), (2, 0, 1, "g"), (2, 0, 1, "s"), (2, 3, 1, "s"),
              (0, 4, 1, "g")),
    ),
    "two that look at states of one name": net_of(
        [looking(), ltc(), looking()], [(0, 1), (0, 2, 2), (1, 0), (1, 1), (2, 1), (2, 3), (0, 0)]
    ),
    "kinds": Network(
        [gru(), adaptive(), gru(), reader(0), looking()], 5, 2,
        named((0, 2, 0, "a"), (2, 2, 1, "a"), (2, 0, 2, "a"), (0, 1, 1, "ar"), (0, 3, 1, "au"),
              (2, 4, 2, "au"), (2, 5, 1, "ar"), (1, 0, 0, "s"), (1, 4, 1, "s"), (3, 1, 0, "s"),
              (3, 4, 1, "s"), (4, 3, 0, "s"), (4, 4, 1, "s"), (4, 6, 1, "s"))
        + [Connection(1, 3, 2, "s", fixed=0.8), Connection(2, 3, 1, "au", fixed=-0.6)],
        SquaredError([1, 3, 4]), name="kinds",
    ),
}  # fmt: skip


def forcible(net: Network) -> bool:
    """Whether no output that may be forced is heard in the same step."""
    return not any(
        c.delay == 0
        and c.source in net.objective.targets
        and port_of(net, c).hears in (None, net.cells[net.cell_index[c.source]].output)
        for c in net.connections
    )


def every_case(nets: dict[str, Network]) -> Any:
    """A test for each network as it is, and with outputs forced where that can be written."""
    return pytest.mark.parametrize(("net", "forced"), cases(nets))


def cases(nets: dict[str, Network]) -> list[Any]:
    """Each network, and whether outputs are forced."""
    return [
        pytest.param(net, forced, id=f"{name}-{'forced' if forced else 'free'}")
        for name, net in nets.items()
        for forced in (False, True)
        if not forced or forcible(net)
    ]


def port_of(net: Network, c: Connection) -> NetInputDeclaration:
    """The net input that a connection leads into."""
    cell = net.cells[net.cell_index[c.target]]
    return next(s for s in cell.ports if s.name == c.net_input)


MAKERS = (
    gru, ltc, looking, saturating, reader, lambda: reader(0), twofold, adaptive, gated, chained,
    shared_leak, lambda: semilinear("tanh", bias=True), lambda: leaky("tanh"),
)  # fmt: skip


@st.composite
def connected(draw: st.DrawFn, max_units: int = 4, longest_delay: int = 3) -> Network:
    """A valid network of such cells: delays from 0 on, fixed and shared weights."""
    n = draw(st.integers(1, max_units))
    m = draw(st.integers(0, 2))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kinds = [MAKERS[i]() for i in generator.integers(len(MAKERS), size=2)]
    cells = [kinds[i] for i in generator.integers(2, size=n)]
    places = []
    for k, cell in enumerate(cells):
        for port in cell.ports:
            for source in range(n + m):
                if source < n and port.hears and port.hears not in cells[source].states:
                    continue
                # Only units before it are heard at once, so that there is no circle.
                soonest = 0 if source < k else 1
                places += [(k, source, d, port.name) for d in range(soonest, longest_delay + 1)]
    count = min(len(places), int(generator.integers(1, 4 * n + 3)))
    chosen: Any = generator.choice(len(places), count, replace=False) if places else []
    connections = []
    for i in chosen:
        k, source, delay, name = places[i]
        if delay > 1 and generator.random() < 0.5:
            delay = 0 if source < k else 1
        weight = "u" if generator.random() < 0.2 and len(set(kinds)) == 1 else None
        fixed = None if weight or generator.random() < 0.8 else float(generator.normal())
        connections.append(Connection(k, source, delay, name, weight, fixed))
    distinct = {(c.target, c.source, c.delay, c.net_input): c for c in connections}
    targets = generator.permutation(n)[: generator.integers(1, n + 1)].tolist()
    objective = Objective("-(d - y)**4/4", targets) if generator.random() < 0.5 else None
    return Network(
        cells, n, m, list(distinct.values()), objective or SquaredError(targets), name="drawn"
    )
