"""Claims and the verdicts on them: true ones, and the usual mistakes made in these."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import derive
from derive.claims.checking import judge
from derive.claims.claimsfile import judged, read_claims
from derive.claims.judge import Court
from derive.cli import commands
from derive.errors import ClaimError

ROOT = Path(__file__).resolve().parents[2]
NOTES = ROOT / "examples/claims/williams_zipser_notes.toml"
SPEC = ROOT / "examples/wz3x5.toml"

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
    "start of an epoch": ("epochwise", "∂J^total(t0,t1)/∂y_k(t0) = Σ_{l∈U} w_lk·δ_l(t0+1)"),
}  # fmt: skip

FALSE = {
    "transposed": ("recursion", "w_lk", "w_kl"),
    "transposed in brackets": ("bracketed", "w[l,k]", "w[k,l]"),
    "a step late": ("recursion", "delta_l(tau)", "delta_l(tau-1)"),
    "a sign": ("recursion", "= Sum", "= -Sum"),
    "a factor": ("recursion", "= Sum", "= 2*Sum"),
    "over inputs": ("recursion", "l in U", "l in I"),
    "of the step before": ("delta", "y_k(tau)^2", "y_k(tau-1)^2"),
    "of the net input": ("delta", "y_k(tau)^2", "s_k(tau)^2"),
    "no slope": ("delta", "(1 - y_k(tau)^2)*", ""),
    "x of the same time": ("gradient", "x_j(τ−1)", "x_j(τ)"),
    "a term less": ("gradient", "τ=t₀+1…t}", "τ=t₀+2…t}"),
    "axes": ("gradient", "δ_i(τ)·x_j(τ−1)", "δ_j(τ)·x_i(τ−1), j∈U"),
    "no direct term": ("forward", "KroneckerDelta(i,k)*x_j(t)", "0"),
    "direct term everywhere": ("forward", "KroneckerDelta(i,k)*", ""),
    "W transposed forward": ("forward", "w_kl", "w_lk"),
    "slope a step early": ("forward", "f'_k(s_k(t+1))", "f'_k(s_k(t))"),
    "one end": ("step", "∂J(t)", "∂J^total(t0,t)"),
    "errors before": ("step", "e_k(t)", "e_k(t-1)"),
    "no error": ("epoch", "e_k(τ−1) + ", ""),
    "down to the start": ("epoch", "t₀+2", "t₀+1"),
    "with the error of the start": ("start of an epoch", "= Σ", "= e_k(t0) + Σ"),
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
    of, right, wrong = FALSE[name]
    algorithm, claim = TRUE[of]
    assert right in claim
    (verdict,) = judge(claim.replace(right, wrong), court, algorithm)
    assert verdict.verdict == "false", str(verdict)
    assert verdict.left != verdict.right


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
