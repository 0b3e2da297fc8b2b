"""A witness keeps of a large network what a proof needs."""

from __future__ import annotations

from derive.network import connect
from derive.network.library import leaky, semilinear
from derive.network.network import Network
from derive.network.objective import Objective, SquaredError
from derive.network.topology import Connection
from derive.verify.forms import form_of
from derive.verify.witness import CELLS_EACH, CONNECTIONS, UNITS, short_forms, witnesses
from tests.verify.examples import NETS, algorithm_of


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


def test_windows_are_short_and_their_pattern_is_kept() -> None:
    def short(name: str, **options: int) -> list[tuple[int, int]]:
        forms = short_forms({"name": name, **options})
        return [(a["h"], a.get("h_prime", 1)) for a, _ in forms]

    assert short("truncated", h=9) == [(2, 1)]
    assert short("truncated", h=1) == [(1, 1)]
    assert short("truncated", h=9, h_prime=9) == [(2, 2)]
    assert short("truncated", h=90, h_prime=30) == [(3, 2)]
    assert short("hybrid", h=16) == [(2, 1), (1, 1)]
    assert short("hybrid", h=1) == [(1, 1)]


def test_what_stands_for_what_is_said() -> None:
    net = NETS["wz3x5"]
    (w,) = witnesses(net, algorithm_of(net, "truncated 3;2") | {"h": 90, "h_prime": 30})
    assert w.words.endswith("truncated h=3 h_prime=2 for truncated h=90 h_prime=30")
    (w,) = witnesses(net, algorithm_of(net, "truncated 3;2"))
    assert " for " not in w.words


def test_there_are_windows_that_cut_something_off_and_a_last_one_that_is_not_whole() -> None:
    for name in ("truncated 2", "truncated 2;2", "truncated 3;2", "hybrid 2"):
        net = NETS["sharing"]
        for w in witnesses(net, algorithm_of(net, name)):
            form = form_of(w.algorithm)
            assert form.back is None or form.back < w.steps
            assert form.period == 1 or w.steps % (form.period or 1)


def test_steps_are_enough_for_what_is_learnt_to_reach_a_target() -> None:
    # From the input at time 0 through two delays of 3.
    late = Network(semilinear("tanh"), 3, 1, [(1, 3, 3), (2, 1, 3)], SquaredError([2]), name="late")
    (w,) = witnesses(late)
    assert w.own
    assert w.steps == 6


def test_groups_of_a_large_network_stay_apart_each_with_a_target() -> None:
    net = Network(semilinear("tanh"), 8, 1, connect.ring(), SquaredError([0, 7]), name="grouped")
    groups = [[0, 1, 2, 3], [4, 5, 6, 7]]
    (w,) = witnesses(net, {"name": "rtrl", "groups": groups})
    found = w.algorithm["groups"]
    assert len(found) == 2
    assert sorted(k for group in found for k in group) == list(range(w.net.units))
    assert all(set(group) & set(w.net.objective.targets) for group in found)


def test_where_much_comes_together_in_a_step_the_witness_has_two_units() -> None:
    net = Network(leaky("tanh"), 9, 3, connect.full(), SquaredError([0]), name="dense9")
    (free,) = witnesses(net)
    (forced,) = witnesses(net, {"name": "epochwise", "teacher_forcing": True})
    assert (free.net.units, free.net.inputs) == (3, 2)
    assert (forced.net.units, forced.net.inputs) == (2, 1)
