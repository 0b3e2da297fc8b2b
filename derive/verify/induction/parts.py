"""What a proof is made of: numbered equations in lemmas, each with its base and its step."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from sympy import Expr

from derive.calculus.steps import Step
from derive.verify.induction.network import DOT
from derive.verify.induction.sums import Normal, Space, left_over

WIDTH = 92


@dataclass(frozen=True)
class Line:
    """One equation of a proof, whether it holds, and where it does not.

    Attributes
    ----------
    step : Step
        Number, sides, rule.
    holds : bool
        Whether the normal form of the difference of the sides is empty, in every case.
    against : str
        The case in which it is not.
    """

    step: Step
    holds: bool = True
    against: str = ""

    def __str__(self) -> str:
        found = "" if self.holds else f"   DOES NOT HOLD{self.against}"
        return f"{self.step}{found}"


@dataclass(frozen=True)
class Lemma:
    """A statement with what is supposed, and equations for its base and its step.

    Attributes
    ----------
    name, statement, hypothesis : str
        What is claimed, in words and letters, and what of earlier (or later) steps is supposed.
    base, step : tuple of Line
        The equations that were put into normal form.
    so : str
        What follows.
    """

    name: str
    statement: str
    hypothesis: str = ""
    base: tuple[Line, ...] = ()
    step: tuple[Line, ...] = ()
    so: str = ""

    @property
    def holds(self) -> bool:
        """Whether it has equations and all of them hold."""
        return bool(self.base + self.step) and all(v.holds for v in self.base + self.step)

    @property
    def failed(self) -> tuple[Line, ...]:
        """The equations that do not hold."""
        return tuple(v for v in self.base + self.step if not v.holds)


@dataclass(eq=False)
class Page:
    """A proof being written: gives numbers to its equations, and judges them."""

    count: int = 0
    rest: dict[int, Normal] = field(default_factory=dict)

    def line(
        self, left: Expr, right: Expr, rule: str, *ranges: str,
        cases: Sequence[tuple[Expr, Expr, Space, str]],
    ) -> Line:  # fmt: skip
        """Write an equation, and judge it in every case of where its indices are.

        ``cases`` has the two sides that are compared, how they are read, and in words which case.
        """
        self.count += 1
        step = Step(self.count, left, right, rule, ranges)
        for one, other, space, words in cases:
            rest = left_over(one, other, space)
            if rest:
                self.rest[self.count] = rest
                return Line(step, False, f" for {words}" if words else "")
        return Line(step)


@dataclass(frozen=True)
class Proof:
    """That the derived equations give the derivative, for every number of units and steps.

    Attributes
    ----------
    network, algorithm : str
        Whose equations.
    lemmas : tuple of Lemma
        In the order they rest on one another.
    scope : str
        What is proved, of what, and what is assumed.
    reason : str
        Why nothing was attempted; empty where it was.

    Examples
    --------
    >>> print(derive.prove(net, algorithm="rtrl"))
    """

    network: str
    algorithm: str
    lemmas: tuple[Lemma, ...]
    scope: str
    reason: str = ""

    @property
    def attempted(self) -> bool:
        """Whether the network and the algorithm are within what induction is carried out for."""
        return not self.reason

    @property
    def holds(self) -> bool:
        """Whether every lemma was proved."""
        return bool(self.lemmas) and all(v.holds for v in self.lemmas)

    @property
    def failed(self) -> tuple[Line, ...]:
        """The equations that do not hold."""
        return tuple(line for v in self.lemmas for line in v.failed)

    def __str__(self) -> str:
        lines = [f"{self.network}: {self.algorithm}, by induction", ""]
        if self.reason:
            return "\n".join([*lines, f"not attempted: {self.reason}"])
        for number, v in enumerate(self.lemmas, 1):
            lines += [f"{number}. {v.name}", f"   Claim. {v.statement}"]
            if v.hypothesis:
                lines.append(f"   Hypothesis. {v.hypothesis}")
            for title, part in (("Base", v.base), ("Step", v.step)):
                if part:
                    lines.append(f"   {title}.")
                    lines += [row for one in part for row in _rows(one)]
            lines.append(f"   {v.so}  ∎" if v.holds and v.so else
                         "   ∎" if v.holds else "   NOT PROVED")  # fmt: skip
            lines.append("")
        verdict = "Proved" if self.holds else "NOT PROVED"
        return "\n".join([*lines, f"{verdict}: {self.scope}"])

    def latex(self) -> str:
        """The proof as paragraphs, each with an ``align`` environment."""
        blocks = []
        for v in self.lemmas:
            blocks.append(rf"\paragraph{{{_plain(v.name)}}} {_plain(v.statement)}")
            if v.hypothesis:
                blocks.append(rf"\emph{{Hypothesis.}} {_plain(v.hypothesis)}")
            for title, part in (("Base", v.base), ("Step", v.step)):
                if part:
                    rows = " \\\\\n".join(_dotted(line.step.latex()) for line in part)
                    blocks.append(rf"\emph{{{title}.}}")
                    blocks.append(f"\\begin{{align}}\n{rows}\n\\end{{align}}")
            blocks.append(_plain(v.so) + r" \hfill$\square$" if v.holds else "Not proved.")
        blocks.append(_plain(self.scope or f"Not attempted: {self.reason}"))
        return "\n\n".join(blocks)

    def _repr_latex_(self) -> str:
        return self.latex()


def _rows(line: Line) -> list[str]:
    text = f"     {line}"
    if len(text) > WIDTH:
        return [text, f"{'':>{WIDTH - 30}}   {line.step.rule}"]
    return [f"{text:<{WIDTH}}   {line.step.rule}"]


def _dotted(text: str) -> str:
    """Tangents with LaTeX's dot, over all of a name."""
    return re.sub(rf"([\w′\\{{}}]+?){DOT}+", lambda v: rf"\dot{{{v[1]}}}", text)


def _plain(text: str) -> str:
    """A sentence in LaTeX: letters with marks stay as they are."""
    return re.sub(r"([_%#&])", r"\\\1", text).replace("^", r"\^{}")
