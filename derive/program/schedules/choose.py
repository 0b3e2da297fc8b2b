"""Pick the schedule whose predicted time is the least, of those that compile soon enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from derive.blocks import MANY, SINGLE, Block
from derive.errors import ProgramError
from derive.network.network import Network
from derive.program.ir import Program
from derive.program.schedules.lanes import lanes
from derive.program.schedules.model import compile_seconds, counted, predicted, straight_lines
from derive.program.schedules.tables import tables
from derive.program.schedules.unrolled import unrolled

NAMES = ("auto", "unrolled", "tables")

COMPILED, ASKED = 5.0, 60.0
"""Seconds that a straight line may take to compile where it is chosen, and where it is asked for.
Its time grows faster than its length."""

ALIKE = 1.05
"""Two predictions with a smaller ratio are taken as equal, and then a straight line is easier to
read."""


@dataclass(frozen=True)
class Choice:
    """A schedule and the reason it was taken; for a batch perhaps of how many sequences.

    ``block`` says how numbers stand in registers.
    """

    name: str
    batch: bool | int
    reason: str
    block: Block = SINGLE

    @property
    def sequences(self) -> int | None:
        """How many sequences a batch mostly has, if that was said."""
        return None if isinstance(self.batch, bool) else self.batch


def choose(
    net: Network,
    programs: Mapping[str, Program],
    batch: bool | int,
    schedule: str = "auto",
    dtype: str = "float64",
    block: Block = SINGLE,
) -> Choice:
    """The schedule for a network and the Programs of an algorithm, before they are laid out.

    Times are those of an epochwise step; the other algorithms' steps are made of the same parts.
    ``block`` says how numbers stand in registers, and so whether signals are looked up there.

    Raises
    ------
    ProgramError
        For a name that is no schedule, or for straight-line code that would take longer than
        :data:`ASKED` to compile.
    """
    if schedule not in NAMES:
        raise ProgramError(f"schedule: expected one of {', '.join(NAMES)}, got {schedule!r}")
    counts = counted(net)
    lines = straight_lines(programs)
    seconds = compile_seconds(lines)
    if schedule == "unrolled" and seconds > ASKED:
        raise ProgramError(
            f"schedule 'unrolled': {sum(lines)} statements would take the compiler about "
            f"{seconds:,.0f} s, more than {ASKED:g}; use 'tables'"
        )
    by_page = block == MANY and not batch
    times = {
        "tables": predicted(counts, "pages" if by_page else "tables", bool(batch), dtype),
        "unrolled": predicted(counts, "unrolled", bool(batch), dtype),
    }
    said = (
        f"of {net.wiring.size} connections and {counts['calls']} functions a step, predicted "
        f"{times['unrolled']:,.0f} ns as a straight line and {times['tables']:,.0f} ns by tables"
    )
    if seconds > COMPILED:
        said += f"; a straight line would take the compiler about {seconds:,.0f} s"
        del times["unrolled"]
    if schedule != "auto":
        return Choice(schedule, batch, f"asked for; {said}", block)
    return Choice(least(times), batch, said, block)


def least(times: Mapping[str, float]) -> str:
    """The schedule with the least time; the straight line, if it is there, where they are alike."""
    straight = times.get("unrolled", float("inf"))
    return "unrolled" if straight <= ALIKE * times["tables"] else "tables"


def scheduled(program: Program, choice: Choice, itemsize: int, page: int | None = None) -> Program:
    """``program`` laid out as chosen; in pages of so many numbers if that is said."""
    program = replace(program, itemsize=itemsize)
    if choice.name == "unrolled":
        laid_out = unrolled(program)
    else:
        laid_out = tables(program, bool(choice.batch), choice.block, page)
    return lanes(laid_out, choice.sequences, choice.block) if choice.batch else laid_out
