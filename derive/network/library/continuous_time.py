"""Units stated as differential equations, by Euler's rule with step Δt."""

from __future__ import annotations

from typing import Any

from derive.errors import NetworkError
from derive.network.cell import Cell, ParameterDeclaration
from derive.network.library.plain import activation_text, applied, short, spec_of
from derive.network.topology import finite


def ctrnn(
    activation: Any = "logistic",
    tau: float = 5.0,
    dt: float = 1.0,
    trainable: bool = True,
    bias: bool = True,
) -> Cell:
    """Continuous-time unit with a potential v and a firing rate y (Beer 1995).

        τ v̇ = −v + s,   s = Σ w·y_l + Σ w·x_l        y = σ(v + b)

    So v(t+1) = v(t) + Δt·(−v(t) + s(t+1))/τ and y(t+1) = σ(v(t+1) + b). Other units see y, not v.
    A run begins with the y0 it is given, zero if none; rates that fit potentials v0 are σ(v0 + b).

    Parameters
    ----------
    activation : str or sympy.Expr
        σ, as for :func:`semilinear`.
    tau : float
        Time constant, in the units of ``dt``, per unit.
    dt : float
        The Euler step Δt.
    trainable : bool
        Whether τ is learnt.
    bias : bool
        Whether there is b, trainable, per unit, from 0. Beer writes it θ.

    Raises
    ------
    NetworkError
        When dt or tau is not positive, or dt > tau.
    """
    dt = _step(dt, "ctrnn")
    tau = _time_constant(tau, "tau", dt, "ctrnn")
    f = activation_text(activation)
    return Cell.from_text(
        {"y": applied(f, "u + b" if bias else "u"), "v": "u"},
        # u is v(t+1) under a name that the rate's equation can use.
        intermediates={"u": f"v + {_number(dt)}(-v + s)/tau"},
        parameters=(
            ParameterDeclaration("tau", tau, trainable),
            *((ParameterDeclaration("b"),) if bias else ()),
        ),
        name="ctrnn",
        spec=spec_of(
            "ctrnn",
            activation=short(f),
            tau=tau,
            dt=dt if dt != 1 else None,
            trainable=None if trainable else False,
            bias=None if bias else False,
        ),
    )


def adaptive(
    activation: Any = "tanh",
    tau: float = 2.0,
    tau_a: float = 20.0,
    strength: float = 1.0,
    dt: float = 1.0,
    trainable: bool = True,
    bias: bool = False,
) -> Cell:
    """Rate unit that tires: a slow state a follows the output and is taken from the net input.

        τ ẏ = −y + f(s − k·a)        τ_a ȧ = −a + y

    Rate adaptation in the form of Benda & Herz (2003), here for a graded output y.

    Parameters
    ----------
    activation : str or sympy.Expr
        f, as for :func:`semilinear`.
    tau, tau_a : float
        Time constants of the output and of its adaptation, per unit.
    strength : float
        k, how strongly a weighs; always trainable, per unit.
    dt : float
        The Euler step Δt.
    trainable : bool
        Whether the time constants are learnt.
    bias : bool
        Add a trainable b to the net input.

    Raises
    ------
    NetworkError
        When dt or a time constant is not positive, or dt exceeds one.
    """
    dt = _step(dt, "adaptive")
    tau = _time_constant(tau, "tau", dt, "adaptive")
    tau_a = _time_constant(tau_a, "tau_a", dt, "adaptive")
    strength = finite(strength, "adaptive: strength")
    f = activation_text(activation)
    inner = "s + b - k*a" if bias else "s - k*a"
    return Cell.from_text(
        {
            "y": f"y + {_number(dt)}(-y + {applied(f, inner)})/tau",
            "a": f"a + {_number(dt)}(-a + y)/tau_a",
        },
        parameters=(
            ParameterDeclaration("tau", tau, trainable),
            ParameterDeclaration("tau_a", tau_a, trainable),
            ParameterDeclaration("k", strength),
            *((ParameterDeclaration("b"),) if bias else ()),
        ),
        name="adaptive",
        spec=spec_of(
            "adaptive",
            activation=short(f),
            tau=tau,
            tau_a=tau_a,
            strength=strength,
            dt=dt if dt != 1 else None,
            trainable=None if trainable else False,
            bias=bias or None,
        ),
    )


def _step(dt: Any, cell: str) -> float:
    dt = finite(dt, f"{cell}: dt")
    if dt <= 0:
        raise NetworkError(f"{cell}: dt must be a positive number, got {dt!r}")
    return dt


def _time_constant(tau: Any, name: str, dt: float, cell: str) -> float:
    tau = finite(tau, f"{cell}: {name}")
    if tau <= 0:
        raise NetworkError(f"{cell}: {name} must be a positive number, got {tau!r}")
    if dt > tau:
        raise NetworkError(
            f"{cell}: dt = {dt!r} exceeds {name} = {tau!r}, so that Euler's step overshoots"
        )
    return tau


def _number(dt: float) -> str:
    """Δt as a factor before a bracket; nothing where it is 1."""
    return "" if dt == 1 else f"{dt!r}*"
