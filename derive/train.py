"""Fit a network to a series, and report it beside what is easy to beat.

Either with SciPy's L-BFGS-B: a kernel gives J and ∂J/∂theta over the whole training stretch
(epochwise BPTT: an exact gradient, so a quasi-Newton method pays). J is maximised; what SciPy
minimises is −J + l2/2·|theta|². Or online: step by step through the stretch, epoch after epoch,
with weights that move as soon as an online algorithm has a gradient.

Every prediction is honest by alignment: the way from an input line to a target unit takes at least
``latency(net)`` steps, and the targets are laid beside the inputs so that the prediction of row r
rests on rows up to r − ahead and no later one.
"""

from __future__ import annotations

import heapq
import io
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from derive.errors import DeriveError
from derive.files import write_whole
from derive.timeseries import (
    Floats,
    Series,
    Span,
    Task,
    TaskError,
    autoregression,
    load_series,
    number,
    persistence,
    whole,
)

Progress = Callable[[float, str], None]


NOT_FINITE = (
    "J or its gradient is not finite at the first theta; look for NaN in the data, or start from "
    "smaller weights"
)
TOLD_EVERY = 2048
"""Steps of an epoch between two words of progress: some hundredths of a second."""


class TrainingError(DeriveError, RuntimeError):
    """Training cannot go on: a package is missing, or no restart gives a finite objective."""


@dataclass(frozen=True)
class FitResult:
    """Where one run of the optimiser ended.

    Attributes
    ----------
    theta : (P,) array
    J : float
        J^total at theta, without the penalty.
    objective : float
        J − l2/2·|theta|², what was maximised.
    iterations, evaluations : int
        Of the optimiser; online, epochs and steps.
    converged : bool
        False when the iterations ran out or the objective stopped being finite. Online, whether
        all epochs were gone through.
    message : str
        The optimiser's own words; online, which epoch was kept.
    diverged : bool
        The objective stopped being finite, and the best point before that was kept.
    """

    theta: Floats
    J: float
    objective: float
    iterations: int
    evaluations: int
    converged: bool
    message: str
    diverged: bool = False


class _NotFiniteError(Exception):
    """Leaves the optimiser from within: SciPy's line search does not recover from NaN."""


def fit(
    kernel: Any,
    theta0: Any,
    x: Any,
    target: Any,
    *,
    mask: Any = None,
    l2: float = 0.0,
    max_iterations: int = 200,
    progress: Progress | None = None,
) -> FitResult:
    """Maximise J − l2/2·|theta|² from ``theta0`` by L-BFGS-B.

    Parameters
    ----------
    kernel : Kernel
        Anything with ``J, g = kernel.gradient(theta, x, target, mask=mask)``.
    theta0 : (P,)
    x : (T, m)
    target, mask : (T, n_T)
        ``target[t]`` is for ``y[t+1]``; mask is 1 where a target counts.
    l2 : float
    max_iterations : int
    progress : callable, optional
        Called as ``progress(fraction, text)`` after each iteration, and with fraction 1 at the end.

    Raises
    ------
    TrainingError
        When SciPy is missing, or J or its gradient is not finite at ``theta0``. Where that happens
        later, the best point so far is returned with ``converged=False``.
    """
    try:
        from scipy.optimize import minimize
    except ImportError:
        raise TrainingError(
            "training needs SciPy, which is not installed: pip install 'derive[train]'"
        ) from None
    dtype = np.dtype(getattr(kernel, "dtype", np.float64))
    x, target = np.asarray(x, dtype), np.asarray(target, dtype)
    mask = None if mask is None else np.asarray(mask, dtype)
    best: FitResult | None = None
    done = evaluations = 0
    diverged = False

    def negative(theta: Floats) -> tuple[float, Floats]:
        nonlocal best, evaluations
        evaluations += 1
        J, g = kernel.gradient(theta.astype(dtype), x, target, mask=mask)
        objective = float(J) - 0.5 * l2 * float(theta @ theta)
        slope = np.asarray(g, np.float64) - l2 * theta
        if not (np.isfinite(objective) and np.isfinite(slope).all()):
            raise _NotFiniteError
        if best is None or objective > best.objective:
            best = FitResult(theta.copy(), float(J), objective, done, evaluations, False, "")
        return -objective, -slope

    def after_iteration(theta: Floats) -> None:
        nonlocal done
        done += 1
        if progress is not None and best is not None:
            progress(min(done / max_iterations, 1.0), f"J = {best.J:.6g}")

    options = {"maxiter": max_iterations, "maxfun": 20 * max_iterations, "maxcor": 20}
    try:
        end = minimize(
            negative,
            np.array(theta0, np.float64),
            jac=True,
            method="L-BFGS-B",
            callback=after_iteration,
            options=options,
        )
        converged, message = bool(end.success), str(end.message)
    except _NotFiniteError:
        converged, diverged = False, True
        message = "the objective stopped being finite; kept the best point"
    if best is None:
        raise TrainingError(NOT_FINITE)
    if progress is not None:
        progress(1.0, f"J = {best.J:.6g}")
    return replace(
        best, iterations=done, evaluations=evaluations, converged=converged, message=message,
        diverged=diverged,
    )  # fmt: skip


def fit_online(
    kernel: Any,
    theta0: Any,
    x: Any,
    target: Any,
    *,
    eta: float,
    epochs: int,
    mask: Any = None,
    l2: float = 0.0,
    judge: Callable[[Floats], float] | None = None,
    progress: Progress | None = None,
) -> FitResult:
    """Learn step by step: Δtheta = eta·∂J/∂theta as soon as there is a gradient.

    An epoch goes through the stretch once, from the initial state and with the weights of the
    epoch before. A window that the end of the stretch cuts short moves no weights. What is kept is
    the best of the points between epochs, ``theta0`` among them: the largest objective, or what
    ``judge`` likes best.

    Parameters
    ----------
    kernel : Kernel
        Of an online algorithm, without a batch dimension.
    theta0, x, target, mask
        As for :func:`fit`.
    eta : float
        The learning rate.
    epochs : int
    l2 : float
        Weight decay, in proportion to the steps since the last update: an epoch takes from theta
        eta·l2·theta, as a step along the gradient of J − l2/2·|theta|² would.
    judge : callable, optional
        The error of a theta on rows kept out of the fit; smaller is better.
    progress : callable, optional
        Called as ``progress(fraction, text)`` while an epoch goes on and after it.

    Raises
    ------
    TaskError
        When eta is not finite and positive, or there are no epochs.
    TrainingError
        When J is not finite at ``theta0``, or the stretch is too short for a single update. Where J
        or theta stops being finite later, the best point so far is returned with
        ``diverged=True``.
    """
    eta, epochs = number(eta, "eta", above=0.0), whole(epochs, "epochs", 1)
    dtype = np.dtype(getattr(kernel, "dtype", np.float64))
    x, target = np.asarray(x, dtype), np.asarray(target, dtype)
    mask = None if mask is None else np.asarray(mask, dtype)
    T, counted = len(x), len(x) if mask is None else int(mask.any(axis=1).sum())

    def point(theta: Any, epoch: int) -> tuple[FitResult, float]:
        """A theta with its merit; NaN where it has none."""
        J, _ = kernel.gradient(theta, x, target, mask=mask)
        theta = theta.astype(np.float64)
        objective = float(J) - 0.5 * l2 * float(theta @ theta)
        merit = objective if judge is None else -judge(theta)
        here = FitResult(theta, float(J), objective, epoch, 0, False, "")
        return here, merit if math.isfinite(objective) else math.nan

    def told(epoch: int, J: float, t: int, more: str = "") -> None:
        if progress is not None:
            per_step = J / max(counted * t / T, 1.0)
            text = f"epoch {epoch} of {epochs}, J = {per_step:.4g} per step{more}"
            progress((epoch - 1 + t / T) / epochs, text)

    online = kernel.start(np.array(theta0, dtype))
    best, most = point(online.theta, 0)
    if not math.isfinite(most):
        raise TrainingError(NOT_FINITE)
    epoch = steps = 0
    diverged = False
    while epoch < epochs and not diverged:
        epoch += 1
        with np.errstate(all="ignore"):  # weights that run away are told of below
            J, done, updates = _epoch(online, x, target, mask, eta, l2 / T, partial(told, epoch))
            here, merit = point(online.theta, epoch)
        steps += done
        diverged = not (math.isfinite(J) and math.isfinite(merit))
        if not updates and not diverged:
            raise TrainingError(
                f"no weight was moved in an epoch of {T} steps: the windows of algorithm "
                f"{kernel.algorithm['name']!r} are longer than that; give it a smaller h"
            )
        if not diverged:
            told(epoch, J, T, "" if judge is None else f", validation {-merit:.4g}")
            if merit > most:
                best, most = here, merit
    by = "by the objective" if judge is None else "by validation"
    message = f"{epoch} epochs; kept the weights after epoch {best.iterations}, the best {by}"
    if diverged:
        message = (
            f"diverged in epoch {epoch}: J or a weight is not finite; kept the weights after "
            f"epoch {best.iterations}; a smaller eta than {eta:g} may help"
        )
    if progress is not None:
        progress(1.0, message)
    return replace(
        best, iterations=epoch, evaluations=steps, converged=not diverged, message=message,
        diverged=diverged,
    )  # fmt: skip


def _epoch(
    online: Any, x: Any, target: Any, mask: Any, eta: float, decay: float,
    told: Callable[[float, int], None],
) -> tuple[float, int, int]:  # fmt: skip
    """Once through the stretch: J with the weights as they moved, steps done, updates.

    It ends early when J is no longer finite.
    """
    online.reset()
    J, since, updates = 0.0, 0, 0
    for t in range(len(x)):
        step = online.step(x[t], target[t], None if mask is None else mask[t])
        J, since = J + float(step.J), since + 1
        if not math.isfinite(J):
            return J, t + 1, updates
        if step.gradient is not None:
            if decay:
                online.theta *= 1 - eta * decay * since
            online.learn(eta)
            since, updates = 0, updates + 1
        if t % TOLD_EVERY == TOLD_EVERY - 1:
            told(J, t + 1)
    return J, len(x), updates


@dataclass(frozen=True)
class Restart:
    """One seed's run. ``result`` is None when it was dropped, and ``note`` says why."""

    seed: int
    result: FitResult | None
    validation: float | None
    scores: tuple[float, ...]
    note: str


@dataclass(frozen=True)
class Method:
    """Mean squared errors of one predictor, in original units, one per span of the report."""

    name: str
    mse: tuple[float, ...]


@dataclass(frozen=True)
class TrainReport:
    """What training gave.

    Attributes
    ----------
    task : Task
    network : str
        The network's name.
    theta : (P,) array
        The weights kept.
    seed : int
        The seed they came from.
    seconds : float
        Wall time of all restarts.
    restarts : tuple of Restart
        Every seed, with its average relative variance per span.
    spans : tuple of Span
        The judged training rows, then the test ranges.
    methods : tuple of Method
        The baselines, then the network.
    time : (R,) array
    observed, predicted : (R, targets) arrays
        In original units; NaN where there is no prediction.
    """

    task: Task
    network: str
    theta: Floats
    seed: int
    seconds: float
    restarts: tuple[Restart, ...]
    spans: tuple[Span, ...]
    methods: tuple[Method, ...]
    time: Floats
    observed: Floats
    predicted: Floats

    def arv(self, method: str) -> tuple[float, ...]:
        """Average relative variance, mean squared error over the normaliser, one per span."""
        (found,) = (m for m in self.methods if m.name == method)
        return tuple(e / self.task.normaliser for e in found.mse)

    def table(self) -> list[tuple[str, ...]]:
        """Rows of text, the first a header: method, then average relative variance per span."""
        train, *tests = self.spans
        fitted = f"{train.first:g}–{train.last:g} (fitted)"
        rows = [("method", fitted, *(s.name for s in tests))]
        for m in self.methods:
            rows.append((m.name, *(f"{e / self.task.normaliser:.3f}" for e in m.mse)))
        for name, values in self.task.published:
            rows.append((name, "–", *(f"{v:.3f}" for v in values)))
        return rows


def latency(net: Any) -> int:
    """The fewest steps from an input line to a target unit, by the delays along the way.

    Raises
    ------
    TaskError
        When no target unit can be reached from any input line.
    """
    leads: dict[int, list[tuple[int, int]]] = {}
    for c in net.connections:
        leads.setdefault(c.source, []).append((c.target, c.delay))
    queue = [(0, net.units + line) for line in range(net.inputs)]
    seen: set[int] = set()
    while queue:
        steps, place = heapq.heappop(queue)
        if place in net.objective.targets:
            return steps
        if place not in seen:
            seen.add(place)
            for unit, delay in leads.get(place, ()):
                heapq.heappush(queue, (steps + delay, unit))
    raise TaskError(f"network {net.name!r}: no target unit can be reached from an input line")


def train(task: Task, net: Any, kernel: Any, progress: Progress | None = None) -> TrainReport:
    """Fit ``net`` from every seed of the task, keep one, and judge it beside the baselines.

    The restart kept has the smallest error on ``task.validation`` if that is declared, else the
    largest objective on the training rows. Test rows are not shown to the kernel before that.

    Parameters
    ----------
    task : Task
    net : Network
    kernel : Kernel
        Compiled from ``net``, without a batch dimension.
    progress : callable, optional
        ``progress(fraction, text)`` over all restarts.

    Raises
    ------
    TaskError
        When task and network do not fit together, or a range and the data.
    TrainingError
        When SciPy is missing or every restart was dropped.
    """
    for what, wanted, given in (
        ("input lines", net.inputs, task.inputs),
        ("target units", len(net.objective.targets), task.targets),
    ):
        if wanted != len(given):
            raise TaskError(
                f"network {net.name!r} has {wanted} {what}, but [data] names {len(given)} "
                f"columns for them: {', '.join(given)}"
            )
    layout = _lay_out(task, net, load_series(task.file, task.time))
    started = time.perf_counter()
    runs = [
        _restart(task, net, kernel, layout, i, seed, progress) for i, seed in enumerate(task.seeds)
    ]
    seconds = time.perf_counter() - started
    kept = [r for r in runs if r.result is not None]
    if not kept:
        raise TrainingError(f"every restart was dropped; seed {runs[0].seed}: {runs[0].note}")
    chosen = max(kept, key=_merit)
    assert chosen.result is not None
    theta = chosen.result.theta

    def errors(guess: Floats) -> tuple[float, ...]:
        return tuple(float(np.mean((guess - layout.observed)[r] ** 2)) for r in layout.judged)

    predicted = layout.predict(kernel, theta)
    methods = (
        Method("persistence", errors(layout.persistence)),
        Method(f"linear autoregression, order {task.autoregression}", errors(layout.linear)),
        Method(net.name, errors(predicted)),
    )
    restarts = tuple(
        r
        if r.result is None
        else replace(
            r,
            scores=tuple(
                e / task.normaliser for e in errors(layout.predict(kernel, r.result.theta))
            ),
        )
        for r in runs
    )
    return TrainReport(
        task, net.name, theta, chosen.seed, seconds, restarts, layout.spans, methods,
        layout.time, layout.observed, predicted,
    )  # fmt: skip


@dataclass(frozen=True)
class _Layout:
    """The series laid out for a kernel, and which rows count for what.

    Row r of the series is predicted by y[r + offset + 1], so ``target[r + offset]`` is row r.
    """

    scale: float
    columns: list[int]  # of y, one per target
    offset: int
    time: Floats
    x: Floats  # (T, m), T = R + offset
    target: Floats  # (T, n_T)
    fit_mask: Floats  # (T, n_T)
    steps: int  # of x that training may see
    observed: Floats  # (R, n_T), original units
    persistence: Floats
    linear: Floats
    validation: np.ndarray[Any, np.dtype[np.bool_]] | None
    spans: tuple[Span, ...]
    judged: tuple[np.ndarray[Any, np.dtype[np.bool_]], ...]

    def predict(self, kernel: Any, theta: Floats, steps: int | None = None) -> Floats:
        """One prediction per row (R, n_T), in original units; NaN where there is none."""
        dtype = np.dtype(getattr(kernel, "dtype", np.float64))
        y = np.asarray(kernel.forward(theta.astype(dtype), self.x[:steps].astype(dtype)))
        guess = np.full_like(self.observed, np.nan)
        first = max(-self.offset, 0)
        values = y[first + self.offset + 1 :, self.columns] * self.scale
        guess[first : first + len(values)] = values
        return guess


def _lay_out(task: Task, net: Any, series: Series) -> _Layout:
    heard, observed = series.table(task.inputs), series.table(task.targets)
    R = len(series.time)
    offset = latency(net) - 1 - task.ahead
    if R + offset < 1 or task.ahead >= R:
        raise TaskError(f"data.ahead: {task.ahead} is too far for {R} rows")
    rows = np.arange(R)
    usable = (rows >= task.washout) & (rows >= max(-offset, task.ahead))
    learn = series.rows(task.train) & usable
    validation = None if task.validation is None else series.rows(task.validation) & usable
    if validation is not None:
        if not validation.any():
            raise TaskError("training.validation: all its rows are within the washout")
        learn &= ~validation
    if not learn.any():
        raise TaskError("training.train: the washout or the validation leaves no row to learn from")
    linear = autoregression(observed, learn, task.autoregression, task.ahead)
    whole = ~np.isnan(linear).any(axis=1)
    fitted = learn & whole
    span = Span("train", float(series.time[fitted][0]), float(series.time[fitted][-1]))
    judged = [fitted]
    for test in task.tests:
        judged.append(series.rows(test) & usable & whole)
        if not judged[-1].any():
            raise TaskError(f"training.test.{test.name}: none of its rows can be predicted")
    T = R + offset
    x, target, mask = np.zeros((T, net.inputs)), np.zeros((T, observed.shape[1])), np.zeros(T)
    x[: min(R, T)] = heard[: min(R, T)] / task.scale
    first = max(-offset, 0)
    target[first + offset :] = observed[first:] / task.scale
    mask[first + offset :] = learn[first:]
    seen = learn if validation is None else learn | validation
    states = list(net.states)
    columns = [
        states.index((k, net.cells[net.cell_index[k]].output)) for k in net.objective.targets
    ]
    return _Layout(
        scale=task.scale,
        columns=columns,
        offset=offset,
        time=series.time,
        x=x,
        target=target,
        fit_mask=np.repeat(mask[:, None], observed.shape[1], axis=1),
        steps=int(np.flatnonzero(seen)[-1]) + offset + 1,
        observed=observed,
        persistence=persistence(observed, task.ahead),
        linear=linear,
        validation=validation,
        spans=(span, *task.tests),
        judged=tuple(judged),
    )


def _restart(
    task: Task, net: Any, kernel: Any, layout: _Layout, i: int, seed: int,
    progress: Progress | None,
) -> Restart:  # fmt: skip
    of = len(task.seeds)

    def share(fraction: float, text: str) -> None:
        if progress is not None:
            progress((i + fraction) / of, f"restart {i + 1} of {of}: {text}")

    def validate(theta: Floats) -> float:
        miss = layout.predict(kernel, theta, layout.steps) - layout.observed
        return float(np.mean(miss[layout.validation] ** 2)) / task.normaliser

    judge = None if layout.validation is None else validate
    seen = slice(0, layout.steps)
    stretch = (layout.x[seen], layout.target[seen])
    given: dict[str, Any] = {"mask": layout.fit_mask[seen], "l2": task.l2, "progress": share}
    theta0 = net.init(seed=seed)
    try:
        if task.method == "online":
            result = fit_online(
                kernel, theta0, *stretch, eta=task.eta, epochs=task.epochs, judge=judge, **given
            )
        else:
            result = fit(kernel, theta0, *stretch, max_iterations=task.iterations, **given)
    except TrainingError as error:
        if "SciPy" in str(error):
            raise
        return Restart(seed, None, None, (), str(error))
    validation = None if judge is None else judge(result.theta)
    return Restart(seed, result, validation, (), result.message)


def _merit(restart: Restart) -> float:
    assert restart.result is not None
    return restart.result.objective if restart.validation is None else -restart.validation


# --- keeping and showing ---------------------------------------------------------------------


def save_weights(path: str | Path, theta: Any, net: Any) -> None:
    """Write theta with the network's name and digest as .npz; the file appears whole or not at all.

    Raises
    ------
    OSError
        When the folder cannot be written; what was there before is left as it was.
    """
    path = Path(path)
    theta = np.asarray(theta, np.float64)
    packed = io.BytesIO()
    np.savez(packed, theta=theta, network=np.array(net.name), digest=np.array(net.digest))
    write_whole(path, packed.getvalue())


def load_weights(path: str | Path, net: Any) -> Floats:
    """Theta (P,) as :func:`save_weights` wrote it.

    Raises
    ------
    ValueError
        When the file is no weight file, or was saved for another network.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            theta, name, digest = stored["theta"], str(stored["network"]), str(stored["digest"])
    except FileNotFoundError:
        raise
    except Exception as error:  # a torn zip raises any of six kinds
        raise ValueError(f"{path}: not a file of weights ({error})") from None
    if digest != net.digest:
        raise ValueError(
            f"{path}: holds weights of network {name!r} with another digest than {net.name!r} "
            "has now; train again"
        )
    return np.asarray(theta, np.float64)


def plot(report: TrainReport, path: str | Path) -> None:
    """Write a PNG, 1200 × 700: the whole series above, the test ranges below.

    Raises
    ------
    TrainingError
        When Matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise TrainingError(
            "the picture needs Matplotlib, which is not installed: pip install 'derive[demo]'"
        ) from None
    tests = report.spans[1:]
    # A Figure of its own, without pyplot: no window system, no state shared between threads.
    figure = Figure(figsize=(12, 7 if tests else 4), dpi=100, layout="constrained")
    panels = figure.subplots(2 if tests else 1, 1, squeeze=False)[:, 0]
    name = report.task.targets[0]
    shades = ("#f2e3c6", "#dfe8d0", "#e6dcec", "#d9e6ee")
    arv = [e / report.task.normaliser for e in report.methods[-1].mse]
    ahead = report.task.ahead
    top = float(np.nanmax([report.observed[:, 0], report.predicted[:, 0]]))
    bottom = min(0.0, float(np.nanmin([report.observed[:, 0], report.predicted[:, 0]])))
    height = top - bottom
    for panel, axes in enumerate(panels):
        axes.plot(
            report.time, report.observed[:, 0], color="#222222", lw=1.1, marker="o",
            ms=(1.8, 3.5)[panel], label="observed",
        )  # fmt: skip
        axes.plot(
            report.time, report.predicted[:, 0], color="#c8401f", lw=(1.1, 1.6)[panel],
            label=f"predicted {ahead} step{'s' * (ahead > 1)} ahead (network {report.network!r})",
        )  # fmt: skip
        for i, s in enumerate(tests):
            axes.axvspan(s.first - 0.5, s.last + 0.5, color=shades[i % 4], zorder=0, lw=0)
        axes.set_ylim(bottom - 0.06 * height, top + 0.2 * height)
        axes.set_ylabel(name, fontsize=12)
        axes.tick_params(labelsize=11)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_xlim(report.time[0] - 1, report.time[-1] + 1)
    train = report.spans[0]
    note = {"fontsize": 11, "ha": "center", "va": "top", "y": top + 0.18 * height}
    middle = (train.first + train.last) / 2
    panels[0].text(middle, s=f"fitted on {train.first:g}–{train.last:g}: ARV {arv[0]:.3f}", **note)
    if tests:
        for s, value in zip(tests, arv[1:], strict=True):
            text = f"test {s.first:g}–{s.last:g}: ARV {value:.3f}"
            panels[1].text((s.first + s.last) / 2, s=text, **note)
        edge = min(s.first for s in tests), max(s.last for s in tests)
        panels[1].set_xlim(edge[0] - 0.5, edge[1] + 0.5)
    panels[-1].set_xlabel(report.task.time, fontsize=12)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False, fontsize=12)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    write_whole(Path(path), drawn.getvalue())
