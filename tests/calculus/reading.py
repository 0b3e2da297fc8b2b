"""What holds of the lines of any derivation."""

from __future__ import annotations

import re

import sympy

from derive.calculus import indexed as ix
from derive.calculus.derivation import Derivation
from derive.calculus.indexed import Slope, k, l


def assert_well_written(d: Derivation) -> None:
    """Lines are numbered, cite earlier ones only, have no nonsense in them, and typeset."""
    assert [q.number for q in d] == list(range(1, len(d) + 1))
    for q in d:
        cited = [int(number) for number in re.findall(r"\((\d+)\)", q.rule)]
        assert q.rule and all(number < q.number for number in cited), str(q)
        assert not {"nan", "zoo", "None"} & set(re.findall(r"\w+", str(q))), str(q)
    text = d.latex()
    assert text.count(r"\tag{") == len(d)
    assert text.count("{") == text.count("}")
    assert text.isascii(), sorted({c for c in text if not c.isascii()})


def chain_rules_that_hold(d: Derivation) -> int:
    """How many chain rules there are; an error if one is not what was found for it.

    Each line by name, and the line with what was found for the names, are one expression.
    """
    named = [q for q in d if isinstance(q.left, (Slope, ix.Within))]
    of_net_inputs = {q.left: q.right for q in d if re.match(r"p\(\w+′*\)_", q.name)}
    turned = {k: l, l: k}
    tried = 0
    for first, last in zip(d.steps, d.steps[1:], strict=False):
        if first.left != last.left or not first.rule.startswith("chain rule"):
            continue
        if first.name.startswith("gradient"):
            continue
        cell = last.name.partition("/")[2]
        here = [q for q in named if q.name.partition("/")[2] in ("", cell)]
        found = {q.left: q.right for q in here}
        found |= {a.xreplace(turned): b.xreplace(turned) for a, b in found.items()}
        raw, result = first.right, last.right
        for _ in range(4):  # a slope may be found in terms of slopes
            raw, result = raw.xreplace(found), result.xreplace(found)
            raw = raw.xreplace(of_net_inputs)
            result = result.xreplace(of_net_inputs)
        assert sympy.expand(raw - result) == 0, str(last)
        tried += 1
    return tried
