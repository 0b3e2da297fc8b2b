"""One error class per layer; each message names the thing at fault and what would be right."""

from __future__ import annotations

from pathlib import Path


class DeriveError(Exception):
    """Base of every error of this package; raised by no layer itself."""


class DeriveWarning(UserWarning):
    """What was stated can be done, and is not likely to be meant."""


class NetworkError(DeriveError, ValueError):
    """From ``network``: what was stated (a spec, a cell, a connection, an objective) is wrong."""


class DerivationError(DeriveError, ValueError):
    """From ``calculus``: the equations cannot be differentiated, or not for this algorithm."""


class ProgramError(DeriveError, ValueError):
    """From ``program``: a Program cannot be made, scheduled or run as asked."""


class EmitError(DeriveError, ValueError):
    """From ``emit``: a Program has no printed form."""


class BuildError(DeriveError, RuntimeError):
    """From ``build``: translating, compiling or importing an emitted module failed.

    Attributes
    ----------
    command, output : str
        What was run, and the tool's own words.
    kept : Path or None
        The folder that holds the source it was run on.
    """

    def __init__(
        self, message: str, command: str = "", output: str = "", kept: Path | None = None
    ) -> None:
        self.command, self.output, self.kept = command, output, kept
        super().__init__(message)

    def __str__(self) -> str:
        # Put together only now, because the cache moves what is kept after the error is made.
        lines = [super().__str__()]
        if self.command:
            lines.append(f"  command: {self.command}")
        lines += [f"  {line}" for line in self.output.strip().splitlines()]
        if self.kept is not None:
            lines.append(f"  kept in: {self.kept}")
        return "\n".join(lines)


class RecordError(DeriveError, ValueError):
    """From ``verify``: an emitted module does not say, in a form to be trusted, what it is of."""


class CacheError(DeriveError, RuntimeError):
    """From ``build``: the cache directory cannot be used, or is not to be trusted."""


class ConvergenceError(DeriveError, ArithmeticError):
    """From ``settling``: a relaxation did not reach its tolerance.

    Attributes
    ----------
    steps : int
        Steps done.
    residual : float
        The largest change in the last of them.
    radius : float or None
        The spectral radius of a step's Jacobian where it stopped, as far as it could be seen.
    """

    def __init__(
        self, message: str, steps: int = 0, residual: float = 0.0, radius: float | None = None
    ) -> None:
        self.steps, self.residual, self.radius = steps, residual, radius
        super().__init__(message)


class StateError(DeriveError, ValueError):
    """From ``online``: a state is not one of this kernel, or the run it is given to has no room."""


class CapacityError(DeriveError, RuntimeError):
    """From ``online``: the history that is kept has reached its capacity."""


class BridgeError(DeriveError, ValueError):
    """From ``bridges``: another library is missing, or what it has has no counterpart here."""


class ClaimError(DeriveError, ValueError):
    """From ``claims``: a claims file, or what is asked of it, is wrong."""


class BenchError(DeriveError, RuntimeError):
    """From ``bench``: a grid cannot be run as asked, or what was kept is of another machine."""
