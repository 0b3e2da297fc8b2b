"""The rational function whose largest relative error is least (Remez 1934), in 50 digits.

By Chebyshev's theorem the error of the best P/Q of f takes its largest size at as many points as
there are free coefficients and one more, with alternating signs. Such points are guessed; P, Q and
the size E are solved for so that the error is ±E at them; the points are moved to where the error
that results is largest; until these agree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mpmath import lu_solve, matrix, mp, mpf, polyval, workdps

DIGITS = 50
GRID = 1200
"""Points at which the error is looked at, denser at the ends, where its waves are shorter."""
LEVEL = mpf("1.01")
"""The largest error may exceed the levelled one by so much; the best lies between the two."""


@dataclass(frozen=True)
class Quotient:
    """P(x)/Q(x) with Q(0) = 1.

    Attributes
    ----------
    top, bottom : tuple of mpf
        Coefficients of P and Q, constant first.
    error : mpf
        The largest error found, in the sense that was asked for.
    """

    top: tuple[Any, ...]
    bottom: tuple[Any, ...]
    error: Any

    def __call__(self, x: Any) -> Any:
        return polyval(self.top[::-1], x) / polyval(self.bottom[::-1], x)


def minimax(
    function: Callable[[Any], Any],
    interval: tuple[Any, Any],
    degrees: tuple[int, int],
    weight: Callable[[Any], Any],
    exact_at_zero: bool,
) -> Quotient:
    """The P/Q for which the largest |weight·(P/Q − f)/f| on an interval is least.

    Parameters
    ----------
    function : callable
        f, from mpf to mpf, without a zero in the interval.
    interval : pair of mpf
        Its ends.
    degrees : pair of int
        Of P and of Q.
    weight : callable
        How much a relative error at x counts, ≥ 0.
    exact_at_zero : bool
        Whether P(0) = f(0) = 1 is held; 0 is then the lower end of the interval.

    Raises
    ------
    ArithmeticError
        If the exchange does not end, as when the degrees are more than 50 digits can tell apart.
    """
    with workdps(DIGITS):
        low, high = map(mpf, interval)
        xs = [low + (high - low) * (1 - mp.cospi(mpf(2 * k + 1) / (2 * GRID))) / 2
              for k in range(GRID)]  # fmt: skip
        fs = [function(x) for x in xs]
        ws = [weight(x) for x in xs]
        count = sum(degrees) + (1 if exact_at_zero else 2)
        # Not in the middle, where the weight of an even error is often zero.
        points = [int(GRID * (i + 0.35) / count) for i in range(count)]
        found = Quotient((mpf(1),), (mpf(1),), mpf(0))
        for _ in range(40):
            there = [(xs[j], fs[j], ws[j]) for j in points]
            found = _levelled(there, degrees, exact_at_zero, found)
            errors = [w * (found(x) / f - 1) for x, f, w in zip(xs, fs, ws, strict=True)]
            largest = max(map(abs, errors))
            if largest <= abs(found.error) * LEVEL:
                return Quotient(found.top, found.bottom, largest)
            points = _peaks(errors, count)
        raise ArithmeticError(f"no best approximation of degrees {degrees} was found")


def _levelled(
    there: list[tuple[Any, Any, Any]], degrees: tuple[int, int], exact: bool, start: Quotient
) -> Quotient:
    """P/Q whose error at the points is E, −E, E, …, by Newton's method.

    P/f − (1 ± E/w)·Q = 0 is linear but for the product of E and Q.
    """
    top, bottom = degrees
    free = [*range(1 if exact else 0, top + 1)]
    count, E = len(there), start.error
    q = [*start.bottom, *[mpf(0)] * (bottom + 1 - len(start.bottom))]
    p: list[Any] = []
    for _ in range(12):
        A, b = matrix(count, count), matrix(count, 1)
        for i, (x, f, w) in enumerate(there):
            sign = (-1) ** i / w
            level, Q = 1 + sign * E, polyval(q[::-1], x)
            row = [x**k / f for k in free]
            row += [-level * x**k for k in range(1, bottom + 1)]
            for j, value in enumerate([*row, -sign * Q]):
                A[i, j] = value
            b[i] = level - sign * Q * E - (1 / f if exact else 0)
        *solved, size = lu_solve(A, b)
        p = [*([mpf(1)] if exact else []), *solved[: len(free)]]
        q = [mpf(1), *solved[len(free) :]]
        before, E = E, size
        if abs(E - before) <= abs(E) * mpf(10) ** -10:
            break
    return Quotient(tuple(p), tuple(q), E)


def _peaks(errors: list[Any], count: int) -> list[int]:
    """Where the error is largest between its changes of sign: the given number of them."""
    peaks = [0]
    for j, error in enumerate(errors):
        if (error > 0) != (errors[peaks[-1]] > 0):
            peaks.append(j)
        elif abs(error) > abs(errors[peaks[-1]]):
            peaks[-1] = j
    while len(peaks) > count:
        peaks.pop(0 if abs(errors[peaks[0]]) < abs(errors[peaks[-1]]) else -1)
    if len(peaks) < count:
        raise ArithmeticError(f"the error changes its sign {len(peaks)} times, not {count}")
    return peaks
