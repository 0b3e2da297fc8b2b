"""Slopes of a function of theta with an error bar each: what a gradient is judged by.

Central differences at h, h/2, h/4, h/8 are extrapolated to h = 0 (Richardson; Ridders 1982 for
the choice among the table's entries and its error estimate). What rounding adds is measured: the
noise of J comes from a table of differences over tiny steps (Moré & Wild 2011), so a function that
computes in single precision behind a double interface gets the bars it deserves. Where J can be
carried through complex numbers Im J(θ + ih)/h is exact to rounding (Squire & Trapp 1998); it is
believed only where it agrees with central differences.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Floats = Any
J = Callable[[Floats], float]

LEVELS = 4
"""Steps h, h/2, … of one table."""

SAMPLED = 400
"""Entries differenced at most; of a longer theta as many are drawn."""

WITNESSES = 3
"""Entries, and as many directions, on which the complex step must agree with differences."""


@dataclass(frozen=True, eq=False)
class Slopes:
    """Derivatives of J by some entries of theta.

    Attributes
    ----------
    entries : (K,) array of int
        Which entries of the flat theta.
    values, bars : (K,) arrays
        Each slope, and how far it may be off.
    method : str
        ``complex step`` or ``central differences, extrapolated``.
    noise : float
        The rounding noise of J that was measured.
    """

    entries: Any
    values: Floats
    bars: Floats
    method: str
    noise: float


def slopes(
    J: J,
    theta: Floats,
    dtype: Any,
    seed: int = 0,
    carried: Callable[[Floats], complex | None] | None = None,
) -> Slopes:
    """Slopes of J by each entry of theta, or by drawn ones of a long theta.

    Parameters
    ----------
    J : callable
        From a flat theta to a number.
    theta : (P,) array
    dtype : float type
        In which J takes theta, or computes, whichever is coarser.
    seed : int
    carried : callable, optional
        J on complex numbers, or None where it has no value there.
    """
    entries = _entries(theta.size, seed)
    floor = noise(J, theta, dtype, seed)
    if carried is not None:
        found = _complex(J, carried, theta, dtype, entries, floor, seed)
        if found is not None:
            return found
    pairs = [along(J, theta, _unit(theta.size, i), dtype, floor) for i in entries]
    values, bars = (np.array([p[k] for p in pairs]) for k in (0, 1))
    method = "central differences, extrapolated"
    return Slopes(entries, values, bars, method, floor)


def noise(J: J, theta: Floats, dtype: Any, seed: int = 0) -> float:
    """The rounding noise of J near theta: fourth differences over steps too small to matter."""
    way = _direction(theta.size, seed)
    h = 2.0**-20 * max(1.0, float(np.abs(theta).max(initial=0.0)))
    values = np.array([J(theta + i * h * way) for i in range(9)])
    differences = np.diff(values, n=4)
    scale = math.factorial(4) ** 2 / math.factorial(8)
    measured = float(np.sqrt(scale * np.mean(differences**2)))
    least = float(np.finfo(dtype).eps) * float(np.abs(values).max())
    return max(measured, least)


def along(J: J, theta: Floats, way: Floats, dtype: Any, floor: float) -> tuple[float, float]:
    """The slope of J along a direction, and its error bar.

    A table whose own error estimate is poor is made again with shorter steps: near a corner, or
    where J bends sharply, the first may be too long.
    """
    reach = max(1.0, float(np.abs(theta[way != 0]).max(initial=0.0)))
    coarse = np.finfo(dtype).eps > 1e-10
    h = 2.0 ** (-4 if coarse else -6) * reach
    best = (float("nan"), float("inf"))
    for shorter in (1, 8, 64) if coarse else (1, 16, 256, 4096):
        found = _table(J, theta, way, dtype, h / shorter, floor)
        if not found[1] >= best[1]:
            best = found
        if best[1] <= 64 * floor / h + 1e-10 * abs(best[0]):
            break
    return best


def _table(
    J: J, theta: Floats, way: Floats, dtype: Any, h: float, floor: float
) -> tuple[float, float]:
    """One table of extrapolated differences: the entry with the smallest bar."""
    best = (float("nan"), float("inf"))
    rows: list[list[float]] = []
    for level in range(LEVELS):
        step = h / 2**level
        ahead, behind = ((theta + sign * step * way).astype(dtype) for sign in (1, -1))
        # The distance as it came out in this precision, not as it was meant.
        taken = float((ahead.astype(np.float64) - behind.astype(np.float64)) @ way) / float(
            way @ way
        )
        row = [(J(ahead.astype(np.float64)) - J(behind.astype(np.float64))) / taken]
        for k, before in enumerate(rows[-1] if rows else []):
            power = 4.0 ** (k + 1)
            row.append((power * row[k] - before) / (power - 1))
        rows.append(row)
        if level:
            for k in range(1, len(row)):
                spread = max(abs(row[k] - row[k - 1]), abs(row[k] - rows[-2][k - 1]))
                bar = 2 * spread + 4 * floor / step
                if bar < best[1]:
                    best = (row[k], bar)
    return best


def _complex(
    J: J,
    carried: Callable[[Floats], complex | None],
    theta: Floats,
    dtype: Any,
    entries: Any,
    floor: float,
    seed: int,
) -> Slopes | None:
    """Slopes by the complex step, if it can be believed."""
    if np.finfo(dtype).eps > 1e-10:
        return None

    def slope(way: Floats) -> float | None:
        value = carried(theta + 1e-30j * way)
        return None if value is None else value.imag / 1e-30

    step = max(1, entries.size // WITNESSES)
    ways = [_unit(theta.size, i) for i in entries[::step][:WITNESSES]]
    for way in [*ways, *(_direction(theta.size, seed + j) for j in range(WITNESSES))]:
        exact = slope(way)
        if exact is None or not np.isfinite(exact):
            return None
        value, bar = along(J, theta, way, dtype, floor)
        if not abs(value - exact) <= bar + 1e-9 * abs(value):
            return None
    found = [slope(_unit(theta.size, i)) for i in entries]
    if any(v is None for v in found):
        return None
    values = np.array(found, dtype=np.float64)
    bars = (
        64
        * float(np.finfo(dtype).eps)
        * np.maximum(np.abs(values), np.abs(values).max(initial=0.0))
    )
    return Slopes(entries, values, bars, "complex step", floor)


def _entries(size: int, seed: int) -> Any:
    if size <= SAMPLED:
        return np.arange(size)
    generator = np.random.Generator(np.random.PCG64(seed))
    return np.sort(generator.choice(size, SAMPLED, replace=False))


def _unit(size: int, i: int) -> Floats:
    way = np.zeros(size)
    way[i] = 1.0
    return way


def _direction(size: int, seed: int) -> Floats:
    generator = np.random.Generator(np.random.PCG64(seed))
    return generator.choice([-1.0, 1.0], size) / np.sqrt(max(1, size))
