"""The picture of a network: units, input lines, and an arrow for each connection."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from derive.network.network import Network
from derive.pictures import words
from derive.pictures.canvas import Canvas
from derive.pictures.curves import (
    Curve,
    Point,
    Points,
    Router,
    beside,
    bowed,
    looped,
    passing,
    swept,
)
from derive.pictures.labels import Labels
from derive.pictures.legend import legend
from derive.pictures.markup import width
from derive.pictures.names import Names
from derive.pictures.picture import Picture
from derive.pictures.placing import RADIUS, ROW, Places, placed
from derive.pictures.style import GROUPS

FEW = 16
"""Up to so many connections all weights are named."""
MOST_LABELS = 40
ENOUGH = 12
"""Labels of one delay: where more connections have it, the legend says it of all."""


def draw_network(net: Network, names: Names) -> Picture:
    """Units as circles, input lines as squares, connections as arrows."""
    canvas = Canvas("network", net.name, net.digest)
    places = placed(net, 1.3 if net.wiring.size <= FEW else 1.0)
    radii = np.array([clearance(net, k) for k in range(net.units + net.inputs)])
    curves = routed(net, places, radii)
    for place, curve in enumerate(curves):
        draw_connection(canvas, net, place, curve)
    draw_nodes(canvas, net, places)
    labels = Labels(places.at, radii, curves)
    for place, text in _labels(net, names).items():
        x, y = labels.place(curves[place], width(text))
        group = canvas.group("dp-label-of" + _tone(net, place))
        canvas.text(group, x, y, text, "dp-label dp-math", "middle", width(text))
    title = f"{net.name}: the network"
    legend(canvas, net, title, names)
    return canvas.finished(title, words.of_network(net))


def clearance(net: Network, k: int) -> float:
    """How near other connections may come to a source."""
    return RADIUS + (8.0 if k in net.objective.targets else 5.0)


def _tone(net: Network, place: int) -> str:
    delay = int(net.wiring.delay[place])
    if delay != 1:
        return " dp-now" if delay == 0 else " dp-late"
    return " dp-input" if net.wiring.source[place] >= net.units else ""


def draw_connection(
    canvas: Canvas, net: Network, place: int, curve: Curve, classes: str = "", **data: int
) -> None:
    """A connection's arrow: hollow in the same step, with two heads for a longer delay."""
    w = net.wiring
    delay = int(w.delay[place])
    fixed = "" if w.learnt[place] else " dp-fixed"
    group = canvas.group(
        f"dp-edge{_tone(net, place)}{fixed}{classes}",
        words.of_connection(net, place),
        target=int(w.target[place]),
        source=int(w.source[place]),
        delay=delay,
        net_input=net.connections[place].net_input,
        weight=int(w.weight[place]),
        **data,
    )
    canvas.arrow(group, curve, hollow=delay == 0, heads=2 if delay > 1 else 1)


def node(canvas: Canvas, net: Network, k: int, x: float, y: float, radius: float = RADIUS) -> None:
    """A unit or an input line, with its number."""
    if k >= net.units:
        group = canvas.group("dp-unit dp-input", f"input line {k}{_named(net, k)}", input=k)
        canvas.square(group, x, y, radius - 3, "dp-node")
    else:
        target = k in net.objective.targets
        said = f"unit {k}{_named(net, k)}" + (", which has targets" if target else "")
        group = canvas.group("dp-unit", said, unit=k)
        if target:
            canvas.circle(group, x, y, radius + 4, "dp-ring")
        tint = tint_of(net, k)
        canvas.circle(group, x, y, radius, "dp-node" + ("" if tint is None else f" dp-g{tint}"))
    canvas.text(group, x, y + 4.5, str(k), anchor="middle")


def _named(net: Network, k: int) -> str:
    groups = net.populations if k < net.units else net.input_groups
    number = k if k < net.units else k - net.units
    found = [name for name, members in groups.items() if number in members]
    return f" of {found[0]}" if found else ""


def tint_of(net: Network, k: int) -> int | None:
    """The tint of a unit's population; None where there are none."""
    found = [i for i, units in enumerate(net.populations.values()) if k in units]
    return found[0] % GROUPS if found else None


def draw_nodes(canvas: Canvas, net: Network, places: Places) -> None:
    """All units and input lines."""
    for k, (x, y) in enumerate(places.at):
        node(canvas, net, k, float(x), float(y))


def _labels(net: Network, names: Names) -> dict[int, str]:
    """The label of each connection that has one."""
    w = net.wiring
    other = w.delay[w.delay != 1]
    several = np.unique(other[other > 0]).size > 1
    late = other.size <= (MOST_LABELS if several else ENOUGH)
    tied = sum(names.shared(p) for p in range(w.size)) <= MOST_LABELS
    found = {}
    for place in range(w.size):
        delay = int(w.delay[place])
        few = w.size <= FEW
        parts = [names.weight(place)] if few or (tied and names.shared(place)) else []
        parts += [f"D={delay}"] if delay != 1 and (late or few) else []
        if parts:
            found[place] = ", ".join(parts)
    return found


# --- the way of each arrow ---------------------------------------------------------------------


def routed(net: Network, places: Places, radii: Points) -> list[Curve]:
    """A curve for each connection, from edge to edge of what it joins."""
    w = net.wiring
    router = Router(places.at, radii)
    found: dict[int, Curve] = {}
    # Short ways first: they have the least choice.
    ends = list(zip(w.source.tolist(), w.target.tolist(), strict=True))
    far = [float(np.hypot(*(places.at[s] - places.at[t]))) for s, t in ends]
    for place in sorted(range(w.size), key=lambda p: (round(far[p], 3), p)):
        s, t = ends[place]
        curve = router.chosen(_ways(places, s, t), (s, t))
        start = RADIUS + (4 if s in net.objective.targets else 0) - (3 if s >= net.units else 0)
        end = RADIUS + (5 if t in net.objective.targets else 1)
        found[place] = curve.trimmed(start, end)
    return [found[p] for p in range(w.size)]


def _ways(places: Places, s: int, t: int) -> Iterator[Curve]:
    a, b = ((float(x), float(y)) for x, y in (places.at[s], places.at[t]))
    if s == t:
        yield from _loops(places, a)
    elif places.column is None:
        for bend in (0.05, 0.12, 0.2, 0.28, -0.12, 0.36, -0.2, 0.45, -0.3, 0.55, 0.7, -0.45, 0.9):
            yield bowed(a, b, bend)
    elif places.column[s] == places.column[t]:
        # Down on the right, up on the left: one sees the direction.
        side = 1.0 if b[1] > a[1] else -1.0
        far = abs(b[1] - a[1])
        for out in range(8):
            yield beside(a, b, side * (min(14 + far * 0.22, 80.0) + 14 * out))
    else:
        for shift in (0, 12, -12, 24, -24, 36, -36, 50, -50, 70, -70, 95, -95, 130, -130, 180):
            yield swept(a, b, shift)
        yield from passing(a, b, ROW, 80.0)


def _loops(places: Places, at: Point) -> Iterator[Curve]:
    middle = places.middle
    out = (at[0] - middle[0], at[1] - middle[1])
    if places.column is not None or out == (0.0, 0.0):
        out = (0.0, -1.0)
    angle = float(np.arctan2(out[1], out[0]))
    turns = (0.0, 0.9, -0.9) if places.column is None else (0.0, 0.7, -0.7, 2.4, -2.4)
    for size in (46.0, 62.0, 78.0):
        for turn in turns:
            way = float(np.cos(angle + turn)), float(np.sin(angle + turn))
            yield looped(at, way, size)
