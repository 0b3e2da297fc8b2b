"""Random networks verified one after the other; one that fails is shrunk and kept as a spec."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from derive.errors import CacheError, DeriveError, ProgramError
from derive.network.network import Network
from derive.program.algorithms import programs
from derive.verify.ask import NothingClaimed
from derive.verify.environment import command, environment
from derive.verify.faults import FAULTS, plant
from derive.verify.forms import words
from derive.verify.random_networks import draw_algorithm, draw_network
from derive.verify.report import Claim, Report
from derive.verify.shrink import Asking, Fails, save_shrunk, shrink, still_fails

NO_PLACE = 40
"""Networks drawn at most for each of which there is something to claim: a fault may have no place,
and a rung may say nothing of an algorithm."""

NAME = "can be verified"

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Search:
    """What is drawn, and how it is asked.

    Attributes
    ----------
    asking : Asking
        Its seed is that of the first network.
    algorithm : str or None
        Drawn for each if None.
    options : mapping
        Of the algorithm, drawn where they are not given.
    only : tuple of str or None
        Rungs.
    folder : pathlib.Path
        Where a minimal network is saved.
    """

    asking: Asking
    algorithm: str | None
    options: Mapping[str, Any]
    only: tuple[str, ...] | None
    folder: Path

    def of(self, seed: int) -> tuple[Network, dict[str, Any], Asking]:
        """The network of a seed with its algorithm, and the same seed for what is drawn on it."""
        net = draw_network(seed)
        algorithm = draw_algorithm(net, seed, self.algorithm, self.options)
        return net, algorithm, replace(self.asking, seed=seed)


def search(asked: Search, count: int, tell: Tell) -> Iterator[Report]:
    """A report of each network, and after one that fails that of the smallest that still does.

    Raises
    ------
    ProgramError
        For an unknown fault, or one that has no place in any network that was drawn.
    """
    fault = asked.asking.plant
    if fault is not None and fault not in FAULTS:
        raise ProgramError(f"plant: unknown fault {fault!r}; there are {', '.join(FAULTS)}")
    first, done = asked.asking.seed, 0
    for seed in range(first, first + count * NO_PLACE):
        net, algorithm, asking = asked.of(seed)
        if fault is not None and not has_place(net, algorithm, fault):
            continue

        def said(text: str, number: int = done + 1) -> None:
            tell(f"network {number} of {count}: {text}")

        try:
            report = verified(net, algorithm, asking, asked.only, said)
        except NothingClaimed:
            continue
        done += 1
        again = _drawn_again(asked, seed)
        yield replace(report, command=again, seeds={"network": seed, "arguments": seed})
        if not report.ok:
            yield minimal(net, algorithm, report, asking, asked.only, asked.folder, said)
        if done == count:
            return
    what = f"{fault!r} has a place" if fault is not None else f"{asked.only} claims anything"
    raise ProgramError(
        f"verify: {what} in {done} of {count * NO_PLACE} networks drawn; {count} were asked for"
    )


def has_place(net: Network, algorithm: Mapping[str, Any], fault: str) -> bool:
    """Whether a fault can be planted in a network's Programs."""
    if algorithm["name"] == "settling":
        from derive.verify.held import plant as in_a_step

        return in_a_step(programs(net, algorithm), fault, net) is not None
    return plant(programs(net, algorithm), fault, net) is not None


def _drawn_again(asked: Search, seed: int) -> str:
    chosen = {} if asked.algorithm is None else {"name": asked.algorithm}
    text = command("--random", {**chosen, **asked.options}, seed=seed, dtype=asked.asking.dtype,
                   schedule=asked.asking.schedule, plant=asked.asking.plant,
                   only=asked.only)  # fmt: skip
    return text.replace("--random", "--random 1", 1)


def verified(
    net: Network,
    algorithm: Mapping[str, Any],
    asking: Asking,
    only: tuple[str, ...] | None,
    tell: Tell | None = None,
) -> Report:
    """The report of a network; an error where there should be none is a claim that fails."""
    try:
        return asking.report(net, algorithm, only, tell)
    except (CacheError, NothingClaimed):  # no matter of the network
        raise
    except (DeriveError, ArithmeticError, AttributeError, AssertionError, LookupError,
            RuntimeError, TypeError, ValueError) as error:  # fmt: skip
        told = f"{type(error).__name__}: {error}"
        claim = Claim(NAME, "a network that was drawn", None, None, False, told, rung="random")
        how = f"{words(algorithm)}, {asking.schedule}, {asking.dtype}"
        return Report(net.name, how, (claim,), environment())


def minimal(
    net: Network,
    algorithm: Mapping[str, Any],
    report: Report,
    asking: Asking,
    only: tuple[str, ...] | None,
    folder: Path,
    tell: Tell,
) -> Report:
    """The report of the smallest network on which what failed still does; it is saved as a spec.

    Its last claim says from what it was shrunk, and where it is kept.
    """
    shrunk = shrink(net, algorithm, _fails(report, asking, only), tell=tell)
    fault = asking.plant or report.failed[0].rung
    path, again = save_shrunk(shrunk, fault, folder, asking, only)
    small, w = shrunk.net, shrunk.net.wiring
    told = (
        f"{small.units} of {net.units} units, {small.inputs} of {net.inputs} input lines, "
        f"{w.size} of {net.wiring.size} connections, delays up to {w.longest_delay} of "
        f"{net.wiring.longest_delay}, {shrunk.tries} networks tried; saved as {path}"
    )
    found = verified(small, shrunk.algorithm, asking, only, tell)
    kept = Claim("smallest that fails", "shrunk", None, None, True, told, rung="random")
    return replace(
        found, network=f"{found.network}, shrunk", claims=(*found.claims, kept), command=again,
        seeds={"arguments": asking.seed},
    )  # fmt: skip


def _fails(report: Report, asking: Asking, only: tuple[str, ...] | None) -> Fails:
    """The quick check again; for an error, that there is one of the same kind."""
    if report.failed[0].name != NAME:
        return still_fails(report, asking)
    kind = report.failed[0].detail.partition(":")[0]

    def fails(net: Network, algorithm: Mapping[str, Any]) -> bool:
        again = verified(net, algorithm, asking, only)
        return any(c.name == NAME and c.detail.startswith(f"{kind}:") for c in again.failed)

    return fails
