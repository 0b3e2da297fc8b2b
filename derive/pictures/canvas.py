"""What pictures are drawn with: the one place that knows drawsvg.

Positions are px, x to the right and y down. Numbers are rounded, and nothing in the text depends
on time or on a hash, so that one network gives one text.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any
from xml.sax.saxutils import escape

from derive.pictures.curves import Curve, head
from derive.pictures.markup import SCRIPT_SIZE, SIZE, pieces
from derive.pictures.picture import Picture, PictureError
from derive.pictures.style import css


def _drawsvg() -> Any:
    try:
        import drawsvg
    except ImportError:
        raise PictureError(
            "pictures need drawsvg, which is not installed; pip install 'derive[pictures]'"
        ) from None
    return drawsvg


def number(value: float) -> str:
    """A coordinate with one decimal at most."""
    text = f"{float(value):.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def plain(text: Any) -> str:
    """Text without what XML cannot hold."""
    return re.sub(r"[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", str(text))


def attribute(value: Any) -> str:
    """The value of an attribute; drawsvg writes it as it is."""
    return escape(plain(value), {'"': "&quot;", "\n": " "})


class Canvas:
    """A picture being drawn; ``finished`` gives its text.

    Parameters
    ----------
    kind, name : str
        What is drawn, in letters and hyphens, and the network's name; both stand in its id.
    digest : str
        What tells this picture from all others of that kind and name.
    """

    def __init__(self, kind: str, name: str, digest: str) -> None:
        self.lib = _drawsvg()
        mark = hashlib.sha256(f"{kind} {digest}".encode()).hexdigest()[:10]
        self.id = f"dp-{kind}-{re.sub('[^A-Za-z0-9]', '-', name)[:40]}-{mark}"
        self.items: list[Any] = []
        self.box = [0.0, 0.0, 0.0, 0.0]

    def reach(self, x: float, y: float, margin: float = 0.0) -> None:
        """Make the picture large enough for a point."""
        low_x, low_y, high_x, high_y = self.box
        self.box = [min(low_x, x - margin), min(low_y, y - margin),
                    max(high_x, x + margin), max(high_y, y + margin)]  # fmt: skip

    def group(self, classes: str, title: str = "", **data: Any) -> Any:
        """A group of elements; ``title`` is shown where a pointer rests on it."""
        known = {f"data-{k.replace('_', '-')}": attribute(v) for k, v in data.items()}
        group = self.lib.Group(**{"class": classes, **known})
        if title:
            group.append(self.lib.Raw(f"<title>{escape(plain(title))}</title>"))
        self.items.append(group)
        return group

    def circle(self, group: Any, x: float, y: float, r: float, classes: str) -> None:
        """A circle."""
        self.reach(x, y, r + 2)
        group.append(self.lib.Circle(number(x), number(y), number(r), **{"class": classes}))

    def square(self, group: Any, x: float, y: float, r: float, classes: str) -> None:
        """A square around a point."""
        self.reach(x, y, r + 2)
        side = number(2 * r)
        corner = number(x - r), number(y - r)
        group.append(self.lib.Rectangle(*corner, side, side, **{"class": classes}))

    def box_of(
        self, group: Any, x: float, y: float, wide: float, high: float, classes: str
    ) -> None:
        """A rounded box around a point, by half its sides."""
        self.reach(x - wide, y - high)
        self.reach(x + wide, y + high)
        corner = number(x - wide), number(y - high)
        sides = number(2 * wide), number(2 * high)
        group.append(self.lib.Rectangle(*corner, *sides, rx=number(high), **{"class": classes}))

    def arrow(self, group: Any, curve: Curve, hollow: bool = False, heads: int = 1) -> None:
        """A curve with its heads at the end."""
        for x, y in curve.sampled():
            self.reach(x, y, 6)
        drawn = curve.shortened(5.0) if heads else curve
        points = " ".join(f"{number(x)} {number(y)}" for x, y in drawn.points[1:])
        start = " ".join(number(v) for v in drawn.points[0])
        group.append(self.lib.Path(d=f"M{start} C{points}", **{"class": "dp-line"}))
        for i in range(heads):
            corners = head(curve.shortened(7.0 * i) if i else curve)
            d = "M" + " L".join(f"{number(x)} {number(y)}" for x, y in corners) + "Z"
            group.append(self.lib.Path(d=d, **{"class": "dp-hollow" if hollow else "dp-head"}))

    def line(self, group: Any, points: list[tuple[float, float]], classes: str) -> None:
        """A line through points."""
        d = "M" + " L".join(f"{number(x)} {number(y)}" for x, y in points)
        for x, y in points:
            self.reach(x, y, 2)
        group.append(self.lib.Path(d=d, **{"class": classes}))

    def text(
        self,
        group: Any,
        x: float,
        y: float,
        formula: str,
        classes: str = "",
        anchor: str = "start",
        wide: float | None = None,
    ) -> None:
        """A line of text, with what stands above and below it; y is its base line."""
        parsed = "dp-math" in classes or "dp-said" in classes
        parts = list(pieces(formula)) if parsed else [(0, formula)]
        content, shift = [], 0.0
        for place, part in parts:
            wanted = -5.0 * (place > 0) + 4.0 * (place < 0)
            change = f' dy="{number(wanted - shift)}"' if wanted != shift else ""
            style = f' style="font-size:{number(SCRIPT_SIZE)}px"' if place else ""
            shift = wanted
            written = escape(plain(part))
            plainly = not (change or style)
            content.append(written if plainly else f"<tspan{change}{style}>{written}</tspan>")
        known = f' class="{classes}"' if classes else ""
        group.append(
            self.lib.Raw(
                f'<text x="{number(x)}" y="{number(y)}" text-anchor="{anchor}"{known}>'
                f"{''.join(content)}</text>"
            )
        )
        letter = 16.0 if "dp-title" in classes else SIZE
        length = wide if wide is not None else len(formula) * letter * 0.6
        left = {"start": 0.0, "middle": -length / 2, "end": -length}[anchor]
        self.reach(x + left, y - letter)
        self.reach(x + left + length, y + 5)

    def finished(self, title: str, description: str, margin: float = 16.0) -> Picture:
        """The picture, as large as what is on it."""
        low_x, low_y, high_x, high_y = self.box
        left, top = round(low_x - margin), round(low_y - margin)
        wide, high = round(high_x + margin) - left, round(high_y + margin) - top
        drawing = self.lib.Drawing(
            wide,
            high,
            origin=(left, top),
            id_prefix=self.id,
            id=self.id,
            role="img",
            aria_labelledby=f"{self.id}-title {self.id}-desc",
            style="max-width:100%;height:auto",
        )
        named = f'<title id="{self.id}-title">{escape(plain(title))}</title>'
        said = f'<desc id="{self.id}-desc">{escape(plain(description))}</desc>'
        drawing.append(self.lib.Raw(f"{named}\n{said}"))
        drawing.append(self.lib.Rectangle(left, top, wide, high, **{"class": "dp-paper"}))
        drawing.extend(self.items)
        drawing.append_css(css(self.id))
        return Picture(drawing.as_svg(header="") + "\n", title, description)
