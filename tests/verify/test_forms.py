"""What algorithms claim to give."""

from __future__ import annotations

import pytest

from derive.errors import DerivationError
from derive.verify.forms import WHOLE, Form, form_of, words
from tests.verify.examples import NETS, algorithm_of

NET = NETS["delayed"]


def test_a_sequence_falls_into_windows_of_which_the_last_may_not_be_whole() -> None:
    assert Form(3).windows(7) == [(0, 3), (3, 6), (6, 7)]
    assert WHOLE.windows(7) == [(0, 7)]


@pytest.mark.parametrize(
    ("name", "exact"),
    [("epochwise", True), ("realtime", True), ("rtrl", True), ("hybrid 2", True),
     ("truncated 2", False), ("rtrl grouped", False)],
)  # fmt: skip
def test_which_algorithms_are_exact(name: str, exact: bool) -> None:
    assert form_of(algorithm_of(NET, name)).is_exact(5) == exact
    assert form_of(algorithm_of(NET, f"{name}, forced")).is_exact(5) == exact


def test_limits_that_limit_nothing_leave_an_algorithm_exact() -> None:
    assert Form(1, back=5).is_exact(5)
    assert not Form(1, back=5).is_exact(6)
    assert Form(1, groups=((0, 1, 2),)).is_exact(9)


def test_an_online_run_takes_whole_windows_and_no_more_steps_than_there_is_room_for() -> None:
    assert Form(3).online(8) == 6
    assert Form(1, room=4).online(8) == 4
    assert Form(5).online(4) == 0
    assert WHOLE.online(8) == 0


def test_an_algorithm_that_gives_no_gradient_over_time_is_refused() -> None:
    with pytest.raises(DerivationError, match="'settling' gives over time is not stated"):
        form_of({"name": "settling"})


def test_an_algorithm_in_words() -> None:
    assert words({"name": "truncated", "h": 9, "h_prime": 3}) == "truncated h=9 h_prime=3"
