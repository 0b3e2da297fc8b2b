"""What a proof by induction says, and what it does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from derive.calculus.horizon import Horizon
from derive.calculus.judging import is_plain
from derive.verify.induction.network import Stated

EVERYWHERE = "all n, all T"

ASSUMED = (
    "Assumed: every function is differentiable where it is evaluated (at a corner the slope is "
    "the one the convention names), weights do not move within a gradient, all sums are finite, "
    "so that they may be exchanged, and where there is no connection w is 0."
)


def scope_of(stated: Stated, algorithm: str) -> str:
    """In words what was proved, for which networks, and under which assumptions."""
    horizon = stated.sheet.horizon
    said = [
        f"the derived equations of {algorithm} equal the derivative of the stated ones, for all "
        f"n and m and all wirings of these cells{_delays(stated)}, all T, all weights, inputs and "
        f"targets{_windows(horizon)}.",
        ASSUMED,
    ]
    if not is_plain(stated.form):
        said.append(
            "Not by induction: that e is the derivative of an objective that pools or has several "
            "terms; e is its derivative by definition, and its form is proved on the witness."
        )
    said.append(
        "Left to the witness and to numbers: gradients by inputs, by the initial state and by a "
        "parameter of the objective, and the sum of a shared weight's gradients."
    )
    said.append("Of equations only: that a Program computes them is proved on the witness.")
    return "\n".join(said)


def _delays(stated: Stated) -> str:
    return ", all delays" if stated.form.delayed else ""


def _windows(horizon: Horizon) -> str:
    if horizon.sensed:
        return ", all window lengths h"
    if horizon.truncated:
        return (
            ", all h; for the objective of a window whose starting states are held fixed, which is "
            "not the derivative by the whole history unless the window covers it"
        )
    return ""


def reason_not(net: Any, algorithm: str, options: Mapping[str, Any]) -> str:
    """Why the induction is not carried out for an algorithm; empty where it is."""
    if algorithm == "settling":
        return (
            "a settling net has no last step to begin from; its equations are proved for one step "
            "forward and one back"
        )
    if options.get("groups") is not None:
        return "subgrouped learning leaves sensitivities out, and equals no derivative"
    return ""
