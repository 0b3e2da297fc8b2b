"""What each known mistake is called, how it looks in code, and what to do about it.

The words alone stand here. What a mistake gives is computed on the user's numbers
(:mod:`~.variants`, :mod:`~.arrays`).
"""

from __future__ import annotations

from dataclasses import dataclass

from derive.verify.faults import FAULTS


@dataclass(frozen=True)
class Known:
    """A mistake: its title, what is then computed, what to do."""

    title: str
    explanation: str
    cure: str


def known(key: str) -> Known:
    """The words for a mistake; for a planted fault without own words, those of the fault."""
    if key in MISTAKES:
        return MISTAKES[key]
    what = FAULTS[key].what
    return Known(key.replace("_", " "), what, f"look for: {what}")


MISTAKES: dict[str, Known] = {
    # --- in the recursion -------------------------------------------------------------------
    "transpose_weight": Known(
        "W transposed in the recursion",
        "ε, or p, is carried with w_kl where w_lk belongs",
        "BPTT carries δ back with the transpose of the matrix that goes forward (W.T @ delta); "
        "RTRL carries p forward with that matrix itself (W @ p)",
    ),
    "drop_term": Known(
        "a connection left out of the recursion",
        "the last connection of each unit does not carry ε back, or p on",
        "sum over every connection; look at the range of the loop",
    ),
    "shift_time": Known(
        "off by one step: x_j(τ) for x_j(τ−1)",
        "δ_i(τ) is paired with the signal of its own step, not with the one its net input heard",
        "pair δ_i(τ) with what entered s_i(τ): y[t-1] and x[t-1] where y[t] is the new output",
    ),
    "late_error": Known(
        "error of the step before",
        "e(τ−1) is injected at τ, so every error acts one step late",
        "add e(τ) to ε(τ) before δ(τ) is taken",
    ),
    "early_error": Known(
        "error of the step after",
        "e(τ+1) is injected at τ, so every error acts one step early, and the last is lost",
        "add e(τ) to ε(τ) before δ(τ) is taken",
    ),
    "flat_partial": Known(
        "f′ forgotten",
        "δ = ε: the slope of the activation is taken for 1",
        "multiply ε_k(τ) by f′(s_k(τ))",
    ),
    "late_partial": Known(
        "f′ at the wrong time",
        "the slope is taken at s(τ−1) and not at s(τ)",
        "take f′ where δ(τ) is: with y(τ), not y(τ−1)",
    ),
    "flip_partial": Known(
        "the sign of f′", "∂y/∂s enters with the wrong sign", "check the sign of f′"
    ),
    "forward_order": Known(
        "the sweep back run forward",
        "ε is carried from the first step to the last",
        "run the loop over τ from t₁ down to t₀+1",
    ),
    "reversed_product": Known(
        "step Jacobians multiplied in forward order",
        "what reaches τ from t passes through step τ+1 first and through t last",
        "multiply the Jacobians from t down to τ+1: they do not commute",
    ),
    "drop_carry": Known(
        "a unit's own state passes nothing on",
        "the term of a leak, or of a gate's memory, is missing in ε or p",
        "add ∂y(τ)/∂y(τ−1) of the unit itself to what flows along connections",
    ),
    "stale_sum": Known(
        "a sum not cleared between steps",
        "what was gathered for one step is still there in the next",
        "set ε, or the sum for p, to zero at each step",
    ),
    "drop_direct": Known(
        "RTRL without the direct term 1{i=k}·x_j",
        "p only feeds on p, which began as zero: the gradient vanishes",
        "add x_j(t) to p of the net input of unit i itself",
    ),
    "swap_axes": Known(
        "RTRL with its axes swapped in the gradient",
        "e_k weighs p^i_kj and not p^k_ij",
        "sum over the axis of the unit whose output is differentiated: einsum('k,kij->ij', e, p)",
    ),
    "swap_axes_within": Known(
        "RTRL with its axes swapped in the recursion",
        "Σ_l w_kl p^i_lj is taken for Σ_l w_kl p^l_ij",
        "contract w with the axis of the unit that is differentiated: einsum('kl,lij->kij', W, p)",
    ),
    "short_memory": Known(
        "sensitivities overwritten while they are read",
        "p(t+1) is written over p(t) before all units have used it",
        "keep two copies of p, or one for each step of the longest delay",
    ),
    "double_count": Known(
        "each weight's term counted twice",
        "δ_i(τ)·x_j(τ−1) is added twice",
        "add it once; look for a loop in a loop",
    ),
    # --- delays, parameters -----------------------------------------------------------------
    "forget_delay": Known(
        "delays ignored in learning",
        "every delay is read as 1 on the way back, not on the way forward",
        "carry δ_k(τ + d) back along a connection of delay d, and pair it with x_l(τ − d)",
    ),
    "consistent_delay": Known(
        "delays ignored, forward and back",
        "this is the right gradient of a network in which every delay is 1",
        "let s_k(t) hear x_l(t − d)",
    ),
    "forward_delay": Known(
        "delays ignored on the way forward",
        "the signals are those of a network in which every delay is 1",
        "let s_k(t) hear x_l(t − d)",
    ),
    "forward_term": Known(
        "a connection left out of the forward pass",
        "the last connection into each unit is not heard",
        "sum over every connection; look at the range of the loop",
    ),
    "drop_parameter_gradient": Known(
        "no gradient for cell parameters",
        "weights alone have a gradient",
        "differentiate by time constants, biases and gains too",
    ),
    # --- errors, masks ----------------------------------------------------------------------
    "mask_ignored": Known(
        "mask ignored",
        "errors are injected where there is no target",
        "multiply e(t) by the mask before it enters ε",
    ),
    "mask_ignored_last": Known(
        "mask ignored at t₁",
        "the error of the last step is injected although it has no target",
        "begin the sweep with ε(t₁) = mask(t₁)·e(t₁)",
    ),
    "last_error_lost": Known(
        "the last step's error missing",
        "e(t₁) is never injected",
        "begin the sweep with ε(t₁) = e(t₁)",
    ),
    "only_last_error": Known(
        "only the last step's error",
        "errors before t₁ are never injected",
        "add e(τ) to ε(τ) at every step of the sweep",
    ),
    "next_target": Known(
        "targets one step off: d(τ+1)",
        "y(τ) is compared with the target of the step after",
        "target[t] is for y[t+1], the output computed from x[t]",
    ),
    "previous_target": Known(
        "targets one step off: d(τ−1)",
        "y(τ) is compared with the target of the step before",
        "target[t] is for y[t+1], the output computed from x[t]",
    ),
    "flip_sign": Known("y − d for d − y", "the error has the wrong sign", "take e = d − y"),
    "drop_pool": Known(
        "what is pooled held fixed",
        "a sum over units, as that of a softmax, is not differentiated through",
        "differentiate J by the pooled sum as well",
    ),
    "drop_penalty": Known(
        "no gradient of the penalty",
        "what J says of the parameters themselves is left out",
        "add the gradient of the term in parameters",
    ),
    "penalty_once": Known(
        "the penalty counted once",
        "a term in parameters stands in every J(t) and is differentiated once",
        "add its gradient at every step",
    ),
    # --- windows ----------------------------------------------------------------------------
    "truncated": Known(
        "truncated",
        "errors are carried back over h steps only: this is an approximation",
        "carry ε back to the first step, or ask for this algorithm: algorithm='truncated'",
    ),
    "not_truncated": Known(
        "not truncated as asked",
        "errors are carried back over another number of steps",
        "compare h in the code with that asked for",
    ),
    "chunked": Known(
        "chunks called BPTT(h)",
        "errors are carried back to the beginning of their chunk of h steps and no further",
        "for BPTT(h), carry each error back over the last h steps, whichever chunk they are in",
    ),
    "drop_boundary": Known(
        "hybrid without the boundary term",
        "Σ_l ε_l(t₀) p^l(t₀) is missing at each window's start: it is silently BPTT(h; h)",
        "add ε(t₀)·p(t₀), with p carried across windows",
    ),
    "drop_seed_boundary": Known(
        "hybrid whose sensitivities begin anew",
        "p at a window's end leaves out what came before the window",
        "carry p(t₀) through the window's Jacobian and add it",
    ),
    "edge_error_twice": Known(
        "error injected at t₀",
        "the error at a window's beginning, which the window before has counted, counts again",
        "inject e(τ) for t₀ < τ ≤ t only",
    ),
    "edge_error_lost": Known(
        "the error at each window's end missing",
        "e(t) at the end of a window is never injected",
        "begin each window's sweep with ε(t) = e(t)",
    ),
    "lost_remainder": Known(
        "the last window forgotten",
        "steps after the last whole window are not learnt from",
        "sweep over the remainder too",
    ),
    "cut_early": Known(
        "the sweep ended one step early",
        "the first step has no term in the gradient",
        "run τ down to t₀+1, with x(t₀) = (y0, x[0])",
    ),
    # --- forcing, batches -------------------------------------------------------------------
    "forcing_applied": Known(
        "teacher forcing applied",
        "this is the gradient when targets replace outputs",
        "let the net run free, or ask for teacher_forcing=True",
    ),
    "forcing_forgotten": Known(
        "teacher forcing forgotten",
        "this is the gradient of the net running free",
        "replace y_k(t) by d_k(t), after e(t) is taken",
    ),
    "uncut_forcing": Known(
        "derivatives through forced outputs",
        "a target that has replaced an output is treated as if it depended on the weights",
        "set ε, or p, of a forced output to zero",
    ),
    "one_sequence": Known(
        "one sequence of the batch only",
        "the gradient is that of a single sequence",
        "sum the gradients of all sequences",
    ),
    # --- what was done to a right gradient --------------------------------------------------
    "sign": Known(
        "wrong sign",
        "this is −∂J/∂θ",
        "J is maximised here: return ∂J/∂θ; if you minimise a loss −J, return (loss, gradient) "
        "or give objective=, and they are compared as such",
    ),
    "scale": Known(
        "wrong scale",
        "the gradient is a constant times the right one",
        "look for a factor in J that the gradient lacks, or the other way about",
    ),
    "nothing": Known(
        "no gradient at all",
        "every entry is zero",
        "something between theta and J is cut: a detached array, a sum that is never added",
    ),
    "transposed": Known(
        "result transposed",
        "∂J/∂w_ji stands where ∂J/∂w_ij belongs",
        "row = target unit, column = source: outer(delta, x)",
    ),
    "column_major": Known(
        "axes permuted: column by column",
        "the matrix of gradients is flattened column by column",
        "flatten row by row: one target unit after the other",
    ),
    "inputs_first": Known(
        "input lines before units",
        "columns are ordered (inputs, units) and theta is ordered (units, inputs)",
        "sources are units first, then input lines: concatenate (y, x)",
    ),
    "columns_missing": Known(
        "inputs' columns missing",
        "weights from input lines (biases among them) have no gradient",
        "pair δ with (y, x), inputs and bias included",
    ),
    "units_missing": Known(
        "recurrent columns missing",
        "weights from units have no gradient",
        "pair δ with (y, x), the units' outputs included",
    ),
}
