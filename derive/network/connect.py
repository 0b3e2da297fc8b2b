"""Patterns of connections: ``derive.connect.full()``, ``between``, ``from_csv`` and their kind."""

from __future__ import annotations

from derive.network.between import Between, between
from derive.network.fixed import Fixed, fixed
from derive.network.pairs import OneToOne, Pairs, from_csv, one_to_one, pairs
from derive.network.topology import Full, Layers, Random, Ring, full, layers, random, ring

__all__ = [
    "Between", "Fixed", "Full", "Layers", "OneToOne", "Pairs", "Random", "Ring", "between",
    "fixed", "from_csv", "full", "layers", "one_to_one", "pairs", "random", "ring",
]  # fmt: skip
