"""A picture of the grid: in each cell how many times faster than the best peer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import log2
from typing import Any
from xml.sax.saxutils import escape

BOX, TALL = 46, 18
LEFT, TOP, GAP = 190, 58, 26
FULL = 4.0
"""The power of two at which a colour is full: 16 times."""
AHEAD, BEHIND = (33, 102, 172), (178, 24, 43)


def heatmap(found: Mapping[str, Any]) -> str:
    """An SVG with a panel for each number of threads and each thing computed.

    Columns are sizes and densities, rows cells, types and batches. Blue is ahead of the best peer,
    red behind, and each box says the ratio in numbers.
    """
    cases = [c for c in found["cases"].values() if c.get("ratio")]
    parts: list[str] = []
    y, width = GAP, LEFT
    for title, panel in panels(cases):
        columns = sorted({(c["case"]["units"], -c["case"]["density"]) for c in panel})
        rows = sorted({_row_of(c) for c in panel}, key=_order)
        width = max(width, LEFT + BOX * len(columns) + GAP)
        parts.append(_text(GAP / 2, y + 4, title, "font-weight='bold'"))
        for i, (n, d) in enumerate(columns):
            x = LEFT + BOX * i + BOX / 2
            parts.append(_text(x, y + 26, f"n {n}", "text-anchor='middle'"))
            parts.append(_text(x, y + 42, f"{-100 * d:g} %", "text-anchor='middle'"))
        top = y + TOP - 8
        for j, name in enumerate(rows):
            parts.append(_text(LEFT - 8, top + TALL * j + 13, name, "text-anchor='end'"))
        for c in panel:
            i = columns.index((c["case"]["units"], -c["case"]["density"]))
            j = rows.index(_row_of(c))
            parts.append(_box(LEFT + BOX * i, top + TALL * j, c))
        y = top + TALL * len(rows) + GAP
    label = "How many times faster than the best peer, in each cell of the grid"
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{y}' "
        f"viewBox='0 0 {width} {y}' role='img' font-family='sans-serif' font-size='11'>\n"
        f"<title>{label}</title>\n<rect width='100%' height='100%' fill='white'/>\n"
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def panels(cases: Iterable[Mapping[str, Any]]) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """Cases that are drawn together, with a title."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for c in cases:
        what = c["case"]["what"]
        kind = what if what in ("gradient", "forward") else "online, per step"
        plural = "s" * (c["threads"] != 1)
        title = f"{kind}, {c['threads']} thread{plural}: times as fast as the best peer"
        found.setdefault(title, []).append(c)
    return sorted(found.items())


def colour(ratio: float) -> str:
    """White where both are level, blue ahead, red behind, by the ratio's logarithm."""
    power = max(-FULL, min(FULL, log2(ratio)))
    end, part = (AHEAD if power > 0 else BEHIND), abs(power) / FULL
    red, green, blue = (round(255 + part * (e - 255)) for e in end)
    return f"#{red:02x}{green:02x}{blue:02x}"


def _row_of(c: Mapping[str, Any]) -> str:
    case = c["case"]
    if case["what"] in ("gradient", "forward"):
        return f"{case['cell']}, {case['dtype']}, B = {case['batch']}"
    return f"{case['what']}, {case['dtype']}"


def _order(row: str) -> tuple[Any, ...]:
    head, _, batch = row.partition(", B = ")
    return head, int(batch or 0)


def _box(x: float, y: float, c: Mapping[str, Any]) -> str:
    ratio = c["ratio"]["median"]
    ink = "white" if abs(log2(ratio)) > 0.6 * FULL else "black"
    number = f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"
    said = f"{c['key']}: {ratio:.2f} times as fast as {c['best_peer']}"
    return (
        f"<g><title>{escape(said)}</title><rect x='{x:g}' y='{y:g}' width='{BOX - 1}' "
        f"height='{TALL - 1}' fill='{colour(ratio)}'/>"
        + _text(x + BOX / 2, y + 13, number, f"text-anchor='middle' fill='{ink}'")
        + "</g>"
    )


def _text(x: float, y: float, text: str, more: str) -> str:
    return f"<text x='{x:g}' y='{y:g}' {more}>{escape(text)}</text>"
