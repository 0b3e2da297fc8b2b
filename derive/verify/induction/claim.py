"""The line of a report that says what is proved for every number of units and steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from derive.network.network import Network
from derive.verify.ask import Ask
from derive.verify.induction.proving import induction
from derive.verify.induction.scope import EVERYWHERE
from derive.verify.report import Claim

NAME = "equations, all n and T"
METHOD = "induction: base and step on indexed sums"


def induction_claim(net: Network, algorithm: Mapping[str, Any]) -> Claim:
    """Carry the induction out for a network, and claim what it shows: no more than that."""
    proof = induction(net, algorithm)
    if not proof.attempted:
        detail = f"not attempted: {proof.reason}"
        return Claim(NAME, METHOD, None, None, True, detail, "nothing", attempted=False)
    lines = [line for v in proof.lemmas for line in (*v.base, *v.step)]
    if proof.holds:
        detail = f"{len(proof.lemmas)} lemmas, {len(lines)} equations"
    else:
        detail = (
            f"{len(proof.failed)} of {len(lines)} equations not proved, first {proof.failed[0]}"
        )
    scope = EVERYWHERE
    if algorithm["name"] == "truncated":
        scope += "; older steps held fixed"
    return Claim(NAME, METHOD, None, None, proof.holds, detail, scope)


def inductions(net: Network, algorithm: Mapping[str, Any], ask: Ask) -> list[Claim]:
    """The same as a rung of the ladder."""
    ask.tell("proving by induction")
    return [induction_claim(net, algorithm)]
