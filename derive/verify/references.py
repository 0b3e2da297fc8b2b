"""What an algorithm must give, by ``sympy.diff`` of the network written out: no rule of learning.

An exact algorithm's gradient is the derivative of J^total of the run as it was. An approximate one
is exact for another run, in which some quantities are constants: signals older than h steps, or
what units of other groups say. That run is written out with a fresh symbol for each of them; what
the symbols stand for is put in after differentiating.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import sympy
from sympy import Expr, Symbol

from derive.network.network import Network
from derive.verify.differentials import Differentials
from derive.verify.forms import Form
from derive.verify.unrolling import Unrolled, output_columns, unrolled

Written = tuple[Unrolled, Differentials]


@dataclass(frozen=True)
class Reference:
    """The other side of a proof for one network, algorithm and number of steps.

    Attributes
    ----------
    data : dict
        theta, x, target, mask and y0 as arrays of symbols; mask entries may be 0.
    mark : str
        Goes into the names of fresh symbols, so that those of two references are two.
    stepwise : bool
        Whether a run is written with a symbol for each state, net input and intermediate at each
        time, and differentiated definition by definition, instead of in theta alone.
    defined : dict of Symbol to Expr
        What these symbols, and those of their derivatives, stand for, as far as they were needed.
    names : dict of Symbol to bool
        The symbols of states, net inputs and intermediates, and which are of net inputs.
    partials : list of Symbol
        Those of partial derivatives of definitions.
    """

    net: Network
    form: Form
    data: dict[str, Any]
    steps: int
    mark: str = ""
    stepwise: bool = False
    defined: dict[Symbol, Expr] = field(default_factory=dict)
    names: dict[Symbol, bool] = field(default_factory=dict)
    partials: list[Symbol] = field(default_factory=list)

    @cached_property
    def free(self) -> Unrolled:
        """The run of ``forward``."""
        return self._written("free", self.steps)[0]

    @cached_property
    def run(self) -> Unrolled:
        """The run that is learnt from: under teacher forcing the forced one."""
        return self._whole[0] if self.form.forced else self.free

    @cached_property
    def _whole(self) -> Written:
        if not self.form.forced:
            return self._written("free", self.steps)
        return self._written("forced", self.steps, forced=True)

    def _written(self, which: str, steps: int, **how: Any) -> Written:
        """A run, and derivatives of what is written in its symbols; once for each ``which``."""
        if which not in self._runs:
            own: dict[Symbol, Expr] = {}
            mark = f"{self.mark}_{which}"

            def name(label: str, expr: Expr, is_sum: bool) -> Expr:
                if not expr.args:
                    return expr
                symbol = Symbol(label + mark, real=True)
                own[symbol] = self.defined[symbol] = expr
                self.names[symbol] = is_sum
                return symbol

            how["name"] = name if self.stepwise else None
            run = unrolled(self.net, self.data, steps, **how)
            self._runs[which] = run, Differentials(own, self.defined, self.partials, mark)
        return self._runs[which]

    @cached_property
    def _runs(self) -> dict[str, Written]:
        return {}

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
    def length(self) -> int:
        """How many symbols, numbers and operations J^total is, each as often as it stands there."""
        lengths: dict[Expr, int] = {}

        def length(e: Expr) -> int:
            if e not in lengths:
                parts = (self.defined[e],) if e in self.defined else e.args
                lengths[e] = sum(map(length, parts)) + (e not in self.defined)
            return lengths[e]

        return length(self.run.J(0, self.steps))

    def stands_for(self, symbol: Symbol) -> Expr | None:
        """What a symbol of this reference's own stands for; None for those of the data."""
        return self.defined.get(symbol, self.meaning.get(symbol))

    @cached_property
    def gradients(self) -> list[list[Expr]]:
        """∂J^total(t₀, t)/∂θ of each window, as far as the algorithm claims it."""
        found = []
        for first, last in self.form.windows(self.steps):
            run, differentials = self._constant_in_part(last)
            J = run.J(first, last)
            found.append([self._slope(J, v, differentials) for v in self.data["theta"]])
        return found

    def _slope(self, J: Expr, v: Symbol, differentials: Differentials) -> Expr:
        return differentials.of(J, v) if self.stepwise else sympy.diff(J, v)

    def _constant_in_part(self, last: int) -> Written:
        """The run up to a window's end with what the algorithm takes as constant."""
        form = self.form
        if form.back is not None:
            past = self._symbols[: max(last - form.back, 0) + 1]
            return self._written(f"window {last}", last, forced=form.forced, past=past)
        return self._whole if form.groups is None else self._grouped

    @cached_property
    def _grouped(self) -> Written:
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

        return self._written("groups", self.steps, forced=self.form.forced, heard=heard)

    def gradient(self, name: str) -> list[Expr]:
        """The gradient of a whole sequence by ``theta``, ``x`` or ``y0``."""
        if self.form.back is None and self.form.groups is None:
            run, differentials = self._whole
            J = run.J(0, self.steps)
            return [self._slope(J, v, differentials) for v in self.data[name].reshape(-1)]
        if name != "theta":
            raise ValueError(f"an approximate gradient is by theta, not {name}")
        return [sympy.Add(*terms) for terms in zip(*self.gradients, strict=True)]
