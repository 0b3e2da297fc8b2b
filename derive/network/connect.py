"""Patterns of connections: ``derive.connect.full()``, ``random``, ``ring``, ``layers``."""

from __future__ import annotations

from derive.network.topology import Full, Layers, Random, Ring, full, layers, random, ring

__all__ = ["Full", "Layers", "Random", "Ring", "full", "layers", "random", "ring"]
