"""A place in a row of tokens, and the brackets that are open there."""

from __future__ import annotations

from collections.abc import Callable

from derive.claims.lexer import Token, tokens
from derive.claims.syntax import IllFormed, Node, Span

DEEPEST = 40
"""Brackets within brackets."""
CLOSING = {"(": ")", "[": "]", "{": "}", r"\{": r"\}"}
OPENING = {v: k for k, v in CLOSING.items()}
END = "the end"


class Cursor:
    """Goes through the tokens; what an expression is, the last of the readers says."""

    def __init__(
        self, text: str, of_time: frozenset[str], long: frozenset[str] = frozenset()
    ) -> None:
        self.of_time = of_time
        self.long = long
        self.tokens = [t for t in tokens(text)]
        self.at = 0
        self.depth = 0
        self.open: list[Token] = []
        self.length = len(text)
        if not self.tokens:
            raise IllFormed("there is no equation", (0, self.length))

    def peek(self, ahead: int = 0) -> str:
        """The text of a coming token; ``the end`` where there is none."""
        at = self.at + ahead
        return self.tokens[at].text if at < len(self.tokens) else END

    def kind(self, ahead: int = 0) -> str:
        at = self.at + ahead
        return self.tokens[at].kind if at < len(self.tokens) else "end"

    def span(self) -> Span:
        """Where the next token stands."""
        if self.at < len(self.tokens):
            return self.tokens[self.at].span
        return (self.length, self.length)

    def take(self) -> Token:
        self.at += 1
        return self.tokens[self.at - 1]

    def accept(self, *texts: str) -> Token | None:
        return self.take() if self.peek() in texts and self.kind() != "end" else None

    def expect(self, text: str) -> None:
        if self.peek() != text:
            raise IllFormed(f"{said(text)} should stand here, not {said(self.peek())}",
                            self.span())  # fmt: skip
        if text != END:
            self.take()

    def since(self, start: Span) -> Span:
        """From a place to the end of the token before."""
        return (start[0], max(start[1], self.tokens[self.at - 1].span[1]))

    def bracketed(self, read: Callable[[], Node]) -> Node:
        """What stands between a bracket and the one that closes it."""
        opening = self.take()
        self.open.append(opening)
        self.depth += 1
        if self.depth > DEEPEST:
            raise IllFormed(f"brackets are more than {DEEPEST} deep", opening.span)
        found = read()
        self.close(opening)
        return found

    def close(self, opening: Token) -> None:
        wanted = CLOSING[opening.text]
        if self.peek() == wanted or (self.peek() in ("}", r"\}") and wanted in ("}", r"\}")):
            self.take()
        elif self.peek() in OPENING or self.kind() == "end":
            how = "never closed" if self.kind() == "end" else f"closed by {said(self.peek())}"
            raise IllFormed(
                f"unbalanced bracket: {opening} opened at character {opening.span[0] + 1} "
                f"is {how}, not by {wanted.removeprefix(chr(92))}",
                self.span(),
            )
        else:
            raise IllFormed(
                f"{said(self.peek())} has no meaning here, inside of {opening}", self.span()
            )
        self.open.pop()
        self.depth -= 1

    def close_indicator(self, opening: Token) -> None:
        self.depth += 1
        self.close(opening)

    def skip_layout(self) -> None:
        """Pass over the marks that only arrange lines of a display."""
        while (
            self.peek() in ("&", r"\\")
            or self.kind() in ("begin", "end")
            and self.at < len(self.tokens)
        ):
            self.take()

    # --- given by the reader of expressions -----------------------------------------------------

    def sum_expr(self) -> Node:
        """Terms with + and − between them."""
        raise NotImplementedError

    def signed(self) -> Node:
        """A term with its sign."""
        raise NotImplementedError

    def term(self) -> Node:
        """Factors."""
        raise NotImplementedError

    def factor(self) -> Node:
        """A factor, with its exponent."""
        raise NotImplementedError

    def atom(self) -> Node:
        """What has no operation outside of brackets."""
        raise NotImplementedError


def said(text: str) -> str:
    return text if text == END else f"{text.removeprefix(chr(92)) if len(text) == 2 else text!s}"
