"""Negative controls: every fault planted, and which rung caught it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from derive.interpreted import Interpreted
from derive.program.ir import Program
from derive.verify import numeric
from derive.verify.faults import FAULTS, plant_all
from derive.verify.proof import Expectation, is_caught
from derive.verify.report import Claim


@dataclass(frozen=True)
class Outcome:
    """For each fault the rungs that caught it; None where it changes nothing here."""

    caught: Mapping[str, tuple[str, ...] | None]

    @property
    def missed(self) -> tuple[str, ...]:
        """Faults some rung named for them did not catch."""
        return tuple(
            name
            for name, rungs in self.caught.items()
            if rungs is not None and not set(FAULTS[name].rungs) <= set(rungs)
        )

    @property
    def claim(self) -> Claim:
        """The line of the report."""
        planted = [name for name, rungs in self.caught.items() if rungs is not None]
        idle = [name for name, rungs in self.caught.items() if rungs is None]
        k, missed = len(planted), self.missed
        detail = f"{k - len(missed)} of {k} caught"
        if missed:
            detail += f"; missed: {', '.join(missed)}"
        if idle:
            detail += f"; no effect on this network: {', '.join(idle)}"
        method = "negative controls: proof, quotients"
        ok = not missed and k > 0
        return Claim("planted faults", method, float(len(missed)), 0.0, ok, detail)


def control(
    programs: Mapping[str, Program],
    expectation: Expectation,
    laid_out: Callable[[Mapping[str, Program]], Mapping[str, Program]],
    seed: int = 0,
) -> Outcome:
    """Plant each fault in ``programs`` and let the rungs judge.

    Parameters
    ----------
    programs : mapping of str to Program
        Right ones, not yet scheduled, for the expectation's network.
    laid_out : callable
        Puts them in the schedule that is emitted, for the proof.

    Notes
    -----
    A fault that changes no output on arguments drawn at random is none on this network (w_kl for
    w_lk where there is one unit) and is listed apart; that is decided without any derivative.
    """
    net = expectation.net
    sample = numeric.draw(net, seed)
    right = Interpreted(net, programs, "float64", False)
    caught: dict[str, tuple[str, ...] | None] = {}
    for name in FAULTS:
        planted = plant_all(programs, name)
        wrong = planted and Interpreted(net, planted, "float64", False)
        if planted is None or not _matters(right, wrong, sample):
            caught[name] = None
            continue
        rungs = []
        if is_caught(laid_out(planted), expectation):
            rungs.append("proof")
        if not all(c.ok for c in numeric.quotients(net, wrong, sample, "float64", seed)):
            rungs.append("quotients")
        caught[name] = tuple(rungs)
    return Outcome(caught)


def _matters(right: Any, wrong: Any, sample: numeric.Sample) -> bool:
    a, b = (_everything(k, sample) for k in (right, wrong))
    return not np.allclose(a, b, rtol=1e-9, atol=1e-9)


def _everything(kernel: Any, sample: numeric.Sample) -> Any:
    g = kernel.gradient(**sample.arguments("gradient"), wrt=numeric.WRT)
    y = kernel.forward(**sample.arguments("forward"))
    return np.concatenate([np.ravel(v) for v in (y, g.J, g.theta, g.x, g.y0)])
