"""A kernel's functions without a compiler: the same Programs, run on NumPy arrays."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Mapping
from typing import Any

import numpy as np

from derive.network.network import Network
from derive.program.interpret import numpy_arithmetic, run
from derive.program.ir import Program
from derive.program.state import state_arrays, state_size
from derive.threads import checked_threads

Gradient = namedtuple("Gradient", ["J", "theta", "x", "y0"])
WRT = ("theta", "x", "y0")


class Interpreted:
    """``forward`` and ``gradient`` with the signatures and checks of an emitted module."""

    def __init__(
        self,
        net: Network,
        programs: Mapping[str, Program],
        dtype: str,
        batch: bool,
        algorithm: str = "epochwise",
    ) -> None:
        self.net, self.programs, self.algorithm = net, programs, algorithm
        self.dtype, self.batch = np.dtype(dtype), batch
        self.arithmetic = numpy_arithmetic(self.dtype)
        if "start" in programs:
            self.STATE = state_size(programs)

    def forward(
        self,
        theta: Any,
        x: Any,
        y0: Any = None,
        out: Any = None,
        history: Any = None,
        threads: Any = 1,
    ) -> Any:
        """States of every step: y (T+1, N[, B]); ``threads`` is checked and changes nothing."""
        inputs, T, lanes = self.read(theta, x, y0)
        checked_threads(threads)
        inputs |= self.past(history, lanes)
        shape = (T + 1, len(self.net.states), *lanes)
        y = self.result("y", out, shape, inputs)
        with np.errstate(all="ignore"):
            result = run(self.programs["forward"], self.arithmetic, inputs, {"T": T}, lanes)
        y[...] = result["y"]
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
        history: Any = None,
        threads: Any = 1,
    ) -> Any:
        """J^total and its gradient; J is maximised."""
        inputs, T, lanes = self.read(theta, x, y0)
        inputs |= self.past(history, lanes)
        inputs |= self.targets(target, mask, T, lanes)
        names, outs = self.wanted(wrt, out)
        checked_threads(threads)
        shapes = {
            "theta": (self.net.size,),
            "x": (T, self.net.inputs, *lanes),
            "y0": (len(self.net.states), *lanes),
        }
        results: dict[str, Any] = {}
        for name in WRT:
            if name in names:
                read = {**inputs, **results}
                results[name] = self.result(name, outs.get(name), shapes[name], read)
        by_row = int(mask is not None or self._late)
        sizes = {"T": T, "mask_step": by_row, "mask_rows": len(inputs["mask"])}
        which = "gradient" if names == ("theta",) else "gradient_all"
        with np.errstate(all="ignore"):
            r = run(self.programs[which], self.arithmetic, inputs, sizes, lanes)
        if lanes:
            r["J"], r["grad_theta"] = r["J"].sum(), r["grad_theta"].sum(axis=-1)
        for name, array in results.items():
            array[...] = r[f"grad_{name}"]
        J = float(r["J"])
        if wrt is None:
            return J, results["theta"]
        return Gradient(J, *(results.get(name) for name in WRT))

    def past(self, history: Any, lanes: tuple[int, ...]) -> dict[str, Any]:
        """The history, checked; zero if none is given."""
        if not self.net.lookback:
            return {}
        shape = (self.net.lookback, len(self.net.states) + self.net.inputs, *lanes)
        if history is None:
            return {"history": np.zeros(shape, dtype=self.dtype)}
        B = f", B={lanes[0]}" if lanes else ""
        symbols = f"(D−1={shape[0]}, N+m={shape[1]}{B})"
        return {"history": self._array("history", history, shape, symbols)}

    def start(self, state: Any, y0: Any, history: Any = None) -> None:
        """Set the state to that before the first step."""
        states = len(self.net.states)
        shape, symbols = ((states, -1), "B") if self.batch else ((states,), "")
        y0 = self._array("y0", y0, shape, f"(N={states}, {symbols})".replace(", )", ",)"))
        kept = self._state("start", state, y0.shape[1:])
        given = {"y0": y0, **self.past(history, y0.shape[1:])}
        with np.errstate(all="ignore"):
            run(self.programs["start"], self.arithmetic, given, {}, y0.shape[1:], kept)

    @property
    def _late(self) -> bool:
        """Whether some targets are at the end of a sequence, where no mask is given."""
        return any(self.net.objective.ends)

    def targets(self, target: Any, mask: Any, T: int, lanes: tuple[int, ...]) -> dict[str, Any]:
        """Targets and mask, checked; without a mask one row of ones, or as the objective says."""
        n_T = len(self.net.objective.targets)
        B = f", B={lanes[0]}" if lanes else ""
        shape, symbols = (T, n_T, *lanes), f"(T={T}, n_T={n_T}{B})"
        target = self._array("target", target, shape, symbols)
        if mask is None:
            given = self.net.objective.default_mask(T if self._late else 1, self.dtype)
            ones = np.ones((1, 1, *lanes), dtype=self.dtype)
            return {
                "target": target,
                "mask": given.reshape(*given.shape, *(1,) * len(lanes)) * ones,
            }
        return {"target": target, "mask": self._array("mask", mask, shape, symbols)}

    def wanted(self, wrt: Any, out: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
        """What to differentiate by, as far as the algorithm does."""
        names, outs = _wanted(wrt, out)
        if names != ("theta",) and "gradient_all" not in self.programs:
            raise ValueError(
                f"wrt: algorithm {self.algorithm} gives the gradient by theta only, got {names}; "
                "epochwise gives x and y0"
            )
        return names, outs

    def _row(self, theta: Any, x: Any, target: Any, mask: Any) -> dict[str, Any]:
        """One row of what is given; x is None where it is not wanted."""
        m, n_T = self.net.inputs, len(self.net.objective.targets)
        given = {"theta": self._array("theta", theta, (self.net.size,), f"(P={self.net.size},)")}
        tail = (-1,) if self.batch else ()
        B = "B" if self.batch else ""
        if x is not None:
            x = self._array("x_t", x, (m, *tail), f"(m={m}, {B})".replace(", )", ",)"))
            given["x"], tail = x, x.shape[1:]
            B = f"B={tail[0]}" if tail else ""
        symbols = f"(n_T={n_T}, {B})".replace(", )", ",)")
        given["target"] = self._array("target_t", target, (n_T, *tail), symbols)
        shape = given["target"].shape
        if mask is None:
            given["mask"] = np.ones(shape, dtype=self.dtype)
            given["mask"][list(self.net.objective.ends)] = 0
        else:
            given["mask"] = self._array("mask_t", mask, shape, symbols)
        return given

    def settle(
        self, state: Any, theta: Any, x: Any, target: Any, mask: Any, tol: float, max_steps: int
    ) -> tuple[Any, int, float]:
        """Relax until no state changes by more than tol: y, steps, the last change."""
        given = self._row(theta, x, target, mask)
        lanes = given["target"].shape[1:]
        kept = self._state("relax", state, lanes)
        longest = self.net.wiring.longest_delay

        def once(t: int) -> tuple[Any, float]:
            with np.errstate(all="ignore"):
                r = run(self.programs["relax"], self.arithmetic, given, {"t": t}, lanes, kept)
            return r["y"], float(np.max(r["change"]))

        steps, quiet, change, y = 0, 0, 0.0, None
        while steps < max_steps and quiet < longest and not np.isnan(change):
            y, change = once(steps + 1)
            steps, quiet = steps + 1, quiet + 1 if change <= tol else 0
        t = steps
        while t % (longest + 1):
            t += 1
            y, change = once(t)
        return y, steps, change

    def settle_back(
        self, state: Any, theta: Any, target: Any, mask: Any, tol: float, max_steps: int
    ) -> tuple[float, Any, int, float]:
        """At the fixed point: J, the gradient, steps back, the last change."""
        given = self._row(theta, None, target, mask)
        lanes = given["target"].shape[1:]
        kept = self._state("judge", state, lanes)
        longest = self.net.wiring.longest_delay
        sizes = {"t": longest + 1, "u": 0}

        def once(name: str, u: int) -> dict[str, Any]:
            with np.errstate(all="ignore"):
                sizes["u"] = u
                return run(self.programs[name], self.arithmetic, given, sizes, lanes, kept)

        J = float(once("judge", 0)["J"].sum())
        last, steps, quiet, change = max_steps + 2 * longest + 1, 0, 0, 0.0
        while steps < max_steps and quiet < longest and not np.isnan(change):
            change = float(np.max(once("relax_back", last - steps)["change"]))
            steps, quiet = steps + 1, quiet + 1 if change <= tol else 0
        return J, self._summed(once("collect", last - steps)), steps, change

    def step(
        self, state: Any, t: int, theta: Any, x: Any, target: Any, mask: Any, threads: Any = 1
    ) -> Any:
        """Step number t: outputs, J(t), and the gradient where each step has one."""
        given = self._row(theta, x, target, mask)
        checked_threads(threads)
        lanes = given["target"].shape[1:]
        kept = self._state("step", state, lanes)
        with np.errstate(all="ignore"):
            r = run(self.programs["step"], self.arithmetic, given, {"t": t}, lanes, kept)
        J = float(r["J"].sum())
        return (r["y"], J, *([self._summed(r)] if "grad_theta" in r else []))

    def update(self, state: Any, b: int, t: int, theta: Any, B: int = 0, threads: Any = 1) -> Any:
        """The gradient of window number b, whose last step is t."""
        checked_threads(threads)
        theta = self._array("theta", theta, (self.net.size,), f"(P={self.net.size},)")
        lanes = (B,) if self.batch else ()
        kept, sizes = self._state("update", state, lanes), {"b": b, "t": t}
        with np.errstate(all="ignore"):
            r = run(self.programs["update"], self.arithmetic, {"theta": theta}, sizes, lanes, kept)
        return self._summed(r)

    def _summed(self, results: Mapping[str, Any]) -> Any:
        gradient = results["grad_theta"]
        return gradient.sum(axis=-1) if self.batch else gradient

    def _state(self, name: str, state: Any, lanes: tuple[int, ...]) -> dict[str, Any]:
        """Views of the arrays that ``state`` holds."""
        if not isinstance(state, np.ndarray) or state.dtype != self.dtype:
            given = getattr(state, "dtype", type(state).__name__)
            raise TypeError(f"state: expected an array of {self.dtype}, got {given}")
        size = self.STATE * int(np.prod(lanes, dtype=np.int64))
        if state.shape != (size,):
            raise ValueError(f"state: expected ({size},), got {state.shape}")
        rows = state.reshape(self.STATE, *lanes)
        return {
            array: rows[at : at + int(np.prod(shape, dtype=np.int64))].reshape(*shape, *lanes)
            for array, (at, shape) in state_arrays(self.programs[name]).items()
        }

    def read(self, theta: Any, x: Any, y0: Any) -> tuple[dict[str, Any], int, tuple[int, ...]]:
        m, states = self.net.inputs, len(self.net.states)
        theta = self._array("theta", theta, (self.net.size,), f"(P={self.net.size},)")
        symbols = f"(T, m={m}, B)" if self.batch else f"(T, m={m})"
        x = self._array("x", x, (-1, m, -1) if self.batch else (-1, m), symbols)
        lanes = x.shape[2:]
        if not x.shape[0] or 0 in lanes:
            least = "T, B ≥ 1" if self.batch else "T ≥ 1"
            raise ValueError(f"x: expected {symbols} with {least}, got {x.shape}")
        shape = (states, *lanes)
        if y0 is None:
            y0 = np.zeros(shape, dtype=self.dtype)
        else:
            B = f", B={lanes[0]}" if lanes else ","
            y0 = self._array("y0", y0, shape, f"(N={states}{B})")
        return {"theta": theta, "x": x, "y0": y0}, int(x.shape[0]), lanes

    def _array(self, name: str, value: Any, shape: tuple[int, ...], symbols: str) -> Any:
        if not isinstance(value, np.ndarray):
            try:
                value = np.asarray(value, dtype=self.dtype)
            except (TypeError, ValueError) as error:
                raise TypeError(
                    f"{name}: expected an array of {self.dtype}, got {type(value).__name__} "
                    f"({error})"
                ) from None
        if value.dtype != self.dtype and (name != "mask" or value.dtype.kind not in "biu"):
            raise TypeError(f"{name}: expected {self.dtype}, got {value.dtype}")
        fits = value.ndim == len(shape) and all(
            want in (-1, have) for want, have in zip(shape, value.shape, strict=True)
        )
        if not fits:
            raise ValueError(f"{name}: expected {symbols}, got {value.shape}")
        return np.ascontiguousarray(value, dtype=self.dtype)

    def result(self, name: str, out: Any, shape: tuple[int, ...], read: Mapping[str, Any]) -> Any:
        if out is None:
            return np.empty(shape, dtype=self.dtype)
        if not isinstance(out, np.ndarray) or out.dtype != self.dtype:
            given = getattr(out, "dtype", type(out))
            raise TypeError(f"out ({name}): expected an array of {self.dtype}, got {given}")
        if out.shape != shape:
            raise ValueError(f"out ({name}): expected {shape}, got {out.shape}")
        if not out.flags.carray:
            raise ValueError(f"out ({name}): must be C-contiguous, aligned and writeable")
        if any(np.may_share_memory(out, other) for other in read.values()):
            raise ValueError(f"out ({name}): shares memory with another argument")
        return out


def _wanted(wrt: Any, out: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    """What to differentiate by, and for each the array to write to, if one is given."""
    try:
        names = ("theta",) if wrt is None else (wrt,) if isinstance(wrt, str) else tuple(wrt)
    except TypeError:
        raise TypeError(f"wrt: expected some of {WRT}, got {wrt!r}") from None
    known = all(isinstance(name, str) and name in WRT for name in names)
    if not names or not known or len(set(names)) != len(names):
        raise ValueError(f"wrt: expected some of {WRT}, each once, got {names}")
    outs = () if out is None else out if isinstance(out, tuple) else (out,)
    if out is not None and len(outs) != len(names):
        raise ValueError(f"out: expected an array for each of {names}, got {len(outs)}")
    return names, dict(zip(names, outs, strict=False))
