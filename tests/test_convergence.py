"""Claims about orders of accuracy as kernels show them: error against Δt, beside SciPy's solver.

The net input is held, as a scheme holds it, so that what is measured is the unit's own equation.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy
from click.testing import CliRunner
from scipy.integrate import solve_ivp

import derive
from derive.interpreted import Interpreted
from derive.network.continuous import SCHEMES, ContinuousCell, discretize
from derive.program.algorithms import programs

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SPAN, HELD = 2.0, 0.8
y, v, s = derive.state("y"), derive.state("v"), derive.net_input("s")
u, c = derive.intermediate("u"), derive.parameter("c", initial=0.5)
tau = derive.parameter("tau", initial=1.5)

UNITS: dict[str, tuple[ContinuousCell, Callable[[float, Any], Any], list[float]]] = {
    "single": (
        ContinuousCell({y: (-y + sympy.tanh(s + 2 * y)) / tau}),
        lambda t, x: [(-x[0] + np.tanh(HELD + 2 * x[0])) / 1.5],
        [-0.3],
    ),
    "pair": (  # FitzHugh and Nagumo's unit, its nonlinearity named
        ContinuousCell({y: u - v + s, v: c * (y + 0.7 - v)}, {u: y - y**3 / 3}),
        lambda t, x: [x[0] - x[0] ** 3 / 3 - x[1] + HELD, 0.5 * (x[0] + 0.7 - x[1])],
        [-0.9, 0.2],
    ),
    "linear": (
        ContinuousCell({y: -y / 2 + v, v: s - 3 * v - y}),
        lambda t, x: [-x[0] / 2 + x[1], HELD - 3 * x[1] - x[0]],
        [0.4, -0.6],
    ),
}
ORDERS = {"euler": 1, "exponential": 1, "bilinear": 1, "backward_euler": 1, "heun": 2, "rk4": 4}


@cache
def solution(unit: str) -> Any:
    """The states at the end, by SciPy."""
    _, rate, start = UNITS[unit]
    found = solve_ivp(rate, (0, SPAN), start, method="DOP853", rtol=1e-13, atol=1e-14)
    return found.y[:, -1]


def network(unit: str, scheme: str, steps: int) -> Any:
    cell = discretize(UNITS[unit][0], sympy.Rational(SPAN) / steps, scheme)
    return derive.Network(cell, 1, 1, [(0, 1)], derive.SquaredError([0]), name=unit)


def error(net: Any, forward: Callable[..., Any], steps: int) -> float:
    """How far the states at the end are from the solution."""
    theta = net.init()
    theta[0] = 1.0  # the weight of the held input
    reached = forward(theta, np.full((steps, 1), HELD), np.array(UNITS[net.name][2]))[-1]
    return float(np.abs(reached - solution(net.name)).max())


def interpreted(net: Any) -> Callable[..., Any]:
    return Interpreted(net, programs(net, {"name": "epochwise"}), "float64", False).forward


def slope(unit: str, scheme: str, counts: tuple[int, ...] = (20, 40, 80)) -> float:
    """The observed order: of log error against log Δt, between the two smallest steps."""
    errors = []
    for steps in counts:
        net = network(unit, scheme, steps)
        errors.append(error(net, interpreted(net), steps))
    return float(np.log2(errors[-2] / errors[-1]))


@pytest.mark.parametrize("unit", ["single", "pair"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_error_of_a_nonlinear_unit_shrinks_with_the_order(unit: str, scheme: str) -> None:
    if (unit, scheme) == ("pair", "exponential"):
        with pytest.raises(derive.NetworkError, match="coupled by c"):
            slope(unit, scheme)
        return
    assert slope(unit, scheme) == pytest.approx(ORDERS[scheme], abs=0.15)


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [("euler", 1), ("backward_euler", 1), ("bilinear", 2), ("heun", 2), ("rk4", 4)],
)
def test_the_error_of_a_linear_unit_shrinks_with_the_order(scheme: str, expected: int) -> None:
    assert slope("linear", scheme) == pytest.approx(expected, abs=0.15)


@pytest.mark.parametrize("steps", [1, 7])
def test_a_linear_unit_is_solved_exactly_by_zero_order_hold(steps: int) -> None:
    net = network("linear", "exponential", steps)
    assert error(net, interpreted(net), steps) < 1e-12


def test_a_compiled_kernel_has_the_order_of_its_scheme() -> None:
    errors = []
    for steps in (10, 20):
        net = network("single", "rk4", steps)
        errors.append(error(net, derive.compile(net).forward, steps))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(4, abs=0.3)


def test_a_wrong_coefficient_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    from derive.network.continuous.schemes import Scheme

    def wrong(step: Any) -> Any:
        k1 = step.rate(step.y)
        return step.y + step.dt / 2 * (k1 + step.rate(step.y + step.dt / 2 * k1))

    monkeypatch.setitem(SCHEMES, "heun", Scheme("heun", wrong, ""))
    assert slope("single", "heun") == pytest.approx(1, abs=0.15)


# --- the example -----------------------------------------------------------------------------


def test_the_example_prints_its_orders_and_draws_its_errors(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    main = importlib.import_module("convergence").main
    result = CliRunner().invoke(main, ["--quick", "--plot", str(tmp_path / "p.png")])
    assert result.exit_code == 0, result.output
    for words in (r"heun.* (1\.9|2\.0)\d .* (0\.9|1\.0)\d ", r"rk4.* (3\.9|4\.0)\d "):
        assert re.search(words, result.output), result.output
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_the_picture_of_the_example_is_small_and_shown() -> None:
    assert (EXAMPLES / "pictures" / "convergence.png").stat().st_size < 80_000
    assert "pictures/convergence.png" in (EXAMPLES / "README.md").read_text(encoding="utf-8")
