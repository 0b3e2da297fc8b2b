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


def interleaved(runs: Sequence[Run], rounds: int, seconds: float) -> list[Times]:
    """Time each of ``runs`` once a round, for at least ``seconds``.

    On the wall's clock a round is the median of its calls, so that short calls do not count a
    change of process that hits a few of them; of processor time it is the mean.
    """
    calls = [_calls_for(run, seconds) for run in runs]
    wall: list[list[float]] = [[] for _ in runs]
    processor: list[list[float]] = [[] for _ in runs]
    gc.collect()
    gc.disable()
    try:
        for r in range(rounds):
            for i in np.roll(np.arange(len(runs)), r).tolist():  # nobody always follows the same one
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


def once(run: Run, calls: int = 2) -> float:
    """The least time of some calls."""
    times = []
    for _ in range(calls):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return min(times)


def _calls_for(run: Run, seconds: float) -> int:
    run()
    return int(np.clip(np.ceil(seconds / once(run, 3)), 1, MOST_CALLS))


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
    times = dict(zip(close, interleaved([runs[k] for k in close], effort.rounds, effort.seconds),
                     strict=True))  # fmt: skip
    # Beside them stands own again, so that their ratios too are of one round.
    again, *rest = interleaved([runs[k] for k in (own, *far)], effort.far_rounds, 0) if far else [
        times[own]
    ]  # fmt: skip
    beside = {name: times[own] for name in close} | dict.fromkeys(far, again)
    times |= dict(zip(far, rest, strict=True))
    peers = [name for name in runs if name != own]
    found: dict[str, Any] = {
        "seconds": {k: asdict(spread(times[k].wall)) for k in runs},
        "processor_seconds": {k: asdict(spread(times[k].processor)) for k in runs},
        "ratios": {k: asdict(spread(_ratios(times[k].wall, beside[k].wall))) for k in peers},
        "best_peer": None,
        "ratio": None,
        "processor_ratio": None,
        "least_ratio": None,
    }
    if peers:
        best = min(peers, key=lambda k: spread(times[k].wall).median)
        processor = _ratios(times[best].processor, beside[best].processor)
        least = {k: min(t.wall) for k, t in times.items()}
        found |= {
            "least_ratio": min(least[k] for k in peers) / least[own],
            "best_peer": best,
            "ratio": found["ratios"][best],
            "processor_ratio": asdict(spread(processor)),
        }
    return found


def _ratios(peer: Sequence[float], own: Sequence[float]) -> list[float]:
    return [a / b for a, b in zip(peer, own, strict=True)]
