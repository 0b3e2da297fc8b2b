"""The sentences between the equations: what each part of a derivation is for.

Sentences that hold for some algorithms only are told apart by the algorithm's name.
"""

from __future__ import annotations

TITLES = {
    "forward": "The unit",
    "objective": "The objective",
    "fixed point": "The fixed point",
    "error": "The error",
    "definitions": "What is sought",
    "connections": "Partial derivatives along the connections",
    "backward": "Ordered derivatives, from the last step to the first",
    "sensitivities": "Sensitivities, from one step to the next",
    "implicit": "Sensitivities at the fixed point",
    "sensed gradient": "The gradient by sensitivities",
    "elimination": "The sensitivities eliminated",
    "relaxation": "The linear equations relaxed",
    "boundary": "Where the window begins",
    "gradient": "The gradient",
    "sweeps": "New sensitivities, once in a window",
    "update": "The weights move",
}

BACKPROPAGATION = ("epochwise", "realtime", "truncated", "hybrid")

FIXED = (
    "A partial derivative ∂a/∂b goes through the one equation that gives a: everything else that "
    "stands in that equation is held fixed. An ordered derivative ∂⁺a/∂b goes through every "
    "equation that follows from b: what is computed before b is held fixed, and what is computed "
    "after it moves."
)

NETWORK = (
    "Unrolled in time, the recurrent network becomes a feedforward network N*: one node for each "
    "quantity of each unit at each time. An edge leads from each quantity that stands on the right "
    "of a stated equation to the one on its left. All edges lead from earlier to later in the "
    "order of computation, so the chain rule for ordered derivatives can be applied node by node."
)

TIED = (
    "The weights are tied. N* has a copy of $w_ij$ for every step at which its connection is "
    "used, and all copies are the one number $w_ij$. The derivative by $w_ij$ is therefore the "
    "sum, over the copies, of the derivatives by each copy on its own. Parameters of a cell are "
    "tied over time in the same way."
)

SHARED = (
    "Some connections share a weight besides: the derivative by it is the sum over the connections "
    "that carry it too."
)

ORDER = {
    "epochwise": (
        "The whole epoch is run forward first. Then ε and δ are computed backward, each step from "
        "the next one. They are exact: no path through N* is left out."
    ),
    "realtime": (
        "At every step t the sweep goes back from t to the beginning of the run. Only the error of "
        "step t is injected, so the gradient is that of J(t) alone; it is exact while the weights "
        "stand still, and costs more with every step."
    ),
    "truncated": (
        "The sweep goes back over the newest h steps and stops there. Paths that begin further "
        "back are left out, which the sign ≈ says where it happens. So the result is an "
        "approximation to the gradient, and is exact where the history is no longer than h steps."
    ),
    "rtrl": (
        "Nothing goes back in time. What each state owes to each learnt quantity is carried "
        "forward beside the state, so a gradient is there at every step, and no history is kept."
    ),
    "hybrid": (
        "Within a window of h steps errors go back as ε and δ. What happened before the window is "
        "accounted for by the sensitivities of the states that the window began with. So nothing "
        "is left out, and the sensitivities are renewed only once in h steps."
    ),
    "settling": (
        "The input is held still and the network relaxes to a fixed point. The objective judges "
        "that fixed point only, so what counts is how it moves when a weight does."
    ),
}

GROUPED = (
    "Sensitivities are kept within groups of units only; what other groups would add is left out. "
    "So the result is an approximation to the gradient, and is exact for one group of all units."
)

ABOUT = {
    "error": (
        "The objective is differentiated by the output of one unit, with all other outputs held "
        "fixed. This is the error that is injected at unit k."
    ),
    "definitions": (
        "These are names for derivatives that are not known yet. The steps below find them."
    ),
    "connections": (
        "A net input is a sum over connections, so its derivative by one term is found by "
        "differentiating under the sum. Here the weights (for the derivative by a signal) or the "
        "signals (for the derivative by a weight) are held fixed; a Kronecker delta marks the term "
        "that is hit, and collapses the sum."
    ),
    "sensitivities": (
        "A sensitivity gathers what enters a quantity: its direct dependence on the learnt "
        "quantity, with all signals held fixed, and the sensitivities of the signals that enter "
        "it. Inputs depend on nothing that is learnt."
    ),
    "implicit": (
        "At the fixed point a sensitivity equals its own next value. Both sides of the stated "
        "equations are differentiated, and this gives linear equations for the sensitivities."
    ),
    "sensed gradient": (
        "The objective depends on what is learnt only through the outputs at the fixed point."
    ),
    "elimination": (
        "Solving for every sensitivity is needless. Multiples of the equations, each of which is "
        "zero, are added to the gradient; their factors δ and ε are then chosen so that all "
        "sensitivities drop out."
    ),
    "relaxation": (
        "The linear equations for ε and δ are solved as the network itself settled: by applying "
        "them again and again, beginning from zero."
    ),
    "boundary": (
        "The state that a window begins with depends on the weights as well. ε there is what the "
        "sensitivities from the window before are multiplied with."
    ),
    "sweeps": (
        "The next window needs the sensitivities of the states it begins with. They are found by "
        "the same sweep back, once for each state q: a one is put in for that state where the "
        "gradient's sweep puts in errors."
    ),
    "update": "J is maximised, so each weight moves up its gradient, at the rate η.",
}

BACKWARD = (
    "From the last step to the first, ε of a unit is gathered from everything that its output "
    "enters, and δ follows from ε through the unit's own equation. Signals are those of the "
    "forward pass, held fixed."
)

GRADIENT = {
    "rtrl": (
        "The objective at time t depends on what is learnt only through the outputs at t: errors "
        "times sensitivities, summed over units."
    ),
    "truncated": (
        "What is learnt enters at every step. The first line is the sum over all steps; the second "
        "keeps the newest h of them."
    ),
    "hybrid": (
        "What is learnt enters at every step of the window, and through the state that the window "
        "began with."
    ),
}

GRADIENT_OTHERWISE = (
    "What is learnt enters at every step through one factor, and the copies are summed over time. "
    "Nothing new is needed: δ and ε are known by now."
)


def about(part: str, algorithm: str) -> str:
    """The sentences before the equations of a part."""
    if part == "backward":
        return BACKWARD
    if part == "gradient":
        return GRADIENT.get(algorithm, GRADIENT_OTHERWISE)
    return ABOUT.get(part, "")


def order(algorithm: str, grouped: bool) -> str:
    """In which direction an algorithm goes, and whether it leaves anything out."""
    return f"{ORDER[algorithm]} {GROUPED}" if grouped else ORDER[algorithm]
