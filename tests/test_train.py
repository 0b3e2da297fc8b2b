"""Claims about fitting: what is learnt, what is refused, what is kept.

The kernel is a stand-in, but for what is said of online training on the sunspot numbers.
"""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import derive
from derive import cli
from derive.errors import DeriveError
from derive.network.specfile import read
from derive.options import read_options
from derive.timeseries import (
    Span,
    Task,
    TaskError,
    autoregression,
    load_series,
    persistence,
)
from derive.train import (
    TrainingError,
    fit,
    fit_online,
    latency,
    load_weights,
    plot,
    save_weights,
    train,
)

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "data" / "sunspots.csv"


class Linear:
    """y(t+1) = x(t)·A + b, theta = (A, b); notes what it was shown."""

    def __init__(self) -> None:
        self.shown: list[tuple[int, float]] = []

    def forward(self, theta: Any, x: Any) -> Any:
        return np.concatenate([[[0.0]], x @ theta[:-1, None] + theta[-1]])

    def gradient(self, theta: Any, x: Any, target: Any, mask: Any = None) -> tuple[float, Any]:
        self.shown.append((len(x), float(np.max(target))))
        e = target - self.forward(theta, x)[1:]
        e = e if mask is None else e * mask
        return -0.5 * float(np.sum(e * e)), np.append(x.T @ e[:, 0], e.sum())


class Faulty(Linear):
    """Not finite from the evaluation ``after`` on, or from a theta that starts with a mark."""

    def __init__(self, after: int | None = None, mark: float | None = None) -> None:
        super().__init__()
        self.after, self.mark = after, mark

    def gradient(self, theta: Any, x: Any, target: Any, mask: Any = None) -> tuple[float, Any]:
        J, g = super().gradient(theta, x, target, mask)
        bad = self.after is not None and len(self.shown) > self.after
        return (np.nan if bad or theta[0] == self.mark else J), g


def net_of(
    connections: Any = ((0, 1, 1),), units: int = 1, target: int = 0, inputs: int = 1
) -> Any:
    """What train asks of a network, for a net of linear units."""
    return SimpleNamespace(
        name="line",
        digest="d1",
        units=units,
        inputs=inputs,
        connections=[SimpleNamespace(target=k, source=j, delay=d) for k, j, d in connections],
        objective=SimpleNamespace(targets=(target,)),
        states=tuple((k, "y") for k in range(units)),
        cells=[SimpleNamespace(output="y")],
        cell_index=[0] * units,
        init=lambda seed=0: np.array([float(seed), 1.0]),
    )


@pytest.fixture
def line(tmp_path: Path) -> Path:
    """v(r+1) = 0.9·v(r) + 1 plus a wave, as a CSV of 60 rows from year 2000."""
    v = [3.0]
    for r in range(59):
        v.append(0.9 * v[-1] + 1 + 0.3 * np.sin(r**1.5))
    text = "year,v\n" + "".join(f"{2000 + i},{x!r}\n" for i, x in enumerate(map(float, v)))
    (tmp_path / "v.csv").write_text(text)
    return tmp_path


def tables() -> tuple[dict[str, Any], dict[str, Any]]:
    data = {"file": "v.csv", "time": "year", "inputs": ["v"], "targets": ["v"], "scale": 2.0}
    training = {
        "train": [2000, 2039],
        "test": {"late": [2040, 2059]},
        "seeds": [3, 1],
        "autoregression": 1,
    }
    return data, training


def task_of(base: Path, **changes: Any) -> Task:
    return replace(Task.from_spec(*tables(), base), **changes)


def least_squares(x: Any, target: Any, l2: float = 0.0) -> Any:
    a = np.column_stack([x, np.ones(len(x))])
    return np.linalg.solve(a.T @ a + l2 * np.eye(a.shape[1]), a.T @ target[:, 0])


# --- fit -------------------------------------------------------------------------------------


@pytest.mark.parametrize("l2", [0.0, 0.7])
def test_fit_finds_the_maximum_of_the_penalised_objective(l2: float) -> None:
    r = np.random.default_rng(1)
    x, target = r.normal(size=(40, 3)), r.normal(size=(40, 1))
    result = fit(Linear(), np.zeros(4), x, target, l2=l2)
    assert result.converged
    np.testing.assert_allclose(result.theta, least_squares(x, target, l2), atol=1e-4)
    assert result.objective == pytest.approx(result.J - l2 / 2 * result.theta @ result.theta)


def test_fit_ignores_masked_targets() -> None:
    r = np.random.default_rng(2)
    x, target = r.normal(size=(40, 2)), r.normal(size=(40, 1))
    mask = np.ones((40, 1))
    mask[:10], target[:10] = 0, 1e3
    result = fit(Linear(), np.zeros(3), x, target, mask=mask)
    np.testing.assert_allclose(result.theta, least_squares(x[10:], target[10:]), atol=1e-4)


def test_fit_leaves_its_start_as_it_was_and_tells_its_progress() -> None:
    r = np.random.default_rng(3)
    start, told = np.ones(3), []
    start.flags.writeable = False
    fit(
        Linear(), start, r.normal(size=(9, 2)), r.normal(size=(9, 1)),
        progress=lambda fraction, text: told.append((fraction, text)),
    )  # fmt: skip
    assert (start == 1).all()
    assert [f for f, _ in told] == sorted(f for f, _ in told) and told[-1][0] == 1.0
    assert all("J = " in text for _, text in told)


def test_objective_not_finite_at_the_start_is_an_error() -> None:
    with pytest.raises(TrainingError, match="not finite at the first theta"):
        fit(Faulty(after=0), np.zeros(2), np.ones((5, 1)), np.ones((5, 1)))


def test_objective_turning_nan_keeps_the_best_point_so_far() -> None:
    x, target = np.arange(6.0)[:, None], 2 * np.arange(6.0)[:, None]
    sound = Linear()
    result = fit(Faulty(after=3), np.zeros(2), x, target)
    assert not result.converged and "finite" in result.message
    assert np.isfinite(result.theta).all()
    assert result.J > sound.gradient(np.zeros(2), x, target)[0]


def test_without_scipy_the_error_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['scipy'] = sys.modules['scipy.optimize'] = None\n"
        "from derive.train import fit, TrainingError\n"
        "try: fit(None, [0.0], [[0.0]], [[0.0]])\n"
        "except TrainingError as e: print(e)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert "pip install 'derive[train]'" in run.stdout


# --- fit_online ------------------------------------------------------------------------------


class Stepwise(Linear):
    """The same line with steps; a gradient every ``every`` of them, NaN from step ``breaks`` on."""

    algorithm = {"name": "stepwise"}

    def __init__(self, every: int = 1, breaks: float = np.inf) -> None:
        super().__init__()
        self.every, self.breaks = every, breaks
        self.t = 0

    def start(self, theta: Any) -> Stepwise:
        self.theta, self.resets = theta.copy(), 0
        return self

    def reset(self) -> None:
        self.resets += 1
        self.since = 0
        self.sum = np.zeros_like(self.theta)

    def step(self, x: Any, target: Any, mask: Any = None) -> Any:
        self.t += 1
        self.since += 1
        heard = np.append(x, 1.0)
        e = (target[0] - heard @ self.theta) * (1.0 if mask is None else mask[0])
        self.sum += e * heard
        self.newest = None
        if self.since % self.every == 0:
            self.newest, self.sum = self.sum, np.zeros_like(self.theta)
        J = np.nan if self.t >= self.breaks else -0.5 * e * e
        return SimpleNamespace(J=J, gradient=self.newest)

    def learn(self, eta: float) -> None:
        self.theta += eta * self.newest


def stretch(seed: int = 4, T: int = 40) -> tuple[Any, Any]:
    r = np.random.default_rng(seed)
    x = r.normal(size=(T, 2))
    return x, x @ [[0.5], [-1.0]] + 0.3 + 0.1 * r.normal(size=(T, 1))


@pytest.mark.parametrize("every", [1, 8])
@pytest.mark.parametrize("l2", [0.0, 5.0])
def test_small_steps_online_climb_to_the_maximum_of_the_penalised_objective(
    every: int, l2: float
) -> None:
    x, target = stretch()
    result = fit_online(Stepwise(every), np.zeros(3), x, target, eta=1e-3, epochs=800, l2=l2)
    assert result.converged and not result.diverged
    np.testing.assert_allclose(result.theta, least_squares(x, target, l2), atol=2e-3)
    assert result.objective == pytest.approx(result.J - l2 / 2 * result.theta @ result.theta)
    assert (result.iterations, result.evaluations) == (800, 800 * 40)


def test_online_masked_targets_teach_nothing_and_each_epoch_starts_anew() -> None:
    x, target = stretch()
    mask = np.ones((40, 1))
    mask[:10], target[:10] = 0, 1e3
    kernel = Stepwise()
    told: list[tuple[float, str]] = []
    result = fit_online(
        kernel, np.zeros(3), x, target, eta=1e-2, epochs=200, mask=mask,
        progress=lambda fraction, text: told.append((fraction, text)),
    )  # fmt: skip
    np.testing.assert_allclose(result.theta, least_squares(x[10:], target[10:]), atol=1e-2)
    assert kernel.resets == 200
    assert [f for f, _ in told] == sorted(f for f, _ in told) and told[-1][0] == 1.0
    assert told[0][1].startswith("epoch 1 of 200, J = -") and "per step" in told[0][1]


def test_online_keeps_the_epoch_that_the_judge_likes_best() -> None:
    x, target = stretch()
    seen: list[Any] = []
    errors = iter([9.0, 5.0, 2.0, 4.0, 3.0])

    def judge(theta: Any) -> float:
        seen.append(theta.copy())
        return next(errors)

    told: list[str] = []
    result = fit_online(
        Stepwise(), np.zeros(3), x, target, eta=0.01, epochs=4, judge=judge,
        progress=lambda fraction, text: told.append(text),
    )  # fmt: skip
    np.testing.assert_array_equal(result.theta, seen[2])
    assert "after epoch 2" in result.message and "validation 4" in told[2]


def test_online_divergence_keeps_the_best_weights_so_far_and_says_so() -> None:
    x, target = stretch()
    sound = fit_online(Stepwise(), np.zeros(3), x, target, eta=0.01, epochs=2)
    broken = fit_online(Stepwise(breaks=100), np.zeros(3), x, target, eta=0.01, epochs=9)
    np.testing.assert_array_equal(broken.theta, sound.theta)
    assert broken.diverged and not broken.converged and broken.iterations == 3
    assert "diverged in epoch 3" in broken.message and "after epoch 2" in broken.message


def test_online_too_large_a_rate_is_told_without_a_warning() -> None:
    x, target = stretch()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = fit_online(Stepwise(), np.full(3, 0.1), x, target, eta=1e3, epochs=50)
    assert result.diverged and np.isfinite(result.theta).all()
    assert "smaller eta than 1000" in result.message


def test_online_windows_longer_than_the_stretch_are_refused() -> None:
    x, target = stretch()
    with pytest.raises(TrainingError, match="no weight was moved .* 40 steps"):
        fit_online(Stepwise(every=41), np.zeros(3), x, target, eta=0.1, epochs=5)


@pytest.mark.parametrize(
    ("eta", "epochs", "message"),
    [
        (np.nan, 1, "eta: expected a finite number > 0"),
        (np.inf, 1, "eta"),
        (0.0, 1, "eta"),
        (-0.1, 1, "eta"),
        (0.1, 0, "epochs: expected a whole number ≥ 1, got 0"),
        (0.1, 2.5, "epochs"),
    ],
)
def test_online_bad_settings_are_refused(eta: float, epochs: Any, message: str) -> None:
    x, target = stretch()
    with pytest.raises(TaskError, match=message):
        fit_online(Stepwise(), np.zeros(3), x, target, eta=eta, epochs=epochs)


def test_online_not_finite_at_the_start_is_an_error() -> None:
    x, target = stretch()
    target[3] = np.nan
    with pytest.raises(TrainingError, match="not finite at the first theta"):
        fit_online(Stepwise(), np.zeros(3), x, target, eta=0.1, epochs=1)


# --- train -----------------------------------------------------------------------------------


def test_training_equals_least_squares_on_the_training_years_alone(line: Path) -> None:
    v = load_series(line / "v.csv").columns["v"]
    report = train(task_of(line), net_of(), Linear())
    x, target = v[:39, None] / 2, v[1:40, None] / 2
    theta = least_squares(x, target)
    np.testing.assert_allclose(report.theta, theta, atol=1e-4)
    expected = np.mean((v[40:] - 2 * (v[39:-1] / 2 * theta[0] + theta[1])) ** 2)
    assert report.methods[-1].mse[1] == pytest.approx(expected, rel=1e-3)
    # The net is an autoregression of order 1 here, so the baseline must agree with it.
    assert report.methods[1].mse == pytest.approx(report.methods[-1].mse, rel=1e-3)
    assert report.methods[0].mse[1] == pytest.approx(np.mean(np.diff(v)[39:] ** 2))


def test_the_kernel_is_never_shown_a_test_year_while_fitting(line: Path) -> None:
    text = (line / "v.csv").read_text().splitlines()
    huge = [f"{r.split(',')[0]},1e6" if i > 40 else r for i, r in enumerate(text)]
    (line / "v.csv").write_text("\n".join(huge))
    kernel = Linear()
    train(task_of(line), net_of(), kernel)
    assert {length for length, _ in kernel.shown} == {39}
    assert max(largest for _, largest in kernel.shown) < 100


def test_restarts_are_deterministic_and_the_best_is_kept(line: Path) -> None:
    task = task_of(line, iterations=1)
    first, second = (train(task, net_of(), Linear()) for _ in range(2))
    np.testing.assert_array_equal(first.theta, second.theta)
    objectives = {r.seed: r.result.objective for r in first.restarts if r.result}
    assert len(objectives) == 2 and len(set(objectives.values())) == 2
    assert first.seed == max(objectives, key=lambda s: objectives[s])


def test_a_declared_validation_chooses_and_is_kept_out_of_the_fit(line: Path) -> None:
    v = load_series(line / "v.csv").columns["v"]
    task = task_of(line, validation=Span("validation", 2030, 2039), iterations=100)
    report = train(task, net_of(), Linear())
    np.testing.assert_allclose(
        report.theta, least_squares(v[:29, None] / 2, v[1:30, None] / 2), atol=1e-4
    )
    errors = {r.seed: r.validation for r in report.restarts}
    assert report.seed == min(errors, key=lambda s: errors[s] or 0.0)
    assert report.spans[0].last == 2029


def test_a_restart_that_is_not_finite_is_dropped_and_the_others_go_on(line: Path) -> None:
    report = train(task_of(line), net_of(), Faulty(mark=3.0))
    dropped, kept = report.restarts
    assert dropped.result is None and "not finite" in dropped.note
    assert report.seed == kept.seed == 1


def test_training_fails_clearly_when_every_restart_is_dropped(line: Path) -> None:
    with pytest.raises(TrainingError, match="every restart was dropped; seed 3"):
        train(task_of(line), net_of(), Faulty(after=0))


def test_progress_covers_all_restarts_and_never_goes_back(line: Path) -> None:
    told: list[float] = []
    train(task_of(line), net_of(), Linear(), lambda fraction, text: told.append(fraction))
    assert told == sorted(told) and told[-1] == 1.0 and told[0] < 0.5


def test_latency_is_the_shortest_sum_of_delays() -> None:
    assert latency(net_of([(0, 1, 1)])) == 1
    assert latency(net_of([(0, 3, 1), (1, 0, 1), (2, 1, 2), (2, 3, 3)], 3, target=2)) == 3
    with pytest.raises(TaskError, match="reached from an input"):
        latency(net_of([(0, 0, 1)]))


class Delayed(Linear):
    """y(t+1) = theta·x(t+1−delay), plus a constant."""

    def __init__(self, delay: int) -> None:
        super().__init__()
        self.delay = delay

    def _late(self, x: Any) -> Any:
        late = np.zeros_like(x)
        late[self.delay - 1 :] = x[: len(x) - self.delay + 1]
        return late

    def forward(self, theta: Any, x: Any) -> Any:
        return super().forward(theta, self._late(x))

    def gradient(self, theta: Any, x: Any, target: Any, mask: Any = None) -> tuple[float, Any]:
        # Linear.gradient takes x as the regressor, so the delay is applied once, here.
        late = self._late(x)
        e = (target - Linear.forward(self, theta, late)[1:]) * (1.0 if mask is None else mask)
        return -0.5 * float(np.sum(e * e)), np.append(late.T @ e[:, 0], e.sum())


@pytest.mark.parametrize("ahead", [1, 2, 4])
@pytest.mark.parametrize("delay", [1, 2, 3, 5])
def test_a_prediction_rests_on_rows_up_to_ahead_before_it(
    line: Path, delay: int, ahead: int
) -> None:
    task = task_of(line, ahead=ahead)
    net = net_of([(0, 1, delay)])
    v = load_series(line / "v.csv").columns["v"]
    report = train(task, net, Delayed(delay))
    expected = v[:-ahead] * report.theta[0] + 2 * report.theta[1]
    np.testing.assert_allclose(report.predicted[ahead:, 0], expected, rtol=1e-9)
    assert report.methods[1].mse == pytest.approx(report.methods[-1].mse, rel=1e-3)


def test_table_has_baselines_the_network_and_the_published(line: Path) -> None:
    task = task_of(line, published=(("book", (0.5,)),), normaliser=2.0)
    report = train(task, net_of(), Linear())
    rows = report.table()
    assert rows[0] == ("method", "2001–2039 (fitted)", "late")
    assert [r[0] for r in rows[1:]] == [
        "persistence", "linear autoregression, order 1", "line", "book",
    ]  # fmt: skip
    assert rows[3][2] == f"{report.methods[-1].mse[1] / 2:.3f}" and rows[4][1:] == ("–", "0.500")


def test_a_net_of_other_width_than_the_task_is_refused(line: Path) -> None:
    with pytest.raises(TaskError, match="2 input lines, but .* 1 columns"):
        train(task_of(line), net_of(inputs=2), Linear())


def test_a_task_learnt_online_uses_its_rate_and_epochs_and_its_validation(line: Path) -> None:
    data, training = tables()
    training |= {"method": "online", "eta": 0.02, "epochs": 30, "validation": [2030, 2039]}
    task = Task.from_spec(data, training, line)
    kernel = Stepwise()
    report = train(task, net_of(), kernel)
    # Two seeds, each through the 29 taught and the 10 validating rows.
    assert kernel.t == 2 * 30 * 39
    results = [r.result for r in report.restarts]
    assert all(r is not None and r.iterations == 30 and "best by validation" in r.message
               for r in results)  # fmt: skip
    v = load_series(line / "v.csv").columns["v"]
    ideal = least_squares(v[:29, None] / 2, v[1:30, None] / 2)
    trained, untrained = (
        np.mean((v[1:30] / 2 - v[:29] / 2 * theta[0] - theta[1]) ** 2)
        for theta in (report.theta, net_of().init(report.seed))
    )
    best = np.mean((v[1:30] / 2 - v[:29] / 2 * ideal[0] - ideal[1]) ** 2)
    assert trained < 3 * best < untrained


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ("lbfgs", 0.01, 100)),
        ({"eta": 0.5}, ("online", 0.5, 100)),
        ({"epochs": 7}, ("online", 0.01, 7)),
        ({"method": "online"}, ("online", 0.01, 100)),
        ({"method": "lbfgs"}, ("lbfgs", 0.01, 100)),
    ],
)
def test_a_rate_or_epochs_mean_online(
    line: Path, changes: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    task = task_of(line).learnt_by(**changes)
    assert (task.method, task.eta, task.epochs) == expected


def test_a_picture_that_fails_leaves_the_old_one(
    line: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.figure import Figure

    (line / "p.png").write_bytes(b"old")
    before = sorted(line.iterdir())

    def stopped(self: Any, file: Any, **options: Any) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Figure, "savefig", stopped)
    with pytest.raises(KeyboardInterrupt):
        plot(train(task_of(line), net_of(), Linear()), line / "p.png")
    assert (line / "p.png").read_bytes() == b"old" and sorted(line.iterdir()) == before


def test_plot_writes_a_png(line: Path) -> None:
    plot(train(task_of(line), net_of(), Linear()), line / "p.png")
    assert (line / "p.png").read_bytes().startswith(b"\x89PNG")


# --- the task --------------------------------------------------------------------------------


def _set(where: str, key: str, value: Any) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    return lambda data, training: {"data": data, "training": training}[where].update({key: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("data", "tim", "year"), r"unknown key 'tim'; did you mean 'time'\?"),
        (_set("training", "iteration", 3), "did you mean 'iterations'"),
        (_set("data", "file", "w.csv"), "data.file: there is no file"),
        (_set("data", "inputs", "v"), "data.inputs: expected a list"),
        (_set("data", "scale", 0), "data.scale: expected a finite number > 0, got 0"),
        (_set("data", "ahead", 0), "data.ahead: expected a whole number ≥ 1"),
        (_set("training", "train", [2039, 2000]), "the first, 2039, is after the last, 2000"),
        (_set("training", "train", [2000]), r"expected \[first, last\]"),
        (_set("training", "test", {"late": [2039, 2050]}), "overlaps train"),
        (_set("training", "validation", [2030, 2045]), "must lie within train"),
        (_set("training", "seeds", [1, 1]), "each seed once"),
        (_set("training", "seeds", []), "training.seeds"),
        (_set("training", "iterations", True), "training.iterations"),
        (_set("training", "l2", -1.0), "training.l2: expected a finite number ≥ 0"),
        (_set("training", "l2", float("nan")), "training.l2"),
        (_set("training", "method", "onlin"), "training.method: expected 'lbfgs' or 'online'"),
        (_set("training", "method", ["online"]), "training.method"),
        (_set("training", "eta", float("inf")), "training.eta: expected a finite number > 0"),
        (_set("training", "eta", 0), "training.eta"),
        (_set("training", "eta", "fast"), "training.eta"),
        (_set("training", "epochs", 0), "training.epochs: expected a whole number ≥ 1, got 0"),
        (_set("training", "epoch", 5), "did you mean 'epochs'"),
        (_set("training", "published", {"book": [1.0, 2.0]}), "expected 1 numbers"),
        (lambda data, training: data.pop("time"), r"\[data\]: 'time' is missing"),
        (lambda data, training: training.pop("train"), r"\[training\]: 'train' is missing"),
    ],
)
def test_bad_table_is_one_clear_error(
    line: Path, change: Callable[[dict[str, Any], dict[str, Any]], Any], message: str
) -> None:
    data, training = tables()
    change(data, training)
    with pytest.raises(TaskError, match=message):
        Task.from_spec(data, training, line)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": ("w",)}, "no column 'w'"),
        ({"time": "yaer"}, "no column 'yaer'; did you mean 'year'"),
        ({"train": Span("train", 1990, 2039)}, "train: 1990 to 2039 reaches beyond the data"),
        ({"tests": (Span("far", 2040, 2070),)}, "far: .* reaches beyond"),
        ({"washout": 40}, "no row to learn from"),
        ({"autoregression": 38}, "training.autoregression: 39 coefficients"),
        ({"ahead": 60}, "data.ahead: 60 is too far"),
    ],
)
def test_a_task_that_does_not_fit_its_data_is_refused(
    line: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(TaskError, match=message):
        train(task_of(line, **changes), net_of(), Linear())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("year,v\n1,2\n2,x\n", "line 3, column 'v': expected a finite number, got 'x'"),
        ("year,v\n1,nan\n", "line 2, column 'v'"),
        ("year,v\n1,\n", "line 2, column 'v'"),
        ("year,v\n1,2,3\n", "line 2: 3 cells for 2 columns"),
        ("year,v\n1,2\n\n1,3\n", "line 4: 'year' must increase"),
        ("year,year\n1,2\n", "two columns have one name"),
        ("year,v\n", "at least one row"),
    ],
)
def test_bad_cell_is_named_by_line_and_column(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "v.csv").write_text(text)
    with pytest.raises(TaskError, match=message):
        load_series(tmp_path / "v.csv")


def test_a_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="cannot be read"):
        load_series(tmp_path / "no.csv")


# --- baselines and the data ------------------------------------------------------------------


def test_sunspot_baselines_are_those_of_the_literature() -> None:
    series = load_series(EXAMPLE)
    v = series.table(("sunspots",))
    assert (series.time[0], series.time[-1], len(v)) == (1700, 1979, 280)
    assert (v[0, 0], v[-1, 0], v.max()) == (5.0, 155.4, 190.2)
    fitted = (series.time >= 1712) & (series.time <= 1920)
    linear, same = autoregression(v, fitted, 12), persistence(v)
    for first, last, a, p in ((1921, 1955, 0.126, 0.416), (1956, 1979, 0.358, 0.940)):
        rows = series.rows(Span("test", first, last))
        assert np.mean((linear - v)[rows] ** 2) / 1535 == pytest.approx(a, abs=5e-4)
        assert np.mean((same - v)[rows] ** 2) / 1535 == pytest.approx(p, abs=5e-4)


def test_the_example_is_a_valid_task() -> None:
    import tomllib

    spec = tomllib.loads((ROOT / "examples" / "sunspots.toml").read_text(encoding="utf-8"))
    task = Task.from_spec(spec["data"], spec["training"], ROOT / "examples")
    assert task.file == EXAMPLE and [s.first for s in task.tests] == [1921, 1956]


# --- weights ---------------------------------------------------------------------------------


def test_saved_weights_come_back_bit_for_bit(tmp_path: Path) -> None:
    theta = np.random.default_rng(0).normal(size=7)
    save_weights(tmp_path / "w.npz", theta, net_of())
    np.testing.assert_array_equal(load_weights(tmp_path / "w.npz", net_of()), theta)


def test_a_failed_save_leaves_the_old_weights_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "w.npz"
    save_weights(path, np.ones(3), net_of())

    def torn(file: Any, **arrays: Any) -> None:
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", torn)
    with pytest.raises(OSError, match="disk full"):
        save_weights(path, np.zeros(3), net_of())
    np.testing.assert_array_equal(load_weights(path, net_of()), np.ones(3))
    assert [p.name for p in tmp_path.iterdir()] == ["w.npz"]


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_weights(tmp_path / "w.npz", np.ones(3), net_of())
    other = net_of()
    other.digest = "d2"
    with pytest.raises(ValueError, match="another digest"):
        load_weights(tmp_path / "w.npz", other)


@pytest.mark.parametrize("keep", [0, 40, 300])
def test_a_torn_weight_file_is_one_clear_error(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "w.npz"
    save_weights(path, np.ones(3), net_of())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match="not a file of weights"):
        load_weights(path, net_of())


# --- online, on the sunspot numbers ----------------------------------------------------------

SUNSPOTS = ROOT / "examples" / "sunspots.toml"
Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Say:
    """``derive train ARGUMENTS`` in an empty folder: exit status, standard output and error."""
    monkeypatch.setattr("warnings.showwarning", None)  # put back afterwards: the command sets it
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli.console, "_width", 160)

    def call(*arguments: Any) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["derive", "train", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


def sunspots(**changes: Any) -> tuple[Task, Any]:
    spec = read(SUNSPOTS)
    task = Task.from_spec(spec["data"], spec["training"], SUNSPOTS.parent)
    return replace(task, **changes), derive.Network.load(SUNSPOTS)


@pytest.fixture(scope="module")
def rtrl() -> Any:
    return derive.compile(SUNSPOTS, algorithm="rtrl")


def test_online_training_lowers_the_error_of_the_untrained_net(rtrl: Any) -> None:
    task, net = sunspots(seeds=(0, 1), method="online", eta=0.01, epochs=40)
    trained = train(task, net, rtrl)
    untrained = train(replace(task, eta=1e-12), net, rtrl)
    for after, before in zip(trained.restarts, untrained.restarts, strict=True):
        assert after.scores[0] < 0.2 < before.scores[0]
    assert all(a < b for a, b in zip(trained.arv(net.name), untrained.arv(net.name), strict=True))


def test_an_epoch_is_the_steps_a_caller_would_do_by_hand(rtrl: Any) -> None:
    r = np.random.default_rng(0)
    x, target = r.normal(size=(30, 1)), r.normal(size=(30, 1))
    theta = rtrl.net.init(0)
    online = rtrl.start(theta)
    for _ in range(2):
        online.reset()
        for t in range(30):
            online.step(x[t], target[t])
            online.learn(0.003)
    result = fit_online(rtrl, theta, x, target, eta=0.003, epochs=2)
    assert "after epoch 2" in result.message
    np.testing.assert_array_equal(result.theta, online.theta)


def test_train_learns_online_from_the_command_line(say: Say, rtrl: Any) -> None:
    code, out, err = say(SUNSPOTS, "--algorithm", "rtrl", "--eta", 0.01, "--epochs", 30)
    assert code == 0, err
    assert "Weigend" in out and "of 4 restarts kept" in out and "diverged" not in out
    theta = load_weights("sunspots_weights.npz", rtrl.net)
    task, net = sunspots(method="online", eta=0.01, epochs=30)
    np.testing.assert_array_equal(theta, train(task, net, rtrl).theta)


def test_train_says_which_seeds_diverged_and_what_was_kept(say: Say) -> None:
    code, out, _ = say(SUNSPOTS, "--algorithm", "rtrl", "--eta", 3.0, "--epochs", 5)
    assert code == 0
    assert "diverged in epoch 1" in out and "smaller eta than 3" in out
    assert np.isfinite(np.load("sunspots_weights.npz")["theta"]).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--eta", "nan"], "eta: expected a finite number > 0, got nan"),
        (["--eta", "-1"], "eta: expected a finite number > 0"),
        (["--epochs", "0"], "epochs: expected a whole number ≥ 1, got 0"),
        (["--method", "onlin"], "method: expected 'lbfgs' or 'online', got 'onlin'"),
        (["--method", "lbfgs", "--eta", "0.1"], "eta: belongs to method 'online'"),
        (["--algorithm", "rtlr"], "did you mean 'rtrl'"),
        (["--method", "online"], "'epochwise' needs the whole sequence; take realtime"),
        (["--algorithm", "rtrl", "-o", "h=3"], "takes no option 'h'"),
        (["--algorithm", "hybrid"], "needs h"),
        (["--algorithm", "hybrid", "-o", "h"], "KEY=VALUE"),
        (["--algorithm", "hybrid", "-o", "h=__import__('os')"], "option"),
        (["--algorithm", "hybrid", "-o", "h=300", "--epochs", "1"], "no weight was moved"),
        (
            ["--algorithm", "realtime", "-o", "capacity=50", "--epochs", "1"],
            "the history holds capacity=50 steps",
        ),
    ],
)
def test_bad_choice_is_one_paragraph_and_nothing_is_written(
    say: Say, tmp_path: Path, arguments: list[str], words: str
) -> None:
    code, out, err = say(SUNSPOTS, *arguments)
    assert (code, out) == (2, "")
    assert words in " ".join(err.split()) and "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_options_are_numbers_truths_lists_and_words() -> None:
    texts = ("h=9", "teacher_forcing=true", "tol = 1e-3", "groups=[[0, 1], [2]]")
    options = {"h": 9, "teacher_forcing": True, "tol": 1e-3, "groups": [[0, 1], [2]]}
    assert read_options(texts) == options
    assert read_options(["memory=sqrt", "a=float64"]) == {"memory": "sqrt", "a": "float64"}
    assert isinstance(read_options(texts)["h"], int)


@pytest.mark.parametrize(
    "texts",
    [
        ["h"], ["=3"], ["1h=3"], ["h=1", "h=2"], ["h="], ["h=X"], ["h=NaN"], ["h=null"],
        ['h="a"'], ["h={}"], ["h=[1, null]"], ["h=" + "[" * 100_000], ["h=" + "9" * 5000],
        ["h=__import__('os').system('true')"],
    ],
)  # fmt: skip
def test_an_option_that_is_none_is_named(texts: list[str]) -> None:
    with pytest.raises(DeriveError, match="^option ") as error:
        read_options(texts)
    assert len(str(error.value)) < 200


def test_an_interrupt_keeps_nothing_half_written(
    say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 0
    step = derive.online.Online.step

    def interrupted(self: Any, *arguments: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == 1000:
            raise KeyboardInterrupt
        return step(self, *arguments)

    monkeypatch.setattr(derive.online.Online, "step", interrupted)
    code, out, err = say(
        SUNSPOTS, "--algorithm", "rtrl", "--epochs", 50, "--plot", tmp_path / "p.png"
    )
    assert (code, out) == (130, "") and err.split()[-1] == "stopped"
    assert steps == 1000 and list(tmp_path.iterdir()) == []
