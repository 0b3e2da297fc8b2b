"""Rung 6: every planted fault is caught, by each rung named for it."""

from __future__ import annotations

from functools import cache

import pytest

from derive.errors import ProgramError
from derive.network.library import semilinear
from derive.network.network import Network
from derive.network.objective import SquaredError
from derive.verify.controls import Outcome, Right, control
from derive.verify.expectation import Expectation
from derive.verify.faults import FAULTS, plant
from derive.verify.witness import witnesses
from tests.verify.examples import EPOCHWISE, LOOKING, NETS, algorithm_of, laid_out, programs_of

CASES = (
    *((name, "epochwise") for name in NETS),
    ("mixed", "epochwise, forced"),
    ("wz3x5", "epochwise cut 1"),
    ("sharing", "epochwise cut 2, forced"),
    ("looking", "epochwise cut 1"),
    ("leaky_pair", "epochwise wide"),
    ("sharing", "realtime, forced"),
    ("wz3x5", "realtime"),
    ("leaky_pair", "rtrl"),
    ("sharing", "rtrl, forced"),
    ("mixed", "rtrl grouped"),
    ("sharing", "truncated 2"),
    ("sharing", "truncated 3;2"),
    ("biased", "truncated 2;2, forced"),
    ("leaky_pair", "hybrid 2"),
    ("sharing", "hybrid 2, forced"),
    ("pooled", "truncated 3;2"),
    ("pooled", "rtrl"),
)


@cache
def outcome(name: str, algorithm: str) -> Outcome:
    net = {**NETS, LOOKING.name: LOOKING}[name]
    found = witnesses(net, algorithm_of(net, algorithm))
    assert all(w.own for w in found)
    return control([Right(Expectation(w.net, w.steps, w.algorithm), laid_out) for w in found])


@pytest.mark.parametrize(("name", "algorithm"), CASES)
def test_every_fault_that_matters_is_caught_by_each_rung_named_for_it(
    name: str, algorithm: str
) -> None:
    found = outcome(name, algorithm)
    assert found.missed == {}
    assert found.claim.ok


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_matters_on_some_network(fault: str) -> None:
    assert any(outcome(*case).caught[fault] for case in CASES)


@pytest.mark.parametrize(
    ("algorithm", "own"),
    [
        ("epochwise cut 1", {"early_checkpoint", "swap_checkpoints", "short_checkpoint",
                             "drop_later"}),
        ("rtrl", {"drop_direct", "swap_rows", "short_memory", "stale_sensitivities"}),
        ("hybrid 2", {"drop_boundary", "drop_seed_boundary", "edge_error_twice",
                      "edge_error_lost", "lost_remainder", "stale_sensitivities"}),
        ("truncated 2", {"chunked", "cut_early"}),
        ("truncated 3;2", {"swap_windows", "edge_error_twice", "edge_error_lost"}),
    ],
)  # fmt: skip
def test_an_algorithm_has_its_own_mistakes(algorithm: str, own: set[str]) -> None:
    on = {"truncated": "sharing", "epochwise": "looking"}
    case = (on.get(algorithm.partition(" ")[0], "leaky_pair"), algorithm)
    assert {fault for fault in own if outcome(*case).caught[fault]} == own
    assert not any(outcome("leaky_pair", "epochwise").caught[f] for f in own - {"cut_early"})


def test_rungs_that_do_not_apply_are_not_asked() -> None:
    assert outcome("leaky_pair", "epochwise").rungs == ("proof", "quotients")
    assert outcome("leaky_pair", "rtrl").rungs == ("proof", "quotients", "steps")
    assert outcome("sharing", "truncated 2").rungs == ("proof", "steps")
    assert outcome("mixed", "rtrl grouped").rungs == ("proof", "steps")


def test_another_network_rightly_differentiated_is_caught_by_the_proof_alone() -> None:
    # Its gradient agrees with its own forward pass: differences cannot see it.
    assert outcome("delayed", "epochwise").caught["consistent_delay"] == ("proof",)


def test_a_fault_in_the_forward_pass_is_caught() -> None:
    assert "proof" in (outcome("wz3x5", "epochwise").caught["forward_term"] or ())


def test_a_memory_that_is_not_cleared_is_seen_by_a_run_begun_anew() -> None:
    assert outcome("leaky_pair", "rtrl").caught["stale_sensitivities"] == ("proof", "steps")


def test_a_fault_has_no_place_where_there_is_nothing_to_get_wrong() -> None:
    net = NETS["wz3x5"]
    programs = programs_of(net)
    for fault in ("forget_delay", "drop_parameter_gradient", "drop_carry", "consistent_delay",
                  "drop_direct", "drop_boundary", "chunked", "uncut_forcing", "forward_delay",
                  "stale_sensitivities", "edge_error_lost"):  # fmt: skip
        assert plant(programs, fault, net) is None, fault
    wrong = plant(programs, "flip_sign", net)
    assert wrong is not None
    assert wrong["forward"] is programs["forward"]


def test_an_exchange_that_changes_nothing_is_not_counted() -> None:
    net = Network(semilinear("tanh"), 1, 1, [(0, 0), (0, 1)], SquaredError([0]), name="one")
    found = control([Right(Expectation(net, 3, EPOCHWISE))])
    assert found.caught["transpose_weight"] is None
    assert "transpose_weight" in found.claim.detail
    assert found.claim.ok


def test_a_missed_fault_fails_the_claim_and_is_named() -> None:
    claim = Outcome({"drop_term": (), "flip_sign": ("proof", "quotients")}).claim
    assert not claim.ok
    assert "1 of 2 caught; missed: drop_term" in claim.detail
    assert not Outcome({"drop_term": None}).claim.ok


def test_a_rung_that_missed_a_fault_is_named_where_another_caught_it() -> None:
    found = Outcome({"drop_term": ("quotients",)})
    assert found.missed == {"drop_term": {"proof"}}
    assert "1 of 1 caught; drop_term not by proof" in found.claim.detail


def test_a_planted_program_says_so() -> None:
    net = NETS["wz3x5"]
    planted = plant(programs_of(net), "flip_sign", net)
    assert planted is not None
    assert planted["gradient"].notes[-1] == "planted: flip_sign"


def test_an_unknown_fault_is_refused_with_the_list() -> None:
    net = NETS["wz3x5"]
    with pytest.raises(ProgramError, match="unknown fault 'sign_flip'; there are drop_term"):
        plant(programs_of(net), "sign_flip", net)
