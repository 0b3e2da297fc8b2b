"""Claims about a network: where everything stands in theta, and what its digest tells apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from derive.errors import NetworkError
from derive.network import connect
from derive.network.cell import Cell, ParameterDeclaration
from derive.network.library import leaky, semilinear
from derive.network.network import Network
from derive.network.objective import Objective, SquaredError
from derive.network.topology import Connection
from tests.strategies import gated, networks, shared_leak


def wz3x5() -> Network:
    """Three tanh units, two input lines, all fifteen connections."""
    return Network(semilinear("tanh"), 3, 2, connect.full(), SquaredError([2]), name="wz3x5")


def mixed() -> Network:
    """A leaky unit with bias, two that share a time constant, a plain one; one shared weight."""
    cells = [
        leaky("tanh", tau=4.0, bias=True),
        shared_leak(),
        semilinear("logistic"),
        shared_leak(),
    ]
    connections = [
        Connection(3, 0, weight="a"), (1, 4), (0, 0, 2), Connection(0, 5, weight="a"), (2, 3),
    ]  # fmt: skip
    return Network(cells, 4, 2, connections, SquaredError([2, 0]), name="mixed")


def test_theta_is_weights_then_parameters_unit_by_unit() -> None:
    net = mixed()
    slices = [(p.name, p.start, p.stop, p.unit) for p in net.parameters]
    assert slices == [("w", 0, 4, None), ("tau", 4, 5, 0), ("b", 5, 6, 0), ("tau", 6, 7, 1)]
    assert net.size == 7
    # w(0,0,2), w(0,5)=a, w(1,4), w(2,3), and w(3,0)=a again.
    assert net.wiring.weight.tolist() == [0, 1, 2, 3, 1]
    assert net.unit_parameters["tau"].tolist() == [4, 6, -1, 6]


def test_init_gives_parameters_their_declared_values_and_weights_random_ones() -> None:
    theta = mixed().init(1)
    assert theta[4:].tolist() == [4.0, 0.0, 3.0]
    assert len(set(theta[:4])) == 4 and (np.abs(theta[:4]) <= 1).all()
    np.testing.assert_array_equal(theta, mixed().init(1))
    assert (theta[:4] != mixed().init(2)[:4]).all()


def test_init_scales_weights_by_fan_in() -> None:
    wide = Network(semilinear(), 1, 399, connect.full(), SquaredError([0]), name="wide")
    largest = np.abs(wide.init(0)).max()
    assert 0.9 / 20 < largest <= 1 / 20


@given(networks(), st.integers(0, 99))
def test_pack_undoes_unpack(net: Network, seed: int) -> None:
    theta = np.random.default_rng(seed).normal(size=net.size)
    named = net.unpack(theta)
    np.testing.assert_array_equal(net.pack(named), theta)
    assert sum(v.size for v in named.values()) == net.size


@given(networks())
def test_slices_tile_theta(net: Network) -> None:
    ends = [(p.start, p.stop) for p in net.parameters]
    assert [i for start, stop in ends for i in range(start, stop)] == list(range(net.size))
    assert all(range(net.size)[p.slice] == range(p.start, p.stop) for p in net.parameters)


def test_unpack_names_each_part() -> None:
    named = mixed().unpack(np.arange(7.0))
    assert {k: v.tolist() for k, v in named.items()} == {
        "w": [0, 1, 2, 3], "tau": [4, 6], "b": [5],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda named: named.update(v=0), "pack: unknown name 'v'; expected w, tau, b"),
        (lambda named: named.pop("tau"), "pack: 'tau' is missing; expected w, tau, b"),
        (lambda named: named.update(b=[1, 2]), r"pack: b: expected shape \(1,\), got \(2,\)"),
    ],
)
def test_pack_refuses_what_is_not_theta(change: Callable[[Any], Any], message: str) -> None:
    named = mixed().unpack(np.zeros(7))
    change(named)
    with pytest.raises(NetworkError, match=message):
        mixed().pack(named)


def test_theta_of_wrong_length_is_refused_with_both_shapes() -> None:
    for method in (mixed().unpack, mixed().weight_matrix):
        with pytest.raises(ValueError, match=r"theta: expected \(P=7,\), got \(8,\)"):
            method(np.zeros(8))


def test_the_weight_matrix_has_rows_of_targets() -> None:
    theta = np.arange(15.0)
    np.testing.assert_array_equal(wz3x5().weight_matrix(theta), theta.reshape(3, 5))
    matrix = mixed().weight_matrix(np.arange(1.0, 8.0))
    expected = np.zeros((4, 6))
    expected[[0, 0, 1, 2, 3], [0, 5, 4, 3, 0]] = [1, 2, 3, 4, 2]
    np.testing.assert_array_equal(matrix, expected)


def test_a_weight_matrix_cannot_hold_two_delays() -> None:
    net = Network(semilinear(), 1, 0, [(0, 0, 1), (0, 0, 2)], SquaredError([0]), name="two")
    with pytest.raises(NetworkError, match="joined by more than one connection"):
        net.weight_matrix([1.0, 2.0])


def test_states_are_listed_unit_by_unit() -> None:
    pair = Cell.from_text({"v": "v/2 + s", "y": "v*s"}, output="y")
    net = Network([pair, semilinear()], 2, 0, [(0, 1)], SquaredError([0]), name="pair")
    assert net.states == ((0, "v"), (0, "y"), (1, "y"))


def test_values_may_differ_from_unit_to_unit() -> None:
    net = Network(
        leaky(tau=5.0), 3, 0, [], SquaredError([0]), name="n", parameters={"tau": [2, 3, 4]}
    )
    assert net.init(0).tolist() == [2, 3, 4]


def test_equal_cells_are_one_cell() -> None:
    net = Network([semilinear(), leaky(), semilinear()], 3, 0, [], SquaredError([0]), name="n")
    assert len(net.cells) == 2 and net.cell_index.tolist() == [0, 1, 0]


# --- the digest ----------------------------------------------------------------------------------

DIFFERENT: dict[str, Callable[[], Network]] = {
    "as it is": lambda: build(),
    "name": lambda: build(name="other"),
    "activation": lambda: build(cell=semilinear("logistic")),
    "bias": lambda: build(cell=semilinear("tanh", bias=True)),
    "leaky": lambda: build(cell=leaky("tanh")),
    "tau": lambda: build(cell=leaky("tanh", tau=6.0)),
    "fixed": lambda: build(cell=leaky("tanh", trainable=False)),
    "step": lambda: build(cell=leaky("tanh", dt=0.5)),
    "values": lambda: build(cell=leaky("tanh"), parameters={"tau": [5.0, 4.0, 5.0]}),
    "mixed": lambda: build(cell=[semilinear(), semilinear(), leaky()]),
    "mixed otherwise": lambda: build(cell=[semilinear(), leaky(), semilinear()]),
    "shared": lambda: build(cell=shared_leak()),
    "inputs": lambda: build(inputs=2),
    "units": lambda: build(units=4),
    "fewer": lambda: build(connections=[(0, 1)]),
    "delay": lambda: build(connections=[(0, 1), (2, 0, 3)]),
    "source": lambda: build(connections=[(0, 1), (2, 1, 2)]),
    "target": lambda: build(connections=[(0, 1), (1, 0, 2)]),
    "weight": lambda: build(connections=[Connection(0, 1, weight="a"),
                                         Connection(2, 0, 2, weight="a")]),
    "label": lambda: build(connections=[Connection(0, 1, weight="b"),
                                        Connection(2, 0, 2, weight="b")]),
    "targets": lambda: build(objective=SquaredError([1])),
    "order of targets": lambda: build(objective=SquaredError([0, 2])),
    "objective": lambda: build(objective=Objective("-(d - y)**4", [2, 0])),
}  # fmt: skip


def build(**changes: Any) -> Network:
    """A small net with some of its arguments changed."""
    arguments: dict[str, Any] = {
        "cell": semilinear("tanh"), "units": 3, "inputs": 1, "connections": [(0, 1), (2, 0, 2)],
        "objective": SquaredError([2, 0]), "name": "small",
    }  # fmt: skip
    return Network(**{**arguments, **changes})


def test_the_digest_differs_when_anything_does() -> None:
    digests = {what: make().digest for what, make in DIFFERENT.items()}
    assert len(set(digests.values())) == len(digests)


def test_the_digest_is_that_of_what_is_stated_not_of_how() -> None:
    assert build().digest == build(connections=[(2, 0, 2), Connection(0, 1)]).digest
    assert wz3x5().digest == replaced_by_list(wz3x5()).digest
    assert build(cell=[semilinear()] * 3).digest == build().digest
    stated = build(cell=leaky("tanh"), parameters={"tau": 5.0})
    assert stated.digest == build(cell=leaky("tanh")).digest


def replaced_by_list(net: Network) -> Network:
    """The same network, its pattern written out."""
    listed = [replace(c) for c in net.connections]
    return Network(net.cells[0], net.units, net.inputs, listed, net.objective, name=net.name)


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"units": 0}, "units must be at least 1, got 0"),
        ({"units": 2.0}, "units must be a whole number, got 2.0"),
        ({"inputs": -1}, "inputs must be at least 0, got -1"),
        ({"cell": "tanh"}, "cell: expected a derive.Cell or a list of them, got 'tanh'"),
        ({"cell": [semilinear()] * 2}, r"cell: expected one Cell or 3 \(one per unit\), got 2"),
        ({"cell": []}, "got 0"),
        ({"objective": None}, "objective: expected e.g. derive.SquaredError"),
        ({"objective": "-(d - y)**2"}, "objective: expected e.g. derive.SquaredError"),
        ({"objective": SquaredError([3])}, "objective: target 3 is out of range; units are 0…2"),
        ({"name": "1st"}, "network name '1st': use ASCII letters"),
        ({"name": "for"}, "'for' is a keyword of Python"),
        ({"name": "register"}, "'register' is a keyword of C or Cython"),
        ({"parameters": {"tau": 1.0}}, "parameters: no cell has a parameter 'tau'"),
        ({"cell": leaky(), "parameters": {"tao": 1.0}}, "no cell has .* 'tao'; there are tau"),
        (
            {"cell": leaky(), "parameters": {"tau": [1.0, 2.0]}},
            r"expected one number or 3 .*\(2,\)",
        ),
        ({"cell": leaky(), "parameters": {"tau": float("inf")}}, "every value must be finite"),
        ({"cell": leaky(), "parameters": {"tau": "fast"}}, "expected numbers, got 'fast'"),
        ({"cell": gated(), "connections": [(0, 1)]}, "unit 0 has net inputs s, gate; say which"),
    ],
)
def test_a_network_that_is_none_is_one_clear_error(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        build(**changes)


def test_a_seed_that_is_none_is_refused() -> None:
    with pytest.raises(NetworkError, match="seed must be at least 0, got -1"):
        build().init(-1)


def test_a_shared_parameter_is_shared_within_its_cell_only() -> None:
    one, other = (
        Cell.from_text({"y": text}, parameters=(ParameterDeclaration("g", 0.5, shared=True),))
        for text in ("g*s", "g*s + y/2")
    )
    net = Network([one, other, one, other], 4, 0, [], SquaredError([0]), name="n")
    assert net.unit_parameters["g"].tolist() == [0, 1, 0, 1]
