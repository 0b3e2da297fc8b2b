"""A cell in continuous time, and the rule that makes it a discrete update."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy


def forward_euler(rates: Mapping[Any, Any], dt: Any = 1) -> dict[Any, sympy.Expr]:
    """The Euler net of ẏ = rate: y(t+Δt) := y(t) + Δt·ẏ(t).

    Parameters
    ----------
    rates : mapping of state to sympy.Expr
        ẏ for each state, in terms of states, net inputs and parameters.
    dt : number or sympy.Expr
        The step Δt, in the units of the time constants.

    Returns
    -------
    dict
        For each state its value at the next step.
    """
    step = sympy.nsimplify(dt, rational=True) if isinstance(dt, float) else sympy.sympify(dt)
    return {y: y + step * sympy.sympify(rate) for y, rate in rates.items()}
