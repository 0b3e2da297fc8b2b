"""Claims about orders of accuracy: found from the scheme, and lost with a wrong coefficient."""

from __future__ import annotations

from typing import Any

import pytest
import sympy

from derive.calculus.accuracy import HIGHEST, exact, order, solves
from derive.errors import DerivationError, NetworkError
from derive.network.continuous import SCHEMES

ORDERS = {
    # scheme: on any smooth f, on a linear one
    "euler": (1, 1),
    "exponential": (1, None),
    "bilinear": (1, 2),
    "backward_euler": (1, 1),
    "heun": (2, 2),
    "rk4": (4, 4),
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_order_of_each_scheme(scheme: str) -> None:
    assert (order(scheme).order, order(scheme, "linear").order) == ORDERS[scheme]


@pytest.mark.parametrize(
    ("scheme", "problem", "leading"),
    [
        ("euler", "smooth", "order 1; first difference: −f′f·Δt²/2"),
        ("exponential", "smooth", "order 1; first difference: Δt²·(Af − f′f)/2"),
        ("bilinear", "linear", "order 2; first difference: AAf·Δt³/12"),
        ("heun", "smooth", "order 2; first difference: Δt³·(f′′(f, f) − 2·f′f′f)/12"),
        ("rk4", "linear", "order 4; first difference: −AAAAf·Δt⁵/120"),
        ("exponential", "linear", "equal to all orders: the step solves the equation"),
    ],
)
def test_it_is_shown_where_a_step_parts_from_the_solution(
    scheme: str, problem: str, leading: str
) -> None:
    assert str(order(scheme, problem)).splitlines()[-1] == leading


def test_the_expansion_of_the_solution_has_the_known_coefficients() -> None:
    """1/(σγ) of the rooted trees, from Butcher's table."""
    f: Any = ("f",)
    known = {
        (1, f): 1,
        (2, ("f", f)): 2,
        (3, ("f", f, f)): 6,
        (3, ("f", ("f", f))): 6,
        (4, ("f", f, f, f)): 24,
        (4, ("f", f, ("f", f))): 8,
        (4, ("f", ("f", f, f))): 24,
        (4, ("f", ("f", ("f", f)))): 24,
    }
    terms = {k: v for k, v in exact().terms.items() if 1 <= k[0] <= 4}
    assert terms == {k: sympy.Rational(1, v) for k, v in known.items()}
    counts = [sum(n == power for n, _ in exact().terms) for power in range(1, HIGHEST + 1)]
    assert counts == [1, 1, 2, 4, 9, 20]  # as many as rooted trees


def wrong_heun(u: Any) -> Any:
    k1 = u.rate(u.y)
    k2 = u.rate(u.y + u.dt / 2 * k1)
    return u.y + u.dt / 2 * (k1 + k2)


def wrong_rk4(u: Any) -> Any:
    k1 = u.rate(u.y)
    k2 = u.rate(u.y + u.dt / 2 * k1)
    k3 = u.rate(u.y + u.dt / 2 * k2)
    k4 = u.rate(u.y + u.dt * k2)
    return u.y + u.dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def wrong_exponential(u: Any) -> Any:
    return u.exp(u.y) + u.dt * u.phi(u.phi(u.rest))


def wrong_bilinear(u: Any) -> Any:
    third = u.dt / 3
    return u.solve(third, u.y + 2 * third * u.linear(u.y) + u.dt * u.rest)


@pytest.mark.parametrize(
    ("rule", "problem", "left"),
    [(wrong_heun, "smooth", 1), (wrong_rk4, "smooth", 3), (wrong_rk4, "linear", 3),
     (wrong_exponential, "linear", 1), (wrong_bilinear, "linear", 1)],
)  # fmt: skip
def test_a_wrong_coefficient_costs_order(rule: Any, problem: str, left: int) -> None:
    assert order(rule, problem).order == left


def inconsistent(u: Any) -> Any:
    return u.y + u.dt / 2 * u.rate(u.y)


def test_what_is_no_scheme_is_refused() -> None:
    with pytest.raises(DerivationError, match="inconsistent: a step differs.* in Δt\\^1 already"):
        order(inconsistent)
    with pytest.raises(DerivationError, match="no problem 'rough'"):
        order("euler", "rough")
    with pytest.raises(NetworkError, match="no scheme 'rk5'"):
        order("rk5")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_only_zero_order_hold_solves_a_linear_equation(scheme: str) -> None:
    assert solves(SCHEMES[scheme].rule) == (scheme == "exponential")
    assert not solves(wrong_exponential)
