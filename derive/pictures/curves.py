"""Curves from node to node: cubic Béziers, and which of several keeps clear of other nodes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

Point = tuple[float, float]
Points = np.ndarray[Any, np.dtype[np.float64]]

TIMES = np.linspace(0.0, 1.0, 41)[:, None]


@dataclass(frozen=True, eq=False)
class Curve:
    """A cubic Bézier curve by its four points, shape (4, 2)."""

    points: Points

    def at(self, t: Any) -> Points:
        """The points at some t in 0…1."""
        a, b, c, d = self.points
        s = 1 - t
        found: Points = s**3 * a + 3 * s**2 * t * b + 3 * s * t**2 * c + t**3 * d
        return found

    @cached_property
    def _sampled(self) -> Points:
        return self.at(TIMES)

    def sampled(self) -> Points:
        """Points along it."""
        return self._sampled

    def between(self, start: float, end: float) -> Curve:
        """The stretch between two values of t (de Casteljau)."""
        a, b, c, d = self.points

        def split(t: float, p: Sequence[Points]) -> tuple[list[Points], list[Points]]:
            left, right, level = [p[0]], [p[-1]], list(p)
            while len(level) > 1:
                level = [
                    (1 - t) * u + t * v for u, v in zip(level, level[1:], strict=False)
                ]
                left.append(level[0])
                right.append(level[-1])
            return left, right[::-1]

        first, _ = split(end, [a, b, c, d])
        _, rest = split(start / end if end else 0.0, first)
        return Curve(np.array(rest))

    def moved(self, x: float, y: float = 0.0) -> Curve:
        """The same curve elsewhere."""
        return Curve(self.points + np.array([x, y]))

    def trimmed(self, start: float, end: float) -> Curve:
        """Without what lies within these distances of its ends."""
        t = np.linspace(0.0, 1.0, 401)
        points = self.at(t[:, None])
        out = np.hypot(*(points - self.points[0]).T) >= start
        there = np.hypot(*(points - self.points[3]).T) >= end
        inside = np.flatnonzero(out & there)
        if inside.size < 2:
            return self
        return self.between(float(t[inside[0]]), float(t[inside[-1]]))

    def shortened(self, length: float) -> Curve:
        """Without its last px."""
        return self.trimmed(0.0, length)


def bowed(a: Point, b: Point, bend: float) -> Curve:
    """From a to b, bent to the right of the way by a part of its length."""
    start, end = np.array(a), np.array(b)
    along = end - start
    aside = np.array([-along[1], along[0]]) * bend
    return Curve(np.array([start, start + along / 3 + aside, end - along / 3 + aside, end]))


def swept(a: Point, b: Point, shift: float = 0.0) -> Curve:
    """From a to b, leaving and arriving level; ``shift`` px lower (or higher) between."""
    start, end = np.array(a), np.array(b)
    level = np.array([(end[0] - start[0]) * 0.5, 0.0])
    lower = np.array([0.0, shift * 4 / 3])
    return Curve(np.array([start, start + level + lower, end - level + lower, end]))


def beside(a: Point, b: Point, out: float) -> Curve:
    """Between two places of one column, bulging ``out`` px to the side."""
    start, end = np.array(a), np.array(b)
    aside = np.array([out * 4 / 3, 0.0])
    lift = (end - start) * 0.15
    return Curve(np.array([start, start + aside + lift, end + aside - lift, end]))


def looped(at: Point, towards: Point, size: float) -> Curve:
    """A loop out of a node and back, in a direction."""
    here, way = np.array(at), np.array(towards, dtype=float)
    way = way / (np.hypot(*way) or 1.0)
    aside = np.array([-way[1], way[0]])
    tip = size * 4 / 3
    return Curve(
        np.array(
            [here, here + tip * (way + 0.62 * aside), here + tip * (way - 0.62 * aside), here]
        )
    )


def head(curve: Curve, length: float = 8.0, half: float = 3.4) -> list[Point]:
    """The corners of an arrow's head at the end of a curve."""
    tip = curve.points[3]
    back = curve.shortened(length).points[3]
    way = tip - back
    way = way / (np.hypot(*way) or 1.0)
    aside = np.array([-way[1], way[0]]) * half
    base = tip - way * length
    corners = (tip, base + aside, base - aside)
    return [(float(x), float(y)) for x, y in corners]


@dataclass(eq=False)
class Router:
    """Chooses curves that keep clear of nodes, and of curves between the same two places.

    Attributes
    ----------
    centres : array (N, 2)
        The nodes.
    radii : array (N,)
        How near a curve may come to each.
    """

    centres: Points
    radii: Points
    taken: dict[Any, list[Points]] = field(default_factory=dict)

    def crowding(self, curve: Curve, ends: Iterable[int]) -> float:
        """How far a curve runs into nodes other than its ends, in px; 0 where it is clear."""
        other = np.ones(len(self.radii), dtype=bool)
        other[list(ends)] = False
        if not other.any():
            return 0.0
        away = curve.sampled()[:, None, :] - self.centres[other][None]
        inside = self.radii[other] - np.hypot(away[..., 0], away[..., 1])
        return float(np.maximum(inside.max(axis=0), 0.0).sum())

    def chosen(
        self,
        candidates: Iterable[Curve],
        ends: Sequence[int],
        key: Any = None,
        apart: float = 15.0,
    ) -> Curve:
        """The first candidate that is clear; where none is, the one that is least in the way.

        ``ends`` are the nodes it may touch; ``key`` tells between what it leads, if not these.
        """
        key = tuple(sorted(ends)) if key is None else key
        before = self.taken.setdefault(key, [])
        best: tuple[float, Curve] | None = None
        for curve in candidates:
            middle = curve.at(0.5)
            near = sum(max(0.0, apart - float(np.hypot(*(middle - m)))) for m in before)
            cost = 4 * self.crowding(curve, ends) + near
            if best is None or cost < best[0] - 1e-9:
                best = cost, curve
            if cost == 0.0:
                break
        if best is None:
            raise ValueError("router: no candidate was given")
        before.append(best[1].at(0.5))
        return best[1]
