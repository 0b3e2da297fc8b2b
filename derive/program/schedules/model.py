"""Predict the time of a step in each schedule from work that is counted without a Program.

The time is a sum of counted work, each with a coefficient: nanoseconds for a call of a function,
for a connection, and so on. ``benchmarks/bench_schedules.py`` measures both schedules on a series
of networks and fits the coefficients. They are of one machine: what is compared is two schedules
on the same one, and where they are close it matters little which is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from derive.network.network import Network
from derive.program.ir import Program
from derive.program.occurrences import occurrences
from derive.program.operations import operations
from derive.program.schedules.coefficients import COMPILE, STEP

FEATURES = ("step", "operations", "calls", "full", "ragged", "longest")
"""What is counted in a step.

``step`` is 1, what each step costs whatever the network; ``operations`` are the additions,
multiplications and divisions of the units' equations, and ``calls`` their functions; ``full`` are
connections of a network whose units all hear the same, equally late, ``ragged`` those of any
other; ``longest`` is the longest sum, whose terms wait for each other.
"""

COMPILED = ("a constant", "statements of all functions", "the sum of their squares")
"""What the time to compile straight lines is of: the compiler looks at all of a block together."""


def counted(net: Network) -> dict[str, int]:
    """Each feature of a network."""
    arithmetic = calls = 0
    for number, cell in enumerate(net.cells):
        units = int((net.cell_index == number).sum())
        equations = (*cell.equations.intermediates.values(), *cell.equations.states.values())
        for one in map(operations, equations):
            called = sum(one.functions.values())
            arithmetic += units * (one.operations - called)
            calls += units * called
    wiring = net.wiring
    ports = int(wiring.port.max(initial=0)) + 1
    rows = np.unique(wiring.target * ports + wiring.port, return_counts=True)[1]
    alike = np.unique(wiring.delay).size == 1
    full = bool(alike and (rows == np.unique(wiring.source).size).all())
    return {
        "step": 1,
        "operations": arithmetic,
        "calls": calls,
        "full": wiring.size if full else 0,
        "ragged": 0 if full else wiring.size,
        "longest": int(rows.max(initial=0)),
        "sums": rows.size,
    }


def by_page(counts: Mapping[str, int]) -> bool:
    """Whether sums have terms enough for lines of pages to be about full."""
    return counts["ragged"] > TERMS * counts["sums"]


TERMS = 2.5
"""Of an average sum."""


def predicted(counts: Mapping[str, int], schedule: str, batch: bool, dtype: str) -> float:
    """Nanoseconds of a step forward and back, of one sequence or of one block of lanes.

    ``pages`` are tables where signals can be looked up in registers, as sparse nets have them.
    """
    if schedule == "pages" and not by_page(counts):
        schedule = "tables"
    by = STEP[schedule, batch, dtype]
    return sum(c * counts[f] for c, f in zip(by, FEATURES, strict=True))


def compile_seconds(lines: Sequence[int]) -> float:
    """Seconds of processor time to make a kernel whose functions have so many statements each."""
    return sum(c * f for c, f in zip(COMPILE, compiled_features(lines), strict=True))


def compiled_features(lines: Sequence[int]) -> tuple[float, ...]:
    """What the time to compile straight lines is of."""
    return 1, sum(lines), sum(n**2 for n in lines)


def straight_lines(programs: Mapping[str, Program]) -> tuple[int, ...]:
    """How many statements each Program has once all loops but those over time are written out."""
    return tuple(round(sum(_copies(p))) for p in programs.values())


def _copies(program: Program) -> Iterator[float]:
    """Of each assignment; where loops have different lengths, on average."""
    for one in occurrences(program, {**dict.fromkeys(program.sizes, SAMPLE), "b": 0}):
        copies, before = 1.0, 1
        for loop, turns in zip(one.loops, one.turns, strict=True):
            if loop.role not in ("time", "columns"):
                copies *= turns / max(before, 1)
            before = turns
        yield copies


SAMPLE = 4
"""Steps for which loops over time are looked into."""
