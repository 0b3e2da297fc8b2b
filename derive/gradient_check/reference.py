"""What a gradient is compared with: the derived one, or difference quotients; how far each is off.

With a network the right gradient is that of the derived Program in double precision, in the scale
of the user's J. Quotients of that J along a few directions are a second witness. Without a network
they are all there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from derive.gradient_check import conventions
from derive.gradient_check.asked import Answer, Asked, GradientCheckError
from derive.gradient_check.conventions import Factor
from derive.gradient_check.problem import Problem
from derive.gradient_check.quotients import along, noise, slopes
from derive.verify.forms import form_of

Floats = Any

WAYS = 3
"""Directions along which the user's J is differenced besides."""


@dataclass(frozen=True, eq=False)
class Reference:
    """The right gradient by some entries, its error bars, and what was noticed on the way.

    Attributes
    ----------
    entries : (K,) array of int
    right, bars : (K,) arrays
    usual : sequence of (float, str)
        Constants a gradient may be off by.
    scale : float
        The user's J in terms of the net's.
    """

    entries: Any
    right: Floats
    bars: Floats
    usual: Sequence[Factor]
    notes: tuple[str, ...]
    problems: tuple[str, ...] = ()
    scale: float = 1.0


@dataclass(frozen=True, eq=False)
class Own:
    """The user's J as a function of theta, and the same on complex numbers."""

    asked: Asked
    dtype: Any

    def J(self, theta: Floats) -> float:
        """J at theta."""
        return self.asked.number(theta)[0]

    def carried(self, theta: Floats) -> complex | None:
        """J at a complex theta, if the function has a value there."""
        return self.asked.complex(theta)


def of_net(problem: Problem, own: Own | None, given: Answer, dtype: Any, seed: int) -> Reference:
    """The derived gradient, in the scale of the user's J."""
    gradient = problem.right[1].sum(axis=-1)
    if not np.isfinite(gradient).all() or not np.isfinite(problem.J):
        raise GradientCheckError(
            f"net {problem.net.name}: its own gradient is not finite at these numbers; draw "
            "smaller weights or fewer steps, and put no NaN where the mask is not 0"
        )
    usual = conventions.factors(
        problem.steps,
        problem.sequences,
        problem.target.shape[1],
        float(np.count_nonzero(problem.mask)),
    )
    notes = [f"compared with the derived gradient ({_words(problem)})"]
    problems: list[str] = []
    c = 1.0
    if own is not None:
        found, words = conventions.relation(
            own.J, lambda v: problem.at(v).J, problem.theta, usual, _eps(own.dtype), seed
        )
        if found is None:
            problems.append(f"your J is not that of the net, nor a constant times it: {words}")
            notes += _follows(own, given, problem.theta, seed)
            c = -1.0 if own.J(problem.theta) * problem.J < 0 else 1.0
        else:
            c = found
            notes += conventions.told(c, words)
    right = c * gradient
    if own is not None and not problems and form_of(problem.algorithm).is_exact(problem.steps):
        notes += _second_witness(own, right, problem.theta, seed)
    bars = _conditioning(problem, c, dtype)
    everything = np.arange(right.size)
    return Reference(everything, right, bars, usual, tuple(notes), tuple(problems), c)


def of_quotients(
    own: Own, theta: Floats, dtype: Any, usual: Sequence[Factor], seed: int
) -> Reference:
    """Slopes of the user's own J, each with an error bar."""
    if not np.isfinite(own.J(theta)):
        raise GradientCheckError(
            f"J is {own.J(theta)} at theta: there is nothing to compare; draw smaller weights, or "
            "look for a division by zero or a logarithm of zero"
        )
    found = slopes(own.J, theta, dtype, seed, own.carried)
    if not np.isfinite(found.values).all():
        raise GradientCheckError("J is not finite near theta: draw smaller weights")
    notes = (
        f"compared with slopes of your J: {found.method}; J's rounding noise is "
        f"{found.noise:.1g}, the largest error bar {found.bars.max():.1g}",
    )
    return Reference(found.entries, found.values, found.bars, usual, notes)


def rounding_of(first: Answer, second: Answer) -> tuple[Floats, tuple[str, ...]]:
    """How far two answers to one question differ, and whether that is more than rounding."""
    assert first.gradient is not None and second.gradient is not None
    with np.errstate(invalid="ignore"):
        apart = np.abs(first.gradient - second.gradient)
    apart = np.where(np.isfinite(apart), apart, 0.0)
    size = np.abs(np.nan_to_num(first.gradient, nan=0.0, posinf=0.0, neginf=0.0)).max(initial=0.0)
    if not apart.max(initial=0.0) > np.sqrt(_eps(first.dtype)) * size:
        return apart, ()
    told = (
        f"two calls with equal arguments gave gradients that differ by up to {apart.max():.3g}: "
        "chance is drawn inside (dropout, noise, a shuffled batch), or a state is kept; fix the "
        "seed or reset the state within the function"
    )
    return apart, (told,)


def _conditioning(problem: Problem, c: float, dtype: Any) -> Floats:
    """What rounding theta to a precision does to the gradient: no function can do better."""
    generator = np.random.Generator(np.random.PCG64(1))
    eps = _eps(dtype)
    off = problem.theta * (1 + eps * generator.choice([-8.0, 8.0], problem.theta.size))
    other = replace(problem, theta=off, x=problem.x * (1 + 4 * eps)).right[1].sum(axis=-1)
    moved = np.abs(c * (other - problem.right[1].sum(axis=-1)))
    return 4 * moved + 2 * float(np.nan_to_num(moved).mean())


def _second_witness(own: Own, right: Floats, theta: Floats, seed: int) -> list[str]:
    """Whether quotients of the user's J agree with the derived gradient."""
    floor = noise(own.J, theta, own.dtype, seed)
    pairs = [
        (way @ right, *along(own.J, theta, way, own.dtype, floor)) for way in _ways(theta, seed)
    ]
    worst = max(abs(wanted - value) for wanted, value, _ in pairs)
    bar = max(b for *_, b in pairs)
    if all(abs(w - v) <= b + 1e-6 * abs(w) for w, v, b in pairs):
        return [f"difference quotients of your J agree with it (to {worst:.1g}, bar {bar:.1g})"]
    return [
        f"difference quotients of your J are off it by {worst:.2g} (bar {bar:.1g}): J may have a "
        "corner near here, or depend on theta in steps"
    ]


def _follows(own: Own, given: Answer, theta: Floats, seed: int) -> list[str]:
    """Whether the gradient is that of the user's own J, which is another than the net's."""
    assert given.gradient is not None
    if not np.isfinite(given.gradient).all():
        return []
    floor = noise(own.J, theta, own.dtype, seed)
    for way in _ways(theta, seed):
        value, bar = along(own.J, theta, way, own.dtype, floor)
        if abs(value - way @ given.gradient) > bar + 1e-6 * abs(value):
            return ["nor is your gradient the slope of your own J"]
    return [
        "your gradient is the slope of your own J: what differs is the forward pass, the "
        "objective or the mask, and not how it is learnt"
    ]


def _ways(theta: Floats, seed: int) -> list[Floats]:
    generator = np.random.Generator(np.random.PCG64(seed))
    found = generator.normal(size=(WAYS, theta.size))
    return [way / np.linalg.norm(way) for way in found]


def _words(problem: Problem) -> str:
    options = {k: v for k, v in problem.algorithm.items() if k != "name"}
    return ", ".join([problem.algorithm["name"], *(f"{k} = {v}" for k, v in options.items())])


def _eps(dtype: Any) -> float:
    return float(np.finfo(dtype).eps)
