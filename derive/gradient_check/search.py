"""What known mistake a wrong gradient shows, and what these numbers could not have shown."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from derive.gradient_check import arrays, matching, variants
from derive.gradient_check.matching import Tested
from derive.gradient_check.mistakes import known
from derive.gradient_check.problem import Problem
from derive.gradient_check.report import Mistake
from derive.gradient_check.variants import Budget, Variant
from derive.network.network import Network

Floats = Any

CORE_STATEMENTS = 200_000
"""Statements that may be run to see what the numbers could show."""

LARGE = "net and run are large: not every known mistake was tried, nor every window length"
ADVICE = "draw random unsymmetric weights, nonzero inputs and T ≥ 3"


_LAST: WeakKeyDictionary[Network, tuple[str, list[Variant], bool]] = WeakKeyDictionary()
"""For each network the gradients of all mistakes on the numbers it was last asked about with."""


def mistakes(
    tested: Tested, problem: Problem | None, scale: float, shape: tuple[int, ...]
) -> tuple[tuple[Mistake, ...], tuple[str, ...]]:
    """Known mistakes that give the gradient under test, and a note where not all were tried."""
    maps = arrays.of_shape(shape) if problem is None else arrays.of_net(problem.net)
    found = [*matching.of_scale(tested), *matching.of_arrays(tested, maps)]
    if problem is None:
        told = "mistakes in the recursion are tried with net= only" if not found else ""
        return matching.distinct(found), (told,) if told else ()
    gradients, skipped = _tried(problem)
    tried = [replace(v, gradient=scale * v.gradient) for v in gradients]
    found += matching.of_variants(tested, tried)
    if not found:
        found += matching.of_both(tested, tried, maps)
    return matching.distinct(found), (LARGE,) if skipped else ()


def _tried(problem: Problem) -> tuple[list[Variant], bool]:
    """What every mistake gives, and whether some were left out; kept for the next question.

    It does not depend on the function under test, which is asked about again once it is mended.
    """
    h = hashlib.sha256(repr((sorted(problem.algorithm.items()), variants.STATEMENTS)).encode())
    for array in (problem.theta, problem.x, problem.target, problem.mask, problem.y0):
        h.update(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes())
    key = h.hexdigest()
    known = _LAST.get(problem.net)
    if known is None or known[0] != key:
        budget = Budget(variants.STATEMENTS)
        known = key, list(variants.variants(problem, budget)), budget.skipped
        _LAST[problem.net] = known
    return known[1], known[2]


def blind(tested: Tested, problem: Problem | None, scale: float, seen: dict[str, Any]) -> list[str]:
    """What these numbers cannot tell."""
    found = _plain_reasons(tested, problem, seen)
    if problem is not None and np.any(tested.right):
        same: list[str] = []
        for v in variants.core(problem, Budget(CORE_STATEMENTS)):
            if tested.is_right(scale * v.gradient):
                same.append(_title(v))
        if same:
            listed = "; ".join(dict.fromkeys(same))
            found.append(f"these numbers cannot tell the right gradient from: {listed}: {ADVICE}")
    return found


def _title(v: Variant) -> str:
    return known(v.key).title + (f" ({v.words})" if v.words else "")


def _plain_reasons(tested: Tested, problem: Problem | None, seen: dict[str, Any]) -> list[str]:
    found = []
    if not np.any(tested.right):
        found.append("the right gradient is zero here, so most mistakes give it too: " + ADVICE)
    x = seen.get("x")
    if x is not None and x.ndim and len(x) == 1:
        found.append("T = 1: nothing that takes more than one step can show; take T ≥ 3")
    if x is not None and x.size and not np.any(x):
        found.append("x is zero: weights from input lines cannot show a mistake")
    matrix = seen["theta"] if problem is None else _recurrent(problem)
    if matrix is not None and matrix.ndim == 2:
        n = min(matrix.shape)
        square = matrix[:n, :n]
        if n > 1 and np.array_equal(square, square.T):
            found.append(
                "the weights are symmetric: W cannot be told from its transpose; " + ADVICE
            )
    return found


def _recurrent(problem: Problem) -> Floats | None:
    """The weights between units, where one matrix holds them."""
    net, w = problem.net, problem.net.wiring
    between = w.source < net.units
    pairs = list(zip(w.target[between].tolist(), w.source[between].tolist(), strict=True))
    if len(set(pairs)) < len(pairs) or not pairs:
        return None
    matrix = np.zeros((net.units, net.units))
    rows, columns = np.array(pairs).T
    matrix[rows, columns] = w.all_weights(problem.theta)[w.weight[between]]
    return matrix
