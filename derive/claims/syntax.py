"""What an equation in the field's notation is made of, whichever way it was typed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from typing import Any

from derive.errors import ClaimError

Span = tuple[int, int]


class IllFormed(ClaimError):
    """A claim that says nothing, and the place in it that is at fault."""

    def __init__(self, what: str, span: Span | None = None) -> None:
        super().__init__(what)
        self.span = span


class Unbound(IllFormed):
    """A letter that nothing binds."""

    def __init__(self, what: str, letter: str, span: Span | None) -> None:
        super().__init__(what, span)
        self.letter = letter


@dataclass(frozen=True)
class Node:
    """A part of an equation; where it stands in the text makes no difference to what it says."""

    span: Span = field(default=(0, 0), compare=False, repr=False, kw_only=True)

    def parts(self) -> Iterator[Node]:
        """The nodes directly in it, in the order they are written."""
        for f in fields(self):
            yield from _nodes(getattr(self, f.name))

    def walk(self) -> Iterator[Node]:
        """It and all nodes in it, itself first."""
        yield self
        for part in self.parts():
            yield from part.walk()

    def mapped(self, change: Callable[[Node], Node]) -> Node:
        """The same of changed parts."""
        found = {
            f.name: _mapped(getattr(self, f.name), change) for f in fields(self) if f.name != "span"
        }
        return replace(self, **found)


def _nodes(value: Any) -> Iterator[Node]:
    if isinstance(value, Node):
        yield value
    elif isinstance(value, tuple):
        for v in value:
            yield from _nodes(v)


def _mapped(value: Any, change: Callable[[Node], Node]) -> Any:
    if isinstance(value, Node):
        return change(value)
    return tuple(_mapped(v, change) for v in value) if isinstance(value, tuple) else value


@dataclass(frozen=True)
class Num(Node):
    """A number."""

    value: Fraction


@dataclass(frozen=True)
class Ref(Node):
    """A letter with what stands on it: w_kl, y_k(t), p^k_ij(t), ε^(c)_k(τ), J^total(t₀, t₁).

    Attributes
    ----------
    name : str
        The letter; Greek ones as such, ``Δw`` and ``ẏ`` as one.
    mark : str
        What tells it from others of its letter: ``net``, ``total``, the state in parentheses.
    upper, lower : tuple of Node
        Indices above and below.
    args : tuple of Node or None
        What stands in parentheses after it: times, or what a function is of; None for nothing.
    primes : int
        How often a function is differentiated.
    """

    name: str
    mark: str = ""
    upper: tuple[Node, ...] = ()
    lower: tuple[Node, ...] = ()
    args: tuple[Node, ...] | None = None
    primes: int = 0


@dataclass(frozen=True)
class Add(Node):
    """A sum of terms; subtraction is of a term times −1."""

    terms: tuple[Node, ...]


@dataclass(frozen=True)
class Mul(Node):
    """A product of factors."""

    factors: tuple[Node, ...]


@dataclass(frozen=True)
class Div(Node):
    """A quotient."""

    over: Node
    under: Node


@dataclass(frozen=True)
class Pow(Node):
    """A power."""

    base: Node
    exponent: Node


@dataclass(frozen=True)
class Group(Node):
    """A set of indices: U, I, T(t), or one made of such.

    Attributes
    ----------
    kind : str
        ``U``, ``I``, ``T``, ``∪``, ``∖`` or ``range``.
    of : tuple of Node
        The time of T, the two sets of ∪ and ∖, or first and last of a range.
    """

    kind: str
    of: tuple[Node, ...] = ()


@dataclass(frozen=True)
class Total(Node):
    """Σ over a letter; ``domain`` is None where it is left to be understood."""

    letter: str
    domain: Group | None
    body: Node


@dataclass(frozen=True)
class Slope(Node):
    """∂over/∂under. ``kind`` is ``⁺`` for ordered, ``°`` for direct, empty where only ∂ stands."""

    over: Node
    under: Node
    kind: str = ""


@dataclass(frozen=True)
class Gradient(Node):
    """∇_W of something: its derivatives by every weight."""

    of: Node


@dataclass(frozen=True)
class Member(Node):
    """index ∈ group."""

    index: Node
    group: Group


@dataclass(frozen=True)
class Compare(Node):
    """left ⋚ right, of indices or times."""

    left: Node
    sign: str
    right: Node


Condition = Member | Compare


@dataclass(frozen=True)
class Indicator(Node):
    """1{condition}: 1 where it holds, else 0; Kronecker's delta is 1{i = k}."""

    condition: Condition


@dataclass(frozen=True)
class Cases(Node):
    """The first value whose condition holds; a condition of None is "otherwise"."""

    rows: tuple[tuple[Node, Condition | None], ...]


@dataclass(frozen=True)
class Chain(Node):
    """a = b = c …, and for which indices and times.

    Attributes
    ----------
    sides : tuple of Node
    signs : tuple of str
        ``=``, ``≠`` or ``≈``, between each two sides.
    where : tuple of Condition
    """

    sides: tuple[Node, ...]
    signs: tuple[str, ...]
    where: tuple[Condition, ...] = ()


INFINITY = "infinity"
