"""Learning to oscillate, with and without teacher forcing (Williams & Zipser 1989, section 3).

No input lines. While it learns, the net is or is not forced: the signal itself takes the place of
the output of unit 0 in the next step. Afterwards it runs free from the state it has reached, and
is asked for the right period.

    python examples/oscillation.py [--seeds 50] [--plot FILE.png] [--quick]
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import experiments as lab
import numpy as np

import derive

FREE, SETTLED = 2000, 500
"""Steps of a free run, and how many of them are not judged."""


@dataclass(frozen=True)
class Task:
    """A signal, the net that is to give it, and how long it learns.

    ``independent`` is what another implementation reports: right when forced, and when not.
    """

    name: str
    signal: np.ndarray  # one period
    units: int
    steps: int
    independent: str = "–"
    eta: float = 1.0

    @property
    def period(self) -> int:
        return len(self.signal)

    def target(self, steps: int) -> np.ndarray:
        return np.resize(self.signal, (steps, 1))


SINE = 0.5 + 0.25 * np.sin(2 * np.pi * np.arange(25) / 25)
TASKS = (
    Task("0101", np.array([0.0, 1]), 1, 20_000, "50/50, 0/50"),
    Task("0011", np.array([0.0, 0, 1, 1]), 2, 20_000, "50/50, 0/50"),
    Task("sine of period 25", SINE, 2, 100_000, "50/50, 0/50"),
    # Beside the classic three: what more steps do to the nets that are not forced.
    Task("0011", np.array([0.0, 0, 1, 1]), 2, 50_000),
    Task("0011", np.array([0.0, 0, 1, 1]), 2, 50_000, eta=0.5),
)


def run(task: Task, kernel: derive.Kernel, seed: int) -> tuple[lab.Run, np.ndarray]:
    """Learn, then run free: the run, and outputs of unit 0 (FREE,) from the state reached on."""
    theta = lab.random_weights(kernel.net, np.random.default_rng(seed))
    nothing = np.zeros((max(task.steps, FREE), 0))
    learnt = lab.learn(kernel, theta, nothing, task.target(task.steps), task.eta)
    return learnt, kernel.forward(learnt.theta, nothing[:FREE], learnt.y)[1:, 0]


def period(y: np.ndarray) -> float | None:
    """Mean steps between upward crossings of the middle; None where there are not two."""
    y = y[SETTLED:]
    above = y >= (y.min() + y.max()) / 2
    up = np.flatnonzero(~above[:-1] & above[1:])
    return float(np.diff(up).mean()) if len(up) > 1 else None


def oscillates(task: Task, y: np.ndarray) -> bool:
    """Whether a free run has the period within 2 %, and at least half the swing of the signal."""
    found = period(y)
    swing = np.ptp(y[SETTLED:]) >= np.ptp(task.signal) / 2
    return bool(swing and found is not None and abs(found - task.period) <= 0.02 * task.period)


@lab.options
def main(seeds: int, plot: Path | None, quick: bool) -> None:
    """Learning to oscillate by RTRL, forced and not: how many seeds run free at the period."""
    seeds = 3 if quick else seeds
    rows, drawn = [], []
    for task in TASKS:
        results = {}
        for title, forced in (("forced", True), ("not forced", False)):
            net = lab.network("oscillation.toml", task.units)
            kernel = derive.compile(net, algorithm="rtrl", teacher_forcing=forced)
            each = lab.each_seed(f"{task.name}, {title}", seeds)
            results[title] = [run(task, kernel, seed) for seed in each]
        periods = [p for _, y in results["forced"] if (p := period(y)) is not None]
        rows.append((
            f"{task.name}, {task.units} unit{'s' * (task.units > 1)}, {task.steps:,} steps, "
            f"η = {task.eta:g}",
            *(f"{sum(oscillates(task, y) for _, y in r)}/{seeds}" for r in results.values()),
            task.independent,
            f"{min(periods):.2f}–{max(periods):.2f}" if periods else "–",
            f"{sum(r.seconds for found in results.values() for r, _ in found):.0f} s",
        ))  # fmt: skip
        drawn.append((task, results))
    header = ("task", "forced", "not forced", "independent", "periods if forced", "time")
    lab.show("runs free with the right period, RTRL", header, rows)
    if plot is not None:
        draw(plot, drawn[:3])


def draw(plot: Path, drawn: list) -> None:
    """For each task, errors while learning on the left, free runs of seed 0 on the right."""
    picture = lab.figure(9, 6)
    for (learning, free), (task, results) in zip(picture.subplots(3, 2), drawn, strict=True):
        for (title, found), colour in zip(results.items(), lab.COLOURS, strict=False):
            errors = [np.abs(run.errors) for run, _ in found]
            lab.curve(learning, errors, f"learnt {title}", colour, task.steps // 100)
            shown = 20 if task.period < 10 else 75
            free.plot(found[0][1][SETTLED:][:shown], color=colour, lw=1.2, marker=".", ms=3)
        lab.tidy(learning, "step", "|error|")
        learning.set_title(task.name, loc="left", fontsize=10)
        lab.tidy(free, "step of a free run", "unit 0")
        learning.set_ylim(0)
        free.set_ylim(-0.05, 1.05)
        free.xaxis.get_major_locator().set_params(integer=True)
    picture.legend(*learning.get_legend_handles_labels(), loc="outside upper center", ncols=2,
                   frameon=False)  # fmt: skip
    picture.savefig(plot)


if __name__ == "__main__":
    main()
