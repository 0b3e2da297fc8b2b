"""What can be chosen about an algorithm, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from derive.errors import DerivationError

EVERY = frozenset({"name", "teacher_forcing", "accumulate"})


@dataclass(frozen=True)
class Options:
    """An algorithm's options; a window's length may stay a letter.

    Attributes
    ----------
    h : int or None
        How many steps go into one gradient.
    h_prime : int
        How many steps lie between two gradients.
    groups : tuple of tuple of int, or None
        Groups of units within which sensitivities are kept.
    forced : bool
        Whether an output that has a target goes on as its target.
    """

    h: int | None = None
    h_prime: int = 1
    groups: tuple[tuple[int, ...], ...] | None = None
    forced: bool = False


def options_of(
    algorithm: str, given: Mapping[str, Any] | None, known: frozenset[str], units: int
) -> Options:
    """Read the options that an algorithm has.

    Raises
    ------
    DerivationError
        For one that it has not, or a value that cannot be.
    """
    given = dict(given or {})
    for name in given:
        if name not in known | EVERY:
            had = ", ".join(sorted((known | EVERY) - {"name"}))
            raise DerivationError(
                f"algorithm {algorithm!r} has no option {name!r}; its options are {had}"
            )
    h, h_prime = given.get("h"), given.get("h_prime", 1)
    for name, value in (("h", h), ("h_prime", h_prime)):
        whole = isinstance(value, int) and not isinstance(value, bool) and value > 0
        if not whole and not (name == "h" and value is None):
            raise DerivationError(
                f"algorithm {algorithm!r}: {name} must be a whole number of steps, at least 1, "
                f"not {value!r}"
            )
    if h is not None and h_prime > h:
        raise DerivationError(
            f"algorithm {algorithm!r}: h_prime must be at most h = {h}, not {h_prime}"
        )
    groups = given.get("groups")
    if groups is not None:
        groups = tuple(tuple(int(k) for k in group) for group in groups)
        if sorted(k for group in groups for k in group) != list(range(units)):
            raise DerivationError(
                f"algorithm {algorithm!r}: groups must have every unit 0…{units - 1} once, "
                f"not {groups!r}"
            )
    return Options(h, h_prime, groups, bool(given.get("teacher_forcing", False)))
