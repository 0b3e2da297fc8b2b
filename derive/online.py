"""Online learning: a kernel run one step at a time, with weights that may move between steps."""

from __future__ import annotations

import hashlib
import json
from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import numpy as np

from derive.errors import CapacityError, DerivationError, StateError
from derive.program.algorithms import options_of
from derive.threads import checked_threads, sharing
from derive.version import __version__

Step = namedtuple("Step", ["y", "J", "gradient"])
Step.__doc__ = """What one step gave: outputs y (N[, B]), J(t), and the gradient (P,) or None."""

_as_step = tuple.__new__
"""Step from a tuple of its three values: Step(…) would be a fifth of a small net's whole step."""

ALIGNMENT = 64
"""Bytes: one vector over the sequences of a batch."""


@dataclass(frozen=True, eq=False)
class OnlineState:
    """Everything an online run remembers, as it was when this was taken.

    Attributes
    ----------
    key : str
        Which kernel it belongs to: network, algorithm, type of number, layout and version.
    words : str
        The same for people.
    t : int
        Steps done.
    B : int or None
        Sequences of the batch.
    theta : (P,) array
    memory : array
        What the algorithm keeps between steps.
    gradient : (P,) array or None
        The newest one, if no step of learning has used it.
    """

    key: str
    words: str
    t: int
    B: int | None
    theta: Any
    memory: Any
    gradient: Any


class Online:
    """One run of an online algorithm; made by :meth:`derive.Kernel.start`.

    For ``settling`` each step is one pattern, relaxed from where the last one settled.

    Attributes
    ----------
    kernel : Kernel
    t : int
        Steps done.
    theta : (P,) array
        The weights of the next step. It may be set, and changed in place: the caller decides when
        weights move. What was computed with earlier weights stays as it was, as in real time.

    Examples
    --------
    >>> online = kernel.start(theta)
    >>> for x_t, target_t in stream:
    ...     step = online.step(x_t, target_t)      # step.y, step.J, step.gradient
    ...     online.learn(0.1)                      # theta += 0.1 * step.gradient, if there is one
    """

    def __init__(
        self,
        kernel: Any,
        theta: Any,
        y0: Any = None,
        B: int | None = None,
        history: Any = None,
        threads: int | None = None,
    ) -> None:
        if _offered(kernel.module, "step") is None:
            raise DerivationError(
                f"algorithm {kernel.algorithm['name']!r} has no online form: it needs the whole "
                "sequence; compile with 'rtrl', 'hybrid', 'truncated' or 'realtime'"
            )
        self.kernel = kernel
        options = options_of(kernel.algorithm)
        self._capacity = options.get("capacity")
        self._module_step = kernel.module.step
        self._update = _offered(kernel.module, "update")
        self._threads = None if threads is None else checked_threads(threads)
        self._sharing = sharing(kernel, self._threads)
        self._period = int(options.get("h_prime", options.get("h", 1)) or 1)
        self._theta = np.zeros(kernel.net.size, kernel.dtype)
        self.theta = theta
        y0 = self._first(y0, B)
        self._B = y0.shape[1] if kernel.batch else None
        self._memory = aligned(state_numbers(kernel.module, self._B), kernel.dtype)
        self._begin(y0, history)
        self._t = 0
        self._gradient: Any = None

    # --- a step --------------------------------------------------------------------------

    def step(self, x_t: Any = None, target_t: Any = None, mask_t: Any = None) -> Step:
        """Feed one input, compare with one target.

        Parameters
        ----------
        x_t : (m[, B]) array
            Inputs of this step; may be left out where there are no input lines.
        target_t : (n_T[, B]) array, optional
            Targets of the outputs computed from them. Left out, this step has none.
        mask_t : (n_T[, B]) array, optional
            1 where a target exists. Where it is 0 the target is not read, and under teacher
            forcing the unit's own output is used. Without it all exist, but for those of a term
            stated with ``at="end"``: which step is the last is not known here.

        Returns
        -------
        Step
            ``y`` (N[, B]) the states, ``J`` of this step, summed over a batch; ``gradient`` (P,):
            None between the ends of windows.

        Raises
        ------
        TypeError, ValueError
            Naming the argument. The run is then as it was, and goes on with the next step.
        CapacityError
            When the history of ``realtime`` is full.
        """
        t = self._t + 1
        if self._capacity is not None and t > self._capacity:
            raise CapacityError(
                f"step {t}: the history holds capacity={self._capacity} steps, which real-time "
                "BPTT keeps all of; compile with a larger capacity, reset(), or use an algorithm "
                "that keeps no history (rtrl, hybrid, truncated)"
            )
        if x_t is None and not self.kernel.net.inputs:
            x_t = np.zeros((0, *self._tail), self.kernel.dtype)
        if target_t is None:
            if mask_t is not None:
                raise ValueError("mask_t: given without target_t; give both or neither")
            target_t = np.zeros(self._targets, self.kernel.dtype)
            mask_t = target_t
        if self._B is not None:
            given = x_t.shape if isinstance(x_t, np.ndarray) else np.shape(x_t)
            if given[1:] != (self._B,):
                m = self.kernel.net.inputs
                raise ValueError(f"x_t: expected (m={m}, B={self._B}), got {given}")
        result = self._module_step(
            self._memory, t, self._theta, x_t, target_t, mask_t, **self._sharing
        )
        # Counted only now: a refused step has not happened.
        self._t = t
        if len(result) == 3:
            self._gradient = result[2]
            return _as_step(Step, result)
        gradient = None
        if self._update is not None and t % self._period == 0:
            more = () if self._B is None else (self._B,)
            window = t // self._period - 1
            gradient = self._update(self._memory, window, t, self._theta, *more, **self._sharing)
        self._gradient = gradient
        return _as_step(Step, (*result, gradient))

    def learn(self, eta: float) -> Any:
        """Δθ = η ∂J/∂θ with the gradient of the newest step; J is maximised.

        Parameters
        ----------
        eta : float
            The learning rate.

        Returns
        -------
        (P,) array or None
            Δθ, which was added to ``theta``; None where the step gave no gradient, or it was used.
        """
        eta = float(eta)
        if not np.isfinite(eta):
            raise ValueError(f"eta: expected a finite number, got {eta!r}")
        if self._gradient is None:
            return None
        change = (eta * self._gradient).astype(self.kernel.dtype, copy=False)
        self._theta += change
        self._gradient = None
        return change

    @property
    def t(self) -> int:
        """Steps done."""
        return self._t

    @property
    def theta(self) -> Any:
        """The weights (P,), live: what is changed in place counts from the next step on."""
        return self._theta

    @theta.setter
    def theta(self, value: Any) -> None:
        if value is self._theta:  # what ``online.theta += …`` sets
            return
        value = np.asarray(value)
        if value.shape != self._theta.shape:
            P = self.kernel.net.size
            raise ValueError(f"theta: expected (P={P},), got {value.shape}")
        if value.dtype != self._theta.dtype:
            raise TypeError(f"theta: expected {self._theta.dtype}, got {value.dtype}")
        self._theta[...] = value

    # --- keeping a run, and going back to it ---------------------------------------------

    @property
    def state(self) -> OnlineState:
        """A copy of everything the run remembers; setting it goes back there, bit for bit."""
        return OnlineState(
            self._key,
            self._words,
            self._t,
            self._B,
            self._theta.copy(),
            self._memory.copy(),
            None if self._gradient is None else self._gradient.copy(),
        )

    @state.setter
    def state(self, state: OnlineState) -> None:
        if not isinstance(state, OnlineState):
            raise StateError(f"state: expected one that online.state gave, got {state!r}")
        if state.key != self._key:
            raise StateError(
                f"state: it belongs to another kernel or version ({state.words}), not to this one "
                f"({self._words})"
            )
        if state.B != self._B:
            raise StateError(f"state: it has B = {state.B} sequences, this run has {self._B}")
        self._theta[...] = state.theta
        self._memory[...] = state.memory
        self._t = state.t
        self._gradient = None if state.gradient is None else state.gradient.copy()

    def reset(self, y0: Any = None, history: Any = None) -> None:
        """Forget everything but the weights: time is 0 again, and the state ``y0``."""
        self._begin(self._first(y0, self._B), history)
        self._t, self._gradient = 0, None

    def copy(self) -> Online:
        """Another run that goes on from here by itself."""
        other = Online(self.kernel, self._theta, None, self._B, threads=self._threads)
        other.state = self.state
        return other

    __copy__ = copy

    def __deepcopy__(self, memo: Any) -> Online:
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.kernel, self.state, self._threads)

    def __repr__(self) -> str:
        return f"Online({self.kernel!r}, t={self._t})"

    # --- shapes ----------------------------------------------------------------------------

    @property
    def _tail(self) -> tuple[int, ...]:
        return () if self._B is None else (self._B,)

    @property
    def _targets(self) -> tuple[int, ...]:
        return (len(self.kernel.net.objective.targets), *self._tail)

    def _begin(self, y0: Any, history: Any) -> None:
        """Set what is remembered; a batch's history has an axis more, as an x (T, m, B) has."""
        self.kernel.module.start(self._memory, y0, **past(self.kernel, history, y0[np.newaxis]))

    def _first(self, y0: Any, B: int | None) -> Any:
        kernel, states = self.kernel, len(self.kernel.net.states)
        if B is not None and not kernel.batch:
            raise ValueError("B: this kernel has no batch axis; compile with batch=True")
        if B is not None and (isinstance(B, bool) or not isinstance(B, int) or B < 1):
            raise ValueError(f"B: expected a whole number of sequences, at least 1, got {B!r}")
        if y0 is None:
            if kernel.batch and B is None:
                raise ValueError("B: say how many sequences there are, or give y0 (N, B)")
            return np.zeros((states, B) if kernel.batch else (states,), kernel.dtype)
        y0 = np.asarray(y0)
        axes = 2 if kernel.batch else 1
        fits = y0.ndim == axes and y0.shape[0] == states and B in (None, *y0.shape[1:])
        if not fits or y0.size == 0:
            lanes = "" if axes == 1 else " B" if B is None else f" B={B}"
            raise ValueError(f"y0: expected (N={states},{lanes}), got {y0.shape}")
        if y0.dtype != kernel.dtype:
            raise TypeError(f"y0: expected {kernel.dtype}, got {y0.dtype}")
        return y0

    @property
    def _words(self) -> str:
        kernel = self.kernel
        options = {k: v for k, v in kernel.algorithm.items() if k != "name"}
        return (
            f"{kernel.net.name}, {kernel.algorithm['name']}"
            + "".join(f", {k} = {v}" for k, v in options.items())
            + f", {kernel.dtype}, {'compiled' if kernel.compiled else 'on NumPy'}, "
            f"derive {__version__}"
        )

    @property
    def _key(self) -> str:
        kernel = self.kernel
        fields = [
            kernel.net.digest, kernel.algorithm, kernel.dtype.name, kernel.batch, kernel.compiled,
            __version__, int(kernel.module.STATE), block_of(kernel.module),
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _offered(module: Any, name: str) -> Any:
    """A function of a kernel's module, or None; one that runs Programs has them as it has those."""
    there = name in getattr(module, "programs", {name: None})
    return getattr(module, name, None) if there else None


def block_of(module: Any) -> int:
    """Sequences of a batch that stand together in what a module computes; 1 where they do not."""
    return int(getattr(module, "BLOCK", 1))


def state_numbers(module: Any, B: int | None) -> int:
    """Numbers in a module's state of a run over B sequences."""
    block = block_of(module)
    return int(module.STATE) * (1 if B is None else block * -(-B // block))


def aligned(count: int, dtype: Any) -> Any:
    """Zeros that begin at a multiple of 64 bytes."""
    itemsize = np.dtype(dtype).itemsize
    room = np.zeros(count + ALIGNMENT // itemsize, dtype)
    skip = -room.ctypes.data % ALIGNMENT // itemsize
    return room[skip : skip + count]


def _restored(kernel: Any, state: OnlineState, threads: int | None) -> Online:
    online = Online(kernel, state.theta, None, state.B, threads=threads)
    online.state = state
    return online


def past(kernel: Any, history: Any, x: Any) -> dict[str, Any]:
    """A history as a keyword of a kernel's module, for inputs x (T, m[, B]); none if there is none.

    Raises
    ------
    ValueError
        For a settling net, or where no delay reaches before time 0 and it is not empty.
    """
    if history is None:
        return {}
    if kernel.algorithm["name"] == "settling":
        raise ValueError("history: a settling net forgets what was before; leave it out")
    net = kernel.net
    if net.lookback:
        return {"history": history}
    shape = (0, len(net.states) + net.inputs, *np.shape(x)[2:])
    if np.shape(history) != shape:
        raise ValueError(
            f"history: no delay of this network is longer than 1; expected {shape}, "
            f"got {np.shape(history)}"
        )
    return {}
