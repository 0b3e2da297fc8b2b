"""Claims about sums that are cleared and then added to once: which are, and in how many steps."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings

from derive.network import connect
from derive.network.library import LIBRARY
from derive.network.network import Network
from derive.network.objective import SquaredError
from derive.program.algorithms import programs, settle
from derive.program.ir import (
    Assign,
    Loop,
    Program,
    Ref,
    Statement,
    Var,
    all_placed,
    evaluate,
    plus,
)
from derive.program.once import added_once, cleared
from derive.program.schedules.tables import tables
from derive.program.storage import clear, copy
from tests.strategies import networks

NAME = "grad_theta"


def gradient(net: Network) -> Program:
    """The gradient of a batch, whose sums over time are made a stretch at a time."""
    return tables(programs(net, settle(net, "epochwise", {}))["gradient"], True)


def full(cell: str = "lstm") -> Program:
    """That of a full net."""
    net = Network(LIBRARY[cell](), 5, 2, connect.full(), SquaredError([4]), name="full")
    return gradient(net)


def additions(program: Program, T: int) -> Counter[int]:
    """How often each element is added to, or otherwise touched, counted by taking every turn."""
    count: Counter[int] = Counter()

    def take(body: tuple[Statement, ...], env: dict[str, int]) -> None:
        for s in body:
            if isinstance(s, Loop):
                start, stop = (evaluate(i, env, program.tables) for i in (s.start, s.stop))
                for turn in range(start, stop):
                    take(s.body, {**env, s.var: turn})
            elif isinstance(s, Assign) and s.target.array == NAME:
                count[evaluate(s.target.index[0], env, program.tables)] += 1

    first = cleared(program, NAME)
    body = tuple(s for s in program.body if s is not first)
    take(body, program.known({"T": T, "mask_step": 0, "mask_rows": 1, "count": 1}))
    return count


@settings(max_examples=25)
@given(networks(max_units=4))
def test_what_is_said_to_be_added_once_is(net: Network) -> None:
    program = gradient(net)
    turns = added_once(program, NAME)
    if turns is not None:
        assert cleared(program, NAME) is not None
        for T in (1, 3, 70):
            most = max(additions(program, T).values(), default=0)
            assert most <= evaluate(turns, {"T": T}, program.tables)


@pytest.mark.parametrize("cell", ["lstm", "semilinear", "gru"])
def test_sums_of_library_nets_are(cell: str) -> None:
    turns = added_once(full(cell), NAME)
    assert turns is not None
    assert [evaluate(turns, {"T": T}, {}) for T in (1, 64, 65, 128, 129)] == [1, 1, 2, 2, 3]


def test_what_is_added_in_every_step_is_so_often() -> None:
    net = Network(LIBRARY["elman"](), 5, 2, connect.full(), SquaredError([4]), name="full")
    stated = programs(net, settle(net, "epochwise", {}))["gradient"]
    assert cleared(stated, NAME) is not None
    assert added_once(stated, NAME) == Var("T") and max(additions(stated, 4).values()) == 4


def test_what_is_taken_to_a_local_variable_and_back_is_not_added_at_once() -> None:
    """Sums of one sequence go on from what is there: their terms are added to it one by one."""
    net = Network(LIBRARY["elman"](), 5, 2, connect.full(), SquaredError([4]), name="full")
    single = tables(programs(net, settle(net, "epochwise", {}))["gradient"])
    assert "t_stretch" in str(single) and added_once(single, NAME) is None


def test_what_stands_before_between_and_after_shows() -> None:
    program = full()
    (size,) = program.arrays[NAME].shape
    assert isinstance(size, int)
    first = cleared(program, NAME)
    touched = copy(Ref(NAME, (0,)), Ref(NAME, (1,)))
    for body in (
        tuple(s for s in program.body if s is not first),
        (touched, *program.body),
        (*program.body, touched),
        (*program.body, clear(NAME, (size,))),
        (clear(NAME, (size - 1,)), *(s for s in program.body if s is not first)),
    ):
        assert added_once(replace(program, body=body), NAME) is None
    assert cleared(replace(program, body=(touched, *program.body)), NAME) is None


def test_two_terms_of_one_element_are_not() -> None:
    program = full()

    def nearer(r: Ref) -> Ref:
        return Ref(NAME, (0,)) if r.array == NAME else r

    first = cleared(program, NAME)
    body = tuple(s if s is first else all_placed((s,), nearer)[0] for s in program.body)
    assert added_once(replace(program, body=body), NAME) is None
    unknown = tuple(
        s if s is first else all_placed(
            (s,), lambda r: Ref(NAME, (plus(Var("T"), 0),)) if r.array == NAME else r)[0]
        for s in program.body
    )  # fmt: skip
    assert added_once(replace(program, body=unknown), NAME) is None
