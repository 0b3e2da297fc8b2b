"""The picture of a large network: a dot for each connection, targets as rows, sources as columns."""

from __future__ import annotations

import numpy as np

from derive.network.network import Network
from derive.pictures import words
from derive.pictures.canvas import Canvas
from derive.pictures.picture import Picture

MOST_UNITS, MOST_CONNECTIONS, MOST_SOURCES = 24, 150, 40
"""Beyond these, arrows are no longer told apart."""
MOST_DOTS, LARGE = 2000, 512
"""Beyond so many connections, or from so many units on, a square stands for several."""
SIDE = 560.0
ROWS, COLUMNS = 40, 52


def is_large(net: Network) -> bool:
    """Whether a network is drawn as a table of dots."""
    connections = net.wiring.size > MOST_CONNECTIONS
    return net.units > MOST_UNITS or connections or net.units + net.inputs > MOST_SOURCES


def draw_adjacency(net: Network, asked: str) -> Picture:
    """Targets as rows and sources as columns, units first, then input lines."""
    canvas = Canvas(f"{asked}-table", net.name, net.digest)
    blocked = net.wiring.size > MOST_DOTS or net.units >= LARGE
    title = f"{net.name}: the network, as a table of its connections"
    if asked != "network":
        title += f" (too large for the picture {asked!r})"
    size = _squares(canvas, net) if blocked else _dots(canvas, net)
    _frame(canvas, net, size, title, blocked)
    said = ["Rows are target units, columns are sources: units, then input lines."]
    if asked != "network":
        said.append(f"The network is too large to be drawn as {asked!r}; this is its wiring.")
    if blocked:
        said.append("A square stands for several connections: the fuller, the more of them.")
    return canvas.finished(title, " ".join([words.of_network(net), *said]))


def _tone(delay: int) -> str:
    return "dp-now" if delay == 0 else "dp-late" if delay > 1 else "dp-one"


def _dots(canvas: Canvas, net: Network) -> float:
    """A dot for each connection: round, or a square for D = 0 and a lozenge for D ≥ 2."""
    w = net.wiring
    size = min(16.0, SIDE / max(net.units, 1))
    columns = zip(*(a.tolist() for a in (w.target, w.source, w.delay)), strict=True)
    for target, source, delay in columns:
        group = canvas.group(f"dp-edge {_tone(delay)}", t=target, s=source, d=delay)
        x, y, r = (source + 0.5) * size, (target + 0.5) * size, size * 0.42
        if delay == 1:
            canvas.circle(group, x, y, r, "dp-dot")
        else:
            reach = r if delay > 1 else 0.75 * r
            across = [(0, -reach), (reach, 0), (0, reach), (-reach, 0)]
            level = [(-reach, -reach), (reach, -reach), (reach, reach), (-reach, reach)]
            corners = across if delay > 1 else level
            points = [(x + dx, y + dy) for dx, dy in corners]
            canvas.line(group, [*points, points[0]], "dp-dot")
    return size


def _squares(canvas: Canvas, net: Network) -> float:
    """A square for each block of targets and sources, filled by how many are connected."""
    w, total = net.wiring, net.units + net.inputs
    block = max(1, -(-net.units // ROWS), -(-total // COLUMNS))
    wide = -(-total // block)
    place = (w.target // block) * wide + w.source // block
    count = np.bincount(place, minlength=1)
    late = np.bincount(place, weights=(w.delay > 1), minlength=count.size)
    now = np.bincount(place, weights=(w.delay == 0), minlength=count.size)
    size = SIDE / max(-(-net.units // block), 1)
    fullest = int(count.max()) if w.size else 1
    for at in np.flatnonzero(count).tolist():
        row, column = divmod(at, wide)
        r = size * 0.46 * float(np.sqrt(count[at] / fullest))
        mostly = 2 if late[at] * 2 > count[at] else 0 if now[at] * 2 > count[at] else 1
        group = canvas.group(f"dp-edge {_tone(mostly)}", count=int(count[at]))
        canvas.square(group, (column + 0.5) * size, (row + 0.5) * size, max(r, 0.6), "dp-dot")
    return size / block


def _frame(canvas: Canvas, net: Network, size: float, title: str, blocked: bool) -> None:
    n, m = net.units, net.inputs
    high, wide = n * size, (n + m) * size
    frame = canvas.group("dp-frame")
    corners = [(0.0, 0.0), (wide, 0.0), (wide, high), (0.0, high), (0.0, 0.0)]
    canvas.line(frame, corners, "dp-grid")
    if m:
        canvas.line(frame, [(n * size, 0.0), (n * size, high)], "dp-grid")
    for k in sorted(net.objective.targets)[:64]:
        y = (k + 0.5) * size
        canvas.line(frame, [(-8.0, y), (-1.0, y)], "dp-line")
    last = f"0…{n - 1}" if n > 1 else "0"
    canvas.text(frame, 0, -10, f"from units {last}", "dp-quiet")
    if m:
        lines = f"{n}…{n + m - 1}" if m > 1 else str(n)
        where = max(n * size, 150.0)
        canvas.text(frame, where, -10, f"input lines {lines}", "dp-quiet")
    _say(canvas, net, title, high, blocked)


def _say(canvas: Canvas, net: Network, title: str, high: float, blocked: bool) -> None:
    canvas.text(canvas.group("dp-heading"), 0, -36, title, "dp-title")
    lines = ["Rows: the unit that hears, from the top. Ticks on the left: units with targets."]
    delays = sorted(set(net.wiring.delay.tolist()))
    if blocked:
        lines.append("A square: several connections; the fuller, the more of them.")
    elif delays != [1]:
        shapes = {0: "square: D = 0", 1: "round: D = 1", 2: "lozenge: D ≥ 2"}
        lines.append("; ".join(shapes[d] for d in sorted({min(d, 2) for d in delays})))
    lines += [f"{name}: {words.listed(list(u), 'unit')}" for name, u in net.populations.items()]
    for i, text in enumerate(lines):
        canvas.text(canvas.group("dp-key"), 0, high + 24 + 20 * i, text, "dp-quiet")
