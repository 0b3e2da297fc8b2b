"""The equations beneath a flow: the steps of the derivation that its arrows come from."""

from __future__ import annotations

import re

from derive.calculus.derivation import Derivation
from derive.calculus.form import Form
from derive.calculus.notation import in_terminal
from derive.calculus.steps import Step
from derive.pictures import words

WRAP = 104
MOST_LINES = 20

BACKWARD = r"(relaxed_)?(eps|delta)(\(.*\))?"
FORWARD = r"p(\(.*\))?_w(\(.*\))?"


def equations(derivation: Derivation, form: Form) -> list[str]:
    """The steps of the derivation that the arrows come from, wrapped, with their numbers.

    Where they are many, those of what only a unit computes on the way are left out first.
    """
    found = _wanted(derivation)
    inner = {f"eps({v.name})" for u in form.units for v in u.local.inner}
    lines = {n: wrapped(_written(derivation[n])) for n in found}
    ranked = sorted(found, key=lambda n: (n.partition("/")[0] in inner, n[:8] != "gradient"))
    kept: list[str] = []
    for name in ranked:
        if sum(len(lines[n]) for n in (*kept, name)) <= MOST_LINES or not kept:
            kept.append(name)
    shown = [line for n in found if n in kept for line in lines[n]]
    left = len(found) - len(kept)
    more = f"… and {words.many(left, 'more equation')} of the derivation"
    return [*shown, more] if left else shown


def _wanted(derivation: Derivation) -> list[str]:
    """The names of the steps that say what flows, in order."""
    forward = derivation.algorithm == "rtrl"
    names = [
        n
        for n in derivation.names
        if re.fullmatch(FORWARD if forward else BACKWARD, n.partition("/")[0])
    ]
    if any(n.startswith("relaxed") for n in names):
        names = [n for n in names if n.startswith("relaxed")]
    return names + [n for n in derivation.names if re.fullmatch(r"gradient_w(\(.*\))?", n)]


def _written(step: Step) -> str:
    left, right = in_terminal(step.left), in_terminal(step.right)
    return f"({step.number})  {left} {step.sign} {right}"


def wrapped(text: str, width: int = WRAP) -> list[str]:
    """Text broken before a plus or minus where it is too long."""
    lines, line = [], ""
    for part in re.split(r" (?=[+−] )", text):
        if line and len(line) + len(part) > width:
            lines.append(line)
            line = f"        {part}"
        else:
            line = f"{line} {part}" if line else part
    return [*lines, line]
