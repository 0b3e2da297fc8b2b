"""For which indices and times: ``k∈U``, ``τ = t₁…t₀+2``, ``i = k``; and sets of them."""

from __future__ import annotations

from derive.claims.grammar.cursor import Cursor, said
from derive.claims.syntax import Compare, Condition, Group, IllFormed, Member, Ref


class Conditions(Cursor):
    """Reads conditions and sets."""

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
                f"{said(self.peek())} should be ∈, =, < or ≤: a condition says which indices "
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
                f"{said(self.peek())} is no set of indices; there are U (units), I (input lines) "
                "and T(t) (units with a target at t)",
                start,
            )
        if name.text != "T":
            return Group(name.text, span=start)
        if self.peek() != "(":
            raise IllFormed("T needs its time, as in T(t)", start)
        time = self.bracketed(self.sum_expr)
        return Group("T", (time,), span=self.since(start))
