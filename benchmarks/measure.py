"""Interleaved timing: every contender runs in every round, so a busy spell hits them all."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

LEAST_SECONDS = 0.01
LEAST_CALLS, MOST_CALLS = 3, 500


@dataclass(frozen=True)
class Times:
    """Seconds per call in each round: on the wall's clock, and of the processor's own time.

    The second does not count what other processes took meanwhile.
    """

    wall: tuple[float, ...]
    processor: tuple[float, ...]


def interleaved(runs: Sequence[Callable[[], Any]], rounds: int) -> list[Times]:
    """Time each of ``runs`` once a round.

    On the wall's clock a round is the median of its calls, so that short calls do not count a
    change of process that hits a few of them; of processor time it is the mean.
    """
    calls = [_calls_for(run) for run in runs]
    wall: list[list[float]] = [[] for _ in runs]
    processor: list[list[float]] = [[] for _ in runs]
    gc.collect()
    gc.disable()
    try:
        for r in range(rounds):
            for i in np.roll(np.arange(len(runs)), r):  # nobody always follows the same one
                run, count = runs[i], calls[i]
                run()  # brings its data and code back into the caches
                cpu, ticks = time.process_time(), [time.perf_counter()]
                for _ in range(count):
                    run()
                    ticks.append(time.perf_counter())
                processor[i].append((time.process_time() - cpu) / count)
                wall[i].append(float(np.median(np.diff(ticks))))
    finally:
        gc.enable()
    return [Times(tuple(w), tuple(p)) for w, p in zip(wall, processor, strict=True)]


def _calls_for(run: Callable[[], Any]) -> int:
    run()
    times = []
    for _ in range(3):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return int(np.clip(np.ceil(LEAST_SECONDS / min(times)), LEAST_CALLS, MOST_CALLS))


@dataclass(frozen=True)
class Spread:
    """The middle of some numbers, the quartiles around it, and the least of them."""

    median: float
    lower: float
    upper: float
    least: float


def spread(numbers: Sequence[float]) -> Spread:
    """Median, quartiles and minimum."""
    least, lower, median, upper = np.percentile(numbers, [0, 25, 50, 75])
    return Spread(float(median), float(lower), float(upper), float(least))
