"""Ready-made cells, each only its forward equations: ``derive.cells.lstm()`` and its kind.

A spec file names one as ``[cell] library = "lstm"``, with the function's arguments beside it.

    plain            semilinear, elman, leaky, reservoir
    gates            lstm, gru, mgu
    continuous_time  ctrnn, adaptive, ltc
    products         second_order
    diagonal         lru, s4d
"""

from __future__ import annotations

from collections.abc import Callable

from derive.network.cell import Cell
from derive.network.library.continuous_time import adaptive, ctrnn, ltc
from derive.network.library.diagonal import lru, ring, s4d
from derive.network.library.gates import gru, lstm, mgu, split_connections
from derive.network.library.plain import (
    ACTIVATIONS,
    activation_text,
    elman,
    leaky,
    reservoir,
    semilinear,
)
from derive.network.library.products import second_order

LIBRARY: dict[str, Callable[..., Cell]] = {
    "semilinear": semilinear,
    "elman": elman,
    "leaky": leaky,
    "reservoir": reservoir,
    "lstm": lstm,
    "gru": gru,
    "mgu": mgu,
    "ctrnn": ctrnn,
    "adaptive": adaptive,
    "ltc": ltc,
    "second_order": second_order,
    "lru": lru,
    "s4d": s4d,
}

__all__ = [
    "ACTIVATIONS", "LIBRARY", "activation_text", "adaptive", "ctrnn", "elman", "gru", "leaky",
    "lru", "lstm", "ltc", "mgu", "second_order", "reservoir", "ring", "s4d", "semilinear",
    "split_connections",
]  # fmt: skip
