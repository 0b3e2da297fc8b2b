"""Ready-made cells: each only its forward equations."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from derive.errors import NetworkError
from derive.network.cell import Cell, ParameterDeclaration
from derive.network.continuous import ContinuousCell, discretize
from derive.network.expressions import parse, to_text
from derive.network.topology import finite

ACTIVATIONS = {
    "tanh": "tanh(s)",
    "logistic": "logistic(s)",
    "relu": "relu(s)",
    "softplus": "softplus(s)",
    "identity": "s",
}


def semilinear(activation: Any = "tanh", bias: bool = False) -> Cell:
    """y(t+1) = f(s(t+1)): a squashed weighted sum (Williams & Zipser 1995).

    Parameters
    ----------
    activation : str or sympy.Expr
        tanh, logistic, relu, softplus, identity, or any expression in s.
    bias : bool
        Add a trainable parameter b to the net input, one per unit, starting at 0.
    """
    f = activation_text(activation)
    shifted, parameters = _with_bias(f, bias)
    return Cell.from_text(
        {"y": shifted},
        parameters=parameters,
        name="semilinear",
        where="cell",
        spec=_spec("semilinear", activation=_short(f), bias=bias or None),
    )


def leaky(
    activation: Any = "tanh",
    tau: float = 5.0,
    dt: float = 1.0,
    trainable: bool = True,
    bias: bool = False,
) -> Cell:
    """τ ẏ = −y + f(s) by Euler's rule: a unit that forgets with time constant τ.

    Parameters
    ----------
    activation : str or sympy.Expr
        As for :func:`semilinear`.
    tau : float
        Time constant, in the units of ``dt``; per unit, and part of theta if ``trainable``.
    dt : float
        The Euler step Δt.
    trainable : bool
        Whether τ is learnt.
    bias : bool
        Add a trainable b to the net input.

    Raises
    ------
    NetworkError
        When dt or tau is not positive, or dt > tau: there Δt/τ > 1 and the leak overshoots.
    """
    dt, tau = finite(dt, "leaky: dt"), finite(tau, "leaky: tau")
    if dt <= 0:
        raise NetworkError(f"leaky: dt must be a positive number, got {dt!r}")
    if tau <= 0:
        raise NetworkError(f"leaky: tau must be a positive number, got {tau!r}")
    if dt > tau:
        raise NetworkError(f"leaky: dt = {dt!r} exceeds tau = {tau!r}, so that the leak overshoots")
    f = activation_text(activation)
    shifted, biases = _with_bias(f, bias)
    unit = ContinuousCell.from_text(
        {"y": f"(-y + {shifted})/tau"},
        parameters=(ParameterDeclaration("tau", float(tau), trainable), *biases),
        name="leaky",
    )
    return discretize(
        unit,
        dt,
        spec=_spec(
            "leaky",
            activation=_short(f),
            tau=float(tau),
            dt=float(dt) if dt != 1 else None,
            trainable=None if trainable else False,
            bias=bias or None,
        ),
    )


LIBRARY: dict[str, Callable[..., Cell]] = {"semilinear": semilinear, "leaky": leaky}


def activation_text(activation: Any) -> str:
    """The activation as an expression of s, in the spec's language."""
    if isinstance(activation, str):
        return parse(ACTIVATIONS.get(activation, activation), ["s"], "cell.activation").text
    import sympy

    if isinstance(activation, type) and issubclass(activation, sympy.Function):
        activation = activation(sympy.Symbol("s", real=True))
    if not isinstance(activation, sympy.Expr):
        raise NetworkError(
            f"activation: expected one of {', '.join(ACTIVATIONS)} or an expression of s, "
            f"got {activation!r}"
        )
    return parse(to_text(activation), ["s"], "cell.activation").text


def _with_bias(f: str, bias: bool) -> tuple[str, tuple[ParameterDeclaration, ...]]:
    if not bias:
        return f, ()
    return re.sub(r"\bs\b", "(s + b)", f), (ParameterDeclaration("b"),)


def _short(f: str) -> str:
    return next((name for name, text in ACTIVATIONS.items() if text == f), f)


def _spec(library: str, **arguments: Any) -> dict[str, Any]:
    return {"library": library, **{k: v for k, v in arguments.items() if v is not None}}
