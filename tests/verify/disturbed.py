"""Kernels that are slightly wrong, to show that a rung can fail."""

from __future__ import annotations

from typing import Any


class Disturbed:
    """A kernel with a relative error in one of its answers.

    ``where`` is y, J, theta, x, y0, "theta alone" (of what gives theta and nothing else), or
    "step y", "step J", "step theta" of an online run; "begun anew" shows only after a reset.
    """

    def __init__(self, kernel: Any, where: str, by: float) -> None:
        self.kernel, self.where, self.by = kernel, where, by

    def forward(self, *args: Any, **keywords: Any) -> Any:
        y = self.kernel.forward(*args, **keywords)
        return y * (1 + self.by) if self.where == "y" else y

    def gradient(self, *args: Any, wrt: Any = None, **keywords: Any) -> Any:
        g = self.kernel.gradient(*args, wrt=wrt, **keywords)
        if wrt is None:
            return (g[0], g[1] * (1 + self.by)) if self.where == "theta alone" else g
        if self.where in ("theta", "x", "y0", "J"):
            return g._replace(**{self.where: getattr(g, self.where) * (1 + self.by)})
        return g

    def start(self, *args: Any) -> Any:
        return DisturbedRun(self.kernel.start(*args), self.where, self.by)


class DisturbedRun:
    """An online run of one."""

    def __init__(self, online: Any, where: str, by: float) -> None:
        self.online, self.where, self.by = online, where, by

    def reset(self, y0: Any) -> None:
        self.online.reset(y0)
        if self.where == "begun anew":
            self.where = "step theta"

    def step(self, *args: Any) -> Any:
        step, by = self.online.step(*args), 1 + self.by
        match self.where:
            case "step y":
                return step._replace(y=step.y * by)
            case "step J":
                return step._replace(J=step.J * by)
            case "step theta" if step.gradient is not None:
                return step._replace(gradient=step.gradient * by)
        return step
