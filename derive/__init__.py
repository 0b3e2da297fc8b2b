"""SymPy in, learning kernels out.

A network's forward equations and an objective go through these stages, each a package that
imports only from those before it:

    network     what a person states: cells, connections, objective, spec files
    calculus    what follows: local partials, ordered derivatives ε and δ, the shown derivation
    program     how to compute it: loops around SymPy right-hand sides, schedules, counted cost
    emit        Programs as the text of a Cython module
    build       text to a binary, and the cache of them
    kernel      what a user holds: forward, gradient, and start for online learning
    verify, train, bridges, cli   what is done with it

Names are loaded when they are first used, so that a cached kernel runs without importing SymPy.
"""

from __future__ import annotations

import importlib
from typing import Any

from derive.version import __version__

_HOME = {
    "Network": "derive.network.network",
    "Cell": "derive.network.cell",
    "ContinuousCell": "derive.network.continuous",
    "discretize": "derive.network.continuous",
    "state_space": "derive.network.continuous",
    "Connection": "derive.network.topology",
    "Populations": "derive.network.populations",
    "Objective": "derive.network.objective",
    "SquaredError": "derive.network.objective",
    "AbsoluteError": "derive.network.objectives",
    "Activity": "derive.network.objectives",
    "Huber": "derive.network.objectives",
    "LogisticCrossEntropy": "derive.network.objectives",
    "SoftmaxCrossEntropy": "derive.network.objectives",
    "WeightDecay": "derive.network.objectives",
    "state": "derive.network.symbols",
    "net_input": "derive.network.symbols",
    "intermediate": "derive.network.symbols",
    "parameter": "derive.network.symbols",
    "source": "derive.network.symbols",
    "weight": "derive.network.symbols",
    "target": "derive.network.symbols",
    "logistic": "derive.functions",
    "softplus": "derive.functions",
    "relu": "derive.functions",
    "Kernel": "derive.kernel",
    "compile": "derive.kernel",
    "differentiate": "derive.kernel",
    "continuous_adjoint": "derive.costate",
    "verify": "derive.verify",
    "draw": "derive.pictures",
    "Picture": "derive.pictures.picture",
    "PictureError": "derive.pictures.picture",
    "prove": "derive.verify.induction.proving",
    "check": "derive.claims.checking",
    "gradcheck": "derive.gradient_check",
    "document": "derive.document",
    "DeriveError": "derive.errors",
    "DeriveWarning": "derive.errors",
    "NetworkError": "derive.errors",
    "DerivationError": "derive.errors",
    "ProgramError": "derive.errors",
    "EmitError": "derive.errors",
    "BuildError": "derive.errors",
    "CacheError": "derive.errors",
    "ConvergenceError": "derive.errors",
    "StateError": "derive.errors",
    "CapacityError": "derive.errors",
    "BridgeError": "derive.errors",
    "ClaimError": "derive.errors",
    "Online": "derive.online",
}
_MODULES = {"cells": "derive.network.library", "connect": "derive.network.connect"}

__all__ = ["__version__", *sorted(_HOME), *sorted(_MODULES)]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        found: Any = importlib.import_module(_MODULES[name])
    elif name in _HOME:
        found = getattr(importlib.import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module 'derive' has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
