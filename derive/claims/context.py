"""What a claim is judged under: whose derivatives ε and δ are, definitions, how ∂ is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic

from derive.claims.syntax import IllFormed, Node, Ref

TOTAL, DIRECT = "total", "direct"


class OutOfTime(Exception):
    """The time allowed for a claim is used up."""


@dataclass
class Budget:
    """So many seconds, from the first look at it."""

    seconds: float
    clock: Callable[[], float] = monotonic
    _end: float | None = None

    def share(self, part: float) -> Budget:
        """A part of the time that is left."""
        left = self.seconds if self._end is None else self._end - self.clock()
        return Budget(max(0.0, left * part), self.clock)

    def check(self) -> None:
        """Raise OutOfTime where they are over."""
        now = self.clock()
        if self._end is None:
            self._end = now + self.seconds
        if now > self._end:
            raise OutOfTime


@dataclass(frozen=True)
class Definition:
    """What a file says that a letter stands for, in letters for its indices and arguments."""

    name: str
    lower: tuple[str, ...]
    args: tuple[str, ...]
    body: Node


@dataclass(frozen=True)
class Context:
    """How letters are meant.

    Attributes
    ----------
    of : Node
        What ε, δ and Δw are of: J(t), or J^total(t₀, t₁).
    definitions : mapping of str to Definition
    swapped : bool
        Whether U are the input lines and I the units.
    reading : str
        How a plain ∂ of a quantity of the network is read: ``total`` or ``direct``. Of the
        objective it is always the ordered derivative.
    values : mapping of str to int
        Letters for whole numbers that are fixed: h, h'.
    """

    of: Node
    definitions: Mapping[str, Definition] = field(default_factory=dict)
    swapped: bool = False
    reading: str = TOTAL
    values: Mapping[str, int] = field(default_factory=dict)

    @property
    def letters_of_objective(self) -> tuple[str, ...]:
        """The free letters of what is differentiated: t of J(t)."""
        return tuple(
            dict.fromkeys(
                letter_of(v) for v in self.of.walk() if isinstance(v, Ref) and v.args is None
            )
        )

    def meaning(self, name: str, ref: Ref) -> Node:
        """What a defined letter stands for, with its indices and times put in."""
        d = self.definitions[name]
        given = dict(zip((*d.lower, *d.args), (*ref.lower, *(ref.args or ())), strict=True))
        return put_in(d.body, given)


def letter_of(ref: Ref) -> str:
    """A letter as an index or a time."""
    return ref.name + "'" * ref.primes


def definition(left: Node, right: Node) -> Definition:
    """A definition from its two sides.

    Raises
    ------
    IllFormed
        Where the left side is no letter with letters on it.
    """
    if not isinstance(left, Ref) or left.upper or left.mark:
        raise IllFormed("a definition begins with the letter it defines, as in β_k = …", left.span)
    letters: list[list[str]] = []
    for places in (left.lower, left.args or ()):
        if not all(isinstance(v, Ref) and not v.lower and v.args is None for v in places):
            raise IllFormed(
                f"the indices and times of {left.name} are letters where it is defined", left.span
            )
        letters.append([letter_of(v) for v in places if isinstance(v, Ref)])
    lower, args = letters
    if len({*lower, *args}) < len(lower) + len(args):
        raise IllFormed(f"a letter stands twice on {left.name}", left.span)
    return Definition(
        letter_of(Ref(left.name, primes=left.primes)), tuple(lower), tuple(args), right
    )


def put_in(body: Node, values: Mapping[str, Node]) -> Node:
    """A definition's body with what stands for its letters; letters it sums over are its own."""
    if isinstance(body, Ref) and not body.lower and body.args is None and not body.upper:
        found = values.get(letter_of(body))
        return body if found is None else found
    if hasattr(body, "letter"):
        values = {k: v for k, v in values.items() if k != body.letter}
    return body.mapped(lambda part: put_in(part, values))
