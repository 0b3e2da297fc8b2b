"""Rules for one step of ẏ = f(y), each stated once.

A rule is a function of a :class:`Step`, which says what y, Δt and f are. Given a cell's rates it
gives the cell's update; given λy, its stability function; given a generic smooth f, its order
(``derive.calculus.accuracy``). A new rule is one more function with ``@scheme``.

Some rules treat the *linear part* on its own: f(y) = A·y + b(y), where the entries of A are free of
the states. What is left, b, is held over the step at its value at the start.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from derive.errors import NetworkError


class Step(Protocol):
    """One step of ẏ = f(y) = A·y + b(y): vectors that can be added and scaled."""

    @property
    def y(self) -> Any:
        """The states at the start."""

    @property
    def dt(self) -> Any:
        """Δt."""

    @property
    def rest(self) -> Any:
        """b = f(y) − A·y."""

    def rate(self, y: Any) -> Any:
        """f at any y."""

    def linear(self, v: Any) -> Any:
        """A·v."""

    def exp(self, v: Any) -> Any:
        """exp(Δt·A)·v."""

    def phi(self, v: Any) -> Any:
        """φ(Δt·A)·v with φ(z) = (exp(z) − 1)/z, the mean of exp(τA) over the step."""

    def solve(self, h: Any, v: Any) -> Any:
        """The u with u − h·A·u = v."""


Rule = Callable[[Step], Any]


@dataclass(frozen=True)
class Scheme:
    """A rule by its name; ``says`` is what it does, in a few words."""

    name: str
    rule: Rule
    says: str


SCHEMES: dict[str, Scheme] = {}
"""Every rule by name."""


def scheme(name: str) -> Callable[[Rule], Rule]:
    """Enter a rule under a name."""

    def enter(rule: Rule) -> Rule:
        SCHEMES[name] = Scheme(name, rule, (rule.__doc__ or "").splitlines()[0])
        return rule

    return enter


def find(name: Any) -> Scheme:
    """The scheme of that name.

    Raises
    ------
    NetworkError
        For an unknown one, naming the nearest.
    """
    if isinstance(name, str) and name in SCHEMES:
        return SCHEMES[name]
    close = difflib.get_close_matches(str(name), SCHEMES, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(SCHEMES)}"
    raise NetworkError(f"scheme: no scheme {name!r}; {hint}")


@scheme("euler")
def euler(u: Step) -> Any:
    """Forward Euler: the rate at the start, held over the step."""
    return u.y + u.dt * u.rate(u.y)


@scheme("exponential")
def exponential(u: Step) -> Any:
    """Zero-order hold, or exponential Euler: exact for the linear part, the rest held."""
    return u.exp(u.y) + u.dt * u.phi(u.rest)


@scheme("bilinear")
def bilinear(u: Step) -> Any:
    """Tustin's rule: the mean of the linear part at both ends, the rest held."""
    half = u.dt / 2
    return u.solve(half, u.y + half * u.linear(u.y) + u.dt * u.rest)


@scheme("backward_euler")
def backward_euler(u: Step) -> Any:
    """Backward Euler: the linear part at the end of the step, the rest held."""
    return u.solve(u.dt, u.y + u.dt * u.rest)


@scheme("heun")
def heun(u: Step) -> Any:
    """Heun's rule: the mean of the rate at the start and at Euler's end."""
    k1 = u.rate(u.y)
    k2 = u.rate(u.y + u.dt * k1)
    return u.y + u.dt / 2 * (k1 + k2)


@scheme("rk4")
def rk4(u: Step) -> Any:
    """The classical Runge-Kutta rule of four stages (Kutta 1901)."""
    k1 = u.rate(u.y)
    k2 = u.rate(u.y + u.dt / 2 * k1)
    k3 = u.rate(u.y + u.dt / 2 * k2)
    k4 = u.rate(u.y + u.dt * k3)
    return u.y + u.dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
