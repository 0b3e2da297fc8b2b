"""What an algorithm must give, by ``sympy.diff`` of the network written out: no rule of learning.

An exact algorithm's gradient is the derivative of J^total of the run as it was. An approximate one
is exact for another run, in which some quantities are constants: signals older than h steps, or
what units of other groups say. That run is written out with a fresh symbol for each of them; what
the symbols stand for is put in after differentiating.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sympy
from sympy import Expr, Symbol

from derive.network.network import Network
from derive.verify.forms import Form
from derive.verify.unrolling import Unrolled, output_columns, unrolled


@dataclass(frozen=True)
class Reference:
    """The other side of a proof for one network, algorithm and number of steps.

    Attributes
    ----------
    data : dict
        theta, x, target, mask and y0 as arrays of symbols; mask entries may be 0.
    mark : str
        Goes into the names of fresh symbols, so that those of two references are two.
    """

    net: Network
    form: Form
    data: dict[str, Any]
    steps: int
    mark: str = ""

    @cached_property
    def free(self) -> Unrolled:
        """The run of ``forward``."""
        return unrolled(self.net, self.data, self.steps)

    @cached_property
    def run(self) -> Unrolled:
        """The run that is learnt from: under teacher forcing the forced one."""
        if not self.form.forced:
            return self.free
        return unrolled(self.net, self.data, self.steps, forced=True)

    @cached_property
    def _symbols(self) -> list[list[Symbol]]:
        """A fresh symbol for each state at each time."""
        name = f"const{self.mark}"
        return [
            [Symbol(f"{name}_{t}_{column}", real=True) for column in range(len(row))]
            for t, row in enumerate(self.run.y)
        ]

    @cached_property
    def meaning(self) -> Mapping[Symbol, Expr]:
        """What each fresh symbol in the gradients stands for."""
        rows = self.run.y if self.form.groups is None else self.run.seen
        return {
            symbol: value
            for symbols, row in zip(self._symbols, rows, strict=True)
            for symbol, value in zip(symbols, row, strict=True)
        }

    @cached_property
    def gradients(self) -> list[list[Expr]]:
        """∂J^total(t₀, t)/∂θ of each window, as far as the algorithm claims it."""
        found = []
        for first, last in self.form.windows(self.steps):
            J = self._constant_in_part(last).J(first, last)
            found.append([sympy.diff(J, v) for v in self.data["theta"]])
        return found

    def _constant_in_part(self, last: int) -> Unrolled:
        """The run up to a window's end with what the algorithm takes as constant."""
        form = self.form
        if form.back is not None:
            past = self._symbols[: max(last - form.back, 0) + 1]
            return unrolled(self.net, self.data, last, forced=form.forced, past=past)
        return self.run if form.groups is None else self._grouped

    @cached_property
    def _grouped(self) -> Unrolled:
        """The run in which groups hear one another as constants.

        J is a sum over targets and each is in one group, so its derivative is that of the groups'
        own, summed: also where a weight is shared between them.
        """
        assert self.form.groups is not None
        member = {k: i for i, group in enumerate(self.form.groups) for k in group}
        outputs = output_columns(self.net)

        def heard(k: int, source: int, time: int) -> Expr | None:
            apart = member[k] != member[source]
            return self._symbols[time][outputs[source]] if apart else None

        return unrolled(self.net, self.data, self.steps, forced=self.form.forced, heard=heard)

    def gradient(self, name: str) -> list[Expr]:
        """The gradient of a whole sequence by ``theta``, ``x`` or ``y0``."""
        if self.form.back is None and self.form.groups is None:
            J = self.run.J(0, self.steps)
            return [sympy.diff(J, v) for v in self.data[name].reshape(-1)]
        if name != "theta":
            raise ValueError(f"an approximate gradient is by theta, not {name}")
        return [sympy.Add(*terms) for terms in zip(*self.gradients, strict=True)]
