"""What each algorithm over time claims to give: when a gradient comes, and of what it is one.

Everything the rungs must know of an algorithm to check it is here, in four numbers; nothing of
how it computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from derive.errors import DerivationError
from derive.program.algorithms import options_of


@dataclass(frozen=True)
class Form:
    """The form of what an algorithm gives.

    Attributes
    ----------
    period : int or None
        Steps of a window (t₀, t], at whose end ∂J^total(t₀, t)/∂θ is given; None where the whole
        sequence is one window and there is no online form.
    back : int or None
        Signals and states at times ≤ t − back are taken as constants; None: none are.
    groups : tuple of tuples of units, or None
        What one group hears of another is taken as constant in θ; None: nothing is.
    forced : bool
        Teacher forcing.
    room : int or None
        Steps an online run can take; None: any number.
    """

    period: int | None = None
    back: int | None = None
    groups: tuple[tuple[int, ...], ...] | None = None
    forced: bool = False
    room: int | None = None

    def windows(self, steps: int) -> list[tuple[int, int]]:
        """(t₀, t) of each window of a sequence; the last one may not be whole."""
        width = self.period or steps
        return [(first, min(first + width, steps)) for first in range(0, steps, width)]

    def is_exact(self, steps: int) -> bool:
        """Whether the windows' gradients sum to that of J^total over so many steps."""
        whole = self.back is None or self.back >= steps
        return whole and (self.groups is None or len(self.groups) == 1)

    def online(self, steps: int) -> int:
        """Steps of a sequence that an online run can take and that make whole windows."""
        there = steps if self.room is None else min(steps, self.room)
        return 0 if self.period is None else there // self.period * self.period

    @property
    def written(self) -> str:
        """What a step or a window gives, as a claim names it."""
        if self.period == 1:
            return "∂J(t)/∂theta, each step"
        return "∂J^total(t₀,t)/∂theta, each window"


WHOLE = Form()
"""Exact, of a whole sequence that runs free: epochwise backpropagation."""


def form_of(algorithm: Mapping[str, Any]) -> Form:
    """The form of a settled algorithm.

    Raises
    ------
    DerivationError
        For one that gives no gradient over time.
    """
    options = options_of(algorithm)
    forced = bool(options.get("teacher_forcing"))
    match algorithm["name"]:
        case "epochwise":
            return Form(forced=forced)
        case "realtime":
            return Form(1, forced=forced, room=options["capacity"])
        case "truncated":
            return Form(options["h_prime"], options["h"], forced=forced)
        case "rtrl":
            groups = options["groups"]
            kept = None if groups is None else tuple(tuple(g) for g in groups)
            return Form(1, groups=kept, forced=forced)
        case "hybrid":
            return Form(options["h"], forced=forced)
    raise DerivationError(f"verify: what {algorithm['name']!r} gives over time is not stated")


def words(algorithm: Mapping[str, Any]) -> str:
    """An algorithm with its options, for people: ``truncated h=9 h_prime=3``."""
    options = (f"{k}={v}" for k, v in algorithm.items() if k != "name")
    return " ".join([str(algorithm["name"]), *options])
