"""Units with a complex memory of their own that turns and shrinks: diagonal linear recurrences.

The memory z = re + i·im is carried as a real pair, z(t+1) = λ·z(t) + B, with |λ| < 1 whatever the
parameters are. Two net inputs s_re and s_im are the parts of a complex weighted sum. What other
units see is y = f(Re(C·z(t+1))), with one complex C = c_re + i·c_im per unit. In the published
models only input lines (or a layer below) reach such units: the recurrence is the unit's own.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from derive.errors import NetworkError
from derive.network.cell import Cell, ParameterDeclaration
from derive.network.library.plain import activation_text, applied, short, spec_of
from derive.network.topology import finite, whole


def lru(
    activation: Any = "identity",
    radius: float = 0.9,
    phase: float = math.pi / 10,
    tied: bool = False,
    skip: bool = False,
) -> Cell:
    """Linear recurrent unit (Orvieto et al. 2023).

        λ = exp(−exp(ν) + i·exp(φ))
        z(t+1) = λ·z(t) + γ·(s_re + i·s_im)        y(t+1) = f(c_re·re(t+1) − c_im·im(t+1))

    ν, φ, c_re and c_im are trainable, per unit. γ = √(1 − |λ|²) keeps z at the size of its input:
    as first value of a trainable γ = exp(gamma_log), or, if ``tied``, always.
    :func:`ring` draws ν, φ and gamma_log for each unit as the paper does:
    ``Network(lru(), units=n, …, parameters=ring(n, seed=0))``.

    Parameters
    ----------
    activation : str or sympy.Expr
        f, as for :func:`semilinear`. The paper's is the identity, its nonlinearity coming between
        layers.
    radius : float
        First value of \\|λ\\|, in 0 < r < 1.
    phase : float
        First value of arg λ, positive.
    tied : bool
        Whether γ follows from λ instead of being a parameter.
    skip : bool
        Whether a net input s_y is added to Re(C·z): the paper's D·u.

    Raises
    ------
    NetworkError
        When the radius is outside 0 < r < 1 or the phase is not positive.
    """
    radius, phase = _radius(radius, "lru: radius"), _positive(phase, "lru: phase")
    f = activation_text(activation)
    nu, phi, gamma_log = _parameters_of(np.array(radius), np.array(phase))
    intermediates = {
        "r": "exp(-exp(nu))",
        "turn": "exp(phi)",
        "lam_re": "r*cos(turn)",
        "lam_im": "r*sin(turn)",
        "gamma": "sqrt(1 - r**2)" if tied else "exp(gamma_log)",
        "u": "lam_re*re - lam_im*im + gamma*s_re",
        "v": "lam_im*re + lam_re*im + gamma*s_im",
    }
    parameters = [ParameterDeclaration("nu", float(nu)), ParameterDeclaration("phi", float(phi))]
    if not tied:
        parameters.append(ParameterDeclaration("gamma_log", float(gamma_log)))
    return _cell(
        "lru",
        f,
        skip,
        intermediates,
        parameters,
        radius=radius,
        phase=phase,
        tied=tied or None,
    )


def s4d(
    activation: Any = "identity",
    decay: float = 0.5,
    frequency: float = math.pi,
    step: float = 0.1,
    skip: bool = False,
) -> Cell:
    """Diagonal state space unit in continuous time (S4D: Gu, Gupta, Goel & Ré 2022).

        ż = A·z + s_re + i·s_im,   A = −exp(ν) + i·ω        y = f(Re(C·z))

    with the net input held over a step Δ = exp(log_step), which is exact:
    λ = exp(Δ·A), z(t+1) = λ·z(t) + (λ − 1)/A·(s_re + i·s_im). ν, ω, log_step, c_re and c_im are
    trainable, per unit. S4D-Lin starts unit k at A = −1/2 + i·π·k, which
    ``parameters={"omega": numpy.pi*numpy.arange(n)}`` gives.

    Parameters
    ----------
    activation : str or sympy.Expr
        f, as for :func:`semilinear`.
    decay, frequency : float
        First values of −Re A, positive, and of Im A.
    step : float
        First value of Δ, positive.
    skip : bool
        Whether a net input s_y is added to Re(C·z).

    Raises
    ------
    NetworkError
        When decay or step is not positive.
    """
    decay, step = _positive(decay, "s4d: decay"), _positive(step, "s4d: step")
    frequency = finite(frequency, "s4d: frequency")
    f = activation_text(activation)
    intermediates = {
        "rate": "exp(nu)",
        "delta": "exp(log_step)",
        "r": "exp(-rate*delta)",
        "lam_re": "r*cos(omega*delta)",
        "lam_im": "r*sin(omega*delta)",
        "size": "rate**2 + omega**2",
        "k_re": "(rate*(1 - lam_re) + omega*lam_im)/size",
        "k_im": "(omega*(1 - lam_re) - rate*lam_im)/size",
        "u": "lam_re*re - lam_im*im + k_re*s_re - k_im*s_im",
        "v": "lam_im*re + lam_re*im + k_im*s_re + k_re*s_im",
    }
    parameters = [
        ParameterDeclaration("nu", math.log(decay)),
        ParameterDeclaration("omega", frequency),
        ParameterDeclaration("log_step", math.log(step)),
    ]
    return _cell(
        "s4d",
        f,
        skip,
        intermediates,
        parameters,
        decay=decay,
        frequency=frequency,
        step=step,
    )


def _cell(
    name: str,
    f: str,
    skip: bool,
    intermediates: dict[str, str],
    parameters: list[ParameterDeclaration],
    **arguments: Any,
) -> Cell:
    """A unit whose new memory is u + i·v, read by C."""
    read = "c_re*u - c_im*v"
    return Cell.from_text(
        {"y": applied(f, f"{read} + s_y" if skip else read), "re": "u", "im": "v"},
        intermediates=intermediates,
        net_inputs=("s_re", "s_im", "s_y") if skip else ("s_re", "s_im"),
        parameters=(
            *parameters,
            ParameterDeclaration("c_re", 1.0),
            ParameterDeclaration("c_im", 0.0),
        ),
        name=name,
        spec=spec_of(name, activation=short(f), skip=skip or None, **arguments),
    )


def ring(
    units: int,
    r_min: float = 0.0,
    r_max: float = 1.0,
    max_phase: float = 2 * math.pi,
    seed: int = 0,
    tied: bool = False,
) -> dict[str, list[float]]:
    """First values of ν, φ and gamma_log for each unit: λ uniform on a ring (Orvieto et al. 2023).

    Parameters
    ----------
    units : int
        n.
    r_min, r_max : float
        λ is drawn uniformly in area between these radii, 0 ≤ r_min < r_max ≤ 1.
    max_phase : float
        arg λ is drawn uniformly in (0, max_phase).
    seed : int
    tied : bool
        For :func:`lru` with ``tied``, which has no gamma_log.

    Returns
    -------
    dict
        For ``Network(parameters=…)``.

    Raises
    ------
    NetworkError
        When the radii or the phase are not as above.
    """
    n, seed = whole(units, "ring: units", 1), whole(seed, "ring: seed", 0)
    r_min, r_max = finite(r_min, "ring: r_min"), finite(r_max, "ring: r_max")
    max_phase = _positive(max_phase, "ring: max_phase")
    if not 0 <= r_min < r_max <= 1:
        raise NetworkError(f"ring: need 0 ≤ r_min < r_max ≤ 1, got {r_min!r} and {r_max!r}")
    generator = np.random.Generator(np.random.PCG64(seed))
    # From the open interval: a radius of 0 or 1 and a phase of 0 have no logarithm.
    area, turn = (1 - generator.random((2, n))) * (1 - 2.0**-32)
    radius = np.sqrt(r_min**2 + area * (r_max**2 - r_min**2))
    nu, phi, gamma_log = _parameters_of(radius, max_phase * turn)
    drawn = {"nu": nu, "phi": phi} | ({} if tied else {"gamma_log": gamma_log})
    return {name: values.tolist() for name, values in drawn.items()}


def _parameters_of(radius: Any, phase: Any) -> tuple[Any, Any, Any]:
    """ν, φ and gamma_log of λ with this radius and phase."""
    return np.log(-np.log(radius)), np.log(phase), np.log1p(-(radius**2)) / 2


def _radius(value: Any, what: str) -> float:
    radius = finite(value, what)
    if not 0 < radius < 1:
        raise NetworkError(f"{what} must lie in 0 < r < 1, got {radius!r}")
    return radius


def _positive(value: Any, what: str) -> float:
    number = finite(value, what)
    if number <= 0:
        raise NetworkError(f"{what} must be a positive number, got {number!r}")
    return number
