"""Negative controls: every fault planted, and which rung caught it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from derive.network.network import Network
from derive.program.algorithms import programs
from derive.program.ir import Program
from derive.verify import samples
from derive.verify.agreement import steps_agree
from derive.verify.differences import Slopes, learnt_run, quotients
from derive.verify.expectation import Expectation
from derive.verify.faults import FAULTS, plant
from derive.verify.forms import Form, form_of
from derive.verify.kernels import on_numpy, run_steps
from derive.verify.online_runs import ONLINE
from derive.verify.proof import is_caught
from derive.verify.report import Claim
from derive.verify.rounding import wrt_of
from derive.verify.samples import Sample

RUNGS = ("proof", "quotients", "steps")


@dataclass(frozen=True)
class Outcome:
    """For each fault the rungs that caught it; None where it changes nothing here.

    ``rungs`` are those that apply to the algorithm.
    """

    caught: Mapping[str, tuple[str, ...] | None]
    rungs: tuple[str, ...] = RUNGS

    @property
    def missed(self) -> dict[str, set[str]]:
        """Faults with the rungs named for them, and at hand, that did not catch them."""
        missing = {
            name: named(name, self.rungs) - set(rungs)
            for name, rungs in self.caught.items()
            if rungs is not None
        }
        return {name: rungs for name, rungs in missing.items() if rungs}

    @property
    def claim(self) -> Claim:
        """The line of the report: every fault is caught by a rung named for it.

        A proof on few steps need not see what takes many to show; then another rung must.
        """
        planted = [name for name, rungs in self.caught.items() if rungs is not None]
        idle = [name for name, rungs in self.caught.items() if rungs is None]
        uncaught = [name for name in self.missed if not self.caught[name]]
        k = len(planted)
        detail = f"{k - len(uncaught)} of {k} caught"
        if uncaught:
            detail += f"; missed: {', '.join(uncaught)}"
        for name, rungs in self.missed.items():
            if name not in uncaught:
                detail += f"; {name} not by {' or '.join(sorted(rungs))}"
        if idle:
            detail += f"; no effect on this network: {', '.join(idle)}"
        method = f"negative controls: {', '.join(self.rungs)}"
        ok = not uncaught and k > 0
        return Claim("planted faults", method, float(len(uncaught)), 0.0, ok, detail)


def named(fault: str, rungs: Sequence[str] = RUNGS) -> set[str]:
    """The rungs that must catch a fault, of those at hand."""
    return set(FAULTS[fault].rungs) & set(rungs)


@dataclass(frozen=True, eq=False)
class Right:
    """A network with its right Programs, and what wrong ones are judged by.

    Attributes
    ----------
    expectation : Expectation
        For the proof; it says the network and the algorithm.
    laid_out : callable
        Puts Programs in the schedule that is emitted, for the proof.
    """

    expectation: Expectation
    laid_out: Callable[[Mapping[str, Program]], Mapping[str, Program]] = dict
    seed: int = 0

    @property
    def net(self) -> Network:
        """The network."""
        return self.expectation.net

    @property
    def form(self) -> Form:
        """What the algorithm claims to give."""
        return form_of(self.expectation.algorithm)

    @cached_property
    def programs(self) -> dict[str, Program]:
        """Right ones, not yet scheduled."""
        return programs(self.net, self.expectation.algorithm)

    @cached_property
    def sample(self) -> Sample:
        """Arguments for the numeric rungs."""
        return samples.draw(self.net, self.seed, form=self.form)

    def kernel(self, of: Mapping[str, Program]) -> Any:
        """Programs as a kernel."""
        return on_numpy(self.net, of, self.expectation.algorithm, "float64")

    @cached_property
    def slopes(self) -> Slopes:
        """Difference quotients of the right forward pass."""
        run = learnt_run(self.net, self.kernel(self.programs), self.sample, self.form)
        return Slopes(self.net, run, self.sample, "float64")

    @cached_property
    def values(self) -> Any:
        """Everything the right kernel gives."""
        return self._everything(self.kernel(self.programs))

    @property
    def rungs(self) -> tuple[str, ...]:
        """The rungs that apply."""
        exact = self.form.is_exact(self.sample.steps)
        there = {"quotients": exact, "steps": self.form.online(self.sample.steps) > 0}
        return tuple(rung for rung in RUNGS if there.get(rung, True))

    def judge(self, fault: str) -> tuple[str, ...] | None:
        """The rungs named for a fault that catch it; None where it changes nothing."""
        wrong = plant(self.programs, fault, self.net)
        if wrong is None:
            return None
        kernel = self.kernel(wrong)
        if np.allclose(self._everything(kernel), self.values, rtol=1e-9, atol=1e-9):
            return None
        checks = {
            "proof": lambda: is_caught(self.laid_out(self._other(wrong)), self.expectation),
            "quotients": lambda: self._off(kernel, wrong),
            "steps": lambda: (
                not _all_ok(steps_agree(self.net, kernel, self.sample, "float64", self.form))
            ),
        }
        asked = named(fault, self.rungs)
        return tuple(rung for rung in RUNGS if rung in asked and checks[rung]())

    def _other(self, wrong: Mapping[str, Program]) -> dict[str, Program]:
        """The functions with a fault in them, and all of an online run if it is in one of its."""
        found = {k for k, p in wrong.items() if p is not self.programs[k]}
        online = set(ONLINE) & set(wrong)
        return {
            k: p for k, p in wrong.items() if k in (found | online if found & online else found)
        }

    def _off(self, kernel: Any, wrong: Mapping[str, Program]) -> bool:
        same = self.form.forced or wrong["forward"] is self.programs["forward"]
        slopes = self.slopes if same else None
        net, form = self.net, self.form
        return not _all_ok(quotients(net, kernel, self.sample, "float64", form, slopes))

    def _everything(self, kernel: Any) -> Any:
        sample = self.sample
        g = kernel.gradient(**sample.arguments("gradient"), wrt=wrt_of(self.form))
        found = [kernel.forward(**sample.arguments("forward")), g.J, g.theta]
        found += [getattr(g, name) for name in wrt_of(self.form)[1:]]
        if self.form.online(sample.steps):
            online = kernel.start(sample.theta, sample.y0)
            for _ in range(2):  # what one run left may spoil the next
                run = run_steps(kernel, sample, self.form.online(sample.steps), online)
                found += [*run.y, *run.J, *run.gradients]
        return np.concatenate([np.ravel(v) for v in found])


def _all_ok(claims: Sequence[Claim]) -> bool:
    return all(c.ok for c in claims)


def control(cases: Sequence[Right]) -> Outcome:
    """Plant each fault and let the rungs judge.

    Parameters
    ----------
    cases : sequence of Right
        Forms of one algorithm on one network. A fault is caught by a rung that catches it in any:
        what happens at the edge of the third window short ones alone show.

    Notes
    -----
    A fault that changes no output on arguments drawn at random is none on this network (w_kl for
    w_lk where there is one unit) and is listed apart; that is decided without any derivative.
    """
    caught: dict[str, tuple[str, ...] | None] = {}
    rungs = cases[0].rungs
    for name in FAULTS:
        found: set[str] | None = None
        for case in cases:
            if found is not None and named(name, rungs) <= found:
                break
            judged = case.judge(name)
            if judged is not None:
                found = (found or set()) | set(judged)
        caught[name] = None if found is None else tuple(r for r in RUNGS if r in found)
    return Outcome(caught, rungs)
