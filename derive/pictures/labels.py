"""Where labels of arrows stand: beside their arrow, off nodes, other labels and other arrows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from derive.pictures.curves import Curve, Points

Box = tuple[float, float, float, float]
HEIGHT = 15.0
ALONG = (0.5, 0.42, 0.58, 0.34, 0.66, 0.26, 0.74)
BESIDE = (0.0, 9.0, -9.0, 16.0, -16.0)
OUTSIDE = (12.0, -12.0, 18.0, -18.0, 24.0, -24.0)


@dataclass(eq=False)
class Labels:
    """What is in the way of labels, and where those before stand.

    Attributes
    ----------
    centres, radii : array
        Nodes.
    curves : sequence of Curve
        All arrows.
    """

    centres: Points
    radii: Points
    curves: Sequence[Curve]
    boxes: list[Box] = field(default_factory=list)

    @cached_property
    def _passed(self) -> tuple[Points, Any]:
        """All points of curves, and of which curve each is."""
        sampled = [c.sampled() for c in self.curves]
        counts = [len(points) for points in sampled]
        return np.concatenate(sampled), np.repeat(np.arange(len(counts)), counts)

    def _cost(self, box: Box, own: Curve | None) -> float:
        left, top, right, bottom = box
        x = np.clip(self.centres[:, 0], left, right) - self.centres[:, 0]
        y = np.clip(self.centres[:, 1], top, bottom) - self.centres[:, 1]
        cost = 40.0 * float(np.maximum(self.radii - np.hypot(x, y), 0.0).sum())
        for a, b, c, d in self.boxes:
            wide, high = min(right, c) - max(left, a), min(bottom, d) - max(top, b)
            cost += 20.0 * wide * high if wide > 0 and high > 0 else 0.0
        x, y = self._passed[0].T
        inside = (x > left) & (x < right) & (y > top) & (y < bottom)
        if own is not None:
            inside &= self._passed[1] != next(i for i, c in enumerate(self.curves) if c is own)
        return cost + 6.0 * float(inside.sum())

    def place(self, own: Curve, wide: float) -> tuple[float, float]:
        """The middle of a label's base line."""
        best: tuple[float, float, float, Box] | None = None
        gap = float(np.hypot(*(own.points[-1] - own.points[0])))
        round_about = gap < float(np.hypot(*(own.at(0.5) - own.points[0])))
        for i, t in enumerate((0.5, 0.25, 0.75) if round_about else ALONG):
            here = own.at(t)
            ahead = own.at(min(t + 0.02, 1.0)) - own.at(t - 0.02)
            aside = np.array([-ahead[1], ahead[0]]) / (np.hypot(*ahead) or 1.0)
            # A label on a loop would hide it.
            for j, off in enumerate(OUTSIDE if round_about else BESIDE):
                # A wide label must go further to the side than a high one.
                reach = off + np.sign(off) * abs(aside[0]) * wide / 3
                x, y = here + aside * reach
                half = wide / 2 + 3
                box = (x - half, y - HEIGHT / 2, x + half, y + HEIGHT / 2)
                cost = self._cost(box, None if round_about else own) + i * 2 + j * 5
                if best is None or cost < best[0] - 1e-9:
                    best = cost, float(x), float(y), box
        assert best is not None
        self.boxes.append(best[3])
        return best[1], best[2] + 4.5
