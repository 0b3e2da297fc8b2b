"""Each known mistake, made by hand or planted in a Program, is named for what it is."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

import derive
from derive.gradient_check import GradientCheck
from derive.network import connect
from derive.network.library import leaky, semilinear
from derive.network.network import Network
from derive.network.objective import SquaredError
from derive.program.algorithms import programs, settle
from derive.verify.faults import FAULTS, plant
from derive.verify.kernels import on_numpy
from tests.gradient_check.by_hand import ByHand
from tests.verify.examples import NETS

T = 4
NET = Network(semilinear("tanh"), 3, 2, connect.full(), SquaredError([2]), name="by_hand")
DELAYED = Network(
    leaky("tanh"), 3, 2,
    [(0, 1, 2), (0, 0), (1, 0, 3), (1, 2), (2, 1, 2), (2, 0), (0, 3), (1, 4, 2), (0, 2)],
    SquaredError([2, 0]), name="delayed",
)  # fmt: skip


@cache
def numbers(steps: int = T, net: Network = NET) -> tuple[Any, ...]:
    """theta, x, target and a mask with a zero in the middle and at the end."""
    generator = np.random.default_rng(3)
    theta = net.init(0)
    theta[: net.wiring.weights] = generator.normal(0, 0.8, net.wiring.weights)
    n_T = len(net.objective.targets)
    mask = np.ones((steps, n_T))
    mask[1, 0] = mask[-1, 0] = 0
    return (
        theta,
        generator.normal(size=(steps, net.inputs)),
        generator.normal(size=(steps, n_T)) + 0.5,
        mask,
    )


def named(report: GradientCheck) -> set[str]:
    return {m.key for m in report.mistakes}


WHOLE = (
    ("bptt", "mask ignored", "mask_ignored"),
    ("bptt", "mask ignored at t1", "mask_ignored_last"),
    ("bptt", "last error missing", "last_error_lost"),
    ("bptt", "only last error", "only_last_error"),
    ("bptt", "next target", "next_target"),
    ("bptt", "sweep forward", "forward_order"),
    ("bptt", "error early", "early_error"),
    ("bptt", "error late", "late_error"),
    ("bptt", "slope late", "late_partial"),
    ("bptt", "slope forgotten", "flat_partial"),
    ("bptt", "first step missing", "cut_early"),
    ("bptt", "signal late", "shift_time"),
    ("bptt", "W transposed", "transpose_weight"),
    ("bptt", "result transposed", "transposed"),
    ("bptt", "column major", "column_major"),
    ("bptt", "inputs first", "inputs_first"),
    ("bptt", "no inputs", "columns_missing"),
    ("bptt", "no recurrence", "units_missing"),
    ("bptt", "sign", "sign"),
    ("bptt", "twice", "scale"),
    ("bptt", "half", "scale"),
    ("bptt", "nothing", "nothing"),
    ("rtrl", "W transposed", "transpose_weight"),
    ("rtrl", "axes within", "swap_axes_within"),
    ("rtrl", "axes at the end", "swap_axes"),
    ("rtrl", "no direct term", "drop_direct"),
    ("each", "product reversed", "reversed_product"),
)


@pytest.mark.parametrize(("way", "slip", "key"), WHOLE)
def test_a_mistake_made_by_hand_is_named(way: str, slip: str, key: str) -> None:
    theta, x, target, mask = numbers()
    if "mask" not in slip:
        mask = None
    report = derive.gradcheck(
        getattr(ByHand(3, 2, (2,), slip), way), theta, x, target, net=NET, mask=mask
    )
    assert not report.ok and report.wrong
    assert key in named(report)
    # Only what cannot be told apart on any numbers is named beside it.
    also = {"nothing", "drop_direct"} if key in ("nothing", "drop_direct") else {key}
    also |= {"lost_remainder"} if key == "last_error_lost" else set()
    also |= {"double_count"} if slip == "twice" else set()
    assert named(report) <= also
    assert all(m.explained == len(report.wrong) and m.fit < 1e-9 for m in report.mistakes)


@pytest.mark.parametrize(
    ("way", "slip", "h", "words"),
    [
        ("each", "", 3, "BPTT(h = 3)"),
        ("each", "", 1, "BPTT(h = 1)"),
        ("each", "chunks", 3, "chunks called BPTT(h): h = 3"),
        ("hybrid", "no boundary", 2, "hybrid without the boundary term: windows of h = 2"),
        ("hybrid", "no boundary", 3, "chunks called BPTT(h): h = 3"),
        ("hybrid", "begun anew", 2, "hybrid whose sensitivities begin anew: windows of h = 2"),
        ("hybrid", "error at t0", 2, "error injected at t₀: windows of h = 2"),
    ],
)
def test_a_mistake_with_windows_is_named_with_their_length(
    way: str, slip: str, h: int, words: str
) -> None:
    theta, x, target, _ = numbers(5)
    function = getattr(ByHand(3, 2, (2,), slip, h), way)
    report = derive.gradcheck(function, theta, x, target, net=NET)
    assert any(words in m.title for m in report.mistakes), [m.title for m in report.mistakes]


def test_chunks_are_told_from_truncation_where_that_is_what_is_asked() -> None:
    theta, x, target, _ = numbers()
    asked = {"name": "truncated", "h": 3}
    right = derive.gradcheck(ByHand(3, 2, (2,), "", 3).each, theta, x, target, net=NET,
                             algorithm=asked)  # fmt: skip
    assert right.ok
    wrong = derive.gradcheck(ByHand(3, 2, (2,), "chunks", 3).each, theta, x, target, net=NET,
                             algorithm=asked)  # fmt: skip
    assert "chunked" in named(wrong)
    exact = derive.gradcheck(ByHand(3, 2, (2,)).bptt, theta, x, target, net=NET, algorithm=asked)
    (found,) = exact.mistakes
    assert found.title == "not truncated as asked: the exact gradient"


@pytest.mark.parametrize("forced", [False, True])
def test_teacher_forcing_forgotten_or_applied_is_named(forced: bool) -> None:
    theta, x, target, mask = numbers()
    other = derive.gradcheck(
        kernel(NET, {"name": "epochwise", "teacher_forcing": not forced}).gradient,
        theta, x, target, mask=mask, net=NET,
        algorithm={"name": "epochwise", "teacher_forcing": forced},
    )  # fmt: skip
    assert named(other) == {"forcing_forgotten" if forced else "forcing_applied"}


def test_one_sequence_and_the_mean_of_a_batch_are_named() -> None:
    theta, *_ = numbers()
    generator = np.random.default_rng(0)
    x, target = generator.normal(size=(T, 2, 3)), generator.normal(size=(T, 1, 3))
    right = ByHand(3, 2, (2,)).bptt

    def batch(theta: Any, x: Any, target: Any) -> Any:
        return [right(theta, x[..., b], target[..., b]) for b in range(3)]

    def summed(*arguments: Any) -> Any:
        return tuple(sum(v) for v in zip(*batch(*arguments), strict=True))

    assert derive.gradcheck(summed, theta, x, target, net=NET).ok
    one = derive.gradcheck(lambda *a: batch(*a)[1][1], theta, x, target, net=NET)
    assert [m.title for m in one.mistakes] == ["one sequence of the batch only: sequence 1 of 3"]
    mean = derive.gradcheck(
        lambda *a: (summed(*a)[0], summed(*a)[1] / 3), theta, x, target, net=NET
    )
    assert [m.title for m in mean.mistakes] == ["wrong scale: × 1/B = 1/3"]


def kernel(net: Network, algorithm: Any, fault: str = "") -> Any:
    """A kernel on NumPy, with a fault planted in it."""
    settled = settle(net, algorithm["name"], {k: v for k, v in algorithm.items() if k != "name"})
    of = programs(net, settled)
    wrong = plant(of, fault, net) if fault else of
    return None if wrong is None else on_numpy(net, wrong, settled, "float64")


@pytest.mark.parametrize(
    "fault",
    ["forget_delay", "consistent_delay", "forward_delay", "late_delay", "drop_carry",
     "drop_term", "drop_parameter_gradient"],
)  # fmt: skip
def test_a_mistake_with_delays_or_leaks_is_named(fault: str) -> None:
    theta, x, target, mask = numbers(4, DELAYED)
    wrong = kernel(DELAYED, {"name": "epochwise"}, fault)
    report = derive.gradcheck(
        lambda *a, **k: wrong.gradient(*a, **k)[1], theta, x, target, net=DELAYED, mask=mask
    )
    assert fault in named(report)
    assert report.wrong[0].name in {e.name for e in report.wrong}


def test_names_say_target_source_and_delay() -> None:
    theta, x, target, _ = numbers(4, DELAYED)
    wrong = kernel(DELAYED, {"name": "epochwise"}, "forget_delay")
    report = derive.gradcheck(wrong.gradient, theta, x, target, net=DELAYED)
    entries = {e.name: e.where for e in report.wrong}
    assert entries["w_0_1_2"] == "unit 0 from unit 1, delay 2"
    assert entries["w_1_4_2"] == "unit 1 from input 1, delay 2"


def test_two_mistakes_at_once_are_named_together() -> None:
    theta, x, target, _ = numbers()
    wrong = ByHand(3, 2, (2,), "W transposed").bptt

    def both(*arguments: Any) -> Any:
        gradient = wrong(*arguments)[1].reshape(3, 5)
        gradient[:, 3:] = 0
        return gradient.ravel()

    report = derive.gradcheck(both, theta, x, target, net=NET)
    assert [m.title for m in report.mistakes] == [
        "W transposed in the recursion, and inputs' columns missing"
    ]


def test_a_mistake_comes_with_a_usual_constant() -> None:
    theta, x, target, _ = numbers()
    wrong = ByHand(3, 2, (2,), "W transposed").bptt
    report = derive.gradcheck(lambda *a: -wrong(*a)[1], theta, x, target, net=NET)
    assert [m.title for m in report.mistakes] == ["W transposed in the recursion: × −1"]


@pytest.mark.parametrize("seed", range(2))
def test_noise_is_called_wrong_and_no_known_mistake(seed: int) -> None:
    theta, x, target, _ = numbers()
    generator = np.random.default_rng(seed)
    right = ByHand(3, 2, (2,)).bptt
    off = 1 + 10.0 ** -(4 * seed + 1) * generator.normal(size=theta.size)

    def noisy(*arguments: Any) -> Any:
        J, gradient = right(*arguments)
        return J, gradient * off

    report = derive.gradcheck(noisy, theta, x, target, net=NET)
    assert not report.ok and report.wrong and not report.mistakes
    assert "none of the known mistakes" in str(report)


def test_of_a_long_sequence_the_first_steps_are_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("derive.gradient_check.variants.STATEMENTS", 3000)
    theta, x, target, _ = numbers(40)
    report = derive.gradcheck(ByHand(3, 2, (2,), "W transposed").bptt, theta, x, target, net=NET)
    assert named(report) == {"transpose_weight"}
    assert any("not every known mistake was tried" in note for note in report.notes)
    assert any("looked for on the first 6 steps" in note for note in report.notes)
    # What shows on long sequences alone is then not found, and nothing else is named for it.
    last = derive.gradcheck(ByHand(3, 2, (2,), "", 12).each, theta, x, target, net=NET)
    assert not last.ok and not last.mistakes


@pytest.mark.parametrize("fault", ["ignore_mask", "flip_sign", "drop_pool", "penalty_once"])
def test_mistakes_in_what_is_judged_are_named(fault: str) -> None:
    net = NETS["pooled"]
    theta, x, target, mask = numbers(4, net)
    wrong = kernel(net, {"name": "epochwise"}, fault)
    report = derive.gradcheck(
        lambda *a, **k: wrong.gradient(*a, **k)[1], theta, x, target, net=net, mask=mask
    )
    assert {"ignore_mask": "mask_ignored"}.get(fault, fault) in named(report)


def test_every_fault_has_words() -> None:
    from derive.gradient_check.mistakes import MISTAKES, known

    assert all(known(f).title and known(f).cure for f in FAULTS)
    assert all(m.title and m.explanation and m.cure for m in MISTAKES.values())
