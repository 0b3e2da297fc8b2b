"""Claims about the classic experiments in ``examples/``: what is asked, what is learnt, when."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import derive

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture(scope="module", autouse=True)
def beside_the_examples() -> Iterator[None]:
    """The scripts import one another by name, as they do when they are run."""
    sys.path.insert(0, str(EXAMPLES))
    yield
    sys.path.remove(str(EXAMPLES))


def script(name: str) -> ModuleType:
    return importlib.import_module(name)


def kernel_of(spec: str, units: int, algorithm: str = "rtrl", **options: Any) -> derive.Kernel:
    net = script("experiments").network(spec, units)
    return derive.compile(net, algorithm=algorithm, **options)


# --- pipelined XOR ---------------------------------------------------------------------------


def two_layers(net: Any, gain: float = 20.0) -> Any:
    """Weights with which unit 0 is (1 or 2 of the bits) and not (both): exclusive or in 2 steps."""
    w = np.zeros((3, 5))
    w[1, 3:] = w[2, 3:] = 1.0  # hidden units: at least one bit, both bits
    w[0, 1], w[0, 2] = 1.0, -1.0
    return net.pack({"w": gain * w.ravel(), "b": gain * np.array([-0.5, -0.5, -1.5])})


@pytest.mark.parametrize(("tau", "right"), [(2, True), (1, False), (3, False)])
def test_tau_counts_from_the_bits_to_the_output(tau: int, right: bool) -> None:
    x, target = script("pipelined_xor").streams(np.random.default_rng(0), 400, tau)
    kernel = kernel_of("pipelined_xor.toml", 3)
    y = kernel.forward(two_layers(kernel.net), x)
    wrong = np.abs(target[1:, 0] - y[2:, 0]) > 0.5
    assert wrong.any() != right
    for t in range(50, 60):  # y[t+1] answers the bits of time t + 1 − τ
        first, second = x[t + 1 - tau]
        assert target[t, 0] == (first != second)


def test_every_seed_learns_pipelined_xor_and_none_what_no_net_can() -> None:
    xor = script("pipelined_xor")
    kernel = kernel_of("pipelined_xor.toml", 4)
    runs = [xor.run(kernel, seed, 2, 8000) for seed in range(3)]
    assert all(r.solved for r in runs)
    assert all(2000 < r.first_error_free < 7000 for r in runs)
    # One step of delay is one layer, and one layer cannot tell the exclusive or.
    too_soon = xor.run(kernel, 0, 1, 8000)
    assert not too_soon.solved and too_soon.first_error_free is None


@pytest.mark.parametrize("number", range(1, 4))
def test_each_algorithm_compared_learns_pipelined_xor(number: int) -> None:
    title, algorithm, options, every = script("compare_algorithms").ALGORITHMS[number]
    kernel = kernel_of("pipelined_xor.toml", 4, algorithm, **options)
    assert script("pipelined_xor").run(kernel, 0, 2, 8000).solved, title
    online = kernel.start(np.zeros(kernel.net.size))
    gave = [online.step(np.ones(2), np.ones(1)).gradient is not None for _ in range(2 * every)]
    assert np.flatnonzero(gave).tolist() == [every - 1, 2 * every - 1]


def test_without_learning_nothing_is_solved() -> None:
    lab, xor = script("experiments"), script("pipelined_xor")
    kernel = kernel_of("pipelined_xor.toml", 4)
    rng = np.random.default_rng(0)
    run = lab.learn(kernel, lab.random_weights(kernel.net, rng), *xor.streams(rng, 4000, 2), 0.0)
    assert not run.solved and 0.4 < lab.wrong(run).mean() < 0.6


@pytest.mark.parametrize(
    ("wrong_at", "steps", "solved", "first"),
    [
        ((), 2000, True, 2000),
        ((), 1999, True, None),
        ((0, 10), 2011, True, 2011),
        ((0, 10), 2010, False, None),
        ((1000,), 4000, True, 3001),
        ((1000, 3500), 4000, False, 3001),
        ((1000, 3000, 5001), 9000, True, 5001),
    ],
)
def test_error_free_is_a_whole_stretch(
    wrong_at: tuple[int, ...], steps: int, solved: bool, first: int | None
) -> None:
    errors = np.full(steps, -0.5)
    errors[list(wrong_at)] = 0.51
    run = script("experiments").Run(errors, np.zeros(1), np.zeros(1), 0.0)
    assert (run.solved, run.first_error_free) == (solved, first)


# --- oscillation -----------------------------------------------------------------------------


@pytest.mark.parametrize("which", [0, 1])
def test_a_net_learns_to_oscillate_when_forced_and_not_otherwise(which: int) -> None:
    oscillation = script("oscillation")
    task = replace(oscillation.TASKS[which], steps=4000)
    right = {}
    for forced in (True, False):
        kernel = kernel_of("oscillation.toml", task.units, teacher_forcing=forced)
        free = [oscillation.run(task, kernel, seed)[1] for seed in range(3)]
        right[forced] = [oscillation.oscillates(task, y) for y in free]
    assert right == {True: [True] * 3, False: [False] * 3}


def test_oscillating_is_the_right_period_and_enough_swing() -> None:
    oscillation = script("oscillation")
    task = oscillation.TASKS[2]
    t = np.arange(2000)

    def wave(period: float, swing: float) -> Any:
        return 0.4 + swing / 2 * np.sin(2 * np.pi * t / period)

    assert oscillation.period(wave(25, 0.5)) == pytest.approx(25, abs=0.02)
    assert oscillation.oscillates(task, wave(25.3, 0.3))
    assert not oscillation.oscillates(task, wave(26, 0.5))
    assert not oscillation.oscillates(task, wave(12.5, 0.5))
    assert not oscillation.oscillates(task, wave(25, 0.2))
    assert not oscillation.oscillates(task, np.full(2000, 0.5))
    assert not oscillation.oscillates(task, wave(25, 0.5) * 0.99**t)


# --- the scripts -----------------------------------------------------------------------------


def shorten(monkeypatch: pytest.MonkeyPatch, name: str) -> ModuleType:
    module = script(name)
    match name:
        case "pipelined_xor":
            monkeypatch.setattr(module, "CASES", ((4, 2, 6000, "50/50, 5,000"),))
        case "compare_algorithms":
            monkeypatch.setattr(module, "STEPS", 6000)
            monkeypatch.setattr(module, "ALGORITHMS", module.ALGORITHMS[:1])
        case "oscillation":
            short = tuple(replace(task, steps=2000) for task in module.TASKS[:3])
            monkeypatch.setattr(module, "TASKS", short)
    return module


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("pipelined_xor", ["4 units, τ = 2, 6,000 steps.* 2/2 .*50/50, 5,000.* [45],[0-9]{3} "]),
        ("compare_algorithms", ["RTRL.* 2/2 .* [45],[0-9]{3} .* ns "]),
        ("oscillation", ["0101.* 2/2 .* 0/2 .*50/50, 0/50.* 2.00–2.00"]),
    ],
)
def test_a_script_prints_its_table_and_draws_its_curves(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, told: list[str]
) -> None:
    module = shorten(monkeypatch, name)
    result = CliRunner().invoke(module.main, ["--seeds", "2", "--plot", str(tmp_path / "p.png")])
    assert result.exit_code == 0, result.output
    assert all(re.search(words, result.output) for words in told), result.output
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["pipelined_xor", "compare_algorithms", "oscillation"])
def test_a_script_refuses_no_seeds(name: str) -> None:
    result = CliRunner().invoke(script(name).main, ["--seeds", "0"])
    assert result.exit_code == 2 and "--seeds" in result.output


def test_the_pictures_of_the_experiments_are_small() -> None:
    for name in ("pipelined_xor", "compare_algorithms", "oscillation"):
        picture = EXAMPLES / "pictures" / f"{name}.png"
        assert picture.stat().st_size < 80_000
        assert f"pictures/{name}.png" in (EXAMPLES / "README.md").read_text(encoding="utf-8")
