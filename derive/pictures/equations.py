"""The equations beneath a flow: the steps of the derivation that its arrows come from."""

from __future__ import annotations

import re

from derive.calculus.derivation import Derivation
from derive.calculus.form import Form
from derive.calculus.learned import learned
from derive.calculus.notation import in_terminal
from derive.calculus.steps import Step
from derive.pictures import words

WRAP = 104
MOST_LINES = 20


def equations(derivation: Derivation, form: Form) -> list[str]:
    """The steps of the derivation that the arrows come from, wrapped, with their numbers.

    Where they are many, those of what only a unit computes on the way are left out first.
    """
    found = _wanted(derivation, form)
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


def _wanted(derivation: Derivation, form: Form) -> list[str]:
    """The names of the steps that say what flows, in order; forward by the first weight only."""
    plain = {n: n.partition("/")[0] for n in derivation.names}
    if derivation.algorithm == "rtrl":
        by = [re.escape(theta.name) for theta in learned(form)[:1]]
        wanted = rf"(p(\(.*\))?|gradient)_({'|'.join(by)})" if by else "(?!)"
    elif any(n.startswith("relaxed") for n in plain.values()):
        wanted = r"relaxed_(eps|delta)(\(.*\))?|gradient_w(\(.*\))?"
    else:
        wanted = r"(eps|delta)(\(.*\))?|gradient_w(\(.*\))?"
    return [n for n in derivation.names if re.fullmatch(wanted, plain[n])]


def _written(step: Step) -> str:
    left, right = in_terminal(step.left), in_terminal(step.right)
    return f"({step.number})  {left} {step.sign} {right}"


def wrapped(text: str, width: int = WRAP) -> list[str]:
    """Text broken where it is too long: before a plus or minus that is in no parentheses."""
    lines, line = [], ""
    for part in _terms(text):
        if line and len(line) + len(part) > width:
            lines.append(line)
            line = f"        {part}"
        else:
            line = f"{line} {part}" if line else part
    return [*lines, line]


def _terms(text: str) -> list[str]:
    """Text in parts, each but the first beginning with a plus or minus."""
    depth, start, found = 0, 0, []
    for i, letter in enumerate(text):
        depth += (letter in "({[") - (letter in ")}]")
        if depth == 0 and letter == " " and text[i + 1 : i + 3] in ("+ ", "− "):
            found.append(text[start:i])
            start = i + 1
    return [*found, text[start:]]
