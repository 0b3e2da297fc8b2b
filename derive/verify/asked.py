"""What a command line asks to have verified, and the reports that answer it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from derive.errors import RecordError
from derive.verify.report import Report

if TYPE_CHECKING:
    from derive.verify.shrink import Asking

OWN = {"algorithm": "--algorithm", "options": "-o", "dtype": "--dtype", "schedule": "--schedule",
       "plant": "--plant", "shrink": "--shrink"}  # fmt: skip
"""What a module's record says, or what needs Programs to change."""


@dataclass(frozen=True)
class Asked:
    """The arguments of ``derive verify``; ``given`` names those that were typed."""

    target: Path | None
    plant: str | None
    seed: int
    only: tuple[str, ...]
    trust: bool
    count: int | None
    shrink: Path | None
    algorithm: str | None
    options: tuple[str, ...]
    dtype: str
    schedule: str
    given: frozenset[str]


def reports(asked: Asked, tell: Callable[[str], None]) -> Iterator[Report]:
    """The reports that were asked for, one after the other.

    Raises
    ------
    RecordError
        When what was asked does not go together.
    """
    from derive.options import read_options
    from derive.verify.ask import checked_rungs
    from derive.verify.record import is_module
    from derive.verify.searching import Search, search
    from derive.verify.shrink import Asking, checked_folder

    if (asked.target is None) == (asked.count is None):
        raise RecordError("verify: give a spec, or an emitted module, or --random N")
    if asked.target is not None and is_module(asked.target):
        yield _of_module(asked, tell)
        return
    if asked.trust:
        raise RecordError("verify: --trust is for emitted modules; a spec is data")
    folder = checked_folder(asked.shrink or Path())
    asking = Asking(asked.seed, asked.dtype, asked.schedule, asked.plant)
    if asked.count is not None:
        chosen = Search(
            asking, asked.algorithm, read_options(asked.options), checked_rungs(asked.only), folder
        )
        yield from search(chosen, asked.count, tell)
        return
    yield from _of_spec(asked, asking, tell)


def _of_module(asked: Asked, tell: Callable[[str], None]) -> Report:
    from derive.verify.emitted import verify_module

    assert asked.target is not None
    for name, option in OWN.items():
        if name in asked.given:
            raise RecordError(
                f"{asked.target}: a module says itself what it is of; leave {option} out, or "
                "verify its spec"
            )
    return verify_module(
        asked.target, seed=asked.seed, trust=asked.trust, only=asked.only or None, progress=tell
    )


def _of_spec(asked: Asked, asking: Asking, tell: Callable[[str], None]) -> Iterator[Report]:
    """The report of a spec, and of the smallest network that fails if that was asked for."""
    from derive.kernel import as_network
    from derive.options import read_options
    from derive.program.algorithms import settle
    from derive.verify.ask import checked_rungs
    from derive.verify.searching import minimal

    assert asked.target is not None
    net = as_network(asked.target)
    settled = settle(net, asked.algorithm, read_options(asked.options))
    report = asking.report(asked.target, settled, asked.only or None, tell)
    yield report
    if asked.shrink is not None and not report.ok:
        only = checked_rungs(asked.only)
        yield minimal(net, settled, report, asking, only, asked.shrink, tell)
