"""A user's forward pass against the network's: where the first difference is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from derive.gradient_check.asked import Asked, GradientCheckError, plain
from derive.gradient_check.problem import Problem
from derive.interpreted import Interpreted


def other_states(forward: Callable[..., Any], theta: Any, given: Any, problem: Problem,
                 tolerance: float) -> tuple[str, ...]:  # fmt: skip
    """Complaints about ``forward(theta, x)``, whose result should be y (T+1, N[, B]).

    Raises
    ------
    GradientCheckError
        When it raises, or returns an array of another shape.
    """
    asked = Asked(
        forward, "forward", theta, {"x": given["x"], "y0": given["y0"]}, order=("theta", "x")
    )
    y = plain(asked.raw(problem.theta))
    kernel = Interpreted(
        problem.net, problem.programs(problem.algorithm), "float64", True, "epochwise"
    )
    right = kernel.forward(problem.theta, problem.x, problem.y0)
    right = right if np.ndim(given["x"]) == 3 else right[..., 0]
    if y.shape != right.shape:
        raise GradientCheckError(
            f"forward: expected the states y (T+1, N, as net.states lists them) {right.shape}, "
            f"got {y.shape}"
        )
    apart = np.abs(y - right)
    off = ~(apart <= tolerance * max(1.0, float(np.abs(right).max())))
    if not off.any():
        return ()
    t, state = (int(i) for i in np.argwhere(off)[0][:2])
    unit, name = problem.net.states[state]
    return (
        f"your forward pass is not that of the net: the first difference is in y[{t}], {name} of "
        f"unit {unit}, where yours is {np.ravel(y[t, state])[0]:.8g} and the net's "
        f"{np.ravel(right[t, state])[0]:.8g}",
    )
