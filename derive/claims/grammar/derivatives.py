"""∂ as a fraction or in a line, ∇, and fractions that are none."""

from __future__ import annotations

from fractions import Fraction

from derive.claims.grammar.cursor import said
from derive.claims.grammar.sums import Sums
from derive.claims.syntax import Div, Gradient, IllFormed, Node, Num, Slope, Span


class Derivatives(Sums):
    """Reads derivatives."""

    def fraction(self) -> Node:
        start = self.take().span
        top = self.at
        if self.peek() != "{":
            raise IllFormed(r"\frac needs its numerator in braces", self.span())
        if self.peek(1) == "∂" or self._differential(1):
            return self.written_slope(start)
        self.at = top
        over = self.bracketed(self.sum_expr)
        if self.peek() != "{":
            raise IllFormed(r"\frac needs its denominator in braces", self.span())
        return Div(over, self.bracketed(self.sum_expr), span=self.since(start))

    def _differential(self, ahead: int) -> bool:
        """Whether d is that of dJ/dw, and not a target d_k(t)."""
        return (
            self.peek(ahead) == "d"
            and self.kind(ahead) == "name"
            and self.peek(ahead + 1) not in ("_", "(", "[", "'", "^")
            and (self.kind(ahead + 1) == "name" or self.peek(ahead + 1) == "}")
        )

    def written_slope(self, start: Span) -> Node:
        r"""``\frac{∂ over}{∂ under}``."""
        over: list[Node | None] = [None]
        kinds: list[str] = []

        def numerator() -> Node:
            kinds.append("⁺" if self.take().text == "d" else self.slope_kind())
            if self.peek() != "}":
                over[0] = self.sum_expr()
            return Num(Fraction(0))

        def denominator() -> Node:
            if not self.accept("∂", "d"):
                raise IllFormed(f"∂ should stand here, not {said(self.peek())}", self.span())
            self.slope_kind()
            return self.atom()

        self.bracketed(numerator)
        if self.peek() != "{":
            raise IllFormed(r"\frac needs its denominator in braces", self.span())
        under = self.bracketed(denominator)
        of = over[0]
        if of is None:
            self.skip_layout()
            of = self.factor()
        return Slope(of, under, kinds[0], span=self.since(start))

    def slope_kind(self) -> str:
        """⁺ or ° after ∂; a second derivative is refused."""
        if (sign := self.accept("⁺", "°", "+")) is not None:
            return "⁺" if sign.text == "+" else sign.text
        if self.accept("^"):
            if self.accept("{"):
                sign = self.accept("⁺", "+", "°")
                if sign is None:
                    raise IllFormed("only ∂, ∂⁺ and ∂° are known here", self.span())
                self.expect("}")
                return "°" if sign.text == "°" else "⁺"
            if self.accept("+"):
                return "⁺"
            raise IllFormed("only ∂, ∂⁺ and ∂° are known here", self.span())
        return ""

    def slope(self) -> Node:
        """``∂over/∂under`` and ``∂/∂under (over)``."""
        start = self.take().span
        kind = self.slope_kind()
        over = None if self.peek() == "/" else self.atom()
        self.expect("/")
        self.expect("∂")
        self.slope_kind()
        under = self.atom()
        if over is None:
            over = self.factor()
        return Slope(over, under, kind, span=self.since(start))

    def gradient(self) -> Node:
        """``∇_W over``; the notes' ``∇ W over`` too, whose subscript was lost."""
        start = self.take().span
        if self.accept("_"):
            if self.accept("{"):
                self.expect("W")
                self.expect("}")
            else:
                self.expect("W")
        elif not self.accept("W"):
            raise IllFormed("∇ needs what it is by, as in ∇_W", start)
        return Gradient(self.factor(), span=self.since(start))
