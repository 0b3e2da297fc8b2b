"""How the error shrinks with Δt, scheme by scheme: of a unit, and of a network's gradient.

On the left one unit with feedback of its own, τẏ = −y + tanh(s + 2y), its net input s held as every
scheme holds it; the error is that of y at the end, against SciPy's solver. On the right two
connected units; the error is that of the kernel's gradient, against the adjoint in continuous time.
There every scheme is of first order, since connections bring signals one step late.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import experiments
import numpy as np
import sympy
from scipy.integrate import solve_ivp

import derive
from derive.interpreted import Interpreted
from derive.network.continuous import SCHEMES
from derive.program.algorithms import programs

SPAN, HELD = 3.0, 0.5
y, s = derive.state("y"), derive.net_input("s")
tau = derive.parameter("tau", initial=1.5)
UNIT = derive.ContinuousCell({y: (-y + sympy.tanh(s + 2 * y)) / tau})
COUNTS = (10, 20, 40, 80, 160, 320)


def network(scheme: str, steps: int, units: int) -> Any:
    """One unit with a held input, or two that are connected."""
    cell = derive.discretize(UNIT, sympy.Rational(SPAN) / steps, scheme)
    connections = derive.connect.full() if units > 1 else [(0, 1)]
    return derive.Network(cell, units, 1, connections, derive.SquaredError([0]), name="unit")


def functions(net: Any) -> Any:
    """The kernel's functions without compiling one for every Δt."""
    return Interpreted(net, programs(net, {"name": "epochwise"}), "float64", False)


def solution() -> float:
    """y at the end of the single unit, by SciPy."""
    rate = lambda t, v: (-v + np.tanh(HELD + 2 * v)) / 1.5  # noqa: E731
    return float(solve_ivp(rate, (0, SPAN), [-0.5], "DOP853", rtol=1e-13, atol=1e-14).y[0, -1])


def unit_error(scheme: str, steps: int, true: float) -> float:
    """How far y at the end is off."""
    net = network(scheme, steps, 1)
    theta = net.init()
    theta[0] = 1.0
    states = functions(net).forward(theta, np.full((steps, 1), HELD), np.array([-0.5]))
    return float(abs(states[-1, 0] - true))


def x(t: float) -> Any:
    """The input of the network."""
    return np.array([np.sin(2 * t)])


def target(t: float) -> Any:
    """What its first unit is to do."""
    return np.array([0.5 * np.cos(t)])


def gradient_error(scheme: str, steps: int, true: Any) -> float:
    """How far the gradient is off, relative to its length."""
    net, dt = network(scheme, steps, 2), SPAN / steps
    times = np.arange(steps) * dt
    inputs, targets = (np.array([f(t) for t in at]) for f, at in ((x, times), (target, times + dt)))
    mask = np.full(targets.shape, dt)  # J is an integral
    g = functions(net).gradient(net.init(1), inputs, targets, mask)[1]
    return float(np.linalg.norm(g - true) / np.linalg.norm(true))


def order(errors: list[float]) -> str:
    """The slope where the error is far from rounding."""
    ratios = [np.log2(a / b) for a, b in zip(errors, errors[1:], strict=False) if b > 1e-11]
    return f"{ratios[-1]:.2f}"


@click.command()
@click.option("--plot", type=click.Path(path_type=Path), help="Where to draw the errors.")
@click.option("--quick", is_flag=True, help="Three steps of time.")
def main(plot: Path | None, quick: bool) -> None:
    """Errors by Δt for every scheme; observed orders; a picture of both."""
    counts = COUNTS[:3] if quick else COUNTS
    true, net = solution(), network("euler", 10, 2)
    true_gradient = derive.continuous_adjoint(net).gradient(net.init(1), x, target, SPAN).theta
    unit = {n: [unit_error(n, c, true) for c in counts] for n in SCHEMES}
    gradient = {n: [gradient_error(n, c, true_gradient) for c in counts] for n in SCHEMES}
    last = f"Δt = {SPAN / counts[-1]:.3g}"
    experiments.show(
        "Observed orders",
        ("scheme", "unit", f"error at {last}", "gradient of a network", f"error at {last}"),
        (
            (n, order(unit[n]), f"{unit[n][-1]:.1e}", order(gradient[n]), f"{gradient[n][-1]:.1e}")
            for n in SCHEMES
        ),
    )
    if plot is not None:
        draw(plot, np.array([SPAN / c for c in counts]), unit, gradient)


def draw(path: Path, dt: Any, unit: Any, gradient: Any) -> None:
    """Both errors by Δt."""
    figure = experiments.figure(10, 4.2)
    left, right = figure.subplots(1, 2)
    colours = (*experiments.COLOURS, "#444444")
    for axes, errors in ((left, unit), (right, gradient)):
        for (name, values), colour in zip(errors.items(), colours, strict=True):
            dashes = "--" if name == "bilinear" else "-"  # it lies on exponential
            label = f"{name}, order {order(values)}"
            axes.loglog(dt, values, dashes, marker="o", ms=3.5, lw=1.4, color=colour, label=label)
        axes.legend(frameon=False, fontsize=8)
    experiments.tidy(left, "Δt", "error of y at the end")
    left.set_title("one unit, net input held", loc="left", fontsize=10)
    left.set_ylim(1e-13, 1)
    experiments.tidy(right, "Δt", "relative error of ∂J/∂theta")
    right.set_title("two connected units, against the costate equation", loc="left", fontsize=10)
    figure.savefig(path)


if __name__ == "__main__":
    main()
