"""``derive.verify``: all rungs on one network, and the report."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from typing import Any

import pytest

import derive
from derive.errors import ProgramError
from derive.kernel import Kernel
from derive.network import connect
from derive.network.library import leaky, semilinear
from derive.network.network import Network
from derive.network.objective import SquaredError
from derive.verify import kernels
from derive.verify.faults import FAULTS
from derive.verify.report import Claim, Report
from tests.verify.examples import EPOCHWISE, NETS, algorithm_of, programs_of


def on_numpy(net: Network, algorithm: Mapping[str, Any] = EPOCHWISE) -> Kernel:
    return kernels.on_numpy(net, programs_of(net, algorithm), algorithm, "float64")


def test_a_compiled_kernel_passes_every_rung() -> None:
    said: list[str] = []
    report = derive.verify(NETS["wz3x5"], progress=said.append)
    assert report.ok, str(report)
    methods = {c.method.split(":")[0] for c in report.claims}
    assert {"proof", "rounding", "complex step", "negative controls"} <= methods
    assert report.claims[-1].name == "planted faults"
    assert report.claims[-1].detail.startswith("16 of 16 caught")
    assert "compiling the kernel" in said


def test_a_compiled_float32_kernel_passes_in_the_tables_schedule() -> None:
    report = derive.verify(NETS["biased"], dtype="float32", schedule="tables")
    assert report.ok, str(report)
    assert "tables, float32" in str(report)


def test_a_compiled_hybrid_passes_every_rung() -> None:
    report = derive.verify(NETS["sharing"], algorithm="hybrid", h=3)
    assert report.ok, str(report)
    assert str(report).startswith("sharing: hybrid h=3, auto, float64")
    names = {c.name for c in report.claims}
    assert {
        "∂J^total(t₀,t)/∂theta, each window",
        "Σ of the windows' gradients = ∂J^total/∂theta",
        "a run begun anew gives the same",
        "∂J/∂theta = epochwise's",
        "planted faults",
    } <= names
    assert any("hybrid h=1 for hybrid h=3" in c.detail for c in report.claims)


@pytest.mark.parametrize(
    ("name", "algorithm"),
    [("sharing", "rtrl, forced"), ("delayed", "rtrl grouped"), ("sharing", "truncated 3;2"),
     ("sharing", "realtime, forced")],
)  # fmt: skip
def test_every_algorithm_passes_every_rung(name: str, algorithm: str) -> None:
    net = NETS[name]
    report = derive.verify(net, kernel=on_numpy(net, algorithm_of(net, algorithm)))
    assert report.ok, str(report)
    # No difference quotient where the gradient of a sequence is none.
    exact = algorithm not in ("rtrl grouped", "truncated 3;2")
    assert any("differences of" in c.method for c in report.claims) == exact
    assert any("differs from epochwise's" in c.name for c in report.claims) != exact


def test_a_compiled_truncated_kernel_passes_in_float32() -> None:
    report = derive.verify(NETS["leaky_pair"], "truncated", h=3, h_prime=3, dtype="float32")
    assert report.ok, str(report)


@pytest.mark.parametrize(
    ("algorithm", "fault"),
    [("rtrl", "stale_sensitivities"), ("hybrid 2", "drop_boundary"), ("truncated 2", "chunked")],
)  # fmt: skip
def test_a_planted_mistake_of_an_algorithm_fails_the_report(algorithm: str, fault: str) -> None:
    net = NETS["leaky_pair"]
    settled = algorithm_of(net, algorithm)
    options = {k: v for k, v in settled.items() if k != "name"}
    report = derive.verify(net, settled["name"], plant=fault, **options)
    assert any(c.method.startswith("proof") for c in report.failed)
    for rung, method in (("quotients", "differences"), ("steps", "agreement: a run with itself")):
        named = rung in FAULTS[fault].rungs and "truncated" not in algorithm
        assert not named or any(c.method.startswith(method) for c in report.failed)


def test_a_kernel_says_which_algorithm_it_is_of() -> None:
    net = NETS["sharing"]
    kernel = on_numpy(net, algorithm_of(net, "hybrid 2"))
    with pytest.raises(ProgramError, match="the kernel is of hybrid h=2, not of rtrl"):
        derive.verify(net, "rtrl", kernel=kernel)


@pytest.mark.parametrize("fault", ["flip_sign", "ignore_last_mask", "forward_term"])
def test_a_planted_fault_fails_the_report(fault: str) -> None:
    report = derive.verify(NETS["sharing"], plant=fault)
    assert not report.ok
    assert any(c.method.startswith("proof") for c in report.failed)
    assert fault in str(report)


def test_a_fault_without_a_place_is_refused_rather_than_passed() -> None:
    with pytest.raises(ProgramError, match="'forget_delay' has no place in the Programs of wz3x5"):
        derive.verify(NETS["wz3x5"], plant="forget_delay")


def test_a_large_network_is_proved_on_a_witness_and_checked_itself() -> None:
    cells = [semilinear("tanh") if k % 2 else leaky("tanh", trainable=False) for k in range(30)]
    net = Network(cells, 30, 3, connect.random(0.3, seed=1), SquaredError([0, 29]), name="large")
    report = derive.verify(net, kernel=on_numpy(net))
    assert report.ok, str(report)
    (witness,) = [c for c in report.claims if c.method == "witness"]
    assert "with the same cells and objective" in witness.detail
    assert any("40 of" in c.detail for c in report.claims)


def test_a_network_that_learns_nothing_is_checked_but_for_mistakes_in_learning() -> None:
    cells = [semilinear("tanh"), leaky("tanh")]  # the one with a parameter is not the target
    net = Network(cells, 2, 1, [], SquaredError([0]), name="still")
    report = derive.verify(net, kernel=on_numpy(net, algorithm_of(net, "rtrl")))
    assert report.ok, str(report)
    assert not any(c.name == "planted faults" for c in report.claims)


def test_a_spec_is_taken_as_it_is() -> None:
    net = NETS["sharing"]
    report = derive.verify(net.to_spec(), kernel=on_numpy(net))
    assert report.ok, str(report)


def test_the_package_can_be_called_whichever_way_it_was_imported() -> None:
    assert callable(importlib.import_module("derive.verify"))


def claim(ok: bool, worst: float | None = None) -> Claim:
    return Claim("∂J/∂theta", "some method", worst, None if worst is None else 1.0, ok, "3 steps")


def test_a_report_without_claims_is_not_ok() -> None:
    assert not Report("n", "epochwise", ()).ok


def test_a_report_prints_an_aligned_table_with_the_verdict() -> None:
    text = str(Report("n", "epochwise", (claim(True), claim(False, 2.5))))
    head, first, second = text.splitlines()[1:4]
    column = head.index("verdict")
    assert first[column:].startswith("ok")
    assert second[column:].startswith("FAILED")
    assert text.endswith("1 of 2 claims FAILED")


def test_a_report_is_json_even_with_a_worst_error_that_is_not_finite() -> None:
    report = Report("n", "epochwise", (claim(False, float("nan")), claim(True, 0.5)))
    plain = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert plain["ok"] is False
    assert plain["claims"][0]["worst"] == "nan"
    assert plain["claims"][1]["worst"] == 0.5
