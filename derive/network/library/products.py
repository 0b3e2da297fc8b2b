"""Units whose net inputs multiply one another."""

from __future__ import annotations

from typing import Any

from derive.network.cell import Cell, ParameterDeclaration
from derive.network.library.plain import activation_text, applied, short, spec_of


def second_order(activation: Any = "logistic", bias: bool = True) -> Cell:
    """y(t+1) = f(s·g + b): a second-order unit whose weights are a product.

    s·g = Σ_l Σ_m u_l·v_m·x_l·x_m, so pairs of sources act together, as in the second-order networks
    of Giles et al. (1992). There each pair (l, m) has a weight of its own; here the matrix of them
    has rank one, u·vᵀ, which takes 2(n + m) weights instead of (n + m)².

    Parameters
    ----------
    activation : str or sympy.Expr
        f, as for :func:`semilinear`.
    bias : bool
        Whether there is b, trainable, per unit, from 0.
    """
    f = activation_text(activation)
    return Cell.from_text(
        {"y": applied(f, "s*g + b" if bias else "s*g")},
        net_inputs=("s", "g"),
        parameters=(ParameterDeclaration("b"),) if bias else (),
        name="second_order",
        spec=spec_of("second_order", activation=short(f), bias=None if bias else False),
    )
