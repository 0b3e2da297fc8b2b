"""Claims about the gradients of discretised cells: every scheme, every form its update takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy

import derive
from derive.interpreted import Interpreted
from derive.network.continuous import SCHEMES, ContinuousCell, discretize, state_space
from derive.program.algorithms import programs
from tests.calculus import oracle
from tests.strategies import data

y, v, s, o = derive.state("y"), derive.state("v"), derive.net_input("s"), derive.state("o")
g = derive.intermediate("g")
tau, b = derive.parameter("tau", initial=3.0), derive.parameter("b", initial=-0.3)
dt = derive.parameter("dt", initial=0.5, trainable=False)

CELLS: dict[str, Any] = {
    "leak": ContinuousCell({y: (-y + sympy.tanh(s + b)) / tau}),
    "feedback": ContinuousCell({y: (-y + g) / tau}, {g: sympy.tanh(s + b * y)}),
    "vanishing": ContinuousCell({y: b * y + s}),
    "readout": ContinuousCell(
        {y: (-y + s) / tau, v: sympy.tanh(y) - 2 * v},
        readouts={o: derive.logistic(v + b)},
        output=o,
    ),
}


def agrees(cell: Any) -> None:
    net = derive.Network(cell, 2, 1, derive.connect.full(), derive.SquaredError([0, 1]))
    values = data(net, T=4)
    kernel: Any = Interpreted(net, programs(net, {"name": "epochwise"}), "float64", False)
    _, found = kernel.gradient(
        values.theta, values.x, values.target, mask=values.mask, y0=values.y0
    )
    true = oracle.slopes(net, values).sum(axis=0)
    assert oracle.relative(found, true) < 1e-12


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("cell", CELLS)
def test_the_gradient_is_that_of_complex_steps(cell: str, scheme: str) -> None:
    agrees(discretize(CELLS[cell], dt if cell == "leak" else 0.5, scheme))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_gradient_of_coupled_states_is_that_of_complex_steps(scheme: str) -> None:
    agrees(state_space([[-1, 0.5], [-1, -2]], [1, 0], C=[0.5, 1], dt=0.5, scheme=scheme))
    rates = {y: s - v + b, v: y - 2 * v + sympy.sin(y)}
    agrees(discretize(ContinuousCell(rates, readouts={o: y * v}, output=o), 0.5, scheme))


def test_a_discretised_cell_is_proved_and_measured() -> None:
    cell = discretize(CELLS["leak"], 0.5, "exponential")
    net = derive.Network(
        cell, 2, 1, derive.connect.full(), derive.SquaredError([1]), name="exponential_leak"
    )
    report = derive.verify(net)
    assert report.ok, str(report)


def test_every_quantity_of_a_rate_has_a_gradient() -> None:
    """A parameter that only a stage reads is learnt too."""
    net = derive.Network(
        discretize(CELLS["feedback"], 0.5, "rk4"), 1, 1, [(0, 1)], derive.SquaredError([0])
    )
    kernel: Any = Interpreted(net, programs(net, {"name": "epochwise"}), "float64", False)
    _, found = kernel.gradient(net.init(), np.ones((3, 1)), np.ones((3, 1)), y0=np.array([0.4]))
    assert (found != 0).all()
