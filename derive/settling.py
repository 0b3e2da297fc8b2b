"""A settling kernel's functions: relax each pattern to its fixed point, and ε there.

Each row x[t] is one pattern, held until the net has settled; y[t+1] is the fixed point, from which
the next pattern's relaxation begins. J is the sum over patterns.
"""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np

from derive.errors import ConvergenceError
from derive.interpreted import Gradient, Interpreted
from derive.online import aligned, block_of, state_numbers

Settled = namedtuple(
    "Settled", ["y", "J", "gradient", "steps", "change", "steps_back", "change_back"]
)
Settled.__doc__ = """One pattern at its fixed point.

y (N[, B]), J, ∂J/∂theta (P,), and for the way forward and the way back the steps it took and the
largest change in the last of them. A batch settles in lockstep."""

TOLERANCE = {"float64": 1e-10, "float32": 1e-5}
"""What ``tol`` is if not given."""

POWER = 60
"""Steps of relaxing ε between two looks at its change, for the spectral radius."""


class Settling:
    """``forward``, ``gradient`` and ``step`` of a settling kernel, over one step's functions.

    Parameters
    ----------
    functions : module or Interpreted
        ``start``, ``settle``, ``settle_back`` and ``STATE``.
    tol : float or None
        Largest change of a state, and of an ε, that counts as none; by the type if None.
    max_steps : int
        Steps each way before it counts as not settling.
    """

    def __init__(
        self,
        net: Any,
        functions: Any,
        dtype: str,
        batch: bool,
        tol: float | None,
        max_steps: int,
    ) -> None:
        self.net, self.functions = net, functions
        self.tol = TOLERANCE[dtype] if tol is None else tol
        self.max_steps = max_steps
        self.STATE, self.BLOCK = functions.STATE, block_of(functions)
        self.check = Interpreted(net, {}, dtype, batch, "settling")
        self.relaxation: Settled | None = None

    def start(self, state: Any, y0: Any) -> None:
        """Set the state to ``y0``, with nothing before."""
        self.functions.start(state, y0)

    def settle(self, state: Any, theta: Any, x: Any, target: Any, mask: Any) -> Settled:
        """Relax one pattern and its ε.

        Raises
        ------
        ConvergenceError
            When either does not settle; ``state`` is then as it was.
        """
        before = state.copy()
        tol, most = self.tol, self.max_steps
        y, steps, change = self.functions.settle(state, theta, x, target, mask, tol, most)
        if not change <= tol:
            error = self._not_settled("the net", steps, change, state, theta, target, mask)
            state[...] = before
            raise error
        J, g, back, last = self.functions.settle_back(state, theta, target, mask, tol, most)
        if not last <= tol:
            error = self._not_settled("ε", back, last, state, theta, target, mask)
            state[...] = before
            raise error
        return Settled(y, J, g, int(steps), float(change), int(back), float(last))

    def step(
        self, state: Any, t: int, theta: Any, x: Any, target: Any, mask: Any
    ) -> tuple[Any, float, Any]:
        """One pattern, as an online run takes it."""
        self.relaxation = self.settle(state, theta, x, target, mask)
        return self.relaxation[:3]

    def forward(self, theta: Any, x: Any, y0: Any = None, out: Any = None) -> Any:
        """The fixed points: y (T+1, N[, B]), y[0] the initial state."""
        inputs, T, lanes = self.check.read(theta, x, y0)
        y = self.check.result("y", out, (T + 1, len(self.net.states), *lanes), inputs)
        target = np.zeros((T, len(self.net.objective.targets), *lanes), self.check.dtype)
        found = self._patterns(inputs, target, target)
        y[0] = inputs["y0"]
        for t, pattern in enumerate(found):
            y[t + 1] = pattern.y
        return y

    def gradient(
        self,
        theta: Any,
        x: Any,
        target: Any,
        mask: Any = None,
        y0: Any = None,
        wrt: Any = None,
        out: Any = None,
    ) -> Any:
        """J and its gradient by theta, summed over patterns."""
        inputs, T, lanes = self.check.read(theta, x, y0)
        judged = self.check.targets(target, mask, T, lanes)
        _, outs = self.check.wanted(wrt, out)
        read = inputs | judged
        result = self.check.result("theta", outs.get("theta"), (self.net.size,), read)
        target = judged["target"]
        found = self._patterns(inputs, target, np.broadcast_to(judged["mask"], target.shape))
        J = float(sum(pattern.J for pattern in found))
        result[...] = np.sum([pattern.gradient for pattern in found], axis=0)
        return (J, result) if wrt is None else Gradient(J, result, None, None)

    def _patterns(self, inputs: Any, target: Any, mask: Any) -> list[Settled]:
        lanes = inputs["y0"].shape[1:]
        state = self._state(lanes)
        self.start(state, inputs["y0"])
        return [
            self.settle(state, inputs["theta"], inputs["x"][t], target[t], mask[t])
            for t in range(len(inputs["x"]))
        ]

    def _state(self, lanes: tuple[int, ...]) -> Any:
        return aligned(state_numbers(self, lanes[0] if lanes else None), self.check.dtype)

    def _not_settled(
        self, what: str, steps: int, change: float, state: Any, theta: Any, target: Any, mask: Any
    ) -> ConvergenceError:
        radius = self._spectral_radius(state, theta, target, mask)
        said = f"settling: {what} has not settled after {steps} steps: "
        said += f"the last changed a {'state' if what == 'the net' else 'number'} by {change:.3g}, "
        said += f"more than tol = {self.tol:.3g}"
        if radius is None:
            said += "; raise max_steps or tol, or give the net smaller weights"
        elif radius >= 1:
            said += (
                f". The spectral radius of a step's Jacobian is about {radius:.3g} there: at 1 and "
                "above, relaxing diverges or goes on in circles, forward and back alike; give the "
                "net smaller weights or longer time constants"
            )
        elif steps > 2 * (needed := np.log(self.tol or 1e-300) / np.log(radius or 1e-300)):
            said += (
                f". The spectral radius of a step's Jacobian is about {radius:.3g} where it "
                "stopped, so it is not slow but goes on in circles; give the net smaller weights "
                "or longer time constants"
            )
        else:
            said += (
                f". The spectral radius of a step's Jacobian is about {radius:.3g} there: it "
                f"settles in the order of {int(np.ceil(needed))} steps; raise max_steps"
            )
        return ConvergenceError(said, steps=int(steps), residual=float(change), radius=radius)

    def _spectral_radius(self, state: Any, theta: Any, target: Any, mask: Any) -> float | None:
        """How the changes of ε grow a step, relaxed from where the net is: power iteration.

        Relaxing ε multiplies its changes by the transposed Jacobian. None where that says nothing:
        no error flows back, or the state is not finite.
        """
        changes = []
        for steps in (1, POWER, 2 * POWER):
            kept = state.copy()
            changes.append(self.functions.settle_back(kept, theta, target, mask, -1.0, steps)[3])
        first, early, late = changes
        if not np.isfinite(changes).all() or first == 0:
            return None
        if late == 0:  # below the last place of what it is added to
            return 0.0
        return float((late / early) ** (1 / POWER))
