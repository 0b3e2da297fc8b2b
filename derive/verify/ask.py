"""What is asked of a verification, whatever the algorithm."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from derive.blocks import block_for
from derive.build.toolchain import profile
from derive.errors import ProgramError
from derive.network.network import Network
from derive.program.ir import Program
from derive.verify.report import Claim

RUNGS = (
    "induction", "proof", "rounding", "quotients", "agreement", "relaxing", "controls",
)  # fmt: skip
"""The parts of the ladders, each of which can be asked for alone; ``relaxing`` is of settling nets,
``rounding``, ``quotients`` and ``agreement`` of all others."""


class NothingClaimed(ProgramError):
    """The rungs that were asked for claim nothing of a network and algorithm."""


def checked_rungs(only: Iterable[str] | None) -> tuple[str, ...] | None:
    """Names of rungs, each of which there is; None for all.

    Raises
    ------
    ProgramError
        For another name.
    """
    if only is None:
        return None
    names = (only,) if isinstance(only, str) else tuple(only)
    for name in names:
        if name not in RUNGS:
            raise ProgramError(f"only: no rung {name!r}; there are {', '.join(RUNGS)}")
    return names or None


def silent(text: str) -> None:
    """Tell nobody."""


def is_numeric(only: tuple[str, ...] | None) -> bool:
    """Whether rungs run the kernel, and not the Programs alone."""
    return only is None or not set(only) <= {"induction", "proof", "controls"}


@dataclass(frozen=True)
class Ask:
    """How to verify.

    Attributes
    ----------
    schedule, dtype : str
        Of the kernel.
    seed : int
        For the arguments that are drawn.
    plant : str, optional
        A fault to plant: the claims must fail.
    kernel : Kernel, optional
        What to check instead of compiling.
    tell : callable
        Told in a few words what begins.
    only : tuple of str, optional
        The rungs to climb; all if not given.
    """

    schedule: str = "auto"
    dtype: str = "float64"
    seed: int = 0
    plant: str | None = None
    kernel: Any = None
    tell: Callable[[str], None] = silent
    only: tuple[str, ...] | None = None

    def rung(self, name: str, climb: Callable[[], Iterable[Claim]]) -> list[Claim]:
        """The claims of a rung, named for it; none where it is not asked for."""
        if self.only is not None and name not in self.only:
            return []
        return [replace(c, rung=name) for c in climb()]

    @property
    def numeric(self) -> bool:
        """Whether any rung asked for needs numbers of the kernel."""
        return is_numeric(self.only)

    def compiled(self, net: Network, algorithm: Mapping[str, Any]) -> Any:
        """The network's kernel."""
        from derive.kernel import compile

        self.tell("compiling the kernel")
        options = {k: v for k, v in algorithm.items() if k != "name"}
        return compile(net, algorithm["name"], schedule=self.schedule, dtype=self.dtype, **options)


def layout_of(
    net: Network, algorithm: Mapping[str, Any], ask: Ask
) -> Callable[[Mapping[str, Program]], dict[str, Program]]:
    """What lays Programs out in the schedule that ``net``, not its witness, gets.

    Where registers hold pages, the witness's are of few numbers, so that there are several.
    """
    from derive.program.algorithms import programs
    from derive.program.schedules.choose import choose, scheduled
    from derive.program.schedules.tables import PAGES

    itemsize = np.dtype(ask.dtype).itemsize
    block = block_for(profile("local").register, itemsize, False)
    found = programs(net, algorithm)
    choice = choose(net, found, False, ask.schedule, ask.dtype, block)
    page = None
    if block.page and choice.name == "tables":  # else nothing has pages, and nobody need look
        schedules = [ask.kernel.schedule] if ask.kernel is not None else [
            scheduled(p, choice, itemsize).schedule for p in found.values()
        ]  # fmt: skip
        page = PAGE if any(s.startswith(PAGES[block]) for s in schedules) else None
    return lambda of: {k: scheduled(p, choice, 8, page) for k, p in of.items()}


PAGE = 3
"""Numbers of a page in a proof."""
