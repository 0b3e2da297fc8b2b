"""Which known mistakes give the user's gradient, on the user's numbers.

A mistake is named only where what it gives agrees with the gradient under test to the tolerance
of the check, entry by entry, and is clearly another than the right gradient.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from derive.gradient_check import arrays
from derive.gradient_check.mistakes import known
from derive.gradient_check.report import Mistake
from derive.gradient_check.variants import Variant

Floats = Any

CLEARLY = 20.0
"""Tolerances by which a mistake's gradient must differ from the right one to be told from it."""


@dataclass(frozen=True, eq=False)
class Tested:
    """A gradient under test, and what it is compared with.

    Attributes
    ----------
    given, right : (K,) arrays
        Entries that were compared.
    limit : (K,) array
        How far each may be off.
    factors : sequence of (float, str)
        Constants that a mistake may come with, and their words; 1 is the first.
    """

    given: Floats
    right: Floats
    limit: Floats
    factors: Sequence[tuple[float, str]]

    def is_right(self, other: Floats) -> bool:
        """Whether a gradient cannot be told from the right one here."""
        return bool((np.abs(other - self.right) <= CLEARLY * self.limit).all())

    def agrees(self, other: Floats) -> bool:
        """Whether a gradient is the one under test."""
        size = float(np.abs(other).max(initial=0.0))
        own = float(np.abs(self.right).max(initial=0.0))
        limit = self.limit * max(1.0, size / own if own else 1.0)
        return bool((np.abs(other - self.given) <= limit).all())

    def factor(self, other: Floats) -> tuple[float, str] | None:
        """The constant with which a gradient is the one under test, if it is a usual one.

        None for what cannot be told from the right gradient.
        """
        if self.is_right(other):
            return None
        # What is a constant times the right gradient anyway must not be given another.
        alone = self._is_multiple(other)
        for value, words in self.factors[:1] if alone else self.factors:
            scaled = value * other
            if self.agrees(scaled) and not self.is_right(scaled):
                return value, words
        return None

    def _is_multiple(self, other: Floats) -> bool:
        norm = float(self.right @ self.right)
        value = float(other @ self.right) / norm if norm else 0.0
        size = max(1.0, abs(value))
        return bool((np.abs(other - value * self.right) <= CLEARLY * size * self.limit).all())


def of_scale(tested: Tested) -> Iterator[Mistake]:
    """Sign and constant factors, and any other constant."""
    for value, words in tested.factors[1:]:
        scaled = value * tested.right
        if tested.agrees(scaled) and not tested.is_right(scaled):
            yield _mistake(tested, "sign" if value == -1 else "scale", words, scaled)
            return
    norm = float(tested.right @ tested.right)
    value = float(tested.given @ tested.right) / norm if norm else 0.0
    scaled = value * tested.right
    # A constant fitted to one entry fits always.
    if tested.right.size > 2 and value and tested.agrees(scaled) and not tested.is_right(scaled):
        yield _mistake(tested, "scale", f"× {value:.6g}", scaled)


def of_variants(tested: Tested, variants: Iterable[Variant]) -> Iterator[Mistake]:
    """Variants that are the gradient under test, one for each mistake and its words."""
    for v in variants:
        found = tested.factor(v.gradient)
        if found is not None:
            yield _mistake(tested, v.key, _joined(v.words, found), found[0] * v.gradient)


def of_arrays(tested: Tested, maps: Mapping[str, Any]) -> Iterator[Mistake]:
    """The right gradient with its entries moved or dropped."""
    for key, source in maps.items():
        moved = arrays.applied(source, tested.right)
        found = tested.factor(moved)
        if found is not None:
            yield _mistake(tested, key, found[1], found[0] * moved)


def of_both(
    tested: Tested, variants: Sequence[Variant], maps: Mapping[str, Any]
) -> Iterator[Mistake]:
    """Two mistakes at once: entries moved of what another mistake gives."""
    if not np.any(tested.given):
        return
    for v in variants:
        for key, source in maps.items():
            if key == "nothing":
                continue
            found = tested.factor(arrays.applied(source, v.gradient))
            if found is None:
                continue
            moved = found[0] * arrays.applied(source, v.gradient)
            first = _mistake(tested, v.key, v.words, moved)
            second = known(key)
            yield Mistake(
                f"{v.key}+{key}",
                f"{first.title}, and {second.title}",
                f"{first.explanation}; besides, {second.explanation}",
                f"{first.cure}; {second.cure}",
                first.fit,
                first.explained,
            )


def distinct(found: Iterable[Mistake]) -> tuple[Mistake, ...]:
    """Each mistake once, with all its forms that fit, in the order found."""
    by_key: dict[str, Mistake] = {}
    for mistake in found:
        first = by_key.setdefault(mistake.key, mistake)
        form = mistake.title.partition(": ")[2]
        if form and form not in first.title:
            by_key[mistake.key] = replace(first, title=f"{first.title}, or {form}")
    return tuple(by_key.values())


def _joined(words: str, factor: tuple[float, str]) -> str:
    return ", ".join(w for w in (words, factor[1]) if w)


def _mistake(tested: Tested, key: str, words: str, gradient: Floats) -> Mistake:
    told = known(key)
    size = float(np.abs(gradient).max(initial=0.0))
    fit = float(np.abs(gradient - tested.given).max(initial=0.0)) / (size or 1.0)
    wrong = np.abs(tested.given - tested.right) > tested.limit
    return Mistake(
        key,
        told.title + (f": {words}" if words else ""),
        told.explanation,
        told.cure,
        fit,
        int((wrong & (np.abs(gradient - tested.right) > tested.limit)).sum()),
    )
