"""Equations written out for a network compute its gradient; what is not there is left out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sympy import Indexed, Integer

import derive
from derive.calculus import indexed as ix
from derive.calculus.derivation import derivation
from derive.calculus.form import form_of
from derive.calculus.indexed import Slope
from derive.calculus.notation import in_terminal
from derive.document.instance import Instance
from derive.document.written_out import results

EXAMPLES = Path(__file__).parents[2] / "examples"
STEPS = 3
ENDS = {ix.t0: Integer(0), ix.t1: Integer(STEPS), ix.t: Integer(STEPS)}


def delayed() -> derive.Network:
    """Three units, delays 1 and 2, a shared weight, a unit that feeds no other."""
    tied = [derive.Connection(1, 0, weight="a"), derive.Connection(2, 1, weight="a")]
    return derive.Network(
        derive.cells.semilinear("tanh"), units=3, inputs=1,
        connections=[(0, 3), (0, 2, 2), *tied, (1, 1, 2), (2, 3)],
        objective=derive.SquaredError([2]), name="delayed",
    )  # fmt: skip


def written(net: derive.Network, algorithm: str) -> tuple[Any, Instance]:
    return derivation(net, algorithm), Instance(net, form_of(net))


def lines(net: derive.Network, algorithm: str = "epochwise") -> list[str]:
    found, instance = written(net, algorithm)
    return [
        f"{in_terminal(s.left.xreplace(at))} = {in_terminal(instance(s.right, at))}"
        for s in results(found)
        for at in instance.places(s)
    ]


def test_sums_run_over_the_connections_there_are() -> None:
    said = lines(derive.Network.load(EXAMPLES / "wz3x5.toml"))
    assert (
        "s_0(τ) = w_00·x_0(τ−1) + w_01·x_1(τ−1) + w_02·x_2(τ−1) + w_03·x_3(τ−1) + w_04·x_4(τ−1)"
        in said
    )
    assert "ε_0(τ−1) = w_00·δ_0(τ) + w_10·δ_1(τ) + w_20·δ_2(τ)" in said
    assert "ε_2(τ−1) = e_2(τ−1) + w_02·δ_0(τ) + w_12·δ_1(τ) + w_22·δ_2(τ)" in said
    assert "e_0(t) = 0" in said


def test_delays_and_missing_connections_are_this_networks() -> None:
    said = lines(delayed())
    assert "s_0(τ) = w_02^(2)·x_2(τ−2) + w_03^(1)·x_3(τ−1)" in said
    assert "ε_1(τ) = w_11^(2)·δ_1(τ+2) + w_21^(1)·δ_2(τ+1)" in said
    assert not [v for v in said if v.startswith("∂J^total(t₀,t₁)/∂w_01")]


def test_a_sensitivity_that_no_path_leads_to_is_left_out() -> None:
    net = derive.Network(
        derive.cells.semilinear("tanh"), units=2, inputs=1, connections=[(0, 2), (1, 0)],
        objective=derive.SquaredError([1]), name="chain",
    )  # fmt: skip
    said = lines(net, "rtrl")
    assert [v for v in said if v.startswith("p^1_02(τ)")]
    assert not [v for v in said if v.startswith("p^0_10(τ)")]


# --- the equations as a program --------------------------------------------------------------


ALL = ("forward", "error", "backward", "gradient")


class Run:
    """Everything that the written-out equations give, in whatever order they can be computed."""

    def __init__(
        self, net: derive.Network, weights: dict[Any, Any], parts: tuple[str, ...] = ALL
    ) -> None:
        self.net, (found, self.instance) = net, written(net, "epochwise")
        self.known: dict[Any, Any] = {}
        self.weights = weights
        rng = np.random.default_rng(5)
        self.inputs = rng.normal(size=(STEPS, net.inputs))
        self.targets = rng.normal(size=(STEPS + 1, net.units))
        steps = [s for s in (*results(found), found["x"])
                 if s.part in parts and s.name != "gradient_shared"]  # fmt: skip
        todo = [(s, at, time) for s in steps for at in self.instance.places(s)
                for time in self.times(s)]  # fmt: skip
        while todo:
            left = [one for one in todo if not self.compute(*one)]
            if len(left) == len(todo):
                break
            todo = left

    def times(self, step: Any) -> range:
        return range(STEPS + 1) if {ix.tau, ix.t} & step.left.free_symbols else range(1)

    def compute(self, step: Any, at: Any, time: int) -> bool:
        now = dict(ENDS)
        if ix.tau in step.left.free_symbols:  # elsewhere a sum may run over it
            now[ix.tau] = Integer(time)
        if step.part == "error":
            now[ix.t] = Integer(time)
        key = step.left.xreplace(at).xreplace(now)
        if key in self.known:
            return True
        if step.part == "forward" and time == 0:
            return False
        right = self.instance(step.right, at).xreplace(now).doit()
        values = {}
        for v in sorted(right.atoms(Indexed), key=str):
            value = self.value(v)
            if value is None:
                return False
            values[v] = value
        self.known[key] = complex(right.xreplace(values))
        return True

    def value(self, v: Indexed) -> Any:
        name, at = str(v.base.label), [int(i) for i in v.indices]
        if v in self.known:
            return self.known[v]
        if name == "w":
            return self.weights[tuple(at)]
        if name == "d":
            return self.targets[at[1], at[0]]
        if name == "T":
            return Integer(at[1] > 0)
        if name == "x" and (at[1] < 0 or (at[1] == 0 and at[0] < self.net.units)):
            return 0
        if name == "x" and at[0] >= self.net.units:
            return self.inputs[at[1], at[0] - self.net.units]
        if name == "δ" and at[1] > STEPS:
            return 0 if self.instance.form.delayed else None
        return 0 if name[0] == "p" and at[-1] < 0 else None

    def J(self) -> Any:  # noqa: N802 - the paper's letter
        judged = range(1, STEPS + 1)
        k = self.net.objective.targets[0]
        y = [self.known[ix.signal("y")[k, Integer(t)]] for t in judged]
        return -sum((self.targets[t, k] - v) ** 2 for t, v in zip(judged, y, strict=True)) / 2


def weights_of(net: derive.Network) -> dict[Any, Any]:
    w, rng = net.wiring, np.random.default_rng(3)
    values = rng.normal(size=w.weights)
    several = len(set(w.delay.tolist())) > 1
    return {
        (int(w.target[c]), int(w.source[c]), *([int(w.delay[c])] if several else [])): values[
            w.weight[c]
        ]
        for c in range(w.size)
    }


@pytest.mark.parametrize("make", [lambda: derive.Network.load(EXAMPLES / "wz3x5.toml"), delayed])
def test_what_is_written_out_is_the_gradient(make: Callable[[], derive.Network]) -> None:
    """Against a complex step in each weight of the forward equations alone."""
    net = make()
    weights = weights_of(net)
    run = Run(net, weights)
    found = {k: v for k, v in run.known.items()
             if isinstance(k, Slope) and str(k.args[1].base.label) == "w"}  # fmt: skip
    assert len(found) == net.wiring.size
    for key, value in sorted(found.items(), key=str)[::4]:
        place = tuple(int(v) for v in key.args[1].indices)
        moved = {**weights, place: weights[place] + 1e-20j}
        quotient = Run(net, moved, ("forward",)).J().imag / 1e-20
        assert value.real == pytest.approx(quotient, rel=1e-10, abs=1e-14)


def test_forgetting_a_connection_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    net = delayed()
    before = lines(net)
    instance = Instance.connections.func  # type: ignore[attr-defined]

    def without_last(self: Instance) -> Any:
        return dict(list(instance(self).items())[:-1])

    monkeypatch.setattr(Instance, "connections", property(without_last))
    assert lines(net) != before


def test_time_stays_a_letter() -> None:
    said = lines(delayed())
    assert "∂J^total(t₀,t₁)/∂w_03^(1) = Σ_{τ=t₀+1…t₁} δ_0(τ)·x_3(τ−1)" in said
