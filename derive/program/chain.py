"""The longest chain of operations from one time step to the next, found by running a Program.

The interpreter runs it on *times* instead of numbers: a sum is ready so many cycles after the
later of its terms, a product after the later of its factors. What two runs of different length
differ by is the chain of a step. No processor is faster than that on one sequence, however many
operations it does at once, unless it adds in another order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import sympy

from derive.program.interpret import Arithmetic, run
from derive.program.ir import Program, evaluate
from derive.program.operations import MULTIPLIED


@dataclass(frozen=True)
class Latencies:
    """Cycles from an operation's operands to its result.

    Attributes
    ----------
    fused : int
        A multiplication and an addition of its product.
    selection : int
        A comparison, a choice, the larger of two.
    functions : mapping of str to int
        By name; ``other`` for those that are not in it.
    """

    addition: int
    multiplication: int
    fused: int
    division: int
    selection: int
    other: int
    functions: Mapping[str, int] = field(default_factory=dict)


def chain(program: Program, sizes: Mapping[str, int], latencies: Latencies) -> int:
    """Cycles after which the last result of a call is ready, if all inputs are there at once."""
    arithmetic = _times(latencies)
    inputs = {
        a.name: np.full(
            tuple(evaluate(e, sizes, program.tables) for e in a.shape), _known(arithmetic), object
        )
        for a in program.arrays.values()
        if a.role == "in"
    }
    results = run(program, arithmetic, inputs, sizes)
    return max((r.at for array in results.values() for r in np.ravel(array)), default=0)


def _known(arithmetic: Arithmetic) -> Any:
    return arithmetic.number(sympy.Integer(2))


def _times(by: Latencies) -> Arithmetic:
    """Numbers that only know when they are ready."""

    class Time:
        """When a number is ready; of a product also when its factors are, of a constant what."""

        __slots__ = ("at", "factors", "unit")

        def __init__(self, at: int, factors: int | None = None, unit: bool = False) -> None:
            self.at, self.factors, self.unit = at, factors, unit

        def __add__(self, other: Any) -> Time:
            other = read(other)
            # A compiler that may fuse a product with a sum does so, also where it takes longer.
            fused = [
                max(product.factors, term.at) + by.fused
                for product, term in ((self, other), (other, self))
                if product.factors is not None
            ]
            return Time(min(fused, default=max(self.at, other.at) + by.addition))

        def __mul__(self, other: Any) -> Time:
            other = read(other)
            if self.unit or other.unit:  # a change of sign is free
                return other if self.unit else self
            factors = max(self.at, other.at)
            return Time(factors + by.multiplication, factors)

        def __pow__(self, exponent: Any) -> Time:
            if not isinstance(exponent, int):
                return Time(max(self.at, exponent.at) + by.other)
            if exponent > MULTIPLIED:
                return Time(self.at + by.other)
            power = self
            for _ in range(exponent - 1):
                power = power * self
            return power

        def __truediv__(self, other: Any) -> Time:
            return Time(max(self.at, read(other).at) + by.division)

        def __rtruediv__(self, other: Any) -> Time:
            return Time(self.at + by.division)

        def selected(self, other: Any) -> Any:
            return Time(max(self.at, read(other).at) + by.selection)

        __radd__, __rmul__ = __add__, __mul__
        __gt__ = __ge__ = __lt__ = __le__ = selected
        __eq__ = __ne__ = selected
        __hash__ = None  # type: ignore[assignment]

    def read(value: Any) -> Any:
        return value if isinstance(value, Time) else Time(0)

    def latest(*operands: Any, after: int) -> Time:
        return Time(max(o.at for o in map(read, operands)) + after)

    @cache
    def function(kind: type) -> Any:
        cycles = by.functions.get(kind.__name__, by.other)
        return lambda *operands: latest(*operands, after=cycles * max(1, len(operands) - 1))

    class Functions(dict):
        """Every function has a latency."""

        def __missing__(self, kind: type) -> Any:
            return function(kind)

    def number(value: Any) -> Time:
        return Time(0, unit=value in (1, -1))

    return Arithmetic(
        "time", number, Functions(),
        lambda test, yes, no: latest(test, yes, no, after=by.selection),
    )  # fmt: skip
