"""Σ, written with limits below and above or called as a function."""

from __future__ import annotations

from derive.claims.grammar.cursor import CLOSING, OPENING, said
from derive.claims.grammar.names import Names
from derive.claims.syntax import Group, IllFormed, Node, Ref, Span, Total


class Sums(Names):
    """Reads sums."""

    def total(self) -> Node:
        start = self.take().span
        if self.peek() == "(" and self._has_limits():
            return self.called_total(start)
        limits: list[tuple[str, Group | None]] = []
        last: Node | None = None
        if self.peek() == "_":
            self.take()
            limits = self.limits()
        if self.accept("^"):
            last = self.script(self.atom)
        if not limits:
            raise IllFormed("Σ needs the letter it runs over, as in Σ_{l∈U}", start)
        if last is not None:
            letter, first = limits[-1]
            if first is None or first.kind != "from":
                raise IllFormed("Σ with something above needs its first value below", start)
            limits[-1] = letter, Group("range", (first.of[0], last), span=first.span)
        for letter, domain in limits:
            if domain is not None and domain.kind == "from":
                raise IllFormed(f"the sum over {letter} has no last value", start)
        self.skip_layout()
        body = self.term()
        for letter, domain in reversed(limits):
            body = Total(letter, domain, body, span=self.since(start))
        return body

    def limits(self) -> list[tuple[str, Group | None]]:
        """What stands below Σ."""
        if self.peek() != "{":
            return [(self.bound(), None)]
        found: list[tuple[str, Group | None]] = []
        opening = self.take()
        self.open.append(opening)
        self.depth += 1
        while True:
            letters = [self.bound()]
            while self.peek() == "," and self._more_members():
                self.take()
                letters.append(self.bound())
            found += [(letter, self.domain()) for letter in letters[:1]]
            found += [(letter, found[0][1]) for letter in letters[1:]]
            if not self.accept(","):
                break
        self.close(opening)
        return found

    def bound(self) -> str:
        """The letter a sum runs over."""
        start = self.span()
        if self.kind() != "name":
            raise IllFormed(f"{said(self.peek())} is no letter to sum over", start)
        node = self.reference()
        if not isinstance(node, Ref) or node.lower or node.upper or node.args:
            raise IllFormed("a sum runs over a letter", start)
        return node.name + "'" * node.primes

    def domain(self) -> Group | None:
        start = self.span()
        if self.accept("∈"):
            return self.group()
        if self.accept("="):
            first = self.sum_expr()
            if self.accept("…", ":"):
                return Group("range", (first, self.sum_expr()), span=self.since(start))
            return Group("from", (first,), span=self.since(start))
        return None

    def _has_limits(self) -> bool:
        """Whether Sum( … , limits): a comma at the depth of its parenthesis."""
        depth = 0
        for token in self.tokens[self.at :]:
            depth += token.text in CLOSING
            depth -= token.text in OPENING
            if depth == 0:
                return False
            if depth == 1 and token.text == ",":
                return True
        return False

    def called_total(self, start: Span) -> Node:
        """``Sum(body, l in U, (tau, t0 + 1, t))``."""
        limits: list[tuple[str, Group | None]] = []

        def read() -> Node:
            body = self.sum_expr()
            while self.accept(","):
                limits.append(self.called_limit())
            return body

        body = self.bracketed(read)
        for letter, domain in limits:
            body = Total(letter, domain, body, span=self.since(start))
        return body

    def called_limit(self) -> tuple[str, Group | None]:
        start = self.span()
        if self.peek() != "(":
            letter = self.bound()
            over = self.domain()
            if over is not None and over.kind == "from":
                raise IllFormed(f"the sum over {letter} has no last value", start)
            return letter, over
        opening = self.take()
        self.open.append(opening)
        self.depth += 1
        letter = self.bound()
        self.expect(",")
        domain: Group
        if self.peek() in ("U", "I", "T") and self.peek(1) in (")", "∪", "∖", "("):
            domain = self.group()
        else:
            first = self.sum_expr()
            self.expect(",")
            domain = Group("range", (first, self.sum_expr()), span=self.since(start))
        self.close(opening)
        return letter, domain
