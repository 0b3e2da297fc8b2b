"""Reads an SVG back: which arrows, nodes and labels it has, and where they are.

It shares nothing with what draws: XML is parsed, paths are followed by their own letters.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass

import numpy as np

SVG = "{http://www.w3.org/2000/svg}"


@dataclass(frozen=True, eq=False)
class Arrow:
    """One group of a class: what it says of itself, and points along its line."""

    data: dict[str, str]
    points: np.ndarray


@dataclass(frozen=True, eq=False)
class Node:
    """A circle, a square or a box with round ends, with what its group says of it."""

    data: dict[str, str]
    centre: np.ndarray
    half: np.ndarray
    rounding: float

    def depth(self, points: np.ndarray) -> float:
        """How deep the deepest of some points is inside it, in px."""
        away = np.maximum(np.abs(points - self.centre) - (self.half - self.rounding), 0.0)
        outside = np.hypot(away[:, 0], away[:, 1]).min()
        if outside > 0:
            return float(self.rounding - outside)
        return float((self.half - np.abs(points - self.centre)).min(axis=1).max())


def root(svg: str) -> ET.Element:
    """The parsed picture."""
    return ET.fromstring(svg)


def groups(svg: str, name: str) -> list[ET.Element]:
    """All groups of a class."""
    return [g for g in root(svg).iter(f"{SVG}g") if name in g.get("class", "").split()]


def data(group: ET.Element) -> dict[str, str]:
    """The data attributes of a group, without their prefix."""
    return {k.removeprefix("data-"): v for k, v in group.attrib.items() if k.startswith("data-")}


def followed(d: str) -> np.ndarray:
    """Points along a path of M, C and L."""
    found: list[np.ndarray] = []
    here = np.zeros(2)
    for letter, numbers in re.findall(r"([MCL])([^MCLZ]*)", d):
        values = np.array([float(v) for v in re.findall(r"-?[\d.]+", numbers)]).reshape(-1, 2)
        if letter == "C":
            t = np.linspace(0, 1, 60)[:, None]
            for i in range(0, len(values), 3):
                b, c, e = values[i : i + 3]
                s = 1 - t
                found.append(s**3 * here + 3 * s**2 * t * b + 3 * s * t**2 * c + t**3 * e)
                here = e
        else:
            found.append(values)
            here = values[-1]
    return np.concatenate(found)


def arrows(svg: str, name: str = "dp-edge") -> list[Arrow]:
    """The arrows of a class."""
    found = []
    for group in groups(svg, name):
        line = group.find(f"{SVG}path[@class='dp-line']")
        assert line is not None
        found.append(Arrow(data(group), followed(line.get("d", ""))))
    return found


def nodes(svg: str) -> list[Node]:
    """Units and input lines, or the boxes of quantities that flow."""
    found = []
    for group in (*groups(svg, "dp-unit"), *groups(svg, "dp-quantity")):
        for shape in group:
            if shape.tag == f"{SVG}circle" and "dp-node" in shape.get("class", ""):
                at = np.array([float(shape.get(c, "nan")) for c in ("cx", "cy")])
                half = np.array([float(shape.get("r", "nan"))] * 2)
                found.append(Node(data(group), at, half, half[0]))
            elif shape.tag == f"{SVG}rect":
                x, y, w, h = (float(shape.get(c, "nan")) for c in ("x", "y", "width", "height"))
                half = np.array([w / 2, h / 2])
                rounding = float(shape.get("rx", "0"))
                found.append(Node(data(group), np.array([x, y]) + half, half, rounding))
    return found


def through(svg: str, *classes: str, deep: float = 1.0) -> list[str]:
    """Complaints about arrows that run through a node they neither start nor end at."""
    found = []
    for name in classes or ("dp-edge",):
        for arrow in arrows(svg, name):
            ends = arrow.points[[0, -1]]
            for node in nodes(svg):
                # An arrow stops short of its ends: those are the nodes nearest to its tips.
                if any(node.depth(end[None]) > -16.0 for end in ends):
                    continue
                if node.depth(arrow.points) > deep:
                    found.append(f"{name} {arrow.data} runs through {node.data}")
    return found


def texts(svg: str) -> list[str]:
    """All that is written."""
    return ["".join(t.itertext()) for t in root(svg).iter(f"{SVG}text")]


def labels(svg: str) -> list[np.ndarray]:
    """About where each label of an arrow is: its upper left and lower right corner."""
    found = []
    for group in groups(svg, "dp-label-of"):
        text = group.find(f"{SVG}text")
        assert text is not None and text.get("text-anchor") == "middle"
        x, y = float(text.get("x", "nan")), float(text.get("y", "nan"))
        half = len("".join(text.itertext())) * 3.6
        found.append(np.array([[x - half, y - 10], [x + half, y + 3]]))
    return found
