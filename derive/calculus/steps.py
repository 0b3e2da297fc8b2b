"""A numbered equation with its rule, and the sheet a derivation is written on."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from html import escape

from sympy import Expr

from derive.calculus.form import Form
from derive.calculus.horizon import EPOCHWISE, Horizon
from derive.calculus.notation import in_terminal
from derive.calculus.typeset import as_latex, in_latex


@dataclass(frozen=True)
class Step:
    """One numbered equation, left = right (or ≈), and the rule that gives it.

    Attributes
    ----------
    number : int
        Its number, counted from 1; rules refer to it as ``(number)``.
    left, right : sympy.Expr
        The two sides, over ``Indexed``, ``Sum`` and ``KroneckerDelta``.
    rule : str
        In words, what gives it.
    ranges : tuple of str
        For which units and times it holds.
    name : str
        What finds it in the derivation; the last step of a name is its result.
    sign : str
        What stands between the two sides; ``≈`` where something is left out.
    part : str
        Which part of the derivation it belongs to: ``"forward"``, ``"objective"``, ``"error"``, …
    """

    number: int
    left: Expr
    right: Expr
    rule: str
    ranges: tuple[str, ...] = ()
    name: str = ""
    sign: str = "="
    part: str = ""

    def __str__(self) -> str:
        equation = f"{in_terminal(self.left)} {self.sign} {in_terminal(self.right)}"
        return ",  ".join([f"({self.number}) {equation}", *self.ranges])

    def latex(self) -> str:
        """The equation as one row of an ``align`` environment."""
        ranges = "".join(rf",\quad {range_in_latex(r)}" for r in self.ranges)
        sign = {"≈": r"\approx"}.get(self.sign, self.sign)
        return (
            rf"{as_latex(self.left)} &{sign} {as_latex(self.right)}{ranges}"
            rf" && \text{{{_escaped(self.rule)}}} \tag{{{self.number}}}"
        )

    def html(self) -> str:
        """The equation as one row of a table, in MathML."""
        from derive.calculus.mathml import as_mathml, range_as_mathml

        sides = f"{as_mathml(self.left)}<mo>{self.sign}</mo>{as_mathml(self.right)}"
        ranges = "".join(f", <math>{range_as_mathml(r)}</math>" for r in self.ranges)
        return (
            f'<tr><td>({self.number})</td><td><math displaystyle="true">{sides}</math>{ranges}</td>'
            f"<td>{escape(self.rule, quote=False)}</td></tr>"
        )


def range_in_latex(text: str) -> str:
    """For which units and times an equation holds, for LaTeX."""
    head, _, cell = text.partition(" with cell ")
    return in_latex(head) + (rf"\text{{ with cell {_escaped(cell)}}}" if cell else "")


def _escaped(text: str) -> str:
    return text.replace("_", r"\_").replace("′", "'")


def as_it_is(expr: Expr) -> Expr:
    """How most equations are written."""
    return expr


@dataclass(eq=False)
class Sheet:
    """A derivation being written: its steps so far, and where each thing was found.

    ``numbers`` leads from a step's name, a cell's equation or a cell's partial to its number. Both
    sides of each equation go through ``writing``. Steps that are written belong to ``part``.
    """

    form: Form
    horizon: Horizon = EPOCHWISE
    writing: Callable[[Expr], Expr] = as_it_is
    steps: list[Step] = field(default_factory=list)
    numbers: dict[Hashable, int] = field(default_factory=dict)
    part: str = ""

    def add(
        self, name: str, left: Expr, right: Expr, rule: str, *ranges: str, sign: str = "="
    ) -> int:
        """Write the next step; its number is returned, for rules that refer to it."""
        number = len(self.steps) + 1
        left, right = self.writing(left), self.writing(right)
        self.steps.append(Step(number, left, right, rule, ranges, name, sign, self.part))
        self.numbers[name] = number
        return number

    def step(self, name: str) -> Step:
        """The last step of that name."""
        return self.steps[self.numbers[name] - 1]

    def right(self, name: str) -> Expr:
        """What the last step of that name found."""
        return self.step(name).right


def cited(*numbers: int) -> str:
    """Numbers of equations, as a rule names them."""
    return ", ".join(f"({number})" for number in sorted(set(numbers)))
