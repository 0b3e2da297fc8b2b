"""Interleaved timing: all contenders take turns in every round, so a busy spell hits them all.

Those far behind are measured in a few short rounds: what they are is seen at once, and the time
is better spent on a ratio that is close.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

Run = Callable[[], Any]
MOST_CALLS = 500
FAR = 2.5
"""How many times slower than the fastest peer is far behind."""


@dataclass(frozen=True)
class Effort:
    """How long to look.

    Attributes
    ----------
    rounds, far_rounds : int
        For those that are close, and for those far behind.
    seconds : float
        That a close contender runs in a round at least.
    """

    rounds: int
    far_rounds: int
    seconds: float


THOROUGH = Effort(rounds=21, far_rounds=5, seconds=0.01)
QUICK = Effort(rounds=9, far_rounds=3, seconds=0.004)


@dataclass(frozen=True)
class Times:
    """Seconds per call in each round: on the wall's clock, and of the processor's own time.

    The second does not count what other processes took meanwhile.
    """

    wall: tuple[float, ...]
    processor: tuple[float, ...]


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


def interleaved(runs: Sequence[Run], calls: Sequence[int], rounds: int) -> list[Times]:
    """Time ``calls`` calls of each of ``runs`` in every round.

    On the wall's clock a round is the median of its calls, so that short calls do not count a
    change of process that hits a few of them; of processor time it is the mean.
    """
    wall: list[list[float]] = [[] for _ in runs]
    processor: list[list[float]] = [[] for _ in runs]
    gc.collect()
    gc.disable()
    try:
        for r in range(rounds):
            order = np.roll(np.arange(len(runs)), r)  # nobody always follows the same one
            for i in order.tolist():
                run, count = runs[i], calls[i]
                if count > 1:
                    run()  # brings its data and code back into the caches; a long call does itself
                cpu, ticks = time.process_time(), [time.perf_counter()]
                for _ in range(count):
                    run()
                    ticks.append(time.perf_counter())
                processor[i].append((time.process_time() - cpu) / count)
                wall[i].append(float(np.median(np.diff(ticks))))
    finally:
        gc.enable()
    return [Times(tuple(w), tuple(p)) for w, p in zip(wall, processor, strict=True)]


def once(run: Run, calls: int = 2) -> float:
    """The least time of some calls."""
    times = []
    for _ in range(calls):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return min(times)


def measure(own: str, runs: Mapping[str, Run], effort: Effort) -> dict[str, Any]:
    """Time contenders beside one of them.

    Returns
    -------
    dict
        ``seconds`` and ``processor_seconds`` of each; ``ratios`` of each peer to ``own`` round by
        round, since both sides of a round saw the same machine; of the ``best_peer``, which has the
        least median, ``ratio`` and ``processor_ratio``; and ``least_ratio``, of the least time of
        any peer to the least of ``own``, which does not depend on what else ran. A ratio above 1
        says that ``own`` is faster. Without peers these are None.
    """
    first = {name: once(run) for name, run in runs.items()}
    limit = FAR * min((t for name, t in first.items() if name != own), default=0.0)
    close = [name for name in runs if name == own or first[name] <= limit]
    far = [name for name in runs if name not in close]
    calls = [int(np.clip(np.ceil(effort.seconds / first[k]), 1, MOST_CALLS)) for k in close]
    timed = interleaved([runs[k] for k in close], calls, effort.rounds)
    timed += interleaved([runs[k] for k in far], [1] * len(far), effort.far_rounds)
    times = dict(zip((*close, *far), timed, strict=True))
    peers = [name for name in runs if name != own]
    found: dict[str, Any] = {
        "seconds": {k: asdict(spread(times[k].wall)) for k in runs},
        "processor_seconds": {k: asdict(spread(times[k].processor)) for k in runs},
        "ratios": {k: asdict(spread(_ratios(times[k].wall, times[own].wall))) for k in peers},
        "best_peer": None,
        "ratio": None,
        "processor_ratio": None,
        "least_ratio": None,
    }
    if peers:
        best = min(peers, key=lambda k: spread(times[k].wall).median)
        processor = _ratios(times[best].processor, times[own].processor)
        least = {k: min(t.wall) for k, t in times.items()}
        found |= {
            "least_ratio": min(least[k] for k in peers) / least[own],
            "best_peer": best,
            "ratio": found["ratios"][best],
            "processor_ratio": asdict(spread(processor)),
        }
    return found


def _ratios(peer: Sequence[float], own: Sequence[float]) -> list[float]:
    """Round by round; for a peer with fewer rounds, its own rounds over the median of the other."""
    if len(peer) == len(own):
        return [a / b for a, b in zip(peer, own, strict=True)]
    middle = float(np.median(own))
    return [a / middle for a in peer]
