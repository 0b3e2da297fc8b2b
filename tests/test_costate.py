"""Claims about the solved adjoint: it is the gradient, and kernels tend to it as Δt → 0."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import sympy
from scipy.integrate import solve_ivp

import derive
from derive.errors import DerivationError
from derive.interpreted import Interpreted
from derive.network.continuous import ContinuousCell, discretize
from derive.program.algorithms import programs

SPAN = 3.0
y, s, o = derive.state("y"), derive.net_input("s"), derive.state("o")
tau, b = derive.parameter("tau", initial=2.0), derive.parameter("b", initial=0.3)
a = derive.parameter("a", initial=1.4)
TAUS = np.array([1.0, 2.5])

OWN = ContinuousCell({y: (-y + sympy.tanh(s + b)) / tau}, name="own")
BEER = ContinuousCell(
    {y: (-y + s) / tau}, readouts={o: derive.logistic(y + b)}, output=o, name="beer"
)
CELLS = {"y": [OWN, OWN], "beer": [BEER, BEER], "mixed": [BEER, OWN]}


def x(t: float) -> Any:
    return np.array([np.sin(2 * t) + 0.3])


def target(t: float) -> Any:
    return np.array([np.cos(t), 0.5 * np.sin(t + 1)])


def network(kind: str, dt: Any = 0.1, scheme: str = "euler") -> Any:
    return derive.Network(
        [discretize(c, dt, scheme) for c in CELLS[kind]],
        2,
        1,
        derive.connect.full(),
        derive.SquaredError([0, 1]),
        parameters={"tau": TAUS},
        name=kind,
    )


def start(net: Any) -> Any:
    """States at t₀, readouts those of the states."""
    found = np.zeros(len(net.states))
    for i, (k, name) in enumerate(net.states):
        found[i] = 1 / (1 + np.exp(-found[i - 1] - 0.3)) if name == "o" else 0.2 - 0.6 * k
    return found


def point(net: Any) -> Any:
    return net.init(1) + 0.3 * (np.arange(net.size) < 6)


@cache
def solved(kind: str) -> Any:
    net = network(kind)
    return derive.continuous_adjoint(net).gradient(point(net), x, target, SPAN, y0=start(net))


# --- it is the gradient ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", CELLS)
def test_it_is_the_slope_of_the_solved_objective(kind: str) -> None:
    net = network(kind)
    adjoint, theta, y0 = derive.continuous_adjoint(net), point(net), start(net)
    found, h = solved(kind), 1e-4
    moving = [i for i, (_, name) in enumerate(net.states) if name != "o"]

    def J(change: Any, change0: Any) -> float:
        return adjoint.gradient(theta + change, x, target, SPAN, y0=y0 + change0).J

    for direction in np.eye(net.size)[[0, 3, 5, 6, net.size - 1]]:
        quotient = (J(h * direction, 0) - J(-h * direction, 0)) / (2 * h)
        assert found.theta @ direction == pytest.approx(quotient, abs=3e-8)
    for i in moving:
        direction = np.eye(len(y0))[i]
        quotient = (J(0, h * direction) - J(0, -h * direction)) / (2 * h)
        assert found.y0[i] == pytest.approx(quotient, abs=3e-8)


def test_it_is_what_pearlmutters_equations_give() -> None:
    """Typed from his paper (1989), in his letters: w[i, j] from i to j, E = −J."""
    net = network("y")
    theta = point(net)
    ours = net.weight_matrix(theta)
    w, w_in, bias = ours[:, :2].T, ours[:, 2], theta[net.unit_parameters["b"]]
    T = theta[net.unit_parameters["tau"]]

    def forward(t: float, v: Any) -> Any:
        total = w.T @ v + w_in * x(t) + bias
        return (-v + np.tanh(total)) / T

    run = solve_ivp(forward, (0, SPAN), start(net), method="DOP853", rtol=1e-11, atol=1e-13,
                    dense_output=True)  # fmt: skip

    def back(t: float, u: Any) -> Any:
        at, z = run.sol(t), u[:2]
        slope = 1 / np.cosh(w.T @ at + w_in * x(t) + bias) ** 2
        dz = z / T - (at - target(t)) - w @ (slope * z / T)
        by_w = np.outer(at, slope * z / T)
        by_T = -z * forward(t, at) / T
        return np.concatenate([dz, -by_w.ravel(), -by_T])

    u = solve_ivp(back, (SPAN, 0), np.zeros(8), method="DOP853", rtol=1e-11, atol=1e-13).y[:, -1]
    found = solved("y")
    np.testing.assert_allclose(net.weight_matrix(found.theta)[:, :2], -u[2:6].reshape(2, 2).T,
                               atol=1e-8)  # fmt: skip
    np.testing.assert_allclose(found.theta[net.unit_parameters["tau"]], -u[6:], atol=1e-8)
    np.testing.assert_allclose(found.y0, -u[:2], atol=1e-8)


def test_a_shared_weight_gathers_from_every_connection_that_carries_it() -> None:
    tied = [(0, 2), derive.Connection(0, 1, weight="a"), derive.Connection(1, 0, weight="a")]
    net = derive.Network(
        discretize(OWN, 0.1), 2, 1, tied, derive.SquaredError([0, 1]), parameters={"tau": TAUS}
    )
    free = network("y")
    theta, loose = net.init(2), free.init(0) * 0
    at = {
        (c.target, c.source): i for c, i in zip(free.connections, free.wiring.weight, strict=True)
    }
    weights = net.weight_matrix(theta)
    for place, i in at.items():
        loose[i] = weights[place]
    loose[6:] = theta[-4:]
    found = derive.continuous_adjoint(net).gradient(theta, x, target, SPAN).theta
    every = derive.continuous_adjoint(free).gradient(loose, x, target, SPAN).theta
    (shared,) = {i for c, i in zip(net.connections, net.wiring.weight, strict=True) if c.weight}
    assert found[shared] == pytest.approx(every[at[0, 1]] + every[at[1, 0]], abs=1e-8)
    assert derive.continuous_adjoint(net)["gradient_shared"].rule.endswith("the shared weight")


# --- kernels tend to it ----------------------------------------------------------------------


def discrete(net: Any, steps: int, weights: Any, theta: Any, y0: Any, compiled: bool) -> Any:
    """The kernel's gradient, J a sum over steps with the weights of a quadrature rule."""
    dt = SPAN / steps
    times = np.arange(steps) * dt
    inputs = np.array([x(t)[: net.inputs] for t in times])
    wanted = np.array([target(t + dt)[: len(net.objective.targets)] for t in times])
    mask = np.repeat(weights[:, None], wanted.shape[1], axis=1)
    if compiled:
        kernel: Any = derive.compile(net)
    else:
        kernel = Interpreted(net, programs(net, {"name": "epochwise"}), "float64", False)
    return kernel.gradient(theta, inputs, wanted, mask=mask, y0=y0)[1]


def distances(kind: str, counts: tuple[int, ...], compiled: bool = False) -> Any:
    """How far an Euler net's gradient is from the adjoint's: one column per entry of theta."""
    found = []
    for steps in counts:
        net = network(kind, sympy.Rational(SPAN) / steps)
        weights = np.full(steps, SPAN / steps)
        g = discrete(net, steps, weights, point(net), start(net), compiled)
        found.append(np.abs(g - solved(kind).theta))
    return np.array(found)


@pytest.mark.parametrize("kind", CELLS)
def test_an_euler_nets_gradient_tends_to_it_in_first_order(kind: str) -> None:
    net = network(kind)
    coarse, fine = distances(kind, (60, 120))
    taus = net.unit_parameters["tau"]
    for part in (slice(0, 6), taus, slice(None)):
        order = np.log2(np.linalg.norm(coarse[part]) / np.linalg.norm(fine[part]))
        assert order == pytest.approx(1, abs=0.1)


def test_so_does_a_compiled_one() -> None:
    coarse, fine = np.linalg.norm(distances("y", (25, 50), True), axis=1)
    assert np.log2(coarse / fine) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [("euler", 1), ("exponential", 1), ("bilinear", 1), ("backward_euler", 1), ("heun", 2),
     ("rk4", 4)],
)  # fmt: skip
def test_without_connections_a_gradient_has_the_order_of_its_scheme(
    scheme: str, expected: int
) -> None:
    """Targets weighted by Simpson's rule, so that the integral is of fourth order."""
    alone = ContinuousCell({y: (-y + sympy.tanh(a * y + b)) / tau})
    y0, errors = np.array([-0.5]), []

    def net_of(steps: int) -> Any:
        cell = discretize(alone, sympy.Rational(SPAN) / steps, scheme)
        return derive.Network(cell, 1, 0, (), derive.SquaredError([0]))

    net = net_of(20)
    exact = derive.continuous_adjoint(net).gradient(
        net.init(), None, lambda t: target(t)[:1], SPAN, y0=y0
    )
    for steps in (40, 80):
        simpson = np.tile([4.0, 2.0], steps // 2) * SPAN / (3 * steps)
        simpson[-1] /= 2
        net = net_of(steps)
        g = discrete(net, steps, simpson, net.init(), y0, False)
        errors.append(np.linalg.norm(g - exact.theta))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(expected, abs=0.2)


@pytest.mark.parametrize("fault", ["sign", "dropped"])
def test_a_planted_fault_in_a_backward_equation_shows(fault: str) -> None:
    net = network("y")
    adjoint = derive.continuous_adjoint(net)
    for i, part in enumerate(adjoint.flow.parts):
        (carry,) = part.adjoint.carry.values()
        wrong = tuple(
            replace(e, expr=-e.expr if fault == "sign" else 0 * e.expr) if e.symbol == carry else e
            for e in part.adjoint.equations
        )
        adjoint.flow.parts[i] = replace(part, adjoint=replace(part.adjoint, equations=wrong))
    found = adjoint.gradient(point(net), x, target, SPAN, y0=start(net)).theta
    assert np.abs(found - solved("y").theta).max() > 0.01


# --- what is refused -------------------------------------------------------------------------


def test_a_bad_argument_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    adjoint = derive.continuous_adjoint(network("y"))
    theta = point(network("y"))
    with pytest.raises(ValueError, match=r"theta: expected \(P=10,\), got \(3,\)"):
        adjoint.gradient(np.zeros(3), x, target, SPAN)
    with pytest.raises(ValueError, match=r"y0: expected \(N=2,\), got \(1,\)"):
        adjoint.gradient(theta, x, target, SPAN, y0=[0.0])
    with pytest.raises(ValueError, match="x: expected a function of time"):
        adjoint.gradient(theta, None, target, SPAN)
    with pytest.raises(DerivationError, match="the span 0.0 to 0.0 is empty"):
        adjoint.gradient(theta, x, target, 0.0)
    monkeypatch.setitem(sys.modules, "scipy.integrate", None)
    with pytest.raises(DerivationError, match="needs SciPy"):
        adjoint.gradient(theta, x, target, SPAN)
