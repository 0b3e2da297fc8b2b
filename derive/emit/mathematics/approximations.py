"""What the functions of emitted modules are made of: three functions on short intervals.

Each is the remainder of a function after the terms of its series that are kept as they are, so that
the rounding of the approximation counts little:

    tanh r   = r·T(r²)            |r| ≤ ln(2)/4
    exp r    = 1 + r + r²·E(r)    |r| ≤ ln(2)/2
    log(1+e) = e − e²·L(e)        0 ≤ e ≤ 1

T, E and L are approximated by quotients of polynomials such that the largest relative error of the
left sides is least. Everything else the functions need follows from identities; see ``text.py``.

``python -m derive.emit.mathematics.approximations`` derives all numbers again and writes
``coefficients.py``, which takes some seconds and so is not done when a module is emitted.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpmath import exp as e_to
from mpmath import expm1, floor, ldexp, log, log1p, mpf, sqrt, tanh, workdps

from derive.emit.mathematics.minimax import DIGITS, Quotient, minimax

TABLE = Path(__file__).with_name("coefficients.py")
MANTISSA = {"float64": 53, "float32": 24}
DOUBLINGS = {"float64": 11, "float32": 8}
"""Bits of n where x = n·ln 2 + r: as many zeros end the first part of ln 2, so that their product
is exact."""


@dataclass(frozen=True)
class Approximation:
    """A function to approximate, where, and with what.

    Attributes
    ----------
    function, weight : callable
        The function, and the share of its relative error in that of the whole.
    interval : pair
        In multiples of ln 2, or of ln² 2 where the variable is a square; plain for ``log1p``.
    exact_at_zero : bool
    degrees : dict
        Of numerator and denominator, for each type: the least for which the error is below a
        sixteenth of a unit in the last place.
    """

    function: Callable[[Any], Any]
    weight: Callable[[Any], Any]
    interval: Callable[[], tuple[Any, Any]]
    exact_at_zero: bool
    degrees: dict[str, tuple[int, int]]


def _tanh_part(u: Any) -> Any:
    r = sqrt(u)
    return tanh(r) / r


APPROXIMATIONS = {
    "tanh": Approximation(
        function=_tanh_part,
        weight=lambda u: mpf(1),
        interval=lambda: (mpf(0), (log(2) / 4) ** 2),
        exact_at_zero=True,
        degrees={"float64": (2, 2), "float32": (1, 1)},
    ),
    "exp": Approximation(
        function=lambda r: (expm1(r) - r) / r**2,
        weight=lambda r: (expm1(r) - r) / e_to(r),
        interval=lambda: (-log(2) / 2, log(2) / 2),
        exact_at_zero=False,
        degrees={"float64": (9, 0), "float32": (4, 0)},
    ),
    "log1p": Approximation(
        function=lambda e: (e - log1p(e)) / e**2,
        weight=lambda e: (e - log1p(e)) / log1p(e),
        interval=lambda: (mpf(0), mpf(1)),
        exact_at_zero=False,
        degrees={"float64": (5, 6), "float32": (2, 3)},
    ),
}


def best(name: str, dtype: str) -> Quotient:
    """The best quotient for one of :data:`APPROXIMATIONS`, in 50 digits."""
    a = APPROXIMATIONS[name]
    with workdps(DIGITS):
        return minimax(a.function, a.interval(), a.degrees[dtype], a.weight, a.exact_at_zero)


def constants(dtype: str) -> dict[str, Any]:
    """ln 2 and 1/ln 2, ln 2 also in two parts of which the first is short."""
    with workdps(DIGITS):
        bits = MANTISSA[dtype] - DOUBLINGS[dtype] - 1
        first = ldexp(floor(ldexp(log(2), bits)), -bits)
        return {
            "ln2": log(2),
            "ln2_first": first,
            "ln2_rest": log(2) - first,
            "per_ln2": 1 / log(2),
        }


def rounded(value: Any, dtype: str) -> str:
    """The nearest number of a type, in hexadecimal."""
    nearest = float(value)
    if dtype == "float32":
        (nearest,) = struct.unpack("f", struct.pack("f", nearest))
    mantissa, exponent = nearest.hex().split("p")
    return f"{mantissa.rstrip('0').rstrip('.')}p{exponent}"


def _lines() -> Iterator[str]:
    yield '"""Numbers derived by ``approximations.py``, which writes this file: change that one."""'
    yield ""
    yield "COEFFICIENTS: dict[str, dict[str, tuple[str, ...]]] = {"
    for dtype in MANTISSA:
        yield f'    "{dtype}": {{'
        for name in APPROXIMATIONS:
            found = best(name, dtype)
            for part, values in (("top", found.top), ("bottom", found.bottom)):
                if len(values) > 1:
                    yield f'        "{name}_{part}": ('
                    yield from (f'            "{rounded(v, dtype)}",' for v in values)
                    yield "        ),"
        yield "    },"
    yield "}"
    yield '"""Of P and Q, constant first, by type."""'
    yield ""
    yield "CONSTANTS: dict[str, dict[str, str]] = {"
    for dtype in MANTISSA:
        yield f'    "{dtype}": {{'
        for name, value in constants(dtype).items():
            yield f'        "{name}": "{rounded(value, dtype)}",'
        yield "    },"
    yield "}"


def table() -> str:
    """The text of ``coefficients.py``."""
    return "\n".join(_lines()) + "\n"


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8", newline="\n")
