"""A right gradient is called right: by hand, of kernels, of random networks, in other libraries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import derive
from derive.network.network import Network
from derive.program.algorithms import programs, settle
from derive.verify.kernels import on_numpy
from tests.gradient_check.by_hand import ByHand
from tests.gradient_check.test_mistakes import NET, T, numbers
from tests.strategies import data, networks

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


@pytest.mark.parametrize(
    ("way", "h"), [("bptt", 0), ("rtrl", 0), ("each", 0), ("hybrid", 2), ("hybrid", 3)]
)
def test_every_exact_algorithm_by_hand_is_right(way: str, h: int) -> None:
    theta, x, target, mask = numbers()
    function = getattr(ByHand(3, 2, (2,), "", h), way)
    report = derive.gradcheck(function, theta, x, target, net=NET, mask=mask, y0=np.full(3, 0.2))
    assert report and report.ok and not report.wrong and not report.mistakes and not report.blind
    assert report.worst < 1e-12
    assert derive.gradcheck(function, theta, x, target, mask=mask).ok


@settings(max_examples=3, suppress_health_check=SLOW)
@given(networks(max_units=3), st.integers(0, 99))
def test_the_gradient_of_a_random_network_is_never_called_wrong(net: Network, seed: int) -> None:
    d = data(net, 3, seed=seed)
    algorithm = settle(net, "epochwise", {})
    kernel = on_numpy(net, programs(net, algorithm), algorithm, "float64")
    if not net.size:
        return
    report = derive.gradcheck(
        kernel.gradient, d.theta, d.x, d.target, mask=d.mask, y0=d.y0, net=net
    )
    assert report.ok, str(report)


@settings(max_examples=3, suppress_health_check=SLOW)
@given(networks(max_units=3), st.integers(0, 99))
def test_nor_without_the_network(net: Network, seed: int) -> None:
    d = data(net, 3, seed=seed)
    algorithm = settle(net, "epochwise", {})
    kernel = on_numpy(net, programs(net, algorithm), algorithm, "float64")
    if not net.size:
        return
    report = derive.gradcheck(kernel.gradient, d.theta, d.x, d.target, mask=d.mask, y0=d.y0)
    assert report.ok, str(report)


def test_a_kernel_is_held_against_its_program() -> None:
    theta, x, target, mask = numbers()
    kernel = derive.compile(NET)
    report = derive.gradcheck(kernel, theta, x, target, mask=mask)
    assert report.ok and "(epochwise)" in report.notes[0]
    assert "difference quotients of your J agree" in report.notes[1]
    with pytest.raises(ValueError, match="a kernel has its own"):
        derive.gradcheck(kernel, theta, x, target, net=NET)


def test_an_approximation_is_right_where_it_is_what_is_asked() -> None:
    theta, x, target, mask = numbers()
    algorithm = settle(NET, "truncated", {"h": 2})
    kernel = on_numpy(NET, programs(NET, algorithm), algorithm, "float64")
    report = derive.gradcheck(kernel, theta, x, target, mask=mask)
    assert report.ok and "(truncated, h = 2)" in report.notes[0]
    assert not derive.gradcheck(kernel.gradient, theta, x, target, mask=mask, net=NET).ok


def test_single_precision_gets_the_bars_it_deserves() -> None:
    theta, x, target, _ = (np.asarray(v, np.float32) for v in numbers())
    function = ByHand(3, 2, (2,)).bptt

    def single(*arguments: Any) -> Any:
        J, gradient = function(*arguments)
        return np.float32(J), np.asarray(gradient, np.float32)

    for more in ({"net": NET}, {}):
        report = derive.gradcheck(single, theta, x, target, **more)
        assert report.ok and report.tolerance == 1e-4

    def off(*arguments: Any) -> Any:
        J, gradient = single(*arguments)
        return J, gradient * np.float32(1.01)

    assert not derive.gradcheck(off, theta, x, target, net=NET).ok
    assert not derive.gradcheck(off, theta, x, target).ok


def test_noise_of_single_precision_behind_a_double_interface_is_measured() -> None:
    theta, x, target, _ = numbers()
    function = ByHand(3, 2, (2,)).bptt

    def inside(theta: Any, x: Any, target: Any) -> Any:
        J, _ = function(theta.astype(np.float32), x.astype(np.float32), target)
        return float(np.float32(J)), function(theta, x, target)[1]

    report = derive.gradcheck(inside, theta, x, target)
    assert report.ok, str(report)


def test_a_function_that_takes_complex_numbers_is_stepped_along_them() -> None:
    theta, x, target, _ = numbers()

    def objective(theta: Any, x: Any, target: Any) -> Any:
        y, J = np.zeros(3), 0.0
        for row, d in zip(x, target, strict=True):
            y = np.tanh(theta.reshape(3, 5) @ np.concatenate([y, row]))
            J = J - (d[0] - y[2]) ** 2 / 2
        return J

    def crooked(*arguments: Any) -> Any:
        # Its imaginary part is none of a derivative's.
        return objective(*arguments).real + 1j * np.abs(arguments[0]).sum()

    def gradient(*arguments: Any) -> Any:
        return ByHand(3, 2, (2,)).bptt(*arguments)[1]

    report = derive.gradcheck(gradient, theta, x, target, objective=objective)
    assert report.ok and "complex step" in report.notes[0]
    real = derive.gradcheck(
        gradient, theta, x, target,
        objective=lambda *a: crooked(*a) if np.iscomplexobj(a[0]) else objective(*a),
    )  # fmt: skip
    assert real.ok and "central differences" in real.notes[0]


def test_a_matrix_of_weights_may_be_theta() -> None:
    theta, x, target, _ = numbers()
    function = ByHand(3, 2, (2,)).bptt

    def matrix(W: Any, x: Any, target: Any) -> Any:
        assert W.shape == (3, 5)
        J, gradient = function(W, x, target)
        return J, gradient.reshape(3, 5)

    assert derive.gradcheck(matrix, theta.reshape(3, 5), x, target, net=NET).ok


def test_a_long_theta_is_sampled_and_the_report_says_so() -> None:
    theta = np.linspace(-1, 1, 1000)
    report = derive.gradcheck(lambda v, x, d: (float(v @ v), 2 * v), theta, None, None)
    assert report.ok and report.compared == 400 and "400 of 1000" in str(report)


def test_a_function_of_pytorch_is_served() -> None:
    torch = pytest.importorskip("torch")
    theta, x, target, _ = numbers(5)

    def loss(theta: Any, x: Any, target: Any) -> Any:
        theta = theta.detach().requires_grad_()
        y, J = torch.zeros(3, dtype=theta.dtype), 0.0
        for row, d in zip(x, target, strict=True):
            y = torch.tanh(theta.reshape(3, 5) @ torch.cat([y, row]))
            J = J + (d[0] - y[2]) ** 2 / 5
        J.backward()
        return J, theta.grad

    tensors = [torch.tensor(v) for v in (theta, x, target)]
    report = derive.gradcheck(loss, *tensors, net=NET)
    assert report.ok
    assert any("× −1 × 2·1/T = 1/5" in note for note in report.notes)
    single = [torch.tensor(v, dtype=torch.float32) for v in (theta, x, target)]
    assert derive.gradcheck(loss, *single, net=NET).tolerance == 1e-4


def test_a_function_of_jax_is_served() -> None:
    jax = pytest.importorskip("jax")
    theta, x, target, _ = numbers()

    def loss(theta: Any, x: Any, target: Any) -> Any:
        y, J = jax.numpy.zeros(3), 0.0
        for t in range(T):
            y = jax.numpy.tanh(theta.reshape(3, 5) @ jax.numpy.concatenate([y, x[t]]))
            J = J + (target[t, 0] - y[2]) ** 2 / 2
        return J

    report = derive.gradcheck(jax.value_and_grad(loss), theta, x, target, net=NET)
    assert report.ok
    assert any("your loss is −J: it is minimised" in note for note in report.notes)
