"""What a report says each of its lines holds for."""

from __future__ import annotations

import json

import derive
from derive.display import claims_table
from derive.verify.report import Claim, Report, scoped
from tests.verify.examples import NETS


def test_every_claim_of_a_report_says_what_it_holds_for() -> None:
    report = derive.verify(NETS["wz3x5"], algorithm="rtrl")
    assert report.ok, str(report)
    by_method = {c.method.split(":")[0]: c.scope for c in report.claims}
    assert all(c.scope for c in report.claims)
    assert report.claims[0].name == "equations, all n and T"
    assert by_method["induction"] == "all n, all T"
    assert by_method["proof"] == "witness: 3 units, 3 steps, any weights"
    assert by_method["rounding"].startswith("these weights, T = ")
    assert "all n, all T" in str(report)
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["claims"][0]["scope"] == "all n, all T" and plain["claims"][0]["attempted"]
    assert "holds for" in [column.header for column in claims_table(report).columns]


def test_a_settling_net_says_that_no_induction_was_attempted() -> None:
    net = derive.Network.load("examples/settling.toml")
    report = derive.verify(net, algorithm="settling")
    first = report.claims[0]
    assert report.ok and not first.attempted and "no last step" in first.detail
    assert all(c.scope for c in report.claims)


def test_what_was_not_attempted_neither_holds_nor_fails() -> None:
    held = Claim("a", "m", None, None, True)
    left = Claim("b", "m", None, None, False, "not attempted: because", attempted=False)
    report = Report("n", "w", scoped((held, left), "one case"))
    assert report.ok and not report.failed
    assert str(report).splitlines()[-1] == "all 1 claims hold; 1 not attempted"
    assert not Report("n", "w", (left,)).ok
    assert [c.scope for c in report.claims] == ["one case", "one case"]
