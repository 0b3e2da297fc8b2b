"""Claims and the verdicts on them: true ones, and the usual mistakes made in these."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import derive
from derive.claims import checking
from derive.claims.claimsfile import judged, read_claims
from derive.claims.judge import Court
from derive.claims.verdict import Verdicts
from derive.cli import commands
from derive.errors import ClaimError

ROOT = Path(__file__).resolve().parents[2]
NOTES = ROOT / "examples/claims/williams_zipser_notes.toml"
SPEC = ROOT / "examples/wz3x5.toml"


def judge(claim: str, court: Court, algorithm: str, **how: Any) -> Verdicts:
    """As the command does, with time enough on a busy machine."""
    return checking.judge(claim, court, algorithm, **{"seconds": 300.0, **how})


TRUE = {
    "recursion": ("realtime", "eps_k(tau-1) = Sum(w_lk*delta_l(tau), l in U)"),
    "bracketed": ("realtime", "eps[k](tau-1) = Sum(w[l,k]*delta[l, tau], (l, U))"),
    "delta": ("realtime", "delta_k(tau) = (1 - y_k(tau)^2)*eps_k(tau)"),
    "gradient": ("realtime", "∂J(t)/∂w_ij = Σ_{τ=t₀+1…t} δ_i(τ)·x_j(τ−1)"),
    "forward": ("rtrl", "p^k_ij(t+1) = f'_k(s_k(t+1))*(Sum(w_kl*p^l_ij(t), l in U) "
                        "+ KroneckerDelta(i,k)*x_j(t))"),
    "start": ("rtrl", "p^k_ij(t0) = 0"),
    "step": ("rtrl", "∂J(t)/∂w_ij = Σ_{k∈U} e_k(t)·p^k_ij(t)"),
    "epoch": ("epochwise", "ε_k(τ−1) = e_k(τ−1) + Σ_{l∈U} w_lk·δ_l(τ),  k∈U,  τ = t₁…t₀+2"),
    "sum": ("epochwise", "∂J^total(t0,t1)/∂w_ij = Σ_{t=t0+1…t1} Σ_{k∈U} e_k(t)·p^k_ij(t)"),
    "n and m as indices": ("realtime", "ε_m(τ−1) = Σ_{n∈U} w_nm·δ_n(τ)"),
    "start of an epoch": ("epochwise", "∂J^total(t0,t1)/∂y_k(t0) = Σ_{l∈U} w_lk·δ_l(t0+1)"),
}  # fmt: skip

FALSE = {
    "transposed": ("recursion", "w_lk", "w_kl", "w_lk in place of w_kl"),
    "transposed in brackets": ("bracketed", "w[l,k]", "w[k,l]", "w_lk in place of w_kl"),
    "a step late": ("recursion", "delta_l(tau)", "delta_l(tau-1)", "δ_l(τ) in place of δ_l(τ−1)"),
    "a sign": ("recursion", "= Sum", "= -Sum", "other sign"),
    "a factor": ("recursion", "= Sum", "= 2*Sum", "factor 1/2"),
    "over inputs": ("recursion", "l in U", "l in I", "sum over U"),
    "of the step before": ("delta", "y_k(tau)^2", "y_k(tau-1)^2", "y_k(τ) in place of y_k(τ−1)"),
    "of the net input": (
        "delta",
        "y_k(tau)^2",
        "s_k(tau)^2",
        "factor f'_k(s_k(τ)), and without −s_k(τ)^2",
    ),
    "no slope": ("delta", "(1 - y_k(tau)^2)*", "", "factor f'_k(s_k(τ))"),
    "x of the same time": ("gradient", "x_j(τ−1)", "x_j(τ)", "x_j(τ−1) in place of x_j(τ)"),
    "a term less": ("gradient", "τ=t₀+1…t}", "τ=t₀+2…t}", "sum from t₀+1 to t"),
    "axes": ("gradient", "δ_i(τ)·x_j(τ−1)", "δ_j(τ)·x_i(τ−1), j∈U", "w_ji in place of w_ij"),
    "no direct term": ("forward", "KroneckerDelta(i,k)*x_j(t)", "0", "1{i=k}·x_j(t) added"),
    "direct term everywhere": (
        "forward",
        "KroneckerDelta(i,k)*",
        "",
        "factor 1{i=k} before x_j(t)",
    ),
    "W transposed forward": ("forward", "w_kl", "w_lk", "w_kl in place of w_lk"),
    "slope a step early": (
        "forward",
        "f'_k(s_k(t+1))",
        "f'_k(s_k(t))",
        "s_k(t+1) in place of s_k(t)",
    ),
    "one end": ("step", "∂J(t)", "∂J^total(t0,t)", "J(t) in place of J^total(t₀, t)"),
    "errors before": ("step", "e_k(t)", "e_k(t-1)", "e_k(t) in place of e_k(t−1)"),
    "no error": ("epoch", "e_k(τ−1) + ", "", "e_k(τ−1) added"),
    "down to the start": ("epoch", "t₀+2", "t₀+1", "for τ ≥ t₀+2"),
    "with the error of the start": ("start of an epoch", "= Σ", "= e_k(t0) + Σ", "without e_k(t₀)"),
}


@pytest.fixture(scope="module")
def court() -> Court:
    return Court(derive.Network.load(SPEC))


@pytest.mark.parametrize("name", TRUE)
def test_true_claims_hold_and_are_proved(court: Court, name: str) -> None:
    algorithm, claim = TRUE[name]
    (verdict,) = judge(claim, court, algorithm)
    assert verdict.verdict == "holds", str(verdict)
    assert "exactly 0" in verdict.because


@pytest.mark.parametrize("name", FALSE)
def test_the_usual_mistakes_are_refuted_with_numbers(court: Court, name: str) -> None:
    of, right, wrong, near = FALSE[name]
    algorithm, claim = TRUE[of]
    assert right in claim
    (verdict,) = judge(claim.replace(right, wrong), court, algorithm)
    assert verdict.verdict == "false", str(verdict)
    assert verdict.left != verdict.right
    assert near in verdict.nearest


@pytest.mark.parametrize(
    ("claim", "algorithm", "said"),
    [
        (TRUE["recursion"][1].replace("w_lk", "w_kl"), "realtime", "w_lk in place of w_kl"),
        ("δ_k(τ) = ∂J(τ)/∂s_k(τ)", "realtime", "J(t) in place of J(τ)"),
        ("ε_k(τ−1) = ∂J(t)/∂s_k(τ−1)", "realtime", "∂y_k(τ−1) in place of ∂s_k(τ−1)"),
        ("J(t) = −1/2·Σ_{m∈U} (d_m(t) − y_m(t))²", "realtime", "the sum over T(t)"),
        ("y_k(t+1) = f_k(s_k(t))", "realtime", "s_k(t+1) in place of s_k(t)"),
    ],
)
def test_a_true_statement_near_a_false_one(
    court: Court, claim: str, algorithm: str, said: str
) -> None:
    (verdict,) = judge(claim, court, algorithm)
    assert verdict.verdict == "false"
    assert said in verdict.nearest


@pytest.mark.parametrize(
    ("claim", "said", "at"),
    [
        ("y_k(t+1) = f_k(s_k(t+1)]", "unbalanced bracket", 23),
        ("s_k(t+1) = Sum(w_kl*y_l(t), t in U)", "a time", None),
        ("s_k(t+1) = w_kl*x_l(t)", "l is bound by nothing", None),
        ("y_k(t) = q_k(t)", "q is not known", 9),
        ("w_k = 1", "2 indices below", 0),
        ("y_k = 1", "1 time", 0),
        (r"\input{secrets} = 1", r"\input has no meaning", 0),
        ("__import__('os') = 1", "", None),
        ("y_k(t) = 9^9^9", "", None),
        ("J(t) = Sum(1, (tau, 0, 1000000000))", "a range of more than", None),
        ("(" * 200 + "1 = 1", "deep", None),
        ("", "no equation", None),
        ("x" * 5000, "characters", None),
    ],
)
def test_what_says_nothing_is_ill_formed_at_its_place(
    court: Court, claim: str, said: str, at: int | None
) -> None:
    (verdict, *_) = judge(claim, court, "epochwise", seconds=5)
    assert verdict.verdict == "ill-formed", str(verdict)
    assert said in verdict.because
    if at is not None:
        assert verdict.place is not None and verdict.place[0] == at


def test_partial_and_total_derivative_are_told_apart(court: Court) -> None:
    claim = "∂s_i(τ)/∂w_ij = x_j(τ−1)"
    (either,) = judge(claim, court, "realtime")
    assert (either.verdict, either.reading) == ("holds", "direct")
    assert "as the total derivative: false" in either.because
    (total,) = judge(claim, court, "realtime", reading="total")
    assert total.verdict == "false"
    (ordered,) = judge(claim.replace("∂s", "∂⁺s"), court, "realtime")
    assert ordered.verdict == "false"


def test_no_time_is_undecided_and_not_a_verdict(court: Court) -> None:
    (verdict,) = judge(TRUE["forward"][1], court, "rtrl", seconds=0)
    assert verdict.verdict == "undecided"


def test_the_notes_are_judged_as_they_should_be() -> None:
    found = list(judged(read_claims(NOTES), SPEC))
    assert len(found) >= 40
    assert [j.claim.name for j in found if not j.ok] == []


def test_an_unexpected_verdict_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "claims.toml"
    path.write_text(
        'claims = "derive/claims/1"\n[[claim]]\ntext = "y_k(t+1) = f_k(s_k(t))"\n', encoding="utf-8"
    )
    result = CliRunner().invoke(commands, ["check", str(path), str(SPEC)], standalone_mode=False)
    assert result.return_value == 1
    path.write_text(path.read_text() + 'verdicts = ["false"]\n', encoding="utf-8")
    result = CliRunner().invoke(
        commands, ["check", str(path), str(SPEC), "--json"], standalone_mode=False
    )
    assert result.return_value == 0
    (one,) = json.loads(result.output)
    assert one["verdicts"][0]["verdict"] == "false"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "should begin with"),
        (b"\xff\xfe", "not UTF-8"),
        (b"claims = ", "not TOML"),
        (b'claims = "derive/claims/1"', "no claims"),
        (b'claims = "derive/claims/1"\n[[claim]]\n', "either"),
        (b'claims = "derive/claims/1"\n[[claim]]\ntekst = "a"', "did you mean 'text'"),
        (b'claims = "derive/claims/1"\n[[claim]]\ntext = 1', "wrong type"),
        (b'claims = "derive/claims/1"\n[[claim]]\ntext = "a"\nverdicts = ["yes"]', "verdicts are"),
    ],
)
def test_a_wrong_file_is_one_clear_error(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "claims.toml"
    path.write_bytes(content)
    with pytest.raises(ClaimError, match=said):
        read_claims(path)


def test_definitions_may_not_contradict_one_another(court: Court) -> None:
    with pytest.raises(ClaimError, match="defined twice"):
        judge("a_k = 1", court, "epochwise", define=["a_k = 1", "a_k = 2"])
    (verdict,) = judge("a_k = 1", court, "epochwise", define=["a_k = a_k"])
    assert verdict.verdict == "ill-formed"


def test_the_public_function() -> None:
    found = derive.check(TRUE["recursion"][1], SPEC, algorithm="realtime")
    assert found.ok and len(found) == 1
    with pytest.raises(ClaimError, match="reading"):
        derive.check("a = 1", SPEC, reading="whole")


@pytest.mark.parametrize("spec", ["leaky", "wz3x5"])
def test_what_is_derived_and_printed_is_read_and_holds(spec: str) -> None:
    net = derive.Network.load(ROOT / f"examples/{spec}.toml")
    court = Court(net)
    for step in derive.differentiate(net, "epochwise"):
        _, text = str(step).split(") ", 1)
        assert [v.verdict for v in judge(text, court, "epochwise")] == ["holds"], text


def test_a_delay_and_a_connection_that_is_not_there() -> None:
    court = Court(derive.Network.load(ROOT / "examples/sparse_delayed.toml"))
    claim = "∂J^total(t0,t1)/∂w_ij^(D) = Σ_{τ=t0+1…t1} δ_i(τ)·x_j(τ−D)"
    assert judge(claim, court, "epochwise").ok
    (verdict,) = judge(claim.replace("τ−D", "τ−1"), court, "epochwise")
    assert verdict.verdict == "false"


def test_two_mistakes_are_undone_together(court: Court) -> None:
    claim = "ε_k(τ−1) = Σ_{l∈I} w_kl·δ_l(τ)"
    (verdict,) = judge(claim, court, "realtime")
    assert verdict.verdict == "false"
    assert verdict.nearest == "true with w_lk in place of w_kl, and with the sum over U"


def test_a_sum_to_a_time_that_nothing_binds(court: Court) -> None:
    claim = "∂J^total(t0,t1)/∂w_ij = Σ_{τ=t₀+1…t} δ_i(τ)·x_j(τ−1)"
    (verdict,) = judge(claim, court, "epochwise")
    assert verdict.verdict == "ill-formed" and "t is bound by nothing" in verdict.because
    assert "with t₁" in verdict.nearest


def test_what_is_derived_is_cited_whatever_its_letters(court: Court) -> None:
    (verdict,) = judge("ε_m(τ−1) = Σ_{j∈U} δ_j(τ) w_jm", court, "realtime")
    assert verdict.verdict == "holds" and verdict.equation.startswith("equation (20) of realtime")
    (verdict,) = judge("ε_m(τ−1) = Σ_{j∈U} w_jm δ_j(τ) + 0·e_m(τ)", court, "realtime")
    assert verdict.verdict == "holds" and verdict.equation == ""


CONTINUOUS = [
    (r"\tau_k \dot y_k(t) = - y_k(t) + f_k(s_k(t))", "holds", ""),
    (r"\tau_k \frac{d y_k(t)}{d t} = - y_k(t) + f_k(s_k(t))", "holds", ""),
    (r"\tau_k \dot y_k(t) = y_k(t) + f_k(s_k(t))", "false", ""),
    (r"y_k(t+\Delta t) = y_k(t) + \Delta t \dot y_k(t)", "false", "definition of the Euler net"),
    (r"y_k(t+\Delta t) = y_k(t-\Delta t) + 2\Delta t \dot y_k(t)", "false", "order Δt²"),
    (r"y_k(t+\Delta t) = y_k(t) + 2\Delta t \dot y_k(t)", "false", ""),
    (r"y_k(t+\Delta t) = \sum_l w_{kl} y_l(t)", "undecided", ""),
]


@pytest.mark.parametrize(("claim", "expected", "near"), CONTINUOUS)
def test_continuous_time_is_compared_order_by_order(claim: str, expected: str, near: str) -> None:
    (verdict,) = derive.check(claim, ROOT / "examples/leaky.toml")
    assert verdict.verdict == expected, str(verdict)
    assert near in verdict.nearest


def test_a_rate_that_is_stated_nowhere_is_no_refutation(court: Court) -> None:
    (verdict,) = judge(r"\dot y_k(t) = f_k(s_k(t)) - y_k(t)", court, "epochwise")
    assert verdict.verdict == "undecided"
    known = [r"\dot y_k(t) = f_k(s_k(t)) - y_k(t)"]
    (verdict,) = judge(known[0], court, "epochwise", define=known)
    assert verdict.verdict == "holds"


def test_a_step_is_defined_only_by_what_approaches_the_unit() -> None:
    step = r"y_k(t+\Delta t) = y_k(t) + {}\Delta t \dot y_k(t)"
    spec = ROOT / "examples/leaky.toml"
    (verdict,) = derive.check(step.format(""), spec, definition=True)
    assert verdict.verdict == "holds" and "Euler net, of order 1" in verdict.because
    (verdict,) = derive.check(step.format("2"), spec, definition=True)
    assert verdict.verdict == "false"


def test_names_of_several_letters_and_sensitivities_by_any_parameter() -> None:
    cell = derive.cells.ctrnn()
    net = derive.Network(cell, 3, 1, derive.connect.full(), derive.SquaredError([0]))
    court = Court(net)
    true = "p^(v)k_(tau)i(τ) = ∂°v_k(τ)/∂tau_k·1{i=k} + p^(s)k_(tau)i(τ)·∂°v_k(τ)/∂s_k(τ) + p^(v)k_(tau)i(τ−1)·∂°v_k(τ)/∂v_k(τ−1)"  # noqa: E501
    assert judge(true, court, "rtrl").ok
    (verdict,) = judge(true.replace("·1{i=k}", ""), court, "rtrl")
    assert verdict.verdict == "false"
    assert judge("∂v_next_k(τ)/∂s_k(τ) = 1/tau_k", court, "rtrl").ok


def test_a_proof_that_is_too_long_is_made_on_a_smaller_network() -> None:
    net = derive.Network(derive.cells.lstm(), 3, 1, derive.connect.full(), derive.SquaredError([0]))
    court = Court(net)
    assert [(v[0].net.units, v[0].steps) for v in court.proving] == [(2, 3), (2, 2), (1, 2)]
    (verdict,) = judge("δ^(s_i)_k(τ) = i_k(τ)·(1 − i_k(τ))·ε^(i)_k(τ)", court, "epochwise")
    assert verdict.verdict == "holds"
    (verdict,) = judge("δ^(s_i)_k(τ) = i_k(τ)·(1 + i_k(τ))·ε^(i)_k(τ)", court, "epochwise")
    assert verdict.verdict == "false"


def test_forgotten_delays_are_put_back() -> None:
    claim = "∂J^total(t0,t1)/∂w_ij^(D) = Σ_{τ=t0+1…t1} δ_i(τ)·x_j(τ−1)"
    (verdict,) = derive.check(claim, ROOT / "examples/sparse_delayed.toml", seconds=300)
    assert verdict.verdict == "false" and "x_j(τ−D) in place of x_j(τ−1)" in verdict.nearest


def test_verdicts_are_written_as_text_data_and_page(tmp_path: Path) -> None:
    path = tmp_path / "claims.toml"
    path.write_text(
        'claims = "derive/claims/1"\n[[claim]]\nname = "<script>"\n'
        'text = "y_k(t+1) = f_k(s_k(t+1)]"\nverdicts = ["ill-formed"]\n', encoding="utf-8"
    )  # fmt: skip
    for suffix, said in ((".txt", "ill-formed"), (".json", "ill-formed"), (".html", "<mark>]")):
        out = tmp_path / f"verdicts{suffix}"
        arguments = ["check", str(path), str(SPEC), "--out", str(out)]
        assert CliRunner().invoke(commands, arguments, standalone_mode=False).return_value == 0
        assert said in out.read_text(encoding="utf-8")
    assert "<script>" not in out.read_text(encoding="utf-8")
    arguments[-1] = str(tmp_path / "verdicts.pdf")
    result = CliRunner().invoke(commands, arguments, standalone_mode=False)
    assert isinstance(result.exception, ClaimError)
