"""What stands around a picture: its title above, and what its marks mean below."""

from __future__ import annotations

from derive.network.network import Network
from derive.pictures import words
from derive.pictures.canvas import Canvas
from derive.pictures.curves import bowed
from derive.pictures.names import Names
from derive.pictures.style import GROUPS

LINE = 22.0


def legend(
    canvas: Canvas, net: Network, title: str, names: Names, more: tuple[str, ...] = ()
) -> None:
    """The title, the marks that occur with their meaning, the populations, and further lines."""
    left, top, _, bottom = canvas.box
    heading = canvas.group("dp-heading")
    canvas.text(heading, left, top - 18, title, "dp-title")
    y = bottom + 30
    for mark in _marks(net, names):
        _mark(canvas, mark, left + 14, y)
        canvas.text(canvas.group("dp-key"), left + 36, y + 4, mark[1], "dp-quiet")
        y += LINE
    for i, (name, units) in enumerate(net.populations.items()):
        group = canvas.group("dp-key")
        canvas.circle(group, left + 14, y, 7, f"dp-node dp-g{i % GROUPS}")
        text = f"{name}: {words.listed(list(units), 'unit')}"
        canvas.text(group, left + 36, y + 4, text, "dp-quiet")
        y += LINE
    for name, lines in net.input_groups.items():
        group = canvas.group("dp-key dp-input")
        canvas.square(group, left + 14, y, 6, "dp-node")
        text = f"{name}: {words.listed([net.units + i for i in lines], 'input line')}"
        canvas.text(group, left + 36, y + 4, text, "dp-quiet")
        y += LINE
    for text in more:
        canvas.text(canvas.group("dp-key"), left, y + 4, text, "dp-quiet dp-said")
        y += LINE


def _marks(net: Network, names: Names) -> list[tuple[str, str]]:
    w = net.wiring
    found = [] if net.populations else [("unit", "unit")]
    found += [("target", "unit with targets")] if net.objective.targets else []
    found += [("input", "input line")] if net.inputs and not net.input_groups else []
    if w.size and (w.delay == 1).any() and (w.delay != 1).any():
        found.append(("one", "heard one step later, D = 1"))
    if (w.delay == 0).any():
        found.append(("now", "hollow: heard in the same step, D = 0"))
    if (w.delay > 1).any():
        late = sorted({int(d) for d in w.delay if d > 1})
        said = ", ".join(map(str, late)) if len(late) < 8 else f"{late[0]} to {late[-1]}"
        found.append(("late", f"two heads: heard later, D = {said}"))
    if w.size and not w.learnt.all():
        found.append(("fixed", "dashed: the weight is fixed"))
    if w.size and (names.uses > 1).any():
        count = int((names.uses > 1).sum())
        which = "a weight" if count > 1 else "one weight"
        found.append(("shared", f"{which} that several connections share"))
    return found


def _mark(canvas: Canvas, mark: tuple[str, str], x: float, y: float) -> None:
    tone = {"now": " dp-now", "late": " dp-late", "fixed": " dp-fixed", "input": " dp-input"}
    group = canvas.group("dp-key" + tone.get(mark[0], ""))
    if mark[0] in ("unit", "target"):
        canvas.circle(group, x, y, 7, "dp-node")
        if mark[0] == "target":
            canvas.circle(group, x, y, 10, "dp-ring")
    elif mark[0] == "input":
        canvas.square(group, x, y, 6, "dp-node")
    elif mark[0] == "shared":
        canvas.text(group, x, y + 4, "θ_a", "dp-math", "middle", 16)
    else:
        curve = bowed((x - 15, y), (x + 15, y), 0.0)
        canvas.arrow(group, curve, hollow=mark[0] == "now", heads=1 + (mark[0] == "late"))
