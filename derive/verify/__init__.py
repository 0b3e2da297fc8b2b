"""The ladder of evidence: what is claimed of a kernel, and how each claim is re-established.

proof       the scheduled Program on symbols − sympy.diff of the unrolled objective = 0
numeric     rounding against 50 digits; the gradient against differences of the forward pass
faults      mistakes planted in the Program, each of which the rungs above must catch
controls    that they do catch them
witness     the small network that stands for a large one in the proof
unrolling   the network written out over time from what was stated: the other side
polynomials whether an expression is exactly zero
report      the table of claims
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from derive.verify.report import Claim, Report

__all__ = ["Claim", "Report", "verify"]


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
    **options: Any,
) -> Report:
    """Re-establish every claim about a network's kernel.

    Parameters
    ----------
    net_or_spec : Network, dict or path of a spec
    algorithm : str, optional
        ``"epochwise"``; the one the spec names if not given.
    schedule : {"auto", "unrolled", "tables"}
        The schedule that is proved and compiled.
    dtype : {"float64", "float32"}
        Of the kernel.
    seed : int
        For the arguments that are drawn.
    plant : str, optional
        Verify a Program with this fault in it instead: the report must fail. One of
        ``derive.verify.faults.FAULTS``.
    kernel : Kernel, optional
        What to check instead of compiling; without a batch axis.
    progress : callable, optional
        Told in a few words what begins.
    **options
        The algorithm's own.

    Returns
    -------
    Report
        ``report.ok``, ``print(report)``, ``report.to_dict()``.

    Raises
    ------
    NetworkError, DerivationError, ProgramError, BuildError
        As :func:`derive.compile` does; ProgramError also for an unknown fault, or one that has
        no place in this network's Programs.
    """
    from derive.errors import ProgramError
    from derive.kernel import as_network
    from derive.kernel import compile as make
    from derive.program.algorithms import programs, settle
    from derive.verify import controls, faults, numeric
    from derive.verify.proof import Expectation, prove
    from derive.verify.witness import witnesses

    tell = progress or (lambda text: None)
    net = as_network(net_or_spec)
    settled = settle(net, algorithm, options)
    if kernel is not None:
        schedule = kernel.schedule.removeprefix("lanes, ")
        dtype = str(kernel.dtype)
        if kernel.batch:
            raise ProgramError("verify: the kernel has a batch axis; give one with batch=False")

    def made(of: Any) -> dict[str, Any]:
        found = programs(of, settled)
        if plant is None:
            return found
        return faults.plant_all(found, plant) or found

    mine = made(net)
    if plant is not None and faults.plant_all(programs(net, settled), plant) is None:
        raise ProgramError(f"plant: {plant!r} has no place in the Programs of {net.name}")
    if plant is not None:
        kernel = _interpreted(net, mine, dtype)
    elif kernel is None:
        tell("compiling the kernel")
        kernel = make(net, settled["name"], schedule=schedule, dtype=dtype, **options)

    found = witnesses(net)
    expectations = [Expectation(w.net, w.steps) for w in found]
    claims: list[Claim] = []
    for i, (w, expectation) in enumerate(zip(found, expectations, strict=True)):
        tell(f"proving on {w.words}")
        several = f"witness {i + 1}: " if len(found) > 1 else ""
        claims += prove(_laid_out(net, made(w.net), schedule), expectation, several)
        claims.append(Claim("proved on", "witness", None, None, True, w.words))
    tell("drawing arguments")
    sample = numeric.draw(net, seed, dtype)
    tell("comparing with 50 digits")
    rounding = numeric.rounding(net, kernel, mine, sample, dtype)
    tell("comparing with difference quotients")
    quotients = (
        numeric.stated_claim(net, kernel, sample, dtype),
        *numeric.quotients(net, kernel, sample, dtype, seed),
        *numeric.complex_step(net, mine["forward"], kernel, sample, dtype),
    )
    control: tuple[Claim, ...] = ()
    if plant is None:
        tell("planting faults")
        right = programs(found[0].net, settled)
        outcome = controls.control(
            right, expectations[0], lambda p: _laid_out(net, p, schedule), seed
        )
        control = (outcome.claim,)
    name = net.name if plant is None else f"{net.name} with {plant!r} planted"
    how = getattr(kernel, "schedule", schedule)
    what = f"{settled['name']}, {how}, {dtype}"
    return Report(name, what, (*claims, *rounding, *quotients, *control))


def _interpreted(net: Any, programs: Mapping[str, Any], dtype: str) -> Any:
    from derive.interpreted import Interpreted

    return Interpreted(net, programs, dtype, False)


def _laid_out(net: Any, programs: Mapping[str, Any], schedule: str) -> dict[str, Any]:
    """The Programs in the schedule that ``net``, not its witness, gets."""
    from derive.program.schedules.choose import Choice, choose, scheduled

    choice = Choice(choose(net, False, schedule).name, False, "as the kernel's")
    return {k: scheduled(p, choice, 8) for k, p in programs.items()}


class _Callable(ModuleType):
    """``derive.verify`` is this package and the function of the same name."""

    def __call__(self, *args: Any, **keywords: Any) -> Report:
        return verify(*args, **keywords)


sys.modules[__name__].__class__ = _Callable
