"""What the algorithms must agree on, and where they must differ, on random networks.

All of them run here as Programs on NumPy, in every schedule; ``tests/test_online.py`` has them
compiled.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from derive.interpreted import Interpreted
from derive.network import connect
from derive.network.library import leaky, semilinear
from derive.network.network import Network
from derive.network.objective import SquaredError
from derive.network.topology import Connection
from derive.online import Online
from derive.program.algorithms import programs, settle
from derive.program.ir import Program
from derive.program.schedules.tables import tables
from derive.program.schedules.unrolled import unrolled
from tests.strategies import Data, data, networks, simulate

SCHEDULES = {"reference": lambda p: p, "tables": tables, "unrolled": unrolled}
BATTERY = settings(max_examples=40, suppress_health_check=list(HealthCheck), deadline=None)
steps = st.integers(1, 9)
seeds = st.integers(0, 99)


def kernel(net: Network, name: str, schedule: str = "reference", **options: Any) -> Interpreted:
    """An algorithm's Programs in a schedule, run on NumPy."""
    found = programs(net, settle(net, name, options))
    laid_out = {k: SCHEDULES[schedule](p) for k, p in found.items()}
    return Interpreted(net, laid_out, "float64", False, name)


def same(a: Any, b: Any) -> bool:
    """Equal up to rounding."""
    scale = max(1.0, float(np.abs(a).max(initial=0)))
    return bool(np.allclose(a, b, rtol=1e-9, atol=1e-10 * scale))


def epochwise(net: Network, values: Data, **options: Any) -> tuple[float, Any]:
    """J^total and its exact gradient."""
    J, g = kernel(net, "epochwise", **options).gradient(*values)
    return J, g


# --- exact ones are exact --------------------------------------------------------------------


@BATTERY
@given(networks(), seeds, steps, st.booleans(), st.integers(1, 12), st.integers(1, 12))
def test_every_exact_algorithm_gives_the_epochs_gradient(
    net: Network, seed: int, T: int, forced: bool, h: int, h_prime: int
) -> None:
    """Also with windows that do not divide T, of one step, and longer than the whole."""
    values = data(net, T, seed=seed)
    wanted = epochwise(net, values, teacher_forcing=forced)
    exact = {
        "realtime": {},
        "rtrl": {},
        "hybrid": {"h": h},
        "truncated": {"h": max(T, h_prime), "h_prime": h_prime},
    }
    for name, options in exact.items():
        for schedule in SCHEDULES:
            found = kernel(net, name, schedule, teacher_forcing=forced, **options)
            J, g = found.gradient(*values)
            assert J == pytest.approx(wanted[0], rel=1e-12), name
            assert same(g, wanted[1]), (name, schedule)


@BATTERY
@given(networks(max_units=4), seeds, st.integers(1, 6))
def test_the_gradient_under_teacher_forcing_is_that_of_the_forced_net(
    net: Network, seed: int, T: int
) -> None:
    values = data(net, T, seed=seed)
    _, g = epochwise(net, values, teacher_forcing=True)
    for i in range(net.size):
        step = np.zeros(net.size)
        step[i] = 1e-5
        up, down = (
            simulate(net, values._replace(theta=values.theta + s), forced=True)[1]
            for s in (step, -step)
        )
        assert g[i] == pytest.approx((up - down) / 2e-5, rel=2e-4, abs=1e-6)


def test_forcing_matters_where_a_target_unit_feeds_back() -> None:
    net = ring()
    values = data(net, 7, seed=4)
    assert not same(epochwise(net, values)[1], epochwise(net, values, teacher_forcing=True)[1])


def test_without_any_target_forcing_changes_nothing() -> None:
    """Where the mask hides a target the unit's own output is used."""
    net = ring()
    values = data(net, 7, seed=4)
    values = values._replace(mask=np.zeros_like(values.mask), target=values.target * np.nan)
    online = start(net, "rtrl", values, teacher_forcing=True)
    free, _ = simulate(net, values)
    for t in range(7):
        step = online.step(values.x[t], values.target[t], values.mask[t])
        np.testing.assert_allclose(step.y, free[t + 1], rtol=1e-12)


# --- step by step ----------------------------------------------------------------------------


class Face:
    """As much of a kernel as an online run asks for."""

    def __init__(self, net: Network, name: str, schedule: str = "reference", **options: Any):
        self.net, self.module = net, kernel(net, name, schedule, **options)
        self.algorithm = settle(net, name, options)
        self.dtype, self.batch, self.compiled = np.dtype("float64"), False, False
        self.threads = 1


def start(net: Network, name: str, values: Data, schedule: str = "reference", **o: Any) -> Online:
    return Online(Face(net, name, schedule, **o), values.theta, values.y0)


@BATTERY
@given(networks(), seeds, steps, st.booleans(), st.integers(1, 4), st.integers(1, 4))
def test_the_gradient_of_a_sequence_is_the_sum_of_its_steps(
    net: Network, seed: int, windows: int, forced: bool, h: int, h_prime: int
) -> None:
    h = max(h, h_prime)
    T = windows * h * h_prime
    assume(T <= 20)
    values = data(net, T, seed=seed)
    for name, options in (
        ("realtime", {}),
        ("rtrl", {}),
        ("hybrid", {"h": h}),
        ("truncated", {"h": h}),
        ("truncated", {"h": h, "h_prime": h_prime}),
    ):
        wanted = kernel(net, name, teacher_forcing=forced, **options).gradient(*values)
        online = start(net, name, values, "tables", teacher_forcing=forced, **options)
        J, g = 0.0, np.zeros(net.size)
        for t in range(T):
            step = online.step(values.x[t], values.target[t], values.mask[t])
            J += step.J
            g += 0 if step.gradient is None else step.gradient
        assert J == pytest.approx(wanted[0], rel=1e-11, abs=1e-12), name
        assert same(wanted[1], g), (name, options)


@BATTERY
@given(networks(), seeds, steps, st.booleans())
def test_rtrl_gives_the_gradient_of_each_step_that_realtime_bptt_gives(
    net: Network, seed: int, T: int, forced: bool
) -> None:
    values = data(net, T, seed=seed)
    a = start(net, "rtrl", values, teacher_forcing=forced)
    b = start(net, "realtime", values, teacher_forcing=forced)
    for t in range(T):
        given_now = values.x[t], values.target[t], values.mask[t]
        p, q = a.step(*given_now), b.step(*given_now)
        assert p.J == pytest.approx(q.J, rel=1e-12, abs=1e-13)
        assert same(p.gradient, q.gradient)


# --- truncated ones are not, where they are cut short ------------------------------------------


def ring(delay: int = 1) -> Network:
    """Three units in a ring with self-loops: every weight matters at every distance."""
    wiring = [(k, (k + 1) % 3, delay) for k in range(3)] + [(k, k) for k in range(3)] + [(0, 3)]
    return Network(semilinear("tanh"), 3, 1, wiring, SquaredError([1]), name="ring")


@pytest.mark.parametrize("h", [1, 2, 3, 5])
@pytest.mark.parametrize("delay", [1, 3])
def test_a_window_shorter_than_the_history_gives_another_gradient(h: int, delay: int) -> None:
    net = ring(delay)
    values = data(net, 8, seed=2)
    exact = epochwise(net, values)[1]
    cut = kernel(net, "truncated", h=h).gradient(*values)[1]
    assert np.abs(cut - exact).max() > 1e-4 * np.abs(exact).max()
    assert same(kernel(net, "truncated", h=8).gradient(*values)[1], exact)


def test_bptt_of_h_over_chunks_is_not_bptt_of_h() -> None:
    """BPTT(h; h) is chopped windows; a sweep of h steps at each step is not."""
    net = ring()
    values = data(net, 9, seed=1)
    chunks = kernel(net, "truncated", h=3, h_prime=3).gradient(*values)[1]
    each = kernel(net, "truncated", h=3).gradient(*values)[1]
    assert not same(chunks, each)
    assert not same(chunks, kernel(net, "hybrid", h=3).gradient(*values)[1])


def test_chunks_are_epochs_that_begin_where_the_last_one_ended() -> None:
    net, h = ring(), 3
    values = data(net, 9, seed=1)
    y, _ = simulate(net, values)
    total = 0
    for b in range(3):
        part = slice(b * h, b * h + h)
        window = Data(
            values.theta, values.x[part], values.target[part], values.mask[part], y[b * h]
        )
        total = total + epochwise(net, window)[1]
    assert same(kernel(net, "truncated", h=h, h_prime=h).gradient(*values)[1], total)


@BATTERY
@given(networks(), seeds, st.integers(2, 9), st.integers(1, 5))
def test_errors_are_carried_back_between_h_minus_h_prime_plus_1_and_h_steps(
    net: Network, seed: int, T: int, h: int
) -> None:
    """So BPTT(2h; h) is never shallower than BPTT(h + 1) nor deeper than BPTT(2h)."""
    values = data(net, T, seed=seed)
    exact = epochwise(net, values)[1]
    if same(kernel(net, "truncated", h=h + 1).gradient(*values)[1], exact):
        deeper = kernel(net, "truncated", h=2 * h, h_prime=h).gradient(*values)[1]
        assert same(deeper, kernel(net, "truncated", h=2 * h).gradient(*values)[1])


# --- groups ------------------------------------------------------------------------------------


def test_groups_are_exact_where_nothing_passes_between_them() -> None:
    wiring = [(0, 1), (1, 0), (0, 4), (2, 3), (3, 2), (3, 4, 2), (2, 2)]
    net = Network(leaky("tanh"), 4, 1, wiring, SquaredError([0, 3]), name="two_halves")
    values = data(net, 7, seed=3)
    grouped = kernel(net, "rtrl", groups=[[0, 1], [2, 3]]).gradient(*values)[1]
    assert same(grouped, epochwise(net, values)[1])


def test_groups_are_an_approximation_where_something_does() -> None:
    net = Network(semilinear("tanh"), 4, 1, connect.full(), SquaredError([0, 3]), name="joined")
    values = data(net, 7, seed=3)
    exact = epochwise(net, values)[1]
    assert not same(kernel(net, "rtrl", groups=2).gradient(*values)[1], exact)
    assert same(kernel(net, "rtrl", groups=1).gradient(*values)[1], exact)


@BATTERY
@given(networks(max_units=4), seeds, st.integers(1, 5), st.integers(1, 4))
def test_groups_take_the_other_groups_as_given(net: Network, seed: int, T: int, g: int) -> None:
    """Sensitivities of a group are those of the group alone, driven by what the others did."""
    groups = [list(range(i * net.units // g, (i + 1) * net.units // g)) for i in range(g)]
    targets = set(net.objective.targets)
    assume(all(set(group) & targets for group in groups))
    values = data(net, T, seed=seed)
    found = kernel(net, "rtrl", groups=groups).gradient(*values)[1]
    y, _ = simulate(net, values)
    wanted = np.zeros(net.size)
    for group in groups:
        for i in range(net.size):
            step = np.zeros(net.size)
            step[i] = 1e-5
            up, down = (
                simulate(net, values._replace(theta=values.theta + s), only=group, given=y)[1]
                for s in (step, -step)
            )
            wanted[i] += (up - down) / 2e-5
    np.testing.assert_allclose(
        found, wanted, rtol=1e-3, atol=1e-6 * (1 + np.abs(wanted).max(initial=0))
    )


# --- structure ---------------------------------------------------------------------------------


def held(program: Program, name: str) -> int:
    shape = program.arrays[name].shape
    return int(np.prod([int(v) for v in shape if isinstance(v, int)]))


def test_self_loops_alone_keep_one_sensitivity_a_weight() -> None:
    wiring = [(k, k) for k in range(5)] + [(k, 5 + j) for k in range(5) for j in range(2)]
    net = Network(semilinear("tanh"), 5, 2, wiring, SquaredError([0, 1, 2, 3, 4]), name="diagonal")
    step = programs(net, settle(net, "rtrl", {}))["step"]
    assert held(step, "p") == 2 * net.size  # this step's and the last one's
    values = data(net, 6, seed=1)
    assert same(kernel(net, "rtrl").gradient(*values)[1], epochwise(net, values)[1])


def test_connections_into_units_that_lead_to_no_target_cost_nothing() -> None:
    useful = [(0, 1), (1, 0), (0, 3), (1, 1)]
    useless = [(2, 0), (2, 2), (2, 3), (2, 1)]
    small = Network(semilinear("tanh"), 3, 1, useful, SquaredError([1]), name="useful")
    large = Network(semilinear("tanh"), 3, 1, useful + useless, SquaredError([1]), name="more")
    for name, options in (("rtrl", {}), ("hybrid", {"h": 3})):
        a, b = (programs(n, settle(n, name, options)) for n in (small, large))
        assert held(a["step"], "p") == held(b["step"], "p")
    values = data(large, 6, seed=1)
    assert same(kernel(large, "rtrl").gradient(*values)[1], epochwise(large, values)[1])
    assert same(kernel(large, "hybrid", h=2).gradient(*values)[1], epochwise(large, values)[1])


def test_shared_weights_reach_what_any_of_their_uses_reaches() -> None:
    wiring = [
        Connection(0, 3, weight="a"), Connection(1, 0), Connection(2, 3, weight="a"),
        Connection(2, 2), Connection(0, 0),
    ]  # fmt: skip
    net = Network(semilinear("tanh"), 3, 1, wiring, SquaredError([1, 2]), name="tied")
    values = data(net, 6, seed=1)
    for name, options in (("rtrl", {}), ("hybrid", {"h": 4})):
        assert same(kernel(net, name, **options).gradient(*values)[1], epochwise(net, values)[1])
