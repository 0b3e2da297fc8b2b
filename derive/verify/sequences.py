"""The ladder for algorithms that give gradients over time: every rung, in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from derive.errors import ProgramError
from derive.network.network import Network
from derive.program.algorithms import programs
from derive.program.ir import Program
from derive.verify import agreement, controls, differences, faults, rounding, samples
from derive.verify.ask import Ask, layout_of
from derive.verify.expectation import Expectation
from derive.verify.forms import form_of
from derive.verify.induction.claim import inductions
from derive.verify.kernels import on_numpy
from derive.verify.paths import learns
from derive.verify.proof import prove
from derive.verify.report import Claim, scoped
from derive.verify.witness import Witness, witnesses


def claims(net: Network, algorithm: Mapping[str, Any], ask: Ask) -> tuple[Claim, ...]:
    """Every claim about a network's kernel, checked.

    Raises
    ------
    ProgramError
        For an unknown fault to plant, or one that has no place in this network's Programs.
    """
    mine = programs(net, algorithm)
    kernel = ask.kernel
    if ask.plant is not None:
        wrong = faults.plant(mine, ask.plant, net)
        if wrong is None:
            raise ProgramError(f"plant: {ask.plant!r} has no place in the Programs of {net.name}")
        mine, kernel = wrong, on_numpy(net, wrong, algorithm, ask.dtype)
    elif kernel is None and ask.numeric:
        kernel = ask.compiled(net, algorithm)
    found = witnesses(net, algorithm)
    expectations = [Expectation(w.net, w.steps, w.algorithm) for w in found]
    return (
        *ask.rung("induction", lambda: inductions(net, algorithm, ask)),
        *ask.rung("proof", lambda: _proofs(net, algorithm, found, expectations, ask)),
        *_numbers(net, kernel, mine, algorithm, ask),
        *ask.rung("controls", lambda: _controls(net, algorithm, expectations, ask)),
    )


def _proofs(
    net: Network,
    algorithm: Mapping[str, Any],
    found: tuple[Witness, ...],
    expectations: list[Expectation],
    ask: Ask,
) -> list[Claim]:
    claims: list[Claim] = []
    laid_out = layout_of(net, algorithm, ask)
    for i, (w, expectation) in enumerate(zip(found, expectations, strict=True)):
        ask.tell(f"proving on {w.words}")
        several = f"witness {i + 1}: " if len(found) > 1 else ""
        right = programs(w.net, w.algorithm)
        planted = None if ask.plant is None else faults.plant(right, ask.plant, w.net)
        made = prove(laid_out(planted or right), expectation, several)
        told = Claim("proved on", "witness", None, None, True, several + w.words)
        claims += scoped((*made, told), w.scope)
    return claims


def _numbers(
    net: Network,
    kernel: Any,
    mine: Mapping[str, Program],
    algorithm: Mapping[str, Any],
    ask: Ask,
) -> list[Claim]:
    form, dtype = form_of(algorithm), ask.dtype
    if not ask.numeric:
        return []
    ask.tell("drawing arguments")
    sample = samples.draw(net, ask.seed, dtype, form)

    def digits() -> Iterator[Claim]:
        ask.tell("comparing with 50 digits")
        yield from rounding.rounding(net, kernel, mine, sample, dtype, form)
        yield rounding.stated_claim(net, kernel, sample, dtype)

    def quotients() -> Iterator[Claim]:
        if not form.is_exact(sample.steps):
            return
        ask.tell("comparing with difference quotients")
        run = differences.learnt_run(net, kernel, sample, form)
        slopes = differences.Slopes(net, run, sample, dtype, ask.seed)
        yield from differences.quotients(net, kernel, sample, dtype, form, slopes)
        yield from differences.complex_step(net, mine["forward"], kernel, sample, dtype, form)

    def agreements() -> Iterator[Claim]:
        ask.tell("comparing algorithms")
        yield from agreement.steps_agree(net, kernel, sample, dtype, form)
        yield from agreement.with_epochwise(net, kernel, algorithm, sample, dtype, ask.seed)

    rungs = {"rounding": digits, "quotients": quotients, "agreement": agreements}
    claims = [claim for name, climb in rungs.items() for claim in ask.rung(name, climb)]
    return list(scoped(claims, f"these weights, T = {sample.steps}"))


def _controls(
    net: Network, algorithm: Mapping[str, Any], expectations: list[Expectation], ask: Ask
) -> list[Claim]:
    first = expectations[0].net
    if ask.plant is not None or not learns(first, expectations[0].steps):
        return []  # where nothing is learnt there is nothing to get wrong
    ask.tell("planting faults")
    laid_out = layout_of(net, algorithm, ask)
    cases = [controls.Right(e, laid_out, ask.seed) for e in expectations if e.net is first]
    steps = max(e.steps for e in expectations)
    return list(scoped([controls.control(cases).claim], f"{first.units} units, {steps} steps"))
