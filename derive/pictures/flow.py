"""The picture of one step of learning: what flows along the connections there are.

Time goes from left to right, as in the unrolled picture; errors flow to the left, sensitivities to
the right. Below stand the equations of the derivation that the arrows come from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from derive.calculus.derivation import Derivation
from derive.network.network import Network
from derive.pictures import words
from derive.pictures.canvas import Canvas
from derive.pictures.curves import Curve, Point, Points, Router, bowed, passing, swept
from derive.pictures.equations import equations
from derive.pictures.flows import Arrow, Flow, Quantity
from derive.pictures.labels import Labels
from derive.pictures.markup import width
from derive.pictures.names import Names
from derive.pictures.picture import Picture

APART, NEAR, DOWN, GAP = 210.0, 175.0, 58.0, 26.0
"""Between columns of time, from states to net inputs, between rows, and between units."""
HALF = 15.0
MOST_LABELS = 12


@dataclass(frozen=True, eq=False)
class Sheet:
    """Where each quantity stands: the middle of its box, and half its width."""

    flow: Flow
    at: dict[Quantity, Point]
    half: dict[Quantity, float]

    def side(self, q: Quantity, right: bool) -> Point:
        """The middle of one side of its box."""
        x, y = self.at[q]
        return x + (self.half[q] if right else -self.half[q]), y

    def circles(self) -> tuple[Points, Points, dict[Quantity, list[int]]]:
        """Its boxes as circles that arrows keep clear of, and which are whose."""
        centres: list[Point] = []
        own: dict[Quantity, list[int]] = {}
        for q, (x, y) in self.at.items():
            reach = max(self.half[q] - HALF, 0.0)
            along = np.linspace(-reach, reach, 2 * int(np.ceil(reach / HALF)) + 1)
            own[q] = list(range(len(centres), len(centres) + len(along)))
            centres += [(x + float(dx), y) for dx in along]
        return np.array(centres), np.full(len(centres), HALF + 4), own


def draw_flow(net: Network, names: Names, flow: Flow, derivation: Derivation) -> Picture:
    """One step of the way back, or of the way of sensitivities."""
    canvas = Canvas("flow", net.name, f"{net.digest} {derivation.title}")
    sheet = _placed(net, names, flow)
    if not flow.quantities:
        canvas.text(canvas.group("dp-key"), 0, 0, "Nothing is learnt, and nothing flows.")
    curves = _routed(sheet)
    for arrow, curve in zip(flow.arrows, curves, strict=True):
        _draw_arrow(canvas, net, arrow, curve)
    for q in flow.quantities:
        _draw_quantity(canvas, flow, sheet, q)
    _draw_ends(canvas, net, sheet)
    _draw_labels(canvas, net, names, sheet, curves)
    title = f"{net.name}: one step of {derivation.title}"
    said = _said(net, flow, derivation)
    _write_around(canvas, names, flow, derivation, title)
    return canvas.finished(title, said)


def _placed(net: Network, names: Names, flow: Flow) -> Sheet:
    """States at τ on the right, their net inputs to the left, then states of other times."""
    shifts = sorted({q.shift for q in flow.quantities if q.stage == 2})
    half = {q: max(width(flow.letters[q]) / 2 + 9, 26.0) for q in flow.quantities}
    wide = max([*half.values(), 30.0])
    near, apart = NEAR + 2 * (wide - 30), APART + 2 * (wide - 30)
    at: dict[Quantity, Point] = {}
    top = 0.0
    for k in range(net.units):
        own = [q for q in flow.quantities if q.unit == k]
        if not own:
            continue
        u = names.unit(k)
        order = {v.name: i for i, v in enumerate((*u.local.old, *u.local.net_inputs))}
        columns: dict[tuple[int, int], list[Quantity]] = {}
        for q in sorted(own, key=lambda q: order[q.name]):
            columns.setdefault((q.stage, q.shift), []).append(q)
        rows = max(map(len, columns.values()))
        for (stage, shift), members in columns.items():
            x = 0.0 if stage == 0 else -near
            x -= apart * (shifts.index(shift) + 1) if stage == 2 else 0.0
            first = top + (rows - len(members)) / 2 * DOWN
            for i, q in enumerate(members):
                at[q] = x, first + i * DOWN
        top += rows * DOWN + GAP
    return Sheet(flow, at, half)


def _routed(sheet: Sheet) -> list[Curve]:
    centres, radii, own = sheet.circles()
    flow = sheet.flow
    if not flow.arrows:
        return []
    router = Router(centres, radii)
    found: dict[int, Curve] = {}

    def far(i: int) -> float:
        a, b = sheet.at[flow.arrows[i].start], sheet.at[flow.arrows[i].end]
        return float(np.hypot(a[0] - b[0], a[1] - b[1]))

    for i in sorted(range(len(flow.arrows)), key=lambda i: (round(far(i), 3), i)):
        arrow = flow.arrows[i]
        leftward = sheet.at[arrow.end][0] < sheet.at[arrow.start][0]
        a, b = sheet.side(arrow.start, not leftward), sheet.side(arrow.end, leftward)
        ends = [*own[arrow.start], *own[arrow.end]]
        key = tuple(sorted((arrow.start, arrow.end)))
        found[i] = router.chosen(_ways(a, b), ends, key, 11.0).trimmed(0.0, 1.0)
    return [found[i] for i in range(len(flow.arrows))]


def _ways(a: Point, b: Point) -> Iterator[Curve]:
    for shift in (0, 12, -12, 20, -20, 29, -29, 38, -38, 48, -48, 60, -60, 80, -80, 105, -105, 140):
        yield swept(a, b, float(shift))
    for pitch in (DOWN + GAP, DOWN, DOWN / 2):
        yield from passing(a, b, pitch, APART * 0.48)


def _draw_arrow(canvas: Canvas, net: Network, arrow: Arrow, curve: Curve) -> None:
    classes = {"through": "dp-through", "own": "dp-memory dp-own", "connection": "dp-edge"}
    tone, data = "", {"kind": arrow.kind, "target": arrow.end.unit, "source": arrow.start.unit}
    said = f"unit {arrow.start.unit}, within it"
    hollow, heads = False, 1
    if arrow.place >= 0:
        w = net.wiring
        delay = int(w.delay[arrow.place])
        data |= {
            "target": int(w.target[arrow.place]),
            "source": int(w.source[arrow.place]),
            "delay": delay,
            "weight": int(w.weight[arrow.place]),
        }
        tone = " dp-now" if delay == 0 else " dp-late" if delay > 1 else ""
        tone += "" if w.learnt[arrow.place] else " dp-fixed"
        said = f"along the connection from {words.of_connection(net, arrow.place)}"
        hollow, heads = delay == 0, 2 if delay > 1 else 1
    cut = " dp-dotted" if arrow.cut or arrow.kind == "own" else ""
    said += "; nothing where the unit is forced to its target" if arrow.cut else ""
    if arrow.cut:
        data["cut"] = 1
    group = canvas.group(classes[arrow.kind] + tone + cut, said, **data)
    canvas.arrow(group, curve, hollow, heads)


def _draw_quantity(canvas: Canvas, flow: Flow, sheet: Sheet, q: Quantity) -> None:
    x, y = sheet.at[q]
    half = sheet.half[q]
    group = canvas.group("dp-quantity", unit=q.unit, stage=q.stage, shift=q.shift)
    canvas.box_of(group, x, y, half, HALF, "dp-node" + (" dp-g0" if q.stage == 1 else ""))
    text = flow.letters[q]
    canvas.text(group, x, y + 4, text, "dp-math", "middle", width(text))


def _draw_ends(canvas: Canvas, net: Network, sheet: Sheet) -> None:
    """What comes in from outside, and what goes into the gradient."""
    flow = sheet.flow
    for q, text in flow.injected.items():
        if flow.forward:
            _beneath(canvas, sheet, q, f"{text}, i = {q.unit}", "dp-error dp-back", inward=True)
        else:
            group = canvas.group("dp-error dp-back", f"error of unit {q.unit}", unit=q.unit)
            x, y = sheet.side(q, True)
            canvas.arrow(group, bowed((x + 34, y), (x + 1, y), 0.0))
            canvas.text(group, x + 38, y + 4, text, "dp-math", "start", width(text))
    for q, text in flow.gathered.items():
        if flow.forward:
            group = canvas.group("dp-gradient dp-back", f"gradient by unit {q.unit}", unit=q.unit)
            x, y = sheet.side(q, True)
            canvas.arrow(group, bowed((x, y), (x + 32, y), 0.0))
            canvas.text(group, x + 38, y + 4, text, "dp-math", "start", width(text))
        else:
            _beneath(canvas, sheet, q, text, "dp-gradient dp-own", inward=False)


def _beneath(
    canvas: Canvas, sheet: Sheet, q: Quantity, text: str, classes: str, inward: bool
) -> None:
    """A short arrow out of a box downward, or into it upward, with its text beside it."""
    x, y = sheet.at[q]
    group = canvas.group(classes, text, unit=q.unit)
    near, far = (x - 12, y + HALF + 1), (x - 12, y + HALF + 16)
    canvas.arrow(group, bowed(far, near, 0.0) if inward else bowed(near, far, 0.0))
    canvas.text(
        group, x - 5, y + HALF + 14, text, "dp-label dp-math dp-small", "start", width(text)
    )


def _draw_labels(
    canvas: Canvas, net: Network, names: Names, sheet: Sheet, curves: list[Curve]
) -> None:
    """The weights on the arrows of a small network."""
    along = [(a, c) for a, c in zip(sheet.flow.arrows, curves, strict=True) if a.place >= 0]
    if not along or len(along) > MOST_LABELS:
        return
    centres, radii, _ = sheet.circles()
    labels = Labels(centres, radii, curves)
    for arrow, curve in along:
        text = names.weight(arrow.place)
        x, y = labels.place(curve, width(text))
        group = canvas.group("dp-label-of")
        canvas.text(group, x, y, text, "dp-label dp-math", "middle", width(text))


# --- in words, and the equations ---------------------------------------------------------------


def _write_around(
    canvas: Canvas, names: Names, flow: Flow, derivation: Derivation, title: str
) -> None:
    left, top, _, bottom = canvas.box
    canvas.text(canvas.group("dp-heading"), left, top - 24, title, "dp-title")
    y = bottom + 32
    for text in _key(flow):
        canvas.text(canvas.group("dp-key"), left, y, text, "dp-quiet dp-said")
        y += 20
    y += 6
    for line in equations(derivation, names.form):
        begins = left + 28 * line.startswith(" ")
        line = line.strip()
        canvas.text(canvas.group("dp-equation"), begins, y, line, "dp-math", wide=width(line))
        y += 24


def _key(flow: Flow) -> list[str]:
    kinds = {a.kind for a in flow.arrows}
    if flow.forward:
        lines = ["To the right: sensitivities, from the states before to those at τ."]
        lines.append("Arrows up: what the weights into a net input multiply. e_k weighs p into ∂J.")
    elif flow.settling:
        lines = ["To the left: errors, from one sweep of the relaxation to the next."]
        lines.append("From the right: the errors injected. Arrows down: into the gradient.")
    else:
        lines = ["To the left: errors, from the states at τ to those before."]
        lines.append("From the right: the errors injected. Arrows down: into the gradient.")
    lines += list(flow.remarks)
    if "own" in kinds:
        lines.append("Dotted: by the unit's own state, and by no connection.")
    if any(a.place >= 0 and a.end.shift == 0 and a.start.shift == 0 for a in flow.arrows):
        lines.append("Hollow: along a connection of delay 0, within the step.")
    if any(a.cut for a in flow.arrows):
        lines.append("Dotted: nothing flows where the unit is forced to its target.")
    return lines


def _said(net: Network, flow: Flow, derivation: Derivation) -> str:
    kinds = [a.kind for a in flow.arrows]
    along, own = kinds.count("connection"), kinds.count("own")
    through = kinds.count("through")
    what = "sensitivities to the next states" if flow.forward else "errors to the states before"
    said = [
        words.of_network(net),
        f"One step of {derivation.title}: {words.many(along, 'arrow carries', 'arrows carry')} "
        f"{what} along connections, {words.many(through, 'leads', 'lead')} through a unit",
    ]
    said[-1] += f", {own} by a unit's own state." if own else "."
    units = sorted({q.unit for q in (flow.gathered if flow.forward else flow.injected)})
    if units:
        verb = "weigh the sensitivities of" if flow.forward else "come in at"
        said.append(f"Errors {verb} {words.listed(units, 'unit')}.")
    if any(a.cut for a in flow.arrows):
        said.append("Nothing flows through an output where it is forced to its target.")
    said += flow.remarks
    if net.inputs:
        said.append("An input line has nothing before it, so that nothing flows there.")
    return " ".join(said)
