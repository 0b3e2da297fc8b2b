"""Fit the cost model's coefficients to recorded times: least squares in ratio, none negative.

A time is Σ coefficient·feature. Few features let every subset of them be tried, so the fit is
exact and the same wherever it is made; what is written has four digits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from derive.program.schedules.model import COMPILED, FEATURES, by_page, compiled_features

HEAD = '''"""What the cost model multiplies counted work by: nanoseconds, and seconds of compiling.

``benchmarks/bench_schedules.py --fit`` writes this file from recorded times; edit neither.
"""

'''

BATCHES = {"unrolled": (False, True), "tables": (False, True), "pages": (False,)}
"""What each schedule was measured for: one sequence, and lanes."""


def fitted(cases: Sequence[Mapping[str, Any]]) -> str:
    """The text of ``coefficients.py``."""
    text = ["STEP = {"]
    for schedule, batches in BATCHES.items():
        for batch in batches:
            for dtype in ("float64", "float32"):
                chosen = [
                    (c["counted"], c["step"][schedule])
                    for c in cases
                    if schedule in c["step"] and (schedule != "pages" or by_page(c["counted"]))
                    and (c["case"]["batch"] > 1) == batch
                    and c["case"]["dtype"] == dtype
                ]
                rows = [[counts[f] for f in FEATURES] for counts, _ in chosen]
                found = least_squares(rows, [ns for _, ns in chosen])
                text.append(f'    ("{schedule}", {batch}, "{dtype}"): {numbers(found)},')
    text += [
        "}",
        '"""By schedule, whether in lanes, and type; in the order of the features."""',
        "",
    ]
    taken = [(c["lines"], c["compile"]["unrolled"]) for c in cases if "unrolled" in c["compile"]]
    rows = [compiled_features(lines) for lines, _ in taken]
    text += [f"COMPILE = {numbers(least_squares(rows, [s for _, s in taken]))}",
              f'"""Of a straight line: {", ".join(COMPILED)}."""']  # fmt: skip
    return HEAD + "\n".join(text) + "\n"


def least_squares(rows: Any, times: Any) -> Any:
    """Coefficients, none negative, that bring predicted over given times nearest to 1."""
    scaled = np.asarray(rows, float) / np.asarray(times, float)[:, None]
    best, least = np.zeros(scaled.shape[1]), float("inf")
    for size in range(1, scaled.shape[1] + 1):
        for subset in map(list, combinations(range(scaled.shape[1]), size)):
            found = np.linalg.lstsq(scaled[:, subset], np.ones(len(scaled)), rcond=None)[0]
            off = float(((scaled[:, subset] @ found - 1) ** 2).sum())
            if (found >= 0).all() and off < least - 1e-12:
                best, least = np.zeros(scaled.shape[1]), off
                best[subset] = found
    return best


def numbers(values: Any) -> str:
    """A tuple of numbers with four digits."""
    return "(" + ", ".join(repr(float(f"{v:.4g}")) for v in values) + ")"
