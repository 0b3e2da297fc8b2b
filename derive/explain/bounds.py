"""Below what time a step cannot come: three bounds from what the Programs count.

The *chain* is what one sequence must do one after another; *arithmetic* and *loads* are what the
processor's units can start in a cycle; *weights* is what the caches deliver where the weights do
not fit the first of them. Bounds are of one step of one sequence, or of one block of lanes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from derive.errors import ProgramError
from derive.explain.processor import (
    BYTES_PER_CYCLE,
    DIVIDED,
    LOADED,
    Processor,
    arithmetic,
    latencies,
)
from derive.program.algorithms import options_of
from derive.program.chain import chain
from derive.program.cost import cost_at
from derive.program.ir import Program
from derive.program.operations import Tally

FOLLOWED = 400_000
"""Operations up to which the chain is followed: more take seconds, and other things bound them."""


@dataclass(frozen=True)
class Bound:
    """Cycles of a step, and why it cannot take fewer."""

    name: str
    cycles: float
    why: str


@dataclass(frozen=True)
class Step:
    """A time step of one function.

    Attributes
    ----------
    function : str
        ``forward``, ``gradient``, or a step of relaxing.
    counted : dict of str to float
        Operations, and loads and stores of the scheduled Program.
    bounds : tuple of Bound
        The largest first.
    """

    function: str
    counted: Mapping[str, float]
    bounds: tuple[Bound, ...]


def step_of(
    name: str,
    program: Program,
    scheduled: Program,
    algorithm: Mapping[str, Any],
    dtype: str,
    on: Processor,
) -> Step:
    """What a step of a function costs at least.

    Parameters
    ----------
    program, scheduled : Program
        As the algorithm states it, and as it was emitted.
    """
    lengths = _lengths(program, algorithm)
    counts = [cost_at(program, _sizes(program, T)) for T in lengths]
    moved = [cost_at(scheduled, _sizes(scheduled, T)) for T in lengths]
    steps = lengths[1] - lengths[0] if lengths[0] else 1
    counted = _per_step(counts, steps)
    counted |= {k: v for k, v in _per_step(moved, steps).items() if k in ("loads", "stores")}
    bounds = [
        *_chain(program, lengths, steps, counts[1].operations, dtype),
        _arithmetic(counted, scheduled, dtype, on),
        _loads(counted, scheduled, dtype, on),
        *_weights(scheduled, on),
    ]
    return Step(name, counted, tuple(sorted(bounds, key=lambda b: -b.cycles)))


def _lengths(program: Program, algorithm: Mapping[str, Any]) -> tuple[int, int]:
    """Two lengths of a sequence between which whole windows lie, past what the start differs in.

    Programs of one step have no length.
    """
    if "T" not in program.sizes:
        return 0, 0
    options = options_of(algorithm)
    window = int(options.get("h", 1))
    between = int(options.get("h_prime", window if algorithm["name"] == "hybrid" else 1))
    settled = window + 4
    first = -(-settled // between) * between
    return first, first + max(between, 2)


def _sizes(program: Program, T: int) -> dict[str, int]:
    return {**dict.fromkeys(program.sizes, 1), "T": T, "mask_step": 1, "mask_rows": T}


def _per_step(counts: list[Tally], steps: int) -> dict[str, float]:
    first, last = counts
    if first == last:  # one step, whatever the length
        first = Tally()
    found: dict[str, float] = {}
    for name in ("multiplications", "additions", "divisions", "loads", "stores"):
        found[name] = (getattr(last, name) - getattr(first, name)) / steps
    for name, calls in sorted(last.functions.items()):
        found[name] = (calls - first.functions.get(name, 0)) / steps
    return found


def _chain(
    program: Program, lengths: tuple[int, int], steps: int, operations: int, dtype: str
) -> list[Bound]:
    if not lengths[1] or operations > FOLLOWED:
        return []
    by = latencies(dtype)
    first, last = (chain(program, _sizes(program, T), by) for T in lengths)
    why = "the longest chain of operations from one step to the next, both ways"
    if program.name == "forward":
        why = "the longest chain of operations from one step to the next"
    return [Bound("chain", (last - first) / steps, why)]


def _arithmetic(
    counted: Mapping[str, float], scheduled: Program, dtype: str, on: Processor
) -> Bound:
    total = 0.0
    for name, number in counted.items():
        if name in ("multiplications", "additions"):
            total += number
        elif name == "divisions":
            total += DIVIDED * number
        elif name not in ("loads", "stores"):
            total += arithmetic(name) * number
    total *= scheduled.vectors * scheduled.groups * _together(scheduled, dtype, on)
    rate = 2 * on.lanes(dtype) * on.fused
    return Bound("arithmetic", total / rate, f"{total:,.0f} operations at {rate:g} a cycle")


def _together(scheduled: Program, dtype: str, on: Processor) -> int:
    """Sequences in a vector."""
    return min(scheduled.lane_width, on.lanes(dtype))


def _loads(counted: Mapping[str, float], scheduled: Program, dtype: str, on: Processor) -> Bound:
    moved = counted["loads"] / LOADED + counted["stores"]
    cycles = moved * _together(scheduled, dtype, on) / on.lanes(dtype)
    why = f"{counted['loads']:,.0f} numbers read, {counted['stores']:,.0f} written, in vectors"
    return Bound("loads", cycles, why)


def _weights(scheduled: Program, on: Processor) -> list[Bound]:
    (weights,) = scheduled.arrays["theta"].shape if "theta" in scheduled.arrays else (0,)
    if not isinstance(weights, int):
        raise ProgramError("theta has no fixed size")
    size = weights * scheduled.itemsize
    level = sum(2 * size > cache for cache in on.caches)
    if not level or "gradient" not in scheduled.name:
        return []
    rate = BYTES_PER_CYCLE[min(level, len(BYTES_PER_CYCLE) - 1)]
    where = ("the second cache", "the third cache", "memory")[min(level, 3) - 1]
    return [
        Bound("weights", 2 * size / rate, f"{size:,} bytes of weights, read twice, from {where}")
    ]
