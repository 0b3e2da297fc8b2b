"""The same equations for MathML: order and parentheses are inherited, only the marks differ.

What stands above, below or over something is an element of its own here; what is left as bare text
is put into elements by ``marked``: letters into ``mi``, digits into ``mn``, signs into ``mo``. Only
MathML Core is used, which every browser of today shows without help.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import sympy
from sympy import Expr
from sympy.printing.mathml import MathMLPresentationPrinter

from derive.calculus.notation import Terminal
from derive.calculus.typeset import DOT

DIGITS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
LEAF = re.compile(r"<(m[ion]|mtext)\b[^>]*>[^<]*</\1>|<[^>]*>")
TOKEN = re.compile(
    r"(?P<space>\s+)|(?P<number>\d+(?:\.\d+)?(?:e[+−-]?\d+)?)|(?P<dots>…)"
    r"|(?P<letter>[^\W\d_]+[₀-₉]*[′*]?|[^\W\d_]̇?[₀-₉]*)|(?P<sign>.)"
)
FENCES = set("()[]{}|")


class MathML(Terminal):
    """The same equation for MathML."""

    times = "<mo>·</mo>"

    def doprint(self, expr: Expr) -> str:
        """A row of MathML."""
        return marked(str(super().doprint(expr)))

    def name(self, name: str) -> str:
        """A letter, or a name set upright."""
        if DOT in name:
            bare = name.replace(DOT, "")
            return f'<mover accent="true">{self.name(bare)}<mo>˙</mo></mover>'
        if name.startswith("∂, "):  # of what lies further back, and of which state
            return f"<mrow><mo>∂</mo><mo>,</mo>{self.name(name[3:])}</mrow>"
        base = name.rstrip("₀₁₂₃₄₅₆₇₈₉")
        if base != name:
            return f"<msub>{self.name(base)}<mn>{name[len(base) :].translate(DIGITS)}</mn></msub>"
        if name == "Δ":
            return '<mi mathvariant="normal">Δ</mi>'
        return f"<mi>{name}</mi>"

    def script(self, name: str, mark: str, below: str) -> str:
        """A name with subscript, and a superscript where there is a mark."""
        base, digits = _numbered(name)
        star = "*" * (bool(mark) and base.endswith("*"))
        letter = self.name(base.removesuffix(star))
        low = row(f"{digits},{below}" if digits else below)
        if not mark:
            return f"<msub>{letter}{low}</msub>"
        return f"<msubsup>{letter}{low}{row(f'{star}({self.name(mark[1:-1])})')}</msubsup>"

    def tiers(self, name: str, above: str, below: str) -> str:
        """A name with what it is of above and what it is by below."""
        star = "*" * name.endswith("*")
        letter = self.name(name.removesuffix("*"))
        return f"<msubsup>{letter}{row(below)}{row(star + above)}</msubsup>"

    def delayed(self, weight: str, delay: str) -> str:
        """A weight with its delay as a superscript."""
        return f"<msup>{row(weight)}{row(f'({delay})')}</msup>"

    def fraction(self, above: list[Expr], below: list[Expr]) -> str:
        """A fraction."""
        over, under = (
            self._print(f[0]) if len(f) == 1 else self.times.join(self.factor(v) for v in f)
            for f in (above, below)
        )
        return f"<mfrac>{row(over or '1')}{row(under)}</mfrac>"

    def _print_Rational(self, expr: Any) -> str:
        return f"{self.minus * (expr.p < 0)}<mfrac><mn>{abs(expr.p)}</mn><mn>{expr.q}</mn></mfrac>"

    def group(self, text: str) -> str:
        """In parentheses, which grow around what is tall."""
        if not any(tall in text for tall in ("<mfrac", "<munder", "<mtable")):
            return f"<mrow>({text})</mrow>"
        return f"<mrow><mo>(</mo>{text}<mo>)</mo></mrow>"

    def root(self, text: str) -> str:
        """A square root."""
        return f"<msqrt>{row(text)}</msqrt>"

    def raised(self, text: str, power: Expr) -> str:
        """A power."""
        return f"<msup>{row(text)}{row(self._print(power))}</msup>"

    def big_sum(self, place: str) -> str:
        """Σ over a place; a range in time has its ends below and above."""
        head, _, cell = place.partition(" with cell ")
        first, _, last = head.partition("…")
        below = row(first + (f"<mtext>&#xA0;with cell {cell}</mtext>" if cell else ""))
        if last:
            return f"<munderover><mo>∑</mo>{below}{row(last)}</munderover>"
        return f"<munder><mo>∑</mo>{below}</munder>"

    def integral(self, body: str, index: str, low: str, high: str) -> str:
        """∫ of a body between two ends."""
        ends = f"<msubsup><mo>∫</mo>{row(low)}{row(high)}</msubsup>"
        return f'{ends}{body}<mspace width="0.17em"/><mi>d</mi>{index}'

    def largest(self, place: str) -> str:
        """max over a place."""
        return f"<munder><mo>max</mo>{row(place)}</munder>"

    def derivative(self, above: str, below: str, of: str, by: str) -> str:
        """A derivative as a fraction."""
        mark = {
            "∂⁺": "<msup><mo>∂</mo><mo>+</mo></msup>",
            "∂°": "<msup><mo>∂</mo><mo>∘</mo></msup>",
        }
        over = mark.get(above, "<mo>∂</mo>") + of
        return f"<mfrac>{row(over)}{row(f'<mo>{below}</mo>{by}')}</mfrac>"

    def _print_KroneckerDelta(self, expr: Any) -> str:
        sides = "=".join(sorted(self._print(v) for v in expr.args))
        return f"<mn>𝟏</mn>{{{sides}}}"

    def _print_Total(self, expr: Any) -> str:
        at = ",".join(self._print(v) for v in expr.args)
        return f"<msup><mi>J</mi><mi>total</mi></msup>({at})"

    def _print_Abs(self, expr: Any) -> str:
        return f"<mrow><mo>|</mo>{self._print(expr.args[0])}<mo>|</mo></mrow>"

    def _print_Function(self, expr: Any) -> str:
        inside = ",".join(self._print(v) for v in expr.args)
        return self.function(type(expr).__name__) + self.group(inside)

    def function(self, name: str) -> str:
        """An upright name."""
        return f"<mi>{name}</mi><mo>&#x2061;</mo>" if len(name) > 1 else f"<mi>{name}</mi>"

    def _print_Relational(self, expr: Any) -> str:
        return super()._print_Relational(expr).replace(" < ", "<mo>&lt;</mo>").replace(
            " > ", "<mo>&gt;</mo>"
        )  # fmt: skip

    def _print_And(self, expr: Any) -> str:
        return said("and").join(sorted(self._print(v) for v in expr.args))

    def _print_Or(self, expr: Any) -> str:
        return said("or").join(sorted(self._print(v) for v in expr.args))

    def _print_Piecewise(self, expr: Any) -> str:
        rows = []
        for value, condition in expr.args:
            when = "<mtext>otherwise</mtext>"
            if condition != sympy.true:
                when = f"<mtext>for&#xA0;</mtext>{self._print(condition)}"
            rows.append(f"<mtr><mtd>{self._print(value)}</mtd><mtd>{when}</mtd></mtr>")
        return f"<mrow><mo>{{</mo><mtable>{''.join(rows)}</mtable></mrow>"

    def emptyPrinter(self, expr: Any) -> str:  # noqa: N802 - SymPy's name
        """What has no rule of its own is written as SymPy's MathML printer does."""
        return str(MathMLPresentationPrinter().doprint(expr))


def row(text: str) -> str:
    """As one element."""
    return f"<mrow>{text}</mrow>"


def said(word: str) -> str:
    """A word within an equation."""
    return f"<mtext>&#xA0;{word}&#xA0;</mtext>"


def _numbered(name: str) -> tuple[str, str]:
    base = name.rstrip("₀₁₂₃₄₅₆₇₈₉")
    return base, name[len(base) :].translate(DIGITS)


def marked(text: str) -> str:
    """Bare text between elements put into elements."""
    out, at = "", 0
    for leaf in LEAF.finditer(text):
        out += bare(text[at : leaf.start()]) + leaf[0]
        at = leaf.end()
    return out + bare(text[at:])


@cache
def bare(text: str) -> str:
    """Letters, numbers and signs in elements."""
    out = ""
    for token in TOKEN.finditer(text):
        kind, found = token.lastgroup, token[0]
        match kind:
            case "space":
                continue
            case "number":
                out += f"<mn>{found}</mn>"
            case "letter":
                out += MathML().name(found)
            case _:
                flat = ' stretchy="false"' if found in FENCES else ""
                found = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}.get(found, found)
                out += f"<mo{flat}>{found}</mo>"
    return out


def as_mathml(expr: Expr) -> str:
    """An expression as a row of MathML, without the ``math`` element around it."""
    return MathML().doprint(expr)


def terms_as_mathml(expr: Expr) -> list[str]:
    """The terms of a sum each with its sign, so that a line can break between them."""
    printer = MathML()
    if not expr.is_Add:
        return [as_mathml(expr)]
    pieces = []
    for place, (negative, term) in enumerate(printer.terms(expr)):
        sign = "−" if negative else "+" * bool(place)
        # With an empty row before it the sign is one between terms, and has its room.
        pieces.append(marked(("<mrow></mrow>" if place else "") + sign + printer._print(term)))
    return pieces


def range_as_mathml(text: str) -> str:
    """For which units and times an equation holds: ``k∈U``, ``τ = t₀+1…t``."""
    head, _, cell = text.partition(" with cell ")
    return marked(head) + (f"<mtext>&#xA0;with cell {cell}</mtext>" if cell else "")
