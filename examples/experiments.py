"""What the experiments share: a run of online learning, when it has learnt, tables and curves."""

from __future__ import annotations

import sys
import time
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

import derive

HERE = Path(__file__).resolve().parent
STRETCH = 2000
"""A task is solved when this many steps in a row have no error above ½."""


@dataclass(frozen=True)
class Run:
    """One seed's learning.

    Attributes
    ----------
    errors : (steps,) array
        Target minus output, at each step and with the weights of that step.
    theta : (P,) array
        The weights reached.
    y : (N,) array
        The state reached.
    seconds : float
        Processor time of the loop, Python's part included.
    """

    errors: np.ndarray
    theta: np.ndarray
    y: np.ndarray
    seconds: float

    @property
    def solved(self) -> bool:
        """Whether no error of the last STRETCH steps is above ½."""
        return bool((np.abs(self.errors[-STRETCH:]) <= 0.5).all())

    @property
    def first_error_free(self) -> int | None:
        """The step at which the last STRETCH steps had no error above ½ for the first time."""
        wrong = np.flatnonzero(np.abs(self.errors) > 0.5)
        ends = np.concatenate([[-1], wrong, [len(self.errors)]])
        free = np.flatnonzero(np.diff(ends) > STRETCH)
        return int(ends[free[0]] + 1 + STRETCH) if free.size else None


def network(spec: str, units: int) -> Any:
    """The network of a spec file in this folder, with that many units."""
    stated = tomllib.loads((HERE / spec).read_text(encoding="utf-8"))
    stated["network"]["units"] = units
    return derive.Network.load(stated)


def random_weights(net: Any, rng: np.random.Generator) -> np.ndarray:
    """Weights and biases uniform in ±½."""
    return rng.uniform(-0.5, 0.5, net.size)


def learn(kernel: Any, theta: Any, x: Any, target: Any, eta: float = 1.0) -> Run:
    """Learn online, once through the data: Δtheta = eta·∂J/∂theta as soon as there is a gradient.

    Parameters
    ----------
    kernel : Kernel
        Of an online algorithm, for one unit with targets.
    theta : (P,) array
    x : (steps, m) array
    target : (steps, 1) array
        ``target[t]`` is for the output computed from ``x[t]``.
    eta : float
    """
    (unit,) = kernel.net.objective.targets
    online = kernel.start(theta)
    outputs = np.empty(len(target))
    step = None
    started = time.process_time()
    for t in range(len(target)):
        step = online.step(x[t], target[t])
        online.learn(eta)
        outputs[t] = step.y[unit]
    seconds = time.process_time() - started
    return Run(target[:, 0] - outputs, online.theta.copy(), step.y, seconds)


# --- what is printed -------------------------------------------------------------------------


def options(command: Callable[..., None]) -> click.Command:
    """A command with ``--seeds``, ``--plot`` and ``--quick``."""
    for option in (
        click.option("--quick", is_flag=True, help="Three seeds."),
        click.option("--plot", type=click.Path(path_type=Path), help="Where to draw the curves."),
        click.option("--seeds", type=click.IntRange(min=1), default=50, show_default=True),
    ):
        command = option(command)
    return click.command()(command)


def each_seed(what: str, seeds: int) -> Iterable[int]:
    """0 … seeds − 1, with a progress bar."""
    console = Console(stderr=True)
    hidden = not console.is_terminal
    return track(range(seeds), what, console=console, transient=True, disable=hidden)


def show(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table."""
    table = Table(title=title, title_justify="left")
    for i, name in enumerate(header):
        table.add_column(name, justify="right" if i else "left")
    for row in rows:
        table.add_row(*row)
    # Into a file, a table is as wide as it likes.
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def spread(values: Iterable[float | None], form: str = ",.0f") -> str:
    """Median and quartiles of those that are there."""
    there = [v for v in values if v is not None]
    if not there:
        return "–"
    low, middle, high = np.percentile(there, [25, 50, 75])
    return f"{middle:{form}} ({low:{form}}–{high:{form}})"


# --- what is drawn ---------------------------------------------------------------------------

COLOURS = ("#1f4e79", "#c8401f", "#4f7f3a", "#8a5a9e", "#b8860b")


def wrong(run: Run) -> np.ndarray:
    """1 where an error is above ½."""
    return np.abs(run.errors) > 0.5


def curve(
    axes: Any, values: Sequence[np.ndarray], label: str, colour: str, block: int = 500
) -> None:
    """Means over blocks of steps: the median over seeds as a line, the quartiles as a band."""
    count = len(values[0]) // block
    blocks = np.array([v[: count * block].reshape(count, block).mean(axis=1) for v in values])
    low, middle, high = np.percentile(blocks, [25, 50, 75], axis=0)
    at = (np.arange(count) + 0.5) * block
    axes.fill_between(at, low, high, color=colour, alpha=0.2, lw=0)
    axes.plot(at, middle, color=colour, lw=1.6, label=label)


def learning_curves(axes: Any, curves: dict[str, list[np.ndarray]], last: int) -> None:
    """The share of wrong outputs while learning, up to step ``last``; one curve for each title."""
    for (title, runs), colour in zip(curves.items(), COLOURS, strict=False):
        curve(axes, runs, title, colour)
    tidy(axes, "step", "share of wrong outputs, per 500 steps")
    axes.set_xlim(0, last)
    axes.set_ylim(0)
    axes.legend(frameon=False, title=f"median and quartiles of {len(runs)} seeds")


def figure(width: float, height: float) -> Any:
    """An empty picture, without a window system."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        message = "the picture needs Matplotlib, which is not installed: pip install 'derive[demo]'"
        raise click.ClickException(message) from None
    return Figure(figsize=(width, height), dpi=75, layout="constrained")


def tidy(axes: Any, x: str, y: str) -> None:
    """Labels, and no frame where there is no scale."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
