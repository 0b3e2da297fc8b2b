"""Faulty gradients on the user's numbers: what each known mistake would have given.

They are made cheap ones first. What a search may cost is counted in statements run, not in
seconds, so that a report depends on its arguments alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from derive.gradient_check.problem import Algorithm, Problem, cost
from derive.verify.faults import FAULTS

Floats = Any

STATEMENTS = 1_000_000
"""Statements that a search for a mistake may run."""

CORE = ("transpose_weight", "shift_time", "late_error", "flat_partial", "late_partial",
        "forward_order", "forget_delay", "drop_carry")  # fmt: skip
"""Faults of one sweep back that good numbers must be able to show."""

WINDOWED = ("drop_boundary", "drop_seed_boundary", "edge_error_twice", "edge_error_lost",
            "lost_remainder")  # fmt: skip

SAME = {"ignore_mask": "mask_ignored", "ignore_last_mask": "mask_ignored_last",
        "forget_forcing": "forcing_forgotten"}  # fmt: skip
"""Faults that, for most objectives, other arguments or another algorithm give as well."""

OF_WINDOWS = {"double_count", *WINDOWED, "chunked", "swap_windows"}
"""Faults that are looked for in the algorithm asked for, and with windows of every length."""

OF_EACH_STEP = ("reversed_product", "cut_early", "forward_order")
"""Faults that one sweep for each step makes other than one sweep for all."""


@dataclass(frozen=True, eq=False)
class Variant:
    """What a mistake gives.

    ``words`` says which of its forms this is: ``BPTT(h = 3)``.
    """

    key: str
    words: str
    gradient: Floats


@dataclass(eq=False)
class Budget:
    """Statements still allowed."""

    left: int
    skipped: bool = False

    def affords(self, cost: int) -> bool:
        """Whether so much may be spent; if so it is."""
        if cost > self.left:
            self.skipped = True
            return False
        self.left -= cost
        return True


def core(problem: Problem, budget: Budget) -> Iterator[Variant]:
    """The mistakes that any good choice of numbers can show, where the network can have them."""
    if _is_approximate(problem) or problem.steps == 1:
        return
    algorithm = problem.asking("epochwise")
    for fault in CORE:
        if budget.affords(cost(problem, algorithm)):
            yield from _of(problem, fault, "", algorithm, fault)
    short = problem.asking("truncated", h=1)
    if budget.affords(cost(problem, short)):
        yield from _plain(problem, "truncated", short, "BPTT(h = 1)")


def variants(problem: Problem, budget: Budget) -> Iterator[Variant]:
    """Every known mistake that needs a run of its own, on these numbers."""
    yield from core(problem, budget)
    yield from _arguments(problem, budget)
    yield from _sequences(problem)
    yield from _forcing(problem, budget)
    yield from _planted(problem, budget)
    yield from _truncated(problem, budget)
    yield from _windows(problem, budget)


# --- other arguments ----------------------------------------------------------------------------


def _arguments(problem: Problem, budget: Budget) -> Iterator[Variant]:
    """Masks ignored, errors left out, targets of another step."""
    mask, target = problem.mask, problem.target
    ones = np.ones_like(mask)
    last, first = ones.copy(), ones.copy()
    last[-1], first[:-1] = 0.0, 0.0
    at_end = mask.copy()
    at_end[-1] = 1.0
    found = {
        "mask_ignored": replace(problem, mask=ones),
        "mask_ignored_last": replace(problem, mask=at_end),
        "last_error_lost": replace(problem, mask=mask * last),
        "only_last_error": replace(problem, mask=mask * first),
        "next_target": replace(problem, target=np.roll(target, -1, axis=0), mask=mask * last),
        "previous_target": replace(problem, target=np.roll(target, 1, axis=0),
                                   mask=mask * np.flip(last, axis=0)),
    }  # fmt: skip
    for key, other in found.items():
        same = np.array_equal(other.mask, mask) and np.array_equal(other.target, target)
        if not same and np.any(other.mask) and budget.affords(cost(problem, problem.algorithm)):
            yield from _plain(other, key, problem.algorithm)


def _sequences(problem: Problem) -> Iterator[Variant]:
    """Each sequence of a batch alone."""
    each = problem.right[1].shape[1]
    for b in range(each if each > 1 else 0):
        words = f"sequence {b} of {problem.sequences}"
        yield Variant("one_sequence", words, problem.right[1][:, b])


def _forcing(problem: Problem, budget: Budget) -> Iterator[Variant]:
    forced = bool(problem.algorithm.get("teacher_forcing", False))
    other = problem.asking("epochwise", teacher_forcing=not forced)
    if budget.affords(cost(problem, other)):
        yield from _plain(problem, "forcing_forgotten" if forced else "forcing_applied", other)


# --- planted faults -----------------------------------------------------------------------------


def _planted(problem: Problem, budget: Budget) -> Iterator[Variant]:
    """Every fault, in the algorithm asked for and in those that should give the same."""
    bases = [problem.algorithm]
    bases += [problem.asking(name) for name in ("epochwise", "rtrl", "realtime")]
    seen: list[Algorithm] = []
    for base in bases:
        if base in seen or (seen and _is_approximate(problem)):
            continue
        for fault in FAULTS:
            done = fault in CORE and base["name"] == "epochwise"
            if done or (seen and fault in OF_WINDOWS):
                continue
            if seen and base["name"] == "realtime" and fault not in OF_EACH_STEP:
                continue
            if budget.affords(cost(problem, base)):
                yield from _of(problem, SAME.get(fault, fault), "", base, fault)
        seen.append(base)


def _is_approximate(problem: Problem) -> bool:
    """Whether the algorithm asked for need not give the gradient of J^total."""
    name = problem.algorithm["name"]
    return name == "truncated" or "groups" in problem.algorithm


# --- windows ------------------------------------------------------------------------------------


def _truncated(problem: Problem, budget: Budget) -> Iterator[Variant]:
    """BPTT(h) for every h, then BPTT(h; h′); the exact gradient where a truncated one is asked."""
    asked, T = problem.algorithm, problem.steps
    key = "not_truncated" if asked["name"] == "truncated" else "truncated"
    if key == "not_truncated":
        yield from _plain(problem, key, problem.asking("epochwise"), "the exact gradient")
    pairs = [(h, 1) for h in range(1, T)] + [(h, h) for h in range(2, T)]
    pairs += [(h, n) for h in range(3, T) for n in range(2, h)]
    for h, newest in pairs:
        algorithm = problem.asking("truncated", h=h, h_prime=newest)
        if algorithm == asked or not budget.affords(cost(problem, algorithm)):
            continue
        words = f"BPTT(h = {h})" if newest == 1 else f"BPTT(h = {h}; h′ = {newest})"
        yield from _plain(problem, key, algorithm, words)


def _windows(problem: Problem, budget: Budget) -> Iterator[Variant]:
    """Mistakes at the edges of windows of every length."""
    if _is_approximate(problem):
        h = problem.algorithm.get("h", 0)
        for base in (problem.asking("truncated", h=h),) if h else ():
            if budget.affords(cost(problem, base)):
                yield from _of(problem, "chunked", f"h = {h}", base, "chunked")
        return
    for h in range(1, problem.steps):
        base = problem.asking("hybrid", h=h)
        for fault in WINDOWED:
            # Where every step is a window of its own, these are other mistakes.
            if h == 1 and fault not in ("drop_boundary", "drop_seed_boundary"):
                continue
            if budget.affords(cost(problem, base)):
                yield from _of(problem, fault, f"windows of h = {h}", base, fault)
        base = problem.asking("truncated", h=h)
        if h > 1 and budget.affords(cost(problem, base)):
            yield from _of(problem, "chunked", f"h = {h}", base, "chunked")


def _plain(problem: Problem, key: str, algorithm: Algorithm, words: str = "") -> Iterator[Variant]:
    gradient = problem.gradient(algorithm)
    if np.isfinite(gradient).all() and np.any(gradient):
        yield Variant(key, words, gradient)


def _of(
    problem: Problem, key: str, words: str, algorithm: Algorithm, fault: str
) -> Iterator[Variant]:
    try:
        gradient = problem.gradient(algorithm, fault)
    except IndexError:  # a faulty Program may reach beyond what it was given
        return
    if gradient is None or not np.isfinite(gradient).all():
        return
    if fault == "flip_sign" and np.allclose(gradient, -problem.right[1].sum(axis=-1)):
        return  # a sign, and called so
    # What gives nothing at all is told apart by nothing; one mistake is known for it.
    if np.any(gradient) or key == "drop_direct":
        yield Variant(key, words, gradient)
