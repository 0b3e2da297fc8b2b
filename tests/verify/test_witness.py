"""A witness keeps of a large network what a proof needs."""

from __future__ import annotations

from derive.network import connect
from derive.network.library import leaky, semilinear
from derive.network.network import Network
from derive.network.objective import Objective, SquaredError
from derive.network.topology import Connection
from derive.verify.witness import CELLS_EACH, CONNECTIONS, UNITS, witnesses
from tests.verify.examples import NETS


def long_delays() -> Network:
    connections = [(k, (k + 1) % 8, d) for k in range(8) for d in (1, 3, 200)] + [(0, 8)]
    return Network(semilinear("tanh"), 8, 1, connections, SquaredError([7]), name="slow")


def test_a_small_network_is_its_own_witness() -> None:
    (w,) = witnesses(NETS["wz3x5"])
    assert w.own
    assert w.net is NETS["wz3x5"]
    assert w.steps == 3
    assert w.words.startswith("the network itself")


def test_delays_are_kept_by_rank() -> None:
    (w,) = witnesses(long_delays())
    assert sorted({c.delay for c in w.net.connections}) == [1, 2, 3]
    assert "delays 1, 3, 200 by rank" in w.words
    assert w.steps == 5


def test_a_witness_is_small_and_has_a_self_loop_and_no_symmetry() -> None:
    (w,) = witnesses(long_delays())
    pairs = {(c.target, c.source) for c in w.net.connections}
    assert w.net.units <= UNITS
    assert len(w.net.connections) <= CONNECTIONS
    assert any(k == source for k, source in pairs)
    assert any((source, k) not in pairs for k, source in pairs if source < w.net.units)


def test_some_weight_reaches_a_target_only_through_several_steps() -> None:
    (w,) = witnesses(long_delays())
    fed = {c.target for c in w.net.connections if c.source >= w.net.units}
    assert fed and not fed & set(w.net.objective.targets)


def test_every_cell_is_in_some_witness_with_its_fixed_values() -> None:
    cells = [
        *(leaky("tanh", tau=tau, trainable=False) for tau in (2.0, 3.0, 4.0, 5.0)),
        semilinear("relu"),
    ]
    net = Network([cells[k % 5] for k in range(20)], 20, 3, connect.random(0.2, seed=0),
                  SquaredError([0]), name="many")  # fmt: skip
    found = witnesses(net)
    assert all(len(w.net.cells) <= CELLS_EACH for w in found)
    specs = [c.to_spec() for w in found for c in w.net.cells]
    assert all(c.to_spec() in specs for c in cells)
    values = {v for w in found for v in w.net.values["tau"] if v == v}
    assert {2.0, 3.0, 4.0, 5.0} <= values


def test_shared_weights_stay_shared() -> None:
    connections = [Connection(k, (k + 1) % 9, 1 + k % 2, weight=k % 2) for k in range(9)]
    net = Network(semilinear("tanh"), 9, 0, connections, SquaredError([0]), name="sharing9")
    (w,) = witnesses(net)
    assert w.net.wiring.weights < w.net.wiring.size
    assert "one weight shared" in w.words


def test_full_wiring_stays_full() -> None:
    net = Network(semilinear("tanh"), 12, 4, connect.full(), SquaredError([3]), name="full12")
    (w,) = witnesses(net)
    assert w.net.wiring.size == w.net.units * (w.net.units + w.net.inputs)
    assert len(w.net.objective.targets) < w.net.units


def test_the_objective_is_the_same_and_a_network_without_connections_stays_so() -> None:
    objective = Objective("-log(cosh(d - y))", targets=[5])
    net = Network(semilinear("tanh", bias=True), 6, 0, [], objective, name="silent")
    (w,) = witnesses(net)
    assert w.net.objective.text == objective.text
    assert not w.net.wiring.size
