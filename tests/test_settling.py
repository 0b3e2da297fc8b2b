"""Settling nets: the fixed point, the gradient there, and what is said where there is none."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import derive
from derive.interpreted import Interpreted
from derive.network.network import Network
from derive.program.algorithms import programs, settle
from derive.settling import Settling
from tests.strategies import adaptive, networks

ATOL = 1e-9


def settling(net: Network, max_steps: int = 3000, tol: float = 1e-13, **options: Any) -> Settling:
    """A settling kernel run on NumPy."""
    found = programs(net, settle(net, "settling", options))
    functions = Interpreted(net, found, "float64", False, "settling")
    return Settling(net, functions, "float64", False, tol, max_steps)


def held(net: Network, L: int, x: Any, target: Any, mask: Any) -> tuple[Any, Any, Any]:
    """The pattern held for L steps, with one error at the end."""
    rows = [np.zeros((L, len(row))) for row in (target, mask)]
    for row, last in zip(rows, (target, mask), strict=True):
        row[-1] = last
    return np.repeat(x[None], L, axis=0), rows[0], rows[1]


def epochwise(net: Network, **options: Any) -> Interpreted:
    found = programs(net, settle(net, "epochwise", options))
    return Interpreted(net, found, "float64", False)


@settings(max_examples=30, suppress_health_check=list(HealthCheck), deadline=None)
@given(networks(longest_delay=3), st.integers(0, 99), st.booleans())
def test_it_is_the_limit_of_a_long_epoch_with_one_error_at_the_end(
    net: Network, seed: int, forced: bool
) -> None:
    """Every cell, delay and shared weight, forced or not, wherever the net settles."""
    # What is judged whether or not there is a target is judged in every step of the epoch.
    assume(all(term.over == "targets" for term in net.objective.terms))
    generator = np.random.default_rng(seed)
    theta = net.init(seed=seed)
    theta[: net.wiring.weights] *= 0.6
    n_T = len(net.objective.targets)
    x, target = generator.normal(size=net.inputs), generator.normal(size=n_T)
    mask = (generator.random(n_T) < 0.7).astype(float)
    k = settling(net, 400, tol=1e-12, teacher_forcing=forced)
    try:
        J, g = k.gradient(theta, x[None], target[None], mask[None])
    except derive.ConvergenceError:
        assume(False)
    y = k.forward(theta, x[None])[1] if not forced else None
    L = 500
    X, D, M = held(net, L, x, target, mask)
    if forced:  # a clamped net is clamped all the time, and judged at the end
        D = np.repeat(target[None], L, axis=0)
        whole = np.repeat(mask[None], L, axis=0)
        before = epochwise(net, teacher_forcing=True).gradient(theta, X[1:], D[1:], whole[1:])
        after = epochwise(net, teacher_forcing=True).gradient(theta, X, D, whole)
        wanted = after[0] - before[0], None
    else:
        wanted = epochwise(net).gradient(theta, X, D, M)
        np.testing.assert_allclose(epochwise(net).forward(theta, X)[-1], y, atol=ATOL)
    assert J == pytest.approx(wanted[0], abs=ATOL * (1 + abs(J)))
    if wanted[1] is not None:
        np.testing.assert_allclose(
            g, wanted[1], rtol=1e-7, atol=ATOL * (1 + np.abs(g).max(initial=0))
        )


@functools.cache
def linear() -> derive.Network:
    return derive.Network(
        derive.cells.semilinear("identity"), 4, 2, derive.connect.full(),
        derive.SquaredError([0, 2]), name="linear_settling",
    )  # fmt: skip


@functools.cache
def kernel(batch: bool = False, **options: Any) -> derive.Kernel:
    return derive.compile(linear(), "settling", batch=batch, **options)


def linear_problem() -> tuple[Any, Any, Any]:
    generator = np.random.default_rng(3)
    theta = generator.normal(size=linear().size)
    W = linear().weight_matrix(theta)
    theta *= 0.8 / np.abs(np.linalg.eigvals(W[:, :4])).max()
    return theta, generator.normal(size=2), generator.normal(size=2)


def test_a_linear_net_has_the_closed_form_of_its_fixed_point_and_gradient() -> None:
    theta, x, target = linear_problem()
    W = linear().weight_matrix(theta)
    s = kernel(tol=1e-14).settle(theta, x, target)
    y = np.linalg.solve(np.eye(4) - W[:, :4], W[:, 4:] @ x)
    np.testing.assert_allclose(s.y, y, rtol=1e-11)
    e = np.zeros(4)
    e[[0, 2]] = target - y[[0, 2]]
    eps = np.linalg.solve(np.eye(4) - W[:, :4].T, e)
    wanted = np.outer(eps, np.concatenate([y, x]))
    w = linear().wiring
    np.testing.assert_allclose(s.gradient, wanted[w.target, w.source], rtol=1e-10)
    assert s.J == pytest.approx(-0.5 * (e @ e), rel=1e-12)
    assert 10 < s.steps < 400 and s.change <= 1e-14
    assert 10 < s.steps_back < 400 and s.change_back <= 1e-14


def test_the_gradient_is_the_slope_of_j_at_the_fixed_point() -> None:
    net = derive.Network(
        [derive.cells.leaky("tanh", tau=2.0), adaptive(), derive.cells.semilinear("tanh")],
        3, 1, [(0, 1), (1, 0, 2), (1, 2), (2, 1), (0, 3), (2, 3, 3), (2, 2)],
        derive.SquaredError([0, 1]), name="mixed_settling",
    )  # fmt: skip
    k = settling(net)
    theta, x, d = 0.5 * net.init(seed=4), np.array([[0.7]]), np.array([[0.2, -0.4]])
    theta[net.wiring.weights :] = np.abs(theta[net.wiring.weights :]) + 1.2
    _, g = k.gradient(theta, x, d)
    for i in range(net.size):
        step = np.zeros(net.size)
        step[i] = 1e-5
        up, down = (k.gradient(theta + s, x, d)[0] for s in (step, -step))
        assert g[i] == pytest.approx((up - down) / 2e-5, rel=1e-5, abs=1e-8)


def test_patterns_add_up_and_each_goes_on_from_the_last() -> None:
    theta, x, target = linear_problem()
    xs, ds = np.stack([x, 2 * x, -x]), np.stack([target, target, 0 * target])
    J, g = kernel().gradient(theta, xs, ds)
    single = [kernel().settle(theta, a, b) for a, b in zip(xs, ds, strict=True)]
    assert J == pytest.approx(sum(s.J for s in single), rel=1e-8)
    np.testing.assert_allclose(g, sum(s.gradient for s in single), rtol=1e-6, atol=1e-7)
    y = kernel().forward(theta, xs)
    np.testing.assert_allclose(y[1:], [s.y for s in single], rtol=1e-7, atol=1e-8)
    online = kernel().start(theta)
    steps = [online.step(a, b) for a, b in zip(xs, ds, strict=True)]
    assert sum(s.J for s in steps) == pytest.approx(J, rel=1e-12)
    np.testing.assert_allclose(sum(s.gradient for s in steps), g, rtol=1e-12)


@pytest.mark.parametrize("B", [1, 5, 8, 9])
def test_a_batch_settles_all_its_sequences(B: int) -> None:
    theta, x, target = linear_problem()
    generator = np.random.default_rng(0)
    xs, ds = generator.normal(size=(2, B)), generator.normal(size=(2, B))
    s = kernel(batch=True).settle(theta, xs, ds)
    alone = [
        kernel().settle(theta, np.ascontiguousarray(xs[:, b]), np.ascontiguousarray(ds[:, b]))
        for b in range(B)
    ]
    np.testing.assert_allclose(s.y, np.stack([a.y for a in alone], -1), rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(s.gradient, sum(a.gradient for a in alone), rtol=1e-6, atol=1e-7)
    assert s.J == pytest.approx(sum(a.J for a in alone), rel=1e-8)
    assert s.steps >= max(a.steps for a in alone)


def test_compiled_and_interpreted_settle_alike() -> None:
    theta, x, target = linear_problem()
    slow = settling(linear(), tol=1e-10)
    a = slow.gradient(theta, x[None], target[None])
    b = kernel().gradient(theta, x[None], target[None])
    assert a[0] == pytest.approx(b[0], rel=1e-13)
    np.testing.assert_allclose(a[1], b[1], rtol=1e-12)


# --- where there is no fixed point, or none soon ---------------------------------------------


@pytest.mark.parametrize("factor", [1.1, 1.6])
def test_a_spectral_radius_above_one_is_named_with_residual_and_steps(factor: float) -> None:
    theta, x, target = linear_problem()
    theta = theta * factor / 0.8
    with pytest.raises(derive.ConvergenceError) as raised:
        kernel(max_steps=200).settle(theta, x, target)
    error = raised.value
    assert error.steps == 200 and error.residual > 1e-10
    assert error.radius == pytest.approx(factor, rel=0.02)
    assert "the net has not settled after 200 steps" in str(error)
    assert f"{error.residual:.3g}" in str(error) and "diverges" in str(error)


def test_too_few_steps_for_a_slow_net_are_named_as_that() -> None:
    theta, x, target = linear_problem()
    with pytest.raises(derive.ConvergenceError, match="raise max_steps") as raised:
        kernel(max_steps=60).settle(theta, x, target)
    assert raised.value.radius == pytest.approx(0.8, rel=0.05)


def test_a_net_that_goes_in_circles_is_not_called_slow() -> None:
    net = derive.Network(
        derive.cells.semilinear("tanh"), 2, 0, [(0, 1), (1, 0)], derive.SquaredError([0]),
        name="flipflop",
    )  # fmt: skip
    k = derive.compile(net, "settling", max_steps=500)
    online = k.start(np.array([-3.0, 3.0]), np.array([0.9, 0.8]))
    with pytest.raises(derive.ConvergenceError, match="goes on in circles|in circles"):
        online.step(None, np.array([0.1]))


def test_a_failed_step_leaves_the_run_as_it_was() -> None:
    theta, x, target = linear_problem()
    online = kernel(max_steps=200).start(theta)
    online.step(x, target)
    before = online.state
    online.theta = 2 * theta
    with pytest.raises(derive.ConvergenceError):
        online.step(x, target)
    assert online.t == 1 and np.array_equal(online.state.memory, before.memory)
    online.theta = theta
    online.step(x, target)


def test_nan_does_not_settle() -> None:
    theta, x, target = linear_problem()
    with pytest.raises(derive.ConvergenceError, match="changed a state by nan"):
        kernel().settle(theta, x * np.nan, target)


def test_only_a_settling_kernel_settles() -> None:
    other = derive.compile(linear(), "rtrl")
    with pytest.raises(derive.DerivationError, match="'rtrl' does not relax"):
        other.settle(np.zeros(linear().size), np.zeros(2), np.zeros(2))
