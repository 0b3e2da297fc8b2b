"""What indices are at each turn of loops whose bounds are known, all at once."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from derive.program.ir import Index, Least, Lookup, Loop, Most, Plus, Quotient, Times, Var


def turns_of(
    tables: Mapping[str, Any], loops: tuple[Loop, ...]
) -> tuple[dict[str, Any], int] | None:
    """The counters of loops at each of their turns, and how many turns; None if not known."""
    env: dict[str, Any] = {}
    count = 1
    for loop in loops:
        start, stop = (values(tables, i, env, count) for i in (loop.start, loop.stop))
        if start is None or stop is None:
            return None
        lengths = np.maximum(stop - start, 0)
        env = {v: np.repeat(at, lengths) for v, at in env.items()}
        before = np.repeat(np.cumsum(lengths) - lengths, lengths)
        env[loop.var] = np.arange(int(lengths.sum())) - before + np.repeat(start, lengths)
        count = int(lengths.sum())
    return env, count


def values_at(tables: Mapping[str, Any], loops: tuple[Loop, ...], index: Index) -> Any:
    """The values an index takes over all turns of loops, in order; None if not known."""
    found = turns_of(tables, loops)
    return None if found is None else values(tables, index, *found)


def values(tables: Mapping[str, Any], index: Index, env: Mapping[str, Any], count: int) -> Any:
    """An index for each value of the counters in it; None if one is not known."""
    match index:
        case int():
            return np.full(count, index, dtype=np.int64)
        case Var(name):
            return env.get(name)
        case Lookup(table, at):
            inside = values(tables, at, env, count)
            return None if inside is None else tables[table][inside].astype(np.int64)
        case (
            Plus(left, right)
            | Times(left, right)
            | Quotient(left, right)
            | Least(left, right)
            | Most(left, right)
        ):
            a, b = (values(tables, i, env, count) for i in (left, right))
            return None if a is None or b is None else OF_TWO[type(index)](a, b)
    return None


OF_TWO: dict[type, Callable[[Any, Any], Any]] = {
    Plus: operator.add, Times: operator.mul, Quotient: operator.floordiv,
    Least: np.minimum, Most: np.maximum,
}  # fmt: skip
