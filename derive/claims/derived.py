"""Which equation of a derivation a claim is, whatever its letters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeGuard

from derive.calculus.derivation import derivation
from derive.claims.context import letter_of
from derive.claims.grammar.parser import parsed
from derive.claims.letters import CONSTANTS, SIZES, Letters
from derive.claims.syntax import Add, Chain, IllFormed, Mul, Node, Ref, Total
from derive.claims.trees import tidy
from derive.network.network import Network

Key = tuple[Node, Node]


def derived(net: Network, algorithm: str, letters: Letters) -> Mapping[Key, str]:
    """The equations of a derivation: each by its two sides, with its number and rule."""
    found: dict[Key, str] = {}
    for step in derivation(net, algorithm):
        number, text = str(step).split(" ", 1)
        try:
            chain: Chain = parsed(text, letters.of_time, letters.long)
        except IllFormed:  # a remark among equations
            continue
        key = key_of(*chain.sides[:2])
        found[key] = f"equation {number} of {algorithm}, {step.rule}"
    return found


def key_of(left: Node, right: Node) -> Key:
    """Two sides with their letters named in the order they stand, and sums in one order."""
    names: dict[str, str] = {}
    for side in (left, right):
        for part in side.walk():
            if _is_letter(part) and letter_of(part) not in CONSTANTS - SIZES:
                names.setdefault(letter_of(part), f"letter{len(names)}")
    return _ordered(tidy(left), names, 0), _ordered(tidy(right), names, 0)


def _is_letter(node: Node) -> TypeGuard[Ref]:
    return isinstance(node, Ref) and not node.lower and node.args is None and not node.mark


def _ordered(node: Node, names: Mapping[str, str], depth: int) -> Node:
    if isinstance(node, Total):
        inner = {**names, node.letter: f"sum{depth}"}
        body = _ordered(node.body, inner, depth + 1)
        domain = None if node.domain is None else _ordered(node.domain, names, depth)
        return replace(node, letter=f"sum{depth}", domain=domain, body=body)  # type: ignore[arg-type]
    if _is_letter(node):
        return Ref(names.get(letter_of(node), letter_of(node)))
    found = node.mapped(lambda part: _ordered(part, names, depth))
    if isinstance(found, Add):
        return Add(tuple(sorted(found.terms, key=repr)))
    if isinstance(found, Mul):
        return Mul(tuple(sorted(found.factors, key=repr)))
    return found
