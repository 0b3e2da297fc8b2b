"""The ladder of evidence: what is claimed of a kernel, and how each claim is re-established.

ask          what is asked of a verification
settled      the ladder for nets that settle
held           what is proved of one step of theirs, forward and back
sequences    the ladder for algorithms that give gradients over time
forms          what each of them claims to give, and when
induction    the derived equations, for every number of units and steps
proof        scheduled Programs on symbols − sympy.diff of the unrolled objective = 0
expectation    the symbols, the runs, and when two expressions are equal
references     the other side: what is differentiated, and what is constant
unrolling      the network written out over time from what was stated
differentials  the derivative of what is defined step by step
normal         Programs run on polynomials of atoms
polynomials    whether an expression is exactly zero
witness        the small network, and the short windows, that stand for large ones
online_runs    steps one after the other, on any arithmetic
rounding     a kernel against 50 digits
samples        arguments on which a mistake shows
stated         the network as stated, in NumPy
kernels        a kernel as a user calls it
differences  its gradient against differences of the forward pass
agreement    steps with the sequence, algorithms with one another
paths          whether an approximation leaves anything out
controls     that every fault planted in the Programs is caught
faults         mistakes someone could make
report       the table of claims
record       what an emitted module says of itself
environment  what a report was made with, and the command that makes it again
emitted      a module judged from its own text
random_networks  networks nobody chose
searching    random networks verified, one after the other
shrink       a network that fails, made as small as it goes
smaller      a network taken apart, and what can be left out
worst        where the worst error is, in the words of the network
single       a module over a batch as one over a sequence
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

from derive.verify.report import Claim, Report

__all__ = ["Claim", "Report", "verify"]

SEQUENCES = "derive.verify.sequences"

LADDERS: dict[str, str] = {"settling": "derive.verify.settled"}
"""Algorithms whose claims are not of gradients over time, and the module with their ``claims``."""


def verify(
    net_or_spec: Any,
    algorithm: str | None = None,
    *,
    schedule: str = "auto",
    dtype: str = "float64",
    seed: int = 0,
    plant: str | None = None,
    kernel: Any = None,
    progress: Callable[[str], None] | None = None,
    only: Iterable[str] | None = None,
    **options: Any,
) -> Report:
    """Re-establish every claim about a network's kernel.

    Parameters
    ----------
    net_or_spec : Network, dict or path of a spec
    algorithm : str, optional
        ``"epochwise"``, ``"realtime"``, ``"truncated"``, ``"rtrl"``, ``"hybrid"`` or
        ``"settling"``; that of the kernel if one is given, else the one the spec names.
    schedule : {"auto", "unrolled", "tables"}
        The schedule that is proved and compiled.
    dtype : {"float64", "float32"}
        Of the kernel.
    seed : int
        For the arguments that are drawn.
    plant : str, optional
        Verify Programs with this fault in them instead: the report must fail. One of
        ``derive.verify.faults.FAULTS``.
    kernel : Kernel, optional
        What to check instead of compiling; without a batch axis.
    progress : callable, optional
        Told in a few words what begins.
    only : sequence of str, optional
        The rungs to climb, of ``derive.verify.ask.RUNGS``; all if not given.
    **options
        The algorithm's own, as for :func:`derive.compile`.

    Returns
    -------
    Report
        ``report.ok``, ``print(report)``, ``report.to_dict()``.

    Raises
    ------
    NetworkError, DerivationError, ProgramError, BuildError
        As :func:`derive.compile` does; ProgramError also for an unknown fault, one that has no
        place in this network's Programs, an unknown rung or one that claims nothing here, or a
        kernel of another algorithm than the one asked for.

    Examples
    --------
    >>> print(derive.verify(net, algorithm="hybrid", h=16))
    """
    from derive.errors import ProgramError
    from derive.kernel import as_network
    from derive.program.algorithms import settle
    from derive.program.schedules.lanes import laid_out
    from derive.verify.ask import Ask, NothingClaimed, checked_rungs, silent
    from derive.verify.environment import command, environment
    from derive.verify.forms import words

    net = as_network(net_or_spec)
    if kernel is not None and algorithm is None and not options:
        settled = dict(kernel.algorithm)
    else:
        settled = settle(net, algorithm, options)
    if kernel is not None:
        schedule, _ = laid_out(kernel.schedule)
        dtype = str(kernel.dtype)
        if kernel.batch:
            raise ProgramError("verify: the kernel has a batch axis; give one with batch=False")
        if dict(kernel.algorithm) != settled:
            raise ProgramError(
                f"verify: the kernel is of {words(kernel.algorithm)}, not of {words(settled)}"
            )
    ladder = importlib.import_module(LADDERS.get(settled["name"], SEQUENCES))
    rungs = checked_rungs(only)
    ask = Ask(schedule, dtype, seed, plant, kernel, progress or silent, rungs)
    claims = ladder.claims(net, settled, ask)
    if rungs and not claims:
        raise NothingClaimed(
            f"only: {', '.join(rungs)} claims nothing of {words(settled)} on {net.name}; ask for "
            "another rung, or for all"
        )
    name = net.name if plant is None else f"{net.name} with {plant!r} planted"
    how = getattr(kernel, "schedule", schedule)
    target = net_or_spec if isinstance(net_or_spec, (str, os.PathLike)) else net
    again = command(
        target, settled, seed=seed, dtype=dtype, schedule=schedule, plant=plant, only=rungs
    )  # fmt: skip
    return Report(
        name, f"{words(settled)}, {how}, {dtype}", claims, environment(), {"arguments": seed}, again
    )


class _Callable(ModuleType):
    """``derive.verify`` is this package and the function of the same name."""

    def __call__(self, *args: Any, **keywords: Any) -> Report:
        return verify(*args, **keywords)


sys.modules[__name__].__class__ = _Callable
