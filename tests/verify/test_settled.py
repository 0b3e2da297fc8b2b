"""The ladder for settling nets: it holds, and it fails where it must."""

from __future__ import annotations

import pytest

import derive
from derive.network.network import Network
from derive.program.algorithms import programs
from derive.verify.faults import FAULTS
from derive.verify.held import Held, control, plant
from tests.verify.examples import NETS

SETTLING = {"name": "settling"}
FORCED = {"name": "settling", "teacher_forcing": True}
CAUGHT = {
    "drop_term", "shift_time", "flip_sign", "flip_partial", "ignore_mask", "drop_carry",
    "drop_parameter_gradient", "double_count", "forward_term", "transpose_weight",
}  # fmt: skip


@pytest.mark.parametrize("name", ["leaky_pair", "delayed", "mixed"])
@pytest.mark.parametrize("forced", [False, True])
def test_every_claim_holds(name: str, forced: bool) -> None:
    report = derive.verify(NETS[name], algorithm="settling", teacher_forcing=forced)
    assert report.ok, str(report)
    methods = {c.method for c in report.claims}
    assert {"relaxing", "differences of J at the fixed points, extrapolated"} <= methods


@pytest.mark.parametrize("fault", sorted(CAUGHT))
def test_a_planted_fault_is_refuted_by_the_proof(fault: str) -> None:
    def caught(net: Network) -> bool:
        wrong = plant(programs(net, SETTLING), fault, net)
        return wrong is not None and not all(c.ok for c in Held(net, False).claims(wrong))

    assert any(caught(NETS[name]) for name in ("leaky_pair", "delayed"))


def test_an_uncut_forced_output_is_refuted() -> None:
    net = NETS["leaky_pair"]
    wrong = plant(programs(net, FORCED), "uncut_forcing", net)
    assert wrong is not None
    assert not all(c.ok for c in Held(net, True).claims(wrong))


def test_what_is_planted_and_what_is_not_is_said() -> None:
    net = NETS["leaky_pair"]
    claim = control(Held(net, False), programs(net, SETTLING))
    assert claim.ok and "caught" in claim.detail
    assert "no effect on a step of this network: " in claim.detail


def test_a_report_with_a_fault_fails() -> None:
    report = derive.verify(NETS["leaky_pair"], algorithm="settling", plant="drop_carry")
    assert not report.ok
    assert set(FAULTS) >= CAUGHT
