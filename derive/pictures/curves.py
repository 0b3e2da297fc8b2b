"""Curves from node to node: cubic Béziers, and which of several keeps clear of other nodes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

Point = tuple[float, float]
Points = np.ndarray[Any, np.dtype[np.float64]]

TIMES = np.linspace(0.0, 1.0, 41)[:, None]


def _cubic(points: Points, t: Any) -> Points:
    a, b, c, d = points
    s = 1 - t
    found: Points = s**3 * a + 3 * s**2 * t * b + 3 * s * t**2 * c + t**3 * d
    return found


def _split(points: Points, t: float) -> tuple[Points, Points]:
    """A cubic curve in two (de Casteljau)."""
    left, right, level = [points[0]], [points[-1]], list(points)
    while len(level) > 1:
        level = [(1 - t) * u + t * v for u, v in zip(level, level[1:], strict=False)]
        left.append(level[0])
        right.append(level[-1])
    return np.array(left), np.array(right[::-1])


@dataclass(frozen=True, eq=False)
class Curve:
    """Cubic Bézier curves one after another, by their points: shape (3·pieces + 1, 2)."""

    points: Points

    @property
    def pieces(self) -> int:
        """How many cubic curves it is made of."""
        return (len(self.points) - 1) // 3

    def piece(self, i: int) -> Points:
        """The four points of one of them."""
        return self.points[3 * i : 3 * i + 4]

    def at(self, t: float) -> Points:
        """The point at some t in 0…1."""
        i = min(max(int(t * self.pieces), 0), self.pieces - 1)
        return _cubic(self.piece(i), t * self.pieces - i)

    @cached_property
    def _sampled(self) -> Points:
        return np.concatenate([_cubic(self.piece(i), TIMES) for i in range(self.pieces)])

    def sampled(self) -> Points:
        """Points along it."""
        return self._sampled

    def moved(self, x: float, y: float = 0.0) -> Curve:
        """The same curve elsewhere."""
        return Curve(self.points + np.array([x, y]))

    def trimmed(self, start: float, end: float) -> Curve:
        """Without what lies within these distances of its ends."""
        points = self.points
        t = np.linspace(0.0, 1.0, 201)
        if end > 0:
            away = np.hypot(*(_cubic(self.piece(self.pieces - 1), t[:, None]) - points[-1]).T)
            # A loop comes back: of the places far enough the last one is meant.
            last = float(t[np.flatnonzero(away >= end)[-1]]) if (away >= end).any() else 1.0
            points = np.concatenate([points[:-4], _split(points[-4:], last)[0]])
        if start > 0:
            away = np.hypot(*(_cubic(points[:4], t[:, None]) - self.points[0]).T)
            first = float(t[np.flatnonzero(away >= start)[0]]) if (away >= start).any() else 0.0
            points = np.concatenate([_split(points[:4], first)[1], points[4:]])
        return Curve(points)

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


def around(a: Point, b: Point, height: float, room: float) -> Curve:
    """From a to b, level at some height between, where it passes columns of nodes."""
    way = room if b[0] > a[0] else -room
    first, second = (a[0] + way, height), (b[0] - way, height)
    third = (second[0] - first[0]) / 3
    level = [(first[0] + third, height), (second[0] - third, height), second]
    ends = swept(a, first).points, swept(second, b).points[1:]
    return Curve(np.concatenate([ends[0], np.array(level), ends[1]]))


def passing(a: Point, b: Point, pitch: float, room: float) -> Iterator[Curve]:
    """Ways from a to b over columns between, through the gaps of rows a pitch apart."""
    if abs(b[0] - a[0]) < 2 * room + 20:
        return
    rows = int(abs(b[1] - a[1]) / pitch) + 1
    step = pitch if b[1] > a[1] else -pitch
    for i in range(rows + 2):
        for lane in (0.0, 7.0, -7.0):
            yield around(a, b, b[1] + step * (0.5 - i) + lane, room)


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
        np.array([here, here + tip * (way + 0.62 * aside), here + tip * (way - 0.62 * aside), here])
    )


def head(curve: Curve, length: float = 8.0, half: float = 3.4) -> list[Point]:
    """The corners of an arrow's head at the end of a curve."""
    tip = curve.points[-1]
    back = curve.shortened(length).points[-1]
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

        ``ends`` are the nodes it may touch, the last of them that where it arrives; ``key`` tells
        between what it leads, if not these.
        """
        key = tuple(sorted(ends)) if key is None else key
        before = self.taken.setdefault(key, [])
        arriving = self.taken.setdefault(("at", ends[-1]), [])
        best: tuple[float, Curve] | None = None
        for curve in candidates:
            middle = curve.at(0.5)
            near = sum(max(0.0, apart - float(np.hypot(*(middle - m)))) for m in before)
            near += sum(max(0.0, 6.0 - float(np.hypot(*(middle - m)))) for m in arriving)
            cost = 40 * self.crowding(curve, ends) + near
            if best is None or cost < best[0] - 1e-9:
                best = cost, curve
            if cost == 0.0:
                break
        if best is None:
            raise ValueError("router: no candidate was given")
        for places in (before, arriving):
            places.append(best[1].at(0.5))
        return best[1]
