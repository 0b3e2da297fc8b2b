"""What weights are called in pictures: w_ij as derivations write it, θ_a where one is shared."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sympy import Integer

from derive.calculus.form import Form, NetInput, Unit
from derive.calculus.notation import in_terminal
from derive.network.network import Network


@dataclass(frozen=True, eq=False)
class Names:
    """The letters of a network's connections.

    Attributes
    ----------
    net : Network
    form : Form
        The network in index form; its letters are those of the derivation.
    """

    net: Network
    form: Form

    @cached_property
    def uses(self) -> Any:
        """How many connections carry each distinct weight."""
        return np.bincount(self.net.wiring.weight)

    def unit(self, k: int) -> Unit:
        """The cell of a unit, in index form."""
        return self.form.units[int(self.net.cell_index[k])]

    def port(self, place: int) -> NetInput:
        """The net input that a connection leads into."""
        w = self.net.wiring
        unit = self.unit(int(w.target[place]))
        return unit.of_net_input[unit.local.net_inputs[int(w.port[place])]]

    def shared(self, place: int) -> bool:
        """Whether another connection carries the same weight."""
        return bool(self.uses[self.net.wiring.weight[place]] > 1)

    def weight(self, place: int) -> str:
        """The name of a connection's weight."""
        w = self.net.wiring
        if self.shared(place):
            return f"θ_{int(w.weight[place])}"
        at = (Integer(int(a[place])) for a in (w.target, w.source, w.delay))
        return in_terminal(self.port(place).w[self.form.at(*at)])
