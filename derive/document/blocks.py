"""What a document is made of, whoever prints it: sections of paragraphs, equations, tables, code.

Text is plain text in which letters stand as a terminal shows them, ``ε_k(τ)``, and equations are
referred to by their numbers, ``(4)``; ``inline.py`` finds both.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sympy import Expr


@dataclass(frozen=True)
class Paragraph:
    """A few sentences."""

    text: str


@dataclass(frozen=True)
class Items:
    """A list of short texts."""

    entries: tuple[str, ...]


@dataclass(frozen=True)
class Equation:
    """An equation, numbered if others refer to it, with the rule that gives it."""

    left: Expr
    right: Expr
    sign: str = "="
    number: int | None = None
    ranges: tuple[str, ...] = ()
    rule: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of text below a head.

    Attributes
    ----------
    numbers : frozenset of int
        The columns that are set flush right.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    numbers: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Code:
    """Lines that are kept as they are."""

    text: str
    caption: str = ""


@dataclass(frozen=True)
class Figure:
    """A picture, with what it is called and what it shows."""

    svg: str
    title: str
    description: str = ""


Block = Paragraph | Items | Equation | Table | Code | Figure


@dataclass(frozen=True)
class Section:
    """A part of a document, with parts of its own."""

    title: str
    anchor: str
    blocks: tuple[Block, ...] = ()
    sections: tuple[Section, ...] = field(default=())
