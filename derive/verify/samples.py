"""Arguments on which a mistake shows, and what of a network decides how to draw them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sympy
from sympy.core.relational import Relational

from derive.functions import relu, step
from derive.network.network import Network
from derive.program.interpret import compiled, numpy_arithmetic
from derive.verify.forms import WHOLE, Form
from derive.verify.judged import StatedObjective, corner_arguments
from derive.verify.stated import Stated, symbols_of, unit_with
from derive.verify.unrolling import output_columns, step_equations

CORNERS = (relu, step, sympy.Abs, sympy.sign, sympy.Max, sympy.Min, sympy.Piecewise)

LONG, FAR, LONGEST = 24, 64, 256
"""Steps up to which a sample covers two windows, what a window looks back on, and one window."""


@dataclass(frozen=True)
class Sample:
    """One set of arguments, and how far it keeps from every corner of the cells and of J."""

    theta: Any
    x: Any
    target: Any
    mask: Any
    y0: Any
    margin: float

    @property
    def steps(self) -> int:
        """T."""
        return int(len(self.x))

    def arguments(self, name: str) -> dict[str, Any]:
        """What ``forward`` or ``gradient`` takes."""
        only = () if name == "forward" else ("target", "mask")
        return {n: getattr(self, n) for n in ("theta", "x", *only, "y0")}

    def forced(self, form: Form) -> tuple[Any, Any] | None:
        """Target and mask where they force outputs."""
        return (self.target, self.mask) if form.forced else None

    def of_steps(self, steps: int) -> Sample:
        """The first steps of it."""
        return replace(self, x=self.x[:steps], target=self.target[:steps], mask=self.mask[:steps])


def draw(
    net: Network, seed: int = 0, dtype: str = "float64", form: Form = WHOLE, most: int = 4096
) -> Sample:
    """Random arguments on which a mistake shows.

    Weights are not symmetric and step Jacobians do not commute; there are at least three steps
    beyond the longest delay, and two whole windows and a step unless windows are long; a mask with
    zeros (one at the last step, unless it is a window of its own with a single target) and weights
    other than one, and targets far from the outputs. Where cells have corners the best of several
    draws is taken: the one that stays farthest from them.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    T = _steps(net.wiring.longest_delay, form, most)
    cornered = any(corners(net, k) for k in range(len(net.cells)))
    cornered = cornered or StatedObjective(net).has_corners
    best: Sample | None = None
    draws = 40 if T * net.units <= 4000 else 4
    for _ in range(draws):
        sample = _drawn(net, generator, T, dtype, form)
        if not cornered:
            return sample
        sample = replace(sample, margin=margin(net, sample, form))
        if best is None or sample.margin > best.margin:
            best = sample
    assert best is not None
    return best


def _steps(longest: int, form: Form, most: int) -> int:
    T = longest + 4 if longest + 4 <= most else 6
    period, back = form.period or 1, form.back or 1
    T = max(T, min(2 * period + 1, LONG))
    return max(T, min(back + 2, FAR), min(period + 2, LONGEST))


def _drawn(net: Network, generator: Any, T: int, dtype: str, form: Form) -> Sample:
    n_T = len(net.objective.targets)
    w = net.wiring
    theta = net.init(0)
    gain = 1.2 if T <= LONG else 0.6  # over many steps differences must not explode
    fan_in = max(1.0, w.size / max(1, net.units))
    theta[: w.weights] = generator.normal(0, gain / np.sqrt(fan_in), w.weights)
    # Cell parameters near their stated values, so that a time constant stays one.
    rest = theta[w.weights :]
    rest += generator.uniform(0.05, 0.3, rest.size) * np.maximum(1, np.abs(rest))
    mask = generator.choice([0.0, 1.0, 0.5], size=(T, n_T), p=[0.2, 0.6, 0.2])
    mask[-1] = 1.0
    mask[-2] = 1.0
    alone = n_T == 1 and form.period not in (None, 1) and T % (form.period or 1) == 1
    mask[0 if alone else -1, -1] = 0.0
    sample = Sample(
        theta,
        generator.normal(size=(T, net.inputs)),
        generator.normal(size=(T, n_T)) + 1.0,
        mask,
        generator.uniform(-0.8, 0.8, len(net.states)),
        np.inf,
    )
    rounded = {n: getattr(sample, n).astype(dtype) for n in ("theta", "x", "target", "mask", "y0")}
    return replace(sample, **rounded)


def corners(net: Network, cell: int) -> list[sympy.Expr]:
    """The expressions of a cell that must stay away from 0."""
    equations = step_equations(net, unit_with(net, cell)).values()
    found = {argument for expr in equations for argument in corner_arguments(expr)}
    return sorted(found, key=sympy.default_sort_key)


def margin(net: Network, sample: Sample, form: Form = WHOLE) -> float:
    """How near the run of a sample comes to a corner."""
    arithmetic = numpy_arithmetic(np.float64)
    tests = [
        [compiled(e, symbols_of(net, cell), arithmetic) for e in corners(net, cell)]
        for cell in range(len(net.cells))
    ]
    nearest = [np.inf]

    def probe(cell: int, values: Any) -> None:
        for test in tests[cell]:
            distance = np.abs(test(values))
            # Exactly 0 is what a unit that nothing reaches computes; a step does not move it.
            nearest[0] = min(nearest[0], np.min(distance, where=distance > 0, initial=np.inf))

    forced = sample.forced(form)
    y = Stated(net).forward(sample.theta, sample.x, sample.y0, forced, probe)
    objective = StatedObjective(net)
    if objective.has_corners:
        outputs = y[1:, output_columns(net)]
        judged = objective.nearest(outputs, sample.target, sample.mask, sample.theta)
        nearest[0] = min(nearest[0], judged)
    return float(nearest[0])


def is_analytic(net: Network) -> bool:
    """Whether complex numbers may go through every cell and the objective."""
    units = (unit_with(net, cell) for cell in range(len(net.cells)))
    expressions = [e for k in units for e in step_equations(net, k).values()]
    expressions += StatedObjective(net).expressions
    return not any(e.has(*CORNERS, sympy.erf, Relational) for e in expressions)
