"""Letters with what stands on them: indices below and above, marks, primes, times."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from derive.claims.grammar.conditions import Conditions
from derive.claims.grammar.cursor import OPENING, said
from derive.claims.lexer import Token, rate_of
from derive.claims.syntax import Compare, IllFormed, Indicator, Node, Num, Pow, Ref, Slope, Span

MOST_PARTS = 12
"""Tokens that a name of a network is made of, with the _ in it."""
MARKS = {"net": "net", "total": "total", "tot": "total"}


class Names(Conditions):
    """Reads letters."""

    def reference(self) -> Node:
        """A letter with its scripts, primes and arguments."""
        start = self.span()
        name, dotted = self.letter()
        if name in ("diff", "Derivative", "D") and self.peek() == "(" and not dotted:
            return self.called_slope(start)
        if name == "KroneckerDelta" and self.peek() == "(":
            i, j = self.pair()
            return Indicator(Compare(i, "=", j), span=self.since(start))
        mark, primes = "", 0
        upper: tuple[Node, ...] = ()
        lower: tuple[Node, ...] = ()
        of = ""  # what a sensitivity is by, where it is no weight of the one net input
        power: Node | None = None
        while True:
            if self.accept("'"):
                primes += 1
            elif self.peek() == "_":
                self.take()
                if name == "p" and self.peek() == "(":
                    of = self.marked()
                lower += self.indices()
                if name == "p" and self.peek() == "," and self.peek(2) in ("(", "'"):
                    lower += self.delay()
            elif self.peek() == "^" and power is None:
                found = self.superscript(name)
                if isinstance(found, str):
                    mark = found
                elif isinstance(found, tuple) and name in ("w", "Δw") and lower:
                    upper = (Ref(found[0], span=self.tokens[self.at - 1].span),)  # the delay
                elif isinstance(found, tuple):
                    mark, upper = found[0] or mark, found[1]
                else:
                    power = found
            elif self.peek() == "[" and self.square(name):
                lower += self.arguments()
            else:
                break
        name, lower, primes = _time_letter(name, lower, primes)
        args = None
        if self.peek() == "(" and (name in self.of_time or dotted):
            args = self.arguments()
        elif lower and args is None and name in self.of_time and len(lower) > 1:
            lower, args = _times_last(name, lower, args, self.tokens[self.at - 1])
        found_ref: Node = Ref(
            rate_of(name) if dotted else name,
            mark, upper, lower, args, primes, span=self.since(start),
        )  # fmt: skip
        if name == "p" and (of or len(lower) == 3) and len(upper) == 1:
            found_ref = self.sensitivity(mark, upper, of, lower, args, self.since(start))
        if name == "δ" and len(lower) == 2 and args is None and not upper:
            found_ref = Indicator(Compare(lower[0], "=", lower[1]), span=self.since(start))
        if power is not None:
            return Pow(found_ref, power, span=self.since(start))
        return found_ref

    def delay(self) -> tuple[Node, ...]:
        """The delay of p^k_ij,D."""
        self.take()
        letter = self.take_index()
        primes = 0
        while self.accept("'"):
            primes += 1
        return (Ref(letter.text, primes=primes, span=letter.span),)

    def marked(self) -> str:
        """What stands in parentheses as a mark."""
        opening = self.take()
        text = ""
        while self.peek() != ")" and self.kind() != "end":
            text += self.take().text
        if self.kind() == "end":
            raise IllFormed("unbalanced bracket: ( is never closed", opening.span)
        self.take()
        return text

    @staticmethod
    def sensitivity(
        mark: str,
        upper: tuple[Node, ...],
        of: str,
        lower: tuple[Node, ...],
        args: tuple[Node, ...] | None,
        span: Span,
    ) -> Node:
        """``p^(v)k_(tau)i(t)`` and ``p^k_ij,D(t)`` as the derivatives that they are."""
        over = Ref(mark or "y", lower=upper, args=args, span=span)
        if len(lower) == 3:
            under = Ref("w", of, lower[2:], lower[:2], span=span)
        elif len(lower) == 2:
            under = Ref("w", of, (), lower, span=span)
        else:
            under = Ref(of, lower=lower, span=span)
        return Slope(over, under, "⁺", span=span)

    def letter(self) -> tuple[str, bool]:
        """The letter itself: with Δ before it as one, and whether a dot is on it."""
        dotted = False
        if self.accept("dot"):
            dotted = True
            if self.peek() == "{":
                self.take()
                name = self.take().text
                self.expect("}")
                return name, True
        token = self.take()
        if token.kind != "name":
            raise IllFormed(f"{said(token.text)} is no letter", token.span)
        name = self.own(token)
        if name == "t" and self.kind() == "number" and self.span()[0] == token.span[1]:
            name += self.take().text  # t0, t1
        if name == "Δ":
            if self.kind() != "name":
                raise IllFormed("Δ needs what it is of, as in Δt or Δw_ij", token.span)
            name += self.take().text
        return name, dotted

    def own(self, token: Token) -> str:
        """The longest of the network's own names that begins with a token; else its letter."""
        text, best, taken = token.text, "", 0
        for ahead in range(MOST_PARTS):
            if text in self.long:
                best, taken = text, ahead
            at = self.at + ahead
            if at >= len(self.tokens) or not any(v.startswith(text) for v in self.long):
                break
            text += self.tokens[at].text
        self.at += taken
        return best or token.text

    def square(self, name: str) -> bool:
        """Whether [ is an index, as in eps[k], and not a bracket of a product."""
        before = self.tokens[self.at - 1]
        return before.kind == "name" and before.span[1] == self.span()[0]

    def indices(self) -> tuple[Node, ...]:
        """What stands in a subscript: each letter is an index."""
        if self.peek() != "{":
            return tuple(_letters(self.take_index()))
        found: list[Node] = []

        def read() -> Node:
            while self.peek() not in OPENING and self.kind() != "end":
                if self.accept(","):
                    continue
                if self.kind() == "name" and self.peek(1) not in ("+", "-", "_"):
                    found.extend(_letters(self.take()))
                else:
                    found.append(self.sum_expr())
            if not found:
                raise IllFormed("an empty index", self.span())
            return found[0]

        self.bracketed(read)
        return tuple(found)

    def take_index(self) -> Token:
        if self.kind() not in ("name", "number"):
            raise IllFormed(f"{said(self.peek())} is no index", self.span())
        return self.take()

    def superscript(self, name: str) -> str | Node | tuple[str, tuple[Node, ...]]:
        """A mark, the upper indices of p, or a power."""
        self.take()
        word = self._word()
        if word in MARKS:
            return MARKS[word]
        braced = self.peek() == "{"
        if name == "p" or (braced and self.peek(1) == "(") or self.peek() == "(":
            return self.mark_and_indices(name, braced)
        return self.script(self.atom)

    def _word(self) -> str:
        """The word a superscript is, taken if it is one of the marks."""
        start = self.at
        braced = self.peek() == "{"
        at = start + braced
        word = ""
        while at < len(self.tokens) and self.tokens[at].kind == "name":
            word += self.tokens[at].text
            at += 1
            if not braced:
                break
        if word in MARKS and (not braced or self.tokens[at].text == "}"):
            self.at = at + braced
        return word

    def mark_and_indices(self, name: str, braced: bool) -> Node | tuple[str, tuple[Node, ...]]:
        """``(c)``, ``(s)k``, ``k``: a mark in parentheses, then upper indices."""
        if braced:
            opening = self.take()
            self.open.append(opening)
        mark = ""
        upper: list[Node] = []
        if self.peek() == "(":
            mark = self.marked()
        while self.kind() == "name" and (braced or name == "p" and not upper):
            upper += _letters(self.take())
        if braced:
            self.close_indicator(opening)
        return mark, tuple(upper)

    def arguments(self) -> tuple[Node, ...]:
        """What stands in brackets, with commas between: times, or the indices of eps[k, tau]."""
        found: list[Node] = []

        def read() -> Node:
            found.append(self.sum_expr())
            while self.accept(","):
                found.append(self.sum_expr())
            return found[0]

        self.bracketed(read)
        return tuple(found)

    def pair(self) -> tuple[Node, Node]:
        start = self.span()
        found = self.arguments()
        if len(found) != 2:
            raise IllFormed(f"two arguments are needed here, not {len(found)}", start)
        return found[0], found[1]

    def script(self, read: Callable[[], Node]) -> Node:
        """What stands in an exponent: in braces, or one thing."""
        if self.peek() == "{":
            return self.bracketed(self.sum_expr)
        if self.peek() == "-":
            return self.signed()
        return read()

    def called_slope(self, start: Span) -> Node:
        over, under = self.pair()
        return Slope(over, under, span=self.since(start))


def _letters(token: Token) -> list[Node]:
    """Each letter, or each digit, of a subscript without commas."""
    if token.text in ("net", "total"):
        return [Ref(token.text, span=token.span)]
    start = token.span[0]
    found: list[Node] = []
    for at, c in enumerate(token.text):
        span = (start + at, start + at + 1)
        found.append(Num(Fraction(c), span=span) if c.isdigit() else Ref(c, span=span))
    return found


def _time_letter(
    name: str, lower: tuple[Node, ...], primes: int
) -> tuple[str, tuple[Node, ...], int]:
    """t₀ and t₁ are letters of their own; so is t′."""
    if name == "t" and len(lower) == 1 and isinstance(lower[0], Num):
        return f"t{lower[0].value}", (), primes
    if name in ("t", "τ", "h", "t0", "t1") and primes and not lower:
        return name + "'" * primes, (), 0
    return name, lower, primes


def _times_last(
    name: str, lower: tuple[Node, ...], args: tuple[Node, ...] | None, last: Token
) -> tuple[tuple[Node, ...], tuple[Node, ...] | None]:
    """In eps[k, tau − 1] the last index is the time."""
    if last.text == "]" and name in "ysxdeεδ":
        return lower[:-1], (lower[-1],)
    return lower, args
