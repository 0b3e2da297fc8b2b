"""Pick a schedule from the counted size of the program."""

from __future__ import annotations

from dataclasses import dataclass, replace

from derive.errors import ProgramError
from derive.network.network import Network
from derive.program.ir import Program
from derive.program.schedules.lanes import lanes
from derive.program.schedules.tables import tables
from derive.program.schedules.unrolled import unrolled

NAMES = ("auto", "unrolled", "tables")

STRAIGHT_LINE = 100
"""Connections and unit updates of a step up to which straight-line code is written.

Measured: it gains a few per cent over loops at 80 connections and nothing at 300, while the time
to translate and compile it grows with every statement.
"""


@dataclass(frozen=True)
class Choice:
    """A schedule and the reason it was taken; for a batch perhaps of how many sequences."""

    name: str
    batch: bool | int
    reason: str

    @property
    def sequences(self) -> int | None:
        """How many sequences a batch mostly has, if that was said."""
        return None if isinstance(self.batch, bool) else self.batch


def choose(net: Network, batch: bool | int, schedule: str = "auto") -> Choice:
    """The schedule for a network.

    Raises
    ------
    ProgramError
        For a name that is no schedule, or straight-line code asked for beyond 20,000 connections.
    """
    if schedule not in NAMES:
        raise ProgramError(f"schedule: expected one of {', '.join(NAMES)}, got {schedule!r}")
    work = net.wiring.size + 2 * net.units
    if schedule == "unrolled" and work > 20_000:
        raise ProgramError(
            f"schedule 'unrolled': {work} operations a step would take the compiler minutes; "
            "use 'tables'"
        )
    if schedule != "auto":
        return Choice(schedule, batch, "asked for")
    if work <= STRAIGHT_LINE:
        why = f"{work} connections and unit updates a step, at most {STRAIGHT_LINE}"
        return Choice("unrolled", batch, why)
    why = f"{work} connections and unit updates a step, more than {STRAIGHT_LINE}"
    return Choice("tables", batch, why)


def scheduled(program: Program, choice: Choice, itemsize: int) -> Program:
    """``program`` laid out as chosen."""
    program = replace(program, itemsize=itemsize)
    if choice.name == "unrolled":
        laid_out = unrolled(program)
    else:
        laid_out = tables(program, bool(choice.batch))
    return lanes(laid_out, choice.sequences) if choice.batch else laid_out
