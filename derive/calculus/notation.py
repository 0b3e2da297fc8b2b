"""How an equation in index form is written: order, parentheses, and the marks of a terminal.

Index ranges turn back into the sets they stand for: Σ over l∈U∪I, over k∈T(t). A quantity that is
of one thing and by another is written on two tiers, p^k_ij(τ). ``typeset.py`` has LaTeX's marks.
"""

from __future__ import annotations

import re
from typing import Any

import sympy
from sympy import Expr, KroneckerDelta, Sum, Symbol
from sympy.printing.printer import Printer

from derive.calculus.indexed import (
    DELAYS,
    DELAYS_FROM_NOW,
    GROUP,
    MEMBER,
    SIGNALS,
    UNITS,
    OfConnection,
    Ordered,
    Slope,
    Within,
    e,
    w,
)


class Terminal(Printer):  # type: ignore[misc]
    """One line of readable Unicode."""

    minus, times, space = "−", "·", " "

    # --- how things are ordered ---------------------------------------------------------------

    def terms(self, expr: Expr) -> list[tuple[bool, Expr]]:
        """The terms of a sum as (negative, without its sign): short and positive ones first.

        In a time what steps are counted from comes first, and a number last: t−h+1.
        """
        signed = [self.signed(term) for term in expr.args]
        if is_time(expr):
            return sorted(
                signed,
                key=lambda s: (
                    isinstance(s[1], sympy.Number),
                    not (s[1].is_Symbol and s[1].name[0] in "τt"),
                    not s[0],
                    self._print(s[1]),
                ),
            )
        return sorted(
            signed,
            key=lambda s: (
                s[1].has(Sum),
                s[0],
                any(is_sensitivity(v) for v in s[1].atoms(sympy.Indexed)),
                not (s[1].is_Atom or isinstance(s[1], sympy.Indexed)),
                not isinstance(s[1], sympy.Number),
                not s[1].has(w, e),
                len(self._print(s[1])),
                self._print(s[1]),
            ),
        )

    def signed(self, term: Expr) -> tuple[bool, Expr]:
        """Whether a term is negative, and the term without its sign; −y(y − 1) is y(1 − y)."""
        if term.as_coeff_Mul()[0].is_negative:
            for factor in sympy.Mul.make_args(term):
                if factor.is_Add and any(p.as_coeff_Mul()[0].is_negative for p in factor.args):
                    return False, sympy.Mul(
                        -1, -factor, *(f for f in sympy.Mul.make_args(term) if f is not factor)
                    )
            return True, -term
        return False, term

    def rank(self, factor: Expr) -> tuple[int, str]:
        """Where a factor stands in a product."""
        place = 2
        if isinstance(factor, sympy.Number):
            place = 0
        elif isinstance(factor, (Slope, Within, Ordered)):
            place = 5
        elif isinstance(factor, KroneckerDelta):
            place = 7
        elif isinstance(factor, Sum):
            place = 8
        elif isinstance(factor, sympy.Indexed):
            letter, after = str(factor.base.label)[0], str(factor.base.label)[1:2]
            place = {"w": 1, "ε": 4, "δ": 4, "x": 6}.get(letter, 2)
            if after not in ("", "^", "′", "*"):
                place = 2
            if is_tiered(factor):
                place = 5 if is_sensitivity(factor) else 4
        elif factor.is_Add:
            late = factor.has(Sum) or any(is_tiered(v) for v in factor.atoms(sympy.Indexed))
            place = 7 if late else 3
        return place, self._print(factor)

    # --- sums, products, powers ---------------------------------------------------------------

    def _print_Add(self, expr: Expr) -> str:
        text = ""
        gap = "" if is_time(expr) else " "
        for negative, term in self.terms(expr):
            sign = self.minus if negative else "+"
            if not text:
                text = self.minus * negative + self._print(term)
            else:
                text += f"{gap}{sign}{gap}{self._print(term)}"
        return text

    def _print_Mul(self, expr: Expr) -> str:
        negative, expr = self.signed(expr)
        if negative or not expr.is_Mul:
            return self.minus * negative + self.factor(expr, last=True)
        above: list[Expr] = []
        below: list[Expr] = []
        for f in expr.args:
            if isinstance(f, sympy.Rational):
                above += [sympy.Integer(f.p)] * (f.p != 1)
                below += [sympy.Integer(f.q)] * (f.q != 1)
            elif f.is_Pow and f.exp.is_Rational and f.exp.is_negative:
                below.append(1 / f)
            else:
                above.append(f)
        above.sort(key=self.rank)
        sums = [f for f in above if isinstance(f, Sum)]
        front = [f for f in above if not isinstance(f, Sum)]
        if below:
            head = [self.fraction(front, sorted(below, key=self.rank))]
        else:
            head = [self.factor(f) for f in front]
        tail = [self.factor(f, last=f is sums[-1]) for f in sums]
        return self.times.join(head + tail)

    def fraction(self, above: list[Expr], below: list[Expr]) -> str:
        """A quotient of products."""
        over = self.times.join(self.factor(f) for f in above) or "1"
        under = self.times.join(self.factor(f) for f in below)
        return f"{over}/({under})" if len(below) > 1 else f"{over}/{under}"

    def factor(self, expr: Expr, last: bool = False) -> str:
        """A factor of a product, in parentheses where it needs them."""
        text = self._print(expr)
        loose = expr.is_Add or text.startswith(self.minus)
        return self.group(text) if loose or (isinstance(expr, Sum) and not last) else text

    def group(self, text: str) -> str:
        """In parentheses."""
        return f"({text})"

    def _print_Pow(self, expr: Expr) -> str:
        base, power = expr.args
        if power.is_Rational and power.is_negative:
            return self.fraction([], [1 / expr])
        if power == sympy.Rational(1, 2):
            return self.root(self._print(base))
        text = self._print(base)
        if not (base.is_Symbol or base.is_Function or isinstance(base, sympy.Indexed)):
            text = text if base.is_Integer and base >= 0 else self.group(text)
        return self.raised(text, power)

    def root(self, text: str) -> str:
        """A square root."""
        return f"√({text})"

    def raised(self, text: str, power: Expr) -> str:
        """A power."""
        if power.is_Integer:
            return text + str(power).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f"{text}^({self._print(power)})"

    def _print_Sum(self, expr: Sum) -> str:
        body, text = expr.function, ""
        for index, low, high in reversed(expr.limits):
            place, body = self.place(index, low, high, body)
            text += self.big_sum(place)
        return text + self.factor(body)

    def _print_Integral(self, expr: Any) -> str:
        ((index, low, high),) = expr.limits
        ends = self._print(low), self._print(high)
        return self.integral(self.factor(expr.function), self._print(index), *ends)

    def integral(self, body: str, index: str, low: str, high: str) -> str:
        """∫ of a body between two ends."""
        return f"∫_{low}…{high} {body} d{index}"

    def place(self, index: Symbol, low: Expr, high: Expr, body: Expr) -> tuple[str, Expr]:
        """What a sum runs over, and its body; a factor T[k, t] narrows U to T(t)."""
        name = self._print(index)
        for f in sympy.Mul.make_args(body):
            if is_member(f) and f.indices[0] == index:
                return f"{name}∈{self.members(f)}", body / f
            other = fellow(f, index)
            if other is not None:
                return f"{name}∈G({self._print(other)})", body / f
        if isinstance(body, sympy.Piecewise) and (common := _common_member(body, index)):
            cases = [(value / common, condition) for value, condition in body.args]
            return f"{name}∈{self.members(common)}", sympy.Piecewise(*cases)
        sets = {UNITS: "U", SIGNALS: "U∪I", DELAYS: "𝒟", DELAYS_FROM_NOW: "𝒟"}
        if (low, high) in sets:
            return f"{name}∈{sets[low, high]}", body
        cell = re.fullmatch(r"n\[(.*)\] - 1", str(high))
        if cell:
            return f"{name} with cell {cell[1]}", body
        return f"{name}={self._print(low)}…{self._print(high)}", body

    def big_sum(self, place: str) -> str:
        """Σ over a place."""
        return f"Σ_{{{place}}} "

    def members(self, member: Any) -> str:
        """The set T(t) that a membership T[k, t] is one of."""
        name = self.name(str(member.base.label))
        return f"{name}({self._print(member.indices[1])})" if len(member.indices) > 1 else name

    def _print_Largest(self, expr: Any) -> str:
        value, member, index = expr.args
        place, _ = self.place(index, *UNITS, member)
        return self.largest(place) + self.factor(value)

    def largest(self, place: str) -> str:
        """max over a place."""
        return f"max_{{{place}}} "

    def _print_Pool(self, expr: Any) -> str:
        name, time = expr.args
        return f"{self._print(name)}({self._print(time)})"

    # --- leaves -------------------------------------------------------------------------------

    def name(self, name: str) -> str:
        """A letter or a user's name."""
        return name

    def _print_Symbol(self, expr: Symbol) -> str:
        return self.name(expr.name)

    def _print_Indexed(self, expr: Any) -> str:
        label, at = str(expr.base.label), [self._print(v) for v in expr.indices]
        name, _, mark = label.partition("^")
        if is_weight(expr):
            text = self.script(name, mark, side_by_side(at[:2]))
            return self.delayed(text, at[2]) if len(at) > 2 else text
        if is_tiered(expr):
            return self.two_tiers(label, at)
        text = self.script(name, mark, at[0])
        return f"{text}({at[1]})" if len(at) > 1 else text

    def two_tiers(self, label: str, at: list[str]) -> str:
        """What is of the unit above, by what stands below."""
        name, of, by = [*label.split("|"), "", ""][:3]
        time = "" if name.endswith("*") else f"({at.pop()})"
        unit, *rest = at
        above = (f"({self.name(of)})" if of else "") + unit
        below = (f"({self.name(by)})" if by else "") + side_by_side(rest[:2])
        return self.tiers(name, above, ",".join([below, *rest[2:]])) + time

    def tiers(self, name: str, above: str, below: str) -> str:
        """A name with what it is of above and what it is by below."""
        return f"{name}^{above}_{below}"

    def script(self, name: str, mark: str, below: str) -> str:
        """A name with what stands above and below it."""
        return f"{self.name(name)}{'^' + mark if mark else ''}_{below}"

    def delayed(self, weight: str, delay: str) -> str:
        """A weight with its delay."""
        return f"{weight}^({delay})"

    def _print_Integer(self, expr: Any) -> str:
        return self.minus * bool(expr.p < 0) + str(abs(expr.p))

    def _print_Rational(self, expr: Any) -> str:
        return f"{self.minus * (expr.p < 0)}{abs(expr.p)}/{expr.q}"

    def _print_Float(self, expr: Any) -> str:
        return repr(float(expr)).replace("-", self.minus)

    def _print_KroneckerDelta(self, expr: Any) -> str:
        return f"1{{{'='.join(sorted(self._print(v) for v in expr.args))}}}"

    def _print_Slope(self, expr: Any) -> str:
        of, by = expr.args
        return self.derivative("∂", "∂", self._print(of), self._print(by))

    def _print_Within(self, expr: Any) -> str:
        of, by = expr.args
        return self.derivative("∂°", "∂", self._print(of), self._print(by))

    def _print_Ordered(self, expr: Any) -> str:
        of, by = expr.args
        return self.derivative("∂⁺", "∂", self._print(of), self._print(by))

    def derivative(self, above: str, below: str, of: str, by: str) -> str:
        """A derivative by name."""
        return f"{above}{of}/{below}{by}"

    def _print_J(self, expr: Any) -> str:
        return f"J({self._print(expr.args[0])})"

    def _print_Total(self, expr: Any) -> str:
        return f"J^total({','.join(self._print(v) for v in expr.args)})"

    def _print_Change(self, expr: Any) -> str:
        return f"{self.name('Δ')}{self._print(expr.args[0])}"

    def _print_Carried(self, expr: Any) -> str:
        return f"a({','.join(self._print(v) for v in expr.args)})"

    def _print_Abs(self, expr: Any) -> str:
        return f"|{self._print(expr.args[0])}|"

    def _print_Function(self, expr: Any) -> str:
        inside = ", ".join(self._print(v) for v in expr.args)
        return f"{self.function(type(expr).__name__)}({inside})"

    def _print_Max(self, expr: Any) -> str:
        inside = ", ".join(sorted(self._print(v) for v in expr.args))
        return f"{self.function(type(expr).__name__.lower())}({inside})"

    _print_Min = _print_Max

    def function(self, name: str) -> str:
        """The name of a function."""
        return name

    def _print_Relational(self, expr: Any) -> str:
        if is_member(expr.lhs):
            return f"{self._print(expr.lhs.indices[0])}∈{self.members(expr.lhs)}"
        signs = {"==": "=", ">=": "≥", "<=": "≤", "!=": "≠"}
        sign = signs.get(expr.rel_op, str(expr.rel_op))
        return f"{self._print(expr.lhs)} {sign} {self._print(expr.rhs)}"

    def _print_And(self, expr: Any) -> str:
        return " and ".join(sorted(self._print(v) for v in expr.args))

    def _print_Or(self, expr: Any) -> str:
        return " or ".join(sorted(self._print(v) for v in expr.args))

    def _print_Piecewise(self, expr: Any) -> str:
        *cases, (value, condition) = expr.args
        text = [f"{self._print(v)} for {self._print(c)}" for v, c in cases]
        last = self._print(value)
        text.append(f"{last} otherwise" if condition == sympy.true else f"{last} for {condition}")
        return "{" + "; ".join(text) + "}"

    def emptyPrinter(self, expr: Any) -> str:  # noqa: N802 - SymPy's name
        """What has no rule of its own is written as SymPy does."""
        return str(expr)


def side_by_side(indices: list[str]) -> str:
    """Indices one after the other; numbers of several digits are told apart."""
    return ("," if any(len(v) > 1 and v.isdigit() for v in indices) else "").join(indices)


def is_member(expr: Any) -> bool:
    """Whether an indexed quantity says that a unit is in a set: T, T₁, U₁, Θ₁."""
    if not isinstance(expr, sympy.Indexed):
        return False
    return expr.base == MEMBER or bool(re.fullmatch("[TUΘ][₀-₉]+", str(expr.base.label)))


def _common_member(cases: sympy.Piecewise, index: Symbol) -> Any:
    """The membership of a term's units by which every case is multiplied; SymPy put it there."""
    values = [set(sympy.Mul.make_args(value)) for value, _ in cases.args]
    common = set.intersection(*values)
    found = [f for f in common if is_member(f) and f.base != MEMBER and f.indices[0] == index]
    return found[0] if len(found) == 1 else None


def is_weight(expr: Any) -> bool:
    """Whether an indexed quantity is a weight, or another parameter of a connection."""
    label = str(expr.base.label)
    return isinstance(expr.base, OfConnection) or label == "w" or label.startswith("w^")


def is_tiered(expr: Any) -> bool:
    """Whether an indexed quantity is of one thing and by another; a weight is neither."""
    return "|" in str(expr.base.label) or (len(expr.indices) > 2 and not is_weight(expr))


def is_sensitivity(expr: Any) -> bool:
    """Whether an indexed quantity is a p."""
    return is_tiered(expr) and str(expr.base.label)[0] == "p"


def fellow(factor: Expr, index: Symbol) -> Expr | None:
    """The unit whose group a factor 1{G(index)=G(unit)} keeps an index to."""
    if isinstance(factor, KroneckerDelta):
        units = [v.indices[0] for v in factor.args if isinstance(v, sympy.Indexed)]
        if len(units) == 2 and all(v.base == GROUP for v in factor.args) and index in units:
            return next(v for v in units if v != index)
    return None


def is_time(expr: Expr) -> bool:
    """Whether a sum counts steps, as τ − 1 does, and is written without gaps."""
    return all(v.is_integer and v.is_Symbol for v in expr.free_symbols)


def in_terminal(expr: Expr) -> str:
    """An expression as one line of Unicode."""
    return str(Terminal().doprint(expr))
