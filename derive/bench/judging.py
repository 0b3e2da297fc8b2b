"""Who computes something else is refused: its time would mean nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

# Of the largest entry. Sums of some thousand terms in float32 differ by about their order.
TOLERANCE = {"float64": 1e-9, "float32": 1e-3}


def difference(answer: Any, expected: Any) -> float:
    """The largest error relative to the largest entry, of J and of a gradient, or of outputs.

    Of two answers with different shapes, or one that is not finite, it is infinite.
    """
    if isinstance(expected, tuple):
        return max(difference(np.atleast_1d(a), np.atleast_1d(e))
                   for a, e in zip(answer, expected, strict=True))  # fmt: skip
    answer, expected = np.asarray(answer, float), np.asarray(expected, float)
    if answer.shape != expected.shape or not np.isfinite(answer).all():
        return float("inf")
    scale = np.abs(expected).max(initial=0)
    return float(np.abs(answer - expected).max(initial=0) / (scale or 1))


def wrong(found: float, dtype: str) -> str:
    """Why an answer is refused, in words; empty where it is right."""
    limit = TOLERANCE[dtype]
    if found <= limit:
        return ""
    return f"differs from the float64 reference by {found:.1e}, more than {limit:.0e}"
