"""Verdicts, and how a proof and a refutation are put in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mpmath

from derive.claims.judge import HOLDS, Court, Outcome
from derive.claims.judge import Refutation as Refuted

MOST_NUMBERS = 24
"""That a refutation shows; its network is small."""


@dataclass(frozen=True)
class Verdict:
    """What is to be said of one = of a claim.

    Attributes
    ----------
    text : str
        The two sides as they were typed.
    verdict : str
        ``holds``, ``false``, ``ill-formed`` or ``undecided``.
    because : str
        The proof, the refutation, or the fault.
    reading : str
        How ∂ was read, where that makes a difference.
    nearest : str
        A true statement near a false one, if one was found.
    left, right : float or None
        The values of the two sides where they differ.
    equation : str
        Which equation of the algorithm's own derivation it is, and the rule that gives that; empty
        where it is none.
    place : tuple of int or None
        Where in the text a fault stands, from character to character.
    """

    text: str
    verdict: str
    because: str
    reading: str = ""
    nearest: str = ""
    left: float | None = None
    right: float | None = None
    equation: str = ""
    place: tuple[int, int] | None = None

    def __str__(self) -> str:
        lines = [f"{self.verdict}: {' '.join(self.text.split())}", f"  {self.because}"]
        lines += [f"  {v}" for v in (self.nearest, self.equation) if v]
        return "\n".join(lines)


@dataclass(frozen=True)
class Verdicts:
    """The verdicts on every = of one claim."""

    verdicts: tuple[Verdict, ...]

    @property
    def ok(self) -> bool:
        """Whether every = holds."""
        return all(v.verdict == HOLDS for v in self.verdicts)

    def __iter__(self) -> Any:
        return iter(self.verdicts)

    def __len__(self) -> int:
        return len(self.verdicts)

    def __getitem__(self, i: int) -> Verdict:
        return self.verdicts[i]

    def __str__(self) -> str:
        return "\n".join(map(str, self.verdicts))

    def to_dict(self) -> list[dict[str, Any]]:
        """Plain data for JSON."""
        return [dict(vars(v)) for v in self.verdicts]


def proved(outcome: Outcome, court: Court) -> str:
    witness = outcome.proved
    assert witness is not None
    return (
        f"the difference is exactly 0 for all weights, inputs and targets on {witness.net.units} "
        f"unit{'s' * (witness.net.units > 1)}, {witness.net.inputs} input "
        f"line{'s' * (witness.net.inputs != 1)} and {witness.steps} steps, and 0 as a number on "
        f"{outcome.networks} networks of up to {court.models[-1].net.units} units"
    )


def refuted(found: Refuted) -> str:
    model = found.model
    letters = ", ".join(f"{k} = {v}" for k, v in sorted(found.env.items()) if not k.startswith("∇"))
    where = (
        f"on {model.net.units} unit{'s' * (model.net.units > 1)}, {model.net.inputs} input "
        f"line{'s' * (model.net.inputs != 1)} and {model.steps} "
        f"step{'s' * (model.steps > 1)} (t₀ = 0, t₁ = {model.steps}) with {letters}"
    )
    values = ", ".join(
        f"{side} {'no value' if v is None else mpmath.nstr(v, 6)}"
        for side, v in (("left", found.left), ("right", found.right))
    )
    missing = f" ({found.missing})" if found.missing else ""
    return f"{where}: {values}{missing}{_numbers(found)}"


def _numbers(found: Refuted) -> str:
    """What the two sides rest on."""
    model = found.model
    given = {str(s): mpmath.nstr(model.number(s), 4) for s in model.rests_on(found.used)}
    if not given:
        return ""
    told = [f"{k} = {v}" for k, v in sorted(given.items())]
    more = f" and {len(told) - MOST_NUMBERS} more" if len(told) > MOST_NUMBERS else ""
    return f"; with {', '.join(told[:MOST_NUMBERS])}{more}"


def as_float(value: Any) -> float | None:
    return None if value is None else float(value)
