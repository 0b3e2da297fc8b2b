"""Formulas of one line as pieces of text: which stand above, on, or below the line."""

from __future__ import annotations

import re
from collections.abc import Iterator

SCRIPT = re.compile(
    r"\^(?P<above>\*?\([^()]*\)[A-Za-z0-9]*|[A-Za-z0-9*]+)"
    r"|_\{(?P<range>[^{}]*)\}"
    r"|(?<=[\w)*])_(?P<below>(?:\([^()]*\))?[A-Za-z0-9_,]+′?)"
)
SIZE, SCRIPT_SIZE = 13.0, 11.0
"""Of letters on the line, and above or below it."""


def pieces(formula: str) -> Iterator[tuple[int, str]]:
    """(1, 0 or −1, text): what stands above, on and below the line.

    ``w^(s)_ij`` is w, (s) above and ij below; ``Σ_{l∈U}`` has its range below.
    """
    end = 0
    for found in SCRIPT.finditer(formula):
        if found.start() > end:
            yield 0, formula[end : found.start()]
        kind = found.lastgroup or ""
        yield (1 if kind == "above" else -1), found[kind]
        end = found.end()
    if end < len(formula):
        yield 0, formula[end:]


def width(formula: str) -> float:
    """About how wide a formula is, in px."""
    return sum(len(t) * 0.6 * (SCRIPT_SIZE if place else SIZE) for place, t in pieces(formula))
