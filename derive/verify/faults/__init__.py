"""Rung 6: mistakes planted in Programs, each of which must be caught.

A check that cannot fail is a defect, so every rung is shown programs that are wrong. A fault
rewrites statements it finds by the arrays they write and read (:mod:`~.finding`); it knows no cell
and no algorithm by name, and has no place where there is nothing to get wrong.

sweeps      signs, indices, delays and masks in the terms of learning
forward     the way forward
windows     which errors count, how far back, what came before a window
memory      what is remembered from step to step
checkpoints what is kept of a segment before it is computed again
timing      errors and slopes of another step, factors in another order
forcing     teacher forcing
judging     what is pooled over units, terms in parameters
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from derive.errors import ProgramError
from derive.program.ir import Program
from derive.verify.faults import (
    checkpoints,
    forcing,
    forward,
    judging,
    memory,
    sweeps,
    timing,
    windows,
)
from derive.verify.faults.finding import Programs, Rewrite, each, every

__all__ = ["FAULTS", "Fault", "plant"]


@dataclass(frozen=True)
class Fault:
    """A mistake someone could make.

    ``rungs`` names those that must catch it, where they apply: ``proof`` compares with the
    equations as stated, ``quotients`` compares an exact gradient of a sequence with differences of
    the forward pass, ``steps`` compares an online run with the sequence and with itself begun anew.
    """

    name: str
    what: str
    rungs: tuple[str, ...]
    rewrite: Rewrite


def plant(programs: Programs, name: str, net: Any) -> dict[str, Program] | None:
    """A kernel's Programs with a fault in them, or None where it has no place.

    Parameters
    ----------
    programs : mapping of str to Program
        As an algorithm makes them, before a schedule lays them out. Those without a place for the
        fault stay the objects they are.
    name : str
        One of :data:`FAULTS`.
    net : Network
        The programs'.

    Raises
    ------
    ProgramError
        For an unknown name.
    """
    if name not in FAULTS:
        raise ProgramError(f"plant: unknown fault {name!r}; there are {', '.join(FAULTS)}")
    found = FAULTS[name].rewrite(programs, net)
    if found is None:
        return None
    return {
        k: p if p is programs[k] else replace(p, notes=(*p.notes, f"planted: {name}"))
        for k, p in found.items()
    }


BOTH, PROOF, STEPS = ("proof", "quotients"), ("proof",), ("proof", "steps")

FAULTS: dict[str, Fault] = {
    f.name: f
    for f in (
        Fault("drop_term", "one connection's term left out of a sum for ε or p", BOTH,
              each(sweeps.drop_term)),
        Fault("transpose_weight", "w_kl for w_lk in a sum for ε or p", BOTH,
              every(sweeps.transpose_weight)),
        Fault("shift_time", "δ(τ), or 1{i=k}, paired with the signal one step late", BOTH,
              each(sweeps.shift_time)),
        Fault("flip_sign", "y − d for d − y in the injected error", BOTH, each(sweeps.flip_sign)),
        Fault("flip_partial", "the sign of ∂y/∂s", BOTH, each(sweeps.flip_partial)),
        Fault("forget_delay", "every delay read as 1 in what is learnt", BOTH,
              every(sweeps.forget_delay)),
        Fault("late_delay", "δ or p read one step off its delay", BOTH, each(sweeps.late_delay)),
        Fault("ignore_mask", "the error taken where there is no target", BOTH,
              each(sweeps.ignore_mask)),
        Fault("ignore_last_mask", "the mask ignored at t₁ only", BOTH,
              every(sweeps.ignore_last_mask)),
        Fault("drop_parameter_gradient", "no gradient for cell parameters", BOTH,
              each(sweeps.drop_parameter_gradient)),
        Fault("drop_carry", "nothing passes through a unit's own state", BOTH,
              each(sweeps.drop_carry)),
        Fault("stale_sum", "the sum for ε or p not cleared between steps", BOTH,
              each(sweeps.stale_sum)),
        Fault("double_count", "each weight's term added twice", BOTH, each(sweeps.double_count)),
        Fault("forward_order", "step Jacobians multiplied in forward order", BOTH,
              each(sweeps.forward_order)),
        Fault("drop_direct", "sensitivities without the term 1{i=k}·x_j", BOTH,
              each(sweeps.drop_direct)),
        Fault("swap_rows", "the sensitivities of another unit read", BOTH,
              every(memory.swap_rows)),
        Fault("swap_axes", "p^i_kj read for p^k_ij in the gradient", BOTH,
              every(memory.swap_axes)),
        Fault("swap_axes_within", "p^i_kj carried on for p^k_ij", BOTH,
              every(memory.swap_axes_within)),
        Fault("late_error", "e(τ−1) injected at τ", BOTH, each(timing.late_error)),
        Fault("early_error", "e(τ+1) injected at τ", BOTH, each(timing.early_error)),
        Fault("flat_partial", "∂y/∂s taken for 1", BOTH, each(timing.flat_partial)),
        Fault("late_partial", "∂y/∂s of the step before", BOTH, each(timing.late_partial)),
        Fault("reversed_product", "the Jacobians between two steps in the opposite order", BOTH,
              every(timing.reversed_product)),
        Fault("short_memory", "sensitivities kept one step too short", BOTH,
              each(memory.short_memory)),
        Fault("stale_part", "terms of some steps counted again with those of the next", BOTH,
              each(memory.stale_part)),
        Fault("stale_sensitivities", "sensitivities not cleared at the start", STEPS,
              memory.stale_sensitivities),
        Fault("stale_history", "signals before time 0 not cleared at the start", STEPS,
              memory.stale_history),
        Fault("edge_error_twice", "the error at a window's edge counted twice", BOTH,
              windows.edge_error_twice),
        Fault("edge_error_lost", "the error at a window's end lost", BOTH,
              windows.edge_error_lost),
        Fault("swap_windows", "h and h′ swapped: all errors of the sweep count", PROOF,
              windows.swap_windows),
        Fault("chunked", "chunks BPTT(h; h) passed off as BPTT(h)", PROOF, windows.chunked),
        Fault("cut_early", "a sweep back ended one step early", BOTH, windows.cut_early),
        Fault("lost_remainder", "a last window that is not whole forgotten", BOTH,
              each(windows.lost_remainder)),
        Fault("drop_boundary", "Σ ε·p at a window's start left out: BPTT(h; h)", BOTH,
              each(windows.drop_boundary)),
        Fault("drop_seed_boundary", "sensitivities begun anew in each window", BOTH,
              each(windows.drop_seed_boundary)),
        Fault("early_checkpoint", "a segment restored as it was one step before its start", BOTH,
              each(checkpoints.early_checkpoint)),
        Fault("swap_checkpoints", "the checkpoint of the segment before restored", BOTH,
              each(checkpoints.swap_checkpoints)),
        Fault("short_checkpoint", "of a checkpoint only the newest step restored", BOTH,
              each(checkpoints.short_checkpoint)),
        Fault("drop_later", "the signals after a segment not kept for it", BOTH,
              each(checkpoints.drop_later)),
        Fault("uncut_forcing", "derivatives flow through a forced output", BOTH,
              each(forcing.uncut_forcing)),
        Fault("forget_forcing", "the free run learnt from", BOTH, each(forcing.forget_forcing)),
        Fault("error_after_forcing", "an output judged after its target replaced it", BOTH,
              every(forcing.error_after_forcing)),
        Fault("drop_pool", "what is pooled over units held fixed", BOTH, each(judging.drop_pool)),
        Fault("stale_pool", "a sum over units not cleared between steps", BOTH,
              each(judging.stale_pool)),
        Fault("unmasked_pool", "terms without a target counted in J's derivative by a sum", BOTH,
              each(judging.unmasked_pool)),
        Fault("drop_penalty", "no gradient of terms in parameters", BOTH,
              each(judging.drop_penalty)),
        Fault("penalty_once", "the gradient of terms in parameters once a sweep", BOTH,
              every(judging.penalty_once)),
        Fault("forward_term", "a connection left out of the forward pass", BOTH,
              each(forward.forward_term)),
        Fault("forward_delay", "every delay read as 1 in the forward pass", BOTH,
              every(forward.forward_delay)),
        Fault("consistent_delay", "every delay read as 1, forward and in learning", PROOF,
              every(forward.consistent_delay)),
    )
}  # fmt: skip
