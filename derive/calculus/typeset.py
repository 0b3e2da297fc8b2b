"""The same equations for LaTeX: order and parentheses are inherited, only the marks differ."""

from __future__ import annotations

from typing import Any

import sympy
from sympy import Expr

from derive.calculus.notation import Terminal

LETTERS = {
    "ε": r"\varepsilon", "δ": r"\delta", "Δ": r"\Delta ", "η": r"\eta", "τ": r"\tau",
    "τ′": r"\tau'", "t₀": "t_0", "t₁": "t_1", "θ": r"\theta", "Θ": r"\Theta", "ζ": r"\zeta",
    "ρ": r"\rho", "D₁": "D_1", "ŷ": r"\hat{y}", "∂": r"\partial ",
}  # fmt: skip
WORDS = {
    "∪": r"\cup ", "∈": r"\in ", "…": r",\dots,", "𝒟": r"\mathcal{D}", "≥": r"\ge", "≤": r"\le",
    "≠": r"\ne", "−": "-", "′": "'",
}  # fmt: skip
DOT = "̇"
"""The mark of a derivative by time, within a name."""
NAMED = frozenset("exp log sin cos tan sinh cosh tanh max min arg".split())


class Latex(Terminal):
    """The same equation for LaTeX: order and parentheses are inherited, only the marks differ."""

    minus, times = "-", r"\,"

    def name(self, name: str) -> str:
        """A letter, Greek or not, or a name set upright."""
        if name in LETTERS:
            return LETTERS[name]
        if name.endswith("*"):
            return f"{self.name(name[:-1])}^{{*}}"
        if name.startswith("∂, "):  # of what lies further back, and of which state
            return rf"\partial ,{self.name(name[3:])}"
        if DOT in name:
            return rf"\dot{{{self.name(name.replace(DOT, ''))}}}"
        base, digits = _numbered(name)
        if digits:
            return f"{self.name(base)}_{{{digits}}}"
        plain = name.rstrip("′").replace("_", r"\_")
        return (plain if len(plain) == 1 else rf"\mathrm{{{plain}}}") + "'" * name.count("′")

    def script(self, name: str, mark: str, below: str) -> str:
        """A name with superscript and subscript; a star joins the superscript."""
        star = "*" * (bool(mark) and name.endswith("*"))
        name = name.removesuffix(star)
        above = f"^{{{star}({self.name(mark[1:-1])})}}" if mark else ""
        base, digits = _numbered(name)
        if digits:
            name, below = base, f"{digits},{below}"
        return f"{self.name(name)}{above}_{{{below}}}"

    def tiers(self, name: str, above: str, below: str) -> str:
        """A name with superscript and subscript; a star joins the superscript."""
        star = "*" * name.endswith("*")
        return f"{self.name(name.removesuffix('*'))}^{{{star}{above}}}_{{{below}}}"

    def delayed(self, weight: str, delay: str) -> str:
        """A weight with its delay as a superscript, beside the mark it may have."""
        head, mark, below = weight.partition("}_{")
        if mark and "^{" in head:
            return f"{head}({delay})}}_{{{below}"
        return f"{weight}^{{({delay})}}"

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
        """A power; what ends with a superscript of its own is kept together."""
        base = f"{{{text}}}" if "^" in text and not text.endswith(")") else text
        return f"{base}^{{{self._print(power)}}}"

    def big_sum(self, place: str) -> str:
        """Σ over a place; a range in time has its ends below."""
        head, _, cell = place.partition(" with cell ")
        first, _, last = head.partition("…")
        escaped = cell.replace("_", r"\_")
        below = first + (rf"\text{{ with cell {escaped}}}" if cell else "")
        above = f"^{{{last}}}" if last else ""
        return rf"\sum_{{{in_latex(below)}}}{above} "

    def integral(self, body: str, index: str, low: str, high: str) -> str:
        """∫ of a body between two ends."""
        return rf"\int_{{{low}}}^{{{high}}} {body}\,\mathrm{{d}}{index}"

    def largest(self, place: str) -> str:
        """max over a place."""
        return rf"\max_{{{in_latex(place)}}} "

    def _print_KroneckerDelta(self, expr: Any) -> str:
        return rf"\mathbf{{1}}\{{{'='.join(sorted(self._print(v) for v in expr.args))}\}}"

    def derivative(self, above: str, below: str, of: str, by: str) -> str:
        """A derivative as a fraction."""
        mark = {"∂⁺": r"\partial^{+}", "∂°": r"\partial^{\circ}"}.get(above, r"\partial ")
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


def _numbered(name: str) -> tuple[str, str]:
    """A letter, and the number of the term it belongs to."""
    base = name.rstrip("₀₁₂₃₄₅₆₇₈₉")
    return base, name[len(base) :].translate(str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789"))


def in_latex(text: str) -> str:
    """The marks of a range in LaTeX; letters already written are left alone."""
    for mark, word in {**WORDS, **{k: v + " " for k, v in LETTERS.items() if k != "τ′"}}.items():
        text = text.replace("τ′", r"\tau'").replace(mark, word)
    return text


def as_latex(expr: Expr) -> str:
    """An expression for LaTeX's mathematics mode."""
    return str(Latex().doprint(expr))
