"""A scheme applied to ẏ = λy: its stability function R(z), z = λΔt, and what it says of a cell.

λ is the slope of a rate by its state, at the parameters' values, zero state and zero net input;
with several coupled states, an eigenvalue of their Jacobian there. It is a difference quotient, so
that a network is checked without importing SymPy, and serves this check only.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from derive.errors import DeriveWarning, NetworkError
from derive.network.bounds import CONSTANTS, VALUES
from derive.network.continuous.schemes import SCHEMES, Scheme, find

if TYPE_CHECKING:
    import sympy

    from derive.network.continuous.cell import ContinuousCell

TOLERANCE = 1e-6
"""How far β may exceed 1 and |R| may exceed 1: more than a difference quotient is off by."""


@dataclass
class LinearStep:
    """A step of ẏ = λy + b in closed form, on numbers, arrays or symbols.

    Attributes
    ----------
    slope : number
        λ.
    exponential : function
        That of its arithmetic.
    y, dt, rest : number
        The start, Δt, and b.
    rates : int
        How often a rule asked for the rate.
    """

    slope: Any
    exponential: Callable[[Any], Any]
    y: Any = 1
    dt: Any = 1
    rest: Any = 0
    rates: int = 0

    def rate(self, y: Any) -> Any:
        """λ·y + b."""
        self.rates += 1
        return self.slope * y + self.rest

    def linear(self, v: Any) -> Any:
        """λ·v."""
        return self.slope * v

    def exp(self, v: Any) -> Any:
        """exp(λΔt)·v."""
        return self.exponential(self.slope * self.dt) * v

    def phi(self, v: Any) -> Any:
        """(exp(λΔt) − 1)/(λΔt)·v; where b is 0 nothing is held, and λ may be 0 too."""
        if not self.rest:
            return 0 * v
        z = self.slope * self.dt
        return (self.exponential(z) - 1) / z * v

    def solve(self, h: Any, v: Any) -> Any:
        """v/(1 − hλ)."""
        return v / (1 - h * self.slope)


def growth(scheme: Scheme, z: Any) -> Any:
    """R(z) at numbers: by what a step multiplies y where ẏ = λy and z = λΔt."""
    with np.errstate(all="ignore"):
        return scheme.rule(LinearStep(np.asarray(z, dtype=complex), np.exp))


def stability_function(scheme: str) -> sympy.Expr:
    """R(z), by what one step of a scheme multiplies y where ẏ = λy, z = λΔt.

    Parameters
    ----------
    scheme : str

    Returns
    -------
    sympy.Expr
        In the symbol z.

    Raises
    ------
    NetworkError
        For an unknown scheme.

    Examples
    --------
    >>> stability_function("backward_euler")
    1/(1 - z)
    """
    import sympy

    one = sympy.S.One
    step = LinearStep(sympy.Symbol("z"), sympy.exp, one, one, sympy.S.Zero)
    return sympy.cancel(find(scheme).rule(step))


def evaluations(scheme: Scheme) -> int:
    """How often a scheme evaluates the rates in a step."""
    step = LinearStep(0.0, np.exp)
    scheme.rule(step)
    return step.rates


# --- the slopes of a cell --------------------------------------------------------------------

NUMPY: dict[str, Callable[..., Any]] = {
    "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan,
    "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh,
    "logistic": lambda x: 0.5 + 0.5 * np.tanh(x / 2),
    "softplus": lambda x: np.logaddexp(0, x), "relu": lambda x: np.maximum(x, 0.0),
    "step": lambda x: np.where(x > 0, 1.0, 0.0), "max": np.maximum, "min": np.minimum,
    "erf": np.vectorize(VALUES["erf"], otypes=[float]),
    "+": np.add, "-": lambda *v: -v[0] if len(v) == 1 else v[0] - v[1],
    "*": np.multiply, "/": np.divide, "**": np.power, "where": np.where,
    "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal,
    "==": np.equal, "!=": np.not_equal,
}  # fmt: skip


def value(tree: tuple[Any, ...], known: Mapping[str, Any]) -> Any:
    """The value of an expression at arrays; NaN or infinite where it has none."""
    kind = tree[0]
    if kind == "number":
        return np.float64(tree[1])
    if kind == "constant":
        return np.float64(CONSTANTS[tree[1]])
    if kind == "name":
        return known[tree[1]]
    function = NUMPY.get(kind) or getattr(np, kind)
    return function(*(value(part, known) for part in tree[1:]))


def slopes(cell: ContinuousCell, values: Mapping[str, Any]) -> Any:
    """∂(rate i)/∂(state j) at zero state and net input, shape (…, states, states).

    Richardson's extrapolation of central differences; its steps are small beside what a unit's
    state reaches.
    """
    expressions = cell.expressions

    def rates(states: Mapping[str, float]) -> list[Any]:
        known: dict[str, Any] = dict(values)
        known |= dict.fromkeys(cell.stated.net_inputs, np.float64(0.0))
        known |= {y: np.float64(v) for y, v in states.items()}
        for name in cell.stated.intermediates:  # each after those it is computed from
            known[name] = value(expressions[name].tree, known)
        return [value(expressions[y].tree, known) for y in cell.rates]

    def difference(y: str, h: float) -> Any:
        at = dict.fromkeys(cell.rates, 0.0)
        above, below = rates({**at, y: h}), rates({**at, y: -h})
        found = [(a - b) / (2 * h) for a, b in zip(above, below, strict=True)]
        return np.stack(np.broadcast_arrays(*found), -1)

    columns = [_extrapolated([difference(y, h) for h in STEPS]) for y in cell.rates]
    return np.stack(np.broadcast_arrays(*columns), -1)


STEPS = (2.0**-5, 2.0**-6, 2.0**-7)
"""Of the difference quotients, each half the one before."""


def _extrapolated(quotients: list[Any]) -> Any:
    """Richardson: the powers h², h⁴, … of the error removed one by one."""
    power = 1
    while len(quotients) > 1:
        pairs = zip(quotients, quotients[1:], strict=False)
        quotients = [(4**power * fine - coarse) / (4**power - 1) for coarse, fine in pairs]
        power += 1
    return quotients[0]


def check(
    cell: ContinuousCell, scheme: Scheme, dt: Any, values: Mapping[str, Any], units: Any = None
) -> None:
    """Refuse Euler's rule where it overshoots; warn where a scheme is unstable and ẏ is not.

    Slopes that are no finite numbers are let through: then nothing is known.

    Raises
    ------
    NetworkError
        Where a decay has β = Δt/τ > 1 with Euler's rule.

    Warns
    -----
    DeriveWarning
        Where |R(λΔt)| > 1 though λ does not grow.
    """
    with np.errstate(all="ignore"):
        jacobian = slopes(cell, values)
        finite = np.isfinite(jacobian).all((-1, -2))
        safe = np.where(finite[..., None, None], jacobian, 0.0)
        z = np.linalg.eigvals(safe) * np.asarray(dt, dtype=float)[..., None]
        z = z.astype(complex)
    places = np.broadcast_to(np.arange(z.shape[-2]) if z.ndim > 1 else 0, z.shape[:-1])
    decaying = np.abs(z.imag) <= TOLERANCE * np.abs(z.real)
    if scheme is SCHEMES["euler"] and (over := decaying & (z.real < -1 - TOLERANCE)).any():
        worst = np.unravel_index(np.where(over, -z.real, -np.inf).argmax(), z.shape)
        raise NetworkError(
            f"{_culprit(cell, units, places[worst[:-1]])}: Δt/τ = {-z.real[worst]:.4g} exceeds 1, "
            "so that Euler's rule overshoots; take a smaller dt, a larger time constant, or "
            "scheme 'exponential'"
        )
    size = np.abs(growth(scheme, z))
    unstable = (z.real <= TOLERANCE * np.abs(z.imag)) & (size > 1 + TOLERANCE)
    if unstable.any():
        worst = np.unravel_index(np.where(unstable, size, -np.inf).argmax(), z.shape)
        warnings.warn(
            f"{_culprit(cell, units, places[worst[:-1]])}: scheme {scheme.name!r} is unstable at "
            f"this dt: a step multiplies a deviation by {size[worst]:.4g}, where the equation lets "
            f"it decay or stay; take a smaller dt or scheme 'exponential'",
            DeriveWarning,
            stacklevel=4,
        )


def _culprit(cell: ContinuousCell, units: Any, place: Any) -> str:
    """The cell, its states, and the unit where there is more than one value."""
    states = ", ".join(cell.rates)
    of = f"state{'s' * (len(cell.rates) > 1)} {states} of cell {cell.name!r}"
    return of if units is None else f"unit {np.asarray(units).flat[int(place)]}, {of}"
