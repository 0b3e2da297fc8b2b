"""How an equation in index form is written: for a terminal, and for LaTeX.

Order and parentheses are decided once, in :class:`Terminal`; :class:`Latex` changes only the marks.
Index ranges turn back into the sets they stand for: Σ over l∈U∪I, over k∈T(t).
"""

from __future__ import annotations

import re
from typing import Any

import sympy
from sympy import Expr, KroneckerDelta, Sum, Symbol
from sympy.printing.printer import Printer

from derive.calculus.indexed import DELAYS, MEMBER, SIGNALS, UNITS, Ordered, Slope, e, w


class Terminal(Printer):  # type: ignore[misc]
    """One line of readable Unicode."""

    minus, times, space = "−", "·", " "

    # --- how things are ordered ---------------------------------------------------------------

    def terms(self, expr: Expr) -> list[tuple[bool, Expr]]:
        """The terms of a sum as (negative, without its sign): short and positive ones first."""
        signed = [self.signed(term) for term in expr.args]
        return sorted(
            signed,
            key=lambda s: (
                s[1].has(Sum),
                s[0],
                not (s[1].is_Atom or isinstance(s[1], sympy.Indexed)),
                isinstance(s[1], sympy.Number) == is_time(expr),
                not s[1].has(w, e),
                not (s[1].is_Symbol and s[1].name[0] in "τt"),
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
        elif isinstance(factor, (Slope, Ordered)):
            place = 5
        elif isinstance(factor, KroneckerDelta):
            place = 7
        elif isinstance(factor, Sum):
            place = 8
        elif isinstance(factor, sympy.Indexed):
            letter = str(factor.base.label)[0]
            place = {"w": 1, "ε": 4, "δ": 4, "x": 6}.get(letter, 2)
            if str(factor.base.label)[1:2] not in ("", "^", "′"):
                place = 2
        elif factor.is_Add:
            place = 3
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

    def place(self, index: Symbol, low: Expr, high: Expr, body: Expr) -> tuple[str, Expr]:
        """What a sum runs over, and its body; a factor T[k, t] narrows U to T(t)."""
        name = self._print(index)
        for f in sympy.Mul.make_args(body):
            if isinstance(f, sympy.Indexed) and f.base == MEMBER and f.indices[0] == index:
                return f"{name}∈T({self._print(f.indices[1])})", body / f
        sets = {UNITS: "U", SIGNALS: "U∪I", DELAYS: "𝒟"}
        if (low, high) in sets:
            return f"{name}∈{sets[low, high]}", body
        cell = re.fullmatch(r"n\[(.*)\] - 1", str(high))
        if cell:
            return f"{name} with cell {cell[1]}", body
        return f"{name}={self._print(low)}…{self._print(high)}", body

    def big_sum(self, place: str) -> str:
        """Σ over a place."""
        return f"Σ_{{{place}}} "

    # --- leaves -------------------------------------------------------------------------------

    def name(self, name: str) -> str:
        """A letter or a user's name."""
        return name

    def _print_Symbol(self, expr: Symbol) -> str:
        return self.name(expr.name)

    def _print_Indexed(self, expr: Any) -> str:
        label, at = str(expr.base.label), [self._print(v) for v in expr.indices]
        name, _, mark = label.partition("^")
        if label == "w" or label.startswith("w^"):
            return self.script(name, mark, "".join(at[:2])) + (
                self.delay_mark(at[2]) if len(at) > 2 else ""
            )
        text = self.script(name, mark, at[0])
        return f"{text}({at[1]})" if len(at) > 1 else text

    def script(self, name: str, mark: str, below: str) -> str:
        """A name with what stands above and below it."""
        return f"{self.name(name)}{'^' + mark if mark else ''}_{below}"

    def delay_mark(self, delay: str) -> str:
        """The delay of a weight."""
        return f"^({delay})"

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
        if isinstance(expr.lhs, sympy.Indexed) and expr.lhs.base == MEMBER:
            unit, time = (self._print(v) for v in expr.lhs.indices)
            return f"{unit}∈T({time})"
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


LETTERS = {
    "ε": r"\varepsilon", "δ": r"\delta", "Δ": r"\Delta ", "η": r"\eta", "τ": r"\tau",
    "τ′": r"\tau'", "t₀": "t_0", "t₁": "t_1", "θ": r"\theta",
}  # fmt: skip
WORDS = {
    "∪": r"\cup ", "∈": r"\in ", "…": r",\dots,", "𝒟": r"\mathcal{D}", "≥": r"\ge", "≤": r"\le",
    "≠": r"\ne", "−": "-",
}  # fmt: skip
NAMED = frozenset("exp log sin cos tan sinh cosh tanh max min arg".split())


class Latex(Terminal):
    """The same equation for LaTeX: order and parentheses are inherited, only the marks differ."""

    minus, times = "-", r"\,"

    def name(self, name: str) -> str:
        """A letter, Greek or not, or a name set upright."""
        if name in LETTERS:
            return LETTERS[name]
        plain = name.rstrip("′").replace("_", r"\_")
        return (plain if len(plain) == 1 else rf"\mathrm{{{plain}}}") + "'" * name.count("′")

    def script(self, name: str, mark: str, below: str) -> str:
        """A name with superscript and subscript."""
        above = f"^{{({self.name(mark[1:-1])})}}" if mark else ""
        return f"{self.name(name)}{above}_{{{below}}}"

    def delay_mark(self, delay: str) -> str:
        """The delay of a weight, as a superscript."""
        return f"^{{({delay})}}"

    def fraction(self, above: list[Expr], below: list[Expr]) -> str:
        """A fraction."""
        over, under = (
            self._print(f[0]) if len(f) == 1 else self.times.join(self.factor(v) for v in f)
            for f in (above, below)
        )
        return rf"\frac{{{over or '1'}}}{{{under}}}"

    def _print_Rational(self, expr: Any) -> str:
        return rf"{'-' * (expr.p < 0)}\frac{{{abs(expr.p)}}}{{{expr.q}}}"

    def group(self, text: str) -> str:
        """In parentheses that grow."""
        return rf"\left({text}\right)"

    def root(self, text: str) -> str:
        """A square root."""
        return rf"\sqrt{{{text}}}"

    def raised(self, text: str, power: Expr) -> str:
        """A power."""
        return f"{text}^{{{self._print(power)}}}"

    def big_sum(self, place: str) -> str:
        """Σ over a place; a range in time has its ends below."""
        head, _, cell = place.partition(" with cell ")
        first, _, last = head.partition("…")
        escaped = cell.replace("_", r"\_")
        below = first + (rf"\text{{ with cell {escaped}}}" if cell else "")
        above = f"^{{{last}}}" if last else ""
        return rf"\sum_{{{in_latex(below)}}}{above} "

    def _print_KroneckerDelta(self, expr: Any) -> str:
        return rf"\mathbf{{1}}\{{{'='.join(sorted(self._print(v) for v in expr.args))}\}}"

    def derivative(self, above: str, below: str, of: str, by: str) -> str:
        """A derivative as a fraction."""
        mark = r"\partial^{+}" if above == "∂⁺" else r"\partial "
        return rf"\frac{{{mark}{of}}}{{\partial {by}}}"

    def _print_Total(self, expr: Any) -> str:
        return rf"J^{{\mathrm{{total}}}}({','.join(self._print(v) for v in expr.args)})"

    def function(self, name: str) -> str:
        """An upright name."""
        return f"\\{name}" if name in NAMED else rf"\operatorname{{{name}}}"

    def _print_Relational(self, expr: Any) -> str:
        return in_latex(super()._print_Relational(expr))

    def _print_And(self, expr: Any) -> str:
        return r" \land ".join(sorted(self._print(v) for v in expr.args))

    def _print_Or(self, expr: Any) -> str:
        return r" \lor ".join(sorted(self._print(v) for v in expr.args))

    def _print_Piecewise(self, expr: Any) -> str:
        rows = []
        for value, condition in expr.args:
            when = r"\text{otherwise}" if condition == sympy.true else self._print(condition)
            rows.append(rf"{self._print(value)} & {when}")
        return r"\begin{cases}" + r" \\ ".join(rows) + r"\end{cases}"


def is_time(expr: Expr) -> bool:
    """Whether a sum counts steps, as τ − 1 does, and is written without gaps."""
    return all(v.is_integer and v.is_Symbol for v in expr.free_symbols)


def in_latex(text: str) -> str:
    """The marks of a range in LaTeX; letters already written are left alone."""
    for mark, word in {**WORDS, **{k: v + " " for k, v in LETTERS.items() if k != "τ′"}}.items():
        text = text.replace("τ′", r"\tau'").replace(mark, word)
    return text


def in_terminal(expr: Expr) -> str:
    """An expression as one line of Unicode."""
    return str(Terminal().doprint(expr))


def as_latex(expr: Expr) -> str:
    """An expression for LaTeX's mathematics mode."""
    return str(Latex().doprint(expr))
