"""A module over a batch, as a module over one sequence; and that a batch is its sequences.

Every rung draws one sequence. A module whose arrays have a last axis of sequences is given a batch
of one, and what a batch adds is claimed apart: its J and its gradients are the sums.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from derive.network.network import Network
from derive.online import block_of, state_numbers
from derive.verify.forms import Form
from derive.verify.report import Claim
from derive.verify.rounding import wrt_of
from derive.verify.samples import draw
from derive.verify.stated import depth

OFFERED = ("forward", "gradient", "start", "step", "update", "settle", "settle_back")


class OneSequence:
    """The functions of an emitted module with lanes, each called with a batch of one.

    Parameters
    ----------
    module : module
        An emitted module whose arrays have a last axis B.
    dtype : str
        Its type of number.
    """

    def __init__(self, module: Any, dtype: str) -> None:
        self.module = module
        self.dtype = np.dtype(dtype)
        if hasattr(module, "STATE"):
            self.STATE = state_numbers(module, 1)
        for name in OFFERED:
            if hasattr(module, name):
                setattr(self, name, getattr(self, f"_{name}"))

    def _wide(self, value: Any) -> Any:
        return None if value is None else np.asarray(value, self.dtype)[..., None]

    def _forward(self, theta: Any, x: Any, y0: Any = None, out: Any = None) -> Any:
        return self.module.forward(theta, self._wide(x), self._wide(y0))[..., 0]

    def _gradient(
        self,
        theta: Any,
        x: Any,
        target: Any,
        mask: Any = None,
        y0: Any = None,
        wrt: Any = None,
        out: Any = None,
    ) -> Any:
        wide = [self._wide(v) for v in (x, target, mask, y0)]
        found = self.module.gradient(theta, *wide, wrt)
        if wrt is None:
            return found
        single = {k: v[..., 0] for k in ("x", "y0") if (v := getattr(found, k)) is not None}
        return found._replace(**single)

    def _start(self, state: Any, y0: Any) -> Any:
        return self.module.start(state, self._wide(y0))

    def _step(self, state: Any, t: int, theta: Any, x: Any, target: Any, mask: Any) -> Any:
        wide = [self._wide(v) for v in (x, target, mask)]
        y, *rest = self.module.step(state, t, theta, *wide)
        return (y[:, 0], *rest)

    def _update(self, state: Any, b: int, t: int, theta: Any) -> Any:
        return self.module.update(state, b, t, theta, 1)

    def _settle(
        self, state: Any, theta: Any, x: Any, target: Any, mask: Any, tol: float, most: int
    ) -> Any:
        wide = [self._wide(v) for v in (x, target, mask)]
        y, *rest = self.module.settle(state, theta, *wide, tol, most)
        return (y[:, 0], *rest)

    def _settle_back(
        self, state: Any, theta: Any, target: Any, mask: Any, tol: float, most: int
    ) -> Any:
        wide = [self._wide(v) for v in (target, mask)]
        return self.module.settle_back(state, theta, *wide, tol, most)


def batch_claims(net: Network, module: Any, dtype: str, seed: int, form: Form) -> tuple[Claim, ...]:
    """J and each gradient of a batch against those of its sequences, one vector and one more.

    Parameters
    ----------
    module : module
        The emitted one, with lanes; not settling, whose batches relax in lockstep.
    """
    count = block_of(module) + 1
    samples = [draw(net, seed + b, dtype, form) for b in range(count)]
    theta = samples[0].theta
    stacked = {
        n: np.stack([getattr(s, n) for s in samples], axis=-1)
        for n in ("x", "target", "mask", "y0")
    }
    wrt = wrt_of(form)
    found = module.gradient(theta, *stacked.values(), wrt)
    single = OneSequence(module, dtype)
    each = [single._gradient(theta, s.x, s.target, s.mask, s.y0, wrt) for s in samples]
    wanted: dict[str, Any] = {"J": sum(float(g.J) for g in each)}
    wanted["theta"] = np.sum([g.theta for g in each], axis=0, dtype=np.float64)
    wanted |= {n: np.stack([getattr(g, n) for g in each], axis=-1) for n in wrt[1:]}
    limit = float(2 * count * samples[0].steps * depth(net) * np.finfo(dtype).eps)
    claims = []
    for name, value in wanted.items():
        got = np.asarray(getattr(found, name), np.float64)
        scale = max(1e-8, float(np.abs(value).max(initial=0)))
        worst = float(np.abs(got - value).max(initial=0)) / scale
        label = "J^total" if name == "J" else f"∂J/∂{name}"
        method = "agreement: a batch with its sequences"
        detail = f"{count} sequences of {samples[0].steps} steps, relative"
        claims.append(Claim(label, method, worst, limit, bool(worst <= limit), detail))
    return tuple(claims)
