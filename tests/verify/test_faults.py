"""Rung 6: every planted fault is caught, by each rung named for it."""

from __future__ import annotations

from functools import cache

import pytest

from derive.errors import ProgramError
from derive.network.library import semilinear
from derive.network.network import Network
from derive.network.objective import SquaredError
from derive.program.schedules.choose import Choice, scheduled
from derive.verify.controls import Outcome, control
from derive.verify.faults import FAULTS, plant, plant_all
from derive.verify.proof import Expectation
from tests.verify.examples import NETS, programs_of


@cache
def outcome(name: str) -> Outcome:
    net = NETS[name]
    return control(
        programs_of(net),
        Expectation(net, max(3, net.wiring.longest_delay + 1)),
        lambda ps: {k: scheduled(p, Choice("unrolled", False, ""), 8) for k, p in ps.items()},
    )


@pytest.mark.parametrize("name", NETS)
def test_every_fault_that_matters_is_caught_by_each_rung_named_for_it(name: str) -> None:
    assert outcome(name).missed == ()
    assert outcome(name).claim.ok


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_matters_on_some_network(fault: str) -> None:
    assert any(outcome(name).caught[fault] for name in NETS)


def test_another_network_rightly_differentiated_is_caught_by_the_proof_alone() -> None:
    # Its gradient agrees with its own forward pass: differences cannot see it.
    assert outcome("delayed").caught["consistent_delay"] == ("proof",)


def test_a_fault_in_the_forward_pass_is_caught() -> None:
    assert "proof" in (outcome("wz3x5").caught["forward_term"] or ())


def test_a_fault_has_no_place_where_there_is_nothing_to_get_wrong() -> None:
    programs = programs_of(NETS["wz3x5"])
    for fault in ("forget_delay", "drop_parameter_gradient", "drop_carry", "consistent_delay"):
        assert plant_all(programs, fault) is None
    assert plant(programs["forward"], "flip_sign") is None


def test_an_exchange_that_changes_nothing_is_not_counted() -> None:
    net = Network(semilinear("tanh"), 1, 1, [(0, 0), (0, 1)], SquaredError([0]), name="one")
    found = control(programs_of(net), Expectation(net, 3), lambda p: p)
    assert found.caught["transpose_weight"] is None
    assert "transpose_weight" in found.claim.detail
    assert found.claim.ok


def test_a_missed_fault_fails_the_claim_and_is_named() -> None:
    claim = Outcome({"drop_term": ("proof",), "flip_sign": ("proof", "quotients")}).claim
    assert not claim.ok
    assert "1 of 2 caught; missed: drop_term" in claim.detail
    assert not Outcome({"drop_term": None}).claim.ok


def test_a_planted_program_says_so() -> None:
    planted = plant(programs_of(NETS["wz3x5"])["gradient"], "flip_sign")
    assert planted is not None
    assert planted.notes[-1] == "planted: flip_sign"


def test_an_unknown_fault_is_refused_with_the_list() -> None:
    with pytest.raises(ProgramError, match="unknown fault 'sign_flip'; there are drop_term"):
        plant(programs_of(NETS["wz3x5"])["gradient"], "sign_flip")
