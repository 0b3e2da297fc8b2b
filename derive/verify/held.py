"""What is proved of a settling net: one step forward, one step back, and what is collected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import sympy
from sympy import Expr, Symbol

from derive.network.network import Network
from derive.program.interpret import SYMBOLIC, run
from derive.program.ir import Assign, Loop, Program, Statement
from derive.program.layout import lay_out
from derive.verify import faults
from derive.verify.expectation import Expectation
from derive.verify.proof import METHOD, exact
from derive.verify.report import Claim
from derive.verify.unrolling import output_columns, unrolled

Programs = Mapping[str, Program]


@dataclass(frozen=True, eq=False)
class Held:
    """A network whose signals have been alike for as long as its longest delay."""

    net: Network
    forced: bool

    @cached_property
    def symbols(self) -> dict[str, Any]:
        """One for each number: theta, x, target and mask, the states y, and ε of each."""
        n_T, states = len(self.net.objective.targets), len(self.net.states)
        counts = {"theta": self.net.size, "x": self.net.inputs, "target": n_T, "y": states,
                  "eps": states}  # fmt: skip
        found = {
            name: np.array([Symbol(f"{name}_{i}", real=True) for i in range(count)], dtype=object)
            for name, count in counts.items()
        }
        mask = [Symbol(f"mask_{j}", real=True, nonzero=True) for j in range(n_T)]
        return found | {"mask": np.array(mask, dtype=object)}

    def cases(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every target there, and the last one missing."""
        yield "", self.symbols
        mask = self.symbols["mask"].copy()
        mask[-1] = sympy.S.Zero
        yield " under a mask", {**self.symbols, "mask": mask}

    def expected(self, given: Mapping[str, Any]) -> dict[str, list[Expr]]:
        """What the equations as stated give for y, J, a step back, and the gradient."""
        D = self.net.wiring.longest_delay
        n_T = len(self.net.objective.targets)
        mask = np.full((D, n_T), sympy.S.Zero, dtype=object)
        mask[-1] = given["mask"]
        data = {
            "theta": given["theta"],
            "x": np.tile(given["x"], (D, 1)),
            "target": np.tile(given["target"], (D, 1)),
            "mask": mask,
            "y0": given["y"],
        }
        written = unrolled(self.net, data, D, past=[list(given["y"])] * D)
        after = written.y[D]
        J = written.J(D - 1, D)
        carried = J + sum(
            eps * value
            for eps, value, cut in zip(given["eps"], after, self._cut(given), strict=True)
            if not cut
        )
        return {
            "forward y": list(after),
            "J": [J],
            "(∂F/∂y)ᵀ(e + ε)": [sympy.diff(carried, v) for v in given["y"]],
            "(e + ε)ᵀ ∂F/∂theta": [sympy.diff(carried, v) for v in given["theta"]],
        }

    def _cut(self, given: Mapping[str, Any]) -> list[bool]:
        """Which states were forced: what they pass on is a constant."""
        found, columns = [False] * len(self.net.states), output_columns(self.net)
        for j, k in enumerate(self.net.objective.targets):
            found[columns[k]] = self.forced and given["mask"][j] != 0
        return found

    def computed(self, of: Programs, given: Mapping[str, Any]) -> dict[str, list[Expr]]:
        """What the Programs give for the same."""
        layout = lay_out(self.net, forced=self.forced)
        D, R = self.net.wiring.longest_delay, self.net.wiring.longest_delay + 1
        t, ready = R, {name: exact(_unmeasured(p)) for name, p in of.items()}
        row = np.full(layout.width, sympy.S.Zero, dtype=object)
        signals = layout.tables["state_column"]
        for table in ("own_column", "state_column"):
            row[layout.tables[table]] = given["y"]
        row[self.net.units : self.net.units + self.net.inputs] = given["x"]
        state: dict[str, Any] = {"z": np.tile(row, (R, 1))}

        def call(name: str, u: int = 0) -> dict[str, Any]:
            return run(ready[name], SYMBOLIC, given, {"t": t, "u": u}, state=state)

        def with_eps() -> None:
            state["eps"][:] = sympy.S.Zero
            state["eps"][signals] = given["eps"]

        y = call("relax")["y"]
        J = call("judge")["J"]
        for i in range(D):  # until every δ that a delay reaches is that of the same ε
            with_eps()
            call("relax_back", 3 * R - i)
        back = state["eps"][signals].copy()
        with_eps()
        g = call("collect", 3 * R - D)["grad_theta"]
        values = (y, J.reshape(-1), back, g)
        return dict(zip(self.expected_names, map(list, values), strict=True))

    expected_names = ("forward y", "J", "(∂F/∂y)ᵀ(e + ε)", "(e + ε)ᵀ ∂F/∂theta")

    def claims(self, of: Programs) -> list[Claim]:
        """Each of them proved, or what differs."""
        wrong: dict[str, list[str]] = {name: [] for name in self.expected_names}
        count = dict.fromkeys(self.expected_names, 0)
        for words, given in self.cases():
            computed = self.computed(of, given)
            for name, wanted in self.expected(given).items():
                for i, (a, b) in enumerate(zip(computed[name], wanted, strict=True)):
                    count[name] += 1
                    if not self._equal(a, b):
                        wrong[name].append(f"entry {i}{words}")
        return [
            Claim(
                name, METHOD, None, None, not places,
                f"{count[name]} expressions" if not places
                else f"{len(places)} of {count[name]} differ, first {places[0]}",
            )
            for name, places in wrong.items()
        ]  # fmt: skip

    @cached_property
    def _algebra(self) -> Any:
        return Expectation(self.net, 1).algebra

    def _equal(self, a: Any, b: Expr) -> bool:
        algebra = self._algebra
        return bool(algebra.is_zero(algebra.read(sympy.sympify(a)), algebra.read(b)))


def _unmeasured(program: Program) -> Program:
    """A step without the measure of its change: the largest of many symbols says nothing."""

    def kept(body: tuple[Statement, ...]) -> tuple[Statement, ...]:
        out: list[Statement] = []
        for s in body:
            if isinstance(s, Loop):
                s = replace(s, body=kept(s.body))
            if not (isinstance(s, Assign) and s.target.array == "change"):
                out.append(s)
        return tuple(out)

    return replace(program, body=kept(program.body))


def control(held: Held, right: Programs) -> Claim:
    """Every fault that changes a step's Programs, planted; the proof must catch it."""
    planted, missed, idle = [], [], []
    unchanged = [held.computed(right, given) for _, given in held.cases()]
    for name in faults.FAULTS:
        wrong = plant(right, name, held.net)
        if wrong is None or [held.computed(wrong, g) for _, g in held.cases()] == unchanged:
            idle.append(name)
            continue
        planted.append(name)
        if all(c.ok for c in held.claims(wrong)):
            missed.append(name)
    detail = f"{len(planted) - len(missed)} of {len(planted)} caught"
    detail += f"; missed: {', '.join(missed)}" if missed else ""
    detail += f"; no effect on a step of this network: {', '.join(idle)}" if idle else ""
    ok = bool(planted) and not missed
    method = "negative controls: proof"
    return Claim("planted faults", method, float(len(missed)), 0.0, ok, detail)


def plant(of: Programs, name: str, net: Network) -> dict[str, Program] | None:
    """Programs with a fault in them, or None where it has no place.

    A step back stands in no loop over time, by which faults know the way back; it gets one of a
    single turn.
    """
    back = {
        k: replace(p, body=(Loop("turn", 0, 1, p.body, "time", backward=True),))
        for k, p in of.items()
        if k in ("relax_back", "collect")
    }
    return faults.plant({**of, **back}, name, net)
