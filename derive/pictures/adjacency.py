"""The picture of a large network: a mark for each connection.

Targets are rows, sources are columns.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from derive.network.network import Network
from derive.pictures import words
from derive.pictures.canvas import Canvas
from derive.pictures.picture import Picture

MOST_UNITS, MOST_CONNECTIONS, MOST_SOURCES = 24, 150, 40
"""Beyond these, arrows are no longer told apart."""
MOST_DOTS, LARGE = 2000, 512
"""Beyond so many marks, or from so many units on, a square stands for several connections."""
SIDE = 560.0


def is_large(net: Network) -> bool:
    """Whether a network is drawn as a table of dots."""
    connections = net.wiring.size > MOST_CONNECTIONS
    return net.units > MOST_UNITS or connections or net.units + net.inputs > MOST_SOURCES


def draw_adjacency(net: Network, asked: str) -> Picture:
    """Targets as rows and sources as columns, units first, then input lines."""
    canvas = Canvas(f"table-{asked}", net.name, net.digest)
    blocked = net.wiring.size > MOST_DOTS or net.units >= LARGE or _doubled(net)
    title = f"{net.name}: the network, as a table of its connections"
    if asked != "network":
        title += f" (too large for the picture {asked!r})"
    size, block, fullest = _squares(canvas, net) if blocked else (_dots(canvas, net), 1, 0)
    _frame(canvas, net, size, block, title, fullest)
    said = ["Rows are target units, columns are sources: units, then input lines."]
    if asked != "network":
        said.append(f"The network is too large to be drawn as {asked!r}; this is its wiring.")
    if blocked:
        said.append(f"A square stands for up to {fullest} connections: the fuller, the more.")
    return canvas.finished(title, " ".join([words.of_network(net), *said]))


def _tone(delay: int) -> str:
    return "dp-now" if delay == 0 else "dp-late" if delay > 1 else "dp-one"


def _dots(canvas: Canvas, net: Network) -> float:
    """A mark for each connection."""
    w = net.wiring
    size = min(16.0, SIDE / max(net.units, 1))
    columns = zip(*(a.tolist() for a in (w.target, w.source, w.delay)), strict=True)
    for target, source, delay in columns:
        group = canvas.group(f"dp-edge {_tone(delay)}", t=target, s=source, d=delay)
        _mark(canvas, group, (source + 0.5) * size, (target + 0.5) * size, size * 0.42, delay)
    return size


def _mark(canvas: Canvas, group: Any, x: float, y: float, r: float, delay: int) -> None:
    """A square for D = 1, hollow for D = 0, on its corner for D ≥ 2."""
    if delay > 1:
        corners = [(x, y - r), (x + r, y), (x, y + r), (x - r, y), (x, y - r)]
        canvas.line(group, corners, "dp-dot")
    elif delay == 0:
        canvas.square(group, x, y, r * 0.8, "dp-ring")
    else:
        canvas.square(group, x, y, r, "dp-dot")


def _doubled(net: Network) -> bool:
    """Whether some target and source are joined more than once."""
    w = net.wiring
    return bool(np.unique(w.target * (net.units + net.inputs) + w.source).size < w.size)


def _squares(canvas: Canvas, net: Network) -> tuple[float, int, int]:
    """A square for each block of targets and sources, filled by how many are connected.

    Units and input lines never share a block. Returns how wide a block is in px and
    in units, and the most connections of one.
    """
    w = net.wiring
    block = 1 if net.units < LARGE else 2
    while True:
        units, lines = -(-net.units // block), -(-net.inputs // block)
        from_line = w.source >= net.units
        column = np.where(from_line, units + (w.source - net.units) // block, w.source // block)
        place = (w.target // block) * (units + lines) + column
        there, which = np.unique(place, return_inverse=True)
        if there.size <= MOST_DOTS:
            break
        block += 1
    count = np.bincount(which, minlength=1)
    late = np.bincount(which, weights=w.delay > 1, minlength=1)
    now = np.bincount(which, weights=w.delay == 0, minlength=1)
    size = min(16.0 * block, SIDE * block / net.units)
    fullest = int(count.max())
    for i, at in enumerate(there.tolist()):
        row, across = divmod(at, units + lines)
        r = size * 0.45 * float(np.sqrt(count[i] / fullest))
        mostly = 2 if late[i] * 2 > count[i] else 0 if now[i] * 2 > count[i] else 1
        group = canvas.group(f"dp-edge {_tone(mostly)}", count=int(count[i]))
        _mark(canvas, group, (across + 0.5) * size, (row + 0.5) * size, max(r, 0.5), mostly)
    return size, block, fullest


def _frame(canvas: Canvas, net: Network, size: float, block: int, title: str, fullest: int) -> None:
    n, m = net.units, net.inputs
    rows, lines = -(-n // block), -(-m // block)
    high, wide = rows * size, (rows + lines) * size
    frame = canvas.group("dp-frame")
    corners = [(0.0, 0.0), (wide, 0.0), (wide, high), (0.0, high), (0.0, 0.0)]
    canvas.line(frame, corners, "dp-grid")
    if m:
        canvas.line(frame, [(high, 0.0), (high, high)], "dp-grid")
    for k in sorted(net.objective.targets)[:64]:
        y = (k + 0.5) * size / block
        canvas.line(frame, [(-8.0, y), (-1.0, y)], "dp-line")
    last = f"0…{n - 1}" if n > 1 else "0"
    canvas.text(frame, 0, -10, f"from units {last}", "dp-quiet")
    if m:
        said = words.listed(range(n, n + m), "input line")
        canvas.text(frame, max(high, 150.0), -10, said, "dp-quiet")
    _say(canvas, net, title, high, fullest)


def _say(canvas: Canvas, net: Network, title: str, high: float, fullest: int) -> None:
    canvas.text(canvas.group("dp-heading"), 0, -36, title, "dp-title")
    lines = ["Rows: the unit that hears, from the top. Ticks on the left: units with targets."]
    delays = sorted(set(net.wiring.delay.tolist()))
    if fullest:
        lines.append(f"A square: up to {fullest} connections; the fuller, the more of them.")
    if delays not in ([1], []):
        shapes = {0: "hollow: D = 0", 1: "full: D = 1", 2: "on its corner: D ≥ 2"}
        said = "; ".join(shapes[d] for d in sorted({min(d, 2) for d in delays}))
        lines.append(said + (", for most of a square." if fullest else "."))
    lines += [f"{name}: {words.listed(list(u), 'unit')}" for name, u in net.populations.items()]
    for i, text in enumerate(lines):
        canvas.text(canvas.group("dp-key"), 0, high + 24 + 20 * i, text, "dp-quiet")
