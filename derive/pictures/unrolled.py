"""The picture of a network unrolled in time, N*: every unit once for each time.

A connection of delay D leads from its source at t to its target at t + D, so it is there once for
each t; all of its copies carry one weight, and the gradient by it is a sum over them. That a unit's
own state enters its next one is found from the cell's ordered derivatives.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from derive.network.network import Network
from derive.pictures import words
from derive.pictures.canvas import Canvas
from derive.pictures.curves import Curve, Point, Points, Router, beside, passing, swept
from derive.pictures.labels import Labels
from derive.pictures.legend import legend
from derive.pictures.markup import width
from derive.pictures.names import Names
from derive.pictures.picture import Picture
from derive.pictures.placing import RADIUS
from derive.pictures.wiring import clearance, draw_connection, node

ACROSS, DOWN = 170.0, 78.0
"""From time to time, and from unit to unit."""


def time_name(step: int) -> str:
    """``t₀+2``."""
    return f"t₀+{step}" if step else "t₀"


@dataclass(frozen=True, eq=False)
class Grid:
    """Where every copy stands: sources as rows, times as columns."""

    net: Network
    steps: int

    def at(self, source: int, step: int) -> Point:
        """The middle of a source's copy."""
        gap = 14.0 if source >= self.net.units else 0.0
        return step * ACROSS, source * DOWN + gap

    @property
    def sources(self) -> int:
        """Units and input lines."""
        return self.net.units + self.net.inputs


def draw_unrolled(net: Network, names: Names, steps: int) -> Picture:
    """Times t₀…t₀+steps as columns, units and input lines as rows."""
    canvas = Canvas("unrolled", net.name, f"{net.digest} {steps}")
    grid = Grid(net, steps)
    ways, own = _routed(grid, names)
    tied = _emphasised(net, names)
    for step in range(steps + 1):
        x, top = step * ACROSS, -DOWN * 0.85
        canvas.text(canvas.group("dp-time"), x, top, time_name(step), "dp-math", "middle")
    shown: list[Curve] = []
    labelled: list[Curve] = []
    for place, way in enumerate(ways):
        for first in copies(net, place, steps):
            curve = way.moved(first * ACROSS)
            weight = int(net.wiring.weight[place])
            loud = " dp-tied" if weight == tied else " dp-faint"
            draw_connection(canvas, net, place, curve, loud, step=first)
            shown.append(curve)
            labelled += [curve] if weight == tied else []
    for k, way in own.items():
        for step in range(steps):
            group = canvas.group("dp-memory dp-own dp-dotted", f"unit {k}, its own state", unit=k)
            shown.append(way.moved(step * ACROSS))
            canvas.arrow(group, shown[-1])
    nodes = _draw_nodes(canvas, grid)
    _draw_errors(canvas, grid)
    if tied is not None:
        place = int(np.flatnonzero(net.wiring.weight == tied)[0])
        labels = Labels(nodes, np.full(len(nodes), RADIUS + 6), shown)
        text = names.weight(place)
        for curve in labelled:
            x, y = labels.place(curve, width(text))
            canvas.text(
                canvas.group("dp-label-of"), x, y, text, "dp-label dp-math", "middle", width(text)
            )
    title = f"{net.name}: unrolled over {words.many(steps, 'step')}"
    more, said = _remarks(net, names, steps, tied, bool(own))
    legend(canvas, net, title, names, more)
    return canvas.finished(title, said)


def copies(net: Network, place: int, steps: int) -> range:
    """The times, counted from t₀, at which a connection's source is heard by a copy shown."""
    delay = int(net.wiring.delay[place])
    # What a unit is at t₀ is given: nothing leads there.
    return range(1 if delay == 0 else 0, steps - delay + 1)


def own_state(names: Names, k: int) -> bool:
    """Whether some state of a unit depends on its states one step before, by the unit alone."""
    return bool(names.unit(k).adjoint.carry)


def _emphasised(net: Network, names: Names) -> int | None:
    """The weight whose copies are drawn thick: a shared one, or one from unit to unit."""
    w = net.wiring
    learnt = np.flatnonzero(w.learnt)
    if not learnt.size:
        return None
    places = learnt.tolist()

    def rank(p: int) -> tuple[bool, bool, bool, int]:
        return (
            not names.shared(p),
            bool(w.source[p] >= net.units),
            bool(w.source[p] == w.target[p]),
            p,
        )

    return int(w.weight[min(places, key=rank)])


def _routed(grid: Grid, names: Names) -> tuple[list[Curve], dict[int, Curve]]:
    """A curve for each connection, from a source at t₀, and for each unit's own state."""
    net = grid.net
    w = net.wiring
    longest = max(int(w.delay.max(initial=1)), 1)
    centres = np.array([grid.at(s, c) for c in range(longest + 1) for s in range(grid.sources)])
    radii = np.array([clearance(net, s) for _ in range(longest + 1) for s in range(grid.sources)])
    router = Router(centres, radii)
    found: list[Curve] = []
    for place in range(w.size):
        s, t, delay = (int(a[place]) for a in (w.source, w.target, w.delay))
        ends = (s, delay * grid.sources + t)
        a, b = grid.at(s, 0), grid.at(t, delay)
        curve = router.chosen(_ways(a, b), ends)
        start = RADIUS + (4 if s in net.objective.targets else -3 if s >= net.units else 0)
        end = RADIUS + (5 if t in net.objective.targets else 1)
        found.append(curve.trimmed(start, end))
    own: dict[int, Curve] = {}
    for k in range(net.units):
        if own_state(names, k):
            a, b = grid.at(k, 0), grid.at(k, 1)
            curve = router.chosen(_ways(a, b), (k, grid.sources + k))
            room = RADIUS + (5 if k in net.objective.targets else 1)
            own[k] = curve.trimmed(room, room)
    return found, own


def _ways(a: Point, b: Point) -> Iterator[Curve]:
    if a[0] == b[0]:
        for out in range(8):
            yield beside(a, b, 22.0 + 12 * out)
        return
    for shift in (0, 14, -14, 28, -28, 39, -39, 52, -52, 66, -66, 80, -80, 110, -110, 150):
        yield swept(a, b, float(shift))
    yield from passing(a, b, DOWN, ACROSS * 0.6)


def _draw_nodes(canvas: Canvas, grid: Grid) -> Points:
    placed = []
    for step in range(grid.steps + 1):
        # An input line is given for a step; after the last one there is none.
        there = grid.sources if step < grid.steps else grid.net.units
        for source in range(there):
            x, y = grid.at(source, step)
            node(canvas, grid.net, source, x, y)
            placed.append((x, y))
    return np.array(placed)


def _draw_errors(canvas: Canvas, grid: Grid) -> None:
    """An arrow into every copy that is judged."""
    net = grid.net
    late = {k for k, end in zip(net.objective.targets, net.objective.ends, strict=True) if end}
    for step in range(1, grid.steps + 1):
        for k in net.objective.judged(net.units):
            if k in late and step < grid.steps:
                continue
            x, y = grid.at(k, step)
            group = canvas.group("dp-error dp-back", f"the error of unit {k}", unit=k, step=step)
            low = y + RADIUS + (5 if k in net.objective.targets else 1)
            canvas.arrow(group, swept((x, low + 17), (x, low)))
            text = f"e_{k}"
            canvas.text(group, x + 6, low + 17, text, "dp-label dp-math", "start", width(text))


def _remarks(
    net: Network, names: Names, steps: int, tied: int | None, own: bool
) -> tuple[tuple[str, ...], str]:
    lines = ["Columns are times; e_k: the error, injected where the objective judges unit k."]
    if tied is not None:
        place = int(np.flatnonzero(net.wiring.weight == tied)[0])
        name = names.weight(place)
        lines.append(f"thick: all copies of {name} carry one weight; its gradient is their sum.")
    if own:
        lines.append("dotted: the unit's own state enters its next.")
    if net.wiring.size and net.wiring.longest_delay > 1:
        lines.append("What a delay reaches before t₀ is not drawn; it is 0, or the history.")
    each = [len(copies(net, p, steps)) for p in range(net.wiring.size)]
    if missing := each.count(0):
        has = "has" if missing == 1 else "have"
        lines.append(f"{words.many(missing, 'connection')} {has} a delay too long for these steps.")
    count = sum(each)
    said = (
        f"{words.of_network(net)} Unrolled from t₀ to {time_name(steps)}: "
        f"{words.many(count, 'copy', 'copies')} of the connections. {' '.join(lines)}"
    )
    return tuple(lines), said
