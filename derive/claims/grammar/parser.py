"""From tokens to an equation: one grammar for text and LaTeX.

chain    expr (= expr)* [, where]*
expr     [−] term ((+ | −) term)*
term     factor ((·, / or nothing) factor)*
factor   atom [^ exponent]
atom     a number, a letter with its indices and times, (expr), a fraction, ∂/∂, Σ, ∇, 1{…}, cases

Each kind of atom has a reader of its own; they stand in a row, each on the one before.
"""

from __future__ import annotations

from fractions import Fraction

from derive.claims.grammar.choices import Choices
from derive.claims.grammar.cursor import END, OPENING, said
from derive.claims.lexer import FUNCTIONS, Token, tokens
from derive.claims.syntax import (
    Add,
    Chain,
    Condition,
    Div,
    IllFormed,
    Mul,
    Node,
    Num,
    Pow,
    Span,
)

OF_TIME = frozenset("ysxdeJεδpf")
"""Letters after which parentheses hold times, or what a function is of; after others a factor."""
RELATIONS = ("=", "≠", "≈")
MINUS_ONE = Num(Fraction(-1))


def parsed(
    text: str, of_time: frozenset[str] = frozenset(), long: frozenset[str] = frozenset()
) -> Chain:
    """Read an equation.

    Parameters
    ----------
    of_time : frozenset of str
        Further letters that take times: a network's own states.
    long : frozenset of str
        A network's own names that are more than one letter.

    Raises
    ------
    IllFormed
        Where it cannot be read, with the place.
    """
    return Parser(text, OF_TIME | FUNCTIONS | of_time, long).chain()


def sides_of(
    text: str, of_time: frozenset[str] = frozenset(), long: frozenset[str] = frozenset()
) -> tuple[list[Node | IllFormed], list[str], tuple[Condition, ...]]:
    """The sides of an equation; where one cannot be read, the fault in its place.

    Raises
    ------
    IllFormed
        Where not even the sides can be told apart.
    """
    try:
        chain = parsed(text, of_time, long)
        return list(chain.sides), list(chain.signs), chain.where
    except IllFormed as fault:
        found: list[Node | IllFormed] = []
        signs: list[str] = []
        start = depth = 0
        all_tokens = tokens(text)
        for at, token in enumerate([*all_tokens, None]):
            if token is not None:
                depth += (token.text in ("{", r"\{")) - (token.text in ("}", r"\}"))
            if token is None or depth == 0 and token.text in RELATIONS:
                found.append(_side(all_tokens[start:at], text, of_time, long))
                signs += [token.text] if token is not None else []
                start = at + 1
        if len(found) < 2:
            raise fault from None
        return found, signs, ()


def _side(
    part: list[Token], text: str, of_time: frozenset[str], long: frozenset[str]
) -> Node | IllFormed:
    parser = Parser(text, OF_TIME | FUNCTIONS | of_time, long)
    parser.tokens = part
    parser.length = part[-1].span[1] if part else len(text)
    try:
        parser.skip_layout()
        found = parser.expr()
        parser.skip_layout()
        parser.expect(END)
        return found
    except IllFormed as fault:
        return fault


def conditions(text: str) -> tuple[Condition, ...]:
    """Read what stands after "for": ``k in U, tau = t1..t0+2``."""
    parser = Parser(text, OF_TIME)
    found = parser.wheres()
    parser.expect(END)
    return found


class Parser(Choices):
    """Reads expressions and whole equations."""

    def chain(self) -> Chain:
        """The whole text."""
        self.skip_layout()
        sides, signs = [self.expr()], []
        self.skip_layout()
        while sign := self.accept(*RELATIONS):
            signs.append(sign.text)
            self.skip_layout()
            sides.append(self.expr())
            self.skip_layout()
        where: tuple[Condition, ...] = ()
        if self.accept(",", ";", "for", "where"):
            where = self.wheres()
        if self.peek() in OPENING:
            raise IllFormed(f"unbalanced bracket: {self.peek()} closes nothing", self.span())
        self.expect(END)
        if not signs:
            raise IllFormed("an equation has two sides; there is no = in it", (0, self.length))
        return Chain(tuple(sides), tuple(signs), where, span=(0, self.length))

    def expr(self) -> Node:
        return self.sum_expr()

    def sum_expr(self) -> Node:
        start = self.span()
        terms = [self.signed()]
        while self.peek() in ("+", "-") and self.kind() == "sign":
            terms.append(self.signed())
        return terms[0] if len(terms) == 1 else Add(tuple(terms), span=self.since(start))

    def signed(self) -> Node:
        start = self.span()
        negative = False
        while sign := self.accept("+", "-"):
            negative ^= sign.text == "-"
        term = self.term()
        if not negative:
            return term
        if isinstance(term, Num):
            return Num(-term.value, span=self.since(start))
        factors = term.factors if isinstance(term, Mul) else (term,)
        return Mul((MINUS_ONE, *factors), span=self.since(start))

    def term(self) -> Node:
        start = self.span()
        found = self.factor()
        while True:
            if self.accept("*"):
                found = _product(found, self.factor(), self.since(start))
            elif self.accept("/"):
                found = Div(found, self.factor(), span=self.since(start))
            elif self.begins():
                found = _product(found, self.factor(), self.since(start))
            else:
                return found

    def begins(self) -> bool:
        """Whether a factor begins without a sign of multiplication."""
        if self.kind() in ("name", "number"):
            return True
        return self.peek() in ("(", "[", "{", r"\{", "frac", "Σ", "∂", "∇", "dot")

    def factor(self) -> Node:
        start = self.span()
        found = self.atom()
        if found == Num(Fraction(1)) and self.peek() == "_":
            found = self.indicator(start)  # \\mathbf{1}_{i=k}
        if self.accept("^"):
            exponent = self.script(self.atom)
            found = Pow(found, exponent, span=self.since(start))
        return found

    def atom(self) -> Node:
        start = self.span()
        text, kind = self.peek(), self.kind()
        if kind == "number":
            return self.number()
        if text == "Δ" or kind == "name":
            return self.reference()
        if text in ("(", "["):
            return self.bracketed(self.sum_expr)
        if text in ("{", r"\{") or self.kind() == "begin":
            return self.cases()
        if text == "frac":
            return self.fraction()
        if text == "Σ":
            return self.total()
        if text == "∂":
            return self.slope()
        if text == "∇":
            return self.gradient()
        if text == "dot":
            return self.reference()
        if text in OPENING:
            inside = f"; {self.open[-1]} is open" if self.open else ""
            raise IllFormed(f"something should stand before {said(text)}{inside}", start)
        raise IllFormed(f"{said(text)} has no meaning here", start)

    def number(self) -> Node:
        token = self.take()
        if token.text == "1" and self.peek() in ("{", r"\{", "_"):
            return self.indicator(token.span)
        return Num(Fraction(token.text), span=token.span)


def _product(left: Node, right: Node, span: Span) -> Node:
    factors = (
        *(left.factors if isinstance(left, Mul) else (left,)),
        *(right.factors if isinstance(right, Mul) else (right,)),
    )
    return Mul(factors, span=span)
