"""Units stated as differential equations, made discrete with a step Δt."""

from __future__ import annotations

from typing import Any

from derive.errors import NetworkError
from derive.network.cell import Cell, NetInputDeclaration, ParameterDeclaration
from derive.network.continuous import ContinuousCell, discretize
from derive.network.library.plain import activation_text, applied, short, spec_of
from derive.network.topology import finite


def ctrnn(
    activation: Any = "logistic",
    tau: float = 5.0,
    dt: float = 1.0,
    scheme: str = "euler",
    trainable: bool = True,
    bias: bool = True,
) -> Cell:
    """Continuous-time unit with a potential v and a firing rate y (Beer 1995).

        τ v̇ = −v + s,   s = Σ w·y_l + Σ w·x_l        y = σ(v + b)

    Other units see y, not v, and y(t) is that of v(t). A run begins with the y0 it is given, zero
    if none; rates that fit potentials v0 are σ(v0 + b).

    Parameters
    ----------
    activation : str or sympy.Expr
        σ, as for :func:`semilinear`.
    tau : float
        Time constant, in the units of ``dt``, per unit.
    dt : float
        The step Δt.
    scheme : str
        How time is made discrete, as for :func:`derive.discretize`.
    trainable : bool
        Whether τ is learnt.
    bias : bool
        Whether there is b, trainable, per unit, from 0. Beer writes it θ.

    Raises
    ------
    NetworkError
        When dt or tau is not positive, Euler's step overshoots, or the scheme is unknown.
    """
    tau = _positive(tau, "ctrnn: tau")
    f = activation_text(activation)
    unit = ContinuousCell.from_text(
        {"v": "(-v + s)/tau"},
        readouts={"y": applied(f, "v + b" if bias else "v")},
        parameters=(
            ParameterDeclaration("tau", tau, trainable),
            *((ParameterDeclaration("b"),) if bias else ()),
        ),
        output="y",
        name="ctrnn",
    )
    return discretize(
        unit,
        dt,
        scheme,
        spec=spec_of(
            "ctrnn",
            activation=short(f),
            tau=tau,
            dt=dt if dt != 1 else None,
            scheme=None if scheme == "euler" else scheme,
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
    scheme: str = "euler",
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
        The step Δt.
    scheme : str
        How time is made discrete, as for :func:`derive.discretize`.
    trainable : bool
        Whether the time constants are learnt.
    bias : bool
        Add a trainable b to the net input.

    Raises
    ------
    NetworkError
        When dt or a time constant is not positive, Euler's step overshoots, or the scheme is
        unknown.
    """
    tau, tau_a = _positive(tau, "adaptive: tau"), _positive(tau_a, "adaptive: tau_a")
    strength = finite(strength, "adaptive: strength")
    f = activation_text(activation)
    inner = "s + b - k*a" if bias else "s - k*a"
    unit = ContinuousCell.from_text(
        {"y": f"(-y + {applied(f, inner)})/tau", "a": "(-a + y)/tau_a"},
        parameters=(
            ParameterDeclaration("tau", tau, trainable),
            ParameterDeclaration("tau_a", tau_a, trainable),
            ParameterDeclaration("k", strength),
            *((ParameterDeclaration("b"),) if bias else ()),
        ),
        name="adaptive",
    )
    return discretize(
        unit,
        dt,
        scheme,
        spec=spec_of(
            "adaptive",
            activation=short(f),
            tau=tau,
            tau_a=tau_a,
            strength=strength,
            dt=dt if dt != 1 else None,
            scheme=None if scheme == "euler" else scheme,
            trainable=None if trainable else False,
            bias=bias or None,
        ),
    )


def ltc(
    tau: float = 5.0,
    gamma: float = 1.0,
    mu: float = 0.0,
    A: float = 1.0,
    dt: float = 1.0,
    scheme: str = "euler",
    trainable: bool = True,
) -> Cell:
    """Liquid time-constant unit: each connection is a conductance that its source opens.

        v̇ = −v/τ + s,   s = Σ w·σ(γ·(x − μ))·(A − v)

    (Hasani, Lechner, Amini, Rus & Grosu 2021): the more of the conductance is open, the faster v
    moves towards A. Every connection has γ, μ and A of its own, learnt with its weight; what looks
    at v is taken at the beginning of the step. A weight is a conductance, positive in the model;
    nothing here keeps it so.

    Parameters
    ----------
    tau : float
        Time constant of the leak, in the units of ``dt``, per unit.
    gamma, mu, A : float
        First values of each connection's slope, threshold and reversal potential.
    dt : float
        The step Δt.
    scheme : str
        How time is made discrete, as for :func:`derive.discretize`.
    trainable : bool
        Whether τ is learnt.

    Raises
    ------
    NetworkError
        When dt or tau is not positive, Euler's step overshoots, or the scheme is unknown.
    """
    tau = _positive(tau, "ltc: tau")
    first = {"gamma": finite(gamma, "ltc: gamma"), "mu": finite(mu, "ltc: mu"),
             "A": finite(A, "ltc: A")}  # fmt: skip
    declared = tuple(ParameterDeclaration(name, value) for name, value in first.items())
    conductance = "w*logistic(gamma*(x - mu))*(A - v)"
    unit = ContinuousCell.from_text(
        {"v": "-v/tau + s"},
        net_inputs=(NetInputDeclaration("s", None, 1, conductance, declared),),
        parameters=(ParameterDeclaration("tau", tau, trainable),),
        name="ltc",
    )
    return discretize(
        unit,
        dt,
        scheme,
        spec=spec_of(
            "ltc",
            tau=tau,
            gamma=gamma if gamma != 1 else None,
            mu=mu if mu != 0 else None,
            A=A if A != 1 else None,
            dt=dt if dt != 1 else None,
            scheme=None if scheme == "euler" else scheme,
            trainable=None if trainable else False,
        ),
    )


def _positive(value: Any, what: str) -> float:
    value = finite(value, what)
    if value <= 0:
        raise NetworkError(f"{what} must be a positive number, got {value!r}")
    return value
