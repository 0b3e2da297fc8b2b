"""Units that squash a weighted sum, at once or with a leak; and activations by name."""

from __future__ import annotations

import re
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
    shifted, parameters = with_bias(f, bias)
    return Cell.from_text(
        {"y": shifted},
        parameters=parameters,
        name="semilinear",
        where="cell",
        spec=spec_of("semilinear", activation=short(f), bias=bias or None),
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
    shifted, biases = with_bias(f, bias)
    unit = ContinuousCell.from_text(
        {"y": f"(-y + {shifted})/tau"},
        parameters=(ParameterDeclaration("tau", float(tau), trainable), *biases),
        name="leaky",
    )
    return discretize(
        unit,
        dt,
        spec=spec_of(
            "leaky",
            activation=short(f),
            tau=float(tau),
            dt=float(dt) if dt != 1 else None,
            trainable=None if trainable else False,
            bias=bias or None,
        ),
    )


def elman(activation: Any = "logistic") -> Cell:
    """y(t+1) = f(s(t+1) + b): a hidden unit of Elman's simple recurrent network (1990).

    It is :func:`semilinear` with a bias, and is saved as that. f is the logistic function there.
    """
    return semilinear(activation, bias=True)


def reservoir(leak: float = 0.3, activation: Any = "tanh") -> Cell:
    """y(t+1) = (1 − a)·y(t) + a·f(s(t+1)): a unit of an echo state network (Jaeger 2001).

    The leaky form is that of Jaeger, Lukoševičius, Popovici & Siewert (2007). The leak a is fixed:
    in a reservoir only the connections that read it out are learnt.

    Parameters
    ----------
    leak : float
        a, in 0 < a ≤ 1; 1 is the unit without a leak.
    activation : str or sympy.Expr
        As for :func:`semilinear`.

    Raises
    ------
    NetworkError
        When the leak is outside 0 < a ≤ 1.
    """
    leak = finite(leak, "reservoir: leak")
    if not 0 < leak <= 1:
        raise NetworkError(f"reservoir: leak must lie in 0 < a ≤ 1, got {leak!r}")
    f = activation_text(activation)
    return Cell.from_text(
        {"y": f"(1 - a)*y + a*({f})"},
        parameters=(ParameterDeclaration("a", leak, trainable=False),),
        name="reservoir",
        spec=spec_of("reservoir", leak=leak, activation=short(f)),
    )


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


def with_bias(f: str, bias: bool) -> tuple[str, tuple[ParameterDeclaration, ...]]:
    """f(s), or f(s + b) with the declaration of b."""
    if not bias:
        return f, ()
    return applied(f, "s + b"), (ParameterDeclaration("b"),)


def applied(f: str, argument: str) -> str:
    """An activation's text with ``argument`` in place of s."""
    return re.sub(r"\bs\b", f"({argument})", f)


def short(f: str) -> str:
    """The name of an activation where it has one, else its text."""
    return next((name for name, text in ACTIVATIONS.items() if text == f), f)


def spec_of(library: str, **arguments: Any) -> dict[str, Any]:
    """The ``[cell]`` table of a library cell; what is None is left to its default."""
    return {"library": library, **{k: v for k, v in arguments.items() if v is not None}}
