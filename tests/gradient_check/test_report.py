"""What a report says, and the one message for each thing that is wrong with a question."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import derive
from derive.gradient_check import GradientCheckError
from tests.gradient_check.by_hand import ByHand, states
from tests.gradient_check.test_mistakes import NET, numbers

RIGHT = ByHand(3, 2, (2,)).bptt


def check(function: Any, **more: Any) -> Any:
    theta, x, target, _ = numbers()
    return derive.gradcheck(function, theta, x, target, **{"net": NET, **more})


# --- the report ----------------------------------------------------------------------------------


def test_a_report_reads_as_a_paragraph_and_a_table() -> None:
    report = check(ByHand(3, 2, (2,), "result transposed").bptt)
    text = str(report)
    assert text.startswith("The gradient of bptt is wrong in 6 of 15 entries; the largest error")
    assert "w_2_1  unit 2 from unit 1" in text
    assert "It looks like: result transposed." in text and "It explains 6 of 6" in text
    assert not report
    html = report._repr_html_()
    assert "<td>w_2_1</td>" in html and "result transposed" in html
    values = json.loads(json.dumps(report.to_dict()))
    assert values["ok"] is False and values["mistakes"][0]["key"] == "transposed"
    assert {"name", "given", "right", "error", "bar", "relative"} <= set(values["wrong"][0])
    assert values["wrong"] == sorted(values["wrong"], key=lambda e: -abs(e["error"]))


def test_the_same_question_has_the_same_answer() -> None:
    wrong = ByHand(3, 2, (2,), "W transposed").bptt
    assert str(check(wrong)) == str(check(wrong))


def test_names_without_a_network() -> None:
    off = check(lambda *a: (RIGHT(*a)[0], RIGHT(*a)[1] * np.eye(15)[3]), net=None)
    assert {e.name for e in off.wrong} == {f"theta[{i}]" for i in range(15) if i != 3}
    own = check(ByHand(3, 2, (2,), "twice").bptt, net=None, names=[f"v{i}" for i in range(15)])
    assert own.wrong[0].name.startswith("v")
    with pytest.raises(ValueError, match="names: expected one for each of 15"):
        check(RIGHT, net=None, names=["a"])


@pytest.mark.parametrize(("factor", "words"), [(-1, "your loss is −J"), (-0.25, "1/T = 1/4"),
                                                (3.7, "× 3.7")])  # fmt: skip
def test_a_convention_is_recognised_and_no_mistake(factor: float, words: str) -> None:
    report = check(lambda *a: (factor * RIGHT(*a)[0], factor * RIGHT(*a)[1]))
    assert report.ok and any(words in note for note in report.notes)
    # Where J and its gradient disagree in scale, it is one.
    mixed = check(lambda *a: (factor * RIGHT(*a)[0], RIGHT(*a)[1]))
    assert not mixed.ok
    assert [m.key for m in mixed.mistakes] == ["sign" if factor == -1 else "scale"]


def test_a_transposed_matrix_is_seen_without_the_network() -> None:
    theta, x, target, _ = numbers()
    function = ByHand(3, 2, (2,), "result transposed").bptt

    def matrix(*arguments: Any) -> Any:
        J, gradient = function(*arguments)
        return J, gradient.reshape(3, 5)

    report = derive.gradcheck(matrix, theta.reshape(3, 5), x, target)
    assert [m.key for m in report.mistakes] == ["transposed"]
    assert report.wrong[0].name.startswith("theta[")


def test_what_the_numbers_cannot_tell_is_said() -> None:
    theta, x, target, _ = numbers()
    alone = derive.gradcheck(RIGHT, theta, x[:1], target[:1], net=NET)
    assert alone.ok and any("T = 1" in words for words in alone.blind)
    W = theta.reshape(3, 5).copy()
    W[:, :3] += W[:, :3].T
    even = derive.gradcheck(ByHand(3, 2, (2,), "W transposed").bptt, W.ravel(), x, target, net=NET)
    assert even.ok
    assert any("symmetric" in words for words in even.blind)
    assert any("W transposed in the recursion" in words for words in even.blind)
    still = derive.gradcheck(RIGHT, theta, 0 * x, target, net=NET)
    assert any("x is zero" in words for words in still.blind)
    assert not check(RIGHT).blind


def test_a_gradient_of_another_objective_is_told_from_a_wrong_gradient() -> None:
    theta, x, target, mask = numbers()

    def unmasked(theta: Any, x: Any, target: Any) -> Any:
        return RIGHT(theta, x, target)

    report = derive.gradcheck(unmasked, theta, x, target, mask=mask, net=NET)
    assert not report.ok and report.mistakes[0].key == "mask_ignored"
    assert "your J is not that of the net" in report.problems[0]
    assert any("is the slope of your own J" in note for note in report.notes)
    assert any("takes no argument of that name" in note for note in report.notes)


def test_the_first_difference_of_a_forward_pass_is_named() -> None:
    def forward(theta: Any, x: Any) -> Any:
        return states(theta.reshape(3, 5), x, np.zeros(3))

    def late(theta: Any, x: Any) -> Any:
        y = forward(theta, x)
        y[3, 1] += 1e-3
        return y

    assert check(RIGHT, forward=forward).ok
    report = check(RIGHT, forward=late)
    assert not report.ok and not report.wrong
    assert "the first difference is in y[3], y of unit 1" in report.problems[0]
    with pytest.raises(GradientCheckError, match="expected the states y"):
        check(RIGHT, forward=lambda theta, x: forward(theta, x)[1:])


# --- what is wrong with a function ---------------------------------------------------------------


def test_arguments_changed_in_place_are_told() -> None:
    def changes(theta: Any, x: Any, target: Any) -> Any:
        found = RIGHT(theta, x, target)
        theta *= 0.9
        return found

    report = check(changes)
    assert not report.ok and not report.wrong
    assert "changes theta in place" in report.problems[0]


def test_chance_is_told() -> None:
    generator = np.random.default_rng(0)
    report = check(lambda *a: RIGHT(*a)[1] + 1e-3 * generator.normal(size=15))
    assert not report.ok and "two calls with equal arguments" in report.problems[0]
    assert not report.mistakes


@pytest.mark.parametrize("net", [NET, None])
def test_a_gradient_that_is_not_finite_is_told(net: Any) -> None:
    def broken(*arguments: Any) -> Any:
        J, gradient = RIGHT(*arguments)
        gradient[4] = np.nan
        return J, gradient

    report = check(broken, net=net)
    assert [e.index for e in report.wrong] == [4]
    assert "1 of 15 entries of the gradient are NaN" in report.problems[0]


ZERO = np.zeros(15)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda *a: 1 / 0, "raised ZeroDivisionError: division by zero"),
        (lambda theta: theta, r"raised TypeError.*must accept \(theta, x, target\)"),
        (lambda *a: np.zeros(14), r"expected theta's shape \(15,\), got \(14,\)"),
        (lambda *a: np.zeros((4, 15)), "one axis more: sum over time steps"),
        (lambda *a: 3.0, r"is that J\? Return \(J, gradient\)"),
        (lambda *a: np.zeros(15, int), "expected floats, got int64; a derivative stored"),
        (lambda *a: np.zeros(15, complex), "expected real floats"),
        (lambda *a: {"w": ZERO}, "returned dict; expected an array"),
        (lambda *a: None, "returned NoneType"),
        (lambda *a: (ZERO, 1.0), r"first part has shape \(15,\); expected \(J, gradient\)"),
        (lambda *a: (np.nan, ZERO), "J is nan at theta"),
        (lambda *a: "abc", "the gradient function"),
    ],
)  # fmt: skip
def test_a_function_that_cannot_be_asked_is_told_why(function: Any, message: str) -> None:
    with pytest.raises(GradientCheckError, match=message):
        check(function)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"theta": np.ones(15, int)}, "theta: expected floats, got int64"),
        ({"theta": np.ones(3)}, r"theta: expected \(P=15,\), got \(3,\)"),
        ({"theta": np.full(15, np.nan)}, "theta: expected finite numbers"),
        ({"x": np.ones((4, 2), int)}, "x: expected floats, got int64"),
        ({"x": np.ones((4, 3))}, r"x: expected \(T, m=2\)"),
        ({"target": np.ones((3, 1))}, r"target: expected \(T=4, n_T=1\)"),
        ({"target": "abc"}, "target: expected floats"),
        ({"tolerance": -1}, "tolerance: expected a number between 0 and 1"),
        ({"algorithm": 3}, "algorithm: expected a name"),
        ({"algorithm": "settling"}, "settling has no gradient of a sequence"),
        ({"algorithm": "rtlr"}, "did you mean 'rtrl'"),
        ({"net": None, "algorithm": "rtrl"}, "these need net"),
        ({"net": 3}, "net: expected a Network"),
        ({"objective": 3}, "objective: expected a function"),
        ({"objective": lambda *a: np.ones(4)}, "expected one number for J"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused(changed: Any, message: str) -> None:
    theta, x, target, _ = numbers()
    asked = {"theta": theta, "x": x, "target": target, "net": NET, **changed}
    with pytest.raises((derive.DeriveError, TypeError, ValueError), match=message):
        derive.gradcheck(RIGHT, **asked)


def test_a_gradient_alone_needs_something_to_compare_with() -> None:
    with pytest.raises(ValueError, match="objective: the function gives a gradient alone"):
        check(lambda *a: RIGHT(*a)[1], net=None)
    assert check(lambda *a: RIGHT(*a)[1], net=None, objective=lambda *a: RIGHT(*a)[0]).ok
    with pytest.raises(TypeError, match="expected a function of"):
        check(3)
