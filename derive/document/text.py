"""A document for a terminal: readable Unicode, lines of at most a hundred characters."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import TextWrapper

from derive.calculus.notation import Terminal, in_terminal
from derive.document.blocks import Block, Code, Equation, Figure, Items, Paragraph, Section, Table
from derive.document.inline import plain

WIDTH = 96
MARKS = {1: "═", 2: "─"}


def as_text(title: str, subtitle: str, sections: tuple[Section, ...]) -> str:
    """The whole document."""
    lines = [title, "═" * len(title), subtitle, ""]
    for section in sections:
        lines += _section(section, 1)
    return "\n".join(lines).rstrip() + "\n"


def _section(section: Section, level: int) -> Iterator[str]:
    yield section.title
    yield MARKS.get(level, "·") * len(section.title)
    yield ""
    for block in section.blocks:
        yield from _block(block)
        yield ""
    for inner in section.sections:
        yield from _section(inner, level + 1)


def _block(block: Block) -> Iterator[str]:
    match block:
        case Paragraph(text):
            yield from _wrapped(plain(text))
        case Items(entries):
            for entry in entries:
                yield from _wrapped(plain(entry), "  – ")
        case Equation():
            yield from _equation(block)
        case Table():
            yield from _table(block)
        case Code(text, caption):
            yield from _wrapped(plain(caption))
            yield from text.splitlines()
        case Figure(_, title, description):
            yield from _wrapped(f"[picture: {title}. {description}]")


def _wrapped(text: str, first: str = "") -> list[str]:
    wrapper = TextWrapper(
        WIDTH, initial_indent=first, subsequent_indent=" " * len(first), break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
    return wrapper.wrap(text)


def pieces(equation: Equation) -> list[str]:
    """An equation in pieces between which a line can break: terms of the sum, then ranges."""
    printer = Terminal()
    right = [in_terminal(equation.right)]
    if equation.right.is_Add:
        right = []
        for negative, term in printer.terms(equation.right):
            sign = "−" * negative if not right else "− " if negative else "+ "
            right.append(sign + printer._print(term))
    found = [f"{in_terminal(equation.left)} {equation.sign} {right[0]}", *right[1:]]
    for r in equation.ranges:
        found[-1] += ","
        found.append(" " + r)
    return found


def _equation(equation: Equation) -> Iterator[str]:
    label = "" if equation.number is None else f"({equation.number})"
    line = f"{label:<6}"
    for piece in pieces(equation):
        if len(line) + len(piece) > WIDTH and line.strip() != label:
            yield line.rstrip()
            line = " " * 10
        line += piece + " "
    yield line.rstrip()
    if equation.rule:
        yield from _wrapped(plain(equation.rule), " " * 6 + "⤷ ")


def _table(table: Table) -> Iterator[str]:
    rows = [[plain(cell) for cell in row] for row in (table.head, *table.rows)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(table.head))]
    # The last column takes what room is left, and goes on below itself.
    room = max(24, WIDTH - sum(widths[:-1]) - 2 * len(widths))
    if table.caption:
        yield from _wrapped(plain(table.caption))
    for place, row in enumerate(rows):
        cells = [
            text.rjust(w) if i in table.numbers else text.ljust(w)
            for i, (text, w) in enumerate(zip(row, widths, strict=True))
        ]
        head, last = "  ".join(cells[:-1]), cells[-1].rstrip() if widths[-1] <= room else row[-1]
        lines = [last] if len(last) <= room else _split(last, room)
        yield f"  {head}  {lines[0]}".rstrip()
        for more in lines[1:]:
            yield " " * (len(head) + 4) + more
        if not place:
            yield "  " + "  ".join("─" * w for w in [*widths[:-1], min(widths[-1], room)])


def _split(text: str, room: int) -> list[str]:
    return TextWrapper(room, break_long_words=False).wrap(text) or [""]
