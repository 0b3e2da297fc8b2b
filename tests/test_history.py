"""What was before time 0, where delays reach there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import derive
from derive.network.topology import Connection
from tests.strategies import conductance, data, reset_gated, simulate

LINKS = [
    Connection(0, 1, 3), Connection(0, 3, 4), Connection(1, 0, 2, "r"), Connection(1, 1, 2, "a"),
    Connection(2, 0, 0), Connection(2, 1, 4), Connection(1, 4, 1, "a"),
]  # fmt: skip
NET = derive.Network(
    [conductance(), reset_gated(), derive.cells.leaky()], 3, 2, LINKS,
    derive.SquaredError([2, 0]), name="history",
)  # fmt: skip
ALGORITHMS: list[tuple[str, dict[str, Any]]] = [
    ("epochwise", {}), ("realtime", {"capacity": 9}), ("rtrl", {}), ("hybrid", {"h": 2}),
    ("truncated", {"h": 9}),
]  # fmt: skip


def past(batch: int = 0) -> Any:
    tail = (batch,) if batch else ()
    shape = (NET.lookback, len(NET.states) + NET.inputs, *tail)
    return np.random.default_rng(3).normal(size=shape)


def test_a_run_goes_on_from_its_own_past() -> None:
    """The second half of a run, with the first as its history, is the second half of the run."""
    kernel = derive.compile(NET)
    d, at = data(NET, 12), 6
    y = kernel.forward(d.theta, d.x, d.y0)
    before = range(at - NET.lookback, at)
    history = np.array([np.concatenate([y[t], d.x[t]]) for t in before])
    again = kernel.forward(d.theta, d.x[at:], y[at], history=history)
    np.testing.assert_allclose(again, y[at:], rtol=1e-14, atol=1e-14)
    # The fault: a history one step off is seen.
    off = kernel.forward(d.theta, d.x[at:], y[at], history=np.roll(history, 1, axis=0))
    assert np.abs(off - y[at:]).max() > 1e-3


@pytest.mark.parametrize("batch", [0, 3])
def test_every_algorithm_learns_from_a_history(batch: int) -> None:
    d, history = data(NET, 6, batch), past(batch)
    results = []
    for name, options in ALGORITHMS:
        kernel = derive.compile(NET, algorithm=name, batch=bool(batch), **options)
        J, g = kernel.gradient(d.theta, d.x, d.target, d.mask, d.y0, history=history)
        assert abs(J - kernel.gradient(d.theta, d.x, d.target, d.mask, d.y0)[0]) > 1e-3
        results.append(g)
        if name == "epochwise":
            along, h = np.random.default_rng(4).normal(size=NET.size), 1e-5
            ends = [
                kernel.gradient(
                    d.theta + s * h * along, d.x, d.target, d.mask, d.y0, history=history
                )[0]
                for s in (1, -1)
            ]
            assert (ends[0] - ends[1]) / (2 * h) == pytest.approx(along @ g, rel=1e-6)
            continue
        online = kernel.start(d.theta, d.y0, history=history)
        total = sum(
            step.gradient
            for t in range(6)
            if (step := online.step(d.x[t], d.target[t], d.mask[t])).gradient is not None
        )
        np.testing.assert_allclose(total, results[0], rtol=1e-9, atol=1e-11)
        online.reset(d.y0)  # and without one again
        first = online.step(d.x[0], d.target[0], d.mask[0])
        assert np.abs(first.y - kernel.start(d.theta, d.y0).step(d.x[0]).y).max() == 0
    for g in results[1:]:
        np.testing.assert_allclose(g, results[0], rtol=1e-9, atol=1e-11)


def test_without_a_history_there_was_nothing() -> None:
    d = data(NET, 6)
    kernel = derive.compile(NET)
    y, J = simulate(NET, d)
    np.testing.assert_allclose(kernel.forward(d.theta, d.x, d.y0), y, rtol=1e-12, atol=1e-13)
    zero = np.zeros((NET.lookback, len(NET.states) + NET.inputs))
    assert np.array_equal(
        kernel.forward(d.theta, d.x, d.y0, history=zero), kernel.forward(d.theta, d.x, d.y0)
    )


@pytest.mark.parametrize(
    ("history", "error", "message"),
    [
        (np.zeros((2, 8)), ValueError, "history: expected \\(D−1=3, N\\+m=7\\), got \\(2, 8\\)"),
        (np.zeros((3, 7), np.float32), TypeError, "history: expected float64, got float32"),
        ("past", TypeError, "history: expected an array of float64, got str"),
    ],
)
def test_a_bad_history_is_one_clear_error(history: Any, error: Any, message: str) -> None:
    d = data(NET, 4)
    kernel = derive.compile(NET)
    for call in (
        lambda: kernel.forward(d.theta, d.x, d.y0, history=history),
        lambda: kernel.gradient(d.theta, d.x, d.target, d.mask, d.y0, history=history),
    ):
        with pytest.raises(error, match=message):
            call()


def test_where_no_delay_reaches_back_a_history_is_empty() -> None:
    net = derive.Network(
        derive.cells.semilinear(), 2, 1, derive.connect.full(), derive.SquaredError([0])
    )
    kernel, d = derive.compile(net), data(net, 3)
    kernel.forward(d.theta, d.x, d.y0, history=np.zeros((0, 3)))
    with pytest.raises(ValueError, match="no delay of this network is longer than 1; expected"):
        kernel.forward(d.theta, d.x, d.y0, history=np.zeros((1, 3)))
    settling = derive.compile(net, algorithm="settling")
    with pytest.raises(ValueError, match="a settling net forgets what was before"):
        settling.start(d.theta, d.y0, history=np.zeros((0, 3)))


def test_delays_from_none_to_hundreds_in_one_net() -> None:
    links = [(0, 0, 300), (0, 3, 1), (1, 0, 0), (1, 1, 7), (2, 1, 0), (2, 0, 250), (0, 2, 1)]
    net = derive.Network(
        derive.cells.leaky(), 3, 1, links, derive.SquaredError([2]), name="hundreds"
    )
    d = data(net, 320)
    y, J = simulate(net, d)
    kernel = derive.compile(net)
    np.testing.assert_allclose(kernel.forward(d.theta, d.x, d.y0), y, rtol=1e-10, atol=1e-11)
    expected = kernel.gradient(d.theta, d.x, d.target, d.mask, d.y0)
    assert expected[0] == pytest.approx(J, rel=1e-10)
    for name, options in (("rtrl", {}), ("truncated", {"h": 320}), ("hybrid", {"h": 100})):
        other = derive.compile(net, algorithm=name, **options)
        got = other.gradient(d.theta, d.x, d.target, d.mask, d.y0)
        np.testing.assert_allclose(got[1], expected[1], rtol=1e-9, atol=1e-10)
