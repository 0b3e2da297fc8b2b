"""Verdicts on claims about continuous time and on steps of Δt."""

from __future__ import annotations

from derive.claims.context import Context
from derive.claims.continuous import ORDERS, Beyond, Comparison, compare, power
from derive.claims.judge import FALSE, HOLDS, UNDECIDED, Court
from derive.claims.syntax import Node
from derive.claims.verdict import Verdict

EULER = "the Euler net"


def continuous_verdict(
    text: str, left: Node, right: Node, context: Context, court: Court
) -> Verdict:
    """Whether two sides are equal for a unit in continuous time."""
    try:
        found = compare(left, right, court.form.units, context)
    except Beyond as why:
        return Verdict(text, UNDECIDED, f"it is of continuous time: {why}")
    if found.order is None:
        if found.exact:
            return Verdict(text, HOLDS, "the difference is exactly 0, ẏ being the rate of the unit")
        return Verdict(text, UNDECIDED, f"equal up to the order {power(ORDERS)} of Taylor series")
    if found.exact or found.order == 0:
        return Verdict(text, FALSE, f"the two sides differ by {found.words}")
    near = f"true up to the order {power(found.order - 1)}" if found.order > 1 else ""
    near += f"; holds as the definition of {EULER}" if found.euler else ""
    return Verdict(
        text, FALSE, f"the two sides differ by {found.words} + …, which is of order "
        f"{power(found.order)}", nearest=near.removeprefix("; "))  # fmt: skip


def defines_a_step(text: str, left: Node, right: Node, context: Context, court: Court) -> Verdict:
    """Whether a step from t to t + Δt can be defined so: it approaches the unit as Δt does 0."""
    try:
        found: Comparison = compare(left, right, court.form.units, context)
    except Beyond as why:
        return Verdict(text, UNDECIDED, f"it is of continuous time: {why}")
    if found.order is not None and found.order < 2:
        return Verdict(text, FALSE, f"as Δt goes to 0 it is no step of the unit: the two sides "
                       f"differ by {found.words} + …")  # fmt: skip
    net = EULER if found.euler else "a net in discrete time"
    order = ORDERS if found.order is None else found.order - 1
    return Verdict(text, HOLDS, f"the definition of {net}, of order {order}")
