"""The explanation as text: the schedule and why, what a step counts, what bounds it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from derive.explain.bounds import Step, step_of
from derive.explain.processor import CYCLES, DIVISION, FUNCTIONS, Processor, processor
from derive.network.network import Network
from derive.program.algorithms import programs
from derive.program.schedules import tables, unrolled
from derive.program.schedules.choose import Choice, scheduled
from derive.program.schedules.lanes import laid_out, words

SCHEDULES = {"tables": tables, "unrolled": unrolled}
PASSES = "derive.program.passes."
COUNTED = ("forward", "gradient", "relax", "relax_back")


def explanation(
    net: Network,
    algorithm: Mapping[str, Any],
    dtype: str,
    batch: bool,
    schedule: str,
    reason: str,
    ceilings: Any = None,
) -> str:
    """Why a kernel is laid out as it is, and what bounds it.

    Parameters
    ----------
    schedule, reason : str
        That of the kernel, and what was said when it was made.
    ceilings : path, optional
        Results of ``derive bench``, whose peak is used instead of an assumed one.
    """
    on = processor(ceilings, dtype)
    name, block = laid_out(schedule)
    choice = Choice(name, batch, reason, block)
    stated = programs(net, algorithm)
    itemsize = np.dtype(dtype).itemsize
    found = {name: scheduled(p, choice, itemsize) for name, p in stated.items() if name in COUNTED}
    steps = [step_of(n, stated[n], p, algorithm, dtype, on) for n, p in found.items()]
    grains = {name: p.grains for name, p in found.items()}
    return "\n".join(_lines(choice, dtype, steps, grains, on))


def _lines(
    choice: Choice, dtype: str, steps: list[Step], grains: dict[str, int], on: Processor
) -> Iterator[str]:
    yield f"schedule {words(choice.block) * bool(choice.batch)}{choice.name}: {choice.reason}"
    for name, what in passes(choice.name):
        yield f"  {name}: {what}"
    of = "block of lanes" if choice.batch else "sequence"
    for step in steps:
        yield f"{step.function}, a step of one {of}:"
        if grains[step.function] > 1:
            yield f"  threads: up to {grains[step.function]} do it together"
        yield "  counted: " + ", ".join(f"{n:,.4g} {name}" for name, n in step.counted.items() if n)
        for number, bound in enumerate(step.bounds):
            ns = bound.cycles / on.clock
            least = f"{bound.cycles:,.1f} cycles, {ns:,.1f} ns at {on.clock:.1f} GHz"
            mark = "at least" if not number else "        "
            yield f"  {mark} {least}: {bound.name} ({bound.why})"
        if step.bounds:
            yield f"  bound by: {step.bounds[0].name}"
    yield "assumed: " + "; ".join(on.assumed)
    called = [f for f in FUNCTIONS[dtype] if any(f in s.counted for s in steps)]
    cycles = {**CYCLES, "division": DIVISION[dtype], **{f: FUNCTIONS[dtype][f] for f in called}}
    yield "assumed cycles: " + ", ".join(f"{name} {n}" for name, n in cycles.items())


def passes(schedule: str) -> list[tuple[str, str]]:
    """The passes of a schedule, each with what it does, in the order of its file's imports."""
    found: dict[str, str] = {}
    for value in vars(SCHEDULES[schedule]).values():
        module = getattr(value, "__module__", "") or ""
        if inspect.isfunction(value) and module.startswith(PASSES):
            said = inspect.getdoc(sys.modules[module]) or ""
            found[module.removeprefix(PASSES)] = said.partition("\n")[0].rstrip(".")
    return list(found.items())
