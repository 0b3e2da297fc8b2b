"""A unit computed in parts, where some of its net inputs wait for other units of the same step.

Each part has the equations whose net inputs have been gathered by then. What a later part needs of
it (an intermediate, a function value) is one more thing that it computes, and a *link* of the later
part; that part's ordered derivatives flow back along it as along a connection of weight 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sympy import Symbol

from derive.calculus.partials import LocalSystem


def parts_of(
    local: LocalSystem, stages: Mapping[Symbol, int], least: int = 0
) -> list[tuple[int, LocalSystem]]:
    """A cell's equations by stage, in order.

    Parameters
    ----------
    stages : mapping of Symbol to int
        When each net input can be gathered.
    least : int
        The stage of what depends on no net input.
    """
    stage: dict[Symbol, int] = dict(stages)
    for e in local.equations:
        here = [stage[v] for v in e.expr.free_symbols if v in stage]
        stage[e.symbol] = max([least, *here])
    when = sorted({stage[e.symbol] for e in local.equations} | set(stages.values()))
    if len(when) <= 1:
        return [(when[0] if when else least, local)]
    found: list[tuple[int, LocalSystem]] = []
    later_reads: set[Symbol] = set()
    for at in reversed(when):
        part = _part(local, stage, at, later_reads)
        later_reads |= set(part.links)
        found.append((at, part))
    return found[::-1]


def _part(
    local: LocalSystem, stage: Mapping[Symbol, int], at: int, later_reads: set[Symbol]
) -> LocalSystem:
    equations = tuple(e for e in local.equations if stage[e.symbol] == at)
    of = {e.symbol for e in equations}
    net_inputs = tuple(s for s in local.net_inputs if stage[s] == at)
    partials = tuple(p for p in local.partials if p.of in of or p.of in net_inputs)
    read = set().union(*(e.expr.free_symbols for e in equations))
    read |= set().union(*(p.found.free_symbols for p in partials))
    inner = {e.symbol for e in local.equations} - set(local.new)
    gains = tuple(p.found for p in partials if p.of in net_inputs)
    # A net input that an equation of a later part reads again is one more thing to hand on.
    handed = [v for v in (*local.net_inputs, *inner_in_order(local)) if stage[v] == at]
    return replace(
        local,
        net_inputs=net_inputs,
        parameters=tuple(p for p in local.parameters if p in read),
        fixed=tuple(p for p in local.fixed if p in read),
        equations=equations,
        partials=partials,
        computed=(
            *(v for v in handed if v in later_reads),
            *(z for z in local.new if z in of),
        ),
        links=tuple(
            v
            for v in (*local.net_inputs, *inner_in_order(local))
            if v in read and stage[v] < at and (v in inner or v in local.net_inputs)
        ),
        gains=gains,
    )


def inner_in_order(local: LocalSystem) -> tuple[Symbol, ...]:
    """What is computed on the way, in order."""
    return tuple(e.symbol for e in local.equations if e.symbol not in local.new)
