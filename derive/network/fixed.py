"""Weights that are not learnt: given, or drawn once from a seed, as in an echo-state reservoir."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from derive.errors import NetworkError
from derive.network.topology import Integers, Places, finite, whole

MOST_EIGENVALUES = 3000
"""Units up to which a spectral radius is found."""

KEYS = ("value", "scale", "spectral_radius", "seed")


@dataclass(frozen=True)
class FixedWeights:
    """The values of weights that are no part of theta: see :func:`fixed_weights`."""

    value: float | None = None
    scale: float | None = None
    spectral_radius: float | None = None
    seed: int = 0

    def values(self, target: Integers, source: Integers, places: Places, where: str) -> Any:
        """One for each connection."""
        if self.value is not None:
            return np.full(target.size, self.value)
        drawn = np.random.Generator(np.random.PCG64(self.seed)).normal(size=target.size)
        if self.scale is not None:
            return drawn * self.scale
        if places.units > MOST_EIGENVALUES:
            raise NetworkError(
                f"{where}: a spectral radius is found for up to {MOST_EIGENVALUES} units; "
                "give a scale"
            )
        if (source >= places.units).any():
            raise NetworkError(
                f"{where}: a spectral radius is that of connections between units; fix those from "
                "input lines with a scale, in an entry of their own"
            )
        matrix = np.zeros((places.units, places.units))
        np.add.at(matrix, (target, source), drawn)
        radius = float(np.abs(np.linalg.eigvals(matrix)).max(initial=0.0))
        if radius == 0:
            raise NetworkError(
                f"{where}: the drawn weights have spectral radius 0, so none can be given to them; "
                "give a scale, or denser connections"
            )
        return drawn * (float(self.spectral_radius or 0) / radius)

    def to_spec(self) -> Any:
        """The value of ``fixed`` in a spec file."""
        if self.value is not None:
            return self.value
        kind = "scale" if self.scale is not None else "spectral_radius"
        return {kind: getattr(self, kind), "seed": self.seed}


def fixed_weights(stated: Any, where: str = "fixed") -> FixedWeights:
    """Values of weights that are not learnt.

    Parameters
    ----------
    stated : number or mapping
        One value for all, or ``{"scale": σ, "seed": …}`` for normal ones with this standard
        deviation, or ``{"spectral_radius": ρ, "seed": …}`` for normal ones scaled so that the
        matrix between units has this spectral radius.

    Raises
    ------
    NetworkError
        For a key that is unknown, two ways at once, or a value that is no number.
    """
    if isinstance(stated, FixedWeights):
        return stated
    if not isinstance(stated, Mapping):
        return FixedWeights(value=finite(stated, where))
    for key in stated:
        if key not in KEYS:
            raise NetworkError(f"{where}: unknown key {key!r}; known are {', '.join(KEYS)}")
    kinds = [k for k in KEYS[:3] if k in stated]
    if len(kinds) != 1:
        raise NetworkError(f"{where}: give one of value, scale and spectral_radius")
    (kind,) = kinds
    number = finite(stated[kind], f"{where}.{kind}")
    if kind != "value" and number <= 0:
        raise NetworkError(f"{where}.{kind} must be positive, got {number!r}")
    return FixedWeights(**{kind: number}, seed=whole(stated.get("seed", 0), f"{where}.seed", 0))


@dataclass(frozen=True)
class Fixed:
    """The connections of a pattern, none of them learnt; see :func:`fixed`."""

    pattern: Any
    weights: FixedWeights

    def arrays(self, places: Places) -> tuple[Any, ...]:
        """Target, port, source, delay, weight id (none) and value of each connection."""
        target, port, source, delay, *shared = self.pattern.arrays(places)
        labels = shared[0] if shared else None
        values = self.weights.values(target, source, places, "connect.fixed")
        return target, port, source, delay, labels, values

    def to_spec(self) -> Any:
        """The pattern's table with ``fixed`` in it."""
        spec = self.pattern.to_spec()
        spec = {spec: True} if isinstance(spec, str) else dict(spec)
        return {**spec, "fixed": self.weights.to_spec()}


def fixed(pattern: Any, weights: Any = 1.0) -> Fixed:
    """A pattern whose weights are not learnt.

    Parameters
    ----------
    pattern : pattern
        Such as ``derive.connect.random(0.1, seed=0)``.
    weights : number or mapping
        As in :func:`fixed_weights`.
    """
    if not hasattr(pattern, "arrays"):
        raise NetworkError(f"connect.fixed: expected a pattern, got {pattern!r}")
    return Fixed(pattern, fixed_weights(weights, "connect.fixed: weights"))
