"""A gradient function as its author calls it: what goes in, what comes back, what is wrong with it.

Arrays of other libraries are known by what they can do (``detach``, ``new_tensor``,
``__array__``), so none of these libraries is needed.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from derive.errors import DeriveError

Floats = Any


class GradientCheckError(DeriveError, ValueError):
    """From ``gradient_check``: a function cannot be asked, or its answer cannot be read."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What a function gave: J (None if it gives none), the gradient, and their precision."""

    J: float | None
    gradient: Floats | None
    dtype: Any


def plain(value: Any) -> Floats:
    """An array of NumPy from one of NumPy, PyTorch, JAX or a list; a copy where it may alias."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        try:
            value = value.numpy()
        except (TypeError, RuntimeError):  # a format NumPy has no name for, such as bfloat16
            value = value.float().numpy()
    return np.array(value)


def floats(name: str, value: Any, kinds: str = "f") -> Floats:
    """An argument in double precision.

    Raises
    ------
    TypeError
        For whole numbers, which a function would take for floats or cut off, and for no numbers.
    """
    try:
        array = plain(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}: expected an array of floats ({error})") from None
    if array.dtype.kind not in kinds:
        hint = f"; pass {name} as floats (.astype(float))" if array.dtype.kind in "biu" else ""
        raise TypeError(f"{name}: expected floats, got {array.dtype}{hint}")
    return np.ascontiguousarray(array, dtype=np.float64)


def like(given: Any, values: Floats) -> Any:
    """Values as the kind of array that was given: a tensor for a tensor, else NumPy's."""
    if hasattr(given, "new_tensor"):
        made = given.new_tensor(values)
        return made.requires_grad_() if getattr(given, "requires_grad", False) else made
    if np.iscomplexobj(values):
        return np.array(values)
    return np.array(values, dtype=plain(given).dtype)


@dataclass(eq=False)
class Asked:
    """A callable with everything but theta fixed.

    Attributes
    ----------
    function : callable
        ``function(theta, x, target)``; ``mask`` and ``y0`` by name where it takes them.
    role : str
        How messages call it: ``the gradient function``, ``objective``.
    theta : array as given
        Its shape and kind are those the function gets.
    arguments : mapping of str to array
        x, target and what else there is.
    changed : list of str
        Arguments it was seen to change in place.
    order : tuple of str
        What is passed by position.
    """

    function: Any
    role: str
    theta: Any
    arguments: Mapping[str, Any]
    changed: list[str] = field(default_factory=list)
    order: tuple[str, ...] = ("theta", "x", "target")

    def __post_init__(self) -> None:
        if not callable(self.function):
            kind = type(self.function).__name__
            raise TypeError(f"{self.role}: expected a function of (theta, x, target), got {kind}")
        self.shape = np.shape(plain(self.theta))
        self.keywords = self._taken()

    def _taken(self) -> tuple[str, ...]:
        """Which of mask and y0 the function takes by name."""
        optional = [k for k in ("mask", "y0") if self.arguments.get(k) is not None]
        try:
            parameters = inspect.signature(self.function).parameters
        except (TypeError, ValueError):  # built-in functions may have no signature
            return ()
        anything = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        return tuple(k for k in optional if anything or k in parameters)

    @property
    def unheard(self) -> tuple[str, ...]:
        """Arguments that were given and that the function has no place for."""
        given = [k for k in ("mask", "y0") if self.arguments.get(k) is not None]
        return tuple(k for k in given if k not in self.keywords)

    def raw(self, theta: Floats) -> Any:
        """What the function returns, with copies of everything passed in.

        Raises
        ------
        GradientCheckError
            When it raises; the cause is kept.
        """
        names = ("x", "target", *self.keywords)
        before = {k: plain(self.arguments[k]) for k in names if self.arguments.get(k) is not None}
        before["theta"] = np.reshape(theta, self.shape)
        kinds = {**self.arguments, "theta": self.theta}
        passed = {k: like(kinds[k], v) for k, v in before.items()}
        before = {k: plain(v) for k, v in passed.items()}
        order = [passed.get(k) for k in self.order]
        try:
            found = self.function(*order, **{k: passed[k] for k in self.keywords})
        except DeriveError:
            raise
        except Exception as error:
            shapes = ", ".join(f"{k} {np.shape(v)}" for k, v in before.items())
            raise GradientCheckError(
                f"{self.role} raised {type(error).__name__}: {error} (called with {shapes}); "
                f"it must accept ({', '.join(self.order)}) as given here"
            ) from error
        for name, was in before.items():
            now = plain(passed[name])
            same = now.shape == was.shape and np.array_equal(now, was, equal_nan=True)
            if not same and name not in self.changed:
                self.changed.append(name)
        return found

    def answer(self, theta: Floats) -> Answer:
        """J and gradient, or the gradient alone, flat."""
        found = self.raw(theta)
        J: float | None = None
        dtype: Any = np.float64
        if isinstance(found, tuple | list) and len(found) == 2 and not _is_vector(found, theta):
            first, found = found
            if np.size(plain(first)) != 1:
                raise GradientCheckError(
                    f"{self.role} returned a pair whose first part has shape "
                    f"{np.shape(plain(first))}; expected (J, gradient) with one number J"
                )
            J, dtype = _number(first, self.role)
        gradient, of = self._gradient(found)
        return Answer(J, gradient, coarser(dtype, of))

    def number(self, theta: Floats) -> tuple[float, Any]:
        """J and the type it was computed in, from a function that gives J, or (J, gradient)."""
        found = self.raw(theta)
        if isinstance(found, tuple | list) and found:
            found = found[0]
        return _number(found, self.role)

    def complex(self, theta: Floats) -> complex | None:
        """J on complex numbers; None where the function does not carry them through."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # a discarded imaginary part is only warned of
                found = self.raw(theta)
                if isinstance(found, tuple | list) and found:
                    found = found[0]
                value = plain(found)
                return complex(value.reshape(())) if np.iscomplexobj(value) else None
        except Exception:
            return None

    def _gradient(self, found: Any) -> tuple[Floats, Any]:
        if isinstance(found, Mapping) or found is None:
            kind = type(found).__name__
            raise GradientCheckError(
                f"{self.role} returned {kind}; expected an array of theta's shape {self.shape}, "
                "or (J, gradient)"
            )
        try:
            value = plain(found)
            kind = value.dtype.kind
        except (TypeError, ValueError) as error:
            raise GradientCheckError(
                f"{self.role}: what it returned is no array ({error}); expected one of theta's "
                f"shape {self.shape}"
            ) from None
        size = int(np.prod(self.shape, dtype=np.int64))
        flat = value.ndim == 1 or len(self.shape) == 1
        if value.size != size or not (value.shape == self.shape or flat):
            raise GradientCheckError(
                f"{self.role}: gradient: expected theta's shape {self.shape}, got {value.shape}"
                + self._hint(value)
            )
        if kind in "biu":
            raise GradientCheckError(
                f"{self.role}: gradient: expected floats, got {value.dtype}; a derivative stored "
                "in an array of whole numbers is cut off (make that array with dtype=float)"
            )
        if kind == "c":
            raise GradientCheckError(
                f"{self.role}: gradient: expected real floats, got {value.dtype}"
            )
        if kind != "f":
            try:
                return value.astype(np.float64).ravel(), np.float32
            except (TypeError, ValueError):
                raise GradientCheckError(
                    f"{self.role}: gradient: expected floats, got {value.dtype}"
                ) from None
        return value.astype(np.float64).ravel(), value.dtype

    def _hint(self, value: Floats) -> str:
        if value.shape == self.shape[::-1]:
            return "; that is theta's shape transposed: return gradient.T"
        if value.ndim == 0:
            return "; is that J? Return (J, gradient)"
        if value.ndim == len(self.shape) + 1 and self.shape in (value.shape[1:], value.shape[:-1]):
            return "; there is one axis more: sum over time steps or sequences"
        return ""


def coarser(a: Any, b: Any) -> Any:
    """The float type with the larger rounding error."""
    return max(np.dtype(a), np.dtype(b), key=lambda d: float(np.finfo(d).eps))


def _is_vector(found: Any, theta: Floats) -> bool:
    """Whether a pair is the gradient of two parameters written as a list."""
    return isinstance(found, list) and np.size(theta) == 2 and all(np.ndim(v) == 0 for v in found)


def _number(value: Any, role: str) -> tuple[float, Any]:
    try:
        array = plain(value)
        number = float(array.reshape(()))
    except (TypeError, ValueError) as error:
        got = f"shape {np.shape(value)}" if np.shape(value) else type(value).__name__
        raise GradientCheckError(
            f"{role}: expected one number for J, got {got} ({error}); sum over steps and sequences"
        ) from None
    return number, array.dtype if array.dtype.kind == "f" else np.dtype(np.float64)
