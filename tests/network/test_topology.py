"""Claims about connections: canonical order, patterns, shared weights, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from derive.errors import NetworkError
from derive.network import connect
from derive.network.topology import Connection, Places, finite, whole, wire
from tests.strategies import networks

THREE = Places(3, 2, (("s",),) * 3)
TWO_PORTS = Places(2, 1, (("g", "s"), ("s",)))


def rows(connections: Any, places: Places = THREE) -> list[tuple[int, ...]]:
    """(target, port, source, delay) of each connection, in order."""
    w = wire(connections, places)
    columns = (w.target, w.port, w.source, w.delay)
    return list(zip(*(c.tolist() for c in columns), strict=True))


@given(networks(), st.randoms())
def test_order_is_canonical_whatever_the_order_of_the_list(net: Any, random: Any) -> None:
    ports = tuple(net.cells[c].net_inputs for c in net.cell_index)
    places = Places(net.units, net.inputs, ports)
    listed = list(net.connections)
    random.shuffle(listed)
    assert rows(listed, places) == sorted(rows(listed, places))
    again = wire(listed, places)
    np.testing.assert_array_equal(again.source, net.wiring.source)
    np.testing.assert_array_equal(again.weight, net.wiring.weight)


def test_order_is_target_then_net_input_then_source_then_delay() -> None:
    listed = [
        Connection(1, 0), Connection(0, 2, 1, "s"), Connection(0, 1, 3, "g"),
        Connection(0, 1, 2, "g"), Connection(0, 0, 9, "s"), Connection(0, 2, 1, "g"),
    ]  # fmt: skip
    assert rows(listed, TWO_PORTS) == [
        (0, 0, 1, 2), (0, 0, 1, 3), (0, 0, 2, 1), (0, 1, 0, 9), (0, 1, 2, 1), (1, 0, 0, 1),
    ]  # fmt: skip


def test_shared_weights_are_numbered_by_first_appearance_in_canonical_order() -> None:
    w = wire(
        [
            Connection(2, 0, weight="z"), Connection(1, 1), Connection(0, 4, weight="a"),
            Connection(0, 1, weight="z"), Connection(2, 3, weight="a"), Connection(2, 2),
        ],
        THREE,
    )  # fmt: skip
    # (0,1) z, (0,4) a, (1,1) own, (2,0) z, (2,2) own, (2,3) a
    assert w.weight.tolist() == [0, 1, 2, 0, 3, 1]
    assert w.labels == ("z", "a", None, None)
    assert (w.size, w.weights) == (6, 4)


def test_a_number_and_its_text_are_two_ids() -> None:
    w = wire([Connection(0, 0, weight=1), Connection(1, 0, weight="1")], THREE)
    assert w.weights == 2


def test_delays_and_net_inputs_make_connections_distinct() -> None:
    assert len(rows([(0, 0, 1), (0, 0, 2)])) == 2
    assert len(rows([Connection(0, 0, 1, "g"), Connection(0, 0, 1, "s")], TWO_PORTS)) == 2


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (connect.full(), [(k, 0, s, 1) for k in range(3) for s in range(5)]),
        (connect.full(2), [(k, 0, s, 2) for k in range(3) for s in range(5)]),
        (connect.ring(), [(0, 0, 2, 1), (0, 0, 3, 1), (0, 0, 4, 1), (1, 0, 0, 1), (1, 0, 3, 1),
                          (1, 0, 4, 1), (2, 0, 1, 1), (2, 0, 3, 1), (2, 0, 4, 1)]),
        (connect.layers(2, 1), [(0, 0, 0, 1), (0, 0, 1, 1), (0, 0, 3, 1), (0, 0, 4, 1),
                                (1, 0, 0, 1), (1, 0, 1, 1), (1, 0, 3, 1), (1, 0, 4, 1),
                                (2, 0, 0, 1), (2, 0, 1, 1), (2, 0, 2, 1)]),
        (connect.layers(1, 2, recurrent=False, delay=4),
         [(0, 0, 3, 4), (0, 0, 4, 4), (1, 0, 0, 4), (2, 0, 0, 4)]),
        (connect.random(0, 0), []),
        (connect.random(1, 0), [(k, 0, s, 1) for k in range(3) for s in range(5)]),
        ([], []),
    ],
)  # fmt: skip
def test_patterns(pattern: Any, expected: list[tuple[int, ...]]) -> None:
    assert rows(pattern) == expected


def test_full_reaches_every_net_input() -> None:
    assert len(rows(connect.full(), TWO_PORTS)) == 3 * 3


def test_random_is_a_matter_of_density_and_seed_alone() -> None:
    places = Places(200, 0, (("s",),) * 200)
    first = rows(connect.random(0.1, 3), places)
    assert first == rows(connect.random(0.1, 3), places) != rows(connect.random(0.1, 4), places)
    assert abs(len(first) / 200**2 - 0.1) < 0.01


def test_a_ring_of_one_is_a_self_loop() -> None:
    assert rows(connect.ring(), Places(1, 0, (("s",),))) == [(0, 0, 0, 1)]


@pytest.mark.parametrize(
    ("connections", "message"),
    [
        ([(0, 5)], r"connections\[0\]: source 5 is out of range; .* input lines 3…4"),
        ([(3, 0)], r"connections\[0\]: target 3 is out of range; units are 0…2"),
        ([(0, 0), (0, -1)], r"connections\[1\]: source must be at least 0"),
        ([(0, 3, 0)], "an input line has delay 1 at least; with 1 it is heard in the step"),
        ([(0, 0, -2)], "delay must be at least 0, got -2"),
        ([(0, 0, 1.5)], "delay must be a whole number, got 1.5"),
        ([(0, 0, 1.0)], "delay must be a whole number, got 1.0"),
        ([(0, 0, True)], "delay must be a whole number, got True"),
        (
            [(0, 1), (2, 2), (0, 1)],
            "two lead from source 1 to net input 's' of unit 0 with delay 1",
        ),
        ([Connection(0, 1, 2, "s", "a"), Connection(0, 1, 2, "s", "b")], "two lead from source 1"),
        ([Connection(0, 0, net_input="g")], "unit 0 has no net input 'g'; it has s"),
        ([Connection(0, 0, weight=(1,))], r"weight id \(1,\) is not a name or whole number"),
        ([Connection(0, 0, weight=True)], "weight id True is not a name or whole number"),
        (["00"], r"connections\[0\]: expected \(target, source\)"),
        ([(0,)], "expected"),
        ("full", "expected a pattern such as derive.connect.full"),
        (None, "expected a pattern"),
        ([{"target": 0}], "target or source is missing"),
    ],
)
def test_a_bad_connection_is_one_clear_error(connections: Any, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        wire(connections, THREE)


def test_which_net_input_must_be_said_where_there_are_two() -> None:
    with pytest.raises(NetworkError, match="unit 0 has net inputs g, s; say which"):
        wire([(0, 0)], TWO_PORTS)
    with pytest.raises(NetworkError, match="unit 0 has no net input to connect to"):
        wire([(0, 0)], Places(1, 0, ((),)))
    with pytest.raises(NetworkError, match="units are 0…0, and there are no input lines"):
        wire([(0, 1)], Places(1, 0, (("s",),)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: connect.full(0), "connect.full: delay must be at least 1"),
        (lambda: connect.ring(1.5), "connect.ring: delay must be a whole number"),
        (lambda: connect.random(-0.1, 0), "density must lie in 0…1"),
        (lambda: connect.random(float("nan"), 0), "density must lie in 0…1"),
        (lambda: connect.random(0.1, -1), "seed must be at least 0"),
        (lambda: connect.random(0.1, 0.5), "seed must be a whole number"),
        (lambda: connect.layers(), "give the size of at least one layer"),
        (lambda: connect.layers(2, 0), "a size must be at least 1"),
    ],
)
def test_a_bad_pattern_is_one_clear_error(make: Any, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        make()


def test_numbers_of_numpy_are_numbers() -> None:
    assert whole(np.int64(3), "n", 0) == 3 and type(whole(np.int32(3), "n", 0)) is int
    assert finite(np.float32(0.5), "f") == 0.5
    assert rows([(np.int64(0), np.int64(3))]) == [(0, 0, 3, 1)]
