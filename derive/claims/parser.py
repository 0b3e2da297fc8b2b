"""From tokens to an equation: one grammar for text and LaTeX.

chain    expr (= expr)* [, where]*
expr     [−] term ((+ | −) term)*
term     factor ((·, / or nothing) factor)*
factor   atom [^ exponent]
atom     a number, a letter with its indices and times, (expr), a fraction, ∂/∂, Σ, ∇, 1{…}, cases
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from derive.claims.lexer import FUNCTIONS, Token, tokens
from derive.claims.syntax import (
    Add,
    Cases,
    Chain,
    Compare,
    Condition,
    Div,
    Gradient,
    Group,
    IllFormed,
    Indicator,
    Member,
    Mul,
    Node,
    Num,
    Pow,
    Ref,
    Slope,
    Span,
    Total,
)

DEEPEST = 40
"""Brackets within brackets."""

OF_TIME = frozenset("ysxdeJεδpf")
"""Letters after which parentheses hold times, or what a function is of; after others a factor."""
RELATIONS = ("=", "≠", "≈")
CLOSING = {"(": ")", "[": "]", "{": "}", r"\{": r"\}"}
OPENING = {v: k for k, v in CLOSING.items()}
STOPS = frozenset(OPENING) | {",", ";", "&", r"\\", *RELATIONS}
MARKS = {"net": "net", "total": "total", "tot": "total"}
MINUS_ONE = Num(Fraction(-1))
END = "the end"


def parsed(text: str, of_time: frozenset[str] = frozenset()) -> Chain:
    """Read an equation.

    Parameters
    ----------
    of_time : frozenset of str
        Further letters that take times: a network's own states.

    Raises
    ------
    IllFormed
        Where it cannot be read, with the place.
    """
    return _Parser(text, OF_TIME | FUNCTIONS | of_time).chain()


def sides_of(
    text: str, of_time: frozenset[str] = frozenset()
) -> tuple[list[Node | IllFormed], list[str], tuple[Condition, ...]]:
    """The sides of an equation; where one cannot be read, the fault in its place.

    Raises
    ------
    IllFormed
        Where not even the sides can be told apart.
    """
    try:
        chain = parsed(text, of_time)
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
                found.append(_side(all_tokens[start:at], text, of_time))
                signs += [token.text] if token is not None else []
                start = at + 1
        if len(found) < 2:
            raise fault from None
        return found, signs, ()


def _side(part: list[Token], text: str, of_time: frozenset[str]) -> Node | IllFormed:
    parser = _Parser(text, OF_TIME | FUNCTIONS | of_time)
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
    parser = _Parser(text, OF_TIME)
    found = parser.wheres()
    parser.expect(END)
    return found


class _Parser:
    def __init__(self, text: str, of_time: frozenset[str]) -> None:
        self.of_time = of_time
        self.tokens = [t for t in tokens(text)]
        self.at = 0
        self.depth = 0
        self.open: list[Token] = []
        self.length = len(text)
        if not self.tokens:
            raise IllFormed("there is no equation", (0, self.length))

    # --- tokens -----------------------------------------------------------------------------

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
            raise IllFormed(f"{_said(text)} should stand here, not {_said(self.peek())}",
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
            how = "never closed" if self.kind() == "end" else f"closed by {_said(self.peek())}"
            raise IllFormed(
                f"unbalanced bracket: {opening} opened at character {opening.span[0] + 1} "
                f"is {how}, not by {wanted.removeprefix(chr(92))}",
                self.span(),
            )
        else:
            raise IllFormed(
                f"{_said(self.peek())} has no meaning here, inside of {opening}", self.span()
            )
        self.open.pop()
        self.depth -= 1

    # --- chains and where they hold -----------------------------------------------------------

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

    def skip_layout(self) -> None:
        """Pass over the marks that only arrange lines of a display."""
        while (
            self.peek() in ("&", r"\\")
            or self.kind() in ("begin", "end")
            and self.at < len(self.tokens)
        ):
            self.take()

    def wheres(self) -> tuple[Condition, ...]:
        found = [*self.condition()]
        while self.accept(",", ";", "for", "where"):
            found += self.condition()
        return tuple(found)

    def condition(self) -> list[Condition]:
        """``k∈U``, ``k, l∈U``, ``k with cell c``, ``τ = t₁…t₀+2``, ``t₀ < τ ≤ t``, ``i = k``."""
        start = self.span()
        members = [self.sum_expr()]
        while self.peek() == "," and self._more_members():
            self.take()
            members.append(self.sum_expr())
        if self.accept("∈"):
            group = self.group()
            return [Member(v, group, span=self.since(start)) for v in members]
        if len(members) == 1 and self.peek() == "with":
            return [Member(members[0], self.cells(), span=self.since(start))]
        left = members[0]
        found: list[Condition] = []
        while sign := self.accept("=", "≠", "<", "≤", ">", "≥"):
            right = self.sum_expr()
            if sign.text == "=" and self.accept("…"):
                group = Group("range", (right, self.sum_expr()), span=self.since(start))
                return [Member(left, group, span=self.since(start))]
            found.append(Compare(left, sign.text, right, span=self.since(start)))
            left = right
        if not found:
            raise IllFormed(
                f"{_said(self.peek())} should be ∈, =, < or ≤: a condition says which indices "
                "and times are meant",
                self.span(),
            )
        return found

    def _more_members(self) -> bool:
        """Whether a comma goes on with a list of letters that ends in ∈, as in k, l∈U."""
        return self.kind(1) == "name" and self.peek(2) in (",", "∈")

    def cells(self) -> Group:
        """``with cell a or b``: names of cells, up to the next comma."""
        start = self.span()
        self.take()
        self.expect("cell")
        names: list[str] = []
        word = ""
        while self.kind() != "end" and self.peek() not in (",", ";"):
            if self.accept("or"):
                names, word = [*names, word], ""
            else:
                word += self.take().text
        return Group("cell", tuple(Ref(v) for v in [*names, word]), span=self.since(start))

    def group(self) -> Group:
        """U, I, T(t), {a, …, b}, and unions and differences of such."""
        start = self.span()
        found = self.one_group()
        while sign := self.accept("∪", "∖", "-", "+"):
            kind = {"-": "∖", "+": "∪"}.get(sign.text, sign.text)
            found = Group(kind, (found, self.one_group()), span=self.since(start))
        return found

    def one_group(self) -> Group:
        start = self.span()
        if self.peek() == "(":
            found = self.bracketed(self.group)
            assert isinstance(found, Group)
            return found
        name = self.accept("U", "I", "T", "𝒟")
        if name is None:
            raise IllFormed(
                f"{_said(self.peek())} is no set of indices; there are U (units), I (input lines) "
                "and T(t) (units with a target at t)",
                start,
            )
        if name.text != "T":
            return Group(name.text, span=start)
        if self.peek() != "(":
            raise IllFormed("T needs its time, as in T(t)", start)
        time = self.bracketed(self.sum_expr)
        return Group("T", (time,), span=self.since(start))

    # --- expressions --------------------------------------------------------------------------

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

    def script(self, read: Callable[[], Node]) -> Node:
        """What stands in an exponent: in braces, or one thing."""
        if self.peek() == "{":
            return self.bracketed(self.sum_expr)
        if self.peek() == "-":
            return self.signed()
        return read()

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
            raise IllFormed(f"something should stand before {_said(text)}{inside}", start)
        raise IllFormed(f"{_said(text)} has no meaning here", start)

    def number(self) -> Node:
        token = self.take()
        if token.text == "1" and self.peek() in ("{", r"\{", "_"):
            return self.indicator(token.span)
        return Num(Fraction(token.text), span=token.span)

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

    def close_indicator(self, opening: Token) -> None:
        self.depth += 1
        self.close(opening)

    # --- letters ------------------------------------------------------------------------------

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
        power: Node | None = None
        while True:
            if self.accept("'"):
                primes += 1
            elif self.peek() == "_":
                self.take()
                lower += self.indices()
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
                lower += self.square_indices()
            else:
                break
        name, lower, primes = _time_letter(name, lower, primes)
        args = None
        if self.peek() == "(" and (name in self.of_time or dotted):
            args = self.arguments()
        elif lower and args is None and name in self.of_time and len(lower) > 1:
            lower, args = _times_last(name, lower, args, self.tokens[self.at - 1])
        found_ref: Node = Ref(
            "ẏ" if dotted and name == "y" else ("d" + name if dotted else name),
            mark, upper, lower, args, primes, span=self.since(start),
        )  # fmt: skip
        if name == "δ" and len(lower) == 2 and args is None and not upper:
            found_ref = Indicator(Compare(lower[0], "=", lower[1]), span=self.since(start))
        if power is not None:
            return Pow(found_ref, power, span=self.since(start))
        return found_ref

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
            raise IllFormed(f"{_said(token.text)} is no letter", token.span)
        name = token.text
        if name == "t" and self.kind() == "number" and self.span()[0] == token.span[1]:
            name += self.take().text  # t0, t1
        if name == "Δ":
            if self.kind() != "name":
                raise IllFormed("Δ needs what it is of, as in Δt or Δw_ij", token.span)
            name += self.take().text
        return name, dotted

    def square(self, name: str) -> bool:
        """Whether [ is an index, as in eps[k], and not a bracket of a product."""
        before = self.tokens[self.at - 1]
        return before.kind == "name" and before.span[1] == self.span()[0]

    def square_indices(self) -> tuple[Node, ...]:
        found: list[Node] = []

        def read() -> Node:
            found.append(self.sum_expr())
            while self.accept(","):
                found.append(self.sum_expr())
            return found[0]

        self.bracketed(read)
        return tuple(found)

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
            raise IllFormed(f"{_said(self.peek())} is no index", self.span())
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
            start = self.take()
            while self.peek() != ")" and self.kind() != "end":
                mark += self.take().text
            if self.kind() == "end":
                raise IllFormed("unbalanced bracket: ( is never closed", start.span)
            self.take()
        while self.kind() == "name" and (braced or name == "p" and not upper):
            upper += _letters(self.take())
        if braced:
            self.close_indicator(opening)
        return mark, tuple(upper)

    def arguments(self) -> tuple[Node, ...]:
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

    # --- Σ ----------------------------------------------------------------------------------

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
            raise IllFormed(f"{_said(self.peek())} is no letter to sum over", start)
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

    # --- derivatives --------------------------------------------------------------------------

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
                raise IllFormed(f"∂ should stand here, not {_said(self.peek())}", self.span())
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

    def called_slope(self, start: Span) -> Node:
        over, under = self.pair()
        return Slope(over, under, span=self.since(start))

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

    # --- cases --------------------------------------------------------------------------------

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
                                f"{_said(self.peek())}", start)  # fmt: skip
            self.take()
        elif opening is not None and not self.accept("}", r"\}"):
            raise IllFormed("unbalanced bracket: { of these cases is not closed", start)
        return Cases(tuple(rows), span=self.since(start))

    def case_condition(self) -> Condition | None:
        self.accept("&", ",")
        if self.accept("otherwise", "else"):
            return None
        if not self.accept("for", "if") and self.kind() == "word":
            raise IllFormed(f"{_said(self.peek())} has no meaning in cases", self.span())
        (condition, *more) = self.condition()
        if more:
            raise IllFormed("a case has one condition", condition.span)
        return condition


def _said(text: str) -> str:
    return text if text == END else f"{text.removeprefix(chr(92)) if len(text) == 2 else text!s}"


def _product(left: Node, right: Node, span: Span) -> Node:
    factors = (
        *(left.factors if isinstance(left, Mul) else (left,)),
        *(right.factors if isinstance(right, Mul) else (right,)),
    )
    return Mul(factors, span=span)


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
