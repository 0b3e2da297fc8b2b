"""A network that fails, made as small as it goes while it still fails, and saved as a spec.

Greedy: a change that leaves something out (:mod:`derive.verify.smaller`) is kept if what failed
still does, and after each one the smaller network is looked at again, until none helps. How often
it is tried is bounded; what is found is a network of which no *one* thing more can be left out, not
the smallest there is.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from derive.errors import DeriveError, RecordError
from derive.files import write_whole
from derive.network.network import Network
from derive.network.objective import Objective, SquaredError, Term
from derive.network.specfile import dumps
from derive.verify.environment import command
from derive.verify.report import Report
from derive.verify.smaller import CHANGES, Case, case_of, rank_of

MOST_TRIES = 400

CHEAPEST = ("agreement", "quotients", "rounding", "relaxing", "proof", "controls")
"""Rungs in the order of what they cost on a small network whose Programs run on NumPy."""

WITHOUT_COMPILER = ("proof", "controls")
"""Rungs that compile nothing, and so come first where the others would compile each network."""

Fails = Callable[[Network, Mapping[str, Any]], bool]
"""Whether a network with a settled algorithm still fails."""


@dataclass(frozen=True)
class Shrunk:
    """What is left, and how many networks were tried."""

    net: Network
    algorithm: Mapping[str, Any]
    tries: int


def shrink(
    net: Network,
    algorithm: Mapping[str, Any],
    fails: Fails,
    most: int = MOST_TRIES,
    tell: Callable[[str], None] = lambda text: None,
) -> Shrunk:
    """The smallest network found that still fails.

    Parameters
    ----------
    net : Network
        One that fails; populations are taken apart into units.
    algorithm : mapping
        Settled.
    fails : callable
        Whether a network and a settled algorithm fail. An error of ``derive`` counts as no.
    most : int
        Networks that are tried at most.
    tell : callable
        Told what is tried.

    Returns
    -------
    Shrunk
        With ``net`` itself where nothing can be left out.
    """
    best, tries = case_of(net, algorithm), 0
    found: tuple[Network, Mapping[str, Any]] = (net, algorithm)
    seen: set[str] = set()
    changes = deque(CHANGES)
    idle = 0  # changes tried in vain since the last that was not
    while idle < len(changes) and tries < most:
        idle += 1
        for candidate in changes[0](best):
            made = candidate.settled() if measure(candidate) < measure(best) else None
            key = "" if made is None else f"{made[0].digest} {sorted(made[1].items())}"
            if made is None or key in seen or tries >= most:
                continue
            seen.add(key)
            tries += 1
            tell(f"shrinking: {_size(best)}, try {tries}")
            if _still(fails, *made):
                best, found, idle = candidate, made, 0
                break
        else:
            changes.rotate(-1)
    return Shrunk(*found, tries)


def measure(case: Case) -> tuple[int, ...]:
    """How much there is of it; every change that is kept lessens this, so there is an end."""
    options = {k: v for k, v in case.algorithm.items() if k != "name"}
    delays = sum(c.delay for c in case.connections)
    special = sum((c.weight is not None) + (c.fixed is not None) for c in case.connections)
    windows = sum(v for k, v in options.items() if k in ("h", "h_prime"))
    return (
        case.units,
        sum(rank_of(cell) for cell in case.cells),
        len({id(cell) for cell in case.cells}),
        sum(1 + len(t.units or ()) + 2 * (not _is_simple(t)) for t in case.terms),
        case.inputs,
        len(case.connections),
        delays + special + windows,
        len(options) + len(case.parameters),
    )


def _is_simple(term: Term) -> bool:
    """Whether it is the plain squared error."""
    mine = Objective.of([term]).to_spec()
    return term.over == "targets" and mine == SquaredError(list(term.units or ())).to_spec()


def _still(fails: Fails, net: Network, algorithm: Mapping[str, Any]) -> bool:
    try:
        return fails(net, algorithm)
    except DeriveError:
        return False


def _size(case: Case) -> str:
    return f"{case.units} units, {len(case.connections)} connections"


# --- what failed, asked again --------------------------------------------------------------------


@dataclass(frozen=True)
class Asking:
    """How a network was verified, whatever it was."""

    seed: int = 0
    dtype: str = "float64"
    schedule: str = "auto"
    plant: str | None = None

    def report(
        self, net: Any, algorithm: Mapping[str, Any], only: Any = None, tell: Any = None
    ) -> Report:
        """The same asked of a network with a settled algorithm."""
        from derive.verify import verify

        options = {k: v for k, v in algorithm.items() if k != "name"}
        return verify(
            net, algorithm["name"], seed=self.seed, dtype=self.dtype, schedule=self.schedule,
            plant=self.plant, only=only, progress=tell, **options,
        )  # fmt: skip


def still_fails(report: Report, asking: Asking) -> Fails:
    """A quick check whether what failed of a report fails of another network: one rung alone."""
    rung = _cheapest(report, asking.plant is not None)
    wanted = {(c.name, c.method) for c in report.failed if c.rung == rung}

    def fails(net: Network, algorithm: Mapping[str, Any]) -> bool:
        found = asking.report(net, algorithm, (rung,))
        return any((c.name, c.method) in wanted for c in found.failed)

    return fails


def _cheapest(report: Report, planted: bool) -> str:
    order = CHEAPEST if planted else (*WITHOUT_COMPILER, *CHEAPEST)
    failed = {c.rung for c in report.failed}
    return next(rung for rung in order if rung in failed)


# --- and kept ------------------------------------------------------------------------------------


def save_shrunk(
    shrunk: Shrunk,
    fault: str,
    folder: Path,
    asking: Asking,
    only: tuple[str, ...] | None = None,
) -> tuple[Path, str]:
    """Write a minimal network as a spec, and say how to see it fail.

    Parameters
    ----------
    fault : str
        What was planted, or the rung that failed.
    folder : pathlib.Path
        The file in it is named for network, algorithm and fault.

    Returns
    -------
    (Path, str)
        The file, whole or not there at all, and the command.

    Raises
    ------
    OSError
        When it cannot be written.
    """
    words = (shrunk.net.name, shrunk.algorithm["name"], fault)
    path = folder / ("_".join(re.sub(r"\W+", "_", word) for word in words) + ".toml")
    again = command(
        path, shrunk.algorithm, seed=asking.seed, dtype=asking.dtype, schedule=asking.schedule,
        plant=asking.plant, only=only,
    )  # fmt: skip
    spec = {**shrunk.net.to_spec(), "algorithm": dict(shrunk.algorithm)}
    head = f"# The smallest network found on which this fails: {fault}.\n"
    write_whole(path, head + dumps(spec))
    return path, again


def checked_folder(folder: Path) -> Path:
    """A folder to save in, before anything is done.

    Raises
    ------
    RecordError
        When it is none.
    """
    if not folder.is_dir():
        raise RecordError(f"shrink: there is no folder {str(folder)!r}")
    return folder
