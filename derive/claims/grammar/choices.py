"""Values that depend on a condition: 1{…} and cases."""

from __future__ import annotations

from derive.claims.grammar.cursor import said
from derive.claims.grammar.derivatives import Derivatives
from derive.claims.syntax import Cases, Condition, IllFormed, Indicator, Node, Span


class Choices(Derivatives):
    """Reads choices."""

    def indicator(self, start: Span) -> Node:
        """What follows the 1 of 1{…}."""
        self.accept("_")
        if self.peek() not in ("{", r"\{"):
            raise IllFormed("1{…} needs a condition in braces", self.span())
        opening = self.take()
        self.open.append(opening)
        (condition, *more) = self.condition()
        if more:
            raise IllFormed("1{…} has one condition", self.since(start))
        self.close_indicator(opening)
        return Indicator(condition, span=self.since(start))

    def cases(self) -> Node:
        """``{a for k∈T(t); 0 otherwise}``, and LaTeX's cases; braces around one thing too."""
        start = self.span()
        opening = self.accept("{", r"\{")
        begun = self.take() if self.kind() == "begin" else None
        rows: list[tuple[Node, Condition | None]] = []
        while True:
            self.accept("&")
            value = self.sum_expr()
            if not rows and begun is None and self.peek() in ("}", r"\}"):
                self.take()
                return value
            rows.append((value, self.case_condition()))
            if not self.accept(";", r"\\", ","):
                break
        if begun is not None:
            if self.kind() != "end" or self.at >= len(self.tokens):
                raise IllFormed(f"the cases begun here are not ended before "
                                f"{said(self.peek())}", start)  # fmt: skip
            self.take()
        elif opening is not None and not self.accept("}", r"\}"):
            raise IllFormed("unbalanced bracket: { of these cases is not closed", start)
        return Cases(tuple(rows), span=self.since(start))

    def case_condition(self) -> Condition | None:
        self.accept("&", ",")
        if self.accept("otherwise", "else"):
            return None
        if not self.accept("for", "if") and self.kind() == "word":
            raise IllFormed(f"{said(self.peek())} has no meaning in cases", self.span())
        (condition, *more) = self.condition()
        if more:
            raise IllFormed("a case has one condition", condition.span)
        return condition
